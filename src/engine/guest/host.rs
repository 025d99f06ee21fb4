//! The host's part: a client that is somebody of another server is a guest, for whom this server is only the way there.

use std::collections::BTreeSet;

use super::home::WANTED_MAX;
use super::moving::Answer;
use super::pipe::PART_BYTES;
use super::{Guest, Parcel, PipeId};
use crate::engine::Engine;
use crate::engine::effect::{Effect, Topic};
use crate::engine::event::{AskId, ConnId};
use crate::engine::session::{Session, Stage};
use crate::engine::turn::Turn;
use crate::wire::letters::Letters;
use crate::wire::line::LineFault;
use crate::wire::message::cut;
use crate::wire::names::{MetadataKey, Nick, UserId};
use crate::wire::numeric;

impl Turn<'_> {
    /// Who it is that the speaker would be by this nick, where that is somebody of another server that can be asked.
    pub fn person_elsewhere(&self, nick: &Nick) -> Option<UserId> {
        let holder = self.network().holder(&nick.folded())?;
        let account = self.account()?.id;
        let user = self.network().user(holder)?;
        let is_other =
            holder.server() != self.server_id() && self.engine.routes.is_reachable(holder.server());
        (is_other && user.account_id() == Some(account)).then_some(holder)
    }

    /// Asks the home of somebody to take the speaker's connection for one of theirs. What the client says next waits.
    pub fn ask_to_be_guest(&mut self, user: UserId, nick: &Nick, username: &str, realname: &str) {
        let Some(account) = self.account().map(|account| account.id) else { return };
        let (conn, session) = (self.conn, self.session());
        let guest = Guest::of(session, user, account, (nick, username, realname));
        let ask = self.engine.ask_for_guest(conn, guest);
        self.hold_what_follows(ask);
        if let Some(registration) = self.registration() {
            registration.home = Some(ask);
        }
    }
}

impl Engine {
    /// Home has taken a client in: from here on it is a guest.
    pub(super) fn guest_let_in(&mut self, id: PipeId) {
        let Some(pipe) = self.guests.pipes.get(&id) else { return };
        let (Some(conn), user) = (pipe.conn, pipe.user) else { return };
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let said = match &mut session.stage {
            Stage::Registering(registration) => Some(std::mem::take(&mut registration.metadata)),
            Stage::Guest => None,
            Stage::Registered(_) | Stage::Closing => return,
        };
        let is_new = said.is_some();
        if !is_new && !self.arrive(conn) && !self.end_wandering(conn) {
            return;
        }
        let Some(session) = self.sessions.get_mut(conn) else { return };
        let wanted: BTreeSet<MetadataKey> = session.subscriptions.iter().take(WANTED_MAX).cloned().collect();
        session.account = None;
        // What it was an operator for here it is not at home.
        session.is_operator = false;
        if std::mem::take(&mut session.throttle.is_unhurried) {
            self.effects.push(Effect::Unhurried { conn, on: false });
        }
        self.sessions.set_topics(conn, Letters::NONE);
        self.sessions.become_guest(conn);
        let watched = self.watched_by(conn);
        if let Some(pipe) = self.guests.pipes.get_mut(&id) {
            pipe.watched = watched.iter().map(|(nick, _)| (nick.clone(), None)).collect();
        }
        self.monitors.clear(conn);
        if is_new {
            self.effects.push(Effect::Registered { conn });
        }
        let server = self.network.server_name(user.server()).to_string();
        let text = format!("conn={} is a guest uid={user} home={server} pipe={}", conn.0, id.number);
        self.note(log::Level::Info, Topic::Client, text);
        let said = said.into_iter().flatten().map(|(key, value)| Parcel::Said(key, value));
        for parcel in said.collect::<Vec<_>>() {
            self.say_in_pipe(id, parcel);
        }
        if !wanted.is_empty() {
            self.say_in_pipe(id, Parcel::Wanted(wanted));
        }
        if !watched.is_empty() {
            self.say_in_pipe(id, Parcel::Watched(watched));
        }
        match is_new {
            true => self.hear_on(conn, AskId(id.number)),
            false => self.release_moved(conn),
        }
    }

    /// Home has taken a client in, or has said no, or nothing: then somebody else has the nick that was asked for.
    pub(in crate::engine) fn guest_answered(&mut self, conn: ConnId, answer: Answer) {
        if self.move_answered(conn, answer) || self.wanderer_answered(conn, answer) {
            return;
        }
        let Some(id) = self.guests.of_conn(conn) else { return self.guest_refused(conn, None) };
        if answer == Answer::Yes {
            self.guest_let_in(id);
        }
        // Home may have been heard before.
        let is_guest = self.sessions.get(conn).is_some_and(|session| matches!(session.stage, Stage::Guest));
        if !is_guest {
            self.guests.forget(id);
            self.guest_refused(conn, Some(AskId(id.number)));
        }
    }

    fn guest_refused(&mut self, conn: ConnId, ask: Option<AskId>) {
        let registration = self.sessions.get_mut(conn).and_then(Session::registration);
        let known = registration.map(|said| (said.home.take(), said.nick.take()));
        if let Some((Some(_), Some(nick))) = &known {
            Turn::new(self, conn).reply(numeric::nick_in_use(nick));
            self.finish_turn(conn, None);
        }
        if let Some(ask) = ask.or(known.and_then(|(ask, _)| ask)) {
            self.hear_on(conn, ask);
        }
    }

    /// What the client has said meanwhile is heard now.
    pub(super) fn hear_on(&mut self, conn: ConnId, ask: AskId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.held.close(ask);
        }
        self.release_lines(conn);
    }

    /// Hands a line of a guest's on; `false` where the client is none.
    pub(in crate::engine) fn hand_on(&mut self, conn: ConnId, line: Result<&str, LineFault>) -> bool {
        let is_guest = |session: &Session| matches!(session.stage, Stage::Guest);
        if !self.sessions.get(conn).is_some_and(is_guest) {
            return false;
        }
        let Some(id) = self.guests.of_conn(conn) else { return false };
        let parcel = match line {
            Ok(text) => Parcel::Line(text.to_string()),
            Err(LineFault::TooLong) => Parcel::TooLong,
            // Enough to say what was wrong with it, and under which label.
            Err(LineFault::NotUtf8(readable)) => Parcel::NotText(cut(readable, PART_BYTES).to_string()),
        };
        self.say_in_pipe(id, parcel);
        true
    }

    /// A client says more than it may: home knows who that is.
    pub(in crate::engine) fn slowed(&mut self, conn: ConnId) {
        match self.guests.of_conn(conn).filter(|_| !conn.is_virtual()) {
            Some(id) => self.say_in_pipe(id, Parcel::Slowed),
            None => self.tell_of_flood(conn, "says too much and is read more slowly"),
        }
    }

    /// The connection of somebody who may be a guest ends, or has ended.
    pub(in crate::engine) fn guest_leaves(&mut self, conn: ConnId, why: &str) {
        self.leave_moving(conn);
        self.guests.refuge.wanderers.remove(&conn);
        if !conn.is_virtual()
            && let Some(id) = self.guests.leave(conn)
        {
            self.say_in_pipe(id, Parcel::Closed(why.to_string()));
        }
    }

    pub(super) fn hear_from_home(&mut self, id: PipeId, parcel: Parcel) {
        let Some(conn) = self.guests.pipes.get(&id).and_then(|pipe| pipe.conn) else { return };
        match parcel {
            Parcel::Line(line) => self.effects.push(Effect::Send { to: conn, line: line.into() }),
            Parcel::Charge(lines) => self.effects.push(Effect::Charge { conn, lines }),
            Parcel::Hurry(is_hurried) => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.throttle.is_unhurried = !is_hurried;
                }
                self.effects.push(Effect::Unhurried { conn, on: !is_hurried });
            }
            Parcel::Closed(why) => {
                self.guests.forget(id);
                self.dismiss(conn);
                self.effects.push(Effect::Close { conn, why });
            }
            Parcel::Caps(caps, version) => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.cap_version = version;
                    self.sessions.set_caps(conn, caps);
                }
            }
            Parcel::Wanted(keys) => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.subscriptions = keys;
                }
            }
            Parcel::Watched(nicks) => {
                if let Some(pipe) = self.guests.pipes.get_mut(&id) {
                    pipe.watched = nicks.into_iter().map(|(nick, _)| (nick, None)).collect();
                }
            }
            Parcel::Leaving => self.note_likeness(id),
            Parcel::Moved(heard, since) => {
                if let Some(pipe) = self.guests.forget(id) {
                    self.wander(conn, pipe.user, heard, since);
                }
            }
            // What only a host says.
            _ => {}
        }
    }
}
