//! May this person do that here? Bans, modes and ranks.

use super::mode::{self, Attempt, CHANNEL_MODES};
use super::network::{Channel, Network, User};
use super::turn::Refusal;
use crate::wire::letters::Letters;
use crate::wire::mask::glob_matches;
use crate::wire::names::Nick;
use crate::wire::numeric;

/// Asks every mode that is set on the channel.
pub fn allows(channel: &Channel, attempt: Attempt) -> Result<(), Refusal> {
    let is_set = |letter| channel.has_mode(letter) || channel.list(letter).next().is_some();
    let barred = CHANNEL_MODES.iter().filter(|mode| is_set(mode.letter));
    match barred.filter_map(|mode| (mode.bars)(channel, &attempt)).next() {
        Some(numeric) => Err(numeric.into()),
        None => Ok(()),
    }
}

/// Nobody slips out of a ban by another nick.
pub fn may_rename(network: &Network, user: &User, to: &Nick) -> Result<(), Refusal> {
    let channels = user.channels.iter().filter_map(|name| network.channel(name));
    channels.into_iter().try_for_each(|channel| allows(channel, Attempt::Rename { user, to }))
}

/// Whether somebody matches a list of masks, by the host that is shown or by the real address.
pub fn is_listed(channel: &Channel, list: char, user: &User) -> bool {
    let mut entries = channel.list(list).peekable();
    if entries.peek().is_none() {
        return false;
    }
    let shown = user.prefix();
    let real = format!("{}!{}@{}", user.nick, user.fact.username, user.fact.address);
    entries.any(|(mask, _)| glob_matches(mask, &shown) || glob_matches(mask, &real))
}

pub fn is_banned(channel: &Channel, user: &User) -> bool {
    is_listed(channel, 'b', user) && !is_listed(channel, 'e', user)
}

/// Whether somebody runs a channel: sets its modes, edits its lists, kicks.
pub fn may_run(channel: &Channel, user: &User) -> Result<(), Refusal> {
    match mode::is_at_least(channel.status(user.id), 'h') {
        true => Ok(()),
        false => Err(numeric::channel_operator_needed(&channel.name).into()),
    }
}

/// Whether somebody may take a member off a channel: nobody is kicked from below.
pub fn may_kick(channel: &Channel, user: &User, member: &User) -> Result<(), Refusal> {
    may_run(channel, user)?;
    match mode::rank(channel.status(user.id)) >= mode::rank(channel.status(member.id)) {
        true => Ok(()),
        false => Err(numeric::channel_operator_needed(&channel.name).into()),
    }
}

/// Whether somebody may give a status to a member. Where nobody is present who could, an operator can:
/// that is how a channel gets its first owner.
pub fn may_give(channel: &Channel, user: &User, letter: char) -> Result<(), Refusal> {
    let given_by = mode::status(letter).map_or('q', |status| status.given_by);
    let is_above = |status: Letters| mode::is_at_least(status, given_by);
    let own = channel.status(user.id);
    let is_open =
        mode::is_at_least(own, 'o') && !channel.members().any(|(_, member)| is_above(member.status));
    match is_above(own) || is_open {
        true => Ok(()),
        false => Err(numeric::channel_operator_needed(&channel.name).into()),
    }
}

/// Whether somebody may take a status from a member; everyone may step down.
pub fn may_take(channel: &Channel, user: &User, member: &User, letter: char) -> Result<(), Refusal> {
    if user.id == member.id {
        return Ok(());
    }
    may_give(channel, user, letter)?;
    match mode::rank(channel.status(user.id)) >= mode::rank(channel.status(member.id)) {
        true => Ok(()),
        false => Err(numeric::channel_operator_needed(&channel.name).into()),
    }
}
