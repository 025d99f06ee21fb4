//! Join codes: all that a second machine needs to find the first, to trust it, and to be let in once.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;

use crate::engine::Pin;

const PREFIX: &str = "folk1.";
const CHECKSUM_BYTES: usize = 4;
pub const ADDRESSES_MAX: usize = 6;

/// A code as it is printed by `folkmoot invite` and given to `folkmoot serve --join`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinCode {
    pub network: String,
    pub invite: [u8; 8],
    /// Proves that one was invited; never logged.
    pub secret: [u8; 16],
    pub pin: Pin,
    pub addresses: Vec<SocketAddr>,
}

/// Why a text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    NotACode,
    OtherVersion,
    /// A letter is wrong, or a piece is missing.
    Typo,
}

impl std::fmt::Display for CodeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CodeFault::NotACode => {
                "this is not a join code: one begins with \"folk1.\", as `folkmoot invite` prints it"
            }
            CodeFault::OtherVersion => {
                "this join code is of another version: use the same version on both machines"
            }
            CodeFault::Typo => "this join code has a typo, or a piece of it is missing: copy it once more",
        })
    }
}

impl std::fmt::Display for JoinCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::new();
        bytes.extend(self.invite);
        bytes.extend(self.secret);
        bytes.extend(self.pin.0);
        bytes.push(self.addresses.len() as u8);
        for address in &self.addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend(ip.octets());
                }
            }
            bytes.extend(address.port().to_be_bytes());
        }
        bytes.extend(self.network.as_bytes());
        bytes.extend(checksum(&bytes));
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Never the secret.
impl std::fmt::Debug for JoinCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinCode({} at {:?})", self.network, self.addresses)
    }
}

impl FromStr for JoinCode {
    type Err = CodeFault;

    /// Reads a code; line breaks and spaces that came in by copying do not matter.
    fn from_str(text: &str) -> Result<JoinCode, CodeFault> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(match text.strip_prefix("folk").and_then(|rest| rest.split_once('.')) {
                Some((version, _)) if version.parse::<u32>().is_ok() => CodeFault::OtherVersion,
                _ => CodeFault::NotACode,
            });
        };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| CodeFault::Typo)?;
        let at = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(CodeFault::Typo)?;
        let (said, sum) = bytes.split_at(at);
        if checksum(said) != sum {
            return Err(CodeFault::Typo);
        }
        read(said).ok_or(CodeFault::Typo)
    }
}

fn read(bytes: &[u8]) -> Option<JoinCode> {
    let mut rest = bytes;
    let invite = take(&mut rest)?;
    let secret = take(&mut rest)?;
    let pin = Pin(take(&mut rest)?);
    let [count] = take(&mut rest)?;
    let mut addresses = Vec::new();
    for _ in 0..count {
        let ip: IpAddr = match take(&mut rest)? {
            [4] => take::<4>(&mut rest)?.into(),
            [6] => take::<16>(&mut rest)?.into(),
            _ => return None,
        };
        addresses.push(SocketAddr::new(ip, u16::from_be_bytes(take(&mut rest)?)));
    }
    let network = std::str::from_utf8(rest).ok()?.to_string();
    Some(JoinCode { network, invite, secret, pin, addresses })
}

fn take<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref()[..CHECKSUM_BYTES].try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> JoinCode {
        JoinCode {
            network: "Folkmoot".into(),
            invite: [1; 8],
            secret: [2; 16],
            pin: Pin([3; 32]),
            addresses: vec!["10.0.0.5:6900".parse().unwrap(), "[fd00::5]:6900".parse().unwrap()],
        }
    }

    #[test]
    fn a_code_says_all_that_it_was_made_of() {
        let text = example().to_string();
        assert_eq!(text.parse(), Ok(example()));
        let wrapped = format!("  {}\n{} \n", &text[..40], &text[40..]);
        assert_eq!(wrapped.parse(), Ok(example()));
        assert!(!format!("{:?}", example()).contains("02"));
    }

    #[test]
    fn every_typo_is_told_from_a_wrong_code() {
        let text = example().to_string();
        for at in PREFIX.len()..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
            let typo = String::from_utf8(letters).unwrap();
            assert_eq!(typo.parse::<JoinCode>(), Err(CodeFault::Typo), "letter {at}");
        }
        for length in PREFIX.len()..text.len() {
            assert_eq!(text[..length].parse::<JoinCode>(), Err(CodeFault::Typo), "{length} letters");
        }
        for (text, fault) in [
            ("", CodeFault::NotACode),
            ("hello", CodeFault::NotACode),
            ("folk.x", CodeFault::NotACode),
            ("folk2.AAAA", CodeFault::OtherVersion),
            ("folk1.", CodeFault::Typo),
        ] {
            assert_eq!(text.parse::<JoinCode>(), Err(fault), "{text}");
        }
    }
}
