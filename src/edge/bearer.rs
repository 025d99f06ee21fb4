//! Whether a token is one that we were told to believe: JSON Web Tokens (RFC 7519), signed as RFC 7515 has it.
//!
//! Signatures are `ring`'s, which TLS uses too. What a token says of how it is signed only chooses among the keys that
//! are configured for that; so none is taken that is not signed, and no public key is ever used as a secret.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{TokenAlgorithm, TokenIssuer, Tokens};
use crate::engine::{Bearer, TokenFault};
use crate::wire::time::Timestamp;

/// What comes before the claims.
#[derive(Deserialize)]
struct Header {
    alg: String,
    /// What has to be understood of it; we understand nothing.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

/// Whom a token is about, if one of the issuers made it, for us, and for this time.
pub fn check(token: &str, tokens: &Tokens, now: Timestamp) -> Result<Bearer, TokenFault> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Unreadable)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenFault::Unreadable)?;
    let header: Header = read(header)?;
    let signature = BASE64.decode(signature).map_err(|_| TokenFault::Unreadable)?;
    let algorithm = TokenAlgorithm::find(&header.alg).filter(|_| header.crit.is_none());
    let mut fault = TokenFault::Algorithm;
    for issuer in tokens.issuers.iter().filter(|issuer| Some(issuer.algorithm) == algorithm) {
        if !is_signed_by(issuer, signed.as_bytes(), &signature) {
            // What one key says of it counts more than that another is not its own.
            if fault == TokenFault::Algorithm {
                fault = TokenFault::Forged;
            }
            continue;
        }
        match examine(&read(claims)?, issuer, tokens.leeway, now) {
            Ok(bearer) => return Ok(bearer),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

fn read<T: DeserializeOwned>(part: &str) -> Result<T, TokenFault> {
    let bytes = BASE64.decode(part).map_err(|_| TokenFault::Unreadable)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenFault::Unreadable)
}

fn is_signed_by(issuer: &TokenIssuer, signed: &[u8], signature: &[u8]) -> bool {
    let Some(key) = issuer.key.as_ref().map(|key| key.0.as_slice()) else { return false };
    match issuer.algorithm {
        TokenAlgorithm::HmacSha256 => {
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), signed, signature).is_ok()
        }
        TokenAlgorithm::RsaSha256 => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed, signature).is_ok()
        }
        TokenAlgorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok(),
    }
}

/// What a token says that is signed rightly.
fn examine(
    claims: &Claims,
    issuer: &TokenIssuer,
    leeway: Duration,
    now: Timestamp,
) -> Result<Bearer, TokenFault> {
    if claims.iss.as_ref() != Some(&issuer.issuer) {
        return Err(TokenFault::Issuer);
    }
    let is_for_us = match &claims.aud {
        Some(Audience::One(audience)) => *audience == issuer.audience,
        Some(Audience::Some(all)) => all.contains(&issuer.audience),
        None => false,
    };
    if !is_for_us {
        return Err(TokenFault::Audience);
    }
    let (now, leeway) = (now.0 as f64 / 1000.0, leeway.as_secs_f64());
    // One that never ends would be as good as a password, and its owner could not change it.
    if claims.exp.is_none_or(|end| end + leeway <= now) {
        return Err(TokenFault::Expired);
    }
    if claims.nbf.is_some_and(|begin| begin - leeway > now) {
        return Err(TokenFault::NotYet);
    }
    let name = match issuer.claim.as_str() {
        "iss" => claims.iss.as_deref(),
        claim => claims.others.get(claim).and_then(Value::as_str),
    };
    let name = name.filter(|name| !name.is_empty()).ok_or(TokenFault::Nameless)?;
    Ok(Bearer { name: name.to_string(), autocreate: issuer.autocreate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenKey;
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const RSA: &str = include_str!("../../tests/keys/rsa.pem");
    /// Made by `openssl dgst -sha256 -sign`, so that somebody else than us has signed it.
    const SIGNED_BY_RSA: &str = include_str!("../../tests/keys/alice.rs256");
    const SIGNED_BY_ED25519: &str = include_str!("../../tests/keys/alice.eddsa");
    const EDWARDS: &str = include_str!("../../tests/keys/ed25519.pem");
    /// 2026-01-01 12:00:00
    const NOW: Timestamp = Timestamp(1_767_268_800_000);
    const NOW_S: i64 = 1_767_268_800;

    fn issuer(algorithm: TokenAlgorithm, key: TokenKey) -> TokenIssuer {
        TokenIssuer {
            algorithm,
            key: Some(key),
            key_file: None,
            issuer: "https://id.example".to_string(),
            audience: "folkmoot".to_string(),
            claim: "sub".to_string(),
            autocreate: false,
        }
    }

    fn trusting(issuers: &[TokenIssuer]) -> Tokens {
        Tokens { issuers: issuers.to_vec(), ..Tokens::default() }
    }

    fn by_secret() -> TokenIssuer {
        issuer(TokenAlgorithm::HmacSha256, TokenKey(SECRET.to_vec()))
    }

    fn signed(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let text = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = BASE64.encode(sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn with_secret(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
        move |text| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref().to_vec()
    }

    const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn claims(more: &str) -> String {
        let end = NOW_S + 60;
        format!(r#"{{"iss":"https://id.example","aud":"folkmoot","sub":"alice","exp":{end}{more}}}"#)
    }

    /// Proves: sasl
    #[test]
    fn each_algorithm_proves_whom_a_token_is_about() {
        let random = SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = TokenKey(pair.public_key().as_ref().to_vec());
        let edwards = issuer(TokenAlgorithm::Ed25519, public);
        let by_pair = signed(r#"{"alg":"EdDSA"}"#, &claims(""), |text| pair.sign(text).as_ref().to_vec());
        let rsa = issuer(TokenAlgorithm::RsaSha256, TokenAlgorithm::RsaSha256.key(RSA).unwrap());
        let openssl = issuer(TokenAlgorithm::Ed25519, TokenAlgorithm::Ed25519.key(EDWARDS).unwrap());
        let by_hmac = signed(HS256, &claims(""), with_secret(SECRET));
        for (trusted, token) in [
            (&edwards, by_pair.as_str()),
            (&by_secret(), &by_hmac),
            (&rsa, SIGNED_BY_RSA.trim()),
            (&openssl, SIGNED_BY_ED25519.trim()),
        ] {
            let bearer = check(token, &trusting(std::slice::from_ref(trusted)), NOW);
            assert_eq!(bearer.map(|bearer| bearer.name).as_deref(), Ok("alice"), "{token}");
            // Each among all others, too.
            let all = trusting(&[by_secret(), rsa.clone(), edwards.clone(), openssl.clone()]);
            assert!(check(token, &all, NOW).is_ok(), "{token}");
        }
    }

    #[test]
    fn nothing_else_that_is_signed_or_not_proves_anybody() {
        let rsa = issuer(TokenAlgorithm::RsaSha256, TokenAlgorithm::RsaSha256.key(RSA).unwrap());
        let public = rsa.key.clone().unwrap().0;
        let all = trusting(&[by_secret(), rsa.clone()]);
        let only_rsa = trusting(&[rsa]);
        let none = |_: &[u8]| Vec::new();
        let good = signed(HS256, &claims(""), with_secret(SECRET));
        let (text, signature) = good.rsplit_once('.').unwrap();
        let (header, _) = text.split_once('.').unwrap();
        let other = BASE64.encode(claims("").replace("alice", "admin"));
        for (token, trusted, fault) in [
            (signed(r#"{"alg":"none"}"#, &claims(""), none), &all, TokenFault::Algorithm),
            (signed(r#"{"alg":"None"}"#, &claims(""), none), &all, TokenFault::Algorithm),
            (signed(r#"{"alg":"hs256"}"#, &claims(""), with_secret(SECRET)), &all, TokenFault::Algorithm),
            (signed(r#"{"alg":"HS512"}"#, &claims(""), with_secret(SECRET)), &all, TokenFault::Algorithm),
            // What everybody has is no secret.
            (signed(HS256, &claims(""), with_secret(&public)), &only_rsa, TokenFault::Algorithm),
            (signed(HS256, &claims(""), with_secret(RSA.as_bytes())), &only_rsa, TokenFault::Algorithm),
            (signed(HS256, &claims(""), with_secret(&public)), &all, TokenFault::Forged),
            (signed(HS256, &claims(""), with_secret(b"")), &all, TokenFault::Forged),
            (signed(HS256, &claims(""), none), &all, TokenFault::Forged),
            (signed(r#"{"alg":"RS256"}"#, &claims(""), with_secret(&public)), &all, TokenFault::Forged),
            (format!("{header}.{other}.{signature}"), &all, TokenFault::Forged),
            (
                signed(r#"{"alg":"HS256","crit":["b64"]}"#, &claims(""), with_secret(SECRET)),
                &all,
                TokenFault::Algorithm,
            ),
            (
                signed(r#"{"alg":"RS256","alg":"HS256"}"#, &claims(""), with_secret(SECRET)),
                &all,
                TokenFault::Unreadable,
            ),
            (signed(r#"{"typ":"JWT"}"#, &claims(""), with_secret(SECRET)), &all, TokenFault::Unreadable),
            (signed(HS256, "[1]", with_secret(SECRET)), &all, TokenFault::Unreadable),
            (format!("{text}."), &all, TokenFault::Forged),
            (format!("{good}."), &all, TokenFault::Forged),
            (format!("{good}="), &all, TokenFault::Unreadable),
            (text.to_string(), &all, TokenFault::Unreadable),
            (String::new(), &all, TokenFault::Unreadable),
            ("..".to_string(), &all, TokenFault::Unreadable),
        ] {
            assert_eq!(check(&token, trusted, NOW).map(|bearer| bearer.name), Err(fault), "{token}");
        }
        assert!(check(&good, &all, NOW).is_ok());
        assert_eq!(check(&good, &Tokens::default(), NOW).map(|_| ()), Err(TokenFault::Algorithm));
        let keyless = TokenIssuer { key: None, ..by_secret() };
        let by_nothing = signed(HS256, &claims(""), with_secret(b""));
        assert_eq!(check(&by_nothing, &trusting(&[keyless]), NOW).map(|_| ()), Err(TokenFault::Forged));
    }

    #[test]
    fn a_token_is_good_from_its_issuer_for_us_and_in_its_time() {
        let said = |text: String| signed(HS256, &text, with_secret(SECRET));
        let start = r#"{"iss":"https://id.example","aud":"folkmoot","sub":"alice""#;
        let at = |key: &str, seconds: i64| format!(r#","{key}":{}"#, NOW_S + seconds);
        for (text, outcome) in [
            (format!("{start}{}}}", at("exp", 1)), Ok("alice")),
            (format!("{start}{}.5}}", at("exp", 1)), Ok("alice")),
            // Clocks differ, within the leeway.
            (format!("{start}{}}}", at("exp", -29)), Ok("alice")),
            (format!("{start}{}}}", at("exp", -30)), Err(TokenFault::Expired)),
            (format!("{start}{}{}}}", at("exp", 90), at("nbf", 30)), Ok("alice")),
            (format!("{start}{}{}}}", at("exp", 90), at("nbf", 31)), Err(TokenFault::NotYet)),
            (format!("{start}}}"), Err(TokenFault::Expired)),
            (format!(r#"{start},"exp":"tomorrow"}}"#), Err(TokenFault::Unreadable)),
            (format!(r#"{start},"exp":null}}"#), Err(TokenFault::Expired)),
            (format!(r#"{start},"exp":-1e300}}"#), Err(TokenFault::Expired)),
            (claims("").replace("id.example", "evil.example"), Err(TokenFault::Issuer)),
            (claims("").replace(r#""iss":"https://id.example","#, ""), Err(TokenFault::Issuer)),
            (claims("").replace(r#""folkmoot""#, r#""mail""#), Err(TokenFault::Audience)),
            (claims("").replace(r#""aud":"folkmoot","#, ""), Err(TokenFault::Audience)),
            (claims("").replace(r#""folkmoot""#, r#"["mail","folkmoot"]"#), Ok("alice")),
            (claims("").replace(r#""folkmoot""#, "[]"), Err(TokenFault::Audience)),
            (claims("").replace(r#""alice""#, "7"), Err(TokenFault::Nameless)),
            (claims("").replace(r#""alice""#, r#""""#), Err(TokenFault::Nameless)),
            (claims("").replace("sub", "name"), Err(TokenFault::Nameless)),
        ] {
            let token = said(text.clone());
            let found = check(&token, &trusting(&[by_secret()]), NOW).map(|bearer| bearer.name);
            assert_eq!(found.as_deref().map_err(|fault| *fault), outcome, "{text}");
        }
        // One key may be that of two services.
        let two = [TokenIssuer { audience: "mail".to_string(), ..by_secret() }, by_secret()];
        assert!(check(&said(claims("")), &trusting(&two), NOW).is_ok());
    }
}
