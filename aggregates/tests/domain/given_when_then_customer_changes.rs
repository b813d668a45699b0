//! Given a customer, when its income or phone number is known anew, then what changes with it, or nothing, or a refusal.

use aggregates::customer::{
    ChangeDetails, Customer, CustomerCommand, CustomerEvent, CustomerRefusal, MonthlyIncomeChanged, PhoneNumberChanged,
};
use aggregates::person::{ContactData, PhoneNumber};
use aggregates::policy::decision::ReasonCode;
use cqrs_es::Aggregate;
use cqrs_es::test::TestFramework;
use rstest::rstest;

use crate::support::{
    application, apply, at, codes, customer_id, imported, income, money, registered, repayment_id, standard,
};

/// The phone number that the tests' customers register with.
const KNOWN: &str = "9876543210";

fn phone(digits: &str) -> PhoneNumber {
    PhoneNumber::try_from(digits).unwrap()
}

fn change(monthly_income: Option<&str>, phone_number: Option<&str>) -> CustomerCommand {
    CustomerCommand::ChangeDetails(ChangeDetails {
        monthly_income: monthly_income.map(income),
        phone_number: phone_number.map(phone),
        at: at(),
    })
}

fn income_changed(monthly_income: &str, approved_limit: &str) -> CustomerEvent {
    CustomerEvent::MonthlyIncomeChanged(MonthlyIncomeChanged {
        customer_id: customer_id(1),
        monthly_income: income(monthly_income),
        approved_limit: money(approved_limit),
        changed_at: at(),
    })
}

fn phone_changed(digits: &str) -> CustomerEvent {
    CustomerEvent::PhoneNumberChanged(PhoneNumberChanged {
        customer_id: customer_id(1),
        personal: ContactData { phone_number: phone(digits) },
        changed_at: at(),
    })
}

fn customer(past: impl IntoIterator<Item = CustomerEvent>) -> Customer {
    let mut customer = Customer::default();
    past.into_iter().for_each(|event| customer.apply(event));
    customer
}

#[rstest]
#[case::higher(change(Some("62500"), None), vec![income_changed("62500", "2300000")])]
#[case::lower(change(Some("12499"), None), vec![income_changed("12499", "400000")])]
#[case::too_low_for_a_limit(change(Some("1388"), None), vec![income_changed("1388", "0")])]
#[case::by_a_paisa(change(Some("50000.01"), None), vec![income_changed("50000.01", "1800000")])]
#[case::phone(change(None, Some("12345")), vec![phone_changed("12345")])]
#[case::a_leading_zero_counts(change(None, Some("09876543210")), vec![phone_changed("09876543210")])]
#[case::both(change(Some("62500"), Some("12345")), vec![income_changed("62500", "2300000"), phone_changed("12345")])]
#[case::one_of_both(change(Some("50000"), Some("12345")), vec![phone_changed("12345")])]
#[case::the_other_of_both(change(Some("62500"), Some(KNOWN)), vec![income_changed("62500", "2300000")])]
#[case::neither(change(Some("50000.00"), Some(KNOWN)), Vec::new())]
#[case::nothing(change(None, None), Vec::new())]
fn what_is_known_anew_changes_and_the_limit_with_the_income(
    #[case] command: CustomerCommand,
    #[case] expected: Vec<CustomerEvent>,
) {
    TestFramework::<Customer>::with(())
        .given(vec![registered("50000", "1800000")])
        .when(command)
        .then_expect_events(expected);
}

#[test]
fn the_limit_of_another_system_ends_with_the_income_it_was_set_for() {
    TestFramework::<Customer>::with(())
        .given(vec![imported("50000", "123456.78")])
        .when(change(Some("50001"), None))
        .then_expect_events(vec![income_changed("50001", "1800000")]);
}

#[rstest]
#[case(change(Some("50000"), None))]
#[case(change(None, Some("12345")))]
#[case(change(None, None))]
fn nobody_has_no_details(#[case] command: CustomerCommand) {
    TestFramework::<Customer>::with(())
        .given_no_previous_events()
        .when(command)
        .then_expect_error(CustomerRefusal::NotRegistered);
}

#[test]
fn what_changed_is_what_is_known_next() {
    let changed = [registered("50000", "1800000"), income_changed("62500", "2300000"), phone_changed("12345")];
    let given = || TestFramework::<Customer>::with(()).given(changed.to_vec());
    given().when(change(Some("62500"), Some("12345"))).then_expect_events(Vec::new());
    let back = vec![income_changed("50000", "1800000"), phone_changed(KNOWN)];
    given().when(change(Some("50000"), Some(KNOWN))).then_expect_events(back);
}

#[test]
fn the_past_folds_into_profile_phone_number_and_revision() {
    assert_eq!((Customer::default().revision(), Customer::default().phone_number()), (0, None));
    for begun in [registered("50000", "1800000"), imported("50000", "1800000")] {
        let known = customer([begun.clone()]);
        assert_eq!((known.revision(), known.phone_number()), (1, Some(&phone(KNOWN))));
        let changed = customer([begun, income_changed("62500", "2300000"), phone_changed("12345")]);
        assert_eq!((changed.revision(), changed.phone_number()), (3, Some(&phone("12345"))));
        let profile = changed.profile().unwrap();
        assert_eq!((profile.monthly_income, profile.approved_limit), (income("62500"), money("2300000")));
    }
}

#[test]
fn what_happens_to_loans_is_no_change_of_details() {
    let repaid = CustomerEvent::RepaymentRecorded(aggregates::customer::RepaymentRecorded {
        repayment_id: repayment_id(45),
        loan_id: crate::support::loan_id(7),
        instalments_paid_on_time: 1,
        settled_on: None,
        recorded_at: at(),
    });
    assert_eq!(customer([registered("50000", "1800000"), repaid]).revision(), 1);
}

#[test]
fn a_change_of_nobody_makes_nobody_a_customer() {
    for event in [income_changed("62500", "2300000"), phone_changed("12345")] {
        let nobody = customer([event]);
        assert_eq!((nobody.profile(), nobody.phone_number()), (None, None));
    }
}

#[rstest]
#[case::as_it_was("50000", "1800000", true)]
#[case::with_less("13000", "500000", false)]
fn the_next_decision_is_taken_from_the_income_as_it_is_known_then(
    #[case] monthly_income: &str,
    #[case] approved_limit: &str,
    #[case] approved: bool,
) {
    let past = vec![registered("50000", "1800000"), income_changed(monthly_income, approved_limit)];
    let asked = apply(application("600000", "10", 60), &standard(), "2026-03-14");
    let events = TestFramework::<Customer>::with(()).given(past).when(asked).inspect_result().unwrap();
    let decided = events.first().and_then(CustomerEvent::decision).expect("a decision");
    assert_eq!(decided.assessment.is_approved(), approved);
    assert_eq!(codes(decided.assessment).contains(&ReasonCode::LimitExceeded), !approved);
}
