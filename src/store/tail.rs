//! Following the log: every event, in position order, none skipped and none stalled.
//!
//! [`LogTail::next`] hands out what is proven. At a gap it hands out what stands before it; with nothing before it,
//! it notes who could still fill the gap ([`super::gap`]), and passes it only when all of those have ended and a
//! read after that still finds nothing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use projections::StoredEvent;
use sqlx::PgPool;

use super::gap::{Appender, appenders, still_running};
use super::reader::{head, read_after};

const READ_LIMIT_EVENTS: i64 = 1000;
const HELD_WARNING: Duration = Duration::from_secs(5);

/// A reader's place in the log.
pub struct LogTail {
    pool: PgPool,
    position: i64,
    held: Option<Held>,
}

/// A gap that is being waited for.
struct Held {
    /// Everything up to here was drawn before `waiting_for` was taken.
    seen: i64,
    waiting_for: HashSet<Appender>,
    since: Instant,
    warned: bool,
}

/// What a look at the log gave.
#[derive(Debug)]
pub enum Tailed {
    /// Events, in order, following without a gap that could still be filled.
    Events(Vec<StoredEvent>),
    /// Nothing beyond the reader's place.
    AtHead,
    /// A transaction that is still running may fill the next position: look again soon.
    Held,
}

impl LogTail {
    /// A reader that goes on behind `position`.
    #[must_use]
    pub const fn new(pool: PgPool, position: i64) -> Self {
        Self { pool, position, held: None }
    }

    /// The position behind which it reads on.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// The next events, if they are proven.
    ///
    /// # Errors
    /// When the database does not answer; the reader's place is as before.
    pub async fn next(&mut self) -> Result<Tailed, sqlx::Error> {
        let proven = self.proven().await?;
        let mut events = read_after(&self.pool, self.position, READ_LIMIT_EVENTS).await?;
        if events.is_empty() {
            return Ok(Tailed::AtHead);
        }
        let ready = contiguous(self.position, proven, &events);
        if ready == 0 {
            self.hold(&events).await?;
            return Ok(Tailed::Held);
        }
        events.truncate(ready);
        self.position = events.last().map_or(self.position, |event| event.position);
        if self.held.as_ref().is_some_and(|held| self.position >= held.seen) {
            self.held = None;
        }
        Ok(Tailed::Events(events))
    }

    /// Up to where gaps are dead: the held gap's mark, once everyone who could fill it has ended.
    async fn proven(&mut self) -> Result<i64, sqlx::Error> {
        let Some(held) = &mut self.held else { return Ok(self.position) };
        if !held.waiting_for.is_empty() {
            let running = appenders(&self.pool).await?;
            held.waiting_for = still_running(&held.waiting_for, &running);
        }
        if held.waiting_for.is_empty() {
            return Ok(held.seen);
        }
        if !held.warned && held.since.elapsed() > HELD_WARNING {
            held.warned = true;
            let pids: Vec<_> = held.waiting_for.iter().map(|appender| appender.pid).collect();
            tracing::warn!(position = self.position, ?pids, "the log waits for transactions that have not ended");
        }
        Ok(self.position)
    }

    /// Notes who could still fill the gap before the first of `events`.
    async fn hold(&mut self, events: &[StoredEvent]) -> Result<(), sqlx::Error> {
        let seen = events.last().map_or(self.position, |event| event.position);
        if self.held.is_none() {
            let waiting_for = appenders(&self.pool).await?;
            self.held = Some(Held { seen, waiting_for, since: Instant::now(), warned: false });
        }
        Ok(())
    }
}

/// How many of `events` follow `position` without a gap, gaps up to `proven` being dead.
fn contiguous(position: i64, proven: i64, events: &[StoredEvent]) -> usize {
    let mut expected = position + 1;
    events
        .iter()
        .take_while(|event| {
            let follows = event.position == expected || event.position <= proven;
            expected = event.position + 1;
            follows
        })
        .count()
}

/// The highest position below which nothing can appear any more.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_head(pool: &PgPool) -> Result<i64, sqlx::Error> {
    const LOOK_AGAIN: Duration = Duration::from_millis(2);
    let seen = head(pool).await?;
    let mut waiting_for = appenders(pool).await?;
    while !waiting_for.is_empty() {
        tokio::time::sleep(LOOK_AGAIN).await;
        let running = appenders(pool).await?;
        waiting_for = still_running(&waiting_for, &running);
    }
    Ok(seen)
}
