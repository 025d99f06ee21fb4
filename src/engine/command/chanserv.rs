//! CHANSERV and CS: channels that stay somebody's, in words; one row a word.

mod upkeep;

use super::{Command, Who};
use crate::engine::mode;
use crate::engine::network::{AccountId, Channel, Clause, ClauseFact, Edit, Registration, StatusFact};
use crate::engine::services::{CHANSERV, For, Service, ServiceWord};
use crate::engine::sight;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::{Folded, fold};
use crate::wire::letters::Letters;
use crate::wire::message::cut;
use crate::wire::names::{ChannelName, UserId, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "CHANSERV",
        params_min: 0,
        who: Who::Registered,
        run: chanserv,
        usage: "<word> [<parameters>]",
        help: "Registered channels in words, as PRIVMSG ChanServ: CHANSERV HELP tells which there are.",
    },
    Command {
        name: "CS",
        params_min: 0,
        who: Who::Registered,
        run: chanserv,
        usage: "<word> [<parameters>]",
        help: "A short name for CHANSERV.",
    },
];

const SERVICE: Service = Service { name: CHANSERV, words: &[OWN, upkeep::WORDS] };

const OWN: &[ServiceWord] = &[
    ServiceWord {
        word: "HELP",
        aliases: &[],
        params_min: 0,
        who: For::Anyone,
        run: help,
        usage: "HELP [<word>]",
        help: "tells what can be said here",
    },
    ServiceWord {
        word: "REGISTER",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: register,
        usage: "REGISTER <channel>",
        help: "makes a channel that you run yours: it keeps its settings when everybody has left and over restarts",
    },
    ServiceWord {
        word: "INFO",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: info,
        usage: "INFO <channel>",
        help: "tells whose a channel is, and since when",
    },
    ServiceWord {
        word: "ACCESS",
        aliases: &[],
        params_min: 2,
        who: For::Anyone,
        run: access,
        usage: "ACCESS <channel> LIST | ADD <account> ADMIN|OP|HALFOP|VOICE | DEL <account>",
        help: "says what accounts are on the channel whenever they come; who is at least VOICE passes its bars",
    },
    ServiceWord {
        word: "OP",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: |turn, params| give(turn, params, 'o', true),
        usage: "OP <channel> [<nick>]",
        help: "makes you, or somebody else there, an operator of the channel",
    },
    ServiceWord {
        word: "DEOP",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: |turn, params| give(turn, params, 'o', false),
        usage: "DEOP <channel> [<nick>]",
        help: "ends that",
    },
    ServiceWord {
        word: "VOICE",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: |turn, params| give(turn, params, 'v', true),
        usage: "VOICE <channel> [<nick>]",
        help: "lets you, or somebody else there, speak on a moderated channel",
    },
    ServiceWord {
        word: "DEVOICE",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: |turn, params| give(turn, params, 'v', false),
        usage: "DEVOICE <channel> [<nick>]",
        help: "ends that",
    },
    ServiceWord {
        word: "SET",
        aliases: &[],
        params_min: 2,
        who: For::Anyone,
        run: set,
        usage: "SET <channel> DESC [<text>] | SUCCESSOR [<account>] | MLOCK [<letters> [<value>...]]",
        help: "says what the channel is for, who has it once your account is no more, or which modes nobody changes",
    },
    ServiceWord {
        word: "TRANSFER",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: transfer,
        usage: "TRANSFER <channel> [<account>]",
        help: "offers a channel of yours to somebody, who has it on ACCEPT; to nobody any more without an account",
    },
    ServiceWord {
        word: "ACCEPT",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: accept,
        usage: "ACCEPT <channel>",
        help: "takes a channel that was offered to you",
    },
    ServiceWord {
        word: "DROP",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: drop_channel,
        usage: "DROP <channel> <channel>",
        help: "makes a channel nobody's again; its name twice says that you mean it",
    },
    ServiceWord {
        word: "LIST",
        aliases: &[],
        params_min: 0,
        who: For::Anyone,
        run: list,
        usage: "LIST",
        help: "lists registered channels: yours, and to operators of the network all",
    },
];

/// The levels of access by their names, and what each is given.
const LEVELS: &[(&str, &str)] = &[("ADMIN", "ao"), ("OP", "o"), ("HALFOP", "h"), ("VOICE", "v")];

/// So many channels one account may have.
const CHANNELS_PER_ACCOUNT: usize = 50;

/// So many accounts may have access to one channel.
const ACCESS_MAX: usize = 200;

const DESCRIPTION_BYTES_MAX: usize = 200;

fn chanserv(turn: &mut Turn, params: &[&str]) -> Outcome {
    hear(turn, &params.join(" "));
    Ok(())
}

pub fn hear(turn: &mut Turn, text: &str) {
    turn.tell_service(&SERVICE, text);
}

/// As what comes of a word, whether it was done or not.
fn done(turn: &mut Turn, text: impl AsRef<str>) -> Outcome {
    turn.notice_by(CHANSERV, text.as_ref());
    Ok(())
}

fn help(turn: &mut Turn, params: &[&str]) -> Outcome {
    let asked = params.first().copied();
    let is_asked = |word: &&ServiceWord| asked.is_none_or(|asked| word.word.eq_ignore_ascii_case(asked));
    let lines: Vec<String> = SERVICE
        .words_for(turn)
        .filter(is_asked)
        .map(|word| format!("{}: {}", word.usage, word.help))
        .collect();
    if lines.is_empty() {
        return done(turn, "There is no such word. HELP alone tells which there are.");
    }
    lines.iter().for_each(|line| turn.notice_by(CHANSERV, line));
    Ok(())
}

/// The account that the speaker is logged in to, with its name.
fn own_account(turn: &Turn) -> Option<(AccountId, String)> {
    turn.account().map(|account| (account.id, account.name.clone()))
}

fn registration(turn: &Turn, channel: &str) -> Option<Registration> {
    let id = turn.network().channel_id(&fold(channel));
    turn.network().registrations().get(&id).cloned()
}

/// What a registered channel is called now.
fn shown(turn: &Turn, of: &Registration) -> ChannelName {
    let channel = turn.network().channel_or_kept(&of.id());
    channel.map_or_else(|| of.name.clone(), |channel| channel.name.clone())
}

fn account_name(turn: &Turn, account: AccountId) -> String {
    turn.network().accounts().get(account).map_or("*".to_string(), |account| account.name.clone())
}

fn write(turn: &mut Turn, of: &Registration, clause: Clause, fact: Option<ClauseFact>) {
    turn.write_clause(of, clause, fact);
}

fn note(turn: &mut Turn, text: String) {
    turn.note(log::Level::Info, crate::engine::effect::Topic::Account, text);
}

fn register(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some((founder, account)) = own_account(turn) else {
        return done(turn, "You have to be logged in for that.");
    };
    let channel = turn.own_channel(params[0])?;
    let (id, made_as, name) = (channel.id(), channel.made_as.clone(), channel.name.clone());
    if channel.is_registered {
        return done(turn, format!("{name} is registered already."));
    }
    if !mode::is_at_least(channel.status(turn.me()), 'o') {
        return done(turn, format!("You do not run {name}."));
    }
    if let Some(why) = has_enough(turn, founder) {
        return done(turn, why);
    }
    let (birth, by) = (channel.birth, turn.prefix());
    // First what is set, so that nothing changes for anybody as it becomes durable.
    for edit in turn.network().settings_of(&id, &by) {
        turn.change(Edit::Lasting(Box::new(edit)));
    }
    let (claimed, at) = (turn.stamp(), turn.now.wall);
    let fact = ClauseFact::Founded { name: made_as, birth, founder, at };
    let (channel, clause) = (id.clone(), Clause::Founded);
    turn.change(Edit::Registration { channel, claimed, clause, fact: Some(fact), by });
    note(turn, format!("{name} was registered by={} account={account}", turn.prefix()));
    turn.take_access(&id);
    done(turn, format!("{name} is yours now, {account}."))
}

/// Why an account cannot have one more channel, if so.
fn has_enough(turn: &Turn, account: AccountId) -> Option<String> {
    let owned = turn.network().registrations().iter().filter(|(_, one)| one.owner == account).count();
    (owned >= CHANNELS_PER_ACCOUNT).then(|| format!("You have {owned} channels, and may not have more."))
}

/// Whether the speaker may know of a registered channel.
fn may_know(turn: &Turn, of: &Registration) -> bool {
    let part = own_account(turn).is_some_and(|(own, _)| !of.status_of(own).is_empty());
    let is_hidden = |channel: &Channel| !sight::sees_channel(turn, channel);
    part || !turn.network().channel_or_kept(&of.id()).is_some_and(|channel| is_hidden(&channel))
}

fn info(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(of) = registration(turn, params[0]).filter(|of| may_know(turn, of)) else {
        return not_registered(turn, params[0]);
    };
    let owner = account_name(turn, of.owner);
    let since = crate::engine::greeting::readable(of.at);
    done(turn, format!("{} is {owner}'s, since {since}.", shown(turn, &of)))?;
    if let Some(text) = &of.description {
        done(turn, format!("What it is for: {text}"))?;
    }
    if let Some(lock) = &of.lock {
        done(turn, format!("Its modes are locked at {lock}."))?;
    }
    if let Some(successor) = of.successor.filter(|successor| *successor != of.owner) {
        done(turn, format!("After {owner} it is {}'s.", account_name(turn, successor)))?;
    }
    let is_party = |to: AccountId| own_account(turn).is_some_and(|(own, _)| own == of.owner || own == to);
    if let Some(to) = of.offer.filter(|to| is_party(*to)) {
        done(turn, format!("It is offered to {}.", account_name(turn, to)))?;
    }
    Ok(())
}

fn not_registered(turn: &mut Turn, channel: &str) -> Outcome {
    let name = ChannelName::from_peer(channel).map_or("That".to_string(), |name| name.to_string());
    done(turn, format!("{name} is not a registered channel."))
}

/// A registered channel on which the speaker's account is at least this.
fn run_by(turn: &mut Turn, channel: &str, least: char) -> Option<Registration> {
    let Some(of) = registration(turn, channel).filter(|of| may_know(turn, of)) else {
        let _ = not_registered(turn, channel);
        return None;
    };
    let own = own_account(turn).map_or(Letters::NONE, |(own, _)| of.status_of(own));
    if !mode::is_at_least(own, least) {
        turn.notice_by(CHANSERV, &format!("You have no right to that on {}.", shown(turn, &of)));
        return None;
    }
    Some(of)
}

fn access(turn: &mut Turn, params: &[&str]) -> Outcome {
    let verb = params[1].to_ascii_uppercase();
    let least = if verb == "LIST" { 'v' } else { 'a' };
    let Some(of) = run_by(turn, params[0], least) else { return Ok(()) };
    match (verb.as_str(), &params[2..]) {
        ("LIST", []) => {
            done(turn, format!("{}: {} founder", shown(turn, &of), account_name(turn, of.owner)))?;
            for (account, letters) in &of.access {
                let line =
                    format!("{}: {} {}", shown(turn, &of), account_name(turn, *account), level_of(*letters));
                done(turn, line)?;
            }
            Ok(())
        }
        ("ADD", [account, level]) => {
            let Some((_, letters)) = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(level)) else {
                return done(turn, "There is ADMIN, OP, HALFOP and VOICE.");
            };
            let Some((id, name)) = find_account(turn, account) else { return no_account(turn) };
            let letters: Letters = letters.chars().collect();
            if !may_rank(turn, &of, id, letters) {
                return done(turn, "That is for the founder to say.");
            }
            if of.access.len() >= ACCESS_MAX && !of.access.contains_key(&id) {
                return done(turn, "There is no room for more.");
            }
            write(turn, &of, Clause::Access(id), Some(ClauseFact::Access(letters)));
            turn.give_access(&of.id(), id);
            done(turn, format!("{name} is {} of {} from now on.", level_of(letters), shown(turn, &of)))
        }
        ("DEL", [account]) => {
            let Some((id, name)) = find_account(turn, account) else { return no_account(turn) };
            if !of.access.contains_key(&id) {
                return done(turn, format!("{name} has no access to {}.", shown(turn, &of)));
            }
            if !may_rank(turn, &of, id, Letters::NONE) {
                return done(turn, "That is for the founder to say.");
            }
            write(turn, &of, Clause::Access(id), None);
            done(turn, format!("{name} has no access to {} any more.", shown(turn, &of)))
        }
        _ => done(turn, "It is written ACCESS <channel> LIST, or ADD <account> <level>, or DEL <account>"),
    }
}

/// Whether the speaker may give an account this access: only the founder says who is an admin, and nobody anything of
/// the founder.
fn may_rank(turn: &Turn, of: &Registration, account: AccountId, letters: Letters) -> bool {
    let is_founder = own_account(turn).is_some_and(|(own, _)| own == of.owner);
    let is_admin = letters.has('a') || of.status_of(account).has('a');
    account != of.owner && (is_founder || !is_admin)
}

fn level_of(letters: Letters) -> &'static str {
    let is_level = |(_, level): &&(&str, &str)| level.chars().collect::<Letters>() == letters;
    LEVELS.iter().find(is_level).map_or("somebody", |(name, _)| name)
}

fn find_account(turn: &Turn, name: &str) -> Option<(AccountId, String)> {
    turn.network().account_named(name).map(|account| (account.id, account.name.clone()))
}

fn no_account(turn: &mut Turn) -> Outcome {
    done(turn, "There is no such account.")
}

/// Gives a status to somebody, or takes it, by what the speaker's account is there.
fn give(turn: &mut Turn, params: &[&str], letter: char, on: bool) -> Outcome {
    let Some(of) = run_by(turn, params[0], if letter == 'v' { 'v' } else { 'o' }) else { return Ok(()) };
    let nick = params.get(1).map_or_else(|| turn.user().nick.to_string(), |nick| nick.to_string());
    let user = turn.user_called(&nick)?.id;
    let channel = turn.channel(params[0])?;
    let is_own = user == turn.me();
    let own = own_account(turn).map_or(Letters::NONE, |(own, _)| of.status_of(own));
    let Some(member) = channel.member(user) else {
        return Err(numeric::user_not_in_channel(Word::echo(&nick), &channel.name).into());
    };
    let is_below = mode::rank(member.status) <= mode::rank(own);
    if !is_own && !(mode::is_at_least(own, 'o') && (on || is_below)) {
        return done(turn, format!("You have no right to that on {}.", shown(turn, &of)));
    }
    let (channel, birth) = (channel.id(), channel.birth);
    let fact = StatusFact { on, joined: member.fact.joined };
    let by = turn.server_name().to_string();
    if member_has(turn, &channel, user, letter) != on {
        turn.change(Edit::Status { channel, birth, user, letter, fact, by });
    }
    Ok(())
}

fn member_has(turn: &Turn, channel: &Folded, user: UserId, letter: char) -> bool {
    turn.network().channel(channel).is_some_and(|channel| channel.status(user).has(letter))
}

fn set(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(of) = run_by(turn, params[0], 'q') else { return Ok(()) };
    let value = params[2..].join(" ");
    match params[1].to_ascii_uppercase().as_str() {
        "DESC" => {
            let text = cut(&value, DESCRIPTION_BYTES_MAX).to_string();
            write(
                turn,
                &of,
                Clause::Description,
                Some(text).filter(|text| !text.is_empty()).map(ClauseFact::Text),
            );
            done(turn, format!("{} has another description.", shown(turn, &of)))
        }
        "SUCCESSOR" if value.is_empty() => {
            turn.settle_succession(&of);
            write(turn, &of, Clause::Successor, None);
            done(turn, format!("Nobody has {} after you.", shown(turn, &of)))
        }
        "SUCCESSOR" => {
            let Some((id, name)) = find_account(turn, &value) else { return no_account(turn) };
            turn.settle_succession(&of);
            write(turn, &of, Clause::Successor, Some(ClauseFact::Account(id)));
            done(turn, format!("{name} has {} after you.", shown(turn, &of)))
        }
        "MLOCK" => upkeep::set_lock(turn, &of, &value),
        _ => done(turn, "There is DESC, SUCCESSOR and MLOCK to set."),
    }
}

fn transfer(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(of) = run_by(turn, params[0], 'q') else { return Ok(()) };
    let Some(to) = params.get(1) else {
        if of.offer.is_none() {
            return done(turn, format!("{} is offered to nobody.", shown(turn, &of)));
        }
        write(turn, &of, Clause::Offer, None);
        return done(turn, format!("{} is offered to nobody any more.", shown(turn, &of)));
    };
    let Some((id, name)) = find_account(turn, to) else { return no_account(turn) };
    turn.settle_succession(&of);
    write(turn, &of, Clause::Offer, Some(ClauseFact::Account(id)));
    done(turn, format!("{name} has {} once they say ACCEPT {0} to {CHANSERV}.", shown(turn, &of)))
}

fn accept(turn: &mut Turn, params: &[&str]) -> Outcome {
    let own = own_account(turn);
    let of = registration(turn, params[0]);
    let offered = of.filter(|of| own.as_ref().is_some_and(|(own, _)| of.offer == Some(*own)));
    let (Some(of), Some((founder, account))) = (offered, own) else {
        return done(turn, "That channel was not offered to you.");
    };
    if let Some(why) = has_enough(turn, founder) {
        return done(turn, why);
    }
    let before = account_name(turn, of.owner);
    turn.found_anew(&of, founder);
    note(turn, format!("{} was handed over from={before} to={account}", shown(turn, &of)));
    turn.take_access(&of.id());
    done(turn, format!("{} is yours now, {account}.", shown(turn, &of)))
}

fn drop_channel(turn: &mut Turn, params: &[&str]) -> Outcome {
    let of = match registration(turn, params[0]).filter(|_| turn.has_right("accounts")) {
        Some(of) => of,
        None => match run_by(turn, params[0], 'q') {
            Some(of) => of,
            None => return Ok(()),
        },
    };
    if params.get(1).is_none_or(|again| turn.network().channel_id(&fold(again)) != of.id()) {
        return done(turn, format!("To make {0} nobody's again, say DROP {0} {0}", shown(turn, &of)));
    }
    let name = shown(turn, &of);
    turn.drop_registration(&of);
    note(turn, format!("{name} is not registered any more by={}", turn.prefix()));
    done(turn, format!("{name} is not registered any more."))
}

fn list(turn: &mut Turn, _: &[&str]) -> Outcome {
    let own = own_account(turn).map(|(own, _)| own);
    let sees_all = turn.has_right("see-all");
    let registrations = turn.network().registrations().iter();
    let listed = registrations.filter(|(_, of)| sees_all || Some(of.owner) == own);
    let lines: Vec<String> =
        listed.map(|(_, of)| format!("{} {}", shown(turn, of), account_name(turn, of.owner))).collect();
    if lines.is_empty() {
        return done(turn, "You have no registered channel.");
    }
    lines.iter().for_each(|line| turn.notice_by(CHANSERV, line));
    Ok(())
}
