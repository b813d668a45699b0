//! Identities of customers, loans, decisions and repayments: positive integers that clients can hold exactly.

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// The largest id: the largest integer that every JSON client can hold exactly (2^53 - 1).
pub const MAX_ID: i64 = 9_007_199_254_740_991;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// The id as an integer, 1 to [`MAX_ID`].
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Invalid;

            fn try_from(id: i64) -> Result<Self, Invalid> {
                match id {
                    1..=MAX_ID => Ok(Self(id)),
                    _ => Err(Invalid::new(format!("must be an integer from 1 to {MAX_ID}"))),
                }
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// Who borrows.
    CustomerId
}
id! {
    /// One loan.
    LoanId
}
id! {
    /// One credit decision, approved or declined.
    DecisionId
}
id! {
    /// One repayment that was received.
    RepaymentId
}
