//! A workbook on its way through an import: read through once, to see that it can be read and which ids it has, then
//! read again, chunk by chunk.
//!
//! Reading happens on a thread of its own, a bounded number of rows ahead. It knows no store.

use std::ops::ControlFlow;
use std::path::PathBuf;

use chrono::NaiveDate;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ImportError;
use super::report::Tally;
use super::resolve::kept_id;
use super::rows::{CustomerRow, LoanRow, Parsed};
use super::workbook::{SheetSummary, Source, StopOnDrop, WorkbookError, read_customers, read_loans};

/// Rows that are looked up and taken at once, in [`GROUPS`] transactions: few enough for each of those that the log is
/// held back for milliseconds only.
pub(super) const CHUNK_ROWS: usize = 2000;
/// Transactions of a chunk, side by side: while one is made ready, the others are with the database.
pub(super) const GROUPS: usize = 4;

/// One workbook, and how far an import has come with it.
pub(super) struct Sheet<T> {
    source: Source,
    today: NaiveDate,
    start: fn(&Source, NaiveDate) -> Reading<T>,
    external_id: fn(&T) -> &str,
    reading: Option<Reading<T>>,
    /// What was found, once it has been read through.
    found: Option<SheetSummary>,
    /// Rows that were read while it is read through.
    looked_at: u64,
    /// The largest id among its rows that is kept, so that new ids go on above it.
    pub(super) largest_id: i64,
    /// What became of its rows so far.
    pub(super) tally: Tally,
    /// Whether its first rows have been taken.
    pub(super) begun: bool,
    /// Whether its last rows have been read.
    ended: bool,
}

impl Sheet<CustomerRow> {
    pub(super) fn of_customers(source: &Source, today: NaiveDate) -> Self {
        let start = |source: &Source, _| Reading::start(source, |source, each| read_customers(source, each));
        Self::new(source, today, start, |row| &row.external_id)
    }
}

impl Sheet<LoanRow> {
    pub(super) fn of_loans(source: &Source, today: NaiveDate) -> Self {
        let start = |source: &Source, today: NaiveDate| {
            Reading::start(source, move |source, each| read_loans(source, today, each))
        };
        Self::new(source, today, start, |row| &row.external_id)
    }
}

impl<T: Send + 'static> Sheet<T> {
    fn new(
        source: &Source,
        today: NaiveDate,
        start: fn(&Source, NaiveDate) -> Reading<T>,
        external_id: fn(&T) -> &str,
    ) -> Self {
        let (source, tally) = (source.clone(), Tally::default());
        let (reading, found, looked_at, largest_id) = (None, None, 0, 0);
        let (begun, ended) = (false, false);
        Self { source, today, start, external_id, reading, found, looked_at, largest_id, tally, begun, ended }
    }

    /// The workbook's name, without a path.
    pub(super) fn workbook(&self) -> String {
        self.source.name().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The sheet's name; empty before it was read through.
    pub(super) fn name(&self) -> &str {
        self.found.as_ref().map_or("", |found| &found.sheet)
    }

    /// Its rows that are not blank, once it has been read through.
    pub(super) fn rows(&self) -> Option<u64> {
        self.found.as_ref().map(|found| found.rows)
    }

    /// Reads through it a little further; answers how many rows that were so far, and `None` once it is at the end.
    pub(super) async fn look(&mut self) -> Result<Option<u64>, ImportError> {
        if self.found.is_some() {
            return Ok(None);
        }
        let reading = self.reading.get_or_insert_with(|| (self.start)(&self.source, self.today));
        let chunk = reading.chunk().await;
        if chunk.is_empty() {
            if let Some(reading) = self.reading.take() {
                self.found = Some(reading.finish().await?);
            }
            return Ok(None);
        }
        for parsed in chunk {
            self.looked_at += 1;
            if let Parsed::Row { value, .. } = parsed {
                self.largest_id = kept_id((self.external_id)(&value)).unwrap_or(0).max(self.largest_id);
            }
        }
        Ok(Some(self.looked_at))
    }

    /// The next rows to be taken; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Parsed<T>>>, ImportError> {
        if self.ended {
            return Ok(None);
        }
        let reading = self.reading.get_or_insert_with(|| (self.start)(&self.source, self.today));
        let chunk = reading.chunk().await;
        if !chunk.is_empty() {
            return Ok(Some(chunk));
        }
        self.ended = true;
        if let Some(reading) = self.reading.take() {
            reading.finish().await?;
        }
        Ok(None)
    }
}

/// The rows of a workbook, read on a thread of its own, a bounded number ahead.
struct Reading<T> {
    rows: mpsc::Receiver<Parsed<T>>,
    reader: JoinHandle<Result<SheetSummary, WorkbookError>>,
    path: PathBuf,
    /// Who drops it wants no more rows: then the thread ends, whatever it is at.
    _stop: StopOnDrop,
}

impl<T: Send + 'static> Reading<T> {
    fn start(
        source: &Source,
        read: impl FnOnce(&Source, &mut dyn FnMut(Parsed<T>) -> ControlFlow<()>) -> Result<SheetSummary, WorkbookError>
        + Send
        + 'static,
    ) -> Self {
        let (send, rows) = mpsc::channel(CHUNK_ROWS);
        let (workbook, stop) = source.stoppable();
        let reader = tokio::task::spawn_blocking(move || {
            let mut pass_on = |parsed| match send.blocking_send(parsed) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            read(&workbook, &mut pass_on)
        });
        Self { rows, reader, path: source.name().to_owned(), _stop: stop }
    }

    /// The next rows; none at the end.
    async fn chunk(&mut self) -> Vec<Parsed<T>> {
        let mut chunk = Vec::with_capacity(CHUNK_ROWS);
        while chunk.len() < CHUNK_ROWS {
            let missing = CHUNK_ROWS - chunk.len();
            if self.rows.recv_many(&mut chunk, missing).await == 0 {
                break;
            }
        }
        chunk
    }

    /// How reading ended, once there are no more rows.
    async fn finish(self) -> Result<SheetSummary, ImportError> {
        self.reader.await?.map_err(|source| ImportError::Workbook { path: self.path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_reading_that_nobody_wants_any_more_ends_while_the_workbook_is_still_checked() {
        // Unpacking it takes far longer than is waited: many blocks of what cannot be packed.
        let mut file = tempfile::tempfile().unwrap();
        let mut zip = zip::ZipWriter::new(&mut file);
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file("xl/worksheets/sheet1.xml", stored).unwrap();
        let cells = "<c/>".repeat(1 << 18);
        (0..64).for_each(|_| zip.write_all(cells.as_bytes()).unwrap());
        zip.finish().unwrap();
        file.rewind().unwrap();
        let (ended, end) = std::sync::mpsc::channel();
        let reading: Reading<LoanRow> = Reading::start(&Source::opened("l.xlsx", file), move |source, each| {
            // Again and again, as if it were endless.
            let error = loop {
                match read_customers(source, |_| ControlFlow::Continue(())) {
                    Err(WorkbookError::Unreadable(error)) => break error,
                    Err(WorkbookError::Archive(zip::result::ZipError::Io(error))) => break error,
                    Ok(_) | Err(_) => {}
                }
            };
            let _ = each;
            ended.send(error.to_string()).unwrap();
            Err(WorkbookError::Empty)
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(end.try_recv().is_err(), "it is still at it");
        drop(reading);
        let why = tokio::task::spawn_blocking(move || end.recv_timeout(Duration::from_secs(2))).await.unwrap();
        assert!(why.is_ok(), "it has ended");
    }
}
