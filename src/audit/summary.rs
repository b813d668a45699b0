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
        CustomerEvent::RepaymentReversalRecorded(recorded) => {
            format!("The reversal of repayment {} of loan {} was recorded.", recorded.repayment_id, recorded.loan_id)
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aggregates::customer::{CustomerImported, CustomerRegistered};

    use super::*;

    /// Every event that was ever recorded, as the domain's tests keep it.
    fn golden() -> Vec<(String, LendingEvent)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("aggregates/tests/golden");
        let mut events = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let payload = std::fs::read_to_string(&path).unwrap();
            let (event_type, version) = name.split_once('-').unwrap();
            let decoded = ["customer", "loan"].into_iter();
            let mut decoded =
                decoded.filter_map(|stream| LendingEvent::decode(stream, event_type, version, &payload).ok());
            events.push((name.clone(), decoded.next().unwrap_or_else(|| panic!("{name} cannot be read"))));
        }
        events.sort_by(|(one, _), (other, _)| one.cmp(other));
        events
    }

    #[test]
    fn every_event_is_told_in_a_sentence_that_names_nobody() {
        let events = golden();
        assert!(events.len() >= 16, "the golden documents are found");
        for (name, event) in events {
            let told = of(&event);
            assert!(told.ends_with('.') && told.starts_with(char::is_uppercase) && told.len() > 20, "{name}: {told}");
            assert!(!told.contains("Some(") && !told.contains('{'), "{name}: {told}");
            if let LendingEvent::Customer(
                CustomerEvent::CustomerRegistered(CustomerRegistered { personal, .. })
                | CustomerEvent::CustomerImported(CustomerImported { personal, .. }),
            ) = &event
            {
                for secret in
                    [personal.first_name.as_str(), personal.last_name.as_str(), personal.phone_number.as_str()]
                {
                    assert!(!told.contains(secret), "{name}: {told}");
                }
            }
        }
    }

    #[test]
    fn the_sentences_read_well() {
        let told: Vec<_> = golden().iter().map(|(name, event)| format!("{name}: {}", of(event))).collect();
        let of_name =
            |name: &str| told.iter().find(|line| line.starts_with(name)).map(String::as_str).unwrap_or_default();
        assert_eq!(of_name("PhoneNumberChanged"), "PhoneNumberChanged-1.0: The phone number changed.");
        for name in ["LoanApproved", "LoanDeclined"] {
            assert!(of_name(name).contains(": Decision "), "{}", of_name(name));
        }
    }
}
