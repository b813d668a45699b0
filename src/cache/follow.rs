//! Following what can make an entry stale: the log, and rows that are replaced by other means than events.
//!
//! Each has a connection of its own, so that no load on the pools delays it, and whatever happens to that connection ends
//! what was known: it may lead to another server next, or to one that has lost its last commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use projections::{Partition, Projection, replaced};
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ProfileCache;
use crate::bus::wake::{Follower, Wake};
use crate::store::reader::last_in_partition;
use crate::store::tail::{LogTail, Tailed, settled_head};

const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// Nothing that is asked here takes long; a connection that is only thought to be there never answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AT_READ_MODELS: Duration = Duration::from_millis(500);
/// Between two looks at a log that grows: what is not followed yet is answered by the database.
const REST: Duration = Duration::from_millis(5);
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Why following was interrupted; it is taken up again.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the database did not answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    #[error("the connection was lost")]
    Lost,
    #[error("transactions that may still append do not end")]
    Unsettled,
}

/// Follows the log, until stopped.
pub async fn follow_log(cache: Arc<ProfileCache>, log: PgPool, wake: Wake, stop: CancellationToken) {
    let following = async {
        loop {
            let Err(interrupted) = follow(&cache, &log, &wake).await;
            cache.lose_log();
            tracing::debug!(%interrupted, "the cache lost sight of the log");
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    stop.run_until_cancelled(following).await;
}

async fn follow(cache: &ProfileCache, log: &PgPool, wake: &Wake) -> Result<std::convert::Infallible, Interrupted> {
    let connections = Arc::new(AtomicU64::new(0));
    let own = connection(log, &connections);
    let head = timeout(ANSWER_WITHIN, settled_head(&own, SETTLE_WITHIN)).await??.ok_or(Interrupted::Unsettled)?;
    let mut last = Vec::new();
    for partition in Partition::all() {
        last.push((partition, timeout(ANSWER_WITHIN, last_in_partition(&own, partition, head)).await??));
    }
    cache.follow_from(head, &last);
    let mut tail = LogTail::new(own, head);
    loop {
        let began = Instant::now();
        let tailed = timeout(ANSWER_WITHIN, tail.next_touched()).await??;
        if connections.load(Ordering::SeqCst) > 1 {
            return Err(Interrupted::Lost);
        }
        if let Tailed::Events(touched) = &tailed {
            cache.follow(touched, tail.position());
        }
        if tail.is_level() {
            cache.saw_log(began);
        }
        match tailed {
            Tailed::Events(_) => tokio::time::sleep(REST).await,
            Tailed::AtHead => wake.wait(Follower::Cache).await,
            Tailed::Held(pause) => tokio::time::sleep(pause).await,
        }
    }
}

/// One connection to a pool's server; `connections` counts those that it has been.
fn connection(pool: &PgPool, connections: &Arc<AtomicU64>) -> PgPool {
    let counted = Arc::clone(connections);
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER_WITHIN)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        })
        .connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// Watches for rows that are replaced, until stopped.
pub async fn watch_read_models(cache: Arc<ProfileCache>, read_models: PgPool, stop: CancellationToken) {
    let watching = async {
        loop {
            let Err(interrupted) = watch(&cache, &read_models).await;
            cache.lose_read_models();
            tracing::debug!(%interrupted, "the cache lost sight of the read models");
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    stop.run_until_cancelled(watching).await;
}

async fn watch(cache: &ProfileCache, read_models: &PgPool) -> Result<std::convert::Infallible, Interrupted> {
    let connections = Arc::new(AtomicU64::new(0));
    let own = connection(read_models, &connections);
    let mut listener = timeout(ANSWER_WITHIN, PgListener::connect_with(&own)).await??;
    listener.eager_reconnect(false);
    timeout(ANSWER_WITHIN, listener.listen(replaced::CHANNEL)).await??;
    // What was kept before anybody listened may have been replaced since.
    cache.forget();
    let mut table = None;
    loop {
        let began = Instant::now();
        let now = timeout(ANSWER_WITHIN, replaced::table(&mut listener, Projection::CreditProfiles)).await??;
        if connections.load(Ordering::SeqCst) > 1 {
            return Err(Interrupted::Lost);
        }
        if table.replace(now).is_some_and(|before| before != now) {
            cache.forget();
        }
        cache.saw_read_models(began);
        // Without a word it is time to look whether the connection is still there.
        if let Ok(word) = timeout(LOOK_AT_READ_MODELS, listener.try_recv()).await {
            let word = word?.ok_or(Interrupted::Lost)?;
            if word.payload() == Projection::CreditProfiles.name() {
                cache.forget();
            }
        }
    }
}
