//! Why a workbook as a whole cannot be read. What is wrong with a single row is a `Reject`, not an error.
//!
//! The texts name no path: whoever opened the workbook knows which one it was.

use std::io;

/// The most column titles that an error message lists.
const TITLES_SHOWN: usize = 20;

/// A workbook that cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum WorkbookError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// The path is a directory.
    #[error("it is a directory, not a workbook")]
    Directory,
    /// The file cannot be opened or read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// Something else than a workbook.
    #[error("it is not an .xlsx workbook")]
    NotAWorkbook,
    /// A workbook in the binary format of before 2007, or another document of that kind.
    #[error("it is not an .xlsx workbook but an older binary format; save it as .xlsx")]
    OldFormat,
    /// Encrypted.
    #[error("it is protected by a password")]
    PasswordProtected,
    /// A zip archive with something else in it.
    #[error("it is a zip archive without a workbook in it")]
    NoWorkbook,
    /// The zip archive is damaged.
    #[error("it is damaged: its zip archive cannot be unpacked")]
    Archive(#[source] zip::result::ZipError),
    /// The archive is whole but what is in it is not.
    #[error("it is damaged: its content cannot be read")]
    Content(#[source] calamine::XlsxError),
    /// The sheet cannot be read beyond a row; the rows before it were handed out.
    #[error("sheet '{sheet}' cannot be read beyond row {row}")]
    Row {
        /// The sheet's name.
        sheet: String,
        /// The last row that could be read, 1-based; 0 for none.
        row: u32,
        /// What the reader stumbled over.
        #[source]
        source: calamine::XlsxError,
    },
    /// More than a workbook of that kind ever holds.
    #[error("it unpacks to more than can be imported: {0}")]
    TooLarge(String),
    /// It holds what no spreadsheet program writes, and what readers disagree about.
    #[error("it holds what no spreadsheet program writes: {0}")]
    Unusual(&'static str),
    /// The rows of a sheet are out of order.
    #[error("sheet '{sheet}': row {row} stands behind row {before}")]
    RowOrder {
        /// The sheet's name.
        sheet: String,
        /// The row that comes too late, 1-based.
        row: u32,
        /// The row that came before it.
        before: u32,
    },
    /// No sheet has a cell with a value.
    #[error("it has no sheet with data")]
    Empty,
    /// No row near the top of any sheet looks like a header.
    #[error("no sheet has a header row; expected the columns {}", expected.join(", "))]
    NoHeader {
        /// The names of the required columns.
        expected: Vec<&'static str>,
    },
    /// The row that looks most like a header lacks columns.
    #[error("sheet '{sheet}', row {row}: missing columns {}; found {}", missing.join(", "), listed(found))]
    MissingColumns {
        /// The sheet's name.
        sheet: String,
        /// The row that was taken for the header, 1-based.
        row: u32,
        /// The names of the missing columns.
        missing: Vec<&'static str>,
        /// The titles in that row, as they stand.
        found: Vec<String>,
    },
    /// Two columns that mean the same.
    #[error("sheet '{sheet}', row {row}: the columns '{first}' and '{second}' both mean {column}")]
    DuplicateColumn {
        /// The sheet's name.
        sheet: String,
        /// The header row, 1-based.
        row: u32,
        /// What they mean.
        column: &'static str,
        /// The title of one.
        first: String,
        /// The title of the other.
        second: String,
    },
}

fn listed(titles: &[String]) -> String {
    let shown: Vec<&str> = titles.iter().take(TITLES_SHOWN).map(String::as_str).collect();
    let more = titles.len().saturating_sub(TITLES_SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
