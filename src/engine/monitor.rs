//! Who watches which nicks, and who had each of them when they were last told; and for whom somebody hides (user mode I).
//!
//! A nick is looked at again only when it may have changed hands, and what counts then is who has it in the end: a
//! nick that was given up and taken back in one repair was never gone.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::network::User;
use super::outgoing::{Outgoing, Spoken};
use crate::wire::fold::Folded;
use crate::wire::message::fill;
use crate::wire::names::{Nick, UserId};
use crate::wire::numeric::{self, Numeric};

/// Every list of MONITOR, and by whom each nick is watched.
#[derive(Debug, Default)]
pub struct Monitors {
    lists: BTreeMap<ConnId, BTreeMap<Folded, Nick>>,
    watched: BTreeMap<Folded, Watched>,
    /// Watched nicks that may have changed hands since their watchers were told.
    unsettled: BTreeSet<Folded>,
}

/// A nick that somebody watches.
#[derive(Debug, Default)]
struct Watched {
    /// Each watcher, with who has it as far as they know.
    by: BTreeMap<ConnId, Option<UserId>>,
}

impl Monitors {
    /// Puts a nick on a list, unless it is there already. `holder` is who can be seen under it.
    pub fn add(&mut self, conn: ConnId, nick: Nick, holder: Option<UserId>) {
        let name = nick.folded();
        self.lists.entry(conn).or_default().entry(name.clone()).or_insert(nick);
        self.watched.entry(name).or_default().by.entry(conn).or_insert(holder);
    }

    pub fn remove(&mut self, conn: ConnId, name: &Folded) {
        let Some(list) = self.lists.get_mut(&conn) else { return };
        if list.remove(name).is_none() {
            return;
        }
        if list.is_empty() {
            self.lists.remove(&conn);
        }
        if let Some(watched) = self.watched.get_mut(name) {
            watched.by.remove(&conn);
            if watched.by.is_empty() {
                self.watched.remove(name);
                self.unsettled.remove(name);
            }
        }
    }

    /// Forgets a whole list, as when its owner has gone.
    pub fn clear(&mut self, conn: ConnId) {
        let names: Vec<Folded> =
            self.lists.get(&conn).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        names.iter().for_each(|name| self.remove(conn, name));
    }

    /// The nicks on a list, as its owner wrote them.
    pub fn of(&self, conn: ConnId) -> impl Iterator<Item = &Nick> {
        self.lists.get(&conn).into_iter().flat_map(BTreeMap::values)
    }

    /// The same, with whether somebody has each as far as its owner knows.
    pub fn known(&self, conn: ConnId) -> impl Iterator<Item = (&Nick, bool)> {
        let list = self.lists.get(&conn).into_iter().flatten();
        list.map(move |(name, nick)| {
            let known = self.watched.get(name).and_then(|watched| watched.by.get(&conn));
            (nick, known.is_some_and(Option::is_some))
        })
    }

    pub fn has(&self, conn: ConnId, name: &Folded) -> bool {
        self.lists.get(&conn).is_some_and(|list| list.contains_key(name))
    }

    /// How many nicks stand on a list.
    pub fn count(&self, conn: ConnId) -> usize {
        self.lists.get(&conn).map_or(0, BTreeMap::len)
    }

    /// Everyone who watches a nick.
    pub fn watchers(&self, name: &Folded) -> impl Iterator<Item = ConnId> {
        self.watched.get(name).into_iter().flat_map(|watched| watched.by.keys().copied())
    }

    /// Somebody is another user from now on, and the same person.
    pub fn succeed(&mut self, from: UserId, to: UserId) {
        for watched in self.watched.values_mut() {
            watched
                .by
                .values_mut()
                .filter(|holder| **holder == Some(from))
                .for_each(|holder| *holder = Some(to));
        }
    }

    /// This nick may have changed hands.
    pub fn unsettle(&mut self, nick: &Nick) {
        if self.watched.is_empty() {
            return;
        }
        let name = nick.folded();
        if self.watched.contains_key(&name) {
            self.unsettled.insert(name);
        }
    }
}

/// What one watcher has to be told.
#[derive(Default)]
struct Told {
    gone: Vec<String>,
    here: Vec<String>,
    users: Vec<UserId>,
    away: Vec<UserId>,
}

impl Engine {
    /// Tells those who watch the nicks that have changed hands: all that one of them has to know at once.
    pub(super) fn settle_monitors(&mut self) {
        let mut told: BTreeMap<ConnId, Told> = BTreeMap::new();
        for name in std::mem::take(&mut self.monitors.unsettled) {
            let Some(watched) = self.monitors.watched.get(&name) else { continue };
            let holder = self.network.user_called(name.as_str());
            let mut seen = Vec::new();
            for (conn, before) in &watched.by {
                // Whoever is between two servers is told by the next.
                let watcher = self.sessions.get(*conn).and_then(|session| session.user());
                if watcher.is_none_or(|watcher| self.network.user(watcher).is_none()) {
                    continue;
                }
                let now = holder.filter(|user| self.is_here_for(*conn, user));
                if *before == now.map(|user| user.id) {
                    continue;
                }
                seen.push((*conn, now.map(|user| user.id)));
                let told = told.entry(*conn).or_default();
                if before.is_some() {
                    let written = self.monitors.lists.get(conn).and_then(|list| list.get(&name));
                    told.gone.extend(written.map(Nick::to_string));
                }
                if let Some(user) = now {
                    told.here.push(user.prefix());
                    told.users.push(user.id);
                    told.away.extend(user.fact.away.is_some().then_some(user.id));
                }
            }
            if let Some(watched) = self.monitors.watched.get_mut(&name) {
                watched.by.extend(seen);
            }
        }
        for (conn, told) in told {
            self.tell_watcher(conn, told);
        }
    }

    fn tell_watcher(&mut self, conn: ConnId, told: Told) {
        let Some(session) = self.sessions.get(conn) else { return };
        let Some(watcher) = session.user().and_then(|user| self.network.user(user)) else { return };
        let is_told_of_away = session.wants(Cap::ExtendedMonitor) && session.wants(Cap::AwayNotify);
        let (server, nick) = (self.identity.name.as_str(), watcher.nick.as_str());
        let gone = in_lines(told.gone, numeric::monitored_offline, server, nick);
        let here = in_lines(told.here, numeric::monitored_online, server, nick);
        for numeric in gone.into_iter().chain(here) {
            // Never a reply, whatever its hearer was just doing.
            let spoken = Spoken::new(self.now.wall, numeric.line(server, nick)).delivered();
            self.outgoing.push(Outgoing { to: conn.into(), spoken });
        }
        for user in told.users {
            self.say_metadata_of_watched(conn, user);
        }
        for user in told.away.into_iter().filter(|_| is_told_of_away) {
            self.say_away(user, vec![conn], None);
        }
    }

    /// Whether a client is told that somebody is here who does not meet it: of those who hide that, only who shares a
    /// channel with them, and operators.
    pub(super) fn is_here_for(&self, conn: ConnId, user: &User) -> bool {
        let session = self.sessions.get(conn);
        let viewer = || self.network.user(session?.user()?);
        let is_operator = || session.is_some_and(|session| session.is_operator);
        !user.has_mode('I') || is_operator() || viewer().is_some_and(|viewer| self.meets(viewer, user))
    }

    fn meets(&self, viewer: &User, user: &User) -> bool {
        let mut shared = viewer.channels.intersection(&user.channels);
        let lets_see = |name: &Folded| {
            self.network.channel(name).is_some_and(|channel| channel.lets_see(viewer.id, user.id))
        };
        viewer.id == user.id || shared.any(lets_see)
    }

    /// Somebody is where they were not, or is something else: those who hide may be here for others than before.
    pub(super) fn note_meeting(&mut self, user: UserId) {
        if self.monitors.watched.is_empty() {
            return;
        }
        let hides = |user: &User| user.has_mode('I');
        let mut nicks: Vec<Nick> = Vec::new();
        nicks.extend(self.network.user(user).filter(|user| hides(user)).map(|user| user.nick.clone()));
        for conn in self.sessions.conns_of(user) {
            let watched = self.monitors.of(*conn).filter_map(|nick| self.network.user_called(nick.as_str()));
            nicks.extend(watched.filter(|user| hides(user)).map(|user| user.nick.clone()));
        }
        nicks.iter().for_each(|nick| self.monitors.unsettle(nick));
    }

    /// The same where somebody begins to hide, ends it, or comes to see more or less of those who do.
    pub(super) fn note_hiding(&mut self, user: UserId) {
        if let Some(nick) = self.network.user(user).map(|user| user.nick.clone()) {
            self.monitors.unsettle(&nick);
        }
        self.note_meeting(user);
    }

    /// Those who watch somebody, and have asked to hear of more than whether they are here.
    pub(super) fn watchers_of(&self, user: &User, cap: Cap) -> Vec<ConnId> {
        let has_asked = |conn: &ConnId| {
            let session = self.sessions.get(*conn);
            session.is_some_and(|session| session.wants(Cap::ExtendedMonitor) && session.wants(cap))
                && self.is_here_for(*conn, user)
        };
        self.monitors.watchers(&user.nick.folded()).filter(has_asked).collect()
    }
}

/// Names with commas between them, on as many lines as it takes.
pub fn in_lines(
    names: impl IntoIterator<Item = String>,
    numeric: impl Fn(&str) -> Numeric,
    server: &str,
    target: &str,
) -> Vec<Numeric> {
    let room = numeric("").room(server, target);
    fill(names, room).iter().map(|line| numeric(&line.replace(' ', ","))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_behind_of_a_list_that_is_gone() {
        let nick = |text| Nick::parse(text, 30).expect("a nick");
        let (first, second) = (ConnId(1), ConnId(2));
        let mut monitors = Monitors::default();
        monitors.add(first, nick("Bob"), None);
        monitors.add(first, nick("bob"), None);
        monitors.add(second, nick("BOB"), None);
        monitors.add(second, nick("cyd"), None);
        assert_eq!(monitors.of(first).map(Nick::as_str).collect::<Vec<_>>(), ["Bob"]);
        assert_eq!((monitors.count(first), monitors.count(second)), (1, 2));
        assert_eq!(monitors.watchers(&nick("bOb").folded()).collect::<Vec<_>>(), [first, second]);
        monitors.unsettle(&nick("bob"));
        monitors.unsettle(&nick("dan"));
        assert_eq!(monitors.unsettled.len(), 1);
        monitors.clear(first);
        monitors.remove(second, &nick("bob").folded());
        assert!(monitors.unsettled.is_empty());
        monitors.clear(second);
        assert!(monitors.lists.is_empty() && monitors.watched.is_empty());
    }
}
