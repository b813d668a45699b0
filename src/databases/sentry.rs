//! Whoever looks whether a database answers, over a connection of its own, and opens and closes its breaker.
//!
//! It looks every [`LOOK_EVERY`], at once when a request's connection broke, and often while the database is away. A
//! full pool or a long queue is nothing to it: the database is away when it takes no connection, and not before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio_util::sync::CancellationToken;

use super::connections::Doubt;
use super::is_unexplained;
use crate::breaker::{Breaker, Limits};

/// One failed look is enough: it has tried to connect anew. While it is away that is tried so often.
pub(super) const LIMITS: Limits = Limits { failures: 1, cool_down: Duration::from_millis(100) };
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Generous, since a database that is busy is not away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Looks after one database.
pub(super) struct Sentry {
    pub(super) options: PgConnectOptions,
    pub(super) breaker: Breaker,
    pub(super) doubt: Arc<Doubt>,
}

impl Sentry {
    /// Looks, until stopped.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let looking = async {
            let mut connection = None;
            loop {
                if self.breaker.may_try(Instant::now()) {
                    match self.answers(&mut connection).await {
                        true => self.breaker.succeeded(),
                        false => self.breaker.failed(Instant::now()),
                    }
                }
                self.pause().await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn pause(&self) {
        if self.breaker.is_closed() {
            // Time passing and a doubt are both reasons to look.
            let _ = tokio::time::timeout(LOOK_EVERY, self.doubt.raised()).await;
        } else {
            tokio::time::sleep(LIMITS.cool_down).await;
        }
    }

    async fn answers(&self, connection: &mut Option<PgConnection>) -> bool {
        if let Some(mut known) = connection.take() {
            if let Ok(Ok(())) = tokio::time::timeout(ANSWERS_WITHIN, known.ping()).await {
                *connection = Some(known);
                return true;
            }
            // Others that lie idle may have broken with it.
            self.doubt.note();
        }
        match tokio::time::timeout(ANSWERS_WITHIN, self.options.connect()).await {
            Ok(Ok(new)) => {
                *connection = Some(new);
                true
            }
            Ok(Err(error)) => !says_it_is_away(&error),
            Err(_) => false,
        }
    }
}

/// What says no for a reason, such as that there are too many connections, is there.
fn says_it_is_away(error: &sqlx::Error) -> bool {
    const STARTING_OR_STOPPING: &str = "57P03";
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    is_unexplained(error) || code.as_deref() == Some(STARTING_OR_STOPPING)
}
