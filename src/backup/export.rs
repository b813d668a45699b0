//! The log out of its store, while traffic goes on: the settled events up to the head that was found at the beginning, and
//! what was written together with them.
//!
//! What stands at or before that head never changes, so it needs no long snapshot: it is read in chunks, and what belongs
//! to later events is left out.

use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use futures::{Stream, TryStreamExt};
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::line::{FORMAT_VERSION, Header, Line, Trailer};
use super::output::{Destination, Output, Standing};
use crate::store::EventLog;
use crate::store::beside;
use crate::store::reader::{count, read_entries};
use crate::store::tail::settled_head;

const CHUNK_EVENTS: i64 = 2_000;
const CHUNK_ROWS: usize = 5_000;
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Why an export did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log's database did not answer.
    #[error("the log's database did not answer; run it again to go on where it stopped")]
    Database(#[from] sqlx::Error),
    /// Somebody is about to append and does not come to an end.
    #[error("the log does not settle: a transaction that has appended has been open for over {} s", SETTLE_WITHIN.as_secs())]
    Unsettled,
    /// There is such a file.
    #[error("{} is there already; name another file", .0.display())]
    Exists(PathBuf),
    /// Another process writes it.
    #[error("another export writes {}", .0.display())]
    Busy(PathBuf),
    /// What an earlier export left is of another log.
    #[error("{} was left by an export of another log ({log}); remove it, or name another file", path.display())]
    OtherLog {
        /// What was left.
        path: PathBuf,
        /// Which log.
        log: String,
    },
    /// What an earlier export left, or what was read, is not what the log holds.
    #[error("the log holds {there_are} events up to position {position}, and the export {exported}; begin another one")]
    Differs {
        /// Up to where.
        position: i64,
        /// In the log.
        there_are: i64,
        /// In the export.
        exported: i64,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nobody takes it in.
    #[error("cannot write to the standard output")]
    Stdout(#[source] std::io::Error),
    /// Something in the log is not JSON.
    #[error("a line could not be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// The thread that writes ended without a word.
    #[error("writing ended without a word")]
    Task(#[from] tokio::task::JoinError),
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Of what.
    pub header: Header,
    /// How many events an earlier export had written.
    pub found: i64,
    /// How many rows of workbooks were noted.
    pub imported_rows: u64,
    /// How many answers are remembered.
    pub answers: u64,
    /// How many keys the API has.
    pub api_keys: u64,
    /// What the file ends in.
    pub trailer: Trailer,
}

/// Exports the log; `progress` hears of events written and of events in all.
///
/// # Errors
/// [`ExportError`]; what was written to a file until then is gone on with by the next.
pub async fn export(
    log: &PgPool,
    destination: &Destination,
    mut progress: impl FnMut(i64, i64),
) -> Result<Exported, ExportError> {
    let identity = EventLog::new(log.clone()).identity().await?;
    let (opened, of) = (destination.clone(), identity.clone());
    let (output, standing) = tokio::task::spawn_blocking(move || Output::open(&opened, &of)).await??;
    let found = standing.events;
    must_hold(log, standing.position, standing.events).await?;
    let (output, header) = match standing.header.clone() {
        Some(header) => (output, header),
        None => {
            let header = begin(log, identity).await?;
            (write(output, vec![Line::Header(header.clone())]).await?, header)
        }
    };
    let output = events(log, output, &header, standing, &mut progress).await?;
    let mut reading = beside::begin_reading(log).await?;
    let found_rows = beside::imported_rows(&mut reading, header.head);
    let (output, imported_rows) = rows(output, found_rows, Line::ImportedRow).await?;
    let found_answers = beside::answers(&mut reading, header.head);
    let (output, answers) = rows(output, found_answers, Line::Answer).await?;
    let found_keys = beside::api_keys(&mut reading).await?;
    let (output, api_keys) = rows(output, found_keys, Line::ApiKey).await?;
    reading.rollback().await?;
    // After the events: whatever number one of them has, was given before.
    let counters = beside::counters(log).await?;
    let output = write(output, vec![Line::Counters(counters)]).await?;
    let trailer = tokio::task::spawn_blocking(move || output.finish()).await??;
    Ok(Exported { header, found, imported_rows, answers, api_keys, trailer })
}

async fn begin(log: &PgPool, identity: String) -> Result<Header, ExportError> {
    let head = settled_head(log, SETTLE_WITHIN).await?.ok_or(ExportError::Unsettled)?;
    let events = count(log, head).await?;
    Ok(Header { version: FORMAT_VERSION, log: identity, head, events, begun_at: Utc::now() })
}

/// The log has so many events up to a position.
async fn must_hold(log: &PgPool, position: i64, exported: i64) -> Result<(), ExportError> {
    let there_are = count(log, position).await?;
    if there_are == exported { Ok(()) } else { Err(ExportError::Differs { position, there_are, exported }) }
}

async fn events(
    log: &PgPool,
    mut output: Output,
    header: &Header,
    standing: Standing,
    progress: &mut impl FnMut(i64, i64),
) -> Result<Output, ExportError> {
    let (mut written, mut position) = (standing.events, standing.position);
    progress(written, header.events);
    while position < header.head {
        let mut entries = read_entries(log, position, CHUNK_EVENTS).await?;
        entries.retain(|entry| entry.position <= header.head);
        let Some(last) = entries.last() else { break };
        position = last.position;
        written += i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let lines = entries.into_iter().map(|entry| Line::Event(Box::new(entry))).collect();
        output = write(output, lines).await?;
        progress(written, header.events);
    }
    if written == header.events {
        return Ok(output);
    }
    Err(ExportError::Differs { position: header.head, there_are: header.events, exported: written })
}

/// Writes rows, a line each; answers how many there were.
async fn rows(
    mut output: Output,
    mut found: impl Stream<Item = Result<Box<RawValue>, sqlx::Error>> + Unpin,
    line: fn(Box<RawValue>) -> Line,
) -> Result<(Output, u64), ExportError> {
    let (mut lines, mut count) = (Vec::new(), 0);
    while let Some(row) = found.try_next().await? {
        count += 1;
        lines.push(line(row));
        if lines.len() == CHUNK_ROWS {
            output = write(output, std::mem::take(&mut lines)).await?;
        }
    }
    Ok((write(output, lines).await?, count))
}

/// Writes outside of the threads that others wait on.
async fn write(mut output: Output, lines: Vec<Line>) -> Result<Output, ExportError> {
    if lines.is_empty() {
        return Ok(output);
    }
    tokio::task::spawn_blocking(move || output.write(&lines).map(|()| output)).await?
}
