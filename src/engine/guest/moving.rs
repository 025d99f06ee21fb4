//! How those come home who have been somebody here while their home was lost, and nobody notices: as home comes into sight,
//! they are shown as who they are there, and their clients wait until home has taken them in.
//!
//! Home takes a client in at a moment when both servers see the same, so that nothing of what it has been told differs from
//! what it will be; and tells it what was said meanwhile, and nothing twice. Where that moment does not come for too long,
//! the client sees itself leave and join.

use std::collections::BTreeMap;

use super::home::{Guest, Return};
use super::likeness::Likeness;
use super::refuge::{ASK_AGAIN_MS, Refugee};
use super::wander::PLEASE_COME_BACK;
use super::{MOVE_WITHIN_MS, MOVED, Pipe, PipeId};
use crate::engine::Engine;
use crate::engine::elsewhere::ANSWER_WITHIN_MS;
use crate::engine::event::{AskId, ConnId};
use crate::engine::merge::{Origin, Stream, Vector};
use crate::engine::network::{Edit, UserFact};
use crate::engine::peer::Request;
use crate::engine::pending::Then;
use crate::engine::session::Stage;
use crate::wire::fold::Folded;
use crate::wire::names::{ServerId, UserId};
use crate::wire::time::Now;

/// After so long a client may see that it moves.
const LOUD_AFTER_MS: u64 = 5_000;

/// For so long a home is not shown that has yet to hear what its people have done elsewhere, and how often it is told.
const HOLD_BACK_MS: u64 = 3_000;
const TELL_AGAIN_MS: u64 = 500;

/// How much of what was heard goes with a request.
const HEARD_BYTES_MAX: usize = 900;

/// What somebody was told by the time that they came to be shown as somebody else.
#[derive(Debug)]
pub struct Belief {
    pub likeness: Likeness,
    /// As whom they were then.
    pub called: UserId,
    /// How far messages had been heard.
    pub heard: Vector,
}

/// Somebody whose clients are on their way home.
#[derive(Debug)]
pub struct Moving {
    belief: Belief,
    /// What this server saw by the time that they were told what differs.
    sight: Option<u64>,
    since: Now,
    conns: BTreeMap<ConnId, Asked>,
}

/// What was asked of home for a client.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    is_open: bool,
    is_loud: bool,
}

/// What home has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    NotYet,
}

impl Engine {
    /// Before others may come into sight as whom people here could be shown: what those have been told is remembered.
    /// `concerns` says of which users that may be so.
    pub(in crate::engine) fn note_beliefs(&mut self, concerns: impl Fn(UserId) -> bool) {
        let refugees = self.guests.refuge.refugees.iter().filter(|(_, refugee)| refugee.moving.is_none());
        let refugees = refugees.map(|(user, _)| *user).filter(|user| {
            self.network.user(*user).is_some()
                && self.network.doubles_of(*user).into_iter().any(|other| other != *user && concerns(other))
        });
        for user in refugees.collect::<Vec<_>>() {
            self.note_belief_of(user);
        }
    }

    /// The same before a change is taken.
    pub(in crate::engine) fn note_beliefs_before(&mut self, edit: &Edit) {
        match edit {
            _ if self.guests.refuge.refugees.is_empty() => {}
            Edit::User { user, fact } => {
                let (user, root) = (*user, fact.stands_for);
                self.note_beliefs(|other| other == user || Some(other) == root);
                // Their own turn to stand for somebody comes with it.
                if root.is_some()
                    && self.network.user(user).is_some_and(|known| known.fact.stands_for != root)
                {
                    self.note_belief_of(user);
                }
            }
            Edit::Server(_) => self.note_beliefs(|_| true),
            _ => {}
        }
    }

    fn note_belief_of(&mut self, user: UserId) {
        if !self.guests.refuge.refugees.contains_key(&user) {
            return;
        }
        // What has been heard has been told as well.
        self.tell_late();
        self.end_mending_around(user);
        if let Some(likeness) = self.likeness(user) {
            let heard = self.network.seen(Stream::Message).clone();
            self.guests.refuge.beliefs.insert(user, Belief { likeness, called: user, heard });
        }
    }

    pub(in crate::engine) fn note_beliefs_of_doubles_on(&mut self, servers: &[ServerId]) {
        self.note_beliefs(|user| servers.contains(&user.server()));
    }

    /// Those move who are shown as somebody else by now.
    pub(in crate::engine) fn begin_moves(&mut self) {
        for (user, belief) in std::mem::take(&mut self.guests.refuge.beliefs) {
            if self.network.is_doubled(user) {
                self.begin_move(user, belief);
            }
        }
    }

    pub(super) fn begin_move(&mut self, user: UserId, belief: Belief) {
        let conns = self.sessions.conns_of(user).to_vec();
        let (far, near): (Vec<ConnId>, Vec<ConnId>) = conns.into_iter().partition(|conn| conn.is_virtual());
        for conn in &near {
            self.sessions.become_guest(*conn);
            self.hold_lines(*conn, MOVED);
        }
        self.sessions.come_back(user);
        let conns = near.into_iter().map(|conn| (conn, Asked::default())).collect();
        let heard = self.heard_where_reachable(&belief.heard);
        if let Some(refugee) = self.guests.refuge.refugees.get_mut(&user) {
            refugee.moving = Some(Moving { belief, sight: None, since: self.now, conns });
        }
        for conn in far {
            self.send_on(conn, heard.clone(), self.now.wall);
        }
    }

    fn moving_of(&self, conn: ConnId) -> Option<UserId> {
        let is_of = |refugee: &Refugee| {
            refugee.moving.as_ref().is_some_and(|moving| moving.conns.contains_key(&conn))
        };
        self.guests.refuge.refugees.iter().find(|(_, refugee)| is_of(refugee)).map(|(user, _)| *user)
    }

    fn moving_mut(&mut self, user: UserId) -> Option<&mut Moving> {
        self.guests.refuge.refugees.get_mut(&user)?.moving.as_mut()
    }

    /// Asks for those who move, or ends that.
    pub(in crate::engine) fn go_on_moving(&mut self) {
        let moving = self.guests.refuge.refugees.iter();
        let moving = moving.filter_map(|(user, refugee)| Some((*user, refugee.moving.as_ref()?)));
        let moving = moving.map(|(user, moving)| (user, moving.since.steady_ms, moving.conns.is_empty()));
        for (user, since_ms, is_over) in moving.collect::<Vec<_>>() {
            if is_over {
                self.end_move(user);
            } else if self.network.user(user).is_some() || self.now.steady_ms >= since_ms + MOVE_WITHIN_MS {
                self.come_back(user);
            } else {
                self.ask_home(user);
            }
        }
    }

    fn ask_home(&mut self, user: UserId) {
        let Some(of) = self.network.shown_for(user).filter(|of| *of != user) else { return };
        let (sight, now_ms) = (self.sight_hash(), self.now.steady_ms);
        self.tell_move(user, of, sight);
        let Some(fact) = self.network.user_even_unseen(user).map(|known| known.fact.clone()) else { return };
        let Some(refugee) = self.guests.refuge.refugees.get(&user) else { return };
        let Some(moving) = &refugee.moving else { return };
        let is_loud = now_ms >= moving.since.steady_ms + LOUD_AFTER_MS;
        let heard = self.heard_where_reachable(&moving.belief.heard);
        let sight = (!is_loud).then_some(sight);
        let back = Return { sight, heard, since: moving.since.wall, ..self.doings(user, refugee, &fact) };
        let nick = moving.belief.likeness.nick.clone();
        let idle = moving.conns.iter().filter(|(_, asked)| !asked.is_open).map(|(conn, _)| *conn);
        for conn in idle.collect::<Vec<_>>() {
            let Some(session) = self.sessions.get(conn) else { continue };
            let Some(account) = fact.account else { continue };
            let names = (&nick, fact.username.as_str(), fact.realname.as_str());
            let guest =
                Guest { back: Some(Box::new(back.clone())), ..Guest::of(session, of, account, names) };
            self.ask_for_guest(conn, guest);
            if let Some(asked) = self.moving_mut(user).and_then(|moving| moving.conns.get_mut(&conn)) {
                *asked = Asked { is_open: true, is_loud };
            }
        }
    }

    /// What somebody has done here that they are to have done at home.
    fn doings(&self, user: UserId, refugee: &Refugee, fact: &UserFact) -> Return {
        let (joined, parted) = refugee.moves(self.network.memberships(user));
        Return {
            former: user,
            tip: self.network.seen(Stream::Session).tip(self.origin()),
            sight: None,
            heard: Vector::default(),
            since: self.now.wall,
            changed: refugee.changed(fact),
            joined,
            parted,
        }
    }

    /// Whether a server that can be reached again is not shown yet: it is the home of somebody here who has done something
    /// meanwhile, and has yet to hear of it, or others would see that undone and done again.
    pub(in crate::engine) fn holds_back(&mut self, server: ServerId) -> bool {
        let now_ms = self.now.steady_ms;
        let mut asks = Vec::new();
        let mut holds = false;
        for (user, refugee) in &self.guests.refuge.refugees {
            let Some(of) = refugee.of_now(&self.network, *user).filter(|of| of.server() == server) else {
                continue;
            };
            let Some(fact) = self.network.user(*user).map(|known| &known.fact) else { continue };
            let doings = self.doings(*user, refugee, fact);
            let is_over = refugee.told_ms.is_some_and(|(first, _)| now_ms >= first + HOLD_BACK_MS);
            if is_over || self.has_done(of, fact, &doings) {
                continue;
            }
            holds = true;
            if refugee.told_ms.is_none_or(|(_, last)| now_ms >= last + TELL_AGAIN_MS) {
                asks.push((*user, of, fact.account, doings));
            }
        }
        for (user, of, account, doings) in asks {
            if let Some(refugee) = self.guests.refuge.refugees.get_mut(&user) {
                refugee.told_ms = Some((refugee.told_ms.map_or(now_ms, |(first, _)| first), now_ms));
            }
            if let Some(account) = account {
                let request = Request::Done { user: of, account, doings: Box::new(doings) };
                self.ask_server(server, HOLD_BACK_MS, request, Then::Nothing);
            }
        }
        holds
    }

    /// A server cannot be reached: what its people have done since, it is told anew.
    pub(in crate::engine) fn forget_held_back(&mut self, server: ServerId) {
        for refugee in
            self.guests.refuge.refugees.values_mut().filter(|refugee| refugee.of.server() == server)
        {
            refugee.told_ms = None;
        }
    }

    /// Whether somebody has done at home what they have done elsewhere, as far as that has been heard.
    fn has_done(&self, user: UserId, fact: &UserFact, doings: &Return) -> bool {
        let Some(known) = self.network.user_even_unseen(user) else { return true };
        let is_on = |channel: &&Folded| self.network.memberships(user).any(|there| there == *channel);
        let changed = doings.changed;
        (!changed.nick || known.fact.nick == fact.nick)
            && (!changed.away || known.fact.away == fact.away)
            && (!changed.realname || known.fact.realname == fact.realname)
            && doings.joined.iter().filter(is_on).count() == doings.joined.len()
            && !doings.parted.iter().any(|channel| is_on(&channel))
    }

    /// Asks the home of somebody to take a client in, and opens the pipe for it.
    pub(super) fn ask_for_guest(&mut self, conn: ConnId, guest: Guest) -> AskId {
        let user = guest.user;
        let epoch = self.network.seen(Stream::Session).epoch(user.server()).unwrap_or_default();
        let home = Origin { server: user.server(), epoch };
        let request = Request::Guest(Box::new(guest));
        let ask = self.ask_server(user.server(), ANSWER_WITHIN_MS, request, Then::Guest { conn });
        let id = PipeId { host: self.origin(), number: ask.0 };
        self.guests.open(id, Pipe::new(home, user, conn));
        ask
    }

    fn heard_where_reachable(&self, heard: &Vector) -> Vector {
        let is_here = |(origin, _): &(Origin, u64)| {
            self.network.reach(origin.server).is_some()
                && self.network.seen(Stream::Session).epoch(origin.server) == Some(origin.epoch)
        };
        let here: Vector = heard.iter().filter(is_here).collect();
        let bytes = here.iter().map(|(origin, tip)| origin.to_string().len() + 2 + tip.to_string().len());
        // Then only its time says what is new.
        if bytes.sum::<usize>() > HEARD_BYTES_MAX { Vector::default() } else { here }
    }

    /// Tells the clients of somebody who moves what is otherwise for whom they will be, on the channels that both are on:
    /// the others are home's to tell.
    fn tell_move(&mut self, user: UserId, of: UserId, sight: u64) {
        let Some(moving) = self.moving_mut(user).filter(|moving| moving.sight != Some(sight)) else { return };
        moving.sight = Some(sight);
        let conns: Vec<ConnId> = moving.conns.keys().copied().collect();
        let (likeness, called) = (moving.belief.likeness.clone(), moving.belief.called);
        self.flush_outgoing();
        for conn in conns {
            // So that what is said to it is said to somebody.
            if let Some(session) = self.sessions.get_mut(conn) {
                session.stage = Stage::Registered(of);
            }
            self.tell_unlike(conn, &likeness, (&[called, user], of), false);
            self.flush_outgoing();
            if let Some(session) = self.sessions.get_mut(conn) {
                session.stage = Stage::Guest;
            }
        }
        let now = self.likeness_where_shared(likeness, of);
        if let Some(moving) = self.moving_mut(user) {
            (moving.belief.likeness, moving.belief.called) = (now, of);
        }
    }

    /// Home has said whether it takes a client in that moves; `false` where the client does not.
    pub(super) fn move_answered(&mut self, conn: ConnId, answer: Answer) -> bool {
        let Some(user) = self.moving_of(conn) else { return false };
        let id = self.guests.of_conn(conn);
        match (answer, id) {
            (Answer::Yes, Some(id)) => self.guest_let_in(id),
            (Answer::NotYet, _) => {
                id.map(|id| self.guests.forget(id));
                if let Some(asked) = self.moving_mut(user).and_then(|moving| moving.conns.get_mut(&conn)) {
                    asked.is_open = false;
                }
            }
            _ => self.come_back(user),
        }
        true
    }

    /// A client that moves is let in at home; `false` where it does not.
    pub(super) fn arrive(&mut self, conn: ConnId) -> bool {
        let Some(user) = self.moving_of(conn) else { return false };
        let Some(moving) = self.moving_mut(user) else { return false };
        let asked = moving.conns.remove(&conn).unwrap_or_default();
        let known = &moving.belief.likeness;
        let prefix = format!("{}!{}@{}", known.nick, known.fact.username, known.fact.host);
        let channels = known.channels.iter().map(|room| format!(":{prefix} PART {}", room.name));
        let lines: Vec<String> = channels.filter(|_| asked.is_loud).collect();
        for line in lines {
            self.say(vec![conn], self.spoken(line));
        }
        self.flush_outgoing();
        true
    }

    /// What follows goes home, too.
    pub(super) fn release_moved(&mut self, conn: ConnId) {
        self.hear_on(conn, MOVED);
    }

    /// A connection that moves has gone.
    pub(super) fn leave_moving(&mut self, conn: ConnId) {
        if let Some(user) = self.moving_of(conn)
            && let Some(moving) = self.moving_mut(user)
        {
            moving.conns.remove(&conn);
        }
    }

    /// All have moved, or gone.
    fn end_move(&mut self, user: UserId) {
        let home = self.network.shown_for(user).unwrap_or(user).server();
        let server = self.network.server_name(home).to_string();
        self.guests.refuge.refugees.remove(&user);
        self.depart(user, &format!("Back on {server}"));
    }

    /// Those who cannot move are who they were.
    fn come_back(&mut self, user: UserId) {
        let Some(refugee) = self.guests.refuge.refugees.get_mut(&user) else { return };
        refugee.ask_ms = self.now.steady_ms + ASK_AGAIN_MS;
        let Some(Moving { belief, since, conns, .. }) = refugee.moving.take() else { return };
        if self.network.is_doubled(user)
            && let Some(known) = self.network.user_even_unseen(user)
        {
            let fact = UserFact { stands_for: None, ..known.fact.clone() };
            self.write(Edit::User { user, fact }, false);
        }
        for conn in conns.into_keys() {
            if let Some(id) = self.guests.of_conn(conn) {
                self.guests.forget(id);
            }
            if !self.sessions.get(conn).is_some_and(|session| matches!(session.stage, Stage::Guest)) {
                continue;
            }
            if self.network.user(user).is_none() {
                self.lose_client(conn, PLEASE_COME_BACK);
                continue;
            }
            self.sessions.register(conn, user, self.now.steady_ms);
            self.flush_outgoing();
            self.tell_unlike(conn, &belief.likeness, (&[belief.called], user), true);
            self.tell_missed(conn, &belief.heard, since.wall);
            self.hear_on(conn, MOVED);
        }
    }
}
