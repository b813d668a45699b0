//! Whatever happens to a loan, in whatever order: what is paid, waived and left is what there was to pay; what is split
//! is what was paid; being on time follows from the days; and reversing everything gives back the untouched loan.
//!
//! The counts are told by sums over the schedule alone, without the account that they judge.

use aggregates::customer::{CarryOverLoan, Customer, CustomerCommand, RecordRepayment, RecordReversal, RecordWriteOff};
use aggregates::event::LendingEvent;
use aggregates::instalments::instalment;
use aggregates::loan::account::Account;
use aggregates::loan::schedule::{Schedule, is_repaid_by_first, next_due_on};
use aggregates::loan::{
    Loan, LoanCommand, LoanEvent, LoanTerms, ReceiveRepayment, RepaymentRecord, ReverseRepayment, SettleEarly, WriteOff,
};
use aggregates::money::Money;
use aggregates::profile::LoanRecord;
use aggregates::repayment::RepaymentAmount;
use chrono::{Days, NaiveDate};
use cqrs_es::{Aggregate, DomainEvent};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::exact::paise;
use crate::loans::{importing, reason};
use crate::strategies::imported_terms;
use crate::support::{at, cases, date, registered, repayment_id};

/// Most that happens to a loan that a property follows.
const MAX_STEPS: usize = 14;

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Permille of what is outstanding, days after the last repayment.
    Repay(u32, u64),
    /// Days after the last repayment.
    Settle(u64),
    /// Which of the repayments that count, in permille of them.
    Reverse(usize),
    WriteOff,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let share = prop_oneof![6 => 0..=300_u32, 2 => 300..=1_000_u32, 1 => Just(1_000)];
    let step = prop_oneof![
        6 => (share, 0..=70_u64).prop_map(|(permille, days)| Step::Repay(permille, days)),
        2 => (0..=70_u64).prop_map(Step::Settle),
        4 => (0..1_000_usize).prop_map(Step::Reverse),
        1 => Just(Step::WriteOff),
    ];
    proptest::collection::vec(step, 1..MAX_STEPS)
}

/// Terms with any instalment or the annuity, and how many of them were paid before.
fn terms_and_paid() -> impl Strategy<Value = (LoanTerms, u16)> {
    let percent = prop_oneof![2 => Just(0), 3 => 0..=100_u16];
    (imported_terms(), any::<bool>(), percent).prop_map(|(terms, is_annuity, percent)| {
        let annuity = instalment(terms.principal, terms.interest_rate, terms.tenure).unwrap();
        let paid = terms.tenure.months() * percent / 100;
        (if is_annuity { LoanTerms { instalment: annuity, ..terms } } else { terms }, paid)
    })
}

/// The command of a step as the loan stands; `None` where there is nothing to do it with.
fn command(loan: &Loan, account: &Account, terms: &LoanTerms, step: Step, number: i64) -> Option<LoanCommand> {
    let last = account.last_paid_on().unwrap_or(terms.started_on);
    let (repayment_id, at, reference) = (repayment_id(number), at(), None);
    match step {
        Step::Repay(permille, days) => {
            let paid_on = last.checked_add_days(Days::new(days))?;
            let exact = account.outstanding().amount() * Decimal::from(permille) / Decimal::ONE_THOUSAND;
            let amount = exact.trunc_with_scale(2).max(Decimal::new(1, 2)).min(account.outstanding().amount());
            let amount = RepaymentAmount::try_from(amount).ok()?;
            let repayment = ReceiveRepayment { repayment_id, amount, paid_on, reference, today: paid_on, at };
            Some(LoanCommand::Repay(repayment))
        }
        Step::Settle(days) => {
            let paid_on = last.checked_add_days(Days::new(days))?;
            let amount = RepaymentAmount::try_from(account.settlement(paid_on).unwrap().amount).ok()?;
            let settlement = SettleEarly { repayment_id, amount, paid_on, reference, today: paid_on, at };
            Some(LoanCommand::SettleEarly(settlement))
        }
        Step::Reverse(permille) => {
            let counting: Vec<_> = counting(loan).collect();
            let chosen = counting.get(counting.len() * permille / 1_000)?.repayment_id;
            let reversal = ReverseRepayment { repayment_id: chosen, reason: reason(), today: last, at };
            Some(LoanCommand::ReverseRepayment(reversal))
        }
        Step::WriteOff => {
            let possible = loan.written_off_on().is_none() && !account.outstanding().is_zero();
            possible.then(|| LoanCommand::WriteOff(WriteOff { reason: reason(), today: last, at }))
        }
    }
}

fn counting(loan: &Loan) -> impl Iterator<Item = &RepaymentRecord> {
    loan.repayments().iter().filter(|repayment| repayment.reversed.is_none())
}

fn sum(amounts: impl Iterator<Item = Money>) -> u128 {
    amounts.map(|amount| paise(amount.amount())).sum()
}

/// Instalments paid in full and of those on time, told by sums of the schedule and days alone.
fn counts(schedule: &Schedule, paid_before: u16, loan: &Loan) -> (u16, u16) {
    let settled_on = counting(loan).find(|repayment| repayment.settles_loan_early).map(|repayment| repayment.paid_on);
    let (mut paid, mut on_time, mut asked) = (paid_before, paid_before, 0);
    for scheduled in schedule.instalments().iter().skip(paid_before.into()) {
        asked += paise(scheduled.instalment.amount().unwrap().amount());
        let mut so_far = 0;
        let ordinary = counting(loan).filter(|repayment| !repayment.settles_loan_early);
        let paid_on = ordinary
            .filter_map(|repayment| {
                so_far += paise(repayment.amount.money().amount());
                (so_far >= asked).then_some(repayment.paid_on)
            })
            .next();
        let Some(paid_on) = paid_on.or(settled_on) else { break };
        paid += 1;
        on_time += u16::from(scheduled.is_on_time(paid_on));
    }
    (paid, on_time)
}

/// Everything that holds of a loan at any time.
fn check(terms: &LoanTerms, schedule: &Schedule, paid_before: u16, loan: &Loan) -> Result<(), TestCaseError> {
    let account = loan.account().unwrap();
    let before = paise(schedule.total_of_first(paid_before).unwrap().amount());
    let repaid = sum(counting(loan).map(|repayment| repayment.amount.money()));
    let waived = sum(counting(loan).map(|repayment| repayment.interest_waived));
    let outstanding = paise(account.outstanding().amount());
    prop_assert_eq!(outstanding + repaid + before, paise(schedule.total().amount()) - waived);
    prop_assert_eq!(paise(account.interest_waived().amount()), waived);
    for repayment in counting(loan) {
        prop_assert_eq!(repayment.interest.plus(repayment.principal), Ok(repayment.amount.money()));
    }
    let lent = paise(terms.principal.money().amount());
    let first = schedule.instalments().iter().take(paid_before.into());
    let repaid_before = sum(first.map(|scheduled| scheduled.instalment.principal));
    let principal = sum(counting(loan).map(|repayment| repayment.principal));
    prop_assert_eq!(paise(account.outstanding_principal().amount()) + principal + repaid_before, lent);
    prop_assert_eq!(
        sum(account.instalments().iter().map(|one| one.interest_left().plus(one.principal_left()).unwrap())),
        outstanding
    );

    let (paid, on_time) = counts(schedule, paid_before, loan);
    let told = (account.instalments_paid(), account.instalments_paid_on_time());
    prop_assert_eq!(told, if counting(loan).next().is_some() { (paid, on_time) } else { (paid_before, paid_before) });
    prop_assert!(told.1 <= told.0 && told.0 <= terms.tenure.months());
    let shown = account.instalments().iter().take(told.0.into());
    prop_assert_eq!(shown.filter(|one| one.is_on_time() == Some(true)).count(), usize::from(told.1));

    prop_assert_eq!(account.last_paid_on(), counting(loan).last().map(|repayment| repayment.paid_on));
    let asks_only_the_last = terms.instalment.is_zero();
    let due = next_due_on(terms.started_on, terms.tenure.months(), asks_only_the_last, told.0);
    prop_assert_eq!(account.next_due_on(), (outstanding > 0).then_some(due));
    prop_assert!(counting(loan).is_sorted_by_key(|repayment| repayment.paid_on));
    Ok(())
}

/// What an event says of how the loan stands after it is so.
fn check_said(event: &LoanEvent, loan: &Loan) -> Result<(), TestCaseError> {
    let (paid, on_time, outstanding, last_paid_on) = match event {
        LoanEvent::RepaymentReceived(received) => {
            (received.instalments_paid, received.instalments_paid_on_time, received.outstanding, Some(received.paid_on))
        }
        LoanEvent::LoanSettledEarly(settled) => {
            (settled.instalments_paid, settled.instalments_paid_on_time, Money::ZERO, Some(settled.paid_on))
        }
        LoanEvent::RepaymentReversed(reversed) => {
            (reversed.instalments_paid, reversed.instalments_paid_on_time, reversed.outstanding, reversed.last_paid_on)
        }
        LoanEvent::LoanOpened(_) | LoanEvent::LoanImported(_) | LoanEvent::LoanWrittenOff(_) => return Ok(()),
    };
    let account = loan.account().unwrap();
    prop_assert_eq!((paid, on_time), (account.instalments_paid(), account.instalments_paid_on_time()));
    prop_assert_eq!((outstanding, last_paid_on), (account.outstanding(), account.last_paid_on()));
    Ok(())
}

/// The event survives its document.
fn check_document(event: &LoanEvent) -> Result<(), TestCaseError> {
    let document = serde_json::to_string(event).unwrap();
    let read = LendingEvent::decode("loan", &event.event_type(), &event.event_version(), &document).unwrap();
    prop_assert_eq!(read, LendingEvent::Loan(event.clone()));
    Ok(())
}

/// A customer who has the loan.
fn borrower(terms: &LoanTerms, paid_before: u16) -> Customer {
    let loan = LoanRecord {
        loan_id: terms.loan_id,
        principal: terms.principal,
        instalment: terms.instalment,
        tenure: terms.tenure,
        started_on: terms.started_on,
        ends_on: terms.ends_on,
        instalments_paid_on_time: paid_before,
        settled_on: None,
        written_off_on: None,
    };
    let mut customer = Customer::default();
    customer.apply(registered("50000", "1800000"));
    tell(&mut customer, CustomerCommand::CarryOverLoan(CarryOverLoan { loan, at: at() }));
    customer
}

fn tell(customer: &mut Customer, command: CustomerCommand) {
    customer.decide(command).unwrap().into_iter().for_each(|event| customer.apply(event));
}

/// What the loan's event tells its customer.
fn told(event: &LoanEvent) -> Option<CustomerCommand> {
    match event {
        LoanEvent::RepaymentReceived(received) => Some(CustomerCommand::RecordRepayment(received.into())),
        LoanEvent::LoanSettledEarly(settled) => Some(CustomerCommand::RecordRepayment(RecordRepayment::from(settled))),
        LoanEvent::RepaymentReversed(reversed) => Some(CustomerCommand::RecordReversal(RecordReversal::from(reversed))),
        LoanEvent::LoanWrittenOff(written_off) => {
            Some(CustomerCommand::RecordWriteOff(RecordWriteOff::from(written_off)))
        }
        LoanEvent::LoanOpened(_) | LoanEvent::LoanImported(_) => None,
    }
}

/// What credit knows of the loan is what the loan knows.
fn check_record(customer: &Customer, loan: &Loan, on: NaiveDate) -> Result<(), TestCaseError> {
    let profile = customer.profile().unwrap();
    let record = profile.loans.first().unwrap();
    let account = loan.account().unwrap();
    prop_assert_eq!(record.instalments_paid_on_time, account.instalments_paid_on_time());
    prop_assert_eq!(record.written_off_on, loan.written_off_on());
    let repaid_here = counting(loan).next().is_some();
    let settled_on = account.last_paid_on().filter(|_| repaid_here && account.outstanding().is_zero());
    prop_assert_eq!(record.settled_on, settled_on);
    let standing = profile.standing(on).unwrap();
    prop_assert!(standing.instalments_paid_on_time <= standing.instalments_due);
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn whatever_happens_to_a_loan_its_sums_hold_and_reversing_all_gives_it_back(
        (terms, paid_before) in terms_and_paid(),
        steps in steps(),
        on in crate::strategies::day(),
    ) {
        let schedule = Schedule::of(&terms).unwrap();
        let mut events = vec![importing(terms.clone(), paid_before)];
        let mut loan = crate::loans::given(events.clone());
        let untouched = loan.account().unwrap();
        let mut customer = borrower(&terms, paid_before);
        let mut happens = |loan: &mut Loan, command: LoanCommand| {
            for event in loan.decide(command).map_err(|refusal| TestCaseError::fail(refusal.to_string()))? {
                check_document(&event)?;
                told(&event).into_iter().for_each(|command| tell(&mut customer, command));
                loan.apply(event.clone());
                check_said(&event, loan)?;
                events.push(event);
            }
            check(&terms, &schedule, paid_before, loan)?;
            check_record(&customer, loan, on)
        };
        check(&terms, &schedule, paid_before, &loan)?;
        for (number, step) in (1..).zip(steps) {
            let account = loan.account().unwrap();
            if account.outstanding().is_zero() && !matches!(step, Step::Reverse(_)) {
                continue;
            }
            if let Some(command) = command(&loan, &account, &terms, step, number) {
                happens(&mut loan, command)?;
            }
        }
        prop_assert_eq!(&Account::of(&terms, paid_before, loan.repayments()), &Ok(loan.account().unwrap()));
        for number in (0..MAX_STEPS).rev() {
            let account = loan.account().unwrap();
            if let Some(command) = command(&loan, &account, &terms, Step::Reverse(number * 71), 1) {
                happens(&mut loan, command)?;
            }
        }
        prop_assert_eq!(loan.account().unwrap(), untouched);
        prop_assert_eq!(&crate::loans::given(events.clone()), &loan, "the fold of its events");
    }

    #[test]
    fn a_loan_is_settled_early_at_exactly_zero_and_for_no_more_than_all(
        (terms, paid_before) in terms_and_paid(),
        days in 0..=15_000_u64,
        permille in 0..1_000_u32,
    ) {
        let mut loan = crate::loans::given([importing(terms.clone(), paid_before)]);
        let mut happens = |step, number| {
            let account = loan.account().unwrap();
            let command = (!account.outstanding().is_zero()).then(|| command(&loan, &account, &terms, step, number));
            command.flatten().map(|command| crate::loans::happen(&mut loan, command))
        };
        happens(Step::Repay(permille, 0), 1);
        let Some(event) = happens(Step::Settle(days), 2) else { return Ok(()) };
        let settled = event.early_settlement().unwrap();
        prop_assert_eq!(settled.interest.plus(settled.principal), Ok(settled.amount.money()));
        prop_assert_eq!(settled.instalments_paid, terms.tenure.months());
        let account = loan.account().unwrap();
        prop_assert_eq!((account.outstanding(), account.outstanding_principal()), (Money::ZERO, Money::ZERO));
        prop_assert_eq!(account.interest_waived(), settled.interest_waived);
        prop_assert!(account.instalments().iter().all(|one| one.is_paid()));
        // Whoever pays it on the last due date or later is asked for everything.
        let last = account.instalments().last().unwrap().scheduled;
        if last.has_begun(settled.paid_on) {
            prop_assert!(settled.interest_waived.is_zero());
        }
    }

    #[test]
    fn what_a_reader_tells_by_counts_is_what_the_account_tells(
        (terms, paid_before) in terms_and_paid(),
        on in crate::strategies::day(),
    ) {
        let account = Account::untouched(&Schedule::of(&terms).unwrap(), paid_before).unwrap();
        prop_assert_eq!(is_repaid_by_first(&terms, paid_before), account.outstanding().is_zero());
        let overdue = account.overdue(on).unwrap();
        prop_assert_eq!(overdue.map(|overdue| overdue.since), account.next_due_on().filter(|due| *due < on));
        if let Some(overdue) = overdue {
            prop_assert_eq!(overdue.interest.plus(overdue.principal), Ok(overdue.amount));
            prop_assert!(!overdue.amount.is_zero() && overdue.amount <= account.outstanding());
            let settlement = account.settlement(on).unwrap();
            prop_assert!(overdue.interest <= settlement.interest && overdue.principal <= settlement.principal);
        }
        prop_assert_eq!(account.next_due_on().is_none(), account.outstanding().is_zero());
        prop_assert!(account.next_due_on().is_none_or(|due| due > date("1900-01-01")));
    }
}
