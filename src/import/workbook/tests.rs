//! Which sheet and header are found, what is skipped, and what each unreadable file is called.

use std::path::{Path, PathBuf};

use rust_xlsxwriter::{Format, Workbook, Worksheet};
use tempfile::TempDir;

use super::super::rows::Reject;
use super::*;

const TITLES: [&str; 9] =
    ["customer_id", "loan_id", "amount", "tenure", "rate", "emi", "emis on time", "start date", "end date"];
const LOAN: [&str; 9] = ["1", "LOAN_1", "1,20,000", "12", "12%", "10,700", "3", "31/01/2024", "2025-01-31"];

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 6, 1).unwrap()
}

fn saved(dir: &TempDir, mut workbook: Workbook) -> PathBuf {
    let path = dir.path().join("loans.xlsx");
    workbook.save(&path).unwrap();
    path
}

fn put(sheet: &mut Worksheet, row: u32, texts: &[&str]) {
    for (column, text) in (0..).zip(texts) {
        sheet.write_string(row, column, *text).unwrap();
    }
}

fn with<'t>(mut loan: [&'t str; 9], column: usize, text: &'t str) -> [&'t str; 9] {
    loan[column] = text;
    loan
}

fn one_sheet(rows: &[&[&str]]) -> Result<(SheetSummary, Vec<Parsed<LoanRow>>), WorkbookError> {
    let (dir, mut workbook) = (tempfile::tempdir().unwrap(), Workbook::new());
    let sheet = workbook.add_worksheet();
    for (number, row) in (0..).zip(rows) {
        put(sheet, number, row);
    }
    loans(&saved(&dir, workbook))
}

fn loans(path: &Path) -> Result<(SheetSummary, Vec<Parsed<LoanRow>>), WorkbookError> {
    let mut parsed = Vec::new();
    let summary = read_loans(&path.into(), today(), |row| {
        parsed.push(row);
        ControlFlow::Continue(())
    })?;
    Ok((summary, parsed))
}

#[test]
fn the_sheet_with_the_columns_is_found_and_blank_rows_are_skipped() {
    let (dir, mut workbook) = (tempfile::tempdir().unwrap(), Workbook::new());
    put(workbook.add_worksheet().set_hidden(true), 0, &["Loan ID", "read me first"]);
    workbook.add_worksheet();
    let sheet = workbook.add_worksheet().set_name("Book").unwrap();
    put(sheet, 1, &["Loans of the year"]);
    put(sheet, 10, &TITLES);
    put(sheet, 12, &LOAN);
    put(sheet, 14, &["", " ", "", "", "", "", "", "", "", "a note of no column"]);
    put(sheet, 20, &with(LOAN, 2, "-5"));
    sheet.write_number_with_format(12, 4, 0.12, &Format::new().set_num_format("0.00%")).unwrap();
    let (summary, parsed) = loans(&saved(&dir, workbook)).unwrap();
    assert_eq!(summary, SheetSummary { sheet: "Book".to_owned(), header_row: 11, rows: 2, stopped: false });
    let [Parsed::Row { value, warnings }, Parsed::Reject(reject)] = &parsed[..] else { panic!("{parsed:?}") };
    assert_eq!((value.row, value.external_id.as_str(), value.interest_rate.to_string()), (13, "LOAN_1", "12".into()));
    assert_eq!(warnings, &[]);
    let (sheet, column) = ("Book".to_owned(), Some("amount".to_owned()));
    let reason = "must not be negative (found '-5')".to_owned();
    assert_eq!(
        reject,
        &Reject { sheet, row: 21, column, reason, customer_external_id: reject.customer_external_id.clone() }
    );
    assert!(reject.customer_external_id.is_some(), "the row says whose loan it is");
}

#[test]
fn what_is_odd_is_a_warning() {
    for (column, text, expected) in [
        (6, "13", "13 instalments on time, of 12 in all"),
        (8, "2025-03-01", "ends on 2025-03-01, but 12 months end on 2025-01-31"),
        (5, "9998", "9998.00 a month does not repay 120000.00 in time"),
        (5, "9999", ""),
        (8, "2025-02-28", ""),
        (4, "0.12", "0.12 percent a year: is it a fraction?"),
    ] {
        let (_, parsed) = one_sheet(&[&TITLES, &with(LOAN, column, text)]).unwrap();
        let [Parsed::Row { warnings, .. }] = &parsed[..] else { panic!("{parsed:?}") };
        let messages: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(messages.join("; "), expected, "{text}");
    }
    let later = with(with(LOAN, 7, "2025-03-01"), 8, "2026-03-01");
    let (_, parsed) = one_sheet(&[&TITLES, &with(later, 6, "4")]).unwrap();
    let [Parsed::Row { warnings, .. }] = &parsed[..] else { panic!("{parsed:?}") };
    assert_eq!(warnings[0].message, "4 instalments on time, of 3 that have fallen due");
}

#[test]
fn reading_stops_when_no_more_is_wanted() {
    let (dir, mut workbook) = (tempfile::tempdir().unwrap(), Workbook::new());
    let sheet = workbook.add_worksheet();
    put(sheet, 0, &TITLES);
    put(sheet, 1, &LOAN);
    put(sheet, 2, &LOAN);
    let path = saved(&dir, workbook);
    let summary = read_loans(&path.into(), today(), |_| ControlFlow::Break(())).unwrap();
    assert_eq!((summary.rows, summary.stopped), (1, true));
}

#[test]
fn a_file_that_is_no_workbook_is_called_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = |bytes: &[u8]| {
        let path = dir.path().join("file.xlsx");
        std::fs::write(&path, bytes).unwrap();
        loans(&path).unwrap_err()
    };
    assert!(matches!(loans(&dir.path().join("none.xlsx")), Err(WorkbookError::NotFound)));
    assert!(matches!(loans(dir.path()), Err(WorkbookError::Directory)));
    assert!(matches!(file(b""), WorkbookError::NotAWorkbook));
    assert!(matches!(file(b"customer_id,loan_id"), WorkbookError::NotAWorkbook));
    assert!(matches!(file(b"PK\x03\x04 and nothing else"), WorkbookError::Archive(_)));
    assert!(matches!(file(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), WorkbookError::OldFormat));
    // An empty zip archive.
    assert!(matches!(file(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), WorkbookError::NoWorkbook));
}

#[test]
fn a_workbook_without_the_columns_says_which() {
    assert!(matches!(one_sheet(&[]), Err(WorkbookError::Empty)));
    let missing = one_sheet(&[&TITLES[1..]]).unwrap_err().to_string();
    assert!(missing.starts_with("sheet 'Sheet1', row 1: missing columns Customer ID; found loan_id, amount,"));
    let twice = one_sheet(&[&[&TITLES[..], &["Principal"]].concat()]).unwrap_err().to_string();
    assert_eq!(twice, "sheet 'Sheet1', row 1: the columns 'amount' and 'Principal' both mean Loan Amount");
    let data_only = one_sheet(&[&["Asha", "Rao", "9876543210"]]).unwrap_err().to_string();
    assert!(data_only.starts_with("no sheet has a header row;") && !data_only.contains("Asha"));
}
