//! Policies: those that come with the product, and those of a directory; which is in force, and what stops a start.

use std::path::Path;

use credit_approval::config::Serve;

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::TestApp;
use crate::support::client::{application, codes};
use crate::support::process::run;
use crate::support::verified::findings;

const STANDARD_1: &str = include_str!("../../policies/standard-1.toml");

/// A directory with a policy that lends to nobody who never had a loan.
fn directory() -> TempDir {
    let text = STANDARD_1.replace("standard-1", "strict-2").replace("without_loans = 50", "without_loans = 5");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("strict-2.toml"), text).unwrap();
    directory
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_listed_with_their_rules() {
    let directory = directory();
    let config = TestApp::config(&["--policies-dir", text(directory.path()), "--policy", "literal-1"]).await;
    let app = TestApp::start_with(config).await;
    let answer = app.client.get("/v1/policies").await;
    assert_eq!((answer.status, &answer.body["next_cursor"]), (200, &Value::Null), "{}", answer.body);
    let items = answer.body["items"].as_array().unwrap();
    let summary: Vec<_> =
        items.iter().map(|one| (&one["id"], &one["version"], &one["shipped"], &one["in_force"])).collect();
    let expected = [
        (json!("standard-1"), json!(1), json!(true), json!(false)),
        (json!("literal-1"), json!(1), json!(true), json!(true)),
        (json!("strict-2"), json!(2), json!(false), json!(false)),
    ];
    assert_eq!(summary, expected.iter().map(|(a, b, c, d)| (a, b, c, d)).collect::<Vec<_>>());
    assert_eq!(items[0]["digest"], "b86d3bf056d2e03ca3bbf9dd2e2a7772fc20552c0f034e4209cde0b38a4e07ce");
    assert_eq!(items[2]["rules"]["score"]["without_loans"], 5);
    assert_eq!(items[0]["rules"]["floors"][2], json!({ "score_above": 10, "minimum_interest_rate": 16 }));
    let sum: u64 = items[0]["rules"]["weights"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, 100);

    let alone = app.client.get("/v1/policies/strict-2").await;
    assert_eq!((alone.status, &alone.body), (200, &items[2]));
    let unknown = app.client.get("/v1/policies/strict-3").await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["policy_id"]), "{}", unknown.body);
    let mut path = "/v1/policies?limit=2".to_owned();
    let mut paged = Vec::new();
    loop {
        let page = app.client.get(&path).await;
        paged.extend(page.body["items"].as_array().unwrap().clone());
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/policies?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, *items);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_taken_under_the_policy_in_force_and_again_by_whoever_knows_it() {
    let directory = directory();
    let at = text(directory.path());
    let config = TestApp::config(&["--policies-dir", at, "--policy", "strict-2"]).await;
    let app = TestApp::start_with(config).await;
    let customer = app.client.register(50_000).await;
    let body = application(customer, 1_000, 14, 12);
    let eligible = app.client.post("/check-eligibility", &body).await;
    assert_eq!(eligible.body["approval"], false, "{}", eligible.body);
    let declined = app.client.post("/create-loan", &body).await;
    assert_eq!((declined.status, codes(&declined)), (200, vec!["score_too_low"]), "{}", declined.body);
    let path = format!("/v1/decisions/{}", declined.body["decision_id"]);
    let decision = app.client.get(&path).await.body;
    assert_eq!((&decision["policy"]["id"], &decision["policy"]["version"]), (&json!("strict-2"), &json!(2)));
    assert_eq!(decision["policy"]["rules"]["score"]["without_loans"], 5);

    let ran = run(&app.config, &["verify", "--policies-dir", at]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.said, ran.complained);
    assert!(ran.said.contains("1 decisions taken again"), "{}", ran.said);
    let found = findings(&app.pool().await).await;
    let unknown = "was taken under an unknown policy, strict-2 (";
    assert!(found.differences == 1 && found.first[0].contains(unknown), "{found}");

    // A service that no longer has the policy shows the decision all the same.
    let mut config = app.config.clone();
    config.policies.policies_dir = None;
    config.policy = "standard-1".to_owned();
    app.stop().await;
    let app = TestApp::start_with(config).await;
    let mut without = app.client.get(&path).await.body;
    assert_eq!(without["policy"]["rules"], Value::Null);
    without["policy"]["rules"] = decision["policy"]["rules"].clone();
    assert_eq!(without, decision);
    app.stop().await;
}

#[rstest]
#[case::weights("on_time = 40", "on_time = 41", "weights: must sum to 100, not 101")]
#[case::floors("score_above = 30", "score_above = 70", "floors: must fall in score and rise in rate")]
#[case::percent(
    "loss_per_loan_this_year_percent = 25",
    "loss_per_loan_this_year_percent = 125",
    "score.loss_per_loan_this_year_percent: must be from 0 to 100, not 125"
)]
#[case::rate("minimum_rate = \"16\"", "minimum_rate = \"160\"", "floors[2].minimum_rate: ")]
#[case::unknown("on_time = 40", "on_tine = 40", "weights.on_tine: unknown field `on_tine`")]
#[case::taken("strict-2", "standard-1", "id: standard-1 comes with the product, with another text")]
#[tokio::test]
async fn a_policy_that_is_none_stops_the_start_with_one_line(
    #[case] line: &str,
    #[case] into: &str,
    #[case] says: &str,
) {
    let directory = directory();
    let file = directory.path().join("strict-2.toml");
    let valid = std::fs::read_to_string(&file).unwrap();
    assert!(valid.contains(line));
    std::fs::write(&file, valid.replace(line, into)).unwrap();
    let config = TestApp::config(&[]).await;
    for command in [&["serve"][..], &["backtest", "literal-1"], &["verify"]] {
        let arguments = [command, &["--policies-dir", text(directory.path())]].concat();
        let ran = run(&config, &arguments).await;
        assert_eq!((ran.code, ran.said.as_str()), (Some(1), ""), "{command:?}");
        let complaint = ran.complained.trim_end();
        assert!(
            !complaint.contains('\n') && complaint.contains(text(&file)) && complaint.contains(says),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_there_is_not_stops_the_start() {
    let config = TestApp::config(&[]).await;
    let ran = run(&config, &["serve", "--policy", "strict-2"]).await;
    let expected = "credit-approval: there is no policy 'strict-2'; there are: standard-1, literal-1\n";
    assert_eq!((ran.code, ran.complained.as_str()), (Some(1), expected));
    let ran = run(&config, &["serve", "--policies-dir", "/nowhere/at/all"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.complained.contains("cannot read the policies in /nowhere/at/all: No such file"), "{}", ran.complained);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_edited_after_it_decided_stops_the_start() {
    let directory = directory();
    let at = text(directory.path());
    let config = TestApp::config(&["--policies-dir", at, "--policy", "strict-2"]).await;
    let app = TestApp::start_with(config.clone()).await;
    let customer = app.client.register(50_000).await;
    app.client.post("/create-loan", &application(customer, 1_000, 14, 12)).await;
    app.stop().await;

    let file = directory.path().join("strict-2.toml");
    let edited = std::fs::read_to_string(&file).unwrap().replace("without_loans = 5", "without_loans = 6");
    std::fs::write(&file, edited).unwrap();
    let database = config.store.database_url.as_deref().expect("tests name a database");
    let serve = ["serve", "--http-addr", "127.0.0.1:0", "--database-url", database, "--policies-dir", at];
    let ran = run(&config, &[&serve[..], &["--policy", "strict-2"]].concat()).await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(
        ran.complained.contains("the policy strict-2 has been changed since decisions were taken"),
        "{}",
        ran.complained
    );
    TestApp::start_with(config_under(config, "standard-1")).await.stop().await;
}

/// The same data, with another policy in force.
fn config_under(mut config: Serve, policy: &str) -> Serve {
    policy.clone_into(&mut config.policy);
    config
}
