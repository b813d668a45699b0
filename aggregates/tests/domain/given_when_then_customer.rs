//! Given a customer's past, when a command comes, then these events or this refusal: registration, import and loans
//! carried over.

use aggregates::customer::{
    CarryOverLoan, Customer, CustomerCommand, CustomerEvent, CustomerImported, CustomerRefusal, CustomerRegistered,
    ImportCustomer, LoanCarriedOver, RegisterCustomer,
};
use aggregates::money::Money;
use aggregates::profile::{CreditProfile, LoanRecord};
use cqrs_es::Aggregate;
use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use rstest::rstest;

use crate::support::{
    application, apply, at, customer_id, date, imported, income, loan_id, loan_record, money, personal, registered,
    standard,
};

fn given(events: Vec<CustomerEvent>) -> AggregateTestExecutor<Customer> {
    TestFramework::with(()).given(events)
}

fn given_nothing() -> AggregateTestExecutor<Customer> {
    TestFramework::with(()).given_no_previous_events()
}

fn register(monthly_income: &str) -> CustomerCommand {
    CustomerCommand::Register(RegisterCustomer {
        customer_id: customer_id(1),
        personal: personal(),
        monthly_income: income(monthly_income),
        at: at(),
    })
}

fn import(external_id: Option<&str>, current_debt: Option<Money>) -> CustomerCommand {
    CustomerCommand::Import(ImportCustomer {
        customer_id: customer_id(1),
        external_id: external_id.map(str::to_owned),
        personal: personal(),
        monthly_income: income("50000"),
        approved_limit: money("1700000.50"),
        current_debt,
        at: at(),
    })
}

fn carry_over(loan: LoanRecord) -> CustomerCommand {
    CustomerCommand::CarryOverLoan(CarryOverLoan { loan, at: at() })
}

fn carried_over(loan: LoanRecord) -> CustomerEvent {
    CustomerEvent::LoanCarriedOver(LoanCarriedOver { loan, imported_at: at() })
}

#[rstest]
#[case("12499", "400000")]
#[case("12500", "500000")]
#[case("1388", "0")]
#[case("1000000000", "36000000000")]
fn a_new_customer_registers_with_a_limit_from_the_income(#[case] monthly_income: &str, #[case] limit: &str) {
    given_nothing().when(register(monthly_income)).then_expect_events(vec![CustomerEvent::CustomerRegistered(
        CustomerRegistered {
            customer_id: customer_id(1),
            personal: personal(),
            monthly_income: income(monthly_income),
            approved_limit: money(limit),
            registered_at: at(),
        },
    )]);
}

#[rstest]
#[case::with_all_it_has(Some("CUST-0001"), Some(money("12.34")))]
#[case::with_the_least(None, None)]
fn a_customer_of_another_system_keeps_its_limit(#[case] external_id: Option<&str>, #[case] debt: Option<Money>) {
    given_nothing().when(import(external_id, debt)).then_expect_events(vec![CustomerEvent::CustomerImported(
        CustomerImported {
            customer_id: customer_id(1),
            external_id: external_id.map(str::to_owned),
            personal: personal(),
            monthly_income: income("50000"),
            approved_limit: money("1700000.50"),
            current_debt: debt,
            imported_at: at(),
        },
    )]);
}

#[rstest]
#[case::registered(registered("50000", "1800000"))]
#[case::imported(imported("50000", "1700000"))]
fn nobody_becomes_a_customer_twice(#[case] past: CustomerEvent) {
    for again in [register("50000"), import(None, None)] {
        given(vec![past.clone()]).when(again).then_expect_error(CustomerRefusal::AlreadyRegistered);
    }
}

#[rstest]
#[case::an_application(apply(application("1000", "12", 12), &standard(), "2026-03-14"))]
#[case::a_loan_to_carry_over(carry_over(loan_record(7)))]
#[case::even_one_that_ends_before_it_starts(carry_over(LoanRecord { ends_on: date("2025-03-13"), ..loan_record(7) }))]
fn only_a_customer_has_loans(#[case] command: CustomerCommand) {
    given_nothing().when(command).then_expect_error(CustomerRefusal::NotRegistered);
}

#[rstest]
#[case::as_it_is(loan_record(7))]
#[case::over_the_limit(LoanRecord { principal: crate::support::principal("10000000000"), ..loan_record(7) })]
#[case::ending_on_the_day_it_starts(LoanRecord { ends_on: date("2025-03-14"), ..loan_record(7) })]
#[case::with_more_on_time_than_its_tenure(LoanRecord { instalments_paid_on_time: u16::MAX, ..loan_record(7) })]
fn a_loan_of_another_system_is_taken_as_it_stands(#[case] loan: LoanRecord) {
    given(vec![imported("50000", "1700000")])
        .when(carry_over(loan.clone()))
        .then_expect_events(vec![carried_over(loan)]);
}

#[test]
fn a_registered_customer_may_bring_loans_along_too() {
    given(vec![registered("50000", "1800000"), carried_over(loan_record(6))])
        .when(carry_over(loan_record(7)))
        .then_expect_events(vec![carried_over(loan_record(7))]);
}

#[test]
fn a_loan_is_carried_over_once() {
    given(vec![imported("50000", "1700000"), carried_over(loan_record(6)), carried_over(loan_record(7))])
        .when(carry_over(LoanRecord { ends_on: date("2020-01-01"), ..loan_record(7) }))
        .then_expect_error(CustomerRefusal::LoanAlreadyKnown(loan_id(7)));
}

#[test]
fn a_loan_does_not_end_before_it_starts() {
    given(vec![imported("50000", "1700000")])
        .when(carry_over(LoanRecord { ends_on: date("2025-03-13"), ..loan_record(7) }))
        .then_expect_error(CustomerRefusal::EndsBeforeStart {
            started_on: date("2025-03-14"),
            ends_on: date("2025-03-13"),
        });
}

#[test]
fn refusals_are_sentences() {
    let refusals = [
        CustomerRefusal::AlreadyRegistered,
        CustomerRefusal::NotRegistered,
        CustomerRefusal::LoanAlreadyKnown(loan_id(7)),
        CustomerRefusal::UnknownLoan(loan_id(7)),
        CustomerRefusal::EndsBeforeStart { started_on: date("2025-03-14"), ends_on: date("2025-03-13") },
        CustomerRefusal::EndsBeyondCalendar,
        CustomerRefusal::OutOfRange(aggregates::money::OutOfRange),
    ];
    let sentences: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    insta::assert_json_snapshot!(sentences, @r#"
    [
      "the customer is registered already",
      "there is no such customer",
      "the customer has loan 7 already",
      "the customer has no loan 7",
      "the loan ends on 2025-03-13, before it starts on 2025-03-14",
      "the loan would end beyond the calendar",
      "the amount is out of range"
    ]
    "#);
}

#[test]
fn the_past_folds_into_a_profile() {
    let mut customer = Customer::default();
    assert_eq!(customer.profile(), None);
    customer.apply(imported("50000", "1700000"));
    customer.apply(carried_over(loan_record(7)));
    customer.apply(carried_over(loan_record(8)));
    let mut expected = CreditProfile::new(income("50000"), money("1700000"));
    expected.loans = vec![loan_record(7), loan_record(8)];
    assert_eq!(customer.profile(), Some(&expected));
}

#[test]
fn a_loan_of_nobody_makes_nobody_a_customer() {
    let mut customer = Customer::default();
    customer.apply(carried_over(loan_record(7)));
    assert_eq!(customer, Customer::default());
}
