//! Signs tokens as an issuer does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

/// Of 2048 bits, made for this test alone: making one takes seconds, and `ring` makes none.
const RSA_KEY: &[u8] = include_bytes!("rsa-test-key.der");

/// What the service takes.
pub(super) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key pair of an issuer's.
pub(super) struct Signer {
    pub(super) key_id: String,
    pub(super) algorithm: &'static str,
    pair: Pair,
}

pub(super) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn components(pair: &RsaKeyPair) -> RsaPublicKeyComponents<Vec<u8>> {
    pair.public().into()
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Pair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
}

impl Signer {
    pub(super) fn new(algorithm: &'static str, key_id: &str) -> Self {
        let pair = match algorithm {
            "RS256" | "PS256" => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(RSA_KEY).unwrap())),
            "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" => {
                let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
            }
            other => panic!("nobody signs by {other}"),
        };
        Self { key_id: key_id.to_owned(), algorithm, pair }
    }

    /// The bytes of its public key: points, or the modulus.
    pub(super) fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => components(pair).n,
            Pair::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// As it is published.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = components(pair);
                json!({"kty": "RSA", "n": encoded(n), "e": encoded(e)})
            }
            Pair::Ecdsa(_) => {
                let public = self.public();
                let (x, y) = public[1..].split_at((public.len() - 1) / 2);
                let curve = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
            }
            Pair::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(self.public())}),
        };
        jwk["kid"] = self.key_id.as_str().into();
        jwk["alg"] = self.algorithm.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token with these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_naming(&self.key_id, claims)
    }

    /// The same, naming that key as the one that signed it.
    pub(super) fn token_naming(&self, key_id: &str, claims: &Value) -> String {
        self.token_of(&json!({"alg": self.algorithm, "typ": "JWT", "kid": key_id}), claims)
    }

    /// The same, under that header.
    pub(super) fn token_of(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn ring::signature::RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(signature))
    }
}
