//! How an import is shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::import::jobs;
use crate::import::report::{Notice, Tally};

/// An import of workbooks.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "id": 12, "state": "running", "dry_run": false, "cancel_requested": false,
    "customers": {
        "name": "customer_data.xlsx", "bytes": 21504,
        "read": 300, "imported": 299, "renumbered": 0, "unchanged": 0, "rejected": 1,
    },
    "loans": {
        "name": "loan_data.xlsx", "bytes": 61440,
        "read": 500, "imported": 500, "renumbered": 18, "unchanged": 0, "rejected": 0,
    },
    "progress": {"stage": "loans", "rows_done": 800, "rows_total": 1082, "rows_per_second": 4200},
    "warnings": 3, "notices_kept": 4, "error": null,
    "created_at": "2026-03-31T09:30:00+00:00", "started_at": "2026-03-31T09:30:01+00:00", "ended_at": null,
})))]
pub(super) struct Import {
    id: i64,
    /// `waiting` for an importer, `running`, or ended: `done`, `failed` or `cancelled`. Of an import that failed or
    /// was cancelled, what was imported until then stays.
    #[schema(pattern = "^(waiting|running|done|failed|cancelled)$")]
    state: &'static str,
    /// Whether everything is checked and nothing written. The counts are then of what would have become of the rows.
    dry_run: bool,
    /// Whether somebody asked to stop it.
    cancel_requested: bool,
    /// Null where none was uploaded.
    customers: Option<Workbook>,
    /// Null where none was uploaded.
    loans: Option<Workbook>,
    progress: Progress,
    /// Rows that were taken although something about them is odd; `rejects?kind=warning` lists them.
    warnings: i64,
    /// Rejects and warnings that `rejects` lists: the first 100,000. Beyond them they are only counted.
    notices_kept: i64,
    /// Why it failed. Of an import that is to go on, what interrupted it last.
    error: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

/// A workbook of an import, and what has become of its rows so far.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportWorkbook)]
struct Workbook {
    /// Its file name.
    name: String,
    /// Its size.
    bytes: i64,
    /// Rows that were not blank.
    read: u64,
    /// Rows that are new.
    imported: u64,
    /// Of the new ones, those that got another id and keep their own as `external_id`.
    renumbered: u64,
    /// Rows that had been imported before.
    unchanged: u64,
    /// Rows that were not taken.
    rejected: u64,
}

/// How far an import has come.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportProgress)]
struct Progress {
    /// `checking` (both workbooks are read through, nothing is written), `customers` or `loans`; null before it began.
    #[schema(pattern = "^(checking|customers|loans)$")]
    stage: Option<&'static str>,
    /// Rows that are done, of both workbooks; while they are checked, rows that were read.
    rows_done: i64,
    /// Rows of both workbooks; null until they have been read through.
    rows_total: Option<i64>,
    /// Rows done a second in this stage.
    rows_per_second: i64,
}

impl From<jobs::Workbook> for Workbook {
    fn from(workbook: jobs::Workbook) -> Self {
        let jobs::Workbook { name, bytes, tally } = workbook;
        let Tally { read, imported, renumbered, unchanged, rejected } = tally;
        Self { name, bytes, read, imported, renumbered, unchanged, rejected }
    }
}

impl From<jobs::Import> for Import {
    fn from(import: jobs::Import) -> Self {
        Self {
            id: import.id,
            state: import.state.name(),
            dry_run: import.dry_run,
            cancel_requested: import.cancel_requested,
            customers: import.customers.map(Workbook::from),
            loans: import.loans.map(Workbook::from),
            progress: Progress {
                stage: import.stage.map(crate::import::Stage::name),
                rows_done: import.rows_done,
                rows_total: import.rows_total,
                rows_per_second: import.rows_per_second,
            },
            warnings: import.warnings,
            notices_kept: import.notices_kept,
            error: import.error,
            created_at: import.created_at.to_rfc3339(),
            started_at: import.started_at.map(|at| at.to_rfc3339()),
            ended_at: import.ended_at.map(|at| at.to_rfc3339()),
        }
    }
}

/// A page of imports, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "id": 12, "state": "waiting", "dry_run": true, "cancel_requested": false,
    "customers": {"name": "customer_data.xlsx", "bytes": 21504, "read": 0, "imported": 0, "renumbered": 0,
                  "unchanged": 0, "rejected": 0},
    "loans": null,
    "progress": {"stage": null, "rows_done": 0, "rows_total": null, "rows_per_second": 0},
    "warnings": 0, "notices_kept": 0, "error": null,
    "created_at": "2026-03-31T09:30:00+00:00", "started_at": null, "ended_at": null,
}], "next_cursor": "c1.12"})))]
pub(super) struct ImportList {
    pub(super) items: Vec<Import>,
    /// Continues the list; null on its last page.
    pub(super) next_cursor: Option<String>,
}

/// A row that was not taken, or was although something about it is odd.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "kind": "reject", "workbook": "loan_data.xlsx", "sheet": "Sheet1", "row": 17, "column": "Loan Amount",
    "reason": "must not be negative (found '-5')",
})))]
pub(super) struct Reject {
    /// `reject` or `warning`.
    #[schema(pattern = "^(reject|warning)$")]
    kind: &'static str,
    /// The workbook's file name.
    workbook: String,
    /// The sheet's name.
    sheet: String,
    /// As the spreadsheet numbers it, from 1.
    row: u32,
    /// The column's title as it stands in the file; null where the row as a whole is meant.
    column: Option<String>,
    /// What is wrong or odd, without personal data.
    reason: String,
}

impl From<Notice> for Reject {
    fn from(notice: Notice) -> Self {
        let Notice { kind, workbook, sheet, row, column, reason } = notice;
        Self { kind: kind.name(), workbook, sheet, row, column, reason }
    }
}

/// A page of rejects and warnings, in the order of the rows.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "kind": "reject", "workbook": "loan_data.xlsx", "sheet": "Sheet1", "row": 17, "column": "Loan Amount",
    "reason": "must not be negative (found '-5')",
}], "next_cursor": null})))]
pub(super) struct RejectList {
    pub(super) items: Vec<Reject>,
    /// Continues the list; null on its last page.
    pub(super) next_cursor: Option<String>,
}
