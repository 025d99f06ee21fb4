//! What may be asked of the network: of users and channels only those who can be seen, unless a name says otherwise.

use std::borrow::Cow;
use std::ops::Bound;

use super::forget;
use super::in_order::InOrder;
use super::log::Log;
use super::registration;
use super::{
    Account, AccountId, Accounts, Bans, Census, Channel, Clause, Edit, Key, Network, Reach, Registrations,
    Server, Standing, Subject, Talk, User, Value,
};
use crate::engine::merge::{Facts, Stamp, Stream, Vector};
use crate::wire::fold::{Folded, fold};
use crate::wire::names::{Nick, ServerId, UserId};
use crate::wire::time::Timestamp;

impl Network {
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

    pub(super) fn standing(&self, server: ServerId) -> Standing {
        self.reach.get(&server).map_or(Standing::Suspended, |reach| reach.standing())
    }

    /// A user who can be seen.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id).filter(|user| user.is_visible())
    }

    /// The same for many, whose ids are asked for in order.
    pub fn users_in_order<'n>(&'n self) -> impl FnMut(UserId) -> Option<&'n User> + 'n {
        let mut users = InOrder::new(&self.users);
        move |id| users.get(&id).filter(|user| user.is_visible())
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

    /// Those of them who come after this one.
    pub fn users_after(&self, user: Option<UserId>) -> impl Iterator<Item = &User> {
        let users = self.users.range((user.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        users.map(|(_, user)| user).filter(|user| user.is_visible())
    }

    /// How many users and channels can be seen.
    pub fn census(&self) -> Census {
        debug_assert_eq!(
            self.census,
            Census::of(self.users(), self.channels.values()),
            "the count follows them"
        );
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
        self.channels.get(name).filter(|channel| channel.is_visible())
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
        self.channels.iter().filter(|(_, channel)| channel.is_visible())
    }

    /// Those of them that come after this one.
    pub fn channels_after(&self, name: Option<&Folded>) -> impl Iterator<Item = (&Folded, &Channel)> {
        let after = name.map_or(Bound::Unbounded, Bound::Excluded);
        let channels = self.channels.range::<Folded, _>((after, Bound::Unbounded));
        channels.filter(|(_, channel)| channel.is_visible())
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
}
