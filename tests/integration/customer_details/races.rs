//! Changes at the same time, and changes that are sent again.

use futures::future::{join, join_all};
use serde_json::json;

use super::{a_customer, a_phone_number, assert_changed, income, phone};
use crate::support::changes::{Change, assert_problem};
use crate::support::problem::STILL_RUNNING;
use crate::support::sql::count;
use crate::support::verified::assert_verified;
use crate::support::{Answer, TestApp};

const ROUNDS: u64 = 20;
const CONCURRENT: usize = 30;

/// Asserts that of all answers one is the first, and each other the same again or that the first is on its way.
fn one_effect(answers: &[Answer]) -> &Answer {
    let is_replay = |answer: &&Answer| answer.header("idempotency-replayed") == "true";
    let (running, done): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 409);
    assert!(running.iter().all(|answer| answer.body["type"] == STILL_RUNNING), "{answers:?}");
    let first = done.iter().find(|answer| !is_replay(answer)).expect("one is the first");
    assert_eq!(done.iter().filter(|answer| !is_replay(answer)).count(), 1, "{answers:?}");
    for answer in &done {
        same(first, answer);
    }
    first
}

fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    for header in ["etag", "consistency-token", "content-type"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_one_revision_one_takes_effect() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let (customer, _) = a_customer(&app.client).await;
    for round in 1..=ROUNDS {
        let tag = format!("\"{round}\"");
        let (one, another) = (income(customer, 50_000 + round), income(customer, 60_000 + round));
        // In one process and in two.
        let client = if round % 2 == 0 { &app.client } else { &other.client };
        let (one, another) = (one.at(&tag), another.at(&tag));
        let (one, another) = join(one.send(&app.client), another.send(client)).await;
        let (won, lost) = if one.status == 200 { (one, another) } else { (another, one) };
        let next = format!("\"{}\"", round + 1);
        assert_changed(&won, &next);
        assert_problem(&lost, 412, "precondition-failed", "If-Match");
        assert_eq!(lost.header("etag"), next);
    }
    let pool = app.pool().await;
    assert_eq!(count(&pool, "events").await, 1 + i64::try_from(ROUNDS).unwrap());
    assert_verified(&pool).await;
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_number_is_taken_by_one() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let clients = [&app.client, &other.client];
    let mut customers = Vec::new();
    for _ in 0..CONCURRENT {
        customers.push(a_customer(&app.client).await.0);
    }
    let number = a_phone_number();
    let changes: Vec<_> = customers.iter().map(|customer| phone(*customer, &number).at("\"1\"")).collect();
    let answers =
        join_all(changes.iter().zip(clients.iter().cycle()).map(|(change, client)| change.send(client))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "{answers:?}");
    for answer in lost {
        assert_problem(answer, 409, "phone-number-taken", "phone_number");
    }
    let pool = app.pool().await;
    assert_eq!(count(&pool, "phone_numbers").await, i64::try_from(CONCURRENT).unwrap());
    assert_eq!(count(&pool, "events where event_type = 'PhoneNumberChanged'").await, 1);
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_takes_no_number_from_itself() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let (customer, _) = a_customer(&app.client).await;
    for _ in 0..ROUNDS {
        let change = phone(customer, &a_phone_number()).at("*");
        let answers = join(change.send(&app.client), change.send(&other.client)).await;
        assert_eq!((answers.0.status, answers.1.status), (200, 200), "{answers:?}");
    }
    let pool = app.pool().await;
    assert_eq!(count(&pool, "events").await, 1 + i64::try_from(ROUNDS).unwrap());
    assert_eq!(count(&pool, "phone_numbers").await, 1);
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_who_want_each_others_numbers_wait_for_nobody() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let ((a, numbers_of_a), (b, numbers_of_b)) = (a_customer(&app.client).await, a_customer(&app.client).await);
    for _ in 0..3 {
        let (one, another) = (phone(a, &numbers_of_b).at("*"), phone(b, &numbers_of_a).at("*"));
        let (one, another) = join(one.send(&app.client), another.send(&other.client)).await;
        assert_problem(&one, 409, "phone-number-taken", "phone_number");
        assert_problem(&another, 409, "phone-number-taken", "phone_number");
    }
    assert_eq!(count(&app.pool().await, "events").await, 2);
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_under_a_key_is_made_once_and_answered_as_the_first_time() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let pool = app.pool().await;
    let (customer, _) = a_customer(&app.client).await;
    let change = Change::of_customer(customer, json!({ "monthly_income": 60_000, "phone_number": a_phone_number() }));
    let change = change.at("\"1\"").once("change");
    let clients = [&app.client, &other.client];
    let answers = join_all((0..CONCURRENT).map(|number| change.send(clients[number % 2]))).await;
    let first = one_effect(&answers).clone();
    assert_changed(&first, "\"3\"");
    assert_eq!(count(&pool, "events").await, 3);

    // The revision has moved since, and the tag is stale: it is the first answer all the same, with its tag.
    assert_changed(&income(customer, 70_000).at("\"3\"").send(&app.client).await, "\"4\"");
    same(&first, &change.send(&other.client).await);
    same(&first, &change.clone().at("\"4\"").send(&app.client).await);
    let other_body = income(customer, 80_000).at("\"4\"").once("change").send(&app.client).await;
    assert_problem(&other_body, 422, "idempotency-key-reused", "Idempotency-Key");
    other.stop().await;
    let config = app.config.clone();
    app.stop().await;

    let again = TestApp::start_with(config).await;
    let replayed = change.send(&again.client).await;
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    same(&first, &replayed);
    assert_eq!(count(&pool, "events").await, 4);
    // What was refused is judged anew.
    let stale = income(customer, 90_000).at("\"1\"").once("late");
    assert_problem(&stale.send(&again.client).await, 412, "precondition-failed", "If-Match");
    assert_changed(&stale.at("\"4\"").send(&again.client).await, "\"5\"");
    assert_verified(&pool).await;
    again.stop().await;
}
