//! Requests that take longer than they may.

use std::time::{Duration, Instant};

use credit_approval::config::Serve;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{hold_registrations, kind, sample, two_that_wait};
use crate::support::client::registration;
use crate::support::metrics::samples;
use crate::support::sql::count;
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{Answer, Client, TestApp};

/// A second for each request, and two for those that wait for read models.
async fn hasty(arguments: &[&str]) -> TestApp {
    let config = TestApp::config(&[&["--request-timeout", "1"], arguments].concat()).await;
    TestApp::start_with(Serve { visibility_timeout: 0, ..config }).await
}

async fn keyed(client: &Client, person: &serde_json::Value) -> Answer {
    client.send(client.request(reqwest::Method::POST, "/register").header("Idempotency-Key", "k").json(person)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_goes_on_and_its_key_finds_out() {
    let app = hasty(&[]).await;
    let (pool, person) = (app.pool().await, registration(50_000));
    let lock = hold_registrations(&pool).await;
    let unknown = keyed(&app.client, &person).await;
    assert_eq!((unknown.status, kind(&unknown)), (503, "outcome-unknown"), "{}", unknown.body);
    assert_eq!(unknown.header("retry-after"), "", "without a key it is not safe to try again");
    let running = keyed(&app.client, &person).await;
    assert_eq!((running.status, kind(&running)), (409, "still-running"), "{}", running.body);
    let in_flight = "credit_approval_requests_in_flight{class=\"ordinary\"}";
    assert_eq!(sample(&app.client, in_flight).await, 1.0, "it keeps its slot");
    assert_eq!(sample(&app.client, "credit_approval_requests_timed_out_total{class=\"ordinary\"}").await, 1.0);

    lock.rollback().await.unwrap();
    let answer = eventually("the command ends", async || {
        let answer = keyed(&app.client, &person).await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, "true"), "{}", answer.body);
    assert_eq!(count(&pool, "events").await, 1);
    eventually("its slot is free", async || sample(&app.client, in_flight).await == 0.0).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_takes_too_long_is_given_up() {
    let app = hasty(&["--cache-bytes", "0"]).await;
    let customer = app.client.register(50_000).await;
    let application = json!({"customer_id": customer, "loan_amount": 10_000, "interest_rate": 14, "tenure": 12});
    let is_answered = async || app.client.post("/check-eligibility", &application).await.status == 200;
    eventually("the customer is seen", is_answered).await;
    let pool = app.pool().await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.credit_profiles in access exclusive mode").execute(&mut *lock).await.unwrap();
    let given_up = app.client.post("/check-eligibility", &application).await;
    assert_eq!((given_up.status, kind(&given_up)), (503, "took-too-long"), "{}", given_up.body);
    assert_eq!(given_up.header("retry-after"), "1");
    lock.rollback().await.unwrap();
    eventually("it is answered again", is_answered).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for_and_nothing_is_done() {
    let app = hasty(&["--long-request-timeout", "1"]).await;
    // Unlike a small body, a form is let in before it has come.
    let request = format!(
        "POST /v1/imports HTTP/1.1\r\nHost: test\r\n{}Content-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: 1000\r\n\r\n--b\r\n",
        app.client.authorization(),
    );
    let started = Instant::now();
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(15), "the request's time was up, not the body's");
    assert_eq!(sample(&app.client, "credit_approval_requests_timed_out_total{class=\"long\"}").await, 1.0);
    assert_eq!(count(&app.pool().await, "imports").await, 0);
    let in_flight = "credit_approval_requests_in_flight{class=\"long\"}";
    eventually("its slot is free", async || sample(&app.client, in_flight).await == 0.0).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_called_off_has_done_nothing_and_says_so() {
    for limit in ["--database-statement-timeout", "--database-lock-timeout"] {
        let app = TestApp::start_with(TestApp::config(&[limit, "1"]).await).await;
        let pool = app.pool().await;
        let lock = hold_registrations(&pool).await;
        let started = Instant::now();
        let called_off = app.client.post("/register", &registration(50_000)).await;
        assert_eq!((called_off.status, kind(&called_off)), (503, "unavailable"), "{limit}: {}", called_off.body);
        assert_eq!(called_off.header("retry-after"), "1", "it is safe to try again");
        assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&started.elapsed()), "{limit}");
        lock.rollback().await.unwrap();
        assert_eq!(count(&pool, "events").await, 0, "{limit}");
        app.client.register(50_000).await;
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_waited_for_no_longer_than_is_said() {
    let mut config = TestApp::config(&["--database-acquire-timeout", "1"]).await;
    config.store.pool.connections = 2;
    let app = TestApp::start_with(config).await;
    let pool = app.pool().await;
    let lock = hold_registrations(&pool).await;
    let holding = two_that_wait(&app.client, &pool).await;
    let pools = samples(&app.client).await;
    assert_eq!(pools["credit_approval_database_connections{pool=\"log\",state=\"in_use\"}"], 2.0);
    assert_eq!(pools["credit_approval_database_connections_max{pool=\"log\"}"], 2.0);
    let started = Instant::now();
    let refused = app.client.post("/register", &registration(50_000)).await;
    assert_eq!((refused.status, kind(&refused)), (503, "unavailable"), "{}", refused.body);
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&started.elapsed()), "{:?}", started.elapsed());
    // It is full, not away; and what has a pool of its own does not notice.
    assert_eq!(sample(&app.client, "credit_approval_breaker_opened_total{breaker=\"postgres_log\"}").await, 0.0);
    assert_eq!(app.client.get("/v1/customers").await.status, 200);
    lock.rollback().await.unwrap();
    for held in holding {
        assert_eq!(held.await.unwrap().status, 201);
    }
    let waited = "credit_approval_database_acquire_seconds_bucket{le=\"0.5\",pool=\"log\"}";
    let all = "credit_approval_database_acquire_seconds_count{pool=\"log\"}";
    let waits = samples(&app.client).await;
    assert!(waits[all] > waits[waited], "one has waited a second: {} {}", waits[all], waits[waited]);
    app.stop().await;
}
