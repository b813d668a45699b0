//! `import`: workbooks into the log, with a progress bar, a summary and a file of what was not taken.

use super::progress::bar;
use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::commands::BusinessCalendar;
use crate::config;
use crate::databases::Databases;
use crate::import::report::Summary;
use crate::import::workbook::Source;
use crate::import::{Job, Stage};
use crate::store::EventLog;

/// Imports workbooks into the log of a running service, of `DATABASE_URL`, or of the data directory.
///
/// # Errors
/// [`OpsError`]; rejected rows are no error.
pub async fn import(config: &config::Import) -> Result<(), OpsError> {
    if let Some(missing) = [&config.customers, &config.loans].into_iter().flatten().find(|path| !path.is_file()) {
        return Err(OpsError::NoFile(missing.clone()));
    }
    let summary = with_databases(&config.store, Schema::Migrate, async |databases| {
        tokio::select! {
            summary = run(config, databases) => summary,
            () = asked_to_stop() => Err(OpsError::Stopped),
        }
    })
    .await?;
    say(summary);
    Ok(())
}

async fn run(config: &config::Import, databases: &Databases) -> Result<Summary, OpsError> {
    let job = Job {
        customers: config.customers.clone().map(Source::from),
        loans: config.loans.clone().map(Source::from),
        dry_run: config.dry_run,
        notices: Some(config.rejects.clone()),
        today: BusinessCalendar(config.store.business_utc_offset).today(),
        import: None,
    };
    let bar = bar("import", "rows");
    let summary = crate::import::import(&EventLog::new(databases.log.clone()), &job, |stage, rows, expected| {
        bar.set_message(match stage {
            Stage::Checking => "checking",
            Stage::Customers => "customers",
            Stage::Loans => "loans",
        });
        bar.set_length(expected);
        bar.set_position(rows);
    })
    .await?;
    bar.finish_and_clear();
    Ok(summary)
}
