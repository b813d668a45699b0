//! Changing what is there already: how a change is asked for, and the revision that the client has seen.
//!
//! A revision is compared with the aggregate that the change is decided on, and what is decided is appended at the
//! version that aggregate was loaded at: whoever changes it in between makes the append conflict, and then it is
//! compared anew. So of two changes of the same revision one takes effect.

use super::{CommandError, KeyedRequest, Origin};

/// How a change is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ChangeRequest<'a> {
    /// What it came from.
    pub origin: &'a Origin,
    /// What makes sure that it takes effect once, where the client asked for that.
    pub keyed: Option<&'a KeyedRequest>,
    /// What is to be changed, as far as the client knows it.
    pub expected: &'a Expected,
}

/// At which revision something is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// At whichever it is.
    Any,
    /// At one of these, and at no other. Where there are none, at no revision at all.
    OneOf(Vec<u32>),
}

impl Expected {
    /// # Errors
    /// [`CommandError::Stale`] where the revision is another one.
    pub(super) fn must_allow(&self, current: u32) -> Result<(), CommandError> {
        match self {
            Self::OneOf(revisions) if !revisions.contains(&current) => Err(CommandError::Stale { current }),
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_allowed_or_it_is_said_which_one_there_is() {
        for allowing in [Expected::Any, Expected::OneOf(vec![7]), Expected::OneOf(vec![1, 7])] {
            assert!(allowing.must_allow(7).is_ok(), "{allowing:?}");
        }
        for refusing in [Expected::OneOf(Vec::new()), Expected::OneOf(vec![6, 8])] {
            assert!(matches!(refusing.must_allow(7), Err(CommandError::Stale { current: 7 })), "{refusing:?}");
        }
    }
}
