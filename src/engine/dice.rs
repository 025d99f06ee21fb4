//! All the randomness there is in here, drawn from the one seed that the edge gave.

use ring::hmac;

/// Numbers that nobody without the seed can tell beforehand, and that a rerun gives again.
pub struct Dice {
    key: hmac::Key,
    drawn: u64,
}

impl Dice {
    pub fn new(seed: [u8; 32]) -> Dice {
        Dice { key: hmac::Key::new(hmac::HMAC_SHA256, &seed), drawn: 0 }
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let tag = hmac::sign(&self.key, &self.drawn.to_be_bytes());
        tag.as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }

    /// So many letters and digits that people cannot take for one another.
    pub fn code(&mut self, chars: usize) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
        let mut bytes = Vec::new();
        while bytes.len() < chars {
            bytes.extend(self.bytes());
        }
        bytes[..chars].iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }

    /// A number from 0 to `below`, exclusive.
    pub fn below(&mut self, below: u64) -> u64 {
        let bytes: [u8; 8] = self.bytes()[..8].try_into().expect("8 of 32 bytes");
        u64::from_be_bytes(bytes) % below.max(1)
    }
}
