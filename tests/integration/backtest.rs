//! Backtests: the recorded decisions under another policy, over the API and on the command line.

use std::time::Duration;

use credit_approval::commands::BusinessCalendar;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::AsyncReadExt;

use crate::decisions::multiply;
use crate::support::client::application;
use crate::support::process::{program, run};
use crate::support::sql::{count, execute};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{Answer, Client, TestApp};

const STANDARD_1: &str = include_str!("../../policies/standard-1.toml");
/// Decisions of a large backtest; all of them in memory would take hundreds of megabytes.
const MANY: i64 = 100_000;
const AT_MOST_KILOBYTES: u64 = 80_000;
const UNDER_WAY: &str = "urn:credit-approval:problem:backtest-under-way";

/// `standard-1` under another name, with a line changed.
fn changed(line: &str, into: &str) -> String {
    assert!(STANDARD_1.contains(line));
    STANDARD_1.replace("standard-1", "what-if-1").replace(line, into)
}

async fn ask(client: &Client, body: &Value) -> Answer {
    client.post("/v1/policies/backtest", body).await
}

async fn report(client: &Client, body: &Value) -> Value {
    let answer = ask(client, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// Three customers: one borrows at a corrected rate, one as asked for, and one is declined for its limit.
struct Decided {
    app: TestApp,
    customers: [i64; 3],
    declined: i64,
}

impl Decided {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let mut customers = [0; 3];
        let mut declined = 0;
        let asked = [(50_000, 100_000, 10), (50_000, 200_000, 14), (1_388, 30_000, 12)];
        for (customer, (income, amount, rate)) in customers.iter_mut().zip(asked) {
            *customer = app.client.register(income).await;
            let answer = app.client.post("/create-loan", &application(*customer, amount, rate, 12)).await;
            declined = answer.body["decision_id"].as_i64().unwrap();
        }
        Self { app, customers, declined }
    }
}

fn tally(decisions: u64, loan_amount: u64) -> Value {
    json!({ "decisions": decisions, "loan_amount": loan_amount })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_service_is_compared_with_what_was_decided() {
    let Decided { app, customers, declined } = Decided::new().await;
    let events = count(&app.pool().await, "events").await;
    let same = report(&app.client, &json!({ "policy": "standard-1" })).await;
    assert_eq!((&same["decisions"], &same["loan_amount"]), (&json!(3), &json!(330_000)));
    assert_eq!((&same["still_approved"], &same["still_declined"]), (&tally(2, 300_000), &tally(1, 30_000)));
    assert_eq!((&same["newly_approved"], &same["newly_declined"]), (&tally(0, 0), &tally(0, 0)));

    let literal = report(&app.client, &json!({ "policy": "literal-1" })).await;
    assert_eq!(literal["policy"]["id"], "literal-1");
    assert_eq!((&literal["newly_approved"], &literal["newly_declined"]), (&tally(1, 30_000), &tally(0, 0)));
    let example = &literal["examples"]["newly_approved"][0];
    assert_eq!((&example["decision_id"], &example["customer_id"]), (&json!(declined), &json!(customers[2])));
    assert_eq!((&example["recorded_reason"], &example["reason"]), (&json!("limit_exceeded"), &json!("within_policy")));
    assert_eq!(literal["rates"]["same"], 2);
    let by_reason = literal["by_reason"].as_array().unwrap();
    assert_eq!(by_reason.len(), 3, "{literal}");
    let month = BusinessCalendar(app.config.store.business_utc_offset).today().format("%Y-%m").to_string();
    assert_eq!((&literal["by_month"][0]["month"], &literal["by_month"][0]["decisions"]), (&json!(month), &json!(3)));
    assert_eq!(literal["by_month"][0]["newly_approved"], tally(1, 30_000));
    assert!(literal["note"].as_str().is_some_and(|note| note.contains("standing that was recorded")));
    assert_eq!(count(&app.pool().await, "events").await, events, "it has no effect");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_requests_own_is_compared_too() {
    let Decided { app, .. } = Decided::new().await;
    let strict = changed("without_loans = 50", "without_loans = 5");
    let told = report(&app.client, &json!({ "policy_toml": strict })).await;
    assert_eq!((&told["policy"]["id"], &told["newly_declined"]), (&json!("what-if-1"), &tally(2, 300_000)));
    assert_eq!(told["examples"]["newly_declined"][0]["reason"], "score_too_low");
    let dearer = changed("minimum_rate = \"12\"", "minimum_rate = \"13\"");
    let told = report(&app.client, &json!({ "policy_toml": dearer, "examples": 0 })).await;
    assert_eq!(told["rates"]["raised"], json!({ "decisions": 1, "average_change": 1 }));
    assert_eq!(told["rates"]["same"], 1);
    app.stop().await;
}

/// Moves the decision of each customer to a day of its own, by the read model.
async fn spread(pool: &PgPool, customers: [i64; 3]) {
    for (customer, day) in customers.iter().zip(["2025-12-31", "2026-01-01", "2026-06-01"]) {
        let sql = format!(
            "update read_models.decisions set decided_at = '{day} 00:00:00+05:30' where customer_id = {customer}"
        );
        execute(pool, &sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_holds_its_first_day_and_not_its_last() {
    let Decided { app, customers, .. } = Decided::new().await;
    spread(&app.pool().await, customers).await;
    for (after, before, amount) in [
        (Some("2026-01-01"), None, 230_000),
        (None, Some("2026-01-01"), 100_000),
        (Some("2026-01-01"), Some("2026-06-01"), 200_000),
        (Some("2026-06-01T00:00:00+05:30"), Some("2026-06-02"), 30_000),
        (Some("2026-06-01T00:00:01+05:30"), None, 0),
    ] {
        let body = json!({ "policy": "literal-1", "decided_after": after, "decided_before": before });
        assert_eq!(report(&app.client, &body).await["loan_amount"], amount, "{body}");
        let day = |name: &str, day: Option<&str>| {
            day.map(|day| vec![format!("--{name}"), day.to_owned()]).unwrap_or_default()
        };
        let options = [day("decided-after", after), day("decided-before", before)].concat();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let ran = run(&app.config, &[&["backtest", "literal-1", "--json"][..], &options].concat()).await;
        let told: Value = serde_json::from_str(&ran.said).unwrap_or_else(|_| panic!("{}", ran.complained));
        assert_eq!(told["loan_amount"], amount, "{options:?}");
    }
    let body = json!({ "policy": "literal-1", "customer_id": customers[1] });
    let of_one = report(&app.client, &body).await;
    assert_eq!((&of_one["decisions"], &of_one["customer_id"]), (&json!(1), &json!(customers[1])));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_the_api_answers() {
    let Decided { app, declined, .. } = Decided::new().await;
    let answered = report(&app.client, &json!({ "policy": "literal-1" })).await;
    let ran = run(&app.config, &["backtest", "literal-1", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert_eq!(serde_json::from_str::<Value>(&ran.said).unwrap(), answered);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("what-if.toml");
    std::fs::write(&file, changed("without_loans = 50", "without_loans = 5")).unwrap();
    let file = file.to_str().unwrap();
    let ran = run(&app.config, &["backtest", file]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    for line in [
        "policy           what-if-1 (",
        "taken again              3 decisions,               330000\n",
        "newly declined           2 decisions,               300000\n",
        "  rate_corrected                 -> score_too_low                          1               100000\n",
        "newly declined, some of them\n",
    ] {
        assert!(ran.said.contains(line), "no '{line}' in {}", ran.said);
    }
    let ran = run(&app.config, &["backtest", "literal-1"]).await;
    assert!(ran.said.contains(&format!("  decision {declined} of ")), "{}", ran.said);

    for (policy, complaint) in [
        ("standard-9", "there is no policy 'standard-9'; there are: standard-1, literal-1"),
        ("/nowhere/policy.toml", "cannot read the policy /nowhere/policy.toml: No such file"),
    ] {
        let ran = run(&app.config, &["backtest", policy]).await;
        assert_eq!(ran.code, Some(1));
        assert!(ran.complained.contains(complaint), "{}", ran.complained);
    }
    let ran = run(&app.config, &["backtest", "literal-1", "--examples", "101"]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.complained);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_progress_end_in_the_result() {
    let Decided { app, .. } = Decided::new().await;
    let pool = app.pool().await;
    multiply(&pool, 4_000).await;
    let body = json!({ "policy": "literal-1" });
    let whole = report(&app.client, &body).await;
    assert_eq!(whole["decisions"], 4_003);
    let request = app.client.request(Method::POST, "/v1/policies/backtest").json(&body);
    let response = request.header("Accept", "application/json;q=0.5, application/x-ndjson").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
        (200, "application/x-ndjson")
    );
    let text = response.text().await.unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.pop().unwrap(), json!({ "result": whole }));
    for line in &lines {
        assert!(line["progress"]["decisions"].as_i64() <= Some(4_003) && line["progress"]["total"] == 4_003, "{line}");
    }
    assert!(lines.is_sorted_by_key(|line| line["progress"]["decisions"].as_i64()), "{text}");
    app.stop().await;
}

#[rstest]
#[case::at_once(false)]
#[case::line_by_line(true)]
#[tokio::test(flavor = "multi_thread")]
async fn one_runs_at_a_time_and_ends_when_its_client_goes_away(#[case] by_line: bool) {
    let Decided { app, .. } = Decided::new().await;
    let pool = app.pool().await;
    let body = json!({ "policy": "literal-1" });
    let hold = async || {
        let mut held = pool.begin().await.unwrap();
        sqlx::query("lock table read_models.decisions in access exclusive mode").execute(&mut *held).await.unwrap();
        held
    };
    let held = hold().await;
    let request = app.client.request(Method::POST, "/v1/policies/backtest").json(&body);
    let accept = if by_line { "application/x-ndjson" } else { "application/json" };
    let first = tokio::spawn(request.header("Accept", accept).send());
    eventually("the first waits for the table", async || {
        count(&pool, "pg_locks where relation = 'read_models.decisions'::regclass and not granted").await > 0
    })
    .await;
    let second = ask(&app.client, &body).await;
    assert_eq!(second.status, 409, "{}", second.body);
    assert_eq!(second.body["type"], UNDER_WAY, "{}", second.body);
    assert_eq!(second.header("retry-after"), "5");
    first.abort();
    eventually("the first is given up", async || {
        tokio::time::timeout(Duration::from_millis(300), ask(&app.client, &body)).await.is_err()
    })
    .await;
    held.rollback().await.unwrap();
    eventually("another one has its turn", async || ask(&app.client, &body).await.status == 200).await;
    app.stop().await;
}

#[rstest]
#[case::no_policy(json!({}), "policy")]
#[case::two_policies(json!({ "policy": "literal-1", "policy_toml": STANDARD_1 }), "policy_toml")]
#[case::no_toml(json!({ "policy_toml": "id =" }), "policy_toml")]
#[case::no_weights(json!({ "policy_toml": "id = \"a\"" }), "policy_toml")]
#[case::wrong_weights(json!({ "policy_toml": STANDARD_1.replace("on_time = 40", "on_time = 50") }), "policy_toml")]
#[case::no_day(json!({ "policy": "literal-1", "decided_after": "2026-02-30" }), "decided_after")]
#[case::no_instant(json!({ "policy": "literal-1", "decided_before": "2026-02-01 12:00" }), "decided_before")]
#[case::no_customer(json!({ "policy": "literal-1", "customer_id": 0 }), "customer_id")]
#[case::too_many_examples(json!({ "policy": "literal-1", "examples": 101 }), "examples")]
#[case::half_an_example(json!({ "policy": "literal-1", "examples": 0.5 }), "examples")]
#[case::misspelt(json!({ "policy": "literal-1", "decided_since": "2026-01-01" }), "decided_since")]
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named(#[case] body: Value, #[case] field: &str) {
    let app = TestApp::start().await;
    let answer = ask(&app.client, &body).await;
    assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field]), "{}", answer.body);
    let unknown = ask(&app.client, &json!({ "policy": "standard-9" })).await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["policy"]), "{}", unknown.body);
    app.stop().await;
}

/// The most memory that a process has had so far, in kilobytes; `None` when it has ended.
fn peak_kilobytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_decisions_need_no_more_memory_than_few() {
    let Decided { app, .. } = Decided::new().await;
    multiply(&app.pool().await, MANY).await;
    let mut command = program(&app.config);
    let arguments = ["backtest", "literal-1", "--json"];
    let mut child = command.args(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let pid = child.id().expect("it runs");
    let mut output = child.stdout.take().unwrap();
    let mut peak = 0;
    let ended = async {
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_kilobytes(pid).unwrap_or(0));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(3 * PATIENCE, ended).await.expect("it comes to its end");
    let mut said = String::new();
    output.read_to_string(&mut said).await.unwrap();
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["decisions"], MANY + 3);
    assert_eq!(told["by_month"].as_array().map(Vec::len), Some(1));
    assert!(peak > 1_000, "it was looked at: {peak} kB");
    assert!(peak < AT_MOST_KILOBYTES, "{peak} kB");
    app.stop().await;
}
