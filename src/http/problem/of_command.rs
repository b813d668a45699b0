//! A command's error as a problem.

use aggregates::customer::CustomerRefusal;
use aggregates::loan::LoanRefusal;
use axum::http::StatusCode;

use super::{FieldError, Problem, log};
use crate::commands::CommandError;
use crate::store::LoadError;

/// A command's error as a problem: the one place where the two meet.
impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match &error {
            CommandError::Customer(CustomerRefusal::NotRegistered) => Self {
                errors: vec![FieldError { field: "customer_id".to_owned(), message: "names no customer".to_owned() }],
                ..Self::new(
                    StatusCode::NOT_FOUND,
                    "not-found",
                    "There is no such thing",
                    "There is no customer with that customer_id.",
                )
            },
            CommandError::PhoneNumberTaken => Self::conflict(
                "phone-number-taken",
                "The phone number is taken",
                "phone_number",
                "belongs to another customer",
            ),
            CommandError::Loan(LoanRefusal::NotOpened) => Self {
                errors: vec![FieldError { field: "loan_id".to_owned(), message: "names no loan".to_owned() }],
                ..Self::new(
                    StatusCode::NOT_FOUND,
                    "not-found",
                    "There is no such thing",
                    "There is no loan with that loan_id.",
                )
            },
            CommandError::Loan(LoanRefusal::Settled(_)) => {
                Self::conflict("loan-settled", "The loan is settled", "loan_id", "names a loan that is settled already")
            }
            CommandError::Loan(
                refusal @ (LoanRefusal::PaidInFuture { .. }
                | LoanRefusal::PaidBeforeStart { .. }
                | LoanRefusal::OutOfOrder { .. }),
            ) => Self::unfitting_repayment("paid_on", refusal),
            CommandError::Loan(refusal @ LoanRefusal::AmountOverOutstanding { .. }) => {
                Self::unfitting_repayment("amount", refusal)
            }
            CommandError::Customer(
                CustomerRefusal::AlreadyRegistered
                | CustomerRefusal::UnknownLoan(_)
                | CustomerRefusal::LoanAlreadyKnown(_)
                | CustomerRefusal::EndsBeforeStart { .. }
                | CustomerRefusal::EndsBeyondCalendar
                | CustomerRefusal::OutOfRange(_),
            )
            | CommandError::Loan(
                LoanRefusal::AlreadyExists(_) | LoanRefusal::EndsBeforeStart { .. } | LoanRefusal::OutOfRange(_),
            ) => Self::new(StatusCode::CONFLICT, "refused", "The command was refused", format!("{error}.")),
            CommandError::Contention => Self {
                retry_after: Some(1),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "contention", "Too many at once", format!("{error}."))
            },
            CommandError::KeyTaken => Self::still_running(),
            CommandError::KeyReused => Self::key_reused(),
            CommandError::Load(LoadError::Unreadable(_)) => {
                log(&error);
                let detail = "The customer's stream holds an event that this version cannot read. Nothing was changed.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable-stream", "The stream cannot be read", detail)
            }
            CommandError::Load(_) | CommandError::Id(_) | CommandError::KeyLookup(_) => {
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
