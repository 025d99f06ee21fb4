//! The network's secret, and those that it had before.

use super::effect::Secret;

/// Servers that missed more changes than this need a new invitation.
const FORMER_MAX: usize = 8;

/// The secret in force, and those before it that are still taken from servers that were away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub current: Secret,
    /// When it was made; 0 for the one that the network began with. Of two the later counts.
    pub made_ms: u64,
    /// The latest first.
    pub former: Vec<Former>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    pub secret: Secret,
    /// From then on nobody gets in with it.
    pub until_ms: u64,
}

impl Secrets {
    /// As a network begins.
    pub fn first(current: Secret) -> Secrets {
        Secrets { current, made_ms: 0, former: Vec::new() }
    }

    /// Every secret that proves its holder a member, the current one first.
    pub fn accepted(&self, now_ms: u64) -> impl Iterator<Item = &Secret> {
        let former = self.former.iter().filter(move |former| now_ms < former.until_ms);
        std::iter::once(&self.current).chain(former.map(|former| &former.secret))
    }

    /// Takes another one in place of the current one, which is good until then; `false` where what is known is as late.
    /// Two that were made in the same moment have an order too, the same everywhere.
    pub fn replace(&mut self, secret: Secret, made_ms: u64, until_ms: u64) -> bool {
        if (made_ms, &secret.0) <= (self.made_ms, &self.current.0) {
            return false;
        }
        self.made_ms = made_ms;
        if secret != self.current {
            let replaced = std::mem::replace(&mut self.current, secret);
            self.former.retain(|former| former.secret != self.current);
            self.former.insert(0, Former { secret: replaced, until_ms });
            self.former.truncate(FORMER_MAX);
        }
        true
    }

    /// Forgets those whose time is over; whether there were any.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let before = self.former.len();
        self.former.retain(|former| now_ms < former.until_ms);
        self.former.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.to_string())
    }

    fn accepted(secrets: &Secrets, now_ms: u64) -> Vec<&str> {
        secrets.accepted(now_ms).map(|secret| secret.0.as_str()).collect()
    }

    #[test]
    fn the_later_of_two_counts_in_whatever_order_they_come() {
        let made = [("one", 5), ("two", 7), ("three", 7), ("four", 6)];
        let mut ends = Vec::new();
        for first in 0..made.len() {
            let mut secrets = Secrets::first(secret("zero"));
            for place in 0..made.len() {
                let (text, made_ms) = made[(first + place) % made.len()];
                secrets.replace(secret(text), made_ms, 100);
            }
            ends.push((secrets.current.0, secrets.made_ms));
        }
        assert_eq!(ends, vec![("two".to_string(), 7); made.len()]);
    }

    #[test]
    fn a_former_secret_is_good_for_its_time() {
        let mut secrets = Secrets::first(secret("zero"));
        assert!(secrets.replace(secret("one"), 5, 100));
        assert!(secrets.replace(secret("two"), 6, 200));
        assert!(!secrets.replace(secret("one"), 5, 300), "it was replaced");
        assert_eq!(accepted(&secrets, 99), ["two", "one", "zero"]);
        assert_eq!(accepted(&secrets, 100), ["two", "one"]);
        assert_eq!(accepted(&secrets, 200), ["two"]);
        assert!(secrets.expire(100) && !secrets.expire(100));
        assert_eq!(secrets.former.len(), 1);
    }

    #[test]
    fn the_same_secret_under_a_later_time_replaces_nothing() {
        let mut secrets = Secrets::first(secret("zero"));
        assert!(secrets.replace(secret("zero"), 5, 100));
        assert_eq!(accepted(&secrets, 0), ["zero"]);
        assert!(!secrets.replace(secret("early"), 4, 100));
    }

    #[test]
    fn no_more_are_remembered_than_anybody_needs() {
        let mut secrets = Secrets::first(secret("0"));
        for number in 1..=20 {
            secrets.replace(secret(&number.to_string()), number, 100);
        }
        assert_eq!(secrets.former.len(), FORMER_MAX);
        assert_eq!(secrets.former[0].secret, secret("19"));
    }
}
