//! Dashboards, alerts and `docs/metrics.md` speak of metrics that there are, and the document of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::edge::tls::metrics_with_tokens;
use crate::support::TestApp;
use crate::support::client::application;
use crate::support::metrics::metrics;
use crate::support::wait::eventually;

const PREFIX: &str = "credit_approval_";
const DOCUMENT: &str = "docs/metrics.md";
/// With this variable set, the document is written instead of compared.
const WRITE: &str = "WRITE_METRICS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A metric as Prometheus is told of it.
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// All metrics of a service that has answered a command, a query and a refusal, over TLS and for tokens too; `None` where there is no NATS to have
/// metrics of.
async fn all_metrics() -> Option<BTreeMap<String, Metric>> {
    let app = TestApp::start().await;
    app.config.nats_url.as_ref()?;
    let customer = app.client.register(50_000).await;
    app.client.post("/create-loan", &application(customer, 100_000, 12, 12)).await;
    app.client.post("/create-loan", &application(999_999, 100_000, 12, 12)).await;
    app.client.get("/v1/customers").await;
    let text = eventually("the stream is seen, and every worker", async || {
        let text = metrics(&app.client).await;
        let seen = ["relay_lag_events ", "projection_heartbeat_age_seconds{"];
        seen.iter().all(|series| text.contains(series)).then_some(text)
    })
    .await;
    app.stop().await;
    let mut all = read(&metrics_with_tokens().await);
    all.append(&mut read(&text));
    Some(all)
}

fn read(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let help = help.trim_end_matches('.').to_owned();
            metrics.insert(name.to_owned(), Metric { kind: String::new(), help, labels: BTreeSet::new() });
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            metrics.get_mut(name).expect("its help came before").kind = kind.to_owned();
        } else if let Some((series, labels)) = line.split_once('{') {
            let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
            let of = |suffix: &&str| series.strip_suffix(*suffix).filter(|name| metrics.contains_key(*name));
            let name = suffixes.iter().find_map(of).unwrap_or_else(|| panic!("{series} has no help")).to_owned();
            let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            metrics.get_mut(&name).expect("found").labels.extend(labels);
        }
    }
    metrics
}

/// The names under which a metric is queried.
fn series(name: &str, metric: &Metric) -> Vec<String> {
    let suffixes: &[&str] = match metric.kind.as_str() {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

/// The product's metrics that a text speaks of; names with a colon are of recording rules.
fn spoken_of(text: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
    let words = text.split(|character| !is_name(character));
    words.filter(|word| word.starts_with(PREFIX) && *word != PREFIX).map(str::to_owned).collect()
}

/// Every query of a dashboard, however deep it stands.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        found.push(text.to_owned())
                    }
                    Some(_) | None => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_read_metrics_that_there_are() {
    let Some(metrics) = all_metrics().await else { return };
    let known: BTreeSet<String> = metrics.iter().flat_map(|(name, metric)| series(name, metric)).collect();
    let rules = fs::read_to_string(root().join("deploy/alerts.yml")).unwrap();
    let recorded: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).map(str::to_owned).collect();
    let mut unknown = Vec::new();
    let mut check = |place: &str, text: &str| {
        let names = spoken_of(text);
        unknown.extend(names.iter().filter(|name| !known.contains(*name)).map(|name| format!("{place}: {name}")));
        names.len()
    };
    assert!(check("deploy/alerts.yml", &rules) > 5);
    let dashboards = files("deploy/grafana/dashboards", "json");
    assert!(dashboards.len() >= 2);
    let mut uids = BTreeSet::new();
    for path in dashboards {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut queries = Vec::new();
        expressions(&dashboard, &mut queries);
        assert!(queries.len() > 5, "{}", path.display());
        let place = path.file_name().unwrap().to_string_lossy().into_owned();
        for query in &queries {
            check(&place, query);
            let rules = query.split(|character: char| !(character.is_ascii_alphanumeric() || "_:".contains(character)));
            for rule in rules.filter(|word| word.contains("credit_approval:")) {
                assert!(recorded.contains(rule), "{place}: {rule} is not recorded");
            }
        }
        assert!(uids.insert(dashboard["uid"].to_string()), "{place}: another dashboard has its uid");
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{place}: each panel has an id of its own");
    }
    assert!(unknown.is_empty(), "there are no such metrics:\n{}", unknown.join("\n"));
}

const INTRODUCTION: &str = "# Metrics

What `GET /metrics` tells Prometheus. Every name begins with `credit_approval_`. A test writes this table from a running
service, and fails when it is not what stands here; `make metrics` writes it anew. What a process does not do it does
not tell: without a NATS nothing of one, without a role nothing of its work. Counters and histograms are of the process
that is asked. The gauges of `log`, `projection`, `imports` and `relay_lag` are of all of them: any process with the
API reads them from the databases, and tells them, with `databases_answer`, on the API's port only.

| metric | type | labels | what it says |
| --- | --- | --- | --- |
";

fn document(metrics: &BTreeMap<String, Metric>) -> String {
    let mut text = INTRODUCTION.to_owned();
    for (name, metric) in metrics {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        let suffix = if metric.kind == "counter" { "_total" } else { "" };
        let labels: Vec<_> =
            metric.labels.iter().filter(|label| *label != "le").map(|label| format!("`{label}`")).collect();
        let Metric { kind, help, .. } = metric;
        writeln!(text, "| `{short}{suffix}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_lists_every_metric() {
    let Some(metrics) = all_metrics().await else { return };
    let expected = document(&metrics);
    let path = root().join(DOCUMENT);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let missing: Vec<_> = expected.lines().filter(|line| !written.lines().any(|other| other == *line)).collect();
    let superfluous: Vec<_> = written.lines().filter(|line| !expected.lines().any(|other| other == *line)).collect();
    assert!(written == expected, "`make metrics` writes it anew; missing: {missing:#?}, not so: {superfluous:#?}");
}

#[test]
fn names_are_found_in_queries() {
    let query = "sum by (route) (rate(credit_approval_http_requests_total{status=~\"5..\"}[5m])) / credit_approval:errors:ratio5m";
    assert_eq!(spoken_of(query).into_iter().collect::<Vec<_>>(), ["credit_approval_http_requests_total"]);
    let mut found = Vec::new();
    expressions(
        &serde_json::json!({"panels": [{"targets": [{"expr": "a"}], "title": "b"}, {"expr": "c"}]}),
        &mut found,
    );
    assert_eq!(found, ["a", "c"]);
}
