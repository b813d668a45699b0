//! One process writes, another one answers from memory all the while. A customer's income counts up with every write, so
//! that every answer shows how old it is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use credit_approval::cache::LOG_SEEN_WITHIN;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{income, score, scored, set_income, without_cache};
use crate::support::metrics::samples;
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

const FIRST: i64 = 50_000;
const WRITES: i64 = 150;
/// Readers that go round without a pause, so that whatever may be kept is kept again at once.
const READERS: usize = 4;

/// The writes that were answered, and when.
#[derive(Default)]
struct Written(Mutex<Vec<(Instant, i64)>>);

impl Written {
    fn note(&self, income: i64) {
        self.0.lock().unwrap().push((Instant::now(), income));
    }

    /// What had been answered so long before.
    fn long_before(&self, at: Instant, age: Duration) -> i64 {
        let written = self.0.lock().unwrap();
        let old = written.iter().rev().find(|(answered, _)| *answered + age < at);
        old.map_or(FIRST, |(_, income)| *income)
    }
}

/// What readers without a token have seen.
#[derive(Default)]
struct Readers {
    reads: AtomicU64,
    /// How many answers were older than a write that had been answered through the other process.
    behind: AtomicU64,
    newest: AtomicI64,
}

/// Reads without a token, again and again: never what is older than it may be, and never back in time.
async fn read(client: Client, customer: i64, written: Arc<Written>, readers: Arc<Readers>, stop: CancellationToken) {
    let mut newest = 0;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let answered = income(&client, customer).await;
        assert!(answered >= newest, "{answered} after {newest}");
        let bound = written.long_before(began, LOG_SEEN_WITHIN);
        assert!(answered >= bound, "{answered} long after {bound} was written");
        newest = answered;
        readers.reads.fetch_add(1, Ordering::Relaxed);
        readers.newest.fetch_max(answered, Ordering::Relaxed);
        if answered < written.long_before(began, Duration::ZERO) {
            readers.behind.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn writes_through_one_are_seen_through_the_other(writer: &TestApp, reader: &TestApp) {
    let bypassing = without_cache(writer).await;
    let customer = writer.client.register(FIRST.unsigned_abs()).await;
    let (written, readers) = (Arc::<Written>::default(), Arc::<Readers>::default());
    let (stop, mut reading) = (CancellationToken::new(), JoinSet::new());
    for _ in 0..READERS {
        let (client, stop) = (reader.client.clone(), stop.clone());
        reading.spawn(read(client, customer, Arc::clone(&written), Arc::clone(&readers), stop));
    }
    for number in 1..=WRITES {
        let new = FIRST + number;
        let before = usize::try_from(number - 1).unwrap();
        let changed = set_income(&writer.client, customer, new, before).await;
        written.note(new);
        assert_eq!(income(&writer.client, customer).await, new, "one's own writes are read without a token");
        let with_token =
            |client: &Client| score(client, customer).header("Consistency-Token", changed.header("consistency-token"));
        let kept = scored(with_token(&reader.client), &reader.client).await;
        let read = scored(with_token(&bypassing.client), &bypassing.client).await;
        assert_eq!(kept["monthly_income"], new, "what the token promises");
        assert_eq!(kept, read, "what the read model has");
    }
    let last = FIRST + WRITES;
    eventually("the readers see the last write", async || readers.newest.load(Ordering::Relaxed) == last).await;
    stop.cancel();
    while let Some(reader) = reading.join_next().await {
        reader.expect("every answer is as new as it must be");
    }
    let (reads, behind) = (readers.reads.load(Ordering::Relaxed), readers.behind.load(Ordering::Relaxed));
    println!("{behind} of {reads} reads without a token were behind the other process");
    let samples = samples(&reader.client).await;
    assert!(samples["credit_approval_profile_cache_hits_total"] > 100.0, "memory answers, too: {samples:?}");
    assert!(samples["credit_approval_profile_cache_invalidations_total"] > 10.0, "events remove: {samples:?}");
    bypassing.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_profile_is_never_answered() {
    let writer = TestApp::start().await;
    let reader = writer.another().await;
    writes_through_one_are_seen_through_the_other(&writer, &reader).await;
    reader.stop().await;
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_without_nats() {
    let writer = TestApp::without_nats().await;
    let reader = writer.another().await;
    writes_through_one_are_seen_through_the_other(&writer, &reader).await;
    reader.stop().await;
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_the_process_that_wrote() {
    let app = TestApp::start().await;
    writes_through_one_are_seen_through_the_other(&app, &app).await;
    app.stop().await;
}
