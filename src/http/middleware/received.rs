//! Whether a request's body has come as a whole: before it has, nothing that was asked for has taken effect.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Whether a body has come as a whole.
#[derive(Clone)]
pub(super) struct Received(Arc<AtomicBool>);

/// A body that tells when it has come.
struct Told {
    body: Body,
    received: Received,
}

impl Received {
    /// A request whose body tells. One that is known to its last byte has been received before.
    pub(super) fn of(request: Request) -> (Request, Self) {
        let received = Self(Arc::new(AtomicBool::new(request.body().size_hint().exact().is_some())));
        let told = received.clone();
        (request.map(|body| Body::new(Told { body, received: told })), received)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.received.0.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::to_bytes;
    use futures::stream;

    use super::*;

    fn request(body: Body) -> (Request, Received) {
        Received::of(Request::new(body))
    }

    #[tokio::test]
    async fn a_body_has_come_when_it_was_read_to_its_end() {
        let pieces = ["{", "}"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        let (request, received) = request(Body::from_stream(stream::iter(pieces)));
        assert!(!received.is_complete());
        assert_eq!(to_bytes(request.into_body(), 2).await.unwrap(), "{}");
        assert!(received.is_complete());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_has_not_come() {
        let (request, received) = request(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
        let reading = tokio::time::timeout(std::time::Duration::from_millis(20), to_bytes(request.into_body(), 2));
        assert!(reading.await.is_err());
        assert!(!received.is_complete());
    }

    #[test]
    fn no_body_has_come_already() {
        assert!(request(Body::empty()).1.is_complete());
    }
}
