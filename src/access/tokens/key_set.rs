//! An issuer's public keys, out of its JSON Web Key Set (RFC 7517).

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// More keys than any issuer has.
const MAX_KEYS: usize = 100;

/// Why a text is no set of keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    /// It is no JSON, or has no `keys`.
    #[error("it is not a JSON Web Key Set")]
    NotASet(#[from] serde_json::Error),
    /// There is no key in it that could verify a token.
    #[error("it holds no key with a `kid` for RS256, PS256, ES256, ES384 or EdDSA")]
    NoKeys,
    /// There are too many.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooManyKeys,
}

/// A key, and the algorithms that it verifies by: the key says so, never the token.
pub(super) struct IssuerKey {
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// An issuer's keys by their ids.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, IssuerKey>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Keys of other kinds, and for other uses, are passed over.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let Document { keys } = serde_json::from_slice(text)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let usable = keys.into_iter().filter_map(|key| usable(&serde_json::from_value(key).ok()?));
        let keys: HashMap<_, _> = usable.collect();
        if keys.is_empty() { Err(KeySetError::NoKeys) } else { Ok(Self(keys)) }
    }

    /// The key of that id; the only one where a token names none.
    pub(super) fn get(&self, id: Option<&str>) -> Option<&IssuerKey> {
        match id {
            Some(id) => self.0.get(id),
            None => self.0.values().next().filter(|_| self.0.len() == 1),
        }
    }
}

fn usable(jwk: &Jwk) -> Option<(String, IssuerKey)> {
    let is_for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let fitting = fitting(&jwk.algorithm);
    let algorithms = match jwk.common.key_algorithm {
        None => fitting.to_vec(),
        Some(named) => fitting.iter().copied().filter(|algorithm| KeyAlgorithm::from(*algorithm) == named).collect(),
    };
    if !is_for_signatures || algorithms.is_empty() {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some((jwk.common.key_id.clone()?, IssuerKey { key, algorithms }))
}

/// The algorithms that a key of that kind may verify by.
fn fitting(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is taken is listed, and the library's lists may grow")]
    match parameters {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => &[],
        },
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(keys: &Value) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn ed25519(id: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    #[test]
    fn a_key_says_which_algorithms_it_verifies_by() {
        let of = |key: Value| parsed(&json!([key])).unwrap().get(Some("k")).unwrap().algorithms.clone();
        let rsa = |alg: Option<&str>| json!({"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB", "alg": alg});
        assert_eq!(of(rsa(None)), [Algorithm::RS256, Algorithm::PS256]);
        assert_eq!(of(rsa(Some("PS256"))), [Algorithm::PS256]);
        let curve = |name: &str| json!({"kty": "EC", "crv": name, "kid": "k", "x": "AQAB", "y": "AQAB"});
        assert_eq!(of(curve("P-256")), [Algorithm::ES256]);
        assert_eq!(of(curve("P-384")), [Algorithm::ES384]);
        assert_eq!(of(ed25519("k")), [Algorithm::EdDSA]);
    }

    #[test]
    fn other_keys_are_passed_over() {
        let others = json!([
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"},
            {"kty": "RSA", "kid": "encryption", "n": "AQAB", "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "kid": "long", "n": "AQAB", "e": "AQAB", "alg": "RS512"},
            {"kty": "EC", "crv": "P-521", "kid": "p521", "x": "AQAB", "y": "AQAB"},
            {"kty": "EC", "crv": "P-256", "kid": "mixed", "x": "AQAB", "y": "AQAB", "alg": "RS256"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AQAB"},
            {"kty": "later", "kid": "later"}, 7, null,
        ]);
        assert!(matches!(parsed(&others), Err(KeySetError::NoKeys)));
        let mut keys = others.as_array().unwrap().clone();
        keys.push(ed25519("good"));
        let set = parsed(&keys.into()).unwrap();
        assert_eq!(set.0.len(), 1);
        assert!(set.get(Some("good")).is_some() && set.get(Some("shared")).is_none());
    }

    #[test]
    fn a_token_without_a_key_id_is_taken_by_the_only_key() {
        assert!(parsed(&json!([ed25519("a")])).unwrap().get(None).is_some());
        assert!(parsed(&json!([ed25519("a"), ed25519("b")])).unwrap().get(None).is_none());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys": 1}"#, "<html>"] {
            assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeySetError::NotASet(_))), "{text}");
        }
        let many: Vec<_> = (0..=MAX_KEYS).map(|number| ed25519(&number.to_string())).collect();
        assert!(matches!(parsed(&many.into()), Err(KeySetError::TooManyKeys)));
    }
}
