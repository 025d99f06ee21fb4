//! Hashes for passwords, and codes that people can read aloud.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};

use super::identity::random;

/// No letter or digit that looks or sounds like another one.
const CODE_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// An argon2id hash in PHC form, as the settings take it.
pub fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&random::<16>()).expect("16 bytes are a salt");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("the default cost is within argon2's bounds").to_string()
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
