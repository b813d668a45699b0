//! What cannot be done to a loan, and what is wrong with a request: named, and without an effect.

use reqwest::Method;
use serde_json::{Value, json};

use super::{a_loan, done, repayment, reversal, settlement, write_off};
use crate::support::TestApp;
use crate::support::changes::{Change, assert_problem};
use crate::support::sql::count;

#[tokio::test]
async fn a_repayment_is_reversed_once_and_on_its_own_loan() {
    let app = TestApp::start().await;
    let ((_, loan), (_, other_loan)) = (a_loan(&app.client).await, a_loan(&app.client).await);
    let repaid = done(&app.client, repayment(loan, 5_000), 201).await;
    let id = &repaid.body["repayment_id"];
    for (loan, repayment) in [(other_loan, id), (loan, &json!(4_711)), (loan, &json!(0)), (loan, &json!(-1))] {
        let answer = reversal(loan, repayment).send(&app.client).await;
        assert_problem(&answer, 404, "not-found", "repayment_id");
    }
    assert_problem(&reversal(4_711, id).send(&app.client).await, 404, "not-found", "loan_id");
    done(&app.client, reversal(loan, id), 201).await;
    assert_problem(&reversal(loan, id).send(&app.client).await, 409, "already-reversed", "repayment_id");
    app.stop().await;
}

#[tokio::test]
async fn a_loan_that_is_not_there_is_not_found() {
    let app = TestApp::start().await;
    for change in [repayment(4_711, 1), settlement(4_711, 1), write_off(4_711), write_off(0)] {
        for change in [change.clone(), change.at("*")] {
            assert_problem(&change.send(&app.client).await, 404, "not-found", "loan_id");
        }
    }
    assert_problem(&write_off(4_711).at("\"1\"").send(&app.client).await, 404, "not-found", "loan_id");
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_request_is_named_and_has_no_effect() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (_, loan) = a_loan(&app.client).await;
    let id = done(&app.client, repayment(loan, 5_000), 201).await.body["repayment_id"].clone();
    let reversing = format!("repayments/{id}/reversal");
    let events = count(&pool, "events").await;
    let long = "x".repeat(201);
    let cases: [(&str, Value, &[&str]); 19] = [
        ("settlement", json!({}), &["amount"]),
        ("settlement", json!({ "amount": 0 }), &["amount"]),
        ("settlement", json!({ "amount": "1.001" }), &["amount"]),
        ("settlement", json!({ "amount": 1, "paid_on": "31.12.2026" }), &["paid_on"]),
        ("settlement", json!({ "amount": true, "paid_on": 7, "reference": "" }), &["amount", "paid_on", "reference"]),
        ("settlement", json!({ "amount": 1, "reason": "x" }), &["reason"]),
        ("settlement", json!([]), &["body"]),
        (&reversing, json!({}), &["reason"]),
        (&reversing, json!({ "reason": null }), &["reason"]),
        (&reversing, json!({ "reason": 7 }), &["reason"]),
        (&reversing, json!({ "reason": "  " }), &["reason"]),
        (&reversing, json!({ "reason": "two\nlines" }), &["reason"]),
        (&reversing, json!({ "reason": long }), &["reason"]),
        (&reversing, json!({ "reason": "x", "amount": 1 }), &["amount"]),
        ("write-off", json!({}), &["reason"]),
        ("write-off", json!({ "reason": ["x"] }), &["reason"]),
        ("write-off", json!({ "reason": long }), &["reason"]),
        ("write-off", json!({ "reason": "x", "force": true }), &["force"]),
        ("write-off", json!("x"), &["body"]),
    ];
    for (rest, body, fields) in cases {
        let answer = Change::of_loan(loan, rest, body.clone()).send(&app.client).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, fields.to_vec()), "{rest} {body}: {}", answer.body);
    }
    for rest in ["settlement?x=1", "write-off?x=1", &format!("{reversing}?x=1"), "repayments?x=1"] {
        let answer = Change::of_loan(loan, rest, json!({ "reason": "x", "amount": 1 })).send(&app.client).await;
        assert_problem(&answer, 400, "invalid-request", "x");
    }
    assert_eq!(count(&pool, "events").await, events);
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_path_is_named() {
    let app = TestApp::start().await;
    let (_, loan) = a_loan(&app.client).await;
    let reason = json!({ "reason": "x" });
    let post = async |path: &str| app.client.post(path, &reason).await;
    for (path, field) in [
        ("/v1/loans/abc/write-off".to_owned(), "loan_id"),
        ("/v1/loans/abc/repayments/1/reversal".to_owned(), "loan_id"),
        (format!("/v1/loans/{loan}/repayments/1.5/reversal"), "repayment_id"),
        (format!("/v1/loans/{loan}/repayments/%20/reversal"), "repayment_id"),
    ] {
        assert_problem(&post(&path).await, 400, "invalid-request", field);
    }
    let garbled = post(&format!("/v1/loans/{loan}/repayments/%ff/reversal")).await;
    assert_problem(&garbled, 400, "invalid-request", "path");
    let wrong_method = app.client.request(Method::GET, &format!("/v1/loans/{loan}/write-off"));
    assert_eq!(app.client.send(wrong_method).await.status, 405);
    app.stop().await;
}
