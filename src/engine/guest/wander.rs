//! Guests whose person has moved to another server: they are asked for there, and see themselves leave their channels and
//! join them.

use super::home::{Guest, Return};
use super::moving::Answer;
use super::{MOVE_WITHIN_MS, MOVED, Parcel};
use crate::engine::Engine;
use crate::engine::event::ConnId;
use crate::engine::merge::Vector;
use crate::engine::network::UserFact;
use crate::engine::session::Stage;
use crate::wire::names::{ChannelName, UserId};
use crate::wire::time::Timestamp;

/// What such a client is told that comes to be nobody's.
pub(super) const PLEASE_COME_BACK: &str = "Your person has moved; please come back";

/// A guest on its way from one home to another.
#[derive(Debug)]
pub struct Wanderer {
    former: UserId,
    fact: UserFact,
    /// Where the client is as far as it knows.
    channels: Vec<ChannelName>,
    heard: Vector,
    since: Timestamp,
    since_ms: u64,
    is_open: bool,
}

impl Engine {
    /// Hands a guest on to whoever its person is now, on whichever server.
    pub(super) fn send_on(&mut self, conn: ConnId, heard: Vector, since: Timestamp) {
        // What was said to it comes first.
        self.flush_outgoing();
        self.settle_guests();
        let id = self.guests.leave(conn);
        self.dismiss(conn);
        self.sessions.close(conn);
        if let Some(id) = id {
            self.say_in_pipe(id, Parcel::Moved(heard, since));
        }
    }

    /// Home has handed a guest on.
    pub(super) fn wander(&mut self, conn: ConnId, former: UserId, heard: Vector, since: Timestamp) {
        let known = self.network.user_even_unseen(former);
        let is_guest = self.sessions.get(conn).is_some_and(|session| matches!(session.stage, Stage::Guest));
        let Some(fact) = known.map(|known| known.fact.clone()).filter(|_| is_guest) else {
            return self.lose_client(conn, PLEASE_COME_BACK);
        };
        let channels = self.network.memberships(former).filter_map(|id| self.network.channel_or_shadow(id));
        let channels = channels.map(|channel| channel.name.clone()).collect();
        let since_ms = self.now.steady_ms;
        let wanderer = Wanderer { former, fact, channels, heard, since, since_ms, is_open: false };
        self.hold_lines(conn, MOVED);
        self.guests.refuge.wanderers.insert(conn, wanderer);
    }

    /// Asks for those who wander, or sends them away.
    pub(super) fn go_on_wandering(&mut self) {
        let now_ms = self.now.steady_ms;
        let idle = self.guests.refuge.wanderers.iter().filter(|(_, wanderer)| !wanderer.is_open);
        for conn in idle.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let Some(wanderer) = self.guests.refuge.wanderers.get_mut(&conn) else { continue };
            if now_ms >= wanderer.since_ms + MOVE_WITHIN_MS {
                self.guests.refuge.wanderers.remove(&conn);
                self.lose_client(conn, PLEASE_COME_BACK);
                continue;
            }
            let root = wanderer.fact.stands_for.unwrap_or(wanderer.former);
            let doubles = self.network.doubles_of(root);
            let mut seen = doubles.into_iter().filter_map(|user| self.network.user(user));
            let of = seen.find(|user| user.fact.account == wanderer.fact.account).map(|user| user.id);
            let (Some(of), Some(account)) = (of, wanderer.fact.account) else { continue };
            let Some(session) = self.sessions.get(conn) else { continue };
            let back = Return {
                former: wanderer.former,
                tip: 0,
                sight: None,
                heard: wanderer.heard.clone(),
                since: wanderer.since,
                changed: Default::default(),
                joined: Vec::new(),
                parted: Vec::new(),
            };
            let fact = &wanderer.fact;
            let names = (&fact.nick, fact.username.as_str(), fact.realname.as_str());
            let guest = Guest { back: Some(Box::new(back)), ..Guest::of(session, of, account, names) };
            wanderer.is_open = true;
            self.ask_for_guest(conn, guest);
        }
    }

    /// A server has said whether it takes in a guest that wanders; `false` where it does not wander.
    pub(super) fn wanderer_answered(&mut self, conn: ConnId, answer: Answer) -> bool {
        let Some(wanderer) = self.guests.refuge.wanderers.get_mut(&conn) else { return false };
        wanderer.is_open = answer != Answer::NotYet;
        let id = self.guests.of_conn(conn);
        match (answer, id) {
            (Answer::Yes, Some(id)) => self.guest_let_in(id),
            (Answer::NotYet, _) => drop(id.map(|id| self.guests.forget(id))),
            _ => {
                self.guests.refuge.wanderers.remove(&conn);
                id.map(|id| self.guests.forget(id));
                self.lose_client(conn, PLEASE_COME_BACK);
            }
        }
        true
    }

    /// One that wanders is let in; `false` where it does not wander.
    pub(super) fn end_wandering(&mut self, conn: ConnId) -> bool {
        let Some(wanderer) = self.guests.refuge.wanderers.remove(&conn) else { return false };
        let fact = &wanderer.fact;
        let prefix = format!("{}!{}@{}", fact.nick, fact.username, fact.host);
        for channel in &wanderer.channels {
            self.say(vec![conn], self.spoken(format!(":{prefix} PART {channel}")));
        }
        self.flush_outgoing();
        true
    }
}
