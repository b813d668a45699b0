//! An export and a restore that were cut off go on where they stopped; half a log serves nobody.

use std::fs;
use std::process::Stdio;

use super::{Scratch, beside, content, empty_store, exported, head, import, refused, succeeded, text, workbooks};
use crate::support::TestApp;
use crate::support::log::append;
use crate::support::process::{program, run};
use crate::support::sql::{count, execute, number};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_where_it_broke_off() {
    let scratch = Scratch::new();
    let (config, pool) = empty_store().await;
    import(&config, &scratch, &workbooks(&scratch, 500, 1_000)).await;
    let head = head(&pool).await;
    for name in ["log.ndjson", "log.ndjson.gz", "log.ndjson.zst"] {
        let (file, partial) = (scratch.file(name), scratch.file(&format!("{name}.partial")));
        succeeded(&run(&config, &["export", text(&file)]).await);
        let whole = fs::read(&file).unwrap();
        let mut found = 0;
        for length in [1, 100, whole.len() / 2, whole.len() - 1, whole.len()] {
            fs::remove_file(&file).unwrap();
            // A crash of the machine leaves rubbish behind what was written.
            fs::write(&partial, [&whole[..length], &[0; 5]].concat()).unwrap();
            let ran = run(&config, &["export", text(&file)]).await;
            succeeded(&ran);
            found += usize::from(ran.said.contains("were there from an earlier attempt"));
            assert!(!partial.exists(), "{name}, {length}");
            let (there, restored) = empty_store().await;
            succeeded(&run(&there, &["restore", text(&file)]).await);
            assert_eq!(content(&restored, head).await, content(&pool, head).await, "{name}, {length}");
            assert_eq!(beside(&restored, head).await, beside(&pool, head).await, "{name}, {length}");
        }
        assert!(found >= 2, "{name}: what was written is gone on with");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_with_nothing_that_is_not_its_own() {
    let scratch = Scratch::new();
    let (_, file) = exported(&scratch, "log.ndjson", 40).await;
    let partial = scratch.file("other.ndjson.partial");
    fs::copy(&file, &partial).unwrap();
    let (config, pool) = empty_store().await;
    append(&mut pool.acquire().await.unwrap()).await;
    let ran = run(&config, &["export", text(&scratch.file("other.ndjson"))]).await;
    refused(&ran, "was left by an export of another log");

    // The log does not hold what was left.
    let log: String = sqlx::query_scalar("select id::text from log_identity").fetch_one(&pool).await.unwrap();
    let mut lines: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    let other = lines[0].split("\"log\":\"").nth(1).unwrap()[..log.len()].to_owned();
    lines[0] = lines[0].replace(&other, &log);
    fs::write(&partial, lines[..10].join("\n") + "\n").unwrap();
    refused(&run(&config, &["export", text(&scratch.file("other.ndjson"))]).await, "begin another one");

    let held = fs::OpenOptions::new().write(true).open(&partial).unwrap();
    held.lock().unwrap();
    refused(&run(&config, &["export", text(&scratch.file("other.ndjson"))]).await, "another export writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_where_it_was_killed_and_until_then_serves_nobody() {
    let scratch = Scratch::new();
    let (source, file) = exported(&scratch, "log.ndjson.zst", 3_000).await;
    let (_, another) = exported(&scratch, "another.ndjson", 40).await;
    let (config, store) = empty_store().await;
    // It comes to the end of the events, and no further.
    let mut obstacle = store.begin().await.unwrap();
    sqlx::raw_sql("lock table imported_rows in exclusive mode").execute(&mut *obstacle).await.unwrap();
    let mut restoring = program(&config);
    restoring.args(["restore", text(&file)]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut restoring = restoring.spawn().unwrap();
    let events = count(&source, "events").await;
    eventually("the events are there", async || count(&store, "events").await == events).await;
    refused(&run(&config, &["restore", text(&file)]).await, "another process restores");
    restoring.kill().await.unwrap();
    obstacle.rollback().await.unwrap();
    eventually("its lock is free", async || {
        count(
            &store,
            "pg_locks where locktype = 'advisory' and classid = 17234 and objid = 2
               and database = (select oid from pg_database where datname = current_database())",
        )
        .await
            == 0
    })
    .await;

    for command in [
        &["verify"][..],
        &["export", "-"],
        &["projections"],
        &["rebuild", "--all"],
        &["serve", "--http-addr", "127.0.0.1:0"],
    ] {
        refused(&run(&config, command).await, "a restore into this store has not come to its end");
    }
    let append_by_hand =
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                                              metadata)
                          values ('customer', '1', 1, 'Test', '1.0', '{}', '{\"customer_id\": \"1\"}')";
    let error = sqlx::query(append_by_hand).execute(&store).await.unwrap_err();
    assert!(error.to_string().contains("the log is being restored"), "{error}");
    refused(&run(&config, &["restore", text(&another)]).await, "a restore of another export");

    // All events are there, and nothing behind them: nothing is written twice.
    let ran = run(&config, &["restore", text(&file)]).await;
    succeeded(&ran);
    assert!(ran.said.contains(&format!("({events} were there from an earlier attempt)")), "{}", ran.said);
    let head = head(&source).await;
    assert_eq!(content(&store, head).await, content(&source, head).await);
    assert_eq!(beside(&store, head).await, beside(&source, head).await);
    assert_eq!(number(&store, "select count(*) from pg_trigger where tgname = 'restoring'").await, 0);
    let app = TestApp::start_with(config).await;
    app.client.register(50_000).await;
    assert_verified(&store).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_in_the_middle_of_the_events() {
    let scratch = Scratch::new();
    let (source, file) = exported(&scratch, "log.ndjson.gz", 3_000).await;
    let (config, store) = empty_store().await;
    // The second chunk meets an event that is in its way.
    let (chunk, third) = (5_000, "select position from events order by position offset 7000 limit 1");
    let in_the_way = number(&source, third).await;
    execute(
        &store,
        &format!(
            "create function in_the_way() returns trigger language plpgsql as
                 $$ begin if new.position = {in_the_way} then raise 'in the way'; end if; return new; end $$;
             create trigger in_the_way before insert on events for each row execute function in_the_way()"
        ),
    )
    .await;
    refused(&run(&config, &["restore", text(&file)]).await, "in the way");
    assert_eq!(count(&store, "events").await, chunk);
    execute(&store, "drop trigger in_the_way on events").await;
    let ran = run(&config, &["restore", text(&file)]).await;
    succeeded(&ran);
    assert!(ran.said.contains("(5000 were there from an earlier attempt)"), "{}", ran.said);
    let head = head(&source).await;
    assert_eq!(content(&store, head).await, content(&source, head).await);
}
