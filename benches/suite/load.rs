//! The load: a number of connections, each of which sends its next request when it has the answer, or at its time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Before it counts: caches are filled, statements prepared.
const WARM_UP: Duration = Duration::from_secs(1);
const SIGNIFICANT_DIGITS: u8 = 3;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) path: String,
    /// `None` asks with GET.
    pub(crate) body: Option<Value>,
    pub(crate) respond_async: bool,
}

impl Ask {
    pub(crate) fn get(path: String) -> Self {
        Self { path, body: None, respond_async: false }
    }

    pub(crate) fn post(path: &str, body: Value) -> Self {
        Self { path: path.to_owned(), body: Some(body), respond_async: false }
    }
}

/// The n-th request of a run; every run numbers on, so that what must be new is.
pub(crate) type Asks = fn(u64) -> Ask;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// Requests a second of all connections together; `None` for as many as are answered.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// In microseconds, from when a request was due.
    pub(crate) latencies: Histogram<u64>,
}

/// Numbers of requests, over all runs.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Sends requests for a time.
///
/// # Errors
/// When a connection breaks, or an answer is no success.
pub(crate) async fn send(address: SocketAddr, load: Load, asks: Asks) -> anyhow::Result<Outcome> {
    let starts = Instant::now() + WARM_UP;
    let mut connections = JoinSet::new();
    for number in 0..load.connections {
        connections.spawn(one_connection(address, load, number, starts, asks));
    }
    let mut latencies = Histogram::new(SIGNIFICANT_DIGITS)?;
    while let Some(sent) = connections.join_next().await {
        latencies.add(sent??)?;
    }
    let per_second = latencies.len() as f64 / load.time.as_secs_f64();
    Ok(Outcome { per_second, latencies })
}

async fn one_connection(
    address: SocketAddr,
    load: Load,
    number: usize,
    starts: Instant,
    asks: Asks,
) -> anyhow::Result<Histogram<u64>> {
    let mut sender = connect(address).await?;
    let mut latencies = Histogram::new(SIGNIFICANT_DIGITS)?;
    let pace = load.rate.map(|rate| Duration::from_secs_f64(load.connections as f64 / rate));
    let mut due = Instant::now();
    if let Some(pace) = pace {
        due += pace.mul_f64(number as f64 / load.connections as f64);
    }
    let ends = starts + load.time;
    loop {
        tokio::time::sleep_until(due.into()).await;
        if due >= ends {
            return Ok(latencies);
        }
        ask(&mut sender, &asks(NEXT.fetch_add(1, Ordering::Relaxed))).await?;
        let now = Instant::now();
        if due >= starts && now <= ends {
            latencies.record(u64::try_from((now - due).as_micros())?.max(1))?;
        }
        due = pace.map_or(now, |pace| due + pace);
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, ask: &Ask) -> anyhow::Result<Bytes> {
    let mut request = Request::builder().uri(&ask.path).header(HOST, "bench");
    if ask.respond_async {
        request = request.header("prefer", "respond-async");
    }
    let request = match &ask.body {
        Some(body) => {
            request.method(Method::POST).header(CONTENT_TYPE, "application/json").body(body.to_string().into())
        }
        None => request.body(Full::default()),
    };
    sender.ready().await.with_context(|| ask.path.clone())?;
    let answer = sender.send_request(request?).await.with_context(|| ask.path.clone())?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{ask:?}: {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}

/// Sends requests one after the other; the bodies of their answers.
pub(crate) async fn all(address: SocketAddr, asks: impl IntoIterator<Item = Ask>) -> anyhow::Result<Vec<Bytes>> {
    let mut sender = connect(address).await?;
    let mut answers = Vec::new();
    for wanted in asks {
        answers.push(ask(&mut sender, &wanted).await?);
    }
    Ok(answers)
}
