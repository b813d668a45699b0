//! Made-up loans of a made-up customer, all granted before the books are closed on a fixed day.

use aggregates::calendar::months_passed;
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::{Days, Months, NaiveDate};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::draw::{Draw, Stream, scattered};
use super::people::Person;
use super::{GenerateError, GenerateSpec};

/// The years in which loans start; the day after the last is the one on which the books are closed.
const FIRST_YEAR: i32 = 2010;
const LAST_YEAR: i32 = 2024;
const LAKH: u64 = 100_000;
const MAX_LOAN_LAKHS: u64 = 10;
/// A single loan is at most this part of the limit.
const LOANS_PER_LIMIT: u64 = 3;
/// An instalment without interest is at most this part of the income.
const INCOME_PER_INSTALMENT: u64 = 4;
/// What can have been repaid in full before the books are closed.
const LONGEST_REPAID_MONTHS: u64 = 150;
/// How far a loan's punctuality is from its borrower's.
const JITTER_PERCENT: u64 = 10;
const TENURE_MONTHS: (u64, u64) = (3, 180);
/// Hundredths of a percent a year.
const RATE_HUNDREDTHS: (u64, u64) = (800, 1_800);
/// Of this many loans, one has the id of another customer's loan, as in real files.
const LOANS_PER_SHARED_ID: u32 = 30;
/// Of this many loans that would exceed the approved limit, one does.
const LOANS_PER_EXCESS: u64 = 10;
const FIRST_LOAN_ID: u64 = 1_000;
const MIN_LOAN_IDS: u64 = 9_000;
const LOAN_IDS_PER_LOAN: u64 = 3;

/// Ids of loans: scattered, and unique but for a few that stand on loans of two customers.
pub(super) struct LoanIds {
    first: u64,
    start: u64,
    range: u64,
    given: u32,
    shareable: (u32, u64),
}

impl LoanIds {
    pub(super) fn new(spec: GenerateSpec) -> Self {
        let range = (u64::from(spec.loans) * LOAN_IDS_PER_LOAN).max(MIN_LOAN_IDS);
        let start = Draw::new(spec.seed, Stream::LoanIds).below(range);
        Self { first: FIRST_LOAN_ID + u64::from(spec.ids_above), start, range, given: 0, shareable: (0, 0) }
    }

    pub(super) fn next(&mut self, customer: u32) -> u64 {
        self.given += 1;
        let id = self.first + scattered(self.start, u64::from(self.given), self.range);
        match self.given % LOANS_PER_SHARED_ID {
            1 => self.shareable = (customer, id),
            0 if self.shareable.0 != customer => return self.shareable.1,
            _ => {}
        }
        id
    }
}

pub(super) struct Loan {
    pub(super) principal: Principal,
    pub(super) tenure: Tenure,
    pub(super) rate: Rate,
    pub(super) paid_on_time: u16,
    pub(super) started_on: NaiveDate,
    pub(super) ends_on: NaiveDate,
}

impl Loan {
    /// A loan that its borrower can afford; with the current ones it mostly stays below the approved limit.
    pub(super) fn draw(draw: &mut Draw, person: &Person, current_lakhs: &mut u64) -> Result<Self, GenerateError> {
        let limit_lakhs = (person.limit.amount() / Decimal::from(LAKH)).to_u64().unwrap_or_default();
        let lakhs = draw.between((1, (limit_lakhs / LOANS_PER_LIMIT).clamp(1, MAX_LOAN_LAKHS)));
        let (shortest, longest) = TENURE_MONTHS;
        let affordable = (lakhs * LAKH * INCOME_PER_INSTALMENT).div_ceil(person.income).clamp(shortest, longest);
        let mut months = draw.low_between((affordable, longest));
        let rate = draw.between(RATE_HUNDREDTHS);
        let (first_day, closing) = (january_first(FIRST_YEAR)?, january_first(LAST_YEAR + 1)?);
        let mut started_on = draw_day(draw, first_day, closing)?;
        let mut ends_on = end(started_on, months)?;
        if ends_on >= closing {
            if *current_lakhs + lakhs <= limit_lakhs || draw.below(LOANS_PER_EXCESS) == 0 {
                *current_lakhs += lakhs;
            } else {
                months = months.min(LONGEST_REPAID_MONTHS);
                let before = closing.checked_sub_months(in_months(months)?).ok_or(GenerateError::Date)?;
                started_on = draw_day(draw, first_day, before)?;
                ends_on = end(started_on, months)?;
            }
        }
        let tenure = Tenure::try_from(u16::try_from(months).unwrap_or_default())?;
        let due = months_passed(started_on, closing, tenure.months());
        let percent =
            draw.between((person.punctuality - JITTER_PERCENT, (person.punctuality + JITTER_PERCENT).min(100)));
        Ok(Self {
            principal: Principal::try_from(Decimal::from(lakhs * LAKH))?,
            tenure,
            rate: Rate::try_from(Decimal::from(rate) / Decimal::ONE_HUNDRED)?,
            paid_on_time: u16::try_from(u64::from(due) * percent / 100).unwrap_or(due),
            started_on,
            ends_on,
        })
    }
}

fn january_first(year: i32) -> Result<NaiveDate, GenerateError> {
    NaiveDate::from_ymd_opt(year, 1, 1).ok_or(GenerateError::Date)
}

fn draw_day(draw: &mut Draw, first: NaiveDate, end: NaiveDate) -> Result<NaiveDate, GenerateError> {
    let days = u64::try_from((end - first).num_days()).map_err(|_| GenerateError::Date)?;
    first.checked_add_days(Days::new(draw.below(days))).ok_or(GenerateError::Date)
}

fn end(start: NaiveDate, months: u64) -> Result<NaiveDate, GenerateError> {
    start.checked_add_months(in_months(months)?).ok_or(GenerateError::Date)
}

fn in_months(months: u64) -> Result<Months, GenerateError> {
    u32::try_from(months).map(Months::new).map_err(|_| GenerateError::Date)
}
