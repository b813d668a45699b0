//! Whose requests are counted together.

use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest, Sha256};

use crate::access::Caller;

const DIGEST_BYTES: usize = 16;

/// Whose requests are counted together: a digest, so that all take as much room, however long an issuer's names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Subject([u8; DIGEST_BYTES]);

impl Subject {
    /// A key's holder, a token's subject, or who sends from an address.
    pub(super) fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller {
            Caller::Anonymous => match address.to_canonical() {
                IpAddr::V4(address) => Self::digest("address", &[&address.octets()]),
                // A network of this size is what one subscriber has: each of its addresses is theirs to use.
                IpAddr::V6(address) => Self::digest("network", &[&address.octets()[..8]]),
            },
            Caller::Key { holder, .. } => Self::digest("key", &[holder.as_bytes()]),
            Caller::Token { issuer, subject } => Self::digest("token", &[issuer.as_bytes(), subject.as_bytes()]),
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// A number that differs between subjects, to tell where each one's place is.
    pub(super) fn spread(self) -> usize {
        usize::from(self.0[0])
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Each part with its length before it, so that no two lists of parts read alike.
    fn digest(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(kind);
        for part in parts {
            hasher.update(part.len().to_be_bytes());
            hasher.update(part);
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hasher.finalize()[..DIGEST_BYTES]);
        Self(digest)
    }
}

/// The address of a client whose address nobody knows: they all share one quota.
pub(super) const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymous(address: &str) -> Subject {
        Subject::of(&Caller::Anonymous, address.parse().unwrap())
    }

    fn token(issuer: &str, subject: &str) -> Subject {
        let caller = Caller::Token { issuer: issuer.to_owned(), subject: subject.to_owned() };
        Subject::of(&caller, NOWHERE)
    }

    fn key(id: &str, address: &str, hourly_limit: Option<u32>) -> Subject {
        Subject::of(
            &Caller::Key { id: address.to_owned(), holder: id.to_owned(), hourly_limit },
            address.parse().unwrap(),
        )
    }

    #[test]
    fn an_address_counts_by_itself_and_a_network_of_one_subscriber_as_one() {
        assert_ne!(anonymous("192.0.2.1"), anonymous("192.0.2.2"));
        assert_eq!(anonymous("192.0.2.1"), anonymous("::ffff:192.0.2.1"));
        assert_eq!(anonymous("2001:db8:1:2::1"), anonymous("2001:db8:1:2:ffff::9"));
        assert_ne!(anonymous("2001:db8:1:2::1"), anonymous("2001:db8:1:3::1"));
    }

    #[test]
    fn a_key_counts_wherever_it_is_used_from_and_whatever_its_limit_is() {
        assert_eq!(key("a", "192.0.2.1", None), key("a", "192.0.2.2", Some(3)));
        assert_ne!(key("a", "192.0.2.1", None), key("b", "192.0.2.1", None));
    }

    #[test]
    fn subjects_of_two_issuers_are_two_and_cannot_be_made_to_meet() {
        assert_eq!(token("https://a", "b"), token("https://a", "b"));
        assert_ne!(token("https://a", "b"), token("https://c", "b"));
        assert_ne!(token("ab", "c"), token("a", "bc"));
        assert_ne!(token("", "a"), key("a", "192.0.2.1", None));
    }
}
