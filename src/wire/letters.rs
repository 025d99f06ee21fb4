//! Sets of mode letters, small enough to copy.

use std::fmt;

/// A set of ASCII letters; it reads in alphabetical order, capitals first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letters(u64);

impl Letters {
    pub const NONE: Letters = Letters(0);

    pub fn has(self, letter: char) -> bool {
        bit(letter).is_some_and(|bit| self.0 & bit != 0)
    }

    #[must_use]
    pub fn with(self, letter: char) -> Letters {
        Letters(self.0 | bit(letter).unwrap_or(0))
    }

    #[must_use]
    pub fn without(self, letter: char) -> Letters {
        Letters(self.0 & !bit(letter).unwrap_or(0))
    }

    #[must_use]
    pub fn set(self, letter: char, on: bool) -> Letters {
        if on { self.with(letter) } else { self.without(letter) }
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = char> {
        ('A'..='Z').chain('a'..='z').filter(move |letter| self.has(*letter))
    }

    /// Reads letters; `None` if anything else stands among them.
    pub fn parse(text: &str) -> Option<Letters> {
        text.chars().try_fold(Letters::NONE, |set, c| bit(c).map(|bit| Letters(set.0 | bit)))
    }
}

fn bit(letter: char) -> Option<u64> {
    match letter {
        'A'..='Z' => Some(1 << (letter as u32 - 'A' as u32)),
        'a'..='z' => Some(1 << (letter as u32 - 'a' as u32 + 26)),
        _ => None,
    }
}

impl FromIterator<char> for Letters {
    fn from_iter<I: IntoIterator<Item = char>>(letters: I) -> Letters {
        letters.into_iter().fold(Letters::NONE, Letters::with)
    }
}

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{self}")
    }
}
