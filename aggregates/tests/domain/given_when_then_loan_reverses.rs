//! Given a loan's repayments, when one is reversed, then how those that remain are allocated, or a refusal.

use aggregates::customer::RecordReversal;
use aggregates::loan::{Loan, LoanCommand, LoanEvent, LoanRefusal, Reallocation, RepaymentReversed, Reversal};
use cqrs_es::test::TestFramework;
use rstest::rstest;

use crate::loans::{after, given, happen, importing, opening, reason, refused, repay, reverse, settle, terms};
use crate::support::{at, customer_id, date, loan_id, money, repayment_amount, repayment_id};

/// The second of two instalments reversed, to be changed field by field.
fn reversed() -> RepaymentReversed {
    RepaymentReversed {
        repayment_id: repayment_id(2),
        loan_id: loan_id(7),
        customer_id: customer_id(1),
        amount: repayment_amount("8884.88"),
        reason: reason(),
        instalments_paid: 1,
        instalments_paid_on_time: 1,
        outstanding: money("97733.65"),
        outstanding_principal: money("92115.12"),
        reallocated: Vec::new(),
        last_paid_on: Some(date("2026-04-14")),
        reversed_on: date("2028-01-01"),
        reversed_at: at(),
    }
}

fn ordinary(id: i64, interest: &str, principal: &str) -> Reallocation {
    Reallocation {
        repayment_id: repayment_id(id),
        interest: money(interest),
        principal: money(principal),
        settles_loan_early: false,
        interest_waived: money("0"),
    }
}

/// Two instalments, each paid on its due date.
fn two_paid() -> [LoanCommand; 2] {
    [repay(1, "8884.88", "2026-04-14"), repay(2, "8884.88", "2026-05-14")]
}

fn expect(before: impl IntoIterator<Item = LoanCommand>, id: i64, expected: RepaymentReversed) {
    let mut loan = given([opening()]);
    let mut past = vec![opening()];
    past.extend(before.into_iter().map(|command| happen(&mut loan, command)));
    let expected = vec![LoanEvent::RepaymentReversed(expected)];
    TestFramework::<Loan>::with(()).given(past).when(reverse(id)).then_expect_events(expected);
}

#[test]
fn the_last_one_leaves_the_others_as_they_were() {
    expect(two_paid(), 2, reversed());
}

#[test]
fn an_earlier_one_lets_the_later_pay_what_it_paid_and_later() {
    let expected = RepaymentReversed {
        repayment_id: repayment_id(1),
        instalments_paid_on_time: 0,
        reallocated: vec![ordinary(2, "1000", "7884.88")],
        last_paid_on: Some(date("2026-05-14")),
        ..reversed()
    };
    expect(two_paid(), 1, expected);
}

#[test]
fn only_those_that_are_split_otherwise_are_named() {
    let three = [
        repay(1, "600", "2026-03-20"),
        repay(2, "600", "2026-03-21"),
        repay(3, "0.01", "2026-03-22"),
        repay(4, "0.01", "2026-03-23"),
    ];
    let expected = RepaymentReversed {
        repayment_id: repayment_id(1),
        amount: repayment_amount("600"),
        instalments_paid: 0,
        instalments_paid_on_time: 0,
        outstanding: money("106018.51"),
        outstanding_principal: money("100000"),
        reallocated: vec![ordinary(2, "600", "0"), ordinary(3, "0.01", "0"), ordinary(4, "0.01", "0")],
        last_paid_on: Some(date("2026-03-23")),
        ..reversed()
    };
    expect(three.clone(), 1, expected.clone());
    let last_but_one = RepaymentReversed {
        repayment_id: repayment_id(3),
        amount: repayment_amount("0.01"),
        outstanding: money("105418.52"),
        outstanding_principal: money("99799.99"),
        reallocated: Vec::new(),
        ..expected
    };
    expect(three, 3, last_but_one);
}

#[test]
fn the_only_one_gives_back_the_untouched_loan() {
    let expected = RepaymentReversed {
        repayment_id: repayment_id(1),
        amount: repayment_amount("106618.53"),
        instalments_paid: 0,
        instalments_paid_on_time: 0,
        outstanding: money("106618.53"),
        outstanding_principal: money("100000"),
        last_paid_on: None,
        ..reversed()
    };
    expect([repay(1, "106618.53", "2026-04-14")], 1, expected);
    let mut loan = after([repay(1, "106618.53", "2026-04-14"), reverse(1)]);
    assert_eq!(loan.account(), given([opening()]).account());
    happen(&mut loan, repay(2, "1", "2026-03-20"));
    assert_eq!(loan.account().unwrap().last_paid_on(), Some(date("2026-03-20")), "it may be dated earlier now");
}

#[test]
fn an_imported_loan_stands_again_as_it_was_taken_over() {
    let mut loan = given([importing(terms(), 3)]);
    happen(&mut loan, repay(1, "20000", "2026-08-01"));
    let reversed = happen(&mut loan, reverse(1));
    let reversed = reversed.reversal().unwrap();
    assert_eq!((reversed.instalments_paid, reversed.instalments_paid_on_time), (3, 3));
    assert_eq!((reversed.outstanding, reversed.outstanding_principal), (money("79963.89"), money("76108.02")));
    assert_eq!(loan.account(), given([importing(terms(), 3)]).account());
}

#[test]
fn an_early_settlement_brings_the_schedule_back() {
    let settled = [repay(1, "8884.88", "2026-04-14"), settle(2, "92115.12", "2026-04-14")];
    expect(settled, 2, RepaymentReversed { amount: repayment_amount("92115.12"), ..reversed() });
}

#[test]
fn an_early_settlement_that_is_no_longer_enough_is_an_ordinary_repayment() {
    let settled = [repay(1, "8884.88", "2026-04-14"), settle(2, "92115.12", "2026-04-14")];
    let expected = RepaymentReversed {
        repayment_id: repayment_id(1),
        instalments_paid: 10,
        instalments_paid_on_time: 10,
        outstanding: money("14503.41"),
        outstanding_principal: money("14415.44"),
        reallocated: vec![ordinary(2, "6530.56", "85584.56")],
        ..reversed()
    };
    expect(settled.clone(), 1, expected);
    let mut loan = after(settled.into_iter().chain([reverse(1)]));
    let record = loan.repayments().last().unwrap();
    assert!(!record.settles_loan_early && record.interest_waived.is_zero());
    let last = happen(&mut loan, settle(3, "14415.44", "2026-04-14"));
    assert_eq!(last.early_settlement().unwrap().interest_waived, money("87.97"));
}

#[test]
fn an_early_settlement_that_is_enough_all_the_same_waives_what_the_reversed_one_had_paid() {
    let prepaid =
        [repay(1, "8884.88", "2026-04-14"), repay(2, "921.15", "2026-04-14"), settle(3, "92115.12", "2026-04-14")];
    let expected = RepaymentReversed {
        amount: repayment_amount("921.15"),
        instalments_paid: 12,
        instalments_paid_on_time: 12,
        outstanding: money("0"),
        outstanding_principal: money("0"),
        reallocated: vec![Reallocation {
            settles_loan_early: true,
            interest_waived: money("5618.53"),
            ..ordinary(3, "0", "92115.12")
        }],
        ..reversed()
    };
    assert_eq!(RecordReversal::from(&expected).settled_on, Some(date("2026-04-14")));
    expect(prepaid, 2, expected);
}

#[test]
fn there_is_no_such_repayment() {
    let loan = after(two_paid());
    assert_eq!(refused(&loan, reverse(3)), LoanRefusal::NoSuchRepayment(repayment_id(3)));
    assert_eq!(refused(&given([opening()]), reverse(1)), LoanRefusal::NoSuchRepayment(repayment_id(1)));
}

#[test]
fn it_is_reversed_once() {
    let mut loan = after(two_paid());
    happen(&mut loan, reverse(1));
    assert_eq!(refused(&loan, reverse(1)), LoanRefusal::AlreadyReversed(repayment_id(1)));
    happen(&mut loan, reverse(2));
    assert_eq!(loan.account(), given([opening()]).account());
}

#[test]
fn the_past_folds_into_records() {
    let mut loan = after(two_paid());
    happen(&mut loan, reverse(1));
    let [first, second] = loan.repayments() else { panic!("{:?}", loan.repayments()) };
    let reversal = Reversal { reversed_on: date("2028-01-01"), reason: reason() };
    assert_eq!((&first.reversed, &second.reversed), (&Some(reversal), &None));
    assert_eq!((first.interest, first.principal), (money("1000"), money("7884.88")), "as it was");
    assert_eq!((second.interest, second.principal), (money("1000"), money("7884.88")), "as it is now");
    let account = loan.account().unwrap();
    assert_eq!((account.instalments_paid(), account.instalments_paid_on_time()), (1, 0));
    assert_eq!((account.outstanding(), account.last_paid_on()), (money("97733.65"), Some(date("2026-05-14"))));
}

#[rstest]
#[case::left_to_pay("97733.65", None)]
#[case::settled_all_the_same("0", Some("2026-04-14"))]
fn the_customer_is_told_what_matters_for_credit(#[case] outstanding: &str, #[case] settled_on: Option<&str>) {
    let told = RecordReversal::from(&RepaymentReversed { outstanding: money(outstanding), ..reversed() });
    assert_eq!((told.loan_id, told.repayment_id, told.at), (loan_id(7), repayment_id(2), at()));
    assert_eq!((told.instalments_paid_on_time, told.settled_on), (1, settled_on.map(date)));
}
