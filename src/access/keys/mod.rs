//! Keys of the API: `ca_<id>_<secret>`, an id that anybody may see and a secret of 256 bits that is shown once.
//!
//! Here is what a key is; [`store`] keeps keys, [`known`] judges what callers show. Of the secret only its SHA-256 is
//! kept. A slow hash would only slow callers down: there is no guessing 256 bits of chance.

pub mod known;
pub mod store;

use std::fmt;

use aggregates::Invalid;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// What every key begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "ca";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// SHA-256.
const DIGEST_BYTES: usize = 32;
const MAX_NAME_CHARS: usize = 100;
/// Far more than anybody could send.
const MAX_HOURLY_LIMIT: u32 = 1_000_000_000;

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomBytes;

/// The public part of a key: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for KeyId {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        let id = bytes::<ID_BYTES>(text).map(|_| Self(text.to_owned()));
        id.ok_or_else(|| Invalid(format!("must be {} hexadecimal digits", 2 * ID_BYTES)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of a key that only its holder knows. It is shown nowhere but by [`ApiKey::token`].
#[derive(Clone)]
struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A whole key, as its holder has it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    id: KeyId,
    secret: Secret,
}

impl ApiKey {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomBytes`].
    pub fn draw() -> Result<Self, NoRandomBytes> {
        let random = SystemRandom::new();
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        random.fill(&mut id).and_then(|()| random.fill(&mut secret)).map_err(|_| NoRandomBytes)?;
        Ok(Self { id: KeyId(hexadecimal(&id)), secret: Secret(secret) })
    }

    /// The key that a text says; `None` where it is of another form.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        let (id, secret) = token.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        Some(Self { id: KeyId::try_from(id).ok()?, secret: Secret(bytes(secret)?) })
    }

    /// Whether a text means to be a key, be it a well-formed one or not.
    #[must_use]
    pub fn is_meant_by(token: &str) -> bool {
        token.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
    }

    /// The public part.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole of it: for its holder, once, and for nobody else.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, hexadecimal(&self.secret.0))
    }

    /// What is kept of the secret.
    fn digest(&self) -> [u8; DIGEST_BYTES] {
        Sha256::digest(self.secret.0).into()
    }
}

/// What a key is called: 1 to 100 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// Of the first key of a data directory.
    pub(super) fn first() -> Self {
        Self("first key of this data directory".to_owned())
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for KeyName {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        let name = text.trim();
        let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        let wrong = || Invalid(format!("must be 1 to {MAX_NAME_CHARS} characters in one line"));
        fits.then(|| Self(name.to_owned())).ok_or_else(wrong)
    }
}

/// Requests an hour that a key may send; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourlyLimit(u32);

impl HourlyLimit {
    /// Requests.
    #[must_use]
    pub const fn requests(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for HourlyLimit {
    type Error = Invalid;

    fn try_from(requests: u32) -> Result<Self, Invalid> {
        let wrong = || Invalid(format!("must be at most {MAX_HOURLY_LIMIT}"));
        (requests <= MAX_HOURLY_LIMIT).then_some(Self(requests)).ok_or_else(wrong)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that lower-case hexadecimal digits say: there is one way to write a key, so that it is recognised.
fn bytes<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_what_is_shown() {
        let key = ApiKey::draw().unwrap();
        let token = key.token();
        assert_eq!(token.len(), "ca_".len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES);
        let read = ApiKey::parse(&token).unwrap();
        assert_eq!((read.id(), read.digest()), (key.id(), key.digest()));
        assert_eq!(read.token(), token);
        let other = ApiKey::draw().unwrap();
        assert!(other.id() != key.id() && other.digest() != key.digest());
    }

    #[test]
    fn what_is_no_key_is_none() {
        let token = ApiKey::draw().unwrap().token();
        let (longer, upper) = (format!("{token}0"), token.to_uppercase());
        let shorter = &token[..token.len() - 1];
        let signed = token.replace("ca_", "ca_+");
        for bad in ["", "ca", "ca_", "ca__", "x", &longer, &upper, shorter, &signed, &token.replace("ca_", "cb_")] {
            assert!(ApiKey::parse(bad).is_none(), "{bad:?}");
        }
        assert!(ApiKey::is_meant_by("ca_") && ApiKey::is_meant_by(shorter));
        assert!(!ApiKey::is_meant_by("ca") && !ApiKey::is_meant_by("eyJ.e30.x"));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let key = ApiKey::draw().unwrap();
        let (token, printed) = (key.token(), format!("{key:?} {key:#?}"));
        let secret = token.rsplit('_').next().unwrap();
        assert!(printed.contains(key.id().as_str()) && !printed.contains(&secret[..8]), "{printed}");
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(KeyName::try_from(" web shop ").unwrap().as_str(), "web shop");
        for bad in ["", " ", "a\nb", &"n".repeat(MAX_NAME_CHARS + 1)] {
            assert!(KeyName::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
