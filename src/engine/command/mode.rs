//! MODE and SAMODE: what a channel and a user are set to.

use super::{Command, Who};
use crate::engine::mode::{self, Kind, Lock, USER_MODES};
use crate::engine::network::{Channel, Edit, Item, MaskFact, Setting, StatusFact};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::engine::{extban, policy, sight};
use crate::wire::fold::Folded;
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, Word};
use crate::wire::numeric::{self, Words};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "MODE",
        params_min: 1,
        who: Who::Registered,
        run: mode,
        usage: "<channel> [<letters> [<parameter>...]] | <nick> [<letters>]",
        help: "Shows the modes of a channel or of yourself, or sets them: + and letters to set, - and letters to unset.",
    },
    Command {
        name: "SAMODE",
        params_min: 2,
        who: Who::Operator("force"),
        run: samode,
        usage: "<channel> <letters> [<parameter>...]",
        help: "Sets a channel's modes as its owner could, on it or not.",
    },
];

/// In whose right modes are set: somebody's on the channel, or an operator's over all channels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    OnChannel,
    Operator,
}

fn mode(turn: &mut Turn, params: &[&str]) -> Outcome {
    if ChannelName::looks_like(params[0]) {
        return channel_mode(turn, params, Right::OnChannel);
    }
    let user = turn.user_called(params[0])?;
    if user.id != turn.me() {
        return Err(numeric::users_dont_match().into());
    }
    match params.get(1) {
        Some(letters) => set_user_modes(turn, letters, &params[2..]),
        None => {
            let modes = format!("+{}", turn.user().fact.modes);
            turn.reply(numeric::user_mode_is(&Words::from(modes.as_str())));
            turn.show_topics();
        }
    }
    Ok(())
}

// Users.

fn set_user_modes(turn: &mut Turn, letters: &str, params: &[&str]) {
    let before = turn.user().fact.modes;
    let (mut modes, mut on, mut has_unknown) = (before, true, false);
    let (mut params, mut has_chosen, mut is_refused) = (params.iter().copied(), false, false);
    for letter in letters.chars() {
        match letter {
            '+' => on = true,
            '-' => on = false,
            'H' | 's' if on && !modes.has('o') => is_refused = true,
            's' => {
                let topics = if on { params.next() } else { Some("-*") };
                if let Err(refusal) = turn.follow(topics) {
                    turn.refuse(refusal);
                }
                modes = modes.set('s', !turn.session().topics.is_empty());
                has_chosen = true;
            }
            'H' => modes = modes.set('H', on),
            _ => match USER_MODES.iter().find(|mode| mode.letter == letter) {
                Some(mode) if mode.is_free || !on => modes = modes.set(letter, on),
                // Nobody makes themselves an operator this way; as everywhere, it is passed over.
                Some(_) => {}
                None => has_unknown = true,
            },
        }
    }
    if modes != before {
        turn.change_me(|fact| {
            fact.modes = modes;
            if modes.has('x') != before.has('x') {
                fact.host = match &fact.cloak {
                    Some(cloak) if modes.has('x') => cloak.clone(),
                    _ => fact.real_host().to_string(),
                };
            }
            if !modes.has('o') {
                fact.resign();
            }
        });
    }
    if before.has('o') && !modes.has('o') {
        turn.record('o', &format!("{} is no operator any more", turn.prefix()), None);
        turn.engine.sessions.set_topics(turn.conn, Letters::NONE);
    }
    if is_refused {
        turn.reply(numeric::no_privileges());
    }
    if has_chosen {
        turn.show_topics();
    }
    if has_unknown {
        turn.reply(numeric::unknown_user_mode());
    }
}

// Channels.

fn channel_mode(turn: &mut Turn, params: &[&str], right: Right) -> Outcome {
    let channel = turn.channel(params[0])?.clone();
    if right == Right::OnChannel && !sight::sees_channel(turn, &channel) {
        return Err(numeric::not_on_channel(&channel.name).into());
    }
    let Some(letters) = params.get(1) else {
        show(turn, &channel);
        return Ok(());
    };
    let mut act = Act::new(&channel, right);
    let mut words = params[2..].iter().copied();
    let mut on = true;
    for letter in letters.chars() {
        let outcome = match letter {
            '+' | '-' => {
                on = letter == '+';
                Ok(())
            }
            _ if mode::status(letter).is_some() => act.status(turn, on, letter, words.next()),
            _ => match mode::channel_mode(letter).map(|mode| mode.kind) {
                Some(Kind::List) => act.list(turn, on, letter, words.next()),
                Some(Kind::Key) => act.key(turn, on, words.next()),
                Some(Kind::Limit) if on => act.value(turn, letter, words.next()),
                Some(Kind::Limit) | Some(Kind::Flag) => act.flag(turn, on, letter),
                None => Err(numeric::unknown_mode(Word::from(letter)).into()),
            },
        };
        if let Err(refusal) = outcome {
            act.refuse(turn, refusal);
        }
    }
    turn.change_all(act.edits);
    Ok(())
}

fn samode(turn: &mut Turn, params: &[&str]) -> Outcome {
    let name = turn.channel(params[0])?.name.clone();
    // Without the values: a key is not for the log.
    turn.record('v', &format!("{} sets {} on {name} by SAMODE", turn.prefix(), Word::echo(params[1])), None);
    channel_mode(turn, params, Right::Operator)?;
    // Whoever is on the channel hears what was set as everyone there does.
    match turn.channel(params[0])?.has(turn.me()) {
        true => Ok(()),
        false => channel_mode(turn, &params[..1], Right::Operator),
    }
}

/// 324 and 329. The key is for members only.
pub fn show(turn: &mut Turn, channel: &Channel) {
    // What has come in parts, the last of which is on its way, would never be told after this.
    turn.engine.tell_held_modes();
    let is_member = channel.has(turn.me());
    let mut letters = "+".to_string();
    let mut values = String::new();
    for (letter, value) in &channel.modes {
        letters.push(*letter);
        if let Some(value) = value {
            values.push(' ');
            values.push_str(if *letter == 'k' && !is_member { "*" } else { value });
        }
    }
    turn.reply(numeric::channel_mode_is(&channel.name, &Words::from((letters + &values).as_str())));
    turn.reply(numeric::creation_time(&channel.name, channel.birth.time().seconds()));
}

/// One MODE, letter by letter: what it comes to, seen together, and told as one line.
struct Act<'c> {
    channel: &'c Channel,
    right: Right,
    id: Folded,
    edits: Vec<Edit>,
    with_value: usize,
    refused: Vec<String>,
    shown: Letters,
}

impl Act<'_> {
    fn new(channel: &Channel, right: Right) -> Act<'_> {
        let id = channel.id();
        let (edits, refused) = (Vec::new(), Vec::new());
        Act { channel, right, id, edits, with_value: 0, refused, shown: Letters::NONE }
    }

    /// Who acts as an operator of the network may do whatever a channel's owner may.
    fn permit(&self, may: impl FnOnce() -> Outcome) -> Outcome {
        if self.right == Right::Operator { Ok(()) } else { may() }
    }

    /// Says each refusal once, however many letters it is for.
    fn refuse(&mut self, turn: &mut Turn, refusal: Refusal) {
        let words = format!("{refusal:?}");
        if !self.refused.contains(&words) {
            self.refused.push(words);
            turn.refuse(refusal);
        }
    }

    /// Whether one more letter with a parameter is within the limit; further ones are passed over.
    fn counts(&mut self, turn: &Turn) -> bool {
        self.with_value += 1;
        self.with_value <= turn.config().limits.modes_per_line
    }

    fn set(&mut self, turn: &Turn, letter: char, value: Option<Setting>) -> Outcome {
        let lock = turn.network().registrations().get(&self.id).map(Lock::of).unwrap_or_default();
        // Also of whoever acts as an operator: what they set would not hold.
        if !lock.permits(letter, value.as_ref()) {
            let locked = lock.letters();
            return Err(numeric::mode_is_locked(&self.channel.name, Word::from(letter), &locked).into());
        }
        let item = Item::Mode(letter);
        // The last word on a letter counts, as if the earlier ones had not been said.
        self.edits.retain(|edit| !matches!(edit, Edit::Setting { item: other, .. } if *other == item));
        if value != self.channel.setting(letter) {
            let (channel, birth, by) = (self.id.clone(), self.channel.birth, turn.prefix());
            self.edits.push(Edit::Setting { channel, birth, item, value, by });
        }
        Ok(())
    }

    fn flag(&mut self, turn: &Turn, on: bool, letter: char) -> Outcome {
        self.permit(|| policy::may_run(self.channel, turn.user()))?;
        if letter == 'O' && on && !turn.is_operator() {
            return Err(numeric::no_privileges().into());
        }
        self.set(turn, letter, on.then_some(Setting::On))
    }

    fn key(&mut self, turn: &Turn, on: bool, key: Option<&str>) -> Outcome {
        self.permit(|| policy::may_run(self.channel, turn.user()))?;
        if !on {
            return self.set(turn, 'k', None);
        }
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Err(self.lacks_value('k', "You must give a key"));
        };
        let is_fit = key.len() <= turn.config().limits.key_length
            && !key.starts_with(':')
            && key.chars().all(|c| c != ' ' && c != ',' && !c.is_control());
        if !is_fit {
            // A key is not repeated, not even one that is none.
            return Err(self.bad_value('k', "*", "That is no key, or too long"));
        }
        if self.counts(turn) {
            self.set(turn, 'k', Some(Setting::Value(key.to_string())))?;
        }
        Ok(())
    }

    fn value(&mut self, turn: &Turn, letter: char, value: Option<&str>) -> Outcome {
        self.permit(|| policy::may_run(self.channel, turn.user()))?;
        let mode = mode::channel_mode(letter).expect("only modes that there are have values");
        let Some(text) = value.filter(|value| !value.is_empty()) else {
            return Err(self.lacks_value(letter, "You must give a value"));
        };
        let value = (mode.value)(text).map_err(|why| self.bad_value(letter, text, why))?;
        if letter == 'L' {
            self.may_forward_to(turn, &value)?;
        }
        if self.counts(turn) {
            self.set(turn, letter, Some(Setting::Value(value)))?;
        }
        Ok(())
    }

    /// Nobody sends people to a channel that they do not run.
    fn may_forward_to(&self, turn: &Turn, to: &str) -> Outcome {
        let other = turn.channel(to)?;
        if other.id() == self.id {
            return Err(self.bad_value('L', to, "That is this channel itself"));
        }
        self.permit(|| policy::may_run(other, turn.user()))
    }

    fn list(&mut self, turn: &mut Turn, on: bool, letter: char, mask: Option<&str>) -> Outcome {
        let Some(text) = mask.filter(|mask| !mask.is_empty()) else {
            return self.show_list(turn, letter);
        };
        self.permit(|| policy::may_run(self.channel, turn.user()))?;
        let mask = match extban::normalise(text) {
            Ok(mask) => mask,
            Err(why) => return Err(self.bad_value(letter, text, &why)),
        };
        if !self.counts(turn) {
            return Ok(());
        }
        let mut known = self.channel.list(letter).map(|(known, _)| known);
        let present = known.find(|known| known.eq_ignore_ascii_case(&mask));
        if on == present.is_some() {
            return Ok(());
        }
        if on && self.entries() >= turn.config().limits.list_entries {
            return Err(numeric::ban_list_full(&self.channel.name, Word::echo(&mask)).into());
        }
        let mask = present.cloned().unwrap_or(mask);
        let by = turn.prefix();
        let fact = on.then(|| MaskFact { by: by.clone(), at: turn.now.wall, until: None });
        let (channel, birth) = (self.id.clone(), self.channel.birth);
        self.edits.push(Edit::Mask { channel, birth, list: letter, mask, fact, by });
        Ok(())
    }

    /// How many masks there will be on all lists together.
    fn entries(&self) -> usize {
        let present = policy::entries(self.channel);
        let is_added = |edit: &&Edit| matches!(edit, Edit::Mask { fact: Some(_), .. });
        let is_removed = |edit: &&Edit| matches!(edit, Edit::Mask { fact: None, .. });
        let (added, removed) =
            (self.edits.iter().filter(is_added).count(), self.edits.iter().filter(is_removed).count());
        (present + added).saturating_sub(removed)
    }

    fn show_list(&mut self, turn: &mut Turn, letter: char) -> Outcome {
        if letter != 'b' {
            self.permit(|| policy::may_run(self.channel, turn.user()))?;
        }
        if self.shown.has(letter) {
            return Ok(());
        }
        self.shown = self.shown.with(letter);
        let name = &self.channel.name;
        for (mask, fact) in self.channel.list(letter) {
            let (mask, at) = (Word::echo(mask), fact.at.seconds());
            let entry = |by: &str| match letter {
                'b' => numeric::ban_list(name, &mask, Word::echo(by), at),
                'e' => numeric::exception_list(name, &mask, Word::echo(by), at),
                _ => numeric::invite_exception_list(name, &mask, Word::echo(by), at),
            };
            // Rather less of who set it than nothing of when.
            let nick = fact.by.split('!').next().unwrap_or_default();
            let whole = Some(entry(&fact.by)).filter(|whole| turn.fits(whole));
            turn.reply(whole.unwrap_or_else(|| entry(nick)));
        }
        turn.reply(match letter {
            'b' => numeric::end_of_ban_list(name),
            'e' => numeric::end_of_exception_list(name),
            _ => numeric::end_of_invite_exception_list(name),
        });
        Ok(())
    }

    fn status(&mut self, turn: &Turn, on: bool, letter: char, nick: Option<&str>) -> Outcome {
        let Some(nick) = nick.filter(|nick| !nick.is_empty()) else {
            return Err(self.lacks_value(letter, "You must name a member"));
        };
        let user = turn.user_called(nick)?;
        let Some(member) = self.channel.member(user.id) else {
            return Err(numeric::user_not_in_channel(&user.nick, &self.channel.name).into());
        };
        self.permit(|| match on {
            true => policy::may_give(self.channel, turn.user(), letter),
            false => policy::may_take(self.channel, turn.user(), user, letter),
        })?;
        if !self.counts(turn) {
            return Ok(());
        }
        let (channel, birth, by) = (self.id.clone(), self.channel.birth, turn.prefix());
        let is_same = |edit: &Edit| matches!(edit, Edit::Status { user: other, letter: of, .. } if (*other, *of) == (user.id, letter));
        self.edits.retain(|edit| !is_same(edit));
        if member.status.has(letter) != on {
            let fact = StatusFact { on, joined: member.fact.joined };
            self.edits.push(Edit::Status { channel, birth, user: user.id, letter, fact, by });
        }
        Ok(())
    }

    fn lacks_value(&self, letter: char, why: &str) -> Refusal {
        self.bad_value(letter, "*", why)
    }

    fn bad_value(&self, letter: char, value: &str, why: &str) -> Refusal {
        let (letter, value) = (Word::from(letter), Word::echo(value));
        numeric::invalid_mode_param(&self.channel.name, letter, value, why).into()
    }
}
