//! Whatever NATS loses, repeats or reorders, the read models end as a fold of the log (G4, G5).

use std::path::PathBuf;

use async_nats::jetstream::{self, Context};
use credit_approval::config::{Role, Serve};
use credit_approval::embedded::{DataDir, Nats};
use credit_approval::store::EventLog;
use futures::TryStreamExt;
use projections::PARTITIONS;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rstest::rstest;

use crate::support::TestApp;
use crate::support::client::application;
use crate::support::leases::eventually_leases;
use crate::support::log::{Chain, hold_the_log};
use crate::support::servers::{scratch_dir, servers};
use crate::support::sql::execute;
use crate::support::traffic::traffic;
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

const CUSTOMERS: usize = 40;

/// NATS as anybody may reach it; `None` where it is not installed.
async fn jetstream() -> Option<Context> {
    let address: async_nats::ServerAddr = servers().nats_url()?.parse().unwrap();
    let (user, password) = (address.username().unwrap().to_owned(), address.password().unwrap().to_owned());
    let client = async_nats::ConnectOptions::with_user_and_password(user, password).connect(address).await.unwrap();
    Some(jetstream::new(client))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_stream_loses_nothing() {
    let Some(nats) = jetstream().await else { return };
    let app = TestApp::start().await;
    traffic(&app.client, CUSTOMERS).await;
    nats.delete_stream(&app.config.nats_stream).await.unwrap();
    // The relay finds out at its next publication; until then nothing may be lost either.
    traffic(&app.client, CUSTOMERS).await;
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_consumer_loses_nothing() {
    let Some(nats) = jetstream().await else { return };
    let app = TestApp::start().await;
    traffic(&app.client, CUSTOMERS).await;
    let stream = nats.get_stream(&app.config.nats_stream).await.unwrap();
    let consumers = async || stream.consumer_names().try_collect::<Vec<String>>().await.unwrap();
    eventually("each partition has a consumer", async || consumers().await.len() == usize::from(PARTITIONS)).await;
    for consumer in consumers().await {
        stream.delete_consumer(&consumer).await.unwrap();
    }
    traffic(&app.client, CUSTOMERS).await;
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_reordered_and_foreign_messages_change_nothing() {
    let Some(nats) = jetstream().await else { return };
    let app = TestApp::start().await;
    traffic(&app.client, CUSTOMERS).await;
    let stream = nats.get_stream(&app.config.nats_stream).await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    for sequence in (1..=last).rev().step_by(2) {
        let message = stream.get_raw_message(sequence).await.unwrap();
        nats.publish(message.subject, message.payload).await.unwrap().await.unwrap();
    }
    for foreign in ["", "not json", "{}", "[1,2,3]"] {
        let subject = format!("{}.events.1", app.config.nats_stream);
        nats.publish(subject, foreign.into()).await.unwrap().await.unwrap();
    }
    traffic(&app.client, CUSTOMERS).await;
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_late_catches_up_with_the_log() {
    let app = TestApp::without_nats().await;
    traffic(&app.client, CUSTOMERS).await;
    let (config, pool) = (app.config.clone(), app.pool().await);
    app.stop().await;
    execute(
        &pool,
        "truncate read_models.checkpoints, read_models.customers, read_models.loans, read_models.credit_profiles,
                  read_models.decisions",
    )
    .await;

    let with_nats = Serve { nats_url: servers().nats_url(), ..config };
    let app = TestApp::start_with(with_nats).await;
    traffic(&app.client, CUSTOMERS).await;
    assert_verified(&pool).await;
    app.stop().await;
}

#[rstest]
#[case::in_order(0, 0.0, 0.0)]
#[case::shuffled(1, 0.0, 0.0)]
#[case::repeated(2, 0.5, 0.0)]
#[case::with_losses(3, 0.0, 0.3)]
#[case::all_of_it(4, 0.4, 0.4)]
#[case::all_of_it_again(5, 0.3, 0.7)]
#[tokio::test(flavor = "multi_thread")]
async fn any_order_repetition_and_loss_on_the_way_gives_the_same_read_models(
    #[case] seed: u64,
    #[case] repeated: f64,
    #[case] lost: f64,
) {
    let Some(nats) = jetstream().await else { return };
    // Nobody relays and nobody applies while the events are written.
    let writer =
        TestApp::start_with(Serve { roles: vec![Role::Api], visibility_timeout: 0, ..TestApp::config(&[]).await })
            .await;
    for _ in 0..CUSTOMERS {
        let customer = writer.client.register(80_000).await;
        writer.client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
    }
    let pool = writer.pool().await;
    let projector = Serve { roles: vec![Role::Api, Role::Projector], visibility_timeout: 20, ..writer.config.clone() };

    // The stream as something worse than NATS would fill it.
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut deliveries = Vec::new();
    for message in Chain::default().more(&pool).await {
        let times = if random.random_bool(lost) { 0 } else { 1 + usize::from(random.random_bool(repeated)) };
        deliveries.extend(std::iter::repeat_n(message, times));
    }
    if seed > 0 {
        deliveries.shuffle(&mut random);
    }
    let stream = &writer.config.nats_stream;
    let subjects = vec![format!("{stream}.events.*")];
    let config = async_nats::jetstream::stream::Config { name: stream.clone(), subjects, ..Default::default() };
    nats.create_stream(config).await.unwrap();
    let log = EventLog::new(pool.clone()).identity().await.unwrap();
    // Workers that start on an empty log have nothing but the deliveries to go by.
    let held_back = hold_the_log(&pool).await;
    let app = TestApp::start_with(projector).await;
    for (partition, message) in deliveries {
        let subject = format!("{stream}.events.{partition}");
        nats.publish(subject, message.encode(&log).unwrap().into()).await.unwrap().await.unwrap();
    }
    held_back.rollback().await.unwrap();
    let last = app.client.register(80_000).await;
    assert_eq!(app.client.get(&format!("/view-loans/{last}")).await.status, 200);
    assert_verified(&pool).await;
    app.stop().await;
    writer.stop().await;
}

/// A NATS of a test's own, to break.
struct OwnNats {
    nats: Nats,
    data: PathBuf,
}

impl OwnNats {
    async fn start() -> Option<Self> {
        if !Nats::installed() {
            return None;
        }
        let data = DataDir::claim(&scratch_dir("nats"), false).unwrap();
        Some(Self { nats: Nats::start(&data).await.unwrap(), data: data.path().to_owned() })
    }

    async fn serve(&self) -> TestApp {
        TestApp::start_with(Serve { nats_url: Some(self.nats.url()), ..TestApp::config(&[]).await }).await
    }

    fn signal(&self, signal: &str) {
        let pid = self.nats.pid().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    async fn stop(self) {
        self.nats.stop().await.ok();
        std::fs::remove_dir_all(self.data).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_its_storage_wiped_nats_loses_nothing() {
    let Some(own) = OwnNats::start().await else { return };
    let app = own.serve().await;
    for _ in 0..2 {
        traffic(&app.client, CUSTOMERS).await;
        // It goes on writing meanwhile.
        let storage = own.data.join("nats/jetstream");
        eventually("its storage is gone", async || std::fs::remove_dir_all(&storage).is_ok()).await;
        own.signal("-KILL");
        traffic(&app.client, CUSTOMERS).await;
    }
    assert_verified(&app.pool().await).await;
    app.stop().await;
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_hangs_holds_nobody_up_for_long() {
    let Some(own) = OwnNats::start().await else { return };
    let app = own.serve().await;
    traffic(&app.client, CUSTOMERS).await;
    // The connection stays open and nothing comes through it.
    own.signal("-STOP");
    traffic(&app.client, CUSTOMERS).await;
    own.signal("-CONT");
    traffic(&app.client, CUSTOMERS).await;
    assert_verified(&app.pool().await).await;
    app.stop().await;
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_relay_workers_find_the_events_by_themselves() {
    let config = Serve { roles: vec![Role::Api, Role::Projector], ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config).await;
    traffic(&app.client, CUSTOMERS).await;
    assert_verified(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_workers_and_take_over_from_each_other() {
    let first = TestApp::start().await;
    let pool = first.pool().await;
    eventually_leases(&pool, &[32]).await;
    let second = first.another().await;
    eventually_leases(&pool, &[16, 16]).await;
    let third = first.another().await;
    eventually_leases(&pool, &[10, 11, 11]).await;
    traffic(&second.client, CUSTOMERS).await;
    first.stop().await;
    traffic(&second.client, CUSTOMERS).await;
    eventually_leases(&pool, &[16, 16]).await;
    second.stop().await;
    eventually_leases(&pool, &[32]).await;
    traffic(&third.client, CUSTOMERS).await;
    assert_verified(&pool).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_relay_and_workers() {
    let first = TestApp::start().await;
    let second = first.another().await;
    traffic(&second.client, CUSTOMERS).await;
    first.stop().await;
    traffic(&second.client, CUSTOMERS).await;
    assert_verified(&second.pool().await).await;
    second.stop().await;
}
