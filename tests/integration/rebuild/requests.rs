//! Asking for a rebuild, of everything or of one customer alone, and stopping one.

use std::process::Stdio;

use projections::rebuilds::Phase;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::gate::Gate;
use super::{NAMES, corrupt, told};
use crate::support::log::hold_the_log;
use crate::support::process::{program, run};
use crate::support::rebuilds::{done, ended, find, leftovers, reached, request};
use crate::support::sql::{count, execute};
use crate::support::traffic::{assert_serving, borrow, loans_of};
use crate::support::verified::{assert_verified, findings};
use crate::support::wait::eventually;
use crate::support::{Answer, Client, TestApp};

const NO_REBUILD: &str = "urn:credit-approval:problem:no-rebuild";
const UNDER_WAY: &str = "urn:credit-approval:problem:rebuild-under-way";

async fn cancel(client: &Client, name: &str) -> Answer {
    client.send(client.request(Method::DELETE, &format!("/v1/projections/{name}/rebuild"))).await
}

/// A service with one loan that its table has wrong, so that it shows which table serves.
async fn with_a_wrong_loan() -> (TestApp, PgPool, i64) {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    corrupt(&pool, loan).await;
    (app, pool, loan)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_the_log_is_cancelled_by_the_api() {
    let (app, pool, loan) = with_a_wrong_loan().await;
    let none = cancel(&app.client, "loans").await;
    assert_eq!((none.status, &none.body["type"]), (404, &json!(NO_REBUILD)), "{}", none.body);
    let appender = hold_the_log(&pool).await;
    let rebuild_id = request(&app.client, "loans").await;
    eventually("somebody takes it up", async || find(&pool, rebuild_id).await.process).await;
    let other = cancel(&app.client, "customers").await;
    assert_eq!((other.status, &other.body["type"]), (404, &json!(NO_REBUILD)), "{}", other.body);
    assert!(!find(&pool, rebuild_id).await.cancel_requested);

    let cancelling = cancel(&app.client, "loans").await;
    assert_eq!((cancelling.status, &cancelling.body["rebuild_id"]), (202, &json!(rebuild_id)), "{}", cancelling.body);
    assert_eq!(cancelling.body["cancel_requested"], true);
    let cancelled = ended(&pool, rebuild_id).await;
    assert_eq!((cancelled.phase, cancelled.error), (Phase::Cancelled, None));
    assert_eq!(leftovers(&pool).await, [""; 0]);
    assert_eq!(told(&app.client, loan).await, 1, "the old table serves");
    assert_eq!(cancel(&app.client, "loans").await.status, 404, "it has ended");

    appender.rollback().await.unwrap();
    done(&pool, request(&app.client, "loans").await).await;
    assert_eq!(told(&app.client, loan).await, 100_000);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_half_filled_is_cancelled_on_the_command_line() {
    let (app, pool, loan) = with_a_wrong_loan().await;
    let none = run(&app.config, &["rebuild", "--cancel"]).await;
    assert_eq!(none.code, Some(1), "{}", none.said);
    assert!(none.complained.contains("no rebuild is under way"), "{}", none.complained);
    let gate = Gate::close(&pool, -1).await;
    let mut working = program(&app.config);
    let working = working.args(["rebuild", "loans"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let rebuild_id = eventually("the command asks for it", async || {
        projections::rebuilds::unfinished(&pool).await.unwrap().map(|rebuild| rebuild.rebuild_id)
    })
    .await;
    reached(&pool, rebuild_id, Phase::Filling).await;
    assert!(leftovers(&pool).await.contains(&"loans_rebuild".to_owned()), "its table is there");

    let cancelling = run(&app.config, &["rebuild", "--cancel"]).await;
    assert_eq!(cancelling.code, Some(0), "{}", cancelling.complained);
    assert_eq!(cancelling.said, format!("rebuild {rebuild_id} is being cancelled\n"));
    gate.open().await;
    let worked = working.wait_with_output().await.unwrap();
    let complained = String::from_utf8(worked.stderr).unwrap();
    assert_eq!(worked.status.code(), Some(1), "{complained}");
    assert!(complained.contains("the rebuild was cancelled; the old tables serve"), "{complained}");
    assert_eq!(find(&pool, rebuild_id).await.phase, Phase::Cancelled);
    assert_eq!(leftovers(&pool).await, [""; 0]);
    assert_eq!(told(&app.client, loan).await, 1, "the old table serves");

    let again = run(&app.config, &["rebuild", "loans"]).await;
    assert_eq!(again.code, Some(0), "{}", again.complained);
    assert_eq!(told(&app.client, loan).await, 100_000);
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_works_at_a_time() {
    let (app, pool, loan) = with_a_wrong_loan().await;
    let appender = hold_the_log(&pool).await;
    let rebuild_id = request(&app.client, "loans").await;
    for name in ["loans", "customers"] {
        let second = app.client.post(&format!("/v1/projections/{name}/rebuild"), &json!({})).await;
        assert_eq!((second.status, &second.body["type"]), (409, &json!(UNDER_WAY)), "{}", second.body);
    }
    let ran = run(&app.config, &["rebuild", "customers"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.complained.contains("a rebuild is under way already"), "{}", ran.complained);
    appender.rollback().await.unwrap();
    done(&pool, rebuild_id).await;
    assert_eq!(told(&app.client, loan).await, 100_000);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_mean_is_refused_and_rebuilds_nothing() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let nonsense = "/v1/projections/nonsense";
    let unknown = [
        app.client.post(&format!("{nonsense}/rebuild"), &json!({})).await,
        app.client.post(&format!("{nonsense}/rebuild"), &json!({ "customer_id": 1 })).await,
        app.client.post(&format!("{nonsense}/redrive"), &json!({})).await,
        app.client.get(&format!("{nonsense}/parked")).await,
        cancel(&app.client, "nonsense").await,
    ];
    for answer in unknown {
        assert_eq!((answer.status, answer.wrong_fields()), (404, vec!["projection"]), "{}", answer.body);
    }
    for action in ["rebuild", "redrive"] {
        let path = format!("/v1/projections/loans/{action}");
        let misspelt = app.client.post(&path, &json!({ "costumer_id": 1 })).await;
        assert_eq!(misspelt.status, 400, "{}", misspelt.body);
        assert!(misspelt.body["detail"].as_str().unwrap().contains("costumer_id"), "{}", misspelt.body);
        for wrong in [json!("x"), json!(0), json!(-1), json!(1.5), json!([1]), json!(true)] {
            let answer = app.client.post(&path, &json!({ "customer_id": wrong })).await;
            assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["customer_id"]), "{}", answer.body);
        }
        for wrong in [json!([]), json!("loans"), Value::Null] {
            let answer = app.client.post(&path, &wrong).await;
            assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["body"]), "{wrong}: {}", answer.body);
        }
    }
    let ran = run(&app.config, &["rebuild"]).await;
    assert_eq!(ran.code, Some(2), "somebody has to say of what: {}", ran.said);
    assert_eq!(run(&app.config, &["rebuild", "nonsense"]).await.code, Some(2));
    assert_eq!(count(&pool, "read_models.rebuilds").await, 0);
    let without_body = app.client.request(Method::POST, "/v1/projections/loans/rebuild");
    assert_eq!(app.client.send(without_body).await.status, 202, "no body means all of it");
    app.stop().await;
}

/// A service with two customers of whom every read model has something wrong.
async fn with_two_wrong_customers() -> (TestApp, PgPool, [i64; 2]) {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customers = [app.client.register(80_000).await, app.client.register(80_000).await];
    for customer in customers {
        borrow(&app.client, customer).await;
        borrow(&app.client, customer).await;
    }
    execute(
        &pool,
        "update read_models.customers set last_name = 'Nobody';
         update read_models.loans set tenure = 1;
         delete from read_models.loans
             where loan_id in (select max(loan_id) from read_models.loans group by customer_id);
         insert into read_models.loans
             select (jsonb_populate_record(one, jsonb_build_object('loan_id', 9000000 + one.customer_id))).*
             from read_models.loans one;
         update read_models.credit_profiles set profile = jsonb_set(profile::jsonb, '{loans}', '[]')::json;
         update read_models.decisions set credit_score = 0",
    )
    .await;
    (app, pool, customers)
}

/// A customer's rows in a read model.
async fn rows_of(pool: &PgPool, name: &str, customer: i64) -> Vec<String> {
    let sql = format!("select one::text from read_models.{name} one where customer_id = {customer} order by 1");
    sqlx::query_scalar(&sql).fetch_all(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_alone_is_rebuilt_and_nobody_else_is_touched() {
    let (app, pool, [mended, other]) = with_two_wrong_customers().await;
    for name in NAMES {
        let (wrong, of_the_other) = (rows_of(&pool, name, mended).await, rows_of(&pool, name, other).await);
        let path = format!("/v1/projections/{name}/rebuild");
        let answer = app.client.post(&path, &json!({ "customer_id": mended })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body, json!({ "customer_id": mended, "rebuilt": true }));
        assert_ne!(rows_of(&pool, name, mended).await, wrong, "{name}");
        assert_eq!(rows_of(&pool, name, other).await, of_the_other, "{name}");
        let unknown = app.client.post(&path, &json!({ "customer_id": 4_711 })).await;
        assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["customer_id"]), "{}", unknown.body);
    }
    let found = findings(&pool).await;
    let of_other = |line: &String| {
        line.contains(&format!(" {other}: ")) || line.starts_with("loans ") || line.starts_with("decisions ")
    };
    assert!(found.differences >= 3 && found.first.iter().all(of_other), "only the other is wrong now: {found}");
    assert_eq!(loans_of(&app.client, mended).await.len(), 2, "what had been made up is gone, what was lost is back");

    let other_id = other.to_string();
    let ran =
        run(&app.config, &["rebuild", "loans", "customers", "credit_profiles", "decisions", "--customer", &other_id])
            .await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert!(ran.said.contains(&format!("loans: customer {other} is rebuilt")), "{}", ran.said);
    assert_verified(&pool).await;
    let unknown = run(&app.config, &["rebuild", "--all", "--customer", "4711"]).await;
    assert_eq!(unknown.code, Some(1), "{}", unknown.said);
    assert!(unknown.complained.contains("there is no customer 4711"), "{}", unknown.complained);
    assert_serving(&app.client).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_in_the_middle_of_a_copy_leaves_no_broken_connection_behind() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (quick, slow) = (app.client.register(80_000).await, app.client.register(80_000).await);
    borrow(&app.client, quick).await;
    borrow(&app.client, slow).await;
    // Copying the second customer's row takes long; the constraint is the rebuilt table's, too.
    let body = format!("select case when customer = {slow} then pg_sleep(4)::text else '' end is not null");
    execute(
        &pool,
        &format!(
            "create function read_models.take_time(customer bigint) returns boolean language sql volatile as $$ {body} $$;
             alter table read_models.loans add constraint takes_time check (read_models.take_time(customer_id)) not valid"
        ),
    )
    .await;
    for _ in 0..3 {
        let rebuild_id = request(&app.client, "loans").await;
        eventually("it copies", async || {
            count(
                &pool,
                "pg_stat_activity where query like 'copy %'
             and datname = current_database() and state = 'active'",
            )
            .await
                > 0
        })
        .await;
        let cancelled = cancel(&app.client, "loans").await;
        assert_eq!(cancelled.status, 202, "{}", cancelled.body);
        assert_eq!(ended(&pool, rebuild_id).await.phase, Phase::Cancelled);
        for _ in 0..12 {
            let alone = app.client.post("/v1/projections/loans/rebuild", &json!({ "customer_id": quick })).await;
            assert_eq!((alone.status, &alone.body["rebuilt"]), (200, &json!(true)), "{}", alone.body);
        }
    }
    execute(&pool, "alter table read_models.loans drop constraint takes_time").await;
    assert_verified(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_nobody_works_on_is_ended_or_taken_up_on_the_command_line() {
    // No process of this service rebuilds anything by itself.
    let app = TestApp::start().await;
    let (config, pool) = (app.config.clone(), app.pool().await);
    assert_serving(&app.client).await;
    app.stop().await;
    let left = async |projection| {
        projections::rebuilds::request(&pool, &[projection]).await.unwrap().expect("none is under way").rebuild_id
    };

    let rebuild_id = left(projections::Projection::Loans).await;
    let other = run(&config, &["rebuild", "customers", "--cancel"]).await;
    assert_eq!(other.code, Some(1), "{}", other.said);
    assert!(other.complained.contains("one of loans is under way"), "{}", other.complained);
    let cancelled = run(&config, &["rebuild", "--cancel"]).await;
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.complained);
    assert_eq!(find(&pool, rebuild_id).await.phase, Phase::Cancelled);

    let rebuild_id = left(projections::Projection::Loans).await;
    let taken_up = run(&config, &["rebuild", "customers"]).await;
    assert_eq!(taken_up.code, Some(0), "{}", taken_up.complained);
    assert!(taken_up.said.contains(&format!("going on with rebuild {rebuild_id} of loans")), "{}", taken_up.said);
    assert_eq!(find(&pool, rebuild_id).await.phase, Phase::Done);
    let own = projections::rebuilds::latest(&pool, projections::Projection::Customers).await.unwrap().unwrap();
    assert_eq!(own.phase, Phase::Done, "what was asked for was done too");
}
