//! A mode lock: what of a registered channel stays as its founder has said, whoever runs it.

use std::collections::BTreeMap;
use std::fmt;

use super::channel::{Kind, channel_mode};
use crate::engine::network::{Channel, Locked, NEVER_LOCKED, Registration, Setting};
use crate::wire::letters::Letters;
use crate::wire::numeric::Words;

/// Written as the parameters of MODE: `+ntl-s 10`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    set: BTreeMap<char, Setting>,
    unset: Letters,
}

impl Lock {
    pub fn parse(text: &str) -> Result<Lock, String> {
        let mut words = text.split_ascii_whitespace();
        let letters = words.next().unwrap_or_default();
        let (mut lock, mut on) = (Lock::default(), true);
        for letter in letters.chars() {
            let mode = channel_mode(letter).filter(|_| !NEVER_LOCKED.contains(letter));
            let setting = match (letter, mode.map(|mode| (mode.kind, mode.value))) {
                ('+' | '-', _) => {
                    on = letter == '+';
                    continue;
                }
                (_, None | Some((Kind::List | Kind::Key, _))) => {
                    return Err(format!("The mode {letter} cannot be locked."));
                }
                (_, Some((Kind::Limit, value))) if on => {
                    let word = words.next().ok_or_else(|| format!("The mode {letter} needs a value."))?;
                    Setting::Value(value(word).map_err(|why| format!("{letter} {word}: {why}."))?)
                }
                (_, Some(_)) => Setting::On,
            };
            lock.set.remove(&letter);
            lock.unset = lock.unset.set(letter, !on);
            if on {
                lock.set.insert(letter, setting);
            }
        }
        Ok(lock)
    }

    /// That of a channel, as every server reads it.
    pub fn of(registration: &Registration) -> Lock {
        let locked = Locked::of(registration);
        let mut lock = Lock::default();
        for (letter, setting) in locked.letters().filter_map(|letter| Some((letter, locked.get(letter)?))) {
            match setting {
                Some(setting) => drop(lock.set.insert(letter, setting.clone())),
                None => lock.unset = lock.unset.with(letter),
            }
        }
        lock
    }

    /// Without the values.
    pub fn letters(&self) -> Words {
        Words::from(self.to_string().split(' ').next().unwrap_or_default())
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }

    /// Whether a mode may be set to this, or unset.
    pub fn permits(&self, letter: char, value: Option<&Setting>) -> bool {
        match self.set.get(&letter) {
            Some(locked) => value == Some(locked),
            None => value.is_none() || !self.unset.has(letter),
        }
    }

    /// Which modes are locked.
    pub fn locked(&self) -> impl Iterator<Item = char> {
        self.set.keys().copied().chain(self.unset.iter())
    }

    pub fn is_locked(&self, letter: char) -> bool {
        self.set.contains_key(&letter) || self.unset.has(letter)
    }

    /// What is to be set on a channel, or unset, so that it is as the lock has it.
    pub fn to_be_set(&self, channel: &Channel) -> Vec<(char, Option<Setting>)> {
        let set = self.set.iter().map(|(letter, value)| (*letter, Some(value.clone())));
        let unset = self.unset.iter().map(|letter| (letter, None));
        set.chain(unset).filter(|(letter, value)| channel.setting(*letter) != *value).collect()
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.set.is_empty() {
            write!(f, "+{}", self.set.keys().collect::<String>())?;
        }
        if !self.unset.is_empty() {
            write!(f, "-{}", self.unset)?;
        }
        self.set.values().try_for_each(|value| match value {
            Setting::Value(value) => write!(f, " {value}"),
            _ => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_written_as_it_is_read() {
        for (text, written) in
            [("+nt-s", "+nt-s"), ("nt", "+nt"), ("-i+lt-n 10", "+lt-in 10"), ("+s-s+s", "+s"), ("", "")]
        {
            let lock = Lock::parse(text).expect(text);
            assert_eq!(lock.to_string(), written);
            assert_eq!(Lock::parse(written), Ok(lock), "{text}");
        }
    }

    #[test]
    fn every_server_makes_the_same_of_a_lock_as_those_who_wrote_it() {
        use crate::engine::mode::CHANNEL_MODES;
        use crate::engine::network::{LOCKED_WITH_VALUE, Locked};
        let values = ["10", "5:10"];
        for row in CHANNEL_MODES {
            let letter = row.letter;
            let texts = values.iter().map(|value| format!("+{letter} {value}"));
            for text in texts.chain([format!("+{letter}"), format!("-{letter}")]) {
                let Ok(lock) = Lock::parse(&text) else { continue };
                let locked = Locked::read(&lock.to_string());
                assert_eq!(locked.get(letter), Some(lock.set.get(&letter)), "{text}");
                assert!(lock.is_locked(letter) && locked.letters().eq([letter]), "{text}");
            }
            let has_value = Lock::parse(&format!("-{letter}")).is_ok() && row.kind == Kind::Limit;
            assert_eq!(LOCKED_WITH_VALUE.contains(letter), has_value, "{letter}");
        }
        assert_eq!(Locked::read("+kOL x").letters().count(), 0);
        assert_eq!(Locked::read("+lm 10").get('l'), Some(Some(&Setting::Value("10".to_string()))));
        assert_eq!(Locked::read("+l").get('l'), None);
    }

    #[test]
    fn what_cannot_be_locked_is_refused() {
        for text in ["+b", "+k sesame", "+O", "+L #red", "+l", "+l x", "+o", "+?"] {
            assert!(Lock::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_lock_keeps_modes_as_they_are_and_leaves_all_others_free() {
        let lock = Lock::parse("+nl-s 10").expect("a lock");
        let ten = Setting::Value("10".to_string());
        let eleven = Setting::Value("11".to_string());
        assert!(lock.permits('n', Some(&Setting::On)) && !lock.permits('n', None));
        assert!(
            lock.permits('l', Some(&ten)) && !lock.permits('l', Some(&eleven)) && !lock.permits('l', None)
        );
        assert!(lock.permits('s', None) && !lock.permits('s', Some(&Setting::On)));
        assert!(lock.permits('m', Some(&Setting::On)) && lock.permits('m', None));
    }
}
