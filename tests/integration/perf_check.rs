//! `perf-check` finds what somebody broke, says what to do about it, and finds nothing where nothing is wrong.

use std::path::PathBuf;

use credit_approval::config::Serve;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::log::{hold_the_log, migrated};
use crate::support::process::{Ran, binary, run};
use crate::support::servers::scratch_dir;
use crate::support::sql::execute;
use crate::support::wait::eventually;

async fn store() -> (Serve, PgPool) {
    let config = TestApp::config(&[]).await;
    let pool = migrated(config.store.database_url.as_ref().unwrap()).await;
    (config, pool)
}

/// The findings, as JSON.
async fn findings(config: &Serve, arguments: &[&str]) -> Vec<Value> {
    let ran = run(config, &[&["perf-check", "--json", "--fail-on", "never"], arguments].concat()).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.said, ran.complained);
    let reports: Vec<Value> = serde_json::from_str(&ran.said).unwrap();
    assert_eq!(reports.len(), 1, "both are in one database: {}", ran.said);
    assert_eq!(reports[0]["holds"], "the log and the read models");
    reports[0]["findings"].as_array().unwrap().clone()
}

/// The one finding of that kind about that subject.
fn one<'f>(findings: &'f [Value], code: &str, subject: &str) -> &'f Value {
    let found: Vec<_> = findings.iter().filter(|found| found["code"] == code && found["subject"] == subject).collect();
    assert_eq!(found.len(), 1, "{code}, {subject}: {findings:#?}");
    found[0]
}

fn has(findings: &[Value], code: &str) -> bool {
    findings.iter().any(|found| found["code"] == code)
}

fn advises(finding: &Value, severity: &str, advice: &str) {
    assert_eq!(finding["severity"], severity, "{finding:#}");
    assert!(finding["advice"].as_str().unwrap().contains(advice), "{finding:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_missing_broken_or_there_twice_is_told() {
    let (config, pool) = store().await;
    let sound = findings(&config, &["--check-indexes"]).await;
    for code in ["missing_index", "invalid_index", "duplicate_index", "unused_index"] {
        assert!(!has(&sound, code), "{code}: {sound:#?}");
    }
    execute(
        &pool,
        "drop index read_models.loans_by_start;
         create index loans_by_amount_too on read_models.loans (principal, loan_id);
         create table other (id bigint, filler text);
         insert into other select id, repeat('x', 100) from generate_series(1, 50000) id;
         create index other_filler on other (filler, id);
         update pg_index set indisvalid = false where indexrelid = 'read_models.loans_by_end'::regclass",
    )
    .await;
    let found = findings(&config, &["--check-indexes"]).await;
    let made = "create index concurrently if not exists loans_by_start on read_models.loans (started_on, loan_id);";
    advises(one(&found, "missing_index", "loans_by_start"), "critical", made);
    let twice = one(&found, "duplicate_index", "read_models.loans_by_amount_too");
    advises(twice, "warning", "drop index concurrently read_models.loans_by_amount_too;");
    let broken = one(&found, "invalid_index", "read_models.loans_by_end");
    advises(broken, "critical", "reindex index concurrently read_models.loans_by_end;");
    advises(one(&found, "unused_index", "public.other_filler"), "info", "drop index concurrently public.other_filler;");
    assert!(!has(&found, "statements_not_counted"), "statements were not asked for");

    execute(&pool, made).await;
    assert!(!has(&findings(&config, &["--check-indexes"]).await, "missing_index"), "the advice is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_bloated_dead_or_scanned_is_told() {
    let (config, pool) = store().await;
    execute(
        &pool,
        "create table bloated (id bigint, filler text) with (autovacuum_enabled = off);
         insert into bloated select id, repeat('x', 100) from generate_series(1, 200000) id;
         delete from bloated where id <= 190000;
         create table dead (id bigint) with (autovacuum_enabled = off);
         insert into dead select generate_series(1, 50000);
         create table unknown (id bigint) with (autovacuum_enabled = off);
         insert into unknown select generate_series(1, 20000);
         create table scanned (id bigint) with (autovacuum_enabled = off);
         insert into scanned select generate_series(1, 20000);
         select pg_stat_force_next_flush()",
    )
    .await;
    // What is counted late is counted twice: once by what looks at the tables, and then again.
    execute(&pool, "vacuum bloated").await;
    execute(
        &pool,
        "analyze bloated, dead, scanned; delete from dead where id <= 30000; \
                    select pg_stat_force_next_flush()",
    )
    .await;
    for _ in 0..12 {
        execute(&pool, "select count(*) from scanned").await;
    }
    execute(&pool, "select pg_stat_force_next_flush()").await;
    let found = eventually("the counters are told", async || {
        let found = findings(&config, &["--check-indexes"]).await;
        let told = ["bloat", "dead_rows", "never_analysed", "sequential_scans"];
        told.iter().all(|code| has(&found, code)).then_some(found)
    })
    .await;
    advises(one(&found, "bloat", "public.bloated"), "warning", "vacuum full public.bloated");
    advises(one(&found, "dead_rows", "public.dead"), "warning", "vacuum (analyze, verbose) public.dead;");
    advises(one(&found, "never_analysed", "public.unknown"), "warning", "analyze public.unknown;");
    advises(one(&found, "sequential_scans", "public.scanned"), "warning", "--check-queries");
    for (code, subject) in
        [("bloat", "public.dead"), ("dead_rows", "public.bloated"), ("sequential_scans", "public.dead")]
    {
        assert!(!found.iter().any(|found| found["code"] == code && found["subject"] == subject), "{code}, {subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_up_the_log_or_vacuum_is_named() {
    let (config, pool) = store().await;
    assert!(!has(&findings(&config, &["--long-transaction", "1"]).await, "long_transaction"));
    let appender = hold_the_log(&pool).await;
    let found = eventually("it has taken long enough", async || {
        let found = findings(&config, &["--long-transaction", "1"]).await;
        has(&found, "log_held").then_some(found)
    })
    .await;
    let held = found.iter().find(|found| found["code"] == "log_held").unwrap();
    let pid = held["subject"].as_str().unwrap();
    advises(held, "warning", &format!("select pg_terminate_backend({pid});"));
    assert!(held["what"].as_str().unwrap().contains("month-end is about to append for"), "{held:#}");
    let long = one(&found, "long_transaction", pid);
    assert!(long["what"].as_str().unwrap().contains("idle in transaction"), "{long:#}");
    appender.rollback().await.unwrap();
    let found = findings(&config, &["--long-transaction", "1"]).await;
    assert!(!has(&found, "log_held") && !has(&found, "long_transaction"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_products_statements_and_the_slowest_are_explained() {
    let (config, pool) = store().await;
    let uncounted = findings(&config, &["--check-queries"]).await;
    advises(one(&uncounted, "statements_not_counted", "pg_stat_statements"), "info", "create extension");
    assert!(!has(&uncounted, "plan_scans"), "an empty table is scanned, rightly");
    execute(
        &pool,
        "create extension pg_stat_statements;
         insert into read_models.loans
             (loan_id, customer_id, principal, interest_rate, tenure, instalment, instalments_paid, started_on, ends_on,
              opened_at, next_due_on)
         select id, 1 + id % 5000, 1000 + id, 12, 12, 500, 3, date '2016-01-01' + id % 3000, date '2017-01-01' + id % 3000,
                timestamptz '2020-01-01 00:00Z' + id * interval '3 minutes', current_date + id % 30
         from generate_series(1, 20000) id;
         analyze read_models.loans",
    )
    .await;
    let sound = findings(&config, &["--check-queries"]).await;
    assert!(!has(&sound, "plan_scans"), "{sound:#?}");
    execute(&pool, "drop index read_models.loans_by_start; drop index read_models.loans_by_customer_start").await;
    for phone in 0..6 {
        sqlx::query(
            "select pg_sleep(0.03), customer_id from read_models.loans where principal = $1 or loan_id = 98765",
        )
        .bind(rust_decimal::Decimal::from(1_001 + phone))
        .execute(&pool)
        .await
        .unwrap();
    }
    let found = findings(&config, &["--check-queries", "--slow-ms", "20"]).await;
    let scanned = found.iter().find(|found| found["code"] == "plan_scans").expect("loans by start");
    advises(scanned, "critical", "--check-indexes");
    advises(scanned, "critical", "analyze read_models.loans;");
    assert_eq!(
        (scanned["subject"].as_str(), scanned["what"].as_str()),
        (Some("read_models.loans"), Some("whoever asks for loans by start reads all of read_models.loans"))
    );
    let slow = found.iter().find(|found| found["subject"].as_str().unwrap().contains("pg_sleep")).expect("it is slow");
    advises(slow, "warning", "the plan shows");
    assert!(slow["what"].as_str().unwrap().contains("called 6 times"), "{slow:#}");
    let plan: Vec<_> = slow["details"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(plan.iter().any(|line| line.contains("on loans")), "{slow:#}");
    assert!(!slow.to_string().contains("98765"), "no value of anybody's: {slow:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_is_what_was_asked_for() {
    let (config, pool) = store().await;
    // These servers are told to forget a power cut.
    let grave = run(&config, &["perf-check"]).await;
    assert_eq!(grave.code, Some(1), "{}", grave.said);
    assert!(grave.said.contains("critical  fsync is off"), "{}", grave.said);
    assert!(grave.said.contains("do   alter system set fsync = 'on'"), "{}", grave.said);
    assert!(grave.complained.contains("findings want looking at"), "{}", grave.complained);
    let database: String = sqlx::query_scalar("select current_database()::text").fetch_one(&pool).await.unwrap();
    assert!(grave.said.starts_with(&format!("{database}: the log and the read models, PostgreSQL ")), "{}", grave.said);
    assert_eq!(run(&config, &["perf-check", "--fail-on", "never"]).await.code, Some(0));
    assert_eq!(run(&config, &["perf-check", "--slow-ms", "0"]).await.code, Some(2));

    let empty = TestApp::config(&[]).await;
    let found = findings(&empty, &[]).await;
    advises(one(&found, "no_schema", "migrations"), "critical", "credit-approval migrate");
}

/// A data directory that goes with the test.
struct Data(PathBuf);

impl Data {
    async fn run(&self, arguments: &[&str]) -> Ran {
        let mut program = binary();
        let output = program.args(arguments).arg("--data-dir").arg(&self.0).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), said: text(output.stdout), complained: text(output.stderr) }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_private_server_gives_nothing_to_complain_of() {
    let data = Data(scratch_dir("perf"));
    let made = data.run(&["migrate"]).await;
    assert_eq!(made.code, Some(0), "{}", made.complained);
    let ran = data.run(&["perf-check", "--fail-on", "warning", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.said, ran.complained);
    let reports: Vec<Value> = serde_json::from_str(&ran.said).unwrap();
    let found = reports[0]["findings"].as_array().unwrap();
    assert!(!has(found, "statements_not_counted"), "the private server counts statements: {found:#?}");
}
