//! Who sent a request, and what they may do. Nothing here knows HTTP.
//!
//! A caller shows a key of the API ([`keys`]) or a token that a trusted issuer signed ([`tokens`]); [`authenticator`] tells
//! who it is. Which roles a route asks for is said where the route is.

pub mod authenticator;
pub mod first_key;
pub mod keys;
pub mod tokens;

use std::fmt;

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

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Channel, Self::Officer, Self::Operator, Self::Auditor];

    /// As it is written in keys and tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Officer => "officer",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// The role of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Any number of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// Every role.
    pub const ALL: Self = Self::of(&Role::ALL);

    /// These.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut bits, mut place) = (0, 0);
        while place < roles.len() {
            bits |= 1 << roles[place] as u8;
            place += 1;
        }
        Self(bits)
    }

    /// Whether there is one at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of these is among the others.
    #[must_use]
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// One by one, in their order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.meets(Self::of(&[*role])))
    }

    /// Their names, in their order.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Role::name).collect()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        roles.into_iter().fold(Self::default(), |all, role| Self(all.0 | Self::of(&[role]).0))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Who sent a request; travels with it as an extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Nobody who said who they are.
    #[default]
    Anonymous,
    /// The holder of an API key.
    Key {
        /// The key's public part.
        id: String,
        /// Of the first of the keys that came to this one by being replaced: whoever holds them is one caller.
        holder: String,
        /// Requests an hour that this key may send, where it has a limit of its own; 0 is no limit.
        hourly_limit: Option<u32>,
    },
    /// The subject of a token that a trusted issuer signed.
    Token {
        /// `iss`; without spaces.
        issuer: String,
        /// `sub`.
        subject: String,
    },
}

impl Caller {
    /// The caller by a name that stays when a key is replaced: what a caller has asked for, and how often, is theirs under
    /// each of their keys.
    #[must_use]
    pub fn holder(&self) -> String {
        match self {
            Self::Key { holder, .. } => format!("key:{holder}"),
            Self::Anonymous | Self::Token { .. } => self.to_string(),
        }
    }
}

/// As the log names the caller: by the very key. No two callers have the same name.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Key { id, .. } => write!(f, "key:{id}"),
            Self::Token { issuer, subject } => write!(f, "token:{issuer} {subject}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_known_by_their_names() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        for unknown in ["", "Channel", "admin", " channel", "channel "] {
            assert_eq!(Role::from_name(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn roles_meet_where_they_share_one() {
        let (clerk, auditor) = (Roles::of(&[Role::Channel, Role::Officer]), Roles::of(&[Role::Auditor]));
        assert!(clerk.meets(Roles::of(&[Role::Officer])));
        assert!(!clerk.meets(auditor) && !auditor.meets(clerk));
        assert!(!Roles::default().meets(Roles::ALL) && Roles::default().is_empty());
        assert_eq!(Roles::ALL.names(), ["channel", "officer", "operator", "auditor"]);
        assert_eq!([Role::Officer, Role::Channel, Role::Officer].into_iter().collect::<Roles>(), clerk);
    }

    #[test]
    fn callers_have_names_of_their_own() {
        let key = |id: &str| Caller::Key { id: id.to_owned(), holder: "1".to_owned(), hourly_limit: Some(7) };
        let token = |subject: &str| Caller::Token { issuer: "https://id".to_owned(), subject: subject.to_owned() };
        assert_eq!(Caller::Anonymous.to_string(), "anonymous");
        assert_eq!(key("0a").to_string(), "key:0a");
        assert_eq!(token("x y").to_string(), "token:https://id x y");
    }
}
