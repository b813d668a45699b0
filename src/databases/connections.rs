//! A pool as requests use it: behind a circuit breaker, so that nobody waits for a database that is away, and with a
//! record of how long was waited for a connection.
//!
//! Where connections are kept from one statement to the next, that is [`super::kept`]'s.
//!
//! Where an `Executor` is asked for, `&Connections` is one. What takes a pool as it is gets it by dereferencing; it is
//! then neither refused nor recorded, which is what workers want that wait and try again by themselves.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use prometheus_client::metrics::histogram::Histogram;
use sqlx::pool::{MaybePoolConnection, PoolConnection};
use sqlx::postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Execute, Executor, Transaction};
use tokio::sync::Notify;

use super::is_unexplained;
use super::kept::{Held, Kept};
use crate::breaker::Breaker;

/// The database is known to be away, or took no connection, so it was not asked.
#[derive(Debug, thiserror::Error)]
#[error("the database is away")]
struct Away(#[source] Option<sqlx::Error>);

fn away(cause: Option<sqlx::Error>) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, Away(cause)))
}

/// The database went away before it answered. What was asked may have been done.
#[derive(Debug, thiserror::Error)]
#[error("the database went away before it answered")]
struct Lost;

fn lost() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionAborted, Lost))
}

/// Whether an error says that the database was not asked, since it is known to be away or took no connection.
#[must_use]
pub fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let inner = |error: &(dyn std::error::Error + 'static)| {
        let io = error.downcast_ref::<io::Error>()?;
        io.get_ref().map(|inner| inner.is::<Away>())
    };
    causes.filter_map(inner).any(|is_away| is_away)
}

/// A doubt that connections are what they seem, for whoever looks after them.
#[derive(Debug)]
pub(super) struct Doubt {
    begun: Instant,
    /// Milliseconds from the beginning to the last doubt; 0 for none.
    last: AtomicU64,
    raised: Notify,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0), raised: Notify::new() }
    }
}

impl Doubt {
    /// What has been idle until now may be broken.
    pub(super) fn note(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now.max(1), Ordering::Relaxed);
    }

    /// The same, and it is to be looked into at once.
    fn raise(&self) {
        self.note();
        self.raised.notify_one();
    }

    /// Until somebody raises one.
    pub(super) async fn raised(&self) {
        self.raised.notified().await;
    }

    /// Whether a connection that has been idle so long was there before the last one.
    pub(super) fn is_about(&self, idle_for: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        // Rounded so that a doubt of the same millisecond counts.
        last > 0 && self.begun.elapsed().saturating_sub(idle_for) <= Duration::from_millis(last + 1)
    }
}

/// Connections to one database.
#[derive(Clone)]
pub struct Connections {
    pool: PgPool,
    kept: Option<Arc<Kept>>,
    watched: Option<Watched>,
}

#[derive(Clone)]
pub(super) struct Watched {
    pub(super) breaker: Breaker,
    pub(super) doubt: Arc<Doubt>,
    /// Seconds until a connection was had.
    pub(super) waits: Histogram,
}

impl From<PgPool> for Connections {
    /// Without a breaker; each goes back to the pool after its statement.
    fn from(pool: PgPool) -> Self {
        Self { pool, kept: None, watched: None }
    }
}

impl Deref for Connections {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let breaker = self.watched.as_ref().map(|watched| &watched.breaker);
        f.debug_struct("Connections").field("pool", &self.pool).field("breaker", &breaker).finish()
    }
}

impl Connections {
    pub(super) fn watched(pool: PgPool, watched: Watched) -> Self {
        Self { watched: Some(watched), ..Self::kept(pool) }
    }

    /// Without a breaker, and kept from one statement to the next. Whoever closes the pool drops this before.
    #[must_use]
    pub fn kept(pool: PgPool) -> Self {
        Self { kept: Kept::of(&pool).map(Arc::new), pool, watched: None }
    }

    /// Gives back to the pool what was not used for a while: to be called again and again.
    pub fn give_back_old(&self) {
        if let Some(kept) = &self.kept {
            kept.give_back_old();
        }
    }

    /// Closes the pool, waiting for connections that are in use.
    pub async fn close(&self) {
        let closing = self.pool.close();
        if let Some(kept) = &self.kept {
            kept.give_back_all();
        }
        closing.await;
    }

    /// What watches over it.
    pub(super) const fn guard(&self) -> Option<&Watched> {
        self.watched.as_ref()
    }

    /// Whether the database is known to be away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| !watched.breaker.is_closed())
    }

    /// A connection, for as long as it is held.
    ///
    /// # Errors
    /// When the database is away or goes away meanwhile, or no connection can be had in time.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.had(self.pool.acquire()).await
    }

    /// A connection for one statement.
    async fn hold(&self) -> Result<Held<'_>, sqlx::Error> {
        let Some(kept) = &self.kept else { return self.acquire().await.map(Held::once) };
        let doubt = self.watched.as_ref().map(|watched| &watched.doubt);
        self.had(kept.hold(&self.pool, |since| doubt.is_some_and(|doubt| doubt.is_about(since)))).await
    }

    /// A connection that is being had, unless the database is away or goes away meanwhile.
    async fn had<T>(&self, having: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let Some(watched) = &self.watched else { return having.await };
        let started = Instant::now();
        let had = self.while_there(having).await;
        watched.waits.observe(started.elapsed().as_secs_f64());
        had.map_err(|error| {
            if is_away(&error) {
                return error;
            }
            self.doubt();
            if is_unexplained(&error) { away(Some(error)) } else { error }
        })
    }

    /// A transaction.
    ///
    /// # Errors
    /// As [`Connections::acquire`].
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        Transaction::begin(MaybePoolConnection::PoolConnection(self.acquire().await?), None).await
    }

    /// Asks the database, unless it is away or goes away meanwhile. For what takes a pool as it is and loses nothing by
    /// being dropped.
    ///
    /// # Errors
    /// The asking's own, and that the database is away.
    pub async fn while_there<T, E: From<sqlx::Error>>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(Watched { breaker, .. }) = &self.watched else { return asking.await };
        if !breaker.is_closed() {
            return Err(away(None).into());
        }
        tokio::select! {
            biased;
            answered = asking => answered,
            () = breaker.opened() => Err(away(None).into()),
        }
    }

    /// Something went wrong that may be the connection's end.
    pub fn doubt(&self) {
        if let Some(watched) = &self.watched {
            watched.doubt.raise();
        }
    }

    /// What a statement is answered, unless the database goes away meanwhile.
    async fn answered<T>(&self, asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let Some(Watched { breaker, .. }) = &self.watched else { return asked.await };
        let answered = tokio::select! {
            biased;
            answered = asked => answered,
            () = breaker.opened() => Err(lost()),
        };
        if answered.as_ref().is_err_and(is_unexplained) {
            self.doubt();
        }
        answered
    }
}

/// Rows are gathered before they are handed on, so that the connection is free as soon as it can be; what requests read
/// is bounded.
impl<'p> Executor<'p> for &'p Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answered = async move {
            let mut held = self.hold().await?;
            let rows: Vec<_> = self.answered(held.connection().fetch_many(query).try_collect()).await?;
            held.keep(&self.pool);
            Ok(stream::iter(rows.into_iter().map(Ok)))
        };
        answered.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answered = async move {
            let mut held = self.hold().await?;
            let row = self.answered(held.connection().fetch_optional(query)).await?;
            held.keep(&self.pool);
            Ok(row)
        };
        answered.boxed()
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement<'q>, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.describe(sql).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::Limits;

    /// Of a database that there is not.
    fn connections() -> (Connections, Breaker) {
        let breaker = Breaker::new("test", Limits { failures: 1, cool_down: Duration::from_secs(60) });
        let pool = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_secs(30));
        let pool = pool.connect_lazy("postgres://127.0.0.1:1/nowhere").unwrap();
        let watched = Watched { breaker: breaker.clone(), doubt: Arc::default(), waits: Histogram::new([1.0]) };
        (Connections::watched(pool, watched), breaker)
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_not_asked() {
        let (connections, breaker) = connections();
        breaker.failed(Instant::now());
        let started = Instant::now();
        let refused = sqlx::query("select 1").execute(&connections).await.unwrap_err();
        assert!(is_away(&refused) && connections.is_away(), "{refused}");
        assert!(is_away(&connections.begin().await.err().unwrap()));
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn who_waits_when_it_goes_away_waits_no_longer() {
        let (connections, breaker) = connections();
        let waiting = tokio::spawn(async move { sqlx::query("select 1").execute(&connections).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "a connection that is refused is tried again");
        breaker.failed(Instant::now());
        let refused = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap().unwrap_err();
        assert!(is_away(&refused), "{refused}");
    }

    #[tokio::test]
    async fn what_was_asked_when_it_went_away_may_have_been_done() {
        let (connections, breaker) = connections();
        let asked = connections.answered(std::future::pending::<Result<(), _>>());
        let (answered, ()) = tokio::join!(asked, async { breaker.failed(Instant::now()) });
        let error = answered.unwrap_err();
        assert!(is_unexplained(&error) && !is_away(&error), "{error}");
    }

    #[test]
    fn another_error_does_not_say_that_it_is_away() {
        let reset = sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
        assert!(!is_away(&reset) && !is_away(&sqlx::Error::PoolTimedOut));
    }

    #[test]
    fn a_doubt_is_about_what_has_been_idle_since_before_it() {
        let doubt = Doubt::default();
        assert!(!doubt.is_about(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        doubt.note();
        assert!(doubt.is_about(Duration::from_millis(10)));
        std::thread::sleep(Duration::from_millis(20));
        assert!(doubt.is_about(Duration::from_millis(30)) && !doubt.is_about(Duration::from_millis(5)));
    }
}
