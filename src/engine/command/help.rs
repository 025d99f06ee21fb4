//! HELP: every command, mode, capability, token, right and topic, and a few pages for those who are new.

use super::{Command, Who, stats_letters};
use crate::config::{RIGHTS, TOPICS};
use crate::engine::cap::Cap;
use crate::engine::extban::EXTBANS;
use crate::engine::isupport;
use crate::engine::mode::{CHANNEL_MODES, STATUSES, USER_MODES};
use crate::engine::turn::{Outcome, Turn};
use crate::wire::message::wrap;
use crate::wire::names::Word;
use crate::wire::numeric;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "HELP",
        params_min: 0,
        who: Who::Registered,
        run: help,
        usage: "[<topic>]",
        help: "Explains a command or a topic; alone, it lists them all.",
    },
    Command {
        name: "HELPOP",
        params_min: 0,
        who: Who::Registered,
        run: help,
        usage: "[<topic>]",
        help: "Another name for HELP.",
    },
];

/// One page that is about no single command.
struct Page {
    /// The first is the one that is listed.
    names: &'static [&'static str],
    title: &'static str,
    lines: fn() -> Vec<String>,
}

const PAGES: &[Page] = &[
    Page {
        names: &["NEWCOMERS", "START", "BASICS"],
        title: "The first minutes",
        lines: || written(NEWCOMERS),
    },
    Page { names: &["CHANNELS", "CHANNEL", "ROOMS"], title: "Channels", lines: || written(CHANNELS) },
    Page { names: &["NICKNAMES", "NICKS"], title: "Nicks", lines: || written(NICKNAMES) },
    Page { names: &["MASKS", "MASK"], title: "Masks", lines: || written(MASKS) },
    Page { names: &["OPERATORS", "OPERATOR", "OPERS"], title: "Operators", lines: || written(OPERATORS) },
    Page {
        names: &["SERVERS", "NETWORK"],
        title: "Servers and the links between them",
        lines: || written(SERVERS),
    },
    Page { names: &["CMODES", "CHMODES"], title: "Modes of channels", lines: channel_modes },
    Page { names: &["EXTBANS", "EXTBAN"], title: "Extended bans, for the lists of channels", lines: extbans },
    Page { names: &["STATUSES", "PREFIX"], title: "What members of a channel can be", lines: statuses },
    Page { names: &["UMODES"], title: "Modes of people", lines: user_modes },
    Page { names: &["RIGHTS", "PRIVS"], title: "Rights of operators", lines: rights },
    Page {
        names: &["TOPICS", "SNOMASKS", "SNOMASK"],
        title: "What operators follow by user mode s",
        lines: topics,
    },
    Page { names: &["CAPS", "CAPABILITIES"], title: "Capabilities of clients", lines: caps },
    Page { names: &["TOKENS", "005"], title: "Tokens of RPL_ISUPPORT (005)", lines: tokens },
];

const NEWCOMERS: &[&str] = &[
    "You are on a network of servers; whoever is on any of them can talk to you.",
    "JOIN #name takes you to a channel, and makes it where there is none; PART #name takes you away again.",
    "LIST shows channels, NAMES #name who is there, WHOIS nick who somebody is.",
    "PRIVMSG #name :text says something there, PRIVMSG nick :text says it to one person. Most programs have /msg for it.",
    "NICK name gives you another name, AWAY :why says that you are not at hand, QUIT :why ends it.",
    "More: HELP CHANNELS, HELP NICKNAMES, HELP SERVERS, HELP and the name of any command.",
];

const CHANNELS: &[&str] = &[
    "A channel begins when somebody joins it, and ends when the last one leaves. Its first member is its operator (@).",
    "Operators choose who may come and speak: MODE #name +b nick!user@host bans, +i asks for invitations, +k word for a key, +m lets only those with a voice speak.",
    "KICK #name nick :why takes somebody off, INVITE nick #name asks somebody in, TOPIC #name :text says what it is about.",
    "MODE #name +o nick makes somebody an operator too, +v gives a voice. HELP CMODES lists every mode, HELP STATUSES what members can be.",
    "Where the network comes apart, both halves of a channel go on; they become one again when it is whole, with the modes of the older one.",
];

const NICKNAMES: &[&str] = &[
    "Nobody else on the network has your nick while you are here. Capitals make no difference: Bob is bob.",
    "Where two people turn out to have the same one, because the network had come apart, whoever had it first keeps it. The other is called by a number, and may take another nick.",
    "WHOWAS nick shows who lately had a nick.",
];

const MASKS: &[&str] = &[
    "A mask says whom a ban or an exception means: nick!user@host, where * is any text and ? any character.",
    "bob means bob!*@*, *@host means *!*@host. WHOIS shows user and host of somebody.",
    "MODE #name +b *!*@10.0.0.* bans everyone from there, MODE #name +e bob!*@* lets bob in all the same.",
];

const OPERATORS: &[&str] = &[
    "An operator keeps the network in order; what each of them may do depends on their class. OPER name password makes you one, with a name and password of the server's settings.",
    "HELP RIGHTS lists what classes may be given, and HELP with the name of a command says which right it needs.",
    "MODE nick +s +kl tells you of kills and links while they happen; HELP TOPICS lists all that you can be told of. What is done with a right is in the log of the server where it was done.",
    "MODE nick +H hides from people who are no operators that you are one, MODE nick -o makes you none.",
    "STATS p lists operators whom everybody may see. A channel's operators (@) are others: HELP CHANNELS.",
];

const SERVERS: &[&str] = &[
    "MAP draws the servers of the network and how they are linked, LINKS lists them, LUSERS counts their people.",
    "Most commands that ask a server something take the name of another one: TIME barn.lan, or the nick of somebody who is there.",
    "Links find their way: where one breaks, what is said goes by another. Where there is none, those beyond are shown as gone until there is one again.",
    "Operators with the right `link` make links with CONNECT and cut them with SQUIT.",
];

/// What each token of 005 says. Those of later versions, or of other settings, may stand here too.
const TOKENS: &[(&str, &str)] = &[
    ("ACCEPT", "how many people one may accept, whom user mode g lets write"),
    ("ACCOUNTEXTBAN", "the extended bans that go by account"),
    ("AWAYLEN", "how many bytes a reason for AWAY may have"),
    ("BOT", "the user mode of bots"),
    ("BOTMODE", "the user mode of bots"),
    ("CALLERID", "the user mode by which only those who were accepted may write to somebody"),
    ("CASEMAPPING", "which names are the same name"),
    ("CHANLIMIT", "how many channels one may be on"),
    (
        "CHANMODES",
        "channel modes: lists, those with a value, those with a value when they are set, those without",
    ),
    ("CHANNELLEN", "how many bytes the name of a channel may have"),
    ("CHANTYPES", "what names of channels begin with"),
    ("CHATHISTORY", "how many messages one request for what was said may have"),
    ("CLIENTTAGDENY", "client tags that are not passed on"),
    ("CNOTICE", "CNOTICE writes to members of a channel whatever the limits on writing to many"),
    ("CPRIVMSG", "CPRIVMSG writes to members of a channel whatever the limits on writing to many"),
    ("DEAF", "the user mode by which somebody hears no channels"),
    ("ELIST", "what LIST can search for: C age, M mask, N !mask, T topic's age, U members"),
    ("EXCEPTS", "the channel mode with exceptions from bans"),
    ("EXTBAN", "the sign and the letters of extended bans"),
    ("HOSTLEN", "how many bytes a host may have that people are shown with"),
    ("INVEX", "the channel mode with those who need no invitation"),
    ("KEYLEN", "how many bytes the key of a channel may have"),
    ("KICKLEN", "how many bytes the reason of a KICK may have"),
    ("KNOCK", "KNOCK asks for an invitation"),
    ("LINELEN", "how many bytes a line may have"),
    ("MAXLIST", "how many entries the lists of a channel may have"),
    ("MAXTARGETS", "how many targets a message may have"),
    ("MODES", "how many modes with a value one MODE may change"),
    ("MONITOR", "how many nicks one may watch"),
    ("MSGREFTYPES", "how messages are named in requests for what was said"),
    ("NAMELEN", "how many bytes a real name may have"),
    ("NAMESX", "PROTOCTL NAMESX has NAMES show every status of a member"),
    ("NETWORK", "the name of the network"),
    ("NICKLEN", "how many bytes a nick may have"),
    ("PREFIX", "what members of a channel can be, and the signs before their nicks"),
    ("SAFELIST", "LIST never ends a connection, however many channels there are"),
    ("SAFERATE", "nobody is let go for sending too fast"),
    ("soju.im/SAFERATE", "another name of SAFERATE"),
    ("SILENCE", "how many masks one may keep from writing to oneself"),
    ("STATUSMSG", "signs before the name of a channel that reach only those of its members"),
    ("TARGMAX", "how many targets each command may have"),
    ("TOPICLEN", "how many bytes a topic may have"),
    ("UHNAMES", "PROTOCTL UHNAMES has NAMES show user name and host"),
    ("USERIP", "USERIP shows addresses, to those who may see them"),
    ("USERLEN", "how many bytes a user name may have"),
    ("UTF8ONLY", "every line is UTF-8; others are refused"),
    ("WATCH", "how many nicks one may watch by WATCH"),
    ("WHOX", "WHO takes a list of fields: WHO #name %cuhnar"),
];

fn help(turn: &mut Turn, params: &[&str]) -> Outcome {
    let asked = params.first().copied().filter(|topic| !topic.is_empty());
    // What is more than a word, or nothing, cannot be repeated as one.
    let subject = Word::echo(asked.filter(|asked| !asked.contains(' ')).unwrap_or("*"));
    let found = find(turn, asked.unwrap_or("INDEX"));
    let (title, lines) = found.ok_or_else(|| numeric::help_not_found(&subject))?;
    turn.reply(numeric::help_start(&subject, &title));
    turn.reply(numeric::help_text(&subject, ""));
    let room = turn.room_in(&numeric::help_text(&subject, ""));
    let lines = lines.iter().filter(|line| !line.is_empty());
    let lines = lines.flat_map(|line| wrap(line, room));
    turn.reply_all(lines.map(|line| numeric::help_text(&subject, line)));
    turn.reply(numeric::end_of_help(&subject, "End of HELP"));
    Ok(())
}

/// A title, and the lines below it.
type Answer = (String, Vec<String>);

fn find(turn: &Turn, asked: &str) -> Option<Answer> {
    let upper = asked.to_ascii_uppercase();
    if upper == "INDEX" {
        return Some(("Topics of HELP".to_string(), index()));
    }
    // What a network really does says more than what the words mean.
    if upper == "TOKENS" {
        let page = page(&upper)?;
        let told = isupport::names(turn.config());
        let lines =
            TOKENS.iter().filter(|(name, _)| told.iter().any(|told| told.rsplit('/').next() == Some(*name)));
        return Some((page.title.to_string(), lines.map(|(name, help)| format!("{name}: {help}")).collect()));
    }
    of_command(&upper).or_else(|| of_page(&upper)).or_else(|| of_mode(asked)).or_else(|| of_name(asked))
}

fn of_command(name: &str) -> Option<Answer> {
    let command = super::find(name)?;
    let mut lines = vec![command.help.to_string()];
    if command.name == "STATS" {
        lines.extend(stats_letters());
    }
    lines.push(who_may(command.who));
    Some((format!("{} {}", command.name, command.usage).trim_end().to_string(), lines))
}

fn page(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.names.contains(&name))
}

fn of_page(name: &str) -> Option<Answer> {
    page(name).map(|page| (page.title.to_string(), (page.lines)()))
}

/// `+k` is a mode, of channels or of people or of both.
fn of_mode(asked: &str) -> Option<Answer> {
    let mut letters = asked.strip_prefix('+')?.chars();
    let (letter, None) = (letters.next()?, letters.next()) else { return None };
    let of = |what: &str, rows: Vec<String>| {
        let start = format!("{letter}: ");
        rows.into_iter().find_map(|row| row.strip_prefix(&start).map(|help| format!("{what}: {help}")))
    };
    let found = [
        of("Of channels", channel_modes()),
        of("Of members of a channel", statuses()),
        of("Of people", user_modes()),
    ];
    let lines: Vec<String> = found.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| (format!("Mode +{letter}"), lines))
}

/// A capability, a token, or a right.
fn of_name(asked: &str) -> Option<Answer> {
    let cap = Cap::find(&asked.to_ascii_lowercase()).map(|cap| ("Capability", cap.name(), cap.help()));
    let token = || {
        // Some stand under a vendor's name too.
        let asked = asked.rsplit('/').next().unwrap_or(asked);
        let row = TOKENS.iter().find(|(name, _)| name.eq_ignore_ascii_case(asked));
        row.map(|(name, help)| ("Token of 005", *name, *help))
    };
    let right = || {
        let row = RIGHTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(asked));
        row.map(|(name, help)| ("Right", *name, *help))
    };
    let (kind, name, help) = cap.or_else(token).or_else(right)?;
    Some((format!("{kind} {name}"), vec![help.to_string()]))
}

/// Every topic, some to a line.
fn index() -> Vec<String> {
    let mut names: Vec<&str> = super::all().map(|command| command.name).collect();
    names.sort_unstable();
    let pages: Vec<&str> = PAGES.iter().filter_map(|page| page.names.first().copied()).collect();
    let mut lines = vec!["HELP NEWCOMERS is where to begin. Commands:".to_string()];
    lines.extend(names.chunks(8).map(|names| names.join(" ")));
    lines.push("Topics:".to_string());
    lines.extend(pages.chunks(8).map(|names| names.join(" ")));
    lines.push(
        "And any mode (HELP +k), capability, token of 005, or right of operators, by its name.".to_string(),
    );
    lines
}

fn written(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.to_string()).collect()
}

fn rows<N: std::fmt::Display, H: std::fmt::Display>(rows: impl Iterator<Item = (N, H)>) -> Vec<String> {
    rows.map(|(name, help)| format!("{name}: {help}")).collect()
}

fn channel_modes() -> Vec<String> {
    rows(CHANNEL_MODES.iter().map(|mode| (mode.letter, mode.help)))
}

fn extbans() -> Vec<String> {
    rows(EXTBANS.iter().map(|row| (row.letter, row.help)))
}

fn statuses() -> Vec<String> {
    rows(STATUSES.iter().map(|status| (status.letter, status.help)))
}

fn user_modes() -> Vec<String> {
    rows(USER_MODES.iter().map(|mode| (mode.letter, mode.help)))
}

fn rights() -> Vec<String> {
    rows(RIGHTS.iter().copied())
}

fn topics() -> Vec<String> {
    rows(TOPICS.iter().map(|topic| (topic.letter, topic.help)))
}

fn caps() -> Vec<String> {
    rows(Cap::ALL.iter().map(|cap| (cap.name(), cap.help())))
}

fn tokens() -> Vec<String> {
    rows(TOKENS.iter().copied())
}

fn who_may(who: Who) -> String {
    match who {
        Who::Operator(right) => format!("For operators with the right `{right}`."),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::config::Config;
    use crate::engine::{ConnId, Effect, Engine, Event, Identity, Origin};

    use crate::wire::time::Now;

    /// Proves: HELP, RPL_HELPSTART, RPL_HELPTXT, RPL_ENDOFHELP
    #[test]
    fn without_a_subject_there_is_none_to_repeat() {
        let identity = Identity::of_hall();
        let mut engine = Engine::new(Config::default(), identity, Now::default());
        let (conn, address) = (ConnId(1), SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)));
        let from = Origin::Client { address, name: None, secure: None, certificate: None };
        engine.step(Now::default(), Event::Opened { conn, from });
        engine.step(Now::default(), Event::Lines { conn, lines: "NICK eve\nUSER eve 0 * :Eve".into() });
        let effects = engine.step(Now::default(), Event::Lines { conn, lines: "HELP".into() });
        let said = effects.iter().filter_map(|effect| match effect {
            Effect::Send { line, .. } => Some(line.to_string()),
            _ => None,
        });
        let said: Vec<String> = said.collect();
        let [first, lines @ .., last] = &said[..] else { panic!("{said:?}") };
        assert!(first.starts_with(":hall.lan 704 eve * :"), "{first}");
        assert!(lines.iter().all(|line| line.starts_with(":hall.lan 705 eve * :")), "{lines:?}");
        assert!(last.starts_with(":hall.lan 706 eve * :"), "{last}");
        for command in super::super::all() {
            assert!(lines.iter().any(|line| line.contains(command.name)), "{}", command.name);
        }
    }

    #[test]
    fn nothing_that_there_is_goes_without_help() {
        let letters = CHANNEL_MODES.iter().map(|mode| mode.letter);
        let letters = letters.chain(STATUSES.iter().map(|status| status.letter));
        let letters = letters.chain(USER_MODES.iter().map(|mode| mode.letter));
        let mut asked: Vec<String> = letters.map(|letter| format!("+{letter}")).collect();
        asked.extend(Cap::ALL.iter().map(|cap| cap.name().to_string()));
        asked.extend(isupport::names(&Config::default()));
        asked.extend(RIGHTS.iter().map(|(name, _)| name.to_string()));
        assert!(EXTBANS.iter().all(|row| row.help.len() > 8));
        for asked in asked {
            let upper = asked.to_ascii_uppercase();
            let found = of_command(&upper).or_else(|| of_page(&upper));
            let found = found.or_else(|| of_mode(&asked)).or_else(|| of_name(&asked));
            let (_, lines) = found.unwrap_or_else(|| panic!("there is no help on {asked}"));
            assert!(lines.iter().any(|line| line.len() > 8), "{asked}: {lines:?}");
        }
        for page in PAGES {
            assert!((page.lines)().iter().all(|line| line.len() > 8), "{}", page.title);
        }
        assert!(TOPICS.iter().all(|topic| topic.help.len() > 8));
        assert_eq!(of_page("TOPICS").map(|(_, lines)| lines.len()), Some(TOPICS.len()));
        assert!(stats_letters().all(|line| line.len() > 20));
    }

    #[test]
    fn no_page_is_called_as_a_command_is() {
        for name in PAGES.iter().flat_map(|page| page.names) {
            assert!(super::super::find(name).is_none(), "{name}");
            assert!(PAGES.iter().filter(|page| page.names.contains(name)).count() == 1, "{name}");
        }
    }
}
