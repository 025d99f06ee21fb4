//! Makes stories up: what people do on two linked servers, each line in the words of a transcript.

use crate::dice::Dice;

/// Everyone there is. Some are on one server, some on the other, whichever they came to last.
const PEOPLE: &[&str] = &["alice", "bob", "carol", "dave", "eve", "frank"];

/// What both servers are told. Operators may do everything but end a server, since then nothing would come of the rest.
const SETTINGS: &str = r#"
    [limits]
    flood = false
    [[operator]]
    name = "warden"
    password = "any"
    class = "warden"
    [operator_class.warden]
    rights = ["kill", "ban", "force", "guise", "rehash", "link", "wallops", "redact", "broadcast", "stats", "see-all"]
"#;

/// How every story begins.
fn beginning() -> String {
    format!("# Made up.\nconfig hall{SETTINGS}config barn{SETTINGS}servers hall, barn\nlink hall barn")
}

const NICKS: &[&str] =
    &["alice", "bob", "carol", "dave", "eve", "frank", "[x]", "{x}", "ALICE", "z", "nobody"];
const CHANNELS: &[&str] = &["#green", "#red", "#Green", "#", "##", "#é", "#a:b", "green", "&x", "#{x}"];
const NUMBERS: &[&str] = &["0", "1", "-1", "007", "3", "99999999999999999999", "1e3", "+5", "302"];
const MASKS: &[&str] = &[
    "*",
    "*!*@*",
    "bob!*@*",
    "*@127.0.0.*",
    "a*b?c",
    "!",
    "@",
    "!@",
    "*!*@10.0.0.0/8",
    "$a",
    "$a:x",
    "~q:*!*@*",
    "$~a",
    "m:*!*@*",
    "r:*x*",
    "$x:*",
    "\\*",
    "::1",
    "10.0.0.0/33",
    "127.0.0.1",
];
const TEXTS: &[&str] = &[
    "hello",
    "two words",
    "",
    " ",
    ":",
    ":x",
    "é",
    "日本語",
    "🦀🦀",
    "\u{1}ACTION waves\u{1}",
    "\u{1}VERSION\u{1}",
    "\u{3}04,12red\u{f} \u{2}bold",
    "\u{1}",
    "\u{feff}",
    "\u{202e}abc",
    "a\u{0}b",
    "tab\there",
    "%s%n",
    "../../x",
];
const CAPS: &[&str] = &[
    "account-notify",
    "account-tag",
    "away-notify",
    "batch",
    "cap-notify",
    "chghost",
    "draft/extended-isupport",
    "draft/message-redaction",
    "draft/multiline",
    "draft/no-implicit-names",
    "draft/pre-away",
    "echo-message",
    "extended-join",
    "extended-monitor",
    "invite-notify",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    "no-implicit-names",
    "sasl",
    "server-time",
    "setname",
    "standard-replies",
    "userhost-in-names",
    "nothing",
];
const LETTERS: &[&str] = &[
    "+", "-", "+", "-", "a", "b", "c", "e", "f", "g", "h", "i", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "z", "A", "B", "C", "D", "E", "H", "I", "K", "L", "M", "N", "O", "R", "S", "T",
    "U", "W", "Z", "0", "é",
];

/// The names of all commands that there are rules for, so that what is new is tried as well.
fn commands() -> Vec<&'static str> {
    let rules = include_str!("../../rules.txt");
    let mut is_commands = false;
    let mut commands = Vec::new();
    for line in rules.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            is_commands = title.contains("ommands");
        } else if is_commands && !line.starts_with('#') {
            let name = line.split(' ').next().unwrap_or_default();
            commands.extend(Some(name).filter(|name| !name.is_empty()));
        }
    }
    commands
}

pub struct Author {
    dice: Dice,
    commands: Vec<&'static str>,
}

impl Author {
    pub fn new(seed: u64) -> Author {
        Author { dice: Dice::new(seed), commands: commands() }
    }

    /// A whole story of so many lines that somebody says.
    pub fn story(&mut self, lines: usize) -> Vec<String> {
        let mut story = vec![beginning()];
        let mut said = 0;
        for person in PEOPLE {
            story.extend(self.arrival(person));
        }
        while said < lines {
            match self.dice.below(200) {
                0 => story.push("cut hall barn".to_string()),
                1..4 => story.push("link hall barn".to_string()),
                4..7 => story.push(format!("wait {}s", self.one(&["1", "1", "5", "40", "100"]))),
                7..11 => story.push(format!("{} hangs up", self.one(PEOPLE))),
                11..40 => {
                    let person = self.one(PEOPLE);
                    story.extend(self.arrival(person));
                }
                _ => {
                    said += 1;
                    let (person, line) = (self.one(PEOPLE), self.line());
                    story.push(format!("{person}> {}", shown(&line)));
                }
            }
        }
        story
    }

    /// Somebody comes, where they are not there yet, and says who they are in one order or another.
    fn arrival(&mut self, person: &str) -> Vec<String> {
        let (server, over) = (self.one(&["hall", "barn"]), self.one(&["", "", " over TLS"]));
        let mut story = vec![format!("{person} connects to {server}{over}")];
        let mut lines = vec![format!("NICK {person}"), format!("USER {person} 0 * :{person}")];
        if self.dice.one_in(2) {
            let caps: Vec<&str> =
                (0..self.dice.below(12)).map(|_| self.one(&CAPS[..CAPS.len() - 2])).collect();
            lines.insert(0, "CAP LS 302".to_string());
            lines.push(format!("CAP REQ :{}", caps.join(" ")));
            lines.push("CAP END".to_string());
        }
        for _ in 0..self.dice.below(3) {
            let (a, b) = (self.dice.below(lines.len() as u64), self.dice.below(lines.len() as u64));
            lines.swap(a as usize, b as usize);
        }
        if self.dice.one_in(8) {
            lines.insert(
                self.dice.below(lines.len() as u64) as usize,
                String::from_utf8_lossy(&self.line()).into(),
            );
        }
        // Most of those who asked for something have to say that they are done.
        lines.push("CAP END".to_string());
        lines.push(format!("JOIN {}", self.one(&CHANNELS[..2])));
        story.extend(lines.iter().map(|line| format!("{person}> {}", shown(line.as_bytes()))));
        story
    }

    /// One line, without its end; it may hold ends of its own.
    fn line(&mut self) -> Vec<u8> {
        if self.dice.one_in(25) {
            return self.noise();
        }
        let mut line = String::new();
        if self.dice.one_in(6) {
            line.push_str(&self.tags());
        }
        if self.dice.one_in(30) {
            line.push_str(&format!(":{} ", self.word()));
        }
        let mut words = if self.dice.one_in(8) { self.any_command() } else { self.likely_command() };
        if self.dice.one_in(6) {
            self.spoil(&mut words);
        }
        let space = if self.dice.one_in(30) { "  " } else { " " };
        line.push_str(&words.join(space));
        let mut bytes = line.into_bytes();
        if self.dice.one_in(40) {
            let place = self.dice.below(bytes.len() as u64 + 1) as usize;
            bytes.insert(place, self.dice.number() as u8);
        }
        bytes
    }

    fn noise(&mut self) -> Vec<u8> {
        let alphabet: &[u8] = match self.dice.below(3) {
            0 => b" :@#,!*+-=;\\\x01\x00\x02aZ09",
            1 => b"@+a=;: \\s\\:",
            _ => &[],
        };
        let length = if self.dice.one_in(4) { self.dice.below(9_000) } else { self.dice.below(80) };
        let byte = |dice: &mut Dice| dice.pick(alphabet).copied().unwrap_or_else(|| dice.number() as u8);
        (0..length).map(|_| byte(&mut self.dice)).collect()
    }

    fn tags(&mut self) -> String {
        let count = 1 + self.dice.below(3);
        let tags: Vec<String> = (0..count).map(|_| self.tag()).collect();
        format!("@{} ", tags.join(";"))
    }

    fn tag(&mut self) -> String {
        match self.dice.below(10) {
            0..3 => format!("label={}", self.one(&["a", "b", "", "x\\sy", "\\", "é"])),
            3 => format!("+typing={}", self.one(&["active", "paused", "done", "x"])),
            4 => format!("+draft/reply={}", self.one(NUMBERS)),
            5 => format!("batch={}", self.one(&["b1", "b2", "", "é"])),
            6 => "draft/multiline-concat".to_string(),
            7 => format!(
                "+{}={}",
                self.one(&["a", "x/y", "", "a_b", "é"]),
                "v".repeat(self.dice.below(5_000) as usize)
            ),
            8 => self
                .one(&["=", "a=b=c", "time=2026-01-01T00:00:00.000Z", "msgid=x", "account=x", "+", ";"])
                .to_string(),
            _ => format!("+draft/react={}", self.one(&["x", "🦀", "\\:)", "\\s", "\\"])),
        }
    }

    fn any_command(&mut self) -> Vec<String> {
        let command = self.dice.pick(&self.commands).copied().unwrap_or("PING");
        let mut words = vec![command.to_string()];
        for _ in 0..self.dice.below(5) {
            words.push(self.word());
        }
        words
    }

    fn likely_command(&mut self) -> Vec<String> {
        let (nick, channel, mask) = (self.one(NICKS), self.one(CHANNELS), self.one(MASKS));
        let (number, text) = (self.one(NUMBERS), format!(":{}", self.one(TEXTS)));
        let target = if self.dice.one_in(2) { nick } else { channel };
        let sign = self.one(&["", "", "", "@", "+", "~", "@+"]);
        let words: Vec<String> = match self.dice.below(60) {
            0..6 => vec!["PRIVMSG".into(), format!("{sign}{target}"), text],
            6..8 => vec!["NOTICE".into(), format!("{target},{nick}"), text],
            8..14 => vec!["JOIN".into(), self.list(CHANNELS), self.list(&["key", "", "a,b", "x"])],
            14..16 => vec!["PART".into(), self.list(CHANNELS), text],
            16..26 => {
                vec!["MODE".into(), channel.into(), self.letters(), self.word(), self.word(), nick.into()]
            }
            26..29 => vec!["MODE".into(), nick.into(), self.letters()],
            29..31 => vec!["TOPIC".into(), channel.into(), text],
            31 => vec!["KICK".into(), channel.into(), self.list(NICKS), text],
            32 => vec!["INVITE".into(), nick.into(), channel.into()],
            33 => vec!["NAMES".into(), self.list(CHANNELS)],
            34 => vec![
                "LIST".into(),
                self.one(&["", ">1", "<3", "C>1", "T<5", "!*x*", "*e*,>0", "#green"]).into(),
            ],
            35 => vec![
                "WHO".into(),
                target.into(),
                format!("%{},{number}", self.one(&["tcuihsnfdlaor", "n", "", "zz"])),
            ],
            36 => vec!["WHO".into(), mask.into(), self.one(&["o", "", "%", "nuhsr%n", "x"]).into()],
            37 => vec!["WHOIS".into(), self.list(NICKS)],
            38 => vec!["WHOWAS".into(), nick.into(), number.into()],
            39..42 => vec!["NICK".into(), nick.into()],
            42 => vec!["AWAY".into(), text],
            43 => vec!["SETNAME".into(), text],
            44 => vec![
                self.one(&["USERHOST", "ISON", "USERIP"]).into(),
                nick.into(),
                target.into(),
                mask.into(),
            ],
            45..47 => {
                let caps: Vec<String> = (0..self.dice.below(5)).map(|_| self.cap()).collect();
                vec![
                    "CAP".into(),
                    self.one(&["REQ", "LS", "LIST", "END", "ACK", "x"]).into(),
                    format!(":{}", caps.join(" ")),
                ]
            }
            47 => vec!["TAGMSG".into(), format!("{sign}{target}")],
            48 => vec!["MONITOR".into(), self.one(&["+", "-", "C", "L", "S", "*"]).into(), self.list(NICKS)],
            49 => vec!["SILENCE".into(), format!("{}{mask}", self.one(&["+", "-", ""]))],
            50 => vec![
                "BATCH".into(),
                self.one(&["+b1", "-b1", "+b2", "-b2", "b1", "+"]).into(),
                "draft/multiline".into(),
                target.into(),
            ],
            51 => vec!["REDACT".into(), target.into(), number.into(), text],
            52 => vec!["KNOCK".into(), channel.into(), text],
            53 => {
                vec!["OPER".into(), self.one(&["warden", "nobody"]).into(), self.one(&["any", "none"]).into()]
            }
            54 => vec![
                self.one(&["KLINE", "DLINE", "XLINE", "UNKLINE", "UNDLINE", "UNXLINE"]).into(),
                number.into(),
                mask.into(),
                text,
            ],
            55 => vec![
                self.one(&["SAJOIN", "SAPART", "SANICK", "SAMODE", "KILL"]).into(),
                nick.into(),
                target.into(),
            ],
            56 => vec![
                self.one(&["SQUIT", "CONNECT", "STATS", "TIME", "MOTD", "ADMIN"]).into(),
                self.one(&["barn.lan", "hall.lan", "k", "u", "l", "*"]).into(),
            ],
            57 => vec!["USER".into(), self.word(), number.into(), mask.into(), text],
            58 => vec!["PING".into(), self.word()],
            _ => vec!["QUIT".into(), text],
        };
        words
    }

    /// Leaves a word out, says one twice, or puts something else in its place.
    fn spoil(&mut self, words: &mut Vec<String>) {
        let place = self.dice.below(words.len() as u64) as usize;
        match self.dice.below(4) {
            0 => drop(words.remove(place)),
            1 => words.insert(place, words[place].clone()),
            2 => words.truncate(place),
            _ => words[place] = self.word(),
        }
    }

    fn word(&mut self) -> String {
        match self.dice.below(9) {
            0 => self.one(CHANNELS).to_string(),
            1 => self.one(MASKS).to_string(),
            2 => self.one(NUMBERS).to_string(),
            3 => self.list(NICKS),
            4 => format!(":{}", self.one(TEXTS)),
            5 => self.one(&["x", "é", "ab"]).repeat(self.dice.below(300) as usize),
            6 => self.one(&["hall.lan", "barn.lan", "*.lan", "nowhere.lan"]).to_string(),
            7 => self.letters(),
            _ => self.one(NICKS).to_string(),
        }
    }

    fn cap(&mut self) -> String {
        format!("{}{}", self.one(&["", "", "-", "~"]), self.one(CAPS))
    }

    fn letters(&mut self) -> String {
        let count = self.dice.below(8);
        let letters: String = (0..count).map(|_| self.one(LETTERS)).collect();
        format!("{}{letters}", self.one(&["+", "-", ""]))
    }

    fn list(&mut self, words: &[&'static str]) -> String {
        let count = if self.dice.one_in(40) { 60 } else { 1 + self.dice.below(3) };
        let words: Vec<&str> = (0..count).map(|_| self.one(words)).collect();
        words.join(",")
    }

    fn one<'w>(&mut self, words: &[&'w str]) -> &'w str {
        self.dice.pick(words).copied().unwrap_or_default()
    }
}

/// Bytes as a transcript writes them: what is no plain text, or would be taken for something else, by its number.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    let last = bytes.len().saturating_sub(1);
    let mut place = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let is_edge = place == 0 || place == last;
            if c.is_control() || c == '{' || (is_edge && c.is_whitespace()) {
                c.to_string().bytes().for_each(|byte| text.push_str(&format!("{{byte {byte:02x}}}")));
            } else {
                text.push(c);
            }
            place += c.len_utf8();
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("{{byte {byte:02x}}}")));
        place += chunk.invalid().len();
    }
    text
}
