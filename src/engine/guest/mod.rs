//! Guests: clients that are connected here, and are somebody whose home is another server; and the same seen from there.
//!
//! A person has one home, the server that writes what is known of them. Where a client of theirs comes to another server,
//! their *host*, it becomes a guest: from then on the host is a pipe between the client and home, which has a session for it
//! as if it were connected there. So every command means the same, wherever it is given.
//!
//! Home believes a host that a client is logged in to an account, as every server believes the account that another one
//! names in what it says of its own users: whoever holds the network's secret could claim to be anybody by that as well.
//! A third server has no say: only the pipe's other end is heard in it, as far as neighbours pass on what is true.

mod home;
mod host;
mod likeness;
mod moving;
mod pipe;
mod refuge;
mod wander;

use std::collections::BTreeMap;

pub use home::{Changed, Guest, Return};
pub use moving::Answer;
use pipe::ONE_ANSWER;
pub use pipe::{Parcel, Pipe, PipeId, read_caps, write_caps};

use refuge::Refuge;

use super::Engine;
use super::audit::Load;
use super::event::{AskId, ConnId};
use super::merge::{Origin, Stream};
use super::network::Reach;
use crate::wire::names::{ServerId, UserId};

/// What clients wait for whose person is on another server by now; no question has this number.
const MOVED: AskId = AskId(0);
/// After so long they do not move. What they say is held back for longer than that.
const MOVE_WITHIN_MS: u64 = 12_000;

/// Connections of guests at home are numbered from here on: the edge never comes so far.
const VIRTUAL: u64 = 1 << 63;

impl ConnId {
    /// Whether it is a connection to another server.
    fn is_virtual(self) -> bool {
        self.0 >= VIRTUAL
    }
}

/// All pipes that end here, and what becomes of those whose pipe breaks.
#[derive(Debug, Default)]
pub struct Guests {
    pipes: BTreeMap<PipeId, Pipe>,
    by_conn: BTreeMap<ConnId, PipeId>,
    /// How many connections of guests there have been at home.
    virtual_made: u64,
    refuge: Refuge,
}

impl Guests {
    pub(super) fn open(&mut self, id: PipeId, pipe: Pipe) {
        self.by_conn.extend(pipe.conn.map(|conn| (conn, id)));
        self.pipes.insert(id, pipe);
    }

    /// The pipe of a connection, here or at home.
    fn of_conn(&self, conn: ConnId) -> Option<PipeId> {
        self.by_conn.get(&conn).copied()
    }

    /// The connection is no more; what was said before may still be on its way.
    fn leave(&mut self, conn: ConnId) -> Option<PipeId> {
        let id = self.by_conn.remove(&conn)?;
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.conn = None;
        }
        Some(id)
    }

    fn forget(&mut self, id: PipeId) -> Option<Pipe> {
        let pipe = self.pipes.remove(&id)?;
        if let Some(conn) = pipe.conn {
            self.by_conn.remove(&conn);
        }
        Some(pipe)
    }

    /// How much waits, and how much may.
    pub fn load(&self, most: usize) -> Load {
        let count = self.pipes.values().map(Pipe::unheard_bytes).max().unwrap_or(0);
        // The line that was too much is kept, and what is said as the connection ends.
        let most = most.saturating_mul(ONE_ANSWER) + (64 << 10);
        Load { what: "bytes in a guest's pipe", count, most }
    }
}

impl Engine {
    /// Where a guest is connected, of whom this server is the home.
    pub(super) fn host_of(&self, conn: ConnId) -> Option<ServerId> {
        conn.is_virtual().then(|| self.guests.of_conn(conn).map(|id| id.host.server)).flatten()
    }

    /// Who the guests are that are connected here.
    pub(super) fn guests(&self) -> impl Iterator<Item = UserId> {
        let here = self.guests.by_conn.iter().filter(|(conn, _)| !conn.is_virtual());
        here.filter_map(|(_, id)| self.guests.pipes.get(id)).map(|pipe| pipe.user)
    }

    /// How many clients of other servers are somebody here.
    pub(super) fn guests_elsewhere(&self) -> usize {
        self.guests.by_conn.range(ConnId(VIRTUAL)..).count()
    }

    /// Says a word through a pipe, now and until it is heard.
    fn say_in_pipe(&mut self, id: PipeId, parcel: Parcel) {
        let (now_ms, most) = (self.now.steady_ms, self.config.limits.send_queue);
        let Some(pipe) = self.guests.pipes.get_mut(&id) else { return };
        if pipe.has_room(most, now_ms) || matches!(parcel, Parcel::Closed(_) | Parcel::Moved(..)) {
            pipe.hop = self.routes.next_hop(pipe.other.server);
            let numbers = pipe.push(parcel, now_ms);
            self.say_parcels(id, numbers);
        }
    }

    fn say_parcels(&mut self, id: PipeId, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let Some(pipe) = self.guests.pipes.get_mut(&id) else { return };
            let (other, heard) = (pipe.other, pipe.tell());
            if pipe.hop.is_some() {
                pipe.is_sent(number);
            }
            if let Some(parcel) = pipe.parcel(number).cloned() {
                self.send_parcel(id, other, number, heard, &parcel);
            }
        }
    }

    /// Whether a word in a pipe comes from who may speak there.
    fn is_other_end(&self, id: PipeId, from: Origin) -> bool {
        self.guests.pipes.get(&id).is_some_and(|pipe| pipe.other == from)
    }

    /// The other end has said a word, and how far it has heard ours.
    pub(super) fn hear_in_pipe(
        &mut self,
        id: PipeId,
        from: Origin,
        (number, heard): (u64, u64),
        parcel: Parcel,
    ) {
        if !self.is_other_end(id, from) {
            return self.send_no_pipe(id, from);
        }
        if id.host.server == self.identity.sid {
            // Whoever speaks has let the client in.
            self.guest_let_in(id);
        }
        self.heard_in_pipe(id, from, heard);
        let Some(pipe) = self.guests.pipes.get_mut(&id) else { return };
        let parcel = pipe.hear(number, parcel);
        let is_last = matches!(parcel, Some(Parcel::Closed(_) | Parcel::Moved(..)));
        if is_last || pipe.is_long_untold() {
            let heard = pipe.tell();
            self.send_heard(id, from, heard);
        }
        let Some(parcel) = parcel else { return };
        match id.host.server == self.identity.sid {
            true => self.hear_from_home(id, parcel),
            false => self.hear_from_host(id, parcel),
        }
    }

    /// The other end has heard all up to this word.
    pub(super) fn heard_in_pipe(&mut self, id: PipeId, from: Origin, number: u64) {
        let now_ms = self.now.steady_ms;
        if !self.is_other_end(id, from) {
            return;
        }
        let Some(pipe) = self.guests.pipes.get_mut(&id) else { return };
        pipe.heard_at = self.now.wall;
        let again = pipe.acknowledged(number, now_ms);
        if pipe.conn.is_none() && pipe.is_heard() {
            self.guests.forget(id);
            return;
        }
        self.say_parcels(id, again);
    }

    /// The other end knows nothing of a pipe, or no more.
    pub(super) fn no_pipe_there(&mut self, id: PipeId, from: Origin) {
        // Another run of it cannot know of one that its former run had.
        let is_meant = self.guests.pipes.get(&id).is_some_and(|pipe| pipe.other.server == from.server);
        if is_meant {
            self.break_pipe(id);
        }
    }

    /// What a tick brings: words are said again, and pipes end whose other end is lost.
    pub(super) fn chase_pipes(&mut self) {
        let now_ms = self.now.steady_ms;
        // Whose home is lost comes as somebody new only once who they were is gone, as are all others of that server.
        let is_turning = self.network.is_turning();
        let (mut broken, mut full) = (Vec::new(), Vec::new());
        let (mut again, mut heard) = (Vec::new(), Vec::new());
        for (id, pipe) in &mut self.guests.pipes {
            let other = pipe.other;
            let run = self.network.seen(Stream::Session).epoch(other.server);
            let reach = self.network.reach(other.server);
            if run != Some(other.epoch) || !matches!(reach, Some(Reach::Reachable | Reach::Held { .. })) {
                broken.extend((!is_turning).then_some(*id));
                continue;
            }
            full.extend(pipe.conn.filter(|_| pipe.is_full()));
            let hop = self.routes.next_hop(other.server);
            let numbers = pipe.due(hop, now_ms);
            if !numbers.is_empty() {
                again.push((*id, numbers));
            } else if hop.is_some() && pipe.is_untold() {
                heard.push((*id, other, pipe.tell()));
            }
        }
        again.into_iter().for_each(|(id, numbers)| self.say_parcels(id, numbers));
        heard.into_iter().for_each(|(id, other, number)| self.send_heard(id, other, number));
        broken.into_iter().for_each(|id| self.break_pipe(id));
        self.forget_likenesses();
        self.return_refugees();
        self.go_on_wandering();
        self.reclaim_nicks();
        full.into_iter().for_each(|conn| self.lose_client(conn, "SendQ exceeded"));
    }

    /// Nothing will come through a pipe any more.
    fn break_pipe(&mut self, id: PipeId) {
        match id.host.server == self.identity.sid {
            true => self.lose_home(id),
            false => self.lose_host(id),
        }
    }

    /// All guests here and all guests' homes are as good as gone: this server begins anew.
    pub(super) fn end_guests(&mut self, why: &str) {
        let here = self.guests.by_conn.keys().copied().filter(|conn| !conn.is_virtual());
        for conn in here.collect::<Vec<_>>() {
            self.close_client(conn, why);
        }
        self.settle_guests();
        self.guests = Guests { virtual_made: self.guests.virtual_made, ..Guests::default() };
    }
}
