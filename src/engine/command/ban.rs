//! KLINE, DLINE, XLINE and their ends: who may not be on the network at all.

use super::{Command, Who};
use crate::engine::banish::until;
use crate::engine::network::{BanFact, BanKind, Edit};
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::cidr::Cidr;
use crate::wire::message::cut;
use crate::wire::names::Word;
use crate::wire::standard::Standard;
use crate::wire::time::Timestamp;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "KLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| set(turn, &KLINE, params),
        usage: "[<duration>] <user@host> [:<reason>]",
        help: "Bans people from the whole network by user@host, where the host may be an address or a network of addresses (10.0.0.0/8). The duration is in minutes, or as in 30s, 10m, 2h, 7d, 4w; without one, or with 0, for good.",
    },
    Command {
        name: "UNKLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| lift(turn, &UNKLINE, params),
        usage: "<user@host>",
        help: "Lifts a ban that was set with KLINE.",
    },
    Command {
        name: "DLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| set(turn, &DLINE, params),
        usage: "[<duration>] <address or network> [:<reason>]",
        help: "Bans an address, or a network of them (10.0.0.0/8), from the whole network: connections from there are closed at once. The duration is as for KLINE.",
    },
    Command {
        name: "UNDLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| lift(turn, &UNDLINE, params),
        usage: "<address or network>",
        help: "Lifts a ban that was set with DLINE.",
    },
    Command {
        name: "XLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| set(turn, &XLINE, params),
        usage: "[<duration>] <real name> [:<reason>]",
        help: "Bans people from the whole network by real name, with * and ?; a space is written \\s. The duration is as for KLINE.",
    },
    Command {
        name: "UNXLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| lift(turn, &UNXLINE, params),
        usage: "<real name>",
        help: "Lifts a ban that was set with XLINE.",
    },
    Command {
        name: "GLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| set(turn, &GLINE, params),
        usage: "[<duration>] <user@host> [:<reason>]",
        help: "Another name for KLINE: every ban is in force on the whole network.",
    },
    Command {
        name: "UNGLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| lift(turn, &UNGLINE, params),
        usage: "<user@host>",
        help: "Another name for UNKLINE.",
    },
    Command {
        name: "ZLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| set(turn, &ZLINE, params),
        usage: "[<duration>] <address or network> [:<reason>]",
        help: "Another name for DLINE.",
    },
    Command {
        name: "UNZLINE",
        params_min: 1,
        who: Who::Operator("ban"),
        run: |turn, params| lift(turn, &UNZLINE, params),
        usage: "<address or network>",
        help: "Another name for UNDLINE.",
    },
];

/// One of the commands above, and the kind of ban that it is about.
struct Line {
    command: &'static str,
    kind: BanKind,
}

const KLINE: Line = Line { command: "KLINE", kind: BanKind::UserHost };
const UNKLINE: Line = Line { command: "UNKLINE", kind: BanKind::UserHost };
const DLINE: Line = Line { command: "DLINE", kind: BanKind::Address };
const UNDLINE: Line = Line { command: "UNDLINE", kind: BanKind::Address };
const GLINE: Line = Line { command: "GLINE", kind: BanKind::UserHost };
const UNGLINE: Line = Line { command: "UNGLINE", kind: BanKind::UserHost };
const ZLINE: Line = Line { command: "ZLINE", kind: BanKind::Address };
const UNZLINE: Line = Line { command: "UNZLINE", kind: BanKind::Address };
const XLINE: Line = Line { command: "XLINE", kind: BanKind::Realname };
const UNXLINE: Line = Line { command: "UNXLINE", kind: BanKind::Realname };

/// Longer masks mean nobody.
const MASK_BYTES_MAX: usize = 160;

/// So much of a mask has to be no wildcard, lest it means everyone.
const TELLING_CHARS_MIN: usize = 4;

/// The widest networks that may be banned by address.
const IPV4_BITS_MIN: u8 = 8;
const IPV6_BITS_MIN: u8 = 24;

/// No ban lasts longer, unless it is for good: a hundred years.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;

fn set(turn: &mut Turn, line: &Line, params: &[&str]) -> Outcome {
    let (seconds, params) = match params {
        [first, rest @ ..] if !rest.is_empty() => match duration(first) {
            Some(Ok(seconds)) => (seconds, rest),
            Some(Err(why)) => return Err(refusal(line, "INVALID_DURATION", first, why)),
            None => (0, params),
        },
        _ => (0, params),
    };
    let (given, reason) = (params[0], params.get(1).copied().filter(|reason| !reason.is_empty()));
    let mask = mask(line.kind, given).map_err(|why| refusal(line, "INVALID_MASK", given, &why))?;
    let reason = cut(reason.unwrap_or("No reason"), turn.config().limits.kick_length).to_string();
    let (set, by) = (turn.now.wall, turn.prefix());
    let until_time = (seconds > 0).then(|| Timestamp(set.0 + 1000 * seconds));
    let text = format!("{}-Line on {mask} is in force {}", line.kind.letter(), until(until_time));
    let fact = Some(BanFact { until: until_time, set, by: by.clone(), reason });
    let note = Standard::note(line.command, "BAN_SET", text).about(Word::echo(&mask));
    turn.change(Edit::Ban { kind: line.kind, mask, fact, by });
    turn.reply_standard(note);
    Ok(())
}

fn lift(turn: &mut Turn, line: &Line, params: &[&str]) -> Outcome {
    let (kind, given, now) = (line.kind, params[0], turn.now.wall);
    let mask = canonical(kind, given);
    let known = turn.network().bans().get(kind, &mask).is_some_and(|ban| ban.fact.is_in_force(now));
    if !known {
        let why = format!(
            "There is no {}-Line on that; STATS {} and {} list them",
            kind.letter(),
            kind.letter().to_ascii_lowercase(),
            kind.letter()
        );
        return Err(refusal(line, "NO_SUCH_BAN", given, &why));
    }
    let text = format!("{}-Line on {mask} is lifted", kind.letter());
    let by = turn.prefix();
    let note = Standard::note(line.command, "BAN_LIFTED", text).about(Word::echo(&mask));
    turn.change(Edit::Ban { kind, mask, fact: None, by });
    turn.reply_standard(note);
    Ok(())
}

fn refusal(line: &Line, code: &'static str, about: &str, why: &str) -> Refusal {
    Standard::fail(line.command, code, why).about(Word::echo(about)).into()
}

/// `None` for what is no duration, and so a mask; or why it is none that can be used.
pub fn duration(text: &str) -> Option<Result<u64, &'static str>> {
    let (number, unit) = match text.char_indices().next_back()? {
        (_, last) if last.is_ascii_digit() => (text, 60),
        (place, 's') => (&text[..place], 1),
        (place, 'm') => (&text[..place], 60),
        (place, 'h') => (&text[..place], 3_600),
        (place, 'd') => (&text[..place], 86_400),
        (place, 'w') => (&text[..place], 7 * 86_400),
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let fit = seconds.filter(|seconds| *seconds <= SECONDS_MAX);
    Some(fit.ok_or("That is too long: give no duration for a ban that is to last for good"))
}

/// The one way of writing a mask, so that a ban is found again however it is written.
fn canonical(kind: BanKind, text: &str) -> String {
    let text = text.to_ascii_lowercase();
    match kind {
        BanKind::UserHost => {
            let (user, host) = text.split_once('@').unwrap_or(("*", &text));
            let user = if user.is_empty() { "*" } else { user };
            let host = if host.is_empty() { "*" } else { host };
            let host = Cidr::parse(host).map_or(host.to_string(), |network| network.to_string());
            format!("{user}@{host}")
        }
        BanKind::Address => Cidr::parse(&text).map_or(text, |network| network.to_string()),
        BanKind::Realname => text,
    }
}

/// A mask that may be banned, or a sentence that says why not.
fn mask(kind: BanKind, text: &str) -> Result<String, String> {
    if text.len() > MASK_BYTES_MAX {
        return Err(format!("A mask has at most {MASK_BYTES_MAX} bytes"));
    }
    // It stands between spaces on the wire, where nothing begins with a colon.
    if text.is_empty() || text.starts_with(':') || text.chars().any(|c| c == ' ' || c.is_control()) {
        return Err("That is no mask; write \\s for a space".to_string());
    }
    let mask = canonical(kind, text);
    match kind {
        BanKind::UserHost => {
            if mask.contains('!') {
                return Err("A K-Line is on user@host, without a nick".to_string());
            }
            let host = mask.split_once('@').map_or("", |(_, host)| host);
            match Cidr::parse(host) {
                Some(network) => check_bits(network)?,
                None if host.contains('/') && !host.contains(['*', '?']) && looks_like_network(host) => {
                    return Err(format!("{host} is no network of addresses"));
                }
                None => check_telling(&mask)?,
            }
        }
        BanKind::Address => {
            check_bits(Cidr::parse(text).ok_or("A D-Line is on an address, or a network as in 10.0.0.0/8")?)?;
        }
        BanKind::Realname => check_telling(&mask)?,
    }
    Ok(mask)
}

/// Whether somebody meant a network: digits before and behind the slash.
fn looks_like_network(host: &str) -> bool {
    host.split_once('/').is_some_and(|(address, bits)| {
        bits.bytes().all(|b| b.is_ascii_digit())
            && address.bytes().all(|b| b.is_ascii_hexdigit() || b".:".contains(&b))
    })
}

fn check_bits(network: Cidr) -> Result<(), String> {
    let least = if network.is_ipv4() { IPV4_BITS_MIN } else { IPV6_BITS_MIN };
    match network.bits() >= least {
        true => Ok(()),
        false => Err(format!("That would ban half the world: a network has at least /{least}")),
    }
}

fn check_telling(mask: &str) -> Result<(), String> {
    let telling = mask.replace("\\s", "").chars().filter(|c| !"*?@.".contains(*c)).count();
    match telling >= TELLING_CHARS_MIN {
        true => Ok(()),
        false => Err(format!(
            "That would ban too many: at least {TELLING_CHARS_MIN} characters have to be none of * ? . @"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_minutes_or_have_a_unit() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("10", Some(600)),
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("2h", Some(7_200)),
            ("7d", Some(604_800)),
            ("4w", Some(2_419_200)),
            ("5y", None),
            ("s", None),
            ("", None),
            ("-5", None),
            ("10.0.0.1", None),
            ("bob@5m", None),
            ("é", None),
        ] {
            assert_eq!(duration(text), seconds.map(Ok), "{text}");
        }
        for text in ["99999999999999999999", "99999999999999w", "5300w"] {
            assert!(duration(text).is_some_and(|fit| fit.is_err()), "{text}");
        }
    }

    #[test]
    fn a_mask_is_written_in_one_way() {
        for (kind, text, known) in [
            (BanKind::UserHost, "Bob@*.LAN.example", "bob@*.lan.example"),
            (BanKind::UserHost, "*.lan.example", "*@*.lan.example"),
            (BanKind::UserHost, "@10.1.2.3/16", "*@10.1.0.0/16"),
            (BanKind::UserHost, "robert@", "robert@*"),
            (BanKind::UserHost, "*@::1", "*@0::1"),
            (BanKind::Address, "10.1.2.3/8", "10.0.0.0/8"),
            (BanKind::Address, "FE80::1", "fe80::1"),
            (BanKind::Realname, "*Free\\sMoney*", "*free\\smoney*"),
        ] {
            assert_eq!(mask(kind, text).as_deref(), Ok(known), "{text}");
        }
    }

    #[test]
    fn a_mask_that_means_too_many_or_nobody_is_refused() {
        for (kind, text) in [
            (BanKind::UserHost, "*@*"),
            (BanKind::UserHost, "*"),
            (BanKind::UserHost, "bob@*"),
            (BanKind::UserHost, "*@*.???"),
            (BanKind::UserHost, "*@0.0.0.0/0"),
            (BanKind::UserHost, "*@10.0.0.0/33"),
            (BanKind::UserHost, "nick!user@host"),
            (BanKind::UserHost, ":bob@host.lan"),
            (BanKind::Address, "10.0.0.0/7"),
            (BanKind::Address, "2000::/23"),
            (BanKind::Address, "eve.example"),
            (BanKind::Realname, "*a\\s\\s\\s\\sb*"),
            (BanKind::Realname, "????????"),
        ] {
            assert!(mask(kind, text).is_err(), "{text}");
        }
        assert!(mask(BanKind::Realname, &"x".repeat(MASK_BYTES_MAX + 1)).is_err());
    }
}
