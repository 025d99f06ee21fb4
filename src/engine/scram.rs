//! SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677): the client shows that it knows the password, and the server that
//! it knows what it is checked against, and nobody who listens learns either. Channels are not bound.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac};

use super::network::{AccountId, ScramKeys};
use super::turn::Turn;
use crate::wire::fold::fold;

/// How often what we make is hashed: what phones take without being noticed.
pub const ITERATIONS: u32 = 16_384;

const SALT_BYTES: usize = 16;

/// What was said so far.
#[derive(Debug)]
pub struct Scram {
    /// `None` where there is no such account: it goes on all the same, and fails at its end.
    account: Option<AccountId>,
    keys: ScramKeys,
    /// What the client said of channels and of whom it is to be.
    header: String,
    client_first: String,
    server_first: String,
    nonce: String,
    is_proven: bool,
}

impl Scram {
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// Whether the client has shown that it knows the password.
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Reads the client's first message: the header, up to the second comma; the name; and the nonce.
    fn read_first(text: &str) -> Option<(&str, &str, String, &str)> {
        let (binding, rest) = text.split_once(',')?;
        // Binding to a channel was not offered.
        if !matches!(binding, "n" | "y") {
            return None;
        }
        let (authorize, bare) = rest.split_once(',')?;
        let header = &text[..text.len() - bare.len()];
        let mut attributes = bare.split(',');
        let name = unescape(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let authorize = match authorize {
            "" => String::new(),
            authorize => unescape(authorize.strip_prefix("a=")?)?,
        };
        let is_fit = !nonce.is_empty()
            && nonce.bytes().all(|b| b.is_ascii_graphic())
            && (authorize.is_empty() || fold(&authorize) == fold(&name));
        is_fit.then_some((header, bare, name, nonce))
    }

    /// Takes the client's proof, and answers with the server's.
    pub fn prove(mut self, text: &str) -> Option<(Scram, String)> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let proof: [u8; 32] = BASE64.decode(proof).ok()?.try_into().ok()?;
        let mut attributes = without_proof.split(',');
        let header = BASE64.decode(attributes.next()?.strip_prefix("c=")?).ok()?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if header != self.header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let said = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let signature = hmac::sign(&key(&self.keys.stored), said.as_bytes());
        let client_key: Vec<u8> =
            proof.iter().zip(signature.as_ref()).map(|(proof, sign)| proof ^ sign).collect();
        let stored = digest::digest(&digest::SHA256, &client_key);
        // Compared under a key that nobody knows who does not know the answer, so the time it takes tells nothing.
        let is_right = hmac::sign(&key(&self.keys.server), stored.as_ref()).as_ref()
            == hmac::sign(&key(&self.keys.server), &self.keys.stored).as_ref();
        if !is_right || self.account.is_none() {
            return None;
        }
        self.is_proven = true;
        let proof = hmac::sign(&key(&self.keys.server), said.as_bytes());
        let said = format!("v={}", BASE64.encode(proof));
        Some((self, said))
    }
}

fn key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

/// `=2C` is a comma and `=3D` is `=`, which stands for nothing else.
pub fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut plain = parts.next()?.to_string();
    for part in parts {
        let (sign, rest) = (part.get(..2)?, part.get(2..)?);
        plain.push(match sign {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    (!plain.is_empty()).then_some(plain)
}

impl Turn<'_> {
    /// Takes the client's first message, and answers with the salt and how often to hash. Of a name that nobody has the
    /// salt is made up, always the same one, so that asking does not tell.
    pub fn begin_scram(&mut self, text: &str) -> Option<(Scram, String)> {
        let (header, client_first, name, client_nonce) = Scram::read_first(text)?;
        let account = self.network().account_named(&name).filter(|account| account.password.is_some());
        let known = account.and_then(|account| Some((account.id, account.password.clone()?.scram)));
        let (account, keys) = match known {
            Some((account, keys)) => (Some(account), keys),
            None => (None, self.made_up_keys(&name)),
        };
        let nonce = format!("{client_nonce}{}", BASE64.encode(&self.engine.dice.bytes()[..18]));
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&keys.salt), keys.iterations);
        let scram = Scram {
            account,
            keys,
            header: header.to_string(),
            client_first: client_first.to_string(),
            server_first: server_first.clone(),
            nonce,
            is_proven: false,
        };
        Some((scram, server_first))
    }

    fn made_up_keys(&mut self, name: &str) -> ScramKeys {
        let secret = key(&self.engine.identity.secret);
        let salt = hmac::sign(&secret, format!("folkmoot/1 scram {}", fold(name)).as_bytes());
        ScramKeys {
            salt: salt.as_ref()[..SALT_BYTES].to_vec(),
            iterations: ITERATIONS,
            stored: self.engine.dice.bytes(),
            server: self.engine.dice.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    ///
    /// Proves: sasl
    #[test]
    fn the_example_of_the_specification_is_proven_and_a_wrong_password_is_not() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = [0; 32];
        let rounds = std::num::NonZeroU32::new(4096).unwrap();
        ring::pbkdf2::derive(ring::pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, b"pencil", &mut salted);
        let client_key = hmac::sign(&key(&salted), b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let server = hmac::sign(&key(&salted), b"Server Key");
        let (header, first, name, nonce) = Scram::read_first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!((header, name.as_str(), nonce), ("n,,", "user", "rOprNGfwEbeRWgbNEkqO"));
        let begun = || Scram {
            account: Some(AccountId::parse("1.1AA").unwrap()),
            keys: ScramKeys {
                salt: salt.clone(),
                iterations: 4096,
                stored: stored.as_ref().try_into().unwrap(),
                server: server.as_ref().try_into().unwrap(),
            },
            header: header.to_string(),
            client_first: first.to_string(),
            server_first:
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                    .to_string(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_string(),
            is_proven: false,
        };
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (scram, said) = begun().prove(last).unwrap();
        assert!(scram.is_proven());
        assert_eq!(said, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for wrong in [
            last.replace("p=dHz", "p=eHz"),
            last.replace("c=biws", "c=eSws"),
            last.replace("r=rOpr", "r=sOpr"),
            "c=biws".to_string(),
            String::new(),
        ] {
            assert!(begun().prove(&wrong).is_none(), "{wrong}");
        }
        let nobody = Scram { account: None, ..begun() };
        assert!(nobody.prove(last).is_none(), "though all else is right");
    }

    #[test]
    fn a_first_message_is_read_or_refused() {
        for (text, name) in [
            ("n,,n=ann,r=x", Some("ann")),
            ("y,,n=ann,r=x", Some("ann")),
            ("n,a=Ann,n=ann,r=x", Some("ann")),
            ("n,,n=a=2Cb=3Dc,r=x", Some("a,b=c")),
            ("n,a=bob,n=ann,r=x", None),
            ("p=tls-unique,,n=ann,r=x", None),
            ("n,,m=ext,n=ann,r=x", None),
            ("n,,n=a=2cb,r=x", None),
            ("n,,n=a=é,r=x", None),
            ("n,,n=,r=x", None),
            ("n,,n=ann,r=", None),
            ("n,,n=ann", None),
            ("", None),
        ] {
            let read = Scram::read_first(text).map(|(_, _, name, _)| name);
            assert_eq!(read.as_deref(), name, "{text}");
        }
    }
}
