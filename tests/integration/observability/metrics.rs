//! What is counted: of requests, commands, decisions, relaying and applying.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::client::{application, registration};
use crate::support::metrics::samples;
use crate::support::sql::execute;
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

/// The sample of a series; 0 where there is none yet, as for Prometheus's `increase`.
fn sample(samples: &BTreeMap<String, f64>, series: &str) -> f64 {
    samples.get(&format!("credit_approval_{series}")).copied().unwrap_or(0.0)
}

async fn traffic(client: &Client) {
    let customer = client.register(50_000).await;
    let taken = registration(50_000);
    assert_eq!(client.post("/register", &taken).await.status, 201);
    let again = json!({"phone_number": taken["phone_number"], "first_name": "A", "last_name": "B", "age": 30,
                       "monthly_income": 1});
    assert_eq!(client.post("/register", &again).await.status, 409);
    assert_eq!(client.post("/register", &json!({})).await.status, 400);
    for _ in 0..2 {
        let request = client.request(Method::POST, "/create-loan").header("Idempotency-Key", "loan-1");
        let loan = client.send(request.json(&application(customer, 100_000, 12, 12))).await;
        assert!(loan.body["loan_id"].is_i64(), "{}", loan.body);
    }
    let declined = client.post("/create-loan", &application(customer, 90_000_000, 12, 12)).await;
    assert_eq!(declined.body["loan_approved"], false, "{}", declined.body);
    assert_eq!(client.post("/create-loan", &application(999_999, 100_000, 12, 12)).await.status, 404);
    assert_eq!(client.get(&format!("/view-loans/{customer}")).await.status, 200);
    for path in ["/nowhere", "/no/where/else"] {
        assert_eq!(client.get(path).await.status, 404);
    }
    let brew = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(client.send(client.request(brew, "/register")).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_commands_and_decisions_are_counted() {
    let app = TestApp::start().await;
    traffic(&app.client).await;
    let samples = samples(&app.client).await;
    let expected = [
        (r#"http_requests_total{method="POST",route="/register",status="201"}"#, 2.0),
        (r#"http_requests_total{method="POST",route="/register",status="409"}"#, 1.0),
        (r#"http_requests_total{method="POST",route="/register",status="400"}"#, 1.0),
        (r#"http_requests_total{method="GET",route="/view-loans/{customer_id}",status="200"}"#, 1.0),
        (r#"http_requests_total{method="GET",route="none",status="404"}"#, 2.0),
        (r#"http_request_duration_seconds_count{method="POST",route="/register"}"#, 4.0),
        (r#"http_problems_total{kind="phone-number-taken"}"#, 1.0),
        (r#"http_problems_total{kind="invalid-request"}"#, 1.0),
        (r#"http_problems_total{kind="no-such-route"}"#, 2.0),
        (r#"commands_total{command="register",outcome="done"}"#, 2.0),
        (r#"commands_total{command="register",outcome="refused"}"#, 1.0),
        (r#"commands_total{command="apply_for_loan",outcome="done"}"#, 2.0),
        (r#"commands_total{command="apply_for_loan",outcome="replayed"}"#, 1.0),
        (r#"commands_total{command="apply_for_loan",outcome="refused"}"#, 1.0),
        (r#"commands_total{command="write_off",outcome="done"}"#, 0.0),
        (r#"command_refusals_total{command="register",reason="phone_number_taken"}"#, 1.0),
        (r#"command_refusals_total{command="apply_for_loan",reason="no_such_customer"}"#, 1.0),
        (r#"command_duration_seconds_count{command="register"}"#, 3.0),
        (r#"loan_decisions_total{outcome="approved"}"#, 1.0),
        (r#"loan_decisions_total{outcome="declined"}"#, 1.0),
        (r#"loan_decision_reasons_total{reason="within_policy"}"#, 1.0),
        (r#"loan_decision_reasons_total{reason="limit_exceeded"}"#, 1.0),
        ("append_duration_seconds_count", 4.0),
        ("append_conflicts_total", 0.0),
        // The one that asks.
        ("http_requests_in_flight", 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(sample(&samples, series), value, "{series}: {samples:#?}");
    }
    let brewed: Vec<_> = samples.keys().filter(|series| series.contains("BREW")).collect();
    assert!(brewed.is_empty(), "nobody makes up a series: {brewed:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_concurrent_commands_are_counted() {
    let (one, customer) = (TestApp::start().await, 1);
    let other = one.another().await;
    assert_eq!(one.client.register(90_000).await, customer);
    let conflicts = async || {
        let (one, other) = (samples(&one.client).await, samples(&other.client).await);
        sample(&one, "append_conflicts_total") + sample(&other, "append_conflicts_total")
    };
    eventually("two processes meet", async || {
        let apply = |client: &Client| {
            let (client, body) = (client.clone(), application(customer, 1_000, 20, 12));
            async move { client.post("/create-loan", &body).await }
        };
        let (here, there) = tokio::join!(apply(&one.client), apply(&other.client));
        assert!(here.status < 300 && there.status < 300, "{here:?} {there:?}");
        conflicts().await > 0.0
    })
    .await;
    other.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relaying_and_applying_are_counted() {
    let app = TestApp::start().await;
    eventually("the relay works", async || {
        app.config.nats_url.is_none() || sample(&samples(&app.client).await, "relay_working") == 1.0
    })
    .await;
    for _ in 0..3 {
        app.client.register(50_000).await;
    }
    let samples = eventually("the stream holds all of it", async || {
        let samples = samples(&app.client).await;
        let relayed = sample(&samples, "relay_published_events_total") == 3.0;
        (relayed || app.config.nats_url.is_none()).then_some(samples)
    })
    .await;
    for projection in ["customers", "loans", "credit_profiles", "decisions"] {
        let applied = format!(r#"projection_applied_events_total{{projection="{projection}"}}"#);
        assert_eq!(sample(&samples, &applied), 3.0, "{samples:#?}");
        let delayed = format!(r#"projection_delay_seconds_count{{projection="{projection}"}}"#);
        assert_eq!(sample(&samples, &delayed), 3.0, "{samples:#?}");
    }
    assert_eq!(sample(&samples, r#"projection_rebuild_working{projection="loans"}"#), 0.0);
    assert!(samples.contains_key("credit_approval_projection_rebuild_failed{projection=\"loans\"}"));
    if app.config.nats_url.is_some() {
        let told = ["nats_connected", "relay_working", "relay_lag_events", "relay_delay_seconds_count"];
        assert_eq!(told.map(|series| sample(&samples, series)), [1.0, 1.0, 0.0, 3.0], "{samples:#?}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_the_relay_is_seen_from_a_process_without_one() {
    let mut config = TestApp::config(&["--roles", "api,projector"]).await;
    if config.nats_url.is_none() {
        return;
    }
    let api = TestApp::start_with(config.clone()).await;
    config.roles = vec![credit_approval::config::Role::Relay];
    let relay = start_without_api(&config).await;
    api.client.register(50_000).await;
    eventually("the stream has caught up", async || {
        let samples = samples(&api.client).await;
        samples.get("credit_approval_relay_lag_events") == Some(&0.0)
    })
    .await;
    relay.stop().await;
    for _ in 0..5 {
        api.client.register(50_000).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let samples = samples(&api.client).await;
    assert_eq!(sample(&samples, "relay_lag_events"), 5.0, "{samples:#?}");
    assert!(sample(&samples, "relay_lag_seconds") >= 0.05, "{samples:#?}");
    assert!(!samples.contains_key("credit_approval_relay_working"), "there is none here");
    api.stop().await;
}

async fn start_without_api(config: &credit_approval::config::Serve) -> credit_approval::app::App {
    use credit_approval::app::{App, Prepared};
    use credit_approval::servers::Servers;
    let servers = Servers::for_serving(&config.store, config.nats_url.as_deref()).await.expect("URLs are named");
    let prepared = Prepared::new(config).await.expect("there is no port to take");
    App::start(config, prepared, &servers).await.expect("the service starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_databases_a_process_still_tells_of_itself() {
    let app = TestApp::without_nats().await;
    app.client.register(50_000).await;
    let url = app.config.store.database_url.as_ref().unwrap();
    let name = url.split_once("/test_").map(|(_, rest)| format!("test_{}", rest.split('?').next().unwrap())).unwrap();
    let mut others = PgConnection::connect(&url.replace(&format!("/{name}"), "/credit_approval")).await.unwrap();
    let away = format!("alter database {name} with allow_connections false");
    sqlx::query(&away).execute(&mut others).await.unwrap();
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    sqlx::query(&end).execute(&mut others).await.unwrap();
    let samples = samples(&app.client).await;
    assert_eq!(sample(&samples, "databases_answer"), 0.0, "{samples:#?}");
    assert_eq!(sample(&samples, r#"commands_total{command="register",outcome="done"}"#), 1.0);
    assert!(!samples.contains_key("credit_approval_log_head_position"));
    let back = format!("alter database {name} with allow_connections true");
    sqlx::query(&back).execute(&mut others).await.unwrap();
    let pool = app.pool().await;
    execute(&pool, "select 1").await;
    eventually("it tells how things stand", async || {
        let samples = crate::support::metrics::samples(&app.client).await;
        samples["credit_approval_databases_answer"] == 1.0 && samples["credit_approval_log_head_position"] >= 1.0
    })
    .await;
    app.stop().await;
}
