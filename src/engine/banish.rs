//! Bans in force: who is turned away, who has to go, and what operators here hear of it.

use std::net::IpAddr;

use super::Engine;
use super::effect::Topic;
use super::event::ConnId;
use super::network::{BanFact, BanKind, Edit, Suspect, User};
use super::outgoing::{Outgoing, Spoken};
use super::session::Stage;
use crate::wire::numeric;
use crate::wire::time::Timestamp;

/// Expired bans are removed so much later, when no clock of the network can still have them in force.
const REMOVE_AFTER_MS: u64 = 60_000;

/// How many expired bans are removed at once, so that nobody waits for it.
const REMOVED_AT_ONCE: usize = 500;

impl Engine {
    /// Turns away a connection that comes from a banned address; `false` where it is not.
    pub(super) fn turn_away_address(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.sessions.get(conn) else { return false };
        let suspect = Suspect { username: None, hosts: &[], address: session.address.ip(), realname: None };
        let found = self.network.bans().against(BanKind::Address, &suspect, self.now.wall);
        let Some((mask, ban)) = found else { return false };
        let (mask, fact) = (mask.to_string(), ban.fact.clone());
        self.turn_away(conn, BanKind::Address, &mask, &fact);
        true
    }

    /// Turns away somebody who registers and is banned; `false` for everyone else.
    pub(super) fn turn_away_user(&mut self, conn: ConnId, username: &str, realname: &str) -> bool {
        let Some(session) = self.sessions.get(conn) else { return false };
        let address = session.address.ip();
        let (host, cloak) = (session.real_host(), self.cloak(address, session.name.as_deref()));
        let hosts: &[&str] = &[&host, &cloak];
        let suspect = Suspect { username: Some(username), hosts, address, realname: Some(realname) };
        let bans = self.network.bans();
        let found = [BanKind::UserHost, BanKind::Realname].into_iter().find_map(|kind| {
            let (mask, ban) = bans.against(kind, &suspect, self.now.wall)?;
            Some((kind, mask.to_string(), ban.fact.clone()))
        });
        let Some((kind, mask, fact)) = found else { return false };
        self.turn_away(conn, kind, &mask, &fact);
        true
    }

    /// Whether a real name is banned.
    pub(super) fn is_banned_realname(&self, user: &User, realname: &str) -> bool {
        let address = user.fact.address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let suspect = Suspect { username: None, hosts: &[], address, realname: Some(realname) };
        self.network.bans().against(BanKind::Realname, &suspect, self.now.wall).is_some()
    }

    /// Holds bans that have just come to be against everyone here. Whoever set one is spared, so that a
    /// slip of the finger can be put right.
    pub(super) fn enforce_bans(&mut self) {
        let bans = self.network.take_new_bans();
        if bans.is_empty() {
            return;
        }
        let mut banned: Vec<(ConnId, BanKind, String, BanFact)> = Vec::new();
        for session in self.sessions.iter().filter(|session| !matches!(session.stage, Stage::Closing)) {
            let user = session.user().and_then(|user| self.network.user_even_unseen(user));
            let hosts = user.map_or(Vec::new(), |user| user.fact.hosts());
            let suspect = Suspect {
                username: user.map(|user| user.fact.username.as_str()),
                hosts: &hosts,
                address: session.address.ip(),
                realname: user.map(|user| user.fact.realname.as_str()),
            };
            let met = bans.iter().find_map(|(kind, mask)| {
                let ban = self.network.bans().get(*kind, mask)?;
                let is_setter = user.is_some_and(|user| user.prefix() == ban.fact.by);
                let is_met = !is_setter && ban.fact.is_in_force(self.now.wall) && ban.matches(&suspect);
                is_met.then(|| (session.conn, *kind, mask.clone(), ban.fact.clone()))
            });
            banned.extend(met);
        }
        for (conn, kind, mask, fact) in banned {
            self.turn_away(conn, kind, &mask, &fact);
        }
        let unattended = self.sessions.people().filter(|(_, person)| person.conns().is_empty());
        let met = unattended.filter_map(|(user, _)| {
            let fact = &self.network.user_even_unseen(user)?.fact;
            let suspect = Suspect {
                username: Some(&fact.username),
                hosts: &fact.hosts(),
                address: fact.address.parse().ok()?,
                realname: Some(&fact.realname),
            };
            let is_met = |kind: &BanKind, mask: &str| {
                let ban = self.network.bans().get(*kind, mask);
                ban.is_some_and(|ban| ban.fact.is_in_force(self.now.wall) && ban.matches(&suspect))
            };
            let (kind, _) = bans.iter().find(|(kind, mask)| is_met(kind, mask))?;
            Some((user, kind.letter()))
        });
        for (user, letter) in met.collect::<Vec<_>>() {
            self.end_person(user, &format!("{letter}-Lined"));
        }
    }

    fn turn_away(&mut self, conn: ConnId, kind: BanKind, mask: &str, fact: &BanFact) {
        let Some(session) = self.sessions.get(conn) else { return };
        let known = session.user().and_then(|user| self.network.user(user));
        let user = session.user();
        let (nick, who) = match known {
            Some(user) => (user.nick.to_string(), user.prefix()),
            None => ("*".to_string(), session.address.to_string()),
        };
        let letter = kind.letter();
        let text =
            format!("conn={} {who} is banned {letter}-Line=\"{mask}\" why=\"{}\"", conn.0, fact.reason);
        self.note(log::Level::Info, Topic::Client, text);
        self.tally.bans.turned_away += 1;
        let told = format!("{who} is turned away by the {letter}-Line on {mask}: {}", fact.reason);
        self.tell_followers_here('r', &told);
        let line = numeric::banned_from_server(&fact.reason).line(self.identity.name.as_str(), &nick);
        self.outgoing.push(Outgoing { to: conn.into(), spoken: Spoken::new(self.now.wall, line) });
        let why = format!("{letter}-Lined");
        match user {
            // With the last connection they go, also who would stay without one.
            Some(user) if self.sessions.conns_of(user) == [conn] => self.end_person(user, &why),
            _ => self.close_client(conn, &why),
        }
    }

    /// Tells operators here who follow that, and the log, who did what.
    pub(super) fn tell_ban(
        &mut self,
        kind: BanKind,
        mask: &str,
        by: &str,
        before: Option<&BanFact>,
        after: Option<&BanFact>,
    ) {
        let line = format!("{}-Line on {mask}", kind.letter());
        let now = self.now.wall;
        let was_in_force = before.is_some_and(|before| before.is_in_force(now));
        let tally = &mut self.tally.bans;
        let counted = match after {
            Some(_) if was_in_force => &mut tally.changed,
            Some(_) => &mut tally.set,
            None if was_in_force => &mut tally.lifted,
            None => &mut tally.expired,
        };
        *counted += 1;
        let text = match after {
            Some(after) => {
                let verb = if was_in_force { "changed the" } else { "set a" };
                format!("{by} {verb} {line}, {}: {}", until(after.until), after.reason)
            }
            None if was_in_force => format!("{by} lifted the {line}"),
            // Nobody has to be told: it was over already.
            None => return self.note(log::Level::Debug, Topic::Operator, format!("the {line} has expired")),
        };
        // Every server hears of it by the fact itself, so nobody else has to tell them.
        self.tell_followers_here('x', &text);
        self.note(log::Level::Info, Topic::Operator, text);
    }

    /// Removes bans that have expired, as a write: so they are gone everywhere, whoever was away. One of
    /// those who can reach each other does so.
    pub(super) fn remove_expired_bans(&mut self) {
        if self.routes.reachable().min() != Some(self.identity.sid) {
            return;
        }
        let now = self.now.wall;
        let is_over = |fact: &BanFact| fact.until.is_some_and(|until| now.0 >= until.0 + REMOVE_AFTER_MS);
        let bans = self.network.bans().iter().filter(|(_, _, ban)| is_over(&ban.fact));
        let by = self.identity.name.to_string();
        let edits = bans.take(REMOVED_AT_ONCE).map(|(kind, mask, _)| {
            let (mask, by) = (mask.to_string(), by.clone());
            Edit::Ban { kind, mask, fact: None, by }
        });
        for edit in edits.collect::<Vec<_>>() {
            self.write(edit, false);
        }
    }
}

/// As people read it.
pub fn until(time: Option<Timestamp>) -> String {
    match time {
        Some(time) => format!("until {time}"),
        None => "for good".to_string(),
    }
}
