//! What a handler may see and do while one line is handled.

use super::cap::{Cap, Caps};
use super::effect::{Effect, Secret, Topic};
use super::event::{AskId, ConnId};
use super::follow::Deed;
use super::merge::Stamp;
use super::network::{Channel, Edit, Network, User};
use super::outgoing::{Outgoing, Spoken};
use super::pending::{LineId, Pending};
use super::person::Person;
use super::session::{Registration, Session};
use super::{Engine, peer, services};
use crate::config::Config;
use crate::wire::fold::fold;
use crate::wire::names::{ChannelName, Nick, ServerId, UserId, Word};
use crate::wire::numeric::{self, Numeric};
use crate::wire::standard::Standard;
use crate::wire::time::Now;

/// How a command ends: well, or with a no to the person who gave it.
pub type Outcome = Result<(), Refusal>;

/// A no, in the words of the specification.
#[derive(Debug)]
pub enum Refusal {
    Numeric(Numeric),
    Standard(Standard),
}

impl Refusal {
    /// As it can be carried to another server, and said by that one.
    pub fn into_numeric(self) -> Numeric {
        match self {
            Refusal::Numeric(numeric) => numeric,
            Refusal::Standard(standard) => {
                numeric::unknown_error(Word::echo(standard.command), &standard.text)
            }
        }
    }
}

impl From<Numeric> for Refusal {
    fn from(numeric: Numeric) -> Refusal {
        Refusal::Numeric(numeric)
    }
}

impl From<Standard> for Refusal {
    fn from(standard: Standard) -> Refusal {
        Refusal::Standard(standard)
    }
}

/// One line of one client, while it is handled.
pub struct Turn<'e> {
    pub now: Now,
    pub conn: ConnId,
    pub(super) engine: &'e mut Engine,
    /// What the client called this command, to be said with every reply to it.
    pub(super) label: Option<String>,
    /// Where other servers have yet to answer what this line asks of them.
    pub(super) line: Option<LineId>,
    /// Tags for other clients, with their `+`.
    pub client_tags: Vec<(String, String)>,
}

/// Whom a later reply goes to, and under which label.
#[derive(Clone, Debug)]
pub struct Deferred {
    pub conn: ConnId,
    pub label: Option<String>,
}

impl Turn<'_> {
    // Who speaks.

    pub fn session(&self) -> &Session {
        self.engine.sessions.get(self.conn).expect("a session exists from Opened to Closed")
    }

    pub fn session_mut(&mut self) -> &mut Session {
        self.engine.sessions.get_mut(self.conn).expect("a session exists from Opened to Closed")
    }

    pub fn set_caps(&mut self, caps: Caps) {
        self.engine.sessions.set_caps(self.conn, caps);
    }

    /// The speaker, on whichever of their connections they are.
    pub fn person(&self) -> &Person {
        self.engine.sessions.person(self.me()).expect("whoever is registered is somebody")
    }

    pub fn person_mut(&mut self) -> &mut Person {
        let me = self.me();
        self.engine.sessions.person_mut(me).expect("whoever is registered is somebody")
    }

    pub fn registration(&mut self) -> Option<&mut Registration> {
        self.session_mut().registration()
    }

    pub fn wants(&self, cap: Cap) -> bool {
        self.session().wants(cap)
    }

    /// The id of the user who speaks; the gate lets nobody else give most commands.
    pub fn me(&self) -> UserId {
        self.session().user().expect("the gate admits only registered users here")
    }

    /// The user who speaks.
    pub fn user(&self) -> &User {
        self.engine.network.user(self.me()).expect("a local user can always be seen")
    }

    /// `nick!user@host` of the user who speaks.
    pub fn prefix(&self) -> String {
        self.user().prefix()
    }

    /// Whether the operator who speaks has a right; nobody else has any.
    pub fn has_right(&self, right: &str) -> bool {
        let class = self.operator().and_then(|user| user.fact.class.as_deref());
        class.is_some_and(|class| self.config().class_has(class, right))
    }

    /// Whether the speaker is an operator, and became it on this connection.
    pub fn is_operator(&self) -> bool {
        self.operator().is_some()
    }

    fn operator(&self) -> Option<&User> {
        let user = self.session().user().and_then(|id| self.engine.network.user(id))?;
        (user.is_operator() && self.session().is_operator).then_some(user)
    }

    // What there is.

    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    pub fn network(&self) -> &Network {
        &self.engine.network
    }

    /// This server's id and name.
    pub fn server_id(&self) -> ServerId {
        self.engine.identity.sid
    }

    pub fn server_name(&self) -> &str {
        self.engine.identity.name.as_str()
    }

    /// A channel that can be seen, by any spelling of its name.
    pub fn channel(&self, name: &str) -> Result<&Channel, Refusal> {
        let found = self.engine.network.channel_called(name);
        found.ok_or_else(|| numeric::no_such_channel(Word::echo(name)).into())
    }

    /// A channel that the speaker is on.
    pub fn own_channel(&self, name: &str) -> Result<&Channel, Refusal> {
        let channel = self.channel(name)?;
        if !channel.has(self.me()) {
            return Err(numeric::not_on_channel(Word::from(&channel.name)).into());
        }
        Ok(channel)
    }

    /// A user who can be seen, by nick.
    pub fn user_called(&self, nick: &str) -> Result<&User, Refusal> {
        let found = self.engine.network.user_called(nick);
        found.ok_or_else(|| self.nobody_called(nick).into())
    }

    /// A user whose server can be asked for something right now: of one that is lost for a moment, users are shown
    /// still, but a question to it would be lost.
    pub fn user_within_reach(&self, nick: &str) -> Result<&User, Refusal> {
        let user = self.user_called(nick)?;
        match self.engine.routes.is_reachable(user.server()) {
            true => Ok(user),
            false => Err(self.out_of_reach(nick, user).into()),
        }
    }

    /// Why nobody can be seen by this nick: there is nobody, or whoever has it is out of reach.
    pub fn nobody_called(&self, nick: &str) -> Numeric {
        let holder = self.engine.network.holder(&fold(nick));
        let unseen = holder.and_then(|user| self.engine.network.user_even_unseen(user));
        match unseen.filter(|user| !user.is_visible()) {
            Some(user) => self.out_of_reach(nick, user),
            None => numeric::no_such_nick(Word::echo(nick)),
        }
    }

    fn out_of_reach(&self, nick: &str, user: &User) -> Numeric {
        numeric::nick_out_of_reach(Word::echo(nick), self.engine.network.server_name(user.server()))
    }

    pub fn parse_channel_name(&self, text: &str) -> Result<ChannelName, Refusal> {
        let name = ChannelName::parse(text, self.config().limits.channel_length);
        name.ok_or_else(|| numeric::no_such_channel(Word::echo(text)).into())
    }

    pub fn parse_nick(&self, text: &str) -> Result<Nick, Refusal> {
        let nick = Nick::parse(text, self.config().limits.nick_length);
        nick.filter(|_| !services::is_reserved(text))
            .ok_or_else(|| numeric::erroneous_nick(Word::echo(text)).into())
    }

    /// What only their own server knows of a user, where that is this one.
    pub fn person_of(&self, user: UserId) -> Option<&Person> {
        self.engine.sessions.person(user)
    }

    // What can be said back.

    /// What the speaker is called in replies: until registered, nobody is called anything.
    pub fn called(&self) -> String {
        self.speaker().map_or("*", |user| user.nick.as_str()).to_string()
    }

    pub fn reply(&mut self, numeric: Numeric) {
        self.reply_all([numeric]);
    }

    /// A numeric for the speaker, from whichever server. What a bot brought about says so, its answers too.
    pub fn say_numeric(&mut self, line: String) {
        let tag = self.speaker().and_then(User::bot_tag);
        let spoken = Spoken::new(self.now.wall, line).tagged_if("bot", tag);
        self.engine.outgoing.push(Outgoing { to: self.conn.into(), spoken });
    }

    /// The user who speaks, if it is one already.
    fn speaker(&self) -> Option<&User> {
        self.session().user().and_then(|id| self.engine.network.user(id))
    }

    /// How many bytes of text a reply to the speaker could still take.
    pub fn room_in(&self, numeric: &Numeric) -> usize {
        numeric.room(self.server_name(), self.user().nick.as_str())
    }

    /// Whether a reply to the speaker is on one line with nothing cut.
    pub fn fits(&self, numeric: &Numeric) -> bool {
        numeric.fits(self.server_name(), &self.called())
    }

    pub fn reply_all(&mut self, numerics: impl IntoIterator<Item = Numeric>) {
        // Thousands of lines, where somebody asks who is on a large channel.
        let (called, tag) = (self.called(), self.speaker().and_then(User::bot_tag));
        for numeric in numerics {
            let line = numeric.line(self.server_name(), &called);
            let spoken = Spoken::new(self.now.wall, line).tagged_if("bot", tag);
            self.engine.outgoing.push(Outgoing { to: self.conn.into(), spoken });
        }
    }

    /// FAIL, WARN or NOTE; as a NOTICE to clients that would not understand.
    pub fn reply_standard(&mut self, standard: Standard) {
        if self.wants(Cap::StandardReplies) {
            let line = standard.line(self.server_name());
            self.say(line);
        } else {
            let text = standard.as_notice();
            self.notice(&text);
        }
    }

    /// FAIL, to a client that knows of it by what else it has asked for.
    pub fn fail(&mut self, standard: Standard) {
        let knows = [
            Cap::StandardReplies,
            Cap::DraftChathistory,
            Cap::DraftReadMarker,
            Cap::SojuSearch,
            Cap::DraftSearch,
            Cap::DraftMultiline,
            Cap::DraftMessageRedaction,
            Cap::ChannelRename,
            Cap::DraftMetadata2,
            Cap::DraftMetadata3,
            Cap::DraftRelaymsg,
            Cap::DraftAccountRegistration,
        ]
        .into_iter()
        .any(|cap| self.wants(cap));
        match knows {
            true => self.say(standard.line(self.server_name())),
            false => self.reply_standard(standard),
        }
    }

    pub fn notice(&mut self, text: &str) {
        self.say(format!(":{} NOTICE {} :{text}", self.server_name(), self.called()));
    }

    /// What another server has to say to the speaker.
    pub fn notice_from(&mut self, server: ServerId, text: &str) {
        let name = self.network().server_name(server).to_string();
        self.say(format!(":{name} NOTICE {} :{text}", self.called()));
    }

    /// A whole line to the speaker, without tags.
    pub fn say(&mut self, line: String) {
        let spoken = Spoken::new(self.now.wall, line);
        self.engine.outgoing.push(Outgoing { to: self.conn.into(), spoken });
    }

    pub fn refuse(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Numeric(numeric) => self.reply(numeric),
            Refusal::Standard(standard) => self.reply_standard(standard),
        }
    }

    /// The reply comes later, when a `Pending` is answered; until then the label waits.
    pub fn defer(&mut self) -> Deferred {
        Deferred { conn: self.conn, label: self.label.take() }
    }

    /// Whether a password that was given with OPER is being checked.
    pub fn waits_for_oper(&self) -> bool {
        let is_ours =
            |pending: &Pending| matches!(pending, Pending::Oper { reply, .. } if reply.conn == self.conn);
        self.engine.asks.iter().any(|(_, pending)| is_ours(pending))
    }

    // What can be done.

    /// A stamp for what is about to be written.
    pub fn stamp(&mut self) -> Stamp {
        self.engine.clock.tick(self.now.wall)
    }

    /// The one way that anything changes.
    pub fn change(&mut self, edit: Edit) {
        self.by_voice(|engine| engine.write(edit, false));
    }

    /// What is written because of what is said on this connection.
    pub fn by_voice<T>(&mut self, write: impl FnOnce(&mut Engine) -> T) -> T {
        self.engine.voice = Some(self.conn);
        let outcome = write(self.engine);
        self.engine.voice = None;
        outcome
    }

    /// Several edits of one act, so that those who hear of it hear one line.
    pub fn change_all(&mut self, edits: Vec<Edit>) {
        let last = edits.len().saturating_sub(1);
        for (place, edit) in edits.into_iter().enumerate() {
            self.engine.write(edit, place != last);
        }
    }

    /// Rewrites what this server says of the speaker.
    pub fn change_me(&mut self, how: impl FnOnce(&mut super::network::UserFact)) {
        let user = self.user();
        let (id, mut fact) = (user.id, user.fact.clone());
        how(&mut fact);
        self.change(Edit::User { user: id, fact });
    }

    /// Says something on every server that is never stored.
    pub fn pass(&mut self, passing: peer::Passing) {
        self.by_voice(|engine| engine.pass(passing));
    }

    /// Ends the speaker's connection, and the user with it.
    pub fn close(&mut self, why: &str) {
        self.engine.close_client(self.conn, why);
    }

    /// Has a password checked, off the router's path.
    pub fn verify(&mut self, given: String, known: String, pending: Pending) {
        let ask = self.engine.ask(pending);
        self.engine.effects.push(Effect::Verify { ask, given: Secret(given), known });
    }

    pub fn ask(&mut self, pending: Pending) -> AskId {
        self.engine.ask(pending)
    }

    pub fn effect(&mut self, effect: Effect) {
        self.engine.effects.push(effect);
    }

    /// Writes down what the speaker did with an operator's rights, and tells whoever follows that.
    pub fn record(&mut self, topic: char, what: &str, why: Option<&str>) {
        let from = self.server_id();
        self.engine.record(log::Level::Info, &Deed { topic, what, why, from });
    }

    pub fn note(&mut self, level: log::Level, topic: Topic, text: String) {
        self.engine.note(level, topic, text);
    }
}
