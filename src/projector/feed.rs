//! Feeds a worker from its durable JetStream consumer, again and again, whatever happens to NATS.

use std::time::Duration;

use futures::StreamExt;
use projections::Slot;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::message::Delivery;
use crate::bus::publishing::carried;
use crate::bus::{Bus, BusError};

const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Feeds until stopped or the worker is gone.
pub(crate) async fn feed(bus: Bus, slot: Slot, queue: mpsc::Sender<Delivery>, stop: CancellationToken) {
    while !stop.is_cancelled() && !queue.is_closed() {
        if bus.is_connected() {
            let interrupted = stop.run_until_cancelled(pump(&bus, slot, &queue)).await;
            if let Some(Err(error)) = interrupted {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, projection = %slot.0, partition = %slot.1, "the consumer was interrupted");
            }
        }
        stop.run_until_cancelled(tokio::time::sleep(TRY_AGAIN)).await;
    }
}

/// Passes messages on until the consumer ends or the worker is gone.
async fn pump(bus: &Bus, (projection, partition): Slot, queue: &mpsc::Sender<Delivery>) -> Result<(), BusError> {
    let mut messages = bus.consume(projection, partition).await?;
    while let Some(message) = messages.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%error, %projection, %partition, "a consumer's pull failed");
                return Ok(());
            }
        };
        let (message, acker) = message.split();
        let traceparent = carried(message.headers.as_ref());
        match bus.decode(&message.payload) {
            Ok(message) => {
                let delivery = Delivery { message, traceparent, acker: Some(acker) };
                if queue.send(delivery).await.is_err() {
                    return Ok(());
                }
            }
            // The event itself is in the log; the next message shows that it is missing.
            Err(error) => tracing::warn!(%error, subject = %message.subject, "a message is not one of ours"),
        }
    }
    Ok(())
}
