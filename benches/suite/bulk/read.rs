//! Reading, and nothing done with it.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use calamine::{DataRef, Reader, Xlsx, open_workbook};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde_json::value::RawValue;
use sqlx::FromRow;
use sqlx::types::Json;

use crate::world::Database;

/// Every cell of both workbooks, one after the other; the seconds that it took.
pub(super) fn calamine_alone(workbooks: &Path) -> anyhow::Result<f64> {
    let started = Instant::now();
    for name in ["customer_data.xlsx", "loan_data.xlsx"] {
        let mut workbook: Xlsx<_> = open_workbook(workbooks.join(name))?;
        let sheet = workbook.sheet_names().first().cloned().context("a workbook without a sheet")?;
        let mut cells = workbook.worksheet_cells_reader(&sheet)?;
        while let Some(cell) = cells.next_cell()? {
            black_box(matches!(cell.get_value(), DataRef::Empty));
        }
    }
    Ok(started.elapsed().as_secs_f64())
}

/// A row of the log, as whoever folds it needs it.
#[derive(FromRow)]
#[expect(dead_code, reason = "decoding them is what is measured")]
struct Event {
    position: i64,
    recorded_at: DateTime<Utc>,
    customer_id: i64,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Json<Box<RawValue>>,
    metadata: Json<Box<RawValue>>,
}

/// The whole log in order, as one stream; the seconds that it took.
pub(super) async fn ordered(database: &Database) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut events = sqlx::query_as::<_, Event>(
        "select position, recorded_at, customer_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
                payload, metadata
         from events order by position",
    )
    .fetch(&database.pool);
    while let Some(event) = events.try_next().await? {
        black_box(event);
    }
    Ok(started.elapsed().as_secs_f64())
}
