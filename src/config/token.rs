//! `[[accounts.token]]`: who vouches for people by signed tokens, and by which key it is seen that they do.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::fit;
use super::section::Section;

/// What is said of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    pub issuers: Vec<TokenIssuer>,
    /// How far the clock of whoever makes tokens may differ from ours.
    pub leeway: Duration,
    /// Whether they are taken on encrypted connections only.
    pub need_tls: bool,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens { issuers: Vec::new(), leeway: Duration::from_secs(30), need_tls: true }
    }
}

/// Whoever vouches for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenIssuer {
    pub algorithm: TokenAlgorithm,
    /// What signatures are checked with; `None` until the file is read that holds it.
    pub key: Option<TokenKey>,
    /// Where it is, and the line that says so.
    pub key_file: Option<(String, usize)>,
    /// What `iss` and `aud` of a token have to be.
    pub issuer: String,
    pub audience: String,
    /// Which claim names the account.
    pub claim: String,
    /// Whether an account is made where there is none of that name.
    pub autocreate: bool,
}

/// How a token is signed (RFC 7518, RFC 8037). Each key is for one of them, whatever a token says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    HmacSha256,
    RsaSha256,
    Ed25519,
}

const ALGORITHMS: [(&str, TokenAlgorithm); 3] = [
    ("HS256", TokenAlgorithm::HmacSha256),
    ("RS256", TokenAlgorithm::RsaSha256),
    ("EdDSA", TokenAlgorithm::Ed25519),
];

impl TokenAlgorithm {
    /// As tokens call it; nothing else is one, and least of all `none`.
    pub fn find(name: &str) -> Option<TokenAlgorithm> {
        ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// A key as an admin writes it: a secret as text, or a public key as PEM.
    pub fn key(self, text: &str) -> Result<TokenKey, String> {
        let bytes = match self {
            TokenAlgorithm::HmacSha256 => secret(text),
            TokenAlgorithm::RsaSha256 => rsa_key(text),
            TokenAlgorithm::Ed25519 => ed25519_key(text),
        };
        bytes.map(TokenKey)
    }
}

/// As `ring` takes it: the secret, an `RSAPublicKey` of PKCS #1, or the 32 bytes of Ed25519. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey(pub Vec<u8>);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// RFC 7518 wants a secret to be as long as what it makes.
const SECRET_BYTES_MIN: usize = 32;
/// Fewer are not taken by anybody who checks signatures today, more would take long.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

fn secret(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.contains("-----BEGIN") {
        // Whoever has the public key, which is everybody, could sign with it.
        return Err(
            "expected a secret, found a key for RS256 or EdDSA; write that as `algorithm`".to_string()
        );
    }
    match text.len() {
        len if len < SECRET_BYTES_MIN => Err(format!(
            "has {len} bytes; a secret for HS256 needs {SECRET_BYTES_MIN}, such as `openssl rand -hex 32` prints"
        )),
        _ => Ok(text.as_bytes().to_vec()),
    }
}

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

fn rsa_key(text: &str) -> Result<Vec<u8>, String> {
    let key = match pem(text, "RSA PUBLIC KEY") {
        Some(key) => key,
        None => public_key(text, RSA_ENCRYPTION, "RSA")?,
    };
    let modulus = der(&key, SEQUENCE).and_then(|(inside, _)| der(inside, INTEGER)).map(|(number, _)| number);
    let modulus = modulus.ok_or("is damaged: it holds no RSA key")?;
    let len = modulus.iter().skip_while(|byte| **byte == 0).count();
    match MODULUS_BYTES.contains(&len) {
        true => Ok(key),
        false => Err(format!("is an RSA key of {} bits; expected 2048 to 8192", len * 8)),
    }
}

fn ed25519_key(text: &str) -> Result<Vec<u8>, String> {
    let key = public_key(text, ED25519, "Ed25519")?;
    if key.len() == 32 { Ok(key) } else { Err("is damaged: it holds no Ed25519 key".to_string()) }
}

/// The key inside a SubjectPublicKeyInfo (RFC 5280), if it is of that kind.
fn public_key(text: &str, algorithm: &[u8], kind: &str) -> Result<Vec<u8>, String> {
    let Some(info) = pem(text, "PUBLIC KEY") else {
        return Err(match text {
            text if text.contains("PRIVATE KEY") => {
                "is a private key, which nobody but the issuer should have; `openssl pkey -in FILE -pubout` prints the public one".to_string()
            }
            text if text.contains("CERTIFICATE") => {
                "is a certificate; `openssl x509 -in FILE -noout -pubkey` prints the key in it".to_string()
            }
            _ => "expected a public key that begins with -----BEGIN PUBLIC KEY-----".to_string(),
        });
    };
    let read = || {
        let (info, _) = der(&info, SEQUENCE)?;
        let (identifier, rest) = der(info, SEQUENCE)?;
        let (found, _) = der(identifier, OBJECT)?;
        let (bits, _) = der(rest, BIT_STRING)?;
        Some((found.to_vec(), bits.strip_prefix(&[0])?.to_vec()))
    };
    match read() {
        Some((found, key)) if found == algorithm => Ok(key),
        Some(_) => Err(format!("is a key, and none of {kind}; write its kind as `algorithm`")),
        None => Err("is damaged: it is no public key".to_string()),
    }
}

/// What stands between the lines that mark one (RFC 7468).
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    BASE64.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The first element of DER, if it is of that kind, and what stands behind it.
fn der(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    (found == kind && len <= rest.len()).then(|| rest.split_at(len))
}

impl Section<'_, '_, '_> {
    pub(super) fn token(&mut self) {
        let mut algorithm = String::new();
        self.text("algorithm", &mut algorithm, |text| {
            fit::one_of(text, &ALGORITHMS.map(|(name, _)| name)).map_err(|why| match text {
                "none" => {
                    format!("{why}; whoever takes tokens without a signature takes them from everybody")
                }
                _ => why,
            })
        });
        self.need("algorithm");
        let (mut text, mut path) = (None, None);
        self.optional("key", &mut text, fit::any);
        self.optional("key_file", &mut path, fit::path);
        let key_file = path.and_then(|path| Some((path, self.find("key_file")?.0)));
        match (self.gives("key"), self.gives("key_file")) {
            (true, true) => self.fault_at("key_file", "key and key_file both give the key; leave one out"),
            (false, false) => self.need("key"),
            _ => {}
        }
        let mut issuer = TokenIssuer {
            algorithm: TokenAlgorithm::find(&algorithm).unwrap_or(TokenAlgorithm::HmacSha256),
            key: None,
            key_file,
            issuer: String::new(),
            audience: String::new(),
            claim: "sub".to_string(),
            autocreate: false,
        };
        if TokenAlgorithm::find(&algorithm).is_some() && self.gives("key") {
            match issuer.algorithm.key(text.as_deref().unwrap_or_default()) {
                Ok(key) => issuer.key = Some(key),
                Err(why) => self.fault_at("key", &why),
            }
        }
        self.text("issuer", &mut issuer.issuer, fit::claim);
        self.text("audience", &mut issuer.audience, fit::claim);
        self.need("issuer");
        self.need("audience");
        self.text("claim", &mut issuer.claim, fit::claim);
        self.flag("autocreate", &mut issuer.autocreate);
        self.reader.reading.config.accounts.tokens.issuers.push(issuer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read;

    const RSA: &str = include_str!("../../tests/keys/rsa.pem");
    const EDWARDS: &str = include_str!("../../tests/keys/ed25519.pem");

    #[test]
    fn a_key_is_read_for_its_own_algorithm_and_no_other() {
        let secret = "0123456789abcdef0123456789abcdef";
        for (algorithm, text, is_taken) in [
            (TokenAlgorithm::HmacSha256, secret, true),
            (TokenAlgorithm::HmacSha256, "short", false),
            (TokenAlgorithm::HmacSha256, RSA, false),
            (TokenAlgorithm::HmacSha256, EDWARDS, false),
            (TokenAlgorithm::RsaSha256, RSA, true),
            (TokenAlgorithm::RsaSha256, EDWARDS, false),
            (TokenAlgorithm::RsaSha256, secret, false),
            (TokenAlgorithm::Ed25519, EDWARDS, true),
            (TokenAlgorithm::Ed25519, RSA, false),
            (TokenAlgorithm::Ed25519, "", false),
            (TokenAlgorithm::RsaSha256, &RSA.replace("MII", "MIA"), false),
        ] {
            assert_eq!(algorithm.key(text).is_ok(), is_taken, "{algorithm:?} {text}");
        }
        assert_eq!(TokenAlgorithm::find("none"), None);
    }

    #[test]
    fn a_key_cut_short_anywhere_is_a_fault_and_no_panic() {
        let whole = pem(RSA, "PUBLIC KEY").unwrap();
        for len in 0..whole.len() {
            let text = format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
                BASE64.encode(&whole[..len])
            );
            assert!(TokenAlgorithm::RsaSha256.key(&text).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_to_write() {
        let token = |lines: &str| format!("[[accounts.token]]\nissuer = \"i\"\naudience = \"a\"\n{lines}");
        for (lines, line, told) in [
            ("algorithm = \"none\"\nkey = \"x\"", 4, "without a signature"),
            ("algorithm = \"HS256\"\nkey = \"x\"", 5, "openssl rand"),
            ("algorithm = \"HS256\"", 2, "add key"),
            ("algorithm = \"HS256\"\nkey = \"x\"\nkey_file = \"y\"", 6, "leave one out"),
            ("algorithm = \"RS256\"\nkey = \"-----BEGIN PRIVATE KEY-----\"", 5, "-pubout"),
            ("algorithm = \"RS256\"\nkey = \"-----BEGIN CERTIFICATE-----\"", 5, "openssl x509"),
            ("key = \"0123456789abcdef0123456789abcdef\"", 2, "add algorithm"),
            ("algorithm = \"EdDSA\"\nkey_fil = \"y\"", 5, "key_file"),
        ] {
            let faults = read(&token(lines)).faults;
            let is_told = faults.iter().any(|fault| fault.line == line && fault.text.contains(told));
            assert!(is_told, "{lines}: {faults:?}");
        }
        let whole =
            token("algorithm = \"HS256\"\nkey = \"0123456789abcdef0123456789abcdef\"\nclaim = \"name\"");
        let reading = read(&whole);
        assert!(reading.faults.is_empty(), "{:?}", reading.faults);
        assert!(!format!("{:?}", reading.config).contains("0123456789"), "a secret is never printed");
    }
}
