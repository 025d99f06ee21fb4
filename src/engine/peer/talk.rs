//! PRIVMSG, NOTICE and TAGMSG: what people say, as every server keeps it.
//!
//! A message of several lines is one line here: its text without the line breaks, with the lengths of its lines in a
//! tag. What has no room behind the target stands in another. A server that knows neither shows the text as one line.

use std::borrow::Cow;

use super::EventMessage;
use crate::engine::mode;
use crate::engine::network::{AccountId, Between, Edit, LINES_MAX, Message as Said, Target, Text, Verb};
use crate::wire::base36;
use crate::wire::message::{Draft, Message, cut};
use crate::wire::names::{ChannelName, Nick, UserId};

pub const MESSAGES: &[EventMessage] = &[
    EventMessage { name: "PRIVMSG", params_min: 3, read, shape: ":<source> PRIVMSG <uid> <target> :<text>" },
    EventMessage { name: "NOTICE", params_min: 3, read, shape: ":<source> NOTICE <uid> <target> :<text>" },
    EventMessage { name: "TAGMSG", params_min: 2, read, shape: ":<source> TAGMSG <uid> <target>" },
];

/// How much text stands behind the target; the longest source and target fit in front of it.
const TEXT_BYTES_MAX: usize = 3_500;

/// Stands for the account of somebody who has none.
const NO_ACCOUNT: &str = "*";

/// For a user the target reads `uid/nick`, for a channel as clients write it.
pub fn write_message(said: &Said) -> Draft {
    write_message_onto(Draft::new(said.verb.name()), said)
}

/// The same behind a draft that has its verb already.
pub fn write_message_onto(draft: Draft, said: &Said) -> Draft {
    let mut draft = draft.source(&said.source);
    if let Some(account) = &said.account {
        draft = draft.tag("account", account);
    }
    if said.between != (None, None) {
        let (from, to) = said.between;
        let word = |account: Option<AccountId>| account.map_or(NO_ACCOUNT.to_string(), |id| id.to_string());
        draft = draft.tag("between", &format!("{},{}", word(from), word(to)));
    }
    if said.is_closed {
        draft = draft.tag("closed", "");
    }
    if said.is_blank {
        draft = draft.tag("blank", "");
    }
    for (key, value) in &said.tags {
        draft = draft.tag(key, value);
    }
    let mut text = Cow::Borrowed(said.text.as_str());
    if said.is_multiline() {
        let mut whole: String = said.text.split('\n').collect();
        let rest = whole.split_off(cut(&whole, TEXT_BYTES_MAX).len());
        draft = draft.tag("lines", &write_lines(said)).tag_unless_empty("rest", &rest);
        text = Cow::Owned(whole);
    }
    draft = write_target(draft.param(said.sender), &said.target);
    if said.verb == Verb::Tagmsg { draft } else { draft.trailing(text) }
}

pub(super) fn write_target(draft: Draft, target: &Target) -> Draft {
    match target {
        Target::Channel { name, least } => draft.param(mode::shown_target(name.as_str(), *least)),
        Target::User { user, nick } => draft.param(format_args!("{user}/{nick}")),
    }
}

/// The lengths of a message's lines, with a + before those that go on with the one before.
fn write_lines(said: &Said) -> String {
    let lengths = said.pieces().map(|piece| {
        let sign = if piece.is_joined { "+" } else { "" };
        format!("{sign}{}", base36::encode(piece.text.len() as u64))
    });
    lengths.collect::<Vec<_>>().join(",")
}

/// The text that falls into lines so long; `None` where it does not.
fn read_lines(lengths: &str, text: &str) -> Option<Text> {
    let mut whole = Text::default();
    let mut rest = text;
    for (place, length) in lengths.split(',').enumerate() {
        let (is_joined, length) = length.strip_prefix('+').map_or((false, length), |length| (true, length));
        let (line, after) = rest.split_at_checked(usize::try_from(base36::parse(length)?).ok()?)?;
        whole.add(line, is_joined, place == 0);
        rest = after;
        if place >= LINES_MAX {
            return None;
        }
    }
    rest.is_empty().then_some(whole)
}

fn read(message: &Message) -> Option<Edit> {
    read_message(message).map(Edit::Message)
}

pub(super) fn read_target(target: &str) -> Option<Target> {
    Some(match target.split_once('/') {
        Some((user, nick)) if !target.contains('#') => {
            Target::User { user: UserId::parse(user)?, nick: Nick::from_peer(nick)? }
        }
        _ => {
            let sign = target.chars().next()?;
            let least = mode::status_of_sign(sign);
            let name = if least.is_some() { &target[sign.len_utf8()..] } else { target };
            Target::Channel { name: ChannelName::from_peer(name)?, least }
        }
    })
}

pub fn read_message(message: &Message) -> Option<Said> {
    let verb = Verb::ALL.into_iter().find(|verb| verb.name() == message.command)?;
    let target = read_target(message.params[1])?;
    let tags = message.tags.iter().filter(|(key, _)| key.starts_with('+'));
    let text = message.params.get(2).map_or(String::new(), |text| text.to_string());
    let text = match message.tags.get("lines") {
        Some(lengths) => read_lines(&lengths, &(text + &message.tags.get("rest").unwrap_or_default()))?,
        None => Text { text, joints: Vec::new() },
    };
    Some(Said {
        verb,
        sender: UserId::parse(message.params[0])?,
        source: message.source?.to_string(),
        account: message.tags.get("account").map(|account| account.into_owned()),
        target,
        between: message.tags.get("between").as_deref().and_then(read_between).unwrap_or_default(),
        text: text.text,
        joints: text.joints,
        tags: tags.map(|(key, value)| (key.to_string(), value.into_owned())).collect(),
        is_closed: message.tags.get("closed").is_some(),
        is_blank: message.tags.get("blank").is_some(),
    })
}

fn read_between(both: &str) -> Option<Between> {
    let (from, to) = both.split_once(',')?;
    let read = |word: &str| match word {
        NO_ACCOUNT => Some(None),
        id => AccountId::parse(id).map(Some),
    };
    Some((read(from)?, read(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::{Dot, Origin, Stamp, Stream};
    use crate::engine::network::Change;
    use crate::engine::peer::{read_stored, write_change, written};
    use crate::wire::line::{Framer, Limits};
    use crate::wire::names::{CHANNEL_BYTES_MAX, ServerId};

    /// What the settings allow, and `Limits::PEER` has to have room for.
    const BYTES_MAX: usize = 5_000;

    fn said(text: Text, tags: Vec<(String, String)>) -> Change {
        let server = ServerId::LOWEST;
        let stamp = Stamp { ms: (1 << 47) - 1, count: u16::MAX, server };
        let message = Said {
            verb: Verb::Privmsg,
            sender: UserId::numbered(server, 5),
            source: format!("{}!{}@{}", "n".repeat(64), "u".repeat(64), "h".repeat(63)),
            account: Some("a".repeat(64)),
            target: Target::Channel {
                name: ChannelName::from_peer(&format!("#{}", "c".repeat(CHANNEL_BYTES_MAX - 1))).unwrap(),
                least: Some('v'),
            },
            between: (Some(AccountId::new(stamp)), Some(AccountId::new(stamp))),
            text: text.text,
            joints: text.joints,
            tags,
            is_closed: false,
            is_blank: false,
        };
        Change {
            dot: Dot {
                origin: Origin { server, epoch: u32::MAX },
                stream: Stream::Message,
                seq: u64::MAX >> 12,
            },
            stamp,
            over: Vec::new(),
            after: u64::MAX >> 12,
            more: false,
            edit: Edit::Message(message),
        }
    }

    fn lines(count: usize, line: &str) -> Text {
        let mut text = Text::default();
        (0..count).for_each(|place| text.add(line, place % 3 == 1, place == 0));
        text
    }

    #[test]
    fn the_longest_message_there_can_be_goes_over_a_link() {
        for filling in ["x", " ", ";", "\\", "é", ":"] {
            let line = filling.repeat((BYTES_MAX - 200) / 200 / filling.len());
            let text = lines(200, &line);
            assert!(text.text.len() <= BYTES_MAX);
            let change = said(text, vec![("+a".into(), "y".repeat(4_091))]);
            let written = write_change(&change);
            let heard = Framer::new(Limits::PEER).push(format!("{written}\r\n").as_bytes());
            let heard: Vec<_> = heard.iter().map(|line| line.map(str::to_string)).collect();
            assert_eq!(heard, [Ok(written.clone())], "{filling:?}");
            assert_eq!(read_stored(&written).map(|read| read.edit), Some(change.edit), "{filling:?}");
        }
    }

    #[test]
    fn what_is_hashed_of_a_message_is_its_line_without_what_has_to_be_heard_before() {
        let change = |after, more| {
            let text = Text { text: "good morning".to_string(), joints: Vec::new() };
            Change { after, more, over: Vec::new(), ..said(text, Vec::new()) }
        };
        for (after, more) in [(0, false), (7, false), (0, true), (u64::MAX >> 12, true)] {
            let pieces = written(&change(after, more), after).regardless().concat();
            assert_eq!(pieces, write_change(&change(0, more)), "{after}");
        }
    }

    #[test]
    fn lines_that_the_text_does_not_fall_into_are_no_message() {
        for (lengths, text, is_one) in [
            ("2,1", "abc", true),
            ("2,+1", "abc", true),
            ("0,0,3,0", "abc", true),
            ("2", "abc", false),
            ("2,2", "abc", false),
            ("1,1", "é", false),
            ("", "abc", false),
            ("3,", "abc", false),
            ("3,-1", "abc", false),
            ("ffffffffffffffffff", "abc", false),
        ] {
            assert_eq!(read_lines(lengths, text).is_some(), is_one, "{lengths} {text}");
        }
        let too_many = format!("{}3", "0,".repeat(LINES_MAX));
        assert_eq!(read_lines(&too_many, "abc"), None);
    }
}
