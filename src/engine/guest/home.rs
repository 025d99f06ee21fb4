//! Home's part: a session for each guest, as if their client were connected here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Parcel, Pipe, PipeId, VIRTUAL};
use crate::engine::Engine;
use crate::engine::cap::Caps;
use crate::engine::effect::{Effect, Topic};
use crate::engine::event::ConnId;
use crate::engine::merge::{Origin, Stream, Vector};
use crate::engine::network::{AccountId, Change, Edit, MemberFact, Metadata, User};
use crate::engine::offer;
use crate::engine::session::{Registration, Session, Stage};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::Folded;
use crate::wire::line::LineFault;
use crate::wire::names::{Nick, UserId, Word};
use crate::wire::numeric;
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

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
    /// Where it has been somebody while this server was lost to its host: then it has been welcomed before.
    pub back: Option<Box<Return>>,
    /// Whether nobody sits before it.
    pub is_unattended: bool,
}

impl Guest {
    /// A connection as it comes to be somebody's, by what it is called: nick, user name and real name.
    pub fn of(
        session: &Session,
        user: UserId,
        account: AccountId,
        (nick, username, realname): (&Nick, &str, &str),
    ) -> Guest {
        Guest {
            user,
            account,
            nick: nick.clone(),
            username: username.to_string(),
            realname: realname.to_string(),
            address: session.address,
            name: session.name.clone(),
            secure: session.secure.clone(),
            certificate: session.certificate,
            caps: session.caps,
            cap_version: session.cap_version,
            back: None,
            is_unattended: session.is_unattended,
        }
    }
}

/// What has been of somebody while their home was lost, and what their client knows by now.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// Who they were.
    pub former: UserId,
    /// How far home must have heard their host by now.
    pub tip: u64,
    /// What their host sees: home has to see the same. Not where the client is shown everything anew.
    pub sight: Option<u64>,
    /// The messages that the client has been shown, or could have been; and since when it is shown none.
    pub heard: Vector,
    pub since: Timestamp,
    pub changed: Changed,
    pub joined: Vec<Folded>,
    pub parted: Vec<Folded>,
}

/// What somebody has changed of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub nick: bool,
    pub away: bool,
    pub modes: bool,
    pub realname: bool,
}

impl Engine {
    /// Takes a client of another server for one of somebody here, if the same would be done for a client of this one.
    pub(in crate::engine) fn take_in_guest(&mut self, id: PipeId, guest: Guest) -> Outcome {
        if let Some(back) = &guest.back
            && !self.is_ready_for(id, &guest, back)
        {
            return Err(numeric::try_again(Word::echo("GUEST")).into());
        }
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
        let user = match guest.back {
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
            match &guest.back {
                None => Turn::new(self, conn).attach(user),
                Some(back) => self.attach_again(conn, &guest.nick, back, user),
            }
            self.finish_turn(conn, None);
        }
        Ok(())
    }

    /// Whether somebody can come back by now: nothing that they do notices it.
    fn is_ready_for(&mut self, id: PipeId, guest: &Guest, back: &Return) -> bool {
        match self.take_doings(id.host, (guest.user, guest.account), back) {
            None | Some(true) => return false,
            Some(false) => {}
        }
        let messages = self.network.seen(Stream::Message);
        let has_heard = back.heard.beyond(messages).is_empty();
        let sees_the_same = |sight| sight == self.sight_hash() && self.is_all_told_around(guest.user);
        has_heard && back.sight.is_none_or(sees_the_same)
    }

    /// Has somebody have done here what their host says they have done there; whether there was anything, and nothing where
    /// that has yet to be heard of.
    pub(in crate::engine) fn take_doings(
        &mut self,
        host: Origin,
        (user, account): (UserId, AccountId),
        doings: &Return,
    ) -> Option<bool> {
        if self.network.seen(Stream::Session).tip(host) < doings.tip {
            return None;
        }
        let is_same = |user: &&User| user.fact.account == Some(account);
        let former = self.network.user_even_unseen(doings.former).filter(is_same);
        let is_theirs = former.is_some_and(|known| known.server() == host.server);
        let is_here = self.network.user(user).filter(is_same).is_some();
        let is_new = is_theirs
            && is_here
            && self.sessions.person(user).is_some()
            && self.guests.refuge.merged.insert(doings.former);
        Some(is_new && self.take_over(user, doings))
    }

    /// What somebody has done elsewhere while this server was lost they have done here; whether there was anything.
    fn take_over(&mut self, user: UserId, back: &Return) -> bool {
        let tip = self.network.seen(Stream::Session).tip(self.origin());
        let Some(former) = self.network.user_even_unseen(back.former).map(|known| known.fact.clone()) else {
            return false;
        };
        let is_free = self.network.holder(&former.nick.folded()).is_none_or(|holder| holder == user);
        let claimed = self.clock.tick(self.now.wall);
        self.rewrite_user(user, |fact| {
            if back.changed.nick && is_free {
                (fact.nick, fact.claimed) = (former.nick.clone(), claimed);
            }
            if back.changed.away {
                fact.away = former.away.clone();
            }
            if back.changed.modes {
                fact.modes = fact.modes.taking_over(former.modes);
            }
            if back.changed.realname {
                fact.realname = former.realname.clone();
            }
        });
        for channel in &back.parted {
            if self.network.channel(channel).is_some_and(|known| known.has(user)) {
                self.write(Edit::Part { user, channel: channel.clone(), reason: None }, false);
            }
        }
        for channel in &back.joined {
            self.join_as(channel, back.former, user);
        }
        self.network.seen(Stream::Session).tip(self.origin()) != tip
    }

    /// Somebody is where they are as somebody else, and what they are there.
    fn join_as(&mut self, channel: &Folded, former: UserId, user: UserId) {
        let joined = self.clock.tick(self.now.wall);
        let Some(known) = self.network.channel_or_shadow(channel) else { return };
        let Some(member) = known.member_even_unseen(former).filter(|_| !known.has(user)) else { return };
        let fact = MemberFact {
            name: known.made_as.clone(),
            birth: known.birth,
            joined,
            status: member.status,
            is_silent: member.fact.is_silent,
        };
        self.write(Edit::Join { user, channel: channel.clone(), fact }, false);
        for conn in self.sessions.conns_of(user).to_vec() {
            Turn::new(self, conn).introduce_anew_to(channel);
        }
    }

    /// As `attach`, where the client has been welcomed before. It knows what its host has told it, as long as that sees the
    /// same as this server; or else it has been told to leave all its channels.
    fn attach_again(&mut self, conn: ConnId, nick: &Nick, back: &Return, user: UserId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.account = None;
        }
        // Where the client is as far as it knows, before anything is written.
        let is_quiet = back.sight.is_some();
        let known: BTreeSet<Folded> = match is_quiet {
            true => self.network.memberships(back.former).cloned().collect(),
            false => BTreeSet::new(),
        };
        let Some(prefix) = self.network.user(user).map(User::prefix) else { return };
        let gone =
            known.iter().filter_map(|id| self.network.channel_or_shadow(id)).filter(|there| !there.has(user));
        let mut lines: Vec<String> = gone.map(|there| format!(":{prefix} PART {}", there.name)).collect();
        let Some(now) = self.network.user(user) else { return };
        if now.nick != *nick && !is_quiet {
            lines.push(format!(":{nick}!{}@{} NICK {}", now.fact.username, now.fact.host, now.nick));
        }
        let new: Vec<Folded> = now.channels.difference(&known).cloned().collect();
        // What came from its host as late has been news to the client there.
        self.tell_late();
        self.sessions.register(conn, user, self.now.steady_ms);
        for line in lines {
            self.say(vec![conn], self.spoken(line));
        }
        for channel in &new {
            self.say_joined(channel, user, vec![conn], None);
            Turn::new(self, conn).introduce_anew_to(channel);
        }
        self.tell_missed(conn, &back.heard, back.since);
        self.settle_security(user);
        if self.network.user(user).is_some_and(|known| known.fact.is_shown_unattended()) {
            self.rewrite_user(user, |fact| fact.away = None);
        }
        self.settle_attendance(user);
    }

    /// Tells one client what was said since it has been told anything, of all that has been heard here; and as late what
    /// was said before that where it could not hear it.
    pub(super) fn tell_missed(&mut self, conn: ConnId, heard: &Vector, since: Timestamp) {
        self.flush_outgoing();
        let talk = self.network.talk();
        let (mut missed, mut late): (Vec<Arc<Change>>, Vec<Arc<Change>>) = (Vec::new(), Vec::new());
        for (origin, tip) in talk.seen().beyond(heard).iter() {
            for change in talk.range(origin, heard.tip(origin) + 1, tip) {
                let is_known = matches!(&change.edit, Edit::Message(message)
                    if self.network.user(message.sender).is_some() && !message.is_blank);
                if !is_known || talk.redacted().has(change.dot) {
                    continue;
                }
                let is_news = change.stamp.ms >= since.0 && !self.is_from_before(change);
                match is_news {
                    true => missed.push(change.clone()),
                    // Of others there is no telling how far the client has heard them.
                    false if heard.tip(origin) > 0 => late.push(change.clone()),
                    false => {}
                }
            }
        }
        missed.sort_by_key(|change| change.stamp);
        late.sort_by_key(|change| change.stamp);
        if self.sessions.get(conn).is_some_and(Session::takes_late) {
            self.tell_late_to(conn, &late);
        }
        for change in missed {
            self.tell_message(&change);
        }
        // Others have heard it.
        for outgoing in &mut self.outgoing {
            outgoing.to.retain(|to| to == conn);
        }
        self.outgoing.retain(|outgoing| !outgoing.to.is_empty());
        self.flush_outgoing();
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
            | Parcel::Moved(..)
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

    /// Tells the host of a guest, if it is one, which capabilities it has by now.
    pub(in crate::engine) fn tell_host_of_caps(&mut self, conn: ConnId) {
        let id = self.guests.of_conn(conn).filter(|_| conn.is_virtual());
        let caps = self.sessions.get(conn).map(|session| (session.caps, session.cap_version));
        if let Some((id, (caps, version))) = id.zip(caps) {
            self.say_in_pipe(id, Parcel::Caps(caps, version));
        }
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
            Effect::SendBundle { to, bundle } => {
                let (far, near): (Vec<ConnId>, Vec<ConnId>) = to.into_iter().partition(|to| to.is_virtual());
                for to in far {
                    let lines = bundle.lines().map(|line| Parcel::Line(line.to_string()));
                    lines.for_each(|line| self.say_to_guest(to, line));
                }
                if !near.is_empty() {
                    self.effects.push(Effect::SendBundle { to: near, bundle });
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
        Effect::SendAll { to, .. } | Effect::SendBundle { to, .. } => to.iter().any(|to| to.is_virtual()),
        Effect::Send { to: conn, .. }
        | Effect::Charge { conn, .. }
        | Effect::Unhurried { conn, .. }
        | Effect::Registered { conn }
        | Effect::Close { conn, .. } => conn.is_virtual(),
        _ => false,
    }
}
