//! Passwords as the simulation keeps them: at once, and the same each time, so that a run can be repeated.

use folkmoot::engine::{Credential, ScramKeys, Secret};

const START: &str = "$simulated$";

/// As a hash goes over links: one word.
pub fn hash(password: &Secret) -> String {
    let hex: String = password.0.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{START}{hex}")
}

/// Whether somebody could read a hash from this.
pub fn is_in(text: &str) -> bool {
    text.contains(START)
}

/// SCRAM is tried with real clients: nobody in a story can compute what it asks for.
pub fn credential(password: &Secret) -> Credential {
    let scram = ScramKeys { salt: vec![7; 16], iterations: 4_096, stored: [0; 32], server: [0; 32] };
    Credential { hash: hash(password), scram }
}
