//! What the properties draw from: every value within its input bound, and standings that a customer could have.

use aggregates::loan::LoanTerms;
use aggregates::money::Money;
use aggregates::person::MonthlyIncome;
use aggregates::policy::decision::Application;
use aggregates::profile::CreditStanding;
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::{Days, Months, NaiveDate};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::support::{customer_id, date, loan_id, tenure};

/// The highest principal, in paise.
const MAX_PRINCIPAL_PAISE: i64 = 1_000_000_000_000;
/// The highest monthly income, in paise.
const MAX_INCOME_PAISE: i64 = 100_000_000_000;
/// The highest limit that an income gives, in paise.
const MAX_LIMIT_PAISE: i64 = 3_600_000_000_000;
/// The highest rate, in ten-thousandths of a percent.
const MAX_RATE_UNITS: i64 = 1_000_000;

pub(crate) fn from_paise(paise: i64) -> Money {
    Money::try_from(Decimal::new(paise, 2)).expect("an amount")
}

/// From 1 to `max`, small and large numbers of digits equally likely.
fn any_size(max: i64) -> impl Strategy<Value = i64> {
    (0..=max.ilog10()).prop_flat_map(move |digits| {
        let lowest = 10_i64.pow(digits);
        lowest..=lowest.saturating_mul(10).saturating_sub(1).min(max)
    })
}

/// Zero and more.
pub(crate) fn amount(max_paise: i64) -> impl Strategy<Value = Money> {
    prop_oneof![1 => Just(0), 9 => any_size(max_paise)].prop_map(from_paise)
}

pub(crate) fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![8 => any_size(MAX_PRINCIPAL_PAISE), 1 => Just(1), 1 => Just(MAX_PRINCIPAL_PAISE)]
        .prop_map(|paise| Principal::try_from(from_paise(paise)).expect("a principal"))
}

pub(crate) fn monthly_income() -> impl Strategy<Value = MonthlyIncome> {
    any_size(MAX_INCOME_PAISE).prop_map(|paise| MonthlyIncome::try_from(from_paise(paise)).expect("an income"))
}

/// Whole percents often: they are what lenders use, and where halves of a paisa come from.
pub(crate) fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        4 => (0..=100_i64).prop_map(|percent| percent * 10_000),
        4 => any_size(MAX_RATE_UNITS),
        1 => Just(0),
        1 => Just(MAX_RATE_UNITS),
    ]
    .prop_map(|units| Rate::try_from(Decimal::new(units, 4)).expect("a rate"))
}

pub(crate) fn months() -> impl Strategy<Value = Tenure> {
    prop_oneof![4 => 1..=60_u16, 2 => 1..=480_u16, 1 => Just(1), 1 => Just(480)].prop_map(tenure)
}

/// Any day of two centuries, ends of months often.
pub(crate) fn day() -> impl Strategy<Value = NaiveDate> {
    let any = (0..73_000_u64).prop_map(|days| date("1900-01-01").checked_add_days(Days::new(days)).expect("a date"));
    let month_end = (1900..2100_i32, 1..=12_u32).prop_map(|(year, month)| {
        (28..=31).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month, day)).expect("a month has an end")
    });
    prop_oneof![any, month_end]
}

pub(crate) fn application() -> impl Strategy<Value = Application> {
    (principal(), rate(), months(), any::<bool>()).prop_map(
        |(principal, interest_rate, tenure, accept_corrected_rate)| Application {
            principal,
            interest_rate,
            tenure,
            accept_corrected_rate,
        },
    )
}

/// Terms of an imported loan, with whatever instalment: none, too low, around what repays it in time, far too high.
pub(crate) fn imported_terms() -> impl Strategy<Value = LoanTerms> {
    let percent_of_even_share = prop_oneof![1 => Just(0), 4 => 1..=100_i64, 4 => 100..=200_i64, 2 => 200..=2_000_i64];
    (principal(), rate(), months(), day(), percent_of_even_share).prop_map(
        |(principal, interest_rate, tenure, started_on, percent)| {
            let share = principal.money().amount() / Decimal::from(tenure.months());
            let instalment = Money::round(share * Decimal::from(percent) / Decimal::ONE_HUNDRED).expect("an amount");
            let ends_on = started_on + Months::new(u32::from(tenure.months()));
            let (loan_id, customer_id) = (loan_id(7), customer_id(1));
            LoanTerms { loan_id, customer_id, principal, interest_rate, tenure, instalment, started_on, ends_on }
        },
    )
}

/// Counts of loans taken and started this year, of instalments due and paid on time.
fn counts() -> impl Strategy<Value = (u32, u32, u32, u32)> {
    (0..8_u32).prop_flat_map(|taken| {
        let due = if taken == 0 { 0..=0 } else { 0..=taken * 480 };
        (Just(taken), 0..=taken, due).prop_flat_map(|(taken, this_year, due)| {
            let paid = prop_oneof![Just(0), Just(due), 0..=due];
            (Just(taken), Just(this_year), Just(due), paid)
        })
    })
}

/// A standing with or without loans: under, at and over the limit; instalments under and over half the income.
pub(crate) fn standing() -> impl Strategy<Value = CreditStanding> {
    let limit = prop_oneof![1 => Just(Money::ZERO), 9 => amount(MAX_LIMIT_PAISE)];
    let share_of_limit = prop_oneof![2 => Just(0), 1 => Just(1_000), 8 => 0..=1_000_i64, 1 => 1_001..=2_000_i64];
    (monthly_income(), limit, counts(), share_of_limit, 0..=700_i64, day()).prop_map(
        |(monthly_income, approved_limit, (taken, this_year, due, paid), of_limit, of_income, as_of)| {
            let has_loans = i64::from(taken > 0);
            let share = |of: Money, permille: i64| {
                let exact = of.amount() * Decimal::from(permille * has_loans) / Decimal::from(1_000);
                Money::round(exact).expect("a share")
            };
            let current_principal = share(approved_limit, of_limit);
            let current_instalments = share(monthly_income.money(), of_income);
            CreditStanding {
                as_of,
                monthly_income,
                approved_limit,
                loans_taken: taken,
                loans_started_this_year: this_year,
                instalments_due: due,
                instalments_paid_on_time: paid,
                current_loans: u32::from(!current_principal.is_zero()),
                current_principal,
                current_instalments: if current_principal.is_zero() { Money::ZERO } else { current_instalments },
            }
        },
    )
}

/// A standing, and an application of its size: amounts around what the limit and the income leave free.
pub(crate) fn standing_and_application() -> impl Strategy<Value = (CreditStanding, Application)> {
    (standing(), application(), 1..=1_500_i64, any::<bool>()).prop_map(|(standing, application, permille, of_limit)| {
        let all_income = standing.monthly_income.money().amount() * Decimal::from(application.tenure.months());
        let whole = if of_limit { standing.approved_limit.amount() } else { all_income };
        let amount = Money::round(whole * Decimal::from(permille) / Decimal::from(1_000)).expect("an amount");
        let principal = Principal::try_from(amount).unwrap_or(application.principal);
        (standing, Application { principal, ..application })
    })
}
