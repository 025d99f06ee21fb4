//! What people let through to themselves: whom they silence, block and accept, and what their modes keep away.

use std::collections::BTreeSet;

use super::Engine;
use super::network::{AccountId, Edit, Message, Target, User, Verb};
use super::peer::Act;
use super::pending::Reply;
use super::person::Person;
use super::session::Session;
use super::turn::{Outcome, Refusal, Turn};
use crate::wire::letters::Letters;
use crate::wire::mask::Mask;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric::{self, Numeric};

/// How long somebody with user mode `g` is left in peace after having heard that somebody else wants to write.
const INFORM_EVERY_MS: u64 = 60_000;

/// What a silence can be for, by the letters that people write: to a person, and to a channel.
pub const SILENCE_FLAGS: &str = "CNPTcinpt";
/// Stands for all of these.
pub const SILENCE_DEFAULT: char = 'd';
/// Makes an exception of an entry.
pub const SILENCE_EXEMPT: char = 'x';

/// One person's own rules; they are of no interest to anybody else, and go with them.
#[derive(Debug, Default)]
pub struct Shield {
    /// User mode `D`, at hand where every line of a channel asks for it.
    pub is_deaf: bool,
    pub silences: Vec<Silence>,
    /// Those whom user modes `g` and `R` do not keep away.
    pub accepted: BTreeSet<UserId>,
    informed_ms: Option<u64>,
    /// When somebody whom the person does not want to hear was last told that they were informed.
    pretended_ms: Option<u64>,
}

/// People who are not heard, or are in spite of other entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub mask: Mask,
    /// Of `SILENCE_FLAGS`.
    pub what: Letters,
    pub is_exempt: bool,
}

impl Silence {
    /// The letters as people write them.
    pub fn flags(&self) -> String {
        format!("{}{}", self.what, if self.is_exempt { "x" } else { "" })
    }
}

impl Shield {
    /// Whether anything that is said on channels may be kept away.
    pub fn is_up(&self) -> bool {
        self.is_deaf || !self.silences.is_empty()
    }

    fn silences(&self, source: &str, flag: char) -> bool {
        let mut fit =
            self.silences.iter().filter(|one| one.what.has(flag) && one.mask.matches(source)).peekable();
        fit.peek().is_some() && !fit.any(|one| one.is_exempt)
    }

    /// Whether an invitation gets through.
    pub fn lets_invite(&self, source: &str) -> bool {
        !self.silences(source, 'i')
    }

    /// Whether what was said on a channel gets through.
    pub fn lets_channel(&self, source: &str, message: &Message) -> bool {
        !self.is_deaf && !self.silences(source, flag_of(message).to_ascii_lowercase())
    }
}

/// The letter of what is said to a person; that of the same on a channel is the small one.
fn flag_of(message: &Message) -> char {
    match message.verb {
        _ if is_ctcp(message) => 'C',
        Verb::Privmsg => 'P',
        Verb::Notice => 'N',
        Verb::Tagmsg => 'T',
    }
}

/// Whether it is for a program and not for a person: CTCP, but for what people do.
pub(super) fn is_ctcp(message: &Message) -> bool {
    message.text.starts_with('\u{1}') && !message.text.starts_with("\u{1}ACTION")
}

/// Why somebody with user modes that keep people away does not hear from this one, if so.
fn keeps_away(shield: &Shield, to: &User, from: &User) -> Option<Numeric> {
    if to.id == from.id || from.is_operator() || shield.accepted.contains(&from.id) {
        return None;
    }
    if to.has_mode('R') && from.account.is_none() {
        return Some(numeric::registered_only(&to.nick));
    }
    to.has_mode('g').then(|| numeric::caller_not_accepted(&to.nick))
}

impl Engine {
    /// Whether somebody is logged in who has blocked whoever this is.
    pub(super) fn blocks(
        &self,
        user: UserId,
        from: Option<UserId>,
        account: Option<AccountId>,
        source: &str,
    ) -> bool {
        let own = self.network.user(user).and_then(User::account_id);
        let Some(own) = own.and_then(|account| self.network.accounts().get(account)) else { return false };
        // Who logs out, or in to something else, is the same person still.
        let before = from.into_iter().flat_map(|from| self.former.of(from));
        let before = before.chain(self.former.of_source(source).filter(|_| account.is_none()));
        let mut before = before.filter(|_| account != Some(own.id));
        own.keeps_away(account, source) || before.any(|account| own.keeps_away(Some(account), source))
    }

    /// Whether what was said to a person gets through to them.
    pub(super) fn lets_through(&self, to: UserId, source: &str, message: &Message) -> bool {
        let Some(Person { shield, .. }) = self.sessions.person(to) else { return true };
        let (to, from) = (self.network.user(to), self.network.user(message.sender));
        let Some(to) = to else { return true };
        // Who has gone by now wrote it as whoever they were then.
        let Some(from) = from else { return self.lets_past(to.id, message) };
        let is_kept_away = keeps_away(shield, to, from).is_some();
        let is_unwanted = to.has_mode('T') && is_ctcp(message);
        let is_silenced = shield.silences(source, flag_of(message));
        !is_kept_away
            && !is_unwanted
            && !is_silenced
            && !self.blocks(to.id, Some(from.id), from.account_id(), source)
    }

    /// Whether what somebody said once is let through now, to whom it was for or who was there.
    pub(super) fn lets_past(&self, user: UserId, message: &Message) -> bool {
        let flag = flag_of(message);
        let Some(Person { shield, .. }) = self.sessions.person(user) else { return true };
        let to = match message.target {
            Target::Channel { .. } => {
                return !shield.silences(&message.source, flag.to_ascii_lowercase());
            }
            Target::User { .. } => self.network.user(user),
        };
        // A PRIVMSG that somebody's modes kept away was never said.
        let is_kept_away = message.verb != Verb::Privmsg
            && to.is_some_and(|to| match self.network.user(message.sender) {
                Some(from) => keeps_away(shield, to, from).is_some(),
                None => to.has_mode('g') || to.has_mode('R') && message.account.is_none(),
            });
        // As whom they wrote it, whatever they are logged in to by now.
        let by_name = || message.account.as_ref().and_then(|name| self.network.account_named(name));
        let from = message.between.0.or_else(|| by_name().map(|account| account.id));
        let is_silenced = shield.silences(&message.source, flag);
        !is_kept_away && !is_silenced && !self.blocks(user, Some(message.sender), from, &message.source)
    }

    /// Whether somebody may write to one of this server's users; who is kept away makes themselves known, now and then.
    pub(super) fn let_write(&mut self, to: UserId, from: UserId) -> Outcome {
        let person = self.sessions.person(to).ok_or_else(|| numeric::no_such_nick(to))?;
        let to = self.network.user(to).ok_or_else(|| numeric::no_such_nick(to))?;
        let from = self.network.user(from).ok_or_else(|| numeric::no_such_nick(from))?;
        let Some(refusal) = keeps_away(&person.shield, to, from) else { return Ok(()) };
        let source = from.prefix();
        let silenced = person.shield.silences(&source, 'P')
            || self.blocks(to.id, Some(from.id), from.account_id(), &source);
        let now_ms = self.now.steady_ms;
        let told_ms = if silenced { person.shield.pretended_ms } else { person.shield.informed_ms };
        let is_due = told_ms.is_none_or(|told_ms| now_ms >= told_ms + INFORM_EVERY_MS);
        if refusal.code != numeric::caller_not_accepted(&to.nick).code || !is_due {
            return Err(refusal.into());
        }
        let (fact, nick) = (&from.fact, to.nick.clone());
        let host = format!("{}@{}", fact.username, fact.host);
        let line = numeric::caller(&from.nick, Word::echo(&host));
        let line = line.line(self.identity.name.as_str(), nick.as_str());
        let (to, conns) = (to.id, person.conns().to_vec());
        // Who is silenced or blocked hears what anybody would, so that they do not learn of it.
        if !silenced {
            self.say(conns, self.spoken_by(from.id, line));
        }
        if let Some(person) = self.sessions.person_mut(to) {
            let shield = &mut person.shield;
            let told_ms = if silenced { &mut shield.pretended_ms } else { &mut shield.informed_ms };
            *told_ms = Some(now_ms);
        }
        Err(numeric::caller_announced(&nick).into())
    }

    /// What is at hand of somebody's modes follows them.
    pub(super) fn settle_shield(&mut self, user: UserId) {
        let is_deaf = self.network.user(user).is_some_and(|user| user.has_mode('D'));
        if let Some(person) = self.sessions.person_mut(user) {
            person.shield.is_deaf = is_deaf;
            self.sessions.prick_up(user);
        }
    }
}

impl Turn<'_> {
    /// Says a message, once the server of whom it is for has agreed, where it has to be asked.
    pub fn deliver(&mut self, message: Message) {
        let answers = message.verb != Verb::Notice;
        if let Err(refusal) = self.deliver_one(message)
            && answers
        {
            self.refuse(refusal);
        }
    }

    fn deliver_one(&mut self, message: Message) -> Outcome {
        let to = match &message.target {
            Target::User { user, .. } if *user != self.me() => Some(*user),
            _ => None,
        };
        // Channels have rules of their own, and NOTICE and TAGMSG hear of no refusal that would have to be asked for.
        let to = to.filter(|_| message.verb == Verb::Privmsg);
        let Some(target) = to.and_then(|to| self.network().user(to)) else {
            self.change(Edit::Message(message));
            return Ok(());
        };
        if target.has_mode('T') && is_ctcp(&message) {
            return Err(numeric::no_ctcp(&target.nick).into());
        }
        let is_registered = self.user().account.is_some();
        let is_open = !target.has_mode('g') && (!target.has_mode('R') || is_registered);
        let lets_in = if is_open || self.is_operator() { None } else { Some(target.clone()) };
        self.accept_answers(target.id)?;
        let Some(target) = lets_in else {
            self.change(Edit::Message(message));
            return Ok(());
        };
        let (of, named) = (target.server(), Word::from(&target.nick));
        if !self.engine.routes.is_reachable(of) {
            return Err(numeric::nick_out_of_reach(named, self.network().server_name(of)).into());
        }
        let act = Act::Write { user: target.id, by: self.me() };
        let outcome = self.have_done(of, act, "PRIVMSG", named, vec![Reply::Message(message)]);
        outcome.map_err(|refusal| match refusal {
            Refusal::Numeric(refusal) => {
                let mut all = in_full(&target.nick.to_string(), refusal);
                let last = all.pop().expect("there is at least the one");
                self.reply_all(all);
                last.into()
            }
            other => other,
        })
    }

    /// Whoever accepts only some and writes to somebody wants to hear what they say.
    fn accept_answers(&mut self, target: UserId) -> Outcome {
        let (user, most) = (self.user(), self.config().limits.accept_entries);
        let Some(known) = self.network().user(target) else { return Ok(()) };
        let keeps_away = user.has_mode('g') || (user.has_mode('R') && known.account.is_none());
        if !keeps_away || self.person().shield.accepted.contains(&target) {
            return Ok(());
        }
        let nick = known.nick.clone();
        if self.person().shield.accepted.len() >= most {
            self.forget_gone();
        }
        if self.person().shield.accepted.len() >= most {
            let letter = if self.user().has_mode('g') { "+g" } else { "+R" };
            return Err(numeric::own_mode(&nick, letter).into());
        }
        self.person_mut().shield.accepted.insert(target);
        Ok(())
    }

    /// Makes room on the speaker's list of those who are accepted.
    pub fn forget_gone(&mut self) {
        let engine = &mut *self.engine;
        let user = engine.sessions.get(self.conn).and_then(Session::user);
        let Some(person) = user.and_then(|user| engine.sessions.person_mut(user)) else { return };
        person.shield.accepted.retain(|user| engine.network.user_even_unseen(*user).is_some());
    }
}

/// A refusal with all that goes before it: that somebody heard of the attempt is said after that it failed.
pub fn in_full(named: &str, refusal: Numeric) -> Vec<Numeric> {
    let named = Word::echo(named);
    match refusal.code == numeric::caller_announced(&named).code {
        true => vec![numeric::caller_not_accepted(&named), refusal],
        false => vec![refusal],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::Stamp;
    use crate::engine::network::{Standing, UserFact};
    use crate::wire::names::{Nick, ServerId};
    use crate::wire::time::Timestamp;

    fn user(number: u64, modes: &str, account: Option<&str>) -> User {
        let server = ServerId::LOWEST;
        let nick = Nick::parse(&format!("u{number}"), 30).unwrap();
        let fact = UserFact {
            nick: nick.clone(),
            claimed: Stamp { ms: 1, count: 0, server },
            username: "u".to_string(),
            host: "host".to_string(),
            address: "10.0.0.1".to_string(),
            realname: String::new(),
            account: None,
            away: None,
            modes: Letters::parse(modes).unwrap(),
            name: None,
            cloak: None,
            gateway: None,
            stands_for: None,
            class: None,
            title: None,
            secure: false,
            certificate: None,
            signed_on: Timestamp(0),
        };
        let id = UserId::numbered(server, number);
        let account = account.map(str::to_string);
        let (channels, metadata) = Default::default();
        User { id, nick, fact, account, standing: Standing::Present, channels, metadata }
    }

    #[test]
    fn who_is_kept_away_depends_on_modes_accounts_and_the_list() {
        let mut shield = Shield::default();
        shield.accepted.insert(UserId::numbered(ServerId::LOWEST, 9));
        let code = |to: &str, from: &User| keeps_away(&shield, &user(1, to, None), from).map(|no| no.code);
        for (to, from, refusal) in [
            ("", user(2, "", None), None),
            ("R", user(2, "", None), Some(486)),
            ("R", user(2, "", Some("bob")), None),
            ("g", user(2, "", Some("bob")), Some(716)),
            ("Rg", user(2, "", None), Some(486)),
            ("Rg", user(9, "", None), None),
            ("Rg", user(2, "o", None), None),
            ("Rg", user(1, "Rg", None), None),
        ] {
            assert_eq!(code(to, &from), refusal, "{to} {from:?}");
        }
    }

    fn silence(mask: &str, what: &str, is_exempt: bool) -> Silence {
        Silence { mask: Mask::complete(mask).unwrap(), what: Letters::parse(what).unwrap(), is_exempt }
    }

    #[test]
    fn an_entry_is_for_what_its_flags_say_and_exceptions_count_more() {
        let mut shield = Shield::default();
        assert!(shield.lets_invite("bob!b@host"));
        shield.silences = vec![silence("*@host", "iP", false), silence("carol", "P", true)];
        for (source, flag, is_silenced) in [
            ("bob!b@host", 'i', true),
            ("bob!b@host", 'P', true),
            ("bob!b@host", 'p', false),
            ("bob!b@elsewhere", 'P', false),
            ("Carol!c@host", 'P', false),
            ("carol!c@host", 'i', true),
        ] {
            assert_eq!(shield.silences(source, flag), is_silenced, "{source} {flag}");
        }
    }
}
