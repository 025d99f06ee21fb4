//! LIST, USERHOST, USERIP, ISON and WHOWAS: looking around.

use super::{Command, Who, at_least_one};
use crate::engine::greeting::readable;
use crate::engine::network::{Channel, User};
use crate::engine::sight;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::fold::Folded;
use crate::wire::mask::glob_matches;
use crate::wire::message::fill;
use crate::wire::names::Word;
use crate::wire::numeric::{self, Numeric};
use crate::wire::time::Timestamp;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "LIST",
        params_min: 0,
        who: Who::Registered,
        run: list,
        usage: "[<channel>{,<channel>}] [<condition>{,<condition>}]",
        help: "Lists channels. Conditions: a name or mask, !mask, >n and <n members, C>n and C<n minutes since it was made, T>n and T<n since its topic was set.",
    },
    Command {
        name: "USERHOST",
        params_min: 1,
        who: Who::Registered,
        run: userhost,
        usage: "<nick> [<nick>...]",
        help: "Shows user name and host of up to five people.",
    },
    Command {
        name: "USERIP",
        params_min: 1,
        who: Who::Registered,
        run: userip,
        usage: "<nick> [<nick>...]",
        help: "Shows user name and address of up to five people; the addresses of others only to operators.",
    },
    Command {
        name: "ISON",
        params_min: 1,
        who: Who::Registered,
        run: ison,
        usage: "<nick> [<nick>...]",
        help: "Says who of these is here.",
    },
    Command {
        name: "WHOWAS",
        params_min: 1,
        who: Who::Registered,
        run: whowas,
        usage: "<nick> [<count>]",
        help: "Shows who lately left, or gave up, a nick.",
    },
];

// LIST.

/// One condition of LIST.
enum Condition {
    Mask(String),
    NotMask(String),
    MembersAbove(u64),
    MembersBelow(u64),
    MadeBefore(Timestamp),
    MadeAfter(Timestamp),
    TopicBefore(Timestamp),
    TopicAfter(Timestamp),
}

impl Condition {
    fn parse(text: &str, now: Timestamp) -> Condition {
        let minutes_ago = |minutes: u64| Timestamp(now.0.saturating_sub(minutes.saturating_mul(60_000)));
        let number = |at: usize| text.get(at..).and_then(|digits| digits.parse::<u64>().ok());
        let kind = text.get(..2).map(|start| start.to_ascii_uppercase()).unwrap_or_default();
        match (kind.as_str(), number(2), text.chars().next(), number(1)) {
            ("C>", Some(minutes), ..) => Condition::MadeBefore(minutes_ago(minutes)),
            ("C<", Some(minutes), ..) => Condition::MadeAfter(minutes_ago(minutes)),
            ("T>", Some(minutes), ..) => Condition::TopicBefore(minutes_ago(minutes)),
            ("T<", Some(minutes), ..) => Condition::TopicAfter(minutes_ago(minutes)),
            (_, _, Some('>'), Some(members)) => Condition::MembersAbove(members),
            (_, _, Some('<'), Some(members)) => Condition::MembersBelow(members),
            (_, _, Some('!'), _) => Condition::NotMask(text[1..].to_string()),
            _ => Condition::Mask(text.to_string()),
        }
    }

    fn holds(&self, channel: &Channel) -> bool {
        let members = channel.members_count() as u64;
        let made = channel.birth.time();
        let topic = channel.topic.as_ref().map(|topic| topic.at);
        match self {
            Condition::Mask(mask) => glob_matches(mask, channel.name.as_str()),
            Condition::NotMask(mask) => !glob_matches(mask, channel.name.as_str()),
            Condition::MembersAbove(least) => members > *least,
            Condition::MembersBelow(most) => members < *most,
            Condition::MadeBefore(then) => made < *then,
            Condition::MadeAfter(then) => made > *then,
            Condition::TopicBefore(then) => topic.is_some_and(|at| at < *then),
            Condition::TopicAfter(then) => topic.is_some_and(|at| at > *then),
        }
    }
}

fn list(turn: &mut Turn, params: &[&str]) -> Outcome {
    turn.search("LIST")?;
    // The books have channels first and conditions behind them; people write either in either place.
    let words = params.iter().take(2).flat_map(|param| param.split(','));
    let conditions = words.filter(|word| !word.is_empty()).map(|word| Condition::parse(word, turn.now.wall));
    // Any of the names will do, and everything else has to be so.
    let (masks, others): (Vec<_>, Vec<_>) = conditions.partition(|one| matches!(one, Condition::Mask(_)));
    let is_meant = move |channel: &Channel| {
        (masks.is_empty() || masks.iter().any(|mask| mask.holds(channel)))
            && others.iter().all(|condition| condition.holds(channel))
    };
    let mut after: Option<Folded> = None;
    turn.reply_in_slices(move |turn| {
        if after.is_none() {
            turn.reply(numeric::list_start());
        }
        let some: Vec<(&Folded, &Channel)> =
            turn.network().channels_after(after.as_ref()).take(turn.slice()).collect();
        let last = some.last().filter(|_| some.len() == turn.slice()).map(|(name, _)| (*name).clone());
        let shown = some.into_iter().map(|(_, channel)| channel);
        let shown = shown.filter(|channel| sight::is_shown_channel(turn, channel) && is_meant(channel));
        let lines = shown.map(|channel| {
            let topic = channel.topic.as_ref().map_or("", |topic| &topic.text);
            numeric::list(&channel.name, channel.members_count(), topic)
        });
        let lines: Vec<_> = lines.collect();
        after = last;
        turn.reply_all(lines);
        if after.is_none() {
            turn.reply(numeric::list_end());
        }
        after.is_none()
    });
    Ok(())
}

// People.

/// How many people one USERHOST or USERIP tells of.
const USERHOST_MAX: usize = 5;

fn userhost(turn: &mut Turn, params: &[&str]) -> Outcome {
    tell_where(turn, params, numeric::userhost, |_, user| user.fact.host.clone())
}

fn userip(turn: &mut Turn, params: &[&str]) -> Outcome {
    tell_where(turn, params, numeric::userip, |turn, user| sight::shown_address(turn, user).to_string())
}

fn tell_where(
    turn: &mut Turn,
    nicks: &[&str],
    numeric: fn(&str) -> Numeric,
    place: fn(&Turn, &User) -> String,
) -> Outcome {
    // As with ISON, older clients send all nicks as one parameter.
    let nicks = nicks.iter().flat_map(|param| param.split(' '));
    let people = nicks.filter_map(|nick| turn.network().user_called(nick)).take(USERHOST_MAX);
    let people = people.map(|user| {
        let operator = if sight::sees_operator(turn, user) { "*" } else { "" };
        let here = if user.fact.away.is_some() { '-' } else { '+' };
        format!("{}{operator}={here}{}@{}", user.nick, user.fact.username, place(turn, user))
    });
    let line = fill(people, turn.room_in(&numeric("")));
    turn.reply(numeric(&line.first().cloned().unwrap_or_default()));
    Ok(())
}

fn ison(turn: &mut Turn, params: &[&str]) -> Outcome {
    let nicks = params.iter().flat_map(|param| param.split(' '));
    let here = nicks.filter_map(|nick| turn.network().user_called(nick));
    let here = here.filter(|user| turn.engine.is_here_for(turn.conn, user)).map(|user| user.nick.to_string());
    // One line is all that clients wait for. Half a nick would be somebody else's.
    let line = fill(here, turn.room_in(&numeric::ison("")));
    turn.reply(numeric::ison(&line.first().cloned().unwrap_or_default()));
    Ok(())
}

/// How many nicks one WHOWAS asks for, and how many holders of each it shows: whoever changes nick to and fro
/// makes as much history as they like.
pub const WHOWAS_NICKS_MAX: usize = 4;
const WHOWAS_HOLDERS_MAX: usize = 50;

fn whowas(turn: &mut Turn, params: &[&str]) -> Outcome {
    let asked = params.get(1).and_then(|count| count.parse().ok()).filter(|count| *count > 0);
    let most = asked.map_or(WHOWAS_HOLDERS_MAX, |count: usize| count.min(WHOWAS_HOLDERS_MAX));
    let nicks = at_least_one("WHOWAS", params[0])?.into_iter();
    for nick in nicks.take(WHOWAS_NICKS_MAX) {
        let word = Word::echo(nick);
        let mut lines = Vec::new();
        for was in turn.engine.whowas.called(nick).take(most) {
            let [nick, username, host, server] =
                [&was.nick, &was.username, &was.host, &was.server].map(|text| Word::echo(text));
            lines.push(numeric::whowas_user(&nick, username, host, &was.realname));
            if turn.has_right("see-all") {
                lines.push(numeric::whois_actually(&nick, Word::echo(&was.address)));
            }
            lines.push(numeric::whois_server(&nick, server, &readable(was.until)));
        }
        if lines.is_empty() {
            turn.reply(numeric::was_no_such_nick(&word));
        }
        turn.reply_all(lines);
        turn.reply(numeric::end_of_whowas(word));
    }
    Ok(())
}
