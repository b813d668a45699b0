//! Replay: read models made anew from the log while the old ones serve.
//!
//! A rebuild is a row in the read models' database ([`projections::rebuilds`]); whichever process holds its lock works
//! on it, and when that process dies another goes on. The log is folded customer by customer up to where it was settled
//! ([`fill`]), counted and compared, indexed, caught up with through the workers' own apply path, and swapped in under
//! a fence ([`finish`]). Whatever does not agree ends it as failed, with the old tables serving.
//!
//! [`customer`] makes one customer's rows anew, which is also how a parked one is redriven.

pub mod customer;
mod fill;
mod finish;
pub mod watch;

use std::time::Duration;

use projections::parked::error_text;
use projections::rebuilds::{self, Phase, Rebuild};
use projections::shadow::{self, SwapRefused};
use projections::{ApplyError, Projection};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::databases::is_unexplained;
use crate::store::reader::count;
use crate::store::tail::settled_head;

const LOCK_CLASS: i32 = 0x4355;
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// A rebuild that is taken up so often without making progress ends whoever works on it.
const MAX_TAKE_UPS: i16 = 5;

/// What a process replays with.
#[derive(Clone)]
pub struct Replay {
    /// Connections to the log.
    pub log: PgPool,
    /// Connections to the read models.
    pub read_models: PgPool,
    /// This process's name, for whoever looks at rebuilds.
    pub process: String,
}

/// Why a rebuild did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Somebody asked to stop it.
    #[error("the rebuild was cancelled")]
    Cancelled,
    /// A database did not answer: whoever takes it up again goes on where it was.
    #[error("a database did not answer")]
    Interrupted(#[source] sqlx::Error),
    /// Another process may have taken it up: the lock's connection is gone.
    #[error("the rebuild's lock was lost")]
    LockLost(#[source] sqlx::Error),
    /// The database refused what the fold made.
    #[error("the database refused the rebuilt rows")]
    Refused(#[source] sqlx::Error),
    /// Not as many events were folded as there are.
    #[error("{folded} events were folded, of {there_are} up to position {up_to}")]
    EventsMissing {
        /// Folded.
        folded: i64,
        /// In the log.
        there_are: i64,
        /// Where the bulk ends.
        up_to: i64,
    },
    /// The table does not hold what was written.
    #[error(
        "the rebuilt table of {projection} holds {holds} rows with checksum {holds_sum:x}, {folded} with checksum {folded_sum:x} were folded"
    )]
    ContentsDiffer {
        /// Which read model.
        projection: Projection,
        /// Rows in the table.
        holds: i64,
        /// Their checksum.
        holds_sum: i64,
        /// Rows folded.
        folded: i64,
        /// Their checksum.
        folded_sum: i64,
    },
    /// The swap's conditions do not hold.
    #[error("the rebuilt table cannot take the old one's place")]
    Swap(#[from] SwapRefused),
    /// Readers or workers left no room for the swap, so far.
    #[error("no moment for the swap was found in {0} attempts")]
    NoRoom(u32),
    /// The fence stood for too long.
    #[error("the swap took too long and was undone")]
    FenceTimedOut,
    /// Another process has ended it.
    #[error("the rebuild has ended meanwhile")]
    Ended,
    /// Whoever works on it ends without a word.
    #[error("{0} times whoever worked on it ended without making progress or saying why")]
    EndsSilently(i16),
    /// A newer version of the product keeps the read model.
    #[error("{0} is kept by a newer version of the product")]
    Outdated(Projection),
    /// The log knows no such customer.
    #[error("there is no customer {0}")]
    NoSuchCustomer(i64),
    /// A task of the rebuild ended without a word.
    #[error("a part of the rebuild failed")]
    Task(#[from] tokio::task::JoinError),
}

/// What a database says of itself interrupts; what it says of the rows refuses them.
impl From<sqlx::Error> for ReplayError {
    fn from(error: sqlx::Error) -> Self {
        const OF_ITSELF: [&str; 7] = ["08", "25", "40", "53", "55", "57", "58"];
        let refused = match error.as_database_error() {
            Some(refusal) => {
                let code = refusal.code().unwrap_or_default();
                // Another process has filled the same range: this one no longer holds the lock.
                let taken_over = refusal.constraint() == Some("rebuild_ranges_pkey");
                !taken_over && !OF_ITSELF.iter().any(|class| code.starts_with(class))
            }
            None => matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_)),
        };
        if refused { Self::Refused(error) } else { Self::Interrupted(error) }
    }
}

impl From<ApplyError> for ReplayError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Database(error) => error.into(),
            ApplyError::Stale { .. } | ApplyError::Unreadable(_) | ApplyError::Fold(_) => {
                Self::Interrupted(sqlx::Error::Protocol(error.to_string()))
            }
        }
    }
}

impl ReplayError {
    /// Whether it may be the rebuild itself that broke a connection.
    fn is_unexplained(&self) -> bool {
        matches!(self, Self::Interrupted(error) | Self::Swap(SwapRefused::Database(error)) if is_unexplained(error))
    }

    /// Whether it is taken up again, by this process or another, rather than failed.
    const fn goes_on(&self) -> bool {
        matches!(self, Self::Interrupted(_) | Self::LockLost(_) | Self::NoRoom(_) | Self::Ended)
    }
}

/// The right to work on rebuilds: an advisory lock, for as long as its connection lives.
pub struct Lock {
    connection: PgConnection,
}

impl Lock {
    async fn confirm(&mut self) -> Result<(), ReplayError> {
        self.connection.ping().await.map_err(ReplayError::LockLost)
    }
}

impl Replay {
    /// The right to work on rebuilds; `None` while another process has it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock(&self) -> Result<Option<Lock>, sqlx::Error> {
        let mut connection = self.read_models.acquire().await?.detach();
        let held: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, 0)")
            .bind(LOCK_CLASS)
            .fetch_one(&mut connection)
            .await?;
        if held {
            return Ok(Some(Lock { connection }));
        }
        connection.close().await?;
        Ok(None)
    }

    /// Works on a rebuild until it has ended, and records how. Stopped, or interrupted by a database, it stays
    /// unfinished, and whoever takes it up goes on.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn run(&self, rebuild: Rebuild, mut lock: Lock, stop: &CancellationToken) -> Result<(), ReplayError> {
        let id = rebuild.rebuild_id;
        let projections = rebuild.known_projections();
        if rebuild.cancel_requested {
            self.give_up(id, &projections, &ReplayError::Cancelled).await?;
            return Err(ReplayError::Cancelled);
        }
        if !is_ours(&rebuild, &projections) {
            return Ok(());
        }
        tracing::info!(rebuild = id, projections = ?rebuild.projections, "rebuilding read models");
        let own = self.on_own_connections();
        let outcome = stop.run_until_cancelled(own.work(rebuild, &projections, &mut lock)).await;
        own.close().await;
        let Some(outcome) = outcome else {
            return Ok(rebuilds::put_down(&self.read_models, id).await?);
        };
        match outcome {
            Ok(()) => {
                tracing::info!(rebuild = id, "the rebuilt read models serve now");
                Ok(())
            }
            Err(error) if error.goes_on() => {
                if !error.is_unexplained() {
                    // Where the database does not answer, it counts.
                    let _ = rebuilds::put_down(&self.read_models, id).await;
                }
                Err(error)
            }
            Err(error) => {
                // Not in another process's name.
                lock.confirm().await?;
                self.give_up(id, &projections, &error).await?;
                Err(error)
            }
        }
    }

    /// The same on connections that nobody else has: one that is given up in the middle of a COPY or of a BEGIN is out of
    /// step with its server, and must never come back to others.
    fn on_own_connections(&self) -> Self {
        let (options, to) = (self.read_models.options().clone(), self.read_models.connect_options());
        Self { read_models: options.connect_lazy_with((*to).clone()), ..self.clone() }
    }

    async fn close(&self) {
        // What is still in use then, by a task that is ending, closes when it is given back.
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.read_models.close()).await;
    }

    async fn work(&self, rebuild: Rebuild, projections: &[Projection], lock: &mut Lock) -> Result<(), ReplayError> {
        let id = rebuild.rebuild_id;
        let taken_up = rebuilds::take_up(&self.read_models, id, &self.process).await?;
        let (take_ups, cancel_requested) = taken_up.ok_or(ReplayError::Ended)?;
        if cancel_requested {
            return Err(ReplayError::Cancelled);
        }
        if take_ups > MAX_TAKE_UPS {
            return Err(ReplayError::EndsSilently(take_ups));
        }
        self.must_not_be_outdated(projections).await?;
        // What an earlier version began is begun anew; what is done is not done again, as each phase ends with entering
        // the next.
        let (up_to, events, mut phase) = match (rebuild.up_to, rebuild.events_total) {
            (Some(up_to), Some(events)) if !was_begun_by_an_earlier_version(&rebuild, projections) => {
                (up_to, events, rebuild.phase)
            }
            (begun, _) => {
                if begun.is_some() {
                    rebuilds::forget_ranges(&self.read_models, id).await?;
                }
                let (up_to, events) = self.begin(id, projections).await?;
                (up_to, events, Phase::Filling)
            }
        };
        if phase == Phase::Filling {
            fill::fill(self, id, projections, up_to, lock).await?;
            phase = self.enter(id, Phase::Checking, lock).await?;
        }
        if phase == Phase::Checking {
            self.unless_cancelled(id, lock, self.check(id, projections, up_to, events)).await?;
            phase = self.enter(id, Phase::Indexing, lock).await?;
        }
        if phase == Phase::Indexing {
            self.unless_cancelled(id, lock, self.index(projections, up_to)).await?;
            self.enter(id, Phase::CatchingUp, lock).await?;
        }
        self.finish(id, projections, lock).await
    }

    /// Waits for the log to settle, and makes the empty tables.
    async fn begin(&self, id: i64, projections: &[Projection]) -> Result<(i64, i64), ReplayError> {
        let up_to = loop {
            self.must_not_be_cancelled(id).await?;
            if let Some(head) = settled_head(&self.log, SETTLE_WITHIN).await? {
                break head;
            }
        };
        let events = count(&self.log, up_to).await?;
        let mut transaction = self.read_models.begin().await?;
        for projection in projections {
            shadow::create(&mut transaction, *projection).await?;
        }
        rebuilds::note_versions(&mut *transaction, id, projections).await?;
        rebuilds::begin_filling(&mut *transaction, id, up_to, events).await?;
        transaction.commit().await?;
        Ok((up_to, events))
    }

    async fn must_not_be_outdated(&self, projections: &[Projection]) -> Result<(), ReplayError> {
        let checkpoints = projections::checkpoint::load_all(&self.read_models).await?;
        let newer = checkpoints.into_iter().find(|(projection, _, checkpoint)| {
            projections.contains(projection) && checkpoint.version > projection.version()
        });
        newer.map_or(Ok(()), |(projection, _, _)| Err(ReplayError::Outdated(projection)))
    }

    async fn must_not_be_cancelled(&self, id: i64) -> Result<(), ReplayError> {
        match rebuilds::find(&self.read_models, id).await? {
            Some(rebuild) if rebuild.finished_at.is_some() => Err(ReplayError::Ended),
            Some(rebuild) if rebuild.cancel_requested => Err(ReplayError::Cancelled),
            Some(_) => Ok(()),
            None => Err(ReplayError::Ended),
        }
    }

    async fn enter(&self, id: i64, phase: Phase, lock: &mut Lock) -> Result<Phase, ReplayError> {
        lock.confirm().await?;
        match rebuilds::enter(&self.read_models, id, phase, None).await? {
            Some(false) => Ok(phase),
            Some(true) => Err(ReplayError::Cancelled),
            None => Err(ReplayError::Ended),
        }
    }

    /// Work that takes long and reports nothing, given up when somebody asks for that or the lock is lost.
    async fn unless_cancelled<T>(
        &self,
        id: i64,
        lock: &mut Lock,
        work: impl Future<Output = Result<T, ReplayError>>,
    ) -> Result<T, ReplayError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    lock.confirm().await?;
                    self.must_not_be_cancelled(id).await?;
                }
            }
        }
    }

    /// Removes what was made so far, and records why.
    async fn give_up(&self, id: i64, projections: &[Projection], error: &ReplayError) -> Result<(), ReplayError> {
        let mut transaction = self.read_models.begin().await?;
        for projection in projections {
            shadow::drop_table(&mut transaction, *projection).await?;
        }
        rebuilds::forget_ranges(&mut *transaction, id).await?;
        // Where another process has ended it, its tables may be those of the next one.
        let cancelled = matches!(error, ReplayError::Cancelled);
        let phase = if cancelled { Phase::Cancelled } else { Phase::Failed };
        let text = (!cancelled).then(|| error_text(error));
        if rebuilds::enter(&mut *transaction, id, phase, text.as_deref()).await?.is_none() {
            return Err(ReplayError::Ended);
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Whether this build knows all that is to be rebuilt, and no newer one has begun it.
fn is_ours(rebuild: &Rebuild, known: &[Projection]) -> bool {
    let versions = rebuild.versions.iter().flatten();
    known.len() == rebuild.projections.len()
        && versions.zip(known).all(|(version, projection)| *version <= projection.version())
}

fn was_begun_by_an_earlier_version(rebuild: &Rebuild, projections: &[Projection]) -> bool {
    let versions = rebuild.versions.iter().flatten();
    versions.zip(projections).any(|(version, projection)| *version < projection.version())
}
