//! What was said, as it is kept on disk: what is written of it, what can be asked, and what comes back.
//!
//! Every message of every server is kept, in the order in which it came here (its arrival) and found again by where
//! it was said and when, or by its dot. What was taken back is kept without its words.

use std::sync::Arc;

use super::merge::{Dot, Origin, Stamp, Stream, Vector};
use super::network::{AccountId, Between, Change, Edit, Happening, Message, Redaction, Target, Verb, What};
use super::peer;
use crate::wire::fold::{Folded, fold};
use crate::wire::time::Timestamp;

/// One place where people talk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conversation {
    Channel(Folded),
    /// What two people say to each other, whoever says it; the lesser of the two comes first.
    Private(Party, Party),
}

/// One of the two who talk to each other.
///
/// Where both had an account as something was said it is known by the accounts (by their ids, as names can be claimed
/// twice while servers are apart), so that it stays theirs whatever they are called. Else by the nicks: an account on
/// one side only would part what one and the same pair say to each other as soon as one of them logs in or out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Account(AccountId),
    Nick(Folded),
}

impl Party {
    /// `=id` or `nick`; no nick begins with that sign.
    pub fn key(&self) -> String {
        match self {
            Party::Account(id) => format!("={id}"),
            Party::Nick(nick) => nick.to_string(),
        }
    }
}

impl Conversation {
    /// What two people say to each other, each by nick and account.
    pub(super) fn private(one: (&str, Option<AccountId>), other: (&str, Option<AccountId>)) -> Conversation {
        let (one, other) = match (one, other) {
            ((_, Some(one)), (_, Some(other))) => (Party::Account(one), Party::Account(other)),
            ((one, _), (other, _)) => (Party::Nick(fold(one)), Party::Nick(fold(other))),
        };
        if one <= other { Conversation::Private(one, other) } else { Conversation::Private(other, one) }
    }

    /// Where a message was said.
    pub(super) fn of(message: &Message) -> Conversation {
        of_words(&message.source, &message.target, message.between)
    }

    /// A channel's name, or both parties; what the store knows it by.
    pub fn key(&self) -> String {
        match self {
            Conversation::Channel(name) => name.to_string(),
            Conversation::Private(one, other) => format!("{} {}", one.key(), other.key()),
        }
    }

    /// The two of a private one.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        let both = match self {
            Conversation::Channel(_) => None,
            Conversation::Private(one, other) => Some([one, other]),
        };
        both.into_iter().flatten()
    }
}

fn of_words(source: &str, target: &Target, (from, to): Between) -> Conversation {
    match target {
        Target::Channel { name, .. } => Conversation::Channel(name.folded()),
        Target::User { nick, .. } => {
            let sender = source.split('!').next().unwrap_or_default();
            Conversation::private((sender, from), (nick.as_str(), to))
        }
    }
}

/// A moment in what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    Time(Timestamp),
    Stamp(Stamp),
    /// When this message was said. Where it is not known, or was said elsewhere, nothing lies before or after it.
    Dot(Dot),
}

/// A place in the order of what was said: the stamp's number, and the server that gave it out.
pub type Place = (u64, String);

impl Point {
    /// What comes after this point comes after this place; of a dot, only the store knows.
    pub fn end(&self) -> Result<Place, Dot> {
        match self {
            Point::Time(time) => Ok((number_of(*time) | 0xffff, "~".to_string())),
            Point::Stamp(stamp) => Ok(place_of(*stamp)),
            Point::Dot(dot) => Err(*dot),
        }
    }

    /// What comes before this point comes before this place.
    pub fn start(&self) -> Result<Place, Dot> {
        match self {
            Point::Time(time) => Ok((number_of(*time), String::new())),
            _ => self.end(),
        }
    }
}

/// The first number of stamps at a time; no clock goes further than the last.
fn number_of(time: Timestamp) -> u64 {
    time.0.min((1 << 47) - 1) << 16
}

fn place_of(stamp: Stamp) -> Place {
    (stamp.number(), stamp.server.to_string())
}

/// What the store can be asked. Answers come oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// What was said in a place after the one point and before the other.
    Between {
        target: Conversation,
        after: Option<Point>,
        before: Option<Point>,
        /// Whether the latest of it counts where there is more than is wanted.
        newest_first: bool,
        most: usize,
        /// Whether messages without text, news that something was taken back and what was taken back count as well.
        events: bool,
    },
    /// The latest texts in each of these channels and in each private conversation of these parties, so many of each,
    /// where the very latest was said after the point; of more places than are wanted those of which most was heard
    /// lately.
    Targets { channels: Vec<Folded>, parties: Vec<Party>, after: Option<Point>, of_each: usize, most: usize },
    /// What came here late and after that arrival, and was said before a moment; what came first counts.
    Late { target: Conversation, arrived_after: u64, before: Point, most: usize },
    /// Texts with all of these words in any of these places or private conversations.
    Search {
        words: Vec<Sought>,
        places: Vec<Conversation>,
        parties: Vec<Party>,
        /// What who said it was called then.
        from: Option<Folded>,
        after: Option<Point>,
        before: Option<Point>,
        newest_first: bool,
        most: usize,
    },
    /// One message.
    Message { dot: Dot },
    /// So much of what one origin wrote, by number: for servers that missed it.
    Range { origin: Origin, first: u64, last: u64, most: usize },
}

/// A word that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    pub word: String,
    /// Whether longer words that begin so will do.
    pub is_beginning: bool,
}

/// A message that was kept, or the news that one was taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// In which order it came to this server: whatever came late has a higher one than what was said after it.
    pub arrival: u64,
    pub(super) change: Arc<Change>,
    /// As it goes to other servers.
    pub(super) line: Arc<str>,
}

impl Record {
    /// What the store has; `None` where no version could have written it.
    pub fn read(arrival: u64, line: String) -> Option<Record> {
        let change = Arc::new(peer::read_stored(&line)?);
        Some(Record { arrival, change, line: line.into() })
    }

    /// When it was said, so that any two have an order.
    pub fn said(&self) -> Place {
        place_of(self.change.stamp)
    }

    /// Whether somebody said it who was called so.
    pub fn is_from(&self, nick: &Folded) -> bool {
        let source = self.message().map(|message| message.source.as_str()).unwrap_or_default();
        fold(source.split('!').next().unwrap_or_default()) == *nick
    }

    /// Whether it was taken back: then it has no words.
    pub fn is_blank(&self) -> bool {
        matches!(&self.change.edit, Edit::Message(message) if message.is_blank)
    }

    /// As it goes to other servers.
    pub fn line(&self) -> &str {
        &self.line
    }

    pub(super) fn into_change(self) -> Arc<Change> {
        self.change
    }

    pub(super) fn change(&self) -> &Change {
        &self.change
    }

    pub(super) fn dot(&self) -> Dot {
        self.change.dot
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.change.stamp
    }

    /// The message, where it is one.
    pub(super) fn message(&self) -> Option<&Message> {
        match &self.change.edit {
            Edit::Message(message) => Some(message),
            _ => None,
        }
    }

    /// What happened on a channel, where it is that.
    pub(super) fn happening(&self) -> Option<&Happening> {
        match &self.change.edit {
            Edit::Happening(happening) => Some(happening),
            _ => None,
        }
    }

    /// The news that a message was taken back, where it is that.
    pub(super) fn redaction(&self) -> Option<&Redaction> {
        match &self.change.edit {
            Edit::Redact(redaction) => Some(redaction),
            _ => None,
        }
    }
}

/// Something to be written to the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The next message of its origin; late where people here may have read on meanwhile.
    Said {
        change: Arc<Change>,
        /// As it goes to other servers, where that has been written already.
        line: Option<Arc<str>>,
        is_late: bool,
    },
    /// Messages of an origin up to this one are nowhere to be had.
    Skipped { origin: Origin, tip: u64 },
    /// Nothing that an origin said counts any more: it used its numbers twice.
    Forgotten { origin: Origin },
}

impl Entry {
    /// A message, from the line that carries it.
    #[cfg(test)]
    pub fn read(line: &str) -> Option<Entry> {
        let change = Arc::new(peer::read_stored(line)?);
        Some(Entry::Said { change, line: None, is_late: false })
    }
}

/// One message, as columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    pub origin: String,
    pub seq: u64,
    pub place: Place,
    /// Where it was said; nowhere what its writer had no right to say, and what this version cannot read.
    pub conversation: Option<Conversation>,
    pub kind: Kind,
    pub line: Arc<str>,
    /// What it is found by.
    pub text: Option<String>,
    /// The message that it takes back.
    pub takes_back: Option<(String, u64)>,
}

/// What a message is to somebody who asks for what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Text,
    /// Tags and no text.
    Tags,
    Redaction,
    /// A message that was taken back.
    Blank,
    /// Nothing.
    Other,
    /// What happened on a channel.
    Happening,
    /// What is left of something that happened on a channel, for which there was no room: nothing but its number.
    Emptied,
}

impl Kind {
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// Done by whoever writes: the router has better things to do.
pub fn row_of(change: &Change, line: Option<&Arc<str>>) -> MessageRow {
    debug_assert!(line.is_none_or(|line| **line == peer::write_change(change)));
    let dot = change.dot;
    let rightful = Some(&change.edit).filter(|edit| edit.is_rightful(dot.origin.server));
    let (kind, conversation, takes_back) = match rightful {
        Some(Edit::Message(message)) => {
            let kind = match message.verb {
                _ if message.is_blank => Kind::Blank,
                Verb::Tagmsg => Kind::Tags,
                Verb::Privmsg | Verb::Notice => Kind::Text,
            };
            (kind, Some(Conversation::of(message)), None)
        }
        Some(Edit::Redact(redaction)) => {
            let message = (redaction.message.origin.to_string(), redaction.message.seq);
            (
                Kind::Redaction,
                Some(of_words(&redaction.source, &redaction.target, (None, None))),
                Some(message),
            )
        }
        Some(Edit::Happening(Happening { what: What::Forgotten, .. })) => (Kind::Emptied, None, None),
        Some(Edit::Happening(happening)) => {
            (Kind::Happening, Some(Conversation::Channel(happening.channel.folded())), None)
        }
        _ => (Kind::Other, None, None),
    };
    MessageRow {
        origin: dot.origin.to_string(),
        seq: dot.seq,
        place: place_of(change.stamp),
        conversation,
        kind,
        line: line.cloned().unwrap_or_else(|| peer::write_change(change).into()),
        text: match &change.edit {
            Edit::Message(message) if kind == Kind::Text => Some(message.text.clone()),
            _ => None,
        },
        takes_back,
    }
}

/// A message without its words: all that is left of one that was taken back.
pub fn blanked(line: &str) -> Option<String> {
    let mut change = peer::read_stored(line)?;
    let Edit::Message(message) = &mut change.edit else { return None };
    message.text.clear();
    message.joints.clear();
    message.tags.clear();
    message.is_blank = true;
    Some(peer::write_change(&change))
}

/// What is left of something that happened on a channel when there is no room for it.
pub fn emptied(line: &str) -> Option<String> {
    let mut change = peer::read_stored(line)?;
    let Edit::Happening(happening) = &mut change.edit else { return None };
    *happening = Happening {
        user: None,
        source: "*".to_string(),
        account: None,
        channel: happening.channel.clone(),
        least: None,
        is_closed: false,
        is_for_plain: false,
        what: What::Forgotten,
    };
    Some(peer::write_change(&change))
}

/// What of all that was said a server finds as it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredTalk {
    /// How far each origin has been heard.
    pub tips: Vec<(String, u64)>,
    /// The latest of it, as lines; of each origin in the order of their numbers.
    pub recent: Vec<String>,
    /// Messages that were taken back before they came.
    pub taken_back: Vec<(String, u64)>,
}

/// The same, read.
pub(super) struct RestoredTalk {
    pub seen: Vector,
    pub recent: Vec<Arc<Change>>,
    pub taken_back: Vec<Dot>,
}

impl StoredTalk {
    pub(super) fn read(&self) -> Result<RestoredTalk, String> {
        let senseless =
            |what: &str| format!("the table of messages has what this version cannot read: {what}");
        let mut seen = Vector::default();
        for (origin, tip) in &self.tips {
            seen.raise(Origin::parse(origin).ok_or_else(|| senseless(origin))?, *tip);
        }
        let read = |line: &String| peer::read_stored(line).map(Arc::new).ok_or_else(|| senseless(line));
        let recent = self.recent.iter().map(read).collect::<Result<_, _>>()?;
        let dot = |(origin, seq): &(String, u64)| {
            let found = Origin::parse(origin).ok_or_else(|| senseless(origin))?;
            Ok(Dot { origin: found, stream: Stream::Message, seq: *seq })
        };
        let taken_back = self.taken_back.iter().map(dot).collect::<Result<_, String>>()?;
        Ok(RestoredTalk { seen, recent, taken_back })
    }
}
