//! The log's guarantees, customer by customer: streams without holes, events that are known and about whom they say,
//! and decisions that come out the same when they are taken again, from their recorded inputs and from what the
//! customer's stream held at the time. What loans add to that is in [`super::loans`].

use std::collections::{BTreeMap, HashMap};

use aggregates::customer::{
    ChangeDetails, Customer, CustomerCommand, CustomerEvent, Decided, LoanApproved, RecordRepayment, RecordReversal,
    RecordWriteOff,
};
use aggregates::event::LendingEvent;
use aggregates::ids::{CustomerId, LoanId};
use aggregates::policy::decision::Assessment;
use aggregates::policy::{Policy, PolicyRef};
use cqrs_es::Aggregate;
use projections::{CustomerEvents, RecordedEvent, StoredEvent};

use super::loans::{Grant, Mentioned};
use super::told::{self, Told};

/// Something that the log must not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    position: i64,
    what: String,
}

impl Violation {
    pub(super) fn new(position: i64, what: impl Into<String>) -> Self {
        Self { position, what: what.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "log, position {}: {}", self.position, self.what)
    }
}

/// The check of one customer's events.
pub(super) struct LogCheck<'a> {
    pub(super) customer: CustomerId,
    policies: &'a HashMap<&'a PolicyRef, &'a Policy>,
    /// As its stream tells it.
    known: Customer,
    sequences: BTreeMap<(String, String), i64>,
    pub(super) loans: BTreeMap<LoanId, Mentioned>,
    pub(super) repayments: Told<RecordRepayment>,
    pub(super) reversals: Told<RecordReversal>,
    pub(super) write_offs: Told<RecordWriteOff>,
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
            known: Customer::default(),
            sequences: BTreeMap::new(),
            loans: BTreeMap::new(),
            repayments: Told::new("repayment", "received"),
            reversals: Told::new("the reversal of repayment", "made"),
            write_offs: Told::new("the write-off of loan", "made"),
            decisions: 0,
            violations: Vec::new(),
        }
    }

    pub(super) fn violated(&mut self, position: i64, what: impl Into<String>) {
        self.violations.push(Violation::new(position, what));
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
            self.violations.extend(self.repayments.differences());
            self.violations.extend(self.reversals.differences());
            self.violations.extend(self.write_offs.differences());
        }
    }

    /// The customer's number, as its stream tells it as far as that can be read.
    pub(super) fn phone_number(&self) -> Option<String> {
        self.known.phone_number().map(|number| number.as_str().to_owned())
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

    pub(super) fn must_be(&mut self, position: i64, what: &str, stream: &str, id: i64) {
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
                let said = told::repayment(recorded);
                self.violations.extend(self.repayments.by_customer(position, recorded.repayment_id.get(), said));
            }
            CustomerEvent::RepaymentReversalRecorded(recorded) => {
                let said = told::reversal(recorded);
                self.violations.extend(self.reversals.by_customer(position, recorded.repayment_id.get(), said));
            }
            CustomerEvent::LoanWriteOffRecorded(recorded) => {
                let said = told::write_off(recorded);
                self.violations.extend(self.write_offs.by_customer(position, recorded.loan_id.get(), said));
            }
            CustomerEvent::MonthlyIncomeChanged(changed) => {
                let (monthly_income, at) = (Some(changed.monthly_income), changed.changed_at);
                self.change_again(position, event, ChangeDetails { monthly_income, phone_number: None, at });
            }
            CustomerEvent::PhoneNumberChanged(changed) => {
                let (phone_number, at) = (Some(changed.personal.phone_number.clone()), changed.changed_at);
                self.change_again(position, event, ChangeDetails { monthly_income: None, phone_number, at });
            }
        }
        if let Some(decided) = event.decision() {
            self.decide_again(position, &decided);
        }
        self.known.apply(event.clone());
        if self.known.profile().is_none() {
            self.violated(position, "the customer has events before it was registered");
        }
    }

    fn begins(&mut self, position: i64, customer: CustomerId) {
        if self.known.profile().is_some() {
            self.violated(position, "the customer is registered a second time");
        }
        if customer != self.customer {
            self.violated(position, format!("an event about customer {} registers {customer}", self.customer));
        }
    }

    /// The customer as it stood takes the change as the event says.
    fn change_again(&mut self, position: i64, event: &CustomerEvent, change: ChangeDetails) {
        let again = self.known.decide(CustomerCommand::ChangeDetails(change));
        if again.as_deref() != Ok(std::slice::from_ref(event)) {
            self.violated(position, "the change of the customer's details comes out otherwise when it is made again");
        }
    }

    /// The customer stood as the decision says, and the policy decides so from that.
    fn decide_again(&mut self, position: i64, decided: &Decided<'_>) {
        self.decisions += 1;
        let recorded = decided.assessment;
        let stood = self.known.profile().map(|profile| profile.standing(recorded.standing.as_of));
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
            // To the byte: 12 and 12.0000 are one rate, and two texts.
            Ok(again) if in_bytes(&again).is_some_and(|again| Some(again) == in_bytes(recorded)) => {}
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
}

fn in_bytes(assessment: &Assessment) -> Option<Vec<u8>> {
    serde_json::to_vec(assessment).ok()
}
