//! The relay (G4, G5): two at once, one that died before the stream's acknowledgement, one killed again and again, a
//! stream that drops what nobody has read, a NATS that is away. Nothing is lost, and what was answered is visible.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use credit_approval::bus::{Bus, StreamOptions};
use credit_approval::config::{Role, Serve};
use credit_approval::embedded::Nats;
use credit_approval::store::EventLog;
use credit_approval::store::reader::head;
use futures::TryStreamExt;
use futures::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use projections::PARTITIONS;
use rstest::rstest;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::client::application;
use crate::support::leases::TAKEN_OVER_WITHIN;
use crate::support::log::linked;
use crate::support::process::RoleProcess;
use crate::support::traffic::{Traffic, write_and_look};
use crate::support::verified::{assert_verified, unapplied};
use crate::support::wait::eventually_within;
use crate::support::{Client, TestApp};

/// Beyond every pause that relays and workers make, on a slow machine.
const STREAM_WITHIN: Duration = Duration::from_secs(120);
const NATS_WITHIN: Duration = Duration::from_secs(20);
const SMALLEST_STREAM_BYTES: i64 = 1 << 20;
const BORROWERS: usize = 16;
/// More messages than a consumer asks for at once, and so may get while it is stopped.
const ASKED_FOR: u64 = 600;
/// How often a relay is ended, or clients have written for a while.
const CUTS: usize = 6;
/// Messages of which a dying relay has published some, or all, or none: as many as one batch leads to.
const LAST_BATCH: usize = 6;
/// How many events a relay finds at once.
const EVENTS_AT_ONCE: usize = 12;

/// The stream of a service, as the service itself reaches it.
async fn bus_of(config: &Serve, pool: &PgPool) -> Bus {
    let options = StreamOptions {
        name: config.nats_stream.clone(),
        max_bytes: config.nats_stream_bytes,
        replicas: usize::from(config.nats_replicas),
        log: EventLog::new(pool.clone()).identity().await.unwrap(),
    };
    Bus::connect(config.nats_url.as_ref().expect("this test has a NATS"), options).await.unwrap()
}

/// The log's positions, by partition.
async fn positions(pool: &PgPool) -> [BTreeSet<i64>; PARTITIONS as usize] {
    let rows: Vec<(i64, i64)> = sqlx::query_as("select customer_id % $1, position from events")
        .bind(i64::from(PARTITIONS))
        .fetch_all(pool)
        .await
        .unwrap();
    let mut positions: [BTreeSet<i64>; PARTITIONS as usize] = Default::default();
    for (partition, position) in rows {
        positions[usize::try_from(partition).unwrap()].insert(position);
    }
    positions
}

/// Reads the stream as a worker does that has nothing else to go by: it fetches what stands before a message's
/// predecessor, and would never hear of what is passed over without a word. Whether it comes to the end of the log.
async fn stream_tells_all(bus: &Bus, pool: &PgPool) -> bool {
    let positions = positions(pool).await;
    let Ok(stream) = bus.ensure_stream().await else { return false };
    let Ok(info) = stream.get_info().await else { return false };
    let mut reached = [0; PARTITIONS as usize];
    for sequence in info.state.first_sequence..=info.state.last_sequence {
        // One that the stream has dropped meanwhile was lost on the way, as any may be.
        let Ok(held) = stream.get_raw_message(sequence).await else { continue };
        let message = bus.decode(&held.payload).unwrap();
        let partition: usize = held.subject.rsplit('.').next().unwrap().parse().unwrap();
        let at = &mut reached[partition];
        *at = message.previous.max(*at);
        for event in &message.events {
            if event.position > *at {
                let passed_over = positions[partition].range(*at + 1..event.position).next();
                assert_eq!(passed_over, None, "nobody would hear of it from message {sequence}, {}", event.position);
                *at = event.position;
            }
        }
    }
    reached.iter().zip(&positions).all(|(reached, positions)| positions.last().is_none_or(|last| reached >= last))
}

async fn assert_stream_tells_all(bus: &Bus, pool: &PgPool) {
    eventually_within("the stream tells of the whole log", STREAM_WITHIN, async || stream_tells_all(bus, pool).await)
        .await;
}

/// The database session of the working relay, by which it holds its lock.
async fn working_relay(pool: &PgPool) -> Option<i32> {
    sqlx::query_scalar(
        "select pid from pg_locks
         where locktype = 'advisory' and classid = 17234 and objid = 1 and granted
           and database = (select oid from pg_database where datname = current_database())",
    )
    .fetch_optional(pool)
    .await
    .unwrap()
}

/// The working relay's session, once it is none of those.
async fn relay_other_than(ended: &BTreeSet<i32>, pool: &PgPool) -> i32 {
    eventually_within("another relay works", TAKEN_OVER_WITHIN, async || {
        working_relay(pool).await.filter(|session| !ended.contains(session))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_at_once_cost_nothing() {
    if !Nats::installed() {
        return;
    }
    let first = TestApp::start().await;
    let second = first.another().await;
    let pool = first.pool().await;
    let mut traffic = Traffic::of_writers(&second.client);
    let mut ended = BTreeSet::new();
    for _ in 0..CUTS {
        let session = relay_other_than(&ended, &pool).await;
        traffic.goes_on().await;
        // The other takes over at its next look; this one finds out later, and goes on until then.
        sqlx::query("select pg_terminate_backend($1)").bind(session).execute(&pool).await.unwrap();
        ended.insert(session);
    }
    relay_other_than(&ended, &pool).await;
    traffic.goes_on().await;
    traffic.stop().await;
    assert_stream_tells_all(&bus_of(&first.config, &pool).await, &pool).await;
    assert_verified(&pool).await;
    second.stop().await;
    first.stop().await;
}

#[rstest]
#[case::of_all(|_: usize| true)]
#[case::of_none(|_: usize| false)]
#[case::of_all_before_the_last_batch(|from_end: usize| from_end >= LAST_BATCH)]
#[case::of_the_very_last_but_not_its_batch(|from_end: usize| from_end == 0 || from_end >= LAST_BATCH)]
#[case::of_every_second_of_the_last_batch(|from_end: usize| from_end.is_multiple_of(2) || from_end >= LAST_BATCH)]
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_died_before_the_acknowledgement_loses_nothing(#[case] was_held: fn(usize) -> bool) {
    if !Nats::installed() {
        return;
    }
    let config = Serve { roles: vec![Role::Api], visibility_timeout: 0, ..TestApp::config(&[]).await };
    let writer = TestApp::start_with(config).await;
    for customer in register(&writer.client, BORROWERS).await {
        writer.client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
    }
    // What the dead relay left in the stream.
    let pool = writer.pool().await;
    let bus = bus_of(&writer.config, &pool).await;
    bus.ensure_stream().await.unwrap();
    let messages = linked(&pool, EVENTS_AT_ONCE).await;
    let last = messages.len() - 1;
    let held = messages.into_iter().enumerate().filter(|(place, _)| was_held(last - place));
    bus.publish(&mut held.map(|(_, message)| message).collect::<Vec<_>>()).await.unwrap();

    // Its successor first, and nobody who looks into the log by himself.
    let roles = vec![Role::Api, Role::Relay];
    let relay = TestApp::start_with(Serve { roles, ..writer.config.clone() }).await;
    assert_stream_tells_all(&bus, &pool).await;
    relay.client.register(80_000).await;
    assert_stream_tells_all(&bus, &pool).await;
    let roles = vec![Role::Api, Role::Projector];
    let reader = TestApp::start_with(Serve { roles, visibility_timeout: 20, ..writer.config.clone() }).await;
    write_and_look(&reader.client).await;
    assert_verified(&pool).await;
    for app in [reader, relay, writer] {
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_again_and_again_is_relieved_within_seconds() {
    if !Nats::installed() {
        return;
    }
    let config = Serve { roles: vec![Role::Api, Role::Projector], ..TestApp::config(&[]).await };
    let app = TestApp::start_with(config).await;
    let pool = app.pool().await;
    let bus = bus_of(&app.config, &pool).await;
    let mut working = RoleProcess::start(&app.config, "relay").await;
    let mut sessions = BTreeSet::from([relay_other_than(&BTreeSet::new(), &pool).await]);
    let mut traffic = Traffic::of_writers(&app.client);
    for _ in 0..CUTS {
        let standing_by = RoleProcess::start(&app.config, "relay").await;
        traffic.goes_on().await;
        working.kill().await;
        write_and_look(&app.client).await;
        let written = head(&pool).await.unwrap();
        eventually_within("the stream goes on", TAKEN_OVER_WITHIN, async || {
            let Ok(stream) = bus.ensure_stream().await else { return false };
            bus.last_position(&stream).await.is_ok_and(|held| held >= Some(written))
        })
        .await;
        sessions.extend(working_relay(&pool).await);
        working = standing_by;
    }
    assert!(sessions.len() > 1, "the lock never changed hands, so this shows nothing");
    traffic.goes_on().await;
    traffic.stop().await;
    assert_stream_tells_all(&bus, &pool).await;
    assert_verified(&pool).await;
    app.stop().await;
}

/// Customers who may borrow.
async fn register(client: &Client, number: usize) -> Vec<i64> {
    let mut customers = Vec::new();
    for _ in 0..number {
        customers.push(client.register(80_000).await);
    }
    customers
}

/// Each customer applies for another loan; approved or declined, it is an event.
async fn all_apply(client: &Client, customers: &[i64]) {
    let applications: Vec<_> = customers.iter().map(|customer| application(*customer, 100_000, 14, 24)).collect();
    for answer in join_all(applications.iter().map(|body| client.post("/create-loan", body))).await {
        assert!(answer.status < 300, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_drops_what_nobody_has_read_loses_nothing() {
    if !Nats::installed() {
        return;
    }
    let config = Serve { roles: vec![Role::Api, Role::Relay], visibility_timeout: 0, ..TestApp::config(&[]).await };
    let app = TestApp::start_with(Serve { nats_stream_bytes: SMALLEST_STREAM_BYTES, ..config }).await;
    let pool = app.pool().await;
    let projector = RoleProcess::start(&app.config, "projector").await;
    // Of one partition, whose consumers alone get all that follows.
    let mut customers = register(&app.client, BORROWERS * usize::from(PARTITIONS)).await;
    customers.retain(|customer| customer % i64::from(PARTITIONS) == 1);
    assert_verified(&pool).await;

    let bus = bus_of(&app.config, &pool).await;
    let stream = bus.ensure_stream().await.unwrap();
    projector.signal(Signal::SIGSTOP);
    let delivered = stream.get_info().await.unwrap().state.last_sequence;
    eventually_within("the stream drops what was not delivered", STREAM_WITHIN, async || {
        all_apply(&app.client, &customers).await;
        stream.get_info().await.unwrap().state.first_sequence > delivered + ASKED_FOR
    })
    .await;
    assert!(unapplied(&pool).await > 0);
    projector.signal(Signal::SIGCONT);
    assert_verified(&pool).await;
    app.stop().await;
}

/// A NATS that is away for as long as a test likes, and comes back under its address with what it held.
struct OwnNats {
    process: Option<Child>,
    port: u16,
    directory: TempDir,
}

impl OwnNats {
    fn new() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { process: None, port: free.local_addr().unwrap().port(), directory: TempDir::new().unwrap() }
    }

    async fn start(&mut self) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("nats-server");
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/bin:/opt/homebrew/bin"));
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--jetstream", "--store_dir"]);
        command.arg(self.directory.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        let address = (Ipv4Addr::LOCALHOST, self.port);
        eventually_within("NATS answers", NATS_WITHIN, async || TcpStream::connect(address).await.is_ok()).await;
    }

    async fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let pid = i32::try_from(process.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        tokio::time::timeout(NATS_WITHIN, process.wait()).await.expect("NATS ends").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_nats_is_away_and_reach_it_afterwards() {
    if !Nats::installed() {
        return;
    }
    let mut nats = OwnNats::new();
    nats.start().await;
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let app = TestApp::start_with(Serve { nats_url: Some(url), ..TestApp::config(&[]).await }).await;
    let pool = app.pool().await;
    let bus = bus_of(&app.config, &pool).await;
    let mut traffic = Traffic::of_writers(&app.client);
    for _ in 0..2 {
        traffic.goes_on().await;
        nats.stop().await;
        for _ in 0..CUTS {
            traffic.goes_on().await;
        }
        nats.start().await;
        assert_stream_tells_all(&bus, &pool).await;
        let stream = bus.ensure_stream().await.unwrap();
        eventually_within("each partition is fed again", NATS_WITHIN, async || {
            let consumers = stream.consumer_names().try_collect::<Vec<_>>().await;
            consumers.is_ok_and(|consumers| consumers.len() == usize::from(PARTITIONS))
        })
        .await;
    }
    traffic.goes_on().await;
    traffic.stop().await;
    assert_stream_tells_all(&bus, &pool).await;
    assert_verified(&pool).await;
    app.stop().await;
    nats.stop().await;
}
