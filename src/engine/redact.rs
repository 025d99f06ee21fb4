//! What was taken back, told to those who may have seen it.

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::merge::Stream;
use super::mode;
use super::network::{Change, Redaction, Target, User};
use super::outgoing::{Outgoing, Spoken};
use super::session::Session;
use crate::wire::fold::fold;

impl Engine {
    pub(super) fn tell_redaction(&mut self, change: &Change, redaction: &Redaction) {
        // What has not come yet will not be shown when it does.
        if !self.network.seen(Stream::Message).covers(redaction.message) {
            return;
        }
        let can_hear = |session: &&Session| session.wants(Cap::DraftMessageRedaction);
        let (mut hears, target): (Vec<ConnId>, String) = match &redaction.target {
            Target::Channel { name, least } => {
                let Some(known) = self.network.channel(&fold(name.as_str())) else { return };
                let saw_it = known.members_of(self.identity.sid).filter(|(_, member)| {
                    let is_meant = least.is_none_or(|letter| mode::is_at_least(member.status, letter));
                    is_meant && member.fact.joined <= redaction.said
                });
                let others = saw_it.filter(|(user, _)| *user != redaction.sender);
                let hears = others.flat_map(|(user, _)| self.sessions.of(user)).filter(can_hear);
                (hears.map(|session| session.conn).collect(), mode::shown_target(known.name.as_str(), *least))
            }
            Target::User { user, nick } => {
                let from = self.network.user(redaction.sender).and_then(User::account_id);
                // Who heard nothing of what was said need not hear that it was not.
                let is_blocked = self.blocks(*user, Some(redaction.sender), from, &redaction.source);
                let hears = self.sessions.of(*user).filter(|session| !is_blocked && can_hear(session));
                (hears.map(|session| session.conn).collect(), nick.to_string())
            }
        };
        let (echo, others) = self.own_ears(redaction.sender, &redaction.target, |session| can_hear(&session));
        hears.extend(others);
        let sender = self.network.user(redaction.sender);
        let source = sender.map_or(redaction.source.clone(), User::prefix);
        let reason = redaction.reason.as_ref().map_or(String::new(), |reason| format!(" :{reason}"));
        let body = format!(":{source} REDACT {target} {}{reason}", redaction.message);
        let spoken = Spoken::new(change.stamp.time(), body)
            .tagged_if("account", redaction.account.as_deref())
            .tagged_if("draft/oper", sender.and_then(User::operator_tag))
            .tagged_if("bot", sender.and_then(User::bot_tag))
            .tagged("msgid", change.dot.to_string());
        for (to, spoken) in [(hears, spoken.clone().delivered()), (echo, spoken)] {
            if !to.is_empty() {
                self.outgoing.push(Outgoing { to: to.into(), spoken });
            }
        }
    }
}
