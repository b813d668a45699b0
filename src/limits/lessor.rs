//! Asks the database for leases: all that are wanted at one moment in one statement, one statement at a time, and none
//! while the database is known to be away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::held::Held;
use super::subjects::Subjects;
use super::windows::{self, Lease, Wanted};
use super::{Subject, Verdict};
use crate::breaker::{Breaker, Limits};

/// Requests that can wait for a lease; more are not checked.
pub(super) const QUEUE: usize = 4096;
const BATCH: usize = 256;
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Nobody waits for a database that did not answer a moment ago.
const BREAKS: Limits = Limits { failures: 1, cool_down: Duration::from_secs(1) };

/// A request that needs a lease. It hears nothing when none can be had.
pub(super) struct Ask {
    pub(super) subject: Subject,
    pub(super) quota: u32,
    pub(super) reply: oneshot::Sender<Verdict>,
}

/// Requests of one subject that wait for its lease.
struct Waiting {
    quota: u32,
    replies: Vec<oneshot::Sender<Verdict>>,
}

/// Asks the database for leases.
pub(super) struct Lessor {
    asks: mpsc::Receiver<Ask>,
    subjects: Arc<Subjects>,
    pool: PgPool,
    counts: Counts,
    breaker: Breaker,
}

impl Lessor {
    pub(super) fn new(asks: mpsc::Receiver<Ask>, subjects: Arc<Subjects>, pool: PgPool, counts: Counts) -> Self {
        Self { asks, subjects, pool, counts, breaker: Breaker::new("rate_limits", BREAKS) }
    }

    /// Answers until stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let answering = async {
            let mut batch = Vec::with_capacity(BATCH);
            while self.asks.recv_many(&mut batch, BATCH).await > 0 {
                self.answer(&mut batch).await;
            }
        };
        stop.run_until_cancelled(answering).await;
    }

    async fn answer(&mut self, batch: &mut Vec<Ask>) {
        let mut waiting = self.waiting(batch);
        if waiting.is_empty() || !self.breaker.may_try(Instant::now()) {
            return;
        }
        let wanted: Vec<_> = waiting.iter().map(|(subject, waiting)| self.wanted(*subject, waiting)).collect();
        let asked = Instant::now();
        for lease in self.lease(&wanted).await {
            if let Some(waiting) = waiting.remove(&lease.subject) {
                self.subjects.with(lease.subject, |held| waiting.answer(held, asked, &lease));
            }
        }
    }

    /// Those of a batch who still need a lease, by subject. The batch before may have brought it.
    fn waiting(&self, batch: &mut Vec<Ask>) -> BTreeMap<Subject, Waiting> {
        let now = Instant::now();
        let mut waiting = BTreeMap::new();
        for Ask { subject, quota, reply } in batch.drain(..).filter(|ask| !ask.reply.is_closed()) {
            match self.subjects.with(subject, |held| held.take(now, quota)) {
                Some(verdict) => tell(reply, verdict),
                None => {
                    let new = || Waiting { quota, replies: Vec::new() };
                    waiting.entry(subject).or_insert_with(new).replies.push(reply);
                }
            }
        }
        waiting
    }

    fn wanted(&self, subject: Subject, Waiting { quota, replies }: &Waiting) -> Wanted {
        let waiting = u32::try_from(replies.len()).unwrap_or(u32::MAX);
        Wanted { subject, quota: *quota, tokens: self.subjects.with(subject, |held| held.wanted(waiting, *quota)) }
    }

    /// What was given; nothing when the database does not answer.
    async fn lease(&mut self, wanted: &[Wanted]) -> Vec<Lease> {
        let leased = match tokio::time::timeout(ANSWER_WITHIN, windows::lease(&self.pool, wanted)).await {
            Ok(leased) => leased,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        };
        match leased {
            Ok(leases) => {
                self.breaker.succeeded();
                self.counts.leases.inc_by(leases.len() as u64);
                leases
            }
            Err(error) => {
                self.breaker.failed(Instant::now());
                tracing::debug!(%error, "rate limits could not be shared with the other processes");
                self.counts.failures.inc();
                Vec::new()
            }
        }
    }
}

impl Waiting {
    fn answer(self, held: &mut Held, asked: Instant, lease: &Lease) {
        let Self { quota, replies } = self;
        held.credit(asked, lease, quota);
        let now = Instant::now();
        for reply in replies.into_iter().filter(|reply| !reply.is_closed()) {
            tell(reply, held.take(now, quota).unwrap_or_else(|| held.refused(now, quota)));
        }
    }
}

fn tell(reply: oneshot::Sender<Verdict>, verdict: Verdict) {
    // Whoever went away needs no verdict.
    let _ = reply.send(verdict);
}
