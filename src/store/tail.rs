//! Following the log: every event, in position order, none skipped and none stalled.
//!
//! [`LogTail::next`] hands out what is proven. At a gap it hands out what stands before it; with nothing before it,
//! it notes who could still fill the gap ([`super::gap`]), and passes it only when all of those have ended and a
//! read after that still finds nothing. [`LogTail::next_touched`] is the same for who only asks whom events are about.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use projections::StoredEvent;
use sqlx::PgPool;

use crate::databases::connections::Connections;

use super::gap::{Appender, appenders, still_running};
use super::reader::{Touched, head, read_after, read_touched};

const READ_LIMIT_EVENTS: u16 = 1000;
const HELD_WARNING: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A reader's place in the log.
pub struct LogTail {
    log: Connections,
    position: i64,
    held: Option<Held>,
    is_level: bool,
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
pub enum Tailed<Event = StoredEvent> {
    /// Events, in order, following without a gap that could still be filled.
    Events(Vec<Event>),
    /// Nothing beyond the reader's place.
    AtHead,
    /// A transaction that is still running may fill the next position: look again after a pause.
    Held(Duration),
}

impl LogTail {
    /// A reader that goes on behind `position`.
    #[must_use]
    pub fn new(pool: PgPool, position: i64) -> Self {
        Self { log: Connections::kept(pool), position, held: None, is_level: false }
    }

    /// The position behind which it reads on.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// Whether the last look left nothing behind that was committed when it began.
    #[must_use]
    pub const fn is_level(&self) -> bool {
        self.is_level
    }

    /// The next events, if they are proven.
    ///
    /// # Errors
    /// When the database does not answer; the reader's place is as before.
    pub async fn next(&mut self) -> Result<Tailed, sqlx::Error> {
        let read = async |log: &Connections, after| read_after(log, after, READ_LIMIT_EVENTS.into()).await;
        self.advance(read, |event| event.position).await
    }

    /// Whom the next events are about, if they are proven.
    ///
    /// # Errors
    /// As [`LogTail::next`].
    pub async fn next_touched(&mut self) -> Result<Tailed<Touched>, sqlx::Error> {
        let read = async |log: &Connections, after| read_touched(log, after, READ_LIMIT_EVENTS.into()).await;
        self.advance(read, |touched| touched.position).await
    }

    async fn advance<Event>(
        &mut self,
        read: impl AsyncFnOnce(&Connections, i64) -> Result<Vec<Event>, sqlx::Error>,
        position: impl Fn(&Event) -> i64,
    ) -> Result<Tailed<Event>, sqlx::Error> {
        self.is_level = false;
        let Some(proven) = self.proven().await? else { return Ok(Tailed::Held(self.pause())) };
        let mut events = read(&self.log, self.position).await?;
        let Some(last) = events.last().map(&position) else {
            self.is_level = true;
            self.log.give_back_old();
            return Ok(Tailed::AtHead);
        };
        let ready = contiguous(self.position, proven, events.iter().map(&position));
        if ready == 0 {
            self.hold(last).await?;
            return Ok(Tailed::Held(self.pause()));
        }
        self.is_level = ready == events.len() && events.len() < usize::from(READ_LIMIT_EVENTS);
        events.truncate(ready);
        self.position = events.last().map_or(self.position, position);
        if self.held.as_ref().is_some_and(|held| self.position >= held.seen) {
            self.held = None;
        }
        Ok(Tailed::Events(events))
    }

    /// Up to where gaps are dead: the held gap's mark, once everyone who could fill it has ended. `None` while the
    /// same ones still run: then a look at the log would find nothing new.
    async fn proven(&mut self) -> Result<Option<i64>, sqlx::Error> {
        let Some(held) = &mut self.held else { return Ok(Some(self.position)) };
        if held.waiting_for.is_empty() {
            return Ok(Some(held.seen));
        }
        let still = still_running(&held.waiting_for, &appenders(&self.log).await?);
        let unchanged = still == held.waiting_for;
        held.waiting_for = still;
        if held.waiting_for.is_empty() {
            return Ok(Some(held.seen));
        }
        if !held.warned && held.since.elapsed() > HELD_WARNING {
            held.warned = true;
            warn_of(&held.waiting_for, self.position);
        }
        Ok((!unchanged).then_some(self.position))
    }

    /// Before the next look at a held log: short at first, longer the longer it is held.
    fn pause(&self) -> Duration {
        let held = self.held.as_ref().map_or(Duration::ZERO, |held| held.since.elapsed());
        (held / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// Notes who could still fill the gap before what was read, up to `seen`.
    async fn hold(&mut self, seen: i64) -> Result<(), sqlx::Error> {
        if self.held.is_none() {
            let waiting_for = appenders(&self.log).await?;
            self.held = Some(Held { seen, waiting_for, since: Instant::now(), warned: false });
        }
        Ok(())
    }
}

/// How many of the positions follow `position` without a gap, gaps up to `proven` being dead.
pub(super) fn contiguous(position: i64, proven: i64, positions: impl Iterator<Item = i64>) -> usize {
    let mut expected = position + 1;
    positions
        .take_while(|position| {
            let follows = *position == expected || *position <= proven;
            expected = position + 1;
            follows
        })
        .count()
}

/// The highest position below which nothing can appear any more; `None` where that is not known within `at_most`,
/// because a transaction that may still commit events goes on.
///
/// # Errors
/// When the database does not answer.
pub async fn settled_head(pool: &PgPool, at_most: Duration) -> Result<Option<i64>, sqlx::Error> {
    let (seen, waiting_for) = settle(pool, at_most).await?;
    if waiting_for.is_empty() {
        return Ok(Some(seen));
    }
    warn_of(&waiting_for, seen);
    Ok(None)
}

/// The head, and those who may still commit events before it and have not ended within `at_most`.
pub(super) async fn settle(pool: &PgPool, at_most: Duration) -> Result<(i64, HashSet<Appender>), sqlx::Error> {
    let began = Instant::now();
    let seen = head(pool).await?;
    let mut waiting_for = appenders(pool).await?;
    while !waiting_for.is_empty() && began.elapsed() <= at_most {
        tokio::time::sleep(SHORTEST_PAUSE).await;
        waiting_for = still_running(&waiting_for, &appenders(pool).await?);
    }
    Ok((seen, waiting_for))
}

fn warn_of(waiting_for: &HashSet<Appender>, position: i64) {
    let pids: Vec<_> = waiting_for.iter().map(|appender| appender.pid).collect();
    tracing::warn!(position, ?pids, "the log waits for transactions that have not ended");
}
