//! Sample workbooks of customers and loans: made up, but shaped like real ones.
//!
//! Here is how they are written, a row at a time; what stands in them is made up by `people` and `loans`. The same
//! seed gives the same files to the byte: nothing reads a clock. It knows no store and no importer.

mod draw;
mod loans;
mod people;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use aggregates::Invalid;
use aggregates::instalments::instalment;
use aggregates::money::OutOfRange;
use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use self::draw::{Draw, Stream};
use self::loans::{Loan, LoanIds};
use self::people::People;

/// A sheet's rows, without its header.
pub const MAX_ROWS: u32 = 1_048_575;

const CUSTOMERS_FILE: &str = "customer_data.xlsx";
const LOANS_FILE: &str = "loan_data.xlsx";
const CUSTOMER_TITLES: [&str; 7] =
    ["Customer ID", "First Name", "Last Name", "Age", "Phone Number", "Monthly Salary", "Approved Limit"];
const LOAN_TITLES: [&str; 9] = [
    "Customer ID",
    "Loan ID",
    "Loan Amount",
    "Tenure",
    "Interest Rate",
    "Monthly payment",
    "EMIs paid on Time",
    "Date of Approval",
    "End Date",
];
const COLUMN_WIDTH_CHARS: u16 = 18;

/// How much to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerateSpec {
    /// Customers, at most [`MAX_ROWS`].
    pub customers: u32,
    /// Loans, at most [`MAX_ROWS`].
    pub loans: u32,
    /// The same seed, the same files.
    pub seed: u64,
    /// Every id is above this one, so that they leave room for others.
    pub ids_above: u32,
}

/// Where the workbooks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFiles {
    /// Of customers.
    pub customers: PathBuf,
    /// Of loans.
    pub loans: PathBuf,
}

/// Why there are no workbooks.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// More than fits into a sheet.
    #[error("a workbook holds at most {MAX_ROWS} {what}, not {asked}")]
    TooMany {
        /// Customers or loans.
        what: &'static str,
        /// How many were asked for.
        asked: u32,
    },
    /// Somebody has to owe them.
    #[error("loans need at least one customer")]
    LoansWithoutCustomers,
    /// The directory cannot be made, or a finished file not be put in its place.
    #[error("cannot write into {}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A workbook cannot be written.
    #[error("cannot write a workbook")]
    Workbook(#[from] XlsxError),
    /// A made-up value is out of its type's bounds.
    #[error("a generated value is not valid")]
    Value(#[from] Invalid),
    /// A made-up amount is too large.
    #[error("a generated amount is not valid")]
    Amount(#[from] OutOfRange),
    /// A made-up date is none.
    #[error("a generated date is not valid")]
    Date,
}

/// Writes `customer_data.xlsx` and `loan_data.xlsx` into a directory, which is made if there is none. Each file
/// appears when it is complete.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(dir: &Path, spec: GenerateSpec) -> Result<GeneratedFiles, GenerateError> {
    for (what, asked) in [("customers", spec.customers), ("loans", spec.loans)] {
        if asked > MAX_ROWS {
            return Err(GenerateError::TooMany { what, asked });
        }
    }
    if spec.customers == 0 && spec.loans > 0 {
        return Err(GenerateError::LoansWithoutCustomers);
    }
    std::fs::create_dir_all(dir).map_err(|source| GenerateError::Directory { path: dir.to_owned(), source })?;
    Ok(GeneratedFiles {
        customers: write(dir, CUSTOMERS_FILE, &CUSTOMER_TITLES, |sheet| write_customers(sheet, spec))?,
        loans: write(dir, LOANS_FILE, &LOAN_TITLES, |sheet| write_loans(sheet, spec))?,
    })
}

fn write(
    dir: &Path,
    file: &str,
    titles: &[&str],
    rows: impl FnOnce(&mut Worksheet) -> Result<(), GenerateError>,
) -> Result<PathBuf, GenerateError> {
    let failed = |source| GenerateError::Directory { path: dir.to_owned(), source };
    let mut workbook = Workbook::new();
    let created = ExcelDateTime::from_ymd(2025, 1, 1)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    workbook.set_tempdir(dir)?;
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    for (column, title) in (0..).zip(titles) {
        sheet.set_column_width(column, COLUMN_WIDTH_CHARS)?;
        sheet.write_string(0, column, *title)?;
    }
    rows(sheet)?;
    // Beside the file, so that taking its place is one step.
    let (unfinished, path) = (dir.join(format!(".{file}.unfinished")), dir.join(file));
    let saved = save(&mut workbook, &unfinished).and_then(|()| std::fs::rename(&unfinished, &path).map_err(failed));
    if let Err(error) = saved {
        // The first failure is the one to report.
        let _ = std::fs::remove_file(&unfinished);
        return Err(error);
    }
    Ok(path)
}

fn save(workbook: &mut Workbook, path: &Path) -> Result<(), GenerateError> {
    let failed = |source| GenerateError::Directory { path: path.to_owned(), source };
    let file = File::create(path).map_err(failed)?;
    workbook.save_to_writer(&file)?;
    file.sync_all().map_err(failed)
}

fn write_customers(sheet: &mut Worksheet, spec: GenerateSpec) -> Result<(), GenerateError> {
    let people = People::new(spec.seed);
    for number in 1..=spec.customers {
        let person = people.person(number)?;
        sheet.write_number(number, 0, as_cell(u64::from(spec.ids_above) + u64::from(number))?)?;
        sheet.write_string(number, 1, person.first_name)?;
        sheet.write_string(number, 2, person.last_name)?;
        sheet.write_number(number, 3, person.age)?;
        sheet.write_number(number, 4, as_cell(person.phone_number)?)?;
        sheet.write_number(number, 5, as_cell(person.income)?)?;
        sheet.write_number(number, 6, as_cell(person.limit)?)?;
    }
    Ok(())
}

fn write_loans(sheet: &mut Worksheet, spec: GenerateSpec) -> Result<(), GenerateError> {
    let people = People::new(spec.seed);
    let mut counts = Draw::new(spec.seed, Stream::Counts);
    let mut ids = LoanIds::new(spec);
    let date_format = Format::new().set_num_format("yyyy-mm-dd");
    let mut row = 0;
    for customer in 1..=spec.customers {
        let person = people.person(customer)?;
        let mut draw = Draw::new(spec.seed, Stream::Loans(customer));
        let mut current_lakhs = 0;
        for _ in 0..counts.share(spec.loans - row, spec.customers - customer + 1) {
            let loan = Loan::draw(&mut draw, &person, &mut current_lakhs)?;
            row += 1;
            sheet.write_number(row, 0, as_cell(u64::from(spec.ids_above) + u64::from(customer))?)?;
            sheet.write_number(row, 1, as_cell(ids.next(customer))?)?;
            sheet.write_number(row, 2, as_cell(loan.principal.money().amount())?)?;
            sheet.write_number(row, 3, loan.tenure.months())?;
            sheet.write_number(row, 4, as_cell(loan.rate.percent())?)?;
            sheet.write_number(row, 5, as_cell(instalment(loan.principal, loan.rate, loan.tenure)?.amount())?)?;
            sheet.write_number(row, 6, loan.paid_on_time)?;
            sheet.write_datetime_with_format(row, 7, excel_date(loan.started_on)?, &date_format)?;
            sheet.write_datetime_with_format(row, 8, excel_date(loan.ends_on)?, &date_format)?;
        }
    }
    Ok(())
}

/// What the writer takes: a binary number, the nearest to an exact one.
fn as_cell(number: impl Into<Decimal>) -> Result<f64, OutOfRange> {
    number.into().to_f64().ok_or(OutOfRange)
}

fn excel_date(date: NaiveDate) -> Result<ExcelDateTime, GenerateError> {
    let part = |number: u32| u8::try_from(number).map_err(|_| GenerateError::Date);
    let year = u16::try_from(date.year()).map_err(|_| GenerateError::Date)?;
    Ok(ExcelDateTime::from_ymd(year, part(date.month())?, part(date.day())?)?)
}

#[cfg(test)]
mod tests;
