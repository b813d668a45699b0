//! Readiness while a process serves: what it needs and lacks, by name.

use credit_approval::config::{Lifecycle, Role, Serve};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use super::failing;
use crate::support::client::registration;
use crate::support::servers::servers;
use crate::support::sql::execute;
use crate::support::traffic::borrow;
use crate::support::wait::eventually;
use crate::support::{Answer, Client, TestApp};

/// Waits until exactly these checks fail; answers what is said then.
async fn until_failing(client: &Client, checks: &[&str]) -> Answer {
    eventually(&format!("what fails is {checks:?}"), async || {
        let ready = client.get("/health/ready").await;
        (failing(&ready).unwrap_or_default() == checks).then_some(ready)
    })
    .await
}

async fn assert_live_and_started(client: &Client) {
    for (what, status) in [("live", "live"), ("startup", "started")] {
        let answer = client.get(&format!("/health/{what}")).await;
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!(status)), "{}", answer.body);
    }
}

/// A service that answers requests and does nothing else.
async fn api_alone(config: Serve) -> TestApp {
    TestApp::start_with(Serve { roles: vec![Role::Api], ..config }).await
}

#[tokio::test]
async fn a_ready_process_says_what_it_has_looked_at() {
    let app = TestApp::start().await;
    let ready = app.client.get("/health/ready").await;
    assert_eq!(
        (ready.status, &ready.body),
        (200, &json!({"status": "ready", "checks": ["log", "read_models", "lag"]}))
    );
    assert_live_and_started(&app.client).await;
    app.stop().await;
}

#[tokio::test]
async fn a_schema_that_is_behind_is_named_and_one_that_is_ahead_is_fine() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    execute(&pool, "update _sqlx_migrations set version = -8 where version = 8").await;
    let ready = until_failing(&app.client, &["log"]).await;
    let message = ready.body["errors"][0]["message"].as_str().unwrap();
    assert_eq!(message, "lacks what migrations of this version make: 8");
    assert_live_and_started(&app.client).await;

    execute(&pool, "update _sqlx_migrations set version = 8 where version = -8").await;
    execute(
        &pool,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (1999, 'of the next version', true, '', 0)",
    )
    .await;
    until_failing(&app.client, &[]).await;
    app.stop().await;
}

#[tokio::test]
async fn a_read_model_that_is_not_filled_in_is_named() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    let config = app.config.clone();
    app.stop().await;
    execute(&pool, "update read_models.checkpoints set version = 1 where projection = 'loans'").await;

    let api = api_alone(config).await;
    let ready = until_failing(&api.client, &["read_models"]).await;
    let message = ready.body["errors"][0]["message"].as_str().unwrap();
    assert_eq!(message, "are being filled in for the first time: loans");
    let shown = api.client.get(&format!("/view-loan/{loan}")).await;
    assert_eq!(shown.status, 200, "what needs nothing of it is answered all the same");
    execute(&pool, "update read_models.checkpoints set version = 3 where projection = 'loans'").await;
    until_failing(&api.client, &[]).await;
    api.stop().await;
}

#[tokio::test]
async fn a_lag_beyond_the_bound_is_named_until_it_is_made_up_for() {
    let mut config = TestApp::config(&["--ready-max-lag", "1"]).await;
    config.visibility_timeout = 1;
    let api = api_alone(config.clone()).await;
    assert_eq!(failing(&api.client.get("/health/ready").await), None, "an empty log is no lag");
    let request = api.client.request(Method::POST, "/register").header("Prefer", "respond-async");
    assert_eq!(api.client.send(request.json(&registration(50_000))).await.status, 201);
    let ready = until_failing(&api.client, &["lag"]).await;
    let message = ready.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("of ") && message.ends_with(" seconds, more than 1"), "{message}");

    let unbounded = Serve { lifecycle: Lifecycle { ready_max_lag: 0, ..config.lifecycle.clone() }, ..config.clone() };
    let unbounded = api_alone(unbounded).await;
    let ready = unbounded.client.get("/health/ready").await;
    assert_eq!((ready.status, &ready.body["checks"]), (200, &json!(["log", "read_models"])), "0 looks at no lag");
    unbounded.stop().await;

    let worker = TestApp::start_with(Serve { roles: vec![Role::Api, Role::Projector], ..config }).await;
    until_failing(&api.client, &[]).await;
    worker.stop().await;
    api.stop().await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_named() {
    let mut config = TestApp::config(&[]).await;
    let read_models = servers().database().await;
    config.store.read_database_url = Some(read_models.clone());
    let api = api_alone(config).await;
    let ready = api.client.get("/health/ready").await;
    assert_eq!((ready.status, &ready.body["checks"]), (200, &json!(["log", "read_models", "lag"])));

    let pool = api.pool().await;
    let name: String = {
        let pool = PgPool::connect(&read_models).await.unwrap();
        sqlx::query_scalar("select current_database()::text").fetch_one(&pool).await.unwrap()
    };
    execute(&pool, &format!("drop database {name} with (force)")).await;
    let ready = until_failing(&api.client, &["read_models"]).await;
    assert_eq!(ready.body["errors"][0]["message"], "does not answer");
    assert_live_and_started(&api.client).await;
    api.stop().await;
}
