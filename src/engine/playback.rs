//! What was said before, in the words of today: each message as it was heard then, in a batch where a client takes one.

use super::Engine;
use super::cap::Cap;
use super::event::ConnId;
use super::merge::Stamp;
use super::mode;
use super::network::{Change, Edit, Happening, Message, Redaction, Target, User, Verb, What};
use super::outgoing::{Outgoing, Spoken};
use super::turn::Turn;
use crate::wire::base36;
use crate::wire::time::Timestamp;

/// How one message reads: with every tag that it has, and with those that each line has of one with several.
pub struct Wording {
    pub whole: Spoken,
    pub line: Spoken,
}

impl Engine {
    /// A message as it is heard: from this source, by this target.
    pub(super) fn wording(
        &self,
        message: &Message,
        (source, target): (&str, &str),
        time: Timestamp,
        msgid: Option<String>,
    ) -> Wording {
        let verb = message.verb.name();
        let body = match message.verb {
            Verb::Tagmsg => format!(":{source} {verb} {target}"),
            _ => format!(":{source} {verb} {target} :{}", message.text),
        };
        let sender = self.network.user(message.sender);
        let line = Spoken::new(time, body)
            // Whoever relays it is not who has said it.
            .tagged_if("account", message.account.as_deref().filter(|_| message.relayer().is_none()))
            .tagged_if("draft/relaymsg", message.relayer())
            .tagged_if("draft/oper", sender.and_then(User::operator_tag))
            .tagged_if("bot", sender.and_then(User::bot_tag));
        let whole = match msgid {
            Some(msgid) => line.clone().tagged("msgid", msgid),
            None => line.clone(),
        };
        // Denied is what comes by way of other servers, too.
        let tags = message.tags.iter().filter(|(key, _)| self.config.talk.takes_tag(key));
        let whole = tags.fold(whole, |whole, (key, value)| whole.tagged(key.clone(), value.clone()));
        Wording { whole, line }
    }

    /// What a message was for: a channel as it is called now, or was in the end, a person as they were called then.
    fn shown_as(&self, target: &Target, said: Stamp) -> String {
        match target {
            Target::Channel { name, least } => {
                let id = name.folded();
                let known = || self.network.channel(&id).map(|channel| &channel.name);
                let shown = self.network.former_name(&id, said).or_else(known).unwrap_or(name);
                mode::shown_target(shown.as_str(), *least)
            }
            Target::User { nick, .. } => nick.to_string(),
        }
    }

    /// Says again what was said, to one client.
    fn say_again(&mut self, conn: ConnId, change: &Change) {
        let (time, msgid) = (change.stamp.time(), change.dot.to_string());
        match &change.edit {
            Edit::Message(message) => {
                let target = self.shown_as(&message.target, change.stamp);
                let names = (message.source.as_str(), target.as_str());
                let Wording { whole, line } = self.wording(message, names, time, Some(msgid));
                match message.is_multiline() {
                    true => self.say_multiline(vec![conn], message, names, (&whole, &line)),
                    false => self.outgoing.push(Outgoing { to: conn.into(), spoken: whole }),
                }
            }
            Edit::Redact(redaction) => {
                let spoken = redacted(redaction, &self.shown_as(&redaction.target, redaction.said), time)
                    .tagged("msgid", msgid);
                self.outgoing.push(Outgoing { to: conn.into(), spoken });
            }
            Edit::Happening(happening) => {
                let Some(body) = self.happened(conn, happening, change.stamp) else { return };
                let spoken = Spoken::new(time, body)
                    .tagged_if("account", happening.account.as_deref())
                    .tagged("msgid", msgid);
                self.outgoing.push(Outgoing { to: conn.into(), spoken });
            }
            _ => {}
        }
    }
}

impl Engine {
    /// What happened on a channel, as a client would have heard it then.
    fn happened(&self, conn: ConnId, happening: &Happening, at: Stamp) -> Option<String> {
        let target = Target::Channel { name: happening.channel.clone(), least: None };
        let (source, channel) = (&happening.source, self.shown_as(&target, at));
        Some(match &happening.what {
            What::Joined { realname } => {
                let is_extended = self.sessions.get(conn).is_some_and(|it| it.wants(Cap::ExtendedJoin));
                let account = happening.account.as_deref().unwrap_or("*");
                let more = if is_extended { format!(" {account} :{realname}") } else { String::new() };
                format!(":{source} JOIN {channel}{more}")
            }
            What::Parted { reason: None } => format!(":{source} PART {channel}"),
            What::Parted { reason: Some(reason) } => format!(":{source} PART {channel} :{reason}"),
            What::Quit { reason } => format!(":{source} QUIT :{reason}"),
            What::Kicked { nick, reason } => format!(":{source} KICK {channel} {nick} :{reason}"),
            What::Renamed { nick } => format!(":{source} NICK {nick}"),
            What::Modes { line } => format!(":{source} MODE {channel} {line}"),
            What::Topic { text } => format!(":{source} TOPIC {channel} :{text}"),
            What::Recalled { from, name, reason } => {
                let knows = self.sessions.get(conn).is_some_and(|it| it.wants(Cap::ChannelRename));
                return knows.then(|| format!(":{source} RENAME {from} {name} :{reason}"));
            }
            What::Forgotten => return None,
        })
    }
}

fn redacted(redaction: &Redaction, target: &str, time: Timestamp) -> Spoken {
    let reason = redaction.reason.as_ref().map_or(String::new(), |reason| format!(" :{reason}"));
    let body = format!(":{} REDACT {target} {}{reason}", redaction.source, redaction.message);
    Spoken::new(time, body).tagged_if("account", redaction.account.as_deref())
}

impl Turn<'_> {
    /// Says something to the speaker as one batch, where they take batches.
    pub fn batched(&mut self, kind: &str, is_end: bool, say: impl FnOnce(&mut Turn)) {
        if !self.wants(Cap::Batch) {
            return say(self);
        }
        self.engine.batches_made += 1;
        let batch = base36::encode(self.engine.batches_made);
        let (server, time, to) = (self.server_name().to_string(), self.now.wall, self.conn);
        let start = Spoken::new(time, format!(":{server} BATCH +{batch} {kind}"));
        let start = start.tagged_if("draft/chathistory-end", is_end.then_some(""));
        self.engine.outgoing.push(Outgoing { to: to.into(), spoken: start });
        let first = self.engine.outgoing.len();
        say(self);
        for outgoing in &mut self.engine.outgoing[first..] {
            // A batch within this one is named by its own lines.
            outgoing.spoken = outgoing.spoken.clone().in_batch(&batch);
        }
        let spoken = Spoken::new(time, format!(":{server} BATCH -{batch}"));
        self.engine.outgoing.push(Outgoing { to: to.into(), spoken });
    }

    /// Says again what was said.
    pub fn play<'c>(&mut self, changes: impl IntoIterator<Item = &'c Change>) {
        changes.into_iter().for_each(|change| self.engine.say_again(self.conn, change));
    }
}
