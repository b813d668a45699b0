//! A log that is taken out of its store and put into another is the same log there, and goes on; one that is damaged on
//! the way is not put anywhere; and whatever breaks off is gone on with.

mod damaged;
mod interrupted;
mod moved;
mod servers;

use std::path::{Path, PathBuf};

use credit_approval::config::Serve;
use credit_approval::generate::{GenerateSpec, generate};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::log::migrated;
use crate::support::process::{Ran, run};
use crate::support::servers::scratch_dir;
use crate::support::sql::number;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(scratch_dir("backup"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths are text")
}

fn succeeded(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}{}", ran.said, ran.complained);
}

fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.code, Some(1), "{}{}", ran.said, ran.complained);
    assert!(ran.complained.contains(why), "no '{why}' in: {}", ran.complained);
}

/// An empty store, and the schema made in it.
async fn empty_store() -> (Serve, PgPool) {
    let config = TestApp::config(&[]).await;
    let pool = migrated(config.store.database_url.as_ref().unwrap()).await;
    (config, pool)
}

/// Workbooks of so many customers and loans.
fn workbooks(scratch: &Scratch, customers: u32, loans: u32) -> [PathBuf; 2] {
    let files = generate(&scratch.0, GenerateSpec { customers, loans, seed: 7, ids_above: 0 }).unwrap();
    [files.customers, files.loans]
}

async fn import(config: &Serve, scratch: &Scratch, workbooks: &[PathBuf; 2]) {
    let rejects = scratch.file("rejects.csv");
    let [customers, loans] = workbooks;
    let arguments = ["import", "--customers", text(customers), "--loans", text(loans), "--rejects", text(&rejects)];
    succeeded(&run(config, &arguments).await);
}

/// What the log holds up to a position, to the byte, as one number.
async fn content(pool: &PgPool, up_to: i64) -> String {
    sqlx::query_scalar(
        "select md5(string_agg(concat_ws('|', position, recorded_at, customer_id, aggregate_type, aggregate_id, sequence,
                                         event_type, event_version, payload, metadata), E'\n' order by position))
         from events where position <= $1",
    )
    .bind(up_to)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// What lies beside the events, to the byte, as one number; answers are those up to a position.
async fn beside(pool: &PgPool, up_to: i64) -> String {
    sqlx::query_scalar(
        "select concat(
             (select md5(string_agg(imported::text, '|' order by kind, source_key))
              from (select kind, source_key, id, digest from imported_rows) imported), ' ',
             (select md5(string_agg(held::text, '|' order by phone_number)) from phone_numbers held), ' ',
             (select md5(string_agg(kept::text, '|' order by idempotency_key)) from idempotency_keys kept
              where position <= $1))",
    )
    .bind(up_to)
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn head(pool: &PgPool) -> i64 {
    number(pool, "select max(position) from events").await
}

/// A store with a few thousand events, and its export.
async fn exported(scratch: &Scratch, name: &str, loans: u32) -> (PgPool, PathBuf) {
    let (config, pool) = empty_store().await;
    import(&config, scratch, &workbooks(scratch, loans / 2, loans)).await;
    let file = scratch.file(name);
    succeeded(&run(&config, &["export", text(&file)]).await);
    (pool, file)
}
