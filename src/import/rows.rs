//! Rows of the two workbooks: a sheet's cells turned into values that cannot be wrong, or into the reason why not.
//!
//! It knows one row at a time, no store and no other row; whether the customer exists or the id is taken is for the
//! import to find out. Names, phone numbers and incomes never stand in a reason or a warning: those end up in logs.

use std::cmp::Ordering;

use aggregates::Invalid;
use aggregates::calendar::{months_after, months_passed};
use aggregates::money::Money;
use aggregates::person::{Age, MonthlyIncome, Name, PersonalData};
use aggregates::terms::{MAX_PRINCIPAL_RUPEES, Principal, Rate, Tenure};
use calamine::DataRef;
use chrono::{Months, NaiveDate};
use rust_decimal::Decimal;

use super::cell;
use super::columns::{Field, Header};

/// The largest monthly payment that is taken, in rupees.
const MAX_INSTALMENT_RUPEES: i64 = 2 * MAX_PRINCIPAL_RUPEES;

/// A row that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The sheet's name.
    pub sheet: String,
    /// The row as the spreadsheet numbers it, from 1.
    pub row: u32,
    /// The column's title as it stands in the file; `None` for the row as a whole.
    pub column: Option<String>,
    /// What is wrong, a sentence whose subject is the column.
    pub reason: String,
    /// The customer that the row is about, where the row says so.
    pub customer_external_id: Option<String>,
}

/// Something odd in a row that is imported all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The sheet's name.
    pub sheet: String,
    /// The row as the spreadsheet numbers it, from 1.
    pub row: u32,
    /// The column's title as it stands in the file; `None` for the row as a whole.
    pub column: Option<String>,
    /// What is odd.
    pub message: String,
}

/// A customer, as the workbook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerRow {
    /// The row as the spreadsheet numbers it, from 1.
    pub row: u32,
    /// The id in the workbook: 1 to 100 characters, an integer without sign and leading zeros where it is one.
    pub external_id: String,
    /// Names, age and phone number.
    pub personal: PersonalData,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// What may be lent in all, in rupees, as it stands.
    pub approved_limit: Money,
    /// What the workbook says is owed, in rupees, where it says so.
    pub current_debt: Option<Money>,
}

/// A loan, as the workbook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoanRow {
    /// The row as the spreadsheet numbers it, from 1.
    pub row: u32,
    /// Whose it is: a [`CustomerRow::external_id`].
    pub customer_external_id: String,
    /// The id in the workbook, in the form of a [`CustomerRow::external_id`]; unique only with the customer's.
    pub external_id: String,
    /// Rupees lent.
    pub principal: Principal,
    /// Months to repay.
    pub tenure: Tenure,
    /// Percent a year.
    pub interest_rate: Rate,
    /// Rupees due each month, as they stand.
    pub instalment: Money,
    /// Instalments paid by their due date.
    pub instalments_paid_on_time: u16,
    /// The day it was granted.
    pub started_on: NaiveDate,
    /// The last due date; never before the start.
    pub ends_on: NaiveDate,
}

/// What became of a row that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// It can be imported.
    Row {
        /// Its values.
        value: T,
        /// What is odd about it.
        warnings: Vec<Warning>,
    },
    /// It cannot.
    Reject(Reject),
}

/// A cell of a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell<'s> {
    pub(super) value: DataRef<'s>,
    /// Whether the spreadsheet shows a hundred times its value, with a percent sign.
    pub(super) percentage: bool,
}

/// A row's cells, by their place in the header.
pub(super) struct RawRow<'r, 's> {
    pub(super) header: &'r Header,
    pub(super) number: u32,
    pub(super) cells: &'r [Cell<'s>],
    /// Whether the workbook counts its days from 1904.
    pub(super) from_1904: bool,
}

impl RawRow<'_, '_> {
    /// Whether no column that means something has a value.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell::is_blank(&cell.value))
    }

    fn cell(&self, field: Field) -> Option<&Cell<'_>> {
        self.header.slot(field).and_then(|slot| self.cells.get(slot))
    }

    /// The field's value.
    fn parse<T>(&self, field: Field, parse: impl FnOnce(&DataRef<'_>) -> Result<T, Invalid>) -> Result<T, Reject> {
        let value = self.cell(field).map_or(&DataRef::Empty, |cell| &cell.value);
        let Err(Invalid(reason)) = cell::check(value) else {
            return parse(value).map_err(|Invalid(reason)| self.reject(field, self.with_excerpt(field, reason, value)));
        };
        Err(self.reject(field, reason))
    }

    /// The field's value, `None` where there is no such column or nothing in it.
    fn parse_optional<T>(
        &self,
        field: Field,
        parse: impl FnOnce(&DataRef<'_>) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Reject> {
        match self.cell(field) {
            Some(cell) if !cell::is_blank(&cell.value) => self.parse(field, parse).map(Some),
            _ => Ok(None),
        }
    }

    fn with_excerpt(&self, field: Field, reason: String, value: &DataRef<'_>) -> String {
        match cell::excerpt(value) {
            Some(found) if !field.is_personal() => format!("{reason} (found '{found}')"),
            _ => reason,
        }
    }

    fn reject(&self, field: Field, reason: String) -> Reject {
        Reject {
            sheet: self.header.sheet.clone(),
            row: self.number,
            column: Some(self.header.title(field)),
            reason,
            customer_external_id: self.cell(Field::CustomerId).and_then(|cell| cell::id(&cell.value).ok()),
        }
    }

    fn warning(&self, field: Field, message: String) -> Warning {
        Warning { sheet: self.header.sheet.clone(), row: self.number, column: Some(self.header.title(field)), message }
    }
}

/// A row of the customers' sheet.
pub(super) fn customer(raw: &RawRow<'_, '_>) -> Parsed<CustomerRow> {
    match customer_values(raw) {
        Ok(value) => Parsed::Row { value, warnings: Vec::new() },
        Err(reject) => Parsed::Reject(reject),
    }
}

fn customer_values(raw: &RawRow<'_, '_>) -> Result<CustomerRow, Reject> {
    let name = |value: &DataRef<'_>| Name::try_from(cell::text(value)?);
    // Beyond the type's range is beyond the age's bounds, which say the reason.
    let age = |value: &DataRef<'_>| Age::try_from(u8::try_from(cell::whole(value)?).unwrap_or(u8::MAX));
    Ok(CustomerRow {
        row: raw.number,
        external_id: raw.parse(Field::CustomerId, cell::id)?,
        personal: PersonalData {
            first_name: raw.parse(Field::FirstName, name)?,
            last_name: raw.parse(Field::LastName, name)?,
            age: raw.parse(Field::Age, age)?,
            phone_number: raw.parse(Field::PhoneNumber, cell::phone_number)?,
        },
        monthly_income: raw.parse(Field::MonthlyIncome, |value| MonthlyIncome::try_from(cell::money(value)?))?,
        approved_limit: raw.parse(Field::ApprovedLimit, cell::money)?,
        current_debt: raw.parse_optional(Field::CurrentDebt, cell::money)?,
    })
}

/// A row of the loans' sheet; what has fallen due by `today` is odd if it is not yet paid.
pub(super) fn loan(raw: &RawRow<'_, '_>, today: NaiveDate) -> Parsed<LoanRow> {
    match loan_values(raw) {
        Ok(value) => Parsed::Row { warnings: odd(raw, &value, today), value },
        Err(reject) => Parsed::Reject(reject),
    }
}

fn loan_values(raw: &RawRow<'_, '_>) -> Result<LoanRow, Reject> {
    let tenure = |value: &DataRef<'_>| Tenure::try_from(u16::try_from(cell::whole(value)?).unwrap_or(u16::MAX));
    let percentage = raw.cell(Field::InterestRate).is_some_and(|cell| cell.percentage);
    let row = LoanRow {
        row: raw.number,
        customer_external_id: raw.parse(Field::CustomerId, cell::id)?,
        external_id: raw.parse(Field::LoanId, cell::id)?,
        principal: raw.parse(Field::LoanAmount, |value| Principal::try_from(cell::money(value)?))?,
        tenure: raw.parse(Field::Tenure, tenure)?,
        interest_rate: raw.parse(Field::InterestRate, |value| cell::rate(value, percentage))?,
        instalment: raw.parse(Field::MonthlyPayment, monthly_payment)?,
        instalments_paid_on_time: raw.parse(Field::PaidOnTime, paid_on_time)?,
        started_on: raw.parse(Field::StartDate, |value| cell::date(value, raw.from_1904))?,
        ends_on: raw.parse(Field::EndDate, |value| cell::date(value, raw.from_1904))?,
    };
    if row.ends_on < row.started_on {
        return Err(raw.reject(Field::EndDate, format!("must not be before the start on {}", row.started_on)));
    }
    Ok(row)
}

/// More than the largest loan with a month's interest at the highest rate is no instalment, and its schedule could not be
/// summed up.
fn monthly_payment(value: &DataRef<'_>) -> Result<Money, Invalid> {
    let payment = cell::money(value)?;
    if payment.amount() > Decimal::from(MAX_INSTALMENT_RUPEES) {
        return Err(Invalid(format!("must be at most {MAX_INSTALMENT_RUPEES}")));
    }
    Ok(payment)
}

fn paid_on_time(value: &DataRef<'_>) -> Result<u16, Invalid> {
    let count = cell::whole(value)?;
    u16::try_from(count).map_err(|_| {
        Invalid(if count < 0 { "must not be negative".to_owned() } else { format!("must be at most {}", u16::MAX) })
    })
}

/// What is odd about a loan.
fn odd(raw: &RawRow<'_, '_>, loan: &LoanRow, today: NaiveDate) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |field, message| warnings.push(raw.warning(field, message));
    if loan.interest_rate > Rate::ZERO && loan.interest_rate.percent() < Decimal::ONE {
        warn(Field::InterestRate, format!("{} percent a year: is it a fraction?", loan.interest_rate));
    }
    if repays_too_little(loan) {
        warn(Field::MonthlyPayment, format!("{} a month does not repay {} in time", loan.instalment, loan.principal));
    }
    let paid = loan.instalments_paid_on_time;
    let due = months_passed(loan.started_on, today, loan.tenure.months());
    if paid > loan.tenure.months() {
        warn(Field::PaidOnTime, format!("{paid} instalments on time, of {} in all", loan.tenure));
    } else if paid > due {
        warn(Field::PaidOnTime, format!("{paid} instalments on time, of {due} that have fallen due"));
    }
    if loan.started_on > today {
        warn(Field::StartDate, format!("starts on {}, in the future", loan.started_on));
    }
    if let Some(expected) = months_after(loan.started_on, loan.tenure.months())
        && !within_a_month(loan.ends_on, expected)
    {
        warn(Field::EndDate, format!("ends on {}, but {} months end on {expected}", loan.ends_on, loan.tenure));
    }
    warnings
}

/// Whether the instalments together are less than the principal, by more than a rupee each: many files round
/// instalments down to whole rupees.
fn repays_too_little(loan: &LoanRow) -> bool {
    let rounded_up = loan.instalment.amount() + Decimal::ONE;
    rounded_up * Decimal::from(loan.tenure.months()) < loan.principal.money().amount()
}

fn within_a_month(date: NaiveDate, expected: NaiveDate) -> bool {
    let (earlier, later) = match date.cmp(&expected) {
        Ordering::Less => (date, expected),
        Ordering::Equal | Ordering::Greater => (expected, date),
    };
    earlier.checked_add_months(Months::new(1)).is_none_or(|limit| later <= limit)
}
