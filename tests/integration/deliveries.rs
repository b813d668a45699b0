//! Property: any batching, repetition, loss and reordering of messages gives the same read models (G4).
//!
//! Real workers start on a log that is empty, so that they have nothing to go by but what they are handed. Then the log
//! is there, all at once, and its messages arrive as a journey was drawn for them. Whatever it was, tables and
//! checkpoints end with the text that applying the log event by event gives.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use credit_approval::bus::message::Message;
use credit_approval::config::{Role, Serve};
use credit_approval::progress::Progress;
use credit_approval::projector::worker::Worker;
use projections::{Partition, Projection, Slot, Target, apply, slots};
use proptest::collection::vec as vector;
use proptest::prelude::{Just, ProptestConfig, Strategy, TestCaseError, any, prop_assert, prop_oneof};
use proptest::test_runner::TestRunner;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::client::application;
use crate::support::log::Chain;
use crate::support::verified::assert_verified;
use crate::support::workers::projector;
use crate::support::{Client, TestApp};

const CASES: u32 = 24;
/// A failing journey is made shorter for so long, in milliseconds, and so often.
const MAX_SHRINK_MILLISECONDS: u32 = 60_000;
const MAX_SHRINK_TRIES: u32 = 256;
/// Enough for each partition to have one.
const CUSTOMERS: usize = 10;
const MAX_COPIES: usize = 3;
const MAX_MARKERS: usize = 4;
const MAX_BATCH: usize = 20;
const MAX_BATCH_SIZES: usize = 8;
const QUEUE_MESSAGES: usize = 2000;
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const LOOKS: usize = 10_000;
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// The rows of all tables, whatever order they lie in.
const TEXT: &str = r#"
select coalesce(string_agg(line, E'\n' order by line collate "C"), '') from (
    select 'customer ' || t::text as line from read_models.customers t
    union all select 'loan ' || t::text from read_models.loans t
    union all select 'profile ' || t::text from read_models.credit_profiles t
    union all select 'decision ' || t::text from read_models.decisions t
    union all select 'parked ' || t::text from read_models.parked t
    union all select concat_ws(' ', 'checkpoint', projection, partition, position, parked) from read_models.checkpoints
) lines"#;

const KEEP_LOG: &str = "create table kept_events as table events";

const EMPTY: &str = "truncate events, read_models.checkpoints, read_models.parked, read_models.customers,
                              read_models.loans, read_models.credit_profiles, read_models.decisions";

const RESTORE_LOG: &str = "
insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                    position, recorded_at)
overriding system value
select aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position, recorded_at
from kept_events";

/// What becomes of a log's messages on their way to the workers.
#[derive(Debug, Clone)]
struct Journey {
    /// By message: how many places late each copy of it arrives. One without copies is lost.
    copies: Vec<Vec<usize>>,
    /// Messages of which no copy arrives.
    outage: Range<usize>,
    /// Up to which message a marker speaks of the log, and in whose place it arrives.
    markers: Vec<(usize, usize)>,
    /// By message that arrives: whether it comes in one with what its partition was told before.
    joined: Vec<bool>,
    /// How many messages arrive at once, over and over again.
    batches: Vec<usize>,
}

/// Every kind of journey; the simplest is that all messages arrive once, in order and one by one.
fn journeys(messages: usize) -> impl Strategy<Value = Journey> {
    let copies = prop_oneof![
        5 => Just(vec![0_usize]),
        2 => Just(Vec::<usize>::new()),
        3 => vector(0..=messages, 1..=MAX_COPIES),
    ];
    let outage = (0..messages, 0..messages / 2).prop_map(|(from, length)| from..from + length);
    let markers = vector((0..messages, 0..messages), 0..=MAX_MARKERS);
    let batches = vector(1..=MAX_BATCH, 1..=MAX_BATCH_SIZES);
    let parts = (vector(copies, messages), outage, markers, vector(any::<bool>(), messages), batches);
    parts.prop_map(|(copies, outage, markers, joined, batches)| Journey { copies, outage, markers, joined, batches })
}

/// A log, its messages, and what applying them in order gives.
struct Log {
    pool: PgPool,
    messages: Vec<(Partition, Message)>,
    expected: String,
}

impl Log {
    /// Written by a service that relays nothing and applies nothing; then applied in order, event by event.
    async fn written() -> Self {
        let config = Serve { roles: vec![Role::Api], visibility_timeout: 0, ..TestApp::config(&[]).await };
        let writer = TestApp::start_with(Serve { nats_url: None, ..config }).await;
        customers_borrow_and_repay(&writer.client).await;
        let pool = writer.pool().await;
        writer.stop().await;

        let messages = Chain::default().more(&pool).await;
        for (partition, message) in &messages {
            let (from, to) = (message.previous, message.position);
            for projection in Projection::ALL {
                let applied =
                    apply(&pool, Target::Live(projection), *partition, from, to, &message.events).await.unwrap();
                assert!(applied.parkings.is_empty() && applied.stamp.is_some(), "{message:?}");
            }
        }
        // What the journeys are measured by is itself the fold of the log.
        assert_verified(&pool).await;
        let expected = text(&pool).await;
        assert_eq!(expected.matches("checkpoint ").count(), slots().count(), "every partition has events");
        sqlx::query(KEEP_LOG).execute(&pool).await.unwrap();
        Self { pool, messages, expected }
    }

    /// Word for every partition of how far the log had come with a message.
    fn markers(&self, message: usize) -> impl Iterator<Item = (Partition, Message)> {
        let known = &self.messages[..=message];
        let position = self.messages[message].1.position;
        Partition::all().map(move |partition| {
            let last = known.iter().rev().find(|(of, _)| *of == partition);
            (partition, Message::marker(position, last.map_or(0, |(_, message)| message.position)))
        })
    }

    /// What arrives, in the order of arrival.
    fn arrivals(&self, journey: &Journey) -> Vec<(Partition, Message)> {
        let mut arrivals: Vec<(usize, (Partition, Message))> = Vec::new();
        for (place, (message, copies)) in self.messages.iter().zip(&journey.copies).enumerate() {
            if !journey.outage.contains(&place) {
                arrivals.extend(copies.iter().map(|late| (place + late, message.clone())));
            }
        }
        for (message, place) in &journey.markers {
            arrivals.extend(self.markers(*message).map(|marker| (*place, marker)));
        }
        arrivals.sort_by_key(|(place, _)| *place);
        let mut arriving: Vec<(Partition, Message)> = Vec::new();
        for ((_, (partition, message)), joined) in arrivals.into_iter().zip(journey.joined.iter().cycle()) {
            let before = arriving.iter_mut().rev().find(|(of, _)| *of == partition).map(|(_, before)| before);
            let follows = |before: &&mut Message| !before.events.is_empty() && before.reached() == message.previous;
            match before.filter(follows).filter(|_| *joined && !message.events.is_empty()) {
                Some(before) => {
                    let events = before.events.iter().chain(&message.events).cloned().collect();
                    *before = Message::events(events, before.previous);
                }
                None => arriving.push((partition, message)),
            }
        }
        arriving
    }

    /// One journey, from an empty log to the last word of it.
    async fn survives(&self, journey: &Journey) -> Result<(), TestCaseError> {
        sqlx::query(EMPTY).execute(&self.pool).await.unwrap();
        let workers = Workers::start(&self.pool);
        // Taken once a worker has found that there is nothing to begin with.
        workers.take(&Partition::all().map(|partition| (partition, Message::marker(0, 0))).collect::<Vec<_>>()).await?;
        sqlx::query(RESTORE_LOG).execute(&self.pool).await.unwrap();

        let arrivals = self.arrivals(journey);
        let mut arriving = arrivals.as_slice();
        for size in journey.batches.iter().cycle() {
            let (batch, later) = arriving.split_at(arriving.len().min(*size));
            workers.take(batch).await?;
            arriving = later;
            if arriving.is_empty() {
                break;
            }
        }
        let last_words: Vec<_> = self.markers(self.messages.len() - 1).collect();
        workers.take(&last_words).await?;
        for (partition, marker) in &last_words {
            let reached = workers.progress.reached(*partition, marker.previous, APPLIED_WITHIN).await;
            prop_assert!(reached, "partition {partition} does not come to {}", marker.previous);
        }
        workers.end().await;
        self.compare(&text(&self.pool).await)
    }

    fn compare(&self, found: &str) -> Result<(), TestCaseError> {
        let only_in = |one: &str, other: &str| {
            let lines = one.lines().filter(|line| other.lines().all(|present| present != *line));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let (missing, wrong) = (only_in(&self.expected, found), only_in(found, &self.expected));
        prop_assert!(found == self.expected, "missing: {missing:#?}\nwrong: {wrong:#?}");
        Ok(())
    }
}

/// About sixty events, those of different customers interleaved.
async fn customers_borrow_and_repay(client: &Client) {
    let (mut customers, mut loans) = (Vec::new(), Vec::new());
    for _ in 0..CUSTOMERS {
        customers.push(client.register(80_000).await);
    }
    for customer in &customers {
        let lent = client.post("/create-loan", &application(*customer, 60_000, 14, 24)).await;
        assert_eq!(lent.status, 201, "{}", lent.body);
        loans.push(lent.body["loan_id"].as_i64().unwrap());
    }
    for (customer, loan) in customers.iter().zip(&loans) {
        let repaid = client.post(&format!("/v1/loans/{loan}/repayments"), &json!({ "amount": 5_000 })).await;
        assert_eq!(repaid.status, 201, "{}", repaid.body);
        if customer % 2 == 0 {
            // Approved or declined, it is an event.
            client.post("/create-loan", &application(*customer, 40_000, 16, 12)).await;
        }
    }
}

async fn text(pool: &PgPool) -> String {
    sqlx::query_scalar(TEXT).fetch_one(pool).await.unwrap()
}

/// A worker for each read model and partition.
struct Workers {
    queues: HashMap<Slot, mpsc::Sender<Arc<Message>>>,
    tasks: JoinSet<()>,
    progress: Arc<Progress>,
}

impl Workers {
    fn start(pool: &PgPool) -> Self {
        let projector = projector(pool);
        let (mut queues, mut tasks) = (HashMap::new(), JoinSet::new());
        for slot in slots() {
            let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
            queues.insert(slot, queue);
            let worker = Worker::new(projector.clone(), slot, Arc::default());
            tasks.spawn(async move { worker.run(messages, &CancellationToken::new()).await });
        }
        Self { queues, tasks, progress: projector.progress }
    }

    /// Hands a batch to the workers of all read models, and waits until they have taken it up. On one thread nobody
    /// takes anything before the whole batch is there.
    async fn take(&self, batch: &[(Partition, Message)]) -> Result<(), TestCaseError> {
        for (partition, message) in batch {
            for projection in Projection::ALL {
                let queue = &self.queues[&(projection, *partition)];
                let taken = queue.try_send(Arc::new(message.clone()));
                prop_assert!(taken.is_ok(), "the worker of {projection} on {partition} has ended");
            }
        }
        for _ in 0..LOOKS {
            if self.queues.values().all(|queue| queue.capacity() == queue.max_capacity()) {
                return Ok(());
            }
            prop_assert!(self.queues.values().all(|queue| !queue.is_closed()), "a worker has ended");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(TestCaseError::fail("a worker takes nothing"))
    }

    async fn end(mut self) {
        self.queues.clear();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

#[test]
fn any_batching_repetition_loss_and_order_of_messages_gives_the_same_read_models() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = runtime.block_on(Log::written());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_time: MAX_SHRINK_MILLISECONDS,
        max_shrink_iters: MAX_SHRINK_TRIES,
        ..ProptestConfig::default()
    });
    let journeys = journeys(log.messages.len());
    if let Err(error) = runner.run(&journeys, |journey| runtime.block_on(log.survives(&journey))) {
        panic!("{error}");
    }
}
