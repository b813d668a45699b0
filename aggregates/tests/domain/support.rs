//! Short names for the domain's values, and the customers that the tests begin with.

use std::sync::Arc;

use aggregates::customer::{ApplyForLoan, CustomerCommand, CustomerEvent, CustomerImported, CustomerRegistered};
use aggregates::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use aggregates::loan::RepaymentRecord;
use aggregates::loan::account::Account;
use aggregates::money::{Money, OutOfRange};
use aggregates::person::{Age, MonthlyIncome, Name, PersonalData, PhoneNumber};
use aggregates::policy::Policy;
use aggregates::policy::decision::{Application, Assessment, ReasonCode};
use aggregates::profile::{CreditStanding, LoanRecord};
use aggregates::repayment::{MAX_REPAYMENT_RUPEES, RepaymentAmount};
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::{DateTime, NaiveDate, Utc};
use proptest::test_runner::Config;
use rust_decimal::Decimal;

/// Runs of a property; nothing is written next to the sources when one fails.
pub(crate) fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal number")
}

pub(crate) fn money(text: &str) -> Money {
    Money::try_from(decimal(text)).expect("an amount")
}

pub(crate) fn principal(text: &str) -> Principal {
    Principal::try_from(decimal(text)).expect("a principal")
}

pub(crate) fn rate(text: &str) -> Rate {
    Rate::try_from(decimal(text)).expect("a rate")
}

pub(crate) fn tenure(months: u16) -> Tenure {
    Tenure::try_from(months).expect("a tenure")
}

pub(crate) fn income(text: &str) -> MonthlyIncome {
    MonthlyIncome::try_from(decimal(text)).expect("an income")
}

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

pub(crate) fn at() -> DateTime<Utc> {
    "2026-03-14T09:26:53.589793Z".parse().expect("a time")
}

pub(crate) fn customer_id(id: i64) -> CustomerId {
    CustomerId::try_from(id).expect("an id")
}

pub(crate) fn loan_id(id: i64) -> LoanId {
    LoanId::try_from(id).expect("an id")
}

pub(crate) fn decision_id(id: i64) -> DecisionId {
    DecisionId::try_from(id).expect("an id")
}

pub(crate) fn repayment_id(id: i64) -> RepaymentId {
    RepaymentId::try_from(id).expect("an id")
}

pub(crate) fn repayment_amount(text: &str) -> RepaymentAmount {
    RepaymentAmount::try_from(decimal(text)).expect("an amount")
}

/// A repayment with a number, to be changed field by field.
pub(crate) fn repayment_record(id: i64, amount: RepaymentAmount, paid_on: NaiveDate) -> RepaymentRecord {
    RepaymentRecord {
        repayment_id: repayment_id(id),
        amount,
        interest: Money::ZERO,
        principal: Money::ZERO,
        paid_on,
        reference: None,
        settles_loan_early: false,
        interest_waived: Money::ZERO,
        received_at: at(),
        reversed: None,
    }
}

/// Pays a sum into an account, in as few repayments as may hold it.
pub(crate) fn pay(account: &mut Account, sum: Money, paid_on: NaiveDate) -> Result<(), OutOfRange> {
    let most = Money::try_from(Decimal::from(MAX_REPAYMENT_RUPEES)).expect("an amount");
    let mut left = sum;
    while !left.is_zero() {
        let amount = left.min(most);
        left = left.minus(amount).expect("the rest");
        account.take(&repayment_record(1, RepaymentAmount::try_from(amount).expect("an amount"), paid_on))?;
    }
    Ok(())
}

pub(crate) fn shipped(id: &str) -> Arc<Policy> {
    let policies = Policy::shipped().expect("the shipped policies");
    Arc::new(policies.into_iter().find(|policy| policy.reference().id == id).expect("a shipped policy"))
}

pub(crate) fn standard() -> Arc<Policy> {
    shipped("standard-1")
}

pub(crate) fn literal() -> Arc<Policy> {
    shipped("literal-1")
}

pub(crate) fn personal() -> PersonalData {
    PersonalData {
        first_name: Name::try_from("Asha").expect("a name"),
        last_name: Name::try_from("Rao").expect("a name"),
        age: Age::try_from(34).expect("an age"),
        phone_number: PhoneNumber::try_from("9876543210").expect("a phone number"),
    }
}

/// A customer that registered with an income, and its limit as a literal.
pub(crate) fn registered(monthly_income: &str, approved_limit: &str) -> CustomerEvent {
    CustomerEvent::CustomerRegistered(CustomerRegistered {
        customer_id: customer_id(1),
        personal: personal(),
        monthly_income: income(monthly_income),
        approved_limit: money(approved_limit),
        registered_at: at(),
    })
}

/// A customer that came with a limit of its own.
pub(crate) fn imported(monthly_income: &str, approved_limit: &str) -> CustomerEvent {
    CustomerEvent::CustomerImported(CustomerImported {
        customer_id: customer_id(1),
        external_id: None,
        personal: personal(),
        monthly_income: income(monthly_income),
        approved_limit: money(approved_limit),
        current_debt: None,
        imported_at: at(),
    })
}

/// A year's loan of 100,000 with nothing paid, to be changed field by field.
pub(crate) fn loan_record(id: i64) -> LoanRecord {
    LoanRecord {
        loan_id: loan_id(id),
        principal: principal("100000"),
        instalment: money("8884.88"),
        tenure: tenure(12),
        started_on: date("2025-03-14"),
        ends_on: date("2026-03-14"),
        instalments_paid_on_time: 0,
        settled_on: None,
        written_off_on: None,
    }
}

/// The standing of a customer without loans: income 50,000, limit 1,800,000.
pub(crate) fn standing() -> CreditStanding {
    CreditStanding {
        as_of: date("2026-03-14"),
        monthly_income: income("50000"),
        approved_limit: money("1800000"),
        loans_taken: 0,
        loans_started_this_year: 0,
        instalments_due: 0,
        instalments_paid_on_time: 0,
        current_loans: 0,
        current_principal: Money::ZERO,
        current_instalments: Money::ZERO,
    }
}

/// A standing that scores 60 from old, settled loans alone: 0 + 20 + 20 + 20.
pub(crate) fn standing_that_scores_60() -> CreditStanding {
    CreditStanding { loans_taken: 5, instalments_due: 12, ..standing() }
}

/// An application that accepts a corrected rate.
pub(crate) fn application(amount: &str, interest_rate: &str, months: u16) -> Application {
    Application {
        principal: principal(amount),
        interest_rate: rate(interest_rate),
        tenure: tenure(months),
        accept_corrected_rate: true,
    }
}

/// The same, refusing one.
pub(crate) fn strict_application(amount: &str, interest_rate: &str, months: u16) -> Application {
    Application { accept_corrected_rate: false, ..application(amount, interest_rate, months) }
}

/// An application for loan 7 on a day, under a policy.
pub(crate) fn apply(application: Application, policy: &Arc<Policy>, today: &str) -> CustomerCommand {
    CustomerCommand::ApplyForLoan(ApplyForLoan {
        decision_id: decision_id(70),
        loan_id: loan_id(7),
        application,
        policy: Arc::clone(policy),
        today: date(today),
        at: at(),
    })
}

pub(crate) fn codes(assessment: &Assessment) -> Vec<ReasonCode> {
    assessment.reasons.iter().map(|reason| reason.code).collect()
}
