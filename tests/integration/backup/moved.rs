//! Out of a store that is in use, into another: everything is there, nothing is given twice, and it goes on.

use std::os::unix::fs::PermissionsExt;

use credit_approval::config::Serve;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Scratch, beside, content, empty_store, head, import, refused, succeeded, text, workbooks};
use crate::support::changes::Change;
use crate::support::client::registration;
use crate::support::process::{program, run};
use crate::support::sql::{count, execute, number};
use crate::support::traffic::{Traffic, assert_serving, borrow, loans_of, repay};
use crate::support::verified::assert_verified;
use crate::support::{Answer, Client, TestApp};

async fn register_under_key(client: &Client, person: &Value) -> Answer {
    let request = client.request(Method::POST, "/register").header("Idempotency-Key", "the-one-key").json(person);
    client.send(request).await
}

/// Registers somebody and gives that customer another number; answers the id and the number that is free again.
async fn changes_its_number(client: &Client) -> (i64, Value) {
    let person = registration(60_000);
    let customer = client.post("/register", &person).await.body["customer_id"].as_i64().unwrap();
    let etag = client.get(&format!("/v1/customers/{customer}")).await.header("etag").to_owned();
    let new = registration(60_000)["phone_number"].clone();
    let changed = Change::of_customer(customer, json!({ "phone_number": new })).at(&etag).send(client).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    (customer, person["phone_number"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_log_goes_on_elsewhere_as_if_it_had_never_moved() {
    let scratch = Scratch::new();
    let workbooks = workbooks(&scratch, 40, 90);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    import(&app.config, &scratch, &workbooks).await;
    let (person, (mover, free)) = (registration(50_000), changes_its_number(&app.client).await);
    let first = register_under_key(&app.client, &person).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let borrower = app.client.register(80_000).await;
    let loan = borrow(&app.client, borrower).await;
    repay(&app.client, loan, 5_000).await;
    // Numbers that were drawn and came to nothing.
    execute(&pool, "select nextval(pg_get_serial_sequence('events', 'position')) from generate_series(1, 7)").await;

    let file = scratch.file("log.ndjson.zst");
    let mut traffic = Traffic::of_everything(&app.client, 2);
    traffic.goes_on().await;
    let exported = run(&app.config, &["export", text(&file)]).await;
    traffic.goes_on().await;
    traffic.stop().await;
    succeeded(&exported);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    refused(&run(&app.config, &["export", text(&file)]).await, "is there already");

    let (config, restored) = empty_store().await;
    // The stream still holds the messages of the first log.
    let config = Serve { nats_stream: app.config.nats_stream.clone(), ..config };
    app.stop().await;
    succeeded(&run(&config, &["restore", text(&file)]).await);
    let head = head(&restored).await;
    assert!(count(&pool, &format!("events where position > {head}")).await > 0, "traffic went on behind the export");
    assert_eq!(content(&restored, head).await, content(&pool, head).await);

    let there = TestApp::start_with(config).await;
    let taken = there.client.post("/register", &person).await;
    assert_eq!(taken.status, 409, "{}", taken.body);
    let again = register_under_key(&there.client, &person).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let shown = there.client.get(&format!("/v1/customers/{mover}")).await;
    assert_ne!(shown.body["phone_number"], free, "{}", shown.body);
    let mut freed = registration(50_000);
    freed["phone_number"] = free;
    assert_eq!(there.client.post("/register", &freed).await.status, 201);
    assert_eq!(loans_of(&there.client, borrower).await, [loan]);

    for _ in 0..10 {
        assert_serving(&there.client).await;
    }
    assert!(super::head(&restored).await > head + 50, "positions go on");
    let events = count(&restored, "events").await;
    import(&there.config, &scratch, &workbooks).await;
    assert_eq!(count(&restored, "events").await, events, "rows that were imported are known");
    assert_verified(&restored).await;
    refused(&run(&there.config, &["restore", text(&file)]).await, "the store is not empty");
    assert_eq!(count(&restored, "events").await, events);
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_it_is_packed_it_is_the_same_log() {
    let scratch = Scratch::new();
    let app = TestApp::start().await;
    let pool = app.pool().await;
    for _ in 0..3 {
        assert_serving(&app.client).await;
    }
    register_under_key(&app.client, &registration(50_000)).await;
    app.client.post("/register", &json!({})).await;
    let config = app.config.clone();
    app.stop().await;
    let head = head(&pool).await;
    for name in ["log.ndjson", "log.ndjson.gz", "log.ndjson.zst", "-"] {
        let file = scratch.file(name);
        let ran = run(&config, &["export", if name == "-" { name } else { text(&file) }]).await;
        succeeded(&ran);
        if name == "-" {
            std::fs::write(&file, ran.said).unwrap();
        }
        let (there, restored) = empty_store().await;
        succeeded(&run(&there, &["restore", text(&file)]).await);
        assert_eq!(content(&restored, head).await, content(&pool, head).await, "{name}");
        assert_eq!(beside(&restored, head).await, beside(&pool, head).await, "{name}");
        assert_eq!(number(&restored, "select position from log_settled").await, head, "{name}");
    }
    let lines = std::fs::read_to_string(scratch.file("log.ndjson")).unwrap();
    let events = lines.lines().filter(|line| line.starts_with("{\"event\":")).count();
    assert_eq!(events, usize::try_from(count(&pool, "events").await).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_keys_go_along() {
    let scratch = Scratch::new();
    let ((config, pool), (there, restored)) = (empty_store().await, empty_store().await);
    execute(
        &pool,
        "insert into api_keys (id, secret_digest, name, roles, holder, hourly_limit, replaces, revoked_at)
         values ('one', sha256('secret'), 'the \"web\" shop', '{channel}', 'one', 7, null, now()),
                ('other', sha256('other'), 'month-end', '{operator,auditor}', 'one', null, 'one', null)",
    )
    .await;
    let file = scratch.file("log.ndjson");
    succeeded(&run(&config, &["export", text(&file)]).await);
    succeeded(&run(&there, &["restore", text(&file)]).await);
    let keys = "select string_agg(key::text, '|' order by id) from api_keys key";
    let kept: String = sqlx::query_scalar(keys).fetch_one(&pool).await.unwrap();
    let found: String = sqlx::query_scalar(keys).fetch_one(&restored).await.unwrap();
    assert!(found == kept && found.contains("month-end"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_may_have_been_given_since_are_left_out_on_demand() {
    let scratch = Scratch::new();
    let app = TestApp::without_nats().await;
    let (customer, pool) = (app.client.register(80_000).await, app.pool().await);
    let loan = borrow(&app.client, customer).await;
    let file = scratch.file("log.ndjson");
    succeeded(&run(&app.config, &["export", text(&file)]).await);
    let head = head(&pool).await;
    app.stop().await;

    let (config, restored) = empty_store().await;
    let config = Serve { nats_url: None, ..config };
    succeeded(&run(&config, &["restore", text(&file), "--leave-unused", "1000"]).await);
    let there = TestApp::start_with(config).await;
    let next = there.client.register(80_000).await;
    assert_eq!(next, customer + 1001);
    assert_eq!(borrow(&there.client, next).await, loan + 1001);
    assert_eq!(
        number(&restored, &format!("select min(position) from events where position > {head}")).await,
        head + 1001
    );
    assert_verified(&restored).await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_and_one_on_other_servers_move_too() {
    let scratch = Scratch::new();
    let (config, pool) = empty_store().await;
    let file = scratch.file("empty.ndjson.gz");
    succeeded(&run(&config, &["export", text(&file)]).await);
    let (there, _) = empty_store().await;
    succeeded(&run(&there, &["restore", text(&file)]).await);
    let app = TestApp::start_with(there).await;
    assert_serving(&app.client).await;

    // Read models of a log that went on are none of a log that begins anew.
    app.client.register(50_000).await;
    let mut command = program(&config);
    command.env("READ_DATABASE_URL", app.config.store.database_url.as_ref().unwrap());
    let output = command.args(["restore", text(&file)]).output().await.unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && complained.contains("name an empty database"), "{complained}");
    assert_eq!(count(&pool, "log_restored").await, 0);
    app.stop().await;
}
