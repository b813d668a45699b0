//! A customer's score with all that it is made of, today and on any past day: what was known then, from the log.

use chrono::{Days, NaiveDate};
use credit_approval::commands::BusinessCalendar;
use rstest::rstest;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::client::application;
use crate::support::traffic::{borrow, repay};
use crate::support::{Answer, Client, TestApp};

fn today(app: &TestApp) -> NaiveDate {
    BusinessCalendar(app.config.store.business_utc_offset).today()
}

fn days_before(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Days::new(days)).unwrap()
}

async fn score(client: &Client, customer: i64) -> Value {
    let answer = client.get(&format!("/v1/customers/{customer}/credit-score")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn ask_as_of(client: &Client, customer: i64, day: NaiveDate) -> Answer {
    client.get(&format!("/v1/customers/{customer}/credit-score?as_of={day}")).await
}

async fn score_as_of(client: &Client, customer: i64, day: NaiveDate) -> Value {
    let answer = ask_as_of(client, customer, day).await;
    assert_eq!((answer.status, &answer.body["as_of"]), (200, &json!(day.to_string())), "{}", answer.body);
    answer.body
}

/// What eligibility says of the customer now.
async fn eligibility_score(client: &Client, customer: i64) -> Value {
    let answer = client.post("/check-eligibility", &application(customer, 1_000, 14, 12)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["credit_score"].clone()
}

/// The loans of a score, and whether each runs.
fn loans(score: &Value) -> Vec<(i64, bool)> {
    let loans = score["loans"].as_array().expect("loans");
    loans.iter().map(|loan| (loan["loan_id"].as_i64().unwrap(), loan["current"].as_bool().unwrap())).collect()
}

/// The log has recorded some events at the very end, or the beginning, of a business day.
async fn move_to(pool: &PgPool, app: &TestApp, events: &str, day: NaiveDate, time: &str) {
    let at = format!("{day} {time}{}", app.config.store.business_utc_offset);
    let sql = format!("update events set recorded_at = $1::text::timestamptz where {events}");
    let moved = sqlx::query(&sql).bind(&at).execute(pool).await.unwrap();
    assert!(moved.rows_affected() > 0, "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_score_of_today_is_the_one_that_eligibility_goes_by() {
    let app = TestApp::start().await;
    let customer = app.client.register(80_000).await;
    for rounds in 0..4 {
        let now = score(&app.client, customer).await;
        assert_eq!(now["credit_score"], eligibility_score(&app.client, customer).await, "{now}");
        assert_eq!(now, score_as_of(&app.client, customer, today(&app)).await, "the log says the same");
        assert_eq!(loans(&now).len(), rounds);
        assert_eq!(now["rule"], if rounds == 0 { "no_loans" } else { "components" });
        assert_eq!(now["current_loans_amount"], 100_000 * rounds, "{now}");
        assert_eq!((&now["approved_limit"], &now["policy"]), (&json!(2_900_000), &json!("standard-1")));
        let loan = borrow(&app.client, customer).await;
        repay(&app.client, loan, 5_000).await;
    }
    // The components are what the score is made of.
    let now = score(&app.client, customer).await;
    let components = now["components"].as_array().unwrap();
    let decimal = |number: &Value| number.to_string().parse::<Decimal>().unwrap();
    let points: Decimal = components.iter().map(|one| decimal(&one["points"])).sum();
    let rounding = Decimal::new(3, 2);
    assert!((points - decimal(&now["credit_score"])).abs() <= rounding, "{now}");
    let unknown = app.client.get("/v1/customers/4711/credit-score").await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["customer_id"]), "{}", unknown.body);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_day_shows_what_was_known_by_its_end() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let [first, second] = [borrow(&app.client, customer).await, borrow(&app.client, customer).await];
    let day = |days| days_before(today(&app), days);
    let of_loan = |loan: i64, event: &str| {
        format!(
            "(aggregate_type = 'loan' and aggregate_id = '{loan}')
             or payload #>> '{{{event},loan,loan_id}}' = '{loan}'"
        )
    };
    let registered = format!("event_type = 'CustomerRegistered' and customer_id = {customer}");
    move_to(&pool, &app, &registered, day(20), "00:00:00").await;
    move_to(&pool, &app, &of_loan(first, "LoanApproved"), day(10), "23:59:59.999999").await;

    let before = ask_as_of(&app.client, customer, day(21)).await;
    assert_eq!((before.status, before.wrong_fields()), (404, vec!["customer_id"]), "{}", before.body);
    assert_eq!(before.body["type"], "urn:credit-approval:problem:not-yet-a-customer");
    assert!(before.body["detail"].as_str().unwrap().contains(&day(20).to_string()), "since when: {}", before.body);
    for without_loans in [day(20), day(11)] {
        let then = score_as_of(&app.client, customer, without_loans).await;
        assert_eq!((loans(&then), &then["rule"], &then["credit_score"]), (vec![], &json!("no_loans"), &json!(50)));
        assert_eq!(then["current_loans_amount"], 0);
    }
    for with_the_first in [day(10), day(9), day(1)] {
        let then = score_as_of(&app.client, customer, with_the_first).await;
        assert_eq!((loans(&then), &then["current_loans_amount"]), (vec![(first, true)], &json!(100_000)), "{then}");
    }
    let now = score_as_of(&app.client, customer, day(0)).await;
    assert_eq!(loans(&now), [(first, true), (second, true)]);
    assert_eq!(now, score(&app.client, customer).await);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loan_that_is_settled_now_was_not_settled_then() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    let earlier = days_before(today(&app), 5);
    move_to(&pool, &app, &format!("customer_id = {customer}"), earlier, "12:00:00").await;
    let repaid = repay(&app.client, loan, 5_000).await;
    let rest = json!({ "amount": repaid.body["outstanding"] });
    let settled = app.client.post(&format!("/v1/loans/{loan}/repayments"), &rest).await;
    assert_eq!((settled.status, &settled.body["settled"]), (201, &json!(true)), "{}", settled.body);

    let then = score_as_of(&app.client, customer, days_before(today(&app), 1)).await;
    assert_eq!((loans(&then), &then["current_loans_amount"]), (vec![(loan, true)], &json!(100_000)), "{then}");
    let now = score(&app.client, customer).await;
    assert_eq!((loans(&now), &now["current_loans_amount"]), (vec![(loan, false)], &json!(0)), "{now}");
    app.stop().await;
}

#[rstest]
#[case::tomorrow("as_of=tomorrow", "as_of")]
#[case::far_away("as_of=2999-12-31", "as_of")]
#[case::no_such_day("as_of=2026-02-30", "as_of")]
#[case::in_another_order("as_of=31-12-2025", "as_of")]
#[case::with_a_time("as_of=2026-01-01T00:00:00Z", "as_of")]
#[case::words("as_of=yesterday", "as_of")]
#[case::empty("as_of=", "as_of")]
#[case::given_twice("as_of=2026-01-01&as_of=2026-01-01", "as_of")]
#[case::misspelt("asof=2026-01-01", "asof")]
#[case::in_another_case("AS_OF=2026-01-01", "AS_OF")]
#[case::something_more("as_of=2026-01-01&policy=standard-1", "policy")]
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_nobody_can_mean_is_named(#[case] query: &str, #[case] field: &str) {
    let app = TestApp::start().await;
    let customer = app.client.register(80_000).await;
    let tomorrow = today(&app).succ_opt().unwrap().to_string();
    let query = query.replace("tomorrow", &tomorrow);
    let answer = app.client.get(&format!("/v1/customers/{customer}/credit-score?{query}")).await;
    assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field]), "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_there_never_was_has_no_past() {
    let app = TestApp::start().await;
    let customer = app.client.register(80_000).await;
    let yesterday = days_before(today(&app), 1);
    let new = ask_as_of(&app.client, customer, yesterday).await;
    assert_eq!(new.body["type"], "urn:credit-approval:problem:not-yet-a-customer", "{}", new.body);
    for nobody in [customer + 1, 0, -1, i64::MAX] {
        for day in [yesterday, today(&app)] {
            let answer = ask_as_of(&app.client, nobody, day).await;
            assert_eq!((answer.status, answer.wrong_fields()), (404, vec!["customer_id"]), "{}", answer.body);
            assert_eq!(answer.body["type"], "urn:credit-approval:problem:not-found", "{}", answer.body);
        }
    }
    let word = app.client.get("/v1/customers/asha/credit-score").await;
    assert_eq!((word.status, word.wrong_fields()), (400, vec!["customer_id"]), "{}", word.body);
    app.stop().await;
}
