//! Whatever the loan and however it is repaid: what is allocated is what was paid, and it is settled at exactly zero.

use aggregates::instalments::instalment;
use aggregates::loan::account::Account;
use aggregates::loan::schedule::{Schedule, ScheduledInstalment};
use aggregates::loan::{
    Loan, LoanCommand, LoanEvent, LoanImported, LoanOpened, LoanRefusal, LoanTerms, ReceiveRepayment, RepaymentReceived,
};
use aggregates::money::Money;
use aggregates::repayment::{MAX_REPAYMENT_RUPEES, RepaymentAmount};
use chrono::{Days, NaiveDate};
use cqrs_es::Aggregate;
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::exact::paise;
use crate::strategies::{from_paise, imported_terms};
use crate::support::{at, cases, decision_id, repayment_id};

/// Most repayments of a loan that a property follows, before what is left is paid at once.
const MAX_REPAYMENTS: usize = 12;

/// A loan with something left to pay: imported with some instalments paid, or opened here with the annuity.
fn loan() -> impl Strategy<Value = (LoanTerms, Loan)> {
    let percent_paid = prop_oneof![2 => Just(0), 3 => 0..=99_u16];
    (imported_terms(), any::<bool>(), percent_paid).prop_map(|(terms, opened_here, percent_paid)| {
        let terms = if opened_here {
            let annuity = instalment(terms.principal, terms.interest_rate, terms.tenure).unwrap();
            LoanTerms { instalment: annuity, ..terms }
        } else {
            terms
        };
        let mut loan = Loan::default();
        loan.apply(if opened_here { opened(terms.clone()) } else { imported(terms.clone(), percent_paid) });
        (terms, loan)
    })
}

fn opened(terms: LoanTerms) -> LoanEvent {
    let last_instalment = terms.instalment;
    LoanEvent::LoanOpened(LoanOpened { decision_id: decision_id(70), terms, last_instalment, opened_at: at() })
}

fn imported(terms: LoanTerms, percent_paid: u16) -> LoanEvent {
    let schedule = Schedule::of(&terms).unwrap();
    let count = terms.tenure.months() * percent_paid / 100;
    // A tiny loan may be paid off long before its last month.
    let settled = schedule.total_of_first(count) == Ok(schedule.total());
    let instalments_paid_on_time = if settled { 0 } else { count };
    LoanEvent::LoanImported(LoanImported { external_id: None, terms, instalments_paid_on_time, imported_at: at() })
}

/// What is left to pay of a loan with nothing repaid here.
fn outstanding(schedule: &Schedule, loan: &Loan) -> Money {
    schedule.total().minus(schedule.total_of_first(loan.account().unwrap().instalments_paid()).unwrap()).unwrap()
}

/// Permille of what is outstanding, and days since the repayment before.
fn repayments() -> impl Strategy<Value = Vec<(u32, u64)>> {
    let share = prop_oneof![6 => 0..=300_u32, 2 => 300..=1_000_u32];
    proptest::collection::vec((share, 0..=70_u64), 0..MAX_REPAYMENTS)
}

fn repay(loan: &Loan, amount: RepaymentAmount, paid_on: NaiveDate) -> Result<RepaymentReceived, LoanRefusal> {
    let command =
        ReceiveRepayment { repayment_id: repayment_id(45), amount, paid_on, reference: None, today: paid_on, at: at() };
    let events = loan.decide(LoanCommand::Repay(command))?;
    match <[LoanEvent; 1]>::try_from(events).expect("one event") {
        [LoanEvent::RepaymentReceived(received)] => Ok(received),
        [other] => panic!("a repayment, not {other:?}"),
    }
}

/// A share of what is outstanding: at least a paisa, at most what may be repaid at once.
fn share(outstanding: Money, permille: u32) -> RepaymentAmount {
    let exact = outstanding.amount() * Decimal::from(permille) / Decimal::ONE_THOUSAND;
    let amount = exact.trunc_with_scale(2).clamp(Decimal::new(1, 2), Decimal::from(MAX_REPAYMENT_RUPEES));
    RepaymentAmount::try_from(amount).unwrap()
}

/// Everything that one repayment promises.
fn check(
    terms: &LoanTerms,
    schedule: &Schedule,
    before: (Money, Money, u16, u16),
    received: &RepaymentReceived,
) -> Result<(), TestCaseError> {
    let (outstanding, outstanding_principal, paid, on_time) = before;
    let amount = received.amount.money();
    prop_assert_eq!(received.interest.plus(received.principal), Ok(amount));
    prop_assert_eq!(received.outstanding.plus(amount), Ok(outstanding));
    prop_assert_eq!(received.outstanding_principal.plus(received.principal), Ok(outstanding_principal));
    prop_assert!(received.outstanding_principal <= received.outstanding);
    prop_assert_eq!(received.settled, received.outstanding.is_zero());
    prop_assert_eq!(received.settled, received.instalments_paid == terms.tenure.months());
    prop_assert!(paid <= received.instalments_paid && on_time <= received.instalments_paid_on_time);
    prop_assert!(received.instalments_paid_on_time <= received.instalments_paid);
    let late = |scheduled: &&ScheduledInstalment| !scheduled.is_on_time(received.paid_on);
    let newly_paid = schedule.instalments().iter().take(received.instalments_paid.into()).skip(paid.into());
    let newly_late = newly_paid.filter(late).count();
    prop_assert_eq!(
        usize::from(received.instalments_paid_on_time - on_time) + newly_late,
        usize::from(received.instalments_paid - paid)
    );
    Ok(())
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn however_it_is_repaid_a_loan_is_settled_at_exactly_zero(
        (terms, mut loan) in loan(),
        repayments in repayments(),
    ) {
        let schedule = Schedule::of(&terms).unwrap();
        let paid_before = loan.account().unwrap().instalments_paid();
        let start = Account::untouched(&schedule, paid_before).unwrap();
        let mut stands = (start.outstanding(), start.outstanding_principal(), paid_before, paid_before);
        let mut paid_on = terms.started_on;
        let mut repaid = 0;
        let mut repayments = repayments.into_iter();
        while !stands.0.is_zero() {
            let (permille, days) = repayments.next().unwrap_or((1_000, 31));
            paid_on = paid_on + Days::new(days);
            let received = repay(&loan, share(stands.0, permille), paid_on).unwrap();
            check(&terms, &schedule, stands, &received)?;
            repaid += paise(received.amount.money().amount());
            stands = (
                received.outstanding,
                received.outstanding_principal,
                received.instalments_paid,
                received.instalments_paid_on_time,
            );
            loan.apply(LoanEvent::RepaymentReceived(received));
        }
        prop_assert_eq!(repaid, paise(start.outstanding().amount()));
        prop_assert_eq!((stands.1, stands.2), (Money::ZERO, terms.tenure.months()));
        let more = repay(&loan, share(Money::ZERO, 0), paid_on);
        prop_assert_eq!(more, Err(LoanRefusal::Settled(terms.loan_id)));
    }

    #[test]
    fn a_repayment_in_parts_comes_to_the_same_as_at_once(
        (terms, mut loan) in loan(),
        permille in 1..=1_000_u32,
        part in 1..=999_u32,
    ) {
        let schedule = Schedule::of(&terms).unwrap();
        let whole = share(outstanding(&schedule, &loan), permille);
        let first = share(whole.money(), part);
        let Ok(rest) = RepaymentAmount::try_from(whole.money().minus(first.money()).unwrap()) else {
            return Ok(()); // A paisa has no parts.
        };
        let at_once = repay(&loan, whole, terms.started_on).unwrap();
        let first = repay(&loan, first, terms.started_on).unwrap();
        loan.apply(LoanEvent::RepaymentReceived(first.clone()));
        let rest = repay(&loan, rest, terms.started_on).unwrap();
        prop_assert_eq!(first.interest.plus(rest.interest), Ok(at_once.interest));
        prop_assert_eq!(first.principal.plus(rest.principal), Ok(at_once.principal));
        let allocated = RepaymentReceived {
            amount: at_once.amount,
            interest: at_once.interest,
            principal: at_once.principal,
            ..rest
        };
        prop_assert_eq!(allocated, at_once);
    }

    #[test]
    fn a_paisa_more_than_is_outstanding_is_refused((terms, loan) in loan()) {
        let schedule = Schedule::of(&terms).unwrap();
        let outstanding = outstanding(&schedule, &loan);
        if let Ok(more) = RepaymentAmount::try_from(outstanding.plus(from_paise(1)).unwrap()) {
            let refused = repay(&loan, more, terms.started_on);
            prop_assert_eq!(refused, Err(LoanRefusal::AmountOverOutstanding { outstanding }));
        }
    }
}
