//! Verification: the log held against its guarantees, and every read model against a fold of the log, row by row; and the
//! reserved phone numbers against the customers' own.
//!
//! It runs on a live system and holds nothing up: the log is read up to where it is settled, and each range of customers
//! in the read models is one short snapshot, in which rows and checkpoints belong together.

mod loans;
mod log;
mod told;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aggregates::policy::{Policy, PolicyRef};
use projections::compare::{Difference, Snapshot};
use projections::rebuilds::Range;
use projections::{CustomerEvents, Partition, Projection, StoredEvent, Target, checkpoint, parked};
use sqlx::PgPool;

use self::log::{LogCheck, Violation};
use crate::store::numbers::{stale, unreserved};
use crate::store::reader::{count, each_customer, last_in_partition, next_customers};
use crate::store::tail::settled_head;

const RANGE_EVENTS: i64 = 5_000;
const RESERVATIONS_AT_A_TIME: u16 = 1_000;
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long a read model that is behind is given to catch up.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why verification could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A database did not answer.
    #[error("a database did not answer")]
    Database(#[from] sqlx::Error),
    /// Somebody is about to append and does not come to an end.
    #[error("the log does not settle: a transaction that has appended has been open for over {} s", SETTLE_WITHIN.as_secs())]
    Unsettled,
}

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Events looked at.
    pub events: i64,
    /// Customers they are about.
    pub customers: u64,
    /// Decisions that were taken again.
    pub decisions: u64,
    /// Rows of read models that were compared.
    pub rows: u64,
    /// Customers parked in a read model, counted once for each: a difference, and their rows are compared up to it.
    pub parked: u64,
    /// How much of all that is not as it must be.
    pub differences: u64,
    /// The first of the differences, in words.
    pub first: Vec<String>,
}

impl Findings {
    fn add(&mut self, difference: impl std::fmt::Display, at_most: usize) {
        self.differences += 1;
        if self.first.len() < at_most {
            self.first.push(difference.to_string());
        }
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for difference in &self.first {
            writeln!(f, "{difference}")?;
        }
        let shown = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
        if self.differences > shown {
            writeln!(f, "... and {} more", self.differences - shown)?;
        }
        writeln!(
            f,
            "log          {} events of {} customers, {} decisions taken again",
            self.events, self.customers, self.decisions
        )?;
        writeln!(f, "read models  {} rows compared with the fold, {} customers parked", self.rows, self.parked)?;
        match self.differences {
            0 => write!(f, "result       everything agrees"),
            1 => write!(f, "result       1 difference"),
            many => write!(f, "result       {many} differences"),
        }
    }
}

/// Verifies everything; `progress` hears of each range: events done, events in all. The first `show` differences are
/// kept in words.
///
/// # Errors
/// [`VerifyError`]; differences are no error.
pub async fn verify(
    log: &PgPool,
    read_models: &PgPool,
    policies: &[Policy],
    show: usize,
    mut progress: impl FnMut(i64, i64),
) -> Result<Findings, VerifyError> {
    let settled = settled_head(log, SETTLE_WITHIN).await?.ok_or(VerifyError::Unsettled)?;
    let there_are = count(log, settled).await?;
    let policies: HashMap<&PolicyRef, &Policy> = policies.iter().map(|policy| (policy.reference(), policy)).collect();
    let mut findings = Findings::default();
    let mut after = 0;
    loop {
        let next = next_customers(log, after, settled, RANGE_EVENTS).await?;
        // The last range holds whoever is above all customers of the log: new ones, or rows that belong to nobody.
        let range = next.unwrap_or(Range { after, to: i64::MAX });
        verify_range(log, read_models, range, settled, &policies, show, &mut findings).await?;
        progress(findings.events, there_are);
        if next.is_none() {
            break;
        }
        after = range.to;
    }
    verify_reservations(log, show, &mut findings).await?;
    for (projection, partition, counted, parked) in parked::miscounted(read_models).await? {
        let what =
            format_args!("{projection}, partition {partition}: {counted} customers count as parked, {parked} are");
        findings.add(what, show);
    }
    for behind in still_behind(log, read_models, settled).await? {
        findings.add(behind, show);
    }
    for projection in Projection::ALL {
        if !checkpoint::is_filled(read_models, projection).await? {
            findings.add(format_args!("{projection} is new and not filled in yet: its first rebuild does that"), show);
        }
    }
    if findings.events != there_are {
        let read = findings.events;
        findings.add(format_args!("log: {there_are} events up to position {settled}, but {read} by customer"), show);
    }
    Ok(findings)
}

/// The partitions that have not applied what was settled when verification began, after some patience.
async fn still_behind(log: &PgPool, read_models: &PgPool, settled: i64) -> Result<Vec<String>, VerifyError> {
    let mut last = HashMap::new();
    for partition in Partition::all() {
        last.insert(partition, last_in_partition(log, partition, settled).await?);
    }
    let until = Instant::now() + CATCH_UP_WITHIN;
    loop {
        let mut behind = Vec::new();
        for projection in Projection::ALL {
            for (partition, last) in &last {
                let at = checkpoint::load(read_models, Target::Live(projection), *partition).await?.position;
                if at < *last {
                    behind.push(format!("{projection}, partition {partition}: stands at {at}, the log at {last}"));
                }
            }
        }
        if behind.is_empty() || Instant::now() > until {
            behind.sort();
            return Ok(behind);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn verify_range(
    log: &PgPool,
    read_models: &PgPool,
    range: Range,
    settled: i64,
    policies: &HashMap<&PolicyRef, &Policy>,
    show: usize,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let mut snapshot = Snapshot::take(read_models, range).await?;
    for parked in snapshot.parked() {
        findings.parked += 1;
        findings.add(in_words(&parked), show);
    }
    let mut numbers = Vec::new();
    // What a read model has applied is settled, even where it was appended after `settled` was read.
    let up_to = settled.max(snapshot.furthest());
    each_customer(log, range, up_to, |customer, events| {
        let (old, _) = events.split_at(events.partition_point(|event: &StoredEvent| event.position <= settled));
        if !old.is_empty() {
            findings.customers += 1;
            findings.events += i64::try_from(old.len()).unwrap_or(i64::MAX);
            let mut check = LogCheck::new(customer, policies);
            check.run(&CustomerEvents::new(customer, old));
            findings.decisions += check.decisions;
            numbers.extend(check.phone_number().map(|number| (customer, number)));
            check.violations.into_iter().for_each(|violation: Violation| findings.add(violation, show));
        }
        let (rows, differences) = snapshot.compare(&CustomerEvents::new(customer, events));
        findings.rows += rows;
        differences.into_iter().for_each(|difference| findings.add(in_words(&difference), show));
    })
    .await?;
    unreserved(log, &numbers).await?.iter().for_each(|fault| findings.add(fault, show));
    snapshot.left_over().iter().for_each(|difference| findings.add(in_words(difference), show));
    Ok(())
}

/// No number is reserved for a customer who has another one.
async fn verify_reservations(log: &PgPool, show: usize, findings: &mut Findings) -> Result<(), VerifyError> {
    let mut next = Some(String::new());
    while let Some(after) = next {
        let page = stale(log, &after, RESERVATIONS_AT_A_TIME).await?;
        page.faults.iter().for_each(|fault| findings.add(fault, show));
        next = page.next;
    }
    Ok(())
}

fn in_words(difference: &Difference) -> String {
    format!("{} {}: {}", difference.projection, difference.id, difference.what)
}
