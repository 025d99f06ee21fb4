//! ASK and ANSWER: what one server wants of another, carried through however many hops.

use super::{PeerMessage, When};
use crate::engine::event::{AskId, ConnId};
use crate::engine::merge::Stamp;
use crate::engine::network::Edit;
use crate::engine::outgoing::Outgoing;
use crate::engine::pending::Pending;
use crate::engine::query::ANSWER_LINES_MAX;
use crate::engine::{Engine, command};
use crate::wire::base36;
use crate::wire::fold::Folded;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ChannelName, ServerId, UserId, Word};
use crate::wire::numeric::{self, Numeric};

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "ASK",
        params_min: 3,
        when: When::Accepted,
        run: ask,
        shape: "<to sid> <from sid> KICK <channel> <uid> <joined> <by> :<reason> | KILL <uid> <by> :<reason> | IDLE <id> <uid> | PING <id> | QUERY <id> <name> :<subject>",
    },
    PeerMessage {
        name: "ANSWER",
        params_min: 3,
        when: When::Accepted,
        run: answer,
        shape: "<to sid> <from sid> IDLE <id> <idle, s> <signed on, s> | PONG <id> | REPLY <id> <numeric> :<rest> | END <id>",
    },
];

/// What only a user's own server may do, so that it is asked to.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Take somebody off a channel: the very join that is named, and no later one.
    Kick { channel: Folded, user: UserId, joined: Stamp, by: String, reason: String },
    /// End a user's connection.
    Kill { user: UserId, by: String, reason: String },
    /// Tell how long a user has been idle; the answer comes back under this id.
    Idle { ask: AskId, user: UserId },
    /// Give a sign of life under this id.
    Ping { ask: AskId },
    /// Answer what one of our users asks; the answer comes back line by line.
    Query { ask: AskId, name: String, subject: String },
}

impl Engine {
    /// Asks the server of a user to do something; at once where that is this one.
    pub(in crate::engine) fn request(&mut self, of: ServerId, request: Request) {
        if of == self.identity.sid {
            return self.fulfil(of, request);
        }
        let draft = Draft::new("ASK").param(of).param(self.identity.sid);
        let draft = match request {
            Request::Kick { channel, user, joined, by, reason } => {
                draft.param("KICK").param(channel).param(user).param(joined).param(by).trailing(reason)
            }
            Request::Kill { user, by, reason } => draft.param("KILL").param(user).param(by).trailing(reason),
            Request::Idle { ask, user } => draft.param("IDLE").param(base36::encode(ask.0)).param(user),
            Request::Ping { ask } => draft.param("PING").param(base36::encode(ask.0)),
            Request::Query { ask, name, subject } => {
                draft.param("QUERY").param(base36::encode(ask.0)).param(name).trailing(subject)
            }
        };
        self.send_towards(of, draft);
    }

    fn send_towards(&mut self, server: ServerId, draft: Draft) {
        let hop = self.routes.next_hop(server);
        if let Some(conn) = hop.and_then(|hop| self.links.to(hop)).map(|link| link.conn) {
            self.send_peer(conn, draft);
        }
    }

    /// Does what another server, or this one, asked of the owner of a user.
    fn fulfil(&mut self, from: ServerId, request: Request) {
        match request {
            Request::Kick { channel, user, joined, by, reason } => {
                let member = self.network.channel(&channel).and_then(|channel| channel.member(user));
                if member.is_some_and(|member| member.fact.joined == joined) {
                    self.write(Edit::Kick { user, channel, by, reason }, false);
                }
            }
            Request::Kill { user, by, reason } => {
                if let Some(conn) = self.sessions.of_user(user).map(|session| session.conn) {
                    let killer = by.split('!').next().unwrap_or_default();
                    if let Some(killed) = self.network.user(user) {
                        let body = format!(":{by} KILL {} :{reason}", killed.nick);
                        let spoken = self.spoken_from(&by, body);
                        self.outgoing.push(Outgoing { to: vec![conn], spoken });
                    }
                    self.close_client(conn, &format!("Killed ({killer} ({reason}))"));
                }
            }
            Request::Idle { ask, user } => {
                let Some(session) = self.sessions.of_user(user) else { return };
                let idle_s = self.now.steady_ms.saturating_sub(session.spoke_ms) / 1000;
                let signed_on_s = self.network.user(user).map_or(0, |user| user.fact.signed_on.seconds());
                if from == self.identity.sid {
                    return self.idle_known(ask, Some((idle_s, signed_on_s)));
                }
                let draft = Draft::new("ANSWER").param(from).param(self.identity.sid).param("IDLE");
                let draft = draft.param(base36::encode(ask.0)).param(idle_s).param(signed_on_s);
                self.send_towards(from, draft);
            }
            Request::Ping { ask } => {
                let draft = Draft::new("ANSWER").param(from).param(self.identity.sid).param("PONG");
                self.send_towards(from, draft.param(base36::encode(ask.0)));
            }
            Request::Query { ask, name, subject } => {
                let id = base36::encode(ask.0);
                let start = Draft::new("ANSWER").param(from).param(self.identity.sid);
                for numeric in command::answer(self, &name, &subject) {
                    let draft = start.clone().param("REPLY").param(&id).param(numeric.code);
                    self.send_towards(from, draft.trailing(numeric.text));
                }
                self.send_towards(from, start.param("END").param(id));
            }
        }
    }

    /// Ends a WHOIS that waited for a user's own server, with or without its answer.
    pub(in crate::engine) fn idle_known(&mut self, ask: AskId, idle: Option<(u64, u64)>) {
        if let Some(Pending::Idle { reply, asked, user, .. }) = self.asks.take(ask) {
            self.resume(reply, |turn| command::whois_answered(turn, &asked, user, idle));
        }
    }
}

impl Engine {
    /// Ends a client's PING to another server, with or without its sign of life.
    pub(in crate::engine) fn pong_known(&mut self, ask: AskId, has_come: bool) {
        if let Some(Pending::Pong { reply, token, of, .. }) = self.asks.take(ask) {
            self.resume(reply, |turn| command::pong_answered(turn, of, &token, has_come));
        }
    }
}

impl Engine {
    /// Ends a query of another server, with as much of an answer as has come.
    pub(in crate::engine) fn query_ended(&mut self, ask: AskId) {
        if let Some(Pending::Query { reply, of, answer, .. }) = self.asks.take(ask) {
            self.resume(reply, |turn| {
                if answer.is_empty() {
                    let name = turn.network().server_name(of).to_string();
                    return Err(numeric::no_such_server(Word::echo(&name)).into());
                }
                turn.query_answered(of, answer);
                Ok(())
            });
        }
    }
}

fn ask(engine: &mut Engine, conn: ConnId, message: &Message) {
    let ids = (ServerId::parse(message.params[0]), ServerId::parse(message.params[1]));
    let (Some(to), Some(from)) = ids else { return engine.note_senseless(conn, "ASK") };
    if to != engine.identity.sid {
        return engine.pass_on(conn, to, message);
    }
    match read_request(&message.params[2..]) {
        Some(request) => engine.fulfil(from, request),
        None => engine.note_senseless(conn, "ASK"),
    }
}

fn answer(engine: &mut Engine, conn: ConnId, message: &Message) {
    let Some(to) = ServerId::parse(message.params[0]) else { return engine.note_senseless(conn, "ANSWER") };
    if to != engine.identity.sid {
        return engine.pass_on(conn, to, message);
    }
    let from = message.params[1];
    match message.params[2..] {
        ["IDLE", ask, idle, signed_on, ..] => {
            let Some(ask) = base36::parse(ask).map(AskId) else { return };
            if let (Ok(idle), Ok(signed_on)) = (idle.parse(), signed_on.parse())
                && matches!(engine.asks.get(ask), Some(Pending::Idle { of, .. }) if of.as_str() == from)
            {
                engine.idle_known(ask, Some((idle, signed_on)));
            }
        }
        ["PONG", ask, ..] => {
            let Some(ask) = base36::parse(ask).map(AskId) else { return };
            if matches!(engine.asks.get(ask), Some(Pending::Pong { of, .. }) if of.as_str() == from) {
                engine.pong_known(ask, true);
            }
        }
        ["REPLY", ask, code, text, ..] => {
            let Some(ask) = base36::parse(ask).map(AskId) else { return };
            if let (Ok(code), Some(Pending::Query { of, answer, .. })) =
                (code.parse(), engine.asks.get_mut(ask))
                && of.as_str() == from
                && answer.len() < ANSWER_LINES_MAX
            {
                answer.push(Numeric::from_peer(code, text));
            }
        }
        ["END", ask, ..] => {
            let Some(ask) = base36::parse(ask).map(AskId) else { return };
            if matches!(engine.asks.get(ask), Some(Pending::Query { of, .. }) if of.as_str() == from) {
                engine.query_ended(ask);
            }
        }
        _ => engine.note_senseless(conn, "ANSWER"),
    }
}

impl Engine {
    /// Passes a question or an answer on to where it is going.
    fn pass_on(&mut self, conn: ConnId, to: ServerId, message: &Message) {
        // Back where it came from would be a circle: then the map has just changed, and it is lost.
        let back = self.links.by_conn.get(&conn).and_then(|link| link.sid());
        if self.routes.next_hop(to) != back {
            let draft = Draft::new(message.command);
            let draft = message.params.iter().fold(draft, |draft, param| draft.param(param));
            self.send_towards(to, draft);
        }
    }
}

fn read_request(params: &[&str]) -> Option<Request> {
    Some(match *params {
        ["KICK", channel, user, joined, by, reason, ..] => Request::Kick {
            channel: ChannelName::from_peer(channel)?.folded(),
            user: UserId::parse(user)?,
            joined: Stamp::parse(joined)?,
            by: by.to_string(),
            reason: reason.to_string(),
        },
        ["KILL", user, by, reason, ..] => {
            Request::Kill { user: UserId::parse(user)?, by: by.to_string(), reason: reason.to_string() }
        }
        ["PING", ask, ..] => Request::Ping { ask: AskId(base36::parse(ask)?) },
        ["QUERY", ask, name, subject, ..] => Request::Query {
            ask: AskId(base36::parse(ask)?),
            name: name.to_string(),
            subject: subject.to_string(),
        },
        ["IDLE", ask, user, ..] => {
            Request::Idle { ask: AskId(base36::parse(ask)?), user: UserId::parse(user)? }
        }
        _ => return None,
    })
}
