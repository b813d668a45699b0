//! A request's body in bounded pieces, for a parser that would take in all it can get.
//!
//! The parser of multipart bodies asks its stream on and on for as long as there is something, and keeps what belongs
//! to no field. So each piece is followed by a pause, in which the parser hands out what it has; and what it was given
//! may run ahead of what it has handed out only so far. What is left of a body that is refused is thrown away here, so
//! that its client comes to read why.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{Stream, StreamExt};

/// Headers of parts, and what stands between parts, have at most about so many bytes at a time.
const MAX_AHEAD_BYTES: u64 = 1 << 20;
/// For so long what is left is thrown away.
const DISCARD_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no more of a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum PiecesError {
    /// Too much that is no field's content.
    #[error("has a part with too long a header")]
    Header,
    /// The client, or the way to it, broke off.
    #[error("broke off")]
    Broken(#[source] axum::Error),
}

/// A body, piece by piece; whoever holds a clone has the same.
#[derive(Clone)]
pub(super) struct Pieces(Arc<Mutex<Inner>>);

struct Inner {
    body: BodyDataStream,
    paused: bool,
    begun: bool,
    received: u64,
    handed_out: u64,
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Pieces {
    pub(super) fn new(body: Body) -> Self {
        let body = body.into_data_stream();
        Self(Arc::new(Mutex::new(Inner { body, paused: false, begun: false, received: 0, handed_out: 0 })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any of it was asked for.
    pub(super) fn is_begun(&self) -> bool {
        self.inner().begun
    }

    /// The parser has handed out so much.
    pub(super) fn hand_out(&self, bytes: usize) {
        self.inner().handed_out += length(bytes);
    }

    /// Throws away what is left, up to so many bytes in all and for a bounded time.
    pub(super) async fn discard(self, at_most: u64) {
        let discarding = async {
            let mut pieces = self.clone();
            {
                // What the parser kept is none of its business any more.
                let mut inner = self.inner();
                inner.handed_out = inner.received;
            }
            while let Some(Ok(piece)) = pieces.next().await {
                self.hand_out(piece.len());
                if self.inner().received > at_most {
                    return;
                }
            }
        };
        // What a body is too long for is not read: its connection ends.
        let _ = tokio::time::timeout(DISCARD_WITHIN, discarding).await;
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, PiecesError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.inner();
        if std::mem::take(&mut inner.paused) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        inner.begun = true;
        let Some(piece) = ready!(Pin::new(&mut inner.body).poll_next(context)) else { return Poll::Ready(None) };
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Some(Err(PiecesError::Broken(error)))),
        };
        inner.paused = true;
        inner.received += length(piece.len());
        if inner.received.saturating_sub(inner.handed_out) > MAX_AHEAD_BYTES {
            // Whoever goes on all the same throws it away.
            inner.handed_out = inner.received;
            return Poll::Ready(Some(Err(PiecesError::Header)));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: usize, bytes: usize) -> Body {
        let piece = Bytes::from(vec![0; bytes]);
        Body::from_stream(futures::stream::iter(vec![piece; pieces]).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test]
    async fn what_is_handed_out_makes_room_for_more() {
        let mut pieces = Pieces::new(body(64, 256 << 10));
        assert!(!pieces.is_begun());
        let mut received = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            received += piece.len();
            pieces.hand_out(piece.len());
        }
        assert_eq!((received, pieces.is_begun()), (16 << 20, true));
    }

    #[tokio::test]
    async fn what_is_not_handed_out_ends_the_body_and_the_rest_can_be_thrown_away() {
        let mut pieces = Pieces::new(body(64, 256 << 10));
        let first: Vec<_> = pieces.by_ref().take(5).collect().await;
        assert!(first[..4].iter().all(Result::is_ok) && matches!(first[4], Err(PiecesError::Header)), "{first:?}");
        pieces.clone().discard(u64::MAX).await;
        assert!(pieces.next().await.is_none(), "nothing is left");
    }

    #[tokio::test]
    async fn no_more_is_thrown_away_than_is_worth_it() {
        let mut pieces = Pieces::new(body(10, 10));
        pieces.clone().discard(25).await;
        assert_eq!(pieces.by_ref().count().await, 7);
    }

    #[tokio::test]
    async fn each_piece_is_followed_by_a_pause() {
        let mut pieces = Pieces::new(body(3, 10));
        let (mut seen, mut pauses) = (0, 0);
        std::future::poll_fn(|context| {
            loop {
                match Pin::new(&mut pieces).poll_next(context) {
                    Poll::Ready(Some(_)) => seen += 1,
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {
                        pauses += 1;
                        return Poll::Pending;
                    }
                }
            }
        })
        .await;
        assert_eq!((seen, pauses), (3, 3));
    }
}
