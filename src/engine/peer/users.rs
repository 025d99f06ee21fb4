//! USER and QUIT: what a server says of its users.

use super::{EventMessage, or_star, unless_star};
use crate::engine::merge::Stamp;
use crate::engine::network::{AccountId, Edit, UserFact};
use crate::wire::letters::Letters;
use crate::wire::message::{Draft, Message, without_line_ends};
use crate::wire::names::{Nick, UserId};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[EventMessage] = &[
    EventMessage {
        name: "USER",
        params_min: 11,
        read: read_user,
        shape: "<uid> <nick> <claimed> <username> <host> <address> <+modes> <account> <class> <signed on, ms> :<real name>",
    },
    EventMessage { name: "QUIT", params_min: 2, read: read_quit, shape: "<uid> :<reason>" },
];

pub fn write_user(user: UserId, fact: &UserFact) -> Draft {
    let mut draft = Draft::new("USER");
    if let Some(away) = &fact.away {
        draft = draft.tag("away", away);
    }
    if let Some(title) = &fact.title {
        draft = draft.tag("title", title);
    }
    if fact.secure {
        draft = draft.tag("secure", "");
    }
    if let Some(certificate) = &fact.certificate {
        draft = draft.tag("certificate", &certificate.to_string());
    }
    for (tag, text) in [("name", &fact.name), ("cloak", &fact.cloak), ("gateway", &fact.gateway)] {
        if let Some(text) = text {
            draft = draft.tag(tag, text);
        }
    }
    if let Some(user) = fact.stands_for {
        draft = draft.tag("for", &user.to_string());
    }
    draft
        .param(user)
        .param(&fact.nick)
        .param(fact.claimed)
        .param(&fact.username)
        .param(&fact.host)
        .param(&fact.address)
        .param(format_args!("+{}", fact.modes))
        .param(fact.account.map_or("*".to_string(), |account| account.to_string()))
        .param(or_star(fact.class.as_deref().unwrap_or_default()))
        .param(fact.signed_on.0)
        .trailing(&fact.realname)
}

fn read_user(message: &Message) -> Option<Edit> {
    let [user, nick, claimed, username, host, address, modes, account, class, signed_on, realname, ..] =
        message.params[..]
    else {
        return None;
    };
    let named = |text: &str| Some(unless_star(text)).filter(|text| !text.is_empty()).map(str::to_string);
    let word_in = |tag| message.tags.get(tag).and_then(|host| source_part(&host));
    let fact = UserFact {
        nick: Nick::from_peer(nick)?,
        claimed: Stamp::parse(claimed)?,
        username: source_part(username)?,
        host: source_part(host)?,
        address: source_part(address)?,
        name: word_in("name"),
        cloak: word_in("cloak"),
        realname: realname.to_string(),
        account: AccountId::parse(account),
        away: message.tags.get("away").map(|away| without_line_ends(away.into_owned())),
        modes: Letters::parse(modes.strip_prefix('+')?)?,
        class: named(class),
        title: message.tags.get("title").map(|title| title.chars().filter(|c| !c.is_control()).collect()),
        secure: message.tags.get("secure").is_some(),
        certificate: message.tags.get("certificate").and_then(|pin| Pin::parse(&pin)).map(Box::new),
        gateway: word_in("gateway"),
        stands_for: message.tags.get("for").and_then(|user| UserId::parse(&user)),
        signed_on: Timestamp(signed_on.parse().ok()?),
    };
    Some(Edit::User { user: UserId::parse(user)?, fact })
}

/// A part of nick!user@host that cannot pass for another part or for several people, nor begin a trailing parameter.
fn source_part(text: &str) -> Option<String> {
    let fit = !text.is_empty()
        && text.len() <= 128
        && !text.starts_with(':')
        && !text.contains(['!', '@', ' ', ',']);
    fit.then(|| text.to_string())
}

fn read_quit(message: &Message) -> Option<Edit> {
    let [user, reason, ..] = message.params[..] else { return None };
    Some(Edit::Quit { user: UserId::parse(user)?, reason: reason.to_string() })
}
