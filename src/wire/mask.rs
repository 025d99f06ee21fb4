//! Patterns for people, `nick!user@host` with `*` and `?`, as bans and lists hold them.

use std::fmt;
use std::sync::Arc;

use super::fold::{Folded, fold};

/// A whole `nick!user@host` pattern, with no space in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mask(Arc<str>);

impl Mask {
    /// Completes what people write for short: `bob`, `~bob@*.lan`, `*.lan` (no nick has a dot or a colon), or
    /// the whole. `None` where nothing is left to go by, lest a slip of the finger bans everyone.
    pub fn complete(text: &str) -> Option<Mask> {
        let text: String =
            text.trim_start_matches(':').chars().filter(|c| *c != ' ' && !c.is_control()).collect();
        if text.is_empty() {
            return None;
        }
        let (nick, user, host) = match (text.split_once('!'), text.split_once('@')) {
            (Some((nick, rest)), _) => {
                let (user, host) = rest.split_once('@').unwrap_or((rest, ""));
                (nick, user, host)
            }
            (None, Some((user, host))) => ("", user, host),
            (None, None) if text.contains(['.', ':']) => ("", "", &text[..]),
            (None, None) => (&text[..], "", ""),
        };
        Some(Mask(format!("{}!{}@{}", tidy(nick), tidy(user), tidy(host)).into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Two masks are the same mask if these are equal.
    pub fn folded(&self) -> Folded {
        fold(&self.0)
    }

    /// Whether someone, as `nick!user@host`, is meant.
    pub fn matches(&self, text: &str) -> bool {
        glob_matches(&self.0, text)
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One part of a mask: nothing stands for anything, and many stars are one.
fn tidy(part: &str) -> String {
    let mut tidy = String::with_capacity(part.len().max(1));
    for c in part.chars() {
        if c != '*' || !tidy.ends_with('*') {
            tidy.push(c);
        }
    }
    if tidy.is_empty() { "*".into() } else { tidy }
}

/// Whether the whole text fits: `*` is any run of characters, `?` any single one, ASCII letters match in either case.
///
/// Only the last star is ever tried anew, since whatever an earlier one could take, it can take too. So no pattern
/// costs more than its length times the text's.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut last_star = None;
    loop {
        let mut pattern_ahead = pattern.clone();
        let mut text_ahead = text.clone();
        match (pattern_ahead.next(), text_ahead.next()) {
            (Some('*'), _) => {
                last_star = Some((pattern_ahead.clone(), text.clone()));
                pattern = pattern_ahead;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted.eq_ignore_ascii_case(&found) => {
                (pattern, text) = (pattern_ahead, text_ahead);
            }
            (None, None) => return true,
            // The text is used up: letting a star take more of it cannot help.
            (Some(_), None) => return false,
            (_, Some(_)) => {
                let Some((after_star, tried_from)) = &mut last_star else { return false };
                tried_from.next();
                (pattern, text) = (after_star.clone(), tried_from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_short_is_completed() {
        for (text, mask) in [
            ("bob", "bob!*@*"),
            ("~bob@*.lan", "*!~bob@*.lan"),
            ("bob!~b@host", "bob!~b@host"),
            ("bob!~b", "bob!~b@*"),
            ("@host", "*!*@host"),
            ("bob!", "bob!*@*"),
            ("10.0.0.*", "*!*@10.0.0.*"),
            ("fe80::1", "*!*@fe80::1"),
            ("***", "*!*@*"),
            ("a**b!**@c***", "a*b!*@c*"),
            (":b o\r\nb", "bob!*@*"),
        ] {
            assert_eq!(Mask::complete(text).unwrap().as_str(), mask, "{text}");
        }
        for text in ["", ":", " ", "\u{1}"] {
            assert_eq!(Mask::complete(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_mask_means_people_whatever_their_case() {
        let mask = Mask::complete("Bob*@*.LAN").unwrap();
        assert!(mask.matches("alice!bobby@barn.lan"));
        assert!(!mask.matches("alice!bobby@barn.lan.org"));
        assert_eq!(mask.folded(), Mask::complete("bob*@*.lan").unwrap().folded());
    }

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*é?", "aéé🦀", true),
            ("a*b", "ab", true),
            ("a*b", "axxbxb", true),
            ("a*b", "axxbx", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a?c*", "aabcabd", true),
            ("*aab", "aaaab", true),
            ("a**?*b", "ab", false),
            ("[a]", "{a}", false),
        ] {
            assert_eq!(glob_matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn no_pattern_takes_forever() {
        assert!(!glob_matches(&"a*".repeat(200), &"a".repeat(199)));
        assert!(!glob_matches(&("*a".repeat(200) + "b"), &"a".repeat(5000)));
    }
}
