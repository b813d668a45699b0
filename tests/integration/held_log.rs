//! What holds the log and what does not (G4): appenders that end in every order, one that stays open for long and is
//! named, one that is prepared; and on the other side long transactions and index builds of others, which hold nothing.

use std::time::Duration;

use credit_approval::store::gap::{LongAppender, long_appenders};
use credit_approval::store::tail::{LogTail, Tailed, settled_head};
use reqwest::Method;
use rstest::rstest;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::log::{append, empty_log};
use crate::support::sql::count;
use crate::support::wait::eventually_within;

const PATIENCE: Duration = Duration::from_secs(30);
/// Too short for anybody who is waited for to end.
const IMPATIENCE: Duration = Duration::from_millis(50);
/// So many looks at a held log in a row show that it stays held.
const LOOKS_AT_HELD: usize = 10;
/// So many looks at a log that nobody holds are enough to come to its end.
const LOOKS: usize = 1000;
/// What a client that takes its time calls itself.
const SLOW: &str = "slow-importer";
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
/// What the build of an index waits for at last, as PostgreSQL calls it.
const OLD_SNAPSHOTS: &str = "waiting for old snapshots";

async fn append_and_commit(pool: &PgPool) -> i64 {
    append(&mut pool.acquire().await.unwrap()).await
}

/// Appends over the gap that a transaction leaves which overlaps and rolls back.
async fn append_behind_a_gap(pool: &PgPool) -> i64 {
    let mut lost = pool.begin().await.unwrap();
    append(&mut lost).await;
    let kept = append_and_commit(pool).await;
    lost.rollback().await.unwrap();
    kept
}

/// A connection of a client with a name.
async fn connect_as(name: &str, pool: &PgPool) -> PgConnection {
    PgConnectOptions::clone(&pool.connect_options()).application_name(name).connect().await.unwrap()
}

/// A transaction that has read the log and goes on seeing it as it is now.
async fn take_snapshot(connection: &mut PgConnection) -> i64 {
    sqlx::query("set transaction isolation level repeatable read").execute(&mut *connection).await.unwrap();
    count(connection, "events").await
}

/// What the tail gives until it stays held, or is at the head.
async fn given(tail: &mut LogTail) -> Vec<i64> {
    let (mut given, mut held) = (Vec::new(), 0);
    while held < LOOKS_AT_HELD {
        match tail.next().await.unwrap() {
            Tailed::Events(events) => given.extend(events.iter().map(|event| event.position)),
            Tailed::AtHead => break,
            Tailed::Held(_) => held += 1,
        }
    }
    given
}

/// What the tail gives up to the head, which nobody keeps it from.
async fn all(tail: &mut LogTail) -> Vec<i64> {
    let mut all = Vec::new();
    for _ in 0..LOOKS {
        match tail.next().await.unwrap() {
            Tailed::Events(events) => all.extend(events.iter().map(|event| event.position)),
            Tailed::AtHead => return all,
            Tailed::Held(_) => {}
        }
    }
    panic!("the log is stalled at {}", tail.position());
}

/// On whom alone the log is said to wait, as soon as it is said.
async fn waited_for(pool: &PgPool) -> LongAppender {
    let mut named = Vec::new();
    eventually_within("somebody is named", PATIENCE, async || {
        named = long_appenders(pool).await.unwrap();
        !named.is_empty()
    })
    .await;
    assert_eq!(named.len(), 1, "{named:?}");
    named.remove(0)
}

/// Three appenders draw positions by turns and end in that order, each as `commits` says.
async fn overlap(pool: &PgPool, tail: &mut LogTail, order: [usize; 3], commits: [bool; 3]) {
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Some((pool.begin().await.unwrap(), Vec::new())));
    }
    for _ in 0..2 {
        for (transaction, drawn) in open.iter_mut().flatten() {
            drawn.push(append(transaction).await);
        }
    }
    let (mut committed, mut read) = (Vec::new(), Vec::new());
    for place in order {
        let (transaction, drawn) = open[place].take().unwrap();
        if commits[place] {
            transaction.commit().await.unwrap();
            committed.extend(drawn);
        } else {
            transaction.rollback().await.unwrap();
        }
        read.extend(given(tail).await);
        let still_open = open.iter().flatten().filter_map(|(_, drawn)| drawn.first()).min();
        let waits = still_open.is_none_or(|first| read.iter().all(|position| position < first));
        assert!(waits, "{order:?} {commits:?}: {read:?} was given while {still_open:?} could still be committed");
    }
    read.extend(all(tail).await);
    committed.sort_unstable();
    assert_eq!(read, committed, "{order:?} {commits:?}");
}

#[tokio::test]
async fn in_whatever_order_appenders_end_the_log_gives_what_they_committed() {
    let pool = empty_log().await;
    let mut tail = LogTail::new(pool.clone(), 0);
    for order in ORDERS {
        for committing in 0..8_u8 {
            let commits = [0, 1, 2].map(|place| (committing >> place) & 1 == 1);
            overlap(&pool, &mut tail, order, commits).await;
        }
    }
}

#[tokio::test]
async fn an_appender_that_stays_open_is_waited_for_and_named() {
    let pool = empty_log().await;
    let mut tail = LogTail::new(pool.clone(), 0);
    let before = append_and_commit(&pool).await;
    let mut connection = connect_as(SLOW, &pool).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let mut slow = connection.begin().await.unwrap();
    let held = append(&mut slow).await;
    let after = append_and_commit(&pool).await;

    assert_eq!(given(&mut tail).await, [before], "what comes before it passes");
    let named = waited_for(&pool).await;
    assert_eq!((named.pid, named.application.as_deref()), (Some(pid), Some(SLOW)));
    assert_eq!((named.state.as_deref(), named.seconds >= 1), (Some("idle in transaction"), true), "{named:?}");
    assert!(given(&mut tail).await.is_empty(), "no time makes its gap a dead one");
    assert_eq!(settled_head(&pool, IMPATIENCE).await.unwrap(), None);

    slow.commit().await.unwrap();
    assert_eq!(all(&mut tail).await, [held, after]);
    assert!(long_appenders(&pool).await.unwrap().is_empty());
    assert_eq!(settled_head(&pool, PATIENCE).await.unwrap(), Some(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_on_whom_the_log_waits_and_earlier_writes_have_passed() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    let earlier = app.client.register(50_000).await;
    let mut connection = connect_as(SLOW, &pool).await;
    let mut slow = connection.begin().await.unwrap();
    append(&mut slow).await;
    let request = app.client.request(Method::POST, "/register").header("Prefer", "respond-async");
    let later = app.client.send(request.json(&registration(50_000))).await;
    assert_eq!(later.status, 201, "{}", later.body);

    eventually_within("it is said on whom the log waits", PATIENCE, async || {
        let status = app.client.get("/v1/projections").await;
        status.body["log"]["waiting_for"][0]["application"] == SLOW
    })
    .await;
    assert_eq!(app.client.get(&format!("/view-loans/{earlier}")).await.status, 200);
    let customers: Vec<i64> =
        sqlx::query_scalar("select customer_id from read_models.customers").fetch_all(&pool).await.unwrap();
    assert_eq!(customers, [earlier], "what comes after the open transaction waits for it");

    slow.rollback().await.unwrap();
    let path = format!("/view-loans/{}", later.body["customer_id"]);
    let token = later.header("consistency-token");
    let seen = app.client.send(app.client.request(Method::GET, &path).header("Consistency-Token", token)).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let status = app.client.get("/v1/projections").await;
    assert_eq!(status.body["log"]["waiting_for"].as_array().map(Vec::len), Some(0), "{}", status.body);
    app.stop().await;
}

#[tokio::test]
async fn long_transactions_and_index_builds_of_others_hold_nothing() {
    let pool = empty_log().await;
    let first = append_and_commit(&pool).await;
    sqlx::query("create table big as select n from generate_series(1, 200000) n").execute(&pool).await.unwrap();
    let (mut reading, mut indexing) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    assert_eq!(take_snapshot(&mut reading).await, 1);
    sqlx::query("delete from big where n < 1000").execute(&mut *indexing).await.unwrap();
    sqlx::query("create index on big (n)").execute(&mut *indexing).await.unwrap();

    let mut tail = LogTail::new(pool.clone(), 0);
    assert_eq!(all(&mut tail).await, [first]);
    for _ in 0..10 {
        let kept = append_behind_a_gap(&pool).await;
        assert_eq!(all(&mut tail).await, [kept]);
        assert_eq!(settled_head(&pool, PATIENCE).await.unwrap(), Some(kept));
    }
    assert!(long_appenders(&pool).await.unwrap().is_empty(), "nobody waits for them");
    assert_eq!(count(&mut *reading, "events").await, 1, "the transaction has lasted all the while");
    reading.rollback().await.unwrap();
    indexing.rollback().await.unwrap();
}

/// What the build of an index is doing, where one is under way.
async fn build_phase(pool: &PgPool) -> Option<String> {
    sqlx::query_scalar("select phase from pg_stat_progress_create_index where datname = current_database()")
        .fetch_optional(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_index_of_the_log_that_is_built_concurrently_holds_nothing() {
    let pool = empty_log().await;
    let mut tail = LogTail::new(pool.clone(), 0);
    let first = append_and_commit(&pool).await;
    assert_eq!(all(&mut tail).await, [first]);
    let mut snapshot = pool.begin().await.unwrap();
    assert_eq!(take_snapshot(&mut snapshot).await, 1);
    let building = tokio::spawn({
        let pool = pool.clone();
        async move { sqlx::query("create index concurrently on events (event_type)").execute(&pool).await.map(drop) }
    });
    eventually_within("the build waits for the snapshot", PATIENCE, async || {
        build_phase(&pool).await.as_deref() == Some(OLD_SNAPSHOTS)
    })
    .await;

    for _ in 0..10 {
        let kept = append_behind_a_gap(&pool).await;
        assert_eq!(all(&mut tail).await, [kept]);
        assert_eq!(settled_head(&pool, PATIENCE).await.unwrap(), Some(kept));
    }
    assert_eq!(build_phase(&pool).await.as_deref(), Some(OLD_SNAPSHOTS), "it was under way all the while");
    snapshot.rollback().await.unwrap();
    tokio::time::timeout(PATIENCE, building).await.expect("the build ends").unwrap().unwrap();
}

#[rstest]
#[case::committed(true)]
#[case::rolled_back(false)]
#[tokio::test]
async fn a_prepared_appender_is_waited_for_and_named(#[case] commits: bool) {
    let pool = empty_log().await;
    let prepared_at_most: String = sqlx::query_scalar("show max_prepared_transactions").fetch_one(&pool).await.unwrap();
    assert_ne!(prepared_at_most, "0", "the tests' PostgreSQL takes prepared transactions");
    let gid = format!("transfer-{}", uuid::Uuid::now_v7());
    let mut tail = LogTail::new(pool.clone(), 0);
    let mut connection = connect_as(SLOW, &pool).await;
    sqlx::raw_sql("begin").execute(&mut connection).await.unwrap();
    let prepared = append(&mut connection).await;
    let kept = append_and_commit(&pool).await;
    assert!(given(&mut tail).await.is_empty(), "it is waited for while it runs");

    sqlx::raw_sql(&format!("prepare transaction '{gid}'")).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(given(&mut tail).await.is_empty(), "it is waited for after its client is gone");
    let mut beginning = LogTail::new(pool.clone(), 0);
    assert!(given(&mut beginning).await.is_empty(), "also by those who have not known it before");
    assert_eq!(settled_head(&pool, IMPATIENCE).await.unwrap(), None);
    let named = waited_for(&pool).await;
    assert_eq!((named.pid, named.application.as_deref()), (None, Some(gid.as_str())), "{named:?}");
    assert_eq!((named.state.as_deref(), named.seconds >= 1), (Some("prepared"), true), "{named:?}");
    assert!(given(&mut tail).await.is_empty(), "no time makes its gap a dead one");

    let (ending, expected) =
        if commits { ("commit prepared", vec![prepared, kept]) } else { ("rollback prepared", vec![kept]) };
    sqlx::raw_sql(&format!("{ending} '{gid}'")).execute(&pool).await.unwrap();
    assert_eq!(all(&mut tail).await, expected);
    assert_eq!(all(&mut beginning).await, expected);
    assert!(long_appenders(&pool).await.unwrap().is_empty());
}
