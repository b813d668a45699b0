//! `restore`: an export into an empty store, with a progress bar.

use super::progress::{bar, show};
use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::backup::restore::{Restored, Stage, restore as restore_log};
use crate::config;
use crate::databases::Databases;

/// Restores into `DATABASE_URL`, or into the data directory.
///
/// # Errors
/// [`OpsError`]; a store that is not empty is left as it is.
pub async fn restore(config: &config::Restore) -> Result<(), OpsError> {
    if !config.file.is_file() {
        return Err(OpsError::NoFile(config.file.clone()));
    }
    let restored = with_databases(&config.store, Schema::Restore, async |databases| {
        tokio::select! {
            restored = run(databases, config) => restored,
            () = asked_to_stop() => Err(OpsError::Stopped),
        }
    })
    .await?;
    let Restored { header, found } = restored;
    let found = if found > 0 { format!(" ({found} were there from an earlier attempt)") } else { String::new() };
    say(format_args!(
        "restored  {} events{found}, up to position {} of log {}",
        header.events, header.head, header.log
    ));
    say("next      start the service: its workers fold the read models from the log; then `verify`");
    Ok(())
}

async fn run(databases: &Databases, config: &config::Restore) -> Result<Restored, OpsError> {
    let bar = bar("checking", "events");
    let shown = bar.clone();
    let restored = restore_log(databases, &config.file, config.leave_unused, move |stage, done, total| {
        shown.set_message(match stage {
            Stage::Checking => "checking",
            Stage::Restoring => "restoring",
            Stage::Reserving => "reserving",
        });
        show(&shown, done, total);
    })
    .await
    .map_err(OpsError::Restore)?;
    bar.finish_and_clear();
    Ok(restored)
}
