//! From TOML text to settings: every fault is found in one go, each with its line and a likely fix.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use toml::de::DeTable;

use super::fit;
use super::section::{DURATION_MAX, Reader, Section, Table};
use super::{ADMINISTRATOR, Config, Link, Operator, OperatorClass, RIGHTS};
use crate::wire::names::{CHANNEL_BYTES_MAX, NICK_BYTES_MAX};

/// Something to say about one line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// What came of reading a text.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What was said rightly; the default wherever there is a fault.
    pub config: Config,
    /// With any of these the settings are not to be used.
    pub faults: Vec<Remark>,
    /// Accepted, but the admin should know.
    pub warnings: Vec<Remark>,
    /// Every key that the text gives, with its table: `network.name`.
    pub given: Vec<String>,
}

/// Reads settings as an admin wrote them.
pub fn read(text: &str) -> Reading {
    let mut reader = Reader::new(text);
    let (document, broken) = DeTable::parse_recoverable(text);
    for fault in &broken {
        let line = fault.span().map_or(1, |span| reader.line(span.start));
        reader.fault(line, fault.message().to_string());
    }
    let lines_broken: Vec<usize> = reader.reading.faults.iter().map(|fault| fault.line).collect();
    reader.document(document.get_ref());

    let mut reading = reader.reading;
    // What was guessed in place of a broken line is not the admin's, so nothing is said of it.
    let mut of_syntax = broken.len();
    reading.faults.retain(|fault| {
        let keep = of_syntax > 0 || !lines_broken.contains(&fault.line);
        of_syntax = of_syntax.saturating_sub(1);
        keep
    });
    reading.faults.sort_by_key(|fault| fault.line);
    reading.warnings.sort_by_key(|warning| warning.line);
    reading
}

/// Every key there is, with its table: `limits.ping_after`, `link.name`, `operator_class.rights`.
pub fn keys() -> Vec<String> {
    let text = "[[link]]\n[[operator]]\n[[gateway]]\n[[accounts.token]]\n[operator_class.any]\n";
    let mut reader = Reader::new(text);
    reader.document(DeTable::parse(text).expect("empty tables").get_ref());
    reader.asked
}

impl Reader<'_> {
    fn document(&mut self, document: &Table<'_>) {
        let mut root = Section::new(self, "", document);
        root.table("server", |section| section.server());
        root.table("network", |section| section.network());
        root.table("listen", |section| section.listen());
        root.table("tls", |section| section.tls());
        root.table("discovery", |section| section.discovery());
        root.tables("link", |section| section.link());
        root.classes("operator_class");
        root.tables("operator", |section| section.operator());
        root.table("cloak", |section| section.cloak());
        root.table("dns", |section| section.dns());
        root.tables("gateway", |section| section.gateway());
        root.table("limits", |section| section.limits());
        root.table("talk", |section| section.talk());
        root.table("metadata", |section| section.metadata());
        root.table("history", |section| section.history());
        root.table("accounts", |section| section.accounts());
        root.table("metrics", |section| section.without_effect(&["listen"]));
        root.finish();
    }
}

/// The keys of each table, in the manual's order.
impl Section<'_, '_, '_> {
    fn server(&mut self) {
        let mut server = std::mem::take(&mut self.reader.reading.config.server);
        self.optional("name", &mut server.name, fit::server_name);
        self.text("description", &mut server.description, fit::one_line);
        self.optional("host", &mut server.host, fit::host);
        self.optional("sid", &mut server.sid, fit::sid);
        self.optional("data", &mut server.data, fit::path);
        self.optional("motd", &mut server.motd, fit::path);
        self.optional("motd_text", &mut server.motd_text, fit::any);
        self.optional("rules_text", &mut server.rules_text, fit::any);
        self.text("password", &mut server.password, fit::password);
        self.warn_if_plain("password", &server.password);
        self.list("admin", &mut server.admin, fit::one_line);
        self.list("withheld_capabilities", &mut server.withheld_capabilities, fit::word);
        if server.motd.is_some() && server.motd_text.is_some() {
            self.fault_at("motd_text", "motd and motd_text both say what to greet with; leave one out");
        }
        if server.admin.len() > 3 {
            self.fault_at("admin", "ADMIN has room for three lines: where, what, and whom to write to");
        }
        self.reader.reading.config.server = server;
    }

    fn network(&mut self) {
        let mut network = std::mem::take(&mut self.reader.reading.config.network);
        self.text("name", &mut network.name, fit::network_name);
        self.optional("icon", &mut network.icon, fit::icon);
        self.optional("secret_file", &mut network.secret_file, fit::path);
        self.duration("old_secret_for", &mut network.old_secret_for);
        self.duration("hold", &mut network.hold);
        self.duration("forget_after", &mut network.forget_after);
        self.duration("clock_warn", &mut network.clock_warn);
        self.duration("clock_refuse", &mut network.clock_refuse);
        self.flag("compression", &mut network.compression);
        self.reader.reading.config.network = network;
    }

    fn listen(&mut self) {
        let mut listen = std::mem::take(&mut self.reader.reading.config.listen);
        self.list("irc", &mut listen.irc, |text| fit::address(text, 6667));
        self.list("ircs", &mut listen.ircs, |text| fit::address(text, 6697));
        self.list("link", &mut listen.link, |text| fit::address(text, 6900));
        self.list("web", &mut listen.web, |text| fit::address(text, 8067));
        if !listen.web.is_empty() {
            self.warn_without_effect("web");
        }
        let lists = [("irc", &listen.irc), ("ircs", &listen.ircs), ("link", &listen.link)];
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (list, address) in
            lists.iter().flat_map(|(list, names)| names.iter().map(|name| (*list, name.as_str())))
        {
            // Port 0 is another one each time.
            if let Some(first) = taken.get(address).filter(|_| !address.ends_with(":0")) {
                self.fault_at(
                    list,
                    &format!("{address} stands in listen.{first} already; each needs a port of its own"),
                );
            }
            taken.insert(address, list);
        }
        self.reader.reading.config.listen = listen;
    }

    fn tls(&mut self) {
        let mut tls = std::mem::take(&mut self.reader.reading.config.tls);
        self.optional("certificate", &mut tls.certificate, fit::path);
        self.optional("key", &mut tls.key, fit::path);
        self.flag("sts", &mut tls.sts);
        self.number("sts_port", &mut tls.sts_port, 1, 65_535);
        self.duration_within("sts_duration", &mut tls.sts_duration, Duration::ZERO, DURATION_MAX);
        if tls.sts && tls.certificate.is_none() {
            self.fault_at(
                "sts",
                "needs tls.certificate, of an authority that clients know; with the self-made one they could not come back",
            );
        }
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => {
                self.fault_at("certificate", "needs tls.key beside it: the certificate's private key")
            }
            (None, Some(_)) => {
                self.fault_at("key", "needs tls.certificate beside it: the chain, the server's own first")
            }
            _ => {}
        }
        self.reader.reading.config.tls = tls;
    }

    fn discovery(&mut self) {
        let mut discovery = std::mem::take(&mut self.reader.reading.config.discovery);
        self.flag("enabled", &mut discovery.enabled);
        self.flag("link", &mut discovery.link);
        self.number("port", &mut discovery.port, 1, 65_535);
        self.flag("mdns", &mut discovery.mdns);
        self.number("compat_port", &mut discovery.compat_port, 0, 65_535);
        if discovery.compat_port == discovery.port {
            self.fault_at("compat_port", "discovery.port is that one already; each needs a port of its own");
        }
        self.reader.reading.config.discovery = discovery;
    }

    fn link(&mut self) {
        let mut link = Link { name: String::new(), address: String::new(), pin: None, connect: true };
        self.text("name", &mut link.name, fit::server_name);
        self.text("address", &mut link.address, |text| fit::address(text, 6900));
        self.optional("pin", &mut link.pin, fit::pin);
        self.flag("connect", &mut link.connect);
        let mut dialect = "mesh".to_string();
        self.text("dialect", &mut dialect, |text| fit::one_of(text, &["mesh", "classic", "hybrid"]));
        if dialect != "mesh" {
            self.warn_without_effect("dialect");
        }
        self.without_effect(&["password", "send_password", "accept_password", "services"]);
        self.need("name");
        if link.connect {
            self.need("address");
        }
        let known = &self.reader.reading.config.link;
        if !link.name.is_empty() && known.iter().any(|other| other.name.eq_ignore_ascii_case(&link.name)) {
            self.fault_at(
                "name",
                &format!("a link named \"{}\" stands above already; each server once", link.name),
            );
        }
        self.reader.reading.config.link.push(link);
    }

    fn operator(&mut self) {
        let mut operator = Operator {
            name: String::new(),
            password: String::new(),
            class: ADMINISTRATOR.to_string(),
            vhost: None,
        };
        self.text("name", &mut operator.name, fit::word);
        self.text("password", &mut operator.password, fit::password);
        self.warn_if_plain("password", &operator.password);
        let classes: Vec<String> = self.reader.reading.config.operator_class.keys().cloned().collect();
        self.text("class", &mut operator.class, |text| {
            fit::one_of(text, &classes.iter().map(String::as_str).collect::<Vec<_>>())
        });
        self.optional("vhost", &mut operator.vhost, fit::shown_host);
        self.need("name");
        self.need("password");
        if self.gives("password") && operator.password.is_empty() {
            self.fault_at(
                "password",
                "must not be empty, or anybody could be an operator; `folkmoot hash-password` makes one",
            );
        }
        let known = &self.reader.reading.config.operator;
        if !operator.name.is_empty() && known.iter().any(|other| other.name == operator.name) {
            self.fault_at(
                "name",
                &format!(
                    "an operator named \"{}\" stands above already; give this one another name",
                    operator.name
                ),
            );
        }
        self.reader.reading.config.operator.push(operator);
    }

    /// One class, of those with these names.
    pub(super) fn operator_class(&mut self, classes: &[&str]) -> OperatorClass {
        let rights: Vec<&str> = RIGHTS.iter().map(|(name, _)| *name).collect();
        let mut class = OperatorClass::default();
        self.list("rights", &mut class.rights, |text| fit::one_of(text, &rights));
        self.list("inherits", &mut class.inherits, |text| fit::one_of(text, classes));
        self.text("title", &mut class.title, fit::title);
        self.flag("visible", &mut class.visible);
        self.text("topics", &mut class.topics, fit::topics);
        class
    }

    fn limits(&mut self) {
        let mut limits = std::mem::take(&mut self.reader.reading.config.limits);
        self.flag("flood", &mut limits.flood);
        self.rates(&mut limits.rates);
        self.arrivals(&mut limits.arrivals);
        self.number("connections_per_address", &mut limits.connections_per_address, 0, 1_000_000);
        self.number("clients_max", &mut limits.clients_max, 1, 1_000_000);
        // The lengths' upper ends leave room for the rest of a line of 512 bytes.
        self.number("nick_length", &mut limits.nick_length, 1, NICK_BYTES_MAX as u64);
        self.number("username_length", &mut limits.username_length, 1, 32);
        self.number("realname_length", &mut limits.realname_length, 1, 300);
        self.number("channel_length", &mut limits.channel_length, 1, CHANNEL_BYTES_MAX as u64);
        self.number("channels_per_user", &mut limits.channels_per_user, 1, 100_000);
        self.number("topic_length", &mut limits.topic_length, 1, 390);
        self.number("kick_length", &mut limits.kick_length, 1, 390);
        self.number("away_length", &mut limits.away_length, 1, 390);
        self.number("key_length", &mut limits.key_length, 1, 64);
        self.number("list_entries", &mut limits.list_entries, 1, 10_000);
        self.number("silence_entries", &mut limits.silence_entries, 0, 1_000);
        self.number("accept_entries", &mut limits.accept_entries, 0, 1_000);
        self.number("monitored_nicks", &mut limits.monitored_nicks, 1, 10_000);
        self.number("events_kept", &mut limits.events_kept, 0, 1_000_000);
        self.number("messages_kept", &mut limits.messages_kept, 0, 1_000_000);
        self.number("modes_per_line", &mut limits.modes_per_line, 1, 100);
        self.number("targets_per_message", &mut limits.targets_per_message, 1, 100);
        self.duration("register_within", &mut limits.register_within);
        self.duration("ping_after", &mut limits.ping_after);
        self.duration("pong_within", &mut limits.pong_within);
        self.number("send_queue", &mut limits.send_queue, 16_384, 1 << 30);
        self.number("link_bytes_per_second", &mut limits.link_bytes_per_second, 0, 1 << 40);
        // What Linux takes; a socket that it refuses to set up could serve nobody.
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(9 * 3600));
        self.duration_within("keepalive_idle", &mut limits.keepalive_idle, least, most);
        self.duration_within("keepalive_interval", &mut limits.keepalive_interval, least, most);
        self.number("keepalive_count", &mut limits.keepalive_count, 1, 127);
        self.reader.reading.config.limits = limits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_names_its_line_what_was_expected_and_a_likely_fix() {
        for (text, line, expected) in [
            ("[server]\nnmae = \"a.lan\"", 2, "did you mean `name`?"),
            ("[sever]\nname = \"a.lan\"", 1, "did you mean `server`?"),
            ("[server]\nping_after = \"90s\"", 2, "`ping_after` is not a key of [server]"),
            ("[server]\nname = 7", 2, "server.name: expected text in quotes, found 7"),
            ("[server]\nname = \"hall\"", 2, "perhaps \"hall.lan\""),
            ("[server]\nname = \"my hall.lan\"", 2, "perhaps \"my-hall.lan\""),
            ("[server]\nsid = \"7fa\"", 2, "perhaps \"7FA\""),
            ("[server]\nsid = \"FA\"", 2, "a digit and two"),
            ("[server]\nmotd = \"a\"\nmotd_text = \"b\"", 3, "leave one out"),
            ("[server]\npassword = \"$argon2id$v=19$m=1\"", 2, "damaged"),
            ("[server]\npassword = \"$2y$10$abc\"", 2, "expected an argon2 hash"),
            ("[network]\nname = \"Two Words\"", 2, "perhaps \"TwoWords\""),
            ("\n\n[limits]\nping_after = \"90x\"", 4, "found \"90x\"; perhaps \"90s\""),
            ("[limits]\nping_after = 90", 2, "found 90; perhaps \"90s\""),
            ("[limits]\nping_after = \"0s\"", 2, "longer than nothing"),
            ("[limits]\nping_after = \"3651d\"", 2, "from \"1ms\" to \"3650d\""),
            ("[limits]\nkeepalive_idle = \"10ms\"", 2, "from \"1s\" to \"9h\""),
            ("[limits]\nkeepalive_interval = \"10h\"", 2, "from \"1s\" to \"9h\""),
            ("[listen]\nirc = [\"a:1\"]\nircs = [\"a:2\", \"a:1\"]", 3, "a:1 stands in listen.irc already"),
            ("[limits]\nnick_length = 65", 2, "from 1 to 64, found 65; nearest is 64"),
            ("[limits]\nnick_length = -1", 2, "nearest is 1"),
            ("[limits]\nnick_length = \"30\"", 2, "write 30, without quotes"),
            ("[limits]\nflood = \"no\"", 2, "write false, without quotes"),
            ("[listen]\nirc = [\"0.0.0.0\"]", 2, "perhaps \"0.0.0.0:6667\""),
            ("[listen]\nirc = [\n  \"0.0.0.0:6667\",\n  \"::1\",\n]", 4, "perhaps \"[::1]:6667\""),
            ("[listen]\nircs = \"0.0.0.0:6697\"", 2, "write ircs = [\"0.0.0.0:6697\"]"),
            ("[listen]\nlink = [\":6900\"]", 2, "perhaps \"0.0.0.0:6900\""),
            ("[listen]\nlink = [\"hall.lan:69000\"]", 2, "perhaps \"hall.lan:6900\""),
            ("[listen]\nlink = [6900]", 2, "expected text in quotes, found 6900"),
            ("[tls]\nsts = true", 2, "needs tls.certificate"),
            ("[network]\nicon = \"icon.png\"", 2, "expected the https:// address of a picture"),
            ("[network]\nicon = \"https://a b\"", 2, "without spaces"),
            ("[tls]\ncertificate = \"a.pem\"", 2, "needs tls.key beside it"),
            ("[tls]\nkey = \"a.pem\"", 2, "needs tls.certificate beside it"),
            ("[discovery]\nport = 0", 2, "from 1 to 65535"),
            ("[[link]]\nname = \"a.lan\"", 2, "needs `address`"),
            ("[[link]]\nname = \"a.lan\"\naddress = \"a:1\"\npin = \"sha256:12\"", 4, "this has 2 digits"),
            (
                "[[link]]\nname=\"a.b\"\nconnect=false\n[[link]]\nname=\"A.b\"\nconnect=false",
                5,
                "stands above already",
            ),
            ("[[link]]\nname=\"a.b\"\nconnect=false\ndialect=\"hybird\"", 4, "did you mean \"hybrid\"?"),
            ("[link]\nname = \"a.lan\"", 1, "write [[link]], with two brackets"),
            (
                "[[operator]]\nname=\"a\"\npassword=\"b\"\nclass=\"adminstrator\"",
                4,
                "did you mean \"administrator\"?",
            ),
            (
                "[[operator]]\nname=\"a\"\npassword=\"b\"\n[[operator]]\nname=\"a\"\npassword=\"b\"",
                5,
                "stands above already",
            ),
            ("[[operator]]\nname=\"a\"\npassword=\"\"", 3, "must not be empty"),
            ("[operator_class.helper]\nrights = [\"kil\"]", 2, "did you mean \"kill\"?"),
            ("[cloak]\nwho = \"pubic\"", 2, "did you mean \"public\"?"),
            ("[cloak]\nkey = \"short\"", 2, "at least 16 characters, found 5"),
            ("[[gateway]]\nname = \"web\"\npassword = \"a\"", 2, "needs `addresses`"),
            ("[[gateway]]\nname = \"web\"\naddresses = [\"10.0.0.0/8\"]", 2, "needs `password`"),
            (
                "[[gateway]]\nname=\"w\"\nspeaks=\"proxy\"\naddresses=[\"::1\"]\ncertificate=\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"",
                5,
                "comes before TLS",
            ),
            ("[[gateway]]\nname=\"w\"\npassword=\"\"\naddresses=[\"::1\"]", 3, "must not be empty"),
            ("[[gateway]]\nname=\"w\"\nspeaks=\"proxy\"\naddresses=[\"lan\"]", 4, "such as \"10.0.0.0/8\""),
            (
                "[[gateway]]\nname=\"w\"\nspeaks=\"proxy\"\naddresses=[\"::1\"]\npassword=\"a\"",
                5,
                "has none; leave it out",
            ),
            ("[[operator]]\nname=\"a\"\npassword=\"b\"\nvhost=\"a b\"", 4, "found \"a b\""),
            ("[operator_class.helper]\ninherits = [\"heper\"]", 2, "did you mean \"helper\"?"),
            ("[operator_class.helper]\ntitle = \"\"", 2, "must not be empty"),
            ("[operator_class.helper]\ntopics = \"k%\"", 2, "there is no topic `%`"),
            ("[operator_class.\"a b\"]\nrights = [\"kill\"]", 1, "a b"),
            ("[server]\nname = ", 2, ""),
            ("[limits]\nflood = true\nflood = true", 3, "duplicate"),
        ] {
            let faults = read(text).faults;
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            assert_eq!(faults[0].line, line, "{text}: {faults:?}");
            assert!(faults[0].text.contains(expected), "{text}: {faults:?}");
        }
    }

    #[test]
    fn all_faults_are_reported_at_once_in_the_order_of_their_lines() {
        let text = "[limits]\nping_after = 1\n[server]\nsid = 7\n= 3\nnmae = \"x\"\n[[operator]]\nname = \"a\"\npassword = \"b\"\nclass = \"none\"\n";
        let lines: Vec<usize> = read(text).faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 4, 5, 6, 10]);
    }

    #[test]
    fn what_is_allowed_but_unwise_is_said() {
        for (text, line, expected) in [
            ("[[operator]]\nname = \"a\"\npassword = \"plain\"", 3, "hash-password"),
            ("[server]\npassword = \"plain\"", 2, "hash-password"),
            ("[metrics]\nlisten = []", 2, "metrics.listen has no effect in this version"),
            ("[listen]\nweb = [\"0.0.0.0:8067\"]", 2, "listen.web has no effect"),
            ("[[link]]\nname=\"a.b\"\nconnect=false\ndialect=\"hybrid\"", 4, "link.dialect has no effect"),
            ("[[link]]\nname=\"a.b\"\nconnect=false\nservices=true", 4, "link.services has no effect"),
        ] {
            let Reading { faults, warnings, .. } = read(text);
            assert!(faults.is_empty(), "{text}: {faults:?}");
            assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
            assert_eq!(warnings[0].line, line, "{text}");
            assert!(warnings[0].text.contains(expected), "{text}: {warnings:?}");
        }
    }

    #[test]
    fn what_is_written_is_what_counts() {
        let reading = read(
            "[server]\nname = \"hall.lan\"\nsid = \"7FA\"\nadmin = [\"Ada\"]\n[listen]\nirc = []\nlink = [\"hall.lan:0\", \"[::]:6900\"]\n\
             [limits]\nping_after = \"250ms\"\nclients_max = 7\n[operator_class.helper]\nrights = [\"kill\", \"see-all\"]\n\
             [[operator]]\nname = \"a\"\npassword = \"b\"\nclass = \"helper\"\n[[link]]\nname = \"barn.lan\"\naddress = \"10.0.0.2:6900\"\n",
        );
        assert!(reading.faults.is_empty(), "{:?}", reading.faults);
        let config = reading.config;
        assert_eq!(config.server.name.as_deref(), Some("hall.lan"));
        assert_eq!(config.server.admin, ["Ada"]);
        assert!(config.listen.irc.is_empty());
        assert_eq!(config.listen.ircs, ["0.0.0.0:6697"]);
        assert_eq!(config.listen.link, ["hall.lan:0", "[::]:6900"]);
        assert_eq!(config.limits.ping_after, Duration::from_millis(250));
        assert_eq!(config.limits.clients_max, 7);
        assert_eq!(config.operator_class["helper"].rights, ["kill", "see-all"]);
        assert_eq!(config.operator_class[ADMINISTRATOR].rights, ["all"]);
        assert_eq!(config.operator[0].class, "helper");
        assert!(config.link[0].connect);
        assert!(reading.given.contains(&"server.sid".to_string()));
        assert!(!reading.given.contains(&"network.name".to_string()));
    }

    #[test]
    fn a_class_has_the_rights_of_those_it_inherits_in_whatever_order_they_stand() {
        let reading = read(
            "[operator_class.a]\nrights = [\"kill\"]\ninherits = [\"b\", \"c\"]\n\
             [operator_class.b]\nrights = [\"stats\"]\ninherits = [\"c\"]\n\
             [operator_class.c]\nrights = [\"ban\"]\ninherits = [\"b\"]\n",
        );
        assert!(reading.faults.is_empty(), "{:?}", reading.faults);
        let config = reading.config;
        for (class, right, has) in [
            ("a", "kill", true),
            ("a", "stats", true),
            ("a", "ban", true),
            ("b", "ban", true),
            ("c", "stats", true),
            ("c", "kill", false),
            ("a", "rehash", false),
            ("administrator", "rehash", true),
            ("nobody", "kill", false),
        ] {
            assert_eq!(config.class_has(class, right), has, "{class} {right}");
        }
    }

    #[test]
    fn the_manual_gives_the_defaults_and_nothing_else() {
        let Reading { config, faults, warnings, .. } = read(include_str!("../../config/folkmoot.toml"));
        assert!(faults.is_empty(), "{faults:?}");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    /// The manual with every commented-out table and key in force.
    fn manual_uncommented() -> String {
        let is_setting = |line: &str| {
            let key = line.split(" = ").next().unwrap_or_default();
            line.starts_with('[')
                || key.len() < line.len() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let manual = include_str!("../../config/folkmoot.toml");
        let lines = manual
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_example_in_the_manual_can_be_taken_as_it_is() {
        let Reading { faults, warnings, given, .. } = read(&manual_uncommented());
        // The manual shows both ways to give a greeting.
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].text.contains("motd_text"), "{faults:?}");
        assert!(warnings.iter().all(|warning| warning.text.contains("no effect")), "{warnings:?}");
        for key in keys() {
            assert!(given.contains(&key), "{key} is not in the manual");
        }
    }

    #[test]
    fn known_keys_carry_their_table() {
        let keys = keys();
        for key in ["server.name", "limits.ping_after", "link.pin", "operator_class.rights", "history.keep"] {
            assert!(keys.iter().any(|known| known == key), "{key}");
        }
    }
}
