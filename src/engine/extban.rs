//! Extended bans: entries of lists that mean people by other things than nick, user name and host, one row each.
//!
//! `~account:bob` and `~a:bob` are the same, `~!account:*` means everyone else, `~mute:~account:bob` keeps bob from
//! speaking and not from being there, and `~all:~tls,*!*@*.lan` means those for whom all of it holds.

use super::mode;
use super::network::{Network, User};
use crate::wire::mask::{Mask, glob_matches};
use crate::wire::names::ChannelName;

/// What stands in front of each, so that it is told from a mask.
const SIGN: char = '~';

/// The longest entry that fits on a line beside everything else.
const ENTRY_BYTES_MAX: usize = 160;

/// How deep entries stand within each other: `~mute:~all:~!account:*,…` needs three.
const DEPTH_MAX: usize = 4;

/// One kind of extended ban.
pub struct Extban {
    pub letter: char,
    /// As it is written down; other names for it stand behind.
    pub names: &'static [&'static str],
    kind: Kind,
    pub help: &'static str,
}

/// What follows the name, and what it means.
#[derive(Clone, Copy)]
enum Kind {
    /// Nothing does.
    Bare(fn(&User) -> bool),
    /// A pattern: made fit, or refused, by the first; held against people by the second.
    Valued(fn(&str) -> Option<String>, fn(&Network, &User, &str) -> bool),
    /// Entries between commas, all of which have to match.
    All,
    /// An entry that bars its people from speaking only.
    Mute,
}

pub const EXTBANS: &[Extban] = &[
    Extban {
        letter: 'a',
        names: &["account"],
        kind: Kind::Valued(any_pattern, has_account),
        help: "~account:<pattern>: who is logged in to such an account; * for any, 0 for none.",
    },
    Extban {
        letter: 'A',
        names: &["all"],
        kind: Kind::All,
        help: "~all:<entry>,<entry>: whom every one of them means.",
    },
    Extban {
        letter: 'c',
        names: &["channel"],
        kind: Kind::Valued(channel_pattern, is_on_channel),
        help: "~channel:[<sign>]<channel>: who is on that channel, or is at least that there.",
    },
    Extban {
        letter: 'm',
        names: &["mute", "quiet"],
        kind: Kind::Mute,
        help: "~mute:<entry>: whom it means may be there, and not speak.",
    },
    Extban {
        letter: 'O',
        names: &["operator"],
        kind: Kind::Bare(User::is_operator),
        help: "~operator: operators of the network.",
    },
    Extban {
        letter: 'r',
        names: &["realname"],
        kind: Kind::Valued(any_pattern, has_realname),
        help: "~realname:<pattern>: who has such a real name; _ and ? also stand for a space.",
    },
    Extban {
        letter: 's',
        names: &["server"],
        kind: Kind::Valued(any_pattern, is_on_server),
        help: "~server:<pattern>: who is connected to such a server.",
    },
    Extban {
        letter: 'z',
        names: &["tls", "secure"],
        kind: Kind::Bare(|user| user.fact.secure),
        help: "~tls: who is connected by TLS; ~!tls: who is not.",
    },
];

/// The row that bans by account, for ACCOUNTEXTBAN.
pub const BY_ACCOUNT: &Extban = &EXTBANS[0];

/// The value of EXTBAN: the sign, and every letter.
pub fn isupport() -> String {
    let letters: String = EXTBANS.iter().map(|row| row.letter).collect();
    format!("{SIGN},{letters}")
}

fn find(name: &str) -> Option<&'static Extban> {
    let mut letters = name.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    let is_called = |row: &&Extban| row.names.iter().any(|known| known.eq_ignore_ascii_case(name));
    EXTBANS.iter().find(|row| Some(row.letter) == letter || is_called(row))
}

/// What somebody is held back from by an entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sphere {
    /// Being there: joining, and being called something else there.
    Presence,
    /// Speaking: whoever may not be there may not do that either.
    Speech,
}

/// An entry with `~` in front, taken apart; not so `~bob@host`, which is a mask of people whose name nobody vouches for.
fn parts(entry: &str) -> Option<(bool, &str, Option<&str>)> {
    let rest = entry.strip_prefix(SIGN)?;
    let (is_negated, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
    let (name, value) = rest.split_once(':').map_or((rest, None), |(name, value)| (name, Some(value)));
    (!name.contains(['!', '@', '.', '*', '?'])).then_some((is_negated, name, value))
}

/// Makes an entry of a list what is written down for it: names in full and small letters, masks completed. The fault
/// is a sentence for whoever wrote it.
pub fn normalise(text: &str) -> Result<String, String> {
    let no_entry = || "That is no mask, or too long".to_string();
    normalise_within(text, 0)
        .and_then(|entry| (entry.len() <= ENTRY_BYTES_MAX).then_some(entry).ok_or_else(no_entry))
}

fn normalise_within(text: &str, depth: usize) -> Result<String, String> {
    let no_mask = || "That is no mask, or too long".to_string();
    let Some((is_negated, name, value)) = parts(text) else {
        return Mask::complete(text).map(|mask| mask.to_string()).ok_or_else(no_mask);
    };
    let Some(row) = find(name) else {
        let known: Vec<String> = EXTBANS.iter().map(|row| format!("~{}", row.names[0])).collect();
        return Err(format!("There is no ~{name}; there are {}", known.join(" ")));
    };
    if depth >= DEPTH_MAX {
        return Err("Too many entries stand within each other".to_string());
    }
    let value = value.filter(|value| !value.is_empty());
    let needs_value = || format!("It is written {}", row.help.split(": ").next().unwrap_or_default());
    let value = match (row.kind, value) {
        (Kind::Bare(_), None) => None,
        (Kind::Bare(_), Some(_)) => return Err(format!("~{} takes no value", row.names[0])),
        (_, None) => return Err(needs_value()),
        (Kind::Valued(tidy, _), Some(value)) => Some(tidy(value).ok_or_else(needs_value)?),
        (Kind::Mute, Some(_)) if is_negated || depth > 0 => {
            return Err("~mute stands in front of everything else, and has no opposite".to_string());
        }
        (Kind::Mute, Some(value)) => Some(normalise_within(value, depth + 1)?),
        (Kind::All, Some(value)) => {
            let entries = value.split(',').filter(|entry| !entry.is_empty());
            let entries: Result<Vec<String>, String> =
                entries.map(|entry| normalise_within(entry, depth + 1)).collect();
            Some(entries?.join(","))
        }
    };
    let (sign, name) = (if is_negated { "!" } else { "" }, row.names[0]);
    Ok(match value {
        Some(value) => format!("{SIGN}{sign}{name}:{value}"),
        None => format!("{SIGN}{sign}{name}"),
    })
}

/// Whether an entry means somebody, and holds them back from that.
pub fn holds(network: &Network, user: &User, entry: &str, from: Sphere) -> bool {
    match parts(entry).and_then(|(_, name, value)| Some((find(name)?.kind, value?))) {
        Some((Kind::Mute, muted)) => from == Sphere::Speech && means(network, user, muted, 1),
        _ => means(network, user, entry, 0),
    }
}

/// Whether an entry means somebody. What was written by a newer server and is not known here means nobody.
fn means(network: &Network, user: &User, entry: &str, depth: usize) -> bool {
    let Some((is_negated, name, value)) = parts(entry) else { return is_masked(user, entry) };
    let Some(row) = find(name).filter(|_| depth < DEPTH_MAX) else { return false };
    let value = value.unwrap_or_default();
    let is_meant = match row.kind {
        Kind::Bare(is_so) => is_so(user),
        Kind::Valued(_, is_so) => is_so(network, user, value),
        Kind::All => value.split(',').all(|entry| means(network, user, entry, depth + 1)),
        Kind::Mute => return false,
    };
    is_meant != is_negated
}

/// By the host that is shown or by what that may hide.
fn is_masked(user: &User, mask: &str) -> bool {
    user.all_prefixes().any(|known_as| glob_matches(mask, &known_as))
}

fn any_pattern(value: &str) -> Option<String> {
    let fit: String = value.chars().filter(|c| !c.is_control() && *c != ' ').collect();
    (!fit.is_empty()).then_some(fit)
}

fn has_account(_: &Network, user: &User, pattern: &str) -> bool {
    match &user.account {
        Some(account) => glob_matches(pattern, account),
        None => pattern == "0",
    }
}

fn has_realname(_: &Network, user: &User, pattern: &str) -> bool {
    let realname = &user.fact.realname;
    glob_matches(pattern, realname) || glob_matches(pattern, &realname.replace(' ', "_"))
}

fn is_on_server(network: &Network, user: &User, pattern: &str) -> bool {
    glob_matches(pattern, network.server_name(user.server()))
}

fn channel_pattern(value: &str) -> Option<String> {
    let name = value.trim_start_matches(|c| mode::status_of_sign(c).is_some());
    let is_fit = ChannelName::from_peer(name).is_some() && value.len() - name.len() <= 1;
    is_fit.then(|| value.to_ascii_lowercase())
}

fn is_on_channel(network: &Network, user: &User, pattern: &str) -> bool {
    let sign = pattern.chars().next().and_then(mode::status_of_sign);
    let name = if sign.is_some() { &pattern[1..] } else { pattern };
    let member = network.channel_called(name).and_then(|channel| channel.member(user.id));
    member.is_some_and(|member| sign.is_none_or(|letter| mode::is_at_least(member.status, letter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::Stamp;
    use crate::engine::network::{Durable, Standing, Talk, UserFact};
    use crate::wire::letters::Letters;
    use crate::wire::names::{Nick, ServerId, UserId};
    use crate::wire::time::Timestamp;

    fn network() -> Network {
        let run = crate::engine::merge::Origin { server: ServerId::LOWEST, epoch: 0 };
        Network::new(ServerId::LOWEST, Durable::new(0, Default::default(), run), 0, Talk::new(0))
    }

    fn bob(account: Option<&str>, secure: bool) -> User {
        let nick = Nick::parse("bob", 30).unwrap();
        User {
            id: UserId::numbered(ServerId::LOWEST, 1),
            nick: nick.clone(),
            fact: UserFact {
                nick,
                claimed: Stamp { ms: 1, count: 0, server: ServerId::LOWEST },
                username: "b".into(),
                host: "farm.lan".into(),
                address: "10.0.0.7".into(),
                name: None,
                cloak: None,
                gateway: None,
                stands_for: None,
                realname: "Bob of the well".into(),
                account: None,
                away: None,
                modes: Letters::NONE,
                class: None,
                title: None,
                secure,
                certificate: None,
                signed_on: Timestamp(1),
            },
            account: account.map(str::to_string),
            standing: Standing::Present,
            channels: Default::default(),
            metadata: Default::default(),
        }
    }

    /// Proves: EXTBAN, ACCOUNTEXTBAN
    #[test]
    fn entries_are_written_down_in_one_way() {
        for (text, written) in [
            ("~A:~a:bob,~z", "~all:~account:bob,~tls"),
            ("~!ACCOUNT:Bob", "~!account:Bob"),
            ("~quiet:bob", "~mute:bob!*@*"),
            ("~m:~!r:*well*", "~mute:~!realname:*well*"),
            ("~channel:@#Green", "~channel:@#green"),
            ("~secure", "~tls"),
            ("~bob@host", "*!~bob@host"),
            ("bob", "bob!*@*"),
            ("~account:", ""),
            ("~account", ""),
            ("~tls:yes", ""),
            ("~channel:green", ""),
            ("~country:xx", ""),
            ("~!mute:bob", ""),
            ("~all:~mute:bob", ""),
            ("~all:~all:~all:~all:~tls", ""),
            ("~mute:", ""),
        ] {
            assert_eq!(normalise(text).unwrap_or_default(), written, "{text}");
        }
        for row in EXTBANS {
            assert!(row.help.starts_with(&format!("~{}", row.names[0])), "{}", row.help);
        }
    }

    /// Proves: EXTBAN, ACCOUNTEXTBAN
    #[test]
    fn entries_mean_people_by_what_is_known_of_them() {
        let (network, plain, known) = (network(), bob(None, false), bob(Some("Robert"), true));
        for (entry, means_plain, means_known) in [
            ("~account:robert", false, true),
            ("~account:rob*", false, true),
            ("~account:*", false, true),
            ("~account:0", true, false),
            ("~!account:*", true, false),
            ("~realname:*of_the_well", true, true),
            ("~realname:*of?the?well", true, true),
            ("~realname:bob", false, false),
            ("~tls", false, true),
            ("~!tls", true, false),
            ("~operator", false, false),
            ("~server:*", true, true),
            ("~server:barn.lan", false, false),
            ("~channel:#green", false, false),
            ("~all:~tls,*!*@farm.lan", false, true),
            ("~all:~tls,*!*@other.lan", false, false),
            ("~!all:~tls,*!*@farm.lan", true, false),
            ("*!*@10.0.0.*", true, true),
            // Of a newer server, perhaps.
            ("~country:xx", false, false),
            ("~!country:xx", false, false),
        ] {
            for (user, is_meant) in [(&plain, means_plain), (&known, means_known)] {
                assert_eq!(holds(&network, user, entry, Sphere::Presence), is_meant, "{entry}");
                let muted = format!("~mute:{entry}");
                assert!(!holds(&network, user, &muted, Sphere::Presence), "{muted}");
                assert_eq!(holds(&network, user, &muted, Sphere::Speech), is_meant, "{muted}");
            }
        }
    }
}
