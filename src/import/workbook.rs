//! Reading a workbook as a stream: one row in memory at a time, however many there are.
//!
//! It finds the sheet and its header, groups cells into rows and hands each row on, parsed. It knows the file and no
//! store. The file may come from anybody, so it is checked before it is opened (`archive`), and what is read of it is
//! bounded.

mod archive;
mod error;
mod scan;
mod source;

use std::io::{BufReader, Read, Seek};
use std::ops::ControlFlow;

use calamine::{DataRef, Reader, SheetType, Xlsx, XlsxCellReader, XlsxError};
use chrono::NaiveDate;

pub use self::error::WorkbookError;
use self::source::{Opened, unreadable};
pub use self::source::{Source, StopOnDrop};
use super::cell;
use super::columns::{Header, Kind, MAX_COLUMNS, Recognised, recognise, required};
use super::rows::{self, Cell, CustomerRow, LoanRow, Parsed, RawRow};

/// A header is looked for in this row and above: up to ten blank or title rows may precede it.
const LAST_HEADER_ROW: u32 = 11;
/// The last row that a spreadsheet can have.
const LAST_ROW: u32 = 1_048_576;
/// The longest piece of a sheet's name that is repeated in messages; spreadsheets allow 31 characters.
const MAX_NAME_CHARS: usize = 100;
/// What a file starts with when it is a zip archive.
const ZIP_MAGIC: &[u8] = b"PK";
/// What the binary formats of before 2007 start with, and encrypted workbooks.
const COMPOUND_MAGIC: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0];

/// What was read of a workbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetSummary {
    /// The sheet's name.
    pub sheet: String,
    /// Where its header is, as the spreadsheet numbers it, from 1.
    pub header_row: u32,
    /// Rows handed on, rejects among them; blank ones do not count.
    pub rows: u64,
    /// Whether the receiver wanted no more.
    pub stopped: bool,
}

/// Reads a workbook of customers, row by row in the order of the sheet, until `each` breaks.
///
/// # Errors
/// When it is no workbook, has no sheet with the columns of customers, or cannot be read to its end; then the rows
/// before were handed on already.
pub fn read_customers(
    source: &Source,
    each: impl FnMut(Parsed<CustomerRow>) -> ControlFlow<()>,
) -> Result<SheetSummary, WorkbookError> {
    read(source, Kind::Customers, rows::customer, each)
}

/// Reads a workbook of loans, row by row in the order of the sheet, until `each` breaks. What has fallen due by
/// `today` and more is paid on time is a warning.
///
/// # Errors
/// As [`read_customers`].
pub fn read_loans(
    source: &Source,
    today: NaiveDate,
    each: impl FnMut(Parsed<LoanRow>) -> ControlFlow<()>,
) -> Result<SheetSummary, WorkbookError> {
    read(source, Kind::Loans, |raw| rows::loan(raw, today), each)
}

/// The bytes at a file's beginning that [`refused_at_sight`] looks at.
pub const SIGHT_BYTES: usize = 4;

/// Why a file that begins like that is no workbook, if that shows at once; a sentence without its subject.
#[must_use]
pub fn refused_at_sight(beginning: &[u8]) -> Option<&'static str> {
    if beginning == COMPOUND_MAGIC {
        Some("is a workbook in an older binary format, or protected by a password; save it as a plain .xlsx")
    } else if beginning.starts_with(ZIP_MAGIC) {
        None
    } else {
        Some("is not an .xlsx workbook")
    }
}

/// The integer that an external id is, if it is a plain positive one: `9268`, but not `LOAN_000001`.
#[must_use]
pub fn integer_id(external_id: &str) -> Option<i64> {
    cell::integer_id(external_id)
}

fn open(source: &Source) -> Result<Xlsx<BufReader<Opened>>, WorkbookError> {
    let mut file = source.open()?;
    let mut magic = Vec::new();
    Read::by_ref(&mut file).take(COMPOUND_MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if magic == COMPOUND_MAGIC {
        return Err(match Xlsx::new(BufReader::new(file)) {
            Err(XlsxError::Password) => WorkbookError::PasswordProtected,
            Ok(_) | Err(_) => WorkbookError::OldFormat,
        });
    }
    if !magic.starts_with(ZIP_MAGIC) {
        return Err(WorkbookError::NotAWorkbook);
    }
    let mut reader = BufReader::new(file);
    archive::check(&mut reader)?;
    let mut file = reader.into_inner();
    file.rewind().map_err(unreadable)?;
    let workbook = Xlsx::new(BufReader::new(file)).map_err(damaged)?;
    if workbook.sheets_metadata().is_empty() { Err(WorkbookError::NoWorkbook) } else { Ok(workbook) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the reader's many errors all mean the same but for these")]
fn damaged(error: XlsxError) -> WorkbookError {
    match error {
        XlsxError::FileNotFound(_) | XlsxError::RelationshipNotFound => WorkbookError::NoWorkbook,
        XlsxError::Password => WorkbookError::PasswordProtected,
        XlsxError::Zip(error) => WorkbookError::Archive(error),
        error => WorkbookError::Content(error),
    }
}

fn sheets<RS: Read + Seek>(workbook: &Xlsx<RS>) -> Vec<String> {
    let worksheets = workbook.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    worksheets.map(|sheet| sheet.name.clone()).collect()
}

fn read<T>(
    source: &Source,
    kind: Kind,
    parse: impl Fn(&RawRow<'_, '_>) -> Parsed<T>,
    each: impl FnMut(Parsed<T>) -> ControlFlow<()>,
) -> Result<SheetSummary, WorkbookError> {
    let mut workbook = open(source)?;
    let from_1904 = workbook.has_1904_epoch();
    let mut closest = Closest::default();
    for sheet in sheets(&workbook) {
        let cells = match workbook.worksheet_cells_reader(&sheet) {
            Ok(cells) => cells,
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(damaged(error)),
        };
        let mut sheet = Sheet::new(sheet.chars().take(MAX_NAME_CHARS).collect(), cells);
        if let Some(header) = sheet.header(kind, &mut closest)? {
            return sheet.read(&header, from_1904, parse, each);
        }
    }
    Err(closest.into_error(kind))
}

/// The rows that are no header, by how close they come.
#[derive(Default)]
struct Closest {
    matched: usize,
    any_value: bool,
    error: Option<WorkbookError>,
}

impl Closest {
    /// A row without any matching title may hold somebody's data: it is not repeated in an error.
    fn into_error(self, kind: Kind) -> WorkbookError {
        match self.error {
            Some(error) => error,
            None if self.any_value => WorkbookError::NoHeader { expected: required(kind) },
            None => WorkbookError::Empty,
        }
    }
}

/// A cell with its row and column, both from 0.
type Placed<'s> = ((u32, u32), Cell<'s>);

/// A sheet at work: its cells, and the first cell of the next row.
struct Sheet<'a, RS: Read + Seek> {
    name: String,
    cells: XlsxCellReader<'a, RS>,
    percentages: Vec<bool>,
    ahead: Option<Placed<'a>>,
    /// Whether there are no more cells; the reader must not be asked again.
    at_end: bool,
    row: u32,
}

impl<'a, RS: Read + Seek> Sheet<'a, RS> {
    fn new(name: String, cells: XlsxCellReader<'a, RS>) -> Self {
        let shown_as = |style: &calamine::Style| {
            style.number_format.as_ref().is_some_and(|format| format.format_code.contains('%'))
        };
        let percentages = cells.styles().iter().map(shown_as).collect();
        Self { name, cells, percentages, ahead: None, at_end: false, row: 0 }
    }

    /// The next cell that has something in it.
    fn next_cell(&mut self) -> Result<Option<Placed<'a>>, WorkbookError> {
        while !self.at_end {
            let next = self.cells.next_cell_with_style_id().map_err(|source| WorkbookError::Row {
                sheet: self.name.clone(),
                row: self.row,
                source,
            })?;
            let Some((cell, style)) = next else {
                self.at_end = true;
                break;
            };
            let position = cell.get_position();
            if position.0 >= LAST_ROW {
                return Err(WorkbookError::TooLarge(format!("more than {LAST_ROW} rows")));
            }
            let percentage = self.percentages.get(style).copied().unwrap_or(false);
            let value = cell.get_value().clone();
            if value != DataRef::Empty {
                return Ok(Some((position, Cell { value, percentage })));
            }
        }
        Ok(None)
    }

    /// The next row that has something in it: its number from 1, with `each` of its cells by column from 0.
    fn next_row(&mut self, mut each: impl FnMut(usize, Cell<'a>)) -> Result<Option<u32>, WorkbookError> {
        let first = match self.ahead.take() {
            Some(cell) => Some(cell),
            None => self.next_cell()?,
        };
        let Some(((row, mut column), mut cell)) = first else { return Ok(None) };
        loop {
            each(usize::try_from(column).unwrap_or(MAX_COLUMNS), cell);
            match self.next_cell()? {
                Some(((same, next), value)) if same == row => (column, cell) = (next, value),
                ahead => {
                    self.ahead = ahead;
                    let before = std::mem::replace(&mut self.row, row + 1);
                    if self.row <= before {
                        // Else a sheet could have rows without end.
                        return Err(WorkbookError::RowOrder { sheet: self.name.clone(), row: self.row, before });
                    }
                    return Ok(Some(self.row));
                }
            }
        }
    }

    /// Looks for the header near the top.
    fn header(&mut self, kind: Kind, closest: &mut Closest) -> Result<Option<Header>, WorkbookError> {
        let mut cells = Vec::new();
        loop {
            cells.clear();
            let next = self.next_row(|column, cell| {
                if column < MAX_COLUMNS && cells.len() < MAX_COLUMNS {
                    cells.push((column, cell.value));
                }
            })?;
            closest.any_value |= next.is_some();
            let Some(row) = next.filter(|row| *row <= LAST_HEADER_ROW) else { return Ok(None) };
            let texts: Vec<(usize, &str)> =
                cells.iter().filter_map(|(column, value)| Some((*column, cell::as_text(value)?))).collect();
            match recognise(kind, &self.name, row, &texts) {
                Recognised::Header(header) => return Ok(Some(header)),
                Recognised::Twice { field, first, second } => {
                    let (sheet, column) = (self.name.clone(), field.title());
                    return Err(WorkbookError::DuplicateColumn { sheet, row, column, first, second });
                }
                Recognised::Incomplete { matched, missing, found } if matched > closest.matched => {
                    closest.matched = matched;
                    let sheet = self.name.clone();
                    closest.error = Some(WorkbookError::MissingColumns { sheet, row, missing, found });
                }
                Recognised::Incomplete { .. } => {}
            }
        }
    }

    /// Hands on the rows below the header.
    fn read<T>(
        mut self,
        header: &Header,
        from_1904: bool,
        parse: impl Fn(&RawRow<'_, '_>) -> Parsed<T>,
        mut each: impl FnMut(Parsed<T>) -> ControlFlow<()>,
    ) -> Result<SheetSummary, WorkbookError> {
        let mut summary = SheetSummary { sheet: self.name.clone(), header_row: header.row, rows: 0, stopped: false };
        let mut cells = vec![Cell::default(); header.width()];
        loop {
            cells.fill(Cell::default());
            let next = self.next_row(|column, cell| {
                if let Some(place) = header.slot_of(column).and_then(|slot| cells.get_mut(slot)) {
                    *place = cell;
                }
            })?;
            let Some(number) = next else { return Ok(summary) };
            let raw = RawRow { header, number, cells: &cells, from_1904 };
            if raw.is_blank() {
                continue;
            }
            summary.rows += 1;
            if each(parse(&raw)).is_break() {
                summary.stopped = true;
                return Ok(summary);
            }
        }
    }
}

#[cfg(test)]
mod bombs;
#[cfg(test)]
mod tests;
