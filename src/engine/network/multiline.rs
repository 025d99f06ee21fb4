//! Messages of several lines: how one text falls into those that its writer sent.

use super::talk::Message;
use crate::wire::message::cut;

/// No message has more lines, whoever writes it: each costs more than its text on the way to clients.
pub const LINES_MAX: usize = 512;

/// One line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub text: &'a str,
    /// It goes on where the line before it ended, without a line break.
    pub is_joined: bool,
}

impl Message {
    pub fn is_multiline(&self) -> bool {
        !self.joints.is_empty() || self.text.contains('\n')
    }

    /// The lines of it, as they were written.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        pieces(&self.text, &self.joints)
    }
}

/// The lines of a text: those between its line breaks, cut further at the joints.
fn pieces<'a>(text: &'a str, joints: &'a [usize]) -> impl Iterator<Item = Piece<'a>> {
    let mut joints = joints.iter().copied().peekable();
    let mut next = Some((0, false));
    std::iter::from_fn(move || {
        let (start, is_joined) = next?;
        let line_break = text[start..].find('\n').map(|place| start + place);
        let joint = joints.next_if(|joint| line_break.is_none_or(|line_break| *joint <= line_break));
        let end = joint.or(line_break).unwrap_or(text.len());
        next = match joint {
            Some(joint) => Some((joint, true)),
            None => line_break.map(|line_break| (line_break + 1, false)),
        };
        Some(Piece { text: &text[start..end], is_joined })
    })
}

/// A message while its lines come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    pub joints: Vec<usize>,
}

impl Text {
    /// Adds a line; the first one follows nothing.
    pub fn add(&mut self, line: &str, is_joined: bool, is_first: bool) {
        match (is_first, is_joined) {
            (true, _) => {}
            (false, true) => self.joints.push(self.text.len()),
            (false, false) => self.text.push('\n'),
        }
        self.text.push_str(line);
    }

    /// The same text in lines of at most so many bytes: what is too long goes on in another line, and nothing is lost.
    pub fn fitted(text: &str, joints: &[usize], bytes_max: usize) -> Text {
        let mut fitted = Text::default();
        for (place, piece) in pieces(text, joints).enumerate() {
            let mut rest = piece.text;
            let mut is_joined = piece.is_joined;
            let mut is_first = place == 0;
            loop {
                // Whatever the limit, a line takes a character.
                let least = rest.chars().next().map_or(0, char::len_utf8);
                let line = cut(rest, bytes_max.max(least));
                fitted.add(line, is_joined, is_first);
                rest = &rest[line.len()..];
                (is_joined, is_first) = (true, false);
                if rest.is_empty() {
                    break;
                }
            }
        }
        fitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&str, bool)]) -> Text {
        let mut text = Text::default();
        for (place, (line, is_joined)) in lines.iter().enumerate() {
            text.add(line, *is_joined, place == 0);
        }
        text
    }

    #[test]
    fn a_text_falls_into_the_lines_that_it_was_made_of() {
        for (lines, text) in [
            (&[("a", false)][..], "a"),
            (&[("a", false), ("b", false)], "a\nb"),
            (&[("a", false), ("b", true)], "ab"),
            (&[("a", false), ("", false), ("b", true)], "a\nb"),
            (&[("a", false), ("", false), ("b", false)], "a\n\nb"),
            (&[("", false), ("a", false), ("", false)], "\na\n"),
            (&[("a ", false), ("b", true), ("c", true), ("é", false), ("d", true)], "a bc\néd"),
        ] {
            let made = of(lines);
            assert_eq!(made.text, text);
            let back: Vec<_> =
                pieces(&made.text, &made.joints).map(|piece| (piece.text, piece.is_joined)).collect();
            assert_eq!(back, lines);
        }
    }

    #[test]
    fn what_is_too_long_for_a_line_goes_on_in_another() {
        let text = of(&[("abcde", false), ("fé", true), ("gh", false)]);
        let fitted = Text::fitted(&text.text, &text.joints, 2);
        assert_eq!(fitted.text, text.text);
        let lines: Vec<_> = pieces(&fitted.text, &fitted.joints).map(|piece| piece.text).collect();
        assert_eq!(lines, ["ab", "cd", "e", "f", "é", "gh"]);
        assert_eq!(Text::fitted("é🦀", &[], 0).joints, [2]);
    }
}
