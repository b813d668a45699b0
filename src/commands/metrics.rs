//! What is counted of commands: what came of them, how long they took, why they were refused, and how decisions fell.

use std::time::{Duration, Instant};

use aggregates::customer::CustomerRefusal;
use aggregates::loan::LoanRefusal;
use aggregates::policy::decision::{Assessment, Outcome, ReasonCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Answered, CommandError};
use crate::metrics::buckets::latency;

/// The commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    ApplyForLoan,
    ChangeDetails,
    Repay,
    SettleEarly,
    ReverseRepayment,
    WriteOff,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Register,
        Self::ApplyForLoan,
        Self::ChangeDetails,
        Self::Repay,
        Self::SettleEarly,
        Self::ReverseRepayment,
        Self::WriteOff,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ApplyForLoan => "apply_for_loan",
            Self::ChangeDetails => "change_details",
            Self::Repay => "repay",
            Self::SettleEarly => "settle_early",
            Self::ReverseRepayment => "reverse_repayment",
            Self::WriteOff => "write_off",
        }
    }
}

/// What can come of a command: it took effect, was answered as before, was refused, gave way to others, or failed.
const OUTCOMES: [&str; 5] = ["done", "replayed", "refused", "contention", "failed"];
const DECISIONS: [&str; 2] = ["approved", "declined"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    command: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCommand {
    command: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    command: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDecision {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// The commands of this process.
#[derive(Debug)]
pub struct CommandMetrics {
    ended: Family<OfOutcome, Counter>,
    took: Family<OfCommand, Histogram, fn() -> Histogram>,
    refused: Family<OfRefusal, Counter>,
    decided: Family<OfDecision, Counter>,
    reasons: Family<OfReason, Counter>,
    append_took: Histogram,
    conflicts: Counter,
}

impl CommandMetrics {
    /// Adds them to what Prometheus is told. Those whose labels are known beforehand are there from the start, at 0.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            ended: Family::default(),
            took: Family::new_with_constructor(latency),
            refused: Family::default(),
            decided: Family::default(),
            reasons: Family::default(),
            append_took: latency(),
            conflicts: Counter::default(),
        };
        for command in Kind::ALL.map(Kind::name) {
            for outcome in OUTCOMES {
                drop(metrics.ended.get_or_create(&OfOutcome { command, outcome }));
            }
        }
        for outcome in DECISIONS {
            drop(metrics.decided.get_or_create(&OfDecision { outcome }));
        }
        registry.register("commands", "Commands by what came of them", metrics.ended.clone());
        let help = "From a command's beginning to its answer, waiting for its customer's turn and conflicts included";
        registry.register("command_duration_seconds", help, metrics.took.clone());
        registry.register("command_refusals", "Refused commands by the reason", metrics.refused.clone());
        registry.register("loan_decisions", "Decisions over applications, by how they fell", metrics.decided.clone());
        let help = "Decisions over applications by reason; a decision may have several";
        registry.register("loan_decision_reasons", help, metrics.reasons.clone());
        let help = "Until a command's events were in the log, or a conflict was found";
        registry.register("append_duration_seconds", help, metrics.append_took.clone());
        let help = "Appends that found a stream moved on, after which the command was decided again";
        registry.register("append_conflicts", help, metrics.conflicts.clone());
        metrics
    }

    pub(super) fn ended(&self, kind: Kind, elapsed: Duration, outcome: &Result<Answered, CommandError>) {
        let command = kind.name();
        self.took.get_or_create(&OfCommand { command }).observe(elapsed.as_secs_f64());
        let outcome = match outcome {
            Ok(answered) if answered.replayed => "replayed",
            Ok(_) => "done",
            Err(CommandError::Contention) => "contention",
            Err(error) => match refusal(error) {
                Some(reason) => {
                    self.refused.get_or_create(&OfRefusal { command, reason }).inc();
                    "refused"
                }
                None => "failed",
            },
        };
        self.ended.get_or_create(&OfOutcome { command, outcome }).inc();
    }

    pub(super) fn appended(&self, began: Instant) {
        self.append_took.observe(began.elapsed().as_secs_f64());
    }

    pub(super) fn conflict(&self) {
        self.conflicts.inc();
    }

    pub(super) fn decided(&self, verdict: &Verdict) {
        self.decided.get_or_create(&OfDecision { outcome: verdict.outcome }).inc();
        for reason in &verdict.reasons {
            self.reasons.get_or_create(&OfReason { reason: reason.as_str() }).inc();
        }
    }
}

/// How a decision fell.
pub(super) struct Verdict {
    outcome: &'static str,
    reasons: Vec<ReasonCode>,
}

impl From<&Assessment> for Verdict {
    fn from(assessment: &Assessment) -> Self {
        let outcome = match assessment.outcome {
            Outcome::Approved => "approved",
            Outcome::Declined => "declined",
        };
        Self { outcome, reasons: assessment.reasons.iter().map(|reason| reason.code).collect() }
    }
}

/// Why the command was refused; `None` for what is no refusal.
const fn refusal(error: &CommandError) -> Option<&'static str> {
    Some(match error {
        CommandError::Customer(refusal) => of_customer(refusal),
        CommandError::Loan(refusal) => of_loan(refusal),
        CommandError::PhoneNumberTaken => "phone_number_taken",
        CommandError::Stale { .. } => "stale_revision",
        CommandError::KeyTaken => "idempotency_key_running",
        CommandError::KeyReused => "idempotency_key_reused",
        CommandError::Undecided
        | CommandError::Contention
        | CommandError::Load(_)
        | CommandError::Id(_)
        | CommandError::Encode(_)
        | CommandError::Render(_)
        | CommandError::KeyLookup(_)
        | CommandError::Untaken(_)
        | CommandError::Store(_) => return None,
    })
}

const fn of_customer(refusal: &CustomerRefusal) -> &'static str {
    match refusal {
        CustomerRefusal::AlreadyRegistered => "customer_exists",
        CustomerRefusal::NotRegistered => "no_such_customer",
        CustomerRefusal::LoanAlreadyKnown(_) => "loan_exists",
        CustomerRefusal::UnknownLoan(_) => "no_such_loan",
        CustomerRefusal::EndsBeforeStart { .. } => "ends_before_start",
        CustomerRefusal::EndsBeyondCalendar => "ends_beyond_calendar",
        CustomerRefusal::OutOfRange(_) => "out_of_range",
    }
}

const fn of_loan(refusal: &LoanRefusal) -> &'static str {
    match refusal {
        LoanRefusal::AlreadyExists(_) => "loan_exists",
        LoanRefusal::EndsBeforeStart { .. } => "ends_before_start",
        LoanRefusal::NotOpened => "no_such_loan",
        LoanRefusal::Settled(_) => "settled_already",
        LoanRefusal::PaidInFuture { .. } => "paid_in_future",
        LoanRefusal::PaidBeforeStart { .. } => "paid_before_start",
        LoanRefusal::OutOfOrder { .. } => "out_of_order",
        LoanRefusal::AmountOverOutstanding { .. } => "amount_over_outstanding",
        LoanRefusal::SettlementAmount { .. } => "not_the_settlement_amount",
        LoanRefusal::SettledTooLongAgo { .. } => "settled_too_long_ago",
        LoanRefusal::TooManyRepayments(_) => "too_many_repayments",
        LoanRefusal::NoSuchRepayment(_) => "no_such_repayment",
        LoanRefusal::AlreadyReversed(_) => "reversed_already",
        LoanRefusal::AlreadyWrittenOff(_) => "written_off_already",
        LoanRefusal::OutOfRange(_) => "out_of_range",
    }
}
