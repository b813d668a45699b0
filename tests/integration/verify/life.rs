//! What happens to customers and loans after they begin is held against its inputs and against the other stream too.

use serde_json::{Value, json};

use super::Data;
use crate::support::changes::Change;
use crate::support::traffic::borrow;
use crate::support::{Client, TestApp};

async fn done(client: &Client, change: Change) -> Value {
    let answer = change.send(client).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    answer.body
}

/// A customer whose income and phone number changed. Its first loan was repaid twice, the first of those repayments was
/// reversed, and what was left written off; its second was settled early.
async fn data() -> Data {
    let app = TestApp::start().await;
    let (config, pool) = (app.config.clone(), app.pool().await);
    let (customer, other) = (app.client.register(50_000).await, app.client.register(50_000).await);
    let changed = json!({ "monthly_income": 80_000, "phone_number": "5550100123" });
    done(&app.client, Change::of_customer(customer, changed).at("\"1\"")).await;
    let (first, second) = (borrow(&app.client, customer).await, borrow(&app.client, customer).await);
    let repaid = done(&app.client, Change::of_loan(first, "repayments", json!({ "amount": 600 }))).await;
    done(&app.client, Change::of_loan(first, "repayments", json!({ "amount": 600 }))).await;
    let reversal = format!("repayments/{}/reversal", repaid["repayment_id"]);
    done(&app.client, Change::of_loan(first, &reversal, json!({ "reason": "posted twice" }))).await;
    done(&app.client, Change::of_loan(first, "write-off", json!({ "reason": "insolvent" }))).await;
    done(&app.client, Change::of_loan(second, "settlement", json!({ "amount": 100_000 }))).await;
    Data { config, pool, customer, other, first, second, free: 0 }.kept(app).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_loan_s_life_that_was_changed_is_found() {
    let data = data().await;
    let details = "the change of the customer's details comes out otherwise when it is made again";
    let (again, otherwise) = ("comes out otherwise when it is taken again", "means something else to the customer");
    let changes = [
        ("MonthlyIncomeChanged", "approved_limit", "\"1.00\"", details),
        ("MonthlyIncomeChanged", "monthly_income", "\"50000.00\"", details),
        ("PhoneNumberChanged", "customer_id", "9000001", details),
        ("LoanSettledEarly", "interest_waived", "\"0.00\"", again),
        ("LoanSettledEarly", "amount", "\"99999.99\"", again),
        ("LoanSettledEarly", "instalments_paid_on_time", "0", otherwise),
        ("RepaymentReversed", "outstanding", "\"1.00\"", again),
        ("RepaymentReversed", "amount", "\"1.00\"", again),
        ("RepaymentReversed", "reallocated,0,interest", "\"599.99\"", again),
        ("RepaymentReversed", "reallocated", "[]", again),
        ("RepaymentReversed", "reversed_at", "\"2026-01-01T00:00:00Z\"", otherwise),
        ("RepaymentReversalRecorded", "settled_on", "\"2026-01-01\"", otherwise),
        ("LoanWrittenOff", "outstanding_principal", "\"1.00\"", again),
        ("LoanWrittenOff", "written_off_on", "\"2026-01-01\"", otherwise),
        ("LoanWriteOffRecorded", "written_off_on", "\"2026-01-01\"", otherwise),
        ("LoanWriteOffRecorded", "loan_id", "9000001", "was recorded and not made"),
    ];
    for (event, path, value, expected) in changes {
        data.finds_payload(event, path, value, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_loan_s_life_that_is_told_in_one_stream_only_is_found() {
    let data = data().await;
    let (customer, first) = (data.customer, data.first);
    for (event, expected) in [
        ("RepaymentReversed", "was recorded and not made".to_owned()),
        ("LoanWrittenOff", format!("the write-off of loan {first} was recorded and not made")),
        ("LoanSettledEarly", "was recorded and not received".to_owned()),
        ("RepaymentReversalRecorded", "is not told to the customer".to_owned()),
        ("LoanWriteOffRecorded", format!("the write-off of loan {first} is not told to the customer")),
    ] {
        let lost = format!("delete from events where event_type = '{event}' and customer_id = {customer}");
        data.finds(&lost, &expected).await;
    }
    let again = format!(
        "insert into events (event_type, event_version, metadata, aggregate_type, aggregate_id, sequence, payload)
         select event_type, event_version, metadata, aggregate_type, aggregate_id,
                (select max(sequence) + 1 from events same
                 where (same.aggregate_type, same.aggregate_id) = (events.aggregate_type, events.aggregate_id)), payload
         from events where event_type = 'LoanWriteOffRecorded' and customer_id = {customer}"
    );
    data.finds(&again, &format!("the write-off of loan {first} is recorded twice")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_lost_track_of_a_loan_s_life_is_found() {
    let data = data().await;
    let Data { customer, first, second, .. } = data;
    for (table, change, key, expected) in [
        ("customers", "revision = 1", format!("customer_id = {customer}"), "revision is 1, the log says 3"),
        ("loans", "revision = 1", format!("loan_id = {first}"), "revision is 1, the log says 5"),
        ("loans", "next_due_on = null", format!("loan_id = {first}"), "next_due_on is null, the log says "),
        ("loans", "written_off_on = null", format!("loan_id = {first}"), "written_off_on is null, the log says "),
        ("loans", "repayments = '[]'", format!("loan_id = {first}"), "repayments is [], the log says [{"),
        ("loans", "settled_on = null", format!("loan_id = {second}"), "settled_on is null, the log says "),
        ("loans", "instalments_paid_on_time = 0", format!("loan_id = {second}"), "instalments_paid_on_time is 0"),
    ] {
        data.finds(&format!("update read_models.{table} set {change} where {key}"), expected).await;
    }
}
