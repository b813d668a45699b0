//! Imports that had brought rows in when they were interrupted: what is told of them never shrinks, and what ends them
//! tells what is in the log.

use credit_approval::config::{Role, Serve};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{csv, ended, faulty, form, shown, tally, uploaded};
use crate::import::{Scratch, imported};
use crate::support::TestApp;
use crate::support::process::RoleProcess;
use crate::support::sql::{count, execute};
use crate::support::wait::eventually;

/// An API that nothing imports for, with an import that an importer has left in the middle of its customers.
async fn left_in_the_middle(scratch: &Scratch) -> (TestApp, PgPool, i64) {
    let (customers, loans) = faulty(scratch, 4000, 100);
    let roles = vec![Role::Api, Role::Projector];
    let app = TestApp::start_with(Serve { roles, ..TestApp::config(&[]).await }).await;
    let pool = app.pool().await;
    let mut importer = RoleProcess::start(&app.config, "importer").await;
    let id = uploaded(&app.client, form(Some(&customers), Some(&loans))).await;
    let taken = "imports where rows_taken >= 1000";
    eventually("it is in the middle", async || count(&pool, taken).await == 1).await;
    importer.kill().await;
    let (customers, loans) = imported(&pool).await;
    assert!(customers >= 900 && loans == 0, "{customers} customers and {loans} loans are in");
    // As if it had been killed between an append and what is written of it.
    let behind = "update imports set rows_taken = rows_taken - 100, customers = jsonb_set(jsonb_set(customers::jsonb,
                      '{imported}', to_jsonb((customers->>'imported')::int - 100)),
                      '{read}', to_jsonb((customers->>'read')::int - 100))::json";
    execute(&pool, behind).await;
    (app, pool, id)
}

async fn cancel(app: &TestApp, id: i64) -> Value {
    let request = app.client.request(Method::DELETE, &format!("/v1/imports/{id}"));
    let asked = app.client.send(request).await;
    assert_eq!((asked.status, &asked.body["cancel_requested"]), (202, &json!(true)), "{}", asked.body);
    asked.body
}

/// It tells of just the customers that are in the log, and lists a reject for each that it counts.
async fn assert_tells_the_log(app: &TestApp, pool: &PgPool, import: &Value) {
    let (customers, loans) = imported(pool).await;
    let [read, new, renumbered, unchanged, rejected] = tally(&import["customers"]);
    assert_eq!((i64::try_from(new).unwrap(), loans), (customers, 0), "{import}");
    assert_eq!((read, renumbered, unchanged), (new + rejected, 0, 0), "{import}");
    assert_eq!(import["progress"]["rows_done"], json!(read), "{import}");
    let csv = csv(&app.client, import["id"].as_i64().unwrap()).await;
    let listed = csv.lines().filter(|line| line.starts_with("\"reject\"")).count();
    assert!(rejected > 0, "{import}");
    assert_eq!(u64::try_from(listed).unwrap(), rejected, "{import}");
    assert_eq!(json!(csv.lines().count() - 1), import["notices_kept"], "{import}");
    assert_eq!(count(pool, "import_files").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_never_shrinks_while_it_goes_on() {
    let scratch = Scratch::new();
    let (app, pool, id) = left_in_the_middle(&scratch).await;
    let before = shown(&app.client, id).await;
    let mut told = (tally(&before["customers"]), before["notices_kept"].as_u64().unwrap());
    assert!(told.1 > 0, "{before}");
    let _importer = RoleProcess::start(&app.config, "importer").await;
    let done = eventually("it ends", async || {
        let import = shown(&app.client, id).await;
        let now = (tally(&import["customers"]), import["notices_kept"].as_u64().unwrap());
        let grows = now.0.iter().zip(&told.0).all(|(now, before)| now >= before) && now.1 >= told.1;
        assert!(grows, "{told:?}, then {import}");
        told = now;
        (import["state"] == "done").then_some(import)
    })
    .await;
    let (customers, _) = imported(&pool).await;
    assert_eq!(i64::try_from(tally(&done["customers"])[1]).unwrap(), customers);
    assert_eq!(count(&pool, "import_notices").await, i64::try_from(told.1).unwrap(), "those of one attempt");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cancelled_before_it_goes_on_brings_nothing_more_in() {
    let scratch = Scratch::new();
    let (app, pool, id) = left_in_the_middle(&scratch).await;
    let before = imported(&pool).await;
    assert_eq!(cancel(&app, id).await["state"], "running");
    let _importer = RoleProcess::start(&app.config, "importer").await;
    let cancelled = ended(&app.client, id, "cancelled").await;
    assert_eq!(imported(&pool).await, before);
    assert_tells_the_log(&app, &pool, &cancelled).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_to_go_on_is_cancelled_at_once_and_tells_what_is_in() {
    let scratch = Scratch::new();
    let (app, pool, id) = left_in_the_middle(&scratch).await;
    execute(&pool, "update imports set state = 'waiting'").await;
    let cancelled = cancel(&app, id).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_tells_the_log(&app, &pool, &cancelled).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_when_it_goes_on_tells_what_is_in() {
    for (harm, expected) in [
        ("update imports set interruptions = 20", "interrupted 21 times"),
        ("delete from import_files where kind = 'loans'", "a part of the workbook is missing"),
        ("update import_files set content = decode(repeat('00', length(content)), 'hex')", "not an .xlsx workbook"),
    ] {
        let scratch = Scratch::new();
        let (app, pool, id) = left_in_the_middle(&scratch).await;
        execute(&pool, harm).await;
        let before = imported(&pool).await;
        let _importer = RoleProcess::start(&app.config, "importer").await;
        let failed = ended(&app.client, id, "failed").await;
        assert!(failed["error"].as_str().unwrap().contains(expected), "{failed}");
        assert_eq!(imported(&pool).await, before);
        assert_tells_the_log(&app, &pool, &failed).await;
        app.stop().await;
    }
}
