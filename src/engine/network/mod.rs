//! What all servers agree on. There is one way in, `apply` (and `merge`, for what was missed), and
//! what comes out is news: the difference between what users saw and what they see now.

mod account;
mod ban;
mod census;
mod change;
mod channel;
mod difference;
mod durable;
mod forget;
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
mod user;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use account::{
    Account, AccountFact, AccountId, Accounts, Credential, Device, Field, ScramKeys, Suspension,
    is_given_name,
};
pub use ban::{Ban, BanFact, BanKind, Bans, Suspect};
pub use census::Census;
pub use change::{Change, Edit, Key, Value, edit_of};
pub use channel::{
    Channel, Item, MaskFact, MemberFact, Renaming, Role, Setting, Settings, StatusFact, Topic,
};
pub use difference::Difference;
pub use durable::{Durable, Kept, Writing};
pub use metadata::{Metadata, Subject};
pub use multiline::{LINES_MAX, Text};
pub use news::{Leaving, ModeDelta, ModeValue, Neighbour, News, Quit, Split};
pub use redaction::{REDACTED_MAX, Redaction};
pub use registration::{Clause, ClauseFact, Registration, Registrations};
pub use routes::{Route, Routes};
pub use server::{ClientDoor, Reach, Server, ServerFact, Standing};
pub use talk::{Message, Talk, Target, Verb};
pub use user::{User, UserFact};

use super::merge::{Answer, Digested, Dot, Fact, Facts, Origin, Stamp, Stream, Vector, Write};
use crate::defect::{Defect, is_planted};
use crate::wire::fold::{Folded, fold};
use crate::wire::names::{Nick, ServerId, UserId};
use crate::wire::time::Timestamp;
use forget::Barren;
use log::Log;
use names::Names;
use refresh::{Cause, Touched};

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
    servers: BTreeMap<ServerId, Server>,
    /// Those that are part of the network, as far as anyone was told.
    shown: BTreeSet<ServerId>,
    users: BTreeMap<UserId, User>,
    census: Census,
    /// Who wants which nick; the oldest claim has it.
    claims: BTreeMap<Folded, BTreeSet<UserId>>,
    /// Where each user has a member fact, whether or not it counts.
    memberships: BTreeMap<UserId, BTreeSet<Folded>>,
    channels: BTreeMap<Folded, Channel>,
    names: Names,
    /// Channels whose members have yet to hear of another name, and who gave it.
    to_rename: BTreeMap<Folded, String>,
    accounts: Accounts,
    registrations: Registrations,
    /// Accounts that have changed since anybody here was asked what becomes of those who are logged in.
    new_accounts: bool,
    bans: Bans,
    /// Bans that nobody here has been held against yet.
    new_bans: BTreeSet<(BanKind, String)>,
    /// What this server still has to write because of what it heard.
    lost_nicks: BTreeSet<UserId>,
    late_births: BTreeSet<(Folded, UserId)>,
    /// The latest stamp that was heard of each server's facts.
    heard: BTreeMap<ServerId, Stamp>,
    barren: Barren,
}

impl Network {
    /// `events_kept` says how many of each origin can be given to those who missed them.
    pub fn new(me: ServerId, durable: Durable, events_kept: usize, talk: Talk) -> Network {
        Network {
            me,
            facts: Facts::default(),
            registrations: Registrations::of(durable.facts(), &Accounts::of(durable.facts())),
            accounts: Accounts::of(durable.facts()),
            new_accounts: false,
            bans: Bans::of(durable.facts()),
            new_bans: BTreeSet::new(),
            durable,
            talk,
            recent: Log::new(events_kept),
            reach: BTreeMap::from([(me, Reach::Reachable)]),
            servers: BTreeMap::new(),
            shown: BTreeSet::new(),
            users: BTreeMap::new(),
            census: Census::default(),
            claims: BTreeMap::new(),
            memberships: BTreeMap::new(),
            channels: BTreeMap::new(),
            names: Names::default(),
            to_rename: BTreeMap::new(),
            lost_nicks: BTreeSet::new(),
            late_births: BTreeSet::new(),
            heard: BTreeMap::new(),
            barren: Barren::default(),
        }
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

    /// What has to be put on disk next, with the number under which it will be said to be there.
    pub fn next_batch(&mut self) -> Option<(u64, Writing)> {
        self.durable.next_batch()
    }

    /// Every batch up to this one is on disk.
    pub fn keep(&mut self, number: u64) -> Kept {
        self.durable.keep(number)
    }

    /// Forgets all durable facts, to hear them anew from others; what this run of the server had written of
    /// them comes back as edits, to be written once more.
    pub fn begin_durable_anew(&mut self, own: Origin) -> Vec<Edit> {
        let edits = self.durable.begin_anew(own);
        let edits = edits.into_iter().map(|edit| edit.clone().lasting().unwrap_or(edit)).collect();
        self.accounts = Accounts::of(self.durable.facts());
        self.registrations = Registrations::of(self.durable.facts(), &self.accounts);
        self.bans = Bans::of(self.durable.facts());
        self.new_bans.clear();
        edits
    }

    /// Everything that must not end with a run of this server.
    pub fn into_durable(self) -> (Durable, Talk) {
        (self.durable, self.talk)
    }

    /// Whether accounts have changed since this was last asked.
    pub fn take_new_accounts(&mut self) -> bool {
        std::mem::take(&mut self.new_accounts)
    }

    /// Bans that nobody here has been held against yet.
    pub fn take_new_bans(&mut self) -> BTreeSet<(BanKind, String)> {
        std::mem::take(&mut self.new_bans)
    }

    /// Learns which servers there is a path to.
    pub fn set_reach(&mut self, changes: impl IntoIterator<Item = (ServerId, Reach)>) -> Vec<News> {
        let mut touched = Touched::default();
        for (server, reach) in changes {
            let before = self.standing(server);
            self.reach.insert(server, reach);
            if self.standing(server) != before {
                touched.servers.insert(server);
            }
        }
        self.refresh(touched, &Cause::Reach)
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
            if member.fact.birth > channel.birth {
                // Status counts only under the birth it was given in, so that nobody gains a channel
                // by making it anew on the far side of a split.
                let fact = member.fact.under(channel, self.access(&name, user));
                edits.push(Edit::Join { user, channel: name, fact });
            }
        }
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

    // What may be asked.

    /// The facts of a stream, as far as others may be told of them; messages are none.
    pub fn facts(&self, stream: Stream) -> &Facts<Key, Value> {
        if stream == Stream::Durable { self.durable.kept() } else { &self.facts }
    }

    /// The facts of a stream that count here, whether or not others may be told of them already.
    pub fn in_force(&self, stream: Stream) -> &Facts<Key, Value> {
        if stream == Stream::Durable { self.durable.facts() } else { &self.facts }
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The account that is called this, whoever it is that calls it so.
    pub fn account_named(&self, name: &str) -> Option<&Account> {
        self.accounts.named(name)
    }

    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    pub fn talk(&self) -> &Talk {
        &self.talk
    }

    pub fn recent(&self) -> &Log {
        &self.recent
    }

    pub fn seen(&self, stream: Stream) -> &Vector {
        match stream {
            Stream::Session => self.facts.seen(),
            Stream::Durable => self.durable.facts().seen(),
            Stream::Message => self.talk.seen(),
        }
    }

    /// How far a stream has been heard and may be spoken of: durable facts only once they are on disk.
    pub fn said(&self, stream: Stream) -> &Vector {
        if stream == Stream::Durable { self.durable.kept().seen() } else { self.seen(stream) }
    }

    pub fn reach(&self, server: ServerId) -> Option<Reach> {
        self.reach.get(&server).copied()
    }

    pub fn reaches(&self) -> impl Iterator<Item = (ServerId, Reach)> {
        self.reach.iter().map(|(server, reach)| (*server, *reach))
    }

    fn standing(&self, server: ServerId) -> Standing {
        self.reach.get(&server).map_or(Standing::Suspended, |reach| reach.standing())
    }

    /// A user who can be seen.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id).filter(|user| user.is_visible())
    }

    /// A user of whom there is a fact, though their server may be out of reach.
    pub fn user_even_unseen(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// The user who is called this, by nick or by the UID of one who lost theirs.
    pub fn user_called(&self, name: &str) -> Option<&User> {
        let by_claim = self.holder(&fold(name)).and_then(|id| self.users.get(&id));
        let by_id = || {
            let user = self.users.get(&UserId::parse(&name.to_ascii_uppercase())?)?;
            (user.nick == Nick::from(user.id)).then_some(user)
        };
        by_claim.or_else(by_id).filter(|user| user.is_visible())
    }

    /// Who has a nick, even where they cannot be seen: it is not free. Those who are logged in to the account that owns
    /// it come first, and of several the one with the oldest claim.
    pub fn holder(&self, nick: &Folded) -> Option<UserId> {
        let claims = self.claims.get(nick)?;
        let owner = self.accounts.owner_of(nick).map(|account| account.id);
        let rank = |id: &UserId| {
            let user = self.users.get(id)?;
            let is_owner = owner.is_some() && user.account_id() == owner;
            Some((!is_owner, user.fact.claimed))
        };
        claims.iter().copied().min_by_key(rank)
    }

    /// How far somebody has read: of what was written on several servers at once the furthest.
    pub fn read_marker(&self, account: AccountId, place: &Folded) -> Option<Timestamp> {
        let markers = self.durable.facts().siblings(&Key::Read(account, place.clone())).iter();
        let times = markers.filter_map(|fact| match fact.value {
            Value::Read(time) => Some(time),
            _ => None,
        });
        times.max()
    }

    /// In how many places somebody has read.
    pub fn read_markers(&self, account: AccountId) -> usize {
        let (first, last) = (fold(""), fold(&char::MAX.to_string()));
        self.durable.facts().range(&Key::Read(account, first), &Key::Read(account, last)).count()
    }

    /// Every user who can be seen.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().filter(|user| user.is_visible())
    }

    /// How many users can be seen.
    pub fn census(&self) -> Census {
        debug_assert_eq!(self.census, Census::of(self.users()), "the count follows them");
        self.census
    }

    /// Every user of one server who can be seen.
    pub fn users_of(&self, server: ServerId) -> impl Iterator<Item = &User> {
        let (first, last) = UserId::range_of(server);
        self.users.range(first..=last).map(|(_, user)| user).filter(|user| user.is_visible())
    }

    /// Where there is a fact of a user's membership, whether or not it counts.
    pub fn memberships(&self, user: UserId) -> impl Iterator<Item = &Folded> {
        self.memberships.get(&user).into_iter().flatten()
    }

    /// A channel with somebody on it who can be seen.
    pub fn channel(&self, name: &Folded) -> Option<&Channel> {
        self.channels.get(name).filter(|channel| channel.visible > 0)
    }

    pub fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    /// What an edit is on this network: what is set on a registered channel is so for good.
    pub fn lasting(&self, edit: Edit) -> Edit {
        let of = match &edit {
            Edit::Setting { channel, birth, .. }
            | Edit::Mask { channel, birth, .. }
            | Edit::Metadata { of: Subject::Channel(channel, birth), .. } => Some((channel, *birth)),
            _ => None,
        };
        let is_kept = of.is_some_and(|(channel, birth)| {
            self.registrations.get(channel).is_some_and(|registration| registration.birth == birth)
        });
        if is_kept { Edit::Lasting(Box::new(edit)) } else { edit }
    }

    /// A channel that exists, though perhaps for nobody at all: registered ones keep what is set.
    pub fn channel_or_kept(&self, name: &Folded) -> Option<Cow<'_, Channel>> {
        if let Some(channel) = self.channels.get(name) {
            return Some(Cow::Borrowed(channel));
        }
        let registration = self.registrations.get(name)?;
        Some(Cow::Owned(self.kept_channel(name, registration)))
    }

    /// The ends of all that stands in session facts under a birth.
    pub fn set_in_session(&self, channel: &Folded, birth: Stamp, by: &str) -> Vec<Edit> {
        forget::ends_under(&self.facts, channel, birth, by)
    }

    /// The same of durable facts.
    pub fn set_for_good(&self, channel: &Folded, birth: Stamp, by: &str) -> Vec<Edit> {
        forget::ends_under(self.durable.facts(), channel, birth, by)
    }

    /// The parts of a registration, the one that makes it one first.
    pub fn clauses_of(&self, channel: &Folded, claimed: Stamp) -> Vec<Clause> {
        let (first, last) = registration::clauses(channel, claimed);
        let facts = self.durable.facts().range(&first, &last);
        facts
            .filter_map(|(key, _)| if let Key::Registration(.., clause) = key { Some(*clause) } else { None })
            .collect()
    }

    /// A channel that exists, though perhaps only for people out of reach.
    pub fn channel_or_shadow(&self, name: &Folded) -> Option<&Channel> {
        self.channels.get(name)
    }

    pub fn channels(&self) -> impl Iterator<Item = (&Folded, &Channel)> {
        self.channels.iter().filter(|(_, channel)| channel.visible > 0)
    }

    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(&id)
    }

    /// Every server that has introduced itself and is part of what users see.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values().filter(|server| self.standing(server.id) == Standing::Present)
    }

    /// A server that is part of what users see, by its name.
    pub fn server_called(&self, name: &str) -> Option<&Server> {
        self.servers().find(|server| server.fact.name.eq_ignore_ascii_case(name))
    }

    /// A server's name; its id where it has not said.
    pub fn server_name(&self, id: ServerId) -> &str {
        self.servers.get(&id).map_or("*", |server| &server.fact.name)
    }

    /// Has one event mean what it should have meant all along.
    pub fn put_right(&mut self, dot: Dot, right: Option<(Key, Fact<Value>)>) -> Vec<News> {
        let keys = match dot.stream {
            Stream::Durable => self.durable.put_right(dot, right),
            _ => self.facts.put_right(dot, right),
        };
        self.refresh(Touched::from_keys(keys), &Cause::Merged)
    }

    /// A sum over all facts that servers have to hold alike; equal where the same has been heard.
    pub fn facts_hash(&self, stream: Stream) -> u64 {
        let statuses = self.statuses_that_count(stream).map(|(key, fact)| Value::digest(key, fact));
        statuses.fold(self.facts(stream).sum(), u64::wrapping_add)
    }

    /// The facts that are part of that sum. Anyone may forget the others on their own.
    pub fn facts_that_count(&self, stream: Stream) -> impl Iterator<Item = (&Key, &Fact<Value>)> {
        let facts = self.facts(stream);
        let summed = facts.iter().filter(|(key, fact)| facts.is_summed(key, fact));
        summed.chain(self.statuses_that_count(stream))
    }

    /// Statuses given to a join that is not over.
    fn statuses_that_count(&self, stream: Stream) -> impl Iterator<Item = (&Key, &Fact<Value>)> {
        self.facts(stream).iter().filter(|(key, fact)| match (key, &fact.value) {
            (Key::Status(channel, _, user, _), Value::Status(status)) => {
                let member = self.facts.get(&Key::Member(channel.clone(), *user));
                let in_latest_run = |fact: &Fact<Value>| self.facts.is_summed(&Key::User(*user), fact);
                member.is_some_and(|fact| {
                    let joined =
                        matches!(&fact.value, Value::Member(member) if member.joined == status.joined);
                    joined && in_latest_run(fact)
                })
            }
            _ => false,
        })
    }

    /// A digest of how far every origin has been heard.
    pub fn seen_hash(&self) -> u64 {
        let mut digest = Digest::default();
        digest.add(&(self.facts.seen(), self.durable.facts().seen(), self.talk.seen()));
        digest.0
    }

    /// A digest of everything users see, equal on servers that have heard the same.
    pub fn view_hash(&self) -> u64 {
        let mut digest = Digest::default();
        for server in self.servers() {
            digest.add(server);
        }
        for user in self.users() {
            digest.add(user);
        }
        for (name, channel) in self.channels() {
            digest.add(&(name, &channel.name, channel.birth, &channel.modes, &channel.topic, &channel.lists));
            digest.add(&channel.metadata);
            for (user, member) in channel.members() {
                digest.add(&(user, member.fact.joined, member.status));
            }
        }
        for registration in self.registrations.iter() {
            digest.add(&registration);
        }
        for account in self.accounts.iter() {
            digest.add(account);
        }
        for (kind, mask, ban) in self.bans.iter() {
            digest.add(&(kind, mask, &ban.fact));
        }
        digest.0
    }

    /// A digest of everything that is computed from facts, shown or not: equal on servers that have heard the
    /// same and to whom each server counts as much.
    pub fn meaning_hash(&self) -> u64 {
        let mut digest = Digest::default();
        digest.add(&self.servers);
        let counts = |user: &&User| user.standing != Standing::Forgotten;
        for user in self.users.values().filter(counts) {
            digest.add(user);
        }
        for (name, channel) in &self.channels {
            digest.add(&(name, channel));
        }
        for registration in self.registrations.iter() {
            digest.add(&registration);
        }
        for account in self.accounts.iter() {
            digest.add(account);
        }
        for (kind, mask, ban) in self.bans.iter() {
            digest.add(&(kind, mask, &ban.fact));
        }
        digest.0
    }
}

/// FNV-1a over what things print as for debugging: slow, but nothing can be forgotten; or over bytes.
pub struct Digest(pub u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add(&mut self, thing: &impl std::fmt::Debug) {
        std::fmt::Write::write_fmt(self, format_args!("{thing:?}\n")).expect("a digest takes any text");
    }
}

impl std::fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.add_bytes(text.as_bytes());
        Ok(())
    }
}
