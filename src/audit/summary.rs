//! Each event in a plain sentence, for people. No name, phone number or address stands in it: those are in the event's
//! data alone.

use aggregates::customer::{CustomerEvent, LoanApproved, LoanDeclined};
use aggregates::event::LendingEvent;
use aggregates::loan::{LoanEvent, LoanSettledEarly, LoanTerms, RepaymentReceived, RepaymentReversed};

/// What happened.
pub(super) fn of(event: &LendingEvent) -> String {
    match event {
        LendingEvent::Customer(event) => of_customer(event),
        LendingEvent::Loan(event) => of_loan(event),
    }
}

fn of_customer(event: &CustomerEvent) -> String {
    match event {
        CustomerEvent::CustomerRegistered(registered) => format!(
            "Registered with an income of {} a month and an approved limit of {}.",
            registered.monthly_income.money(),
            registered.approved_limit
        ),
        CustomerEvent::CustomerImported(imported) => format!(
            "Taken over from another system with an income of {} a month and an approved limit of {}.",
            imported.monthly_income.money(),
            imported.approved_limit
        ),
        CustomerEvent::LoanApproved(approved) => of_approval(approved),
        CustomerEvent::LoanDeclined(declined) => of_decline(declined),
        CustomerEvent::LoanCarriedOver(carried) => format!(
            "Loan {} of {} over {} months was taken over from another system.",
            carried.loan.loan_id,
            carried.loan.principal.money(),
            carried.loan.tenure.months()
        ),
        CustomerEvent::RepaymentRecorded(recorded) => {
            let settled = recorded.settled_on.map_or_else(String::new, |day| format!(", which settled it on {day}"));
            format!("Repayment {} of loan {} was recorded{settled}.", recorded.repayment_id, recorded.loan_id)
        }
        CustomerEvent::MonthlyIncomeChanged(changed) => format!(
            "The income changed to {} a month, the approved limit to {}.",
            changed.monthly_income.money(),
            changed.approved_limit
        ),
        CustomerEvent::PhoneNumberChanged(_) => "The phone number changed.".to_owned(),
        CustomerEvent::RepaymentReversalRecorded(recorded) => format!(
            "The reversal of repayment {} of loan {} was recorded.",
            recorded.repayment_id, recorded.loan_id
        ),
        CustomerEvent::LoanWriteOffRecorded(recorded) => {
            format!("The write-off of loan {} on {} was recorded.", recorded.loan_id, recorded.written_off_on)
        }
    }
}

fn of_approval(approved: &LoanApproved) -> String {
    let loan = &approved.loan;
    format!(
        "Decision {}: loan {} of {} over {} months was approved at {} percent with a score of {}.",
        approved.decision_id,
        loan.loan_id,
        loan.principal.money(),
        loan.tenure.months(),
        approved.assessment.corrected_rate.percent().normalize(),
        approved.assessment.score.value.normalize()
    )
}

fn of_decline(declined: &LoanDeclined) -> String {
    let assessment = &declined.assessment;
    format!(
        "Decision {}: a loan of {} over {} months was declined with a score of {}. {}",
        declined.decision_id,
        assessment.application.principal.money(),
        assessment.application.tenure.months(),
        assessment.score.value.normalize(),
        assessment.headline()
    )
}

fn of_loan(event: &LoanEvent) -> String {
    match event {
        LoanEvent::LoanOpened(opened) => {
            format!("Opened by decision {}: {}.", opened.decision_id, terms(&opened.terms))
        }
        LoanEvent::LoanImported(imported) => format!(
            "Taken over from another system: {}, {} instalments paid on time.",
            terms(&imported.terms),
            imported.instalments_paid_on_time
        ),
        LoanEvent::RepaymentReceived(received) => of_repayment(received),
        LoanEvent::LoanSettledEarly(settled) => of_settlement(settled),
        LoanEvent::RepaymentReversed(reversed) => of_reversal(reversed),
        LoanEvent::LoanWrittenOff(written_off) => format!(
            "Written off on {} with {} left to pay: {}.",
            written_off.written_off_on,
            written_off.outstanding,
            written_off.reason.as_str()
        ),
    }
}

fn terms(terms: &LoanTerms) -> String {
    format!(
        "{} at {} percent over {} months, {} a month, from {} to {}",
        terms.principal.money(),
        terms.interest_rate.percent().normalize(),
        terms.tenure.months(),
        terms.instalment,
        terms.started_on,
        terms.ends_on
    )
}

fn of_repayment(received: &RepaymentReceived) -> String {
    let left = if received.settled {
        "which settled the loan".to_owned()
    } else {
        format!("{} left to pay", received.outstanding)
    };
    format!(
        "Repayment {} of {} on {}: {} of interest and {} of principal, {left}.",
        received.repayment_id, received.amount, received.paid_on, received.interest, received.principal
    )
}

fn of_settlement(settled: &LoanSettledEarly) -> String {
    format!(
        "Repayment {} of {} on {} settled the loan early: {} of interest and {} of principal, {} of interest waived.",
        settled.repayment_id,
        settled.amount,
        settled.paid_on,
        settled.interest,
        settled.principal,
        settled.interest_waived
    )
}

fn of_reversal(reversed: &RepaymentReversed) -> String {
    format!(
        "Repayment {} of {} was reversed on {}, {} left to pay: {}.",
        reversed.repayment_id,
        reversed.amount,
        reversed.reversed_on,
        reversed.outstanding,
        reversed.reason.as_str()
    )
}
