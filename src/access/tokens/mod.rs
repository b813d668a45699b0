//! Tokens (JWT) of one trusted issuer: whether they are its own, for this service, in their time, and what they allow.
//!
//! A token is verified by the key that it names and by the algorithm that this key is for; what the token says of its
//! algorithm counts only if the key agrees. `exp`, `iss`, `aud` and `sub` must be there.

mod issuer;
mod key_set;
mod signatures;

use std::time::Duration;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use self::issuer::{Fetches, Issuer};
use self::key_set::KeySet;
use super::{Caller, Role, Roles};

pub use self::issuer::Source;

const MAX_SUBJECT_CHARS: usize = 255;
/// Where roles stand too, between spaces, when the token has no claim of its own for them.
const SCOPE: &str = "scope";

/// Whose tokens are taken, and how they are read.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// `iss`.
    pub issuer: String,
    /// `aud`: one of these.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    pub source: Source,
    /// The claim that holds the roles, or a path to it with dots.
    pub roles_claim: String,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// How often the issuer's keys are fetched.
    pub refresh_every: Duration,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It is no token at all.
    #[error("holds neither a key of this API nor a signed token")]
    Malformed,
    /// It is not signed by a key of the issuer's, or not as that key signs.
    #[error("holds a token that no key of the issuer's has signed")]
    Signature,
    /// Its time is over, or has not come.
    #[error("holds a token that has expired or is not valid yet")]
    Time,
    /// It is another issuer's.
    #[error("holds a token of another issuer")]
    Issuer,
    /// It is for others.
    #[error("holds a token for another audience")]
    Audience,
    /// A claim is missing or of another form.
    #[error("holds a token without the claims `exp`, `iss`, `aud` and `sub` as they must be")]
    Claims,
}

/// What came of looking at a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is good: whose it is, and what it allows.
    Taken(Caller, Roles),
    /// It is not.
    Refused(TokenRefusal),
    /// The issuer's keys were never had, so nobody knows.
    Unknown,
}

/// The tokens of one issuer.
pub struct Tokens {
    options: TokenOptions,
    issuer: Issuer,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Tokens {
    /// The tokens of an issuer, with what is counted of the fetches of its keys.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(options: TokenOptions, registry: &mut Registry) -> Result<Self, reqwest::Error> {
        signatures::install();
        let fetched = Family::<Outcome, Counter>::default();
        let counter = |outcome| fetched.get_or_create(&Outcome { outcome }).clone();
        let fetches = Fetches { taken: counter("taken"), failed: counter("failed") };
        registry.register("jwks_fetches", "Times that the token issuer's keys were fetched", fetched.clone());
        let issuer = Issuer::new(options.source.clone(), fetches)?;
        Ok(Self { options, issuer })
    }

    /// Keeps the issuer's keys fresh until stopped.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        self.issuer.keep_fresh(self.options.refresh_every, stop).await;
    }

    /// Whether a token is good, and whose it is.
    pub async fn judge(&self, token: &str) -> Judged {
        let Ok(header) = decode_header(token) else { return Judged::Refused(TokenRefusal::Malformed) };
        let key_id = header.kid.as_deref();
        let is_known = |keys: &KeySet| keys.get(key_id).is_some();
        if !self.issuer.keys().is_some_and(|keys| is_known(&keys)) {
            self.issuer.look_again(is_known).await;
        }
        let Some(keys) = self.issuer.keys() else { return Judged::Unknown };
        let Some(key) = keys.get(key_id) else { return Judged::Refused(TokenRefusal::Signature) };
        let claims = match decode::<Map<String, Value>>(token, &key.key, &self.validation(&key.algorithms)) {
            Ok(decoded) => decoded.claims,
            Err(error) => return Judged::Refused(error.into()),
        };
        let Some(subject) = subject(&claims) else { return Judged::Refused(TokenRefusal::Claims) };
        let caller = Caller::Token { issuer: self.options.issuer.clone(), subject: subject.to_owned() };
        Judged::Taken(caller, roles(&claims, &self.options.roles_claim))
    }

    fn validation(&self, algorithms: &[jsonwebtoken::Algorithm]) -> Validation {
        let mut validation = Validation { algorithms: algorithms.to_vec(), ..Validation::default() };
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&self.options.audiences);
        validation.leeway = self.options.leeway.as_secs();
        validation.validate_nbf = true;
        validation
    }
}

impl From<Error> for TokenRefusal {
    fn from(error: Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list may grow")]
        match error.kind() {
            ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => Self::Time,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Self::Claims,
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => Self::Signature,
            _ => Self::Malformed,
        }
    }
}

fn subject(claims: &Map<String, Value>) -> Option<&str> {
    let subject = claims.get("sub")?.as_str()?;
    let fits = (1..=MAX_SUBJECT_CHARS).contains(&subject.chars().count()) && !subject.chars().any(char::is_control);
    fits.then_some(subject)
}

/// The roles that the claim names, in a list or between spaces; those of `scope` where the token has no such claim. Other
/// names mean something to others.
fn roles(claims: &Map<String, Value>, claim: &str) -> Roles {
    match find(claims, claim).or_else(|| claims.get(SCOPE)) {
        Some(Value::String(names)) => names.split_whitespace().filter_map(Role::from_name).collect(),
        Some(Value::Array(names)) => names.iter().filter_map(|name| Role::from_name(name.as_str()?)).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Roles::default(),
    }
}

/// The claim of that name; else the one that a path with dots leads to (`realm_access.roles`).
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let by_path = || {
        let (first, rest) = name.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    };
    claims.get(name).or_else(by_path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles_of(claims: &Value, claim: &str) -> Vec<&'static str> {
        roles(claims.as_object().unwrap(), claim).names()
    }

    #[test]
    fn roles_stand_in_a_list_or_between_spaces() {
        assert_eq!(roles_of(&json!({"roles": ["officer", "admin", 7, "channel"]}), "roles"), ["channel", "officer"]);
        assert_eq!(roles_of(&json!({"roles": "auditor  read:all"}), "roles"), ["auditor"]);
        assert_eq!(roles_of(&json!({"scope": "openid channel"}), "roles"), ["channel"]);
        assert_eq!(roles_of(&json!({"roles": [], "scope": "operator"}), "roles"), [""; 0], "an empty claim is a claim");
        for nothing in
            [json!({}), json!({"roles": {"operator": true}}), json!({"roles": null}), json!({"role": "officer"})]
        {
            assert_eq!(roles_of(&nothing, "roles"), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn the_claim_may_lie_deeper_or_have_dots_in_its_name() {
        assert_eq!(roles_of(&json!({"realm_access": {"roles": ["operator"]}}), "realm_access.roles"), ["operator"]);
        assert_eq!(roles_of(&json!({"https://a.b/roles": ["auditor"]}), "https://a.b/roles"), ["auditor"]);
        assert_eq!(roles_of(&json!({"realm_access": "operator"}), "realm_access.roles"), [""; 0]);
    }

    #[test]
    fn a_subject_is_a_short_line() {
        let of = |subject: Value| json!({ "sub": subject }).as_object().and_then(subject_len);
        fn subject_len(claims: &Map<String, Value>) -> Option<usize> {
            subject(claims).map(str::len)
        }
        assert_eq!(of("teller 7".into()), Some(8));
        for bad in [json!(""), json!("a\nb"), json!(7), json!(null), json!("s".repeat(MAX_SUBJECT_CHARS + 1))] {
            assert_eq!(of(bad.clone()), None, "{bad}");
        }
    }
}
