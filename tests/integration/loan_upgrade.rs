//! Loans that a version before this one made: nothing is answered from the columns that it did not fill in, and a rebuild
//! in the background fills them in.

use projections::rebuilds;
use serde_json::json;

use crate::support::TestApp;
use crate::support::client::application;
use crate::support::rebuilds::done;
use crate::support::sql::execute;
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

/// As the version before left its rows.
const DOWNGRADE: &str = "
    update read_models.checkpoints set version = 2 where projection = 'loans';
    update read_models.loans
        set revision = 1, repayments = null, next_due_on = null, instalments_paid_on_time = 0";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_from_rows_of_which_the_half_is_missing() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    let lent = app.client.post("/create-loan", &application(customer, 100_000, 12, 12)).await;
    let loan = lent.body["loan_id"].as_i64().expect("it is approved");
    let repaid = app.client.post(&format!("/v1/loans/{loan}/repayments"), &json!({ "amount": 8_884.88 })).await;
    assert_eq!(repaid.status, 201, "{}", repaid.body);
    let paths = ["", "/schedule", "/repayments"].map(|rest| format!("/v1/loans/{loan}{rest}"));
    let paths: Vec<_> = paths.into_iter().chain([format!("/v1/loans?customer_id={customer}")]).collect();
    let mut before = Vec::new();
    for path in &paths {
        before.push(app.client.get(path).await.body);
    }
    let config = app.config.clone();
    app.stop().await;
    execute(&pool, DOWNGRADE).await;

    // The rebuild cannot note that it has filled anything in, so that it can be looked at.
    let mut notes = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.rebuild_ranges in share mode").execute(&mut *notes).await.unwrap();
    let app = TestApp::start_with(config).await;
    let rebuild = eventually("a rebuild is asked for", async || rebuilds::unfinished(&pool).await.unwrap()).await;
    for path in &paths {
        let answer = app.client.get(path).await;
        let kind = json!("urn:credit-approval:problem:not-filled-yet");
        assert_eq!((answer.status, &answer.body["type"]), (503, &kind), "{path}: {}", answer.body);
    }
    assert_eq!(app.client.get(&format!("/view-loan/{loan}")).await.status, 200, "what needs none of it is answered");

    notes.rollback().await.unwrap();
    done(&pool, rebuild.rebuild_id).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(app.client.get(path).await.body, before, "{path}");
    }
    assert_verified(&pool).await;
    app.stop().await;
}
