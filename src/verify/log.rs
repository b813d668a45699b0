//! The log's guarantees, customer by customer: streams without holes, events that are known and about whom they say,
//! loans, repayments and decisions that match each other, and decisions and repayments that come out the same when they are taken again, from
//! their recorded inputs and from what the customer's stream held at the time.

use std::collections::{BTreeMap, HashMap};

use aggregates::customer::{CustomerEvent, Decided, LoanApproved, RecordRepayment, fold};
use aggregates::event::LendingEvent;
use aggregates::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use aggregates::loan::{Loan, LoanCommand, LoanEvent, LoanTerms, ReceiveRepayment, RepaymentReceived};
use aggregates::money::Money;
use aggregates::policy::{Policy, PolicyRef};
use aggregates::profile::{CreditProfile, LoanRecord};
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::NaiveDate;
use cqrs_es::Aggregate;
use projections::{CustomerEvents, RecordedEvent, StoredEvent};

/// Something that the log must not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    position: i64,
    what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "log, position {}: {}", self.position, self.what)
    }
}

/// What a loan was granted on. Both streams say the same; its interest rate stands in the decision and the loan alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
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
    fn of_record(loan: &LoanRecord, decision_id: Option<DecisionId>, interest_rate: Option<Rate>) -> Self {
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
struct Mentioned {
    by_customer: Option<(i64, Grant)>,
    by_itself: Option<(i64, Grant)>,
    /// As its own stream tells it.
    loan: Loan,
}

/// Where a repayment is spoken of: in the loan's stream, in the customer's. Both say the same of credit.
#[derive(Debug, Default)]
struct Repaid {
    by_loan: Option<(i64, RecordRepayment)>,
    by_customer: Option<(i64, RecordRepayment)>,
}

/// The check of one customer's events.
pub(super) struct LogCheck<'a> {
    customer: CustomerId,
    policies: &'a HashMap<&'a PolicyRef, &'a Policy>,
    profile: Option<CreditProfile>,
    sequences: BTreeMap<(String, String), i64>,
    loans: BTreeMap<LoanId, Mentioned>,
    repayments: BTreeMap<RepaymentId, Repaid>,
    /// Decisions that were taken again.
    pub(super) decisions: u64,
    /// What was found.
    pub(super) violations: Vec<Violation>,
}

impl<'a> LogCheck<'a> {
    pub(super) fn new(customer: CustomerId, policies: &'a HashMap<&'a PolicyRef, &'a Policy>) -> Self {
        Self {
            customer,
            policies,
            profile: None,
            sequences: BTreeMap::new(),
            loans: BTreeMap::new(),
            repayments: BTreeMap::new(),
            decisions: 0,
            violations: Vec::new(),
        }
    }

    fn violated(&mut self, position: i64, what: impl Into<String>) {
        self.violations.push(Violation { position, what: what.into() });
    }

    /// Looks at all events of the customer, in order.
    pub(super) fn run(&mut self, events: &CustomerEvents<'_>) {
        for stored in events.stored() {
            self.stream(stored);
        }
        if let Some((stored, error)) = events.unreadable() {
            self.violated(stored.position, format!("the event cannot be read: {error}"));
        }
        for (recorded, stored) in events.recorded().iter().zip(events.stored()) {
            self.event(recorded, stored);
        }
        // What follows an event that cannot be read is not known, so nothing can be missed in it.
        if events.unreadable().is_none() {
            self.loans_must_match();
            self.repayments_must_match();
        }
    }

    /// Streams have no holes.
    fn stream(&mut self, stored: &StoredEvent) {
        let stream = (stored.aggregate_type.clone(), stored.aggregate_id.clone());
        let last = self.sequences.insert(stream, stored.sequence).unwrap_or(0);
        if stored.sequence != last + 1 {
            let StoredEvent { aggregate_type, aggregate_id, sequence, .. } = stored;
            let what = format!("{aggregate_type} {aggregate_id} goes from event {last} to event {sequence}");
            self.violated(stored.position, what);
        }
    }

    fn event(&mut self, recorded: &RecordedEvent, stored: &StoredEvent) {
        let position = recorded.position;
        match &recorded.event {
            LendingEvent::Customer(event) => {
                self.must_be(position, "customer", &stored.aggregate_id, self.customer.get());
                self.customer_event(position, event);
            }
            LendingEvent::Loan(event) => self.loan_event(position, event, stored),
        }
    }

    fn must_be(&mut self, position: i64, what: &str, stream: &str, id: i64) {
        if stream != id.to_string() {
            self.violated(position, format!("the stream of {what} {stream} holds an event of {what} {id}"));
        }
    }

    fn customer_event(&mut self, position: i64, event: &CustomerEvent) {
        match event {
            CustomerEvent::CustomerRegistered(registered) => self.begins(position, registered.customer_id),
            CustomerEvent::CustomerImported(imported) => self.begins(position, imported.customer_id),
            CustomerEvent::LoanApproved(approved) => {
                let rate = Some(approved.assessment.corrected_rate);
                let grant = Grant::of_record(&approved.loan, Some(approved.decision_id), rate);
                self.loans.entry(approved.loan.loan_id).or_default().by_customer = Some((position, grant));
                self.lends_what_was_asked_for(position, approved);
            }
            CustomerEvent::LoanDeclined(_) => {}
            CustomerEvent::LoanCarriedOver(carried_over) => {
                let grant = Grant::of_record(&carried_over.loan, None, None);
                self.loans.entry(carried_over.loan.loan_id).or_default().by_customer = Some((position, grant));
            }
            CustomerEvent::RepaymentRecorded(recorded) => {
                let said = RecordRepayment {
                    loan_id: recorded.loan_id,
                    repayment_id: recorded.repayment_id,
                    instalments_paid_on_time: recorded.instalments_paid_on_time,
                    settled_on: recorded.settled_on,
                    at: recorded.recorded_at,
                };
                let repaid = self.repayments.entry(recorded.repayment_id).or_default();
                if repaid.by_customer.replace((position, said)).is_some() {
                    self.violated(position, format!("repayment {} is recorded twice", recorded.repayment_id));
                }
            }
        }
        if let Some(decided) = event.decision() {
            self.decide_again(position, &decided);
        }
        fold(&mut self.profile, event);
        if self.profile.is_none() {
            self.violated(position, "the customer has events before it was registered");
        }
    }

    fn begins(&mut self, position: i64, customer: CustomerId) {
        if self.profile.is_some() {
            self.violated(position, "the customer is registered a second time");
        }
        if customer != self.customer {
            self.violated(position, format!("an event about customer {} registers {customer}", self.customer));
        }
    }

    /// The customer stood as the decision says, and the policy decides so from that.
    fn decide_again(&mut self, position: i64, decided: &Decided<'_>) {
        self.decisions += 1;
        let recorded = decided.assessment;
        let stood = self.profile.as_ref().map(|profile| profile.standing(recorded.standing.as_of));
        if !stood.is_some_and(|stood| stood.is_ok_and(|stood| stood == recorded.standing)) {
            let what = format!("decision {} was not taken from how the customer stood", decided.decision_id);
            self.violated(position, what);
        }
        let Some(policy) = self.policies.get(&recorded.policy) else {
            let PolicyRef { id, digest } = &recorded.policy;
            let what = format!("decision {} was taken under an unknown policy, {id} ({digest})", decided.decision_id);
            self.violated(position, what);
            return;
        };
        match policy.assess(recorded.standing.clone(), recorded.application.clone()) {
            Ok(again) if again == *recorded => {}
            Ok(_) => {
                let what = format!("decision {} comes out otherwise when it is taken again", decided.decision_id);
                self.violated(position, what);
            }
            Err(error) => {
                self.violated(position, format!("decision {} cannot be taken again: {error}", decided.decision_id));
            }
        }
    }

    /// The loan that a decision opens is the one that it was about.
    fn lends_what_was_asked_for(&mut self, position: i64, approved: &LoanApproved) {
        let (loan, assessment) = (&approved.loan, &approved.assessment);
        let asked = (assessment.application.principal, assessment.application.tenure, assessment.instalment);
        if (loan.principal, loan.tenure, loan.instalment) != asked || loan.started_on != assessment.standing.as_of {
            let what = format!("decision {} opens another loan than it was about", approved.decision_id);
            self.violated(position, what);
        }
    }

    fn loan_event(&mut self, position: i64, event: &LoanEvent, stored: &StoredEvent) {
        let (loan_id, owner) = match event {
            LoanEvent::LoanOpened(opened) => (opened.terms.loan_id, opened.terms.customer_id),
            LoanEvent::LoanImported(imported) => (imported.terms.loan_id, imported.terms.customer_id),
            LoanEvent::RepaymentReceived(received) => (received.loan_id, received.customer_id),
        };
        self.must_be(position, "loan", &stored.aggregate_id, loan_id.get());
        if owner != self.customer {
            self.violated(position, format!("loan {loan_id} belongs to customer {owner}, not {}", self.customer));
        }
        match event {
            LoanEvent::LoanOpened(opened) => {
                let grant = Grant::of_terms(&opened.terms, Some(opened.decision_id));
                self.loans.entry(loan_id).or_default().by_itself = Some((position, grant));
            }
            LoanEvent::LoanImported(imported) => {
                let grant = Grant::of_terms(&imported.terms, None);
                self.loans.entry(loan_id).or_default().by_itself = Some((position, grant));
            }
            LoanEvent::RepaymentReceived(received) => self.repay_again(position, event, received),
        }
        self.loans.entry(loan_id).or_default().loan.apply(event.clone());
    }

    /// The loan as it stood takes the repayment as the event says.
    fn repay_again(&mut self, position: i64, event: &LoanEvent, received: &RepaymentReceived) {
        let repaid = self.repayments.entry(received.repayment_id).or_default();
        if repaid.by_loan.replace((position, RecordRepayment::from(received))).is_some() {
            self.violated(position, format!("repayment {} is received twice", received.repayment_id));
        }
        let command = ReceiveRepayment {
            repayment_id: received.repayment_id,
            amount: received.amount,
            paid_on: received.paid_on,
            reference: received.reference.clone(),
            today: received.paid_on,
            at: received.received_at,
        };
        let again = self.loans.entry(received.loan_id).or_default().loan.decide(LoanCommand::Repay(command));
        if again.as_deref() != Ok(std::slice::from_ref(event)) {
            let what = format!("repayment {} comes out otherwise when it is taken again", received.repayment_id);
            self.violated(position, what);
        }
    }

    /// Every repayment stands in its loan's stream and in its customer's, and means the same there.
    fn repayments_must_match(&mut self) {
        for (repayment, repaid) in std::mem::take(&mut self.repayments) {
            match (repaid.by_loan, repaid.by_customer) {
                (Some((_, received)), Some((_, recorded))) if received == recorded => {}
                (Some((position, _)), Some(_)) => {
                    self.violated(position, format!("repayment {repayment} means something else to the customer"));
                }
                (Some((position, _)), None) => {
                    self.violated(position, format!("repayment {repayment} is not told to the customer"));
                }
                (None, Some((position, _))) => {
                    self.violated(position, format!("repayment {repayment} was recorded and not received"));
                }
                (None, None) => {}
            }
        }
    }

    /// Every loan stands in its customer's stream and in its own, on the same terms.
    fn loans_must_match(&mut self) {
        for (loan, mentioned) in std::mem::take(&mut self.loans) {
            match (mentioned.by_customer, mentioned.by_itself) {
                (Some((_, granted)), Some((_, opened))) if granted == opened => {}
                (Some(_), Some((position, _))) => {
                    self.violated(position, format!("loan {loan} was opened on other terms than were granted"));
                }
                (Some((position, _)), None) => {
                    self.violated(position, format!("loan {loan} was granted and not opened"))
                }
                (None, Some((position, _))) => {
                    self.violated(position, format!("loan {loan} was opened and not granted"))
                }
                (None, None) => {}
            }
        }
    }
}
