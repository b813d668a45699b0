//! A loan's whole life: repaid on time, late and early, to exactly zero; settled before its end; what was posted in
//! error taken back; written off; and what each of it means for the customer's score and limit.

mod refusals;
mod revisions;

use chrono::{Days, Months, NaiveDate};
use credit_approval::commands::BusinessCalendar;
use serde_json::{Value, json};

use crate::support::changes::{Change, assert_problem, carry_over};
use crate::support::client::application;
use crate::support::traffic::loans_of;
use crate::support::verified::assert_verified;
use crate::support::{Answer, Client, TestApp};

/// A lakh at 12 % over 12 months, in paise: each instalment, and the last.
const INSTALMENT: &str = "8884.88";
const LAST_INSTALMENT: &str = "8884.85";

fn today(app: &TestApp) -> NaiveDate {
    BusinessCalendar(app.config.store.business_utc_offset).today()
}

/// A customer with a loan of a lakh at 12 % over 12 months, from today.
async fn a_loan(client: &Client) -> (i64, i64) {
    let customer = client.register(50_000).await;
    let lent = client.post("/create-loan", &application(customer, 100_000, 12, 12)).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    (customer, lent.body["loan_id"].as_i64().expect("a loan"))
}

async fn done(client: &Client, change: Change, status: u16) -> Answer {
    let answer = change.send(client).await;
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(!answer.header("etag").is_empty() && !answer.header("consistency-token").is_empty());
    answer
}

fn repayment(loan: i64, amount: impl Into<Value>) -> Change {
    Change::of_loan(loan, "repayments", json!({ "amount": amount.into() }))
}

fn repayment_of(loan: i64, amount: impl Into<Value>, paid_on: NaiveDate) -> Change {
    Change::of_loan(loan, "repayments", json!({ "amount": amount.into(), "paid_on": paid_on }))
}

fn settlement(loan: i64, amount: impl Into<Value>) -> Change {
    Change::of_loan(loan, "settlement", json!({ "amount": amount.into() }))
}

fn reversal(loan: i64, repayment: &Value) -> Change {
    Change::of_loan(loan, &format!("repayments/{repayment}/reversal"), json!({ "reason": "posted in error" }))
}

fn write_off(loan: i64) -> Change {
    Change::of_loan(loan, "write-off", json!({ "reason": "nobody is reached any more" }))
}

async fn score(client: &Client, customer: i64) -> Value {
    let answer = client.get(&format!("/v1/customers/{customer}/credit-score")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// Instalments paid on time, of those that are due.
async fn on_time(client: &Client, customer: i64) -> (Value, Value) {
    let score = score(client, customer).await;
    let inputs = score["components"].as_array().expect("components")[0]["inputs"].clone();
    (inputs["instalments_paid_on_time"].clone(), inputs["instalments_due"].clone())
}

#[tokio::test]
async fn a_loan_is_repaid_to_exactly_zero() {
    let app = TestApp::start().await;
    let (customer, loan) = a_loan(&app.client).await;
    for paid in 1..=11 {
        let repaid = done(&app.client, repayment(loan, INSTALMENT), 201).await;
        assert_eq!((&repaid.body["instalments_paid"], &repaid.body["settled"]), (&json!(paid), &json!(false)));
        assert_eq!(repaid.header("etag"), format!("\"{}\"", paid + 1));
    }
    // The last in two parts.
    let part = done(&app.client, repayment(loan, 8_000), 201).await;
    assert_eq!((&part.body["instalments_paid"], &part.body["outstanding"]), (&json!(11), &json!(884.85)));
    let too_much = repayment(loan, "884.86").send(&app.client).await;
    assert_problem(&too_much, 409, "repayment-refused", "amount");
    let last = done(&app.client, repayment(loan, "884.85"), 201).await;
    let zero = json!(0);
    assert_eq!((&last.body["outstanding"], &last.body["outstanding_principal"]), (&zero, &zero));
    assert_eq!((&last.body["instalments_paid"], &last.body["settled"]), (&json!(12), &json!(true)));
    assert_eq!(loans_of(&app.client, customer).await, [0; 0]);
    assert_problem(&repayment(loan, 1).send(&app.client).await, 409, "loan-settled", "loan_id");
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test]
async fn repayments_on_time_late_and_early_feed_the_score() {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    // Six instalments have fallen due, the last of them ten days ago.
    let started_on = today(&app).checked_sub_months(Months::new(6)).unwrap().checked_sub_days(Days::new(10)).unwrap();
    let due_on = |number| started_on.checked_add_months(Months::new(number)).unwrap();
    let loan = carry_over(&app, customer, started_on).await;

    let punctual = done(&app.client, repayment_of(loan, INSTALMENT, due_on(1)), 201).await;
    assert_eq!((&punctual.body["interest"], &punctual.body["principal"]), (&json!(1_000), &json!(7_884.88)));
    assert_eq!(on_time(&app.client, customer).await, (json!(1), json!(6)));
    let score_of_one = score(&app.client, customer).await["credit_score"].clone();

    let late = due_on(2).succ_opt().unwrap();
    done(&app.client, repayment_of(loan, INSTALMENT, late), 201).await;
    assert_eq!(on_time(&app.client, customer).await, (json!(1), json!(6)), "late is not on time");
    assert_eq!(score(&app.client, customer).await["credit_score"], score_of_one);

    // A part on the due date and the rest a day later is late; one and a half at once is one on time.
    done(&app.client, repayment_of(loan, 4_000, due_on(3)), 201).await;
    done(&app.client, repayment_of(loan, "4884.88", due_on(3).succ_opt().unwrap()), 201).await;
    let ahead = done(&app.client, repayment_of(loan, "13327.32", due_on(4)), 201).await;
    assert_eq!(ahead.body["instalments_paid"], 4, "{}", ahead.body);
    assert_eq!(on_time(&app.client, customer).await, (json!(2), json!(6)));
    done(&app.client, repayment_of(loan, "4442.44", due_on(5)), 201).await;
    assert_eq!(on_time(&app.client, customer).await, (json!(3), json!(6)));
    let before = repayment_of(loan, 1, due_on(4)).send(&app.client).await;
    assert_problem(&before, 409, "repayment-refused", "paid_on");

    // The sixth is late by now, the other six are early.
    for number in 6..12 {
        let repaid = done(&app.client, repayment(loan, INSTALMENT), 201).await;
        assert_eq!(repaid.body["instalments_paid"], number, "{}", repaid.body);
    }
    let last = done(&app.client, repayment(loan, LAST_INSTALMENT), 201).await;
    assert_eq!((&last.body["settled"], &last.body["outstanding"]), (&json!(true), &json!(0)), "{}", last.body);
    assert_eq!(loans_of(&app.client, customer).await, [0; 0]);
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

/// The amount that settles a loan today, out of the refusal of another one.
async fn settlement_amount(client: &Client, loan: i64) -> Value {
    let refused = settlement(loan, "0.01").send(client).await;
    assert_problem(&refused, 409, "settlement-amount", "amount");
    let message = refused.body["errors"][0]["message"].as_str().expect("a message");
    let mut named = message.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let amount = named.rfind(|word| word.contains('.') && word.len() > 3).expect("the amount is named");
    assert!(refused.body["detail"].as_str().unwrap().contains(amount), "{}", refused.body);
    json!(amount)
}

#[tokio::test]
async fn a_loan_is_settled_early_without_the_interest_of_months_to_come() {
    let app = TestApp::start().await;
    let (customer, loan) = a_loan(&app.client).await;
    assert_eq!(settlement_amount(&app.client, loan).await, "100000.00", "no month has begun");
    let before = score(&app.client, customer).await;
    let settling = Change::of_loan(
        loan,
        "settlement",
        json!({ "amount": 100_000, "reference": "UPI 17", "paid_on": today(&app) }),
    );
    let settled = done(&app.client, settling, 201).await;
    let expected = json!({
        "repayment_id": settled.body["repayment_id"], "loan_id": loan, "customer_id": customer,
        "amount": 100_000, "interest": 0, "principal": 100_000, "interest_waived": 6_618.53,
        "paid_on": today(&app), "reference": "UPI 17", "instalments_paid": 12, "settled": true,
    });
    assert_eq!(settled.body, expected);
    assert_eq!(settled.header("etag"), "\"2\"");
    assert_eq!(loans_of(&app.client, customer).await, [0; 0]);
    for change in [settlement(loan, 100_000), repayment(loan, 1), write_off(loan)] {
        assert_problem(&change.send(&app.client).await, 409, "loan-settled", "loan_id");
    }

    // Taken back, the whole schedule is owed again.
    let reversed = done(&app.client, reversal(loan, &settled.body["repayment_id"]), 201).await;
    assert_eq!((&reversed.body["outstanding"], &reversed.body["settled"]), (&json!(106_618.53), &json!(false)));
    assert_eq!(reversed.header("etag"), "\"3\"");
    assert_eq!(loans_of(&app.client, customer).await, [loan]);
    assert_eq!(score(&app.client, customer).await, before);
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test]
async fn months_that_have_begun_are_paid_for() {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    let started_on = today(&app).checked_sub_months(Months::new(6)).unwrap().checked_sub_days(Days::new(10)).unwrap();
    let loan = carry_over(&app, customer, started_on).await;
    let mut left = Value::Null;
    for _ in 0..6 {
        left = done(&app.client, repayment(loan, INSTALMENT), 201).await.body["outstanding_principal"].clone();
    }
    assert_eq!(left, json!(51_492.09));
    let amount = settlement_amount(&app.client, loan).await;
    assert_eq!(amount, "52007.01", "with 1 % of it for the seventh month");
    let settled = done(&app.client, settlement(loan, amount), 201).await;
    assert_eq!((&settled.body["interest"], &settled.body["principal"]), (&json!(514.92), &json!(51_492.09)));
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test]
async fn a_reversal_brings_score_and_limit_back() {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    let lent = app.client.post("/create-loan", &application(customer, 1_700_000, 12, 480)).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    let loan = lent.body["loan_id"].as_i64().unwrap();
    let another = application(customer, 200_000, 14, 120);
    let eligible = async || app.client.post("/check-eligibility", &another).await.body["approval"].clone();
    let (before, allowed_before) = (score(&app.client, customer).await, eligible().await);
    assert_eq!(allowed_before, false);

    let settled = done(&app.client, settlement(loan, 1_700_000), 201).await;
    assert_eq!(eligible().await, true, "the limit is free again");
    assert_ne!(score(&app.client, customer).await["credit_score"], before["credit_score"]);
    done(&app.client, reversal(loan, &settled.body["repayment_id"]), 201).await;
    assert_eq!(score(&app.client, customer).await, before);
    assert_eq!(eligible().await, false);
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test]
async fn a_reversal_allocates_what_remains_anew() {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    let started_on = today(&app).checked_sub_months(Months::new(3)).unwrap();
    let due_on = |number| started_on.checked_add_months(Months::new(number)).unwrap();
    let loan = carry_over(&app, customer, started_on).await;
    let first = done(&app.client, repayment_of(loan, INSTALMENT, due_on(1)), 201).await;
    let second = done(&app.client, repayment_of(loan, INSTALMENT, due_on(2)), 201).await;
    assert_eq!(on_time(&app.client, customer).await, (json!(2), json!(3)));

    let reversed = done(&app.client, reversal(loan, &first.body["repayment_id"]), 201).await;
    // The second pays the first instalment now, and is late for it.
    let expected = json!({
        "repayment_id": first.body["repayment_id"], "loan_id": loan, "customer_id": customer,
        "amount": 8_884.88, "reason": "posted in error", "reversed_on": today(&app),
        "outstanding": 97_733.65, "outstanding_principal": 92_115.12, "instalments_paid": 1, "settled": false,
        "reallocated": [{
            "repayment_id": second.body["repayment_id"], "interest": 1_000, "principal": 7_884.88,
            "settles_loan_early": false, "interest_waived": 0,
        }],
    });
    assert_eq!(reversed.body, expected);
    assert_eq!(on_time(&app.client, customer).await, (json!(0), json!(3)));
    let listed = app.client.get(&format!("/view-loans/{customer}")).await;
    assert_eq!(listed.body[0]["repayments_left"], 11, "{}", listed.body);
    let last = done(&app.client, reversal(loan, &second.body["repayment_id"]), 201).await;
    assert_eq!((&last.body["outstanding"], &last.body["reallocated"]), (&json!(106_618.53), &json!([])));
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_written_off_stays_owed_and_may_be_recovered() {
    let app = TestApp::start().await;
    let (customer, loan) = a_loan(&app.client).await;
    let before = score(&app.client, customer).await;
    let written_off = done(&app.client, write_off(loan), 200).await;
    let expected = json!({
        "loan_id": loan, "customer_id": customer, "outstanding": 106_618.53, "outstanding_principal": 100_000,
        "reason": "nobody is reached any more", "written_off_on": today(&app),
    });
    assert_eq!((&written_off.body, written_off.header("etag")), (&expected, "\"2\""));
    assert_eq!(score(&app.client, customer).await["current_loans_amount"], before["current_loans_amount"]);
    assert_problem(&write_off(loan).send(&app.client).await, 409, "already-written-off", "loan_id");
    let recovered = done(&app.client, repayment(loan, 5_000), 201).await;
    assert_eq!(recovered.header("etag"), "\"3\"");
    done(&app.client, reversal(loan, &recovered.body["repayment_id"]), 201).await;
    assert_problem(&write_off(loan).send(&app.client).await, 409, "already-written-off", "loan_id");
    assert_verified(&app.pool().await).await;
    app.stop().await;
}
