//! What only another server knows or may do: asked for a line of a client's, said again where it was lost, and
//! always ended by an answer or by its lack.

use super::event::{AskId, ConnId};
use super::guest::Answer;
use super::network::Edit;
use super::outgoing::{Outgoing, Spoken};
use super::peer::{Act, Request};
use super::pending::{Elsewhere, LineId, Pending, Reply, Then};
use super::turn::{Outcome, Refusal, Turn};
use super::{Engine, command, shield};
use crate::wire::names::{ServerId, Word};
use crate::wire::numeric;

/// How long another server may take, save where a command says otherwise.
pub const ANSWER_WITHIN_MS: u64 = 10_000;

/// After so long a request is said again, and then after twice as long each time. It or its answer may have been on a
/// link that broke, or have met a server with an older map; whoever gets it twice acts once.
const AGAIN_AFTER_MS: u64 = 1_000;

impl Turn<'_> {
    /// Has something done by the server that alone may do it; at once where that is this one. `named` is what the
    /// speaker calls whom it is about, and `done` what they are told once it is done.
    pub fn have_done(
        &mut self,
        of: ServerId,
        act: Act,
        command: &'static str,
        named: Word,
        done: Vec<Reply>,
    ) -> Outcome {
        if of == self.server_id() {
            self.engine.act(of, act)?;
            self.say_done(done);
            return Ok(());
        }
        if !self.engine.routes.is_reachable(of) {
            let name = Word::echo(self.network().server_name(of));
            return Err(numeric::no_answer(Word::echo(command), name).into());
        }
        let conn = self.conn;
        let line = *self.line.get_or_insert_with(|| self.engine.asks.open_line(conn));
        if let Some(open) = self.engine.asks.line(line) {
            open.acts += 1;
        }
        self.engine.ask_server(
            of,
            ANSWER_WITHIN_MS,
            Request::Act(act),
            Then::Act { line, command, named, done },
        );
        Ok(())
    }

    fn say_done(&mut self, done: Vec<Reply>) {
        for reply in done {
            match reply {
                Reply::Numeric(numeric) => self.reply(numeric),
                Reply::Notice(text) => self.notice(&text),
                Reply::Message(message) => self.change(Edit::Message(message)),
            }
        }
    }

    /// Where acts of this line are still to be answered its label waits for them, and the replies that there are with
    /// it. What others hear too goes out at once, or it would come after what followed it.
    pub fn hold_for_acts(&mut self, label: Option<String>) -> Option<String> {
        let Some(line) = self.line else { return label };
        let label = label?;
        let replies = self.engine.take_replies(self.conn, true);
        if let Some(open) = self.engine.asks.line(line) {
            open.reply.label = Some(label);
            open.replies = replies;
        }
        None
    }
}

impl Engine {
    /// Asks another server. The answer comes to `then`; so does the lack of one.
    pub(super) fn ask_server(&mut self, of: ServerId, within_ms: u64, request: Request, then: Then) -> AskId {
        let now_ms = self.now.steady_ms;
        let ask = self.ask(Pending::Elsewhere(Elsewhere {
            of,
            request: request.clone(),
            until_ms: now_ms + within_ms,
            again_ms: now_ms + AGAIN_AFTER_MS,
            wait_ms: AGAIN_AFTER_MS,
            then,
        }));
        self.send_request(of, ask, &request);
        ask
    }

    /// Takes what was said to a client in reply out of what is about to go out; of what the server itself says
    /// `only_own`, or else all.
    pub(super) fn take_replies(&mut self, conn: ConnId, only_own: bool) -> Vec<Spoken> {
        let mut replies = Vec::new();
        let server = self.identity.name.as_str();
        let is_reply = |spoken: &Spoken| !spoken.is_delivery() && (!only_own || spoken.is_from(server));
        for outgoing in self.outgoing.iter_mut().filter(|outgoing| is_reply(&outgoing.spoken)) {
            if outgoing.to.has(conn) {
                outgoing.to.retain(|to| to != conn);
                replies.push(outgoing.spoken.clone());
            }
        }
        self.outgoing.retain(|outgoing| !outgoing.to.is_empty());
        replies
    }

    /// Another server has done what it was asked, or has refused to, or has not said.
    pub(super) fn act_answered(&mut self, line: LineId, say: impl FnOnce(&mut Turn) -> Outcome) {
        let Some(open) = self.asks.line(line) else { return };
        open.acts -= 1;
        let (is_last, is_labelled, conn) = (open.acts == 0, open.reply.label.is_some(), open.reply.conn);
        // What else this step says is no reply.
        self.flush_outgoing();
        if self.sessions.get(conn).is_some_and(|session| session.user().is_some()) {
            let mut turn = Turn::new(self, conn);
            if let Err(refusal) = say(&mut turn) {
                turn.refuse(refusal);
            }
        }
        if is_labelled {
            let said = self.take_replies(conn, false);
            if let Some(open) = self.asks.line(line) {
                open.replies.extend(said);
            }
        }
        if is_last && let Some(open) = self.asks.close_line(line) {
            self.outgoing.extend(open.replies.into_iter().map(|spoken| Outgoing { to: conn.into(), spoken }));
            self.finish_turn(conn, open.reply.label);
        }
        self.flush_outgoing();
    }

    /// The server asked has done what it was to do.
    pub(super) fn ask_done(&mut self, ask: AskId) {
        let Some(Pending::Elsewhere(asked)) = self.asks.take(ask) else { return };
        match asked.then {
            Then::Act { line, done, .. } => self.act_answered(line, |turn| {
                turn.say_done(done);
                Ok(())
            }),
            Then::Pong { reply, token } => {
                self.resume(reply, |turn| command::pong_answered(turn, asked.of, &token, true));
            }
            Then::Guest { conn } => self.guest_answered(conn, Answer::Yes),
            // It was to tell something, and has not.
            then => self.not_answered(asked.of, then),
        }
    }

    /// The server asked says no.
    pub(super) fn ask_refused(&mut self, ask: AskId, refusal: numeric::Numeric) {
        let Some(Pending::Elsewhere(asked)) = self.asks.take(ask) else { return };
        match asked.then {
            Then::Act { line, named, .. } => {
                // Servers know people by their ids, whoever asked by what they called them.
                let gone = numeric::no_such_nick(&named);
                let refusal = if refusal.code == gone.code { gone } else { refusal };
                self.act_answered(line, |turn| {
                    turn.answered_by(asked.of, shield::in_full(named.as_str(), refusal));
                    Ok(())
                });
            }
            Then::Query { reply, .. } => self.resume(reply, |turn| {
                turn.answered_by(asked.of, vec![refusal]);
                Ok(())
            }),
            Then::Guest { conn } if refusal.code == numeric::try_again(Word::echo("GUEST")).code => {
                self.guest_answered(conn, Answer::NotYet);
            }
            then => self.not_answered(asked.of, then),
        }
    }

    /// The server asked has told how long a user has been idle, and since when they are here; both in seconds.
    pub(super) fn idle_known(&mut self, ask: AskId, idle: (u64, u64)) {
        if let Some(Pending::Elsewhere(Elsewhere { then: Then::Whois { reply, asked, user }, .. })) =
            self.asks.take(ask)
        {
            self.resume(reply, |turn| command::whois_answered(turn, &asked, user, Some(idle)));
        }
    }

    /// The server asked has answered a query to its end.
    pub(super) fn query_answered(&mut self, ask: AskId) {
        if let Some(Pending::Elsewhere(Elsewhere { of, then: Then::Query { reply, answer, .. }, .. })) =
            self.asks.take(ask)
        {
            self.resume(reply, |turn| {
                turn.answered_by(of, answer);
                Ok(())
            });
        }
    }

    /// No answer will come any more.
    fn not_answered(&mut self, of: ServerId, then: Then) {
        let name = Word::echo(self.network.server_name(of));
        match then {
            Then::Nothing => {}
            Then::Guest { conn } => self.guest_answered(conn, Answer::No),
            Then::Whois { reply, asked, user } => {
                self.resume(reply, |turn| command::whois_answered(turn, &asked, user, None));
            }
            Then::Pong { reply, token } => {
                self.resume(reply, |turn| command::pong_answered(turn, of, &token, false));
            }
            Then::Query { reply, command, answer } => self.resume(reply, |turn| {
                turn.answered_by(of, answer);
                Err(numeric::no_answer(Word::echo(command), name).into())
            }),
            Then::Act { line, named, done, .. }
                if done.iter().any(|reply| matches!(reply, Reply::Message(_))) =>
            {
                // It is said only by the answer's leave.
                self.act_answered(line, |_| {
                    Err(Refusal::from(numeric::nick_out_of_reach(&named, name.as_str())))
                });
            }
            Then::Act { line, command, named, .. } => {
                // It may have been the answer that was lost.
                self.act_answered(line, |_| {
                    Err(Refusal::from(numeric::perhaps_not_done(Word::echo(command), &named, name)))
                });
            }
        }
    }

    /// Ends what waits in vain, and says again what may have been lost.
    pub(super) fn chase_asks(&mut self) {
        let now_ms = self.now.steady_ms;
        let (mut late, mut again) = (Vec::new(), Vec::new());
        for (ask, asked) in self.asks.all_elsewhere() {
            // A server out of reach got no question, or has no way for its answer.
            if now_ms >= asked.until_ms || !self.routes.is_reachable(asked.of) {
                late.push(ask);
            } else if now_ms >= asked.again_ms {
                asked.wait_ms *= 2;
                asked.again_ms = now_ms + asked.wait_ms;
                again.push((asked.of, ask, asked.request.clone()));
            }
        }
        again.into_iter().for_each(|(of, ask, request)| self.send_request(of, ask, &request));
        for ask in late {
            if let Some(Pending::Elsewhere(asked)) = self.asks.take(ask) {
                self.not_answered(asked.of, asked.then);
            }
        }
    }
}
