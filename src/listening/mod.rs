//! The API on its port: connections come in here, bounded in number and in the time they may take, over TLS or not.
//!
//! What is asked over them is none of its business: that is [`crate::http`].

mod connections;
mod patience;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::service_fn;
use tower_http::normalize_path::NormalizePath;

use crate::config::Edge;
use crate::metrics::Metrics;
use connections::{Connection, Connections};
use patience::PatientAcceptor;
pub use tls::{Tls, TlsError};

/// What HTTP's own parser takes before [`crate::http`] looks at it. That refuses less than this with a document; beyond,
/// the parser answers a bare status.
const MAX_HEAD_BYTES: usize = 128 << 10;
const MAX_HEADERS: usize = 256;
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// Requests under way on one connection of HTTP/2.
const MAX_STREAMS: u32 = 100;
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How much longer than the drain the server's task may take to end.
const LEEWAY: Duration = Duration::from_secs(1);
/// Files that a process has open beside its connections: databases, NATS, workbooks.
const OTHER_FILES: u64 = 512;

/// A listening API.
pub struct Listening {
    /// Where it listens.
    pub address: Option<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
    handle: Handle<SocketAddr>,
    stop: CancellationToken,
}

impl Listening {
    /// Answers what comes in at a port.
    pub fn start(
        listener: TcpListener,
        tls: Option<Tls>,
        config: &Edge,
        metrics: &Metrics,
        router: NormalizePath<Router>,
    ) -> Self {
        allow_files(u64::from(config.max_connections) + OTHER_FILES);
        let address = listener.local_addr().ok();
        let (handle, stop) = (Handle::new(), CancellationToken::new());
        let connections = Connections::new(config, metrics);
        let server = http(Server::from_listener(listener), config).handle(handle.clone());
        let patient = PatientAcceptor(config.body_timeout());
        let server = match tls {
            Some(tls) => {
                let header_timeout = Duration::from_secs(config.header_timeout);
                let acceptor = RustlsAcceptor::new(tls.config()).handshake_timeout(header_timeout);
                tokio::spawn(tls.keep_fresh(metrics, stop.clone()));
                tokio::spawn(serve(server.acceptor(acceptor.acceptor(patient)), connections, router))
            }
            None => tokio::spawn(serve(server.acceptor(patient), connections, router)),
        };
        Self { address, server, handle, stop }
    }

    /// Takes no new connection, answers what is under way, and ends; after `at_most` whatever is still under way.
    pub async fn stop(self, at_most: Duration) {
        self.stop.cancel();
        self.handle.graceful_shutdown(Some(at_most));
        if tokio::time::timeout(at_most + LEEWAY, self.server).await.is_err() || self.handle.connection_count() > 0 {
            tracing::warn!("some requests were still running after {at_most:?}");
        }
    }
}

/// How HTTP is spoken.
fn http(server: Server<SocketAddr>, config: &Edge) -> Server<SocketAddr> {
    let mut server = server.first_request_timeout(Duration::from_secs(config.header_timeout));
    let builder = server.http_builder();
    // The parser waits for the headers of a next request for as long as for the request itself.
    let idle = Duration::from_secs(config.idle_timeout);
    builder.http1().header_read_timeout(idle).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    server
}

async fn serve<A>(
    server: Server<SocketAddr, A>,
    connections: Arc<Connections>,
    router: NormalizePath<Router>,
) -> std::io::Result<()>
where
    A: Accept<TcpStream, Connection> + Clone + Send + Sync + 'static,
    A::Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
    A::Service: axum_server::service::SendService<hyper::Request<hyper::body::Incoming>> + Send,
    A::Future: Send,
{
    let admit = service_fn(move |peer| {
        let (connections, router) = (Arc::clone(&connections), router.clone());
        async move { Ok::<_, Infallible>(connections.admit(peer, router).await) }
    });
    server.serve(admit).await
}

/// Lets the process have that many files open, if the system lets it: a shell's usual limit of 1024 is fewer than the
/// connections that are to be served.
fn allow_files(wanted: u64) {
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| match soft < wanted.min(hard) {
        true => setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).map(|()| wanted.min(hard)),
        false => Ok(soft),
    });
    match allowed {
        Ok(allowed) if allowed >= wanted => {}
        Ok(allowed) => tracing::warn!(allowed, wanted, "fewer files may be open than MAX_CONNECTIONS asks for"),
        Err(error) => tracing::warn!(%error, wanted, "it is not known how many files may be open"),
    }
}
