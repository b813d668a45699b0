//! How slowly a body may come. Whoever sends a byte now and then would hold a connection, and what the request holds
//! already, for as long as they like.
//!
//! Only the time that the client is waited for counts, not the service's own: what is done with one piece before the
//! next is asked for takes as long as it takes.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::Stream;
use tokio::time::{Instant, Sleep, sleep};

/// Once a client has been waited for too long in all, so many bytes must have come for each second of it.
const LEAST_BYTES_A_SECOND: u64 = 16 << 10;

/// The client sends too slowly.
#[derive(Debug, thiserror::Error)]
#[error("came too slowly")]
pub(super) struct TooSlow;

/// Whether it is for the client's slowness that a body ended.
pub(super) fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<TooSlow>())
}

/// A body that ends with [`TooSlow`] when its client does not keep pace.
pub(super) struct Paced {
    body: BodyDataStream,
    /// A pause of at most so long, and so long in all before the rate counts.
    patience: Duration,
    bytes: u64,
    waited: Duration,
    waiting: Option<Waiting>,
}

/// For the next piece.
struct Waiting {
    since: Instant,
    until: Pin<Box<Sleep>>,
}

impl Paced {
    pub(super) fn new(body: Body, patience: Duration) -> Self {
        Self { body: body.into_data_stream(), patience, bytes: 0, waited: Duration::ZERO, waiting: None }
    }

    /// How long the next piece may still be waited for.
    fn left(&self) -> Duration {
        let earned = Duration::from_secs(self.bytes / LEAST_BYTES_A_SECOND);
        earned.max(self.patience).saturating_sub(self.waited).min(self.patience)
    }
}

impl Stream for Paced {
    type Item = Result<Bytes, Box<dyn Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(piece) = Pin::new(&mut self.body).poll_next(context) {
            if let Some(waiting) = self.waiting.take() {
                self.waited += waiting.since.elapsed();
            }
            let piece = piece.map(|piece| piece.map_err(Into::into));
            if let Some(Ok(piece)) = &piece {
                self.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            }
            return Poll::Ready(piece);
        }
        let left = self.left();
        let begin = || Waiting { since: Instant::now(), until: Box::pin(sleep(left)) };
        ready!(self.waiting.get_or_insert_with(begin).until.as_mut().poll(context));
        // Who asks on is told the same at once.
        self.patience = Duration::ZERO;
        self.bytes = 0;
        self.waiting = None;
        Poll::Ready(Some(Err(TooSlow.into())))
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    /// Pieces of that size, each after a pause.
    fn body(pieces: usize, bytes: usize, pause: Duration) -> Body {
        Body::from_stream(stream::iter(0..pieces).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes]))
        }))
    }

    /// How many bytes came, and whether the client was too slow.
    async fn received(body: Body) -> (usize, bool) {
        let mut paced = Paced::new(body, PATIENCE);
        let mut bytes = 0;
        while let Some(piece) = paced.next().await {
            match piece {
                Ok(piece) => bytes += piece.len(),
                Err(error) => return (bytes, is_too_slow(&*error)),
            }
        }
        (bytes, false)
    }

    #[tokio::test]
    async fn who_keeps_pace_is_waited_for() {
        assert_eq!(received(body(3, 1, Duration::from_millis(10))).await, (3, false));
        assert_eq!(received(body(12, 16 << 10, Duration::from_millis(50))).await, (12 * (16 << 10), false));
    }

    #[tokio::test]
    async fn who_pauses_for_long_or_sends_little_for_long_is_not() {
        assert_eq!(received(body(1, 1, Duration::from_secs(60))).await, (0, true));
        let (bytes, too_slow) = received(body(1000, 1, Duration::from_millis(20))).await;
        assert!(too_slow && (1..=15).contains(&bytes), "{bytes} bytes, one each 20 ms");
    }

    #[tokio::test]
    async fn who_was_too_slow_once_stays_so() {
        let mut paced = Paced::new(body(1, 1, Duration::from_secs(60)), PATIENCE);
        for _ in 0..2 {
            let ended = paced.next().await.expect("an end").expect_err("there is nothing");
            assert!(is_too_slow(&*ended));
        }
    }

    #[test]
    fn what_was_sent_is_credit_for_the_rate_and_none_for_a_pause() {
        let mut paced = Paced::new(Body::empty(), Duration::from_secs(30));
        for (bytes, waited, left) in [
            (0, 0, 30),
            (0, 29, 1),
            (0, 31, 0),
            (31 << 14, 30, 1),
            ((31 << 14) - 1, 30, 0),
            (100 << 14, 60, 30),
            (100 << 14, 99, 1),
        ] {
            (paced.bytes, paced.waited) = (bytes, Duration::from_secs(waited));
            assert_eq!(paced.left(), Duration::from_secs(left), "{bytes} bytes in {waited} s");
        }
    }
}
