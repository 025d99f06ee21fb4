//! `[talk]`: what people may say, and for how long they may take it back.

use std::time::Duration;

use super::fit::Fit;
use super::section::Section;

/// `[talk]`
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// How long one message of several lines may be altogether, and how many lines it may have.
    pub multiline_bytes: usize,
    pub multiline_lines: usize,
    /// For how long people may take back what they said.
    pub redact_within: Duration,
    /// Tags of clients that go no further than to this server, without their `+`; `*` are all, and `-name` goes through
    /// for all that.
    pub client_tags_denied: Vec<String>,
}

impl Default for Talk {
    fn default() -> Talk {
        Talk {
            multiline_bytes: 4_096,
            multiline_lines: 100,
            redact_within: Duration::from_secs(24 * 3600),
            client_tags_denied: Vec::new(),
        }
    }
}

impl Talk {
    /// Whether a tag of a client's, with its `+`, goes through to others.
    pub fn takes_tag(&self, key: &str) -> bool {
        let name = key.strip_prefix('+').unwrap_or(key);
        let is_listed = |wanted: &str| self.client_tags_denied.iter().any(|listed| listed == wanted);
        !(is_listed(name) || is_listed("*") && !is_listed(&format!("-{name}")))
    }
}

impl Section<'_, '_, '_> {
    pub(super) fn talk(&mut self) {
        let mut talk = std::mem::take(&mut self.reader.reading.config.talk);
        // As much as one line between two servers has room for, with all its tags.
        self.number("multiline_bytes", &mut talk.multiline_bytes, 512, 5_000);
        self.number("multiline_lines", &mut talk.multiline_lines, 2, 200);
        self.duration("redact_within", &mut talk.redact_within);
        self.list("client_tags_denied", &mut talk.client_tags_denied, client_tag);
        self.reader.reading.config.talk = talk;
    }
}

/// The name of a client's tag as CLIENTTAGDENY has it.
fn client_tag(text: &str) -> Fit<()> {
    let name = text.strip_prefix('-').unwrap_or(text);
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "-./".contains(c);
    match name {
        _ if text == "*" => Ok(()),
        _ if name.starts_with('+') => {
            Err(format!("write it without its +: \"{}\"", text.replacen('+', "", 1)))
        }
        "" => Err("expected the name of a tag, such as \"typing\"".to_string()),
        _ if name.chars().all(is_fit) => Ok(()),
        _ => Err(format!("\"{text}\" cannot be the name of a tag")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_denied_by_name_or_all_but_some() {
        for (denied, tag, goes_through) in [
            (&[][..], "+typing", true),
            (&["typing"], "+typing", false),
            (&["typing"], "+draft/react", true),
            (&["*"], "+draft/react", false),
            (&["*", "-draft/react"], "+draft/react", true),
            (&["*", "-draft/react"], "+typing", false),
            (&["-typing"], "+typing", true),
        ] {
            let denied = denied.iter().map(|tag| tag.to_string()).collect();
            let talk = Talk { client_tags_denied: denied, ..Talk::default() };
            assert_eq!(talk.takes_tag(tag), goes_through, "{tag} of {talk:?}");
        }
    }

    #[test]
    fn only_what_can_be_the_name_of_a_tag_is_taken() {
        for (text, is_fit) in [
            ("*", true),
            ("typing", true),
            ("-draft/react", true),
            ("example.com/x", true),
            ("+typing", false),
            ("-+typing", false),
            ("", false),
            ("-", false),
            ("a,b", false),
            ("a b", false),
        ] {
            assert_eq!(client_tag(text).is_ok(), is_fit, "{text}");
        }
    }
}
