//! What a start waits for: databases that are not there yet, because everything starts at once after a power cut, or
//! because one of them fails over. What waiting cannot mend, such as a wrong password, ends the start at once.

use std::time::{Duration, Instant};

use rand::RngExt;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Between two attempts; drawn, so that processes that started together do not come together.
const PAUSE_MILLISECONDS: std::ops::RangeInclusive<u64> = 250..=1000;

/// Connects, and again while that may come to work, for at most so long.
///
/// # Errors
/// The last attempt's.
pub async fn connected<T>(
    at_most: Duration,
    mut connect: impl AsyncFnMut() -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let until = Instant::now() + at_most;
    loop {
        let attempt = tokio::time::timeout(ATTEMPT, connect()).await;
        let error = match attempt.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        if !may_pass(&error) || Instant::now() >= until {
            return Err(error);
        }
        tracing::warn!(%error, "a database does not answer yet; trying again");
        tokio::time::sleep(pause()).await;
    }
}

/// A pause of random length.
#[must_use]
pub fn pause() -> Duration {
    Duration::from_millis(rand::rng().random_range(PAUSE_MILLISECONDS))
}

/// Whether the same attempt may work later: nobody answers there yet, or whoever does says that it is not the time.
fn may_pass(error: &sqlx::Error) -> bool {
    /// Starting up, shutting down, and too many connections.
    const NOT_NOW: [&str; 4] = ["57P01", "57P02", "57P03", "53300"];
    match error.as_database_error() {
        Some(refusal) => NOT_NOW.contains(&refusal.code().unwrap_or_default().as_ref()),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::connected;

    fn refused() -> sqlx::Error {
        sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_comes_is_waited_for() {
        let mut attempts = 0;
        let outcome = connected(Duration::from_secs(30), async || {
            attempts += 1;
            if attempts < 3 { Err(refused()) } else { Ok(attempts) }
        });
        assert_eq!(outcome.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let mut attempts = 0;
        let outcome: Result<(), _> = connected(Duration::ZERO, async || {
            attempts += 1;
            Err(refused())
        })
        .await;
        assert!(matches!(outcome, Err(sqlx::Error::Io(_))));
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn what_waiting_cannot_mend_is_not_waited_for() {
        let mut attempts = 0;
        let outcome: Result<(), _> = connected(Duration::from_secs(30), async || {
            attempts += 1;
            Err(sqlx::Error::Configuration("not an address".into()))
        })
        .await;
        assert!(matches!(outcome, Err(sqlx::Error::Configuration(_))));
        assert_eq!(attempts, 1);
    }
}
