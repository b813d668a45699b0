//! The limits that answer over HTTP: axum, and sqlx where a database is asked, with nothing around them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Json as Document;
use tokio::net::TcpListener;

use crate::chosen::Limit;

/// As many as the service has.
const CONNECTIONS: u32 = 20;
/// Names the file with what [`Limit::Append`] appends.
pub(crate) const EVENTS_FILE: &str = "BENCH_EVENTS_FILE";
/// What is answered by each path that looks up, and where it lies.
pub(crate) const LOOKED_UP: [(&str, &str); 3] =
    [("/check-eligibility", "bench_profiles"), ("/view-loan", "bench_loans"), ("/view-loans", "bench_portfolios")];

/// An event as it lies in the log, in a stream of nobody's.
#[derive(Debug, Clone, Serialize, Deserialize, sqlx::FromRow)]
pub(crate) struct Event {
    pub(crate) aggregate_type: String,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) payload: String,
    pub(crate) metadata: String,
}

/// What a command appends, by its path.
pub(crate) type EventsOf = HashMap<String, Vec<Event>>;

#[derive(Deserialize)]
struct Application {
    customer_id: i64,
    loan_amount: f64,
    interest_rate: f64,
    tenure: u16,
}

#[derive(Serialize)]
struct Eligibility {
    customer_id: i64,
    approval: bool,
    interest_rate: f64,
    corrected_interest_rate: f64,
    tenure: u16,
    monthly_installment: f64,
}

/// Serves one until it is told to stop, and says where.
///
/// # Errors
/// When its database or its port is not there.
pub(crate) async fn serve(limit: &Limit) -> anyhow::Result<()> {
    let router = match limit {
        Limit::Parse => Router::new().route("/check-eligibility", post(parse)),
        Limit::Lookup => lookups().with_state(pool().await?),
        Limit::Append => appends(pool().await?).await?,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening  http://{}", listener.local_addr()?);
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        _ = terminated.recv() => Ok(()),
    }
}

/// Without a ping before each use, as the service has it.
async fn pool() -> anyhow::Result<PgPool> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let options = PgPoolOptions::new().max_connections(CONNECTIONS).min_connections(CONNECTIONS);
    Ok(options.test_before_acquire(false).connect(&url).await?)
}

async fn parse(Json(application): Json<Application>) -> Json<Eligibility> {
    let Application { customer_id, loan_amount, interest_rate, tenure } = application;
    let monthly_installment = loan_amount / f64::from(tenure);
    let corrected_interest_rate = interest_rate;
    Json(Eligibility {
        customer_id,
        approval: true,
        interest_rate,
        corrected_interest_rate,
        tenure,
        monthly_installment,
    })
}

fn lookups() -> Router<PgPool> {
    let [(_, profiles), (_, loans), (_, portfolios)] = LOOKED_UP;
    let eligibility = move |State(pool): State<PgPool>, Json(application): Json<Application>| async move {
        look_up(&pool, profiles, application.customer_id).await
    };
    let by_id =
        |table| move |State(pool): State<PgPool>, Path(id): Path<i64>| async move { look_up(&pool, table, id).await };
    Router::new()
        .route("/check-eligibility", post(eligibility))
        .route("/view-loan/{id}", get(by_id(loans)))
        .route("/view-loans/{id}", get(by_id(portfolios)))
}

async fn look_up(pool: &PgPool, table: &str, id: i64) -> Result<Json<Box<RawValue>>, StatusCode> {
    let found: Result<Option<Document<Box<RawValue>>>, _> =
        sqlx::query_scalar(&format!("select body from {table} where id = $1")).bind(id).fetch_optional(pool).await;
    let found = found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    found.map(|found| Json(found.0)).ok_or(StatusCode::NOT_FOUND)
}

/// Appends to streams that are new each time.
struct Appending {
    pool: PgPool,
    events_of: EventsOf,
    streams: AtomicU64,
    process: u32,
}

async fn appends(pool: PgPool) -> anyhow::Result<Router> {
    let file = std::env::var(EVENTS_FILE).context(EVENTS_FILE)?;
    let events_of: EventsOf = serde_json::from_slice(&tokio::fs::read(file).await?)?;
    let appending = Appending { pool, events_of, streams: AtomicU64::new(0), process: std::process::id() };
    let mut router = Router::new();
    for path in appending.events_of.keys() {
        router = router.route(path, post(append));
    }
    Ok(router.with_state(Arc::new(appending)))
}

async fn append(
    State(appending): State<Arc<Appending>>,
    uri: Uri,
    Json(body): Json<serde_json::Value>,
) -> Result<(StatusCode, Json<serde_json::Value>), StatusCode> {
    let Some(events) = appending.events_of.get(uri.path()) else { return Err(StatusCode::NOT_FOUND) };
    let stream = appending.streams.fetch_add(1, Ordering::Relaxed);
    let statement = insert(events.len());
    let mut query = sqlx::query(&statement);
    for (index, event) in events.iter().enumerate() {
        let id = format!("{}-{stream}-{index}", appending.process);
        query = query.bind(&event.aggregate_type).bind(id).bind(1_i64).bind(&event.event_type);
        query = query.bind(&event.event_version).bind(&event.payload).bind(&event.metadata);
    }
    query.execute(&appending.pool).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((StatusCode::CREATED, Json(body)))
}

/// All rows of a command in one statement.
fn insert(rows: usize) -> String {
    let row = |row: usize| {
        let place = |column: usize| 7 * row + column;
        let (payload, metadata) = (place(6), place(7));
        let plain = (1..=5).map(|column| format!("${}", place(column))).collect::<Vec<_>>().join(", ");
        format!("({plain}, ${payload}::text::json, ${metadata}::text::json)")
    };
    let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    format!(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         values {rows}"
    )
}
