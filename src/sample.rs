//! Sample data: generated workbooks, imported into an empty store by the same path as anybody's.

use std::path::Path;

use crate::commands::BusinessCalendar;
use crate::generate::{GenerateSpec, generate};
use crate::import::{ImportError, Job, import};
use crate::store::EventLog;
use crate::store::reader::head;

const DIRECTORY: &str = "sample";
/// There for as long as the sample data is not yet complete, so that a killed start goes on with it.
const UNFINISHED: &str = ".unfinished";
const IDS_ABOVE: u32 = 10_000;
/// Its ids leave the lower ones to whoever imports workbooks of their own beside it.
const SPEC: GenerateSpec = GenerateSpec { customers: 300, loans: 780, seed: 1, ids_above: IDS_ABOVE };
/// A customer of the sample data.
pub const SAMPLE_CUSTOMER: u32 = IDS_ABOVE + 1;

/// Fills an empty store, or finishes filling it.
///
/// # Errors
/// [`ImportError`]; what was imported until then stays and is finished next time.
pub async fn fill(log: &EventLog, calendar: BusinessCalendar, data_dir: &Path) -> Result<(), ImportError> {
    let directory = data_dir.join(DIRECTORY);
    let unfinished = directory.join(UNFINISHED);
    if !unfinished.exists() && head(log.pool()).await? > 0 {
        return Ok(());
    }
    tracing::info!(customers = SPEC.customers, loans = SPEC.loans, "filling the empty store with sample data");
    std::fs::create_dir_all(&directory).map_err(ImportError::Sample)?;
    std::fs::write(&unfinished, []).map_err(ImportError::Sample)?;
    let files = generate(&directory, SPEC)?;
    let job = Job {
        customers: Some(files.customers.into()),
        loans: Some(files.loans.into()),
        dry_run: false,
        notices: None,
        today: calendar.today(),
        import: None,
    };
    import(log, &job, |_, _, _| {}).await?;
    std::fs::remove_file(&unfinished).map_err(ImportError::Sample)
}
