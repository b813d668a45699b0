//! A port for probes, which a process of any role has from before it starts until after it has stopped: its health, and
//! the metrics of this process alone. It is for machines of the same network, knows no keys and takes no request that
//! would need one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderName, Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use prometheus_client::registry::Registry;

use super::problem::{Problem, no_such_method, no_such_route};
use super::{health, middleware};
use crate::health::Health;
use crate::metrics::{CONTENT_TYPE, Metrics};

/// A prober that has connected asks within so long, again and again, or is gone.
const ASK_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Probed {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl FromRef<Probed> for Arc<Health> {
    fn from_ref(probed: &Probed) -> Self {
        Self::clone(&probed.health)
    }
}

impl FromRef<Probed> for Arc<Metrics> {
    fn from_ref(probed: &Probed) -> Self {
        Self::clone(&probed.metrics)
    }
}

/// The port; closed when this is dropped.
pub struct Probes {
    /// Where it listens.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl Probes {
    /// Answers from now on.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(address: SocketAddr, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(ASK_WITHIN);
        let routes = router(Probed { health, metrics }).into_make_service();
        tokio::spawn(async move {
            if let Err(error) = server.http1_only().serve(routes).await {
                tracing::error!(%error, "probes are no longer answered");
            }
        });
        Ok(Self { address, handle })
    }
}

fn router(probed: Probed) -> Router {
    // Probes come often and are no work to speak of: the metrics are about the API.
    let uncounted = Arc::new(middleware::Requests::register(&mut Registry::default()));
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/startup", get(health::startup))
        .route("/metrics", get(metrics))
        .fallback(no_such_route)
        .method_not_allowed_fallback(async |method: Method, uri: Uri| no_such_method(&method, &uri))
        .layer(from_fn_with_state(uncounted, middleware::envelope))
        .with_state(probed)
}

async fn metrics(State(metrics): State<Arc<Metrics>>) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let text = metrics.render_own().map_err(|_| Problem::unavailable())?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
