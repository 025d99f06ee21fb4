//! Who may read what of the past.
//!
//! On a channel, whoever is on it: what was said since it was made, and before that what was said to everybody while
//! anybody could have come; also what was said in the open on channels that are no more and had its name in the end. Of
//! private conversations, what somebody was part of: as this user, or logged in to this account. A nick alone opens
//! nothing, since it may have been another's. What somebody does not want to hear they do not read either.

use std::collections::BTreeMap;

use super::cap::Cap;
use super::history::{Conversation, Party, Point, Query, Record};
use super::merge::Stamp;
use super::mode;
use super::network::{AccountId, Channel, Happening, Life, Message, Redaction, Target, Verb, What};
use super::shield;
use super::turn::Turn;
use crate::wire::fold::{Folded, fold};
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, UserId};
use crate::wire::time::Timestamp;

/// In how many places somebody can have talked, as far as they are told; and how many of the latest texts of each are
/// looked at for one that they may read.
const TARGETS_MAX: usize = 10_000;
const TEXTS_OF_EACH: usize = 5;

/// What one person may read of one place, at the moment of asking.
#[derive(Clone, Debug)]
pub struct Reading {
    /// As batches name the place.
    pub shown: String,
    pub(super) conversations: Vec<Conversation>,
    right: Right,
    knows: Knowledge,
    /// Of other channels that are no more: what was said in the open on those that had this name in the end.
    here: Vec<Life>,
    /// Of channels that had been made with the same name: those that had another one in the end.
    elsewhere: Vec<Life>,
}

/// What of all that is no text a client has asked to be told.
#[derive(Clone, Copy, Debug)]
struct Knowledge {
    tags: bool,
    redactions: bool,
    events: bool,
}

impl Knowledge {
    fn of(turn: &Turn) -> Knowledge {
        Knowledge {
            tags: turn.wants(Cap::MessageTags),
            redactions: turn.wants(Cap::DraftMessageRedaction),
            events: turn.wants(Cap::DraftEventPlayback),
        }
    }

    fn covers(self, record: &Record) -> bool {
        match (record.message(), record.redaction()) {
            (Some(message), _) => message.verb != Verb::Tagmsg || self.tags,
            _ if record.happening().is_some() => self.events,
            (_, redaction) => redaction.is_some() && self.redactions,
        }
    }
}

#[derive(Clone, Debug)]
enum Right {
    Member { user: UserId, status: Letters, birth: Stamp, joined: Option<Stamp> },
    Party { user: UserId, account: Option<AccountId> },
}

impl Reading {
    /// What a channel's members read there.
    pub fn of_channel(turn: &Turn, channel: &Channel) -> Option<Reading> {
        let member = channel.member(turn.me())?;
        let joined = (!turn.config().history.newcomers_see_all).then_some(member.fact.joined);
        let (here, elsewhere) = turn.network().lives_around(channel);
        let mut conversations = vec![Conversation::Channel(channel.id())];
        for life in &here {
            let conversation = Conversation::Channel(life.id.clone());
            if !conversations.contains(&conversation) {
                conversations.push(conversation);
            }
        }
        Some(Reading {
            shown: channel.name.to_string(),
            conversations,
            here,
            elsewhere,
            knows: Knowledge::of(turn),
            right: Right::Member { user: turn.me(), status: member.status, birth: channel.birth, joined },
        })
    }

    /// What the speaker and whoever is called so have said to each other.
    pub fn of_person(turn: &Turn, nick: &str) -> Reading {
        let me = turn.user();
        let other = turn.network().user_called(nick);
        let mut conversations = vec![Conversation::private((me.nick.as_str(), None), (nick, None))];
        if let Some(own) = me.account_id() {
            // Somebody who is not here may be meant by the name of their account.
            let others = match other {
                Some(user) => user.account_id(),
                None => turn.network().account_named(nick).map(|account| account.id),
            };
            let both = others.map(|others| Conversation::private(("", Some(own)), ("", Some(others))));
            conversations.extend(both);
        }
        let shown = other.map_or(nick.to_string(), |user| user.nick.to_string());
        Reading {
            shown,
            conversations,
            right: Right::of_parties(turn),
            knows: Knowledge::of(turn),
            here: Vec::new(),
            elsewhere: Vec::new(),
        }
    }

    /// A place by the name that a client gives it; none that the speaker may not read.
    pub fn of_place(turn: &Turn, name: &str) -> Option<Reading> {
        if ChannelName::looks_like(name) {
            return Reading::of_channel(turn, turn.network().channel_called(name)?);
        }
        let is_name = turn.parse_nick(name).is_ok() || turn.network().user_called(name).is_some();
        is_name.then(|| Reading::of_person(turn, name))
    }

    /// Whether the reader may see this, and it is anything to be seen by people.
    pub fn shows(&self, turn: &Turn, record: &Record) -> bool {
        self.knows.covers(record) && self.right.shows(turn, record) && self.is_of_place(record)
    }

    /// Whether the reader may know that there is this, words or none: as a moment to count from.
    pub fn knows(&self, record: &Record) -> bool {
        match (record.message(), record.redaction()) {
            (Some(message), _) => {
                self.conversations.contains(&Conversation::of(message))
                    && self.right.covers_message(message, record.stamp())
                    && self.is_of_place(record)
            }
            (_, Some(redaction)) => self.is_of_place(record) && self.right.shows_redaction(redaction),
            _ => record.happening().is_some_and(|happening| {
                self.is_of_place(record) && self.right.covers_happening(happening, record.stamp())
            }),
        }
    }

    /// Whether it was said on this channel, or on one whose name this one has taken up.
    fn is_of_place(&self, record: &Record) -> bool {
        let (channel, said, is_open) = match (record.message(), record.redaction(), record.happening()) {
            (Some(Message { target: Target::Channel { name, least }, is_closed, .. }), ..) => {
                (name, record.stamp(), least.is_none() && !is_closed)
            }
            (_, Some(Redaction { target: Target::Channel { name, .. }, said, .. }), _) => {
                (name, *said, false)
            }
            (_, _, Some(happening)) => {
                (&happening.channel, record.stamp(), happening.least.is_none() && !happening.is_closed)
            }
            (message, redaction, _) => return message.is_some() || redaction.is_some(),
        };
        let id = channel.folded();
        let is_in = |lives: &[Life]| lives.iter().any(|life| life.holds(&id, said));
        let is_own = self.conversations.first() == Some(&Conversation::Channel(id.clone()));
        if is_own { !is_in(&self.elsewhere) } else { is_open && is_in(&self.here) }
    }
}

impl Right {
    fn of_parties(turn: &Turn) -> Right {
        let me = turn.user();
        Right::Party { user: me.id, account: me.account_id() }
    }

    fn shows(&self, turn: &Turn, record: &Record) -> bool {
        match (record.message(), record.redaction()) {
            // What is kept long enough may not have gone yet.
            _ if record.stamp().ms < turn.kept_since().0 => false,
            // The disk may not have heard yet that it was taken back.
            _ if record.is_blank() || turn.network().talk().redacted().has(record.dot()) => false,
            (Some(message), _) => self.shows_message(turn, message, record.stamp()),
            (_, Some(redaction)) => self.shows_redaction(redaction),
            _ => record.happening().is_some_and(|happening| {
                let is_told = match happening.what {
                    What::Recalled { .. } => turn.wants(Cap::ChannelRename),
                    What::Forgotten => false,
                    _ => true,
                };
                is_told && self.covers_happening(happening, record.stamp())
            }),
        }
    }

    fn shows_message(&self, turn: &Turn, message: &Message, said: Stamp) -> bool {
        // Programs would answer what was asked of them long ago.
        let is_wanted = || !shield::is_ctcp(message) && turn.wants_to_read(message);
        self.covers_message(message, said) && is_wanted()
    }

    fn covers_message(&self, message: &Message, said: Stamp) -> bool {
        match (self, &message.target) {
            (Right::Member { user, status, birth, joined }, Target::Channel { least, .. }) => {
                let is_meant = || least.is_none_or(|letter| mode::is_at_least(*status, letter));
                let may_read = match said >= *birth {
                    true => message.sender == *user || is_meant(),
                    // Whoever makes a channel anew has a status there, and had none on the one before it.
                    false => least.is_none() && !message.is_closed,
                };
                may_read && joined.is_none_or(|joined| said >= joined)
            }
            (Right::Party { user, account }, Target::User { user: to, .. }) => {
                let (from, by) = message.between;
                let is_account = account.is_some() && (*account == from || *account == by);
                message.sender == *user || to == user || is_account
            }
            _ => false,
        }
    }

    fn covers_happening(&self, happening: &Happening, at: Stamp) -> bool {
        let Right::Member { user, status, birth, joined } = self else { return false };
        let is_news = !happening.is_for_plain || status.is_empty() && happening.user != Some(*user);
        let is_meant = || happening.least.is_none_or(|letter| mode::is_at_least(*status, letter));
        let may_read = match at >= *birth {
            true => happening.user == Some(*user) || is_meant(),
            false => happening.least.is_none() && !happening.is_closed,
        };
        is_news && may_read && joined.is_none_or(|joined| at >= joined)
    }

    fn shows_redaction(&self, redaction: &Redaction) -> bool {
        match (self, &redaction.target) {
            (Right::Member { status, birth, joined, .. }, Target::Channel { least, .. }) => {
                let said = redaction.said;
                let is_meant = least.is_none_or(|letter| mode::is_at_least(*status, letter));
                is_meant && said >= *birth && joined.is_none_or(|joined| said >= joined)
            }
            (Right::Party { user, .. }, Target::User { user: to, .. }) => {
                redaction.sender == *user || to == user
            }
            _ => false,
        }
    }
}

/// All that one person may read at the moment of asking, or some of it.
#[derive(Clone, Debug)]
pub struct Readings {
    places: Vec<Reading>,
    /// As whom they read private conversations, of whatever other party; none where only places are meant.
    parties: Vec<Party>,
}

impl Readings {
    pub fn of(place: Option<Reading>) -> Readings {
        Readings { places: place.into_iter().collect(), parties: Vec::new() }
    }

    /// Every channel of the speaker's, and all that was ever said to them.
    pub fn of_all(turn: &Turn) -> Readings {
        let channels = turn.user().channels.iter().filter_map(|name| turn.network().channel(name));
        let places = channels.filter_map(|channel| Reading::of_channel(turn, channel));
        Readings { places: places.collect(), parties: turn.parties() }
    }

    pub fn conversations(&self) -> Vec<Conversation> {
        self.places.iter().flat_map(|place| place.conversations.iter().cloned()).collect()
    }

    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// Whether this is a message that the reader may see.
    pub fn shows(&self, turn: &Turn, record: &Record) -> bool {
        let Some(message) = record.message() else { return false };
        let conversation = Conversation::of(message);
        let is_private = matches!(conversation, Conversation::Private(..));
        let mut places = self.places.iter().filter(|place| place.conversations.contains(&conversation));
        places.any(|place| place.shows(turn, record))
            || is_private && !self.parties.is_empty() && Right::of_parties(turn).shows(turn, record)
    }
}

impl Turn<'_> {
    /// Since when what was said is kept.
    pub fn kept_since(&self) -> Timestamp {
        let keep_ms = u64::try_from(self.config().history.keep.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.now.wall.0.saturating_sub(keep_ms))
    }

    /// What the speaker may read of any private conversation.
    pub fn parties(&self) -> Vec<Party> {
        let me = self.user();
        let account = me.account_id().map(Party::Account);
        [Party::Nick(me.nick.folded())].into_iter().chain(account).collect()
    }

    /// Asks where something was said to the speaker after a moment.
    pub fn targets_of(&self, mut channels: Vec<Folded>, after: Option<Point>) -> Query {
        // Also on those that are no more and had the name of one of these in the end.
        let known = channels.iter().filter_map(|id| self.network().channel(id));
        let lives = known.flat_map(|channel| self.network().lives_around(channel).0);
        let former: Vec<Folded> = lives.map(|life| life.id).collect();
        channels.extend(former);
        Query::Targets { channels, parties: self.parties(), after, of_each: TEXTS_OF_EACH, most: TARGETS_MAX }
    }

    /// What the speaker has to call whoever they talked to, to read it: who both had accounts by the nick of now, or the
    /// name of the account; else by the nick of then.
    fn other_of(&self, message: &Message) -> String {
        let me = self.user();
        let own = me.account_id();
        let Target::User { user: to, nick: to_nick, .. } = &message.target else { return String::new() };
        let is_own = message.sender == me.id || own.is_some() && message.between.0 == own;
        // It stands under the nicks where one of them had none.
        let (from_account, to_account) = message.between.0.zip(message.between.1).unzip();
        let (user, nick, account) = match is_own {
            true => (*to, to_nick.as_str(), to_account),
            false => {
                let nick = message.source.split('!').next().unwrap_or_default();
                (message.sender, nick, from_account)
            }
        };
        let Some(account) = account else { return nick.to_string() };
        if let Some(known) = self.network().user(user) {
            return known.nick.to_string();
        }
        let again = self.network().users().find(|user| user.account_id() == Some(account));
        let name = self.network().accounts().get(account).map(|account| account.name.as_str());
        again.map_or(name.unwrap_or(nick).to_string(), |user| user.nick.to_string())
    }

    /// What the speaker calls the places where something was said, as far as they may read it there.
    pub fn names_of_places(&self, mut records: Vec<Record>) -> Vec<(String, Timestamp)> {
        records.sort_by_key(Record::stamp);
        let mut latest: BTreeMap<Folded, (Stamp, String)> = BTreeMap::new();
        let channels = self.readings_of_channels();
        for record in &records {
            if let Some(name) = self.name_among(record, &channels) {
                // Somebody with two conversations is one and the same; the latest counts, which comes last.
                latest.insert(fold(&name), (record.stamp(), name));
            }
        }
        let mut names: Vec<(Stamp, String)> = latest.into_values().collect();
        names.sort();
        names.into_iter().map(|(said, name)| (name, said.time())).collect()
    }

    /// What the speaker calls the place where something was said, if it was said to them, also by somebody whom they do not
    /// want to read.
    pub fn name_of_place(&self, record: &Record) -> Option<String> {
        let is_gone = record.is_blank() || self.network().talk().redacted().has(record.dot());
        let message = record.message().filter(|_| !is_gone)?;
        match Conversation::of(message) {
            Conversation::Channel(name) => {
                let readings = self.readings_of_channels();
                let reading = readings.get(&name)?.iter().find(|reading| reading.knows(record));
                reading.map(|reading| reading.shown.clone())
            }
            Conversation::Private(..) => {
                let is_heard = Right::of_parties(self).covers_message(message, record.stamp());
                is_heard.then(|| self.other_of(message))
            }
        }
    }

    /// What the speaker may read of their channels, by the names that what was said there stands under.
    fn readings_of_channels(&self) -> BTreeMap<Folded, Vec<Reading>> {
        let mut readings: BTreeMap<Folded, Vec<Reading>> = BTreeMap::new();
        let channels = self.user().channels.iter().filter_map(|name| self.network().channel(name));
        for reading in channels.filter_map(|channel| Reading::of_channel(self, channel)) {
            for conversation in &reading.conversations {
                if let Conversation::Channel(name) = conversation {
                    readings.entry(name.clone()).or_default().push(reading.clone());
                }
            }
        }
        readings
    }

    fn name_among(&self, record: &Record, channels: &BTreeMap<Folded, Vec<Reading>>) -> Option<String> {
        let message = record.message()?;
        match Conversation::of(message) {
            Conversation::Channel(name) => {
                let reading = channels.get(&name)?.iter().find(|reading| reading.shows(self, record));
                reading.map(|reading| reading.shown.clone())
            }
            Conversation::Private(..) => {
                Right::of_parties(self).shows(self, record).then(|| self.other_of(message))
            }
        }
    }

    /// Whether the speaker lets through what somebody has said; what they have said themselves they do.
    fn wants_to_read(&self, message: &Message) -> bool {
        let me = self.user();
        let is_same_account = me.account_id().is_some() && message.between.0 == me.account_id();
        let is_own = message.sender == me.id || is_same_account;
        is_own || self.engine.lets_past(self.me(), message)
    }
}
