//! Filling the new tables: ranges of customers are folded side by side, each one transaction of rows and the note that
//! it is done. A rebuild that was killed goes on with the ranges that are not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use aggregates::ids::CustomerId;
use projections::rebuilds::{self, Range};
use projections::shadow::{Bulk, Contents, write_singly};
use projections::{CustomerEvents, Projection, StoredEvent};
use sqlx::{Postgres, Transaction};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{Lock, Replay, ReplayError};
use crate::store::reader::{each_customer, next_customers};

/// Events of one range, about: enough to be worth a transaction, few enough to be held in memory.
const RANGE_EVENTS: i64 = 10_000;
const MAX_PARALLEL: usize = 4;
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Which ranges are still to be filled in.
struct Ranges {
    /// Those that an interrupted run left between others.
    left_out: VecDeque<Range>,
    /// Everything above this customer.
    above: i64,
}

impl Ranges {
    fn after(filled: &[Range]) -> Self {
        let mut left_out = VecDeque::new();
        let mut above = 0;
        for range in filled {
            if range.after > above {
                left_out.push_back(Range { after: above, to: range.after });
            }
            above = range.to;
        }
        Self { left_out, above }
    }
}

/// One rebuild's filling, shared by its tasks.
struct Filling {
    replay: Replay,
    id: i64,
    projections: Vec<Projection>,
    up_to: i64,
    ranges: Mutex<Ranges>,
    events: AtomicI64,
}

/// Fills the tables in, and reports once a second.
pub(super) async fn fill(
    replay: &Replay,
    id: i64,
    projections: &[Projection],
    up_to: i64,
    lock: &mut Lock,
) -> Result<(), ReplayError> {
    let filled = rebuilds::filled_ranges(&replay.read_models, id).await?;
    let (events, _) = rebuilds::filled_in_all(&replay.read_models, id, projections.len()).await?;
    let filling = Arc::new(Filling {
        replay: replay.clone(),
        id,
        projections: projections.to_vec(),
        up_to,
        ranges: Mutex::new(Ranges::after(&filled)),
        events: AtomicI64::new(events),
    });
    let mut tasks = JoinSet::new();
    // Two for each core: while one folds, the other one waits for the database.
    let parallel = 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for _ in 0..parallel.min(MAX_PARALLEL) {
        let filling = Arc::clone(&filling);
        tasks.spawn(async move { filling.run().await });
    }
    let mut reported = (Instant::now(), events);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(outcome) => outcome??,
                None => break,
            },
            () = tokio::time::sleep(REPORT_EVERY) => {
                lock.confirm().await?;
                reported = filling.report(reported).await?;
            }
        }
    }
    filling.report(reported).await?;
    Ok(())
}

impl Filling {
    /// Fills range after range, until there is none left.
    async fn run(&self) -> Result<(), ReplayError> {
        while let Some(range) = self.next_range().await? {
            self.fill(range).await?;
        }
        Ok(())
    }

    async fn next_range(&self) -> Result<Option<Range>, ReplayError> {
        let mut ranges = self.ranges.lock().await;
        if let Some(range) = ranges.left_out.pop_front() {
            return Ok(Some(range));
        }
        let next = next_customers(&self.replay.log, ranges.above, self.up_to, RANGE_EVENTS).await?;
        if let Some(range) = next {
            ranges.above = range.to;
        }
        Ok(next)
    }

    async fn fill(&self, range: Range) -> Result<(), ReplayError> {
        let events = match self.fill_at_once(range).await {
            // Somebody's row is refused: whose, shows when each customer is filled in alone.
            Err(ReplayError::Refused(_)) => self.fill_singly(range).await?,
            filled => filled?,
        };
        self.events.fetch_add(events, Ordering::Relaxed);
        Ok(())
    }

    async fn fill_at_once(&self, range: Range) -> Result<i64, ReplayError> {
        let mut bulks: Vec<Bulk> = self.projections.iter().copied().map(Bulk::new).collect();
        let events = each_customer(&self.replay.log, range, self.up_to, |customer, events| {
            let events = CustomerEvents::new(customer, events);
            for bulk in &mut bulks {
                bulk.add(&events);
            }
        })
        .await?;
        let mut transaction = self.begin().await?;
        let mut contents = Vec::with_capacity(bulks.len());
        for bulk in bulks {
            contents.push(bulk.write(&mut transaction).await?);
        }
        rebuilds::filled(&mut transaction, self.id, range, events, &contents).await?;
        transaction.commit().await?;
        Ok(events)
    }

    async fn fill_singly(&self, range: Range) -> Result<i64, ReplayError> {
        let mut customers: Vec<(CustomerId, Vec<StoredEvent>)> = Vec::new();
        let events = each_customer(&self.replay.log, range, self.up_to, |customer, events| {
            customers.push((customer, events.to_vec()));
        })
        .await?;
        let mut transaction = self.begin().await?;
        let mut contents = vec![Contents::default(); self.projections.len()];
        for (customer, events) in &customers {
            let events = CustomerEvents::new(*customer, events);
            for (sum, projection) in contents.iter_mut().zip(&self.projections) {
                *sum = sum.plus(write_singly(&mut transaction, *projection, &events).await?);
            }
        }
        rebuilds::filled(&mut transaction, self.id, range, events, &contents).await?;
        transaction.commit().await?;
        Ok(events)
    }

    /// A transaction of a process that still works on the rebuild: what one that has lost it to another fills in late
    /// would be there twice.
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, ReplayError> {
        let mut transaction = self.replay.read_models.begin().await?;
        if rebuilds::is_with(&mut transaction, self.id, &self.replay.process).await? {
            Ok(transaction)
        } else {
            Err(ReplayError::Ended)
        }
    }

    /// Says how far it is; ends it when somebody asked for that.
    async fn report(&self, (at, before): (Instant, i64)) -> Result<(Instant, i64), ReplayError> {
        let events = self.events.load(Ordering::Relaxed);
        let milliseconds = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX).max(1);
        let rate = i32::try_from((events - before).saturating_mul(1000) / milliseconds).unwrap_or(i32::MAX);
        match rebuilds::report(&self.replay.read_models, self.id, events, rate).await? {
            Some(false) => Ok((Instant::now(), events)),
            Some(true) => Err(ReplayError::Cancelled),
            None => Err(ReplayError::Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Ranges};

    #[test]
    fn what_an_interrupted_run_left_out_is_filled_first() {
        let range = |after, to| Range { after, to };
        let ranges = Ranges::after(&[range(0, 10), range(30, 40), range(40, 50), range(70, 71)]);
        assert_eq!(ranges.left_out, [range(10, 30), range(50, 70)]);
        assert_eq!(ranges.above, 71);
        let none = Ranges::after(&[]);
        assert!(none.left_out.is_empty());
        assert_eq!(none.above, 0);
        assert_eq!(Ranges::after(&[range(5, 10)]).left_out, [range(0, 5)]);
    }
}
