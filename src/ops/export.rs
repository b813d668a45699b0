//! `export`: the log into a file, with a progress bar.

use std::path::Path;

use super::progress::{bar, show};
use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::backup::export::{Exported, export as export_log};
use crate::backup::output::Destination;
use crate::config;
use crate::databases::Databases;

/// Exports the log of a running service, of `DATABASE_URL`, or of the data directory.
///
/// # Errors
/// [`OpsError`].
pub async fn export(config: &config::Export) -> Result<(), OpsError> {
    let destination = match config.file.as_path() {
        stdout if stdout == Path::new("-") => Destination::Stdout,
        file => Destination::File(file.to_owned()),
    };
    let exported = with_databases(&config.store, Schema::AsItIs, async |databases| {
        tokio::select! {
            exported = run(databases, &destination) => exported,
            () = asked_to_stop() => Err(match destination {
                Destination::Stdout => OpsError::Interrupted,
                Destination::File(_) => OpsError::Stopped,
            }),
        }
    })
    .await?;
    if let Destination::File(path) = destination {
        tell(&path, &exported);
    }
    Ok(())
}

fn tell(path: &Path, exported: &Exported) {
    let Exported { header, found, imported_rows, answers, api_keys, trailer } = exported;
    let found = if *found > 0 { format!(" ({found} were there from an earlier attempt)") } else { String::new() };
    say(format_args!("log       {}, up to position {}", header.log, header.head));
    say(format_args!("exported  {} events{found}", header.events));
    say(format_args!("beside    {imported_rows} rows of workbooks, {answers} answers, {api_keys} keys"));
    say(format_args!("file      {}, {} lines and a trailer, sha256 {}", path.display(), trailer.lines, trailer.sha256));
}

async fn run(databases: &Databases, destination: &Destination) -> Result<Exported, OpsError> {
    let bar = bar("export", "events");
    let exported = export_log(&databases.log, destination, |done, total| show(&bar, done, total)).await?;
    bar.finish_and_clear();
    Ok(exported)
}
