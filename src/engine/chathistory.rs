//! What clients ask of the past: CHATHISTORY's subcommands, and how they name a moment.

use super::merge::Dot;
use crate::wire::names::Word;
use crate::wire::standard::Standard;
use crate::wire::time::Timestamp;

/// One CHATHISTORY command, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Page(Page),
    /// Where something was said between these times, counted from the first.
    Targets {
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    },
}

/// Some of what was said in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The subcommand, as faults name it.
    pub subcommand: &'static str,
    pub target: String,
    pub part: Part,
    pub limit: usize,
}

/// Which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The newest, though nothing up to this.
    Latest(Option<Selector>),
    Before(Selector),
    After(Selector),
    Around(Selector),
    /// Counted from the first; the second may lie before it.
    Between(Selector, Selector),
}

impl Part {
    /// The moments that were named, in the order in which they were.
    pub fn selectors(&self) -> Vec<Selector> {
        match self {
            Part::Latest(None) => Vec::new(),
            Part::Latest(Some(one)) | Part::Before(one) | Part::After(one) | Part::Around(one) => vec![*one],
            Part::Between(first, second) => vec![*first, *second],
        }
    }
}

/// How clients name a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    Time(Timestamp),
    Message(Dot),
}

const COMMAND: &str = "CHATHISTORY";

/// How ways of naming a moment are listed in 005, the best first: a time means the same on every server at once, a
/// message only where it has come.
pub const SELECTORS: &str = "timestamp,msgid";

/// Reads a command's parameters; nobody gets more than `most` at once.
pub fn read(params: &[&str], most: usize) -> Result<Request, Standard> {
    let Some((name, rest)) = params.split_first() else {
        return Err(Standard::fail(COMMAND, "INVALID_PARAMS", "Which part of the past is meant?"));
    };
    let count = match name.to_ascii_uppercase().as_str() {
        "LATEST" | "BEFORE" | "AFTER" | "AROUND" | "TARGETS" => 3,
        "BETWEEN" => 4,
        _ => return Err(invalid(name, "There is no such subcommand")),
    };
    if rest.len() < count {
        return Err(invalid(name, "There are parameters missing"));
    }
    if rest.len() > count {
        return Err(invalid(name, "There are too many parameters"));
    }
    let limit = rest[count - 1].parse::<usize>().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| invalid(name, "The limit is a number, of at least 1"))?.min(most);
    let target = rest[0];
    let selector = |place: usize| selector(name, target, rest[place]);
    let (subcommand, part) = match name.to_ascii_uppercase().as_str() {
        "TARGETS" => {
            let time = |place: usize| match self::selector(name, "*", rest[place])? {
                Selector::Time(time) => Ok(time),
                Selector::Message(_) => Err(invalid(name, "Here only times will do")),
            };
            return Ok(Request::Targets { from: time(0)?, to: time(1)?, limit });
        }
        "LATEST" if rest[1] == "*" => ("LATEST", Part::Latest(None)),
        "LATEST" => ("LATEST", Part::Latest(Some(selector(1)?))),
        "BEFORE" => ("BEFORE", Part::Before(selector(1)?)),
        "AFTER" => ("AFTER", Part::After(selector(1)?)),
        "AROUND" => ("AROUND", Part::Around(selector(1)?)),
        _ => ("BETWEEN", Part::Between(selector(1)?, selector(2)?)),
    };
    Ok(Request::Page(Page { subcommand, target: target.to_string(), part, limit }))
}

fn invalid(subcommand: &str, why: &str) -> Standard {
    Standard::fail(COMMAND, "INVALID_PARAMS", why).about(Word::echo(subcommand))
}

fn selector(subcommand: &str, target: &str, text: &str) -> Result<Selector, Standard> {
    match text.split_once('=') {
        Some(("timestamp", time)) => Timestamp::parse(time).map(Selector::Time).ok_or_else(|| {
            invalid(subcommand, "That is no time, such as 2026-11-21T06:56:05.123Z").about(Word::echo(text))
        }),
        Some(("msgid", msgid)) => {
            Dot::parse(msgid).map(Selector::Message).ok_or_else(|| unknown(subcommand, target, msgid))
        }
        Some((_, _)) => {
            let why = "A moment is named by timestamp= or msgid=";
            let fail = Standard::fail(COMMAND, "INVALID_MSGREFTYPE", why);
            Err(fail.about(Word::echo(subcommand)).about(Word::echo(target)))
        }
        None => Err(invalid(subcommand, "A moment is named by timestamp= or msgid=").about(Word::echo(text))),
    }
}

/// Why nothing can be found by a message's id.
pub fn unknown(subcommand: &str, target: &str, msgid: &str) -> Standard {
    let fail = Standard::fail(COMMAND, "MESSAGE_ERROR", "There is no such message there, or not any more");
    fail.about(Word::echo(subcommand)).about(Word::echo(target)).about(Word::echo(msgid))
}

/// Why nothing was said to the speaker in a place; whether there is such a place they do not learn.
pub fn no_such_target(subcommand: &str, target: &str) -> Standard {
    let fail = Standard::fail(COMMAND, "INVALID_TARGET", "There is nothing there that you could read");
    fail.about(Word::echo(subcommand)).about(Word::echo(target))
}

/// Why nothing is shown where the settings are that nothing is kept.
pub fn not_kept(subcommand: &str, target: &str) -> Standard {
    let fail = Standard::fail(COMMAND, "MESSAGE_ERROR", "This server keeps nothing of what is said");
    fail.about(Word::echo(subcommand)).about(Word::echo(target))
}

/// Why nothing could be found though it may be there.
pub fn failed(subcommand: &str, target: &str) -> Standard {
    let fail = Standard::fail(COMMAND, "MESSAGE_ERROR", "What was said could not be looked up");
    fail.about(Word::echo(subcommand)).about(Word::echo(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "timestamp=1970-01-01T00:00:01.000Z";

    fn parsed(line: &str) -> Result<Request, String> {
        let params: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        read(&params, 100).map_err(|fail| fail.line("s"))
    }

    /// Proves: CHATHISTORY
    #[test]
    fn each_subcommand_names_its_moments() {
        let time = Selector::Time(Timestamp(1000));
        let message = Selector::Message(Dot::parse("7FA.2.M1").unwrap());
        for (line, subcommand, part, limit) in [
            ("LATEST #a * 50", "LATEST", Part::Latest(None), 50),
            (&format!("latest #a {TIME} 500"), "LATEST", Part::Latest(Some(time)), 100),
            ("BEFORE #a msgid=7FA.2.M1 1", "BEFORE", Part::Before(message), 1),
            (&format!("After #a {TIME} 7"), "AFTER", Part::After(time), 7),
            ("AROUND #a msgid=7FA.2.M1 3", "AROUND", Part::Around(message), 3),
            (&format!("BETWEEN #a {TIME} msgid=7FA.2.M1 9"), "BETWEEN", Part::Between(time, message), 9),
        ] {
            let page = Page { subcommand, target: "#a".to_string(), part, limit };
            assert_eq!(parsed(line), Ok(Request::Page(page)), "{line}");
        }
        let targets = Request::Targets { from: Timestamp(1000), to: Timestamp(1000), limit: 5 };
        assert_eq!(parsed(&format!("TARGETS {TIME} {TIME} 5")), Ok(targets));
    }

    /// Proves: CHATHISTORY
    #[test]
    fn what_cannot_be_understood_is_said_to_be_so() {
        for (line, fail) in [
            ("", "INVALID_PARAMS :"),
            ("FROB #a * 5", "INVALID_PARAMS FROB :"),
            ("LATEST #a *", "INVALID_PARAMS LATEST :"),
            ("LATEST #a * 5 6", "INVALID_PARAMS LATEST :"),
            ("LATEST #a * 0", "INVALID_PARAMS LATEST :"),
            ("LATEST #a * -5", "INVALID_PARAMS LATEST :"),
            ("LATEST #a * five", "INVALID_PARAMS LATEST :"),
            ("BEFORE #a * 5", "INVALID_PARAMS BEFORE * :"),
            ("BEFORE #a timestamp=yesterday 5", "INVALID_PARAMS BEFORE timestamp=yesterday :"),
            ("BEFORE #a age=5 5", "INVALID_MSGREFTYPE BEFORE #a :"),
            ("AFTER #a msgid=abc 5", "MESSAGE_ERROR AFTER #a abc :"),
            ("BETWEEN #a msgid=7FA.2.M1 5", "INVALID_PARAMS BETWEEN :"),
            ("TARGETS msgid=7FA.2.M1 msgid=7FA.2.M1 5", "INVALID_PARAMS TARGETS :"),
        ] {
            let heard = parsed(line).unwrap_err();
            assert!(heard.starts_with(&format!(":s FAIL CHATHISTORY {fail}")), "{line}: {heard}");
        }
    }
}
