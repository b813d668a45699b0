//! Waiting for what comes about by itself, for a bounded time.

use std::time::{Duration, Instant};

/// Beyond everything that the service takes its time for, on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What a look answers: whether it is so, or what is looked for, once it is there.
pub(crate) trait Look {
    type Found;

    fn found(self) -> Option<Self::Found>;
}

impl Look for bool {
    type Found = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Look for Option<T> {
    type Found = T;

    fn found(self) -> Option<T> {
        self
    }
}

/// Looks again and again until it is so; answers what was looked for.
pub(crate) async fn eventually<L: Look>(what: &str, look: impl AsyncFnMut() -> L) -> L::Found {
    eventually_within(what, PATIENCE, look).await
}

/// As [`eventually`], in a time of the caller's own.
pub(crate) async fn eventually_within<L: Look>(
    what: &str,
    at_most: Duration,
    mut look: impl AsyncFnMut() -> L,
) -> L::Found {
    let until = Instant::now() + at_most;
    loop {
        if let Some(found) = look().await.found() {
            return found;
        }
        assert!(Instant::now() < until, "not within {at_most:?}: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
