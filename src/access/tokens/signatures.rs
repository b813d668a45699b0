//! Signatures of tokens, verified by `ring`: RS256, PS256, ES256, ES384, EdDSA (Ed25519), and nothing else.
//!
//! `jsonwebtoken` reads tokens and leaves the cryptography to a provider of the process; this is one that only verifies.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(unsupported()),
    verifier_factory: verifier,
    // For making keys, which nobody here does.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Lets `jsonwebtoken` verify by this in the whole process; later calls change nothing.
pub(super) fn install() {
    // It fails only where this has been done before.
    let _ = PROVIDER.install_default();
}

fn unsupported() -> Error {
    ErrorKind::InvalidAlgorithm.into()
}

/// How signatures of an algorithm are verified.
enum Verifying {
    Rsa(&'static RsaParameters),
    /// Elliptic curves, by the bytes of the key.
    Curve(&'static dyn VerificationAlgorithm),
}

/// The family of keys that an algorithm takes, and how it verifies; `None` for those that are not taken.
fn verifying(algorithm: Algorithm) -> Option<(AlgorithmFamily, Verifying)> {
    let rsa = |parameters| (AlgorithmFamily::Rsa, Verifying::Rsa(parameters));
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is taken is listed, and the library's list may grow")]
    match algorithm {
        Algorithm::RS256 => Some(rsa(&RSA_PKCS1_2048_8192_SHA256)),
        Algorithm::PS256 => Some(rsa(&RSA_PSS_2048_8192_SHA256)),
        Algorithm::ES256 => Some((AlgorithmFamily::Ec, Verifying::Curve(&ECDSA_P256_SHA256_FIXED))),
        Algorithm::ES384 => Some((AlgorithmFamily::Ec, Verifying::Curve(&ECDSA_P384_SHA384_FIXED))),
        Algorithm::EdDSA => Some((AlgorithmFamily::Ed, Verifying::Curve(&ED25519))),
        _ => None,
    }
}

struct RingVerifier {
    algorithm: Algorithm,
    verifying: Verifying,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (family, verifying) = verifying(*algorithm).ok_or_else(unsupported)?;
    if key.family() != family {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, verifying, key: key.clone() }))
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (&self.verifying, self.key.kind()) {
            (Verifying::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Verifying::Curve(algorithm), DecodingKeyKind::SecretOrDer(bytes)) => {
                UnparsedPublicKey::new(*algorithm, bytes).verify(message, signature)
            }
            (Verifying::Rsa(_) | Verifying::Curve(_), _) => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
