//! How what people say reaches whoever is to hear it here.

use std::sync::Arc;

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::mode;
use super::network::{Change, Edit, Message, Target, User, Verb};
use super::playback::Wording;
use super::session::Session;
use crate::defect::{Defect, is_planted};
use crate::wire::fold::fold;
use crate::wire::names::UserId;
use crate::wire::time::Timestamp;

/// A message from before a heal that is older than this was said in the split: it goes into the
/// record, and is not shown as if it had just been said.
pub const LATE_AFTER_MS: u64 = 10_000;

impl Engine {
    pub(super) fn tell_message(&mut self, change: &Arc<Change>) {
        let Edit::Message(message) = &change.edit else { return };
        // What this server wrote in an earlier run comes back to it as anyone else's.
        let is_own = change.dot.origin == self.origin()
            || (is_planted(Defect::EarlierRunIsMine) && change.dot.origin.server == self.identity.sid);
        let is_late = self.is_from_before(change);
        // Whoever has gone meanwhile, or has not been heard to come yet, cannot be heard any more, but is on record.
        let is_of_nobody =
            self.network.user(message.sender).is_none() || self.is_of_a_stranger(change, message);
        if !is_own && (is_late || is_of_nobody) {
            return self.note_late(change);
        }
        let msgid = change.dot.to_string();
        self.tell_said(message, change.stamp.time(), Some(msgid));
    }

    /// Whether it is from before its writer was heard again, and too old to be told as news.
    pub(super) fn is_from_before(&self, change: &Change) -> bool {
        let healed_ms = self.healed.get(&change.dot.origin.server).map_or(0, |healed| healed.0);
        change.stamp.ms < healed_ms && change.stamp.ms + LATE_AFTER_MS < self.now.wall.0
    }

    /// Whether somebody from whose disk this came did not know any more what its writer had said before, and here that has
    /// not come: nobody saw its sender join.
    fn is_of_a_stranger(&self, change: &Change, message: &Message) -> bool {
        let Target::Channel { name, .. } = &message.target else { return false };
        let channel = self.network.channel(&fold(name.as_str()));
        change.after == 0 && !channel.is_some_and(|channel| channel.has(message.sender))
    }

    /// Says a message to whom it is meant for, and to its sender who asked for echoes.
    pub(super) fn tell_said(&mut self, message: &Message, time: Timestamp, msgid: Option<String>) {
        let is_empty = || !message.tags.iter().any(|(key, _)| self.config.talk.takes_tag(key));
        if message.verb == Verb::Tagmsg && is_empty() {
            return;
        }
        let can_hear = |session: &Session| message.verb != Verb::Tagmsg || session.wants(Cap::MessageTags);
        // By the name that the sender has here: they may be called otherwise than where they wrote.
        let sender = self.network.user(message.sender);
        let source = match message.relayer() {
            None => sender.map_or(message.source.clone(), User::prefix),
            Some(_) => message.source.clone(),
        };
        let (mut hears, target) = match &message.target {
            Target::Channel { name, least } => {
                let Some(known) = self.network.channel(&fold(name.as_str())) else { return };
                let lets = |user| {
                    self.sessions.person(user).is_none_or(|it| it.shield.lets_channel(&source, message))
                };
                let mut hears = self.members_here_where(known, |user, ears, status| {
                    let is_meant = least.is_none_or(|letter| mode::is_at_least(status, letter));
                    let is_wanted = || !ears.are_shielded || lets(user);
                    is_meant && user != message.sender && is_wanted()
                });
                if message.verb == Verb::Tagmsg {
                    hears.retain(|conn| self.sessions.get(*conn).is_some_and(can_hear));
                }
                (hears, mode::shown_target(known.name.as_str(), *least))
            }
            Target::User { user, nick } => {
                for conn in self.sessions.conns_of(*user).to_vec() {
                    if let Some(session) = self.sessions.get_mut(conn) {
                        session.throttle.know(message.sender);
                    }
                }
                let hears = match self.lets_through(*user, &source, message) {
                    true => self.sessions.of(*user).filter(|session| can_hear(session)).collect(),
                    false => Vec::new(),
                };
                (hears.into_iter().map(|session| session.conn).collect(), nick.to_string())
            }
        };
        let (echo, others) = self.own_ears(message.sender, &message.target, can_hear);
        // Who writes to themselves has heard it by now on all of them.
        hears.extend(others.into_iter().filter(|conn| !hears.contains(conn)).collect::<Vec<_>>());
        let names = (source.as_str(), target.as_str());
        let Wording { whole, line } = self.wording(message, names, time, msgid);
        if message.is_multiline() {
            let delivered = (&whole.clone().delivered(), &line.clone().delivered());
            self.say_multiline(hears, message, names, delivered);
            return self.say_multiline(echo, message, names, (&whole, &line));
        }
        if echo.is_empty() {
            return self.say(hears, whole.delivered());
        }
        self.say(hears, whole.clone().delivered());
        self.say(echo, whole);
    }

    /// Which of a sender's own connections are shown what they sent: the one that they said it on, if its client asked for
    /// that; and all others whose clients can tell it from what somebody else says to them.
    pub(super) fn own_ears(
        &self,
        sender: UserId,
        target: &Target,
        can_hear: impl Fn(&Session) -> bool,
    ) -> (Vec<ConnId>, Vec<ConnId>) {
        let is_the_one = |session: &Session| self.voice.is_none_or(|voice| voice == session.conn);
        let is_on_channel = matches!(target, Target::Channel { .. });
        let hears = self.sessions.of(sender).filter(|session| {
            let is_another = !is_the_one(session);
            let knows_own = session.wants(Cap::EchoMessage)
                || is_another && (is_on_channel || session.wants(Cap::ZncSelfMessage));
            knows_own && can_hear(session)
        });
        let (own, others): (Vec<&Session>, Vec<&Session>) = hears.partition(|session| is_the_one(session));
        let conns = |sessions: Vec<&Session>| sessions.into_iter().map(|session| session.conn).collect();
        (conns(own), conns(others))
    }
}
