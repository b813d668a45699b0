//! What is recorded of callers: in the events that they led to, and under their idempotency keys.

use std::collections::HashSet;

use credit_approval::access::Role;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use super::keys::{keys, text};
use super::with_roles;
use crate::import::Scratch;
use crate::support::client::registration;
use crate::support::wait::eventually;
use crate::support::{Answer, Client, TestApp};

/// The names of the callers in the log, in its order.
async fn callers(app: &TestApp) -> Vec<Option<String>> {
    let pool = app.pool().await;
    let callers = sqlx::query_scalar("select metadata ->> 'caller' from events order by position");
    callers.fetch_all(&pool).await.unwrap()
}

async fn keyed(client: &Client, body: &serde_json::Value) -> Answer {
    let request = client.request(Method::POST, "/register").header("Idempotency-Key", "order-17");
    client.send(request.json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_say_who_led_to_them() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let shop = with_roles(&app, &pool, &[Role::Channel]).await;
    let customer = shop.register(50_000).await;
    app.client.anonymous().register(50_000).await;
    let shop_id: String =
        sqlx::query_scalar("select id from api_keys where name = 'a test''s'").fetch_one(&pool).await.unwrap();
    assert_eq!(callers(&app).await, [Some(format!("key:{shop_id}")), Some("anonymous".to_owned())]);
    let history = app.client.get(&format!("/v1/customers/{customer}/history")).await;
    assert_eq!(history.body["items"][0]["metadata"]["caller"], format!("key:{shop_id}"), "auditors see it");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_its_uploaders() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let operator = with_roles(&app, &pool, &[Role::Operator]).await;
    let people = std::fs::read(Scratch::new().generated(5, 0).customers).unwrap();
    let form = Form::new().part("customers", Part::bytes(people).file_name("customers.xlsx"));
    let uploaded = operator.send(operator.request(Method::POST, "/v1/imports").multipart(form)).await;
    assert_eq!(uploaded.status, 202, "{}", uploaded.body);
    let import = format!("/v1/imports/{}", uploaded.body["id"]);
    eventually("it is done", async || operator.get(&import).await.body["state"] == "done").await;
    let id: String =
        sqlx::query_scalar("select id from api_keys where name = 'a test''s'").fetch_one(&pool).await.unwrap();
    let callers = callers(&app).await;
    assert!(!callers.is_empty() && callers.iter().all(|caller| *caller == Some(format!("key:{id}"))), "{callers:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_of_two_callers_is_two_keys() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (one, other) = (with_roles(&app, &pool, &[Role::Channel]).await, app.client.clone());
    let nobody = app.client.anonymous();
    let mut customers = Vec::new();
    for client in [&nobody, &one, &other] {
        let body = registration(50_000);
        let first = keyed(client, &body).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""), "{}", first.body);
        let again = keyed(client, &body).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
        assert_eq!(again.body, first.body, "each has its own answer");
        assert_eq!(keyed(client, &registration(60_000)).await.status, 422, "and a key for one request");
        customers.push(first.body["customer_id"].as_i64().unwrap());
    }
    assert_eq!(customers.into_iter().collect::<HashSet<_>>().len(), 3);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_replaces_another_is_the_same_caller() {
    let app = TestApp::start().await;
    let made = keys(&app.config, &["create", "--name", "shop", "--role", "channel"]).await;
    let body = registration(50_000);
    let first = keyed(&app.client.showing(text(&made, "key")), &body).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let mut last = made;
    for _ in 0..2 {
        last = keys(&app.config, &["rotate", text(&last, "id")]).await;
        let again = keyed(&app.client.showing(text(&last, "key")), &body).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{}", again.body);
        assert_eq!(again.body, first.body);
    }
    let newest = app.client.showing(text(&last, "key"));
    newest.register(50_000).await;
    let named = callers(&app).await.pop().flatten();
    assert_eq!(named, Some(format!("key:{}", text(&last, "id"))), "the log has the very key");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_callers_were_told_apart_is_answered_again() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let body = registration(50_000);
    let nobody = app.client.anonymous();
    let first = keyed(&nobody, &body).await;
    assert_eq!(first.status, 201, "{}", first.body);
    // As an earlier version leaves it.
    sqlx::query("update idempotency_keys set caller = null").execute(&pool).await.unwrap();
    for client in [&app.client, &nobody] {
        let again = keyed(client, &body).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{}", again.body);
        assert_eq!(again.body, first.body);
        assert_eq!(keyed(client, &json!({})).await.status, 400);
        assert_eq!(keyed(client, &registration(60_000)).await.status, 422);
    }
    let events: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(&pool).await.unwrap();
    assert_eq!(events, 1);
    app.stop().await;
}
