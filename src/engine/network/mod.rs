//! What all servers agree on. There is one way in, `apply` (and `merge`, for what was missed), and
//! what comes out is news: the difference between what users saw and what they see now.

mod account;
mod asked;
mod ban;
mod block;
mod census;
mod change;
mod channel;
mod complaint;
mod difference;
mod digest;
mod durable;
mod forget;
mod happening;
mod in_order;
mod lock;
mod log;
mod metadata;
mod multiline;
mod names;
mod news;
mod redaction;
mod refresh;
mod registration;
mod routes;
mod server;
mod talk;
mod trails;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use account::{
    Account, AccountFact, AccountId, Accounts, Credential, Device, Field, ScramKeys, Suspension,
    is_given_name,
};
pub use ban::{Ban, BanFact, BanKind, Bans, Suspect};
pub use block::Blocked;
pub use census::Census;
pub use change::{Change, Edit, Key, Value, edit_of};
pub use channel::{
    Channel, Item, MaskFact, MemberFact, Renaming, Role, Setting, Settings, StatusFact, Topic,
};
pub use complaint::{Complaint, Party, beyond};
pub use difference::Difference;
pub use digest::Digest;
pub use durable::{Durable, Kept, Writing};
pub use happening::{Happening, What};
#[cfg(test)]
pub use lock::LOCKED_WITH_VALUE;
pub use lock::{Locked, NEVER_LOCKED};
pub use metadata::{Metadata, Subject};
pub use multiline::{LINES_MAX, Text};
pub use news::{Leaving, ModeDelta, ModeValue, Neighbour, News, Quit, Split};
pub use redaction::{REDACTED_MAX, Redaction};
pub use registration::{Clause, ClauseFact, Registration, Registrations};
pub use routes::{Route, Routes};
pub use server::{ClientDoor, Reach, Server, ServerFact, Standing};
pub use talk::{Between, Message, RELAY_SEPARATOR, Talk, Target, Verb};
pub use trails::Life;
pub use user::{User, UserFact};

use super::merge::{Answer, Dot, Fact, Facts, Origin, Stamp, Stream, Vector, Write};
use crate::defect::{Defect, is_planted};
use crate::wire::fold::Folded;
use crate::wire::names::{ServerId, UserId};
use forget::Barren;
use log::Log;
use names::Names;
use refresh::{Cause, Tide, Touched};
use trails::Trails;

/// The shared state, and the view of it that users have.
#[derive(Clone, Debug)]
pub struct Network {
    me: ServerId,
    facts: Facts<Key, Value>,
    durable: Durable,
    talk: Talk,
    /// The latest events of the session stream, for servers that missed only those.
    recent: Log,
    reach: BTreeMap<ServerId, Reach>,
    /// Those to whom that means something which is yet to be looked at.
    tide: Tide,
    servers: BTreeMap<ServerId, Server>,
    /// Those that are part of the network, as far as anyone was told.
    shown: BTreeSet<ServerId>,
    users: BTreeMap<UserId, User>,
    census: Census,
    /// Who wants which nick; the oldest claim has it.
    claims: BTreeMap<Folded, BTreeSet<UserId>>,
    /// Who stands for whom.
    stand_ins: BTreeMap<UserId, BTreeSet<UserId>>,
    /// Where each user has a member fact, whether or not it counts.
    memberships: BTreeMap<UserId, BTreeSet<Folded>>,
    channels: BTreeMap<Folded, Channel>,
    names: Names,
    trails: Trails,
    /// Channels whose members have yet to hear of another name, and who gave it.
    to_rename: BTreeMap<Folded, String>,
    accounts: Accounts,
    registrations: Registrations,
    /// Accounts that have changed since anybody here was asked what becomes of those who are logged in.
    new_accounts: bool,
    /// All that is durable was forgotten, and others have yet to tell it.
    hears_durable_anew: bool,
    bans: Bans,
    /// Bans that nobody here has been held against yet.
    new_bans: BTreeSet<(BanKind, String)>,
    /// What this server still has to write because of what it heard.
    lost_nicks: BTreeSet<UserId>,
    late_births: BTreeSet<(Folded, UserId)>,
    /// Accounts that are more on a channel than they were, as has to be seen on those who are there.
    raised: BTreeSet<(Folded, AccountId)>,
    /// The latest stamp that was heard of each server's facts.
    heard: BTreeMap<ServerId, Stamp>,
    barren: Barren,
}

impl Network {
    /// `events_kept` says how many of each origin can be given to those who missed them.
    pub fn new(me: ServerId, durable: Durable, events_kept: usize, talk: Talk) -> Network {
        let trails = Trails::of(durable.facts());
        let mut network = Network {
            me,
            facts: Facts::default(),
            registrations: Registrations::of(durable.facts(), &Accounts::of(durable.facts())),
            accounts: Accounts::of(durable.facts()),
            new_accounts: false,
            hears_durable_anew: false,
            bans: Bans::of(durable.facts()),
            new_bans: BTreeSet::new(),
            durable,
            talk,
            recent: Log::new(events_kept),
            reach: BTreeMap::from([(me, Reach::Reachable)]),
            tide: Tide::default(),
            servers: BTreeMap::new(),
            shown: BTreeSet::new(),
            users: BTreeMap::new(),
            census: Census::default(),
            claims: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
            memberships: BTreeMap::new(),
            channels: BTreeMap::new(),
            names: Names::default(),
            trails,
            to_rename: BTreeMap::new(),
            lost_nicks: BTreeSet::new(),
            late_births: BTreeSet::new(),
            raised: BTreeSet::new(),
            heard: BTreeMap::new(),
            barren: Barren::default(),
        };
        network.name_kept_channels();
        network
    }

    /// The same from now on, for a network that runs.
    pub fn keep_at_most(&mut self, events_kept: usize, messages_kept: usize) {
        self.recent.keep(events_kept);
        self.durable.keep_events(events_kept);
        self.talk.keep(messages_kept);
    }

    /// Takes the next change of its origin and stream; the only way that anything changes.
    pub fn apply(&mut self, change: &Arc<Change>) -> Vec<News> {
        let writer = change.dot.origin.server;
        let is_rightful = change.edit.is_rightful(writer) || is_planted(Defect::OwnedByAnyone);
        if change.dot.stream == Stream::Message {
            self.talk.take(change.clone());
            return match &change.edit {
                _ if !is_rightful => Vec::new(),
                Edit::Happening(_) => vec![News::Happened(change.clone())],
                Edit::Redact(redaction) => {
                    self.talk.redact(redaction.message);
                    vec![News::Redacted(change.clone())]
                }
                // It was taken back before it came.
                _ if self.talk.redacted().has(change.dot) => Vec::new(),
                Edit::Message(message) if message.is_blank => {
                    self.talk.redact(change.dot);
                    Vec::new()
                }
                _ => vec![News::Said(change.clone())],
            };
        }
        if change.dot.stream == Stream::Durable {
            let keys = self.durable.apply(change);
            return self.refresh(Touched::from_keys(keys), &Cause::Change(change));
        }
        self.recent.push(change.clone());
        self.hear(change.stamp);
        let Some((key, value)) = change.edit.fact(writer).filter(|_| is_rightful) else {
            // What nobody may write, or read, still advances the vector, on every server alike.
            self.facts.pass(change.dot);
            return Vec::new();
        };
        // What is owned only its owner has written, in this run or another.
        let is_owned = key.is_owned() && !is_planted(Defect::OwnedByAnyone);
        let over = change.over.iter().copied().filter(|dot| !is_owned || dot.origin.server == writer);
        let (over, ends) = (over.collect(), self.ended_by(change));
        let write = Write { dot: change.dot, stamp: change.stamp, key, value, over, ends };
        let keys = self.facts.apply(write);
        self.refresh(Touched::from_keys(keys), &Cause::Change(change))
    }

    /// The events of facts that somebody who has seen `asked` is missing, in the order of their stamps, if
    /// all of them are still here; otherwise only an answer of `facts` will do.
    pub fn missed_since(&self, stream: Stream, asked: &Vector) -> Option<Vec<Arc<Change>>> {
        let recent = if stream == Stream::Durable { self.durable.recent() } else { &self.recent };
        let mut missed = Vec::new();
        for (origin, tip) in self.said(stream).beyond(asked).iter() {
            let first = asked.tip(origin) + 1;
            if !recent.holds(origin, first, tip) && !is_planted(Defect::TrimmedLogSuffices) {
                return None;
            }
            missed.extend(recent.range(origin, first, tip).cloned());
        }
        missed.sort_by_key(|change| change.stamp);
        Some(missed)
    }

    /// Takes all that was missed of a stream of facts in one step.
    pub fn merge(&mut self, stream: Stream, answer: Answer<Key, Value>) -> Vec<News> {
        let keys = if stream == Stream::Durable {
            self.durable.merge(answer)
        } else {
            answer.facts.iter().for_each(|(_, fact)| self.hear(fact.stamp));
            self.facts.merge(answer)
        };
        self.refresh(Touched::from_keys(keys), &Cause::Merged)
    }

    /// Has another generation of this server's put on disk, along with what else is to be.
    pub fn begin_generation(&mut self, generation: u32) {
        self.durable.begin_generation(generation);
    }

    /// Others have now been told of this server's own durable facts up to this one.
    pub fn tell_durable(&mut self, seq: u64) {
        self.durable.tell(seq);
    }

    /// How far others can have heard of this server's own durable facts.
    pub fn durable_told(&self) -> u64 {
        self.durable.told()
    }

    /// Has something put on disk for this server alone, or taken from there.
    pub fn remember(&mut self, key: String, value: Option<String>) {
        self.durable.remember(key, value);
    }

    /// What has to be put on disk next, with the number under which it will be said to be there.
    pub fn next_batch(&mut self) -> Option<(u64, Writing)> {
        self.durable.next_batch()
    }

    /// Every batch up to this one is on disk.
    pub fn keep(&mut self, number: u64) -> Kept {
        self.durable.keep(number)
    }

    /// Forgets all durable facts, to hear them anew from others, and everything that they meant; what this run of the
    /// server had written of them comes back as edits, to be written once more.
    pub fn begin_durable_anew(&mut self, own: Origin) -> (Vec<News>, Vec<Edit>) {
        let edits = self.durable.begin_anew(own);
        let edits = edits.into_iter().map(|edit| edit.clone().lasting().unwrap_or(edit)).collect();
        self.trails = Trails::of(self.durable.facts());
        let touched = Touched {
            accounts: self.accounts.iter().map(|account| account.id).collect(),
            registrations: self.registrations.iter().map(|(channel, _)| channel.clone()).collect(),
            bans: self.bans.iter().map(|(kind, mask, _)| (kind, mask.to_string())).collect(),
            ..Touched::default()
        };
        self.hears_durable_anew = true;
        let news = self.refresh(touched, &Cause::Merged);
        self.new_bans.clear();
        (news, edits)
    }

    /// A neighbour has told all that it remembers: what has not been heard by now is not so any more.
    pub fn end_durable_anew(&mut self) {
        self.hears_durable_anew = false;
    }

    /// Everything that must not end with a run of this server.
    pub fn into_durable(self) -> (Durable, Talk) {
        (self.durable, self.talk)
    }

    /// Whether accounts have changed since this was last asked; not while they have yet to be heard of anew.
    pub fn take_new_accounts(&mut self) -> bool {
        !self.hears_durable_anew && std::mem::take(&mut self.new_accounts)
    }

    /// Bans that nobody here has been held against yet.
    pub fn take_new_bans(&mut self) -> BTreeSet<(BanKind, String)> {
        std::mem::take(&mut self.new_bans)
    }

    /// Learns which servers there is a path to. What that means to more people than so many is put off (`is_turning`).
    pub fn set_reach(
        &mut self,
        changes: impl IntoIterator<Item = (ServerId, Reach)>,
        people: usize,
    ) -> Vec<News> {
        let mut touched = Touched::default();
        for (server, reach) in changes {
            let before = self.standing(server);
            self.reach.insert(server, reach);
            if self.standing(server) != before {
                touched.servers.insert(server);
            }
        }
        self.refresh(touched, &Cause::Reach { people })
    }

    /// Messages of this origin up to `tip` are nowhere to be had any more: goes on behind them.
    pub fn skip_messages(&mut self, origin: Origin, tip: u64) {
        self.talk.skip(origin, tip);
    }

    /// What this server still has to write because of what it heard. Each is final or only decreases,
    /// so this comes to an end.
    pub fn reactions(&mut self) -> Vec<Edit> {
        let mut edits = Vec::new();
        for user in std::mem::take(&mut self.lost_nicks) {
            if let Some(known) = self.users.get(&user)
                && known.nick != known.fact.nick
            {
                let fact = UserFact { nick: known.nick.clone(), ..known.fact.clone() };
                edits.push(Edit::User { user, fact });
            }
        }
        for (name, user) in std::mem::take(&mut self.late_births) {
            let Some(channel) = self.channels.get(&name) else { continue };
            let Some(member) = channel.members.get(&user) else { continue };
            if channel.is_to_be_rewritten(&member.fact) {
                // Status counts only under the birth it was given in, so that nobody gains a channel
                // by making it anew on the far side of a split.
                let fact = member.fact.under(channel, self.access(&name, user));
                edits.push(Edit::Join { user, channel: name, fact });
            }
        }
        edits.extend(self.raise());
        edits
    }

    /// The writings by other origins that an edit by this server replaces.
    pub fn replaced_by(&self, edit: &Edit, writer: Origin) -> Vec<Dot> {
        let Some((key, _)) = edit.fact(self.me) else { return Vec::new() };
        let facts = if edit.stream() == Stream::Durable { self.durable.facts() } else { &self.facts };
        let siblings = facts.siblings(&key).iter();
        siblings.map(|fact| fact.dot).filter(|dot| dot.origin != writer).collect()
    }

    /// Further keys whose facts by the same origin end with this change.
    fn ended_by(&self, change: &Change) -> Vec<Key> {
        let memberships = |user: UserId| {
            let channels = self.memberships.get(&user).into_iter().flatten();
            channels.map(move |channel| Key::Member(channel.clone(), user))
        };
        let metadata = |user: UserId| {
            let (first, last) = Subject::User(user).keys();
            self.facts.range(&first, &last).map(|(key, _)| key.clone()).collect::<Vec<Key>>()
        };
        match &change.edit {
            Edit::Quit { user, .. } => memberships(*user).chain(metadata(*user)).collect(),
            Edit::Goodbye { .. } => {
                let users = self.user_keys(change.dot.origin.server);
                users
                    .into_iter()
                    .flat_map(|user| {
                        std::iter::once(Key::User(user)).chain(memberships(user)).chain(metadata(user))
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// What an origin says of itself and of those who are its own, which nobody else can supersede.
    pub fn own_dots(&self, origin: Origin) -> impl Iterator<Item = Dot> {
        let is_own = move |(key, fact): &(&Key, &Fact<Value>)| fact.dot.origin == origin && key.is_owned();
        self.facts.iter().filter(is_own).map(|(_, fact)| fact.dot)
    }

    /// Every user of a server of whom there is a fact.
    fn user_keys(&self, server: ServerId) -> Vec<UserId> {
        let (first, last) = UserId::range_of(server);
        let (first, last) = (Key::User(first), Key::User(last));
        let facts = self.facts.range(&first, &last);
        facts.filter_map(|(key, _)| if let Key::User(user) = key { Some(*user) } else { None }).collect()
    }

    /// Has one event mean what it should have meant all along.
    pub fn put_right(&mut self, dot: Dot, right: Option<(Key, Fact<Value>)>) -> Vec<News> {
        let keys = match dot.stream {
            Stream::Durable => self.durable.put_right(dot, right),
            _ => self.facts.put_right(dot, right),
        };
        self.refresh(Touched::from_keys(keys), &Cause::Merged)
    }
}
