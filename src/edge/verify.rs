//! Slow password checks, off the router's path.

use argon2::Argon2;
use argon2::Params;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use ring::hmac;
use ring::rand::SystemRandom;
use sha3::{Digest, Sha3_512};

use super::bearer;
use super::password;
use super::shared::Shared;
use super::threads::give_way;
use crate::config::Tokens;
use crate::engine::{AskId, Event, Secret};
use crate::wire::time::Timestamp;

/// How many checks may wait. Whoever comes then is turned away, so that guessing cannot fill the memory.
const WAITING_MAX: usize = 1024;

/// How every hash that we make begins, as `folkmoot hash-password` prints it.
const HASHED: &str = "$argon2";

/// How hashes begin that other programs made: of bcrypt, which Anope has too, and of Ergo's digest before it.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];
pub const ERGO: &str = "$ergo";

/// Each step of this doubles the time; the highest takes a few times as long as what other programs are set to.
const BCRYPT_COST_MAX: u32 = 14;

/// What a hash may cost at most, several times what ours do. Those of accounts come from other servers, and what one of
/// them makes up is not to take the memory or the time of everybody.
const HASH_KIB_MAX: u32 = 256 * 1024;
const HASH_ROUNDS_MAX: u32 = 16;
const HASH_LANES_MAX: u32 = 16;

/// A question, and under what it is answered.
pub struct Check {
    pub ask: AskId,
    pub given: Secret,
    pub what: What,
}

/// What is asked of a password.
pub enum What {
    /// Whether it is what this stands for, hashed or plain.
    Is(String),
    /// Whether it makes this hash.
    Makes(String),
    /// What it is to be checked against from now on.
    Hash,
    /// Whether it is a token in order by then, and of whom.
    Token(Tokens, Timestamp),
}

/// The router's way to the checker.
pub struct Verifier(Sender<Check>);

impl Verifier {
    pub fn new() -> (Verifier, Receiver<Check>) {
        let (checks, waiting) = crossbeam_channel::bounded(WAITING_MAX);
        (Verifier(checks), waiting)
    }

    /// Never blocks; answers with a no where too much waits already.
    pub fn ask(&self, check: Check) -> Option<Event> {
        let Err(TrySendError::Full(Check { ask, what, .. })) = self.0.try_send(check) else { return None };
        Some(match what {
            What::Is(_) => Event::Verified { ask, right: false },
            What::Makes(_) | What::Token(..) => Event::NotChecked { ask },
            What::Hash => Event::Hashed { ask, credential: None },
        })
    }
}

/// How many passwords are checked at a time: half of the machine's cores, so that many logins leave the other half to
/// those who are in, and no more memory is taken than this many hashes need.
pub fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    (cores / 2).clamp(1, 4)
}

/// Answers until the router is gone.
pub fn run(shared: &Shared, waiting: &Receiver<Check>) {
    give_way();
    for check in waiting {
        let (ask, given) = (check.ask, &check.given.0);
        shared.tell(match check.what {
            What::Is(known) => Event::Verified { ask, right: is_right(given, &known) },
            What::Makes(known) => {
                let right = makes(given, &known);
                // What another program made is made anew, now that the password is there to make it of.
                let is_foreign = right && !known.starts_with(HASHED);
                let renewed = is_foreign.then(|| password::credential(given));
                Event::Matched { ask, right, renewed }
            }
            What::Token(tokens, now) => {
                Event::TokenChecked { ask, outcome: bearer::check(given, &tokens, now) }
            }
            What::Hash => Event::Hashed { ask, credential: Some(password::credential(given)) },
        });
    }
}

/// Whether a password is the one in the settings, hashed or plain.
fn is_right(given: &str, known: &str) -> bool {
    if !known.starts_with(HASHED) {
        return same(given, known);
    }
    // A hash that was damaged is nobody's password, not even its own.
    PasswordHash::new(known).is_ok_and(|hash| {
        is_affordable(&hash) && Argon2::default().verify_password(given.as_bytes(), &hash).is_ok()
    })
}

/// Whether a password is that of an account.
fn makes(given: &str, hash: &str) -> bool {
    if hash.starts_with(HASHED) {
        return is_right(given, hash);
    }
    match hash.strip_prefix(ERGO) {
        Some(hash) => is_bcrypt_of(&Sha3_512::digest(given), hash),
        None => is_bcrypt_of(given.as_bytes(), hash),
    }
}

/// Whether what a hash of an account is can be told here.
pub fn is_known(hash: &str) -> bool {
    cost_of_bcrypt(hash.strip_prefix(ERGO).unwrap_or(hash)).is_some()
}

fn is_bcrypt_of(given: &[u8], hash: &str) -> bool {
    cost_of_bcrypt(hash).is_some() && bcrypt::verify(given, hash).unwrap_or(false)
}

/// What it takes to compute one, where that is affordable.
fn cost_of_bcrypt(hash: &str) -> Option<u32> {
    let rest = BCRYPT.iter().find_map(|prefix| hash.strip_prefix(prefix))?;
    let (cost, rest) = rest.split_once('$')?;
    cost.parse().ok().filter(|cost| *cost <= BCRYPT_COST_MAX && rest.len() == 53)
}

fn is_affordable(hash: &PasswordHash) -> bool {
    Params::try_from(hash).is_ok_and(|cost| {
        cost.m_cost() <= HASH_KIB_MAX && cost.t_cost() <= HASH_ROUNDS_MAX && cost.p_cost() <= HASH_LANES_MAX
    })
}

/// Compares in a time that tells nothing: what is compared are tags under a key that nobody knows.
fn same(given: &str, known: &str) -> bool {
    let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
        .expect("the system has randomness once it has booted");
    let known = hmac::sign(&key, known.as_bytes());
    hmac::verify(&key, given.as_bytes(), known.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, SaltString};

    use super::*;

    #[test]
    fn passwords_are_known_hashed_and_plain() {
        let salt = SaltString::encode_b64(b"sixteen bytes...").unwrap();
        let hash = Argon2::default().hash_password(b"hay", &salt).unwrap().to_string();
        for (given, known, right) in [
            ("hay", hash.as_str(), true),
            ("straw", hash.as_str(), false),
            (hash.as_str(), hash.as_str(), false),
            ("hay", "hay", true),
            ("hay", "hayrick", false),
            ("", "hay", false),
            ("$money", "$money", true),
            ("$argon2id$half", "$argon2id$half", false),
        ] {
            assert_eq!(is_right(given, known), right, "{given} {known}");
        }
    }

    #[test]
    fn passwords_are_known_by_what_other_programs_made_of_them() {
        let (plain, digested) = (
            "$2b$04$abcdefghijklmnopqrstuudfEg22RU4ovsLP2KcTmvOg7NNEkez.6",
            "$ergo$2b$04$abcdefghijklmnopqrstuuxIhikai.lB4998C22se8KgmkDOW0mea",
        );
        for (given, hash, right) in [
            ("hayrick99", plain, true),
            ("hayrick98", plain, false),
            ("hayrick99", digested, true),
            ("hayrick98", digested, false),
            ("hayrick99", "$2b$31$abcdefghijklmnopqrstuudfEg22RU4ovsLP2KcTmvOg7NNEkez.6", false),
            ("hayrick99", "$2b$04$half", false),
            ("hayrick99", "$2b$04$", false),
            ("hayrick99", "hayrick99", false),
            ("", "", false),
        ] {
            assert_eq!(makes(given, hash), right, "{given} {hash}");
        }
        assert!(is_known(plain) && is_known(digested) && !is_known("$1$hcspif$nCm4r3S14Me9ifsOPGuJT."));
    }

    #[test]
    fn a_hash_that_would_take_all_memory_or_all_time_is_nobodys() {
        let salt = SaltString::encode_b64(b"sixteen bytes...").unwrap();
        let hash = Argon2::default().hash_password(b"hay", &salt).unwrap().to_string();
        for (cheap, dear) in [("m=19456", "m=4294967295"), ("t=2", "t=4294967295"), ("p=1", "p=16777215")] {
            assert!(hash.contains(cheap), "{hash}");
            assert!(!is_right("hay", &hash.replacen(cheap, dear, 1)), "{dear}");
        }
    }
}
