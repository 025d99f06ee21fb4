//! 005 and 004: what this server can do, drawn from the rows of modes and the config.

use super::Engine;
use super::cap::Cap;
use super::chathistory;
use super::command::WHOWAS_NICKS_MAX;
use super::event::ConnId;
use super::extban;
use super::mode::{self, CHANNEL_MODES, Kind, STATUSES, USER_MODES};
use super::outgoing::{Outgoing, Spoken};
use crate::config::Config;
use crate::wire::base36;
use crate::wire::message::fill;
use crate::wire::names::{HOST_BYTES_MAX, Word};
use crate::wire::numeric::{self, Numeric, Words};

/// How many tokens stand on one line: with the target and the text in front, 15 parameters are allowed.
const TOKENS_PER_LINE: usize = 12;

/// How many bytes they may take, so that the longest names of server and nick fit in front of them.
const BYTES_PER_LINE: usize = 340;

/// The lines of 005, with every token.
pub fn replies(config: &Config) -> Vec<Numeric> {
    in_lines(&tokens(config)).iter().map(numeric::isupport).collect()
}

/// What a client has to be told when the config is another: only what is not as it was.
pub fn changes(before: &Config, now: &Config) -> Vec<Numeric> {
    let (before, now) = (tokens(before), tokens(now));
    let name = |token: &String| token.split('=').next().unwrap_or_default().to_string();
    let is_gone = |token: &&String| !now.iter().any(|other| name(other) == name(token));
    let gone = before.iter().filter(is_gone).map(|token| format!("-{}", name(token)));
    let changed: Vec<String> =
        now.iter().filter(|token| !before.contains(token)).cloned().chain(gone).collect();
    in_lines(&changed).iter().map(numeric::isupport).collect()
}

fn in_lines(tokens: &[String]) -> Vec<Words> {
    let lines =
        tokens.chunks(TOKENS_PER_LINE).flat_map(|tokens| fill(tokens.iter().cloned(), BYTES_PER_LINE));
    lines.map(|line| Words::from(line.as_str())).collect()
}

/// The names of all tokens.
pub fn names(config: &Config) -> Vec<String> {
    let name = |token: String| token.split('=').next().unwrap_or_default().to_string();
    tokens(config).into_iter().map(name).collect()
}

fn tokens(config: &Config) -> Vec<String> {
    let limits = &config.limits;
    let lists = mode::channel_letters(Kind::List);
    let kinds = [Kind::List, Kind::Key, Kind::Limit, Kind::Flag].map(mode::channel_letters).join(",");
    let letters: String = STATUSES.iter().map(|status| status.letter).collect();
    let signs: String = STATUSES.iter().map(|status| status.sign).collect();
    let targets = limits.targets_per_message;
    let mut tokens = vec![
        format!("ACCEPT={}", limits.accept_entries),
        format!("ACCOUNTEXTBAN={},{}", extban::BY_ACCOUNT.names[0], extban::BY_ACCOUNT.letter),
        format!("AWAYLEN={}", limits.away_length),
        "BOT=B".to_string(),
        "CALLERID=g".to_string(),
        "CASEMAPPING=ascii".to_string(),
        format!("CHANLIMIT=#:{}", limits.channels_per_user),
        format!("CHANMODES={kinds}"),
        format!("CHANNELLEN={}", limits.channel_length),
        "CHANTYPES=#".to_string(),
        "DEAF=D".to_string(),
        "ELIST=CMNTU".to_string(),
        "EXCEPTS=e".to_string(),
        format!("EXTBAN={}", extban::isupport()),
        format!("HOSTLEN={HOST_BYTES_MAX}"),
        "INVEX=I".to_string(),
        format!("KEYLEN={}", limits.key_length),
        format!("KICKLEN={}", limits.kick_length),
        "KNOCK".to_string(),
        format!("MAXLIST={lists}:{}", limits.list_entries),
        format!("MODES={}", limits.modes_per_line),
        format!("MONITOR={}", limits.monitored_nicks),
        format!("NAMELEN={}", limits.realname_length),
        format!("NETWORK={}", isupport_value(&config.network.name)),
        format!("NICKLEN={}", limits.nick_length),
        format!("PREFIX=({letters}){signs}"),
        // However long the list, whoever asked for it is not let go for that.
        "SAFELIST".to_string(),
        format!("SILENCE={}", limits.silence_entries),
        format!("STATUSMSG={signs}"),
        format!(
            "TARGMAX=JOIN:,KICK:{targets},LIST:,MONITOR:,NAMES:,NOTICE:{targets},PART:,PRIVMSG:{targets},TAGMSG:{targets},WHOIS:1,WHOWAS:{WHOWAS_NICKS_MAX}"
        ),
        format!("TOPICLEN={}", limits.topic_length),
        "USERIP".to_string(),
        format!("USERLEN={}", limits.username_length),
        "UTF8ONLY".to_string(),
        "WHOX".to_string(),
        // Who sends too fast is read more slowly, and nobody is let go for it. The second name is the older one.
        "SAFERATE".to_string(),
        "soju.im/SAFERATE".to_string(),
    ];
    tokens.extend(config.accounts.required.then(|| "draft/ACCOUNTREQUIRED".to_string()));
    if config.history.enabled {
        tokens.push(format!("CHATHISTORY={}", config.history.most_at_once));
        tokens.push(format!("MSGREFTYPES={}", chathistory::SELECTORS));
    }
    let denied = &config.talk.client_tags_denied;
    tokens.extend((!denied.is_empty()).then(|| format!("CLIENTTAGDENY={}", denied.join(","))));
    tokens.extend(config.network.icon.as_ref().map(|icon| format!("draft/ICON={icon}")));
    tokens
}

impl Engine {
    /// Tells a client what the server can do, in a batch where the client has asked for that.
    pub(super) fn say_isupport(&mut self, conn: ConnId, lines: &[Numeric]) {
        let Some(session) = self.sessions.get(conn).filter(|_| !lines.is_empty()) else { return };
        let is_batch = session.wants(Cap::Batch) && session.wants(Cap::ExtendedIsupport);
        let user = session.user().and_then(|user| self.network.user(user));
        let called = user.map_or("*".to_string(), |user| user.nick.to_string());
        let server = self.identity.name.to_string();
        let time = self.now.wall;
        let lines = lines.iter().map(|numeric| Spoken::new(time, numeric.line(&server, &called)));
        let spoken: Vec<Spoken> = match is_batch {
            true => {
                self.batches_made += 1;
                let batch = base36::encode(self.batches_made);
                let start = Spoken::new(time, format!(":{server} BATCH +{batch} draft/isupport"));
                let end = Spoken::new(time, format!(":{server} BATCH -{batch}"));
                let inner = lines.map(|line| line.tagged("batch", batch.clone()));
                std::iter::once(start).chain(inner).chain([end]).collect()
            }
            false => lines.collect(),
        };
        self.outgoing.extend(spoken.into_iter().map(|spoken| Outgoing { to: conn.into(), spoken }));
    }
}

/// What stands behind `=` has its spaces and backslashes and equals signs escaped, as \x and two digits.
fn isupport_value(text: &str) -> String {
    text.replace('\\', "\\x5C").replace(' ', "\\x20").replace('=', "\\x3D")
}

/// 004: the modes there are, of users, of channels, and those of channels that take a parameter.
pub fn my_info(server: &str, version: &str) -> Numeric {
    let user_modes: String = USER_MODES.iter().map(|mode| mode.letter).collect();
    let statuses: String = STATUSES.iter().map(|status| status.letter).collect();
    let letters = |which: fn(Kind) -> bool| {
        let modes = CHANNEL_MODES.iter().filter(|mode| which(mode.kind)).map(|mode| mode.letter);
        let mut letters: Vec<char> = modes.chain(statuses.chars()).collect();
        letters.sort_unstable();
        letters.into_iter().collect::<String>()
    };
    let (all, with_value) = (letters(|_| true), letters(|kind| kind != Kind::Flag));
    numeric::my_info(
        Word::echo(server),
        Word::echo(version),
        &Words::from(format!("{user_modes} {all} {with_value}").as_str()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: draft/ACCOUNTREQUIRED
    #[test]
    fn it_is_told_that_one_has_to_be_logged_in_where_it_is_so() {
        let mut config = Config::default();
        let is_told =
            |config: &Config| replies(config).iter().any(|reply| reply.text.contains("ACCOUNTREQUIRED"));
        assert!(!is_told(&config));
        config.accounts.required = true;
        assert!(is_told(&config));
    }

    #[test]
    fn every_token_fits_whatever_the_settings() {
        let mut config = Config::default();
        config.network.name = "\\".repeat(63);
        let limits = &mut config.limits;
        for limit in
            [&mut limits.list_entries, &mut limits.targets_per_message, &mut limits.channels_per_user]
        {
            *limit = 1_000_000;
        }
        for reply in replies(&config) {
            let line = reply.line(&"s".repeat(63), &"n".repeat(64));
            assert!(line.ends_with(" :are supported by this server"), "{line}");
            assert!(line.split(" :").next().unwrap().split(' ').count() <= 16, "{line}");
        }
    }

    /// Proves: RPL_ISUPPORT, NETWORK
    #[test]
    fn only_what_has_changed_is_told() {
        let (before, mut now) = (Config::default(), Config::default());
        assert_eq!(changes(&before, &now), []);
        now.limits.topic_length = 80;
        now.network.name = "a=b".to_string();
        let told = changes(&before, &now);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].text, "NETWORK=a\\x3Db TOPICLEN=80 :are supported by this server");
    }
}
