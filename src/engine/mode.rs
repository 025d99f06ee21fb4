//! Channel and user modes, one row each, and what each bars.

use crate::wire::letters::Letters;

/// What a member can be, the highest first: the letter of the mode and the sign before a nick.
pub const STATUSES: &[(char, char)] = &[('q', '~'), ('a', '&'), ('o', '@'), ('h', '%'), ('v', '+')];

/// The sign of a member's highest status; nothing for a plain member.
pub fn prefix(status: Letters) -> Option<char> {
    STATUSES.iter().find(|(letter, _)| status.has(*letter)).map(|(_, sign)| *sign)
}

/// The signs of all that a member is, the highest first.
pub fn prefixes(status: Letters) -> String {
    STATUSES.iter().filter(|(letter, _)| status.has(*letter)).map(|(_, sign)| *sign).collect()
}

/// The status whose sign this is.
pub fn status_of_sign(sign: char) -> Option<char> {
    STATUSES.iter().find(|(_, other)| *other == sign).map(|(letter, _)| *letter)
}

/// How high a status is: 0 for a plain member.
pub fn rank(status: Letters) -> usize {
    let highest = STATUSES.iter().position(|(letter, _)| status.has(*letter));
    highest.map_or(0, |place| STATUSES.len() - place)
}

/// Whether somebody is at least what one letter says.
pub fn is_at_least(status: Letters, letter: char) -> bool {
    rank(status) >= rank(Letters::NONE.with(letter))
}

/// Letters with their values as the parameters of MODE lines: at most so many letters and bytes each.
pub fn lines(
    words: impl Iterator<Item = (bool, char, String)>,
    letters_max: usize,
    bytes_max: usize,
) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut letters, mut values, mut count, mut sign) = (String::new(), String::new(), 0, None);
    for (on, letter, value) in words {
        let bytes = letters.len() + values.len() + value.len() + 3;
        if count == letters_max.max(1) || (count > 0 && bytes > bytes_max) {
            lines.push(std::mem::take(&mut letters) + &std::mem::take(&mut values));
            (count, sign) = (0, None);
        }
        if sign != Some(on) {
            letters.push(if on { '+' } else { '-' });
            sign = Some(on);
        }
        letters.push(letter);
        if !value.is_empty() {
            values.push(' ');
            values.push_str(&value);
        }
        count += 1;
    }
    if count > 0 {
        lines.push(letters + &values);
    }
    lines
}
