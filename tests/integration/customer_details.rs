//! What of a customer changes: the income with the limit, the phone number with its reservation; at the revision that
//! the client has seen, once for a key, and never by half.

mod races;

use serde_json::{Value, json};

use crate::support::changes::{Change, assert_problem};
use crate::support::client::{application, registration};
use crate::support::sql::{count, number};
use crate::support::traffic::borrow;
use crate::support::verified::assert_verified;
use crate::support::{Answer, Client, TestApp};

/// A customer with an income of 50,000, and its phone number.
async fn a_customer(client: &Client) -> (i64, String) {
    let person = registration(50_000);
    let registered = client.post("/register", &person).await;
    assert_eq!((registered.status, registered.header("etag")), (201, "\"1\""), "{}", registered.body);
    let phone_number = person["phone_number"].as_str().unwrap().to_owned();
    (registered.body["customer_id"].as_i64().expect("an id"), phone_number)
}

/// A phone number that nobody has.
fn a_phone_number() -> String {
    registration(50_000)["phone_number"].as_str().unwrap().to_owned()
}

fn income(customer: i64, monthly_income: u64) -> Change {
    Change::of_customer(customer, json!({ "monthly_income": monthly_income }))
}

fn phone(customer: i64, phone_number: &str) -> Change {
    Change::of_customer(customer, json!({ "phone_number": phone_number }))
}

async fn score(client: &Client, customer: i64) -> Value {
    let answer = client.get(&format!("/v1/customers/{customer}/credit-score")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn assert_changed(answer: &Answer, etag: &str) {
    assert_eq!((answer.status, answer.header("etag")), (200, etag), "{}", answer.body);
    assert!(!answer.header("consistency-token").is_empty());
}

#[tokio::test]
async fn another_income_brings_another_limit() {
    let app = TestApp::start().await;
    let (customer, phone_number) = a_customer(&app.client).await;
    let too_much = application(customer, 2_000_000, 14, 480);
    assert_eq!(app.client.post("/check-eligibility", &too_much).await.body["approval"], false);

    let changed = income(customer, 62_500).at("\"1\"").send(&app.client).await;
    assert_changed(&changed, "\"2\"");
    let expected = json!({
        "customer_id": customer,
        "monthly_income": 62_500,
        "approved_limit": 2_300_000,
        "phone_number": phone_number,
    });
    assert_eq!(changed.body, expected);
    let now = score(&app.client, customer).await;
    assert_eq!((&now["monthly_income"], &now["approved_limit"]), (&json!(62_500), &json!(2_300_000)));
    assert_eq!(app.client.post("/check-eligibility", &too_much).await.body["approval"], true);

    let lower = Change::of_customer(customer, json!({ "monthly_income": "12499.50" })).at("\"2\"");
    let lower = lower.send(&app.client).await;
    assert_changed(&lower, "\"3\"");
    assert_eq!((&lower.body["monthly_income"], &lower.body["approved_limit"]), (&json!(12_499.5), &json!(400_000)));
    let asked = app.client.post("/create-loan", &application(customer, 500_000, 14, 480)).await;
    assert_eq!((asked.status, &asked.body["loan_approved"]), (200, &json!(false)), "{}", asked.body);
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test]
async fn both_change_at_once_and_loans_move_no_revision() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (customer, _) = a_customer(&app.client).await;
    let number = a_phone_number();
    borrow(&app.client, customer).await;
    let both = Change::of_customer(customer, json!({ "monthly_income": 60_000, "phone_number": number }));
    let changed = both.at("\"1\"").send(&app.client).await;
    assert_changed(&changed, "\"3\"");
    assert_eq!((&changed.body["monthly_income"], &changed.body["phone_number"]), (&json!(60_000), &json!(number)));
    assert_eq!(count(&pool, "events where event_type = 'MonthlyIncomeChanged'").await, 1);
    assert_eq!(count(&pool, "events where event_type = 'PhoneNumberChanged'").await, 1);
    let loan = app.client.get(&format!("/view-loans/{customer}")).await.body[0]["loan_id"].clone();
    let shown = app.client.get(&format!("/view-loan/{loan}")).await;
    assert_eq!(shown.body["customer"]["phone_number"], json!(number), "{}", shown.body);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test]
async fn a_number_that_was_given_back_may_be_taken() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let ((a, numbers_of_a), (b, numbers_of_b)) = (a_customer(&app.client).await, a_customer(&app.client).await);
    let events = count(&pool, "events").await;

    let taken = phone(a, &numbers_of_b).at("\"1\"").send(&app.client).await;
    assert_problem(&taken, 409, "phone-number-taken", "phone_number");
    let both = Change::of_customer(a, json!({ "monthly_income": 90_000, "phone_number": numbers_of_b }));
    assert_problem(&both.at("\"1\"").send(&app.client).await, 409, "phone-number-taken", "phone_number");
    assert_eq!(count(&pool, "events").await, events, "nothing has happened by half");

    let new_number = a_phone_number();
    assert_changed(&phone(a, &new_number).at("\"1\"").send(&app.client).await, "\"2\"");
    assert_changed(&phone(b, &numbers_of_a).at("\"1\"").send(&app.client).await, "\"2\"");
    let mut person = registration(50_000);
    person["phone_number"] = json!(numbers_of_b);
    assert_eq!(app.client.post("/register", &person).await.status, 201);
    for (customer, number) in [(a, &new_number), (b, &numbers_of_a)] {
        let held = format!("phone_numbers where customer_id = {customer}");
        assert_eq!(count(&pool, &held).await, 1);
        assert_eq!(count(&pool, &format!("{held} and phone_number = '{number}'")).await, 1);
    }
    // Back again, which another has meanwhile; and back where it is free.
    assert_problem(&phone(b, &numbers_of_b).at("*").send(&app.client).await, 409, "phone-number-taken", "phone_number");
    assert_changed(&phone(b, &a_phone_number()).at("*").send(&app.client).await, "\"3\"");
    assert_changed(&phone(a, &numbers_of_a).at("*").send(&app.client).await, "\"3\"");
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test]
async fn a_change_names_the_revision_that_it_changes() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (customer, _) = a_customer(&app.client).await;
    assert_changed(&income(customer, 60_000).at("\"1\"").send(&app.client).await, "\"2\"");
    let events = count(&pool, "events").await;

    assert_problem(&income(customer, 70_000).send(&app.client).await, 428, "precondition-required", "If-Match");
    for stale in ["\"1\"", "\"3\"", "\"1\", \"3\"", "W/\"2\"", "\"02\"", "\"\"", "\"anything,2\""] {
        let answer = income(customer, 70_000).at(stale).send(&app.client).await;
        assert_problem(&answer, 412, "precondition-failed", "If-Match");
        assert_eq!(answer.header("etag"), "\"2\"", "{stale}");
        assert!(answer.body["detail"].as_str().unwrap().contains("\"2\""), "{}", answer.body);
    }
    for malformed in ["", "2", "\"2", "W/2", "w/\"2\"", "\"2\" \"3\"", "*, \"2\"", ",", "\"any thing\""] {
        let answer = income(customer, 70_000).at(malformed).send(&app.client).await;
        assert_problem(&answer, 400, "invalid-request", "If-Match");
    }
    let unknown = income(4_711, 70_000);
    for tag in ["*", "\"1\"", "\"2\""] {
        assert_problem(&unknown.clone().at(tag).send(&app.client).await, 404, "not-found", "customer_id");
    }
    assert_eq!(count(&pool, "events").await, events);

    assert_changed(&income(customer, 70_000).at("\"1\", \"2\"").send(&app.client).await, "\"3\"");
    assert_changed(&income(customer, 80_000).at("W/\"3\",\"3\"").send(&app.client).await, "\"4\"");
    assert_changed(&income(customer, 90_000).at("*").send(&app.client).await, "\"5\"");
    let twice = income(customer, 95_000).at("\"4\"").request(&app.client).header("If-Match", "\"5\"");
    assert_changed(&app.client.send(twice).await, "\"6\"");
    app.stop().await;
}

#[tokio::test]
async fn what_is_so_already_is_no_change() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (customer, number) = a_customer(&app.client).await;
    let events = count(&pool, "events").await;
    let same = Change::of_customer(customer, json!({ "monthly_income": "50000.00", "phone_number": number }));
    let answer = same.clone().at("\"1\"").send(&app.client).await;
    assert_changed(&answer, "\"1\"");
    assert_eq!(answer.body["approved_limit"], 1_800_000);
    let token = answer.header("consistency-token").to_owned();
    assert!(!token.ends_with(".0"), "whoever reads on sees what was answered: {token}");
    let read = app.client.request(reqwest::Method::GET, &format!("/v1/customers/{customer}/credit-score"));
    assert_eq!(app.client.send(read.header("Consistency-Token", &token)).await.status, 200);

    let keyed = same.at("\"1\"").once("same");
    let (first, again) = (keyed.send(&app.client).await, keyed.send(&app.client).await);
    assert_changed(&first, "\"1\"");
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
    assert_eq!(again.header("consistency-token"), first.header("consistency-token"));
    assert_eq!(count(&pool, "events").await, events);
    assert_eq!(number_of_rows(&pool, customer).await, 1);
    assert_problem(
        &income(customer, 50_000).at("\"2\"").send(&app.client).await,
        412,
        "precondition-failed",
        "If-Match",
    );
    app.stop().await;
}

async fn number_of_rows(pool: &sqlx::PgPool, customer: i64) -> i64 {
    number(pool, &format!("select count(*) from phone_numbers where customer_id = {customer}")).await
}

#[tokio::test]
async fn a_wrong_change_is_named_and_has_no_effect() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (customer, _) = a_customer(&app.client).await;
    let events = count(&pool, "events").await;
    let cases: [(Value, &[&str]); 13] = [
        (json!({}), &["body"]),
        (json!([]), &["body"]),
        (json!({ "monthly_income": null }), &["monthly_income"]),
        (json!({ "phone_number": null, "monthly_income": 60_000 }), &["phone_number"]),
        (json!({ "monthly_income": 0 }), &["monthly_income"]),
        (json!({ "monthly_income": -1, "phone_number": "12" }), &["monthly_income", "phone_number"]),
        (json!({ "monthly_income": 1_000_000_001 }), &["monthly_income"]),
        (json!({ "monthly_income": 0.001 }), &["monthly_income"]),
        (json!({ "monthly_income": "lots" }), &["monthly_income"]),
        (json!({ "phone_number": "98765 43210" }), &["phone_number"]),
        (json!({ "phone_number": ["9876543210"] }), &["phone_number"]),
        (json!({ "monthly_income": 60_000, "approved_limit": 9_000_000 }), &["approved_limit"]),
        (json!({ "first_name": "Asha" }), &["first_name"]),
    ];
    for (body, fields) in cases {
        let answer = Change::of_customer(customer, body.clone()).at("\"1\"").send(&app.client).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, fields.to_vec()), "{body}: {}", answer.body);
    }
    let mut parameter = income(customer, 60_000).at("\"1\"");
    parameter.path += "?force=true";
    assert_problem(&parameter.send(&app.client).await, 400, "invalid-request", "force");
    let mut astray = income(customer, 60_000).at("\"1\"");
    "/v1/customers/abc".clone_into(&mut astray.path);
    assert_problem(&astray.send(&app.client).await, 400, "invalid-request", "customer_id");
    let text = app.client.request(reqwest::Method::PATCH, &format!("/v1/customers/{customer}")).header("If-Match", "*");
    assert_eq!(app.client.send(text.header("Content-Type", "text/plain").body("{}")).await.status, 415);
    assert_eq!(count(&pool, "events").await, events);
    app.stop().await;
}
