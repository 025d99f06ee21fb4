//! ASK and ANSWER: what one server wants of another, carried through however many hops.

use std::collections::BTreeMap;

use super::{Act, PeerMessage, When};
use crate::engine::event::{AskId, ConnId};
use crate::engine::guest::{Guest, PipeId, Return};
use crate::engine::merge::Origin;
use crate::engine::network::AccountId;
use crate::engine::pending::{Asker, Then};
use crate::engine::query::ANSWER_LINES_MAX;
use crate::engine::turn::{Outcome, Refusal};
use crate::engine::{Engine, command};
use crate::wire::base36;
use crate::wire::message::{Draft, Message};
use crate::wire::names::{ServerId, UserId, Word};
use crate::wire::numeric::{self, Numeric};

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "ASK",
        params_min: 4,
        when: When::Accepted,
        run: ask,
        shape: "<to sid> <from sid.epoch> <id> PING | IDLE <uid> | QUERY <name> :<subject> | KICK <channel> <uid> <joined> <by> :<reason> | KILL <uid> <by> :<reason> | INVITE <uid> <channel> <birth> <by> | NICK <uid> <claimed> <nick> <by> | JOIN <uid> <channel> <by> | PART <uid> <channel> <joined> <by> [:<reason>] | CALL <server> <uid> <by> | CUT <sid> <by> :<reason> | TELL <uid> :<text> | WRITE <uid> <by uid> | HOST <uid> <by> :<host> | USERNAME <uid> <by> :<username> | REALNAME <uid> <by> :<real name> | GUEST <uid> <account> <nick> <username> @<address> <name> <tls> <certificate> <capabilities> <cap version> <where it was> <AWAY or *> :<real name> | DID <uid> <account> <where they were>",
    },
    PeerMessage {
        name: "ANSWER",
        params_min: 4,
        when: When::Accepted,
        run: answer,
        shape: "<to sid.epoch> <from sid> <id> DONE | REFUSED <numeric> :<rest> | IDLE <idle, s> <signed on, s> | REPLY <number> <numeric> :<rest> | END <replies>",
    },
];

/// How many acts of one server are remembered, so that none is done twice.
const ACTS_WINDOW: usize = 1024;

/// While maps differ a line may go in a circle; so many hops are on no way.
const HOPS_MAX: u64 = 64;

/// What one server wants of another.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Do something.
    Act(Act),
    /// Take a client for one of somebody's.
    Guest(Box<Guest>),
    /// Has somebody have done what they have done elsewhere.
    Done { user: UserId, account: AccountId, doings: Box<Return> },
    /// Tell how long a user has been idle.
    Idle { user: UserId },
    /// Give a sign of life.
    Ping,
    /// Answer what one of our users asks, line by line.
    Query { name: String, subject: String },
}

impl Request {
    fn write(&self, draft: Draft) -> Draft {
        match self {
            Request::Act(act) => act.write(draft),
            Request::Guest(guest) => guest.write(draft),
            Request::Done { user, account, doings } => {
                draft.param("DID").param(user).param(account).param(doings.write())
            }
            Request::Idle { user } => draft.param("IDLE").param(user),
            Request::Ping => draft.param("PING"),
            Request::Query { name, subject } => draft.param("QUERY").param(name).trailing(subject),
        }
    }

    fn read(params: &[&str]) -> Option<Request> {
        Some(match *params {
            ["PING", ..] => Request::Ping,
            ["GUEST", ref guest @ ..] => Request::Guest(Box::new(Guest::read(guest)?)),
            ["DID", user, account, doings, ..] => Request::Done {
                user: UserId::parse(user)?,
                account: AccountId::parse(account)?,
                doings: Box::new(Return::read(doings)?),
            },
            ["IDLE", user, ..] => Request::Idle { user: UserId::parse(user)? },
            ["QUERY", name, subject, ..] => {
                Request::Query { name: name.to_string(), subject: subject.to_string() }
            }
            _ => Request::Act(Act::read(params)?),
        })
    }
}

/// What became of the acts that each server asked for: one that is asked for again is answered again, and not done again.
#[derive(Debug, Default)]
pub struct Acted {
    by_server: BTreeMap<ServerId, Outcomes>,
    /// Of people who come home to a server that is not yet shown as it will be.
    put_off: BTreeMap<(Origin, AskId), Request>,
}

#[derive(Debug, Default)]
struct Outcomes {
    epoch: u32,
    by_ask: BTreeMap<u64, Option<Numeric>>,
}

/// Whether an act is to be done.
enum Due {
    Now,
    /// It has been; with the refusal, if it was refused.
    Done(Option<Numeric>),
    /// It is from so long ago that nobody waits for an answer.
    TooOld,
}

impl Acted {
    /// Where there are too many, it will be asked again.
    fn put_off(&mut self, asker: Origin, ask: AskId, request: Request) {
        if self.put_off.len() < ACTS_WINDOW {
            self.put_off.insert((asker, ask), request);
        }
    }

    fn is_due(&self, asker: Origin, ask: AskId) -> Due {
        let Some(outcomes) = self.by_server.get(&asker.server) else { return Due::Now };
        if asker.epoch != outcomes.epoch {
            return if asker.epoch > outcomes.epoch { Due::Now } else { Due::TooOld };
        }
        if let Some(outcome) = outcomes.by_ask.get(&ask.0) {
            return Due::Done(outcome.clone());
        }
        let is_full = outcomes.by_ask.len() >= ACTS_WINDOW;
        let is_old = outcomes.by_ask.keys().next().is_some_and(|oldest| ask.0 < *oldest);
        if is_full && is_old { Due::TooOld } else { Due::Now }
    }

    fn remember(&mut self, asker: Origin, ask: AskId, refusal: Option<Numeric>) {
        let outcomes = self.by_server.entry(asker.server).or_default();
        if asker.epoch != outcomes.epoch {
            *outcomes = Outcomes { epoch: asker.epoch, by_ask: BTreeMap::new() };
        }
        outcomes.by_ask.insert(ask.0, refusal);
        if outcomes.by_ask.len() > ACTS_WINDOW {
            outcomes.by_ask.pop_first();
        }
    }
}

impl Engine {
    /// Says a request, for the first time or again.
    pub(in crate::engine) fn send_request(&mut self, of: ServerId, ask: AskId, request: &Request) {
        let draft = Draft::new("ASK").param(of).param(self.origin()).param(base36::encode(ask.0));
        self.send_towards(of, request.write(draft));
    }

    pub(super) fn send_towards(&mut self, server: ServerId, draft: Draft) {
        let hop = self.routes.next_hop(server);
        if let Some(conn) = hop.and_then(|hop| self.links.to(hop)).map(|link| link.conn) {
            self.send_peer(conn, draft);
        }
    }

    /// Does what had to wait until everybody was shown.
    pub(in crate::engine) fn fulfil_put_off(&mut self) {
        for ((asker, ask), request) in std::mem::take(&mut self.acted.put_off) {
            self.fulfil(asker, ask, request);
        }
    }

    /// Does what another server asked for, and tells it what came of it.
    fn fulfil(&mut self, asker: Origin, ask: AskId, request: Request) {
        // There is no way for an answer yet; it will be asked again.
        if !self.routes.is_reachable(asker.server) {
            return;
        }
        let is_of_return = matches!(request, Request::Guest(_) | Request::Done { .. });
        if is_of_return && self.network.is_turning() {
            return self.acted.put_off(asker, ask, request);
        }
        match request {
            Request::Act(act) => self.fulfil_once(asker, ask, |engine| engine.act(asker.server, act)),
            Request::Guest(guest) => {
                let pipe = PipeId { host: asker, number: ask.0 };
                self.fulfil_once(asker, ask, |engine| engine.take_in_guest(pipe, *guest));
            }
            Request::Done { user, account, doings } => {
                if self.take_doings(asker, (user, account), &doings).is_some() {
                    self.answer(asker, ask, |draft| draft.param("DONE"));
                }
            }
            Request::Ping => self.answer(asker, ask, |draft| draft.param("DONE")),
            Request::Idle { user } => match self.sessions.person(user) {
                Some(person) => {
                    let idle_s = person.idle_s(self.now);
                    let signed_on_s = self.network.user(user).map_or(0, |user| user.fact.signed_on.seconds());
                    self.answer(asker, ask, |draft| draft.param("IDLE").param(idle_s).param(signed_on_s));
                }
                None => self.refuse_request(asker, ask, &numeric::no_such_nick(user)),
            },
            Request::Query { name, subject } => match command::query(&name) {
                Some(query) => self.answer_query(query, &subject, Asker::There { origin: asker, ask }),
                None => {
                    let refusal = numeric::unknown_command(Word::echo(&name));
                    self.refuse_request(asker, ask, &refusal);
                }
            },
        }
    }

    /// What is asked for again is answered again, and not done again.
    fn fulfil_once(&mut self, asker: Origin, ask: AskId, act: impl FnOnce(&mut Engine) -> Outcome) {
        let refusal = match self.acted.is_due(asker, ask) {
            Due::TooOld => return,
            Due::Done(refusal) => refusal,
            Due::Now => {
                let refusal = act(self).err().map(Refusal::into_numeric);
                self.acted.remember(asker, ask, refusal.clone());
                refusal
            }
        };
        match refusal {
            None => self.answer(asker, ask, |draft| draft.param("DONE")),
            Some(refusal) => self.refuse_request(asker, ask, &refusal),
        }
    }

    fn answer(&mut self, asker: Origin, ask: AskId, how: impl FnOnce(Draft) -> Draft) {
        let draft = Draft::new("ANSWER").param(asker).param(self.identity.sid).param(base36::encode(ask.0));
        self.send_towards(asker.server, how(draft));
    }

    fn refuse_request(&mut self, asker: Origin, ask: AskId, refusal: &Numeric) {
        self.answer(asker, ask, |draft| draft.param("REFUSED").param(refusal.code).trailing(&refusal.text));
    }

    /// Sends the answer to a query. Its lines are numbered: where it is asked again, each counts once.
    pub(in crate::engine) fn send_answer(&mut self, asker: Origin, ask: AskId, lines: &[Numeric]) {
        let lines = &lines[..lines.len().min(ANSWER_LINES_MAX)];
        for (number, line) in lines.iter().enumerate() {
            let reply = |draft: Draft| draft.param("REPLY").param(number).param(line.code);
            self.answer(asker, ask, |draft| reply(draft).trailing(&line.text));
        }
        self.answer(asker, ask, |draft| draft.param("END").param(lines.len()));
    }

    /// Passes a question or an answer on to where it is going.
    pub(super) fn pass_on(&mut self, conn: ConnId, to: ServerId, message: &Message) {
        // Back where it came from would be a circle: then the map has just changed, and it is lost until it is said
        // again.
        let back = self.links.by_conn.get(&conn).and_then(|link| link.sid());
        let hops = message.tags.get("hops").and_then(|hops| base36::parse(&hops)).unwrap_or(0) + 1;
        if self.routes.next_hop(to) != back && hops <= HOPS_MAX {
            let draft = Draft::new(message.command).tag("hops", &base36::encode(hops));
            let tags = message.tags.iter().filter(|(key, _)| *key != "hops");
            let draft = tags.fold(draft, |draft, (key, value)| draft.tag(key, &value));
            let draft = message.params.iter().fold(draft, |draft, param| draft.param(param));
            self.send_towards(to, draft);
        }
    }
}

fn ask(engine: &mut Engine, conn: ConnId, message: &Message) {
    let ids = (
        ServerId::parse(message.params[0]),
        Origin::parse(message.params[1]),
        base36::parse(message.params[2]).map(AskId),
    );
    let (Some(to), Some(asker), Some(ask)) = ids else { return engine.note_senseless(conn, "ASK") };
    if to != engine.identity.sid {
        return engine.pass_on(conn, to, message);
    }
    match Request::read(&message.params[3..]) {
        Some(request) => engine.fulfil(asker, ask, request),
        None => {
            // Perhaps of a newer version: whoever asked is not left waiting.
            engine.note_senseless(conn, "ASK");
            let refusal = numeric::unknown_command(Word::echo(message.params[3]));
            engine.refuse_request(asker, ask, &refusal);
        }
    }
}

fn answer(engine: &mut Engine, conn: ConnId, message: &Message) {
    let ids = (
        Origin::parse(message.params[0]),
        ServerId::parse(message.params[1]),
        base36::parse(message.params[2]).map(AskId),
    );
    let (Some(to), Some(from), Some(ask)) = ids else { return engine.note_senseless(conn, "ANSWER") };
    if to.server != engine.identity.sid {
        return engine.pass_on(conn, to.server, message);
    }
    // What an earlier run asked is nobody's question any more, nor is what has been answered already.
    if to != engine.origin() {
        return;
    }
    let Some(asked) = engine.asks.elsewhere(ask, from) else { return };
    match message.params[3..] {
        ["DONE", ..] => engine.ask_done(ask),
        ["REFUSED", code, text, ..] => {
            if let Ok(code) = code.parse() {
                engine.ask_refused(ask, Numeric::from_peer(code, text));
            }
        }
        ["IDLE", idle_s, signed_on_s, ..] => {
            if let (Ok(idle_s), Ok(signed_on_s)) = (idle_s.parse(), signed_on_s.parse()) {
                engine.idle_known(ask, (idle_s, signed_on_s));
            }
        }
        ["REPLY", number, code, text, ..] => {
            if let (Ok(number), Ok(code), Then::Query { answer, .. }) =
                (number.parse::<usize>(), code.parse(), &mut asked.then)
                && number == answer.len()
                && number < ANSWER_LINES_MAX
            {
                answer.push(Numeric::from_peer(code, text));
            }
        }
        ["END", count, ..] => {
            // Where lines were lost on the way, all is asked for again.
            if let (Ok(count), Then::Query { answer, .. }) = (count.parse::<usize>(), &asked.then)
                && count == answer.len()
            {
                engine.query_answered(ask);
            }
        }
        _ => engine.note_senseless(conn, "ANSWER"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::Stamp;
    use crate::engine::peer::Guise;
    use crate::wire::fold::fold;
    use crate::wire::names::{ChannelName, Nick, ServerName};

    #[test]
    fn every_request_survives_the_wire() {
        let server = ServerId::LOWEST;
        let user = UserId::numbered(server, 5);
        let stamp = Stamp { ms: 7, count: 3, server };
        let (channel, name) = (fold("#Green"), ChannelName::parse("#Green", 64).unwrap());
        let by = || "ann!a@host".to_string();
        let part = |reason: Option<&str>| {
            let reason = reason.map(str::to_string);
            Act::Part { user, channel: channel.clone(), joined: stamp, by: by(), reason }
        };
        let acts = [
            Act::Kick {
                channel: channel.clone(),
                user,
                joined: stamp,
                by: by(),
                reason: "out you go".into(),
            },
            Act::Kill { user, by: by(), reason: "".into() },
            Act::Invite { user, channel: name.clone(), birth: stamp, by: by() },
            Act::Nick { user, claimed: stamp, nick: Nick::parse("bob", 9).unwrap(), by: by() },
            Act::Join { user, channel: name, by: by() },
            part(None),
            part(Some("")),
            part(Some("now: go")),
            Act::Call { server: ServerName::parse("hall.lan").unwrap(), user, by: by() },
            Act::Tell { user, text: "barn.lan is linked".into() },
            Act::Write { user, by: UserId::numbered(server, 6) },
            Act::Cut { peer: server, by: by(), reason: ":)".into() },
            Act::Guise { user, guise: Guise::Host("staff/ann".into()), by: by() },
            Act::Guise { user, guise: Guise::Username("ann".into()), by: by() },
            Act::Guise { user, guise: Guise::Realname("Ann of Hall".into()), by: by() },
        ];
        let others = [
            Request::Idle { user },
            Request::Ping,
            Request::Query { name: "STATS".into(), subject: "".into() },
        ];
        for request in acts.map(Request::Act).into_iter().chain(others) {
            let line = request.write(Draft::new("ASK").param("1AA").param("2BB.1").param("1")).line();
            let message = Message::parse(&line).expect("a written request is a message");
            assert_eq!(Request::read(&message.params[3..]), Some(request), "{line}");
        }
    }

    #[test]
    fn what_was_done_is_known_by_its_number_and_run() {
        let mut acted = Acted::default();
        let run = |epoch| Origin { server: ServerId::LOWEST, epoch };
        let no = numeric::no_such_server(Word::echo("x"));
        acted.remember(run(2), AskId(7), Some(no.clone()));
        assert!(matches!(acted.is_due(run(2), AskId(7)), Due::Done(Some(known)) if known == no));
        assert!(matches!(acted.is_due(run(2), AskId(6)), Due::Now), "it may have been overtaken");
        assert!(matches!(acted.is_due(run(1), AskId(8)), Due::TooOld));
        assert!(matches!(acted.is_due(run(3), AskId(7)), Due::Now), "another run counts anew");
        for ask in 8..2000 {
            acted.remember(run(2), AskId(ask), None);
        }
        assert!(matches!(acted.is_due(run(2), AskId(7)), Due::TooOld));
        assert!(matches!(acted.is_due(run(2), AskId(1999)), Due::Done(None)));
        assert_eq!(acted.by_server[&ServerId::LOWEST].by_ask.len(), ACTS_WINDOW);
    }
}
