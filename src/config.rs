//! What an admin may set, as types; knows no file and no socket.

mod accounts;
pub use accounts::{Accounts, AlwaysOn, NickOwnership, Registration};
mod fit;
pub use fit::duration_text;
mod metadata;
pub use metadata::{METADATA_KEY_BYTES_MAX, Metadata};
mod history;
pub use history::{Ack, History};
mod origin;
pub use origin::{Cloak, Cloaked, Dns, Gateway, GatewayProtocol};
mod rate;
pub use rate::{Arrivals, Rate, Rates};
/// From text to these types.
pub mod read;
mod section;
mod talk;
pub use talk::Talk;
mod token;
pub use token::{TokenAlgorithm, TokenIssuer, TokenKey, Tokens};
mod topics;
pub use topics::{TOPICS, TOPICS_USUAL};

use std::collections::BTreeMap;
use std::time::Duration;

/// The whole configuration; every key is optional.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub network: Network,
    pub listen: Listen,
    pub tls: Tls,
    pub discovery: Discovery,
    pub link: Vec<Link>,
    pub operator: Vec<Operator>,
    pub operator_class: BTreeMap<String, OperatorClass>,
    pub cloak: Cloak,
    pub dns: Dns,
    pub gateway: Vec<Gateway>,
    pub limits: Limits,
    pub talk: Talk,
    pub metadata: Metadata,
    pub history: History,
    pub accounts: Accounts,
}

impl Default for Config {
    fn default() -> Config {
        // There is always one class, so that the code printed at first start makes somebody something.
        let administrator = OperatorClass { rights: vec!["all".to_string()], ..OperatorClass::default() };
        Config {
            server: Server::default(),
            network: Network::default(),
            listen: Listen::default(),
            tls: Tls::default(),
            discovery: Discovery::default(),
            link: Vec::new(),
            operator: Vec::new(),
            operator_class: BTreeMap::from([(ADMINISTRATOR.to_string(), administrator)]),
            cloak: Cloak::default(),
            dns: Dns::default(),
            gateway: Vec::new(),
            limits: Limits::default(),
            talk: Talk::default(),
            metadata: Metadata::default(),
            history: History::default(),
            accounts: Accounts::default(),
        }
    }
}

impl Config {
    /// Puts back what only a start can change, as the running server has it, and names the keys that differed.
    pub fn keep_until_restart(&mut self, running: &Config) -> Vec<&'static str> {
        let mut kept = Vec::new();
        let mut keep = Keep(&mut kept);
        keep.field("server.name", &mut self.server.name, &running.server.name);
        keep.field("server.sid", &mut self.server.sid, &running.server.sid);
        keep.field("server.data", &mut self.server.data, &running.server.data);
        keep.field("network.name", &mut self.network.name, &running.network.name);
        keep.field("network.secret_file", &mut self.network.secret_file, &running.network.secret_file);
        keep.field("listen.irc", &mut self.listen.irc, &running.listen.irc);
        keep.field("listen.ircs", &mut self.listen.ircs, &running.listen.ircs);
        keep.field("listen.link", &mut self.listen.link, &running.listen.link);
        keep.field("discovery.enabled", &mut self.discovery.enabled, &running.discovery.enabled);
        keep.field("discovery.port", &mut self.discovery.port, &running.discovery.port);
        keep.field("discovery.mdns", &mut self.discovery.mdns, &running.discovery.mdns);
        keep.field("discovery.compat_port", &mut self.discovery.compat_port, &running.discovery.compat_port);
        kept
    }
}

/// The keys that were kept as they are.
struct Keep<'k>(&'k mut Vec<&'static str>);

impl Keep<'_> {
    fn field<T: Clone + PartialEq>(&mut self, key: &'static str, new: &mut T, running: &T) {
        if new != running {
            new.clone_from(running);
            self.0.push(key);
        }
    }
}

/// The class that exists without being written.
pub const ADMINISTRATOR: &str = "administrator";

/// What an operator class may be given, and what each right allows.
pub const RIGHTS: &[(&str, &str)] = &[
    ("all", "everything below, and whatever later versions add"),
    ("kill", "KILL and CLOSE: end another user's connection, and those without a name"),
    ("ban", "KLINE, DLINE, XLINE and their ends, TESTLINE and TESTMASK: keep people off the whole network"),
    (
        "force",
        "SANICK, SAJOIN and SAPART: rename people, and have them join and leave channels; SAMODE and SATOPIC: set what only a channel's owner could",
    ),
    ("guise", "SETHOST, SETIDENT, CHGHOST, CHGIDENT and CHGNAME: what is shown of oneself and of others"),
    ("rehash", "REHASH: have the settings read again"),
    ("link", "CONNECT and SQUIT: make and cut links to other servers"),
    (
        "wallops",
        "WALLOPS, GLOBOPS and LOCOPS: speak to everyone who asked to hear operators, and to operators",
    ),
    ("die", "DIE and RESTART: stop this server, and start it again"),
    ("accounts", "REGISTER for others where only operators may, and NickServ SUSPEND, UNSUSPEND and LIST"),
    ("redact", "REDACT: take back what anybody said, whenever that was"),
    ("reports", "REPORTS: what people have told operators of others by REPORT, with what was said there"),
    ("broadcast", "messages to $$mask: speak to everyone on the servers that match"),
    ("stats", "STATS beyond what everyone may see, and TRACE"),
    ("flood-exempt", "be as fast as they like: no limit on how often something is done"),
    ("see-all", "see what modes hide: invisible users, secret channels, real hosts and addresses"),
];

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    pub name: Option<String>,
    pub description: String,
    /// What people reach this server by from elsewhere.
    pub host: Option<String>,
    pub sid: Option<String>,
    pub data: Option<String>,
    pub motd: Option<String>,
    pub motd_text: Option<String>,
    pub rules_text: Option<String>,
    pub password: String,
    pub admin: Vec<String>,
    /// Names of capabilities that clients are not offered.
    pub withheld_capabilities: Vec<String>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            name: None,
            description: "A Folkmoot server".into(),
            host: None,
            sid: None,
            data: None,
            motd: None,
            motd_text: None,
            rules_text: None,
            password: String::new(),
            admin: Vec::new(),
            withheld_capabilities: Vec::new(),
        }
    }
}

/// `[network]`
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    /// A picture for clients to show: where it is to be had.
    pub icon: Option<String>,
    pub secret_file: Option<String>,
    /// How long the secret before the current one still lets servers in.
    pub old_secret_for: Duration,
    /// How long a server without a path is held before its users are shown as gone.
    pub hold: Duration,
    /// How long a server may stay away before its users count as gone.
    pub forget_after: Duration,
    /// How far a peer's clock may be from this server's before the log says so, and before there is no link.
    pub clock_warn: Duration,
    pub clock_refuse: Duration,
    /// Whether links are compressed where the other end can do it too.
    pub compression: bool,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            name: "Folkmoot".into(),
            icon: None,
            secret_file: None,
            old_secret_for: Duration::from_secs(24 * 3600),
            hold: Duration::from_secs(5),
            forget_after: Duration::from_secs(3600),
            clock_warn: Duration::from_millis(500),
            clock_refuse: Duration::from_secs(10),
            compression: true,
        }
    }
}

/// `[listen]`: addresses, as text `host:port`.
#[derive(Clone, Debug)]
pub struct Listen {
    pub irc: Vec<String>,
    pub ircs: Vec<String>,
    pub link: Vec<String>,
    pub web: Vec<String>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            irc: vec!["0.0.0.0:6667".into()],
            ircs: vec!["0.0.0.0:6697".into()],
            link: vec!["0.0.0.0:6900".into()],
            web: vec![],
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: Option<String>,
    pub key: Option<String>,
    /// Whether clients are told to come by TLS only: by which port, and for how long they are to hold to it.
    pub sts: bool,
    pub sts_port: u16,
    pub sts_duration: Duration,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            certificate: None,
            key: None,
            sts: false,
            sts_port: 6697,
            sts_duration: Duration::from_secs(30 * 86_400),
        }
    }
}

/// `[discovery]`
#[derive(Clone, Debug)]
pub struct Discovery {
    pub enabled: bool,
    pub link: bool,
    pub port: u16,
    /// Whether to tell programs that know nothing of Folkmoot, by DNS-SD.
    pub mdns: bool,
    /// Where an older protocol's question for servers is answered; 0 for nowhere.
    pub compat_port: u16,
}

impl Default for Discovery {
    fn default() -> Discovery {
        Discovery { enabled: true, link: true, port: 6900, mdns: true, compat_port: 0 }
    }
}

/// `[[link]]`: a peer we know by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub address: String,
    pub pin: Option<String>,
    pub connect: bool,
}

/// `[[operator]]`
#[derive(Clone, Debug)]
pub struct Operator {
    pub name: String,
    pub password: String,
    pub class: String,
    /// The host that is shown of whoever becomes this operator.
    pub vhost: Option<String>,
}

/// `[operator_class.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorClass {
    /// With those of the classes that it inherits.
    pub rights: Vec<String>,
    pub inherits: Vec<String>,
    /// What WHOIS says that operators of this class are.
    pub title: String,
    /// Whether everyone may see who is one; else they have user mode `H` from OPER on.
    pub visible: bool,
    /// The letters of what they are told of from OPER on.
    pub topics: String,
}

impl Default for OperatorClass {
    fn default() -> OperatorClass {
        OperatorClass {
            rights: Vec::new(),
            inherits: Vec::new(),
            title: "an IRC operator".to_string(),
            visible: true,
            topics: String::new(),
        }
    }
}

impl Config {
    /// Whether accounts are registered on the way in; nobody gets by the server's password so.
    pub fn registers_before_connect(&self) -> bool {
        self.accounts.before_connect && self.server.password.is_empty()
    }

    /// Whether operators of a class have a right.
    pub fn class_has(&self, class: &str, right: &str) -> bool {
        let class = self.operator_class.get(class);
        class.is_some_and(|class| class.rights.iter().any(|has| has == right || has == "all"))
    }
}

/// `[limits]`: lengths in bytes, counts, and timeouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub flood: bool,
    pub rates: Rates,
    pub arrivals: Arrivals,
    pub connections_per_address: usize,
    pub clients_max: usize,
    pub nick_length: usize,
    pub username_length: usize,
    pub realname_length: usize,
    pub channel_length: usize,
    pub channels_per_user: usize,
    pub topic_length: usize,
    pub kick_length: usize,
    pub away_length: usize,
    pub key_length: usize,
    pub list_entries: usize,
    pub silence_entries: usize,
    pub accept_entries: usize,
    pub monitored_nicks: usize,
    pub events_kept: usize,
    pub messages_kept: usize,
    pub modes_per_line: usize,
    pub targets_per_message: usize,
    pub register_within: Duration,
    pub ping_after: Duration,
    pub pong_within: Duration,
    pub send_queue: usize,
    pub link_bytes_per_second: usize,
    pub keepalive_idle: Duration,
    pub keepalive_interval: Duration,
    pub keepalive_count: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            flood: true,
            rates: Rates::default(),
            arrivals: Arrivals::default(),
            connections_per_address: 64,
            clients_max: 10_000,
            nick_length: 30,
            username_length: 18,
            realname_length: 150,
            channel_length: 64,
            channels_per_user: 100,
            topic_length: 390,
            kick_length: 300,
            away_length: 300,
            key_length: 23,
            list_entries: 100,
            silence_entries: 32,
            accept_entries: 32,
            monitored_nicks: 100,
            events_kept: 2_000,
            messages_kept: 10_000,
            modes_per_line: 20,
            targets_per_message: 10,
            register_within: Duration::from_secs(30),
            ping_after: Duration::from_secs(90),
            pong_within: Duration::from_secs(30),
            send_queue: 1 << 20,
            link_bytes_per_second: 16 << 20,
            keepalive_idle: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(15),
            keepalive_count: 4,
        }
    }
}

/// A server name as close to the given text as the rules allow: letters, digits, hyphens, at least one dot.
pub fn fit_server_name(text: &str) -> String {
    let fit: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).take(59).collect();
    let parts: Vec<&str> =
        fit.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => "folkmoot.lan".to_string(),
        [one] => format!("{one}.lan"),
        _ => parts.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::names::ServerName;

    #[test]
    fn what_only_a_start_can_change_stays_and_is_named() {
        let running = Config::default();
        let mut config = Config::default();
        assert_eq!(config.keep_until_restart(&running), [""; 0]);
        config.server.name = Some("barn.lan".into());
        config.listen.irc.clear();
        config.limits.nick_length = 9;
        assert_eq!(config.keep_until_restart(&running), ["server.name", "listen.irc"]);
        assert_eq!(config.server.name, None);
        assert_eq!(config.listen.irc, running.listen.irc);
        assert_eq!(config.limits.nick_length, 9);
        assert_eq!(config.keep_until_restart(&running), [""; 0]);
    }

    #[test]
    fn any_host_name_can_be_made_a_server_name() {
        for (host, name) in [
            ("hall", "hall.lan"),
            ("hall.example", "hall.example"),
            ("my hall", "my-hall.lan"),
            ("hall.", "hall.lan"),
            ("..", "folkmoot.lan"),
            ("", "folkmoot.lan"),
            ("(none)", "none.lan"),
            ("Straße", "Stra-e.lan"),
        ] {
            assert_eq!(fit_server_name(host), name, "{host}");
            assert!(ServerName::parse(name).is_some(), "{name}");
        }
        assert!(ServerName::parse(&fit_server_name(&"a".repeat(80))).is_some());
    }
}
