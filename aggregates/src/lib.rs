//! The pure domain of credit approval: what a customer and a loan are, what may happen to them, and how a
//! decision is taken.
//!
//! Nothing here does IO, reads a clock or draws a random number: time, ids and the policy come in as inputs, so
//! that every decision can be taken again, years later, from its recorded inputs. It knows no database, no HTTP
//! and no message bus; `clippy.toml` and the architecture tests hold it to that.
//!
//! Start at [`customer`]: it is the consistency boundary of credit.

pub mod calendar;
pub mod customer;
pub mod event;
pub mod ids;
pub mod instalments;
pub mod loan;
pub mod money;
pub mod person;
pub mod policy;
pub mod profile;
pub mod repayment;
pub mod terms;
pub mod text;

/// Why a value was refused by the type that guards it.
///
/// The text is a sentence without its subject ("must be greater than 0"): whoever knows the field's name puts it
/// in front.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A refusal with a fixed text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
