//! Following the log while transactions commit out of order: nothing is skipped, and nothing but an appender holds
//! the log back (G4).

use std::collections::HashSet;
use std::time::Duration;

use credit_approval::store::tail::{LogTail, Tailed, settled_head};
use rand::RngExt;
use sqlx::{PgPool, Postgres, Transaction};

use crate::support::log::{append, empty_log};

const PATIENCE: Duration = Duration::from_secs(30);

async fn begin(pool: &PgPool) -> Transaction<'static, Postgres> {
    pool.begin().await.unwrap()
}

async fn positions(tail: &mut LogTail) -> Vec<i64> {
    match tail.next().await.unwrap() {
        Tailed::Events(events) => events.iter().map(|event| event.position).collect(),
        Tailed::AtHead | Tailed::Held(_) => Vec::new(),
    }
}

/// Looks until something comes; every look before that must find the log held.
async fn next_positions(tail: &mut LogTail) -> Vec<i64> {
    for _ in 0..1000 {
        let found = positions(tail).await;
        if !found.is_empty() {
            return found;
        }
    }
    panic!("the log is stalled at {}", tail.position());
}

async fn assert_held(tail: &mut LogTail) {
    for _ in 0..20 {
        let found = tail.next().await.unwrap();
        assert!(matches!(found, Tailed::Held(_)), "{found:?}");
    }
}

#[tokio::test]
async fn an_event_that_commits_late_is_waited_for() {
    let pool = empty_log().await;
    let mut tail = LogTail::new(pool.clone(), 0);
    let (mut first, mut second, mut third) = (begin(&pool).await, begin(&pool).await, begin(&pool).await);
    assert_eq!(append(&mut first).await, 1);
    assert_eq!(append(&mut second).await, 2);
    assert_eq!(append(&mut third).await, 3);

    third.commit().await.unwrap();
    assert_held(&mut tail).await;
    first.commit().await.unwrap();
    assert_eq!(next_positions(&mut tail).await, [1]);
    assert_held(&mut tail).await;
    second.commit().await.unwrap();
    assert_eq!(next_positions(&mut tail).await, [2, 3]);
    assert!(matches!(tail.next().await.unwrap(), Tailed::AtHead));
}

#[tokio::test]
async fn a_gap_that_a_rollback_left_is_passed() {
    let pool = empty_log().await;
    let mut tail = LogTail::new(pool.clone(), 0);
    let mut lost = begin(&pool).await;
    append(&mut lost).await;
    let mut kept = begin(&pool).await;
    append(&mut kept).await;
    kept.commit().await.unwrap();
    assert_held(&mut tail).await;
    lost.rollback().await.unwrap();
    assert_eq!(next_positions(&mut tail).await, [2]);
}

#[tokio::test]
async fn a_later_appender_does_not_hold_an_older_gap() {
    let pool = empty_log().await;
    let mut tail = LogTail::new(pool.clone(), 0);
    let mut lost = begin(&pool).await;
    append(&mut lost).await;
    let mut kept = begin(&pool).await;
    append(&mut kept).await;
    kept.commit().await.unwrap();
    assert_held(&mut tail).await;
    // Begins after the gap was seen, so it cannot fill it.
    let mut later = begin(&pool).await;
    assert_eq!(append(&mut later).await, 3);
    lost.rollback().await.unwrap();
    assert_eq!(next_positions(&mut tail).await, [2]);
    later.commit().await.unwrap();
    assert_eq!(next_positions(&mut tail).await, [3]);
}

#[tokio::test]
async fn transactions_that_write_no_events_hold_nothing() {
    let pool = empty_log().await;
    let mut unrelated = begin(&pool).await;
    sqlx::query("insert into phone_numbers values ('12345', 1)").execute(&mut *unrelated).await.unwrap();
    sqlx::query("select count(*) from events").execute(&mut *unrelated).await.unwrap();
    let mut lost = begin(&pool).await;
    append(&mut lost).await;
    let mut kept = begin(&pool).await;
    append(&mut kept).await;
    kept.commit().await.unwrap();
    lost.rollback().await.unwrap();
    // Building an index locks writers out, and is no writer itself.
    let mut indexing = begin(&pool).await;
    sqlx::query("create index on events (recorded_at)").execute(&mut *indexing).await.unwrap();

    let mut tail = LogTail::new(pool.clone(), 0);
    assert_eq!(next_positions(&mut tail).await, [2]);
    assert_eq!(settled_head(&pool, PATIENCE).await.unwrap(), Some(2));
    indexing.rollback().await.unwrap();
    unrelated.rollback().await.unwrap();
}

#[tokio::test]
async fn the_settled_head_waits_for_those_before_it() {
    let pool = empty_log().await;
    let mut early = begin(&pool).await;
    append(&mut early).await;
    let mut late = begin(&pool).await;
    append(&mut late).await;
    late.commit().await.unwrap();

    let looking = tokio::spawn({
        let pool = pool.clone();
        async move { settled_head(&pool, PATIENCE).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!looking.is_finished(), "position 1 could still be committed");
    early.commit().await.unwrap();
    assert_eq!(looking.await.unwrap(), Some(2));
}

/// Appends in overlapping transactions of random length, some of which roll back; answers what was committed.
async fn append_at_random(pool: PgPool, seed: u64) -> Vec<i64> {
    let mut random = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
    let mut committed = Vec::new();
    for _ in 0..60 {
        let mut transaction = begin(&pool).await;
        let mut drawn = Vec::new();
        for _ in 0..random.random_range(1..4) {
            drawn.push(append(&mut transaction).await);
            tokio::time::sleep(Duration::from_micros(random.random_range(0..3000))).await;
        }
        if random.random_bool(0.3) {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
            committed.append(&mut drawn);
        }
    }
    committed
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_of_commits_the_log_is_read_whole_and_in_order() {
    let pool = empty_log().await;
    let writers: Vec<_> = (0..8).map(|seed| tokio::spawn(append_at_random(pool.clone(), seed))).collect();
    let mut tail = LogTail::new(pool.clone(), 0);
    let mut read = Vec::new();
    loop {
        let writing = writers.iter().any(|writer| !writer.is_finished());
        let found = tail.next().await.unwrap();
        match found {
            Tailed::Events(events) => read.extend(events.iter().map(|event| event.position)),
            Tailed::AtHead if !writing => break,
            Tailed::AtHead | Tailed::Held(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    let mut committed = HashSet::new();
    for writer in writers {
        committed.extend(writer.await.unwrap());
    }
    assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "out of order");
    assert_eq!(read.iter().copied().collect::<HashSet<_>>(), committed);
    assert!(*read.last().unwrap() > i64::try_from(committed.len()).unwrap(), "some gaps were dead");
}
