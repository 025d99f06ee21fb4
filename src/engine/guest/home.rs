//! Home's part: a session for each guest, as if their client were connected here.

use std::net::SocketAddr;

use super::refuge::Reclaim;
use super::{Parcel, Pipe, PipeId, VIRTUAL};
use crate::engine::Engine;
use crate::engine::cap::Caps;
use crate::engine::effect::{Effect, Topic};
use crate::engine::event::ConnId;
use crate::engine::network::{AccountId, Metadata};
use crate::engine::offer;
use crate::engine::session::{Registration, Session, Stage};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::line::LineFault;
use crate::wire::names::{Nick, UserId};
use crate::wire::numeric;
use crate::wire::pin::Pin;

/// How much of a list of nicks goes from one server to another with a client.
const WATCHED_BYTES_MAX: usize = 3_000;

/// How many keys of metadata do.
pub(super) const WANTED_MAX: usize = 90;

/// A client as its host knows it, by the time that home is to take it in.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// The person that it wants to be, the account that it is logged in to, and the nick that it has asked for.
    pub user: UserId,
    pub account: AccountId,
    pub nick: Nick,
    pub username: String,
    pub realname: String,
    pub address: SocketAddr,
    pub name: Option<String>,
    pub secure: Option<String>,
    pub certificate: Option<Pin>,
    pub caps: Caps,
    pub cap_version: u64,
    /// Who it has been while this server was lost to its host, if anybody: then it has been welcomed before.
    pub former: Option<UserId>,
    /// Whether nobody sits before it.
    pub is_unattended: bool,
}

impl Engine {
    /// Takes a client of another server for one of somebody here, if the same would be done for a client of this one.
    pub(in crate::engine) fn take_in_guest(&mut self, id: PipeId, guest: Guest) -> Outcome {
        let now_ms = self.now.steady_ms;
        self.guests.virtual_made += 1;
        let conn = ConnId(VIRTUAL + self.guests.virtual_made);
        let mut session = Session::new(conn, guest.address, guest.name, guest.secure, now_ms);
        session.certificate = guest.certificate;
        session.account = Some(guest.account);
        session.cap_version = guest.cap_version;
        session.is_unattended = guest.is_unattended;
        for cap in guest.caps.iter() {
            // What is not offered here is nothing that this server could keep to.
            session.caps.set(cap, offer::may_request(&self.config, &session, cap));
        }
        session.stage = Stage::Registering(Registration {
            nick: Some(guest.nick.clone()),
            username: Some(guest.username.clone()),
            realname: guest.realname.clone(),
            ..Registration::default()
        });
        self.sessions.open(session);
        let turn = Turn::new(self, conn);
        let user = match guest.former {
            None => turn.own_person(&guest.nick).filter(|user| *user == guest.user),
            // Whoever it has been may still have the nick.
            Some(_) => Some(guest.user).filter(|user| turn.is_own_person(*user)),
        };
        let Some(user) = user else {
            self.sessions.close(conn);
            return Err(numeric::nick_in_use(&guest.nick).into());
        };
        self.guests.open(id, Pipe::new(id.host, user, conn));
        let caps = self.sessions.get(conn).map(|session| session.caps);
        if caps.is_some_and(|caps| caps != guest.caps) {
            self.say_in_pipe(id, Parcel::Caps(caps.unwrap_or_default(), guest.cap_version));
        }
        let server = self.network.server_name(id.host.server).to_string();
        let text =
            format!("conn={} is a client of {server} pipe={} from={}", conn.0, id.number, guest.address);
        self.note(log::Level::Info, Topic::Client, text);
        if !self.turn_away_address(conn) && !self.turn_away_user(conn, &guest.username, &guest.realname) {
            // Nothing else that this step says is for them.
            self.flush_outgoing();
            match guest.former {
                None => Turn::new(self, conn).attach(user),
                Some(former) => self.attach_again(conn, &guest.nick, former, user),
            }
            self.finish_turn(conn, None);
        }
        Ok(())
    }

    /// As `attach`, where the client has been welcomed before, and was somebody else by this nick a moment ago. Its host has
    /// had it leave its channels, since only the host knows what it has been told of them.
    fn attach_again(&mut self, conn: ConnId, nick: &Nick, former: UserId, user: UserId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.account = None;
        }
        self.sessions.register(conn, user, self.now.steady_ms);
        self.settle_security(user);
        if self.network.user(user).is_some_and(|known| known.fact.is_shown_unattended()) {
            self.rewrite_user(user, |fact| fact.away = None);
        }
        self.settle_attendance(user);
        if let Some(before) = self.network.user(former) {
            let claimed = before.fact.claimed.just_before(self.identity.sid);
            let nick = before.fact.nick.clone();
            self.guests.refuge.reclaims.insert(user, Reclaim { nick, claimed, from: former });
        }
        let Some(known) = self.network.user(user) else { return };
        let (called, channels) = (known.nick.clone(), known.channels.clone());
        if called != *nick {
            let body = format!(":{nick}!{}@{} NICK {called}", known.fact.username, known.fact.host);
            self.say(vec![conn], self.spoken(body));
        }
        for channel in &channels {
            self.say_joined(channel, user, vec![conn], None);
            Turn::new(self, conn).introduce_anew_to(channel);
        }
    }

    pub(super) fn hear_from_host(&mut self, id: PipeId, parcel: Parcel) {
        let Some(conn) = self.guests.pipes.get(&id).and_then(|pipe| pipe.conn) else { return };
        match parcel {
            Parcel::Line(line) => {
                let before = self.wishes(conn);
                self.hear_client_line(conn, Ok(&line));
                // What was answered comes first, as its number says.
                self.settle_guests();
                let now = self.wishes(conn);
                let changed = now.into_iter().zip(before).filter(|(now, before)| now != before);
                changed.for_each(|(now, _)| self.say_in_pipe(id, now));
            }
            Parcel::TooLong => self.hear_client_line(conn, Err(LineFault::TooLong)),
            Parcel::NotText(readable) => self.hear_client_line(conn, Err(LineFault::NotUtf8(&readable))),
            Parcel::Slowed => self.slowed(conn),
            Parcel::Said(key, value) => {
                if self.sessions.get(conn).is_some_and(|session| session.user().is_some()) {
                    Turn::new(self, conn).say_of_myself(Metadata::from([(key, value)]));
                    self.finish_turn(conn, None);
                }
            }
            Parcel::Wanted(keys) => {
                let most = self.config.metadata.subscriptions;
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.subscriptions = keys.into_iter().take(most).collect();
                }
            }
            Parcel::Watched(nicks) => self.watch_on(conn, nicks),
            Parcel::Closed(why) => {
                self.guests.forget(id);
                self.client_closed(conn, &why);
            }
            // What only home says.
            Parcel::Part(_)
            | Parcel::Charge(_)
            | Parcel::Hurry(_)
            | Parcel::Caps(..)
            | Parcel::Leaving
            | Parcel::Unknown => {}
        }
    }

    /// A client that comes back watches the nicks that it has watched; it is told of those with whom it is otherwise than it
    /// knows.
    fn watch_on(&mut self, conn: ConnId, nicks: Vec<(Nick, bool)>) {
        let Some(me) = self.sessions.get(conn).and_then(Session::user) else { return };
        for (nick, is_here) in nicks.into_iter().take(self.config.limits.monitored_nicks) {
            // Whom the client knows there need not be here any more; then it is told as if they had been anybody.
            let holder = self.network.user_called(nick.as_str()).map_or(me, |user| user.id);
            self.monitors.add(conn, nick.clone(), is_here.then_some(holder));
            self.monitors.unsettle(&nick);
        }
        self.settle_monitors();
    }

    /// The nicks that a client watches, as many as there is room for on one line between servers, and whether it was told
    /// that somebody has them.
    pub(super) fn watched_by(&self, conn: ConnId) -> Vec<(Nick, bool)> {
        let mut room = WATCHED_BYTES_MAX;
        let watched = self.monitors.known(conn).take_while(|(nick, _)| {
            room = room.saturating_sub(nick.as_str().len() + " +".len());
            room > 0
        });
        watched.map(|(nick, is_here)| (nick.clone(), is_here)).collect()
    }

    /// All that a client has asked for and its host has to know of, in case this server is lost.
    fn wishes(&self, conn: ConnId) -> Vec<Parcel> {
        let Some(session) = self.sessions.get(conn) else { return Vec::new() };
        let caps = Parcel::Caps(session.caps, session.cap_version);
        // Who has the nicks its host knows, too.
        let watched = self.watched_by(conn).into_iter().map(|(nick, _)| (nick, true)).collect();
        vec![
            caps,
            Parcel::Wanted(session.subscriptions.iter().take(WANTED_MAX).cloned().collect()),
            Parcel::Watched(watched),
        ]
    }

    /// This server ends: guests are to be somebody where they are connected. `false` where the client is none.
    pub(in crate::engine) fn leave_guest(&mut self, conn: ConnId) -> bool {
        let id = self.guests.of_conn(conn).filter(|_| conn.is_virtual());
        id.map(|id| self.say_in_pipe(id, Parcel::Leaving)).is_some()
    }

    /// The host of a guest is lost, and the client with it.
    pub(super) fn lose_host(&mut self, id: PipeId) {
        if let Some(conn) = self.guests.forget(id).and_then(|pipe| pipe.conn) {
            self.client_closed(conn, "Connection lost");
        }
    }

    /// Turns what is to be done for guests' connections into words to their hosts, in the order in which it is to be done.
    pub(in crate::engine) fn settle_guests(&mut self) {
        let has_guests = self.guests.by_conn.keys().next_back().is_some_and(|conn| conn.is_virtual());
        while has_guests && self.effects.iter().any(is_for_guests) {
            for effect in std::mem::take(&mut self.effects) {
                self.settle_guests_effect(effect);
            }
            // What followers are told of connections that have closed.
            self.flush_outgoing();
        }
    }

    fn settle_guests_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, line } if to.is_virtual() => {
                self.say_to_guest(to, Parcel::Line(line.to_string()));
            }
            Effect::SendAll { to, line } => {
                let (far, near): (Vec<ConnId>, Vec<ConnId>) = to.into_iter().partition(|to| to.is_virtual());
                for to in far {
                    self.say_to_guest(to, Parcel::Line(line.to_string()));
                }
                if !near.is_empty() {
                    self.effects.push(Effect::SendAll { to: near, line });
                }
            }
            Effect::Charge { conn, lines } if conn.is_virtual() => {
                self.say_to_guest(conn, Parcel::Charge(lines));
            }
            Effect::Unhurried { conn, on } if conn.is_virtual() => {
                self.say_to_guest(conn, Parcel::Hurry(!on));
            }
            // Its host has seen to that.
            Effect::Registered { conn } if conn.is_virtual() => {}
            Effect::Close { conn, why } if conn.is_virtual() => {
                if let Some(id) = self.guests.leave(conn) {
                    self.say_in_pipe(id, Parcel::Closed(why.clone()));
                }
                self.client_closed(conn, &why);
            }
            effect => self.effects.push(effect),
        }
    }

    fn say_to_guest(&mut self, conn: ConnId, parcel: Parcel) {
        if let Some(id) = self.guests.of_conn(conn) {
            self.say_in_pipe(id, parcel);
        }
    }
}

fn is_for_guests(effect: &Effect) -> bool {
    match effect {
        Effect::SendAll { to, .. } => to.iter().any(|to| to.is_virtual()),
        Effect::Send { to: conn, .. }
        | Effect::Charge { conn, .. }
        | Effect::Unhurried { conn, .. }
        | Effect::Registered { conn }
        | Effect::Close { conn, .. } => conn.is_virtual(),
        _ => false,
    }
}
