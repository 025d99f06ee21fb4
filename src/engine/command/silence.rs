//! SILENCE and ACCEPT: whom people do not want to hear, and whom they do.

use super::{Command, Who};
use crate::engine::shield::{SILENCE_DEFAULT, SILENCE_EXEMPT, SILENCE_FLAGS, Silence};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::letters::Letters;
use crate::wire::mask::Mask;
use crate::wire::names::{UserId, Word};
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "SILENCE",
        params_min: 0,
        who: Who::Registered,
        run: silence,
        usage: "[(+|-)<mask>{,(+|-)<mask>} [<flags>]]",
        help: "Keeps what some people say from you; alone, it lists them. For people P, N, T and C stand for PRIVMSG, NOTICE, TAGMSG and CTCP, for channels p, n, t and c, i for INVITE, d for all of these; x makes an exception.",
    },
    Command {
        name: "ACCEPT",
        params_min: 1,
        who: Who::Registered,
        run: accept,
        usage: "[-]<nick>{,[-]<nick>} | *",
        help: "Lets people write to you in spite of your user modes g and R; * lists them.",
    },
];

/// The longest mask that fits on a line beside everything else.
const MASK_BYTES_MAX: usize = 160;

fn silence(turn: &mut Turn, params: &[&str]) -> Outcome {
    let Some(masks) = params.first().filter(|masks| !masks.is_empty()) else {
        let nick = turn.user().nick.clone();
        let line = |one: &Silence| numeric::silence_list(&nick, &one.mask, Word::echo(&one.flags()));
        let lines: Vec<_> = turn.person().shield.silences.iter().map(line).collect();
        turn.reply_all(lines);
        turn.reply(numeric::end_of_silence_list(&nick));
        return Ok(());
    };
    let flags = params.get(1).copied().unwrap_or_default();
    for text in masks.split(',').filter(|text| !text.is_empty()) {
        let outcome = match text.strip_prefix('-') {
            Some(mask) => unsilence_one(turn, mask),
            None => silence_one(turn, text.strip_prefix('+').unwrap_or(text), flags),
        };
        if let Err(refusal) = outcome {
            turn.refuse(refusal);
        }
    }
    let me = turn.me();
    turn.engine.sessions.prick_up(me);
    Ok(())
}

fn read_mask(text: &str) -> Result<Mask, Refusal> {
    let mask = Mask::complete(text).filter(|mask| mask.as_str().len() <= MASK_BYTES_MAX);
    mask.ok_or_else(|| {
        numeric::bad_silence(Word::echo(text), Word::echo("*"), "That is no mask, or too long").into()
    })
}

fn silence_one(turn: &mut Turn, text: &str, flags: &str) -> Outcome {
    // Some write the exception in front of the mask.
    let (text, is_exempt) = text.strip_prefix('~').map_or((text, false), |text| (text, true));
    let mask = read_mask(text)?;
    let is_known =
        |flag: char| SILENCE_FLAGS.contains(flag) || [SILENCE_DEFAULT, SILENCE_EXEMPT].contains(&flag);
    if let Some(strange) = flags.chars().find(|flag| !is_known(*flag)) {
        let why = format!("{strange} is no flag; there are {SILENCE_FLAGS}{SILENCE_DEFAULT}{SILENCE_EXEMPT}");
        return Err(numeric::bad_silence(&mask, Word::echo(flags), &why).into());
    }
    let is_all = flags.contains(SILENCE_DEFAULT) || flags.chars().all(|flag| flag == SILENCE_EXEMPT);
    let named = if is_all { SILENCE_FLAGS } else { flags };
    let what = named.chars().filter(|flag| SILENCE_FLAGS.contains(*flag)).fold(Letters::NONE, Letters::with);
    let is_exempt = is_exempt || flags.contains(SILENCE_EXEMPT);
    let (most, folded) = (turn.config().limits.silence_entries, mask.folded());
    let entry = Silence { mask, what, is_exempt };
    let silences = &mut turn.person_mut().shield.silences;
    match silences.iter().position(|one| one.mask.folded() == folded) {
        Some(place) if silences[place] == entry => return Ok(()),
        Some(place) => silences[place] = entry.clone(),
        None if silences.len() >= most => return Err(numeric::silence_list_full(&entry.mask).into()),
        None => silences.push(entry.clone()),
    }
    let line = format!(":{} SILENCE +{} {}", turn.prefix(), entry.mask, entry.flags());
    turn.say(line);
    Ok(())
}

fn unsilence_one(turn: &mut Turn, text: &str) -> Outcome {
    let mask = read_mask(text.trim_start_matches('~'))?;
    let silences = &mut turn.person_mut().shield.silences;
    let Some(place) = silences.iter().position(|one| one.mask.folded() == mask.folded()) else {
        return Err(
            numeric::bad_silence(&mask, Word::echo("*"), "There is no such entry on your list").into()
        );
    };
    let gone = silences.remove(place);
    let line = format!(":{} SILENCE -{} {}", turn.prefix(), gone.mask, gone.flags());
    turn.say(line);
    Ok(())
}

fn accept(turn: &mut Turn, params: &[&str]) -> Outcome {
    if params[0] == "*" {
        list_accepted(turn);
        return Ok(());
    }
    for text in params[0].split(',').filter(|text| !text.is_empty()) {
        let outcome = match text.strip_prefix('-') {
            Some(nick) => accept_no_more(turn, nick),
            None => accept_one(turn, text.strip_prefix('+').unwrap_or(text)),
        };
        if let Err(refusal) = outcome {
            turn.refuse(refusal);
        }
    }
    Ok(())
}

fn list_accepted(turn: &mut Turn) {
    turn.forget_gone();
    let accepted = turn.person().shield.accepted.iter();
    let nicks = accepted.filter_map(|user| turn.network().user(*user)).map(|user| user.nick.clone());
    let nicks: Vec<_> = nicks.collect();
    turn.reply_all(nicks.iter().map(numeric::accept_list));
    turn.reply(numeric::end_of_accept_list());
}

fn accept_one(turn: &mut Turn, nick: &str) -> Outcome {
    let (user, nick) = known(turn, nick)?;
    let most = turn.config().limits.accept_entries;
    if turn.person().shield.accepted.len() >= most {
        turn.forget_gone();
    }
    let accepted = &mut turn.person_mut().shield.accepted;
    if accepted.contains(&user) {
        return Err(numeric::already_accepted(nick).into());
    }
    if accepted.len() >= most {
        return Err(numeric::accept_list_full().into());
    }
    accepted.insert(user);
    Ok(())
}

fn accept_no_more(turn: &mut Turn, nick: &str) -> Outcome {
    let (user, nick) = known(turn, nick)?;
    match turn.person_mut().shield.accepted.remove(&user) {
        true => Ok(()),
        false => Err(numeric::not_accepted(nick).into()),
    }
}

fn known(turn: &Turn, nick: &str) -> Result<(UserId, Word), Refusal> {
    let user = turn.user_called(nick)?;
    Ok((user.id, Word::from(&user.nick)))
}
