//! WHO and WHOX: people, one line each, with the fields that were asked for.

use super::{Command, Who};
use crate::engine::network::{Channel, User};
use crate::engine::sight;
use crate::engine::turn::{Outcome, Turn};
use crate::wire::letters::Letters;
use crate::wire::mask::glob_matches;
use crate::wire::names::{ChannelName, Echo, UserId, Word};
use crate::wire::numeric::{self, Numeric};

pub const COMMANDS: &[Command] = &[Command {
    name: "WHO",
    params_min: 0,
    who: Who::Registered,
    run: who,
    usage: "[<channel> | <mask>] [o][%<fields>[,<token>]]",
    help: "Lists people: those on a channel, or whose nick, user name, host, server or real name fits. o: operators only. With %tcuihsnfdlaor, WHOX: the fields that are named.",
}];

/// The fields of WHOX, in the order in which they are always sent.
const FIELDS: &str = "tcuihsnfdlaor";

struct Asked {
    operators_only: bool,
    /// What WHOX asks for; `None` for plain WHO.
    fields: Option<String>,
    token: String,
}

/// Some of the people who are meant, and the last who was looked at where there are more.
type Found = (Vec<Numeric>, Option<UserId>);

fn who(turn: &mut Turn, params: &[&str]) -> Outcome {
    let mask = params.first().copied().unwrap_or("*");
    let options = params.get(1).copied().unwrap_or_default();
    let (flags, whox) = options.split_once('%').map_or((options, None), |(flags, whox)| (flags, Some(whox)));
    let (fields, token) = match whox {
        Some(whox) => whox.split_once(',').map_or((Some(whox), "0"), |(fields, token)| (Some(fields), token)),
        None => (None, "0"),
    };
    let is_token = (1..=3).contains(&token.len()) && token.chars().all(|c| c.is_ascii_digit());
    let token = if is_token { token } else { "0" };
    let (operators_only, fields, token) =
        (flags.contains('o'), fields.map(str::to_string), token.to_string());
    let asked = Asked { operators_only, fields, token };
    let channel = turn.network().channel_called(mask);
    if !channel.is_some_and(|channel| channel.has(turn.me())) && turn.network().user_called(mask).is_none() {
        turn.search("WHO")?;
    }
    let (mask, mut after) = (mask.to_string(), None);
    turn.reply_in_slices(move |turn| {
        let (lines, last) = match mask.as_str() {
            // There is nothing to say of anybody, and plain WHO is not what was asked for.
            _ if asked.is_for_nothing() => (Vec::new(), None),
            name if ChannelName::looks_like(name) => of_channel(turn, name, &asked, after),
            mask => of_mask(turn, mask, &asked, after),
        };
        after = last;
        turn.reply_all(lines);
        if after.is_none() {
            turn.reply(numeric::end_of_who(Word::echo(&mask)));
        }
        after.is_none()
    });
    Ok(())
}

/// Where a slice ends that begins with these: behind none of them if they are the last.
fn end_of(turn: &Turn, ids: &[UserId]) -> Option<UserId> {
    ids.last().copied().filter(|_| ids.len() == turn.slice())
}

fn of_channel(turn: &Turn, name: &str, asked: &Asked, after: Option<UserId>) -> Found {
    let channel = turn.network().channel_called(name).filter(|channel| sight::sees_channel(turn, channel));
    let Some(channel) = channel else { return (Vec::new(), None) };
    let ids: Vec<UserId> = channel.members_after(after).map(|(id, _)| id).take(turn.slice()).collect();
    let people = ids.iter().filter_map(|id| Some((turn.network().user(*id)?, channel.status(*id))));
    let people = people.filter(|(user, _)| sight::sees_member(turn, channel, user));
    // Members find whom they see there.
    let is_member = channel.has(turn.me());
    let people = people.filter(|(user, _)| is_member || sight::finds_user(turn, user));
    let people = people.filter(|(user, _)| asked.means(turn, user));
    let lines = people.map(|(user, status)| asked.line(turn, user, Some((channel, status))));
    (lines.collect(), end_of(turn, &ids))
}

fn of_mask(turn: &Turn, mask: &str, asked: &Asked, after: Option<UserId>) -> Found {
    let line = |user: &User| {
        let channel = shared_channel(turn, user);
        asked.line(turn, user, channel.map(|channel| (channel, channel.status(user.id))))
    };
    // Whoever knows the nick finds the person.
    if let Some(user) = turn.network().user_called(mask) {
        return (if asked.means(turn, user) { vec![line(user)] } else { Vec::new() }, None);
    }
    let mask = if mask == "0" || mask.is_empty() { "*" } else { mask };
    let fits = |user: &&User| {
        let server = turn.network().server_name(user.server());
        let fact = &user.fact;
        let texts = [user.nick.as_str(), &fact.username, &fact.host, server, &fact.realname];
        texts.iter().any(|text| glob_matches(mask, text))
    };
    let ids: Vec<UserId> = turn.network().users_after(after).map(|user| user.id).take(turn.slice()).collect();
    let people = ids.iter().filter_map(|id| turn.network().user(*id));
    let people = people.filter(|user| sight::finds_user(turn, user) && asked.means(turn, user));
    (people.filter(fits).map(line).collect(), end_of(turn, &ids))
}

/// A channel to show somebody on, where nobody asked for one: it must be no news to the asker.
fn shared_channel<'t>(turn: &'t Turn, user: &User) -> Option<&'t Channel> {
    let channels = user.channels.iter().filter_map(|name| turn.network().channel(name));
    channels
        .into_iter()
        .find(|channel| sight::is_shown_channel(turn, channel) && sight::sees_member(turn, channel, user))
}

impl Asked {
    fn is_for_nothing(&self) -> bool {
        let fields = self.fields.as_ref();
        fields.is_some_and(|fields| !fields.contains(|field| FIELDS.contains(field)))
    }

    fn means(&self, turn: &Turn, user: &User) -> bool {
        !self.operators_only || sight::sees_operator(turn, user)
    }

    /// Somebody, on a channel where there is one to show, and what they are on it.
    fn line(&self, turn: &Turn, user: &User, channel: Option<(&Channel, Letters)>) -> Numeric {
        let fact = &user.fact;
        let server = turn.network().server_name(user.server());
        let hops = turn.engine.routes.hops(user.server());
        let status = channel.map_or(Letters::NONE, |(_, status)| status);
        let channel = channel.map(|(channel, _)| &channel.name);
        let name = channel.map_or("*", ChannelName::as_str);
        let flags = flags(turn, user, status);
        let Some(fields) = &self.fields else {
            let texts = [name, &fact.username, &fact.host, server, &flags];
            let [name, username, host, server, flags] = texts.map(Echo::from);
            return numeric::who_reply(name, username, host, server, &user.nick, flags, hops, &fact.realname);
        };
        let word = |field: char| match field {
            't' => Word::echo(&self.token),
            'c' => channel.map_or(Word::echo("*"), Word::from),
            'u' => Word::echo(&fact.username),
            'i' => Word::echo(sight::shown_address(turn, user)),
            'h' => Word::echo(&fact.host),
            's' => Word::echo(server),
            'n' => Word::from(&user.nick),
            'f' => Word::echo(&flags),
            'd' => Word::echo(&hops.to_string()),
            'l' => Word::echo(&self.idle_s(turn, user).to_string()),
            'a' => Word::echo(user.account.as_deref().unwrap_or("0")),
            // How high somebody is on the channel has no number here.
            _ => Word::echo("n/a"),
        };
        let words =
            FIELDS.chars().filter(|field| *field != 'r' && fields.contains(*field)).map(word).collect();
        match fields.contains('r') {
            true => numeric::whox_reply_with_realname(&words, &fact.realname),
            false => numeric::whox_reply(&words),
        }
    }

    /// How long somebody has said nothing; not known of people on other servers.
    fn idle_s(&self, turn: &Turn, user: &User) -> u64 {
        turn.person_of(user.id).map_or(0, |person| person.idle_s(turn.now))
    }
}

/// H here or G gone, * operator, what they are on the channel, and B bot, in the order that clients read them in.
fn flags(turn: &Turn, user: &User, status: Letters) -> String {
    let mut flags = String::with_capacity(8);
    flags.push(if user.fact.away.is_some() { 'G' } else { 'H' });
    if sight::sees_operator(turn, user) {
        flags.push('*');
    }
    flags.push_str(&turn.signs(status));
    if user.has_mode('B') {
        flags.push('B');
    }
    flags
}
