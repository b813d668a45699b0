//! What the log holds of loans: terms that both streams say alike, and whatever happened to a loan coming out the same
//! when it happens again, from its recorded inputs and from how the loan stood.

use aggregates::customer::{RecordRepayment, RecordReversal, RecordWriteOff};
use aggregates::ids::DecisionId;
use aggregates::loan::{
    Loan, LoanCommand, LoanEvent, LoanTerms, ReceiveRepayment, ReverseRepayment, SettleEarly, WriteOff,
};
use aggregates::money::Money;
use aggregates::profile::LoanRecord;
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::NaiveDate;
use cqrs_es::Aggregate;
use projections::StoredEvent;

use super::log::LogCheck;

/// What a loan was granted on. Both streams say the same; its interest rate stands in the decision and the loan alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// Which decision; `None` for an imported loan.
    decision_id: Option<DecisionId>,
    interest_rate: Option<Rate>,
    principal: Principal,
    instalment: Money,
    tenure: Tenure,
    started_on: NaiveDate,
    ends_on: NaiveDate,
}

impl Grant {
    pub(super) fn of_record(loan: &LoanRecord, decision_id: Option<DecisionId>, interest_rate: Option<Rate>) -> Self {
        let LoanRecord { principal, instalment, tenure, started_on, ends_on, .. } = *loan;
        Self { decision_id, interest_rate, principal, instalment, tenure, started_on, ends_on }
    }

    fn of_terms(terms: &LoanTerms, decision_id: Option<DecisionId>) -> Self {
        let LoanTerms { interest_rate, principal, instalment, tenure, started_on, ends_on, .. } = *terms;
        let interest_rate = decision_id.is_some().then_some(interest_rate);
        Self { decision_id, interest_rate, principal, instalment, tenure, started_on, ends_on }
    }
}

/// Where a loan is spoken of: in its customer's stream, in its own.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    pub(super) by_customer: Option<(i64, Grant)>,
    by_itself: Option<(i64, Grant)>,
    /// As its own stream tells it.
    loan: Loan,
}

/// What led to an event, and what it is called where it does not lead to it again; `None` for what begins a loan.
fn command(event: &LoanEvent) -> Option<(LoanCommand, String)> {
    match event {
        LoanEvent::LoanOpened(_) | LoanEvent::LoanImported(_) => None,
        LoanEvent::RepaymentReceived(received) => {
            let command = LoanCommand::Repay(ReceiveRepayment {
                repayment_id: received.repayment_id,
                amount: received.amount,
                paid_on: received.paid_on,
                reference: received.reference.clone(),
                today: received.paid_on,
                at: received.received_at,
            });
            Some((command, format!("repayment {}", received.repayment_id)))
        }
        LoanEvent::LoanSettledEarly(settled) => {
            let command = LoanCommand::SettleEarly(SettleEarly {
                repayment_id: settled.repayment_id,
                amount: settled.amount,
                paid_on: settled.paid_on,
                reference: settled.reference.clone(),
                today: settled.paid_on,
                at: settled.settled_at,
            });
            Some((command, format!("repayment {}", settled.repayment_id)))
        }
        LoanEvent::RepaymentReversed(reversed) => {
            let command = LoanCommand::ReverseRepayment(ReverseRepayment {
                repayment_id: reversed.repayment_id,
                reason: reversed.reason.clone(),
                today: reversed.reversed_on,
                at: reversed.reversed_at,
            });
            Some((command, format!("the reversal of repayment {}", reversed.repayment_id)))
        }
        LoanEvent::LoanWrittenOff(written_off) => {
            let command = LoanCommand::WriteOff(WriteOff {
                reason: written_off.reason.clone(),
                today: written_off.written_off_on,
                at: written_off.written_off_at,
            });
            Some((command, format!("the write-off of loan {}", written_off.loan_id)))
        }
    }
}

impl LogCheck<'_> {
    pub(super) fn loan_event(&mut self, position: i64, event: &LoanEvent, stored: &StoredEvent) {
        let (loan_id, owner) = match event {
            LoanEvent::LoanOpened(opened) => (opened.terms.loan_id, opened.terms.customer_id),
            LoanEvent::LoanImported(imported) => (imported.terms.loan_id, imported.terms.customer_id),
            LoanEvent::RepaymentReceived(received) => (received.loan_id, received.customer_id),
            LoanEvent::LoanSettledEarly(settled) => (settled.loan_id, settled.customer_id),
            LoanEvent::RepaymentReversed(reversed) => (reversed.loan_id, reversed.customer_id),
            LoanEvent::LoanWrittenOff(written_off) => (written_off.loan_id, written_off.customer_id),
        };
        self.must_be(position, "loan", &stored.aggregate_id, loan_id.get());
        if owner != self.customer {
            self.violated(position, format!("loan {loan_id} belongs to customer {owner}, not {}", self.customer));
        }
        self.tells(position, event);
        let mentioned = self.loans.entry(loan_id).or_default();
        let again = command(event).map(|(command, name)| (mentioned.loan.decide(command), name));
        mentioned.loan.apply(event.clone());
        if let Some((again, name)) = again
            && again.as_deref() != Ok(std::slice::from_ref(event))
        {
            self.violated(position, format!("{name} comes out otherwise when it is taken again"));
        }
    }

    /// What the loan's stream says that the customer's has to say too.
    fn tells(&mut self, position: i64, event: &LoanEvent) {
        match event {
            LoanEvent::LoanOpened(opened) => {
                let grant = Grant::of_terms(&opened.terms, Some(opened.decision_id));
                self.loans.entry(opened.terms.loan_id).or_default().by_itself = Some((position, grant));
            }
            LoanEvent::LoanImported(imported) => {
                let grant = Grant::of_terms(&imported.terms, None);
                self.loans.entry(imported.terms.loan_id).or_default().by_itself = Some((position, grant));
            }
            LoanEvent::RepaymentReceived(received) => {
                let (id, said) = (received.repayment_id.get(), RecordRepayment::from(received));
                self.violations.extend(self.repayments.by_loan(position, id, said));
            }
            LoanEvent::LoanSettledEarly(settled) => {
                let (id, said) = (settled.repayment_id.get(), RecordRepayment::from(settled));
                self.violations.extend(self.repayments.by_loan(position, id, said));
            }
            LoanEvent::RepaymentReversed(reversed) => {
                let (id, said) = (reversed.repayment_id.get(), RecordReversal::from(reversed));
                self.violations.extend(self.reversals.by_loan(position, id, said));
            }
            LoanEvent::LoanWrittenOff(written_off) => {
                let (id, said) = (written_off.loan_id.get(), RecordWriteOff::from(written_off));
                self.violations.extend(self.write_offs.by_loan(position, id, said));
            }
        }
    }

    /// Every loan stands in its customer's stream and in its own, on the same terms.
    pub(super) fn loans_must_match(&mut self) {
        for (loan, mentioned) in std::mem::take(&mut self.loans) {
            match (mentioned.by_customer, mentioned.by_itself) {
                (Some((_, granted)), Some((_, opened))) if granted == opened => {}
                (Some(_), Some((position, _))) => {
                    self.violated(position, format!("loan {loan} was opened on other terms than were granted"));
                }
                (Some((position, _)), None) => {
                    self.violated(position, format!("loan {loan} was granted and not opened"));
                }
                (None, Some((position, _))) => {
                    self.violated(position, format!("loan {loan} was opened and not granted"));
                }
                (None, None) => {}
            }
        }
    }
}
