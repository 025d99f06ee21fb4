//! What was said while two parts of the network could not hear each other: told when it has come, at its own times, to
//! those whose clients can put it where it belongs.

use std::sync::Arc;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::merge::Stamp;
use super::mode;
use super::network::{Change, Edit, Happening, Target, Verb, What};
use super::session::Session;
use super::shield;
use super::turn::Turn;
use crate::wire::fold::fold;

/// So many wait to be told; what is older is to be asked for.
const LATE_MAX: usize = 10_000;

/// What has come late and was not told yet.
#[derive(Debug, Default)]
pub struct Late(Vec<Arc<Change>>);

impl Session {
    /// Whether its client can put what comes late where it belongs.
    pub(super) fn takes_late(&self) -> bool {
        [Cap::Batch, Cap::ServerTime, Cap::DraftChathistory].into_iter().all(|cap| self.wants(cap))
    }
}

impl Engine {
    /// Notes what has come too late to be heard as if it had just been said.
    pub(super) fn note_late(&mut self, change: &Arc<Change>) {
        // However much happened, there is room for what was said.
        let most = if matches!(change.edit, Edit::Happening(_)) { LATE_MAX / 2 } else { LATE_MAX };
        if self.late.0.len() < most {
            self.late.0.push(change.clone());
        }
    }

    /// Tells what has come since the last tick.
    pub(super) fn tell_late(&mut self) {
        let mut changes = std::mem::take(&mut self.late.0);
        if changes.is_empty() {
            return;
        }
        changes.retain(|change| !self.network.talk().redacted().has(change.dot));
        changes.sort_by_key(|change| change.stamp);
        let sessions =
            self.sessions.iter().filter(|session| session.user().is_some() && session.takes_late());
        let conns: Vec<ConnId> = sessions.map(|session| session.conn).collect();
        for conn in conns {
            self.tell_late_to(conn, &changes);
        }
    }

    pub(super) fn tell_late_to(&mut self, conn: ConnId, changes: &[Arc<Change>]) {
        let mut places: Vec<(String, Vec<&Change>)> = Vec::new();
        for change in changes {
            let Some(place) = self.late_place(conn, change) else { continue };
            match places.iter_mut().find(|(name, _)| *name == place) {
                Some((_, changes)) => changes.push(change),
                None => places.push((place, vec![change])),
            }
        }
        let most = self.config.history.most_at_once;
        for (place, mut changes) in places {
            // The rest is to be asked for.
            changes.drain(..changes.len().saturating_sub(most));
            self.flush_outgoing();
            let mut turn = Turn::new(self, conn);
            turn.batched(&format!("chathistory {place}"), false, |turn| turn.play(changes));
            self.flush_outgoing();
        }
    }

    /// Where a client's user would have seen this happen, if they would have, and the client asks for it.
    fn late_place_of(&self, session: &Session, happening: &Happening, at: Stamp) -> Option<String> {
        let user = session.user().filter(|_| session.wants(Cap::DraftEventPlayback))?;
        let channel = self.network.channel(&happening.channel.folded())?;
        let member = channel.member(user)?;
        let is_meant = happening.least.is_none_or(|letter| mode::is_at_least(member.status, letter));
        let is_news = !happening.is_for_plain || member.status.is_empty();
        let was_there = member.fact.joined <= at && channel.birth <= at;
        let is_known = happening.what == What::Forgotten
            || matches!(happening.what, What::Recalled { .. }) && !session.wants(Cap::ChannelRename);
        (is_meant && is_news && was_there && !is_known).then(|| channel.name.to_string())
    }

    /// Where a client's user would have heard this, if they would have.
    fn late_place(&self, conn: ConnId, change: &Change) -> Option<String> {
        let session = self.sessions.get(conn)?;
        if let Edit::Happening(happening) = &change.edit {
            return self.late_place_of(session, happening, change.stamp);
        }
        let (Edit::Message(message), user) = (&change.edit, session.user()?) else { return None };
        // Programs would answer what was asked of them long ago.
        let is_for_programs = message.verb == Verb::Tagmsg && !session.wants(Cap::DraftEventPlayback)
            || shield::is_ctcp(message);
        if is_for_programs {
            return None;
        }
        match &message.target {
            Target::Channel { name, least } => {
                let channel = self.network.channel(&fold(name.as_str()))?;
                let member = channel.member(user)?;
                let is_meant = least.is_none_or(|letter| mode::is_at_least(member.status, letter));
                let was_there = member.fact.joined <= change.stamp && channel.birth <= change.stamp;
                let shield = &self.sessions.person(user)?.shield;
                let is_wanted = shield.lets_channel(&message.source, message);
                (is_meant && was_there && is_wanted).then(|| channel.name.to_string())
            }
            Target::User { user: to, .. } => {
                let sender = message.source.split('!').next().unwrap_or_default();
                let is_wanted = || self.lets_through(user, &message.source, message);
                (*to == user && is_wanted()).then(|| sender.to_string())
            }
        }
    }
}
