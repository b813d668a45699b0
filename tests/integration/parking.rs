//! Poison (G8): an event that a read model cannot apply parks its customer there, and nobody else. Nothing of that
//! customer is skipped: once the cause is gone, all of it is made good, in order.
//!
//! - `silent`: events at which whoever applies them ends without a word
//! - `redrive`: redriving while more comes in
//! - `rebuilds`: rebuilding where customers are parked, or would be

mod rebuilds;
mod redrive;
mod silent;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::client::application;
use crate::support::metrics::samples;
use crate::support::process::run;
use crate::support::projections::{status_of, until_state};
use crate::support::sql::execute;
use crate::support::traffic::{borrow, loans_of, repay};
use crate::support::verified::{assert_verified, findings};
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

const RAISE: &str = "raise exception 'the table takes nothing of this customer'";

/// Two customers whose events share a partition.
async fn neighbours(client: &Client) -> (i64, i64) {
    let first = client.register(80_000).await;
    for _ in 0..64 {
        let next = client.register(80_000).await;
        if next % 8 == first % 8 {
            return (first, next);
        }
    }
    panic!("nobody shares a partition with customer {first}");
}

/// From now on the loans read model does that when it is to take a row of one customer.
async fn refuse(pool: &PgPool, customer: i64, what: &str) {
    execute(
        pool,
        &format!(
            "create function read_models.refuse() returns trigger language plpgsql as $$ begin
                 {what};
                 return new;
             end $$;
             create trigger refuse before insert or update on read_models.loans for each row
                 when (new.customer_id = {customer}) execute function read_models.refuse()"
        ),
    )
    .await;
}

/// The loans read model takes everything again.
async fn accept(pool: &PgPool) {
    execute(pool, "drop trigger refuse on read_models.loans; drop function read_models.refuse()").await;
}

/// A repayment as a newer build would write it: this one cannot read it. Answers its place in the log.
async fn repay_with_a_newer_build(pool: &PgPool, client: &Client, loan: i64) -> i64 {
    execute(
        pool,
        "create function newer() returns trigger language plpgsql as
             $$ begin new.event_version := '9.0'; return new; end $$;
         create trigger newer before insert on events for each row
             when (new.event_type = 'RepaymentReceived') execute function newer()",
    )
    .await;
    repay(client, loan, 5_000).await;
    execute(pool, "drop trigger newer on events; drop function newer()").await;
    sqlx::query_scalar("select position from events where event_version = '9.0'").fetch_one(pool).await.unwrap()
}

/// From now on this build can read them: it stands in for one that can.
async fn learn_to_read(pool: &PgPool) {
    execute(pool, "update events set event_version = '1.0' where event_version = '9.0'").await;
}

/// The customers that are parked in a read model, as the API lists them.
async fn parked(client: &Client, name: &str) -> Vec<Value> {
    let listed = client.get(&format!("/v1/projections/{name}/parked")).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    assert_eq!(listed.body["next_cursor"], Value::Null);
    listed.body["items"].as_array().expect("items").clone()
}

/// The one customer that is parked in a read model.
async fn the_one_parked(client: &Client, name: &str, customer: i64) -> Value {
    let mut listed = parked(client, name).await;
    let one = listed.pop().unwrap_or_else(|| panic!("nobody is parked in {name}"));
    assert_eq!((listed.len(), &one["customer_id"]), (0, &json!(customer)), "{one} {listed:?}");
    one
}

/// Tries again whoever is parked in a read model, or one customer.
async fn redrive(client: &Client, name: &str, body: &Value) -> Value {
    let answer = client.post(&format!("/v1/projections/{name}/redrive"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// The loans that a customer's score is made of: those in its credit profile.
async fn scored_loans(client: &Client, customer: i64) -> Vec<i64> {
    let scored = client.get(&format!("/v1/customers/{customer}/credit-score")).await;
    assert_eq!(scored.status, 200, "{}", scored.body);
    let loans = scored.body["loans"].as_array().expect("loans");
    loans.iter().map(|loan| loan["loan_id"].as_i64().expect("a loan")).collect()
}

/// Borrows without waiting for the read models.
async fn borrow_unseen(client: &Client, customer: i64) -> i64 {
    let request = client.request(Method::POST, "/create-loan").header("Prefer", "respond-async");
    let lent = client.send(request.json(&application(customer, 100_000, 14, 24))).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    lent.body["loan_id"].as_i64().expect("a loan")
}

async fn until_seen(client: &Client, loan: i64) {
    eventually(&format!("loan {loan} is seen"), async || client.get(&format!("/view-loan/{loan}")).await.status == 200)
        .await;
}

/// Where a loan's first event stands in the log.
async fn opened_at(pool: &PgPool, loan: i64) -> i64 {
    sqlx::query_scalar(
        "select position from events where aggregate_type = 'loan' and aggregate_id = $1 and sequence = 1",
    )
    .bind(loan.to_string())
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Verification says of the read models only that these customers are parked; each is counted for each read model.
async fn only_parked(pool: &PgPool, customers: u64) {
    let found = findings(pool).await;
    assert_eq!(found.parked, customers, "{found}");
    let of_parking = |line: &String| line.contains("parked at position") || line.contains("the event cannot be read");
    assert!(found.first.iter().all(of_parking), "{found}");
}

/// Operators are told of one customer that is parked in the loans read model.
async fn assert_told(app: &TestApp, customer: i64) {
    let item = until_state(&app.client, "loans", "parked").await;
    assert_eq!(item["parked"], 1, "{item}");
    assert!(item["parked_for_seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{item}");
    assert_eq!(item["lag_events"], 0, "what is withheld is no lag: {item}");
    for partition in item["partitions"].as_array().unwrap() {
        let is_its = partition["partition"] == customer % 8;
        assert_eq!((partition["parked"] == 1, partition["state"] == "parked"), (is_its, is_its), "{item}");
    }
    let samples = eventually("its age is told", async || {
        let samples = samples(&app.client).await;
        let age = samples["credit_approval_projection_parked_seconds{projection=\"loans\"}"];
        (age > 0.0).then_some(samples)
    })
    .await;
    assert_eq!(samples["credit_approval_projection_parked{projection=\"loans\"}"], 1.0);
    assert_eq!(samples["credit_approval_projection_state{projection=\"loans\",state=\"parked\"}"], 1.0);
    assert_eq!(samples["credit_approval_projection_parked{projection=\"customers\"}"], 0.0);
    let ran = run(&app.config, &["parked"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert!(ran.said.contains(&format!("loans: customer {customer}, parked since ")), "{}", ran.said);
    assert!(!ran.said.contains("customers: customer"), "{}", ran.said);
}

/// Redriving what cannot be applied still keeps it where it is, by whichever way, and counts.
async fn assert_stays_parked(app: &TestApp, customer: i64) {
    let before = the_one_parked(&app.client, "loans", customer).await;
    let outcome = redrive(&app.client, "loans", &json!({})).await;
    assert_eq!((&outcome["redriven"], &outcome["more"]), (&json!([]), &json!(false)), "{outcome}");
    let again = the_one_parked(&app.client, "loans", customer).await;
    assert_eq!(outcome["parked"], json!([again]));
    let ran = run(&app.config, &["redrive", "loans"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.said.contains("loans: 0 customers go on, 1 stay parked"), "{}", ran.said);
    assert!(ran.complained.contains("1 customers stay parked"), "{}", ran.complained);
    let after = the_one_parked(&app.client, "loans", customer).await;
    let attempts = [&before, &again, &after].map(|one| one["attempts"].as_i64().expect("a number"));
    assert_eq!(attempts.map(|number| number - attempts[0]), [0, 1, 2]);
    for unchanged in ["position", "event_type", "parked_at"] {
        assert_eq!((&again[unchanged], &after[unchanged]), (&before[unchanged], &before[unchanged]));
    }
    assert!(after["tried_at"].as_str() > before["tried_at"].as_str(), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_a_table_refuses_is_parked_there_and_nowhere_else() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let first = borrow(&app.client, a).await;
    refuse(&pool, a, RAISE).await;
    let second = borrow(&app.client, a).await;
    let third = borrow(&app.client, a).await;
    let theirs = borrow(&app.client, b).await;

    assert_eq!(loans_of(&app.client, b).await, [theirs], "others go on, in the same partition");
    assert_eq!(loans_of(&app.client, a).await, [first], "nothing after the event is applied");
    assert_eq!(scored_loans(&app.client, a).await, [first, second, third], "other read models go on");
    let one = the_one_parked(&app.client, "loans", a).await;
    assert_eq!((&one["position"], &one["event_type"]), (&json!(opened_at(&pool, second).await), &json!("LoanOpened")));
    assert!(one["error"].as_str().is_some_and(|error| error.contains("the table takes nothing of this customer")));
    assert_eq!(one["attempts"], 1);
    assert!(
        parked(&app.client, "customers").await.is_empty() && parked(&app.client, "credit_profiles").await.is_empty()
    );
    assert_told(&app, a).await;
    assert_eq!(status_of(&app.client, "credit_profiles").await["state"], "live");
    only_parked(&pool, 1).await;

    // It survives a restart.
    let config = app.config.clone();
    app.stop().await;
    let app = TestApp::start_with(config).await;
    assert_eq!(the_one_parked(&app.client, "loans", a).await, one);
    let fourth = borrow(&app.client, a).await;
    let more_of_theirs = borrow(&app.client, b).await;
    assert_eq!(loans_of(&app.client, b).await, [theirs, more_of_theirs]);
    assert_eq!(loans_of(&app.client, a).await, [first]);
    assert_told(&app, a).await;
    assert_stays_parked(&app, a).await;
    assert_eq!(loans_of(&app.client, a).await, [first]);

    accept(&pool).await;
    let nobody = redrive(&app.client, "loans", &json!({ "customer_id": b })).await;
    assert_eq!(nobody, json!({ "redriven": [], "parked": [], "more": false }), "only whoever is asked for");
    let outcome = redrive(&app.client, "loans", &json!({ "customer_id": a })).await;
    assert_eq!(outcome, json!({ "redriven": [a], "parked": [], "more": false }));
    assert_eq!(loans_of(&app.client, a).await, [first, second, third, fourth], "all of it, in order");
    let fifth = borrow(&app.client, a).await;
    assert_eq!(loans_of(&app.client, a).await.last(), Some(&fifth), "and it goes on from there");
    assert!(parked(&app.client, "loans").await.is_empty());
    assert_eq!(until_state(&app.client, "loans", "live").await["parked_for_seconds"], Value::Null);
    assert_eq!(samples(&app.client).await["credit_approval_projection_parked{projection=\"loans\"}"], 0.0);
    assert_verified(&pool).await;
    app.stop().await;
}

/// How many instalments of its first loan a customer has left to pay.
async fn repayments_left(client: &Client, customer: i64) -> Value {
    client.get(&format!("/view-loans/{customer}")).await.body[0]["repayments_left"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_this_build_cannot_read_parks_its_customer_everywhere() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let first = borrow(&app.client, a).await;
    let position = repay_with_a_newer_build(&pool, &app.client, first).await;
    let second = borrow(&app.client, a).await;
    let theirs = borrow(&app.client, b).await;
    assert_eq!((loans_of(&app.client, b).await, scored_loans(&app.client, b).await), (vec![theirs], vec![theirs]));
    for name in ["customers", "loans", "credit_profiles", "decisions"] {
        let one = the_one_parked(&app.client, name, a).await;
        assert_eq!((&one["position"], &one["event_type"]), (&json!(position), &json!("RepaymentReceived")), "{one}");
        assert!(one["error"].as_str().is_some_and(|error| error.contains("version 9.0")), "{one}");
    }
    assert_eq!((loans_of(&app.client, a).await, scored_loans(&app.client, a).await), (vec![first], vec![first]));
    assert_eq!(repayments_left(&app.client, a).await, 24);
    assert_stays_parked(&app, a).await;
    only_parked(&pool, 4).await;

    learn_to_read(&pool).await;
    let outcome = redrive(&app.client, "loans", &json!({})).await;
    assert_eq!(outcome, json!({ "redriven": [a], "parked": [], "more": false }));
    assert_eq!(
        (loans_of(&app.client, a).await, repayments_left(&app.client, a).await),
        (vec![first, second], json!(23))
    );
    assert_eq!(scored_loans(&app.client, a).await, [first], "each read model by itself");
    let ran = run(&app.config, &["redrive", "credit_profiles", "--customer", &a.to_string()]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert!(ran.said.contains("credit_profiles: 1 customers go on, 0 stay parked"), "{}", ran.said);
    assert_eq!(scored_loans(&app.client, a).await, [first, second]);
    the_one_parked(&app.client, "customers", a).await;

    // A build that can read the event takes the customer up by itself when it starts.
    let config = app.config.clone();
    app.stop().await;
    let app = TestApp::start_with(config).await;
    for name in ["customers", "decisions"] {
        eventually("it goes on", async || parked(&app.client, name).await.is_empty()).await;
    }
    assert_verified(&pool).await;
    let ran = run(&app.config, &["parked"]).await;
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "nothing is parked\n"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_customers_are_listed_page_by_page() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    execute(&pool, "alter table read_models.loans add constraint nothing check (loan_id < 0)").await;
    let mut customers = Vec::new();
    for _ in 0..5 {
        let customer = app.client.register(80_000).await;
        borrow(&app.client, customer).await;
        customers.push(customer);
    }
    let mut listed = Vec::new();
    let mut path = "/v1/projections/loans/parked?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = app.client.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        listed.extend(items.iter().map(|item| item["customer_id"].as_i64().unwrap()));
        pages += 1;
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        assert_eq!(items.len(), 2, "{}", page.body);
        path = format!("/v1/projections/loans/parked?limit=2&cursor={cursor}");
    }
    assert_eq!((listed, pages), (customers.clone(), 3));
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("cursor=x", "cursor"), ("page=2", "page")] {
        let wrong = app.client.get(&format!("/v1/projections/loans/parked?{query}")).await;
        assert_eq!((wrong.status, wrong.wrong_fields()), (400, vec![field]), "{}", wrong.body);
    }
    // One of them alone is redriven, then all the others.
    execute(&pool, "alter table read_models.loans drop constraint nothing").await;
    let outcome = redrive(&app.client, "loans", &json!({ "customer_id": customers[2] })).await;
    assert_eq!(outcome["redriven"], json!([customers[2]]));
    customers.remove(2);
    assert_eq!(redrive(&app.client, "loans", &json!({})).await["redriven"], json!(customers));
    assert_verified(&pool).await;
    app.stop().await;
}
