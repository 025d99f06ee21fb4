//! Hashes for passwords, and codes that people can read aloud.

use std::num::NonZeroU32;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};

use ring::{digest, hmac, pbkdf2};

use super::identity::random;
use crate::engine::{Credential, SCRAM_ITERATIONS, ScramKeys};

/// No letter or digit that looks or sounds like another one.
const CODE_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// An argon2id hash in PHC form, as the settings take it.
pub fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&random::<16>()).expect("16 bytes are a salt");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("the default cost is within argon2's bounds").to_string()
}

/// What an account's password is checked against from now on.
pub fn credential(password: &str) -> Credential {
    let salt = random::<16>();
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(SCRAM_ITERATIONS).expect("more than none");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let bytes = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("SHA-256 gives 32 bytes");
    let scram = ScramKeys {
        salt: salt.to_vec(),
        iterations: SCRAM_ITERATIONS,
        stored: bytes(digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref()).as_ref()),
        server: bytes(hmac::sign(&key, b"Server Key").as_ref()),
    };
    Credential { hash: hash(password), scram }
}

/// The code that turns a newcomer into an administrator: itself, to be printed once, and its hash, to be kept.
pub fn make_admin_code() -> (String, String) {
    let code = code();
    let hash = hash(&code);
    (code, hash)
}

/// Three groups of four: 60 bits.
fn code() -> String {
    let letters = random::<12>().map(|byte| char::from(CODE_LETTERS[usize::from(byte) % CODE_LETTERS.len()]));
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHash, PasswordVerifier};

    use super::*;

    #[test]
    fn the_admin_code_fits_its_hash() {
        let (code, hash) = make_admin_code();
        assert_eq!(code.len(), 14);
        let hash = PasswordHash::new(&hash).unwrap();
        assert_eq!(hash.algorithm.as_str(), "argon2id");
        assert!(Argon2::default().verify_password(code.as_bytes(), &hash).is_ok());
        assert_ne!(make_admin_code().0, code);
    }
}
