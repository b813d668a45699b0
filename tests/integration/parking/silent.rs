//! Events at which whoever applies them ends without a word: a connection that breaks every time, a worker that is
//! never heard of again. They are found out by the attempts that were noted beforehand, and parked too.

use std::sync::Arc;

use aggregates::ids::CustomerId;
use credit_approval::bus::message::Message;
use credit_approval::config::{Role, Serve};
use credit_approval::projector::worker::Worker;
use projections::{Partition, Projection, Slot};
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    accept, borrow_unseen, loans_of, neighbours, only_parked, opened_at, parked, redrive, refuse, scored_loans,
    the_one_parked, until_seen,
};
use crate::support::TestApp;
use crate::support::process::run;
use crate::support::sql::count;
use crate::support::traffic::borrow;
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;
use crate::support::workers::projector;

/// What says that nobody knows why.
const WITHOUT_A_WORD: &str = "without saying why";
/// A worker is not sent to an event more often than that.
const AT_MOST: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_at_which_the_connection_breaks_every_time_is_parked() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let (a, b) = neighbours(&app.client).await;
    let first = borrow(&app.client, a).await;
    refuse(&pool, a, "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1)").await;
    let second = borrow_unseen(&app.client, a).await;
    let theirs = borrow_unseen(&app.client, b).await;
    let third = borrow_unseen(&app.client, a).await;

    until_seen(&app.client, theirs).await;
    let one = the_one_parked(&app.client, "loans", a).await;
    assert_eq!((&one["position"], &one["event_type"]), (&json!(opened_at(&pool, second).await), &json!("LoanOpened")));
    assert!(one["error"].as_str().is_some_and(|error| error.contains(WITHOUT_A_WORD)), "{one}");
    assert_eq!(loans_of(&app.client, b).await, [theirs]);
    assert_eq!(loans_of(&app.client, a).await, [first], "nothing after the event is applied");
    eventually("other read models go on", async || scored_loans(&app.client, a).await == [first, second, third]).await;
    assert!(parked(&app.client, "credit_profiles").await.is_empty());

    // Parked is parked: nobody is sent there again, and the partition has no bad name.
    let config = app.config.clone();
    app.stop().await;
    let app = TestApp::start_with(config).await;
    assert_eq!(the_one_parked(&app.client, "loans", a).await, one);
    let more_of_theirs = borrow(&app.client, b).await;
    assert_eq!(loans_of(&app.client, b).await, [theirs, more_of_theirs]);
    let noted = "read_models.checkpoints where projection = 'loans' and (attempts <> 0 or suspect is not null)";
    assert_eq!(count(&pool, noted).await, 0);
    only_parked(&pool, 1).await;

    accept(&pool).await;
    let ran = run(&app.config, &["redrive"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    assert_eq!(loans_of(&app.client, a).await, [first, second, third]);
    assert_verified(&pool).await;
    app.stop().await;
}

/// How many connections hang in the trigger.
async fn hanging(pool: &PgPool) -> i64 {
    count(pool, "pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'").await
}

/// Ends the connections that hang, as the end of their process does.
async fn end_hanging(pool: &PgPool) {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and wait_event = 'PgSleep'",
    )
    .execute(pool)
    .await
    .unwrap();
    eventually("nothing hangs any more", async || hanging(pool).await == 0).await;
}

/// How many customers are parked in the loans read model.
async fn count_parked(pool: &PgPool) -> i64 {
    count(pool, "read_models.parked where projection = 'loans'").await
}

/// A worker starts, and dies with its process as soon as it hangs; answers whether it did.
async fn dies_hanging(pool: &PgPool, slot: Slot) -> bool {
    let process = PgPool::connect_with((*pool.connect_options()).clone()).await.unwrap();
    let worker = Worker::new(projector(&process), slot, Arc::default());
    let (queue, messages) = mpsc::channel::<Arc<Message>>(1);
    let working = tokio::spawn(async move { worker.run(messages, &CancellationToken::new()).await });
    let hangs = eventually("the worker hangs, or parks the customer", async || {
        let (hanging, parked) = (hanging(pool).await, count_parked(pool).await);
        (hanging > 0 || parked > 0).then_some(hanging > 0)
    })
    .await;
    working.abort();
    // Until now there could have been more to do.
    drop(queue);
    end_hanging(pool).await;
    hangs
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_which_no_worker_comes_back_is_parked() {
    // Nobody applies anything but the workers that are to die.
    let config = TestApp::config(&[]).await;
    let writer = TestApp::start_with(Serve { roles: vec![Role::Api], visibility_timeout: 0, ..config.clone() }).await;
    let pool = writer.pool().await;
    let (a, b) = neighbours(&writer.client).await;
    let before = borrow(&writer.client, b).await;
    let lost = borrow(&writer.client, a).await;
    let theirs = borrow(&writer.client, b).await;
    refuse(&pool, a, "perform pg_sleep(600)").await;
    let slot = (Projection::Loans, Partition::of(CustomerId::try_from(a).unwrap()));
    let mut deaths = 0;
    while dies_hanging(&pool, slot).await {
        deaths += 1;
        assert!(deaths < AT_MOST, "workers are sent there for ever");
    }
    assert!(deaths > 2, "a worker that dies once or twice may have other reasons");
    let (customer, position, error): (i64, i64, String) =
        sqlx::query_as("select customer_id, position, error from read_models.parked").fetch_one(&pool).await.unwrap();
    assert_eq!((customer, position), (a, opened_at(&pool, lost).await), "whoever was with it in a batch is not parked");
    assert!(error.contains(WITHOUT_A_WORD), "{error}");

    let app = TestApp::start_with(config).await;
    until_seen(&app.client, theirs).await;
    assert_eq!(loans_of(&app.client, b).await, [before, theirs]);
    assert!(loans_of(&app.client, a).await.is_empty());
    accept(&pool).await;
    let outcome = redrive(&app.client, "loans", &json!({})).await;
    assert_eq!(outcome["redriven"], json!([a]));
    assert_eq!(loans_of(&app.client, a).await, [lost]);
    assert_verified(&pool).await;
    app.stop().await;
    writer.stop().await;
}
