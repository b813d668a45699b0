//! Imports in the background, by API: uploaded in pieces, done by whichever importer there is, and the same in the end
//! whatever happens on the way.

mod crash;
mod limits;
mod resumed;
mod uploads;

use std::path::Path;
use std::time::Duration;

use credit_approval::config::{Role, Serve};
use credit_approval::import::Job;
use credit_approval::import::jobs::upkeep::tidy;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::{PgPool, Postgres, Transaction};

use crate::import::{CUSTOMER_HEADERS, LOAN_HEADERS, Scratch, imported, job, run, workbook};
use crate::support::log::empty_log;
use crate::support::sql::{count, execute, number};
use crate::support::verified::assert_verified;
use crate::support::wait::{eventually, eventually_within};
use crate::support::{Answer, Client, TestApp};

/// A workbook as a part of a form.
fn part(path: &Path) -> Part {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Part::bytes(std::fs::read(path).unwrap()).file_name(name)
}

fn form(customers: Option<&Path>, loans: Option<&Path>) -> Form {
    let mut form = Form::new();
    if let Some(path) = customers {
        form = form.part("customers", part(path));
    }
    if let Some(path) = loans {
        form = form.part("loans", part(path));
    }
    form
}

async fn upload(client: &Client, form: Form) -> Answer {
    client.send(client.request(Method::POST, "/v1/imports").multipart(form)).await
}

/// Uploads workbooks that are taken; answers the import's id.
async fn uploaded(client: &Client, form: Form) -> i64 {
    let answer = upload(client, form).await;
    assert_eq!((answer.status, &answer.body["state"]), (202, &json!("waiting")), "{}", answer.body);
    let id = answer.body["id"].as_i64().expect("an id");
    assert_eq!(answer.header("location"), format!("/v1/imports/{id}"));
    id
}

async fn shown(client: &Client, id: i64) -> Value {
    let answer = client.get(&format!("/v1/imports/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The import, once it has ended, which it does like that.
/// The largest import here has a hundred thousand rows, and is read by a build without optimisations.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

async fn ended(client: &Client, id: i64, state: &str) -> Value {
    let import = eventually_within("the import ends", ENDS_WITHIN, async || {
        let import = shown(client, id).await;
        let open = import["state"] == "waiting" || import["state"] == "running";
        (!open).then_some(import)
    })
    .await;
    assert_eq!(import["state"], state, "{import}");
    assert!(import["ended_at"].is_string(), "{import}");
    import
}

/// Read, imported, renumbered, unchanged, rejected.
fn tally(workbook: &Value) -> [u64; 5] {
    ["read", "imported", "renumbered", "unchanged", "rejected"]
        .map(|name| workbook[name].as_u64().unwrap_or_else(|| panic!("{name} in {workbook}")))
}

fn tally_of(tally: &credit_approval::import::report::Tally) -> [u64; 5] {
    [tally.read, tally.imported, tally.renumbered, tally.unchanged, tally.rejected]
}

async fn csv(client: &Client, id: i64) -> String {
    let path = format!("/v1/imports/{id}/rejects");
    let response = client.request(Method::GET, &path).header("Accept", "text/csv").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    response.text().await.unwrap()
}

/// Workbooks in which some rows are wrong and some odd.
fn faulty(scratch: &Scratch, customers: usize, loans: usize) -> (std::path::PathBuf, std::path::PathBuf) {
    let text = |cells: &[&str]| -> Vec<String> { cells.iter().map(|cell| (*cell).to_owned()).collect() };
    let mut customer_rows = vec![text(CUSTOMER_HEADERS)];
    for id in 1..=customers {
        // Every 40th is too young, every 41st has the phone number of the first.
        let age = if id % 40 == 0 { "17" } else { "30" };
        let phone = if id % 41 == 0 { "7000000001".to_owned() } else { format!("7{id:09}") };
        customer_rows.push(text(&[&id.to_string(), "Asha", "Rao", age, &phone, "50000", "1800000"]));
    }
    let mut loan_rows = vec![text(LOAN_HEADERS)];
    for loan in 1..=loans {
        let (customer, id) = (loan % customers + 1, loan % (loans - loans / 10) + 1);
        // Every 30th is negative, every 31st has more instalments on time than it has in all.
        let amount = if loan % 30 == 0 { "-5" } else { "100000" };
        let paid = if loan % 31 == 0 { "30" } else { "3" };
        loan_rows.push(text(&[
            &customer.to_string(),
            &id.to_string(),
            amount,
            "12",
            "10",
            "8791.59",
            paid,
            "2024-01-31",
            "2025-01-31",
        ]));
    }
    let (customer_path, loan_path) = (scratch.0.join("customers.xlsx"), scratch.0.join("loans.xlsx"));
    for (path, rows) in [(&customer_path, &customer_rows), (&loan_path, &loan_rows)] {
        let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        workbook(path, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    (customer_path, loan_path)
}

async fn assert_every_row_once(pool: &PgPool, customers: i64, loans: i64) {
    assert_eq!(imported(pool).await, (customers, loans));
    let doubled = "(select 1 from imported_rows group by kind, id having count(*) > 1) doubled";
    assert_eq!(count(pool, doubled).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn workbooks_are_imported_once_and_seen_by_everybody() {
    let scratch = Scratch::new();
    let files = scratch.generated(1200, 3100);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let both = || form(Some(&files.customers), Some(&files.loans));
    let id = uploaded(&app.client, both()).await;
    let import = ended(&app.client, id, "done").await;
    let renumbered = import["loans"]["renumbered"].as_u64().unwrap();
    assert_eq!(tally(&import["customers"]), [1200, 1200, 0, 0, 0]);
    assert_eq!(tally(&import["loans"]), [3100, 3100, renumbered, 0, 0]);
    assert!(renumbered > 0, "some loan ids stand on two loans");
    let progress = &import["progress"];
    assert_eq!((&progress["rows_done"], &progress["rows_total"]), (&json!(4300), &json!(4300)), "{import}");
    assert_eq!((&progress["stage"], &import["error"]), (&json!("loans"), &json!(null)));
    assert_eq!(import["customers"]["name"], "customer_data.xlsx");
    assert_every_row_once(&pool, 1200, 3100).await;
    assert_eq!(count(&pool, "import_files").await, 0, "the workbooks go when they are imported");
    assert_verified(&pool).await;

    let again = uploaded(&app.client, both()).await;
    let import = ended(&app.client, again, "done").await;
    assert_eq!((tally(&import["customers"]), tally(&import["loans"])), ([1200, 0, 0, 1200, 0], [3100, 0, 0, 3100, 0]));

    let listed = app.client.get("/v1/imports?limit=1").await;
    assert_eq!((listed.status, &listed.body["items"][0]["id"]), (200, &json!(again)));
    let cursor = listed.body["next_cursor"].as_str().expect("there is another");
    let last = app.client.get(&format!("/v1/imports?limit=1&cursor={cursor}")).await;
    assert_eq!((&last.body["items"][0]["id"], &last.body["next_cursor"]), (&json!(id), &json!(null)));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let scratch = Scratch::new();
    let (customers, loans) = faulty(&scratch, 300, 700);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let dry_form = form(Some(&customers), Some(&loans)).text("dry_run", "true");
    let dry = uploaded(&app.client, dry_form).await;
    let dry = ended(&app.client, dry, "done").await;
    assert_eq!(dry["dry_run"], true);
    assert_eq!((count(&pool, "events").await, count(&pool, "imported_rows").await), (0, 0));
    let wet_form = form(Some(&customers), Some(&loans)).text("dry_run", "false");
    let wet = uploaded(&app.client, wet_form).await;
    let wet = ended(&app.client, wet, "done").await;
    for name in ["customers", "loans"] {
        assert_eq!(tally(&dry[name]), tally(&wet[name]), "{name}");
    }
    assert_eq!(dry["warnings"], wet["warnings"]);
    let id = |import: &Value| import["id"].as_i64().unwrap();
    assert_eq!(csv(&app.client, id(&dry)).await, csv(&app.client, id(&wet)).await);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_listed_as_json_and_as_the_command_lines_csv() {
    let scratch = Scratch::new();
    let (customers, loans) = faulty(&scratch, 1200, 3000);
    let app = TestApp::start().await;
    let id = uploaded(&app.client, form(Some(&customers), Some(&loans))).await;
    let import = ended(&app.client, id, "done").await;
    let direct_csv = scratch.0.join("rejects.csv");
    let direct = Job { notices: Some(direct_csv.clone()), ..job(Some(&customers), Some(&loans)) };
    let direct = run(&empty_log().await, &direct).await;
    assert_eq!(tally(&import["customers"]), tally_of(&direct.customers));
    assert_eq!(tally(&import["loans"]), tally_of(&direct.loans));
    assert_eq!(import["warnings"].as_u64(), Some(direct.warnings));
    assert!(direct.customers.rejected > 50 && direct.loans.rejected > 100 && direct.warnings > 50);
    assert_eq!(csv(&app.client, id).await, std::fs::read_to_string(direct_csv).unwrap());

    for (kind, expected) in [("reject", direct.rejected()), ("warning", direct.warnings)] {
        let (mut items, mut path) = (Vec::new(), format!("/v1/imports/{id}/rejects?kind={kind}&limit=100"));
        loop {
            let page = app.client.get(&path).await;
            assert_eq!(page.status, 200, "{}", page.body);
            items.extend(page.body["items"].as_array().unwrap().clone());
            let Some(cursor) = page.body["next_cursor"].as_str() else { break };
            path = format!("/v1/imports/{id}/rejects?kind={kind}&limit=100&cursor={cursor}");
        }
        assert_eq!(u64::try_from(items.len()).unwrap(), expected, "{kind}");
        assert!(items.iter().all(|item| item["kind"] == kind));
    }
    let first = &app.client.get(&format!("/v1/imports/{id}/rejects?limit=1")).await.body["items"][0];
    let place = ["kind", "workbook", "sheet", "row", "column"].map(|name| first[name].clone());
    assert_eq!(place, [json!("reject"), json!("customers.xlsx"), json!("Sheet1"), json!(41), json!("Age")]);
    assert!(first["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{first}");

    let wrong = app.client.get(&format!("/v1/imports/{id}/rejects?kind=both")).await;
    assert_eq!((wrong.status, wrong.wrong_fields()), (400, vec!["kind"]));
    let csv_page = app.client.request(Method::GET, &format!("/v1/imports/{id}/rejects?limit=3"));
    let refused = app.client.send(csv_page.header("Accept", "text/csv")).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["limit"]), "CSV is not paged");
    for path in ["/v1/imports/99", "/v1/imports/99/rejects", "/v1/imports/0"] {
        assert_eq!(app.client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(app.client.get("/v1/imports/ninety").await.status, 400);
    app.stop().await;
}

/// Appends wait from now on.
async fn hold_appends(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut holds = pool.begin().await.unwrap();
    sqlx::query("lock table events in share mode").execute(&mut *holds).await.unwrap();
    holds
}

/// The appends that wait for the table get through, and no others: who waits first has it first.
async fn let_some_through(pool: &PgPool, holds: Transaction<'static, Postgres>) -> Transaction<'static, Postgres> {
    let waiting = |mode| format!("pg_locks where not granted and relation = 'events'::regclass and mode = '{mode}'");
    let (appends, hold) = (waiting("RowExclusiveLock"), waiting("ShareLock"));
    eventually("an append waits", async || count(pool, &appends).await > 0).await;
    let next = pool.clone();
    let holds_next = tokio::spawn(async move { hold_appends(&next).await });
    eventually("so does the next hold", async || count(pool, &hold).await == 1).await;
    holds.rollback().await.unwrap();
    holds_next.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cancelled_midway_keeps_what_was_done_and_says_so() {
    let scratch = Scratch::new();
    let files = scratch.generated(3000, 4000);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let mut holds = hold_appends(&pool).await;
    let id = uploaded(&app.client, form(Some(&files.customers), Some(&files.loans))).await;
    // Preparing the statement takes the lock once, and the append takes it again.
    while imported(&pool).await == (0, 0) {
        holds = let_some_through(&pool, holds).await;
    }
    // Of the first two thousand rows, which are taken in four transactions.
    let (some, loans) = imported(&pool).await;
    assert!((500..=2000).contains(&some) && loans == 0, "{some} {loans}");
    let path = format!("/v1/imports/{id}");
    let asked = app.client.send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!((asked.status, &asked.body["cancel_requested"]), (202, &json!(true)), "{}", asked.body);
    assert_eq!(asked.body["state"], "running");
    holds.rollback().await.unwrap();

    let cancelled = ended(&app.client, id, "cancelled").await;
    let (customers, loans) = imported(&pool).await;
    let [read, new, ..] = tally(&cancelled["customers"]);
    assert_eq!((i64::try_from(new).unwrap(), loans), (customers, 0), "{cancelled}");
    assert!(customers >= some && read == 2000, "{cancelled}");
    assert_eq!(count(&pool, "import_files").await, 0);
    let ended_already = app.client.send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!(ended_already.status, 409, "{}", ended_already.body);

    let again = uploaded(&app.client, form(Some(&files.customers), Some(&files.loans))).await;
    let import = ended(&app.client, again, "done").await;
    assert_eq!(tally(&import["customers"]), [3000, 3000 - new, 0, new, 0]);
    assert_every_row_once(&pool, 3000, 4000).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_is_cancelled_at_once() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let config = Serve { roles: vec![Role::Api], ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config).await;
    let id = uploaded(&app.client, form(Some(&files.customers), None)).await;
    let path = format!("/v1/imports/{id}");
    let cancelled = app.client.send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!((cancelled.status, &cancelled.body["state"]), (202, &json!("cancelled")), "{}", cancelled.body);
    assert_eq!(count(&app.pool().await, "import_files").await, 0);
    let metrics = app.client.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("credit_approval_imports{state=\"cancelled\"} 1"), "{metrics}");
    assert_eq!(app.client.send(app.client.request(Method::DELETE, &path)).await.status, 409);
    let none = app.client.send(app.client.request(Method::DELETE, "/v1/imports/99")).await;
    assert_eq!((none.status, none.wrong_fields()), (404, vec!["import_id"]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_do_each_other_no_harm() {
    let scratch = Scratch::new();
    let files = scratch.generated(1500, 3000);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let both = || form(Some(&files.customers), Some(&files.loans));
    let ids = [uploaded(&app.client, both()).await, uploaded(&app.client, both()).await];
    let third = uploaded(&app.client, form(Some(&files.customers), None)).await;
    let mut imported_by_all = [0, 0];
    for id in ids {
        let import = ended(&app.client, id, "done").await;
        for (name, total) in ["customers", "loans"].into_iter().zip(&mut imported_by_all) {
            let [read, new, _, unchanged, rejected] = tally(&import[name]);
            assert_eq!((read, rejected), (new + unchanged, 0), "{import}");
            *total += new;
        }
    }
    let import = ended(&app.client, third, "done").await;
    imported_by_all[0] += tally(&import["customers"])[1];
    assert_eq!(imported_by_all, [1500, 3000]);
    assert_every_row_once(&pool, 1500, 3000).await;
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_done_its_duty_is_removed() {
    let pool = empty_log().await;
    execute(
        &pool,
        "insert into imports (state, customers_file, customers_bytes, created_at, ended_at)
             select 'done', 'c.xlsx', 1, now() - make_interval(days => days), now() - make_interval(days => days)
             from unnest('{100, 91, 89, 1}'::int[]) days;
         insert into imports (state, created_at) values ('uploading', now() - interval '12 minutes'), ('uploading', now());
         insert into import_files select id, 'customers', 1, 'PK' from imports where state = 'uploading';
         insert into import_notices
             select id, number, 'reject', 'c.xlsx', 'Sheet1', number, null, 'is odd'
             from imports, generate_series(1, 12000) number where state = 'done';",
    )
    .await;
    tidy(&pool, 90).await.unwrap();
    assert_eq!(count(&pool, "imports where state = 'done'").await, 2);
    assert_eq!(count(&pool, "imports where state = 'uploading'").await, 1);
    assert_eq!(count(&pool, "import_files").await, 1);
    assert_eq!(count(&pool, "import_notices").await, 24_000);
    execute(
        &pool,
        "insert into imports (state, created_at, ended_at)
             select 'failed', now(), now() + make_interval(secs => number) from generate_series(1, 1010) number",
    )
    .await;
    tidy(&pool, 90).await.unwrap();
    assert_eq!(count(&pool, "imports where ended_at is not null").await, 1000, "the last thousand are kept");
    assert_eq!(number(&pool, "select count(*) from import_notices").await, 0);
}
