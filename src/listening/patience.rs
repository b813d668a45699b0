//! Clients that do not take their answers. What is to be written waits for them, and so does the connection's place, but
//! not for ever.

use std::future::{Future, Ready, ready};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Has connections wait so long for a client to take something, and answers leave at once.
#[derive(Debug, Clone)]
pub(super) struct PatientAcceptor(pub(super) Duration);

impl<S> Accept<TcpStream, S> for PatientAcceptor {
    type Stream = Patient<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let at_once = stream.set_nodelay(true);
        ready(at_once.map(|()| (Patient { stream, patience: self.0, stuck: None }, service)))
    }
}

/// A stream whose writes fail once nothing could be written for long.
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Since a write found no room.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn unless_stuck(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        stuck.as_mut().poll(context).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stuck(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stuck(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_takes_something_is_not() {
        let (stream, mut client) = duplex(4);
        let mut patient = Patient { stream, patience: PATIENCE, stuck: None };
        let taking = tokio::spawn(async move {
            let mut taken = [0; 2];
            for _ in 0..8 {
                tokio::time::sleep(PATIENCE / 4).await;
                client.read_exact(&mut taken).await.expect("something comes");
            }
            client
        });
        patient.write_all(&[7; 16]).await.expect("slow, and taken all the same");
        let _client = taking.await.expect("it took everything");
        let ended = patient.write_all(&[7; 16]).await.expect_err("nobody takes it");
        assert_eq!(ended.kind(), ErrorKind::TimedOut);
    }
}
