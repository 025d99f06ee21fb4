//! NICKSERV and NS: accounts in words, for clients that know of nothing else; one row a word, over what REGISTER and
//! AUTHENTICATE do.

mod blocks;
mod keys;
mod nicks;
mod sessions;
mod staff;

use super::{Command, Who, check_email, check_new_password, may_register};
use crate::engine::logins::{By, Purpose};
use crate::engine::network::{Account, AccountFact, AccountId, Edit, Field};
use crate::engine::services::{For, NICKSERV, Service, ServiceWord};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::fold::fold;
use crate::wire::names::Word;
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "NICKSERV",
        params_min: 0,
        who: Who::Registered,
        run: nickserv,
        usage: "<word> [<parameters>]",
        help: "Accounts in words, as PRIVMSG NickServ: NICKSERV HELP tells which there are.",
    },
    Command {
        name: "NS",
        params_min: 0,
        who: Who::Registered,
        run: nickserv,
        usage: "<word> [<parameters>]",
        help: "A short name for NICKSERV.",
    },
];

const SERVICE: Service = Service {
    name: NICKSERV,
    words: &[OWN, nicks::WORDS, keys::WORDS, sessions::WORDS, blocks::WORDS, staff::WORDS],
};

const OWN: &[ServiceWord] = &[
    ServiceWord {
        word: "HELP",
        aliases: &[],
        params_min: 0,
        who: For::Anyone,
        run: help,
        usage: "HELP [<word>]",
        help: "Tells what can be said here.",
    },
    ServiceWord {
        word: "REGISTER",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: register,
        usage: "REGISTER <password> [<email>]",
        help: "Makes an account that is called as you are now, and logs you in.",
    },
    ServiceWord {
        word: "IDENTIFY",
        aliases: &["ID", "LOGIN"],
        params_min: 1,
        who: For::Anyone,
        run: identify,
        usage: "IDENTIFY [<account>] <password>",
        help: "Logs you in; to the account that owns your nick, if you name none. SASL does so as you connect.",
    },
    ServiceWord {
        word: "LOGOUT",
        aliases: &[],
        params_min: 0,
        who: For::LoggedIn,
        run: logout,
        usage: "LOGOUT",
        help: "Logs you out.",
    },
    ServiceWord {
        word: "INFO",
        aliases: &[],
        params_min: 0,
        who: For::Anyone,
        run: info,
        usage: "INFO [<account>]",
        help: "Tells of an account: of your own, if you name none.",
    },
    ServiceWord {
        word: "SET",
        aliases: &[],
        params_min: 2,
        who: For::LoggedIn,
        run: set,
        usage: "SET PASSWORD <new password> | EMAIL <address, or * for none> | ALWAYS-ON ON|OFF|DEFAULT",
        help: "Changes your password, the address that the network's operators can write to, or whether you stay while none of your clients is connected.",
    },
    ServiceWord {
        word: "DROP",
        aliases: &[],
        params_min: 1,
        who: For::LoggedIn,
        run: drop_account,
        usage: "DROP <account> [<code>]",
        help: "Ends your account for good, if you say it again with the code that you are given.",
    },
];

fn nickserv(turn: &mut Turn, params: &[&str]) -> Outcome {
    hear(turn, &params.join(" "));
    Ok(())
}

pub fn hear(turn: &mut Turn, text: &str) {
    turn.tell_service(&SERVICE, text);
}

fn say(turn: &mut Turn, text: impl AsRef<str>) -> Outcome {
    turn.notice_by(NICKSERV, text.as_ref());
    Ok(())
}

/// The speaker's own account: words for those who are logged in are given to nobody else.
fn own(turn: &Turn) -> Result<Account, Refusal> {
    turn.account().cloned().ok_or_else(|| numeric::not_registered().into())
}

/// Writes one thing of an account.
fn write(turn: &mut Turn, account: AccountId, field: Field, fact: Option<AccountFact>) {
    let by = turn.prefix();
    turn.change(Edit::Account { account, field, fact, by });
}

fn help(turn: &mut Turn, params: &[&str]) -> Outcome {
    let asked = params.first().copied();
    let shown: Vec<&ServiceWord> = SERVICE
        .words_for(turn)
        .filter(|word| asked.is_none_or(|asked| word.word.eq_ignore_ascii_case(asked)))
        .collect();
    if shown.is_empty() {
        return say(turn, "There is no help on that.");
    }
    for word in shown {
        match asked {
            Some(_) => say(turn, format!("{} - {}", word.usage, word.help))?,
            None => say(turn, word.usage)?,
        }
    }
    if asked.is_none() {
        say(turn, "HELP <word> tells more of one of them.")?;
    }
    Ok(())
}

fn register(turn: &mut Turn, params: &[&str]) -> Outcome {
    if turn.account().is_some() {
        return say(turn, "You are logged in already.");
    }
    let (nick, password) = (turn.user().nick.clone(), params[0]);
    let name = nick.to_string();
    may_register(turn, &name, Some(&nick))?;
    let email = check_email(turn, &name, params.get(1).copied().unwrap_or("*"))?;
    check_new_password(turn, "REGISTER", &name, password)?;
    if !turn.may_register_account() {
        return say(turn, "Too many accounts come from there, try later.");
    }
    turn.hash_password(password, Purpose::Register { name, email, for_another: false, in_words: true });
    Ok(())
}

fn identify(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (name, password) = match params {
        [name, password, ..] => (name.to_string(), *password),
        _ => {
            let nick = turn.user().nick.clone();
            let owner = turn.network().accounts().owner_of(&nick.folded());
            (owner.map_or(nick.to_string(), |account| account.name.clone()), params[0])
        }
    };
    if turn.may_not_log_in() {
        return say(turn, "Too many logins from there have failed, try again later.");
    }
    let attempt = turn.attempt(By::Words);
    turn.check_password(&name, password, attempt);
    Ok(())
}

/// It cannot be known now whether somebody may log in.
pub fn put_off(turn: &mut Turn, why: &str) {
    turn.notice_by(NICKSERV, &format!("You are not logged in: {why}."));
}

/// It is known whether somebody may log in, and to what.
pub fn identified(turn: &mut Turn, account: Option<AccountId>) {
    let Some(account) = account else {
        turn.notice_by(NICKSERV, "There is no such account, or that is not its password.");
        turn.count_failed_login("NickServ");
        return;
    };
    let text = match turn.log_in(account, "NickServ") {
        Ok(()) => "You are logged in.".to_string(),
        Err(why) => why,
    };
    turn.notice_by(NICKSERV, &text);
}

fn logout(turn: &mut Turn, _: &[&str]) -> Outcome {
    turn.log_out();
    say(turn, "You are logged out.")
}

fn info(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = match params.first() {
        Some(name) => turn.network().account_named(name).cloned(),
        None => turn.account().cloned(),
    };
    let Some(account) = account else {
        return say(turn, "There is no such account.");
    };
    let is_own = turn.account().is_some_and(|own| own.id == account.id);
    say(turn, format!("{} was registered {}", account.name, account.registered))?;
    if account.lost_its_name() {
        say(turn, format!("Its owner called it {}, as another account was called already", account.chosen))?;
    }
    // Whoever lost the name while they were away finds out here what to log in as.
    for other in turn.network().accounts().that_lost(&account.name) {
        say(turn, format!("Another account that was registered as {} is called {other}", account.name))?;
    }
    let users = turn.network().users().filter(|user| user.account_id() == Some(account.id));
    let nicks: Vec<String> = users.map(|user| user.nick.to_string()).collect();
    if !nicks.is_empty() {
        say(turn, format!("Logged in to it: {}", nicks.join(" ")))?;
    }
    if !account.nicks.is_empty() {
        let nicks: Vec<&str> = account.nicks.values().map(|(nick, _)| nick.as_str()).collect();
        say(turn, format!("Further nicks: {}", nicks.join(" ")))?;
    }
    if is_own || turn.has_right("accounts") {
        if let Some(email) = &account.email {
            say(turn, format!("Mail: {email}"))?;
        }
        for pin in account.certificates.keys() {
            say(turn, format!("Certificate: {pin}"))?;
        }
        for device in account.devices.values() {
            say(turn, format!("Device: {} since {}", device.name, device.added))?;
        }
        if let Some(suspension) = &account.suspension {
            let until = crate::engine::banish::until(suspension.until);
            say(turn, format!("Suspended {until} by {}: {}", suspension.by, suspension.reason))?;
        }
    }
    Ok(())
}

fn set(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    match params[0].to_ascii_uppercase().as_str() {
        "PASSWORD" => {
            check_new_password(turn, "SET", &account.name, params[1])?;
            turn.hash_password(params[1], Purpose::Change { account: account.id });
            Ok(())
        }
        "EMAIL" => {
            let fact = check_email(turn, &account.name, params[1])?.map(AccountFact::Email);
            write(turn, account.id, Field::Email, fact);
            say(turn, "Your address is changed.")
        }
        "ALWAYS-ON" => sessions::set_always_on(turn, params[1]),
        _ => say(turn, "PASSWORD, EMAIL and ALWAYS-ON can be set."),
    }
}

/// A new password was hashed, for whoever is still logged in.
pub fn password_changed(
    turn: &mut Turn,
    account: AccountId,
    credential: Option<crate::engine::network::Credential>,
) -> Outcome {
    match credential {
        Some(credential) if turn.account().is_some_and(|own| own.id == account) => {
            write(turn, account, Field::Password, Some(AccountFact::Password(credential)));
            // Who knew the old one is to know the new one, too.
            turn.end_other_connections("The password was changed");
            say(turn, "Your password is changed.")
        }
        _ => say(turn, "Your password is not changed, try again later."),
    }
}

fn drop_account(turn: &mut Turn, params: &[&str]) -> Outcome {
    let account = own(turn)?;
    if fold(params[0]) != fold(&account.name) {
        return say(turn, "You can drop the account that you are logged in to.");
    }
    let code = turn.session().drop_code.clone().filter(|(of, _)| *of == account.id).map(|(_, code)| code);
    if let (Some(code), Some(given)) = (&code, params.get(1)) {
        if code != given {
            return say(turn, "That is not the code.");
        }
        turn.bequeath_channels(account.id);
        let by = turn.prefix();
        for field in account.fields() {
            turn.change(Edit::Account { account: account.id, field, fact: None, by: by.clone() });
        }
        return say(turn, "Your account is gone for good.");
    }
    let code = turn.engine.dice.code(8);
    turn.session_mut().drop_code = Some((account.id, code.clone()));
    let name = Word::echo(&account.name);
    say(turn, format!("To end {name} for good, with all that it owns, say DROP {name} {code}"))
}
