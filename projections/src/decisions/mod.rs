//! The decisions read model: every decision, approved or declined, with all that it was taken from. Clients are told why
//! from it, and backtests take what it holds again under another policy.

mod read;
mod row;

pub use read::{Decision, Filter, ListedDecision, RecordedDecision, Span, batch, count, find, list};
pub(crate) use row::Decisions;
