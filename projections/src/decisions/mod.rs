//! The decisions read model: every decision, approved or declined, with all that it was taken from. Clients are told why
//! from it, and backtests take what it holds again under another policy.

mod read;
mod row;

pub use read::{
    Decision, Filter, ListedDecision, RecordedDecision, Span, batch, batch_statement, count, find, find_statement,
    last_digest, list, list_statement,
};
pub(crate) use row::Decisions;
