//! An export into an empty store. It is read twice: once to the end before anything is written, so that nothing of a
//! damaged one is ever there, and once to be written in chunks. The store opens when the second reading has come to the
//! same end.
//!
//! The restored log is another one than that which was exported: it keeps positions, ids and times, and has an identity of
//! its own, so what NATS still holds of the other is never taken for this one's. Read models are folded by the workers
//! once the service runs.

use std::path::Path;

use aggregates::customer::Customer;
use aggregates::loan::Loan;
use cqrs_es::Aggregate;
use projections::checkpoint;
use serde_json::value::RawValue;
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::line::{Header, Line};
use super::reading::{End, Next, ReadError, Reading};
use crate::databases::Databases;
use crate::store::beside::{Counters, Table};
use crate::store::reader::Entry;
use crate::store::restored::{Come, FillError, Filling, Origin, must_be_free};

const CHUNK_LINES: usize = 5_000;
/// Chunks that are read ahead of the one that is written.
const CHUNKS_AHEAD: usize = 2;

/// Why a restore did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The export cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log cannot be filled.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// A database did not answer.
    #[error("a database did not answer")]
    Database(#[from] sqlx::Error),
    /// The read models are of another log.
    #[error("the read models hold what another log says: name an empty database with READ_DATABASE_URL")]
    ReadModels,
    /// The file was changed while it was read.
    #[error("the export was changed while it was restored; the store stays closed")]
    Changed,
    /// The thread that reads ended without a word.
    #[error("reading ended without a word")]
    Task(#[from] tokio::task::JoinError),
}

/// What a restore is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reads the export through.
    Checking,
    /// Writes it.
    Restoring,
    /// Reserves phone numbers.
    Reserving,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Of what.
    pub header: Header,
    /// How many of its events were there from an earlier attempt.
    pub found: i64,
}

/// An export that was read to its end.
struct Checked {
    header: Header,
    end: End,
    /// No id of an event is higher.
    highest: Counters,
}

/// Lines of one kind.
enum Chunk {
    Events(Vec<Entry>),
    Rows(Table, Vec<Box<RawValue>>),
}

/// Restores an export into an empty store, or goes on with that. New numbers leave out `unused` of each counter: those that
/// may have been given after the export. `progress` hears of events done and in all.
///
/// # Errors
/// [`RestoreError`]. Before the first chunk the store is as it was; from then on it is closed to all others until a
/// restore of the same file has come to its end.
pub async fn restore(
    databases: &Databases,
    file: &Path,
    unused: i64,
    progress: impl Fn(Stage, i64, i64) + Clone + Send + 'static,
) -> Result<Restored, RestoreError> {
    let log = &databases.log;
    must_be_free(log).await?;
    read_models_must_be_empty(&databases.read_models).await?;
    let (path, told) = (file.to_owned(), progress.clone());
    let Checked { header, end, highest } = tokio::task::spawn_blocking(move || check(&path, &told)).await??;
    let origin = Origin { sha256: end.trailer.sha256.clone(), log: header.log.clone(), head: header.head };
    let mut filling = Filling::begin(log, &origin).await?;
    let found = filling.come().events;
    let (chunks, mut incoming) = mpsc::channel(CHUNKS_AHEAD);
    let (path, come) = (file.to_owned(), filling.come());
    let reading = tokio::task::spawn_blocking(move || read(&path, come, &chunks));
    while let Some(chunk) = incoming.recv().await {
        match chunk {
            Chunk::Events(events) => filling.add_events(&events).await?,
            Chunk::Rows(table, rows) => filling.add_rows(table, &rows).await?,
        }
        progress(Stage::Restoring, filling.come().events, header.events);
    }
    if reading.await?? != Some(end.clone()) || filling.come().events != header.events {
        return Err(RestoreError::Changed);
    }
    progress(Stage::Reserving, header.events, header.events);
    filling.reserve_numbers(header.head).await?;
    filling.finish(header.head, end.counters.at_least(highest), unused).await?;
    Ok(Restored { header, found })
}

/// Read models of a log that is not restored yet have applied nothing.
async fn read_models_must_be_empty(read_models: &PgPool) -> Result<(), RestoreError> {
    let checkpoints = checkpoint::load_all(read_models).await?;
    let has_applied = checkpoints.iter().any(|(_, _, checkpoint)| checkpoint.position > 0);
    if has_applied { Err(RestoreError::ReadModels) } else { Ok(()) }
}

/// Reads an export to its end.
fn check(file: &Path, progress: &impl Fn(Stage, i64, i64)) -> Result<Checked, ReadError> {
    let mut reading = Reading::open(file)?;
    let header = reading.header().clone();
    let mut highest = Counters { positions: header.head, ..Counters::default() };
    loop {
        match reading.read()? {
            Next::Line(Line::Event(event)) => {
                raise(&mut highest, &event);
                if reading.events() % 1_000 == 0 {
                    progress(Stage::Checking, reading.events(), header.events);
                }
            }
            Next::Line(_) => {}
            Next::End(end) => return Ok(Checked { header, end, highest }),
        }
    }
}

/// The ids of streams, which may have been taken over from elsewhere.
fn raise(highest: &mut Counters, event: &Entry) {
    let id = event.aggregate_id.parse().unwrap_or(0);
    if event.aggregate_type == Customer::TYPE {
        highest.customers = highest.customers.max(id);
    } else if event.aggregate_type == Loan::TYPE {
        highest.loans = highest.loans.max(id);
    }
}

/// Reads an export again and hands out in chunks what is not there yet; `None` when nobody takes them any more.
fn read(file: &Path, come: Come, to: &mpsc::Sender<Chunk>) -> Result<Option<End>, ReadError> {
    let mut reading = Reading::open(file)?;
    let mut chunks = Chunks { to, events: Vec::new(), table: Table::ImportedRows, rows: Vec::new() };
    let mut others = 0;
    loop {
        let (table, row) = match reading.read()? {
            Next::Line(Line::Event(event)) => {
                if reading.events() > come.events && chunks.event(*event).is_none() {
                    return Ok(None);
                }
                continue;
            }
            Next::Line(Line::ImportedRow(row)) => (Table::ImportedRows, row),
            Next::Line(Line::Answer(row)) => (Table::Answers, row),
            Next::Line(Line::ApiKey(row)) => (Table::ApiKeys, row),
            Next::Line(Line::Header(_) | Line::Counters(_) | Line::Trailer(_)) => continue,
            Next::End(end) => return Ok(chunks.send().map(|()| end)),
        };
        others += 1;
        if others > come.others && chunks.row(table, row).is_none() {
            return Ok(None);
        }
    }
}

/// Lines that wait until they are a chunk. Its functions answer `None` when nobody takes them.
struct Chunks<'a> {
    to: &'a mpsc::Sender<Chunk>,
    events: Vec<Entry>,
    table: Table,
    rows: Vec<Box<RawValue>>,
}

impl Chunks<'_> {
    fn event(&mut self, event: Entry) -> Option<()> {
        self.events.push(event);
        if self.events.len() < CHUNK_LINES { Some(()) } else { self.send() }
    }

    fn row(&mut self, table: Table, row: Box<RawValue>) -> Option<()> {
        if !self.events.is_empty() || table != self.table {
            self.send()?;
        }
        self.table = table;
        self.rows.push(row);
        if self.rows.len() < CHUNK_LINES { Some(()) } else { self.send() }
    }

    fn send(&mut self) -> Option<()> {
        if !self.events.is_empty() {
            self.to.blocking_send(Chunk::Events(std::mem::take(&mut self.events))).ok()?;
        }
        if !self.rows.is_empty() {
            self.to.blocking_send(Chunk::Rows(self.table, std::mem::take(&mut self.rows))).ok()?;
        }
        Some(())
    }
}
