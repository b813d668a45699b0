//! Given a loan's past, when it is settled early or written off, then with how much, or a refusal.

use aggregates::customer::{RecordRepayment, RecordWriteOff};
use aggregates::loan::account::Settlement;
use aggregates::loan::{
    Loan, LoanCommand, LoanEvent, LoanRefusal, LoanSettledEarly, LoanTerms, LoanWrittenOff, SettleEarly,
};
use aggregates::money::OutOfRange;
use aggregates::repayment::Reference;
use cqrs_es::test::TestFramework;
use rstest::rstest;

use crate::loans::{
    after, given, happen, importing, opening, reason, refused, repay, reverse, settle, terms, write_off,
};
use crate::support::{at, customer_id, date, loan_id, money, repayment_amount, repayment_id};

#[rstest]
#[case::on_the_first_day(&[], "2026-03-14", ("100000", "0", "100000", "6618.53"))]
#[case::the_day_after(&[], "2026-03-15", ("101000", "1000", "100000", "5618.53"))]
#[case::on_the_due_date(&[], "2026-04-14", ("101000", "1000", "100000", "5618.53"))]
#[case::late(&[], "2026-04-15", ("101921.15", "1921.15", "100000", "4697.38"))]
#[case::after_the_end(&[], "2027-12-31", ("106618.53", "6618.53", "100000", "0"))]
#[case::with_one_paid(&[("8884.88", "2026-04-14")], "2026-04-14", ("92115.12", "0", "92115.12", "5618.53"))]
#[case::in_the_second_month(&[("8884.88", "2026-04-14")], "2026-04-15", ("93036.27", "921.15", "92115.12", "4697.38"))]
#[case::with_a_part_paid(&[("600", "2026-04-01")], "2026-04-01", ("100400", "400", "100000", "5618.53"))]
#[case::with_interest_prepaid(&[("10000", "2026-03-20")], "2026-03-20", ("91921.15", "0", "91921.15", "4697.38"))]
#[case::with_all_but_the_last_paid(&[("97733.68", "2026-03-20")], "2027-02-14", ("8796.88", "0", "8796.88", "87.97"))]
#[case::in_the_last_month(&[("97733.68", "2026-03-20")], "2027-02-15", ("8884.85", "87.97", "8796.88", "0"))]
#[case::with_everything_paid(&[("106618.53", "2026-03-20")], "2026-03-20", ("0", "0", "0", "0"))]
fn what_settles_a_loan_is_its_principal_and_the_interest_of_the_months_that_have_begun(
    #[case] repayments: &[(&str, &str)],
    #[case] on: &str,
    #[case] (amount, interest, principal, waived): (&str, &str, &str, &str),
) {
    let loan = after((1..).zip(repayments).map(|(id, (amount, paid_on))| repay(id, amount, paid_on)));
    let expected = Settlement {
        amount: money(amount),
        interest: money(interest),
        principal: money(principal),
        interest_waived: money(waived),
    };
    assert_eq!(loan.account().unwrap().settlement(date(on)), Ok(expected));
}

/// What settles the loan after its first instalment, on that instalment's due date.
fn settled() -> LoanSettledEarly {
    LoanSettledEarly {
        repayment_id: repayment_id(2),
        loan_id: loan_id(7),
        customer_id: customer_id(1),
        amount: repayment_amount("92115.12"),
        interest: money("0"),
        principal: money("92115.12"),
        interest_waived: money("5618.53"),
        paid_on: date("2026-04-14"),
        reference: None,
        instalments_paid: 12,
        instalments_paid_on_time: 12,
        settled_at: at(),
    }
}

fn with_one_paid() -> Vec<LoanEvent> {
    let mut loan = given([opening()]);
    vec![opening(), happen(&mut loan, repay(1, "8884.88", "2026-04-14"))]
}

#[test]
fn a_loan_is_settled_early_by_exactly_that() {
    let reference = Some(Reference::try_from("NEFT 77").unwrap());
    let LoanCommand::SettleEarly(command) = settle(2, "92115.12", "2026-04-14") else { panic!("a settlement") };
    let command = LoanCommand::SettleEarly(SettleEarly { reference: reference.clone(), ..command });
    let expected = LoanEvent::LoanSettledEarly(LoanSettledEarly { reference, ..settled() });
    TestFramework::<Loan>::with(()).given(with_one_paid()).when(command).then_expect_events(vec![expected]);
}

#[test]
fn instalments_that_were_late_when_it_was_settled_stay_late() {
    let settled = happen(&mut given([opening()]), settle(1, "102762.66", "2026-06-01"));
    let settled = settled.early_settlement().unwrap();
    assert_eq!((settled.instalments_paid, settled.instalments_paid_on_time), (12, 10));
    assert_eq!((settled.interest, settled.interest_waived), (money("2762.66"), money("3855.87")));
}

#[test]
fn a_settled_loan_owes_nothing_and_takes_nothing() {
    let loan = after([repay(1, "8884.88", "2026-04-14"), settle(2, "92115.12", "2026-04-14")]);
    let account = loan.account().unwrap();
    assert_eq!((account.outstanding(), account.outstanding_principal()), (money("0"), money("0")));
    assert_eq!((account.interest_waived(), account.next_due_on()), (money("5618.53"), None));
    assert!(account.instalments().iter().all(|instalment| instalment.is_paid()));
    assert_eq!(account.overdue(date("2028-01-01")), Ok(None));
    let settled = LoanRefusal::Settled(loan_id(7));
    assert_eq!(refused(&loan, repay(3, "0.01", "2026-04-14")), settled);
    assert_eq!(refused(&loan, settle(3, "0.01", "2026-04-14")), settled);
    assert_eq!(refused(&loan, write_off()), settled);
}

#[rstest]
#[case::a_paisa_less("92115.11")]
#[case::a_paisa_more("92115.13")]
#[case::all_that_is_outstanding("97733.65")]
fn another_amount_does_not_settle_it(#[case] amount: &str) {
    TestFramework::<Loan>::with(())
        .given(with_one_paid())
        .when(settle(2, amount, "2026-04-14"))
        .then_expect_error(LoanRefusal::SettlementAmount { expected: money("92115.12") });
}

#[test]
fn a_day_later_another_month_has_begun() {
    let refusal = refused(&given(with_one_paid()), settle(2, "92115.12", "2026-04-15"));
    assert_eq!(refusal, LoanRefusal::SettlementAmount { expected: money("93036.27") });
}

#[rstest]
#[case::tomorrow("2028-01-02", LoanRefusal::PaidInFuture { paid_on: date("2028-01-02"), today: date("2028-01-01") })]
#[case::before_the_start("2026-03-13", LoanRefusal::PaidBeforeStart {
    paid_on: date("2026-03-13"), started_on: date("2026-03-14")
})]
#[case::before_the_last_repayment("2026-04-13", LoanRefusal::OutOfOrder {
    paid_on: date("2026-04-13"), last_paid_on: date("2026-04-14")
})]
fn a_settlement_is_dated_like_any_repayment(#[case] paid_on: &str, #[case] refusal: LoanRefusal) {
    assert_eq!(refused(&given(with_one_paid()), settle(2, "92115.12", paid_on)), refusal);
}

#[test]
fn nobody_settles_as_of_a_day_long_past() {
    let dated = |paid_on: &str| {
        let LoanCommand::SettleEarly(command) = settle(1, "101000", paid_on) else { panic!("a settlement") };
        LoanCommand::SettleEarly(SettleEarly { today: date("2026-04-15"), ..command })
    };
    let opened = given([opening()]);
    let refusal = LoanRefusal::SettledTooLongAgo { paid_on: date("2026-03-14"), earliest: date("2026-03-15") };
    assert_eq!(refused(&opened, dated("2026-03-14")), refusal);
    assert!(opened.decide(dated("2026-03-15")).is_ok());
}

#[test]
fn a_loan_takes_a_bounded_number_of_repayments() {
    let full = after((1..=2_000).map(|id| repay(id, "0.01", "2026-03-20")));
    let refusal = refused(&full, repay(2_001, "0.01", "2026-03-20"));
    assert_eq!(refusal, LoanRefusal::TooManyRepayments(terms().loan_id));
    assert!(full.decide(reverse(7)).is_ok());
}

#[test]
fn a_loan_that_does_not_exist_has_no_life() {
    for command in [settle(1, "1", "2026-04-14"), reverse(1), write_off()] {
        TestFramework::<Loan>::with(())
            .given_no_previous_events()
            .when(command)
            .then_expect_error(LoanRefusal::NotOpened);
    }
}

#[test]
fn an_instalment_beyond_all_bounds_is_neither_settled_nor_written_off() {
    let loan = given([importing(LoanTerms { instalment: money("1000000000000000000"), ..terms() }, 0)]);
    for command in [settle(1, "1", "2026-04-14"), write_off()] {
        assert_eq!(refused(&loan, command), LoanRefusal::OutOfRange(OutOfRange));
    }
}

#[test]
fn the_customer_is_told_of_a_settlement_like_of_any_repayment() {
    let told = RecordRepayment::from(&settled());
    assert_eq!((told.loan_id, told.repayment_id, told.at), (loan_id(7), repayment_id(2), at()));
    assert_eq!((told.instalments_paid_on_time, told.settled_on), (12, Some(date("2026-04-14"))));
}

fn written_off(outstanding: &str, outstanding_principal: &str) -> LoanWrittenOff {
    LoanWrittenOff {
        loan_id: loan_id(7),
        customer_id: customer_id(1),
        outstanding: money(outstanding),
        outstanding_principal: money(outstanding_principal),
        reason: reason(),
        written_off_on: date("2028-01-01"),
        written_off_at: at(),
    }
}

#[rstest]
#[case::untouched(vec![opening()], "106618.53", "100000")]
#[case::with_one_paid(with_one_paid(), "97733.65", "92115.12")]
#[case::imported_with_one_paid(vec![importing(terms(), 1)], "97733.65", "92115.12")]
fn a_loan_is_written_off_with_what_is_left_to_pay(
    #[case] past: Vec<LoanEvent>,
    #[case] outstanding: &str,
    #[case] outstanding_principal: &str,
) {
    let expected = written_off(outstanding, outstanding_principal);
    let told = RecordWriteOff::from(&expected);
    assert_eq!((told.loan_id, told.written_off_on, told.at), (loan_id(7), date("2028-01-01"), at()));
    let expected = vec![LoanEvent::LoanWrittenOff(expected)];
    TestFramework::<Loan>::with(()).given(past).when(write_off()).then_expect_events(expected);
}

#[test]
fn it_is_written_off_once() {
    let loan = after([write_off()]);
    assert_eq!(loan.written_off_on(), Some(date("2028-01-01")));
    assert_eq!(refused(&loan, write_off()), LoanRefusal::AlreadyWrittenOff(loan_id(7)));
}

#[test]
fn an_imported_loan_with_every_instalment_paid_is_not_written_off() {
    assert_eq!(refused(&given([importing(terms(), 12)]), write_off()), LoanRefusal::Settled(loan_id(7)));
}

#[test]
fn what_is_recovered_after_a_write_off_is_taken_until_nothing_is_left() {
    let mut loan = after([write_off(), repay(1, "8884.88", "2026-04-14")]);
    assert_eq!(loan.account().unwrap().outstanding(), money("97733.65"));
    happen(&mut loan, reverse(1));
    assert_eq!(loan.account().unwrap().outstanding(), money("106618.53"));
    happen(&mut loan, settle(2, "101000", "2026-04-14"));
    assert_eq!(refused(&loan, write_off()), LoanRefusal::Settled(loan_id(7)));
    assert_eq!(loan.written_off_on(), Some(date("2028-01-01")));
}
