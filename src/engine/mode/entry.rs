//! What modes bar from joining, inviting, knocking and being called something else.

use super::channel::{Attempt, Case};
use super::is_at_least;
use crate::engine::extban::Sphere;
use crate::engine::policy;
use crate::wire::numeric::{self, Numeric};

pub fn bars_banned(case: &Case) -> Option<Numeric> {
    let (network, channel) = (case.network, case.channel);
    let is_banned = |user, sphere| policy::is_banned(network, channel, user, sphere);
    match case.attempt {
        Attempt::Join { user, .. } if is_banned(user, Sphere::Presence) => {
            Some(numeric::banned_from_channel(&channel.name))
        }
        Attempt::Knock { user } if is_banned(user, Sphere::Presence) => {
            Some(numeric::cannot_knock(&channel.name, 'b'))
        }
        // Who was given a status is not silenced by a ban that happens to match.
        Attempt::Speak { user, .. } if case.is_plain(user) && is_banned(user, Sphere::Speech) => {
            Some(numeric::cannot_send_to_channel(&channel.name))
        }
        Attempt::Rename { user, to } if case.is_plain(user) && is_banned(user, Sphere::Presence) => {
            Some(numeric::banned_nick_change(to, &channel.name))
        }
        _ => None,
    }
}

pub fn bars_keyless(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Join { key, is_invited: false, .. } if key != case.channel.mode_value('k') => {
            Some(numeric::bad_channel_key(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_when_full(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Join { is_invited: false, .. } if policy::is_full(case.channel) => {
            Some(numeric::channel_is_full(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_uninvited(case: &Case) -> Option<Numeric> {
    let channel = case.channel;
    match case.attempt {
        Attempt::Join { user, is_invited: false, .. }
            if !policy::is_listed(case.network, channel, 'I', user, Sphere::Presence) =>
        {
            Some(numeric::invite_only_channel(&channel.name))
        }
        Attempt::Invite { user } if !channel.has_mode('g') && !is_at_least(channel.status(user.id), 'h') => {
            Some(numeric::channel_operator_needed(&channel.name))
        }
        _ => None,
    }
}

pub fn bars_strangers(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Join { user, .. } if user.account.is_none() => {
            Some(numeric::account_needed_to_join(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_unencrypted(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Join { user, .. } if !user.fact.secure => {
            Some(numeric::secure_only_channel(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_all_but_operators(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Join { user, .. } if !user.is_operator() => {
            Some(numeric::operators_only_channel(&case.channel.name))
        }
        _ => None,
    }
}

pub fn bars_knocks(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Knock { .. } => Some(numeric::cannot_knock(&case.channel.name, 'K')),
        _ => None,
    }
}

pub fn bars_renames(case: &Case) -> Option<Numeric> {
    match case.attempt {
        Attempt::Rename { user, .. } if case.is_plain(user) => {
            Some(numeric::no_nick_change(&case.channel.name))
        }
        _ => None,
    }
}
