//! A rebuild fails closed: where the new tables do not hold exactly what the whole log makes of them, the old ones
//! serve on, and the operator is told why.

use projections::rebuilds::Phase;
use rstest::rstest;
use sqlx::{PgPool, Postgres, Transaction};

use super::tables;
use crate::support::log::hold_the_log;
use crate::support::process::run;
use crate::support::projections::{status_of, until_state};
use crate::support::rebuilds::{bytes, done, ended, leftovers, reached, request};
use crate::support::sql::{count, execute};
use crate::support::traffic::assert_serving;
use crate::support::verified::assert_verified;
use crate::support::{Client, TestApp};

const CUSTOMERS: usize = 8;

/// Does something behind a rebuild's back, in the moment in which it enters a phase.
async fn meddle(pool: &PgPool, phase: &str, what: &str) {
    execute(
        pool,
        &format!(
            "create function read_models.meddle() returns trigger language plpgsql as $$ begin
                 {what};
                 return null;
             end $$;
             create trigger meddle after update on read_models.rebuilds for each row
                 when (old.phase is distinct from new.phase and new.phase = '{phase}')
                 execute function read_models.meddle()"
        ),
    )
    .await;
}

#[rstest]
#[case::a_row_is_changed(
    "checking",
    "update read_models.loans_rebuild set principal = principal + 1
     where loan_id = (select min(loan_id) from read_models.loans_rebuild)",
    "the rebuilt table of loans holds 8 rows with checksum"
)]
#[case::a_row_is_lost(
    "checking",
    "delete from read_models.loans_rebuild where loan_id = (select max(loan_id) from read_models.loans_rebuild)",
    "the rebuilt table of loans holds 7 rows with checksum"
)]
#[case::a_row_is_doubled(
    "checking",
    "insert into read_models.loans_rebuild select * from read_models.loans_rebuild limit 1",
    "the rebuilt table of loans holds 9 rows with checksum"
)]
#[case::customers_are_left_out(
    "filling",
    "insert into read_models.rebuild_ranges values (new.rebuild_id, 0, 4, 0, '{0}', '{0}')",
    "events were folded, of 40 up to position"
)]
#[case::a_range_is_forgotten(
    "checking",
    "delete from read_models.rebuild_ranges",
    "0 events were folded, of 40 up to position"
)]
#[case::a_key_stands_twice(
    "indexing",
    "insert into read_models.loans_rebuild select * from read_models.loans_rebuild limit 1",
    "the database refused the rebuilt rows"
)]
#[tokio::test(flavor = "multi_thread")]
async fn new_tables_that_are_not_what_was_folded_never_serve(
    #[case] phase: &str,
    #[case] what: &str,
    #[case] expected: &str,
) {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    for _ in 0..CUSTOMERS {
        assert_serving(&app.client).await;
    }
    let (rows, before) = (bytes(&pool).await, tables(&pool).await);
    meddle(&pool, phase, what).await;
    let failed = ended(&pool, request(&app.client, "loans").await).await;
    let error = failed.error.unwrap_or_default();
    assert_eq!(failed.phase, Phase::Failed, "{error}");
    assert!(error.contains(expected), "{error}");

    assert_eq!(bytes(&pool).await, rows, "the old rows serve");
    assert_eq!(tables(&pool).await[2].0, before[2].0, "the old table serves");
    assert_eq!(leftovers(&pool).await, [""; 0]);
    let item = status_of(&app.client, "loans").await;
    assert_eq!((&item["rebuild"]["phase"], &item["rebuild"]["error"]), (&"failed".into(), &error.clone().into()));
    until_state(&app.client, "loans", "live").await;
    let ran = run(&app.config, &["rebuild", "loans"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.complained.contains("the rebuild failed, and the old tables serve: "), "{}", ran.complained);
    assert_serving(&app.client).await;

    execute(&pool, "drop trigger meddle on read_models.rebuilds").await;
    done(&pool, request(&app.client, "loans").await).await;
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_would_go_with_the_old_table_keeps_it() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    assert_serving(&app.client).await;
    let rows = bytes(&pool).await;
    execute(&pool, "create view month_end as select sum(principal) from read_models.loans").await;
    let failed = ended(&pool, request(&app.client, "loans").await).await;
    let error = failed.error.unwrap_or_default();
    assert_eq!(failed.phase, Phase::Failed, "{error}");
    assert!(error.contains("view month_end stands on loans"), "{error}");
    assert_eq!((bytes(&pool).await, leftovers(&pool).await), (rows, Vec::new()));
    execute(&pool, "select * from month_end; drop view month_end").await;
    done(&pool, request(&app.client, "loans").await).await;
    app.stop().await;
}

/// A rebuild of loans whose tables are filled and indexed, and which waits for the log to settle.
async fn nearly_done(pool: &PgPool, client: &Client) -> (i64, Transaction<'static, Postgres>) {
    let mut notes = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.rebuild_ranges in share mode").execute(&mut *notes).await.unwrap();
    let rebuild_id = request(client, "loans").await;
    reached(pool, rebuild_id, Phase::Filling).await;
    let appender = hold_the_log(pool).await;
    notes.rollback().await.unwrap();
    reached(pool, rebuild_id, Phase::CatchingUp).await;
    (rebuild_id, appender)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_added_meanwhile_is_not_lost() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    assert_serving(&app.client).await;
    let (rebuild_id, appender) = nearly_done(&pool, &app.client).await;
    execute(&pool, "create index loans_opened_at on read_models.loans (opened_at)").await;
    appender.rollback().await.unwrap();
    done(&pool, rebuild_id).await;
    let index = "pg_indexes where indexname = 'loans_opened_at' and tablename = 'loans'";
    assert_eq!(count(&pool, index).await, 1);
    assert_eq!(leftovers(&pool).await, [""; 0]);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_added_meanwhile_is_not_lost() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    assert_serving(&app.client).await;
    let (rebuild_id, appender) = nearly_done(&pool, &app.client).await;
    execute(&pool, "alter table read_models.loans add column note text").await;
    appender.rollback().await.unwrap();
    let failed = ended(&pool, rebuild_id).await;
    let error = failed.error.unwrap_or_default();
    assert_eq!(failed.phase, Phase::Failed, "{error}");
    assert!(error.contains("the columns of loans have changed"), "{error}");
    assert_eq!(leftovers(&pool).await, [""; 0]);
    done(&pool, request(&app.client, "loans").await).await;
    execute(&pool, "update read_models.loans set note = 'kept'").await;
    app.stop().await;
}
