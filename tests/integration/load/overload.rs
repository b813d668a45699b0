//! More requests than are taken on.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{AT_ONCE, hold_registrations, is_shed, register_later, sample, two_that_wait, waiting_for_locks};
use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::sql::{count, execute};
use crate::support::wait::eventually;

/// Two are worked on, one waits.
const NARROW: [&str; 6] =
    ["--max-concurrent-requests", "2", "--max-queued-requests", "1", "--queue-timeout-ms", "60000"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_on_is_done_and_the_rest_is_refused_at_once() {
    let app = TestApp::start_with(TestApp::config(&NARROW).await).await;
    let pool = app.pool().await;
    let lock = hold_registrations(&pool).await;
    let worked_on = two_that_wait(&app.client, &pool).await;
    let queued = register_later(&app.client);
    eventually("one waits for its turn", async || {
        sample(&app.client, "credit_approval_requests_queued{class=\"ordinary\"}").await == 1.0
    })
    .await;

    for path in ["/view-loans/1", "/v1/customers", "/v1/loans/1"] {
        let started = Instant::now();
        let refused = app.client.get(path).await;
        assert!(is_shed(&refused), "{path}: {} {}", refused.status, refused.body);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    }
    let refused = app.client.post("/register", &registration(50_000)).await;
    assert!(is_shed(&refused), "{} {}", refused.status, refused.body);
    // Whoever looks after the service is let in, and so is what has a gate of its own or needs no database.
    for path in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/v1/policies", "/v1/projections"] {
        assert_eq!(app.client.get(path).await.status, 200, "{path}");
    }
    assert_eq!(app.client.get("/no-such-thing").await.status, 404);
    assert_eq!(sample(&app.client, "credit_approval_requests_in_flight{class=\"ordinary\"}").await, 2.0);
    let shed = "credit_approval_requests_shed_total{class=\"ordinary\",reason=\"no_room\"}";
    assert_eq!(sample(&app.client, shed).await, 4.0);

    lock.rollback().await.unwrap();
    for taken in worked_on.into_iter().chain([queued]) {
        assert_eq!(taken.await.unwrap().status, 201);
    }
    app.client.register(50_000).await;
    assert_eq!((count(&pool, "events").await, count(&pool, "phone_numbers").await), (4, 4));
    assert_eq!(sample(&app.client, "credit_approval_requests_in_flight{class=\"ordinary\"}").await, 0.0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_for_a_turn_than_is_said() {
    let arguments = ["--max-concurrent-requests", "1", "--max-queued-requests", "10", "--queue-timeout-ms", "100"];
    let app = TestApp::start_with(TestApp::config(&arguments).await).await;
    let pool = app.pool().await;
    let lock = hold_registrations(&pool).await;
    let worked_on = register_later(&app.client);
    waiting_for_locks(&pool, 1).await;
    let started = Instant::now();
    let refused = app.client.get("/v1/customers").await;
    assert!(is_shed(&refused), "{} {}", refused.status, refused.body);
    assert!((Duration::from_millis(100)..AT_ONCE + Duration::from_millis(100)).contains(&started.elapsed()));
    lock.rollback().await.unwrap();
    assert_eq!(worked_on.await.unwrap().status, 201);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_much_does_not_keep_what_is_done_soon_from_its_turn() {
    let app = TestApp::start_with(TestApp::config(&["--max-heavy-requests", "1"]).await).await;
    let customer = app.client.register(50_000).await;
    let pool = app.pool().await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("lock table events in access exclusive mode").execute(&mut *lock).await.unwrap();
    let history = format!("/v1/customers/{customer}/history");
    let (client, path) = (app.client.clone(), history.clone());
    let worked_on = tokio::spawn(async move { client.get(&path).await });
    waiting_for_locks(&pool, 1).await;
    let started = Instant::now();
    assert!(is_shed(&app.client.get(&history).await));
    assert!(started.elapsed() >= Duration::from_millis(250), "it waits a quarter of a second");
    assert_eq!(app.client.get(&format!("/v1/customers/{customer}")).await.status, 200);
    lock.rollback().await.unwrap();
    assert_eq!(worked_on.await.unwrap().status, 200);
    assert_eq!(app.client.get(&history).await.status, 200);
    app.stop().await;
}

/// What came of a client's requests.
#[derive(Default)]
struct Outcome {
    done: i64,
    refused: usize,
    slowest_refusal: Duration,
}

async fn insist(client: crate::support::Client, until: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    while Instant::now() < until {
        let started = Instant::now();
        let answer = client.post("/register", &registration(50_000)).await;
        if answer.status == 201 {
            outcome.done += 1;
        } else {
            assert!(is_shed(&answer), "{} {}", answer.status, answer.body);
            outcome.refused += 1;
            outcome.slowest_refusal = outcome.slowest_refusal.max(started.elapsed());
            // Far sooner than it was told to.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn under_many_times_its_load_it_answers_what_it_can() {
    const CLIENTS: usize = 80;
    let arguments = ["--max-concurrent-requests", "8", "--max-queued-requests", "8", "--queue-timeout-ms", "50"];
    let app = TestApp::start_with(TestApp::config(&arguments).await).await;
    let pool = app.pool().await;
    // A slow disk: what is done is not a matter of this machine's speed.
    execute(
        &pool,
        "create function dawdle() returns trigger language plpgsql
             as 'begin perform pg_sleep(0.02); return null; end';
         create trigger dawdle after insert on events for each row execute function dawdle();",
    )
    .await;
    let until = Instant::now() + Duration::from_secs(3);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(insist(app.client.clone(), until));
    }
    let mut total = Outcome::default();
    while let Some(one) = clients.join_next().await {
        let one = one.unwrap();
        total.done += one.done;
        total.refused += one.refused;
        total.slowest_refusal = total.slowest_refusal.max(one.slowest_refusal);
    }
    assert!(total.refused > CLIENTS, "{} were refused", total.refused);
    assert!(total.done > 30, "{} were done", total.done);
    assert!(total.slowest_refusal < 4 * AT_ONCE, "{:?}", total.slowest_refusal);
    assert_eq!((count(&pool, "events").await, count(&pool, "phone_numbers").await), (total.done, total.done));
    app.client.register(50_000).await;
    app.stop().await;
}
