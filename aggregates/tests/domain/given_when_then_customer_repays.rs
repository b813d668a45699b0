//! Given a customer's past, when a loan of its is repaid, then what its next decisions are taken from, or a refusal.

use aggregates::customer::{
    Customer, CustomerCommand, CustomerEvent, CustomerRefusal, LoanCarriedOver, LoanWriteOffRecorded, RecordRepayment,
    RecordReversal, RecordWriteOff, RepaymentRecorded, RepaymentReversalRecorded,
};
use aggregates::policy::decision::ReasonCode;
use aggregates::profile::LoanRecord;
use cqrs_es::Aggregate;
use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use rstest::rstest;

use crate::support::{
    application, apply, at, codes, date, loan_id, loan_record, money, principal, registered, repayment_id, standard,
};

fn given(events: Vec<CustomerEvent>) -> AggregateTestExecutor<Customer> {
    TestFramework::with(()).given(events)
}

/// A customer that brought loans along.
fn with_loans(loans: Vec<LoanRecord>) -> Vec<CustomerEvent> {
    let carried_over =
        loans.into_iter().map(|loan| CustomerEvent::LoanCarriedOver(LoanCarriedOver { loan, imported_at: at() }));
    std::iter::once(registered("50000", "1800000")).chain(carried_over).collect()
}

fn record(loan: i64, instalments_paid_on_time: u16, settled_on: Option<&str>) -> CustomerCommand {
    CustomerCommand::RecordRepayment(RecordRepayment {
        loan_id: loan_id(loan),
        repayment_id: repayment_id(45),
        instalments_paid_on_time,
        settled_on: settled_on.map(date),
        at: at(),
    })
}

fn recorded(loan: i64, instalments_paid_on_time: u16, settled_on: Option<&str>) -> CustomerEvent {
    CustomerEvent::RepaymentRecorded(RepaymentRecorded {
        repayment_id: repayment_id(45),
        loan_id: loan_id(loan),
        instalments_paid_on_time,
        settled_on: settled_on.map(date),
        recorded_at: at(),
    })
}

fn record_reversal(loan: i64, instalments_paid_on_time: u16, settled_on: Option<&str>) -> CustomerCommand {
    CustomerCommand::RecordReversal(RecordReversal {
        loan_id: loan_id(loan),
        repayment_id: repayment_id(45),
        instalments_paid_on_time,
        settled_on: settled_on.map(date),
        at: at(),
    })
}

fn reversal_recorded(loan: i64, instalments_paid_on_time: u16, settled_on: Option<&str>) -> CustomerEvent {
    CustomerEvent::RepaymentReversalRecorded(RepaymentReversalRecorded {
        repayment_id: repayment_id(45),
        loan_id: loan_id(loan),
        instalments_paid_on_time,
        settled_on: settled_on.map(date),
        recorded_at: at(),
    })
}

fn record_write_off(loan: i64) -> CustomerCommand {
    let written_off_on = date("2026-03-14");
    CustomerCommand::RecordWriteOff(RecordWriteOff { loan_id: loan_id(loan), written_off_on, at: at() })
}

fn write_off_recorded(loan: i64) -> CustomerEvent {
    let written_off_on = date("2026-03-14");
    let recorded_at = at();
    CustomerEvent::LoanWriteOffRecorded(LoanWriteOffRecorded { loan_id: loan_id(loan), written_off_on, recorded_at })
}

#[rstest]
#[case::in_part(9, None)]
#[case::in_full(12, Some("2026-03-14"))]
fn a_repayment_is_recorded_as_its_loan_tells_it(#[case] on_time: u16, #[case] settled_on: Option<&str>) {
    given(with_loans(vec![loan_record(6), loan_record(7)]))
        .when(record(7, on_time, settled_on))
        .then_expect_events(vec![recorded(7, on_time, settled_on)]);
}

#[rstest]
#[case::left_to_pay(8, None)]
#[case::settled_all_the_same(12, Some("2026-03-14"))]
fn a_reversal_is_recorded_as_its_loan_tells_it(#[case] on_time: u16, #[case] settled_on: Option<&str>) {
    given(with_loans(vec![loan_record(6), loan_record(7)]))
        .when(record_reversal(7, on_time, settled_on))
        .then_expect_events(vec![reversal_recorded(7, on_time, settled_on)]);
}

#[test]
fn a_write_off_is_recorded_as_its_loan_tells_it() {
    given(with_loans(vec![loan_record(6), loan_record(7)]))
        .when(record_write_off(7))
        .then_expect_events(vec![write_off_recorded(7)]);
}

#[rstest]
#[case::repays(record(7, 1, None))]
#[case::has_a_repayment_reversed(record_reversal(7, 1, None))]
#[case::has_a_loan_written_off(record_write_off(7))]
fn only_a_customer(#[case] command: CustomerCommand) {
    TestFramework::<Customer>::with(())
        .given_no_previous_events()
        .when(command)
        .then_expect_error(CustomerRefusal::NotRegistered);
}

#[rstest]
fn only_a_loan_of_the_customer_s_is_spoken_of(
    #[values(Vec::new(), vec![loan_record(6)])] loans: Vec<LoanRecord>,
    #[values(record(7, 1, None), record_reversal(7, 1, None), record_write_off(7))] command: CustomerCommand,
) {
    given(with_loans(loans)).when(command).then_expect_error(CustomerRefusal::UnknownLoan(loan_id(7)));
}

#[test]
fn the_past_folds_into_the_one_loan_that_was_repaid() {
    let mut customer = Customer::default();
    for event in with_loans(vec![loan_record(6), loan_record(7), loan_record(8)]) {
        customer.apply(event);
    }
    customer.apply(recorded(7, 3, None));
    customer.apply(recorded(8, 12, Some("2026-03-14")));
    customer.apply(recorded(9, 1, None));
    let expected = [
        loan_record(6),
        LoanRecord { instalments_paid_on_time: 3, ..loan_record(7) },
        LoanRecord { instalments_paid_on_time: 12, settled_on: Some(date("2026-03-14")), ..loan_record(8) },
    ];
    assert_eq!(customer.profile().unwrap().loans, expected);
}

#[test]
fn a_reversal_takes_back_what_the_repayment_meant() {
    let mut customer = Customer::default();
    with_loans(vec![loan_record(6), loan_record(7)]).into_iter().for_each(|event| customer.apply(event));
    let before = customer.clone();
    customer.apply(recorded(7, 12, Some("2026-03-14")));
    assert_ne!(customer, before);
    customer.apply(reversal_recorded(7, 0, None));
    assert_eq!(customer, before);
    customer.apply(reversal_recorded(7, 12, Some("2026-03-13")));
    let settled = LoanRecord { instalments_paid_on_time: 12, settled_on: Some(date("2026-03-13")), ..loan_record(7) };
    assert_eq!(customer.profile().unwrap().loans, [loan_record(6), settled]);
}

#[test]
fn a_loan_that_is_written_off_stays_exposure() {
    let mut customer = Customer::default();
    with_loans(vec![loan_record(6), loan_record(7)]).into_iter().for_each(|event| customer.apply(event));
    let before = customer.profile().unwrap().standing(date("2026-03-14")).unwrap();
    customer.apply(write_off_recorded(7));
    let written_off = LoanRecord { written_off_on: Some(date("2026-03-14")), ..loan_record(7) };
    assert_eq!(customer.profile().unwrap().loans, [loan_record(6), written_off]);
    assert_eq!(customer.profile().unwrap().standing(date("2026-03-14")).unwrap(), before);
    assert_eq!(before.current_principal, money("200000"));
}

#[rstest]
#[case(recorded(7, 1, None))]
#[case(reversal_recorded(7, 1, None))]
#[case(write_off_recorded(7))]
fn what_is_told_of_nobody_s_loan_makes_nobody_a_customer(#[case] event: CustomerEvent) {
    let mut customer = Customer::default();
    customer.apply(event);
    assert_eq!(customer, Customer::default());
}

#[test]
fn what_is_paid_on_time_counts_in_the_next_decision_but_no_more_than_is_due() {
    let mut customer = Customer::default();
    for event in with_loans(vec![loan_record(7)]) {
        customer.apply(event);
    }
    let on_time = |customer: &Customer, on: &str| {
        customer.profile().unwrap().standing(date(on)).unwrap().instalments_paid_on_time
    };
    assert_eq!(on_time(&customer, "2025-09-14"), 0);
    customer.apply(recorded(7, 9, None));
    assert_eq!(on_time(&customer, "2025-09-14"), 6);
    assert_eq!(on_time(&customer, "2026-03-14"), 9);
}

/// The whole limit, lent until 2027, with no burden on the income worth speaking of.
fn the_whole_limit() -> LoanRecord {
    LoanRecord {
        principal: principal("1800000"),
        instalment: money("1000"),
        ends_on: date("2027-03-14"),
        ..loan_record(6)
    }
}

#[rstest]
#[case::repaid_in_part(Some(recorded(6, 12, None)), false)]
#[case::settled_the_day_after(Some(recorded(6, 12, Some("2026-03-15"))), false)]
#[case::settled_on_the_day(Some(recorded(6, 12, Some("2026-03-14"))), true)]
#[case::settled_before(Some(recorded(6, 12, Some("2026-01-01"))), true)]
#[case::not_repaid(None, false)]
fn a_settled_loan_frees_the_limit_for_the_next(#[case] repayment: Option<CustomerEvent>, #[case] freed: bool) {
    let past = with_loans(vec![the_whole_limit()]).into_iter().chain(repayment).collect();
    let asked = apply(application("100000", "16", 12), &standard(), "2026-03-14");
    let events = given(past).when(asked).inspect_result().unwrap();
    let decided = events.first().and_then(CustomerEvent::decision).expect("a decision");
    assert_eq!(decided.assessment.is_approved(), freed);
    assert_eq!(codes(decided.assessment).contains(&ReasonCode::LimitExceeded), !freed);
    assert_eq!(decided.assessment.standing.current_loans, u32::from(!freed));
    assert_eq!(decided.assessment.standing.loans_taken, 1);
}
