//! G3, once for a key: a request with an `Idempotency-Key` never takes effect twice, whoever sends it again, wherever
//! and however often; it is answered as the first time, and another request under its key is refused.

mod faults;
mod purge;

use std::time::{Duration, Instant};

use credit_approval::config::{Role, Serve};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::client::{application, registration};
use crate::support::problem::STILL_RUNNING;
use crate::support::sql::count;
use crate::support::{Answer, Client, TestApp};

const CONCURRENT: usize = 50;

fn keyed(client: &Client, key: &str, path: &str, body: &Value) -> RequestBuilder {
    client.request(Method::POST, path).header("Idempotency-Key", key).json(body)
}

async fn post(client: &Client, key: &str, path: &str, body: &Value) -> Answer {
    client.send(keyed(client, key, path, body)).await
}

fn is_replay(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

/// Asserts that `again` is what `first` was.
fn same(first: &Answer, again: &Answer) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for header in ["content-type", "consistency-token"] {
        assert!(!first.header(header).is_empty(), "{header}");
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
}

#[tokio::test]
async fn the_same_request_is_answered_as_the_first_time() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let person = registration(50_000);
    let registered = post(&app.client, "register", "/register", &person).await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    let customer_id = registered.body["customer_id"].as_i64().expect("an id");
    let asked = application(customer_id, 100_000, 14, 12);
    let lent = post(&app.client, "lend", "/create-loan", &asked).await;
    assert_eq!((lent.status, &lent.body["loan_approved"]), (201, &json!(true)), "{}", lent.body);
    let too_much = application(customer_id, 1_800_000, 14, 12);
    let declined = post(&app.client, "decline", "/create-loan", &too_much).await;
    assert_eq!((declined.status, &declined.body["loan_approved"]), (200, &json!(false)), "{}", declined.body);
    let events = count(&pool, "events").await;

    let requests = [
        ("register", "/register", &person, &registered),
        ("lend", "/create-loan", &asked, &lent),
        ("decline", "/create-loan", &too_much, &declined),
    ];
    for (key, path, body, first) in requests {
        assert!(!is_replay(first), "{key}");
        for path in [path.to_owned(), format!("{path}/")] {
            let again = post(&app.client, key, &path, body).await;
            assert!(is_replay(&again), "{key}: {}", again.body);
            same(first, &again);
        }
    }
    assert_eq!(count(&pool, "events").await, events, "nothing more has happened");
    app.stop().await;
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_bytes_in_any_instance_and_after_a_restart() {
    let app = TestApp::start().await;
    let person = registration(50_000);
    let text = async |client: &Client| {
        let response = keyed(client, "!\"key\"~", "/register", &person).send().await.expect("the service answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    };
    let first = text(&app.client).await;
    assert_eq!(first.0, 201, "{}", first.1);
    let other = app.another().await;
    assert_eq!(text(&other.client).await, first);
    other.stop().await;
    let config = app.config.clone();
    app.stop().await;
    let again = TestApp::start_with(config).await;
    assert_eq!(text(&again.client).await, first);
    assert_eq!(count(&again.pool().await, "events").await, 1);
    again.stop().await;
}

#[tokio::test]
async fn another_request_under_the_key_is_refused() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let person = registration(50_000);
    let first = post(&app.client, "k", "/register", &person).await;
    let asked = application(first.body["customer_id"].as_i64().expect("an id"), 1_000, 14, 12);
    let spaced = app.client.request(Method::POST, "/register").header("Idempotency-Key", "k");
    let others = [
        post(&app.client, "k", "/register", &registration(50_000)).await,
        post(&app.client, "k", "/create-loan", &asked).await,
        app.client.send(spaced.body(format!(" {person}"))).await,
    ];
    for other in &others {
        assert_eq!(other.status, 422, "{}", other.body);
        assert_eq!(other.body["type"], "urn:credit-approval:problem:idempotency-key-reused");
        assert_eq!(other.header("content-type"), "application/problem+json");
        assert_eq!(other.wrong_fields(), ["Idempotency-Key"]);
    }
    assert_eq!(count(&pool, "events").await, 1);
    same(&first, &post(&app.client, "k", "/register", &person).await);
    assert_eq!(post(&app.client, "K", "/create-loan", &asked).await.status, 201, "case makes it another key");
    app.stop().await;
}

#[tokio::test]
async fn a_malformed_key_is_named_and_has_no_effect() {
    let app = TestApp::start().await;
    let too_long = "k".repeat(256);
    for bad in [&b""[..], b"two words", b"tab\there", b"caf\xc3\xa9", b"\xff", too_long.as_bytes()] {
        for path in ["/register", "/create-loan"] {
            let request = app.client.request(Method::POST, path).header("Idempotency-Key", bad);
            let answer = app.client.send(request.json(&registration(50_000))).await;
            assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["Idempotency-Key"]), "{bad:?}");
        }
    }
    let twice = keyed(&app.client, "one", "/register", &registration(50_000)).header("Idempotency-Key", "other");
    let twice = app.client.send(twice).await;
    assert_eq!((twice.status, twice.wrong_fields()), (400, vec!["Idempotency-Key"]));
    assert_eq!(count(&app.pool().await, "events").await, 0);
    let longest = post(&app.client, &"k".repeat(255), "/register", &registration(50_000)).await;
    assert_eq!(longest.status, 201, "{}", longest.body);
    app.stop().await;
}

/// Asserts that one of the answers is the first, and that every other is the same again or says that the first is
/// still on its way.
fn one_effect(answers: &[Answer]) {
    let (running, answered): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 409);
    for answer in running {
        assert_eq!(answer.body["type"], STILL_RUNNING, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "1");
    }
    let firsts: Vec<_> = answered.iter().filter(|answer| !is_replay(answer)).collect();
    assert_eq!(firsts.len(), 1, "{answers:?}");
    for answer in &answered {
        same(firsts[0], answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_under_one_key_take_effect_once() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let pool = app.pool().await;
    let customer_id = app.client.register(50_000).await;
    let requests = [
        ("register", "/register", registration(50_000), 1),
        ("lend", "/create-loan", application(customer_id, 1_000, 14, 12), 2),
        ("decline", "/create-loan", application(customer_id, 1_800_000, 14, 12), 1),
        ("use it up", "/create-loan", application(customer_id, 1_799_000, 14, 480), 2),
    ];
    for (key, path, body, events) in requests {
        let key = key.replace(' ', "-");
        let before = count(&pool, "events").await;
        let clients = [&app.client, &other.client];
        let posts = (0..CONCURRENT).map(|number| post(clients[number % 2], &key, path, &body));
        one_effect(&join_all(posts).await);
        assert_eq!(count(&pool, "events").await - before, events, "{key}");
    }
    other.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_judged_anew() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let nobody = post(&app.client, "k", "/create-loan", &application(4_711, 1_000, 14, 12)).await;
    assert_eq!(nobody.status, 404, "{}", nobody.body);
    let person = registration(50_000);
    let first = app.client.post("/register", &person).await;
    assert_eq!(first.status, 201, "{}", first.body);
    for _ in 0..2 {
        let taken = post(&app.client, "k", "/register", &person).await;
        assert_eq!((taken.status, taken.wrong_fields()), (409, vec!["phone_number"]));
    }
    let invalid = post(&app.client, "k", "/register", &json!({})).await;
    assert_eq!(invalid.status, 400, "{}", invalid.body);
    assert_eq!(count(&pool, "idempotency_keys").await, 0);
    let other = post(&app.client, "k", "/register", &registration(50_000)).await;
    assert_eq!((other.status, is_replay(&other)), (201, false), "{}", other.body);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_taken_again_keeps_its_key() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let customer_id = app.client.register(50_000).await;
    let bodies: Vec<_> = (1..=32).map(|amount| application(customer_id, amount * 1_000, 14, 12)).collect();
    let clients = [&app.client, &other.client];
    let keys: Vec<_> = (0..bodies.len()).map(|number| format!("loan-{number}")).collect();
    let decide = |number: usize, client| post(client, &keys[number], "/create-loan", &bodies[number]);
    let first = join_all((0..bodies.len()).map(|number| decide(number, clients[number % 2]))).await;
    for (number, first) in first.iter().enumerate() {
        assert!(matches!(first.status, 200 | 201) && !is_replay(first), "{}", first.body);
        let again = decide(number, clients[(number + 1) % 2]).await;
        assert!(is_replay(&again), "{}", again.body);
        same(first, &again);
    }
    let pool = app.pool().await;
    assert_eq!(count(&pool, "events where aggregate_type = 'customer'").await, 1 + 32);
    other.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_sent_again_waits_like_the_first() {
    let config = Serve { visibility_timeout: 1, roles: vec![Role::Api], ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config).await;
    let person = registration(50_000);
    let request = || keyed(&app.client, "k", "/register", &person);
    let first = app.client.send(request().header("Prefer", "respond-async")).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let started = Instant::now();
    same(&first, &app.client.send(request()).await);
    assert!(started.elapsed() >= Duration::from_secs(1), "nothing moves the read models, so it took all its time");
    let again = app.client.send(request().header("Prefer", "respond-async")).await;
    assert!(is_replay(&again), "{}", again.body);
    same(&first, &again);
    app.stop().await;
}
