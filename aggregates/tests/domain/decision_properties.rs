//! What holds for every decision: it is pure, it survives its document, and under `standard-1` no sequence of
//! applications takes a customer over the limit or over half of the income.

use std::sync::Arc;

use aggregates::customer::{ApplyForLoan, Customer, CustomerCommand, CustomerEvent};
use aggregates::policy::decision::{Application, Assessment, ReasonCode};
use aggregates::profile::CreditStanding;
use chrono::{Days, NaiveDate};
use cqrs_es::Aggregate;
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::strategies::{self, standing_and_application};
use crate::support::{at, cases, date, decision_id, imported, literal, loan_id, standard};

/// What is granted keeps the customer within the limit and within half of the income.
fn assert_within_the_caps(standing: &CreditStanding) -> Result<(), TestCaseError> {
    let income = standing.monthly_income.money().amount();
    prop_assert!(standing.current_principal <= standing.approved_limit, "{:?}", standing);
    prop_assert!(standing.current_instalments.amount() * Decimal::TWO <= income, "{:?}", standing);
    Ok(())
}

fn after_approval(assessment: &Assessment) -> CreditStanding {
    let standing = assessment.standing.clone();
    CreditStanding {
        current_principal: standing.current_principal.plus(assessment.application.principal.money()).unwrap(),
        current_instalments: standing.current_instalments.plus(assessment.instalment).unwrap(),
        ..standing
    }
}

proptest! {
    #![proptest_config(cases(384))]

    #[test]
    fn a_decision_is_pure_and_survives_its_document(
        (standing, asked) in standing_and_application(),
        is_standard in any::<bool>(),
    ) {
        let policy = if is_standard { standard() } else { literal() };
        let assessment = policy.assess(standing.clone(), asked.clone()).unwrap();
        prop_assert_eq!(&policy.assess(standing, asked).unwrap(), &assessment);
        let document = serde_json::to_string(&assessment).unwrap();
        let read: Assessment = serde_json::from_str(&document).unwrap();
        prop_assert_eq!(&serde_json::to_string(&read).unwrap(), &document);
        prop_assert_eq!(&read, &assessment);
        let again = policy.assess(read.standing, read.application).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), document, "taken again from its record");
    }

    #[test]
    fn what_is_judged_without_alternatives_falls_as_what_is_assessed_with_them(
        (standing, asked) in standing_and_application(),
        is_standard in any::<bool>(),
    ) {
        let policy = if is_standard { standard() } else { literal() };
        let judged = policy.judge(&standing, &asked).unwrap();
        let assessed = policy.assess(standing, asked).unwrap();
        prop_assert_eq!((judged.outcome, judged.corrected_rate), (assessed.outcome, assessed.corrected_rate));
        prop_assert_eq!((judged.instalment, judged.minimum_rate), (assessed.instalment, assessed.minimum_rate));
        prop_assert_eq!((judged.score, judged.reasons), (assessed.score, assessed.reasons));
    }

    #[test]
    fn reasons_are_never_missing_and_the_gravest_comes_first(
        (standing, asked) in standing_and_application(),
        is_standard in any::<bool>(),
    ) {
        let assessment = if is_standard { standard() } else { literal() }.assess(standing, asked).unwrap();
        let reasons = &assessment.reasons;
        prop_assert!(!reasons.is_empty());
        prop_assert!(reasons.is_sorted_by(|graver, lighter| graver.code < lighter.code));
        let approves = |code| matches!(code, ReasonCode::RateCorrected | ReasonCode::WithinPolicy);
        prop_assert!(reasons.iter().all(|reason| approves(reason.code) == assessment.is_approved()));
        prop_assert!(reasons.iter().all(|reason| !reason.message.is_empty()));
    }

    #[test]
    fn a_loan_is_never_granted_below_its_floor((standing, asked) in standing_and_application()) {
        let assessment = standard().assess(standing, asked).unwrap();
        prop_assert!(assessment.corrected_rate >= assessment.application.interest_rate);
        if assessment.is_approved() {
            let floor = assessment.minimum_rate.expect("a floor");
            prop_assert_eq!(assessment.corrected_rate, floor.max(assessment.application.interest_rate));
            prop_assert!(assessment.score.value > Decimal::TEN);
        }
    }

    #[test]
    fn what_standard_approves_stays_within_the_caps((standing, asked) in standing_and_application()) {
        let assessment = standard().assess(standing, asked).unwrap();
        if assessment.is_approved() {
            assert_within_the_caps(&after_approval(&assessment))?;
        }
    }

    #[test]
    fn what_standard_approves_literal_approves_too((standing, asked) in standing_and_application()) {
        if standard().assess(standing.clone(), asked.clone()).unwrap().is_approved() {
            prop_assert!(literal().assess(standing, asked).unwrap().is_approved());
        }
    }
}

/// One step of a customer's life: an application so many days after the last.
fn step() -> impl Strategy<Value = (u64, Application, u32)> {
    (0..400_u64, strategies::application(), 1..=1_200_u32)
}

/// An amount of the customer's size: a share of the limit, in thousandths.
fn of_its_size(asked: Application, limit: Decimal, permille: u32) -> Application {
    let amount = limit * Decimal::from(permille) / Decimal::from(3_000);
    let sized = aggregates::money::Money::round(amount).unwrap();
    let principal = aggregates::terms::Principal::try_from(sized).unwrap_or(asked.principal);
    Application { principal, ..asked }
}

fn decide(customer: &Customer, number: i64, application: Application, today: NaiveDate) -> Vec<CustomerEvent> {
    let command = CustomerCommand::ApplyForLoan(ApplyForLoan {
        decision_id: decision_id(number),
        loan_id: loan_id(number),
        application,
        policy: Arc::clone(&standard()),
        today,
        at: at(),
    });
    customer.decide(command).unwrap()
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn no_sequence_of_applications_breaches_the_caps(
        monthly_income in 1_000..=1_000_000_u32,
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let limit = Decimal::from(monthly_income * 36);
        let mut customer = Customer::default();
        customer.apply(imported(&monthly_income.to_string(), &limit.to_string()));
        let mut today = date("2025-01-31");
        for (number, (days, asked, permille)) in (1..).zip(steps) {
            today = today.checked_add_days(Days::new(days)).unwrap();
            for event in decide(&customer, number, of_its_size(asked, limit, permille), today) {
                customer.apply(event);
            }
            assert_within_the_caps(&customer.profile().unwrap().standing(today).unwrap())?;
        }
    }
}
