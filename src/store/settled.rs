//! What stands in the log for good, and the mark of how far that is known.
//!
//! That a gap is dead is proven against those who append while it is looked at ([`super::gap`]). Such a proof is good for
//! ever, so it is kept in the log's database: otherwise one appender that stays idle would hold back the gaps of years.
//! The mark commits after everything that it speaks of, so no restored log and no crash can have it without that.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::reader::{Entry, head, read_entries};
use super::tail::{contiguous, settle, settled_head};

const MARK_EVERY: Duration = Duration::from_secs(2);
/// The next attempt comes soon enough.
const MARK_WITHIN: Duration = Duration::from_millis(100);

/// What stands behind a position for good.
#[derive(Debug)]
pub struct Settled {
    /// Events, in order: nothing can come between any more.
    pub events: Vec<Entry>,
    /// Whether more events are there. Those that are not settled come once they are.
    pub more: bool,
}

/// Events behind a position, in order, at most `limit`, as far as they are settled. At a gap that is not known to be dead
/// those who could still fill it are waited for, at most so long; where they go on, what stands before the gap is all
/// that is handed out.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_after(pool: &PgPool, after: i64, limit: i64, at_most: Duration) -> Result<Settled, sqlx::Error> {
    let limit_events = usize::try_from(limit).unwrap_or(usize::MAX);
    // Before the events: what it speaks of is among them then.
    let mark = mark(pool).await?;
    let mut events = read_entries(pool, after, limit + 1).await?;
    let mut ready = contiguous(after, mark, positions(&events));
    if ready < events.len().min(limit_events)
        && let Some(settled) = settled_head(pool, at_most).await?
    {
        keep(pool, settled).await;
        // Read again: who was waited for may have filled the gap.
        events = read_entries(pool, after, limit + 1).await?;
        ready = contiguous(after, settled, positions(&events));
    }
    ready = ready.min(limit_events);
    let more = events.len() > ready;
    events.truncate(ready);
    Ok(Settled { events, more })
}

fn positions(events: &[Entry]) -> impl Iterator<Item = i64> {
    events.iter().map(|event| event.position)
}

/// Up to where the log is known to be settled; 0 when nothing is known.
///
/// # Errors
/// When the database does not answer.
pub async fn mark(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let mark: Option<i64> = sqlx::query_scalar("select position from log_settled").fetch_optional(pool).await?;
    Ok(mark.unwrap_or(0))
}

/// Moves the mark up. It only saves proofs: that it could not be moved is no failure.
async fn keep(pool: &PgPool, settled: i64) {
    let moved = sqlx::query("update log_settled set position = $1 where position < $1").bind(settled).execute(pool);
    if let Err(error) = moved.await {
        tracing::debug!(%error, settled, "could not note up to where the log is settled");
    }
}

/// Keeps the mark near the log's head, until stopped: whoever idles with an appended event from then on, holds back
/// nothing that was there before.
pub async fn keep_marked(pool: PgPool, stop: CancellationToken) {
    let marking = async {
        let mut marked = 0;
        loop {
            match mark_head(&pool, marked).await {
                Ok(settled) => marked = settled,
                Err(error) => tracing::debug!(%error, "could not see up to where the log is settled"),
            }
            tokio::time::sleep(MARK_EVERY).await;
        }
    };
    stop.run_until_cancelled(marking).await;
}

/// Marks the head, if it is another one than was marked last, and is settled.
async fn mark_head(pool: &PgPool, marked: i64) -> Result<i64, sqlx::Error> {
    if head(pool).await? == marked {
        return Ok(marked);
    }
    let (seen, waiting_for) = settle(pool, MARK_WITHIN).await?;
    if !waiting_for.is_empty() {
        return Ok(marked);
    }
    keep(pool, seen).await;
    Ok(seen)
}
