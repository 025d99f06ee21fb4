//! SASL: mechanisms by which a client shows who it is, one row each, and an exchange while it is under way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::bearer::{self, IRCV3BEARER, OAUTHBEARER};
use super::event::AskId;
use super::logins::By;
use super::network::AccountId;
use super::offer::Way;
use super::scram::Scram;
use super::turn::Turn;
use crate::config::Config;
use crate::wire::fold::fold;
use crate::wire::names::Word;
use crate::wire::numeric;

/// What one AUTHENTICATE carries at most; one that is as long is not the last.
const CHUNK_BYTES: usize = 400;

/// Nothing that a mechanism has to say is longer.
const RESPONSE_BYTES_MAX: usize = 20 * CHUNK_BYTES;

/// One way to show who one is.
pub struct Mechanism {
    pub name: &'static str,
    is_offered: fn(&Config, Way) -> bool,
    /// Takes what the client says, and answers with what comes next.
    step: fn(&mut Turn, &mut Exchange, &[u8]) -> Step,
}

const MECHANISMS: &[Mechanism] = &[
    Mechanism { name: "PLAIN", is_offered: |_, _| true, step: plain },
    // By the certificate that the client has shown; nothing for anybody else.
    Mechanism { name: "EXTERNAL", is_offered: |_, way| way == Way::Certified, step: external },
    Mechanism { name: "SCRAM-SHA-256", is_offered: |_, _| true, step: scram },
    Mechanism { name: OAUTHBEARER, is_offered: takes_tokens, step: bearer::oauthbearer },
    Mechanism { name: IRCV3BEARER, is_offered: takes_tokens, step: bearer::ircv3bearer },
];

/// A token that somebody overhears is theirs, here and with whoever else takes it.
fn takes_tokens(config: &Config, way: Way) -> bool {
    let tokens = &config.accounts.tokens;
    !tokens.issuers.is_empty() && (way != Way::Plain || !tokens.need_tls)
}

impl Mechanism {
    /// As the capability lists them on such a connection.
    pub fn names(config: &Config, way: Way) -> String {
        let names: Vec<&str> = Mechanism::offered(config, way).map(|mechanism| mechanism.name).collect();
        names.join(",")
    }

    fn offered(config: &Config, way: Way) -> impl Iterator<Item = &'static Mechanism> {
        MECHANISMS.iter().filter(move |mechanism| (mechanism.is_offered)(config, way))
    }
}

/// What comes of what a client said.
pub enum Step {
    /// Something to be said to the client, and then it goes on.
    Say(String),
    /// A password is being checked.
    Wait(AskId),
    Done(AccountId),
    Failed,
    /// Why it has failed; it is over when the client has acknowledged that.
    Refuse(String),
    /// It is over, and all was said.
    Over,
}

/// An exchange under way.
#[derive(Debug)]
pub struct Exchange {
    mechanism: &'static str,
    /// The parts of a long answer that have come so far.
    collected: String,
    scram: Option<Scram>,
    waits: Option<AskId>,
    /// Whether the client knows that it has failed, and is to say so.
    pub is_refused: bool,
}

impl Exchange {
    pub fn waits_for(&self, ask: AskId) -> bool {
        self.waits == Some(ask)
    }
}

impl Turn<'_> {
    /// Takes one AUTHENTICATE.
    pub fn authenticate(&mut self, said: &str) {
        if said == "*" {
            self.give_up_exchange();
            return self.reply(numeric::sasl_aborted());
        }
        match self.session_mut().exchange.take() {
            None => self.begin_exchange(said),
            Some(exchange) => self.go_on(exchange, said),
        }
    }

    fn begin_exchange(&mut self, name: &str) {
        // Who agreed on 302 may log in anew, as another account too.
        if self.account().is_some() && self.session().cap_version < 302 {
            return self.reply(numeric::sasl_already());
        }
        let (config, way) = (self.config(), Way::of(self.session()));
        let found = Mechanism::offered(config, way).find(|known| known.name.eq_ignore_ascii_case(name));
        let Some(mechanism) = found else {
            let names = Mechanism::names(config, way);
            self.reply(numeric::sasl_mechanisms(Word::echo(&names)));
            return self.reply(numeric::sasl_failed(""));
        };
        if self.may_not_log_in() {
            return self
                .reply(numeric::sasl_failed(": too many logins from here have failed, try again later"));
        }
        let exchange = Exchange {
            mechanism: mechanism.name,
            collected: String::new(),
            scram: None,
            waits: None,
            is_refused: false,
        };
        self.session_mut().exchange = Some(exchange);
        self.say("AUTHENTICATE +".to_string());
    }

    fn go_on(&mut self, mut exchange: Exchange, said: &str) {
        if said.len() > CHUNK_BYTES || exchange.collected.len() + said.len() > RESPONSE_BYTES_MAX {
            return self.reply(numeric::sasl_too_long());
        }
        if exchange.waits.is_some() {
            // Nobody has anything to say while it is being decided.
            self.session_mut().exchange = Some(exchange);
            self.give_up_exchange();
            return self.reply(numeric::sasl_failed(""));
        }
        if said != "+" {
            exchange.collected.push_str(said);
        }
        if said.len() == CHUNK_BYTES {
            self.session_mut().exchange = Some(exchange);
            return;
        }
        let response = BASE64.decode(std::mem::take(&mut exchange.collected));
        // Whatever was offered then is still a mechanism.
        let mechanism = MECHANISMS.iter().find(|known| known.name == exchange.mechanism);
        let mechanism = mechanism.expect("it was found when this began");
        let step = match response {
            Ok(response) => (mechanism.step)(self, &mut exchange, &response),
            Err(_) => Step::Failed,
        };
        self.take_step(exchange, step);
    }

    /// Goes on, or ends, with what came of what a client said.
    pub fn take_step(&mut self, mut exchange: Exchange, step: Step) {
        let name = exchange.mechanism;
        match step {
            Step::Say(text) => {
                self.session_mut().exchange = Some(exchange);
                self.say_response(&text);
            }
            Step::Wait(ask) => {
                exchange.waits = Some(ask);
                self.session_mut().exchange = Some(exchange);
            }
            Step::Refuse(why) => {
                exchange.waits = None;
                exchange.is_refused = true;
                self.session_mut().exchange = Some(exchange);
                self.say_response(&why);
            }
            Step::Done(account) => self.sasl_decided(name, Some(account)),
            Step::Failed => self.sasl_decided(name, None),
            Step::Over => {}
        }
    }

    fn say_response(&mut self, text: &str) {
        let encoded = BASE64.encode(text);
        for chunk in encoded.as_bytes().chunks(CHUNK_BYTES) {
            self.say(format!("AUTHENTICATE {}", String::from_utf8_lossy(chunk)));
        }
        if encoded.len().is_multiple_of(CHUNK_BYTES) {
            self.say("AUTHENTICATE +".to_string());
        }
    }

    /// It is known who the client is, or that it is nobody.
    pub fn sasl_decided(&mut self, mechanism: &'static str, account: Option<AccountId>) {
        self.session_mut().exchange = None;
        let Some(account) = account else {
            self.reply(numeric::sasl_failed(""));
            self.count_failed_login(mechanism);
            return;
        };
        match self.log_in(account, mechanism) {
            Ok(()) => self.reply(numeric::sasl_done()),
            Err(why) => {
                self.reply(numeric::account_suspended(&why));
                self.reply(numeric::sasl_failed(""));
            }
        }
    }

    /// It is not known who the client is, and not for want of the right words.
    pub fn sasl_put_off(&mut self, why: &str) {
        self.session_mut().exchange = None;
        self.reply(numeric::sasl_failed(&format!(": {why}")));
    }

    /// A password that is being checked has cost as much as a wrong one.
    fn give_up_exchange(&mut self) {
        let exchange = self.session_mut().exchange.take();
        if let Some(exchange) = exchange.filter(|exchange| exchange.waits.is_some()) {
            self.count_failed_login(exchange.mechanism);
        }
    }

    /// Whoever goes on without waiting for the end of an exchange goes on without it.
    pub fn abort_exchange(&mut self) {
        if self.session().exchange.is_some() {
            self.give_up_exchange();
            self.reply(numeric::sasl_aborted());
        }
    }
}

/// Nobody acts as somebody else: what one is to be is empty, or what one is.
fn is_self(authorize: &str, name: &str) -> bool {
    authorize.is_empty() || fold(authorize) == fold(name)
}

/// RFC 4616: who to be, who one is, and the password, with zeroes between.
fn plain(turn: &mut Turn, _: &mut Exchange, response: &[u8]) -> Step {
    let Ok(text) = std::str::from_utf8(response) else { return Step::Failed };
    let parts: Vec<&str> = text.split('\0').collect();
    let [authorize, name, password] = parts[..] else { return Step::Failed };
    if name.is_empty() || password.is_empty() || !is_self(authorize, name) {
        return Step::Failed;
    }
    let attempt = turn.attempt(By::Sasl("PLAIN"));
    match turn.check_password(name, password, attempt) {
        Some(ask) => Step::Wait(ask),
        None => Step::Over,
    }
}

/// RFC 4422, appendix A: who it is, TLS knows already.
fn external(turn: &mut Turn, _: &mut Exchange, response: &[u8]) -> Step {
    let (Ok(name), Some(pin)) = (std::str::from_utf8(response), turn.session().certificate) else {
        return Step::Failed;
    };
    let mut accounts = turn.network().accounts().certified(&pin);
    match accounts.find(|account| is_self(name, &account.name)) {
        Some(account) => Step::Done(account.id),
        None => Step::Failed,
    }
}

fn scram(turn: &mut Turn, exchange: &mut Exchange, response: &[u8]) -> Step {
    let Ok(text) = std::str::from_utf8(response) else { return Step::Failed };
    let said = match exchange.scram.take() {
        None => turn.begin_scram(text),
        Some(scram) if scram.is_proven() => {
            return match scram.account() {
                Some(account) if text.is_empty() => Step::Done(account),
                _ => Step::Failed,
            };
        }
        Some(scram) => scram.prove(text),
    };
    match said {
        Some((scram, said)) => {
            exchange.scram = Some(scram);
            Step::Say(said)
        }
        None => Step::Failed,
    }
}
