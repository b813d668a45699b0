//! What a reader is shown of a loan: each instalment with what is paid of it and when, what is overdue and since when,
//! and how it stands in a word.

use aggregates::loan::account::{Account, InstalmentState, Overdue};
use aggregates::loan::{LoanStatus, LoanTerms};
use rstest::rstest;
use serde_json::to_value;

use crate::loans::{after, given, importing, opening, repay, reverse, settle, terms, write_off};
use crate::support::{date, money, repayment_amount, repayment_record, tenure};

use InstalmentState::{Due, Overdue as Late, Paid, PartlyPaid, Upcoming};

/// The first four instalments of the loan with so much repaid, on a day.
fn states(repayments: &[(&str, &str)], on: &str) -> [InstalmentState; 4] {
    let loan = after((1..).zip(repayments).map(|(id, (amount, paid_on))| repay(id, amount, paid_on)));
    let account = loan.account().unwrap();
    let states: Vec<_> = account.instalments().iter().take(4).map(|one| one.state(date(on))).collect();
    states.try_into().unwrap()
}

#[rstest]
#[case::on_the_first_day(&[], "2026-03-14", [Upcoming, Upcoming, Upcoming, Upcoming])]
#[case::in_the_first_month(&[], "2026-03-15", [Due, Upcoming, Upcoming, Upcoming])]
#[case::on_the_due_date(&[], "2026-04-14", [Due, Upcoming, Upcoming, Upcoming])]
#[case::the_day_after(&[], "2026-04-15", [Late, Due, Upcoming, Upcoming])]
#[case::two_late(&[], "2026-05-15", [Late, Late, Due, Upcoming])]
#[case::paid(&[("8884.88", "2026-04-14")], "2026-04-14", [Paid, Upcoming, Upcoming, Upcoming])]
#[case::paid_and_due(&[("8884.88", "2026-04-14")], "2026-04-15", [Paid, Due, Upcoming, Upcoming])]
#[case::partly_paid(&[("0.01", "2026-04-14")], "2026-04-14", [PartlyPaid, Upcoming, Upcoming, Upcoming])]
#[case::partly_paid_and_late(&[("8884.87", "2026-04-14")], "2026-04-15", [Late, Due, Upcoming, Upcoming])]
#[case::paid_ahead(&[("20000", "2026-03-20")], "2026-03-20", [Paid, Paid, PartlyPaid, Upcoming])]
fn an_instalment_stands_by_its_month_and_what_is_paid(
    #[case] repayments: &[(&str, &str)],
    #[case] on: &str,
    #[case] expected: [InstalmentState; 4],
) {
    assert_eq!(states(repayments, on), expected);
}

#[rstest]
#[case(Paid, "paid")]
#[case(PartlyPaid, "partly_paid")]
#[case(Due, "due")]
#[case(Late, "overdue")]
#[case(Upcoming, "upcoming")]
fn a_state_has_a_stable_name(#[case] state: InstalmentState, #[case] name: &str) {
    assert_eq!(to_value(state).unwrap(), name);
}

#[test]
fn an_instalment_says_when_it_was_paid_in_full_and_whether_on_time() {
    let loan =
        after([repay(1, "5000", "2026-04-10"), repay(2, "3884.88", "2026-04-15"), repay(3, "9000", "2026-05-14")]);
    let account = loan.account().unwrap();
    let told = |place: usize| {
        let one = &account.instalments()[place];
        (one.interest_paid, one.principal_paid, one.paid_on, one.is_on_time())
    };
    assert_eq!(told(0), (money("1000"), money("7884.88"), Some(date("2026-04-15")), Some(false)));
    assert_eq!(told(1), (money("921.15"), money("7963.73"), Some(date("2026-05-14")), Some(true)));
    assert_eq!(told(2), (money("115.12"), money("0"), None, None));
    assert_eq!((account.instalments_paid(), account.instalments_paid_on_time()), (2, 1));
    assert_eq!(account.last_paid_on(), Some(date("2026-05-14")));
}

#[test]
fn what_was_paid_before_the_import_is_on_time_on_a_day_that_nobody_knows() {
    let account = given([importing(terms(), 2)]).account().unwrap();
    let told: Vec<_> = account.instalments().iter().take(3).map(|one| (one.paid_on, one.is_on_time())).collect();
    assert_eq!(told, [(None, Some(true)), (None, Some(true)), (None, None)]);
    assert_eq!((account.instalments_paid(), account.instalments_paid_on_time()), (2, 2));
    assert_eq!((account.outstanding(), account.next_due_on()), (money("88848.77"), Some(date("2026-06-14"))));
}

#[test]
fn more_paid_before_the_import_than_there_is_counts_as_all_of_it() {
    let account = given([importing(terms(), u16::MAX)]).account().unwrap();
    assert_eq!((account.instalments_paid(), account.instalments_paid_on_time()), (12, 12));
    assert_eq!((account.outstanding(), account.next_due_on()), (money("0"), None));
}

#[test]
fn an_early_settlement_waives_what_the_months_to_come_would_have_asked() {
    let account = after([settle(1, "101000", "2026-04-14")]).account().unwrap();
    let [first, second, ..] = account.instalments() else { panic!("twelve instalments") };
    assert_eq!((first.interest_paid, first.interest_waived), (money("1000"), money("0")));
    assert_eq!((second.interest_paid, second.interest_waived), (money("0"), money("921.15")));
    assert_eq!((second.principal_paid, second.paid_on), (money("7963.73"), Some(date("2026-04-14"))));
    assert_eq!((second.state(date("2026-04-14")), second.is_on_time()), (Paid, Some(true)));
}

#[test]
fn a_reversed_repayment_pays_nothing() {
    let account = after([repay(1, "8884.88", "2026-04-14"), reverse(1)]).account().unwrap();
    assert_eq!(account, Account::of(&terms(), 0, &[]).unwrap());
}

#[test]
fn an_account_of_a_past_day_is_told_by_the_repayments_up_to_it() {
    let paid = |id, day| repayment_record(id, repayment_amount("8884.88"), date(day));
    let all = [paid(1, "2026-04-14"), paid(2, "2026-06-01")];
    let on = |repayments: &[_], day: &str| Account::of(&terms(), 0, repayments).unwrap().overdue(date(day)).unwrap();
    assert_eq!(on(&all[..1], "2026-05-31").map(|overdue| overdue.since), Some(date("2026-05-14")));
    assert_eq!(on(&all, "2026-06-01"), None);
}

/// Since when, how many, interest and principal.
type Told<'a> = Option<(&'a str, u16, &'a str, &'a str)>;

#[rstest]
#[case::on_the_due_date(&[], "2026-04-14", None)]
#[case::the_day_after(&[], "2026-04-15", Some(("2026-04-14", 1, "1000", "7884.88")))]
#[case::two(&[], "2026-05-15", Some(("2026-04-14", 2, "1921.15", "15848.61")))]
#[case::a_part_of_the_interest(&[("400", "2026-04-01")], "2026-04-15", Some(("2026-04-14", 1, "600", "7884.88")))]
#[case::a_paisa(&[("8884.87", "2026-04-01")], "2026-04-15", Some(("2026-04-14", 1, "0", "0.01")))]
#[case::the_second(&[("8884.88", "2026-04-01")], "2026-05-15", Some(("2026-05-14", 1, "921.15", "7963.73")))]
#[case::paid(&[("8884.88", "2026-04-01")], "2026-05-14", None)]
#[case::after_the_end(&[], "2030-01-01", Some(("2026-04-14", 12, "6618.53", "100000")))]
fn what_is_overdue_is_so_since_the_oldest_unpaid_instalment_fell_due(
    #[case] repayments: &[(&str, &str)],
    #[case] on: &str,
    #[case] told: Told<'_>,
) {
    let loan = after((1..).zip(repayments).map(|(id, (amount, paid_on))| repay(id, amount, paid_on)));
    let expected = told.map(|(since, instalments, interest, principal)| Overdue {
        since: date(since),
        instalments,
        amount: money(interest).plus(money(principal)).unwrap(),
        interest: money(interest),
        principal: money(principal),
    });
    assert_eq!(loan.account().unwrap().overdue(date(on)), Ok(expected));
}

#[test]
fn instalments_of_nothing_are_neither_next_nor_overdue() {
    let asks_only_the_last = LoanTerms { instalment: money("0"), tenure: tenure(12), ..terms() };
    let account = given([importing(asks_only_the_last, 0)]).account().unwrap();
    assert_eq!(account.next_due_on(), Some(date("2027-03-14")));
    assert_eq!(account.overdue(date("2027-03-14")), Ok(None));
    let overdue = account.overdue(date("2027-03-15")).unwrap().unwrap();
    assert_eq!((overdue.since, overdue.instalments, overdue.amount), (date("2027-03-14"), 1, money("101000")));
}

#[rstest]
#[case::active(Some("2026-04-14"), None, "2026-04-14", LoanStatus::Active)]
#[case::overdue(Some("2026-04-14"), None, "2026-04-15", LoanStatus::Overdue)]
#[case::written_off(Some("2026-04-14"), Some("2026-04-14"), "2026-04-14", LoanStatus::WrittenOff)]
#[case::written_off_and_overdue(Some("2026-04-14"), Some("2026-06-01"), "2027-01-01", LoanStatus::WrittenOff)]
#[case::settled(None, None, "2026-04-15", LoanStatus::Settled)]
#[case::recovered(None, Some("2026-04-14"), "2026-04-15", LoanStatus::Settled)]
fn a_loan_stands_by_what_is_due_next(
    #[case] next_due_on: Option<&str>,
    #[case] written_off_on: Option<&str>,
    #[case] on: &str,
    #[case] expected: LoanStatus,
) {
    assert_eq!(LoanStatus::on(date(on), next_due_on.map(date), written_off_on.map(date)), expected);
}

#[rstest]
#[case(LoanStatus::Active, "active")]
#[case(LoanStatus::Overdue, "overdue")]
#[case(LoanStatus::WrittenOff, "written_off")]
#[case(LoanStatus::Settled, "settled")]
fn a_status_has_a_stable_name(#[case] status: LoanStatus, #[case] name: &str) {
    assert_eq!(to_value(status).unwrap(), name);
    assert_eq!((status.name(), LoanStatus::from_name(name)), (name, Some(status)));
    assert_eq!(LoanStatus::from_name("Active"), None);
}

#[test]
fn a_loan_s_life_is_told_in_its_status() {
    let status = |loan: &aggregates::loan::Loan, on: &str| {
        LoanStatus::on(date(on), loan.account().unwrap().next_due_on(), loan.written_off_on())
    };
    let mut loan = given([opening()]);
    let mut then = |command, on: &str| {
        crate::loans::happen(&mut loan, command);
        status(&loan, on)
    };
    assert_eq!(then(repay(1, "8884.88", "2026-04-14"), "2026-05-14"), LoanStatus::Active);
    assert_eq!(then(repay(2, "8884.87", "2026-05-14"), "2026-05-15"), LoanStatus::Overdue);
    assert_eq!(then(repay(3, "88848.78", "2026-05-15"), "2026-05-15"), LoanStatus::Settled);
    assert_eq!(then(reverse(3), "2026-05-15"), LoanStatus::Overdue);
    assert_eq!(then(write_off(), "2026-05-15"), LoanStatus::WrittenOff);
    assert_eq!(then(settle(4, "84992.91", "2026-05-15"), "2026-05-15"), LoanStatus::Settled);
}
