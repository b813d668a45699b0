//! What auditors and downstream systems read: histories of customers and loans, and the log itself, of which nobody who
//! reads on ever misses an event.

use std::collections::BTreeSet;

use chrono::{Days, Months};
use credit_approval::commands::BusinessCalendar;
use credit_approval::store::settled::mark;
use serde_json::{Value, json};

use crate::support::changes::{Change, carry_over};
use crate::support::client::{application, registration};
use crate::support::log::{append, hold_the_log};
use crate::support::traffic::{Traffic, traffic};
use crate::support::wait::eventually;
use crate::support::{Answer, Client, TestApp};

async fn read(client: &Client, path: &str) -> Answer {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

fn items(answer: &Answer) -> &[Value] {
    answer.body["items"].as_array().expect("items")
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

fn positions(answer: &Answer) -> Vec<i64> {
    items(answer).iter().map(|event| event["position"].as_i64().expect("a position")).collect()
}

async fn changed(client: &Client, change: Change) -> Answer {
    let answer = change.send(client).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    answer
}

/// A customer to whom everything has happened; answers it, a loan that was settled early after a reversal, and one
/// that was taken over, partly repaid and written off.
async fn an_eventful_customer(app: &TestApp) -> (i64, i64, i64) {
    let client = &app.client;
    let customer = client.register(50_000).await;
    let details = json!({ "monthly_income": 90_000, "phone_number": registration(1)["phone_number"] });
    changed(client, Change::of_customer(customer, details).at("\"1\"")).await;
    let lent = client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    let declined = client.post("/create-loan", &application(customer, 9_999_999_999, 14, 24)).await;
    assert_eq!((declined.status, &declined.body["loan_approved"]), (200, &json!(false)));
    let loan = lent.body["loan_id"].as_i64().unwrap();
    let repaid = changed(client, Change::of_loan(loan, "repayments", json!({ "amount": 5_000 }))).await;
    let reversal = format!("repayments/{}/reversal", repaid.body["repayment_id"]);
    changed(client, Change::of_loan(loan, &reversal, json!({ "reason": "posted twice" }))).await;
    let amount = read(client, &format!("/v1/loans/{loan}")).await.body["settlement"]["amount"].clone();
    changed(client, Change::of_loan(loan, "settlement", json!({ "amount": amount }))).await;

    let today = BusinessCalendar(app.config.store.business_utc_offset).today();
    let old = carry_over(app, customer, today - Days::new(3) - Months::new(5)).await;
    eventually("it is there", async || client.get(&format!("/v1/loans/{old}")).await.status == 200).await;
    changed(client, Change::of_loan(old, "write-off", json!({ "reason": "gone away" }))).await;
    (customer, loan, old)
}

#[tokio::test]
async fn a_history_tells_everything_that_happened_in_order() {
    let app = TestApp::without_nats().await;
    let (customer, loan, old) = an_eventful_customer(&app).await;
    let history = read(&app.client, &format!("/v1/customers/{customer}/history")).await;
    let expected = [
        "CustomerRegistered",
        "MonthlyIncomeChanged",
        "PhoneNumberChanged",
        "LoanApproved",
        "LoanDeclined",
        "RepaymentRecorded",
        "RepaymentReversalRecorded",
        "RepaymentRecorded",
        "LoanCarriedOver",
        "LoanWriteOffRecorded",
    ];
    assert_eq!(types(items(&history)), expected);
    let of_loan = read(&app.client, &format!("/v1/loans/{loan}/history")).await;
    let expected = ["LoanOpened", "RepaymentReceived", "RepaymentReversed", "LoanSettledEarly"];
    assert_eq!(types(items(&of_loan)), expected);
    let of_old = read(&app.client, &format!("/v1/loans/{old}/history")).await;
    assert_eq!(types(items(&of_old)), ["LoanImported", "LoanWrittenOff"]);

    for answer in [&history, &of_loan, &of_old] {
        assert_eq!(answer.body["next_cursor"], Value::Null);
        assert!(positions(answer).is_sorted());
        for (event, sequence) in items(answer).iter().zip(1..) {
            assert_eq!((&event["sequence"], &event["version"]), (&json!(sequence), &json!("1.0")));
            assert_eq!(
                (&event["customer_id"], &event["metadata"]["customer_id"]),
                (&json!(customer), &json!(customer.to_string()))
            );
            assert!(event["recorded_at"].is_string() && event["data"].is_object(), "{event}");
            let summary = event["summary"].as_str().expect("a sentence");
            assert!(summary.ends_with('.') && !summary.contains("Asha"), "{summary}");
        }
    }
    let registered = &items(&history)[0];
    assert_eq!(
        registered["summary"],
        "Registered with an income of 50000.00 a month and an approved limit of 1800000.00."
    );
    assert_eq!(registered["data"]["personal"]["first_name"], "Asha");
    assert_eq!(
        items(&of_old)[1]["summary"].as_str().unwrap().split(" with ").last(),
        Some("106618.53 left to pay: gone away.")
    );
    app.stop().await;
}

#[tokio::test]
async fn a_history_comes_in_pages() {
    let app = TestApp::without_nats().await;
    let (customer, _, _) = an_eventful_customer(&app).await;
    let path = format!("/v1/customers/{customer}/history");
    let whole = read(&app.client, &path).await;
    let (mut seen, mut next) = (Vec::new(), Some(format!("{path}?limit=3")));
    while let Some(page) = next {
        let answer = read(&app.client, &page).await;
        assert!(items(&answer).len() <= 3);
        seen.extend_from_slice(items(&answer));
        next = answer.body["next_cursor"].as_str().map(|cursor| format!("{path}?limit=3&cursor={cursor}"));
    }
    assert_eq!(seen, items(&whole));
    let unknown = app.client.get("/v1/customers/999999/history").await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["customer_id"]));
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_commits_late_is_not_passed() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    register_at_once(&app).await;
    let first = read(&app.client, "/v1/events").await;
    assert_eq!((positions(&first), &first.body["more"]), (vec![1], &json!(false)));

    let held = hold_the_log(&pool).await;
    leave_a_gap(&pool).await;
    register_at_once(&app).await;
    // The second position is still being written, and the third will never be: what stands behind them has to wait.
    let waiting = read(&app.client, "/v1/events?after=1").await;
    assert_eq!(
        (positions(&waiting), &waiting.body["next_after"], &waiting.body["more"]),
        (vec![], &json!(1), &json!(true))
    );
    assert_eq!(positions(&read(&app.client, "/v1/events").await), [1]);

    held.commit().await.unwrap();
    let after = read(&app.client, "/v1/events?after=1").await;
    assert_eq!((positions(&after), &after.body["next_after"]), (vec![2, 4], &json!(4)));
    // No build of this product knows that event; it is told all the same.
    assert_eq!((&items(&after)[0]["type"], &items(&after)[0]["summary"]), (&json!("Test"), &Value::Null));
    assert_eq!(items(&after)[0]["data"], json!({}));
    app.stop().await;
}

/// Registers a customer without waiting for the read models.
async fn register_at_once(app: &TestApp) {
    let request = app.client.request(reqwest::Method::POST, "/register").json(&registration(50_000));
    let answer = app.client.send(request.header("Prefer", "respond-async")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

/// Draws a position that no event will ever have.
async fn leave_a_gap(pool: &sqlx::PgPool) {
    let mut rolled_back = pool.begin().await.unwrap();
    append(&mut rolled_back).await;
    rolled_back.rollback().await.unwrap();
}

#[tokio::test]
async fn an_idle_appender_holds_back_no_gap_that_was_dead_before_it() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    register_at_once(&app).await;
    leave_a_gap(&pool).await;
    register_at_once(&app).await;
    // Nobody has to read for that.
    eventually("the proof is kept", async || mark(&pool).await.unwrap() == 3).await;

    let idle = hold_the_log(&pool).await;
    register_at_once(&app).await;
    let began = std::time::Instant::now();
    let first = read(&app.client, "/v1/events?limit=2").await;
    assert_eq!((positions(&first), &first.body["more"]), (vec![1, 3], &json!(true)));
    assert!(began.elapsed() < std::time::Duration::from_millis(450), "nobody is waited for: {:?}", began.elapsed());
    let whole = read(&app.client, "/v1/events").await;
    assert_eq!(
        (positions(&whole), &whole.body["next_after"], &whole.body["more"]),
        (vec![1, 3], &json!(3), &json!(true))
    );
    let held = read(&app.client, "/v1/events?after=3").await;
    assert_eq!((positions(&held), &held.body["next_after"], &held.body["more"]), (vec![], &json!(3), &json!(true)));
    assert_eq!(mark(&pool).await.unwrap(), 3, "what is held is not settled");

    idle.rollback().await.unwrap();
    let rest = read(&app.client, "/v1/events?after=3").await;
    assert_eq!((positions(&rest), &rest.body["more"]), (vec![5], &json!(false)));
    assert_eq!(mark(&pool).await.unwrap(), 5, "who reads keeps the proof");
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_told_whatever_it_holds() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    for (payload, customer) in
        [("[1, \"two\"]", "1"), ("null", "1"), ("{\"Test\": 7}", "-7"), ("{}", "9223372036854775807")]
    {
        sqlx::query(
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             values ('customer', gen_random_uuid()::text, 1, 'Test', '1.0', $1::json,
                     json_build_object('customer_id', $2))",
        )
        .bind(payload)
        .bind(customer)
        .execute(&pool)
        .await
        .unwrap();
    }
    register_at_once(&app).await;
    let told = read(&app.client, "/v1/events").await;
    assert_eq!(types(items(&told)), ["Test", "Test", "Test", "Test", "CustomerRegistered"]);
    let data: Vec<_> = items(&told)[..4].iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, [json!([1, "two"]), Value::Null, json!(7), json!({})]);
    let customers: Vec<_> = items(&told)[..4].iter().map(|event| event["customer_id"].as_i64().unwrap()).collect();
    assert_eq!(customers, [1, 1, -7, i64::MAX]);
    assert!(items(&told)[..4].iter().all(|event| event["summary"].is_null()));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_on_gets_every_event_once() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    traffic(&app.client, 3).await;
    let mut writers = Traffic::of_everything(&app.client, 4);
    let (mut seen, mut after) = (Vec::new(), 0);
    for _ in 0..150 {
        let answer = read(&app.client, &format!("/v1/events?after={after}&limit=3")).await;
        seen.extend(positions(&answer));
        after = answer.body["next_after"].as_i64().expect("a position");
    }
    writers.goes_on().await;
    writers.stop().await;
    loop {
        let answer = read(&app.client, &format!("/v1/events?after={after}&limit=1000")).await;
        seen.extend(positions(&answer));
        after = answer.body["next_after"].as_i64().expect("a position");
        if answer.body["more"] == json!(false) {
            break;
        }
    }
    let all: Vec<i64> = sqlx::query_scalar("select position from events order by 1").fetch_all(&pool).await.unwrap();
    assert!(all.len() > 100, "only {} events", all.len());
    assert_eq!(seen, all);
    app.stop().await;
}

#[tokio::test]
async fn the_log_is_read_a_hundred_events_at_a_time_unless_told() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    for _ in 0..105 {
        append(&mut pool.acquire().await.unwrap()).await;
    }
    let first = read(&app.client, "/v1/events").await;
    assert_eq!(
        (positions(&first).len(), &first.body["next_after"], &first.body["more"]),
        (100, &json!(100), &json!(true))
    );
    let rest = read(&app.client, "/v1/events?after=100&limit=1000").await;
    assert_eq!((positions(&rest).len(), &rest.body["more"]), (5, &json!(false)));
    let beyond = read(&app.client, "/v1/events?after=4000").await;
    assert_eq!((positions(&beyond), &beyond.body["next_after"]), (vec![], &json!(4000)));
    let distinct: BTreeSet<_> = positions(&first).into_iter().chain(positions(&rest)).collect();
    assert_eq!(distinct.len(), 105);
    app.stop().await;
}
