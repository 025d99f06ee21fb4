//! Every token of 005 is proved by act: whatever a server says that it can do, it is seen to do, and no more.

#[path = "support/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "support/disk.rs"]
// Each test takes what it needs of it.
#[allow(dead_code)]
mod disk;
#[path = "support/simulated.rs"]
#[allow(dead_code)]
mod simulated;
#[allow(dead_code)]
mod support;

use std::collections::BTreeMap;

use simulated::Simulated;
use support::stage::{Door, Heard, Stage};

/// Low enough that a test can go beyond each limit.
const SETTINGS: &str = r#"
    [server]
    sid = "1AA"
    [network]
    name = "Moot"
    icon = "https://chat.example.org/icon.png?size={size}"
    [limits]
    flood = false
    silence_entries = 2
    accept_entries = 1
    channels_per_user = 3
    list_entries = 6
    modes_per_line = 4
    targets_per_message = 3
    monitored_nicks = 2
    [history]
    most_at_once = 10
    replay_on_join = 0
    [[operator]]
    name = "ada"
    password = "lovelace"
"#;

/// One server, and the people on it.
struct Hall {
    stage: Simulated,
    heard: BTreeMap<String, Vec<String>>,
    tokens: BTreeMap<String, String>,
}

impl Hall {
    /// Ada runs #green, and is an operator of the network; bob and cyd are on it.
    fn open() -> Hall {
        let settings: toml::Table = SETTINGS.parse().expect("settings");
        let mut stage = Simulated::default();
        stage.configure("hall", &settings).expect("settings are taken");
        stage.start("hall").expect("the server starts");
        let mut hall = Hall { stage, heard: BTreeMap::new(), tokens: BTreeMap::new() };
        for (person, caps) in
            [("ada", "multi-prefix"), ("bob", "message-tags standard-replies setname"), ("cyd", "")]
        {
            hall.arrive(person, caps);
        }
        hall.say("ada", "OPER ada lovelace");
        for person in ["ada", "bob", "cyd"] {
            hall.say(person, "JOIN #green");
        }
        hall.say("ada", "JOIN #other");
        let lines = hall.say("cyd", "VERSION");
        for line in lines.iter().filter(|line| line.contains(" 005 ")) {
            let tokens = line.split_once(" 005 cyd ").expect("it is for cyd").1;
            let tokens = tokens.strip_suffix(" :are supported by this server").expect("it says what it is");
            for token in tokens.split(' ') {
                let (name, value) = token.split_once('=').unwrap_or((token, ""));
                let before = hall.tokens.insert(name.to_string(), value.to_string());
                assert_eq!(before, None, "{name} is said twice");
            }
        }
        hall
    }

    fn arrive(&mut self, person: &str, caps: &str) {
        self.stage.connect(person, "hall", Door::Plain).expect("there is room");
        if !caps.is_empty() {
            self.say(person, &format!("CAP REQ :{caps}"));
        }
        self.say(person, &format!("NICK {person}"));
        self.say(person, &format!("USER {person} 0 * :{person}"));
        if !caps.is_empty() {
            self.say(person, "CAP END");
        }
    }

    /// Says a line, and answers with what the speaker hears of it; what others hear is kept until asked for.
    fn say(&mut self, person: &str, line: &str) -> Vec<String> {
        self.say_bytes(person, line.as_bytes())
    }

    fn say_bytes(&mut self, person: &str, line: &[u8]) -> Vec<String> {
        self.heard.clear();
        self.stage.say(person, line).expect("somebody says something");
        for (person, heard) in self.stage.hear().expect("the network comes to rest") {
            let line = match heard {
                Heard::Line(line) => line,
                Heard::Closed => "*closed*".to_string(),
            };
            self.heard.entry(person).or_default().push(line);
        }
        self.heard(person)
    }

    /// What somebody heard because of the latest line.
    fn heard(&self, person: &str) -> Vec<String> {
        self.heard.get(person).cloned().unwrap_or_default()
    }

    /// Whether the answer has this numeric, or not.
    fn is_answered(&mut self, person: &str, line: &str, numeric: &str) -> bool {
        self.say(person, line).iter().any(|answer| answer.split(' ').nth(1) == Some(numeric))
    }

    fn number(&self, token: &str) -> usize {
        let value = &self.tokens[token];
        value.parse().unwrap_or_else(|_| panic!("{token}={value} is no number"))
    }
}

/// What follows the last colon of the first line with this word in it.
fn trailing<'l>(lines: &'l [String], word: &str) -> &'l str {
    let line = lines.iter().find(|line| line.split(' ').any(|other| other == word));
    let line = line.unwrap_or_else(|| panic!("no {word} in {lines:?}"));
    line[1..].split_once(" :").map_or("", |(_, text)| text)
}

fn has(lines: &[String], part: &str) -> bool {
    lines.iter().any(|line| line.contains(part))
}

type Proof = fn(&mut Hall, &str);

const PROOFS: &[(&str, Proof)] = &[
    ("ACCEPT", |hall, _| {
        assert_eq!(hall.number("ACCEPT"), 1);
        assert!(!hall.is_answered("ada", "ACCEPT bob", "456"));
        assert!(hall.is_answered("ada", "ACCEPT cyd", "456"));
        hall.say("ada", "ACCEPT -bob");
    }),
    ("ACCOUNTEXTBAN", |hall, names| {
        let sign = hall.tokens["EXTBAN"].split(',').next().unwrap_or_default().to_string();
        for name in names.split(',') {
            // Bob is logged in to no account, which is called 0.
            hall.say("ada", &format!("MODE #green +b {sign}{name}:nobody"));
            assert!(!hall.is_answered("bob", "PRIVMSG #green :hello", "404"), "{name}");
            hall.say("ada", &format!("MODE #green -b+b {sign}{name}:nobody {sign}{name}:0"));
            assert!(hall.is_answered("bob", "PRIVMSG #green :hello", "404"), "{name}");
            hall.say("ada", &format!("MODE #green -b {sign}{name}:0"));
        }
    }),
    ("AWAYLEN", |hall, _| {
        let most = hall.number("AWAYLEN");
        hall.say("bob", &format!("AWAY :{}", "z".repeat(most + 1)));
        let lines = hall.say("cyd", "WHOIS bob");
        assert_eq!(trailing(&lines, "301"), "z".repeat(most));
        hall.say("bob", "AWAY");
    }),
    ("BOT", |hall, letter| {
        hall.say("bob", &format!("MODE bob +{letter}"));
        let lines = hall.say("cyd", "WHO bob");
        assert!(has(&lines, &format!(" bob H{letter} :")), "{lines:?}");
        assert!(hall.is_answered("cyd", "WHOIS bob", "335"));
        hall.say("bob", &format!("MODE bob -{letter}"));
        assert!(!hall.is_answered("cyd", "WHOIS bob", "335"));
    }),
    ("CALLERID", |hall, letter| {
        hall.say("cyd", &format!("MODE cyd +{letter}"));
        assert!(hall.is_answered("bob", "PRIVMSG cyd :hello", "716"));
        hall.say("cyd", &format!("MODE cyd -{letter}"));
        assert!(!hall.is_answered("bob", "PRIVMSG cyd :hello", "716"));
    }),
    ("CASEMAPPING", |hall, mapping| {
        assert_eq!(mapping, "ascii");
        assert!(hall.is_answered("cyd", "NICK BOB", "433"));
        hall.say("cyd", "NICK c[]");
        assert!(!hall.is_answered("bob", "NICK C{}", "433"));
        hall.say("bob", "NICK bob");
        hall.say("cyd", "NICK cyd");
    }),
    ("CHANLIMIT", |hall, limit| {
        let most: usize = limit.strip_prefix("#:").and_then(|most| most.parse().ok()).expect("a number");
        for number in 1..most {
            assert!(!hall.is_answered("cyd", &format!("JOIN #c{number}"), "405"));
        }
        assert!(hall.is_answered("cyd", "JOIN #beyond", "405"));
        for number in 1..most {
            hall.say("cyd", &format!("PART #c{number}"));
        }
    }),
    ("CHANMODES", |hall, kinds| {
        let kinds: Vec<&str> = kinds.split(',').collect();
        let [lists, keys, limits, flags] = kinds[..] else { panic!("four kinds, not {kinds:?}") };
        for letter in lists.chars() {
            let lines = hall.say("ada", &format!("MODE #green +{letter} x!*@*"));
            assert!(has(&lines, &format!("MODE #green +{letter} x!*@*")), "{letter}: {lines:?}");
            let lines = hall.say("ada", &format!("MODE #green {letter}"));
            assert!(has(&lines, "x!*@*"), "{letter}: {lines:?}");
            let lines = hall.say("ada", &format!("MODE #green -{letter} x!*@*"));
            assert!(has(&lines, &format!("MODE #green -{letter} x!*@*")), "{letter}: {lines:?}");
        }
        for letter in keys.chars().chain(limits.chars()) {
            let lines = hall.say("ada", &format!("MODE #green +{letter}"));
            assert!(!has(&lines, &format!("MODE #green +{letter}")), "{letter} needs a value: {lines:?}");
            let set = VALUES.iter().find_map(|value| {
                let lines = hall.say("ada", &format!("MODE #green +{letter} {value}"));
                has(&lines, &format!("MODE #green +{letter} {value}")).then_some(*value)
            });
            let value = set.unwrap_or_else(|| panic!("{letter} takes none of {VALUES:?}"));
            let unset =
                if keys.contains(letter) { format!("-{letter} {value}") } else { format!("-{letter}") };
            let lines = hall.say("ada", &format!("MODE #green {unset}"));
            assert!(lines.iter().any(|line| line.ends_with(&format!("MODE #green {unset}"))), "{lines:?}");
        }
        for letter in flags.chars() {
            let was_set = trailing_modes(hall).contains(letter);
            for sign in if was_set { ["-", "+"] } else { ["+", "-"] } {
                let lines = hall.say("ada", &format!("MODE #green {sign}{letter}"));
                let told = format!("MODE #green {sign}{letter}");
                assert!(lines.iter().any(|line| line.ends_with(&told)), "{letter}: {lines:?}");
            }
        }
    }),
    ("CHANNELLEN", |hall, _| {
        let most = hall.number("CHANNELLEN");
        let longest = format!("#{}", "c".repeat(most - 1));
        assert!(hall.is_answered("bob", &format!("JOIN {longest}c"), "403"));
        assert!(hall.is_answered("bob", &format!("JOIN {longest}"), "366"));
        hall.say("bob", &format!("PART {longest}"));
    }),
    ("CHANTYPES", |hall, types| {
        for sign in "#&+!".chars() {
            let is_type = types.contains(sign);
            assert_eq!(hall.is_answered("bob", &format!("JOIN {sign}typed"), "366"), is_type, "{sign}");
            if is_type {
                hall.say("bob", &format!("PART {sign}typed"));
            }
        }
    }),
    ("DEAF", |hall, letter| {
        hall.say("cyd", &format!("MODE cyd +{letter}"));
        hall.say("bob", "PRIVMSG #green :hello");
        assert!(hall.heard("cyd").is_empty() && !hall.heard("ada").is_empty());
        hall.say("cyd", &format!("MODE cyd -{letter}"));
        hall.say("bob", "PRIVMSG #green :hello");
        assert!(!hall.heard("cyd").is_empty());
    }),
    ("ELIST", |hall, kinds| {
        let listed = |hall: &mut Hall, what: &str| has(&hall.say("cyd", &format!("LIST {what}")), " #green ");
        hall.say("ada", "TOPIC #green :harvest");
        for (kind, yes, no) in [
            ('C', "C<60", "C>60"),
            ('M', "*ree*", "*blu*"),
            ('N', "!*blu*", "!*ree*"),
            ('T', "T<60", "T>60"),
            ('U', ">2", "<3"),
        ] {
            assert!(kinds.contains(kind), "{kind} can be done and is not told of");
            assert!(listed(hall, yes) && !listed(hall, no), "{kind}");
        }
        assert_eq!(kinds.len(), 5);
    }),
    ("EXCEPTS", |hall, letter| {
        hall.arrive("eva", "");
        hall.say("ada", "MODE #green +b eva!*@*");
        assert!(hall.is_answered("eva", "JOIN #green", "474"));
        hall.say("ada", &format!("MODE #green +{letter} eva!*@*"));
        assert!(hall.is_answered("eva", "JOIN #green", "366"));
        hall.say("eva", "QUIT");
        hall.say("ada", &format!("MODE #green -b{letter} eva!*@* eva!*@*"));
    }),
    ("EXTBAN", |hall, value| {
        let (sign, letters) = value.split_once(',').expect("a sign and letters");
        for letter in letters.chars() {
            // Each needs nothing behind it, a pattern, or another entry.
            let forms = [String::new(), ":x".to_string(), ":#green".to_string(), ":x!*@*".to_string()];
            let is_taken = forms.iter().any(|form| {
                let lines = hall.say("ada", &format!("MODE #green +b {sign}{letter}{form}"));
                let set = lines
                    .iter()
                    .find_map(|line| line.split_once("MODE #green +b "))
                    .map(|(_, mask)| mask.to_string());
                let is_set = set.is_some();
                set.into_iter().for_each(|mask| drop(hall.say("ada", &format!("MODE #green -b {mask}"))));
                is_set
            });
            assert!(is_taken, "{letter}");
        }
        assert!(hall.is_answered("ada", &format!("MODE #green +b {sign}J:x"), "696"), "no such letter");
        hall.say("ada", &format!("MODE #green +b {sign}m:bob!*@*"));
        assert!(hall.is_answered("bob", "PRIVMSG #green :hello", "404"));
        hall.say("ada", &format!("MODE #green -b {sign}mute:bob!*@*"));
        assert!(!hall.is_answered("bob", "PRIVMSG #green :hello", "404"));
    }),
    ("HOSTLEN", |hall, _| {
        let most = hall.number("HOSTLEN");
        let (longest, longer) = ("h".repeat(most), "h".repeat(most + 1));
        hall.say("ada", &format!("CHGHOST cyd {longer}"));
        assert!(has(&hall.say("bob", "WHOIS cyd"), " 311 bob cyd cyd 127.0.0.1 "));
        hall.say("ada", &format!("CHGHOST cyd {longest}"));
        assert!(has(&hall.say("bob", "WHOIS cyd"), &format!(" 311 bob cyd cyd {longest} ")));
        hall.say("ada", "CHGHOST cyd 127.0.0.1");
    }),
    ("INVEX", |hall, letter| {
        hall.arrive("ivy", "");
        hall.say("ada", "MODE #green +i");
        assert!(hall.is_answered("ivy", "JOIN #green", "473"));
        hall.say("ada", &format!("MODE #green +{letter} ivy!*@*"));
        assert!(hall.is_answered("ivy", "JOIN #green", "366"));
        hall.say("ivy", "QUIT");
        hall.say("ada", &format!("MODE #green -i{letter} ivy!*@*"));
    }),
    ("KEYLEN", |hall, _| {
        let longest = "k".repeat(hall.number("KEYLEN"));
        assert!(hall.is_answered("ada", &format!("MODE #green +k {longest}k"), "696"));
        let lines = hall.say("ada", &format!("MODE #green +k {longest}"));
        assert!(has(&lines, &format!("+k {longest}")), "{lines:?}");
        hall.say("ada", &format!("MODE #green -k {longest}"));
    }),
    ("KICKLEN", |hall, _| {
        let most = hall.number("KICKLEN");
        hall.say("ada", &format!("KICK #green cyd :{}", "z".repeat(most + 1)));
        assert_eq!(trailing(&hall.heard("bob"), "KICK"), "z".repeat(most));
        hall.say("cyd", "JOIN #green");
    }),
    ("KNOCK", |hall, _| {
        hall.arrive("kim", "");
        hall.say("ada", "MODE #green +i");
        assert!(hall.is_answered("kim", "KNOCK #green", "711"));
        assert!(has(&hall.heard("ada"), " 710 "));
        hall.say("ada", "MODE #green -i");
        hall.say("kim", "QUIT");
    }),
    ("MAXLIST", |hall, limits| {
        let (letters, most) = limits.split_once(':').expect("letters and a number");
        let most: usize = most.parse().expect("a number");
        let mut letters = letters.chars().cycle();
        for number in 0..most {
            let letter = letters.next().expect("there are some");
            assert!(!hall.is_answered("ada", &format!("MODE #green +{letter} x{number}!*@*"), "478"));
        }
        assert!(hall.is_answered("ada", "MODE #green +b beyond!*@*", "478"));
        for number in 0..most {
            hall.say("ada", &format!("MODE #green -beI x{number}!*@* x{number}!*@* x{number}!*@*"));
        }
    }),
    ("CHATHISTORY", |hall, _| {
        let most = hall.number("CHATHISTORY");
        for number in 0..=most {
            hall.say("ada", &format!("PRIVMSG #green :{number}"));
        }
        let lines = hall.say("cyd", "CHATHISTORY LATEST #green * 1000");
        assert_eq!(lines.iter().filter(|line| line.contains(" PRIVMSG #green :")).count(), most);
    }),
    ("MSGREFTYPES", |hall, value| {
        hall.say("ada", "PRIVMSG #green :now");
        let heard = hall.heard("bob").pop().expect("bob hears it");
        let msgid = heard.split([';', ' ']).find_map(|tag| tag.strip_prefix("@msgid=")).expect("with its id");
        for (name, reference) in [("timestamp", "2099-01-01T00:00:00.000Z"), ("msgid", msgid), ("age", "5s")]
        {
            let lines = hall.say("bob", &format!("CHATHISTORY BEFORE #green {name}={reference} 1"));
            let is_known = value.split(',').any(|known| known == name);
            assert_eq!(has(&lines, " PRIVMSG #green :"), is_known, "{name}: {lines:?}");
            assert_eq!(has(&lines, "FAIL CHATHISTORY INVALID_MSGREFTYPE"), !is_known, "{name}: {lines:?}");
        }
    }),
    ("MODES", |hall, _| {
        let most = hall.number("MODES");
        let masks: Vec<String> = (0..=most).map(|number| format!("m{number}!*@*")).collect();
        let lines = hall.say("ada", &format!("MODE #green +{} {}", "b".repeat(masks.len()), masks.join(" ")));
        let told = format!("+{} {}", "b".repeat(most), masks[..most].join(" "));
        assert!(lines.iter().any(|line| line.ends_with(&told)), "{lines:?}");
        hall.say("ada", &format!("MODE #green -{} {}", "b".repeat(most), masks.join(" ")));
    }),
    ("MONITOR", |hall, _| {
        let most = hall.number("MONITOR");
        let nicks: Vec<String> = (0..=most).map(|number| format!("m{number}")).collect();
        assert!(!hall.is_answered("cyd", &format!("MONITOR + {}", nicks[..most].join(",")), "734"));
        assert!(hall.is_answered("cyd", &format!("MONITOR + {}", nicks[most]), "734"));
        hall.say("cyd", "MONITOR C");
    }),
    ("NAMELEN", |hall, _| {
        let most = hall.number("NAMELEN");
        let long = hall.say("bob", &format!("SETNAME :{}", "r".repeat(most + 1)));
        assert!(has(&long, "FAIL SETNAME INVALID_REALNAME"), "{long:?}");
        hall.say("bob", &format!("SETNAME :{}", "r".repeat(most)));
        assert!(trailing(&hall.say("cyd", "WHOIS bob"), "311").ends_with(&"r".repeat(most)));
    }),
    ("NETWORK", |hall, name| {
        hall.stage.connect("nat", "hall", Door::Plain).expect("there is room");
        hall.say("nat", "NICK nat");
        let lines = hall.say("nat", "USER nat 0 * :nat");
        assert_eq!(trailing(&lines, "001").split(' ').nth(3), Some(name));
        hall.say("nat", "QUIT");
    }),
    ("NICKLEN", |hall, _| {
        let longest = "n".repeat(hall.number("NICKLEN"));
        assert!(hall.is_answered("cyd", &format!("NICK {longest}n"), "432"));
        assert!(has(&hall.say("cyd", &format!("NICK {longest}")), &format!("NICK {longest}")));
        hall.say("cyd", "NICK cyd");
    }),
    ("PREFIX", |hall, prefix| {
        for (letter, sign) in statuses(prefix) {
            hall.say("ada", "MODE #green +q ada");
            hall.say("ada", &format!("MODE #green +{letter} bob"));
            let names = hall.say("cyd", "NAMES #green");
            let shown = trailing(&names, "353").split(' ').any(|name| name == format!("{sign}bob"));
            assert!(shown, "{letter}: {names:?}");
            hall.say("ada", &format!("MODE #green -{letter} bob"));
        }
        // The highest stands first.
        hall.say("ada", "MODE #green +qov bob bob bob");
        let names = hall.say("cyd", "NAMES #green");
        assert!(trailing(&names, "353").contains("~bob"), "{names:?}");
        hall.say("ada", "MODE #green -qov bob bob bob");
    }),
    ("SAFELIST", |hall, _| {
        assert!(hall.is_answered("cyd", "LIST", "323"));
    }),
    // What it promises is kept where lines are read: `edge/allowance.rs` delays, and the engine takes any number.
    ("SAFERATE", |hall, _| takes_any_number_of_lines(hall)),
    ("soju.im/SAFERATE", |hall, _| takes_any_number_of_lines(hall)),
    ("SILENCE", |hall, _| {
        let most = hall.number("SILENCE");
        for number in 0..most {
            assert!(!hall.is_answered("cyd", &format!("SILENCE +x{number}"), "511"));
        }
        assert!(hall.is_answered("cyd", "SILENCE +one!more@too", "511"));
        (0..most).for_each(|number| drop(hall.say("cyd", &format!("SILENCE -x{number}"))));
    }),
    ("STATUSMSG", |hall, signs| {
        let known = statuses(&hall.tokens["PREFIX"].clone());
        assert_eq!(signs, known.iter().map(|(_, sign)| *sign).collect::<String>());
        hall.say("ada", "MODE #green +q ada");
        for (letter, sign) in known {
            hall.say("ada", &format!("MODE #green +{letter} bob"));
            hall.say("ada", &format!("PRIVMSG {sign}#green :psst"));
            assert!(has(&hall.heard("bob"), &format!("PRIVMSG {sign}#green :psst")), "{sign}");
            assert!(hall.heard("cyd").is_empty(), "{sign}");
            hall.say("ada", &format!("MODE #green -{letter} bob"));
        }
    }),
    ("TARGMAX", |hall, limits| {
        for limit in limits.split(',') {
            let (command, most) = limit.split_once(':').expect("a command and a number");
            let most: usize = if most.is_empty() { 10 } else { most.parse().expect("a number") };
            targets(hall, command, most, !limit.ends_with(':'));
        }
    }),
    ("TOPICLEN", |hall, _| {
        let most = hall.number("TOPICLEN");
        let lines = hall.say("ada", &format!("TOPIC #green :{}", "t".repeat(most + 1)));
        assert_eq!(trailing(&lines, "TOPIC"), "t".repeat(most));
    }),
    ("USERIP", |hall, _| {
        assert_eq!(
            trailing(&hall.say("cyd", "USERIP cyd bob"), "340"),
            "cyd=+cyd@127.0.0.1 bob=+bob@255.255.255.255"
        );
        assert_eq!(trailing(&hall.say("ada", "USERIP bob"), "340"), "bob=+bob@127.0.0.1");
    }),
    ("USERLEN", |hall, _| {
        let most = hall.number("USERLEN");
        hall.stage.connect("uma", "hall", Door::Plain).expect("there is room");
        hall.say("uma", "NICK uma");
        hall.say("uma", &format!("USER {} 0 * :uma", "u".repeat(most + 1)));
        let lines = hall.say("cyd", "WHOIS uma");
        assert!(has(&lines, &format!(" 311 cyd uma {} ", "u".repeat(most))), "{lines:?}");
        hall.say("uma", "QUIT");
    }),
    ("UTF8ONLY", |hall, _| {
        let lines = hall.say_bytes("bob", b"PRIVMSG #green :\xff");
        assert!(has(&lines, "FAIL PRIVMSG INVALID_UTF8"), "{lines:?}");
        assert!(hall.heard("cyd").is_empty());
    }),
    ("WHOX", |hall, value| {
        assert_eq!(value, "");
        assert!(has(&hall.say("cyd", "WHO bob %tn,42"), " 354 cyd 42 bob"));
    }),
    ("draft/ICON", |_, value| {
        assert_eq!(value, "https://chat.example.org/icon.png?size={size}");
    }),
];

/// What modes with a value may be set to: each takes one of these.
const VALUES: &[&str] = &["5", "sesame", "5:10", "#other"];

fn trailing_modes(hall: &mut Hall) -> String {
    let lines = hall.say("ada", "MODE #green");
    let modes = lines.iter().find_map(|line| line.split_once(" 324 ada #green "));
    modes.expect("324").1.split(' ').next().unwrap_or_default().to_string()
}

/// The letters of PREFIX with their signs.
fn statuses(prefix: &str) -> Vec<(char, char)> {
    let (letters, signs) = prefix.strip_prefix('(').and_then(|rest| rest.split_once(')')).expect("(ov)@+");
    assert_eq!(letters.len(), signs.len());
    letters.chars().zip(signs.chars()).collect()
}

fn takes_any_number_of_lines(hall: &mut Hall) {
    for _ in 0..200 {
        let lines = hall.say("cyd", "PING now");
        assert!(has(&lines, "PONG"), "{lines:?}");
    }
}

/// One command takes so many targets; and no more, where that is a limit.
fn targets(hall: &mut Hall, command: &str, most: usize, is_limit: bool) {
    let people: Vec<String> = (0..=most).map(|number| format!("p{number}")).collect();
    let channels: Vec<String> = (0..=most).map(|number| format!("#p{number}")).collect();
    // How many of the targets an answer or somebody's line shows that were served.
    let served = match command {
        "PRIVMSG" | "NOTICE" | "TAGMSG" => {
            people.iter().for_each(|person| hall.arrive(person, "message-tags"));
            let line = match command {
                "TAGMSG" => format!("@+typing=active TAGMSG {}", people.join(",")),
                _ => format!("{command} {} :all of you", people.join(",")),
            };
            hall.say("bob", &line);
            let served = people.iter().filter(|person| has(&hall.heard(person), command)).count();
            people.iter().for_each(|person| drop(hall.say(person, "QUIT")));
            served
        }
        "KICK" => {
            for person in &people {
                hall.arrive(person, "");
                hall.say(person, "JOIN #green");
            }
            let lines = hall.say("ada", &format!("KICK #green {}", people.join(",")));
            people.iter().for_each(|person| drop(hall.say(person, "QUIT")));
            lines.iter().filter(|line| line.contains(" KICK ")).count()
        }
        "MONITOR" => {
            // The list has a limit of its own; the line has none.
            let lines = hall.say("cyd", &format!("MONITOR + {}", people.join(",")));
            hall.say("cyd", "MONITOR C");
            lines
                .iter()
                .flat_map(|line| line.split([' ', ',', ':']))
                .filter(|nick| nick.starts_with('p'))
                .count()
        }
        "WHOIS" => {
            let lines = hall.say("cyd", &format!("WHOIS {}", ["bob"; 2].join(",")));
            lines.iter().filter(|line| line.contains(" 311 ")).count()
        }
        "WHOWAS" => {
            let lines = hall.say("cyd", &format!("WHOWAS {}", people.join(",")));
            lines.iter().filter(|line| line.contains(" 369 ")).count()
        }
        // However many: each is answered, if only by what stands against it.
        "JOIN" | "PART" => {
            let lines = hall.say("cyd", &format!("{command} {}", channels.join(",")));
            let served = channels.iter().filter(|name| has(&lines, &format!(" {name}"))).count();
            hall.say("cyd", "JOIN 0");
            hall.say("cyd", "JOIN #green");
            served
        }
        "NAMES" => {
            let lines = hall.say("cyd", &format!("NAMES {}", channels.join(",")));
            lines.iter().filter(|line| line.contains(" 366 ")).count()
        }
        "LIST" => {
            let names = [vec!["#green".to_string()], channels.clone()].concat();
            let lines =
                hall.say("cyd", &format!("LIST {}", names.into_iter().rev().collect::<Vec<_>>().join(",")));
            assert!(has(&lines, " 322 cyd #green "), "{lines:?}");
            most + 1
        }
        _ => panic!("{command}: say here how to see how many targets it takes"),
    };
    let expected = if is_limit { most } else { most + 1 };
    assert_eq!(served, expected, "{command}");
}

/// Proves: RPL_ISUPPORT, ACCOUNTEXTBAN, AWAYLEN, BOT, CASEMAPPING, CHANLIMIT, CHANMODES, CHANNELLEN, CHANTYPES, ELIST
/// Proves: EXCEPTS, EXTBAN, HOSTLEN, INVEX, KEYLEN, KICKLEN, KNOCK token, MAXLIST, MODES, MONITOR token, NAMELEN, NETWORK
/// Proves: NICKLEN, PREFIX, SAFELIST, SAFERATE, soju.im/SAFERATE, STATUSMSG, TARGMAX, TOPICLEN, USERIP token, USERLEN
/// Proves: CHATHISTORY token, MSGREFTYPES, UTF8ONLY, WHOX, draft/ICON, ACCEPT token, CALLERID, SILENCE token
#[test]
fn every_token_is_true() {
    let mut hall = Hall::open();
    let tokens = hall.tokens.clone();
    assert!(tokens.len() > 20, "{tokens:?}");
    for (name, value) in &tokens {
        let Some((_, proof)) = PROOFS.iter().find(|(proved, _)| proved == name) else {
            panic!("{name} stands in 005 and nothing here proves it: add an act that does");
        };
        proof(&mut hall, value);
    }
    for (name, _) in PROOFS {
        assert!(tokens.contains_key(*name), "{name} is proved here, and 005 says nothing of it");
    }
}
