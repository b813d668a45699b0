//! A command's error as a problem.

use aggregates::customer::CustomerRefusal;
use aggregates::loan::LoanRefusal;
use axum::http::StatusCode;

use super::{FieldError, Problem, log};
use crate::commands::CommandError;
use crate::http::precondition::tag;
use crate::store::LoadError;

/// A command's error as a problem: the one place where the two meet.
impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match &error {
            CommandError::Customer(refusal) => Self::of_customer(refusal),
            CommandError::Loan(refusal) => Self::of_loan(refusal),
            CommandError::PhoneNumberTaken => Self::conflict(
                "phone-number-taken",
                "The phone number is taken",
                "phone_number",
                "belongs to another customer",
            ),
            CommandError::Stale { current } => Self::precondition_failed(tag(*current)),
            CommandError::Contention => Self {
                retry_after: Some(1),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "contention", "Too many at once", format!("{error}."))
            },
            CommandError::KeyTaken => Self::still_running(),
            CommandError::KeyReused => Self::key_reused(),
            CommandError::Load(LoadError::Newer(_)) => {
                log(&error);
                Self::of_a_newer_version()
            }
            CommandError::Load(LoadError::Unreadable(_)) => {
                log(&error);
                let detail = "A stream holds an event that this version cannot read. Nothing was changed.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable-stream", "The stream cannot be read", detail)
            }
            CommandError::Load(LoadError::Unavailable(_))
            | CommandError::Id(_)
            | CommandError::KeyLookup(_)
            | CommandError::Untaken(_) => {
                log(&error);
                Self::unavailable()
            }
            CommandError::Store(_) => {
                log(&error);
                Self::outcome_unknown()
            }
            CommandError::Encode(_) | CommandError::Render(_) | CommandError::Undecided => {
                log(&error);
                Self::internal()
            }
        }
    }
}

impl Problem {
    fn of_customer(refusal: &CustomerRefusal) -> Self {
        match refusal {
            CustomerRefusal::NotRegistered => {
                Self::absent("customer_id", "names no customer", "There is no customer with that customer_id.")
            }
            CustomerRefusal::AlreadyRegistered
            | CustomerRefusal::UnknownLoan(_)
            | CustomerRefusal::LoanAlreadyKnown(_)
            | CustomerRefusal::EndsBeforeStart { .. }
            | CustomerRefusal::EndsBeyondCalendar
            | CustomerRefusal::OutOfRange(_) => Self::refused(refusal),
        }
    }

    fn of_loan(refusal: &LoanRefusal) -> Self {
        match refusal {
            LoanRefusal::NotOpened => Self::absent("loan_id", "names no loan", "There is no loan with that loan_id."),
            LoanRefusal::NoSuchRepayment(_) => {
                let detail = "The loan has no repayment with that repayment_id.";
                Self::absent("repayment_id", "names no repayment of the loan", detail)
            }
            LoanRefusal::Settled(_) => {
                Self::conflict("loan-settled", "The loan is settled", "loan_id", "names a loan that is settled already")
            }
            LoanRefusal::AlreadyWrittenOff(_) => Self::conflict(
                "already-written-off",
                "The loan is written off",
                "loan_id",
                "names a loan that is written off already",
            ),
            LoanRefusal::AlreadyReversed(_) => Self::conflict(
                "already-reversed",
                "The repayment is reversed",
                "repayment_id",
                "names a repayment that is reversed already",
            ),
            LoanRefusal::SettlementAmount { expected } => Self::conflict(
                "settlement-amount",
                "Another amount settles the loan",
                "amount",
                &format!("must be {expected}, which settles the loan on that day"),
            ),
            LoanRefusal::PaidInFuture { .. }
            | LoanRefusal::PaidBeforeStart { .. }
            | LoanRefusal::OutOfOrder { .. }
            | LoanRefusal::SettledTooLongAgo { .. } => Self::unfitting_repayment("paid_on", refusal),
            LoanRefusal::AmountOverOutstanding { .. } => Self::unfitting_repayment("amount", refusal),
            LoanRefusal::AlreadyExists(_)
            | LoanRefusal::EndsBeforeStart { .. }
            | LoanRefusal::TooManyRepayments(_)
            | LoanRefusal::OutOfRange(_) => Self::refused(refusal),
        }
    }

    /// What is to be changed is not there: 404.
    fn absent(field: &str, message: &str, detail: &str) -> Self {
        let errors = vec![FieldError { field: field.to_owned(), message: message.to_owned() }];
        Self { errors, ..Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail) }
    }

    /// No client can bring it about by what it asks for, or only by amounts beyond all bounds: 409.
    fn refused(refusal: &impl std::error::Error) -> Self {
        Self::new(StatusCode::CONFLICT, "refused", "The command was refused", format!("{refusal}."))
    }
}
