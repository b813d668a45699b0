//! Workers share the load (G4): what a killed process worked on others take over within seconds, a stopped process
//! shows by its heartbeat, and no partition is ever applied by two at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use credit_approval::bus::message::Message;
use credit_approval::config::{Role, Serve};
use credit_approval::projector::Projector;
use credit_approval::projector::worker::Worker;
use credit_approval::store::reader::last_in_partition;
use nix::sys::signal::Signal;
use projections::{PARTITIONS, Partition, Slot, slots};
use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::client::{application, registration};
use crate::support::leases::{TAKEN_OVER_WITHIN, eventually_leases, leases};
use crate::support::log::Chain;
use crate::support::process::RoleProcess;
use crate::support::traffic::{Traffic, write_and_look};
use crate::support::verified::assert_verified;
use crate::support::wait::{eventually, eventually_within};
use crate::support::workers::projector;
use crate::support::{Client, TestApp};

/// A worker that was not seen for 15 seconds is stalled.
const STALLED_WITHIN: Duration = Duration::from_secs(45);

/// An API with a relay; projectors are processes of their own.
async fn app() -> TestApp {
    TestApp::start_with(Serve { roles: vec![Role::Api, Role::Relay], ..TestApp::config(&[]).await }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_worked_on_is_taken_over_within_seconds() {
    let app = app().await;
    let pool = app.pool().await;
    let mut first = RoleProcess::start(&app.config, "projector").await;
    eventually_leases(&pool, &[32]).await;
    let _second = RoleProcess::start(&app.config, "projector").await;
    eventually_leases(&pool, &[16, 16]).await;
    let mut traffic = Traffic::of_writers(&app.client);
    traffic.goes_on().await;

    let killed = Instant::now();
    first.kill().await;
    eventually_leases(&pool, &[32]).await;
    for _ in 0..PARTITIONS {
        write_and_look(&app.client).await;
    }
    assert!(killed.elapsed() < TAKEN_OVER_WITHIN, "writes were visible only after {:?}", killed.elapsed());

    let _third = RoleProcess::start(&app.config, "projector").await;
    eventually_leases(&pool, &[16, 16]).await;
    traffic.goes_on().await;
    traffic.stop().await;
    assert_verified(&pool).await;
    app.stop().await;
}

/// What the service says of each partition of each read model: those that a process works on, and the others.
async fn partitions(client: &Client, pid: u32) -> (Vec<Value>, Vec<Value>) {
    let answer = client.get("/v1/projections").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let items = answer.body["items"].as_array().unwrap().iter();
    let all = items.flat_map(|item| item["partitions"].as_array().unwrap().clone());
    let process = format!(":{pid}");
    all.partition(|one| one["process"].as_str().is_some_and(|name| name.ends_with(&process)))
}

fn all_are(state: &str, partitions: &[Value]) -> bool {
    partitions.iter().all(|one| one["state"] == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_keeps_its_partitions_and_shows_by_its_heartbeat() {
    let app = app().await;
    let pool = app.pool().await;
    let stopped = RoleProcess::start(&app.config, "projector").await;
    let _other = RoleProcess::start(&app.config, "projector").await;
    eventually_leases(&pool, &[16, 16]).await;
    eventually_within("both are seen at work", TAKEN_OVER_WITHIN, async || {
        let (its, others) = partitions(&app.client, stopped.pid()).await;
        its.len() == 16 && all_are("live", &its) && all_are("live", &others)
    })
    .await;

    stopped.signal(Signal::SIGSTOP);
    // In each partition something that is not applied.
    let mut written = Vec::new();
    for _ in 0..PARTITIONS {
        let request = app.client.request(Method::POST, "/register").header("Prefer", "respond-async");
        let answer = app.client.send(request.json(&registration(50_000))).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        written.push((answer.body["customer_id"].clone(), answer.header("consistency-token").to_owned()));
    }
    eventually_within("the stopped process is seen to be stalled", STALLED_WITHIN, async || {
        all_are("stalled", &partitions(&app.client, stopped.pid()).await.0)
    })
    .await;
    let (its, others) = partitions(&app.client, stopped.pid()).await;
    assert_eq!((its.len(), others.len()), (16, 16), "nobody else works on them");
    assert!(its.iter().all(|one| one["heartbeat_age_seconds"].as_f64() > Some(15.0)), "{its:#?}");
    assert!(its.iter().all(|one| one["lag_events"].as_i64() == Some(1)), "{its:#?}");
    assert!(others.iter().all(|one| one["state"] == "live" && one["lag_events"] == 0), "{others:#?}");
    assert_eq!(leases(&pool).await, [16, 16]);

    stopped.signal(Signal::SIGCONT);
    for (customer, token) in written {
        let request = app.client.request(Method::GET, &format!("/view-loans/{customer}"));
        let answer = app.client.send(request.header("Consistency-Token", token)).await;
        assert_eq!(answer.status, 200, "customer {customer}: {}", answer.body);
    }
    eventually_within("all are live", TAKEN_OVER_WITHIN, async || {
        let (its, others) = partitions(&app.client, stopped.pid()).await;
        all_are("live", &its) && all_are("live", &others)
    })
    .await;
    assert_verified(&pool).await;
    app.stop().await;
}

const QUEUE_MESSAGES: usize = 1000;
const RESTART: Duration = Duration::from_millis(1);
const CONTESTED_CUSTOMERS: usize = 16;

/// Each step of a checkpoint, in the order in which they took place: whoever notes one holds the checkpoint's row.
const NOTE_STEPS: &str = "
create table steps (
    id bigint generated always as identity, projection text, partition smallint, before bigint, after bigint);
create function note_step() returns trigger language plpgsql as $$ begin
    insert into steps (projection, partition, before, after)
    values (new.projection, new.partition, case tg_op when 'INSERT' then 0 else old.position end, new.position);
    return null;
end $$;
create trigger note_step after insert or update of position on read_models.checkpoints
    for each row when (new.position > 0) execute function note_step();";

/// Two processes that both believe all partitions to be their own.
struct Contest {
    queues: Vec<(Slot, Queue)>,
    workers: JoinSet<()>,
    /// How often a worker was started.
    starts: Arc<AtomicUsize>,
    stop: CancellationToken,
}

/// The queue of a slot's worker, a new one for each that is started.
type Queue = Arc<Mutex<Option<mpsc::Sender<Arc<Message>>>>>;

impl Contest {
    fn start(processes: &[Projector]) -> Self {
        let (starts, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (mut queues, mut workers) = (Vec::new(), JoinSet::new());
        for process in processes {
            for slot in slots() {
                let queue = Queue::default();
                queues.push((slot, Arc::clone(&queue)));
                workers.spawn(keep_working(process.clone(), slot, queue, Arc::clone(&starts), stop.clone()));
            }
        }
        Self { queues, workers, starts, stop }
    }

    /// Hands messages to both. A worker that ends meanwhile needs none: its successor looks into the log.
    fn deliver(&self, messages: &[(Partition, Message)]) {
        for (partition, message) in messages {
            for (_, queue) in self.queues.iter().filter(|((_, of), _)| of == partition) {
                if let Some(queue) = queue.lock().unwrap().as_ref() {
                    queue.try_send(Arc::new(message.clone())).ok();
                }
            }
        }
    }

    async fn end(mut self) -> usize {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
        self.starts.load(Ordering::Relaxed)
    }
}

/// Starts a slot's worker again whenever it ends.
async fn keep_working(process: Projector, slot: Slot, queue: Queue, starts: Arc<AtomicUsize>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        starts.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::channel(QUEUE_MESSAGES);
        *queue.lock().unwrap() = Some(sender);
        Worker::new(process.clone(), slot, Arc::default()).run(messages, &stop).await;
        tokio::time::sleep(RESTART).await;
    }
}

/// Each step began where the one before it had ended.
async fn assert_one_after_the_other(pool: &PgPool) {
    let steps: Vec<(String, i16, i64, i64)> =
        sqlx::query_as("select projection, partition, before, after from steps order by id")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut reached: BTreeMap<(String, i16), i64> = BTreeMap::new();
    for (projection, partition, before, after) in steps {
        let what = format!("{projection}/{partition} moved from {before} to {after}");
        let at = reached.entry((projection, partition)).or_default();
        assert!(before == *at && before < after, "{what} where it stood at {at}");
        *at = after;
    }
    assert_eq!(reached.len(), slots().count(), "every partition of every read model has moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_partition_is_applied_by_two_at_once() {
    let config = Serve { roles: vec![Role::Api], visibility_timeout: 0, ..TestApp::config(&[]).await };
    let app = TestApp::start_with(Serve { nats_url: None, ..config }).await;
    let pool = app.pool().await;
    sqlx::raw_sql(NOTE_STEPS).execute(&pool).await.unwrap();
    let processes = [projector(&pool), projector(&app.pool().await)];
    let contest = Contest::start(&processes);
    let mut chain = Chain::default();
    for _ in 0..CONTESTED_CUSTOMERS {
        let customer = app.client.register(80_000).await;
        contest.deliver(&chain.more(&pool).await);
        app.client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
        contest.deliver(&chain.more(&pool).await);
    }

    let mut ends = Vec::new();
    for partition in Partition::all() {
        let last = last_in_partition(&pool, partition, i64::MAX).await.unwrap();
        ends.push((partition, Message::marker(last, last)));
    }
    let has_come = |process: &Projector, (projection, partition): Slot| {
        process.progress.position(projection, partition) >= ends[partition.index()].1.position
    };
    eventually("both processes come to the end", async || {
        contest.deliver(&ends);
        processes.iter().all(|process| slots().all(|slot| has_come(process, slot)))
    })
    .await;
    let starts = contest.end().await;
    assert!(starts > 2 * slots().count(), "nobody was ever outrun, so this shows nothing");
    assert_one_after_the_other(&pool).await;
    assert_verified(&pool).await;
    app.stop().await;
}
