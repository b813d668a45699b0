//! Rebuilds where customers are parked: whoever is parked stays so, and nobody is parked by a rebuild.

use projections::rebuilds::Phase;
use serde_json::json;

use super::{learn_to_read, neighbours, only_parked, parked, redrive, repay_with_a_newer_build, the_one_parked};
use crate::projections_status::until_state;
use crate::rebuild::traffic::{borrow, loans_of, repay};
use crate::rebuild::{bytes, done, ended, execute, leftovers, request};
use crate::support::TestApp;
use crate::verify::assert_verified;

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
    only_parked(&pool, 3).await;
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
    for name in ["customers", "credit_profiles"] {
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
