//! How many connections there are at once, and for how long one may do nothing.
//!
//! A connection that finds no place waits, and those behind it with it, in the system's queue: every connection that
//! asks nothing ends within a bounded time and makes room.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Version;
use axum::response::Response;
use axum_server::ConnectionShutdown;
use futures::future::BoxFuture;
use hyper::Request;
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::Service;
use tower_http::normalize_path::NormalizePath;

use crate::config::Edge;
use crate::metrics::Metrics;

/// Answers that a connection of HTTP/2 still owes when it is let go may take so long to be taken.
const TAKEN_WITHIN: Duration = Duration::from_secs(900);

/// The places for connections.
pub(super) struct Connections {
    places: Arc<Semaphore>,
    idle: Duration,
    open: Gauge,
    had_to_wait: Counter,
}

impl Connections {
    pub(super) fn new(config: &Edge, metrics: &Metrics) -> Arc<Self> {
        let (open, had_to_wait) = (Gauge::default(), Counter::default());
        metrics.register(|registry| {
            registry.register("http_connections", "Connections to the API", open.clone());
            let help = "Connections that found all of MAX_CONNECTIONS taken and had to wait";
            registry.register("http_connections_waited", help, had_to_wait.clone());
        });
        let places = usize::try_from(config.max_connections).unwrap_or(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        Arc::new(Self { places, idle: Duration::from_secs(config.idle_timeout), open, had_to_wait })
    }

    /// Gives a connection its place, once there is one.
    pub(super) async fn admit(&self, peer: SocketAddr, router: NormalizePath<Router>) -> Connection {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                if self.had_to_wait.inc() == 0 {
                    tracing::warn!("all of MAX_CONNECTIONS are taken; who comes now waits");
                }
                // The semaphore is never closed.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        };
        self.open.inc();
        let place = Place {
            _permit: permit,
            open: self.open.clone(),
            answered: Mutex::default(),
            streams: AtomicU32::new(0),
            watched: AtomicBool::new(false),
        };
        Connection { peer, router, place: Arc::new(place), idle: self.idle }
    }
}

/// A connection's place, given back when it has ended.
struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    open: Gauge,
    /// When its last request was answered.
    answered: Mutex<Option<Instant>>,
    /// Requests under way.
    streams: AtomicU32,
    /// Whether somebody looks for how long it asks nothing.
    watched: AtomicBool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Place {
    fn is_idle_since(&self, instant: Instant) -> bool {
        let last = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams.load(Ordering::SeqCst) == 0 && last.is_some_and(|last| last <= instant)
    }
}

/// A request under way on a connection.
struct Stream(Arc<Place>);

impl Stream {
    fn begin(place: &Arc<Place>) -> Self {
        place.streams.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(place))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        *self.0.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Connection {
    peer: SocketAddr,
    router: NormalizePath<Router>,
    place: Arc<Place>,
    idle: Duration,
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.watch(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let stream = Stream::begin(&self.place);
        let answer = self.router.call(request);
        Box::pin(async move {
            let _stream = stream;
            answer.await
        })
    }
}

impl Connection {
    /// HTTP/1's parser gives up on a connection that asks nothing; of HTTP/2 nobody does but us.
    fn watch(&self, request: &Request<Incoming>) {
        if request.version() != Version::HTTP_2 || self.place.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(connection) = request.extensions().get::<ConnectionShutdown>() {
            tokio::spawn(close_when_idle(Arc::downgrade(&self.place), connection.clone(), self.idle));
        }
    }
}

/// Lets a connection go that has been asked nothing for so long; answers under way still get through, if their client
/// takes them.
async fn close_when_idle(place: Weak<Place>, connection: ConnectionShutdown, idle: Duration) {
    loop {
        let looked = Instant::now();
        tokio::time::sleep(idle).await;
        let Some(alive) = place.upgrade() else { return };
        if alive.is_idle_since(looked) {
            break;
        }
    }
    connection.graceful_shutdown();
    tokio::time::sleep(TAKEN_WITHIN).await;
    // Where it has ended meanwhile, nobody hears it.
    connection.shutdown();
}
