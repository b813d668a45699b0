//! Read models that another version of the product made: an earlier one's are rebuilt while they serve, a later one's
//! are left to it.

use credit_approval::config::Serve;
use projections::Projection;
use projections::rebuilds::{self, Phase};
use serde_json::json;
use sqlx::PgPool;

use super::{NAMES, corrupt, told};
use crate::support::TestApp;
use crate::support::leases::leases;
use crate::support::log::hold_the_log;
use crate::support::projections::{status_of, until_state};
use crate::support::rebuilds::{done, ended, request};
use crate::support::sql::execute;
use crate::support::traffic::{borrow, loans_of};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_made_is_rebuilt_by_itself_and_serves_meanwhile() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    let config = app.config.clone();
    app.stop().await;
    corrupt(&pool, loan).await;
    execute(&pool, "update read_models.checkpoints set version = 0").await;

    // The log is held, so that the rebuild can be looked at.
    let appender = hold_the_log(&pool).await;
    let app = TestApp::start_with(config).await;
    let rebuild = eventually("a rebuild is asked for", async || rebuilds::unfinished(&pool).await.unwrap()).await;
    assert_eq!(rebuild.projections, NAMES);
    let item = until_state(&app.client, "loans", "rebuilding").await;
    let version = json!(Projection::Loans.version());
    assert_eq!((&item["version"], &item["rows_version"]), (&version, &json!(0)), "{item}");
    assert_eq!(told(&app.client, loan).await, 1, "as the earlier version left it");
    appender.rollback().await.unwrap();

    done(&pool, rebuild.rebuild_id).await;
    assert_eq!(told(&app.client, loan).await, 100_000);
    for projection in Projection::ALL {
        let (version, item) = (json!(projection.version()), status_of(&app.client, projection.name()).await);
        assert_eq!((&item["version"], &item["rows_version"]), (&version, &version), "{item}");
    }
    assert_verified(&pool).await;
    let next = request(&app.client, "loans").await;
    assert_eq!(next, rebuild.rebuild_id + 1, "nobody has asked again");
    done(&pool, next).await;
    app.stop().await;
}

async fn checkpoint(pool: &PgPool, name: &str) -> Option<i64> {
    sqlx::query_scalar("select max(position) from read_models.checkpoints where projection = $1")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_keeps_is_left_to_it() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    let config = app.config.clone();
    app.stop().await;
    execute(&pool, "update read_models.checkpoints set version = 99 where projection = 'loans'").await;
    let stands_at = checkpoint(&pool, "loans").await;

    // A write waits in vain for the read model that nobody keeps, so not for long.
    let app = TestApp::start_with(Serve { visibility_timeout: 1, ..config.clone() }).await;
    eventually("the workers on loans rest", async || leases(&pool).await == [24]).await;
    let second = borrow(&app.client, customer).await;
    eventually("the other read models go on", async || {
        let scored = app.client.get(&format!("/v1/customers/{customer}/credit-score")).await;
        scored.body["loans"].as_array().is_some_and(|loans| loans.len() == 2)
    })
    .await;
    assert_eq!(loans_of(&app.client, customer).await, [loan], "queries are answered");
    assert_eq!(checkpoint(&pool, "loans").await, stands_at);
    let item = status_of(&app.client, "loans").await;
    assert_eq!(item["rows_version"], 99, "{item}");

    let refused = ended(&pool, request(&app.client, "loans").await).await;
    assert_eq!(refused.phase, Phase::Failed);
    assert!(refused.error.is_some_and(|error| error.contains("loans is kept by a newer version")));
    let alone = app.client.post("/v1/projections/loans/rebuild", &json!({ "customer_id": customer })).await;
    let outdated = json!("urn:credit-approval:problem:outdated");
    assert_eq!((alone.status, &alone.body["type"]), (409, &outdated), "{}", alone.body);
    assert_eq!(loans_of(&app.client, customer).await, [loan], "nothing was rebuilt");
    app.stop().await;

    // The newer version is gone again.
    let version = Projection::Loans.version();
    execute(&pool, &format!("update read_models.checkpoints set version = {version} where projection = 'loans'")).await;
    let app = TestApp::start_with(config).await;
    eventually("the loan is seen", async || loans_of(&app.client, customer).await == [loan, second]).await;
    assert_verified(&pool).await;
    app.stop().await;
}
