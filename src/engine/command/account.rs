//! REGISTER and VERIFY: making an account.

use super::{Command, Who};
use crate::config::Registration;
use crate::engine::logins::Purpose;
use crate::engine::network::{AccountFact, AccountId, Credential, Edit, Field, is_given_name};
use crate::engine::services;
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::fold::fold;
use crate::wire::names::{Nick, Word};
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "REGISTER",
        params_min: 3,
        who: Who::Anyone,
        run: |turn, params| say_failure(turn, params, register),
        usage: "<account, or * for your nick> <email, or *> <password>",
        help: "Makes an account, and logs you in to it. It is known on every server of the network.",
    },
    Command {
        name: "VERIFY",
        params_min: 2,
        who: Who::Anyone,
        run: |turn, params| say_failure(turn, params, verify),
        usage: "<account> <code>",
        help: "Would complete a registration with a code that came by mail. This server sends none.",
    },
];

/// As long as every client can send one in a message to NickServ.
const PASSWORD_BYTES_MAX: usize = 300;

fn fail(code: &'static str, about: &str, why: impl Into<String>) -> Refusal {
    Standard::fail("REGISTER", code, why).about(Word::echo(about)).into()
}

/// Who has agreed on REGISTER knows how it fails.
fn say_failure(turn: &mut Turn, params: &[&str], run: fn(&mut Turn, &[&str]) -> Outcome) -> Outcome {
    match run(turn, params) {
        Err(Refusal::Standard(failure)) => {
            turn.fail(failure);
            Ok(())
        }
        outcome => outcome,
    }
}

fn register(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (asked, email, password) = (params[0], params[1], params[2]);
    let is_connected = turn.session().user().is_some();
    if !is_connected && !turn.config().registers_before_connect() {
        let why = "Connect first, then register";
        return Err(Standard::fail("REGISTER", "COMPLETE_CONNECTION_REQUIRED", why).into());
    }
    let for_another = is_for_another(turn, asked);
    if let Some(account) = turn.account().filter(|_| !for_another) {
        return Err(fail("ALREADY_AUTHENTICATED", &account.name, "You are logged in already"));
    }
    let nick = match turn.session().user() {
        Some(_) => Some(turn.user().nick.clone()),
        None => turn.registration().and_then(|said| said.nick.clone()),
    };
    let name = match asked {
        "*" => {
            nick.as_ref().map(Nick::to_string).ok_or_else(|| fail("NEED_NICK", "*", "Give a NICK first"))?
        }
        asked => asked.to_string(),
    };
    may_register(turn, &name, nick.as_ref())?;
    let email = check_email(turn, &name, email)?;
    check_new_password(turn, "REGISTER", &name, password)?;
    if !turn.may_register_account() {
        return Err(fail("TEMPORARILY_UNAVAILABLE", &name, "Too many accounts come from there, try later"));
    }
    turn.hash_password(password, Purpose::Register { name, email, for_another, in_words: false });
    Ok(())
}

/// Whether the speaker may make an account of that name now.
pub fn may_register(turn: &Turn, name: &str, nick: Option<&Nick>) -> Outcome {
    match turn.config().accounts.registration {
        Registration::Open => {}
        Registration::Operators if turn.has_right("accounts") => {}
        Registration::Operators => {
            return Err(fail("TEMPORARILY_UNAVAILABLE", name, "Only operators register accounts here"));
        }
        Registration::Closed => {
            return Err(fail("TEMPORARILY_UNAVAILABLE", name, "No accounts are registered here"));
        }
    }
    if !is_fit(turn, name) {
        return Err(fail("BAD_ACCOUNT_NAME", name, "An account cannot be called that"));
    }
    if nick.is_none() {
        return Err(fail("NEED_NICK", "*", "Give a NICK first"));
    }
    let is_nick = nick.is_some_and(|nick| nick.folded() == fold(name));
    if !is_nick && !turn.config().accounts.custom_name && !turn.has_right("accounts") {
        return Err(fail("ACCOUNT_NAME_MUST_BE_NICK", name, "An account is called as you are"));
    }
    is_free(turn, name)
}

fn is_fit(turn: &Turn, name: &str) -> bool {
    let is_nick = Nick::parse(name, turn.config().limits.nick_length).is_some();
    is_nick && !is_given_name(name) && !services::is_reserved(name)
}

fn is_free(turn: &Turn, name: &str) -> Outcome {
    let accounts = turn.network().accounts();
    if accounts.owner_of(&fold(name)).is_some() {
        return Err(fail("ACCOUNT_EXISTS", name, "There is such an account already"));
    }
    // Also where they are out of reach: the name is theirs to register.
    let holder = turn.network().holder(&fold(name));
    if holder.is_some() && holder != turn.session().user() && !turn.has_right("accounts") {
        return Err(fail("ACCOUNT_EXISTS", name, "Somebody else is called that"));
    }
    Ok(())
}

fn is_email(text: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_graphic() && !",;<>\"".contains(c);
    text.len() <= 254
        && text.chars().all(is_fit)
        && text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !user.starts_with(':')
                && host.len() >= 3
                && host.contains('.')
                && !host.contains('@')
        })
}

/// An address for mail, or none, as the settings want it.
pub fn check_email(turn: &Turn, name: &str, email: &str) -> Result<Option<String>, Refusal> {
    match email {
        "*" if turn.config().accounts.email_required => {
            Err(fail("INVALID_EMAIL", name, "An address for mail has to be given"))
        }
        "*" => Ok(None),
        email if is_email(email) => Ok(Some(email.to_string())),
        _ => Err(fail("INVALID_EMAIL", name, "That is no address for mail; give * for none")),
    }
}

pub fn check_new_password(turn: &Turn, command: &'static str, name: &str, password: &str) -> Outcome {
    let fail = |code, why| Err(Standard::fail(command, code, why).about(Word::echo(name)).into());
    let least = turn.config().accounts.password_length_min;
    if password.chars().count() < least || fold(password) == fold(name) {
        let why = format!("A password has at least {least} characters, and is not the account's name");
        return fail("WEAK_PASSWORD", why);
    }
    if password.len() > PASSWORD_BYTES_MAX || password.contains(char::is_control) {
        let why = format!("A password has at most {PASSWORD_BYTES_MAX} bytes");
        return fail("UNACCEPTABLE_PASSWORD", why);
    }
    Ok(())
}

/// An account that is to be, as soon as its password is hashed.
pub struct Wanted {
    pub name: String,
    pub email: Option<String>,
    pub for_another: bool,
    pub in_words: bool,
}

/// Whether an operator registers somebody else.
fn is_for_another(turn: &Turn, asked: &str) -> bool {
    turn.has_right("accounts") && asked != "*" && fold(asked) != turn.user().nick.folded()
}

/// The new account's password was hashed. Much may have changed since: somebody was quicker, or the settings are others.
pub fn account_hashed(turn: &mut Turn, wanted: Wanted, credential: Option<Credential>) -> Outcome {
    let Wanted { name, email, for_another, in_words } = wanted;
    let Some(credential) = credential else {
        return Err(fail("TEMPORARILY_UNAVAILABLE", &name, "Too much is to be done, try later"));
    };
    if let Some(account) = turn.account().filter(|_| !for_another) {
        return Err(fail("ALREADY_AUTHENTICATED", &account.name, "You are logged in already"));
    }
    if turn.config().accounts.registration == Registration::Closed {
        return Err(fail("TEMPORARILY_UNAVAILABLE", &name, "No accounts are registered here"));
    }
    is_free(turn, &name)?;
    let account = make(turn, &name, email, Some(credential));
    let (shown, text) =
        (Word::echo(&name), if for_another { "The account is made" } else { "The account is yours" });
    match in_words {
        true => turn.notice_by(services::NICKSERV, text),
        false => turn.say(format!(":{} REGISTER SUCCESS {shown} :{text}", turn.server_name())),
    }
    if !for_another && let Err(why) = turn.log_in(account, "REGISTER") {
        turn.notice(&why);
    }
    Ok(())
}

/// Makes an account for somebody who has come by a token, or says why not. It has no password, for as long as they set none.
pub fn account_vouched_for(turn: &mut Turn, name: &str) -> Result<AccountId, String> {
    let accounts = turn.network().accounts();
    // Whoever goes by that nick just now has no claim on it that counts against the word of the issuer.
    if !is_fit(turn, name) || accounts.owner_of(&fold(name)).is_some() {
        return Err(format!("no account can be made that is called {name}"));
    }
    if !turn.may_register_account() {
        return Err("too many accounts come from there".to_string());
    }
    Ok(make(turn, name, None, None))
}

fn make(turn: &mut Turn, name: &str, email: Option<String>, credential: Option<Credential>) -> AccountId {
    let made = turn.stamp();
    let account = AccountId::new(made);
    let by = match turn.session().user() {
        Some(_) => turn.prefix(),
        None => turn.session().address_text(),
    };
    let name = AccountFact::Name { name: name.to_string(), claimed: made };
    let mut facts = vec![(Field::Name, name)];
    facts.extend(credential.map(|credential| (Field::Password, AccountFact::Password(credential))));
    facts.extend(email.map(|email| (Field::Email, AccountFact::Email(email))));
    // Last, so that nobody sees a part of it.
    facts.push((Field::Registered, AccountFact::Registered(turn.now.wall)));
    for (field, fact) in facts {
        turn.change(Edit::Account { account, field, fact: Some(fact), by: by.clone() });
    }
    account
}

fn verify(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (name, is_connected) = (params[0], turn.session().user().is_some());
    let fail =
        |code, about: &str, why| Err(Standard::fail("VERIFY", code, why).about(Word::echo(about)).into());
    if !is_connected && !turn.config().registers_before_connect() {
        return Err(Standard::fail("VERIFY", "COMPLETE_CONNECTION_REQUIRED", "Connect first").into());
    }
    if let Some(account) = turn.account() {
        return fail("ALREADY_AUTHENTICATED", &account.name, "You are logged in already");
    }
    fail("INVALID_CODE", name, "Nothing waits for a code")
}
