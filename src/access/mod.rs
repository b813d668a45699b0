//! Who sent a request, and what they may do. Nothing here knows HTTP.

/// What a caller may be allowed to do; one caller may have several roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A lender's shop, branch or app: registers customers, asks, opens loans, posts repayments.
    Channel,
    /// Asks why a decision fell as it did, and what it would be under other rules.
    Officer,
    /// Imports, watches, rebuilds, reads metrics, changes what went wrong.
    Operator,
    /// Reads everything, the log included, and changes nothing.
    Auditor,
}

/// Who sent a request; travels with it as an extension.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Nobody who said who they are.
    Anonymous,
    /// The holder of an API key.
    Key {
        /// The key's public part.
        id: String,
        /// Requests an hour that this key may send, where it has a limit of its own; 0 is no limit.
        hourly_limit: Option<u32>,
    },
    /// The subject of a token that a trusted issuer signed.
    Token {
        /// `iss`.
        issuer: String,
        /// `sub`.
        subject: String,
    },
}
