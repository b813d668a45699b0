//! How the read models stand, as operators are told: by the API, on the command line, and in metrics.

use std::collections::BTreeMap;

use credit_approval::config::{Role, Serve};
use credit_approval::databases::process_name;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{application, registration};
use crate::support::log::hold_the_log;
use crate::support::metrics::{metrics, samples, samples_in};
use crate::support::process::run;
use crate::support::projections::{status_of, until_state};
use crate::support::sql::execute;
use crate::support::traffic::{loans_of, traffic};
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

/// Some in each partition.
const CUSTOMERS: usize = 10;
/// A worker that was not heard of for longer is stalled, in seconds.
const STALLED_AFTER: f64 = 15.0;

/// The part of what is said of a read model that is about a customer's partition.
fn partition_of(item: &Value, customer: i64) -> &Value {
    &item["partitions"][usize::try_from(customer % 8).expect("a partition")]
}

/// Waits until every read model has all of the log and its workers are heard of; answers the whole status.
async fn all_live(client: &Client) -> Value {
    eventually("every read model is live", async || {
        let body = client.get("/v1/projections").await.body;
        let items = body["items"].as_array().expect("items");
        let live = items.iter().all(|item| item["state"] == "live" && item["lag_events"] == 0);
        live.then_some(body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_traffic_everything_is_live_and_stands_where_the_log_ends() {
    let app = TestApp::start().await;
    traffic(&app.client, CUSTOMERS).await;
    let status = all_live(&app.client).await;
    let last: Vec<(i64, i64)> = sqlx::query_as("select customer_id % 8, max(position) from events group by 1")
        .fetch_all(&app.pool().await)
        .await
        .unwrap();
    let last: BTreeMap<i64, i64> = last.into_iter().collect();
    assert_eq!(status["log"], json!({ "head": last.values().max(), "waiting_for": [] }));
    let items = status["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().filter_map(|item| item["name"].as_str()).collect();
    assert_eq!(names, ["customers", "loans", "credit_profiles", "decisions"]);
    for item in items {
        assert_eq!((&item["parked"], &item["parked_for_seconds"]), (&json!(0), &Value::Null), "{item}");
        assert_eq!((&item["rebuild"], &item["version"]), (&Value::Null, &item["rows_version"]), "{item}");
        assert_eq!(item["lag_seconds"].as_f64(), Some(0.0), "{item}");
        let partitions = item["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 8, "{item}");
        for (number, partition) in (0_i64..).zip(partitions) {
            assert_eq!(partition["partition"], number);
            assert_eq!(partition["checkpoint"], last.get(&number).copied().unwrap_or(0), "{item}");
            assert_eq!(partition["process"], process_name());
            let age = partition["heartbeat_age_seconds"].as_f64();
            assert!(age.is_some_and(|age| age < STALLED_AFTER), "{partition}");
        }
    }
    let unknown = app.client.get("/v1/projections?name=loans").await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (400, vec!["name"]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_log_says_on_whom_it_waits() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let mut held = hold_the_log(&pool).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *held).await.unwrap();
    let request = app.client.request(Method::POST, "/register").header("Prefer", "respond-async");
    let registered = app.client.send(request.json(&registration(50_000))).await;
    assert_eq!(registered.status, 201, "{}", registered.body);

    let item = until_state(&app.client, "customers", "catching_up").await;
    assert_eq!(item["lag_events"], 1, "{item}");
    assert!(item["lag_seconds"].as_f64().is_some_and(|lag| lag > 2.0), "{item}");
    let customer = registered.body["customer_id"].as_i64().unwrap();
    assert_eq!(partition_of(&item, customer)["state"], "catching_up", "{item}");
    assert_eq!(partition_of(&item, customer + 1)["state"], "live", "{item}");
    let log = app.client.get("/v1/projections").await.body["log"].take();
    let waiting_for = log["waiting_for"].as_array().unwrap();
    assert_eq!(waiting_for.len(), 1, "{log}");
    assert_eq!((&waiting_for[0]["application"], &waiting_for[0]["pid"]), (&json!("month-end"), &json!(pid)), "{log}");
    assert_eq!(waiting_for[0]["state"], "idle in transaction");
    assert!(waiting_for[0]["seconds"].as_i64().is_some_and(|seconds| seconds >= 1), "{log}");
    let samples = samples(&app.client).await;
    assert!(samples["credit_approval_log_held_seconds"] >= 1.0, "{samples:?}");
    assert_eq!(samples["credit_approval_projection_lag_events{projection=\"customers\"}"], 1.0);
    assert!(samples["credit_approval_projection_lag_seconds{projection=\"customers\"}"] > 2.0, "{samples:?}");
    let ran = run(&app.config, &["projections"]).await;
    assert!(ran.said.contains(&format!("waiting for month-end ({pid}), about to append for ")), "{}", ran.said);

    held.rollback().await.unwrap();
    let status = all_live(&app.client).await;
    assert_eq!(status["log"]["waiting_for"], json!([]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_that_nobody_keeps_are_stalled_whatever_their_lag() {
    let everything = TestApp::config(&[]).await;
    let api = TestApp::start_with(Serve { roles: vec![Role::Api], ..everything.clone() }).await;
    for name in ["customers", "loans", "credit_profiles", "decisions"] {
        let item = status_of(&api.client, name).await;
        assert_eq!((&item["state"], &item["lag_events"]), (&json!("stalled"), &json!(0)), "{item}");
        for partition in item["partitions"].as_array().unwrap() {
            assert_eq!((&partition["state"], &partition["process"]), (&json!("stalled"), &Value::Null), "{item}");
            assert_eq!(partition["heartbeat_age_seconds"], Value::Null, "never heard of: {item}");
        }
    }
    // Heard of in another process, by whoever asks this one.
    let worker = TestApp::start_with(everything).await;
    traffic(&worker.client, CUSTOMERS).await;
    all_live(&api.client).await;
    worker.stop().await;
    execute(&api.pool().await, "update read_models.workers set heartbeat_at = heartbeat_at - interval '1 minute'")
        .await;
    let item = status_of(&api.client, "loans").await;
    assert_eq!((&item["state"], &item["lag_events"]), (&json!("stalled"), &json!(0)), "{item}");
    assert!(item["partitions"][3]["heartbeat_age_seconds"].as_f64().is_some_and(|age| age >= 60.0), "{item}");
    assert_eq!(item["partitions"][3]["process"], process_name(), "who it was is still known");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_is_seen_by_its_heartbeat() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    all_live(&app.client).await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("select from read_models.checkpoints where projection = 'loans' and partition = $1 for update")
        .bind(i16::try_from(customer % 8).unwrap())
        .execute(&mut *lock)
        .await
        .unwrap();
    let request = app.client.request(Method::POST, "/create-loan").header("Prefer", "respond-async");
    let lent = app.client.send(request.json(&application(customer, 100_000, 14, 24))).await;
    assert_eq!(lent.status, 201, "{}", lent.body);

    let item = until_state(&app.client, "loans", "stalled").await;
    for partition in item["partitions"].as_array().unwrap() {
        let hangs = partition["partition"] == customer % 8;
        assert_eq!(partition["state"] == "stalled", hangs, "only the one that hangs: {item}");
        let age = partition["heartbeat_age_seconds"].as_f64();
        assert_eq!(age.is_some_and(|age| age > STALLED_AFTER), hangs, "{item}");
    }
    assert_eq!(status_of(&app.client, "credit_profiles").await["state"], "live");
    lock.rollback().await.unwrap();
    all_live(&app.client).await;
    assert_eq!(json!(loans_of(&app.client, customer).await), json!([lent.body["loan_id"]]));
    app.stop().await;
}

/// A status without what changes from one moment to the next.
fn lasting(mut status: Value) -> Value {
    const PASSING: [&str; 3] = ["heartbeat_age_seconds", "events_per_second", "lag_seconds"];
    let forget = |object: &mut Value| object.as_object_mut().unwrap().retain(|key, _| !PASSING.contains(&key.as_str()));
    for item in status["items"].as_array_mut().unwrap() {
        forget(item);
        item["partitions"].as_array_mut().unwrap().iter_mut().for_each(forget);
    }
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_the_api_answers() {
    let app = TestApp::start().await;
    traffic(&app.client, CUSTOMERS).await;
    let answered = all_live(&app.client).await;
    let ran = run(&app.config, &["projections", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    let told: Value = serde_json::from_str(&ran.said).unwrap();
    assert_eq!(lasting(told), lasting(answered.clone()));

    let ran = run(&app.config, &["projections"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert!(ran.said.starts_with(&format!("log at {}\n", answered["log"]["head"])), "{}", ran.said);
    for name in ["customers", "loans", "credit_profiles", "decisions"] {
        let line = ran.said.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
        assert!(line.contains("live") && line.contains("lag 0 events") && line.contains("0 parked"), "{}", ran.said);
    }
    let process = process_name();
    assert_eq!(ran.said.lines().filter(|line| line.ends_with(&process)).count(), 32, "{}", ran.said);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_what_prometheus_reads_and_say_it_all() {
    let app = TestApp::start().await;
    traffic(&app.client, CUSTOMERS).await;
    let status = all_live(&app.client).await;
    let text = metrics(&app.client).await;
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = samples_in(&text);
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    for series in samples.keys() {
        *families.entry(series.split('{').next().unwrap_or_default()).or_default() += 1;
    }
    let expected = [
        ("credit_approval_log_head_position", 1),
        ("credit_approval_log_held_seconds", 1),
        ("credit_approval_projection_checkpoint_position", 32),
        ("credit_approval_projection_events_per_second", 4),
        ("credit_approval_projection_heartbeat_age_seconds", 32),
        ("credit_approval_projection_lag_events", 4),
        ("credit_approval_projection_lag_seconds", 4),
        ("credit_approval_projection_parked", 4),
        ("credit_approval_projection_parked_seconds", 4),
        ("credit_approval_projection_state", 20),
    ];
    for (family, series) in expected {
        assert_eq!(families.get(family), Some(&series), "{family}: {text}");
        assert!(text.contains(&format!("# HELP {family} ")), "{text}");
        assert!(text.contains(&format!("# TYPE {family} gauge\n")), "{text}");
    }
    assert_eq!(status["log"]["head"].as_f64(), Some(samples["credit_approval_log_head_position"]));
    for item in status["items"].as_array().unwrap() {
        let name = item["name"].as_str().unwrap();
        for (state, value) in
            [("live", 1.0), ("catching_up", 0.0), ("rebuilding", 0.0), ("parked", 0.0), ("stalled", 0.0)]
        {
            let series = format!("credit_approval_projection_state{{projection=\"{name}\",state=\"{state}\"}}");
            assert_eq!(samples.get(&series), Some(&value), "{series}");
        }
        let series = format!("credit_approval_projection_checkpoint_position{{projection=\"{name}\",partition=\"1\"}}");
        assert_eq!(item["partitions"][1]["checkpoint"].as_f64(), samples.get(&series).copied(), "{series}");
    }
    app.stop().await;
}
