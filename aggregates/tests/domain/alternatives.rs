//! What would have passed: for a decline, the nearest single change of each kind, and none that would not pass.

use aggregates::money::Money;
use aggregates::policy::Policy;
use aggregates::policy::alternatives::Alternative;
use aggregates::policy::decision::Application;
use aggregates::profile::CreditStanding;
use aggregates::terms::{Principal, Tenure};
use proptest::prelude::*;
use rstest::rstest;

use crate::strategies;
use crate::support::{
    application, cases, literal, money, principal, rate, standard, standing, standing_that_scores_60,
    strict_application, tenure,
};
use Alternative::{AcceptRate, LongerTenure, SmallerAmount};

#[rstest]
#[case::approved(application("100000", "12", 12), &[])]
#[case::over_the_limit(application("1800000.01", "0", 480), &[SmallerAmount(principal("1800000"))])]
#[case::over_the_income_share(
    application("300001", "0", 12), &[SmallerAmount(principal("300000")), LongerTenure(tenure(13))]
)]
#[case::over_the_income_share_at_the_longest_tenure(
    application("1800000", "20", 480), &[SmallerAmount(principal("1499462"))]
)]
#[case::over_both_needs_two_changes_unless_the_amount_falls(
    application("1900000", "0", 12), &[SmallerAmount(principal("300000"))]
)]
fn nearest_changes(#[case] asked: Application, #[case] expected: &[Alternative]) {
    let assessment = standard().assess(standing_that_scores_60(), asked).unwrap();
    assert_eq!(assessment.alternatives, expected);
}

#[test]
fn a_rate_that_was_not_accepted_can_be_accepted() {
    let assessment = standard().assess(standing(), strict_application("100000", "10", 12)).unwrap();
    assert_eq!(assessment.alternatives, [AcceptRate(rate("12"))]);
}

#[test]
fn accepting_the_rate_is_no_way_out_where_its_instalment_is_too_high() {
    // Half of the income is 25,000: enough for the 24,775.02 a month at 9.2%, too little for 25,144.21 at 12%.
    let assessment = standard().assess(standing(), strict_application("283000", "9.2", 12)).unwrap();
    assert_eq!(assessment.instalment, money("25144.21"));
    assert_eq!(assessment.alternatives, []);
}

#[test]
fn less_than_a_rupee_cannot_be_lowered() {
    let full = CreditStanding { current_loans: 1, current_principal: money("1800000"), ..standing_that_scores_60() };
    let assessment = standard().assess(full, application("0.50", "16", 12)).unwrap();
    assert!(!assessment.is_approved());
    assert_eq!(assessment.alternatives, []);
}

#[test]
fn nothing_helps_a_customer_who_is_over_the_limit() {
    let over = CreditStanding { current_loans: 1, current_principal: money("1800000.01"), ..standing_that_scores_60() };
    for policy in [standard(), literal()] {
        let assessment = policy.assess(over.clone(), application("100000", "50", 12)).unwrap();
        assert!(!assessment.is_approved());
        assert_eq!(assessment.alternatives, []);
    }
}

fn passes(policy: &Policy, standing: &CreditStanding, asked: Application) -> bool {
    policy.assess(standing.clone(), asked).unwrap().is_approved()
}

/// Every change listed passes, the next step back does not, and what is not listed does not exist.
fn check(policy: &Policy, standing: &CreditStanding, asked: &Application) -> Result<(), TestCaseError> {
    let assessment = policy.assess(standing.clone(), asked.clone()).unwrap();
    let with_amount = |principal| Application { principal, ..asked.clone() };
    let with_tenure = |tenure| Application { tenure, ..asked.clone() };
    let accepting = Application { accept_corrected_rate: true, ..asked.clone() };
    let (mut smaller, mut longer, mut accepted) = (None, None, None);
    for alternative in &assessment.alternatives {
        match *alternative {
            SmallerAmount(principal) => prop_assert!(smaller.replace(principal).is_none()),
            LongerTenure(tenure) => prop_assert!(longer.replace(tenure).is_none()),
            AcceptRate(rate) => prop_assert!(accepted.replace(rate).is_none()),
        }
    }
    if assessment.is_approved() {
        prop_assert!(assessment.alternatives.is_empty());
        return Ok(());
    }
    if let Some(principal) = smaller {
        prop_assert!(principal < asked.principal && principal.money().amount().is_integer());
        prop_assert!(passes(policy, standing, with_amount(principal)));
        let next = Principal::try_from(principal.money().plus(Money::rupees(1)).unwrap()).unwrap();
        prop_assert!(!passes(policy, standing, with_amount(next)));
    } else if asked.principal > principal("1") {
        prop_assert!(!passes(policy, standing, with_amount(principal("1"))));
    }
    if let Some(longer) = longer {
        prop_assert!(longer > asked.tenure);
        prop_assert!(passes(policy, standing, with_tenure(longer)));
        prop_assert!(!passes(policy, standing, with_tenure(tenure(longer.months() - 1))));
    } else {
        prop_assert!(!passes(policy, standing, with_tenure(Tenure::MAX)));
    }
    prop_assert_eq!(accepted.is_some(), passes(policy, standing, accepting.clone()));
    if let Some(accepted) = accepted {
        prop_assert!(!asked.accept_corrected_rate && accepted > asked.interest_rate);
        prop_assert_eq!(accepted, policy.assess(standing.clone(), accepting).unwrap().corrected_rate);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(384))]

    #[test]
    fn every_alternative_passes_and_the_next_step_back_does_not(
        (standing, asked) in strategies::standing_and_application(),
        is_standard in any::<bool>(),
    ) {
        let policy = if is_standard { standard() } else { literal() };
        check(&policy, &standing, &asked)?;
    }
}
