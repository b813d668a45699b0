//! A balancer as small as it can be: it sends requests in turn to the processes that say that they are ready, keeps its
//! connections to them, and tries another process only where a request was never sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::support::wait::eventually;

const PROBE_EVERY: Duration = Duration::from_millis(100);
const PROBE_WITHIN: Duration = Duration::from_secs(1);
const MAX_BODY_BYTES: usize = 1 << 20;

/// A process behind it.
struct Backend {
    address: SocketAddr,
    is_ready: AtomicBool,
    prober: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Shared {
    backends: Mutex<Vec<Arc<Backend>>>,
    next: AtomicUsize,
    slowest_microseconds: AtomicU64,
    http: reqwest::Client,
}

/// The balancer.
pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    // Ends with it.
    _server: JoinSet<()>,
}

impl Balancer {
    pub(super) async fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(pass_on).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, _server: server }
    }

    /// Takes a process in, and waits until it is ready.
    pub(super) async fn add(&self, address: SocketAddr) {
        let backend = Arc::new(Backend { address, is_ready: AtomicBool::new(false), prober: Mutex::default() });
        let probing = tokio::spawn(probe(Arc::clone(&backend), self.shared.http.clone()));
        *backend.prober.lock().unwrap() = Some(probing.abort_handle());
        self.shared.backends.lock().unwrap().push(Arc::clone(&backend));
        eventually("a process is ready", async || backend.is_ready.load(Ordering::SeqCst)).await;
    }

    /// Forgets a process that is gone.
    pub(super) fn remove(&self, address: SocketAddr) {
        self.shared.backends.lock().unwrap().retain(|backend| {
            let stays = backend.address != address;
            if let Some(prober) = backend.prober.lock().unwrap().as_ref().filter(|_| !stays) {
                prober.abort();
            }
            stays
        });
    }

    /// How long the slowest request took.
    pub(super) fn slowest(&self) -> Duration {
        Duration::from_micros(self.shared.slowest_microseconds.load(Ordering::Relaxed))
    }
}

async fn probe(backend: Arc<Backend>, http: reqwest::Client) {
    let url = format!("http://{}/health/ready", backend.address);
    loop {
        let answer = http.get(&url).timeout(PROBE_WITHIN).send().await;
        backend.is_ready.store(answer.is_ok_and(|answer| answer.status().is_success()), Ordering::SeqCst);
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

/// What is between the client and the balancer alone, or said anew.
fn without_hops(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

async fn pass_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    let headers = without_hops(parts.headers);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let first = shared.next.fetch_add(1, Ordering::Relaxed);
    let ready: Vec<_> = {
        let backends = shared.backends.lock().unwrap();
        backends.iter().filter(|backend| backend.is_ready.load(Ordering::SeqCst)).map(|one| one.address).collect()
    };
    for turn in 0..ready.len() {
        let address = ready[(first + turn) % ready.len()];
        let request = shared.http.request(parts.method.clone(), format!("http://{address}{path}"));
        match request.headers(headers.clone()).body(body.clone()).send().await {
            Ok(answer) => {
                let took = u64::try_from(started.elapsed().as_micros()).unwrap();
                shared.slowest_microseconds.fetch_max(took, Ordering::Relaxed);
                return answered(answer).await;
            }
            // Nobody was there to take it.
            Err(error) if error.is_connect() => {}
            Err(error) => return failed(&error.to_string()),
        }
    }
    failed("no process is ready")
}

async fn answered(answer: reqwest::Response) -> Response {
    let (status, headers) = (answer.status(), without_hops(answer.headers().clone()));
    match answer.bytes().await {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            response
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> Response {
    let mut response = Response::new(Body::from(format!("\"{why}\"")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
