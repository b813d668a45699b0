//! A database that was there before the read model: it follows the log at once, a rebuild in the background fills in what
//! came before, and until then it says so rather than answering from half of it.

use std::time::{Duration, Instant};

use projections::rebuilds::{self, Phase};
use serde_json::json;
use sqlx::PgPool;

use super::{apply, page, shown};
use crate::support::TestApp;
use crate::support::log::hold_the_log;
use crate::support::process::run;
use crate::support::projections::status_of;
use crate::support::rebuilds::done;
use crate::support::sql::{count, execute};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

const NOT_FILLED: &str = "urn:credit-approval:problem:not-filled-yet";
/// A command that waits for the history would wait for longer.
const AT_ONCE: Duration = Duration::from_secs(5);

/// As the version before left its database.
async fn downgrade(pool: &PgPool) {
    execute(
        pool,
        "drop table read_models.decisions;
         delete from read_models.checkpoints where projection = 'decisions';
         delete from read_models.workers where projection = 'decisions';
         delete from _sqlx_migrations where version = 1006",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_there_before_is_filled_in_in_the_background() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    let old = apply(&app.client, customer, 1_000, 14, 12).await;
    let config = app.config.clone();
    app.stop().await;
    downgrade(&pool).await;

    // The rebuild cannot note that it has filled anything in, so that it can be looked at.
    let mut notes = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.rebuild_ranges in share mode").execute(&mut *notes).await.unwrap();
    let app = TestApp::start_with(config).await;
    let rebuild = eventually("a rebuild is asked for", async || rebuilds::unfinished(&pool).await.unwrap()).await;
    assert_eq!(rebuild.projections, ["decisions"]);
    let began = Instant::now();
    let new = apply(&app.client, customer, 2_000, 14, 12).await;
    assert!(began.elapsed() < AT_ONCE, "no command waits for the history");
    assert_eq!(shown(&app.client, new).await["application"]["loan_amount"], 2_000, "what is new is seen at once");
    let body = json!({ "policy": "literal-1" });
    for answer in [
        app.client.get(&format!("/v1/decisions/{old}")).await,
        app.client.get("/v1/decisions").await,
        app.client.post("/v1/policies/backtest", &body).await,
    ] {
        assert_eq!((answer.status, &answer.body["type"]), (503, &json!(NOT_FILLED)), "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "5");
    }
    let status = status_of(&app.client, "decisions").await;
    assert_eq!((&status["version"], &status["rows_version"]), (&json!(1), &json!(0)), "{status}");
    let ran = run(&app.config, &["verify"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.said.starts_with("decisions is new and not filled in yet"), "{}", ran.said);
    assert!(ran.said.contains("result       1 difference"), "{}", ran.said);
    let ran = run(&app.config, &["backtest", "literal-1"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.complained.contains("being filled in for the first time"), "{}", ran.complained);

    notes.rollback().await.unwrap();
    done(&pool, rebuild.rebuild_id).await;
    assert_eq!(page(&app.client.get("/v1/decisions").await).0, [new, old]);
    assert_eq!(shown(&app.client, old).await["application"]["loan_amount"], 1_000);
    assert_eq!(status_of(&app.client, "decisions").await["rows_version"], 1);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_parked_elsewhere_is_parked_in_it_and_nobody_else_is_kept_waiting() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let [a, b] = [app.client.register(50_000).await, app.client.register(50_000).await];
    let of_a = apply(&app.client, a, 1_000, 14, 12).await;
    let of_b = apply(&app.client, b, 1_000, 14, 12).await;
    let config = app.config.clone();
    app.stop().await;
    downgrade(&pool).await;
    // An event that this build cannot read stands in the log already.
    let unreadable = format!("customer_id = {a} and event_type = 'LoanOpened'");
    execute(&pool, &format!("update events set event_version = '9.0' where {unreadable}")).await;

    let app = TestApp::start_with(config).await;
    let filled = eventually("it is filled in", async || {
        let latest = rebuilds::latest(&pool, projections::Projection::Decisions).await.unwrap();
        latest.filter(|rebuild| rebuild.finished_at.is_some())
    })
    .await;
    assert_eq!((filled.phase, filled.error), (Phase::Done, None));
    assert_eq!(page(&app.client.get("/v1/decisions").await).0, [of_b, of_a], "what came before the event is there");
    assert_eq!(status_of(&app.client, "decisions").await["parked"], 1);
    assert_eq!(count(&pool, "read_models.parked where projection = 'decisions'").await, 1);
    apply(&app.client, b, 2_000, 14, 12).await;

    execute(&pool, &format!("update events set event_version = '1.0' where {unreadable}")).await;
    let redriven = app.client.post("/v1/projections/decisions/redrive", &json!({})).await;
    assert_eq!(redriven.body["redriven"], json!([a]), "{}", redriven.body);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_has_nothing_to_fill_in() {
    let config = TestApp::config(&[]).await;
    let app = TestApp::start_with(config).await;
    let pool = app.pool().await;
    // Nothing is settled meanwhile: a rebuild that was asked for would be there still.
    let held = hold_the_log(&pool).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(rebuilds::unfinished(&pool).await.unwrap().is_none());
    assert_eq!(page(&app.client.get("/v1/decisions").await).0, [0; 0]);
    held.rollback().await.unwrap();
    app.stop().await;
}
