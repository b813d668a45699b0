//! Tokens that are not good, each for one reason.

use serde_json::{Value, json};

use super::signer::{Signer, encoded};
use super::{Issuer, claims, key_set, status, with};

/// HMAC by SHA-256 under the bytes of a public key: what a verifier takes that lets the token choose the algorithm.
fn hmac(key: &[u8], key_id: &str, claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key_id});
    let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), message.as_bytes());
    format!("{message}.{}", encoded(tag))
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

/// A token whose claims were changed after it was signed.
fn tampered(token: &str) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let changed = encoded(with("roles", json!(["operator", "auditor", "officer"])).to_string());
    format!("{}.{changed}.{}", parts[0], parts[2])
}

fn unsigned(claims: &Value, key_id: &str) -> String {
    let header = json!({"alg": "none", "typ": "JWT", "kid": key_id});
    format!("{}.{}.", encoded(header.to_string()), encoded(claims.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refused_for_each_thing_that_is_wrong_with_it() {
    let (signer, stranger) = (Signer::new("ES256", "k"), Signer::new("ES256", "k"));
    let (rsa, pss) = (Signer::new("RS256", "rsa"), Signer::new("PS256", "rsa"));
    let issuer = Issuer::start(key_set(&[&signer, &rsa])).await;
    let app = issuer.trusted(&["--jwt-leeway", "5"]).await;
    let now = chrono::Utc::now().timestamp();
    let good = signer.token(&claims());
    assert_eq!(status(&app, &good).await, 200);
    assert_eq!(status(&app, &rsa.token(&claims())).await, 200);
    assert_eq!(status(&app, &signer.token(&with("aud", json!(["else", "credit"])))).await, 200, "one of several");
    assert_eq!(status(&app, &signer.token(&with("exp", now - 2))).await, 200, "clocks differ a little");

    let signature = "no key of the issuer's has signed";
    let cases = [
        ("another audience", signer.token(&with("aud", "other")), "another audience"),
        ("another issuer", signer.token(&with("iss", "https://else.example")), "another issuer"),
        ("expired", signer.token(&with("exp", now - 60)), "expired"),
        ("not yet valid", signer.token(&with("nbf", now + 60)), "not valid yet"),
        ("no end", signer.token(&without("exp")), "claims"),
        ("an end that is none", signer.token(&with("exp", "tomorrow")), "claims"),
        ("no subject", signer.token(&without("sub")), "claims"),
        ("an empty subject", signer.token(&with("sub", "")), "claims"),
        ("no issuer", signer.token(&without("iss")), "claims"),
        ("no audience", signer.token(&without("aud")), "claims"),
        ("another's signature", stranger.token(&claims()), signature),
        ("a key that is unknown", signer.token_naming("other", &claims()), signature),
        ("no key named, of two", signer.token_of(&json!({"alg": "ES256"}), &claims()), signature),
        ("changed claims", tampered(&good), signature),
        ("a secret made of the public key", hmac(&signer.public(), "k", &claims()), signature),
        ("a secret made of the modulus", hmac(&rsa.public(), "rsa", &claims()), signature),
        ("an algorithm that the key is not for", pss.token(&claims()), signature),
        ("another kind of key", rsa.token_naming("k", &claims()), signature),
        ("no algorithm", unsigned(&claims(), "k"), "neither a key of this API nor a signed token"),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned() + ".", signature),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), "neither"),
        ("no JSON", "e30.e30.e30".to_owned(), "neither"),
    ];
    for (what, token, why) in cases {
        let answer = app.client.showing(&token).get("/v1/decisions").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(why), "{what}: {}", answer.body);
        assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""), "{what}");
    }
    for nothing in [json!([]), json!(["admin"]), json!("superuser"), json!({"officer": true}), Value::Null] {
        let token = signer.token(&with("roles", nothing.clone()));
        assert_eq!(status(&app, &token).await, 403, "known, and may nothing: {nothing}");
    }
    app.stop().await;
}
