//! How much of a request's time went to the databases, and for how many statements.
//!
//! sqlx tells of every statement when it has ended, in the task that ran it. What is told inside of [`counted`] is added
//! up there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Instrument, Span, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Where sqlx tells of statements.
const TARGET: &str = "sqlx::query";
const ELAPSED: &str = "elapsed_secs";

tokio::task_local! {
    static COUNTED: Counted;
}

/// Where statements are counted, and within which span their lines are written.
#[derive(Clone)]
struct Counted {
    used: Arc<DatabaseUse>,
    span: Span,
}

/// What was asked of the databases.
#[derive(Debug, Default)]
pub struct DatabaseUse {
    statements: AtomicU64,
    nanoseconds: AtomicU64,
}

impl DatabaseUse {
    /// How many statements have ended.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// How long they took, one after another.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    fn add(&self, elapsed: Duration) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Does the work, and counts its statements; not those of tasks that it spawns.
pub async fn counted<T>(used: Arc<DatabaseUse>, work: impl Future<Output = T>) -> T {
    COUNTED.scope(Counted { used, span: Span::current() }, work).await
}

/// Work for a task of its own, whose statements count where this is called, and are told of within the span in which
/// counting began: spans inside of that need not be among those that the log has.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let counting = COUNTED.try_with(Counted::clone);
    async move {
        match counting {
            Ok(Counted { used, span }) => counted(used, work).instrument(span).await,
            Err(_) => work.await,
        }
    }
}

/// Adds up what sqlx tells.
pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let statements = filter_fn(|metadata| metadata.target() == TARGET);
    Counting.with_filter(statements.with_max_level_hint(LevelFilter::DEBUG))
}

struct Counting;

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut elapsed = Elapsed(None);
        event.record(&mut elapsed);
        if let Some(elapsed) = elapsed.0 {
            // Outside of a count it is nobody's.
            let _ = COUNTED.try_with(|counted| counted.used.add(elapsed));
        }
    }
}

struct Elapsed(Option<Duration>);

impl Visit for Elapsed {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == ELAPSED {
            self.0 = Duration::try_from_secs_f64(value).ok();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn tell(seconds: f64) {
        tracing::debug!(target: "sqlx::query", elapsed_secs = seconds, summary = "select 1");
    }

    #[tokio::test]
    async fn statements_are_added_up_where_they_are_counted() {
        let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer()));
        tell(8.0);
        let used = Arc::new(DatabaseUse::default());
        let work = async {
            tell(0.25);
            tracing::debug!(elapsed_secs = 4.0, "something else");
            tracing::warn!(target: "sqlx::query", elapsed_secs = 0.5, "slow statement");
            tokio::task::yield_now().await;
            tell(1.0);
        };
        counted(Arc::clone(&used), work).await;
        tell(16.0);
        assert_eq!((used.statements(), used.time()), (3, Duration::from_millis(1750)));
    }

    #[tokio::test]
    async fn statements_of_a_task_are_added_up_where_it_was_made() {
        let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer()));
        let used = Arc::new(DatabaseUse::default());
        let work = async {
            let task = tokio::spawn(carried(async { tell(0.5) }));
            tokio::spawn(async { tell(4.0) }).await.unwrap();
            task.await.unwrap();
        };
        counted(Arc::clone(&used), work).await;
        tokio::spawn(carried(async { tell(8.0) })).await.unwrap();
        assert_eq!((used.statements(), used.time()), (1, Duration::from_millis(500)));
    }
}
