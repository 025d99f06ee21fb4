//! PASSING: what is said everywhere once and kept nowhere.

use super::{PeerMessage, When, read_message, write_message_onto};
use crate::engine::Engine;
use crate::engine::cap::Cap;
use crate::engine::event::ConnId;
use crate::engine::merge::{Origin, Stream};
use crate::engine::mode::is_at_least;
use crate::engine::network::{Message as Said, Verb};
use crate::engine::outgoing::{Outgoing, Spoken};
use crate::engine::session::Session;
use crate::wire::base36;
use crate::wire::mask::glob_matches;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ChannelName, ServerName, UserId, Word};
use crate::wire::numeric;

pub const MESSAGES: &[PeerMessage] = &[PeerMessage {
    name: "PASSING",
    params_min: 2,
    when: When::Accepted,
    run: passing,
    shape: "WALLOPS <by> :<text> | TOLD <server> <topic> :<text> | INVITE <by> <uid> <channel> | BROADCAST <by> <mask> <verb> :<text> | TAGMSG <uid> <target> | KNOCK <by> <channel> :<why>",
}];

/// The first word of each that this version knows.
const KINDS: &[&str] = &["WALLOPS", "TOLD", "INVITE", "BROADCAST", "TAGMSG", "KNOCK"];

/// What is said on every server at once and kept nowhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Passing {
    /// To everyone with user mode `w`.
    Wallops { by: String, text: String },
    /// To the person invited, and to members who asked to be told.
    Invite { by: String, user: UserId, channel: ChannelName },
    /// To operators who follow a topic, in the name of the server where it happened.
    Told { server: String, topic: char, text: String },
    /// To everyone on servers whose name matches; `verb` is PRIVMSG or NOTICE.
    Broadcast { by: String, mask: String, verb: String, text: String, tags: Vec<(String, String)> },
    /// To those who run the channel.
    Knock { by: String, channel: ChannelName, why: String },
    /// A TAGMSG that nobody needs later, such as typing.
    Tags(Said),
}

impl Engine {
    pub(in crate::engine) fn pass(&mut self, passing: Passing) {
        self.passed += 1;
        let draft = match &passing {
            Passing::Wallops { by, text } => Draft::new("PASSING").param("WALLOPS").param(by).trailing(text),
            Passing::Told { server, topic, text } => {
                Draft::new("PASSING").param("TOLD").param(server).param(topic).trailing(text)
            }
            Passing::Invite { by, user, channel } => {
                Draft::new("PASSING").param("INVITE").param(by).param(user).param(channel)
            }
            Passing::Broadcast { by, mask, verb, text, tags } => {
                let draft =
                    tags.iter().fold(Draft::new("PASSING"), |draft, (key, value)| draft.tag(key, value));
                draft.param("BROADCAST").param(by).param(mask).param(verb).trailing(text)
            }
            Passing::Knock { by, channel, why } => {
                Draft::new("PASSING").param("KNOCK").param(by).param(channel).trailing(why)
            }
            Passing::Tags(said) => write_message_onto(Draft::new("PASSING").param("TAGMSG"), said),
        };
        let once = format!("{}.{}", self.origin(), base36::encode(self.passed));
        self.send_passing(self.origin(), &draft.tag("once", &once), None);
        self.deliver(&passing, &once);
    }

    fn send_passing(&mut self, origin: Origin, draft: &Draft, from: Option<ConnId>) {
        let to = self.links.up().filter(|link| {
            Some(link.conn) != from && link.sid().is_some_and(|sid| self.routes.is_child(origin.server, sid))
        });
        for conn in to.map(|link| link.conn).collect::<Vec<_>>() {
            self.send_peer(conn, draft.clone());
        }
    }

    /// `once` is what it is told from everything else by, on every server.
    fn deliver(&mut self, passing: &Passing, once: &str) {
        match passing {
            Passing::Wallops { by, text } => {
                let wants = |engine: &Engine, session: &Session| {
                    let user = session.user().and_then(|user| engine.network.user(user));
                    user.is_some_and(|user| user.has_mode('w'))
                };
                self.say_where(wants, self.spoken_from(by, format!(":{by} WALLOPS :{text}")));
            }
            Passing::Told { server, topic, text } => self.tell_followers(*topic, server, text),
            Passing::Broadcast { by, mask, verb, text, tags } => {
                let spoken = self.spoken_from(by, format!(":{by} {verb} $${mask} :{text}"));
                let spoken = spoken.tagged("msgid", once);
                let spoken = tags
                    .iter()
                    .filter(|(key, _)| self.config.talk.takes_tag(key))
                    .fold(spoken, |spoken, (key, value)| spoken.tagged(key.clone(), value.clone()));
                let nick = by.split('!').next().unwrap_or_default();
                let sender = self.network.user_called(nick).map(|user| user.id);
                let is_sender = move |session: &Session| sender.is_some() && session.user() == sender;
                if glob_matches(mask, self.identity.name.as_str()) {
                    let hears = |_: &Engine, session: &Session| session.user().is_some();
                    self.say_where(hears, spoken.clone().delivered());
                }
                let echoes =
                    |_: &Engine, session: &Session| is_sender(session) && session.wants(Cap::EchoMessage);
                self.say_where(echoes, spoken);
            }
            Passing::Invite { by, user, channel } => self.deliver_invite(by, *user, channel),
            Passing::Knock { by, channel, why } => self.deliver_knock(by, channel, why),
            Passing::Tags(said) => self.tell_said(said, self.now.wall, None),
        }
    }

    fn deliver_invite(&mut self, by: &str, user: UserId, channel: &ChannelName) {
        let Some(nick) = self.network.user(user).map(|user| user.nick.clone()) else { return };
        let id = channel.folded();
        let shown = self.network.channel(&id).map_or(channel, |known| &known.name);
        let body = format!(":{by} INVITE {nick} {shown}");
        let mut hears = Vec::new();
        let inviter = by.split('!').next().and_then(|nick| self.network.user_called(nick));
        let account = inviter.and_then(|inviter| inviter.account_id());
        let inviter = inviter.map(|inviter| inviter.id);
        let invited = self
            .sessions
            .person(user)
            .filter(|person| person.shield.lets_invite(by) && !self.blocks(user, inviter, account, by));
        hears.extend(invited.into_iter().flat_map(|person| person.conns()));
        if let Some(known) = self.network.channel(&id) {
            let members = known.members_of(self.identity.sid).map(|(member, _)| member);
            let told = members.filter(|member| Some(*member) != inviter && *member != user);
            let told = told.flat_map(|member| self.sessions.of(member));
            hears.extend(told.filter(|session| session.wants(Cap::InviteNotify)).map(|session| session.conn));
        }
        if !hears.is_empty() {
            self.outgoing.push(Outgoing { to: hears.into(), spoken: self.spoken_from(by, body) });
        }
    }

    fn deliver_knock(&mut self, by: &str, channel: &ChannelName, why: &str) {
        let Some(known) = self.network.channel(&channel.folded()) else { return };
        let runs_it =
            known.members_of(self.identity.sid).filter(|(_, member)| is_at_least(member.status, 'h'));
        let to: Vec<ConnId> =
            runs_it.flat_map(|(member, _)| self.sessions.conns_of(member)).copied().collect();
        if !to.is_empty() {
            // All of them are addressed by the channel.
            let knock = numeric::knock(&known.name, Word::echo(by), why);
            let body = knock.line(self.identity.name.as_str(), known.name.as_str());
            let spoken = self.spoken_from(by, body);
            self.outgoing.push(Outgoing { to: to.into(), spoken });
        }
    }

    fn say_where(&mut self, which: impl Fn(&Engine, &Session) -> bool, spoken: Spoken) {
        let to: Vec<ConnId> =
            self.sessions.iter().filter(|session| which(self, session)).map(|session| session.conn).collect();
        if !to.is_empty() {
            self.outgoing.push(Outgoing { to: to.into(), spoken });
        }
    }
}

fn passing(engine: &mut Engine, conn: ConnId, message: &Message) {
    let once = message.tags.get("once").and_then(|once| {
        let (origin, number) = once.rsplit_once('.')?;
        Some((Origin::parse(origin)?, base36::parse(number)?))
    });
    let passing = read_passing(message);
    // What a later version has to say goes on to those who can read it.
    let is_known = KINDS.contains(&message.params[0]);
    let Some((origin, number)) = once.filter(|_| passing.is_some() || !is_known) else {
        return engine.note_senseless(conn, "PASSING");
    };
    // Only runs that are known say anything, or windows could be made up without end.
    let is_known = engine.network.seen(Stream::Session).epoch(origin.server) == Some(origin.epoch);
    if origin.server == engine.identity.sid || !is_known || !engine.intake.is_new_passing(origin, number) {
        return;
    }
    let mut draft = Draft::new("PASSING");
    for (key, value) in message.tags.iter() {
        draft = draft.tag(key, &value);
    }
    if let Some(source) = message.source {
        draft = draft.source(source);
    }
    let draft = message.params.iter().fold(draft, |draft, param| draft.param(param));
    engine.send_passing(origin, &draft, Some(conn));
    if let Some(passing) = passing {
        let once = format!("{origin}.{}", base36::encode(number));
        engine.deliver(&passing, &once);
    }
}

fn client_tags(message: &Message) -> Vec<(String, String)> {
    let tags = message.tags.iter().filter(|(key, _)| key.starts_with('+'));
    tags.map(|(key, value)| (key.to_string(), value.into_owned())).collect()
}

fn read_passing(message: &Message) -> Option<Passing> {
    Some(match message.params[..] {
        ["WALLOPS", by, text, ..] => Passing::Wallops { by: by.to_string(), text: text.to_string() },
        ["TOLD", server, topic, text, ..] => Passing::Told {
            server: ServerName::parse(server)?.to_string(),
            topic: topic.chars().next()?,
            text: text.to_string(),
        },
        ["INVITE", by, user, channel, ..] => Passing::Invite {
            by: by.to_string(),
            user: UserId::parse(user)?,
            channel: ChannelName::from_peer(channel)?,
        },
        ["KNOCK", by, channel, why, ..] => Passing::Knock {
            by: by.to_string(),
            channel: ChannelName::from_peer(channel)?,
            why: why.to_string(),
        },
        ["BROADCAST", by, mask, verb, text, ..] => Passing::Broadcast {
            by: by.to_string(),
            mask: mask.to_string(),
            verb: Verb::ALL.into_iter().find(|known| known.name() == verb)?.name().to_string(),
            text: text.to_string(),
            tags: client_tags(message),
        },
        ["TAGMSG", _, _, ..] => {
            let inner = Message {
                tags: message.tags.clone(),
                source: message.source,
                command: "TAGMSG",
                params: message.params[1..].to_vec(),
            };
            Passing::Tags(read_message(&inner)?)
        }
        _ => return None,
    })
}
