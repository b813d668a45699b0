//! Connections that go from one statement to the next without going back to their pool: it asks each one that is given
//! back whether it is still there, which costs as much as a statement.
//!
//! None is kept for longer than [`KEPT_FOR`], or once something has gone wrong: it goes back then, and the pool sees to its
//! age and its health. Whoever takes connections from the pool itself still finds some there: so many are never kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};

/// From when it was taken from the pool.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Of four connections three may be kept; of fewer than four none.
const OF: u32 = 4;

/// Connections that are kept between statements.
pub(super) struct Kept {
    idle: Mutex<Vec<Lent>>,
    /// As many as may be in use or kept.
    turns: Semaphore,
}

/// A connection from the pool, and since when.
struct Lent {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

/// A connection for one statement. It goes back to its pool, unless it is kept.
pub(super) struct Held<'k> {
    lent: Lent,
    kept: Option<(&'k Kept, SemaphorePermit<'k>)>,
}

impl Kept {
    /// For a pool; `None` where it is too small.
    pub(super) fn of(pool: &PgPool) -> Option<Self> {
        let at_most = pool.options().get_max_connections() / OF * (OF - 1);
        let turns = usize::try_from(at_most).ok().filter(|turns| *turns > 0)?;
        Some(Self { idle: Mutex::default(), turns: Semaphore::new(turns) })
    }

    /// A connection that is kept, or else one of the pool's. `is_doubted` says of a time how many were good before it.
    pub(super) async fn hold(
        &self,
        pool: &PgPool,
        is_doubted: impl Fn(Duration) -> bool,
    ) -> Result<Held<'_>, sqlx::Error> {
        let had = async {
            let turn = self.turns.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            let known = self.take(|since| since < KEPT_FOR && !is_doubted(since));
            let lent = match known.filter(|_| !pool.is_closed()) {
                Some(lent) => lent,
                None => Lent { connection: pool.acquire().await?, since: Instant::now() },
            };
            Ok(Held { lent, kept: Some((self, turn)) })
        };
        let had = tokio::time::timeout(pool.options().get_acquire_timeout(), had).await;
        had.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// The one that was used last of those that are good; the others go back.
    fn take(&self, is_good: impl Fn(Duration) -> bool) -> Option<Lent> {
        loop {
            let lent = self.idle().pop()?;
            if is_good(lent.since.elapsed()) {
                return Some(lent);
            }
        }
    }

    /// Gives back what nobody has used for a while.
    pub(super) fn give_back_old(&self) {
        self.give_back(|lent| lent.since.elapsed() >= KEPT_FOR);
    }

    /// Gives all of them back.
    pub(super) fn give_back_all(&self) {
        self.give_back(|_| true);
    }

    fn give_back(&self, is_over: impl Fn(&Lent) -> bool) {
        let over: Vec<Lent> = self.idle().extract_if(.., |lent| is_over(lent)).collect();
        drop(over);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Lent>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// One that is given back at once.
    pub(super) fn once(connection: PoolConnection<Postgres>) -> Self {
        Self { lent: Lent { connection, since: Instant::now() }, kept: None }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.lent.connection
    }

    /// Its statement has come to its end, and the next one may have it.
    pub(super) fn keep(self, pool: &PgPool) {
        let Some((kept, turn)) = self.kept else { return };
        if self.lent.since.elapsed() < KEPT_FOR {
            kept.idle().push(self.lent);
        }
        // Whoever closes it gives back what is kept then, and waits for the rest.
        if pool.is_closed() {
            kept.give_back_all();
        }
        drop(turn);
    }
}
