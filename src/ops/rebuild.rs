//! `rebuild`: read models made anew from the log, with a progress bar. Ctrl-C cancels it; a service beside it may be the
//! one that does the work.

use std::time::Duration;

use aggregates::ids::CustomerId;
use indicatif::{ProgressBar, ProgressStyle};
use projections::Projection;
use projections::rebuilds::{self, Phase, Rebuild};
use projections::replace::Replaced;
use tokio_util::sync::CancellationToken;

use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::config;
use crate::databases::Databases;
use crate::replay::{Replay, ReplayError};

const LOOK_EVERY: Duration = Duration::from_millis(200);
const TAKE_UP_EVERY: Duration = Duration::from_millis(500);
/// For a service to take a rebuild up.
const GIVEN_TIME: Duration = Duration::from_secs(3);

/// Rebuilds read models, or one customer in them, or stops a rebuild.
///
/// # Errors
/// [`OpsError`], when it failed, was cancelled, or another one is under way.
pub async fn rebuild(config: &config::Rebuild) -> Result<(), OpsError> {
    let chosen = config.names.chosen();
    with_databases(&config.store, Schema::Migrate, async |databases| match config.customer {
        _ if config.cancel => cancel(databases, &chosen).await,
        Some(customer) => rebuild_customer(databases, &chosen, customer).await,
        None => rebuild_all(databases, &chosen).await,
    })
    .await
}

async fn cancel(databases: &Databases, chosen: &[Projection]) -> Result<(), OpsError> {
    for projection in chosen {
        if let Some(cancelled) = rebuilds::cancel(&databases.read_models, *projection).await? {
            say(format_args!("rebuild {} is being cancelled", cancelled.rebuild_id));
            // Where nobody works on it, nobody else would end it.
            return match databases.replay().take_up(&CancellationToken::new()).await {
                Ok(()) | Err(ReplayError::Cancelled) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
    }
    match rebuilds::unfinished(&databases.read_models).await? {
        Some(other) => Err(OpsError::OtherRebuild(other.projections.join(", "))),
        None => Err(OpsError::NoRebuild),
    }
}

async fn rebuild_customer(databases: &Databases, chosen: &[Projection], customer: CustomerId) -> Result<(), OpsError> {
    for projection in chosen {
        match databases.replay().rebuild_customer(*projection, customer).await? {
            Replaced::Done => say(format_args!("{projection}: customer {customer} is rebuilt")),
            Replaced::Failed(failure) => return Err(OpsError::CustomerFailed(failure.error)),
            Replaced::Refused(error) => return Err(OpsError::CustomerFailed(error)),
        }
    }
    Ok(())
}

async fn rebuild_all(databases: &Databases, chosen: &[Projection]) -> Result<(), OpsError> {
    if let Some(requested) = rebuilds::request(&databases.read_models, chosen).await? {
        return see_through(databases, requested).await;
    }
    let left = left_by_others(databases).await?.ok_or(OpsError::RebuildUnderWay)?;
    let names = left.projections.join(", ");
    say(format_args!("going on with rebuild {} of {names}, on which nobody works", left.rebuild_id));
    let done = left.known_projections();
    see_through(databases, left).await?;
    let missing: Vec<Projection> = chosen.iter().filter(|projection| !done.contains(projection)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let requested = rebuilds::request(&databases.read_models, &missing).await?;
    see_through(databases, requested.ok_or(OpsError::RebuildUnderWay)?).await
}

/// The unfinished rebuild, if nobody works on it, nor is about to: a service that runs takes it up within a second.
async fn left_by_others(databases: &Databases) -> Result<Option<Rebuild>, OpsError> {
    for pause in [GIVEN_TIME, Duration::ZERO] {
        if databases.replay().lock().await?.is_none() {
            return Ok(None);
        }
        tokio::time::sleep(pause).await;
    }
    Ok(rebuilds::unfinished(&databases.read_models).await?)
}

/// Works on a rebuild, or watches who does, until it has ended.
async fn see_through(databases: &Databases, requested: Rebuild) -> Result<(), OpsError> {
    let chosen = requested.known_projections();
    let stop = CancellationToken::new();
    let working = tokio::spawn(work(databases.replay(), stop.clone()));
    let ended = follow(databases, requested, &chosen).await;
    stop.cancel();
    // What it has to say it has logged.
    let _ = working.await;
    let Rebuild { phase, events, error, requested_at, finished_at, .. } = ended?;
    match phase {
        Phase::Done => {
            let seconds = finished_at.map_or(0, |at| (at - requested_at).num_seconds());
            say(format_args!("rebuilt from {events} events in {seconds} s; the new tables serve"));
            Ok(())
        }
        Phase::Cancelled => Err(OpsError::RebuildCancelled),
        Phase::Waiting
        | Phase::Filling
        | Phase::Checking
        | Phase::Indexing
        | Phase::CatchingUp
        | Phase::Swapping
        | Phase::Failed => Err(OpsError::RebuildFailed(error.unwrap_or_default())),
    }
}

/// Works on the rebuild wherever no other process does.
async fn work(replay: Replay, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = replay.take_up(&stop).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the rebuild did not come to its end");
        }
        stop.run_until_cancelled(tokio::time::sleep(TAKE_UP_EVERY)).await;
    }
}

/// Shows how far it is until it has ended.
async fn follow(databases: &Databases, requested: Rebuild, chosen: &[Projection]) -> Result<Rebuild, OpsError> {
    let bar = bar();
    let asked = asked_to_stop();
    tokio::pin!(asked);
    let mut cancelling = false;
    let mut rebuild = requested;
    while rebuild.finished_at.is_none() {
        show(&bar, &rebuild);
        tokio::select! {
            () = &mut asked, if !cancelling => {
                cancelling = true;
                if let Some(projection) = chosen.first() {
                    rebuilds::cancel(&databases.read_models, *projection).await?;
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let found = rebuilds::find(&databases.read_models, rebuild.rebuild_id).await?;
        rebuild = found.ok_or(OpsError::NoRebuild)?;
    }
    bar.finish_and_clear();
    Ok(rebuild)
}

fn show(bar: &ProgressBar, rebuild: &Rebuild) {
    bar.set_length(u64::try_from(rebuild.events_total.unwrap_or(0)).unwrap_or(0));
    bar.set_position(u64::try_from(rebuild.events).unwrap_or(0));
    let left = rebuild.seconds_left().map(|seconds| format!(", {seconds} s left")).unwrap_or_default();
    bar.set_message(match rebuild.phase {
        Phase::Waiting => "waiting for the log to settle".to_owned(),
        Phase::Filling => format!("{} events/s{left}", rebuild.events_per_second),
        Phase::Checking => "comparing checksums".to_owned(),
        Phase::Indexing => "making indexes".to_owned(),
        Phase::CatchingUp => "catching up".to_owned(),
        Phase::Swapping => "swapping the tables".to_owned(),
        Phase::Done | Phase::Failed | Phase::Cancelled => String::new(),
    });
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("rebuild {bar:40} {pos}/{len} events, {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(LOOK_EVERY);
    bar
}
