//! Hashes for passwords, and codes that people can read aloud.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};

use super::data::DataDirectory;
use super::identity::random;
use super::settings::ADMIN_CODE;

/// No letter or digit that looks or sounds like another one.
const CODE_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// An argon2id hash in PHC form, as the settings take it.
pub fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&random::<16>()).expect("16 bytes are a salt");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("the default cost is within argon2's bounds").to_string()
}

/// Makes the code that turns a newcomer into an administrator, once in a data directory's life: the code itself is
/// returned to be printed, and only its hash is kept. To have another one, remove the file.
pub fn make_admin_code(data: &DataDirectory) -> Result<Option<String>, String> {
    if data.read(ADMIN_CODE)?.is_some() {
        return Ok(None);
    }
    let code = code();
    data.write(ADMIN_CODE, &format!("{}\n", hash(&code)))?;
    Ok(Some(code))
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
    use crate::edge::data::tests::Scratch;

    #[test]
    fn the_admin_code_is_shown_once_and_kept_as_a_hash() {
        let scratch = Scratch::new("admin-code");
        let data = DataDirectory::open(&scratch.0).unwrap();
        let code = make_admin_code(&data).unwrap().expect("the first start makes one");
        assert_eq!(code.len(), 14);
        let kept = data.read(ADMIN_CODE).unwrap().unwrap();
        assert!(!kept.contains(&code));
        let kept = PasswordHash::new(kept.trim()).unwrap();
        assert_eq!(kept.algorithm.as_str(), "argon2id");
        assert!(Argon2::default().verify_password(code.as_bytes(), &kept).is_ok());
        assert_eq!(make_admin_code(&data).unwrap(), None);
    }
}
