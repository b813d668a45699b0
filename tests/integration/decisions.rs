//! Decisions that explain themselves: why one fell as it did, which there are, and what another one would be.
//!
//! - `preview`: what a decision would be, on any day and under any policy
//! - `upgrade`: a log that was there before the read model

mod preview;
mod upgrade;

use aggregates::ids::CustomerId;
use aggregates::policy::Policy;
use aggregates::policy::decision::{Assessment, Outcome};
use chrono::Utc;
use projections::decisions::{self, Filter, Span};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::client::application;
use crate::support::sql::{count, execute};
use crate::support::traffic::borrow;
use crate::support::verified::assert_verified;
use crate::support::{Answer, Client, TestApp};

/// Enough for the planner to prefer an index.
const MANY: i64 = 20_000;

/// Applies; answers the decision's number.
async fn apply(client: &Client, customer: i64, amount: u64, rate: u64, months: u64) -> i64 {
    let answer = client.post("/create-loan", &application(customer, amount, rate, months)).await;
    assert!([200, 201].contains(&answer.status), "{}", answer.body);
    answer.body["decision_id"].as_i64().expect("a decision")
}

async fn shown(client: &Client, decision: i64) -> Value {
    let answer = client.get(&format!("/v1/decisions/{decision}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The ids of a page, and its cursor.
fn page(answer: &Answer) -> (Vec<i64>, Option<String>) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let items = answer.body["items"].as_array().expect("items");
    let ids = items.iter().map(|item| item["decision_id"].as_i64().expect("an id")).collect();
    (ids, answer.body["next_cursor"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_says_why_and_what_would_have_passed() {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    apply(&app.client, customer, 100_000, 10, 12).await;
    let declined = app.client.post("/create-loan", &application(customer, 500_000, 14, 24)).await;
    let decision = shown(&app.client, declined.body["decision_id"].as_i64().unwrap()).await;
    assert_eq!((&decision["outcome"], &decision["loan_id"]), (&json!("declined"), &Value::Null));
    assert_eq!(decision["customer_id"], customer);
    let asked = json!({ "loan_amount": 500_000, "interest_rate": 14, "tenure": 24, "accept_corrected_rate": true });
    assert_eq!(decision["application"], asked);
    assert_eq!(decision["reasons"], declined.body["reasons"]);
    assert_eq!(decision["alternatives"], declined.body["alternatives"]);
    assert_eq!(decision["alternatives"][0], json!({ "change": "smaller_amount", "loan_amount": 335_641 }));
    assert_eq!(decision["credit_score"].to_string(), "57.89");
    let standing = &decision["standing"];
    assert_eq!((&standing["loans_taken"], &standing["current_loans_amount"]), (&json!(1), &json!(100_000)));
    assert_eq!(standing["current_instalments"].to_string(), "8884.88");
    let components = decision["components"].as_array().unwrap();
    let names: Vec<_> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["on_time", "track_record", "current_year_activity", "approved_volume"]);
    assert_eq!(components[3]["inputs"], json!({ "current_loans_amount": 100_000, "approved_limit": 1_800_000 }));
    let policy = &decision["policy"];
    assert_eq!((&policy["id"], &policy["version"]), (&json!("standard-1"), &json!(1)));
    assert_eq!(policy["digest"], Policy::shipped().unwrap()[0].reference().digest);
    assert_eq!(policy["rules"]["floors"][1], json!({ "score_above": 30, "minimum_interest_rate": 12 }));
    assert_eq!(policy["rules"]["caps"]["instalments_percent_of_income"], 50);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_names_its_loan_and_the_rate_that_its_score_demands() {
    let app = TestApp::start().await;
    let customer = app.client.register(50_000).await;
    let lent = app.client.post("/create-loan", &application(customer, 100_000, 10, 12)).await;
    let decision = shown(&app.client, lent.body["decision_id"].as_i64().unwrap()).await;
    assert_eq!((&decision["outcome"], &decision["loan_id"]), (&json!("approved"), &lent.body["loan_id"]));
    assert_eq!((&decision["rule"], &decision["credit_score"]), (&json!("no_loans"), &json!(50)));
    let rates = (&decision["minimum_interest_rate"], &decision["corrected_interest_rate"]);
    assert_eq!(rates, (&json!(12), &json!(12)));
    assert_eq!(
        (&decision["monthly_installment"], &decision["alternatives"]),
        (&lent.body["monthly_installment"], &json!([]))
    );
    assert_eq!(decision["reasons"][0]["code"], "rate_corrected");
    app.stop().await;
}

/// A decision as log and read model hold it, to the byte.
async fn recorded(pool: &PgPool, decision: i64) -> (String, String) {
    sqlx::query_as(
        "select payload -> event_type ->> 'assessment', assessment::text
         from events join read_models.decisions on payload #>> array[event_type, 'decision_id'] = decision_id::text
         where event_type in ('LoanApproved', 'LoanDeclined') and decision_id = $1",
    )
    .bind(decision)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_the_log_holds_and_what_its_inputs_give_again() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    let applications = [(1_000, 10, 12), (99_999, 9, 17), (9_000_000, 8, 480), (600_000, 11, 12), (5, 0, 7)];
    let policies = Policy::shipped().unwrap();
    for (amount, rate, months) in applications {
        let decision = apply(&app.client, customer, amount, rate, months).await;
        let (in_log, in_read_model) = recorded(&pool, decision).await;
        assert_eq!(in_read_model, in_log, "to the byte");
        let Assessment { policy, standing, application, .. } = serde_json::from_str(&in_log).unwrap();
        let policy = policies.iter().find(|known| *known.reference() == policy).unwrap();
        let again = policy.assess(standing, application).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap().to_string(), in_log, "to the byte");
        let told = shown(&app.client, decision).await;
        let reasons: Value = serde_json::to_value(&again.reasons).unwrap();
        assert_eq!((&told["reasons"], &told["as_of"]), (&reasons, &json!(again.standing.as_of.to_string())));
        assert_eq!(told["credit_score"].to_string(), again.score.value.normalize().to_string());
        assert_eq!(told["monthly_installment"].to_string(), again.instalment.amount().normalize().to_string());
        assert_eq!(told["policy"]["digest"], again.policy.digest);
    }
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_listed_page_by_page_the_newest_first() {
    let app = TestApp::start().await;
    let [a, b] = [app.client.register(50_000).await, app.client.register(50_000).await];
    let mut of_a = Vec::new();
    let mut all = Vec::new();
    for amount in [1_000, 9_000_000, 2_000, 8_000_000, 3_000] {
        of_a.push(apply(&app.client, a, amount, 14, 12).await);
        all.extend([of_a[of_a.len() - 1], apply(&app.client, b, 1_000, 14, 12).await]);
    }
    of_a.reverse();
    all.reverse();
    let list = async |query: &str| page(&app.client.get(&format!("/v1/decisions{query}")).await);
    assert_eq!(list("").await, (all.clone(), None));
    assert_eq!(list(&format!("?customer_id={a}")).await, (of_a.clone(), None));
    assert_eq!(list(&format!("?customer_id={a}&outcome=declined")).await, (vec![of_a[1], of_a[3]], None));
    assert_eq!(list("?outcome=declined").await, (vec![of_a[1], of_a[3]], None));
    assert_eq!(list(&format!("?customer_id={}", b + 1)).await, (Vec::new(), None));
    assert_eq!(list("?limit=10").await, (all.clone(), None), "the last page says so");
    for filter in [String::new(), format!("&customer_id={a}")] {
        let expected = if filter.is_empty() { &all } else { &of_a };
        let (mut found, mut cursor) = list(&format!("?limit=2{filter}")).await;
        while let Some(next) = cursor {
            let (more, further) = list(&format!("?limit=2&cursor={next}{filter}")).await;
            assert!((1..=2).contains(&more.len()));
            found.extend(more);
            cursor = further;
        }
        assert_eq!(found, *expected);
    }
    let item = &app.client.get("/v1/decisions?outcome=declined&limit=1").await.body["items"][0];
    assert_eq!((&item["outcome"], &item["policy"]), (&json!("declined"), &json!("standard-1")));
    assert_eq!((&item["loan_amount"], &item["reason"]), (&json!(8_000_000), &json!("limit_exceeded")));
    assert_eq!((&item["customer_id"], &item["loan_id"]), (&json!(a), &Value::Null));
    app.stop().await;
}

#[rstest]
#[case::no_outcome("outcome=maybe", "outcome")]
#[case::in_another_case("outcome=Approved", "outcome")]
#[case::no_customer("customer_id=0", "customer_id")]
#[case::a_name("customer_id=asha", "customer_id")]
#[case::no_items("limit=0", "limit")]
#[case::too_many("limit=101", "limit")]
#[case::a_foreign_cursor("cursor=7", "cursor")]
#[case::misspelt("customer=7", "customer")]
#[case::twice("outcome=approved&outcome=declined", "outcome")]
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_parameter_is_named(#[case] query: &str, #[case] field: &str) {
    let app = TestApp::start().await;
    let answer = app.client.get(&format!("/v1/decisions?{query}")).await;
    assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field]), "{}", answer.body);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_decision_is_not_found() {
    let app = TestApp::start().await;
    for (path, status, field) in [
        ("/v1/decisions/4711", 404, "decision_id"),
        ("/v1/decisions/0", 404, "decision_id"),
        ("/v1/decisions/9223372036854775808", 404, "decision_id"),
        ("/v1/decisions/seven", 400, "decision_id"),
        ("/v1/decisions/7?why=1", 400, "why"),
    ] {
        let answer = app.client.get(path).await;
        assert_eq!((answer.status, answer.wrong_fields()), (status, vec![field]), "{path}: {}", answer.body);
    }
    app.stop().await;
}

/// Copies a decision many times over, as many customers' and over many days.
pub(crate) async fn multiply(pool: &PgPool, copies: i64) {
    execute(
        pool,
        &format!(
            "insert into read_models.decisions
             select 1000000 + number, 1000 + number % 500, loan_id, outcome, decided_at - number * interval '1 minute',
                    as_of, policy_id, policy_digest, credit_score, loan_amount, assessment
             from read_models.decisions, generate_series(1, {copies}) number where decision_id =
                 (select min(decision_id) from read_models.decisions);
             analyze read_models.decisions"
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_reads_the_whole_table() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    let one = apply(&app.client, customer, 1_000, 14, 12).await;
    borrow(&app.client, customer).await;
    multiply(&pool, MANY).await;
    let mut transaction = pool.begin().await.unwrap();
    let customer = CustomerId::try_from(1_007).unwrap();
    for outcome in [None, Some(Outcome::Approved), Some(Outcome::Declined)] {
        for customer in [None, Some(customer)] {
            for below in [i64::MAX, 1_000_100] {
                decisions::list(&mut *transaction, Filter { customer, outcome }, below, 101).await.unwrap();
            }
        }
    }
    decisions::find(&mut *transaction, one.try_into().unwrap()).await.unwrap().expect("it is there");
    let hour_ago = Some(Utc::now() - chrono::TimeDelta::hours(1));
    for span in [
        Span { from: hour_ago, ..Span::default() },
        Span { until: hour_ago, customer: Some(customer), ..Span::default() },
        Span { customer: Some(customer), ..Span::default() },
    ] {
        let batch = decisions::batch(&mut *transaction, span, None, 100).await.unwrap();
        let behind = batch.last().map(|last| (last.decided_at, last.decision_id));
        decisions::batch(&mut *transaction, span, behind, 100).await.unwrap();
        assert!(decisions::count(&mut *transaction, span).await.unwrap() > 0);
    }
    let behind = Some((Utc::now() - chrono::TimeDelta::days(1), 0));
    decisions::batch(&mut *transaction, Span::default(), behind, 100).await.unwrap();
    let (whole, rows): (i64, i64) = sqlx::query_as(
        "select seq_scan, seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'decisions'",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(whole, 0, "an index serves each");
    assert!(rows < MANY / 2, "{rows} rows were looked at");
    assert_eq!(count(&mut *transaction, "read_models.decisions").await, MANY + 2);
    transaction.rollback().await.unwrap();
    app.stop().await;
}
