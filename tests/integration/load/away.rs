//! PostgreSQL goes away and comes back. While it is away nobody waits for it.

use std::time::{Duration, Instant};

use credit_approval::config::{Serve, Store};
use sqlx::PgPool;

use super::{AT_ONCE, kind, sample};
use crate::support::client::registration;
use crate::support::line::Line;
use crate::support::sql::count;
use crate::support::wait::eventually_within;
use crate::support::{Answer, Client, TestApp};

const NOTICED_WITHIN: Duration = Duration::from_secs(15);
/// A look that began before it came back may take two seconds to end; the rest is for a machine that is busy.
const BACK_WITHIN: Duration = Duration::from_secs(4);

/// A service whose databases are at the end of a line, and the database itself.
async fn at_the_end_of_a_line() -> (TestApp, Line, PgPool) {
    // Metrics are told to a key: what is known of it lasts longer than the database is away.
    let config = TestApp::config(&["--key-cache-seconds", "60"]).await;
    let database_url = config.store.database_url.clone().expect("tests name a database");
    let line = Line::to(&database_url).await;
    let store = Store { database_url: Some(line.url()), ..config.store };
    let app = TestApp::start_with(Serve { store, nats_url: None, ..config }).await;
    (app, line, PgPool::connect(&database_url).await.unwrap())
}

async fn timed(client: &Client, path: &str) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = match path {
        "/register" => client.post(path, &registration(50_000)).await,
        _ => client.get(path).await,
    };
    (answer, started.elapsed())
}

async fn is_refused_at_once(client: &Client, path: &str) -> bool {
    let (answer, took) = timed(client, path).await;
    (answer.status, kind(&answer), answer.header("retry-after")) == (503, "unavailable", "1") && took < AT_ONCE
}

async fn noticed(client: &Client) {
    for path in ["/register", "/v1/customers"] {
        eventually_within("it is refused at once", NOTICED_WITHIN, async || is_refused_at_once(client, path).await)
            .await;
    }
}

/// Refuses at once whatever is asked, and goes on telling how it is.
async fn refuses_at_once(client: &Client) {
    for _ in 0..5 {
        for path in ["/register", "/view-loan/1", "/v1/customers", "/v1/events", "/v1/loans/1/history"] {
            assert!(is_refused_at_once(client, path).await, "{path}");
        }
    }
    let (live, took) = timed(client, "/health/live").await;
    assert!(live.status == 200 && took < AT_ONCE);
    let (ready, took) = timed(client, "/health/ready").await;
    assert!(ready.status == 503 && took < AT_ONCE, "{} after {took:?}", ready.status);
    let started = Instant::now();
    for breaker in ["postgres_log", "postgres_read_models"] {
        let closed = format!("credit_approval_breaker_state{{breaker=\"{breaker}\",state=\"closed\"}}");
        assert_eq!(sample(client, &closed).await, 0.0);
    }
    assert_eq!(sample(client, "credit_approval_databases_answer").await, 0.0);
    assert!(started.elapsed() < 3 * AT_ONCE, "{:?}", started.elapsed());
}

async fn comes_back(client: &Client) {
    let mended = Instant::now();
    eventually_within("a command is done", BACK_WITHIN, async || {
        client.post("/register", &registration(50_000)).await.status == 201
    })
    .await;
    println!("the first command was done {:?} after the database had come back", mended.elapsed());
    eventually_within("a question is answered", BACK_WITHIN, async || client.get("/v1/customers").await.status == 200)
        .await;
    assert_eq!(sample(client, "credit_approval_databases_answer").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_not_waited_for() {
    let (app, line, database) = at_the_end_of_a_line().await;
    app.client.register(50_000).await;
    line.cut();
    let cut = Instant::now();
    noticed(&app.client).await;
    println!("that it is gone was noticed after {:?}", cut.elapsed());
    refuses_at_once(&app.client).await;
    assert_eq!(count(&database, "events").await, 1);
    line.mend();
    comes_back(&app.client).await;
    assert_eq!(count(&database, "events").await, 2);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_not_waited_for() {
    let (app, line, _database) = at_the_end_of_a_line().await;
    app.client.register(50_000).await;
    line.silence();
    let waiting = tokio::spawn({
        let client = app.client.clone();
        async move { client.get("/v1/customers").await }
    });
    let silent = Instant::now();
    noticed(&app.client).await;
    println!("that it is silent was noticed after {:?}", silent.elapsed());
    refuses_at_once(&app.client).await;
    let answer = tokio::time::timeout(AT_ONCE, waiting).await.expect("it waits no longer").unwrap();
    assert_eq!((answer.status, kind(&answer)), (503, "unavailable"), "{}", answer.body);
    line.mend();
    comes_back(&app.client).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_broke_while_idle_are_not_handed_to_requests() {
    let (app, line, _database) = at_the_end_of_a_line().await;
    for _ in 0..8 {
        app.client.register(50_000).await;
    }
    // Long enough that they are asked whether they are still there.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    line.break_connections().await;
    for _ in 0..8 {
        app.client.register(50_000).await;
        assert_eq!(app.client.get("/v1/customers").await.status, 200);
    }
    app.stop().await;
}
