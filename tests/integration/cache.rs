//! Credit profiles kept in memory: asking again takes no database, and what is answered is never older than was asked for,
//! through whichever process it was written and whatever became of the databases meanwhile.
//!
//! - `races`: one process writes, another one answers from memory all the while
//! - `lost`: the log, or a connection, goes away

mod lost;
mod races;

use std::time::Duration;

use credit_approval::config::{Cache, Role, Serve};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::changes::Change;
use crate::support::client::application;
use crate::support::metrics::samples;
use crate::support::process::run;
use crate::support::projections::until_state;
use crate::support::rebuilds::{done, request};
use crate::support::sql::execute;
use crate::support::traffic::borrow;
use crate::support::wait::eventually;
use crate::support::{Answer, Client, TestApp};

/// A request that has to wait for a lock is not answered within it, one that has not is.
const AT_ONCE: Duration = Duration::from_millis(400);

/// Another process on the same data which keeps nothing in memory.
async fn without_cache(app: &TestApp) -> TestApp {
    let cache = Cache { cache_bytes: 0 };
    TestApp::start_with(Serve { cache, roles: vec![Role::Api], ..app.config.clone() }).await
}

fn score(client: &Client, customer: i64) -> RequestBuilder {
    client.request(Method::GET, &format!("/v1/customers/{customer}/credit-score"))
}

async fn scored(request: RequestBuilder, client: &Client) -> Value {
    let answer = client.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// A customer's income, as the credit profile has it.
async fn income(client: &Client, customer: i64) -> i64 {
    scored(score(client, customer), client).await["monthly_income"].as_i64().expect("an income")
}

/// Changes a customer's income; its details were changed so often before.
async fn set_income(client: &Client, customer: i64, income: i64, before: usize) -> Answer {
    let change = Change::of_customer(customer, json!({ "monthly_income": income }));
    let changed = change.at(&format!("\"{}\"", before + 1)).send(client).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    changed
}

/// Makes a customer's profile tell another income behind everybody's back: whoever reads the row from now on is seen by
/// that.
async fn tamper(read_models: &PgPool, customer: i64, income: i64) {
    let sql = "update read_models.credit_profiles
               set profile = jsonb_set(profile::jsonb, '{monthly_income}', to_jsonb($2::text))::json
               where customer_id = $1";
    let done = sqlx::query(sql).bind(customer).bind(income.to_string()).execute(read_models).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

/// Waits until a customer's profile is answered from memory, as it then is: a change of the row is not seen. Leaves the
/// row telling `row`.
async fn until_kept(client: &Client, read_models: &PgPool, customer: i64, row: i64) {
    eventually("the profile is kept", async || {
        tamper(read_models, customer, 70_000).await;
        let before = income(client, customer).await;
        // Not `row`: either reading may be the first that is kept.
        tamper(read_models, customer, 70_001).await;
        before != row && income(client, customer).await == before
    })
    .await;
    tamper(read_models, customer, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_takes_no_database() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (customer, other) = (app.client.register(50_000).await, app.client.register(50_000).await);
    let lent = app.client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
    let token = lent.header("consistency-token").to_owned();
    let asked = application(customer, 50_000, 14, 12);
    let eligible = |client: &Client| client.request(Method::POST, "/check-eligibility").json(&asked);
    eventually("the profile is kept", async || {
        let before = samples(&app.client).await["credit_approval_profile_cache_hits_total"];
        scored(eligible(&app.client), &app.client).await;
        samples(&app.client).await["credit_approval_profile_cache_hits_total"] > before
    })
    .await;
    let expected = scored(eligible(&app.client), &app.client).await;
    let expected_score = scored(score(&app.client, customer), &app.client).await;

    let mut locked = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.credit_profiles, read_models.checkpoints in access exclusive mode")
        .execute(&mut *locked)
        .await
        .unwrap();
    let at_once = async |request: RequestBuilder| {
        tokio::time::timeout(AT_ONCE, app.client.send(request)).await.map(|answer| (answer.status, answer.body))
    };
    assert_eq!(at_once(eligible(&app.client)).await, Ok((200, expected.clone())));
    let with_token = eligible(&app.client).header("Consistency-Token", &token);
    assert_eq!(at_once(with_token).await, Ok((200, expected)), "its own token is in it");
    assert_eq!(at_once(score(&app.client, customer)).await, Ok((200, expected_score)));
    let unread = score(&app.client, other);
    assert!(at_once(unread).await.is_err(), "what was not read before takes the database");
    locked.rollback().await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_is_kept_or_counted() {
    let app = TestApp::start_with(Serve { cache: Cache { cache_bytes: 0 }, ..TestApp::config(&[]).await }).await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    for row in 50_001..50_020 {
        tamper(&pool, customer, row).await;
        assert_eq!(income(&app.client, customer).await, row);
    }
    assert!(!samples(&app.client).await.keys().any(|name| name.contains("profile_cache")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rebuild_replaces_is_answered_from_memory_no_more() {
    let app = TestApp::start().await;
    let (other, pool) = (app.another().await, app.pool().await);
    let customer = app.client.register(50_000).await;
    let both = [&app.client, &other.client];
    let told_right = async || {
        for client in both {
            let of_customer = async || income(client, customer).await == 50_000;
            eventually("the profile is what the log tells", of_customer).await;
        }
    };
    for client in both {
        until_kept(client, &pool, customer, 60_000).await;
    }
    let name = "credit_profiles";
    let ran = run(&app.config, &["rebuild", name, "--customer", &customer.to_string()]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    told_right().await;

    for client in both {
        until_kept(client, &pool, customer, 60_000).await;
    }
    let path = format!("/v1/projections/{name}/rebuild");
    let rebuilt = app.client.post(&path, &json!({ "customer_id": customer })).await;
    assert_eq!((rebuilt.status, &rebuilt.body["rebuilt"]), (200, &json!(true)), "{}", rebuilt.body);
    assert_eq!(income(&app.client, customer).await, 50_000, "the process that was asked knows at once");
    told_right().await;

    for client in both {
        until_kept(client, &pool, customer, 60_000).await;
    }
    done(&pool, request(&app.client, name).await).await;
    told_right().await;
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_swapped_in_silence_is_noticed() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    until_kept(&app.client, &pool, customer, 60_000).await;
    // As an older version does it, which tells nobody.
    execute(
        &pool,
        "create table read_models.next (like read_models.credit_profiles including all);
         insert into read_models.next select * from read_models.credit_profiles;
         drop table read_models.credit_profiles;
         alter table read_models.next rename to credit_profiles",
    )
    .await;
    eventually("the new table is read", async || income(&app.client, customer).await == 60_000).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_and_redriven_is_answered_as_the_read_model_has_it() {
    let app = TestApp::start().await;
    let (other, pool) = (app.another().await, app.pool().await);
    let customer = app.client.register(80_000).await;
    let both = [&app.client, &other.client];
    let loans =
        async |client: &Client| scored(score(client, customer), client).await["loans"].as_array().expect("loans").len();
    for client in both {
        until_kept(client, &pool, customer, 80_000).await;
    }
    execute(
        &pool,
        "create function read_models.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger refuse before insert or update on read_models.credit_profiles for each row
             execute function read_models.refuse()",
    )
    .await;
    borrow(&app.client, customer).await;
    until_state(&app.client, "credit_profiles", "parked").await;
    for client in both {
        assert_eq!(loans(client).await, 0, "as the read model has it");
    }
    execute(&pool, "drop trigger refuse on read_models.credit_profiles").await;
    let ran = run(&app.config, &["redrive", "credit_profiles"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    for client in both {
        assert_eq!(loans(client).await, 1, "nothing of a parked customer was kept");
    }
    other.stop().await;
    app.stop().await;
}
