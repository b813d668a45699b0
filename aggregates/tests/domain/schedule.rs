//! The schedule that a loan follows: of the annuity, and of any instalment that another system asks.

use aggregates::instalments::{Instalment, instalment, schedule};
use aggregates::loan::LoanTerms;
use aggregates::loan::account::{Account, InstalmentProgress};
use aggregates::loan::schedule::Schedule;
use aggregates::money::{Money, OutOfRange};
use chrono::NaiveDate;
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;

use crate::exact::{interest, paise, rate_units};
use crate::strategies;
use crate::support::{cases, customer_id, date, loan_id, money, pay, principal, rate, tenure};

/// 1,000 rupees at 12% for three months: 340.02, 340.02 and 340.03.
fn terms() -> LoanTerms {
    LoanTerms {
        loan_id: loan_id(7),
        customer_id: customer_id(1),
        principal: principal("1000"),
        interest_rate: rate("12"),
        tenure: tenure(3),
        instalment: money("340.02"),
        started_on: date("2026-01-31"),
        ends_on: date("2026-04-30"),
    }
}

fn at(instalment: &str) -> LoanTerms {
    LoanTerms { instalment: money(instalment), ..terms() }
}

/// The loan's account after a sum was paid on its first day.
fn with_paid(terms: &LoanTerms, sum: Money) -> Result<Account, OutOfRange> {
    let mut account = Account::untouched(&Schedule::of(terms)?, 0)?;
    pay(&mut account, sum, terms.started_on)?;
    Ok(account)
}

/// Interest and principal paid, in all.
fn paid(account: &Account) -> (Money, Money) {
    let sum = |part: fn(&InstalmentProgress) -> Money| {
        account.instalments().iter().fold(Money::ZERO, |sum, line| sum.plus(part(line)).unwrap())
    };
    (sum(|line| line.interest_paid), sum(|line| line.principal_paid))
}

/// Interest, principal and balance of every line.
fn lines(terms: &LoanTerms) -> Vec<[String; 3]> {
    let schedule = Schedule::of(terms).unwrap();
    let line = |line: &Instalment| [line.interest, line.principal, line.balance].map(|amount| amount.to_string());
    schedule.instalments().iter().map(|scheduled| line(&scheduled.instalment)).collect()
}

#[rstest]
#[case::the_annuity("340.02", [["10.00", "330.02", "669.98"], ["6.70", "333.32", "336.66"], ["3.37", "336.66", "0.00"]])]
#[case::rounded_up("341", [["10.00", "331.00", "669.00"], ["6.69", "334.31", "334.69"], ["3.35", "334.69", "0.00"]])]
#[case::too_low("100", [["10.00", "90.00", "910.00"], ["9.10", "90.90", "819.10"], ["8.19", "819.10", "0.00"]])]
#[case::just_the_interest("10", [["10.00", "0.00", "1000.00"], ["10.00", "0.00", "1000.00"], ["10.00", "1000.00", "0.00"]])]
#[case::less_than_the_interest("4", [["4.00", "0.00", "1000.00"], ["4.00", "0.00", "1000.00"], ["10.00", "1000.00", "0.00"]])]
#[case::none("0", [["0.00", "0.00", "1000.00"], ["0.00", "0.00", "1000.00"], ["10.00", "1000.00", "0.00"]])]
#[case::high_but_not_paid_off_early("507", [["10.00", "497.00", "503.00"], ["5.03", "501.97", "1.03"], ["0.01", "1.03", "0.00"]])]
#[case::so_high_that_it_would_be_paid_off_early(
    "600", [["269.98", "330.02", "669.98"], ["266.68", "333.32", "336.66"], ["263.34", "336.66", "0.00"]]
)]
#[case::higher_than_the_loan(
    "2000", [["1669.98", "330.02", "669.98"], ["1666.68", "333.32", "336.66"], ["1663.34", "336.66", "0.00"]]
)]
fn an_instalment_stands_and_the_schedule_ends_at_zero(#[case] instalment: &str, #[case] expected: [[&str; 3]; 3]) {
    assert_eq!(lines(&at(instalment)), expected.map(|line| line.map(str::to_owned)));
}

#[test]
fn a_single_instalment_is_the_principal_and_its_interest_whatever_is_asked() {
    for instalment in ["0", "340.02", "1010", "5000"] {
        let only = LoanTerms { tenure: tenure(1), ..at(instalment) };
        assert_eq!(lines(&only), [["10.00", "1000.00", "0.00"].map(str::to_owned)]);
    }
}

#[test]
fn a_tiny_loan_is_paid_off_before_its_last_month_and_then_asks_nothing() {
    let tiny = LoanTerms { principal: principal("2.41"), interest_rate: rate("0"), tenure: tenure(480), ..at("0.01") };
    let schedule = Schedule::of(&tiny).unwrap();
    assert_eq!(schedule.total(), money("2.41"));
    assert_eq!(with_paid(&tiny, money("2.40")).unwrap().instalments_paid(), 240);
    assert_eq!(with_paid(&tiny, money("2.41")).unwrap().instalments_paid(), 480);
}

#[test]
fn a_last_instalment_that_absorbs_much_rounding_still_pays_its_interest() {
    // The annuity is 0.91 and leaves 1.18 to the last month; 0.92 would pay it all off early.
    let long = LoanTerms { principal: principal("90.19"), tenure: tenure(480), ..at("0.92") };
    let lines = lines(&long);
    assert_eq!(lines.first().unwrap(), &["0.91", "0.01", "90.18"]);
    assert_eq!(lines.last().unwrap(), &["0.01", "1.18", "0.00"]);
}

#[test]
fn instalments_fall_due_on_the_start_s_day_of_each_month() {
    let early_end = LoanTerms { ends_on: date("2026-03-01"), ..terms() };
    for terms in [terms(), early_end] {
        let schedule = Schedule::of(&terms).unwrap();
        let due: Vec<NaiveDate> = schedule.instalments().iter().map(|scheduled| scheduled.due_on).collect();
        assert_eq!(due, [date("2026-02-28"), date("2026-03-31"), date("2026-04-30")]);
    }
}

#[test]
fn what_falls_due_beyond_the_calendar_falls_due_on_its_last_day() {
    let schedule = Schedule::of(&LoanTerms { started_on: NaiveDate::MAX, ..terms() }).unwrap();
    assert!(schedule.instalments().iter().all(|scheduled| scheduled.due_on == NaiveDate::MAX));
}

#[test]
fn an_instalment_of_nothing_is_never_late() {
    let schedule = Schedule::of(&at("0")).unwrap();
    let on_time = |on: &str| schedule.instalments().iter().map(|due| due.is_on_time(date(on))).collect::<Vec<_>>();
    assert_eq!(on_time("2026-04-30"), [true, true, true]);
    assert_eq!(on_time("2026-05-01"), [true, true, false]);
}

#[rstest]
#[case("0", 0, "0.00", "0.00")]
#[case("4", 0, "4.00", "0.00")]
#[case("10", 0, "10.00", "0.00")]
#[case("10.01", 0, "10.00", "0.01")]
#[case("340.01", 0, "10.00", "330.01")]
#[case("340.02", 1, "10.00", "330.02")]
#[case("345", 1, "14.98", "330.02")]
#[case("680.04", 2, "16.70", "663.34")]
#[case("1020.06", 2, "20.07", "999.99")]
#[case("1020.07", 3, "20.07", "1000.00")]
fn what_is_paid_goes_to_the_oldest_instalment_first_and_there_to_interest(
    #[case] paid: &str,
    #[case] instalments_paid: u16,
    #[case] interest: &str,
    #[case] principal: &str,
) {
    let account = with_paid(&terms(), money(paid)).unwrap();
    let (total, lent) = (money("1020.07"), money("1000"));
    assert_eq!(self::paid(&account), (money(interest), money(principal)));
    assert_eq!(account.instalments_paid(), instalments_paid);
    assert_eq!(Some(account.outstanding()), total.minus(money(paid)));
    assert_eq!(Some(account.outstanding_principal()), lent.minus(money(principal)));
}

#[test]
fn no_more_is_paid_than_there_is() {
    assert_eq!(with_paid(&terms(), money("1020.08")), Err(OutOfRange));
}

#[test]
fn an_instalment_may_be_paid_in_part() {
    let account = with_paid(&terms(), money("350")).unwrap();
    let parts = account.instalments().iter().map(|line| (line.interest_paid, line.principal_paid));
    let part = |interest, principal| (money(interest), money(principal));
    assert_eq!(parts.collect::<Vec<_>>(), [part("10.00", "330.02"), part("6.70", "3.28"), part("0.00", "0.00")]);
}

#[test]
fn the_first_instalments_come_to_their_sum_and_there_are_no_more_than_all() {
    let schedule = Schedule::of(&terms()).unwrap();
    let sums = [0, 1, 2, 3, 4, u16::MAX].map(|count| schedule.total_of_first(count).unwrap().to_string());
    assert_eq!(sums, ["0.00", "340.02", "680.04", "1020.07", "1020.07", "1020.07"]);
}

#[test]
fn an_instalment_beyond_all_bounds_is_said_not_wrapped() {
    assert_eq!(Schedule::of(&at("1000000000000000000")), Err(OutOfRange));
}

/// Everything that a schedule promises, whatever instalment is asked.
fn check(terms: &LoanTerms) -> Result<(), TestCaseError> {
    let schedule = Schedule::of(terms).unwrap();
    let asked = paise(terms.instalment.amount());
    let last_number = terms.tenure.months();
    prop_assert_eq!(schedule.instalments().len(), usize::from(last_number));
    let (mut owed, mut total) = (paise(terms.principal.money().amount()), 0);
    for (number, scheduled) in (1..).zip(schedule.instalments()) {
        let line = scheduled.instalment;
        prop_assert_eq!(line.number, number);
        let accrued = interest(owed, rate_units(terms.interest_rate.percent()));
        let (charged, repaid) = (paise(line.interest.amount()), paise(line.principal.amount()));
        prop_assert!(repaid <= owed);
        owed -= repaid;
        prop_assert_eq!(paise(line.balance.amount()), owed);
        prop_assert!(charged >= accrued.min(asked), "line {} charges {}, not {}", number, charged, accrued);
        if owed > 0 {
            prop_assert_eq!(charged + repaid, asked, "line {}", number);
        }
        if owed > 0 || number == last_number {
            prop_assert!(charged == accrued || charged + repaid == asked);
        }
        total += charged + repaid;
    }
    prop_assert_eq!(owed, 0);
    prop_assert_eq!(paise(schedule.total().amount()), total);
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn whatever_instalment_is_asked_the_schedule_repays_the_principal_and_ends_at_zero(
        terms in strategies::imported_terms(),
    ) {
        check(&terms)?;
    }

    #[test]
    fn a_loan_opened_here_follows_the_annuity(terms in strategies::imported_terms()) {
        let LoanTerms { principal, interest_rate, tenure, .. } = terms;
        let opened = LoanTerms { instalment: instalment(principal, interest_rate, tenure).unwrap(), ..terms };
        let followed = Schedule::of(&opened).unwrap();
        let followed: Vec<_> = followed.instalments().iter().map(|scheduled| scheduled.instalment).collect();
        prop_assert_eq!(followed, schedule(principal, interest_rate, tenure).unwrap());
    }

    #[test]
    fn the_parts_of_every_sum_are_that_sum(terms in strategies::imported_terms(), permille in 0..=1_000_u32) {
        let schedule = Schedule::of(&terms).unwrap();
        let share = schedule.total().amount() * Decimal::from(permille);
        let sum = Money::round((share / Decimal::ONE_THOUSAND).trunc_with_scale(2)).unwrap();
        let account = with_paid(&terms, sum).unwrap();
        let (interest, principal) = paid(&account);
        prop_assert_eq!(interest.plus(principal), Ok(sum));
        prop_assert_eq!(account.outstanding().plus(sum), Ok(schedule.total()));
        prop_assert_eq!(account.outstanding_principal().plus(principal), Ok(terms.principal.money()));
        prop_assert!(schedule.total_of_first(account.instalments_paid()).unwrap() <= sum);
        // Instalments of nothing are paid with what comes first, so not before there is something.
        if !sum.is_zero() && account.instalments_paid() < terms.tenure.months() {
            prop_assert!(schedule.total_of_first(account.instalments_paid() + 1).unwrap() > sum);
        }
    }
}
