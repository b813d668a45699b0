//! What becomes of requests while the shared windows cannot be asked.

use std::time::{Duration, Instant};

use credit_approval::access::Caller;
use credit_approval::config::{RateLimits, WithoutWindows};
use credit_approval::limits::Verdict;

use super::shared::{Process, database, key};
use super::{ask, config, limits};
use crate::support::TestApp;
use crate::support::sql::number;
use crate::support::wait::eventually;

const TAKE_AWAY: &str = "alter table rate_limit_windows rename to elsewhere";
const BRING_BACK: &str = "alter table elsewhere rename to rate_limit_windows";
const GRANTED: &str = "select sum(granted)::bigint from rate_limit_windows";

#[tokio::test]
async fn open_means_that_each_process_counts_by_itself_and_settles_afterwards() {
    let pool = database().await;
    let process = Process::start(&limits(20, 20), &pool);
    let (known, unknown) = (key("known", None), key("unknown", None));
    assert_eq!(process.granted(&known, 5).await, 5);

    sqlx::query(TAKE_AWAY).execute(&pool).await.unwrap();
    assert_eq!(process.granted(&known, 30).await, 15, "what was left of its hour");
    assert_eq!(process.granted(&unknown, 30).await, 20, "a whole hour");
    assert!(process.counted("failures_total") >= 1);
    assert!(process.counted("unchecked_total{outcome=\"refused\"}") >= 10);

    sqlx::query(BRING_BACK).execute(&pool).await.unwrap();
    eventually("what was let through is charged", async || {
        for caller in [&known, &unknown] {
            assert!(!matches!(process.check(caller).await, Verdict::Granted(_)));
        }
        number(&pool, GRANTED).await >= 40
    })
    .await;
    // What was let through meanwhile is charged, so that other processes know.
    let another = Process::start(&limits(20, 20), &pool);
    assert_eq!(another.granted(&unknown, 5).await, 0);
    assert_eq!(another.granted(&known, 5).await, 0);
    process.stop().await;
    another.stop().await;
}

#[tokio::test]
async fn closed_means_that_nothing_goes_through_that_was_not_leased() {
    let closed = RateLimits { rate_limit_failure: WithoutWindows::Closed, ..limits(50, 50) };
    let app = TestApp::start_with(config(closed).await).await;
    let pool = app.pool().await;
    sqlx::query(TAKE_AWAY).execute(&pool).await.unwrap();
    let refused = ask(&app).await;
    assert_eq!(refused.status, 503, "{:?}", refused.body);
    assert_eq!(refused.body["type"], "urn:credit-approval:problem:rate-limits-unknown");
    assert_eq!(refused.header("retry-after"), "1");

    sqlx::query(BRING_BACK).execute(&pool).await.unwrap();
    eventually("the windows are asked again", async || ask(&app).await.status != 503).await;
    // Five were leased with the first one: four are left to be spent.
    sqlx::query(TAKE_AWAY).execute(&pool).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(ask(&app).await.status == 503);
    }
    assert_eq!(statuses, [false, false, false, false, true, true]);
    app.stop().await;
}

#[tokio::test]
async fn a_database_that_hangs_keeps_nobody_waiting() {
    let pool = database().await;
    let process = Process::start(&limits(20, 20), &pool);
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("lock table rate_limit_windows in access exclusive mode").execute(&mut *holder).await.unwrap();
    let started = Instant::now();
    let mut waits = Vec::new();
    while started.elapsed() < Duration::from_millis(900) {
        let asked = Instant::now();
        assert!(matches!(process.check(&Caller::Anonymous).await, Verdict::Granted(_)));
        waits.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(waits[0] < Duration::from_secs(2), "{waits:?}");
    let rest = &waits[1..];
    assert!(rest.len() > 2 && rest.iter().all(|wait| *wait < Duration::from_millis(200)), "{waits:?}");
    holder.rollback().await.unwrap();
    process.stop().await;
}
