//! FAIL, WARN and NOTE: replies with a reason that programs can read, as standard-replies has them.

use std::fmt;

use super::message::Draft;
use super::names::Word;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was not done.
    Fail,
    /// It was done, but.
    Warn,
    /// Just so that you know.
    Note,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Fail => "FAIL",
            Kind::Warn => "WARN",
            Kind::Note => "NOTE",
        })
    }
}

/// One standard reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standard {
    pub kind: Kind,
    /// The command that led to it; `*` for none.
    pub command: &'static str,
    /// One of the registry's codes, wherever that has a fitting one.
    pub code: &'static str,
    pub context: Vec<Word>,
    pub text: String,
}

impl Standard {
    pub fn fail(command: &'static str, code: &'static str, text: impl Into<String>) -> Standard {
        Standard::new(Kind::Fail, command, code, text.into())
    }

    pub fn warn(command: &'static str, code: &'static str, text: impl Into<String>) -> Standard {
        Standard::new(Kind::Warn, command, code, text.into())
    }

    pub fn note(command: &'static str, code: &'static str, text: impl Into<String>) -> Standard {
        Standard::new(Kind::Note, command, code, text.into())
    }

    fn new(kind: Kind, command: &'static str, code: &'static str, text: String) -> Standard {
        Standard { kind, command, code, context: Vec::new(), text }
    }

    /// What exactly it is about; the first said comes first.
    pub fn about(mut self, word: impl Into<Word>) -> Standard {
        self.context.push(word.into());
        self
    }

    /// For clients that have not asked for standard replies: the words only, and what was given that led to them where
    /// something is wrong with it.
    pub fn as_notice(&self) -> String {
        match (self.kind, self.command) {
            (Kind::Note, _) | (_, "*") => self.text.clone(),
            (_, command) => format!("{command}: {}", self.text),
        }
    }

    pub fn line(&self, server: &str) -> String {
        let draft = Draft::new(&self.kind.to_string()).source(server).param(self.command).param(self.code);
        self.context.iter().fold(draft, Draft::param).trailing(&self.text).line()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_reply_says_what_failed_where_and_why() {
        let fail = Standard::fail("REDACT", "UNKNOWN_MSGID", "No such message")
            .about(Word::echo("#green"))
            .about(Word::echo("7FA.2.M1"));
        assert_eq!(
            fail.line("hall.lan"),
            ":hall.lan FAIL REDACT UNKNOWN_MSGID #green 7FA.2.M1 :No such message"
        );
        assert_eq!(Standard::note("*", "HELLO", "Hi").line("hall.lan"), ":hall.lan NOTE * HELLO :Hi");
        assert_eq!(Standard::warn("X", "Y", "a\r\nb").line("s"), ":s WARN X Y :ab");
    }
}
