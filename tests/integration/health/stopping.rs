//! A stop: first it is said, then nothing new is taken, and whoever stands by takes over at once.

use std::time::{Duration, Instant};

use credit_approval::config::{Role, Serve};
use reqwest::Method;

use super::{asked, failing};
use crate::support::client::registration;
use crate::support::keys;
use crate::support::leases::{eventually_leases, leases};
use crate::support::process::{RoleProcess, free_address, program};
use crate::support::wait::{eventually, eventually_within};
use crate::support::{Client, TestApp};

const DELAY: Duration = Duration::from_secs(3);
/// Without looking at anything but each other's locks twice a second, on a slow machine.
const AT_ONCE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_says_that_it_will_stop_and_serves_on_until_balancers_have_noticed() {
    let workers = TestApp::start().await;
    let address = free_address();
    let settings = [("HTTP_ADDR", address.to_string()), ("DRAIN_DELAY", DELAY.as_secs().to_string())];
    let mut process = RoleProcess::spawn(program(&workers.config), &workers.config, "api", &settings);
    let client = Client::new(address);
    eventually("it is ready", async || asked(&client, "ready").await.is_some_and(|answer| answer.status == 200)).await;
    let before = client.post("/register", &registration(50_000)).await;
    assert_eq!((before.status, before.header("connection")), (201, ""), "connections are kept");

    let asked_to_stop = Instant::now();
    process.ask_to_stop();
    eventually_within("it is not ready", DELAY, async || {
        failing(&client.get("/health/ready").await).is_some_and(|checks| checks == ["stop"])
    })
    .await;
    assert_eq!(client.get("/health/startup").await.status, 200, "nobody is to start it again");
    assert_eq!(client.get("/health/live").await.status, 200);
    let during = client.post("/register", &registration(50_000)).await;
    assert_eq!((during.status, during.header("connection")), (201, "close"), "{}", during.body);
    assert!(asked_to_stop.elapsed() < DELAY, "all of that was within the delay");

    assert!(process.has_ended().await);
    let took = asked_to_stop.elapsed();
    assert!((DELAY..DELAY + Duration::from_secs(20)).contains(&took), "{took:?}");
    assert!(asked(&client, "live").await.is_none());
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_twice_or_takes_no_requests_does_not_wait() {
    let workers = TestApp::start().await;
    let (address, probes) = (free_address(), free_address());
    let settings =
        [("HTTP_ADDR", address.to_string()), ("HEALTH_ADDR", probes.to_string()), ("DRAIN_DELAY", "300".to_owned())];
    for (role, times) in [("api", 2), ("importer", 1)] {
        let mut process = RoleProcess::spawn(program(&workers.config), &workers.config, role, &settings);
        let client = Client::new(probes);
        eventually("it is ready", async || asked(&client, "ready").await.is_some_and(|answer| answer.status == 200))
            .await;
        for time in 0..times {
            process.ask_to_stop();
            if time == 0 && times > 1 {
                eventually("it has been asked", async || client.get("/health/ready").await.status == 503).await;
            }
        }
        assert!(process.has_ended().await, "{role}");
    }
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered() {
    let config = TestApp::config(&[]).await;
    let address = free_address();
    let settings = [("HTTP_ADDR", address.to_string()), ("VISIBILITY_TIMEOUT", "3".to_owned())];
    let mut process = RoleProcess::spawn(program(&config), &config, "api", &settings);
    let client = Client::new(address);
    eventually("it is ready", async || asked(&client, "ready").await.is_some_and(|answer| answer.status == 200)).await;
    keys::let_in(config.store.database_url.as_ref().unwrap()).await;
    // Nobody keeps the read models, so it takes its three seconds.
    let slow = client.request(Method::POST, "/register").json(&registration(50_000));
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.try_send(slow).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!slow.is_finished());
    process.ask_to_stop();
    let answer = slow.await.unwrap().expect("it is answered, and not cut off");
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(process.has_ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopping_process_worked_on_is_taken_over_at_once() {
    let config = TestApp::config(&[]).await;
    let mut first = RoleProcess::start(&config, "projector").await;
    let app = TestApp::start_with(Serve { roles: vec![Role::Api, Role::Projector], ..config }).await;
    let pool = app.pool().await;
    eventually_leases(&pool, &[16, 16]).await;
    let asked = Instant::now();
    first.ask_to_stop();
    eventually_within("the other one works on everything", AT_ONCE, async || leases(&pool).await == [32]).await;
    let taken_over = asked.elapsed();
    assert!(first.has_ended().await);
    let written = Instant::now();
    assert_eq!(app.client.post("/register", &registration(50_000)).await.status, 201);
    assert!(written.elapsed() < AT_ONCE, "after {taken_over:?} a write took {:?} to show", written.elapsed());
    app.stop().await;
}
