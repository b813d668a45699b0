//! Migrations while others serve: made once however many start together, waited for by those who need them and by
//! nobody else, and never in the way of those who use the tables.

use std::borrow::Cow;
use std::time::Duration;

use credit_approval::store::migrate::{bring_up_to_date, migrate};
use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;

use crate::support::log::empty_log;
use crate::support::sql::{count, execute, number};

/// What must not wait for a migration is done within this time.
const SOON: Duration = Duration::from_secs(10);

fn migrator(migrations: &[(i64, &'static str, bool)]) -> Migrator {
    let migration = |&(version, sql, no_tx): &(i64, &'static str, bool)| {
        Migration::new(version, "of a test".into(), MigrationType::Simple, Cow::Borrowed(sql), no_tx)
    };
    Migrator { migrations: migrations.iter().map(migration).collect::<Vec<_>>().into(), ..Migrator::DEFAULT }
}

async fn use_table(pool: &PgPool) {
    execute(pool, "create table used (id bigint primary key); insert into used select generate_series(1, 1000)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_make_them_once() {
    let pool = empty_log().await;
    use_table(&pool).await;
    let mut starting = JoinSet::new();
    for _ in 0..6 {
        let pool = pool.clone();
        starting.spawn(async move {
            let next = migrator(&[
                (9001, "alter table used add column of_the_next text", false),
                (9002, "create index concurrently used_next on used (of_the_next)", true),
                (9003, "insert into used values (0)", false),
            ]);
            bring_up_to_date(&next, &pool).await
        });
    }
    while let Some(started) = starting.join_next().await {
        started.unwrap().expect("each of them finds the schema up to date in the end");
    }
    assert_eq!(count(&pool, "used").await, 1001);
    assert_eq!(count(&pool, "_sqlx_migrations where version > 9000").await, 3);
    let valid = "pg_index where indexrelid = 'used_next'::regclass and indisvalid";
    assert_eq!(count(&pool, valid).await, 1, "an index that nobody was held up by");
}

#[tokio::test]
async fn who_lacks_nothing_does_not_wait_for_who_migrates() {
    let pool = empty_log().await;
    let mut other = PgConnection::connect_with(&pool.connect_options()).await.unwrap();
    other.lock().await.unwrap();
    tokio::time::timeout(SOON, migrate(&pool, &pool)).await.expect("it does not wait").unwrap();

    // Who lacks something does, and goes on once the other has ended.
    let next = migrator(&[(9001, "create table made (id bigint)", false)]);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { bring_up_to_date(&next, &pool).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!waiting.is_finished(), "one migrates at a time");
    other.close().await.unwrap();
    tokio::time::timeout(SOON, waiting).await.expect("it goes on").unwrap().unwrap();
    assert_eq!(count(&pool, "made").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_use_is_waited_for_without_holding_up_its_users() {
    let pool = empty_log().await;
    use_table(&pool).await;
    let mut long = pool.begin().await.unwrap();
    assert_eq!(count(&mut *long, "used").await, 1000);
    let migrating = tokio::spawn({
        let pool = pool.clone();
        async move { bring_up_to_date(&migrator(&[(9001, "alter table used add column next text", false)]), &pool).await }
    });
    // Whoever came after the migration would wait for as long as it waits for the transaction.
    for id in 2000..2040 {
        let write = format!("insert into used values ({id})");
        tokio::time::timeout(SOON, execute(&pool, &write)).await.expect("the table's users go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!migrating.is_finished());
    long.commit().await.unwrap();
    tokio::time::timeout(SOON, migrating).await.expect("it comes through").unwrap().unwrap();
    assert_eq!(number(&pool, "select count(*) from used where next is null").await, 1040);
}

#[tokio::test]
async fn a_migration_that_reads_otherwise_is_refused() {
    let pool = empty_log().await;
    bring_up_to_date(&migrator(&[(9001, "create table made (id bigint)", false)]), &pool).await.unwrap();
    let other = migrator(&[(9001, "create table made (id text)", false)]);
    let error = bring_up_to_date(&other, &pool).await.unwrap_err();
    assert_eq!(error.to_string(), "migration 9001 was previously applied but has been modified");
}
