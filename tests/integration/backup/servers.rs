//! PostgreSQL's own backups, as `docs/backup.md` tells them: a dump into another database, and a base backup with archived
//! WAL into another server, back to just before a mistake.

use std::path::{Path, PathBuf};
use std::process::Output;

use credit_approval::config::Serve;
use credit_approval::embedded::{DataDir, Postgres, Tuning};
use sqlx::PgPool;
use tokio::process::Command;

use super::{Scratch, beside, content, head, text};
use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::process::run;
use crate::support::sql::{count, execute};
use crate::support::traffic::{Traffic, traffic};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

/// One of the tools that came with the server.
async fn tool(pool: &PgPool, name: &str) -> Command {
    let sql = "select setting from pg_config() where name = 'BINDIR'";
    let directory: String = sqlx::query_scalar(sql).fetch_one(pool).await.unwrap();
    Command::new(PathBuf::from(directory).join(name))
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What an operator does to a log that goes on as another one: see `docs/backup.md`.
async fn new_identity(pool: &PgPool) {
    execute(pool, "update log_identity set id = gen_random_uuid()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_goes_on_in_another_database() {
    let scratch = Scratch::new();
    let app = TestApp::start().await;
    let pool = app.pool().await;
    traffic(&app.client, 5).await;
    let person = registration(50_000);
    assert_eq!(app.client.post("/register", &person).await.status, 201);
    let writing = Traffic::of_everything(&app.client, 2);
    let (file, from) = (scratch.file("log.dump"), app.config.store.database_url.clone().unwrap());
    let dumped = tool(&pool, "pg_dump").await.args(["--format=custom", "--file", text(&file), &from]).output().await;
    assert_done(&dumped.unwrap());
    writing.stop().await;

    let config = TestApp::config(&[]).await;
    let config = Serve { nats_stream: app.config.nats_stream.clone(), ..config };
    app.stop().await;
    let to = config.store.database_url.clone().unwrap();
    let mut restore = tool(&pool, "pg_restore").await;
    let restored =
        restore.args(["--exit-on-error", "--single-transaction", "--dbname", &to, text(&file)]).output().await;
    assert_done(&restored.unwrap());
    let restored = PgPool::connect(&to).await.unwrap();
    new_identity(&restored).await;
    let head = head(&restored).await;
    assert_eq!(content(&restored, head).await, content(&pool, head).await);

    let there = TestApp::start_with(config).await;
    assert_eq!(there.client.post("/register", &person).await.status, 409);
    traffic(&there.client, 5).await;
    assert_verified(&restored).await;
    there.stop().await;
}

/// A server of a test's own, on a directory of its own.
struct Server {
    postgres: Postgres,
    directory: PathBuf,
    _data: DataDir,
}

impl Server {
    async fn start(directory: &Path) -> Self {
        let data = DataDir::claim(directory, false).unwrap();
        let postgres = Postgres::start(&data, Tuning::Ephemeral).await.unwrap();
        Self { postgres, directory: data.path().to_owned(), _data: data }
    }

    async fn serving(&self) -> TestApp {
        let config = TestApp::config(&[]).await;
        let mut store = config.store.clone();
        store.database_url = Some(self.postgres.url());
        TestApp::start_with(Serve { store, ..config }).await
    }
}

/// Servers' accounts look here.
fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(directory).unwrap();
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_and_the_archive_lead_back_to_just_before_a_mistake() {
    let scratch = Scratch::new();
    let (first, second, archive) = (scratch.file("first"), scratch.file("second"), scratch.file("archive"));
    for directory in [&first, &second, &archive] {
        open_to_all(directory);
    }
    let server = Server::start(&first).await;
    let pool = PgPool::connect(&server.postgres.url()).await.unwrap();
    execute(&pool, "alter system set archive_mode = on").await;
    let archiving = format!("alter system set archive_command = 'test ! -f {0}/%f && cp %p {0}/%f'", archive.display());
    execute(&pool, &archiving).await;
    pool.close().await;
    let Server { postgres, directory, _data } = server;
    postgres.stop().await.unwrap();
    drop(_data);

    let server = Server::start(&directory).await;
    let app = server.serving().await;
    let pool = app.pool().await;
    traffic(&app.client, 3).await;
    let base = second.join("postgres");
    let mut backup = tool(&pool, "pg_basebackup").await;
    let backup = backup.args(["--checkpoint=fast", "--wal-method=none", "--no-verify-checksums", "--no-sync"]);
    let url = server.postgres.url();
    assert_done(&backup.args(["--dbname", &url, "--pgdata", text(&base)]).output().await.unwrap());
    traffic(&app.client, 3).await;
    let (good, kept) = (content(&pool, i64::MAX).await, beside(&pool, i64::MAX).await);
    execute(&pool, "select pg_create_restore_point('before_the_mistake')").await;
    let config = app.config.clone();
    app.stop().await;
    execute(&pool, "delete from events where position % 2 = 0").await;
    let last: String = sqlx::query_scalar("select pg_walfile_name(pg_switch_wal())").fetch_one(&pool).await.unwrap();
    eventually("the log's WAL is archived", async || archive.join(&last).exists()).await;
    assert_eq!(run(&config, &["verify"]).await.code, Some(1));
    pool.close().await;
    server.postgres.stop().await.unwrap();

    let settings = format!(
        "archive_mode = off\nrestore_command = 'cp {}/%f %p'\nrecovery_target_name = 'before_the_mistake'\n\
         recovery_target_action = promote\n",
        archive.display()
    );
    let file = base.join("postgresql.auto.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before + &settings).unwrap();
    std::fs::write(base.join("recovery.signal"), "").unwrap();
    let server = Server::start(&second).await;
    let pool = PgPool::connect(&server.postgres.url()).await.unwrap();
    eventually("recovery has come to its end", async || {
        count(&pool, "(select 1 where not pg_is_in_recovery()) ended").await == 1
    })
    .await;
    assert_eq!((content(&pool, i64::MAX).await, beside(&pool, i64::MAX).await), (good, kept));
    new_identity(&pool).await;
    let app = server.serving().await;
    traffic(&app.client, 3).await;
    assert_verified(&pool).await;
    app.stop().await;
    pool.close().await;
    server.postgres.stop().await.unwrap();
}
