//! INVITE, UNBAN, CLEAR and MLOCK: how a registered channel is kept in order by those who have access to it, also when
//! they are not on it.

use super::{done, run_by, write};
use crate::engine::command;
use crate::engine::extban::{self, Sphere};
use crate::engine::mode::Lock;
use crate::engine::network::{
    Channel, Clause, ClauseFact, Edit, Item, Registration, Setting, StatusFact, User,
};
use crate::engine::peer::Act;
use crate::engine::services::{For, ServiceWord};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::letters::Letters;
use crate::wire::names::{UserId, Word};

pub const WORDS: &[ServiceWord] = &[
    ServiceWord {
        word: "INVITE",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: invite,
        usage: "INVITE <channel> [<nick>]",
        help: "lets you, or somebody else, past the key, the limit and the invite-only mode of the channel",
    },
    ServiceWord {
        word: "UNBAN",
        aliases: &[],
        params_min: 1,
        who: For::Anyone,
        run: unban,
        usage: "UNBAN <channel> [<nick>]",
        help: "lifts the bans that mean you, or somebody else",
    },
    ServiceWord {
        word: "CLEAR",
        aliases: &[],
        params_min: 2,
        who: For::Anyone,
        run: clear,
        usage: "CLEAR <channel> BANS|EXCEPTIONS|INVITATIONS|MODES|OPS|VOICES|USERS",
        help: "empties a list, unsets all modes, takes every status that access does not give, or has everyone else leave",
    },
];

/// The lists of masks by their names.
const LISTS: &[(&str, char)] = &[("BANS", 'b'), ("EXCEPTIONS", 'e'), ("INVITATIONS", 'I')];

/// A registered channel on which the speaker's account is at least this, as everyone sees it.
fn kept_by(turn: &mut Turn, name: &str, least: char) -> Option<(Registration, Channel)> {
    let of = run_by(turn, name, least)?;
    let channel = turn.network().channel_or_kept(&of.id())?.into_owned();
    Some((of, channel))
}

/// Whoever is named behind the channel, or the speaker; who speaks for others has to be an operator by their account.
fn whom(turn: &mut Turn, params: &[&str]) -> Result<(User, char), Refusal> {
    let user = match params.get(1) {
        Some(nick) => turn.user_within_reach(nick)?.clone(),
        None => turn.user().clone(),
    };
    let least = if user.id == turn.me() { 'v' } else { 'o' };
    Ok((user, least))
}

fn invite(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (user, least) = whom(turn, params)?;
    let Some((_, channel)) = kept_by(turn, params[0], least) else { return Ok(()) };
    command::invite_to(turn, &user, &channel)
}

fn unban(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (user, least) = whom(turn, params)?;
    let Some((_, channel)) = kept_by(turn, params[0], least) else { return Ok(()) };
    let spheres = [Sphere::Presence, Sphere::Speech];
    let means = |mask: &str| spheres.iter().any(|sphere| extban::holds(turn.network(), &user, mask, *sphere));
    let masks: Vec<String> =
        channel.list('b').map(|(mask, _)| mask.clone()).filter(|mask| means(mask)).collect();
    let lifted = masks.len();
    lift(turn, &channel, 'b', masks);
    done(turn, format!("{lifted} bans of {} on {} are lifted.", user.nick, channel.name))
}

/// Takes entries from a list.
fn lift(turn: &mut Turn, channel: &Channel, list: char, masks: Vec<String>) {
    let by = turn.server_name().to_string();
    let (id, birth) = (channel.id(), channel.birth);
    let edit = |mask| Edit::Mask { channel: id.clone(), birth, list, mask, fact: None, by: by.clone() };
    turn.change_all(masks.into_iter().map(edit).collect());
}

/// Sets modes as the channel's access has it, whoever runs the channel.
fn set_modes(turn: &mut Turn, channel: &Channel, modes: Vec<(char, Option<Setting>)>) {
    let by = turn.server_name().to_string();
    let (id, birth) = (channel.id(), channel.birth);
    let edit = |(letter, value)| {
        let (channel, item, by) = (id.clone(), Item::Mode(letter), by.clone());
        Edit::Setting { channel, birth, item, value, by }
    };
    turn.change_all(modes.into_iter().map(edit).collect());
}

fn clear(turn: &mut Turn, params: &[&str]) -> Outcome {
    let what = params[1].to_ascii_uppercase();
    let least = if what == "USERS" { 'q' } else { 'a' };
    let Some((of, channel)) = kept_by(turn, params[0], least) else { return Ok(()) };
    if let Some((_, list)) = LISTS.iter().find(|(name, _)| *name == what) {
        let masks = channel.list(*list).map(|(mask, _)| mask.clone()).collect();
        lift(turn, &channel, *list, masks);
        return done(
            turn,
            format!("There are no {} on {} any more.", what.to_ascii_lowercase(), channel.name),
        );
    }
    match what.as_str() {
        "MODES" => {
            let lock = Lock::of(&of);
            let is_free = |letter: &char| lock.permits(*letter, None);
            let modes = channel.modes.keys().copied().filter(is_free).map(|letter| (letter, None)).collect();
            set_modes(turn, &channel, modes);
            done(turn, format!("No mode is set on {} but those that are locked.", channel.name))
        }
        "OPS" => clear_statuses(turn, &channel, "qaoh"),
        "VOICES" => clear_statuses(turn, &channel, "v"),
        "USERS" => clear_users(turn, &channel),
        _ => done(turn, "There are BANS, EXCEPTIONS, INVITATIONS, MODES, OPS, VOICES and USERS to clear."),
    }
}

/// Takes these statuses from everyone whose account does not give them.
fn clear_statuses(turn: &mut Turn, channel: &Channel, letters: &str) -> Outcome {
    let (by, letters): (_, Letters) = (turn.server_name().to_string(), letters.chars().collect());
    let (id, birth, me) = (channel.id(), channel.birth, turn.me());
    let mut edits = Vec::new();
    for (user, member) in channel.members().filter(|(user, _)| *user != me) {
        let due = turn.network().access(&id, user);
        for letter in member.status.iter().filter(|letter| letters.has(*letter) && !due.has(*letter)) {
            let (channel, by) = (id.clone(), by.clone());
            let fact = StatusFact { on: false, joined: member.fact.joined };
            edits.push(Edit::Status { channel, birth, user, letter, fact, by });
        }
    }
    let taken = edits.len();
    turn.change_all(edits);
    done(turn, format!("{taken} statuses were taken on {}.", channel.name))
}

/// Has everyone leave but the speaker and those who own the channel as well.
fn clear_users(turn: &mut Turn, channel: &Channel) -> Outcome {
    let (me, by) = (turn.me(), turn.prefix());
    let reason = format!("CLEAR by {}", turn.user().nick);
    let goes = |user: UserId| user != me && !turn.network().access(&channel.id(), user).has('q');
    let gone: Vec<(UserId, Word, Act)> = channel
        .members()
        .filter(|(user, _)| goes(*user))
        .filter_map(|(user, member)| {
            let (channel, joined, by, reason) =
                (channel.id(), member.fact.joined, by.clone(), reason.clone());
            let act = Act::Kick { channel, user, joined, by, reason };
            Some((user, Word::from(&turn.network().user(user)?.nick), act))
        })
        .collect();
    let count = gone.len();
    for (user, nick, act) in gone {
        turn.have_done(user.server(), act, "KICK", nick, Vec::new())?;
    }
    done(turn, format!("{count} people have to leave {}.", channel.name))
}

/// What SET MLOCK says.
pub fn set_lock(turn: &mut Turn, of: &Registration, text: &str) -> Outcome {
    let lock = match Lock::parse(text) {
        Ok(lock) => lock,
        Err(why) => return done(turn, why),
    };
    let Some(channel) = turn.network().channel_or_kept(&of.id()) else { return Ok(()) };
    let channel = channel.into_owned();
    // What was set in a split against the lock that ends must not come forth now.
    let freed = Lock::of(of).locked().filter(|letter| !lock.is_locked(*letter)).collect::<Vec<_>>();
    let kept = freed.into_iter().map(|letter| (letter, channel.setting(letter)));
    set_modes(turn, &channel, kept.chain(lock.to_be_set(&channel)).collect());
    if lock.is_empty() {
        write(turn, of, Clause::Lock, None);
        return done(turn, format!("No mode of {} is locked.", channel.name));
    }
    write(turn, of, Clause::Lock, Some(ClauseFact::Text(lock.to_string())));
    done(turn, format!("The modes of {} are locked at {lock}.", channel.name))
}
