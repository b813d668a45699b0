//! Feeds the workers of a partition from JetStream, again and again, whatever happens to NATS.
//!
//! A partition has one consumer in each process that works on it, for all read models: a message comes, and is decoded,
//! once. The consumer keeps no record of what was applied, for the checkpoints do; it begins with the last message that
//! there is, from which a worker sees what it lacks.

use std::time::Duration;

use futures::StreamExt;
use projections::Partition;
use tokio_util::sync::CancellationToken;

use super::Queues;
use super::outlet::Outlet;
use crate::bus::{Bus, BusError};

const TRY_AGAIN: Duration = Duration::from_millis(250);
/// So long a worker that lags behind holds back the others of its partition.
const PATIENCE: Duration = Duration::from_millis(50);
const SETTLE_EVERY: Duration = Duration::from_millis(20);
const LOOK_AT_CONNECTION: Duration = Duration::from_millis(250);

/// Feeds until stopped.
pub(super) async fn feed(bus: Bus, partition: Partition, queues: Queues, stop: CancellationToken) {
    let mut outlet = Outlet::new(queues, PATIENCE);
    while !stop.is_cancelled() {
        if bus.is_connected() {
            let interrupted = stop.run_until_cancelled(pump(&bus, partition, &mut outlet)).await;
            if let Some(Err(error)) = interrupted {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, %partition, "the consumer was interrupted");
            }
        }
        stop.run_until_cancelled(tokio::time::sleep(TRY_AGAIN)).await;
    }
}

/// Passes messages on until the consumer ends, or another connection was made: the server may not have it any more, and
/// would not say so.
async fn pump(bus: &Bus, partition: Partition, outlet: &mut Outlet) -> Result<(), BusError> {
    let connections = bus.connections();
    let mut messages = bus.consume(partition).await?;
    while bus.connections() == connections {
        outlet.settle().await;
        let look_again = if outlet.owes_nothing() { LOOK_AT_CONNECTION } else { SETTLE_EVERY };
        let Ok(message) = tokio::time::timeout(look_again, messages.next()).await else { continue };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                tracing::debug!(%error, %partition, "a consumer's pull failed");
                return Ok(());
            }
            None => return Ok(()),
        };
        match bus.decode(&message.payload) {
            Ok(message) => outlet.deliver(partition, message).await,
            // The events themselves are in the log; the next message shows that they are missing.
            Err(error) => tracing::warn!(%error, subject = %message.subject, "a message is not one of ours"),
        }
    }
    Ok(())
}
