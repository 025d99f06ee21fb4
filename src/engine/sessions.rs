//! Every client's connection, and who is here by them.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::cap::Caps;
use super::event::ConnId;
use super::looks::Looks;
use super::person::{Absence, Person};
use super::session::{Session, Stage};
use crate::wire::letters::Letters;
use crate::wire::names::UserId;

#[derive(Debug, Default)]
pub struct Sessions {
    /// Each in a place of its own: they are large, and trees keep nearly half of theirs empty.
    by_conn: BTreeMap<ConnId, Box<Session>>,
    people: BTreeMap<UserId, Person>,
    /// Who has no connection for the moment.
    absent: BTreeSet<UserId>,
    /// How many connections speak for somebody.
    attached: usize,
    pub looks: Looks,
    /// What each line of a channel asks for, of everyone who hears it: side by side, since what is known of people
    /// otherwise lies scattered, and to fetch it from there takes several times as long. Found in one step, by a hash
    /// that is the same in every run; this server gives the ids out one by one, so nobody can choose them to collide.
    ears: FxHashMap<UserId, Ears>,
    caps: FxHashMap<ConnId, Caps>,
    /// Who follows any topic: they are few, and each who comes, goes or has another nick is told to them.
    followers: BTreeSet<ConnId>,
}

/// Where somebody hears.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ears {
    /// Nearly everybody has just one.
    first: Option<ConnId>,
    more: Vec<ConnId>,
    /// Not everything that is said on a channel is to get through to them.
    pub are_shielded: bool,
}

impl Ears {
    fn of(person: &Person) -> Ears {
        let (first, more) = match person.conns() {
            [] => (None, Vec::new()),
            [first, more @ ..] => (Some(*first), more.to_vec()),
        };
        Ears { first, more, are_shielded: person.shield.is_up() }
    }

    pub fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.first.into_iter().chain(self.more.iter().copied())
    }
}

impl Sessions {
    pub fn open(&mut self, session: Session) {
        self.caps.insert(session.conn, session.caps);
        self.looks.soon(session.conn);
        self.by_conn.insert(session.conn, Box::new(session));
    }

    /// The connection is no more.
    pub fn close(&mut self, conn: ConnId) -> Option<Session> {
        self.detach(conn);
        self.caps.remove(&conn);
        self.followers.remove(&conn);
        self.looks.forget(conn);
        self.by_conn.remove(&conn).map(|session| *session)
    }

    /// From here on the connection speaks for this user, who has just come or has others too.
    pub fn register(&mut self, conn: ConnId, user: UserId, now_ms: u64) {
        self.detach(conn);
        let session = self.by_conn.get_mut(&conn).expect("only an open connection registers");
        session.stage = Stage::Registered(user);
        self.attached += 1;
        let person = self.people.entry(user).or_insert_with(|| Person::new(now_ms));
        person.conns.push(conn);
        self.come_back(user);
        self.looks.soon(conn);
        self.prick_up(user);
    }

    /// From here on the connection speaks for somebody whose home is another server.
    pub fn become_guest(&mut self, conn: ConnId) {
        self.detach(conn);
        if let Some(session) = self.by_conn.get_mut(&conn) {
            session.stage = Stage::Guest;
            self.attached += 1;
        }
    }

    /// Somebody is here whose connections are yet to come.
    pub fn seat(&mut self, user: UserId, absence: Absence, now_ms: u64) {
        let absence = Some(absence);
        self.people.insert(user, Person { absence, ..Person::new(now_ms) });
        self.absent.insert(user);
        self.prick_up(user);
    }

    /// Somebody's last connection has gone, and they stay for the moment.
    pub fn leave(&mut self, user: UserId, absence: Absence) {
        if let Some(person) = self.people.get_mut(&user) {
            person.absence = Some(absence);
            self.absent.insert(user);
        }
    }

    /// Somebody is absent no more, if they were.
    pub fn come_back(&mut self, user: UserId) -> Option<Absence> {
        self.absent.remove(&user);
        self.people.get_mut(&user).and_then(|person| person.absence.take())
    }

    pub fn absent(&self) -> impl Iterator<Item = (UserId, &Absence)> {
        debug_assert!(
            self.absent.iter().eq(self
                .people
                .iter()
                .filter(|(_, it)| it.absence.is_some())
                .map(|(user, _)| user)),
            "{:?} have no connection",
            self.absent
        );
        let absent =
            self.absent.iter().filter_map(|user| self.people.get(user).map(|person| (*user, person)));
        absent.filter_map(|(user, person)| Some((user, person.absence.as_ref()?)))
    }

    /// The connection speaks for nobody any more; it only waits to be closed.
    pub fn dismiss(&mut self, conn: ConnId) {
        self.detach(conn);
        if let Some(session) = self.by_conn.get_mut(&conn) {
            session.stage = Stage::Closing;
        }
    }

    fn detach(&mut self, conn: ConnId) {
        let session = self.by_conn.get(&conn).map(Box::as_ref);
        if session.is_some_and(|session| matches!(session.stage, Stage::Guest)) {
            self.attached -= 1;
        }
        let user = session.and_then(Session::user);
        if let Some((user, person)) = user.and_then(|user| Some((user, self.people.get_mut(&user)?))) {
            person.conns.retain(|other| *other != conn);
            self.attached -= 1;
            self.prick_up(user);
        }
    }

    /// Somebody has gone who has no connection any more.
    pub fn forget(&mut self, user: UserId) {
        self.people.remove(&user);
        self.absent.remove(&user);
        self.ears.remove(&user);
    }

    /// Somebody hears on other connections than before, or not the same.
    pub fn prick_up(&mut self, user: UserId) {
        if let Some(person) = self.people.get(&user) {
            self.ears.insert(user, Ears::of(person));
        }
    }

    /// A connection has agreed on other capabilities.
    pub fn set_caps(&mut self, conn: ConnId, caps: Caps) {
        if let Some(session) = self.by_conn.get_mut(&conn) {
            session.caps = caps;
            self.caps.insert(conn, caps);
        }
    }

    /// A connection follows these topics from here on, and no others.
    pub fn set_topics(&mut self, conn: ConnId, topics: Letters) {
        if let Some(session) = self.by_conn.get_mut(&conn) {
            session.topics = topics;
            match topics.is_empty() {
                true => self.followers.remove(&conn),
                false => self.followers.insert(conn),
            };
        }
    }

    pub fn followers(&self, topic: char) -> impl Iterator<Item = &Session> {
        debug_assert!(
            self.followers.iter().eq(self
                .by_conn
                .iter()
                .filter(|(_, it)| !it.topics.is_empty())
                .map(|(conn, _)| conn)),
            "{:?} follow something",
            self.followers
        );
        let followers = self.followers.iter().filter_map(|conn| self.get(*conn));
        followers.filter(move |session| session.topics.has(topic))
    }

    /// Where somebody hears; `None` where the user is not here.
    pub fn ears_of(&self, user: UserId) -> Option<&Ears> {
        let ears = self.ears.get(&user);
        debug_assert_eq!(ears, self.people.get(&user).map(Ears::of).as_ref(), "{user} hears as they are");
        ears
    }

    /// What a connection has agreed on; nothing where it is no more.
    pub fn caps_of(&self, conn: ConnId) -> Caps {
        let caps = self.caps.get(&conn).copied();
        debug_assert_eq!(caps, self.by_conn.get(&conn).map(|session| session.caps), "{conn:?}");
        caps.unwrap_or_default()
    }

    pub fn get(&self, conn: ConnId) -> Option<&Session> {
        self.by_conn.get(&conn).map(Box::as_ref)
    }

    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.by_conn.get_mut(&conn).map(Box::as_mut)
    }

    pub fn person(&self, user: UserId) -> Option<&Person> {
        self.people.get(&user)
    }

    pub fn person_mut(&mut self, user: UserId) -> Option<&mut Person> {
        self.people.get_mut(&user)
    }

    pub fn people(&self) -> impl Iterator<Item = (UserId, &Person)> {
        self.people.iter().map(|(user, person)| (*user, person))
    }

    /// A user's own connections; none where the user is not here, or has none for the moment.
    pub fn conns_of(&self, user: UserId) -> &[ConnId] {
        self.people.get(&user).map(Person::conns).unwrap_or_default()
    }

    /// The same, with what is known of each.
    pub fn of(&self, user: UserId) -> impl Iterator<Item = &Session> {
        self.conns_of(user).iter().filter_map(|conn| self.get(*conn))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_conn.values().map(Box::as_ref)
    }

    /// How many connections have not registered yet.
    pub fn unknown(&self) -> usize {
        self.by_conn.len() - self.attached
    }

    /// How many people are here.
    pub fn registered(&self) -> usize {
        self.people.len()
    }
}
