//! What fails beneath queries and operators' requests, as a problem.

use axum::http::StatusCode;

use super::{Problem, log};
use crate::backtest::BacktestError;
use crate::history::HistoryError;
use crate::replay::ReplayError;

/// A query's failure: the database did not answer.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        log(&error);
        Self::unavailable()
    }
}

/// A replay's failure.
impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match &error {
            ReplayError::NoSuchCustomer(id) => Self::not_found("customer_id", id),
            ReplayError::Outdated(_) => {
                Self::new(StatusCode::CONFLICT, "outdated", "This version is outdated", format!("{error}."))
            }
            ReplayError::Interrupted(_) | ReplayError::LockLost(_) => {
                log(&error);
                let detail = "The database does not answer. Customers that were done until then go on.".to_owned();
                Self { detail, ..Self::unavailable() }
            }
            ReplayError::Cancelled
            | ReplayError::Refused(_)
            | ReplayError::EventsMissing { .. }
            | ReplayError::ContentsDiffer { .. }
            | ReplayError::Swap(_)
            | ReplayError::NoRoom(_)
            | ReplayError::FenceTimedOut
            | ReplayError::Ended
            | ReplayError::EndsSilently(_)
            | ReplayError::Task(_) => {
                log(&error);
                Self::internal()
            }
        }
    }
}

/// The log could not be asked about a past day.
impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        log(&error);
        match error {
            HistoryError::Log(_) => Self::unavailable(),
            HistoryError::Unreadable { .. } => Self::internal(),
        }
    }
}

/// A backtest's failure.
impl From<BacktestError> for Problem {
    fn from(error: BacktestError) -> Self {
        match error {
            BacktestError::Database(error) => error.into(),
            BacktestError::NotFilled => Self::not_filled_yet(),
            BacktestError::Compare(_) | BacktestError::Task(_) => {
                log(&error);
                Self::internal()
            }
        }
    }
}

/// A sum left the range of money: within the input bounds it cannot.
impl From<aggregates::money::OutOfRange> for Problem {
    fn from(error: aggregates::money::OutOfRange) -> Self {
        log(&error);
        Self::internal()
    }
}
