//! REDACT: taking back what was said.

use std::sync::Arc;

use super::{Command, Who};
use crate::engine::history::{Query, Record};
use crate::engine::merge::Dot;
use crate::engine::mode;
use crate::engine::network::{Change, Edit, Message, Redaction, Target, Verb};
use crate::engine::turn::{Outcome, Turn};
use crate::engine::{policy, turn};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::message::{BODY_BYTES_MAX, cut};
use crate::wire::names::{ChannelName, UserId, Word};
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[Command {
    name: "REDACT",
    params_min: 2,
    who: Who::Registered,
    run: redact,
    usage: "<target> <msgid> [:<reason>]",
    help: "Takes back a message of yours; those who run a channel can take back what others said there.",
}];

/// Where a message was said, as whoever wants it back names the place.
enum Place {
    /// By its id.
    Channel(Folded),
    Person(UserId),
}

/// Whose wish it is, as far as a message is concerned.
enum Standing {
    /// They said it.
    Author,
    /// They may take back what others said.
    Above,
    /// They have seen it, and no more.
    Reader,
    /// For all that they know there is no such message.
    Stranger,
}

fn redact(turn: &mut Turn, params: &[&str]) -> Outcome {
    let dot = Dot::parse(params[1]);
    let here = dot.and_then(|dot| turn.network().talk().find(dot).cloned());
    match (dot, here) {
        (Some(dot), None) if turn.config().history.enabled => {
            let params: Vec<String> = params.iter().map(|param| param.to_string()).collect();
            turn.recall(Query::Message { dot }, move |turn, found| {
                let found = found.ok().and_then(|found| found.into_iter().next());
                let params: Vec<&str> = params.iter().map(String::as_str).collect();
                attempt(turn, &params, found.map(Record::into_change));
                Ok(())
            });
        }
        (_, here) => attempt(turn, params, here),
    }
    Ok(())
}

fn attempt(turn: &mut Turn, params: &[&str], found: Option<Arc<Change>>) {
    if let Err(why) = take_back(turn, params, found) {
        turn.fail(why);
    }
}

fn take_back(turn: &mut Turn, params: &[&str], found: Option<Arc<Change>>) -> Result<(), Standard> {
    let (name, msgid) = (params[0], params[1]);
    let fail = |code, text: &str| Standard::fail("REDACT", code, text).about(Word::echo(name));
    let invalid_target = || fail("INVALID_TARGET", "You cannot take back messages from there");
    let unknown = || {
        let text = "There is no such message, or it was too long ago";
        fail("UNKNOWN_MSGID", text).about(Word::echo(msgid))
    };
    let place = place_called(turn, name).ok_or_else(invalid_target)?;
    let change = found.ok_or_else(unknown)?;
    let (dot, talk) = (change.dot, turn.network().talk());
    let Edit::Message(message) = &change.edit else { return Err(unknown()) };
    if message.is_blank || talk.redacted().has(dot) || !is_there(turn, message, &place) {
        return Err(unknown());
    }
    let mut reason = params.get(2).copied().filter(|reason| !reason.is_empty());
    match standing(turn, &change, message) {
        Standing::Above => {}
        Standing::Author => {
            let within = turn.config().talk.redact_within;
            if u128::from(turn.now.wall.0.saturating_sub(change.stamp.ms)) > within.as_millis() {
                let fail = fail("REDACT_WINDOW_EXPIRED", "That was too long ago to take it back");
                let window = Word::echo(&within.as_secs().to_string());
                return Err(fail.about(Word::echo(msgid)).about(window));
            }
            // Who may not speak there takes it back without a word.
            reason = reason.filter(|reason| may_say(turn, message, reason));
        }
        Standing::Reader => {
            let fail = fail("REDACT_FORBIDDEN", "You may not take back what others said");
            return Err(fail.about(Word::echo(msgid)));
        }
        Standing::Stranger => return Err(unknown()),
    }
    let source = turn.prefix();
    let shown = match &message.target {
        Target::Channel { least, .. } => mode::shown_target(name, *least),
        Target::User { nick, .. } => nick.to_string(),
    };
    let fixed = format!(":{source} REDACT {shown} {dot} :");
    let reason = reason.map(|reason| cut(reason, BODY_BYTES_MAX.saturating_sub(fixed.len())).to_string());
    turn.change(Edit::Redact(Redaction {
        sender: turn.me(),
        source,
        account: turn.user().account.clone(),
        target: message.target.clone(),
        message: dot,
        said: change.stamp,
        reason,
    }));
    Ok(())
}

fn may_say(turn: &Turn, message: &Message, text: &str) -> bool {
    let Target::Channel { name, .. } = &message.target else { return true };
    let Some(channel) = turn.network().channel(&name.folded()) else { return false };
    let heard_by = policy::may_speak(turn.network(), channel, turn.user(), Verb::Privmsg, text);
    matches!(heard_by, Ok(None))
}

/// A channel that the speaker is on, or a person. Of a channel's signs none matters: it is the message that was meant
/// for some of it only.
fn place_called(turn: &turn::Turn, name: &str) -> Option<Place> {
    let channel_name = name.trim_start_matches(|c| mode::status_of_sign(c).is_some());
    if ChannelName::looks_like(channel_name) {
        let channel = turn.channel(channel_name).ok()?;
        let can = channel.has(turn.me()) || turn.has_right("redact");
        return can.then(|| Place::Channel(channel.id()));
    }
    turn.user_called(name).ok().map(|user| Place::Person(user.id))
}

/// Whether a message was said in that place; to the speaker, that of a person is what the two have said to each other.
fn is_there(turn: &Turn, message: &Message, place: &Place) -> bool {
    match (&message.target, place) {
        (Target::Channel { name, .. }, Place::Channel(channel)) => name.folded() == *channel,
        (Target::User { user, .. }, Place::Person(person)) => {
            user == person || (*user == turn.me() && message.sender == *person)
        }
        _ => false,
    }
}

fn standing(turn: &Turn, change: &Change, message: &Message) -> Standing {
    match rights(turn, change, message) {
        Standing::Above => Standing::Above,
        _ if message.sender == turn.me() => Standing::Author,
        standing => standing,
    }
}

/// What somebody may do with a message, whoever said it.
fn rights(turn: &Turn, change: &Change, message: &Message) -> Standing {
    if turn.has_right("redact") {
        return Standing::Above;
    }
    let (name, least) = match &message.target {
        Target::User { user, .. } if *user == turn.me() => return Standing::Reader,
        Target::User { .. } => return Standing::Stranger,
        Target::Channel { name, least } => (name, least),
    };
    let Some(channel) = turn.network().channel(&name.folded()) else { return Standing::Stranger };
    let Some(own) = channel.member(turn.me()) else { return Standing::Stranger };
    if least.is_some_and(|letter| !mode::is_at_least(own.status, letter)) {
        return Standing::Stranger;
    }
    // Who said it may have left; then they are nobody there.
    let author = channel.member(message.sender).map_or(Letters::NONE, |member| member.status);
    // Whoever makes a channel anew has no say in what was said on the one before it.
    let is_above = channel.birth <= change.stamp
        && policy::may_run(channel, turn.user()).is_ok()
        && mode::rank(own.status) >= mode::rank(author);
    match is_above {
        true => Standing::Above,
        false if own.fact.joined <= change.stamp => Standing::Reader,
        false => Standing::Stranger,
    }
}
