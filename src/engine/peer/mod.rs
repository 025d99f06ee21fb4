//! What mesh servers say: rows for what is said on a link, rows for what is said to the network, and
//! for each its reading and writing.

mod accounts;
mod act;
mod ask;
mod bans;
mod chain;
mod channels;
mod claims;
mod compare;
mod complaints;
mod digest;
mod greet;
mod guests;
mod guise;
mod happenings;
mod intake;
mod markers;
mod metadata;
mod passing;
mod pull;
mod quarantine;
mod redactions;
mod registrations;
mod repair;
mod retell;
mod routes;
mod secret;
mod servers;
mod talk;
mod trust;
mod unattended;
mod users;
mod vectors;

use std::ops::Range;
use std::sync::Arc;

pub use accounts::WORD_BYTES_MAX;
pub use act::Act;
pub use ask::{Acted, Request};
pub use chain::Chains;
use claims::VainClaims;
pub use compare::Comparison;
use compare::{Doubts, RULES, name_of};
use digest::{digest_of_vector, line_of};
pub use guise::Guise;
pub use intake::Intake;
use intake::{Gap, WAITING_MAX, Wanted};
use metadata::name_of as name_of_metadata;
pub use passing::Passing;
pub use quarantine::Quarantine;
use repair::{read_stream, stage};
pub use retell::Asked;
use talk::{read_message, read_target, write_message_onto, write_target};
pub use trust::{Fault, Trust};
pub(super) use vectors::{read_named, write_named};
use vectors::{read_ranges, read_vector, write_ranges, write_vector, write_vector_in_parts};

use super::Engine;
use super::event::ConnId;
use super::links::LinkStage;
use super::merge::{Dot, Stamp, Stream};
use super::network::{Change, Edit};
use crate::wire::base36::{self, Base36};
use crate::wire::line::{LineFault, Lines};
use crate::wire::message::{Draft, Message};

/// What is said on one link, to the server at its other end.
pub struct PeerMessage {
    pub name: &'static str,
    pub params_min: usize,
    pub when: When,
    pub run: fn(&mut Engine, ConnId, &Message),
    /// The parameters, as a log entry shows what was expected.
    pub shape: &'static str,
}

/// When a message makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While both ends still prove who they are.
    Greeting,
    /// Once they have.
    Accepted,
    Always,
}

/// What is said to the whole network: a fact or a message, with its dot.
pub struct EventMessage {
    pub name: &'static str,
    pub params_min: usize,
    /// `None` where it makes no sense; the same answer on every server.
    pub read: fn(&Message) -> Option<Edit>,
    /// The parameters, as a log entry shows what was expected.
    pub shape: &'static str,
}

const PEER_MESSAGES: &[&[PeerMessage]] = &[
    greet::MESSAGES,
    secret::MESSAGES,
    routes::MESSAGES,
    repair::MESSAGES,
    compare::MESSAGES,
    chain::MESSAGES,
    ask::MESSAGES,
    guests::MESSAGES,
    passing::MESSAGES,
];

const EVENT_MESSAGES: &[&[EventMessage]] = &[
    servers::MESSAGES,
    users::MESSAGES,
    channels::MESSAGES,
    metadata::MESSAGES,
    registrations::MESSAGES,
    bans::MESSAGES,
    complaints::MESSAGES,
    markers::MESSAGES,
    accounts::MESSAGES,
    talk::MESSAGES,
    redactions::MESSAGES,
    happenings::MESSAGES,
];

impl Engine {
    /// Takes what a peer says, line by line; one that makes no sense costs only itself.
    pub(super) fn hear_peer(&mut self, conn: ConnId, lines: &Lines) {
        for line in lines.iter() {
            let Some(link) = self.links.by_conn.get_mut(&conn) else { return };
            if link.stage == LinkStage::Closing {
                return;
            }
            link.suspicion.heard(self.now.steady_ms);
            link.hearing.came(line.map_or(0, str::len));
            match line {
                Ok(line) => self.hear_peer_line(conn, line),
                Err(LineFault::TooLong) => self.note_senseless(conn, "TooLong"),
                Err(LineFault::NotUtf8(_)) => self.note_senseless(conn, "NotUtf8"),
            }
        }
    }

    fn hear_peer_line(&mut self, conn: ConnId, line: &str) {
        let Some(link) = self.links.by_conn.get(&conn) else { return };
        let accepted = link.is_accepted();
        let Some(message) = Message::parse(line) else { return };
        if message.tags.get("dot").is_some() {
            if !accepted {
                return self.refuse_peer(
                    conn,
                    "order",
                    "events come after both ends have accepted each other",
                );
            }
            match read_change(&message, line) {
                Some(change) => self.receive(conn, change, line.len()),
                None => self.note_senseless(conn, message.command),
            }
            return;
        }
        let Some(row) = PEER_MESSAGES.iter().copied().flatten().find(|row| row.name == message.command)
        else {
            return self.note_senseless(conn, message.command);
        };
        let in_time = match row.when {
            When::Greeting => !accepted,
            When::Accepted => accepted,
            When::Always => true,
        };
        if !in_time {
            let text = format!("{} comes out of turn", row.name);
            return self.refuse_peer(conn, "order", &text);
        }
        if message.params.len() < row.params_min {
            return self.note_senseless(conn, row.name);
        }
        (row.run)(self, conn, &message);
    }

    /// A line that makes no sense never closes a link.
    fn note_senseless(&mut self, conn: ConnId, what: &str) {
        let label = self.links.by_conn.get(&conn).map_or(String::new(), |link| link.label());
        let about = format!("{} {}", conn.0, what.get(..40).unwrap_or(what));
        let what: String = what.chars().filter(|c| !c.is_control()).take(40).collect();
        let peer = PEER_MESSAGES.iter().copied().flatten().map(|row| (row.name, row.shape));
        let events = EVENT_MESSAGES.iter().copied().flatten().map(|row| (row.name, row.shape));
        let shape = peer.chain(events).find(|(name, _)| *name == what).map_or("", |(_, shape)| shape);
        let text = format!(
            "{label} sent a line that makes no sense conn={} what={what} expected=\"{shape}\"",
            conn.0
        );
        self.suspect(Fault::Senseless, &about, &text);
    }

    fn send_peer(&mut self, conn: ConnId, draft: Draft) {
        // What a fact reads like may be a secret, whoever's it is.
        let is_apart = draft.is("WORDING") || guests::is_private(&draft);
        let line: Arc<str> = draft.line().into();
        self.effects.push(match is_apart {
            true => super::effect::Effect::SendApart { to: conn, line },
            false => super::effect::Effect::Send { to: conn, line },
        });
    }
}

/// Reads a line with a dot. What this version cannot read is kept as it came; only a line without a
/// sensible dot is nothing at all.
fn read_change(message: &Message, line: &str) -> Option<Change> {
    let dot = message.tags.get("dot")?;
    let (dot, number) = dot.rsplit_once('.')?;
    let dot = Dot::parse(dot)?;
    if dot.seq == 0 {
        return None;
    }
    let stamp = Stamp::from_number(base36::parse(number)?, dot.origin.server);
    let over = match message.tags.get("over") {
        Some(over) => over.split(',').map(Dot::parse).collect::<Option<Vec<Dot>>>()?,
        None => Vec::new(),
    };
    let after = message.tags.get("after").and_then(|after| base36::parse(&after)).unwrap_or(0);
    let more = message.tags.get("more").is_some();
    let row = EVENT_MESSAGES.iter().copied().flatten().find(|row| row.name == message.command);
    let line = || line.to_string();
    // Later versions say new things in new verbs, and name there what the fact is about.
    let foreign = || {
        let key = message.tags.get("key").filter(|_| row.is_none() && dot.stream != Stream::Message)?;
        let is_gone = message.tags.get("gone").is_some();
        Some(Edit::Foreign { key: key.into_owned(), is_gone, line: line() })
    };
    let edit = row
        .filter(|row| message.params.len() >= row.params_min)
        .and_then(|row| (row.read)(message))
        .map(|edit| match dot.stream {
            Stream::Durable => edit.clone().lasting().unwrap_or(edit),
            _ => edit,
        })
        .filter(|edit| edit.stream() == dot.stream)
        .or_else(foreign)
        .unwrap_or_else(|| Edit::Unknown { line: line() });
    Some(Change { dot, stamp, over, after, more, edit })
}

/// Reads a line that this server once put on disk.
pub(super) fn read_stored(line: &str) -> Option<Change> {
    read_change(&Message::parse(line)?, line)
}

/// A change as the line that carries it.
pub(super) fn write_change(change: &Change) -> String {
    write_change_after(change, change.after)
}

/// The same, to be heard by those who have heard so much of its writer's session.
pub(super) fn write_change_after(change: &Change, after: u64) -> String {
    written(change, after).line
}

/// A line that carries a change.
pub(super) struct Written {
    pub line: String,
    /// Where in it stands what has to be heard before it.
    after: Range<usize>,
}

impl Written {
    /// The line without what has to be heard before it, in two pieces.
    fn regardless(&self) -> [&str; 2] {
        [&self.line[..self.after.start], &self.line[self.after.end..]]
    }
}

fn written(change: &Change, after: u64) -> Written {
    let draft = match &change.edit {
        Edit::Foreign { line, .. } | Edit::Unknown { line } => {
            return Written { line: line.clone(), after: 0..0 };
        }
        Edit::Server(fact) => servers::write_server(fact),
        Edit::Goodbye { reason } => Draft::new("GOODBYE").trailing(reason),
        Edit::User { user, fact } => users::write_user(*user, fact),
        Edit::Quit { user, reason } => Draft::new("QUIT").param(user).trailing(reason),
        Edit::Join { user, channel: _, fact } => channels::write_join(*user, fact),
        Edit::Part { user, channel, reason } => channels::write_part(*user, channel, reason.as_deref()),
        Edit::Kick { user, channel, by, reason } => {
            Draft::new("KICK").param(user).param(channel).param(by).trailing(reason)
        }
        Edit::Setting { channel, birth, item, value, by } => {
            channels::write_setting(channel, *birth, *item, value.as_ref(), by)
        }
        Edit::Status { channel, birth, user, letter, fact, by } => {
            channels::write_status(channel, *birth, *user, *letter, fact, by)
        }
        Edit::Mask { channel, birth, list, mask, fact, by } => {
            channels::write_mask(channel, *birth, *list, mask, fact.as_ref(), by)
        }
        Edit::Read { account, place, time } => markers::write_marker(*account, place, *time),
        Edit::Lasting(edit) => {
            let inner = Change { edit: edit.as_ref().clone(), over: change.over.clone(), ..*change };
            return written(&inner, change.after);
        }
        Edit::Registration { channel, claimed, clause, fact, by } => {
            registrations::write_clause(channel, *claimed, *clause, fact.as_ref(), by)
        }
        Edit::Metadata { of, key, value, by } => metadata::write_metadata(of, key, value.as_deref(), by),
        Edit::Ban { kind, mask, fact, by } => bans::write_ban(*kind, mask, fact.as_ref(), by),
        Edit::Complaint { id, fact, by } => complaints::write_complaint(*id, fact.as_deref(), by),
        Edit::Account { account, field, fact, by } => {
            accounts::write_account(*account, field, fact.as_ref(), by)
        }
        Edit::Message(message) => talk::write_message(message),
        Edit::Redact(redaction) => redactions::write_redaction(redaction),
        Edit::Happening(happening) => happenings::write_happening(happening),
    };
    let mut draft = draft.tag_shown("dot", format_args!("{}.{}", change.dot, Base36(change.stamp.number())));
    if !change.over.is_empty() {
        let over: Vec<String> = change.over.iter().map(Dot::to_string).collect();
        draft = draft.tag("over", &over.join(","));
    }
    // The sign before the tags stands where the one that ends the tag before this does.
    let start = draft.tags_bytes();
    if after > 0 {
        draft = draft.tag_shown("after", Base36(after));
    }
    let after = start..draft.tags_bytes();
    if change.more {
        draft = draft.tag("more", "");
    }
    Written { line: draft.line(), after }
}

/// `*` stands for nothing, where something has to stand.
fn or_star(text: &str) -> &str {
    if text.is_empty() { "*" } else { text }
}

fn unless_star(text: &str) -> &str {
    if text == "*" { "" } else { text }
}

#[cfg(test)]
mod ask_tests;
#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod compare_tests;
#[cfg(test)]
mod durable_tests;
#[cfg(test)]
mod early_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod guests_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod link_tests;
#[cfg(test)]
use link_tests::Pair;
#[cfg(test)]
mod liveness_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
use chain::next_hash;
#[cfg(test)]
use compare_tests::{Mesh, TRIANGLE};
#[cfg(test)]
use digest::digest_of;
#[cfg(test)]
use hostile_tests::{Hall, Peer, WALL_MS};
