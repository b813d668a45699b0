//! Beside a newer version: an older process says that it is being replaced where it meets what it does not know, and
//! waits for no read model that nobody keeps any more.

use std::time::{Duration, Instant};

use credit_approval::config::{Role, Serve};
use projections::Projection;
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::client::{application, registration};
use crate::support::leases::leases;
use crate::support::projections::until_state;
use crate::support::sql::{count, execute};
use crate::support::traffic::write_and_look;
use crate::support::wait::eventually;

/// Far below the bound on waiting for read models.
const SOON: Duration = Duration::from_secs(8);
const BOUND_SECONDS: u64 = 50;

/// Appends to a customer's stream what the newest of its events is made into.
async fn append(pool: &PgPool, customer: i64, event_type: &str, version: &str, payload: &str) {
    let appended = sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select aggregate_type, aggregate_id, sequence + 1, coalesce(nullif($2, ''), event_type), $3,
                coalesce(nullif($4, '')::json, payload), metadata
         from events where aggregate_type = 'customer' and aggregate_id = $1 order by sequence desc limit 1",
    )
    .bind(customer.to_string())
    .bind(event_type)
    .bind(version)
    .bind(payload)
    .execute(pool)
    .await
    .unwrap();
    assert_eq!(appended.rows_affected(), 1);
}

#[tokio::test]
async fn events_of_a_newer_version_are_left_to_it_and_broken_ones_are_not() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    // An event that this version does not have; one that it has, in another version that looks the same; a broken one.
    for (event_type, version, payload, status, kind) in [
        ("CustomerMerged", "1.0", r#"{"CustomerMerged": {"into": 7}}"#, 503, "newer-version"),
        ("", "2.0", "", 503, "newer-version"),
        ("", "1.0", r#"{"CustomerRegistered": {"age": "old"}}"#, 500, "unreadable-stream"),
    ] {
        let customer = app.client.register(80_000).await;
        append(&pool, customer, event_type, version, payload).await;
        let events = count(&pool, "events").await;
        let answer = app.client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
        let kind = json!(format!("urn:credit-approval:problem:{kind}"));
        assert_eq!((answer.status, &answer.body["type"]), (status, &kind), "{}", answer.body);
        let retry = if status == 503 { "1" } else { "" };
        assert_eq!(answer.header("retry-after"), retry);
        assert_eq!(count(&pool, "events").await, events, "nothing was appended");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_do_not_wait_for_a_read_model_that_nobody_keeps() {
    let config = Serve { visibility_timeout: BOUND_SECONDS, ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config.clone()).await;
    let pool = app.pool().await;
    app.client.register(80_000).await;
    // A newer version takes one read model over, and its workers are not there yet.
    execute(&pool, "update read_models.checkpoints set version = 99 where projection = 'loans'").await;
    execute(
        &pool,
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = 17235
           and database = (select oid from pg_database where datname = current_database())",
    )
    .await;
    eventually("its workers rest", async || leases(&pool).await == [24]).await;
    execute(
        &pool,
        "update read_models.workers set heartbeat_at = now() - interval '1 minute' where projection = 'loans'",
    )
    .await;

    let api = TestApp::start_with(Serve { roles: vec![Role::Api], ..config.clone() }).await;
    for client in [&app.client, &api.client] {
        for _ in 0..3 {
            let started = Instant::now();
            client.register(80_000).await;
            assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        }
    }
    let newcomer = api.client.register(80_000).await;
    let shown = api.client.get(&format!("/v1/customers/{newcomer}")).await;
    assert_eq!(shown.status, 200, "what is kept is waited for");
    let written = api.client.post("/register", &registration(80_000)).await;
    let asked = api.client.request(Method::GET, "/v1/customers");
    let asked = asked.header("Consistency-Token", written.header("consistency-token"));
    let asked = tokio::time::timeout(Duration::from_secs(2), api.client.send(asked)).await;
    assert!(asked.is_err(), "what was promised is waited for, whoever keeps it");

    // The workers come, and are waited for again.
    let version = Projection::Loans.version();
    execute(&pool, &format!("update read_models.checkpoints set version = {version} where projection = 'loans'")).await;
    let worker = TestApp::start_with(Serve { roles: vec![Role::Api, Role::Projector], ..config }).await;
    until_state(&worker.client, "loans", "live").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for app in [&app, &api, &worker] {
        write_and_look(&app.client).await;
    }
    for app in [worker, api, app] {
        app.stop().await;
    }
}
