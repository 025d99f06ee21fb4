//! What the lock of a registered channel makes of its modes, on every server alike. Which modes can be locked, and at
//! what, is judged where somebody says so (`mode/lock.rs`).

use std::collections::BTreeMap;

use super::channel::Setting;
use super::registration::Registration;

/// Keys are secrets, which a lock would show; who sets the other two needs more than a channel's founder has.
pub const NEVER_LOCKED: &str = "kOL";

/// Those of the modes that can be locked that have a value.
pub const LOCKED_WITH_VALUE: &str = "Wfl";

/// What each locked mode is set to, or that it is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked(BTreeMap<char, Option<Setting>>);

impl Locked {
    pub fn of(registration: &Registration) -> Locked {
        registration.lock.as_deref().map(Locked::read).unwrap_or_default()
    }

    /// As it is written: `+lm-s 10`.
    pub fn read(text: &str) -> Locked {
        let mut words = text.split_ascii_whitespace();
        let (mut locked, mut on) = (Locked::default(), true);
        for letter in words.next().unwrap_or_default().chars() {
            let setting = match letter {
                '+' | '-' => {
                    on = letter == '+';
                    continue;
                }
                _ if NEVER_LOCKED.contains(letter) => continue,
                _ if !on => None,
                _ if LOCKED_WITH_VALUE.contains(letter) => match words.next() {
                    Some(value) => Some(Setting::Value(value.to_string())),
                    None => continue,
                },
                _ => Some(Setting::On),
            };
            locked.0.insert(letter, setting);
        }
        locked
    }

    /// What a mode is locked at, or `None` where it is free.
    pub fn get(&self, letter: char) -> Option<Option<&Setting>> {
        self.0.get(&letter).map(Option::as_ref)
    }

    pub fn letters(&self) -> impl Iterator<Item = char> {
        self.0.keys().copied()
    }
}
