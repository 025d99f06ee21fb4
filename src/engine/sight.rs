//! Who may see what of channels and people.

use super::network::{Channel, User};
use super::turn::Turn;

/// Whether the speaker may know that a channel exists: secret ones are for their members.
pub fn sees_channel(turn: &Turn, channel: &Channel) -> bool {
    !channel.has_mode('s') || channel.has(turn.me()) || turn.has_right("see-all")
}

/// Whether a channel is shown without being asked for by name, as in LIST and WHOIS.
pub fn is_shown_channel(turn: &Turn, channel: &Channel) -> bool {
    let is_hidden = channel.has_mode('s') || channel.has_mode('p');
    !is_hidden || channel.has(turn.me()) || turn.has_right("see-all")
}

/// Where somebody's connection really comes from, to whom it is shown; a stand-in to others.
pub fn shown_address<'u>(turn: &Turn, user: &'u User) -> &'u str {
    match user.id == turn.me() || turn.has_right("see-all") {
        true => &user.fact.address,
        false => "255.255.255.255",
    }
}

/// Whether the speaker may know that somebody is on a channel: some hide those without a status.
pub fn sees_member(turn: &Turn, channel: &Channel, user: &User) -> bool {
    // Most hide nobody, and of thousands each is asked about.
    !channel.veil().hides_anyone() || channel.lets_see(turn.me(), user.id) || turn.has_right("see-all")
}

/// Whether the speaker may know that somebody is an operator: of those who hide it, only operators do.
pub fn sees_operator(turn: &Turn, user: &User) -> bool {
    user.is_shown_operator() || user.is_operator() && turn.is_operator()
}

/// Whether the speaker finds a user without knowing the nick: invisible ones are for those who share a
/// channel with them.
pub fn finds_user(turn: &Turn, user: &User) -> bool {
    !user.has_mode('i')
        || user.id == turn.me()
        || turn.has_right("see-all")
        || user.channels.intersection(&turn.user().channels).any(|name| {
            turn.network().channel(name).is_some_and(|channel| channel.lets_see(turn.me(), user.id))
        })
}
