//! Importers that end in the middle: the import goes on, and comes out as if nothing had happened.

use std::time::{Duration, Instant};

use credit_approval::config::{Role, Serve};
use credit_approval::import::Job;
use reqwest::Method;
use serde_json::json;

use super::{assert_every_row_once, csv, ended, faulty, form, shown, tally, tally_of, uploaded};
use crate::import::{Scratch, imported, job, run};
use crate::support::TestApp;
use crate::support::log::empty_log;
use crate::support::process::RoleProcess;
use crate::support::sql::{count, execute, number};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);

/// Everything but importers, which are processes of their own.
async fn without_importer() -> TestApp {
    TestApp::start_with(Serve { roles: vec![Role::Api, Role::Projector], ..TestApp::config(&[]).await }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_importer_left_is_taken_up_within_seconds_and_counted_right() {
    let scratch = Scratch::new();
    let (customers, loans) = faulty(&scratch, 3000, 6000);
    let app = without_importer().await;
    let pool = app.pool().await;
    let mut first = RoleProcess::start(&app.config, "importer").await;
    let mut second = RoleProcess::start(&app.config, "importer").await;
    let id = uploaded(&app.client, form(Some(&customers), Some(&loans))).await;
    // Once among the customers and once among the loans, whichever of the two works on it.
    for (event, at_least) in [("CustomerImported", 1000), ("LoanImported", 2000)] {
        let so_many = format!("events where event_type = '{event}'");
        eventually("it is in the middle", async || count(&pool, &so_many).await >= at_least).await;
        assert_eq!(number(&pool, &format!("select count(*) {HOLDERS}")).await, 1, "one works on it");
        first.kill().await;
        second.kill().await;
        assert_eq!(shown(&app.client, id).await["state"], "running", "nobody has said otherwise");
        let before = imported(&pool).await;
        first = RoleProcess::start(&app.config, "importer").await;
        // From when there is somebody to take it up.
        let ready = Instant::now();
        second = RoleProcess::start(&app.config, "importer").await;
        eventually("another goes on", async || imported(&pool).await > before).await;
        assert!(ready.elapsed() < TAKEN_OVER_WITHIN, "taken over only after {:?}", ready.elapsed());
    }
    let import = ended(&app.client, id, "done").await;

    let direct_csv = scratch.0.join("rejects.csv");
    let direct = Job { notices: Some(direct_csv.clone()), ..job(Some(&customers), Some(&loans)) };
    let direct = run(&empty_log().await, &direct).await;
    assert_eq!(tally(&import["customers"]), tally_of(&direct.customers));
    assert_eq!(tally(&import["loans"]), tally_of(&direct.loans));
    assert_eq!(import["warnings"].as_u64(), Some(direct.warnings));
    assert_eq!(csv(&app.client, id).await, std::fs::read_to_string(direct_csv).unwrap());
    let imported = |tally: &credit_approval::import::report::Tally| i64::try_from(tally.imported).unwrap();
    assert_every_row_once(&pool, imported(&direct.customers), imported(&direct.loans)).await;
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_taken_up_again_is_cancelled_only_where_its_count_is_right() {
    let scratch = Scratch::new();
    let files = scratch.generated(4000, 10);
    let app = without_importer().await;
    let pool = app.pool().await;
    let mut first = RoleProcess::start(&app.config, "importer").await;
    let id = uploaded(&app.client, form(Some(&files.customers), Some(&files.loans))).await;
    eventually("it is in the middle", async || count(&pool, "events").await >= 1500).await;
    first.kill().await;
    let path = format!("/v1/imports/{id}");
    let asked = app.client.send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!((asked.status, &asked.body["state"]), (202, &json!("running")), "{}", asked.body);
    let _second = RoleProcess::start(&app.config, "importer").await;
    let cancelled = ended(&app.client, id, "cancelled").await;
    let (customers, loans) = imported(&pool).await;
    assert_eq!((i64::try_from(tally(&cancelled["customers"])[1]).unwrap(), loans), (customers, 0), "{cancelled}");
    assert!(customers < 4000, "it stopped");
    app.stop().await;
}

/// Sessions of this database that hold an import.
const HOLDERS: &str = "from pg_locks where locktype = 'advisory' and classid = 18765 and objsubid = 2
                       and database = (select oid from pg_database where datname = current_database())";

#[tokio::test(flavor = "multi_thread")]
async fn an_importer_that_loses_its_hold_goes_on_and_counts_right() {
    let scratch = Scratch::new();
    let files = scratch.generated(3000, 3000);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let id = uploaded(&app.client, form(Some(&files.customers), Some(&files.loans))).await;
    for at_least in [500, 2000] {
        eventually("it is in the middle", async || count(&pool, "events").await >= at_least).await;
        execute(&pool, &format!("select pg_terminate_backend(pid) {HOLDERS}")).await;
    }
    let import = ended(&app.client, id, "done").await;
    assert_eq!((tally(&import["customers"]), tally(&import["loans"])[1]), ([3000, 3000, 0, 0, 0], 3000), "{import}");
    assert_eq!(import["error"], json!(null), "what has been got over is not told");
    assert_every_row_once(&pool, 3000, 3000).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_importer_that_is_stopped_leaves_its_import_to_the_next() {
    let scratch = Scratch::new();
    let files = scratch.generated(3000, 3000);
    let everything = TestApp::start().await;
    let (config, pool) = (everything.config.clone(), everything.pool().await);
    let id = uploaded(&everything.client, form(Some(&files.customers), Some(&files.loans))).await;
    eventually("it is in the middle", async || count(&pool, "events").await >= 500).await;
    everything.stop().await;
    let left = "imports where state = 'waiting' and attempts = 1 and interruptions = 0 and rows_taken > 0";
    assert_eq!(count(&pool, left).await, 1);
    let next = TestApp::start_with(config).await;
    let import = ended(&next.client, id, "done").await;
    let loans = tally(&import["loans"]);
    assert_eq!((tally(&import["customers"]), loans[1]), ([3000, 3000, 0, 0, 0], 3000), "{import}");
    assert_every_row_once(&pool, 3000, 3000).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_takes_nothing_for_a_while_only_delays_it() {
    let scratch = Scratch::new();
    let (customers, _) = faulty(&scratch, 1500, 40);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    execute(&pool, "alter table events add constraint full_disk check (sequence < 0) not valid").await;
    let id = uploaded(&app.client, form(Some(&customers), None)).await;
    let interrupted = eventually("it was interrupted", async || {
        let import = shown(&app.client, id).await;
        import["error"].is_string().then_some(import)
    })
    .await;
    assert_eq!((&interrupted["state"], interrupted["ended_at"].is_null()), (&json!("running"), true), "{interrupted}");
    assert!(interrupted["error"].as_str().unwrap().contains("full_disk"), "{interrupted}");
    assert_eq!(count(&pool, "imports where retry_at > clock_timestamp() - interval '10 seconds'").await, 1);
    let excused = "imports where setbacks > 1 and interruptions = 0";
    eventually("it was tried again, and that counts for nothing", async || count(&pool, excused).await == 1).await;
    execute(&pool, "alter table events drop constraint full_disk").await;
    let import = ended(&app.client, id, "done").await;
    let direct = run(&empty_log().await, &job(Some(&customers), None)).await;
    assert_eq!(
        (tally(&import["customers"]), &import["error"]),
        (tally_of(&direct.customers), &json!(null)),
        "{import}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_lost_a_part_of_its_workbook_fails() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let app = without_importer().await;
    let pool = app.pool().await;
    let id = uploaded(&app.client, form(Some(&files.customers), Some(&files.loans))).await;
    execute(&pool, "delete from import_files where kind = 'loans'").await;
    let _importer = RoleProcess::start(&app.config, "importer").await;
    let failed = ended(&app.client, id, "failed").await;
    assert_eq!((&failed["error"], imported(&pool).await), (&json!("a part of the workbook is missing"), (0, 0)));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_every_importer_is_given_up() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let app = without_importer().await;
    let pool = app.pool().await;
    let id = uploaded(&app.client, form(Some(&files.customers), None)).await;
    execute(&pool, "update imports set state = 'running', attempts = 21, interruptions = 20, error = 'it broke'").await;
    let _importer = RoleProcess::start(&app.config, "importer").await;
    let failed = ended(&app.client, id, "failed").await;
    let error = failed["error"].as_str().unwrap_or_default();
    assert!(error.contains("21 times") && error.contains("it broke"), "{failed}");
    assert_eq!(imported(&pool).await, (0, 0));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_importer_that_comes_too_late_leaves_what_was_noticed_alone() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let app = without_importer().await;
    let pool = app.pool().await;
    let id = uploaded(&app.client, form(Some(&files.customers), None)).await;
    // It ends just when an importer has seen it waiting.
    let mut ends = pool.begin().await.unwrap();
    let end = "update imports set state = 'done', ended_at = clock_timestamp(), notices_attempt = 1, notices_kept = 1";
    sqlx::query(end).execute(&mut *ends).await.unwrap();
    let notice = "insert into import_notices select $1, 1, 'reject', 'c.xlsx', 'Sheet1', 2, null, 'is odd', attempt
                  from generate_series(0, 1) attempt";
    sqlx::query(notice).bind(id).execute(&mut *ends).await.unwrap();
    let _importer = RoleProcess::start(&app.config, "importer").await;
    eventually("an importer waits for it", async || number(&pool, &format!("select count(*) {HOLDERS}")).await == 1)
        .await;
    let waits = "pg_locks where not granted and locktype in ('transactionid', 'tuple')";
    eventually("it wants to write", async || count(&pool, waits).await > 0).await;
    ends.commit().await.unwrap();
    eventually("it has let go", async || number(&pool, &format!("select count(*) {HOLDERS}")).await == 0).await;
    assert_eq!(count(&pool, "import_notices").await, 2);
    assert!(csv(&app.client, id).await.contains("is odd"));
    app.stop().await;
}
