//! The log: what a line says, and that all lines of a request are found by its id.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::service::{Service, says};
use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_with_its_time_in_the_databases_and_every_statement_under_its_id() {
    let config = TestApp::config(&[]).await;
    let service = Service::start(&config, "api,relay,projector", &[("RUST_LOG", "info,sqlx::query=debug")]).await;
    let client = service.client();
    let request = client.request(Method::POST, "/register").header("X-Request-Id", "monday-1");
    assert_eq!(client.send(request.json(&registration(50_000))).await.status, 201);

    let lines = eventually("the request is told", async || {
        let lines = service.lines_of("monday-1");
        lines.iter().any(|line| says(line, "request")).then_some(lines)
    })
    .await;
    let told = lines.iter().find(|line| says(line, "request")).unwrap();
    assert_eq!((&told["method"], &told["route"], &told["status"]), (&json!("POST"), &json!("/register"), &json!(201)));
    assert_eq!((&told["path"], &told["level"]), (&json!("/register"), &json!("INFO")));
    assert!(told["timestamp"].as_str().is_some_and(|at| at.len() == "2026-01-01T00:00:00.000000Z".len()), "{told:?}");
    let number = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("{name} in {told:?}"));
    assert!(number("database_ms") > 0.0 && number("database_ms") < number("elapsed_ms"), "{told:?}");

    let statements: Vec<_> = lines.iter().filter(|line| line["target"] == "sqlx::query").collect();
    assert_eq!(number("statements") as usize, statements.len(), "{lines:?}");
    let insert = statements.iter().find(|line| line["db.statement"].to_string().contains("insert into events"));
    assert!(insert.is_some_and(|line| line["db.statement"].to_string().contains("$1")), "{statements:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_statement_is_told_of_whatever_else_is_logged() {
    let config = TestApp::config(&[]).await;
    let variables = [("RUST_LOG", "warn"), ("SLOW_STATEMENT_MS", "200")];
    let service = Service::start(&config, "api,relay,projector", &variables).await;
    let pool = sqlx::PgPool::connect(config.store.database_url.as_ref().unwrap()).await.unwrap();
    let mut holding = pool.begin().await.unwrap();
    sqlx::query("lock table events in share mode").execute(&mut *holding).await.unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        holding.commit().await.unwrap();
    };
    let request = service.client().request(Method::POST, "/register").header("X-Request-Id", "slow-1");
    let register = service.client().send(request.json(&registration(50_000)));
    assert_eq!(tokio::join!(register, release).0.status, 201);

    let lines = service.lines_of("slow-1");
    let slow = lines.iter().find(|line| line["level"] == "WARN").unwrap_or_else(|| panic!("{lines:?}"));
    assert!(slow["message"].as_str().unwrap().contains("slow statement"), "{slow:?}");
    assert!(slow["elapsed_secs"].as_f64().unwrap() >= 0.2, "{slow:?}");
    assert!(slow["db.statement"].as_str().unwrap().contains("insert into events"), "{slow:?}");
    assert!(lines.iter().all(|line| !says(line, "request")), "only what is worth a warning");
}
