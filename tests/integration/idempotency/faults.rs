//! What breaks in the middle: clients that give up, appends that fail, connections that end. A request that is sent
//! again finds out what happened, and nothing has happened by half.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{is_replay, keyed, post, same};
use crate::support::client::registration;
use crate::support::problem::STILL_RUNNING;
use crate::support::sql::{count, execute};
use crate::support::{Answer, Client, TestApp};

/// Until an append waits for a lock.
async fn an_append_waits(pool: &PgPool) {
    for _ in 0..1000 {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock'
               and query like '%insert into events%'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if waiting > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no append waits");
}

/// Sends until the answer is no longer that the request is still running.
async fn post_until_answered(client: &Client, key: &str, path: &str, body: &Value) -> Answer {
    for _ in 0..1000 {
        let answer = post(client, key, path, body).await;
        if answer.status != 409 {
            return answer;
        }
        assert_eq!(answer.body["type"], STILL_RUNNING, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the request under {key} never ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_still_runs_is_told_so() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let person = registration(50_000);
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("lock table idempotency_keys in share mode").execute(&mut *lock).await.unwrap();
    let running = tokio::spawn({
        let (client, person) = (app.client.clone(), person.clone());
        async move { post(&client, "k", "/register", &person).await }
    });
    an_append_waits(&pool).await;
    let impatient = post(&app.client, "k", "/register", &person).await;
    assert_eq!((impatient.status, &impatient.body["type"]), (409, &json!(STILL_RUNNING)), "{}", impatient.body);
    assert_eq!((impatient.header("retry-after"), impatient.wrong_fields()), ("1", vec!["Idempotency-Key"]));
    lock.rollback().await.unwrap();
    let first = running.await.unwrap();
    assert_eq!(first.status, 201, "{}", first.body);
    same(&first, &post(&app.client, "k", "/register", &person).await);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gave_up_finds_out_what_happened() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let person = registration(50_000);
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("lock table idempotency_keys in share mode").execute(&mut *lock).await.unwrap();
    let impatient = keyed(&app.client, "k", "/register", &person).timeout(Duration::from_millis(500));
    let gave_up = app.client.try_send(impatient).await.expect_err("nothing can be appended");
    assert!(gave_up.is_timeout(), "{gave_up}");
    lock.rollback().await.unwrap();

    let answer = post_until_answered(&app.client, "k", "/register", &person).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let registered: Vec<i64> = sqlx::query_scalar("select customer_id from events").fetch_all(&pool).await.unwrap();
    assert_eq!(registered, [answer.body["customer_id"].as_i64().expect("an id")]);
    app.stop().await;
}

#[tokio::test]
async fn neither_an_effect_without_its_key_nor_a_key_without_its_effect() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let person = registration(50_000);
    for (table, condition) in [("events", "event_type = ''"), ("idempotency_keys", "answer = ''")] {
        execute(&pool, &format!("alter table {table} add constraint refuse_all check ({condition}) not valid")).await;
        let failed = post(&app.client, "k", "/register", &person).await;
        assert_eq!(failed.status, 503, "{}", failed.body);
        assert_eq!(failed.body["type"], "urn:credit-approval:problem:outcome-unknown");
        assert!(failed.body["detail"].as_str().unwrap().contains("same Idempotency-Key is safe"), "{}", failed.body);
        assert_eq!((count(&pool, "events").await, count(&pool, "idempotency_keys").await), (0, 0), "{table}");
        assert_eq!(count(&pool, "phone_numbers").await, 0, "{table}");
        execute(&pool, &format!("alter table {table} drop constraint refuse_all")).await;
    }
    let registered = post(&app.client, "k", "/register", &person).await;
    assert_eq!((registered.status, is_replay(&registered)), (201, false), "{}", registered.body);
    assert_eq!((count(&pool, "events").await, count(&pool, "idempotency_keys").await), (1, 1));
    app.stop().await;
}

/// Ends connections in the middle of an append, again and again; answers how many.
async fn cut_connections(pool: PgPool) -> i64 {
    let mut cut = 0;
    for _ in 0..100 {
        let now: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and state = 'active'
               and query like '%insert into events%'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        cut += now;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    cut
}

/// Sends until it is done.
async fn insist(client: &Client, number: usize, person: &Value) -> Answer {
    for _ in 0..1000 {
        let answer = post(client, &number.to_string(), "/register", person).await;
        if answer.status == 201 {
            return answer;
        }
        assert!(answer.status == 503 || answer.body["type"] == STILL_RUNNING, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no answer for {number}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_until_answered_has_one_effect_whatever_breaks() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    // Appends take a while, at their beginning and when they commit, so that they can be cut off.
    execute(
        &pool,
        "create function dawdle() returns trigger language plpgsql
             as 'begin perform pg_sleep(random() * 0.01); return null; end';
         create trigger dawdle after insert on events for each row execute function dawdle();
         create constraint trigger dawdle_more after insert on events deferrable initially deferred
             for each row execute function dawdle();",
    )
    .await;
    let cutting = tokio::spawn(cut_connections(pool.clone()));
    let persons: Vec<_> = (0..100).map(|_| registration(50_000)).collect();
    let insisting = persons.iter().enumerate().map(|(number, person)| insist(&app.client, number, person));
    let answers = join_all(insisting).await;
    assert!(cutting.await.unwrap() > 0, "no append was cut off");

    assert_eq!(count(&pool, "events").await, 100);
    assert_eq!(count(&pool, "idempotency_keys").await, 100);
    for (number, first) in answers.iter().enumerate() {
        same(first, &post(&app.client, &number.to_string(), "/register", &persons[number]).await);
    }
    app.stop().await;
}
