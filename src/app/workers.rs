//! The tasks of a process, and how to stop them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that work until they are told to stop.
#[derive(Default)]
pub(super) struct Workers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Workers {
    /// Starts one, with what tells it to stop.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(CancellationToken) -> F) {
        self.tasks.spawn(task(self.stop.clone()));
    }

    /// Tells all of them, and waits for so long at most.
    pub(super) async fn stop(self, at_most: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(at_most, self.tasks.wait()).await.is_err() {
            tracing::warn!("some workers were still running after {at_most:?}");
        }
    }
}
