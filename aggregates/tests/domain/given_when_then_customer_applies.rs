//! Given a customer's past, when it applies for a loan, then the decision under each policy, or a refusal.
//!
//! Under the shipped weights a customer with loans scores 16 at least (four loans, all of this year) unless they are
//! over the limit: `ScoreTooLow` on its own is therefore tested on a bare standing, in `decision`.

use std::sync::Arc;

use aggregates::customer::{Customer, CustomerEvent, CustomerRefusal, LoanApproved, LoanCarriedOver, LoanDeclined};
use aggregates::money::{Money, OutOfRange};
use aggregates::policy::Policy;
use aggregates::policy::alternatives::Alternative;
use aggregates::policy::decision::{Application, Assessment, ReasonCode};
use aggregates::profile::{CreditStanding, LoanRecord};
use chrono::NaiveDate;
use cqrs_es::Aggregate;
use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use rstest::rstest;

use crate::support::{
    application, apply, at, codes, date, decision_id, income, literal, loan_id, loan_record, money, principal, rate,
    registered, standard, standing, strict_application, tenure,
};
use ReasonCode::{
    CorrectedRateNotAccepted, CurrentLoansOverLimit, InstalmentsOverIncomeShare, LimitExceeded, RateCorrected,
    ScoreTooLow, WithinPolicy,
};

const TODAY: &str = "2026-03-14";

fn given(events: Vec<CustomerEvent>) -> AggregateTestExecutor<Customer> {
    TestFramework::with(()).given(events)
}

fn new_customer() -> Vec<CustomerEvent> {
    vec![registered("50000", "1800000")]
}

/// A customer with a loan that came along.
fn with_loans(loans: Vec<LoanRecord>) -> Vec<CustomerEvent> {
    let carried_over =
        loans.into_iter().map(|loan| CustomerEvent::LoanCarriedOver(LoanCarriedOver { loan, imported_at: at() }));
    new_customer().into_iter().chain(carried_over).collect()
}

fn assessment(standing: CreditStanding, asked: Application, policy: &Policy) -> Assessment {
    policy.assess(standing, asked).unwrap()
}

/// The one decision that an application led to.
fn decide(past: Vec<CustomerEvent>, asked: Application, policy: &Arc<Policy>) -> Assessment {
    let events = given(past).when(apply(asked, policy, TODAY)).inspect_result().unwrap();
    match <[CustomerEvent; 1]>::try_from(events).expect("one event") {
        [CustomerEvent::LoanApproved(approved)] => {
            assert!(approved.assessment.is_approved());
            approved.assessment
        }
        [CustomerEvent::LoanDeclined(declined)] => {
            assert!(!declined.assessment.is_approved());
            declined.assessment
        }
        [other] => panic!("a decision, not {other:?}"),
    }
}

#[rstest]
#[case::standard(standard())]
#[case::literal(literal())]
fn an_approved_application_opens_a_loan_at_the_corrected_rate(#[case] policy: Arc<Policy>) {
    let asked = application("100000", "10", 12);
    let expected = CustomerEvent::LoanApproved(Box::new(LoanApproved {
        decision_id: decision_id(70),
        assessment: assessment(standing(), asked.clone(), &policy),
        loan: LoanRecord {
            loan_id: loan_id(7),
            principal: principal("100000"),
            instalment: money("8884.88"),
            tenure: tenure(12),
            started_on: date(TODAY),
            ends_on: date("2027-03-14"),
            instalments_paid_on_time: 0,
            settled_on: None,
            written_off_on: None,
        },
        decided_at: at(),
    }));
    given(new_customer()).when(apply(asked, &policy, TODAY)).then_expect_events(vec![expected]);
}

#[test]
fn a_declined_application_is_recorded_with_what_would_have_passed() {
    let asked = application("1900000", "12", 480);
    let declined = assessment(standing(), asked.clone(), &standard());
    assert_eq!(declined.alternatives, [Alternative::SmallerAmount(principal("1800000"))]);
    let expected = CustomerEvent::LoanDeclined(Box::new(LoanDeclined {
        decision_id: decision_id(70),
        assessment: declined,
        decided_at: at(),
    }));
    given(new_customer()).when(apply(asked, &standard(), TODAY)).then_expect_events(vec![expected]);
}

#[test]
fn a_decline_changes_nothing_about_the_customer() {
    let mut customer = Customer::default();
    customer.apply(registered("50000", "1800000"));
    let before = customer.clone();
    for event in customer.decide(apply(application("1900000", "12", 480), &standard(), TODAY)).unwrap() {
        customer.apply(event);
    }
    assert_eq!(customer, before);
}

#[test]
fn a_loan_that_was_granted_counts_in_the_next_decision() {
    let mut customer = Customer::default();
    customer.apply(registered("50000", "1800000"));
    for event in customer.decide(apply(application("100000", "10", 12), &standard(), TODAY)).unwrap() {
        customer.apply(event);
    }
    let expected = CreditStanding {
        loans_taken: 1,
        loans_started_this_year: 1,
        current_loans: 1,
        current_principal: money("100000"),
        current_instalments: money("8884.88"),
        ..standing()
    };
    assert_eq!(customer.profile().unwrap().standing(date(TODAY)), Ok(expected));
}

#[rstest]
#[case::clamped("2026-01-31", 1, "2026-02-28")]
#[case::original_day("2026-01-31", 2, "2026-03-31")]
#[case::the_longest("2026-01-31", 480, "2066-01-31")]
fn a_loan_ends_on_its_last_due_date(#[case] today: &str, #[case] months: u16, #[case] ends_on: &str) {
    let events = given(new_customer()).when(apply(application("1000", "12", months), &standard(), today));
    let events = events.inspect_result().unwrap();
    assert!(
        matches!(events.as_slice(), [CustomerEvent::LoanApproved(approved)] if approved.loan.ends_on == date(ends_on))
    );
}

/// 18 lakhs and a paisa: over the limit of a customer with an income of 50,000.
fn over_the_limit() -> LoanRecord {
    LoanRecord { principal: principal("1800000.01"), instalment: money("25000.01"), ..loan_record(1) }
}

/// A loan that takes no limit worth speaking of, but half of the income.
fn half_the_income() -> LoanRecord {
    LoanRecord { principal: principal("1"), instalment: money("25000"), instalments_paid_on_time: 12, ..loan_record(1) }
}

/// Four loans of this year's, none paid, that use the whole limit: 16 points for the record and nothing else.
fn four_unpaid_this_year() -> Vec<LoanRecord> {
    (1..=4)
        .map(|id| LoanRecord {
            principal: principal("450000"),
            instalment: money("1000"),
            started_on: date("2026-01-14"),
            ends_on: date("2027-01-14"),
            ..loan_record(id)
        })
        .collect()
}

#[rstest]
#[case::approved_as_asked(
    with_loans(vec![half_the_income_ended()]), application("100000", "5", 12), &[WithinPolicy], &[WithinPolicy]
)]
#[case::approved_at_a_higher_rate(new_customer(), application("100000", "5", 12), &[RateCorrected], &[RateCorrected])]
#[case::a_higher_rate_not_accepted(
    new_customer(), strict_application("100000", "5", 12), &[CorrectedRateNotAccepted], &[CorrectedRateNotAccepted]
)]
#[case::current_loans_over_the_limit(
    with_loans(vec![over_the_limit()]), application("1", "100", 12),
    &[CurrentLoansOverLimit, ScoreTooLow, LimitExceeded, InstalmentsOverIncomeShare],
    &[CurrentLoansOverLimit, ScoreTooLow, InstalmentsOverIncomeShare]
)]
#[case::this_loan_over_the_limit(
    new_customer(), application("1800000.01", "12", 480), &[LimitExceeded], &[WithinPolicy]
)]
#[case::this_instalment_over_the_income(
    with_loans(vec![half_the_income()]), application("1", "12", 12), &[InstalmentsOverIncomeShare], &[WithinPolicy]
)]
#[case::current_instalments_over_the_income(
    with_loans(vec![LoanRecord { instalment: money("25000.01"), ..half_the_income() }]), application("1", "12", 12),
    &[InstalmentsOverIncomeShare], &[InstalmentsOverIncomeShare]
)]
#[case::a_low_score_at_16_percent(
    with_loans(four_unpaid_this_year()), application("0.01", "5", 1), &[LimitExceeded], &[RateCorrected]
)]
fn each_reason_under_each_policy(
    #[case] past: Vec<CustomerEvent>,
    #[case] asked: Application,
    #[case] standard_codes: &[ReasonCode],
    #[case] literal_codes: &[ReasonCode],
) {
    assert_eq!(codes(&decide(past.clone(), asked.clone(), &standard())), standard_codes);
    assert_eq!(codes(&decide(past, asked, &literal())), literal_codes);
}

/// Paid in full and on time, and ended the day before.
fn half_the_income_ended() -> LoanRecord {
    LoanRecord { ends_on: date("2026-03-13"), ..half_the_income() }
}

#[rstest]
#[case(standard(), "standard-1")]
#[case(literal(), "literal-1")]
fn a_decision_records_its_policy(#[case] policy: Arc<Policy>, #[case] id: &str) {
    let decided = decide(new_customer(), application("1000", "12", 12), &policy);
    assert_eq!(&decided.policy, policy.reference());
    assert_eq!(decided.policy.id, id);
}

#[test]
fn a_loan_id_is_used_once() {
    given(with_loans(vec![loan_record(7)]))
        .when(apply(application("1000", "12", 12), &standard(), TODAY))
        .then_expect_error(CustomerRefusal::LoanAlreadyKnown(loan_id(7)));
}

#[test]
fn a_loan_does_not_end_beyond_the_calendar() {
    let last_day = NaiveDate::MAX.to_string();
    given(new_customer())
        .when(apply(application("1000", "12", 1), &standard(), &last_day))
        .then_expect_error(CustomerRefusal::EndsBeyondCalendar);
}

#[test]
fn a_decline_needs_no_end_date() {
    let declined = given(new_customer())
        .when(apply(strict_application("1000", "5", 1), &standard(), &NaiveDate::MAX.to_string()))
        .inspect_result();
    assert!(matches!(declined.unwrap().as_slice(), [CustomerEvent::LoanDeclined(_)]));
}

#[test]
fn sums_beyond_the_range_of_money_are_refused() {
    let heavy = |id| LoanRecord { instalment: money("1000000000000000000"), ..loan_record(id) };
    given(with_loans(vec![heavy(1), heavy(2)]))
        .when(apply(application("1000", "12", 12), &standard(), TODAY))
        .then_expect_error(CustomerRefusal::OutOfRange(OutOfRange));
}

#[test]
fn an_income_and_a_limit_of_the_least_lend_nothing() {
    let past = vec![registered("0.01", "0")];
    let decided = decide(past, application("0.01", "12", 1), &standard());
    assert_eq!(codes(&decided), [LimitExceeded, InstalmentsOverIncomeShare]);
    assert_eq!((decided.standing.monthly_income, decided.standing.approved_limit), (income("0.01"), Money::ZERO));
    assert_eq!(decided.minimum_rate, Some(rate("12")));
}
