//! A request's body in bounded pieces, for a parser that would take in all it can get.
//!
//! The parser of multipart bodies asks its stream on and on for as long as there is something, and keeps what belongs
//! to no field. So each piece is followed by a pause, in which the parser hands out what it has; and what it was given
//! may run ahead of what it has handed out only so far.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::Stream;

/// Headers of parts, and what stands between parts, have at most about so many bytes at a time.
const MAX_AHEAD_BYTES: u64 = 1 << 20;

/// Why there is no more of a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum PiecesError {
    /// More than is read in any case.
    #[error("is too large")]
    TooLarge,
    /// Too much that is no field's content.
    #[error("has a part with too long a header")]
    Header,
    /// The client, or the way to it, broke off.
    #[error("broke off")]
    Broken(#[source] axum::Error),
}

/// Counts what the parser has handed out.
#[derive(Clone, Default)]
pub(super) struct HandedOut(Arc<AtomicU64>);

impl HandedOut {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A body, piece by piece.
pub(super) struct Pieces {
    body: BodyDataStream,
    paused: bool,
    received: u64,
    at_most: u64,
    handed_out: HandedOut,
}

impl Pieces {
    pub(super) fn new(body: Body, at_most: u64, handed_out: HandedOut) -> Self {
        Self { body: body.into_data_stream(), paused: false, received: 0, at_most, handed_out }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, PiecesError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.paused) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = ready!(Pin::new(&mut self.body).poll_next(context)) else { return Poll::Ready(None) };
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Some(Err(PiecesError::Broken(error)))),
        };
        self.paused = true;
        self.received += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if self.received > self.at_most {
            return Poll::Ready(Some(Err(PiecesError::TooLarge)));
        }
        if self.received.saturating_sub(self.handed_out.0.load(Ordering::Relaxed)) > MAX_AHEAD_BYTES {
            return Poll::Ready(Some(Err(PiecesError::Header)));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn body(pieces: usize, bytes: usize) -> Body {
        let piece = Bytes::from(vec![0; bytes]);
        Body::from_stream(futures::stream::iter(vec![piece; pieces]).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test]
    async fn what_is_handed_out_makes_room_for_more() {
        let handed_out = HandedOut::default();
        let mut pieces = Pieces::new(body(64, 256 << 10), u64::MAX, handed_out.clone());
        let mut received = 0;
        while let Some(piece) = pieces.next().await {
            received += piece.as_ref().map(Bytes::len).unwrap();
            handed_out.add(piece.unwrap().len());
        }
        assert_eq!(received, 16 << 20);
    }

    #[tokio::test]
    async fn what_is_not_handed_out_ends_the_body() {
        let pieces: Vec<_> = Pieces::new(body(64, 256 << 10), u64::MAX, HandedOut::default()).take(6).collect().await;
        assert!(matches!(pieces[4], Err(PiecesError::Header)), "{:?}", pieces.len());
        let pieces: Vec<_> = Pieces::new(body(3, 10), 25, HandedOut::default()).collect().await;
        assert!(matches!(pieces[..], [Ok(_), Ok(_), Err(PiecesError::TooLarge)]));
    }

    #[tokio::test]
    async fn each_piece_is_followed_by_a_pause() {
        let mut pieces = Pieces::new(body(3, 10), u64::MAX, HandedOut::default());
        let mut pauses = 0;
        let mut seen = 0;
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
