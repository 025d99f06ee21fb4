//! How this server writes, and how whatever anyone writes is taken: once, then told and passed on.

use std::sync::Arc;

use super::Engine;
use super::event::ConnId;
use super::merge::{Dot, Origin, Stream};
use super::network::{Change, Edit, UserFact};
use crate::wire::names::UserId;

impl Engine {
    /// This run of this server, which signs all that it writes.
    pub(super) fn origin(&self) -> Origin {
        Origin { server: self.identity.sid, epoch: self.identity.epoch }
    }

    /// As whom this server writes in a stream: durable facts belong to a generation of its store.
    pub(super) fn origin_of(&self, stream: Stream) -> Origin {
        match stream {
            Stream::Session | Stream::Message => self.origin(),
            Stream::Durable => Origin { server: self.identity.sid, epoch: self.generation },
        }
    }

    /// Writes an edit of this server's own; of a registered channel what is set is set for good.
    pub(super) fn write(&mut self, edit: Edit, more: bool) {
        let edit = self.network.lasting(edit);
        self.write_as(edit, more);
    }

    /// Rewrites what this server says of one of its users.
    pub(super) fn rewrite_user(&mut self, user: UserId, how: impl FnOnce(&mut UserFact)) {
        let Some(mut fact) = self.network.user(user).map(|known| known.fact.clone()) else { return };
        how(&mut fact);
        self.write(Edit::User { user, fact }, false);
    }

    /// Writes an edit as what it is.
    pub(super) fn write_as(&mut self, edit: Edit, more: bool) {
        let stream = edit.stream();
        let origin = self.origin_of(stream);
        let seq = self.network.seen(stream).tip(origin) + 1;
        let after = match stream {
            Stream::Session | Stream::Durable => 0,
            Stream::Message => self.network.seen(Stream::Session).tip(origin),
        };
        let change = Change {
            dot: Dot { origin, stream, seq },
            stamp: self.clock.tick(self.now.wall),
            over: self.network.replaced_by(&edit, origin),
            after,
            more,
            edit,
        };
        self.take(&Arc::new(change), None);
    }

    /// Takes the next change of its origin and stream, whoever wrote it.
    pub(super) fn take(&mut self, change: &Arc<Change>, from: Option<ConnId>) {
        self.turn_early(change);
        self.clock.observe(change.stamp);
        let line = self.chain(change, from);
        self.prepare_for(change, from);
        let newcomer = self.newcomer(change);
        self.note_beliefs_before(&change.edit);
        let news = self.network.apply(change);
        self.begin_moves();
        self.chronicle(change, line.as_ref());
        if change.dot.stream != Stream::Durable {
            self.forward(change, from, line);
        }
        let is_own = from.is_none() && change.dot.origin.server == self.identity.sid;
        let happenings = match is_own {
            true => self.happenings_of(&news),
            false => self.forced_happenings_of(&news),
        };
        self.tell(news);
        self.write_happenings(happenings);
        if let Some(user) = newcomer {
            self.tell_connected(user);
        }
        self.react();
    }

    /// Writes what this server has to write because of what it heard.
    pub(super) fn react(&mut self) {
        self.enforce_bans();
        self.settle_logins();
        loop {
            let edits = self.network.reactions();
            if edits.is_empty() {
                return;
            }
            let mut edits = edits.into_iter().peekable();
            while let Some(edit) = edits.next() {
                let more = edits.peek().is_some_and(|next| is_one_act(&edit, next));
                self.write(edit, more);
            }
        }
    }
}

/// Whether two edits are told as one: what somebody comes to be on one channel.
fn is_one_act(edit: &Edit, next: &Edit) -> bool {
    match (edit, next) {
        (Edit::Status { channel, user, .. }, Edit::Status { channel: other, user: another, .. }) => {
            (channel, user) == (other, another)
        }
        _ => false,
    }
}
