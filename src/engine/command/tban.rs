//! TBAN: bans from a channel that end by themselves.

use super::{Command, Who, duration};
use crate::engine::Engine;
use crate::engine::network::{Channel, Edit, MaskFact};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::engine::{extban, policy};
use crate::wire::names::Word;
use crate::wire::numeric;
use crate::wire::standard::Standard;
use crate::wire::time::Timestamp;

pub const COMMANDS: &[Command] = &[Command {
    name: "TBAN",
    params_min: 1,
    who: Who::Registered,
    run: tban,
    usage: "<channel> [<duration> <entry>]",
    help: "Bans from a channel that you run for so many minutes, or so long as 90s, 12h or 7d; alone, it lists such bans and their ends.",
}];

/// So often it is looked for entries whose time is over.
const CHECK_EVERY_MS: u64 = 5_000;

fn tban(turn: &mut Turn, params: &[&str]) -> Outcome {
    let channel = turn.own_channel(params[0])?;
    policy::may_run(channel, turn.user())?;
    let [_, length, entry, ..] = params[..] else {
        return list(turn, params);
    };
    let seconds = match duration(length) {
        Some(Ok(seconds)) if seconds > 0 => seconds,
        Some(Err(why)) => return Err(refusal("INVALID_DURATION", length, why)),
        _ => return Err(refusal("INVALID_DURATION", length, "That is no duration, such as 90s, 12h or 7d")),
    };
    let entry = extban::normalise(entry).map_err(|why| {
        numeric::invalid_mode_param(&channel.name, Word::from('b'), Word::echo(entry), &why)
    })?;
    let known = channel.list('b').map(|(known, _)| known).find(|known| known.eq_ignore_ascii_case(&entry));
    if known.is_none() && policy::entries(channel) >= turn.config().limits.list_entries {
        return Err(numeric::ban_list_full(&channel.name, Word::echo(&entry)).into());
    }
    let mask = known.cloned().unwrap_or(entry);
    let (id, name, birth, by) = (channel.id(), channel.name.clone(), channel.birth, turn.prefix());
    let until = Timestamp(turn.now.wall.0 + 1000 * seconds);
    let fact = Some(MaskFact { by: by.clone(), at: turn.now.wall, until: Some(until) });
    let text = format!("{mask} is banned from {name} until {until}");
    turn.change(Edit::Mask { channel: id, birth, list: 'b', mask, fact, by });
    turn.notice(&text);
    Ok(())
}

fn list(turn: &mut Turn, params: &[&str]) -> Outcome {
    let channel = turn.own_channel(params[0])?;
    let timed = channel.list('b').filter_map(|(mask, fact)| Some((mask, fact, fact.until?)));
    let lines = timed.map(|(mask, fact, until)| {
        format!("{mask} is banned from {} until {until}, by {}", channel.name, fact.by)
    });
    let mut lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        lines.push(format!("No ban from {} ends by itself", channel.name));
    }
    lines.iter().for_each(|line| turn.notice(line));
    Ok(())
}

fn refusal(code: &'static str, about: &str, why: &str) -> Refusal {
    Standard::fail("TBAN", code, why).about(Word::echo(about)).into()
}

impl Engine {
    /// Takes entries of lists away whose time is over. One of those who can reach each other does so.
    pub(in crate::engine) fn remove_expired_entries(&mut self) {
        let (now_ms, now) = (self.now.steady_ms, self.now.wall);
        let is_mine = self.routes.reachable().min() == Some(self.identity.sid);
        if !is_mine || now_ms < self.entries_checked_ms + CHECK_EVERY_MS {
            return;
        }
        self.entries_checked_ms = now_ms;
        let by = self.identity.name.to_string();
        let mut edits = Vec::new();
        for (id, channel) in self.network.channels() {
            edits.extend(ended(channel, now).map(|(list, mask)| Edit::Mask {
                channel: id.clone(),
                birth: channel.birth,
                list,
                mask: mask.clone(),
                fact: None,
                by: by.clone(),
            }));
        }
        edits.into_iter().for_each(|edit| self.write(edit, false));
    }
}

/// Entries whose time is over, each with the letter of its list.
fn ended(channel: &Channel, now: Timestamp) -> impl Iterator<Item = (char, &String)> {
    let entries = channel.lists.iter().flat_map(|(list, entries)| entries.iter().map(|entry| (*list, entry)));
    let is_over = move |fact: &MaskFact| fact.until.is_some_and(|until| until <= now);
    entries.filter(move |(_, (_, fact))| is_over(fact)).map(|(list, (mask, _))| (list, mask))
}
