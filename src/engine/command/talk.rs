//! PRIVMSG, NOTICE, TAGMSG, BATCH and RELAYMSG: what people say to channels, to each other, and operators to everyone.

use std::borrow::Cow;

use super::{Command, Who, hear_chanserv, hear_nickserv};
use crate::engine::cap::Cap;
use crate::engine::effect::Topic;
use crate::engine::network::{Channel, Message, RELAY_SEPARATOR, Target, Text, Verb};
use crate::engine::peer::Passing;
use crate::engine::services::{CHANSERV, NICKSERV, is_reserved};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::engine::{mode, policy};
use crate::wire::fold::fold;
use crate::wire::letters::Letters;
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::{ChannelName, NICK_BYTES_MAX, Word};
use crate::wire::numeric;
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "PRIVMSG",
        params_min: 0,
        who: Who::Registered,
        run: privmsg,
        usage: "<target>{,<target>} :<text>",
        help: "Says something to a channel, to those of it with a status (@#channel) or to a person, also as nick@server; operators may say it to everyone ($$*).",
    },
    Command {
        name: "NOTICE",
        params_min: 0,
        who: Who::Registered,
        run: notice,
        usage: "<target>{,<target>} :<text>",
        help: "As PRIVMSG, but nothing must answer it by itself, and no error comes back.",
    },
    Command {
        name: "TAGMSG",
        params_min: 0,
        who: Who::Registered,
        run: tagmsg,
        usage: "<target>{,<target>}",
        help: "Sends client-only tags and no text, such as a reaction, or that one is typing.",
    },
    Command {
        name: "BATCH",
        params_min: 1,
        who: Who::Registered,
        run: batch,
        usage: "+<reference> draft/multiline <target> | -<reference>",
        help: "Begins or ends a message of several lines: PRIVMSGs tagged with batch=<reference>.",
    },
    Command {
        name: "RELAYMSG",
        params_min: 3,
        who: Who::Registered,
        run: relaymsg,
        usage: "<channel> <name>/<network> :<text>",
        help: "Says on a channel that you run what somebody on another network has said, as from them; for bridges.",
    },
];

/// Client tags that are true only for a moment: said everywhere, kept nowhere.
const MOMENTARY: &[&str] = &["+typing", "+draft/typing"];

fn privmsg(turn: &mut Turn, params: &[&str]) -> Outcome {
    say(turn, Verb::Privmsg, params)
}

fn notice(turn: &mut Turn, params: &[&str]) -> Outcome {
    say(turn, Verb::Notice, params)
}

fn tagmsg(turn: &mut Turn, params: &[&str]) -> Outcome {
    say(turn, Verb::Tagmsg, params)
}

fn say(turn: &mut Turn, verb: Verb, params: &[&str]) -> Outcome {
    // What answers by itself must never be answered by itself: NOTICE has no errors.
    let answers = verb != Verb::Notice;
    let Some(targets) = params.first().filter(|targets| !targets.is_empty()) else {
        return if answers { Err(numeric::no_recipient(verb.name()).into()) } else { Ok(()) };
    };
    let text = params.get(1).copied().unwrap_or_default();
    if text.is_empty() && verb != Verb::Tagmsg {
        return if answers { Err(numeric::no_text_to_send().into()) } else { Ok(()) };
    }
    if verb == Verb::Tagmsg && turn.client_tags.is_empty() {
        return Ok(());
    }
    let now_ms = turn.now.steady_ms;
    turn.person_mut().spoke_ms = now_ms;
    let mut names: Vec<&str> = Vec::new();
    for name in targets.split(',').filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| fold(known) == fold(name)) {
            names.push(name);
        }
    }
    let most = turn.config().limits.targets_per_message;
    if let Some(beyond) = names.get(most).filter(|_| answers) {
        turn.reply(numeric::too_many_targets(Word::echo(beyond)));
    }
    for name in names.into_iter().take(most) {
        if let Err(refusal) = say_to(turn, verb, name, text, None)
            && answers
        {
            turn.refuse(refusal);
        }
    }
    Ok(())
}

fn relaymsg(turn: &mut Turn, params: &[&str]) -> Outcome {
    if let Err(refusal) = relay(turn, params) {
        match refusal {
            Refusal::Standard(failure) => turn.fail(failure),
            refusal => turn.refuse(refusal),
        }
    }
    Ok(())
}

/// Says something on a channel as somebody on another network, by whoever runs it.
fn relay(turn: &mut Turn, params: &[&str]) -> Outcome {
    let (name, whose, text) = (params[0], params[1], params[2]);
    let fail = |code, why: &str| Refusal::from(Standard::fail("RELAYMSG", code, why));
    if text.is_empty() {
        return Err(fail("BLANK_MSG", "Nothing is said by nothing"));
    }
    if !is_of_elsewhere(whose) {
        let why = "A name on another network is letters, digits and signs with a / in it, as in bob/chat";
        let failure = Standard::fail("RELAYMSG", "INVALID_NICK", why);
        return Err(failure.about(Word::echo(whose)).into());
    }
    if policy::may_run(turn.own_channel(name)?, turn.user()).is_err() {
        return Err(fail("PRIVS_NEEDED", "Only those who run a channel relay to it"));
    }
    let now_ms = turn.now.steady_ms;
    turn.person_mut().spoke_ms = now_ms;
    let heard = turn.speech(name, Verb::Privmsg, text, None)?;
    let target = Target::Channel { name: heard.channel, least: heard.least };
    let source = format!("{whose}!{}@{}", turn.user().nick, turn.user().fact.host);
    send(turn, Verb::Privmsg, (&source, name), target, &heard.text, None);
    Ok(())
}

/// Whether a name can be no nick here, and cannot be taken for a mask, a channel, a host or the end of itself.
fn is_of_elsewhere(name: &str) -> bool {
    let is_fit = |c: char| c.is_alphanumeric() || "[]\\`_^{|}-/".contains(c);
    let parts: Vec<&str> = name.split(RELAY_SEPARATOR).collect();
    let is_whole = parts.len() >= 2 && parts.iter().all(|part| !part.is_empty());
    is_whole && name.len() <= NICK_BYTES_MAX && name.chars().all(is_fit)
}

fn batch(turn: &mut Turn, params: &[&str]) -> Outcome {
    let outcome = take_batch(turn, params);
    // Clients that asked for such messages know of FAIL, whether or not they asked for it elsewhere.
    if let Err(why) = outcome {
        turn.fail(why);
    }
    Ok(())
}

fn take_batch(turn: &mut Turn, params: &[&str]) -> Result<(), Standard> {
    let invalid = |why: &str| Standard::fail("BATCH", "MULTILINE_INVALID", why);
    if !turn.session().wants_multiline() {
        return Err(invalid("This takes the capabilities draft/multiline and batch"));
    }
    if let Some(reference) = params[0].strip_prefix('-') {
        if let Some(whole) = turn.close_batch(reference)? {
            turn.client_tags = whole.client_tags;
            say_lines(turn, &whole.target, &whole.text);
        }
        return Ok(());
    }
    match (params[0].strip_prefix('+'), &params[1..]) {
        (Some(reference), ["draft/multiline", target, ..]) => turn.open_batch(reference, target),
        (reference, _) => {
            turn.ignore_batch(reference.unwrap_or_default());
            Err(invalid("A batch begins with BATCH +<reference> draft/multiline <target>"))
        }
    }
}

/// Says a message of several lines that has come in as a batch.
fn say_lines(turn: &mut Turn, name: &str, lines: &Text) {
    let now_ms = turn.now.steady_ms;
    turn.person_mut().spoke_ms = now_ms;
    if let Err(refusal) = say_to(turn, Verb::Privmsg, name, &lines.text, Some(&lines.joints)) {
        turn.refuse(refusal);
    }
}

/// With `joints` the text is a message of several lines.
fn say_to(turn: &mut Turn, verb: Verb, name: &str, text: &str, joints: Option<&[usize]>) -> Outcome {
    // With one sign or two, by RFC 2812 or as servers came to want it.
    let mask = name.strip_prefix("$$").or_else(|| name.strip_prefix('$'));
    if let Some(mask) = mask.filter(|mask| !mask.is_empty() && verb != Verb::Tagmsg) {
        return broadcast(turn, verb, mask, text);
    }
    if fold(name) == fold("*playback") && turn.wants(Cap::ZncPlayback) {
        turn.playback_asked(text);
        return Ok(());
    }
    // Of several signs the lowest counts, since whoever is more is that as well.
    let channel_name = name.trim_start_matches(|c| mode::status_of_sign(c).is_some());
    let signs = name[..name.len() - channel_name.len()].chars().filter_map(mode::status_of_sign);
    let least = signs.min_by_key(|letter| mode::rank(Letters::NONE.with(*letter)));
    if ChannelName::looks_like(channel_name) {
        let heard = turn.speech(channel_name, verb, text, least)?;
        let target = Target::Channel { name: heard.channel, least: heard.least };
        let joints = joints.map(|joints| match &heard.text {
            Cow::Borrowed(_) => joints.to_vec(),
            // What the channel takes out of a text moves the places behind it.
            Cow::Owned(_) => {
                joints.iter().map(|joint| mode::without_colours(&text[..*joint]).len()).collect()
            }
        });
        let source = turn.prefix();
        send(turn, verb, (&source, name), target, &heard.text, joints.as_deref());
        return Ok(());
    }
    let name = nick_at(turn, name)?;
    if name.eq_ignore_ascii_case(NICKSERV) {
        // Nobody else hears it, nor is it kept: it may hold passwords.
        if verb == Verb::Privmsg {
            hear_nickserv(turn, text);
        }
        return Ok(());
    }
    if name.eq_ignore_ascii_case(CHANSERV) {
        if verb == Verb::Privmsg {
            hear_chanserv(turn, text);
        }
        return Ok(());
    }
    let known = turn.user_called(name)?;
    let (user, nick) = (known.id, known.nick.clone());
    turn.address(user)?;
    let target = Target::User { user, nick: nick.clone() };
    let source = turn.prefix();
    send(turn, verb, (&source, nick.as_str()), target, text, joints);
    let away = turn.network().user(user).and_then(|user| user.fact.away.clone());
    if let (Verb::Privmsg, Some(away)) = (verb, away) {
        turn.reply(numeric::away(&nick, &away));
    }
    Ok(())
}

/// The nick of `nick@server`, which means somebody only while they are on that server. Services are on each.
fn nick_at<'n>(turn: &Turn, name: &'n str) -> Result<&'n str, Refusal> {
    let Some((nick, server)) = name.split_once('@') else { return Ok(name) };
    let server = turn.network().server_called(server);
    let is_there = server.is_some_and(|server| match turn.network().user_called(nick) {
        Some(user) => user.server() == server.id,
        None => is_reserved(nick),
    });
    if is_there { Ok(nick) } else { Err(numeric::no_such_nick(Word::echo(name)).into()) }
}

/// From a source, to a target by the name that it was called by.
fn send(
    turn: &mut Turn,
    verb: Verb,
    (source, name): (&str, &str),
    target: Target,
    text: &str,
    joints: Option<&[usize]>,
) {
    let (sender, account) = (turn.me(), turn.user().account.clone());
    let (source, tags) = (source.to_string(), turn.client_tags.clone());
    // Cut here, so that every server keeps, and everyone hears, the same.
    let signs = ":   :".len();
    let room = BODY_BYTES_MAX.saturating_sub(source.len() + verb.name().len() + name.len() + signs);
    let Text { text, joints } = match (verb, joints) {
        (Verb::Tagmsg, _) => Text::default(),
        (_, None) => Text { text: cut(text, room).to_string(), joints: Vec::new() },
        (_, Some(joints)) => Text::fitted(text, joints, room),
    };
    let is_momentary = verb == Verb::Tagmsg && tags.iter().all(|(key, _)| MOMENTARY.contains(&key.as_str()));
    let between = match &target {
        Target::User { user, .. } => {
            let to = turn.network().user(*user).and_then(|user| user.fact.account);
            (turn.user().fact.account, to)
        }
        Target::Channel { .. } => (None, None),
    };
    let is_closed = match &target {
        Target::Channel { name, .. } => {
            turn.network().channel(&name.folded()).is_some_and(Channel::is_closed)
        }
        Target::User { .. } => false,
    };
    let is_blank = false;
    let message =
        Message { verb, sender, source, account, target, between, text, joints, tags, is_closed, is_blank };
    let now_ms = turn.now.steady_ms;
    match is_momentary {
        true => {
            let state = message.tags.first().map_or("", |(_, state)| state);
            if turn.session_mut().typing.is_news(fold(name), state, now_ms) {
                turn.pass(Passing::Tags(message));
            }
        }
        false => turn.deliver(message),
    }
}

/// To everyone on the servers whose names match.
fn broadcast(turn: &mut Turn, verb: Verb, mask: &str, text: &str) -> Outcome {
    if !turn.is_operator() {
        return Err(numeric::no_privileges().into());
    }
    if !turn.has_right("broadcast") {
        return Err(numeric::no_operator_right(Word::echo("broadcast")).into());
    }
    let (by, mask) = (turn.prefix(), Word::echo(mask).to_string());
    let fixed = format!(":{by} {} $${mask} :", verb.name());
    let text = cut(text, BODY_BYTES_MAX.saturating_sub(fixed.len())).to_string();
    turn.note(log::Level::Info, Topic::Operator, format!("{by} says to everyone on {mask} text=\"{text}\""));
    let tags = turn.client_tags.clone();
    turn.pass(Passing::Broadcast { by, mask, verb: verb.name().to_string(), text, tags });
    Ok(())
}
