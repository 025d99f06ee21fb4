//! Logging in by a token that somebody else has signed: OAUTHBEARER (RFC 7628) and IRCV3BEARER. Whether it is signed
//! rightly is found out off the router's path.

use std::fmt;

use super::Engine;
use super::command;
use super::effect::{Effect, Secret};
use super::event::AskId;
use super::logins::{Attempt, By};
use super::pending::Pending;
use super::sasl::{Exchange, Step};
use super::scram::unescape;
use super::turn::Turn;
use crate::wire::fold::fold;
use crate::wire::names::Word;
use crate::wire::numeric;

pub const OAUTHBEARER: &str = "OAUTHBEARER";
pub const IRCV3BEARER: &str = "IRCV3BEARER";

/// What a token that is in order says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The account, as whoever made the token calls it.
    pub name: String,
    /// Whether it is made where there is none.
    pub autocreate: bool,
}

/// Why a token logs nobody in; for the log, whoever sent it learns only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    Unreadable,
    /// Signed in no way for which there is a key.
    Algorithm,
    Forged,
    Issuer,
    Audience,
    Expired,
    NotYet,
    Nameless,
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenFault::Unreadable => "unreadable",
            TokenFault::Algorithm => "its algorithm has no key here",
            TokenFault::Forged => "its signature is not by any key here",
            TokenFault::Issuer => "of another issuer",
            TokenFault::Audience => "for another audience",
            TokenFault::Expired => "expired, or without an end",
            TokenFault::NotYet => "not valid yet",
            TokenFault::Nameless => "names nobody",
        })
    }
}

/// What is said to a client whose token is refused (RFC 7628, section 3.2.2).
fn refusal(status: &str) -> String {
    serde_json::json!({ "status": status }).to_string()
}

/// RFC 7628: a header as SCRAM has it, then what belongs to the token, each between two bytes of 1.
pub fn oauthbearer(turn: &mut Turn, exchange: &mut Exchange, response: &[u8]) -> Step {
    if exchange.is_refused {
        // They have heard why, and say that they have.
        turn.reply(numeric::sasl_failed(""));
        return Step::Over;
    }
    match std::str::from_utf8(response).ok().and_then(read_oauth) {
        Some((authorize, token)) => {
            let attempt = turn.attempt(By::Sasl(OAUTHBEARER));
            Step::Wait(turn.check_token(token, authorize, attempt))
        }
        None => turn.refuse_token("invalid_request", "unreadable"),
    }
}

/// `n,a=alice,^Ahost=…^Aauth=Bearer …^A^A`
fn read_oauth(text: &str) -> Option<(String, &str)> {
    let (header, rest) = text.split_once('\x01')?;
    let pairs = rest.strip_suffix("\x01\x01")?;
    let [binding, authorize, ""] = header.split(',').collect::<Vec<_>>()[..] else { return None };
    // Binding to a channel was not offered.
    if !matches!(binding, "n" | "y") {
        return None;
    }
    let authorize = match authorize {
        "" => String::new(),
        authorize => unescape(authorize.strip_prefix("a=")?)?,
    };
    let mut tokens = pairs.split('\x01').filter_map(|pair| pair.strip_prefix("auth="));
    let (scheme, token) = tokens.next()?.split_once(' ')?;
    let is_one = tokens.next().is_none() && scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty();
    is_one.then(|| (authorize, token.trim_matches(' ')))
}

/// Who to be, the kind of token, and the token, with zeroes between.
pub fn ircv3bearer(turn: &mut Turn, _: &mut Exchange, response: &[u8]) -> Step {
    let Ok(text) = std::str::from_utf8(response) else { return Step::Failed };
    let [authorize, kind, token] = text.splitn(3, '\0').collect::<Vec<_>>()[..] else { return Step::Failed };
    // One that is to be shown to its issuer could not be checked here.
    if !matches!(kind, "jwt" | "oauth2") {
        return Step::Failed;
    }
    let attempt = turn.attempt(By::Sasl(IRCV3BEARER));
    Step::Wait(turn.check_token(token, authorize.to_string(), attempt))
}

impl Turn<'_> {
    fn check_token(&mut self, token: &str, authorize: String, attempt: Attempt) -> AskId {
        let (token, tokens) = (Secret(token.to_string()), self.config().accounts.tokens.clone());
        let now = self.now.wall;
        let ask = self.engine.ask(Pending::Token { authorize, attempt });
        self.engine.effects.push(Effect::CheckToken { ask, token, tokens, now });
        self.hold_what_follows(ask);
        ask
    }

    /// Says why, as OAUTHBEARER has it; it is over when the client has acknowledged that. It has cost as much as a wrong
    /// password by then, whether or not they do.
    fn refuse_token(&mut self, status: &str, why: &str) -> Step {
        if self.count_failed_login(&format!("{OAUTHBEARER}, {why}")) {
            Step::Refuse(refusal(status))
        } else {
            Step::Over
        }
    }

    /// A token was checked.
    fn token_decided(
        &mut self,
        mechanism: &'static str,
        authorize: &str,
        outcome: Result<Bearer, TokenFault>,
    ) {
        let bearer = outcome.map_err(|fault| fault.to_string()).and_then(|bearer| {
            match authorize.is_empty() || fold(authorize) == fold(&bearer.name) {
                true => Ok(bearer),
                false => Err("of somebody else than they want to be".to_string()),
            }
        });
        let account = bearer.and_then(|bearer| {
            let known = self.network().accounts().named(&bearer.name).map(|account| account.id);
            match known {
                Some(account) => Ok(account),
                None if bearer.autocreate => command::account_vouched_for(self, &bearer.name),
                None => Err(format!("there is no account {}", Word::echo(&bearer.name))),
            }
        });
        match account {
            Ok(account) => self.sasl_decided(mechanism, Some(account)),
            Err(why) if mechanism == OAUTHBEARER => {
                let step = self.refuse_token("invalid_token", &why);
                if let Some(exchange) = self.session_mut().exchange.take() {
                    self.take_step(exchange, step);
                }
            }
            Err(why) => {
                self.session_mut().exchange = None;
                self.reply(numeric::sasl_failed(""));
                self.count_failed_login(&format!("{mechanism}, {why}"));
            }
        }
    }
}

impl Engine {
    /// A token was checked.
    pub(super) fn token_checked(&mut self, ask: AskId, outcome: Result<Bearer, TokenFault>) {
        let Some(Pending::Token { authorize, attempt }) = self.asks.take(ask) else { return };
        let By::Sasl(mechanism) = attempt.by else { return };
        let (address, is_refused) = (attempt.address, outcome.is_err());
        let is_answered = self.answer_attempt(ask, &attempt, |turn| {
            turn.token_decided(mechanism, &authorize, outcome);
        });
        if !is_answered && is_refused {
            self.charge_failed_login(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_its_token_is_read_or_refused() {
        for (text, read) in [
            ("n,,\x01auth=Bearer abc\x01\x01", Some(("", "abc"))),
            ("n,a=alice,\x01host=hall.lan\x01port=6697\x01auth=Bearer abc\x01\x01", Some(("alice", "abc"))),
            ("y,a=a=2Cb,\x01auth=bearer abc\x01\x01", Some(("a,b", "abc"))),
            ("p=tls-unique,,\x01auth=Bearer abc\x01\x01", None),
            ("n,alice,\x01auth=Bearer abc\x01\x01", None),
            ("n,,x\x01auth=Bearer abc\x01\x01", None),
            ("n,\x01auth=Bearer abc\x01\x01", None),
            // Asking what there is, as the RFC lets clients do.
            ("n,,\x01auth=\x01\x01", None),
            ("n,,\x01auth=Basic abc\x01\x01", None),
            ("n,,\x01auth=Bearer \x01\x01", None),
            ("n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", None),
            ("n,,\x01host=hall.lan\x01\x01", None),
            ("n,,\x01\x01", None),
            ("n,,\x01auth=Bearer abc\x01", None),
            ("\x01", None),
            ("", None),
        ] {
            let found = read_oauth(text);
            assert_eq!(found.as_ref().map(|(name, token)| (name.as_str(), *token)), read, "{text:?}");
        }
        assert_eq!(refusal("invalid_token"), r#"{"status":"invalid_token"}"#);
    }
}
