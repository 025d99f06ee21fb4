//! Logging in and out, by whichever way: passwords are checked off the router's path, failures are counted, and who is
//! logged in to what is a part of what their own server says of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::effect::{Effect, Secret, Topic};
use super::event::AskId;
use super::meter::Meter;
use super::network::{Account, AccountId, Credential, Edit, UserFact};
use super::outgoing::Spoken;
use super::pending::Pending;
use super::services::NICKSERV;
use super::session::Stage;
use super::turn::{Deferred, Refusal, Turn};
use super::{Engine, command};
use crate::config::{Limits, Rate};
use crate::wire::cidr::Cidr;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric;

/// What a password is checked against where there is no such account, so that it takes as long: nobody's hash.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Zm9sa21vb3Qgbm9ib2R5IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// So many logins may fail on one connection, and then it is closed.
const FAILURES_MAX: u32 = 5;

/// Of so many addresses it is remembered what failed there; all others share what one may.
const ADDRESSES_MAX: usize = 10_000;

/// A password that is being checked, and for whom.
#[derive(Debug)]
pub struct Attempt {
    pub reply: Deferred,
    /// Who pays for it if it fails, also where they do not wait for that.
    pub address: IpAddr,
    pub by: By,
}

/// How somebody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Sasl(&'static str),
    /// By what is said to NickServ.
    Words,
}

/// A new password on its way to be hashed.
#[derive(Debug)]
pub struct NewPassword {
    pub reply: Deferred,
    pub purpose: Purpose,
}

#[derive(Debug)]
pub enum Purpose {
    /// An account that is registered with it.
    Register {
        name: String,
        email: Option<String>,
        /// By an operator for somebody else, who stays whoever they are.
        for_another: bool,
        /// Whether it was said to NickServ, who answers.
        in_words: bool,
    },
    /// It is that of this account from now on.
    Change { account: AccountId },
}

/// What was tried lately, by address.
#[derive(Debug, Default)]
pub struct Logins {
    failures: BTreeMap<IpAddr, Meter>,
    registrations: BTreeMap<IpAddr, Meter>,
}

/// The meter of an address, with all that count as the same party, or the one that all share for whom there is no room.
fn meter<'m>(
    meters: &'m mut BTreeMap<IpAddr, Meter>,
    address: IpAddr,
    limits: &Limits,
    now: Duration,
) -> &'m mut Meter {
    let mut of = Cidr::around(address, limits.arrivals.address_bits_ipv6).first();
    if !meters.contains_key(&of) && meters.len() >= ADDRESSES_MAX {
        meters.retain(|_, meter| !meter.is_full(now));
        if meters.len() >= ADDRESSES_MAX {
            of = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
    }
    meters.entry(of).or_default()
}

impl Turn<'_> {
    /// The account that the speaker is logged in to.
    pub fn account(&self) -> Option<&Account> {
        let user = self.session().user().and_then(|id| self.engine.network.user(id));
        let id = user.map_or(self.session().account, |user| user.account_id())?;
        self.engine.network.accounts().get(id)
    }

    /// Whether too many logins from there have failed lately.
    pub fn may_not_log_in(&mut self) -> bool {
        let (address, now) = (self.session().address.ip(), self.steady_now());
        let rate = self.login_rate(self.config().accounts.failure_rate);
        rate.is_some_and(|rate| {
            let engine = &mut *self.engine;
            let meter = meter(&mut engine.logins.failures, address, &engine.config.limits, now);
            !meter.wait(rate, now).is_zero()
        })
    }

    /// Whether one more account may be made from there; counts it.
    pub fn may_register_account(&mut self) -> bool {
        let (address, now) = (self.session().address.ip(), self.steady_now());
        let rate = self.login_rate(self.config().accounts.registration_rate);
        rate.is_none_or(|rate| {
            let engine = &mut *self.engine;
            let meter = meter(&mut engine.logins.registrations, address, &engine.config.limits, now);
            meter.take(rate, now).is_ok()
        })
    }

    fn login_rate(&self, rate: Option<Rate>) -> Option<Rate> {
        rate.filter(|_| self.config().limits.flood)
    }

    fn steady_now(&self) -> Duration {
        Duration::from_millis(self.now.steady_ms)
    }

    /// A login has failed; ends the connection where that was one too many. `false` where it did.
    pub fn count_failed_login(&mut self, why: &str) -> bool {
        let address = self.session().address.ip();
        self.engine.charge_failed_login(address);
        let session = self.session_mut();
        session.failed_logins += 1;
        let (failures, text) = (session.failed_logins, session.address_text());
        let text = format!("conn={} a login failed address={text} why={why}", self.conn.0);
        self.note(log::Level::Info, Topic::Account, text);
        if failures < FAILURES_MAX {
            return true;
        }
        self.close("Too many logins failed");
        false
    }

    pub fn attempt(&mut self, by: By) -> Attempt {
        Attempt { reply: self.defer(), address: self.session().address.ip(), by }
    }

    /// Has the password of a name's account checked, or that of one of its devices. An account that lost its name in a
    /// split goes by the one that it is shown by, here as with every mechanism: so one hash is computed, whether a name
    /// is nobody's, somebody's or was claimed twice.
    pub fn check_password(&mut self, name: &str, password: &str, attempt: Attempt) -> Option<AskId> {
        let given = digest(&SHA256, password.as_bytes());
        let account = self.engine.network.accounts().named(name);
        let is_device =
            |account: &&Account| account.devices.values().any(|device| device.digest == *given.as_ref());
        if let Some(account) = account.filter(is_device).map(|account| account.id) {
            login_decided(self, &attempt, Some(account));
            return None;
        }
        let known = account.and_then(|account| Some((account.id, account.password.as_ref()?.hash.clone())));
        let (account, known) = known.unzip();
        let known = known.unwrap_or_else(|| NOBODYS_HASH.to_string());
        let ask = self.engine.ask(Pending::Login { account, attempt });
        self.engine.effects.push(Effect::Match { ask, given: Secret(password.to_string()), known });
        self.hold_what_follows(ask);
        Some(ask)
    }

    /// Has a new password made into what it is checked against.
    pub fn hash_password(&mut self, password: &str, purpose: Purpose) {
        let reply = self.defer();
        let ask = self.engine.ask(Pending::NewPassword(NewPassword { reply, purpose }));
        self.engine.effects.push(Effect::Hash { ask, password: Secret(password.to_string()) });
        self.hold_what_follows(ask);
    }

    /// What the client says next is heard when the answer is there, and answered behind it.
    pub fn hold_what_follows(&mut self, ask: AskId) {
        let conn = self.conn;
        self.engine.hold_lines(conn, ask);
    }

    /// Logs the speaker in, if nobody has suspended the account, or why not.
    pub fn log_in(&mut self, id: AccountId, by: &str) -> Result<(), String> {
        let now = self.now.wall;
        let Some(account) = self.engine.network.accounts().get(id) else {
            return Err("There is no such account any more".to_string());
        };
        if let Some(suspension) = &account.suspension {
            if suspension.is_in_force(now) {
                let until = super::banish::until(suspension.until);
                return Err(format!("This account is suspended {until}: {}", suspension.reason));
            }
            self.engine.lift_suspension(id);
        }
        let Some(account) = self.engine.network.accounts().get(id).cloned() else { return Ok(()) };
        let was_logged_in = self.account().is_some_and(|before| before.id == id);
        match self.session().user() {
            Some(_) if was_logged_in => {}
            Some(_) => {
                // Whoever could show what the one account takes has not shown what the other does.
                self.end_other_connections("Logged in to another account by another client");
                self.leave_profile();
                let said = self.user().metadata.clone();
                self.bring_to_profile(id, &said);
                self.change_me(|fact| fact.account = Some(id));
                self.take_up_profile(true);
            }
            None => self.session_mut().account = Some(id),
        }
        // Whoever can be seen is told as others are, by the news of it.
        let is_told_here = was_logged_in || self.session().user().is_none();
        if is_told_here {
            let told = numeric::logged_in(self.known_as(), Word::echo(&account.name));
            self.reply(told);
        }
        let text = format!(
            "conn={} {} logged in account={} id={id} by={by}",
            self.conn.0,
            self.called(),
            account.name
        );
        self.note(log::Level::Info, Topic::Account, text);
        if let Some(text) = on_lost_name(&account).filter(|_| is_told_here) {
            self.notice(&text);
        }
        if self.session().user().is_some() {
            self.take_all_access();
        }
        Ok(())
    }

    /// Logs the speaker out; `false` where they are not logged in.
    pub fn log_out(&mut self) -> bool {
        if self.account().is_none() {
            return false;
        }
        match self.session().user() {
            Some(_) => {
                self.leave_profile();
                self.change_me(|fact| fact.account = None);
            }
            None => {
                self.session_mut().account = None;
                let told = numeric::logged_out(self.known_as());
                self.reply(told);
            }
        }
        true
    }

    /// `nick!user@host`, as far as it is known.
    fn known_as(&mut self) -> Word {
        if let Some(user) = self.session().user().and_then(|id| self.engine.network.user(id)) {
            return Word::echo(&user.prefix());
        }
        let host = self.session().real_host();
        let said = self.registration();
        let nick = said.as_ref().and_then(|said| said.nick.as_ref()).map_or("*", |nick| nick.as_str());
        let username = said.as_ref().and_then(|said| said.username.as_deref()).unwrap_or("*");
        Word::echo(&format!("{nick}!{username}@{host}"))
    }
}

/// What somebody is told whose account is called otherwise than they called it; nothing where it is not.
fn on_lost_name(account: &Account) -> Option<String> {
    account.lost_its_name().then(|| {
        format!(
            "Your account {0} is called {1} now: somebody else registered {0} earlier, while servers could not reach \
             each other. All else is as it was.",
            account.chosen, account.name
        )
    })
}

/// It is known whether somebody may log in, and to what.
fn login_decided(turn: &mut Turn, attempt: &Attempt, account: Option<AccountId>) {
    match attempt.by {
        By::Sasl(mechanism) => turn.sasl_decided(mechanism, account),
        By::Words => command::identified(turn, account),
    }
}

impl Engine {
    /// A password was checked.
    pub(super) fn password_matched(&mut self, ask: AskId, right: bool, renewed: Option<Credential>) {
        let Some(Pending::Login { account, attempt }) = self.asks.take(ask) else { return };
        let account = account.filter(|_| right);
        if let (Some(account), Some(renewed)) = (account, renewed) {
            self.renew_password(account, renewed);
        }
        if !self.answer_attempt(ask, &attempt, |turn| login_decided(turn, &attempt, account))
            && account.is_none()
        {
            self.charge_failed_login(attempt.address);
        }
    }

    /// The password that another program had made into what it was checked against is now kept as all others are.
    fn renew_password(&mut self, id: AccountId, renewed: Credential) {
        let account = self.network.accounts().get(id);
        let known = account.and_then(|account| account.password.as_ref()).map(|known| known.hash.as_str());
        // Somebody may have changed it meanwhile.
        if known.is_none_or(|hash| hash.starts_with("$argon2")) {
            return;
        }
        let (field, fact) = (super::network::Field::Password, super::network::AccountFact::Password(renewed));
        let by = self.identity.name.to_string();
        self.write(Edit::Account { account: id, field, fact: Some(fact), by }, false);
    }

    /// Too many passwords waited to be checked. That is nobody's failure.
    pub(super) fn password_not_checked(&mut self, ask: AskId) {
        let Some(Pending::Login { attempt, .. } | Pending::Token { attempt, .. }) = self.asks.take(ask)
        else {
            return;
        };
        let why = "too many log in at once, try again in a moment";
        self.answer_attempt(ask, &attempt, |turn| match attempt.by {
            By::Sasl(_) => turn.sasl_put_off(why),
            By::Words => command::put_off(turn, why),
        });
    }

    /// Goes on with somebody whose password was looked at; `false` where they do not wait for that any more.
    pub(super) fn answer_attempt(
        &mut self,
        ask: AskId,
        attempt: &Attempt,
        say: impl FnOnce(&mut Turn),
    ) -> bool {
        let conn = attempt.reply.conn;
        let Some(session) = self.sessions.get_mut(conn) else { return false };
        session.held.close(ask);
        let is_waited_for = match attempt.by {
            By::Sasl(_) => session.exchange.as_ref().is_some_and(|exchange| exchange.waits_for(ask)),
            By::Words => session.user().is_some(),
        };
        if is_waited_for {
            say(&mut Turn::new(self, conn));
        }
        // What a line was labelled with is answered, even if by nothing but that it was heard.
        self.finish_turn(conn, attempt.reply.label.clone());
        self.release_lines(conn);
        is_waited_for
    }

    pub(super) fn charge_failed_login(&mut self, address: IpAddr) {
        let now = Duration::from_millis(self.now.steady_ms);
        if let Some(rate) = self.config.accounts.failure_rate.filter(|_| self.config.limits.flood) {
            meter(&mut self.logins.failures, address, &self.config.limits, now).charge(rate, 1, now);
        }
    }

    /// A new password was hashed.
    pub(super) fn password_hashed(&mut self, ask: AskId, credential: Option<Credential>) {
        let Some(Pending::NewPassword(NewPassword { reply, purpose })) = self.asks.take(ask) else { return };
        let conn = reply.conn;
        let Some(session) = self.sessions.get_mut(conn) else { return };
        session.held.close(ask);
        if matches!(session.stage, Stage::Closing) {
            return;
        }
        let mut turn = Turn::new(self, conn);
        let in_words = !matches!(purpose, Purpose::Register { in_words: false, .. });
        let outcome = match purpose {
            Purpose::Register { name, email, for_another, in_words } => {
                let wanted = command::Wanted { name, email, for_another, in_words };
                command::account_hashed(&mut turn, wanted, credential)
            }
            Purpose::Change { account } => command::password_changed(&mut turn, account, credential),
        };
        match outcome {
            Err(refusal) if in_words => turn.refuse_by(NICKSERV, refusal),
            Err(Refusal::Standard(failure)) => turn.fail(failure),
            Err(refusal) => turn.refuse(refusal),
            Ok(()) => {}
        }
        self.finish_turn(conn, reply.label);
        self.release_lines(conn);
    }

    /// Those of this server's users are logged out whose account is gone, or was suspended.
    pub(super) fn settle_logins(&mut self) {
        if !self.network.take_new_accounts() {
            return;
        }
        self.touch_nicks();
        let counts = |id: AccountId| {
            self.network.accounts().get(id).is_some_and(|account| account.suspension.is_none())
        };
        let (mut users, mut unknown): (Vec<(UserId, UserFact)>, Vec<_>) = Default::default();
        for (user, _) in self.sessions.people() {
            let Some(user) = self.network.user_even_unseen(user) else { continue };
            if user.fact.account.is_some_and(|id| !counts(id)) {
                users.push((user.id, UserFact { account: None, ..user.fact.clone() }));
            }
        }
        for session in self.sessions.iter().filter(|session| session.user().is_none()) {
            if session.account.is_some_and(|id| !counts(id)) {
                unknown.push(session.conn);
            }
        }
        for (user, fact) in users {
            self.write(Edit::User { user, fact }, false);
        }
        for conn in unknown {
            Turn::new(self, conn).log_out();
            if let Some(session) = self.sessions.get_mut(conn) {
                session.account = None;
            }
        }
        self.settle_profiles();
    }

    /// Tells somebody who is connected here what they are logged in to now.
    pub(super) fn tell_own_account(&mut self, user: UserId) {
        let Some(known) = self.network.user(user) else { return };
        let conns = self.sessions.conns_of(user).to_vec();
        let who = Word::echo(&known.prefix());
        let told = match &known.account {
            Some(account) => numeric::logged_in(who, Word::echo(account)),
            None => numeric::logged_out(who),
        };
        let (server, nick) = (self.identity.name.as_str(), known.nick.as_str());
        let account = known.account_id().and_then(|id| self.network.accounts().get(id));
        let notice = account.and_then(on_lost_name).map(|text| format!(":{server} NOTICE {nick} :{text}"));
        for line in std::iter::once(told.line(server, nick)).chain(notice) {
            self.say(conns.clone(), Spoken::new(self.now.wall, line));
        }
    }

    /// Its time is over.
    fn lift_suspension(&mut self, account: AccountId) {
        let by = self.identity.name.to_string();
        let field = super::network::Field::Suspension;
        self.write(Edit::Account { account, field, fact: None, by }, false);
    }
}

/// Makes an account for a test.
#[cfg(test)]
pub fn make_account(engine: &mut Engine, name: &str) -> AccountId {
    use super::network::{AccountFact, Field};
    let claimed = engine.clock.tick(engine.now.wall);
    let account = AccountId::new(claimed);
    let (name, registered) = (name.to_string(), engine.now.wall);
    for (field, fact) in [
        (Field::Name, AccountFact::Name { name, claimed }),
        (Field::Registered, AccountFact::Registered(registered)),
    ] {
        engine.write(Edit::Account { account, field, fact: Some(fact), by: String::new() }, false);
    }
    account
}
