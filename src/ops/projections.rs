//! `projections`, `parked` and `redrive`: how the read models stand, what is parked in them, and trying that again.

use projections::{Projection, Target, parked};

use super::{OpsError, Schema, say, with_databases};
use crate::config;
use crate::databases::Databases;
use crate::status::{ProjectionStatus, Status, status};

/// Parked customers that are listed for each read model.
const MAX_LISTED: i64 = 1000;

/// Prints how the read models stand.
///
/// # Errors
/// [`OpsError`].
pub async fn projections(config: &config::Projections) -> Result<(), OpsError> {
    let status = with_databases(&config.store, Schema::AsItIs, async |databases| {
        Ok(status(&databases.log, &databases.read_models).await?)
    })
    .await?;
    if config.json {
        say(serde_json::to_string_pretty(&status)?);
    } else {
        print(&status);
    }
    Ok(())
}

fn print(status: &Status) {
    say(format_args!("log at {}", status.log.head));
    for appender in &status.log.waiting_for {
        let name = appender.application.as_deref().unwrap_or("somebody");
        let pid = appender.pid.map_or_else(|| "prepared".to_owned(), |pid| pid.to_string());
        say(format_args!("waiting for {name} ({pid}), about to append for {} s", appender.seconds));
    }
    for item in &status.items {
        print_projection(item);
    }
}

fn print_projection(item: &ProjectionStatus) {
    say(format_args!(
        "\n{:<16} {:<12} lag {} events, {} s; {} parked; {} events/s",
        item.name, item.state, item.lag_events, item.lag_seconds, item.parked, item.events_per_second
    ));
    if let Some(rebuild) = &item.rebuild {
        let phase = serde_json::to_value(rebuild.phase).ok();
        let phase = phase.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        let total = rebuild.events_total.unwrap_or(0);
        let error = rebuild.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        say(format_args!("  rebuild {} {phase}, {} of {total} events{error}", rebuild.rebuild_id, rebuild.events));
    }
    for partition in &item.partitions {
        let heartbeat =
            partition.heartbeat_age_seconds.map_or_else(|| "never".to_owned(), |age| format!("{age} s ago"));
        say(format_args!(
            "  {} {:<12} at {:<10} lag {} events, {} s; heartbeat {heartbeat}, {}",
            partition.partition,
            partition.state,
            partition.checkpoint,
            partition.lag_events,
            partition.lag_seconds,
            partition.process.as_deref().unwrap_or("nobody")
        ));
    }
}

/// Lists the parked customers.
///
/// # Errors
/// [`OpsError`].
pub async fn parked(config: &config::Parked) -> Result<(), OpsError> {
    let listed = with_databases(&config.store, Schema::AsItIs, async |databases| {
        let mut listed = Vec::new();
        for projection in config.names.chosen() {
            let target = Target::Live(projection);
            let found = parked::list(&databases.read_models, target, 0, i64::MAX, MAX_LISTED).await?;
            listed.extend(found.into_iter().map(|parked| (projection, parked)));
        }
        Ok(listed)
    })
    .await?;
    for (projection, parked) in &listed {
        let parked::Parked { customer_id, position, event_type, error, attempts, parked_at, .. } = parked;
        say(format_args!("{projection}: customer {customer_id}, parked since {parked_at} at position {position}"));
        say(format_args!("  {event_type}, tried {attempts} times: {error}"));
    }
    if listed.is_empty() {
        say("nothing is parked");
    }
    Ok(())
}

/// Tries parked customers again.
///
/// # Errors
/// [`OpsError::StillParked`] when some cannot go on.
pub async fn redrive(config: &config::Redrive) -> Result<(), OpsError> {
    let still_parked = with_databases(&config.store, Schema::Migrate, async |databases| {
        let mut still_parked = 0;
        for projection in config.names.chosen() {
            still_parked += redrive_one(databases, projection, config).await?;
        }
        Ok(still_parked)
    })
    .await?;
    if still_parked > 0 { Err(OpsError::StillParked(still_parked)) } else { Ok(()) }
}

async fn redrive_one(
    databases: &Databases,
    projection: Projection,
    config: &config::Redrive,
) -> Result<usize, OpsError> {
    let outcome = databases.replay().redrive(projection, config.customer).await?;
    for parked in &outcome.parked {
        say(format_args!(
            "{projection}: customer {} at position {}: {}",
            parked.customer_id, parked.position, parked.error
        ));
    }
    let more = if outcome.more { "; there are more, run it again" } else { "" };
    let (on, still) = (outcome.redriven.len(), outcome.parked.len());
    say(format_args!("{projection}: {on} customers go on, {still} stay parked{more}"));
    Ok(still)
}
