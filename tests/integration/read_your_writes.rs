//! G6, read your writes: whoever was answered sees it in the next query, and whoever was handed the token sees it
//! through any instance of the service. Waiting is bounded, and its end is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use credit_approval::config::{Role, Serve};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::client::{application, registration};
use crate::support::{Answer, Client, TestApp};

const CLIENTS: usize = 16;
/// One try in so many also borrows.
const BORROWS_EVERY: usize = 5;
/// Far beyond every bound that the service knows: an answer after this long did not come from a bounded wait.
const NEVER: Duration = Duration::from_secs(30);

/// Registers, and at once looks from every side.
async fn writes_and_reads(client: &Client, borrows: bool) {
    let person = registration(50_000);
    let registered = client.post("/register", &person).await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    let customer_id = registered.body["customer_id"].as_i64().expect("an id");
    let loans = client.get(&format!("/view-loans/{customer_id}")).await;
    assert_eq!((loans.status, loans.body), (200, json!([])), "customer {customer_id} is there");
    let asked = application(customer_id, 100_000, 12, 12);
    let eligibility = client.post("/check-eligibility", &asked).await;
    assert_eq!((eligibility.status, &eligibility.body["approval"]), (200, &json!(true)), "{}", eligibility.body);
    if !borrows {
        return;
    }
    let lent = client.post("/create-loan", &asked).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    let loan = client.get(&format!("/view-loan/{}", lent.body["loan_id"])).await;
    assert_eq!((loan.status, &loan.body["customer"]["id"]), (200, &json!(customer_id)), "{}", loan.body);
    assert_eq!(loan.body["customer"]["phone_number"], person["phone_number"]);
    let loans = client.get(&format!("/view-loans/{customer_id}")).await;
    assert_eq!(loans.body[0]["loan_id"], lent.body["loan_id"], "{}", loans.body);
    let eligibility = client.post("/check-eligibility", &asked).await;
    assert_ne!(eligibility.body["credit_score"], 50, "the score knows of the loan: {}", eligibility.body);
}

async fn many_clients(app: &TestApp, tries: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, next) = (app.client.clone(), Arc::clone(&next));
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tries {
                    return;
                }
                writes_and_reads(&client, number.is_multiple_of(BORROWS_EVERY)).await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every try saw what it had written");
    }
    let pool = app.pool().await;
    let seen: i64 = sqlx::query_scalar("select count(*) from read_models.customers").fetch_one(&pool).await.unwrap();
    assert_eq!(seen, i64::try_from(tries).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_sees_its_own_writes_every_time() {
    let app = TestApp::start().await;
    many_clients(&app, 2_000).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_too() {
    let app = TestApp::without_nats().await;
    assert!(app.config.nats_url.is_none());
    many_clients(&app, 400).await;
    app.stop().await;
}

/// A registration that does not wait for the read models.
async fn register_async(client: &Client) -> (i64, Answer) {
    let request = client.request(Method::POST, "/register").header("Prefer", "respond-async");
    let answer = client.send(request.json(&registration(50_000))).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    (answer.body["customer_id"].as_i64().expect("an id"), answer)
}

async fn view_loans(client: &Client, customer_id: i64, token: &str) -> Answer {
    let request = client.request(Method::GET, &format!("/view-loans/{customer_id}"));
    client.send(request.header("Consistency-Token", token)).await
}

/// One instance writes and does not wait; another one is asked with the token, by every query that there is.
async fn sees_through(writer: &TestApp, reader: &TestApp) {
    for _ in 0..40 {
        let (customer_id, registered) = register_async(&writer.client).await;
        let token = registered.header("consistency-token");
        let loans = view_loans(&reader.client, customer_id, token).await;
        assert_eq!((loans.status, loans.body), (200, json!([])), "with {token}");

        let asked = application(customer_id, 100_000, 12, 12);
        let request = writer.client.request(Method::POST, "/create-loan").header("Prefer", "wait=1, Respond-Async");
        let lent = writer.client.send(request.json(&asked)).await;
        let token = lent.header("consistency-token");
        let path = format!("/view-loan/{}", lent.body["loan_id"]);
        let loan = reader.client.request(Method::GET, &path).header("Consistency-Token", token);
        let loan = reader.client.send(loan).await;
        assert_eq!((loan.status, &loan.body["customer"]["id"]), (200, &json!(customer_id)), "with {token}");
        let eligibility = reader.client.request(Method::POST, "/check-eligibility").header("Consistency-Token", token);
        let eligibility = reader.client.send(eligibility.json(&asked)).await;
        assert_ne!(eligibility.body["credit_score"], 50, "with {token}: {}", eligibility.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_holds_in_every_instance() {
    let one = TestApp::start().await;
    let other = one.another().await;
    sees_through(&one, &one).await;
    sees_through(&one, &other).await;
    sees_through(&other, &one).await;
    other.stop().await;
    sees_through(&one, &one).await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_workers_waits_for_those_of_another() {
    let worker = TestApp::start().await;
    let api = TestApp::start_with(Serve { roles: vec![Role::Api], ..worker.config.clone() }).await;
    for number in 0..20 {
        writes_and_reads(&api.client, number % 2 == 0).await;
    }
    sees_through(&api, &worker).await;
    sees_through(&worker, &api).await;
    api.stop().await;
    worker.stop().await;
}

/// The token with another position: one that the log will not reach.
fn far_future(token: &str) -> String {
    let (place, _) = token.rsplit_once('.').expect("a token ends in a position");
    format!("{place}.{}", i64::MAX)
}

fn says_not_yet(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.body["type"], "urn:credit-approval:problem:not-yet-visible");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let retry_after: u32 = answer.header("retry-after").parse().expect("Retry-After is a number of seconds");
    assert!(retry_after >= 1);
}

#[tokio::test]
async fn a_token_from_the_far_future_is_answered_in_time() {
    let config = Serve { visibility_timeout: 1, ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config).await;
    let registered = app.client.post("/register", &registration(50_000)).await;
    let customer_id = registered.body["customer_id"].as_i64().expect("an id");
    let token = registered.header("consistency-token");
    let started = Instant::now();
    says_not_yet(&view_loans(&app.client, customer_id, &far_future(token)).await);
    let request = app.client.request(Method::POST, "/check-eligibility").header("Consistency-Token", far_future(token));
    says_not_yet(&app.client.send(request.json(&application(customer_id, 1, 12, 12))).await);
    assert!(started.elapsed() >= Duration::from_secs(2), "each was given its second");
    assert!(started.elapsed() < NEVER, "{:?}", started.elapsed());
    assert_eq!(view_loans(&app.client, customer_id, token).await.status, 200, "its own token still works");
    app.stop().await;
}

#[tokio::test]
async fn a_write_is_answered_though_no_worker_runs_and_seen_once_one_does() {
    let config = Serve { visibility_timeout: 1, ..TestApp::config(&[]).await };
    let api = TestApp::start_with(Serve { roles: vec![Role::Api], ..config.clone() }).await;
    let waited = Instant::now();
    let registered = api.client.post("/register", &registration(50_000)).await;
    assert_eq!(registered.status, 201, "what is committed is answered so: {}", registered.body);
    assert!((Duration::from_secs(1)..NEVER).contains(&waited.elapsed()), "{:?}", waited.elapsed());
    let customer_id = registered.body["customer_id"].as_i64().expect("an id");
    let token = registered.header("consistency-token");
    says_not_yet(&view_loans(&api.client, customer_id, token).await);
    assert_eq!(api.client.get(&format!("/view-loans/{customer_id}")).await.status, 404, "without a token nobody waits");

    let patient = TestApp::start_with(Serve { visibility_timeout: 30, ..config }).await;
    for app in [&patient, &api] {
        assert_eq!(view_loans(&app.client, customer_id, token).await.status, 200);
    }
    api.stop().await;
    patient.stop().await;
}

#[tokio::test]
async fn respond_async_does_not_wait() {
    let config = Serve { visibility_timeout: 30, roles: vec![Role::Api], ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config).await;
    let started = Instant::now();
    let (_, answer) = register_async(&app.client).await;
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "nothing moves the read models, so waiting would take all of it"
    );
    assert!(!answer.header("consistency-token").is_empty());
    app.stop().await;
}
