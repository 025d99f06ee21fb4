//! May this person do that here? Bans, modes and ranks.

use super::extban::{self, Sphere};
use super::mode::{self, Attempt, CHANNEL_MODES, Case, Kind};
use super::network::{Channel, Network, User, Verb};
use super::turn::Refusal;
use crate::wire::letters::Letters;
use crate::wire::names::Nick;
use crate::wire::numeric::{self, Numeric};

/// Asks every mode that is set on the channel.
pub fn allows(network: &Network, channel: &Channel, attempt: Attempt) -> Result<(), Refusal> {
    let case = Case { network, channel, attempt };
    match barred(&case).next() {
        Some((_, numeric)) => Err(numeric.into()),
        None => Ok(()),
    }
}

/// Whether somebody may say that on a channel; and what one has to be to hear it, where it is kept from everyone else.
pub fn may_speak(
    network: &Network,
    channel: &Channel,
    user: &User,
    verb: Verb,
    text: &str,
) -> Result<Option<char>, Refusal> {
    let case = Case { network, channel, attempt: Attempt::Speak { user, verb, text } };
    let Some((_, numeric)) = barred(&case).next() else { return Ok(None) };
    let is_for_operators =
        channel.has_mode('U') && barred(&case).all(|(letter, _)| mode::is_moderation(letter));
    if is_for_operators { Ok(Some('h')) } else { Err(numeric.into()) }
}

/// The modes that are set and bar somebody, and what they are told.
fn barred<'c>(case: &'c Case) -> impl Iterator<Item = (char, Numeric)> + use<'c> {
    let channel = case.channel;
    let set: Letters = channel.modes.keys().chain(channel.lists.keys()).copied().collect();
    let modes = CHANNEL_MODES.iter().filter(move |mode| set.has(mode.letter));
    modes.filter_map(|mode| Some((mode.letter, (mode.bars)(case)?)))
}

/// Nobody slips out of a ban by another nick.
pub fn may_rename(network: &Network, user: &User, to: &Nick) -> Result<(), Refusal> {
    let mut channels = user.channels.iter().filter_map(|name| network.channel(name));
    channels.try_for_each(|channel| allows(network, channel, Attempt::Rename { user, to }))
}

/// Whether an entry of a list means somebody, and holds them back from that.
pub fn is_listed(network: &Network, channel: &Channel, list: char, user: &User, from: Sphere) -> bool {
    channel.list(list).any(|(entry, _)| extban::holds(network, user, entry, from))
}

/// How many entries all lists of a channel have together.
pub fn entries(channel: &Channel) -> usize {
    mode::channel_letters(Kind::List).chars().map(|list| channel.list(list).count()).sum()
}

pub fn is_banned(network: &Network, channel: &Channel, user: &User, from: Sphere) -> bool {
    let is_listed = |list| is_listed(network, channel, list, user, from);
    is_listed('b') && !is_listed('e')
}

/// Whether there are as many members as there may be.
pub fn is_full(channel: &Channel) -> bool {
    let limit = channel.mode_value('l').and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    channel.members_count() >= limit
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
/// that is how a channel gets its first owner. One that is registered has an owner, present or not.
pub fn may_give(channel: &Channel, user: &User, letter: char) -> Result<(), Refusal> {
    let given_by = mode::status(letter).map_or('q', |status| status.given_by);
    let is_above = |status: Letters| mode::is_at_least(status, given_by);
    let own = channel.status(user.id);
    let is_open = !channel.is_registered
        && mode::is_at_least(own, 'o')
        && !channel.members().any(|(_, member)| is_above(member.status));
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
