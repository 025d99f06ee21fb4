//! The gate: what every line of every client passes, so that handlers begin with what is their own.

use super::attach::Going;
use super::command::{self, Who};
use super::effect::Effect;
use super::effect::Topic;
use super::event::ConnId;
use super::outgoing::{Outgoing, Spoken};
use super::session::{Session, Stage};
use super::turn::{Deferred, Outcome, Turn};
use super::{Engine, cap};
use crate::wire::base36;
use crate::wire::line::{LineFault, Lines};
use crate::wire::message::Message;
use crate::wire::names::Word;
use crate::wire::numeric;
use crate::wire::standard::Standard;

impl Engine {
    pub(super) fn hear_client(&mut self, conn: ConnId, lines: &Lines) {
        for line in lines.iter() {
            self.hear_client_line(conn, line);
        }
    }

    pub(super) fn hear_client_line(&mut self, conn: ConnId, line: Result<&str, LineFault>) {
        let Some(session) = self.sessions.get_mut(conn) else { return };
        if matches!(session.stage, Stage::Closing) {
            return;
        }
        session.heard_ms = self.now.steady_ms;
        session.pinged_ms = None;
        if let Some(line) = self.hold_line(conn, line) {
            self.hear_line(conn, line);
        }
    }

    /// Handles one line whose time has come.
    pub(super) fn hear_line(&mut self, conn: ConnId, line: Result<&str, LineFault>) {
        if self.sessions.get(conn).is_none_or(|session| matches!(session.stage, Stage::Closing)) {
            return;
        }
        if self.hand_on(conn, line) {
            return;
        }
        let mut turn = Turn::new(self, conn);
        let label = match line {
            Ok(text) => turn.obey(text),
            Err(fault) => turn.refuse_line(fault),
        };
        self.finish_turn(conn, label);
    }

    /// Gives a client's replies their label, and turns all that was said into effects.
    pub(super) fn finish_turn(&mut self, conn: ConnId, label: Option<String>) {
        let is_open = self.sessions.get(conn).is_some_and(|session| !matches!(session.stage, Stage::Closing));
        let label = self.hold_replies(conn, label);
        if let Some(label) = label.filter(|_| is_open) {
            self.label_replies(conn, &label);
        }
        self.flush_outgoing();
    }

    /// One reply carries the label itself, several stand in a batch that does, and none is an ACK. Where all are one
    /// batch already, that is the one.
    fn label_replies(&mut self, conn: ConnId, label: &str) {
        // They stay where the first of them stood: what the client hears besides may come of what they say.
        let is_reply = |outgoing: &Outgoing| outgoing.to.has(conn) && !outgoing.spoken.is_delivery();
        let start = self.outgoing.iter().position(is_reply).unwrap_or(self.outgoing.len());
        let behind = self.outgoing.split_off(start);
        let before = std::mem::replace(&mut self.outgoing, behind);
        let replies = self.take_replies(conn, false);
        let behind = std::mem::replace(&mut self.outgoing, before);
        let server = self.identity.name.to_string();
        let line = |body: String| Spoken::new(self.now.wall, body);
        let labeled = match replies.len() {
            0 => vec![line(format!(":{server} ACK")).tagged("label", label)],
            1 => replies.into_iter().map(|reply| reply.tagged("label", label)).collect(),
            _ if is_one_batch(&replies) => {
                let first = |place| place == 0;
                let replies = replies.into_iter().enumerate();
                replies
                    .map(|(place, reply)| reply.tagged_if("label", first(place).then_some(label)))
                    .collect()
            }
            _ => {
                self.batches_made += 1;
                let batch = base36::encode(self.batches_made);
                let first = line(format!(":{server} BATCH +{batch} labeled-response")).tagged("label", label);
                let last = line(format!(":{server} BATCH -{batch}"));
                // A batch within this one is named by its own first line only.
                let inner = replies.into_iter().map(|reply| reply.in_batch(&batch));
                std::iter::once(first).chain(inner).chain(std::iter::once(last)).collect()
            }
        };
        self.outgoing.extend(labeled.into_iter().map(|spoken| Outgoing { to: conn.into(), spoken }));
        self.outgoing.extend(behind);
    }

    pub(super) fn flush_outgoing(&mut self) {
        Outgoing::all_into_effects(std::mem::take(&mut self.outgoing), &self.sessions, &mut self.effects);
    }

    /// Takes up a command whose replies had to wait, for a client that may have gone since.
    pub(super) fn resume(&mut self, reply: Deferred, handle: impl FnOnce(&mut Turn) -> Outcome) {
        let Some(session) = self.sessions.get(reply.conn) else { return };
        if session.user().is_none() {
            return;
        }
        self.flush_outgoing();
        let mut turn = Turn::new(self, reply.conn);
        if let Err(refusal) = handle(&mut turn) {
            turn.refuse(refusal);
        }
        self.finish_turn(reply.conn, reply.label);
    }

    /// As `resume`, for a line that may have to wait once more.
    pub(super) fn go_on(&mut self, reply: Deferred, handle: impl FnOnce(&mut Turn) -> Outcome) {
        let Some(session) = self.sessions.get(reply.conn) else { return };
        if session.user().is_none() {
            return;
        }
        self.flush_outgoing();
        let mut turn = Turn::new(self, reply.conn);
        turn.label = reply.label;
        if let Err(refusal) = handle(&mut turn) {
            turn.refuse(refusal);
        }
        let label = turn.label.take();
        self.finish_turn(reply.conn, label);
    }

    /// Ends a client's connection: everyone hears of it, then the client, then the connection is closed.
    pub(super) fn close_client(&mut self, conn: ConnId, why: &str) {
        self.end_client(conn, why, Going::Meant);
    }

    /// The same where nobody wanted it.
    pub(super) fn lose_client(&mut self, conn: ConnId, why: &str) {
        self.end_client(conn, why, Going::Lost);
    }

    fn end_client(&mut self, conn: ConnId, why: &str, going: Going) {
        let Some(session) = self.sessions.get(conn) else { return };
        if matches!(session.stage, Stage::Closing) {
            return;
        }
        let user = session.user();
        self.guest_leaves(conn, why);
        self.dismiss(conn);
        if let Some(user) = user {
            self.detached(user, why, going);
        }
        self.say_goodbye(conn, why);
    }

    /// From here on the connection speaks for nobody.
    pub(super) fn dismiss(&mut self, conn: ConnId) {
        self.sessions.dismiss(conn);
        self.monitors.clear(conn);
    }

    pub(super) fn say_goodbye(&mut self, conn: ConnId, why: &str) {
        let Some(host) = self.sessions.get(conn).map(Session::real_host) else { return };
        let body = format!("ERROR :Closing link: {host} ({why})");
        self.outgoing.push(Outgoing { to: conn.into(), spoken: Spoken::new(self.now.wall, body) });
        self.flush_outgoing();
        self.effects.push(Effect::Close { conn, why: why.to_string() });
    }

    pub(super) fn client_closed(&mut self, conn: ConnId, why: &str) {
        self.release_all_lines(conn);
        self.guest_leaves(conn, why);
        let Some(session) = self.sessions.close(conn) else { return };
        self.monitors.clear(conn);
        if let Some(user) = session.user() {
            self.detached(user, why, Going::Lost);
        }
        self.note(log::Level::Info, Topic::Client, format!("conn={} closed why=\"{why}\"", conn.0));
    }
}

/// Whether the first line begins a batch and the last one ends it.
fn is_one_batch(replies: &[Spoken]) -> bool {
    let names = |spoken: &Spoken, sign| spoken.batch_named(sign).map(str::to_string);
    let (Some(first), Some(last)) = (replies.first(), replies.last()) else { return false };
    names(first, '+').is_some_and(|begun| names(last, '-') == Some(begun))
}

/// How a browser begins. A page can make it say anything below that, so nothing more of it is heard.
fn is_http(message: &Message) -> bool {
    const METHODS: &[&str] =
        &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    let is_version = |param: &&str| param.starts_with("HTTP/");
    METHODS.contains(&message.command) && message.params.get(1).is_some_and(is_version)
}

impl<'e> Turn<'e> {
    pub(super) fn new(engine: &'e mut Engine, conn: ConnId) -> Turn<'e> {
        let now = engine.now;
        engine.begin_line();
        Turn { now, conn, engine, label: None, line: None, client_tags: Vec::new() }
    }

    /// Handles one line, and answers with its label where there is one that still needs a reply.
    fn obey(&mut self, line: &str) -> Option<String> {
        let message = Message::parse(line)?;
        self.label = self.label_of(&message);
        if self.wants(cap::Cap::MessageTags) {
            let talk = &self.config().talk;
            let goes_through = |key: &str| key.starts_with('+') && talk.takes_tag(key);
            let tags = message.tags.iter().filter(|(key, _)| goes_through(key));
            self.client_tags = tags.map(|(key, value)| (key.to_string(), value.into_owned())).collect();
        }
        if !self.take_batched(&message)
            && let Err(refusal) = self.dispatch(&message, line.len())
        {
            self.refuse(refusal);
        }
        let label = self.label.take();
        self.hold_for_acts(label)
    }

    fn label_of(&self, message: &Message) -> Option<String> {
        let label = message.tags.get("label").filter(|label| !label.is_empty() && label.len() <= 64);
        label.filter(|_| self.session().wants_labels()).map(|label| label.into_owned())
    }

    /// The gate, which every command shares, so that handlers begin with what is their own.
    fn dispatch(&mut self, message: &Message, bytes: usize) -> Outcome {
        if self.session().user().is_none() && is_http(message) {
            self.close("This is a server for IRC, and not for the web");
            return Ok(());
        }
        let known = command::find(message.command);
        let Some(command) = known else {
            if self.session().user().is_none() {
                return Err(numeric::not_registered().into());
            }
            return Err(numeric::unknown_command(Word::echo(message.command)).into());
        };
        self.admit(command.who)?;
        let tally = self.engine.tally.commands.entry(command.name).or_default();
        tally.count += 1;
        tally.bytes += bytes as u64;
        if message.params.len() < command.params_min {
            return Err(numeric::need_more_params(Word::echo(command.name)).into());
        }
        (command.run)(self, &message.params)
    }

    fn admit(&self, who: Who) -> Outcome {
        let registered = self.session().user().is_some();
        match who {
            Who::Anyone => Ok(()),
            Who::Unregistered if registered => Err(numeric::already_registered().into()),
            Who::Unregistered => Ok(()),
            _ if !registered => Err(numeric::not_registered().into()),
            Who::Registered => Ok(()),
            Who::Operator(_) if !self.is_operator() => Err(numeric::no_privileges().into()),
            Who::Operator(right) if !self.has_right(right) => {
                Err(numeric::no_operator_right(Word::echo(right)).into())
            }
            Who::Operator(_) => Ok(()),
        }
    }

    /// Says no to a line for what it is as bytes, with its label where that could be read.
    fn refuse_line(&mut self, fault: LineFault) -> Option<String> {
        match fault {
            LineFault::TooLong => {
                // It may have been a line of the message that is coming in, which is whole or is none.
                self.give_up_batch(Standard::fail("BATCH", "MULTILINE_INVALID", "A line of it was too long"));
                self.reply(numeric::input_too_long());
                None
            }
            LineFault::NotUtf8(readable) => {
                let message = Message::parse(readable);
                // What ends with the command may be a part of it only.
                let whole =
                    message.as_ref().filter(|message| !message.params.is_empty() || readable.ends_with(' '));
                let command = whole.and_then(|message| command::find(message.command));
                let label = message.as_ref().and_then(|message| self.label_of(message));
                self.give_up_batch(Standard::fail(
                    "BATCH",
                    "MULTILINE_INVALID",
                    "A line of it was not UTF-8",
                ));
                let why = "That line was not UTF-8, which is all this server takes";
                self.reply_standard(Standard::fail(
                    command.map_or("*", |command| command.name),
                    "INVALID_UTF8",
                    why,
                ));
                label
            }
        }
    }
}
