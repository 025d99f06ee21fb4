//! What modes bar from saying, and from setting the topic.

use super::channel::{Attempt, Case};
use super::is_at_least;
use crate::engine::network::Verb;
use crate::wire::numeric::{self, Numeric};

/// What bars somebody for who they are, whatever they say: operators may hear it all the same, see mode U.
pub fn is_moderation(letter: char) -> bool {
    matches!(letter, 'b' | 'm' | 'M')
}

pub fn bars_voiceless(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Speak { user, .. } if case.is_plain(user) => {
            Some(numeric::cannot_send_to_channel(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_strangers(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Speak { user, .. } if case.is_plain(user) && user.account.is_none() => {
            Some(numeric::account_needed_to_speak(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_outsiders(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Speak { user, .. } if !case.channel.has(user.id) => {
            Some(numeric::cannot_send_to_channel(&case.channel.name))
        }
        _ => None,
    }
}

/// What is no ACTION: whoever describes what they do speaks as everyone else.
pub fn bars_ctcp(case: &Case) -> Option<Numeric> {
    let is_ctcp = |text: &str| text.starts_with('\x01') && !text.starts_with("\x01ACTION");
    match case.attempt {
        Attempt::Speak { text, .. } if is_ctcp(text) => {
            Some(numeric::cannot_send_because(&case.channel.name, "no CTCP here, +C"))
        }
        _ => None,
    }
}

/// They get no error: NOTICE never has one.
pub fn bars_notices(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Speak { verb: Verb::Notice, .. } => {
            Some(numeric::cannot_send_because(&case.channel.name, "no NOTICE here, +T"))
        }
        _ => None,
    }
}

pub fn bars_colours(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Speak { text, .. } if without_colours(text).len() != text.len() => {
            Some(numeric::cannot_send_because(&case.channel.name, "no colours here, +c"))
        }
        _ => None,
    }
}

pub fn bars_topic(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::SetTopic { user } if !is_at_least(case.channel.status(user.id), 'h') => {
            Some(numeric::channel_operator_needed(&case.channel.name))
        }
        _ => None,
    }
}

const COLOUR: char = '\x03';
const HEX_COLOUR: char = '\x04';
/// Bold, reset, monospace, reverse, italic, strikethrough and underline.
const FORMATS: &[char] = &['\x02', '\x0f', '\x11', '\x16', '\x1d', '\x1e', '\x1f'];

/// A text without colours and other formatting.
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            COLOUR => rest = after_colours(rest, |c| c.is_ascii_digit(), 1, 2),
            HEX_COLOUR => rest = after_colours(rest, |c| c.is_ascii_hexdigit(), 6, 6),
            c if FORMATS.contains(&c) => {}
            c => plain.push(c),
        }
    }
    plain
}

/// What stands behind one or two colours; a comma without a second one belongs to the text.
fn after_colours(text: &str, is_digit: fn(char) -> bool, least: usize, most: usize) -> &str {
    let after_one = |text: &str| {
        let digits = text.chars().take(most).take_while(|c| is_digit(*c)).count();
        (digits >= least).then_some(digits)
    };
    let Some(first) = after_one(text) else { return text };
    let rest = &text[first..];
    match rest.strip_prefix(',').and_then(after_one) {
        Some(second) => &rest[1 + second..],
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_is_taken_out_and_text_is_left() {
        for (text, plain) in [
            ("plain", "plain"),
            ("\x02b\x02 \x1di\x0f \x1fu \x16r \x11m \x1es", "b i u r m s"),
            ("\x034red\x03", "red"),
            ("\x0304,12both 5", "both 5"),
            ("\x03,5 comma", ",5 comma"),
            ("\x034, comma", ", comma"),
            ("\x03123", "3"),
            ("\x04ff00AA,112233hex", "hex"),
            ("\x04ff00é", "ff00é"),
            ("\x01ACTION \x02waves\x01", "\x01ACTION waves\x01"),
        ] {
            assert_eq!(without_colours(text), plain, "{text:?}");
        }
    }
}
