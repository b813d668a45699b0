//! Rebuilding read models while they serve: nobody notices but by what was wrong and is right again (G7, G9).
//!
//! - `gate`: holds a rebuild half-way
//! - `refusals`: new tables that are not what was folded never serve
//! - `crash`: whoever works on a rebuild may die
//! - `requests`: asking for one, for one customer alone, and stopping it
//! - `versions`: read models that another version of the product made

mod crash;
mod gate;
mod refusals;
mod requests;
mod versions;

use projections::rebuilds::Phase;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::log::hold_the_log;
use crate::support::process::run;
use crate::support::projections::{status_of, until_state};
use crate::support::rebuilds::{bytes, done, find, leftovers, reached, request};
use crate::support::sql::{count, execute};
use crate::support::traffic::{Traffic, assert_serving, borrow, loans_of, repay};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

const NAMES: [&str; 4] = ["customers", "loans", "credit_profiles", "decisions"];

/// Columns, indexes, keys, triggers and grants of the read models' tables.
async fn shape(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "with live as (
             select oid, relname::text as name, relacl from pg_class
             where relnamespace = 'read_models'::regnamespace and relname = any($1))
         select name || ' ' || attnum || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
         from live join pg_attribute on attrelid = live.oid where attnum > 0
         union all select indexdef from pg_indexes where schemaname = 'read_models' and tablename = any($1)
         union all select name || ' ' || conname || ' ' || pg_get_constraintdef(pg_constraint.oid)
         from live join pg_constraint on conrelid = live.oid where contype in ('p', 'u', 'c')
         union all select pg_get_triggerdef(pg_trigger.oid) from live join pg_trigger on tgrelid = live.oid
         where not tgisinternal
         union all select name || ' ' || grantee || ' ' || privilege_type || ' ' || is_grantable
         from live, aclexplode(relacl)
         order by 1",
    )
    .bind(NAMES.to_vec())
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Which tables the read models' names stand for, and how many rows the planner believes them to have.
async fn tables(pool: &PgPool) -> Vec<(i64, i64)> {
    sqlx::query_as(
        "select oid::bigint, reltuples::bigint from pg_class
         where relnamespace = 'read_models'::regnamespace and relname = any($1) order by relname",
    )
    .bind(NAMES.to_vec())
    .fetch_all(pool)
    .await
    .unwrap()
}

/// What an operator may have added to the tables.
async fn add_of_an_operators_own(pool: &PgPool) {
    let reporter = format!("reporter_{}", uuid::Uuid::now_v7().simple());
    execute(
        pool,
        &format!(
            "create index loans_long on read_models.loans (interest_rate desc, tenure) where tenure > 12;
             create unique index customers_phone_number on read_models.customers (phone_number);
             create index customers_name on read_models.customers using hash (lower(last_name));
             create function read_models.notice() returns trigger language plpgsql as $$ begin return new; end $$;
             create trigger \"Notice\" after update of principal on read_models.loans
                 for each row when (old.* is distinct from new.*) execute function read_models.notice();
             create role {reporter};
             grant select on read_models.loans to {reporter} with grant option;
             grant select, update on read_models.customers to {reporter};
             grant select on read_models.credit_profiles to public"
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_quiet_system_a_rebuild_changes_no_byte_and_no_index() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    for _ in 0..10 {
        assert_serving(&app.client).await;
    }
    add_of_an_operators_own(&pool).await;
    let (rows, made_like, before) = (bytes(&pool).await, shape(&pool).await, tables(&pool).await);
    assert_eq!(rows.each_ref().map(Vec::len), [10; 4]);
    let events = count(&pool, "events").await;
    for name in NAMES.repeat(2) {
        let rebuilt = done(&pool, request(&app.client, name).await).await;
        assert_eq!((rebuilt.events, rebuilt.events_total), (events, Some(events)), "{name}");
        assert_eq!((bytes(&pool).await, shape(&pool).await), (rows.clone(), made_like.clone()), "{name}");
    }
    for _ in 0..2 {
        let ran = run(&app.config, &["rebuild", "--all"]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.complained);
        assert!(ran.said.contains(&format!("rebuilt from {events} events")), "{}", ran.said);
        assert_eq!((bytes(&pool).await, shape(&pool).await), (rows.clone(), made_like.clone()));
    }
    for ((old, _), (new, expected_rows)) in before.into_iter().zip(tables(&pool).await) {
        assert_ne!(new, old, "another table serves");
        assert_eq!(expected_rows, 10, "the planner knows how large it is");
    }
    assert_eq!(leftovers(&pool).await, [""; 0]);
    assert_verified(&pool).await;
    assert_serving(&app.client).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_everything_is_rebuilt_again_and_again() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let pool = app.pool().await;
    let traffic = [Traffic::of_everything(&app.client, 2), Traffic::of_everything(&other.client, 2)];
    for name in NAMES {
        done(&pool, request(&other.client, name).await).await;
    }
    for _ in 0..3 {
        let ran = run(&app.config, &["rebuild", "--all"]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.complained);
    }
    for traffic in traffic {
        assert!(traffic.stop().await > 0, "somebody asked for something");
    }
    assert_verified(&pool).await;
    // Quiet now, and what was swapped in under traffic is what is folded at leisure.
    let rows = bytes(&pool).await;
    let ran = run(&app.config, &["rebuild", "--all"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert_eq!(bytes(&pool).await, rows);
    other.stop().await;
    app.stop().await;
}

/// The principal of a loan as its clients are told it.
async fn told(client: &Client, loan: i64) -> Value {
    let answer = client.get(&format!("/view-loan/{loan}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["loan_amount"].clone()
}

/// Writes a wrong principal into the live table, by hand.
async fn corrupt(pool: &PgPool, loan: i64) {
    execute(pool, &format!("update read_models.loans set principal = 1 where loan_id = {loan}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered_from_the_old_table_until_the_new_one_is_complete() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    corrupt(&pool, loan).await;
    // First it waits for an appender, then for the note that its first range is filled in.
    let appender = hold_the_log(&pool).await;
    let mut notes = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.rebuild_ranges in share mode").execute(&mut *notes).await.unwrap();
    let rebuild_id = request(&app.client, "loans").await;
    eventually("somebody takes it up", async || find(&pool, rebuild_id).await.process).await;
    assert_eq!(find(&pool, rebuild_id).await.phase, Phase::Waiting);
    assert_eq!(told(&app.client, loan).await, 1, "wrong as it is");

    appender.rollback().await.unwrap();
    reached(&pool, rebuild_id, Phase::Filling).await;
    let item = until_state(&app.client, "loans", "rebuilding").await;
    assert_eq!((&item["rebuild"]["phase"], &item["rebuild"]["events_total"]), (&json!("filling"), &json!(3)), "{item}");
    assert_eq!(told(&app.client, loan).await, 1, "wrong as it is");
    // Writes go on, and are seen at once.
    let meanwhile = borrow(&app.client, customer).await;
    repay(&app.client, meanwhile, 5_000).await;
    assert_eq!(loans_of(&app.client, customer).await, [loan, meanwhile]);

    notes.rollback().await.unwrap();
    done(&pool, rebuild_id).await;
    assert_eq!(told(&app.client, loan).await, 100_000);
    assert_eq!(loans_of(&app.client, customer).await, [loan, meanwhile]);
    assert_eq!(status_of(&app.client, "loans").await["rebuild"]["phase"], "done");
    assert_verified(&pool).await;
    app.stop().await;
}

#[rstest]
#[case::customers("customers", "update read_models.customers set age = 99")]
#[case::loans("loans", "delete from read_models.loans")]
#[case::credit_profiles("credit_profiles", "truncate read_models.credit_profiles")]
#[case::decisions("decisions", "update read_models.decisions set assessment = '{}'")]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_became_of_a_table_is_mended(#[case] name: &str, #[case] damage: &str) {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    for _ in 0..3 {
        assert_serving(&app.client).await;
    }
    let rows = bytes(&pool).await;
    execute(&pool, damage).await;
    assert_ne!(bytes(&pool).await, rows);
    done(&pool, request(&app.client, name).await).await;
    assert_eq!(bytes(&pool).await, rows);
    app.stop().await;
}
