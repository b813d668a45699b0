//! Keeps an eye on rebuilds: asks for one where an earlier version of the product made a read model, and takes up what
//! nobody works on, be it new or left by a process that died. And now and then it redrives whoever is parked because an
//! event could not be read: this build may be the one that can, and an older one, not yet stopped, that parks them.

use std::time::{Duration, Instant};

use aggregates::ids::CustomerId;
use chrono::{TimeDelta, Utc};
use projections::rebuilds::Phase;
use projections::{Projection, Target, checkpoint, parked, rebuilds};
use tokio_util::sync::CancellationToken;

use super::{Replay, ReplayError};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a rebuild that nobody asked for is left alone after it failed or was cancelled.
const ASK_AGAIN_AFTER: TimeDelta = TimeDelta::minutes(10);
const REDRIVE_EVERY: Duration = Duration::from_secs(60);
const REDRIVEN_AT_ONCE: i64 = 100;

/// Watches until stopped.
pub async fn watch(replay: Replay, stop: CancellationToken) {
    let mut redriven: Option<Instant> = None;
    while !stop.is_cancelled() {
        if let Err(error) = look(&replay, &stop).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "a rebuild did not come to its end");
        }
        if redriven.is_none_or(|at| at.elapsed() >= REDRIVE_EVERY) {
            redriven = Some(Instant::now());
            stop.run_until_cancelled(redrive_unreadable(&replay)).await;
        }
        stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
    }
}

async fn redrive_unreadable(replay: &Replay) {
    for projection in Projection::ALL {
        if let Err(error) = redrive_unreadable_in(replay, projection).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, %projection, "parked customers could not be redriven");
        }
    }
}

async fn redrive_unreadable_in(replay: &Replay, projection: Projection) -> Result<(), ReplayError> {
    let parked = parked::unreadable(&replay.read_models, Target::Live(projection), REDRIVEN_AT_ONCE).await?;
    for id in parked {
        let Ok(customer) = CustomerId::try_from(id) else { continue };
        replay.redrive(projection, Some(customer)).await?;
    }
    Ok(())
}

async fn look(replay: &Replay, stop: &CancellationToken) -> Result<(), ReplayError> {
    if rebuilds::unfinished(&replay.read_models).await?.is_none() {
        let outdated = made_by_earlier_versions(replay).await?;
        if outdated.is_empty() || rebuilds::request(&replay.read_models, &outdated).await?.is_none() {
            return Ok(());
        }
        tracing::info!(?outdated, "an earlier version made these read models; rebuilding them in the background");
    }
    replay.take_up(stop).await
}

async fn made_by_earlier_versions(replay: &Replay) -> Result<Vec<Projection>, ReplayError> {
    let checkpoints = checkpoint::load_all(&replay.read_models).await?;
    let is_outdated = |projection: &Projection| {
        checkpoints.iter().any(|(of, _, checkpoint)| of == projection && checkpoint.version < projection.version())
    };
    let mut outdated = Vec::new();
    for projection in Projection::ALL.into_iter().filter(is_outdated) {
        let latest = rebuilds::latest(&replay.read_models, projection).await?;
        let gave_up = latest.filter(|latest| matches!(latest.phase, Phase::Failed | Phase::Cancelled));
        let lately = gave_up.and_then(|latest| latest.finished_at).is_some_and(|at| Utc::now() - at < ASK_AGAIN_AFTER);
        if !lately {
            outdated.push(projection);
        }
    }
    Ok(outdated)
}

impl Replay {
    /// Works on the unfinished rebuild, if there is one and nobody else works on it.
    ///
    /// # Errors
    /// [`ReplayError`], when it failed or was interrupted.
    pub async fn take_up(&self, stop: &CancellationToken) -> Result<(), ReplayError> {
        let Some(lock) = self.lock().await? else { return Ok(()) };
        // It may have ended while the lock was being had.
        let Some(rebuild) = rebuilds::unfinished(&self.read_models).await? else { return Ok(()) };
        self.run(rebuild, lock, stop).await
    }
}
