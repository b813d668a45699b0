//! Whoever works on a rebuild may die: another process goes on where it was, and does again nothing that is done.

use std::process::Stdio;

use credit_approval::config::{Role, Serve};
use credit_approval::replay::Replay;
use credit_approval::store::migrate::migrate;
use projections::Projection;
use projections::rebuilds::{self, Phase};
use reqwest::Method;
use rstest::rstest;
use sqlx::PgPool;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, end_waiting, filled, waiting};
use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::log::hold_the_log;
use crate::support::process::program;
use crate::support::rebuilds::{bytes, done, find, leftovers, reached};
use crate::support::sql::execute;
use crate::support::traffic::assert_serving;
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

/// One range holds about ten thousand events, so these are two.
const CUSTOMERS: i64 = 12_000;

/// A database whose log speaks of many customers and whose read models are empty.
async fn long_log() -> (Serve, PgPool) {
    let config = TestApp::config(&[]).await;
    let pool = connect(&config).await;
    migrate(&pool, &pool).await.unwrap();
    execute(
        &pool,
        &format!(
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             select 'customer', id::text, 1, 'CustomerRegistered', '1.0',
                    json_build_object('CustomerRegistered', json_build_object(
                        'customer_id', id,
                        'personal', json_build_object('first_name', 'Asha', 'last_name', 'Rao', 'age', 30,
                                                      'phone_number', (7000000000 + id)::text),
                        'monthly_income', '80000.00',
                        'approved_limit', '2900000.00',
                        'registered_at', '2026-03-14T09:26:53.589793Z')),
                    json_build_object('customer_id', id::text)
             from generate_series(1, {CUSTOMERS}) id;
             insert into phone_numbers select (7000000000 + id)::text, id from generate_series(1, {CUSTOMERS}) id;
             select setval('customer_ids', {CUSTOMERS})"
        ),
    )
    .await;
    (config, pool)
}

async fn connect(config: &Serve) -> PgPool {
    PgPool::connect(config.store.database_url.as_ref().expect("tests name a database")).await.unwrap()
}

/// The rebuild under way, once its first range is filled in; its second is held.
async fn half_filled(pool: &PgPool) -> i64 {
    eventually("the first range is filled in", async || filled(pool).await.first().copied()).await;
    assert_eq!(filled(pool).await, [0], "the second is held");
    rebuilds::unfinished(pool).await.unwrap().expect("it is under way").rebuild_id
}

fn rebuild_all(config: &Serve) -> Child {
    let mut program = program(config);
    program.args(["rebuild", "--all"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// The tables hold what the whole log makes of them, and no range was filled in more than once.
async fn assert_filled_once(pool: &PgPool) {
    assert_eq!(filled(pool).await, [0, 10_000]);
    assert_eq!(leftovers(pool).await, [""; 0]);
    assert!(assert_verified(pool).await.rows >= 2 * u64::try_from(CUSTOMERS).unwrap());
}

#[rstest]
#[case::while_filling(Phase::Filling)]
#[case::while_catching_up(Phase::CatchingUp)]
#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_where_a_killed_command_was(#[case] phase: Phase) {
    let (config, pool) = long_log().await;
    let gate = Gate::close(&pool, 0).await;
    let mut command = rebuild_all(&config);
    let rebuild_id = half_filled(&pool).await;
    let mut appender = None;
    let mut gate = Some(gate);
    if phase == Phase::CatchingUp {
        // It lets the rest be filled in, and then holds the log, so that there is no end to catching up.
        appender = Some(hold_the_log(&pool).await);
        gate.take().expect("it is closed").open().await;
    }
    let left = reached(&pool, rebuild_id, phase).await;
    // SIGKILL: nothing of it is put in order.
    command.kill().await.unwrap();
    if let Some(gate) = gate {
        gate.open().await;
    }
    if let Some(appender) = appender {
        appender.rollback().await.unwrap();
    }
    assert_eq!(find(&pool, rebuild_id).await.finished_at, None);

    let app = TestApp::start_with(config).await;
    let rebuilt = done(&pool, rebuild_id).await;
    assert_ne!(rebuilt.process, left.process, "another process has finished it");
    assert_serving(&app.client).await;
    assert_filled_once(&pool).await;
    app.stop().await;
}

/// What replays as a process of its own would.
async fn replay(config: &Serve, process: &str) -> Replay {
    let pool = connect(config).await;
    Replay { log: pool.clone(), read_models: pool, process: process.to_owned() }
}

#[rstest]
#[case::died(true)]
#[case::was_told_to_stop(false)]
#[tokio::test(flavor = "multi_thread")]
async fn another_goes_on_where_the_first_was(#[case] died: bool) {
    let (config, pool) = long_log().await;
    let gate = Gate::close(&pool, 0).await;
    let first = replay(&config, "first").await;
    let rebuild = rebuilds::request(&pool, &Projection::ALL).await.unwrap().expect("none is under way");
    let lock = first.lock().await.unwrap().expect("nobody works on it");
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let working = tokio::spawn(async move { first.run(rebuild, lock, &stopping).await });
    let rebuild_id = half_filled(&pool).await;
    let second = replay(&config, "second").await;
    assert!(second.lock().await.unwrap().is_none(), "one works on it at a time");
    if died {
        working.abort();
        assert!(working.await.unwrap_err().is_cancelled());
    } else {
        stop.cancel();
        working.await.unwrap().unwrap();
    }
    let left = find(&pool, rebuild_id).await;
    assert_eq!((left.phase, left.process.as_deref()), (Phase::Filling, Some("first")));
    assert_eq!(bytes(&pool).await.each_ref().map(Vec::len), [0; 4], "half of it serves nobody");
    gate.open().await;

    let stop = CancellationToken::new();
    eventually("the second ends it", async || {
        // Nothing to do for as long as the first one's connection is not found to be gone.
        second.take_up(&stop).await.unwrap();
        find(&pool, rebuild_id).await.finished_at
    })
    .await;
    let rebuilt = done(&pool, rebuild_id).await;
    assert_eq!((rebuilt.process.as_deref(), rebuilt.events), (Some("second"), CUSTOMERS));
    assert_filled_once(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_ends_whoever_works_on_it_is_given_up() {
    const AT_MOST: usize = 20;
    let app = TestApp::start_with(Serve { roles: vec![Role::Api], ..TestApp::config(&[]).await }).await;
    let pool = app.pool().await;
    let write = app.client.request(Method::POST, "/register").header("Prefer", "respond-async");
    assert_eq!(app.client.send(write.json(&registration(50_000))).await.status, 201);
    let _gate = Gate::close(&pool, -1).await;
    let requested = rebuilds::request(&pool, &Projection::ALL).await.unwrap().expect("none is under way");
    let mut deaths = 0;
    while find(&pool, requested.rebuild_id).await.finished_at.is_none() {
        assert!(deaths < AT_MOST, "it would go on for ever");
        let worker = replay(&app.config, "one of many").await;
        let working = tokio::spawn(async move { worker.take_up(&CancellationToken::new()).await });
        // It comes to the gate, or ends.
        eventually("it waits or ends", async || {
            let ended = find(&pool, requested.rebuild_id).await.finished_at.is_some();
            working.is_finished() || ended || waiting(&pool).await > 0
        })
        .await;
        if waiting(&pool).await > 0 {
            deaths += 1;
        }
        working.abort();
        eventually("nothing of it is left", async || end_waiting(&pool).await == 0).await;
    }
    assert!(deaths > 1, "once may be chance");
    let failed = find(&pool, requested.rebuild_id).await;
    assert_eq!(failed.phase, Phase::Failed);
    assert!(failed.error.is_some_and(|error| error.contains("ended without making progress")));
    assert_eq!(leftovers(&pool).await, [""; 0]);
    app.stop().await;
}
