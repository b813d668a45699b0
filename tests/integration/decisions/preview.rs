//! What a decision would be: the same as it then is, on any day and under any policy, and without an effect.

use chrono::{Days, NaiveDate};
use credit_approval::commands::BusinessCalendar;
use rstest::rstest;
use serde_json::{Value, json};

use super::shown;
use crate::support::client::application;
use crate::support::sql::{count, execute};
use crate::support::traffic::borrow;
use crate::support::{Answer, Client, TestApp};

/// An application with further fields.
fn asking(customer: i64, amount: u64, rate: u64, months: u64, more: &Value) -> Value {
    let mut body = application(customer, amount, rate, months);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn ask(client: &Client, body: &Value) -> Answer {
    client.post("/v1/decisions/preview", body).await
}

async fn previewed(client: &Client, body: &Value) -> Value {
    let answer = ask(client, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn today(app: &TestApp) -> NaiveDate {
    BusinessCalendar(app.config.store.business_utc_offset).today()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_the_decision_without_its_effect() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    let asked = [(100_000, 10, 12), (500_000, 14, 24), (9_000_000, 8, 480), (1_000, 20, 1)];
    for (amount, rate, months) in asked {
        for accept_corrected_rate in [false, true] {
            let more = json!({ "accept_corrected_rate": accept_corrected_rate });
            let body = asking(customer, amount, rate, months, &more);
            let events = count(&pool, "events").await;
            let preview = previewed(&app.client, &body).await;
            assert_eq!(count(&pool, "events").await, events, "it has no effect");
            let decided = app.client.post("/create-loan", &body).await;
            let mut decision = shown(&app.client, decided.body["decision_id"].as_i64().unwrap()).await;
            for own in ["decision_id", "loan_id", "decided_at"] {
                decision.as_object_mut().unwrap().remove(own).expect("a decision has it");
            }
            assert_eq!(preview, decision);
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_may_decide_otherwise() {
    let app = TestApp::start().await;
    let customer = app.client.register(1_388).await;
    let body = |policy: &str| asking(customer, 100_000, 10, 12, &json!({ "policy": policy }));
    let standard = previewed(&app.client, &body("standard-1")).await;
    assert_eq!((&standard["outcome"], &standard["policy"]["id"]), (&json!("declined"), &json!("standard-1")));
    let literal = previewed(&app.client, &body("literal-1")).await;
    assert_eq!((&literal["outcome"], &literal["policy"]["id"]), (&json!("approved"), &json!("literal-1")));
    assert_eq!(literal["policy"]["rules"]["caps"]["count_requested_loan"], false);
    let unknown = ask(&app.client, &body("standard-9")).await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["policy"]), "{}", unknown.body);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_day_goes_by_what_was_known_then() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    borrow(&app.client, customer).await;
    let day = |days| today(&app).checked_sub_days(Days::new(days)).unwrap();
    // Registered ten days ago; the loan is from today.
    execute(
        &pool,
        &format!(
            "update events set recorded_at = recorded_at - interval '10 days'
             where event_type = 'CustomerRegistered' and customer_id = {customer}"
        ),
    )
    .await;
    let on = |day: NaiveDate| asking(customer, 1_000, 14, 12, &json!({ "as_of": day.to_string() }));
    let now = previewed(&app.client, &on(today(&app))).await;
    assert_eq!(now, previewed(&app.client, &application(customer, 1_000, 14, 12)).await, "log and read model agree");
    assert_eq!((&now["rule"], &now["standing"]["loans_taken"]), (&json!("components"), &json!(1)));
    let then = previewed(&app.client, &on(day(5))).await;
    assert_eq!((&then["rule"], &then["standing"]["loans_taken"]), (&json!("no_loans"), &json!(0)));
    assert_eq!(then["as_of"], day(5).to_string());
    let before = ask(&app.client, &on(day(11))).await;
    assert_eq!((before.status, before.wrong_fields()), (404, vec!["customer_id"]), "{}", before.body);
    assert_eq!(before.body["type"], "urn:credit-approval:problem:not-yet-a-customer");
    let nobody = ask(&app.client, &asking(customer + 1, 1_000, 14, 12, &json!({}))).await;
    assert_eq!((nobody.status, nobody.wrong_fields()), (404, vec!["customer_id"]), "{}", nobody.body);
    app.stop().await;
}

#[rstest]
#[case::nothing_at_all(json!({ "customer_id": null, "loan_amount": null, "interest_rate": null, "tenure": null }),
    &["customer_id", "loan_amount", "interest_rate", "tenure"])]
#[case::tomorrow(json!({ "as_of": "2999-01-01" }), &["as_of"])]
#[case::no_day(json!({ "as_of": "2026-02-30" }), &["as_of"])]
#[case::a_number(json!({ "as_of": 20_260_101 }), &["as_of"])]
#[case::no_policy(json!({ "policy": 1 }), &["policy"])]
#[case::several(json!({ "tenure": 0, "as_of": "yesterday" }), &["tenure", "as_of"])]
#[case::misspelt(json!({ "polcy": "standard-1" }), &["polcy"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named(#[case] more: Value, #[case] fields: &[&str]) {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    let answer = ask(&app.client, &asking(customer, 1_000, 14, 12, &more)).await;
    assert_eq!((answer.status, answer.wrong_fields()), (400, fields.to_vec()), "{}", answer.body);
    let parameter = app.client.post("/v1/decisions/preview?policy=literal-1", &json!({})).await;
    assert_eq!((parameter.status, parameter.wrong_fields()), (400, vec!["policy"]), "{}", parameter.body);
    app.stop().await;
}
