//! Rebuilds where customers are parked: whoever is parked stays so, and nobody is parked by a rebuild.

use projections::rebuilds::Phase;
use serde_json::json;

use super::{
    accept, borrow_unseen, learn_to_read, neighbours, only_parked, parked, redrive, refuse, repay_with_a_newer_build,
    the_one_parked,
};
use crate::support::TestApp;
use crate::support::projections::until_state;
use crate::support::rebuilds::{bytes, done, ended, leftovers, reached, request};
use crate::support::sql::execute;
use crate::support::traffic::{borrow, loans_of, repay};
use crate::support::verified::assert_verified;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_parked_stays_parked_and_the_others_are_rebuilt() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let first = borrow(&app.client, a).await;
    let theirs = borrow(&app.client, b).await;
    repay_with_a_newer_build(&pool, &app.client, first).await;
    let second = borrow(&app.client, a).await;
    let before = the_one_parked(&app.client, "loans", a).await;
    let rows = bytes(&pool).await;
    execute(&pool, "update read_models.loans set principal = 1").await;

    done(&pool, request(&app.client, "loans").await).await;
    assert_eq!(bytes(&pool).await, rows, "everybody's, up to where they are parked");
    let after = the_one_parked(&app.client, "loans", a).await;
    for kept in ["position", "event_type", "parked_at"] {
        assert_eq!(after[kept], before[kept], "{after}");
    }
    assert!(after["attempts"].as_i64() > before["attempts"].as_i64(), "it was tried again: {after}");
    assert_eq!(until_state(&app.client, "loans", "parked").await["parked"], 1);
    only_parked(&pool, 4).await;
    // What comes in afterwards is withheld in the new table as in the old one.
    let third = borrow(&app.client, a).await;
    let more_of_theirs = borrow(&app.client, b).await;
    assert_eq!(loans_of(&app.client, a).await, [first]);
    assert_eq!(loans_of(&app.client, b).await, [theirs, more_of_theirs]);
    assert_eq!(redrive(&app.client, "loans", &json!({})).await["redriven"], json!([]));

    learn_to_read(&pool).await;
    // A rebuild that comes to the end of a customer's events has redriven it.
    done(&pool, request(&app.client, "loans").await).await;
    assert!(parked(&app.client, "loans").await.is_empty());
    assert_eq!(loans_of(&app.client, a).await, [first, second, third]);
    for name in ["customers", "credit_profiles", "decisions"] {
        redrive(&app.client, name, &json!({})).await;
    }
    repay(&app.client, first, 5_000).await;
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_would_park_somebody_fails_closed() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let loans = [borrow(&app.client, a).await, borrow(&app.client, a).await];
    borrow(&app.client, b).await;
    let rows = bytes(&pool).await;
    // A build that has forgotten how to read what an earlier one has applied.
    let forgotten = format!("event_type = 'LoanOpened' and aggregate_id = '{}'", loans[1]);
    execute(&pool, &format!("update events set event_version = '9.0' where {forgotten}")).await;

    let failed = ended(&pool, request(&app.client, "loans").await).await;
    let error = failed.error.unwrap_or_default();
    assert_eq!(failed.phase, Phase::Failed, "{error}");
    assert!(error.contains(&format!("customer {a} cannot be rebuilt in loans, which serves it now")), "{error}");
    let alone = app.client.post("/v1/projections/loans/rebuild", &json!({ "customer_id": a })).await;
    assert_eq!((alone.status, &alone.body["rebuilt"]), (200, &json!(false)), "{}", alone.body);
    assert!(alone.body["error"].as_str().is_some_and(|error| error.contains("version 9.0")), "{}", alone.body);
    assert_eq!(bytes(&pool).await, rows, "the old rows serve");
    assert_eq!(loans_of(&app.client, a).await, loans);
    assert!(parked(&app.client, "loans").await.is_empty());
    assert_eq!(leftovers(&pool).await, [""; 0]);

    learn_to_read(&pool).await;
    done(&pool, request(&app.client, "loans").await).await;
    assert_eq!(bytes(&pool).await, rows);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_rows_the_database_refuses_stays_parked_and_the_others_are_rebuilt() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let first = borrow(&app.client, a).await;
    let no_more = format!("check (customer_id <> {a} or loan_id <= {first})");
    execute(&pool, &format!("alter table read_models.loans add constraint no_more {no_more}")).await;
    let second = borrow_unseen(&app.client, a).await;
    let theirs = borrow(&app.client, b).await;
    let third = borrow_unseen(&app.client, a).await;
    let before = the_one_parked(&app.client, "loans", a).await;
    let rows = bytes(&pool).await;
    execute(&pool, "update read_models.loans set principal = 1").await;

    done(&pool, request(&app.client, "loans").await).await;
    assert_eq!(bytes(&pool).await, rows, "everybody's, up to where they are parked");
    let after = the_one_parked(&app.client, "loans", a).await;
    assert_eq!((&after["position"], &after["parked_at"]), (&before["position"], &before["parked_at"]), "{after}");
    only_parked(&pool, 1).await;

    execute(&pool, "alter table read_models.loans drop constraint no_more").await;
    assert_eq!(redrive(&app.client, "loans", &json!({})).await["redriven"], json!([a]));
    assert_eq!(loans_of(&app.client, a).await, [first, second, third]);
    assert_eq!(loans_of(&app.client, b).await, [theirs]);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_breaks_its_connection_again_and_again_is_given_up() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let first = borrow(&app.client, a).await;
    // The rebuild waits with its first range, while more comes in that it has to catch up with.
    let mut notes = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.rebuild_ranges in share mode").execute(&mut *notes).await.unwrap();
    let rebuild_id = request(&app.client, "loans").await;
    reached(&pool, rebuild_id, Phase::Filling).await;
    refuse(&pool, a, "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1)").await;
    borrow_unseen(&app.client, a).await;
    notes.rollback().await.unwrap();

    let failed = ended(&pool, rebuild_id).await;
    let error = failed.error.unwrap_or_default();
    assert_eq!(failed.phase, Phase::Failed, "{error}");
    assert!(error.contains("without making progress"), "{error}");
    assert_eq!(leftovers(&pool).await, [""; 0]);
    let theirs = borrow(&app.client, b).await;
    assert_eq!((loans_of(&app.client, a).await, loans_of(&app.client, b).await), (vec![first], vec![theirs]));
    accept(&pool).await;
    done(&pool, request(&app.client, "loans").await).await;
    assert_verified(&pool).await;
    app.stop().await;
}
