//! What happens in a storm: to servers, to cables, and among people.

use super::shadow::Shadow;
use super::wires::Cable;
use super::world::OPERATOR;
use super::{Client, Storm};

/// Few enough that people meet.
pub const NICKS: u64 = 14;

/// Also what channels are renamed to, so that names are taken and come free.
const CHANNELS: &[&str] = &["#green", "#red", "#Blue", "#lime"];

impl Storm {
    fn someone(&mut self) -> Option<Client> {
        let world = &self.world;
        let clients = world.clients.keys().copied().filter(|(server, _)| !world.is_paused(*server));
        let clients: Vec<Client> = clients.collect();
        self.world.dice.pick(&clients).copied()
    }

    fn running(&mut self) -> Option<usize> {
        let world = &self.world;
        let running = (0..world.count()).filter(|s| world.is_running(*s) && !world.is_paused(*s));
        let running: Vec<usize> = running.collect();
        self.world.dice.pick(&running).copied()
    }

    pub fn nick(&mut self) -> String {
        let number = self.world.dice.below(NICKS);
        if self.world.dice.one_in(3) { format!("N{number}") } else { format!("n{number}") }
    }

    fn channel(&mut self) -> &'static str {
        self.world.dice.pick(CHANNELS).expect("there are some")
    }

    pub fn act(&mut self) {
        let Some(server) = self.running() else { return };
        let act = self.world.dice.below(100);
        match act {
            0..20 => self.someone_comes(server),
            20..28 => self.break_or_mend(),
            28..31 => self.something_happens_to(server),
            31..36 => {
                let asleep: Vec<usize> =
                    (0..self.world.count()).filter(|s| !self.world.is_running(*s)).collect();
                if let Some(&server) = self.world.dice.pick(&asleep) {
                    self.world.start(server);
                }
            }
            _ => {
                if let Some(client) = self.someone() {
                    self.someone_does(client);
                }
            }
        }
    }

    fn something_happens_to(&mut self, server: usize) {
        match self.world.dice.below(16) {
            0..6 => {
                // Not the last one: somebody has to remember.
                let running = (0..self.world.count()).filter(|s| self.world.is_running(*s)).count();
                if running > 1 {
                    let is_clean = self.world.dice.one_in(3);
                    if is_clean {
                        self.world.stop(server)
                    } else {
                        self.world.crash(server)
                    }
                    if !is_clean && self.world.dice.one_in(6) {
                        self.world.lose_disk(server);
                    }
                }
            }
            6..9 => {
                let ahead_ms = self.world.dice.below(6_000) as i64 - 3_000;
                self.world.set_clock(server, ahead_ms);
            }
            9..12 => {
                let ms = 500 + self.world.dice.below(40_000);
                self.world.pause(server, ms);
            }
            _ => {
                let events_kept = *self.world.dice.pick(&[0, 0, 3, 20]).expect("there are some");
                let messages_kept = *self.world.dice.pick(&[2, 10_000]).expect("there are some");
                self.is_trimmed |= messages_kept < 10_000;
                self.world.trim(server, events_kept, messages_kept);
            }
        }
    }

    fn someone_comes(&mut self, server: usize) {
        let nick = self.nick();
        let caps = [
            "",
            "message-tags multi-prefix",
            "multi-prefix extended-join batch chghost message-tags server-time draft/multiline draft/message-redaction draft/metadata-3 draft/channel-rename",
        ];
        let caps = self.world.dice.pick(&caps).expect("there are some");
        // Mostly of this server: there they are one person at once, whatever becomes of the cables.
        let anywhere = self.world.dice.one_in(3);
        let others = self.world.clients.keys().copied();
        let others = others.filter(|one| one.0 == server || (anywhere && !self.world.is_paused(one.0)));
        let here: Vec<Client> = others.collect();
        let client = match self.world.dice.pick(&here).copied().filter(|_| self.world.dice.one_in(3)) {
            // Another client of somebody who is here or elsewhere, if they have an account of that name.
            Some(other) => {
                let (nick, password) = (self.world.clients[&other].nick.clone(), "sesame-0");
                self.world.speak(other, &format!("REGISTER * * {password}"));
                if other.0 != server {
                    self.world.wait(2_000);
                }
                self.world.arrive_as(server, &nick, password, caps)
            }
            None => self.world.arrive(server, &nick, caps),
        };
        if caps.contains("draft/metadata-3") {
            self.world.speak(client, "METADATA * SUB status");
            // Who is another client of somebody's is on their channels by now.
            let rooms =
                self.world.clients.get(&client).map(|shadow| shadow.channels.keys().cloned().collect());
            let rooms: Vec<String> = rooms.unwrap_or_default();
            rooms.iter().for_each(|room| self.world.speak(client, &format!("METADATA {room} SYNC")));
        }
        if self.world.dice.one_in(3) {
            let nicks: Vec<String> = (0..NICKS).map(|number| format!("n{number}")).collect();
            self.world.speak(client, &format!("MONITOR + {}", nicks.join(",")));
        }
        let channel = self.channel();
        self.join(client, channel);
    }

    /// With the key, in case there is one; and with a look at how the channel is set.
    fn join(&mut self, client: Client, channel: &str) {
        self.world.speak(client, &format!("JOIN {channel} sesame"));
        self.world.speak(client, &format!("MODE {channel}"));
    }

    fn break_or_mend(&mut self) {
        let away = self.away;
        let all = self.world.wires.cables.keys().copied();
        let all: Vec<_> = all.filter(|(a, b)| Some(*a) != away && Some(*b) != away).collect();
        let Some(&ends) = self.world.dice.pick(&all) else { return };
        let next = match self.world.wires.cables[&ends] {
            Cable::Whole => match self.world.dice.below(16) {
                0..4 => Cable::Silent,
                4..6 => Cable::SilentUp,
                6..8 => Cable::SilentDown,
                8..11 => {
                    // The cable is as good as before, and one end may take long to see what became of its connection.
                    let within_ms = *self.world.dice.pick(&[10, 1_500, 25_000]).expect("there are some");
                    return self.world.reset(ends, within_ms);
                }
                _ => Cable::Cut,
            },
            _ => Cable::Whole,
        };
        self.world.set_cable(ends, next);
    }

    fn someone_does(&mut self, client: Client) {
        let channel = self.channel();
        let act = self.world.dice.below(36);
        // What takes a right is mostly done by those who have it.
        let client = match act {
            8..17 | 22..26 | 28 | 29 | 33..36 if !self.world.dice.one_in(4) => {
                self.operator(channel).unwrap_or(client)
            }
            _ => client,
        };
        let author = format!("{}:{}", client.0, client.1.0);
        let line = match act {
            0..3 => format!("NICK {}", self.nick()),
            3..6 => return self.join(client, channel),
            6 => format!("PART {channel} :bye"),
            7 => "QUIT :enough".to_string(),
            8..10 => format!("TOPIC {channel} :{}", self.world.dice.number() % 1000),
            10..13 => {
                let letters = ["+o", "-o", "+v", "-v", "+h", "+a", "+ov", "+q"];
                let letters = *self.world.dice.pick(&letters).expect("there are some");
                let (first, second) = (self.member(client, channel), self.member(client, channel));
                format!("MODE {channel} {letters} {first} {second}")
            }
            13 if self.world.dice.one_in(4) => format!("TBAN {channel} 20s evil!*@*"),
            13..15 => {
                let modes = [
                    "+s",
                    "-s",
                    "+l 40",
                    "-l",
                    "+k sesame",
                    "-k sesame",
                    "+k other",
                    "-k other",
                    "+i",
                    "-i",
                    "+I n*!*@*",
                    "+m",
                    "-m",
                    "+p",
                    "-p",
                    "-t",
                    "+t",
                    "+b evil!*@*",
                    "-b evil!*@*",
                    "+e a!*@*",
                    "+u",
                    "-u",
                    "+D",
                    "-D",
                    "+b ~mute:evil",
                ];
                format!("MODE {channel} {}", self.world.dice.pick(&modes).expect("there are some"))
            }
            26 if self.world.dice.one_in(2) => {
                self.world.speak(client, &format!("OPER {OPERATOR} any"));
                self.ban()
            }
            26 => {
                self.world.speak(client, &format!("OPER {OPERATOR} any"));
                format!("KILL {} :out", self.nick())
            }
            24 => match self.world.clients[&client].latest.get(channel) {
                Some(msgid) => format!("REDACT {channel} {msgid} :no"),
                None => return,
            },
            29 if self.world.dice.one_in(3) => format!("CS DROP {channel} {channel}"),
            29 => {
                self.world.speak(client, "REGISTER * * open-sesame");
                format!("CS REGISTER {channel}")
            }
            25 if self.world.dice.one_in(2) => format!("RENAME {channel} {} :so", self.channel()),
            27 | 28 => {
                let target = if act == 27 { "*" } else { channel };
                match self.world.dice.one_in(3) {
                    true => format!("METADATA {target} SET status"),
                    false => format!("METADATA {target} SET status :{}", self.said),
                }
            }
            25 => format!("INVITE {} {channel}", self.nick()),
            30..33 => return self.someone_is_somebody(client),
            33..36 => return self.someone_keeps(client, channel),
            22..24 => format!("TOPIC {channel} :{}", self.world.dice.number() % 1000),
            15 => format!("KICK {channel} {} :out", self.member(client, channel)),
            16 if self.world.dice.one_in(2) => return self.world.hang_up(client),
            16 => format!("MODE {channel} +o {}", self.member(client, channel)),
            17 => {
                self.said += 1;
                format!("PRIVMSG {} :{author} {}", self.nick(), self.said)
            }
            18 if self.world.dice.one_in(2) => {
                let sign = if self.world.dice.one_in(3) { '-' } else { '+' };
                format!("MODE {} {sign}x", self.world.clients[&client].nick)
            }
            18 => format!("AWAY :{}", self.said),
            // Members only: whoever hears it must know the author from the channel.
            _ if !self.world.clients[&client].channels.contains_key(channel) => return,
            _ if self.world.dice.one_in(3) && self.world.clients[&client].sends_multiline => {
                return self.say_lines(client, channel, &author);
            }
            _ => {
                self.said += 1;
                format!("PRIVMSG {channel} :{author} {}", self.said)
            }
        };
        let msgid = line.strip_prefix("REDACT ").and_then(|rest| rest.split(' ').nth(1));
        let text = msgid.and_then(|msgid| self.text_of(client.0, msgid));
        let answer = self.world.ask(client, &line);
        if !answer.iter().any(|line| line.contains("FAIL REDACT")) {
            self.taken_back.extend(text);
        }
        // What a guest has said its home may hear later, or never.
        let is_guest = self.world.is_guest(client);
        if line.starts_with("PRIVMSG #") && answer.is_empty() && !is_guest {
            let text = line.split_once(" :").map_or("", |(_, text)| text).to_string();
            self.accepted.push((text, client.0, self.world.servers[client.0].runs));
        }
        // Who lost a status in a repair is told once it is whole, and refused until then.
        // What is locked nobody sets.
        let is_refused = answer.iter().any(|line| line.contains(" 482 ") || line.contains(" 742 "));
        if let Some(mode) = line.strip_prefix(&format!("MODE {channel} "))
            && !is_refused
        {
            self.is_set_as_asked(client, channel, mode);
        }
    }

    /// Makes an account, logs in or out, or does something with what is theirs. Accounts are called as people are, so
    /// that several sides of a split make the same one, and take nicks from each other.
    fn someone_is_somebody(&mut self, client: Client) {
        let (nick, password) = (self.nick(), format!("sesame-{}", self.world.dice.below(2)));
        let line = match self.world.dice.below(14) {
            0..4 => format!("REGISTER * * {password}"),
            4..7 => format!("NS IDENTIFY {nick} {password}"),
            7 => format!("NS SET PASSWORD {password}"),
            8 => "NS GROUP".to_string(),
            9 => format!("NS REGAIN {nick}"),
            10 => "NS LOGOUT".to_string(),
            11 => "NS SET ALWAYS-ON ON".to_string(),
            12 => "NS SET ALWAYS-ON DEFAULT".to_string(),
            _ => return self.someone_gives_up(client, &nick),
        };
        self.world.ask(client, &line);
    }

    /// Drops an account, if it is theirs: with the code that they are given.
    fn someone_gives_up(&mut self, client: Client, name: &str) {
        let answer = self.world.ask(client, &format!("NS DROP {name}"));
        let code =
            answer.iter().find(|line| line.contains(" say DROP ")).and_then(|line| line.rsplit(' ').next());
        if let Some(code) = code {
            self.world.ask(client, &format!("NS DROP {name} {code}"));
        }
    }

    /// What a message says that a server holds.
    fn text_of(&self, server: usize, msgid: &str) -> Option<String> {
        let engine = self.world.servers[server].engine.as_ref()?;
        engine.messages().find(|(dot, _)| dot == msgid).map(|(_, text)| text.to_string())
    }

    /// Several lines as one message, which everyone hears whole or not at all.
    fn say_lines(&mut self, client: Client, channel: &str, author: &str) {
        let first = self.said + 1;
        self.said += 2 + self.world.dice.below(3);
        let lines: Vec<String> = (first..=self.said).map(|number| format!("{author} {number}")).collect();
        self.world.ask(client, &format!("BATCH +s draft/multiline {channel}"));
        for line in &lines {
            self.world.ask(client, &format!("@batch=s PRIVMSG {channel} :{line}"));
        }
        if self.world.ask(client, "BATCH -s").is_empty() && !self.world.is_guest(client) {
            self.accepted.push((lines.join("\n"), client.0, self.world.servers[client.0].runs));
            self.whole.push((author.to_string(), first..=self.said));
        }
    }

    /// Mostly people who never come; and some who are here, for a while.
    fn ban(&mut self) -> String {
        let number = self.world.dice.below(4);
        match self.world.dice.below(8) {
            0..3 => format!("KLINE mallory{number}@host.example :reason {}", self.world.dice.below(100)),
            3..5 => format!("UNKLINE mallory{number}@host.example"),
            5 => format!("XLINE 30s Mallory{number}* :for a moment"),
            6 => format!("DLINE 10.77.{number}.0/24 :not from there"),
            _ => format!("KLINE 20s u{number}@10.9.0.1 :cool down"),
        }
    }

    /// Whoever runs a channel gets what they ask for, whoever set it before.
    fn is_set_as_asked(&mut self, client: Client, channel: &str, mode: &str) {
        let Some(shadow) = self.world.clients.get(&client) else { return };
        let room = shadow.channels.get(channel);
        let own = room.and_then(|room| room.members.get(&shadow.nick));
        let runs_it = own.is_some_and(|own| own.contains(&'o') || own.contains(&'h'));
        let letter = mode.chars().nth(1).unwrap_or_default();
        if !shadow.sees_all_statuses || self.world.is_guest(client) || !runs_it || !"splitm".contains(letter)
        {
            return;
        }
        let answer = self.world.ask(client, &format!("MODE {channel}"));
        let modes = answer.iter().find_map(|line| line.split_once(" 324 ")).map(|(_, rest)| rest.to_string());
        let letters = modes.as_deref().and_then(|rest| rest.split(' ').nth(2)).unwrap_or_default();
        if letters.contains(letter) != mode.starts_with('+') {
            let why = format!(
                "at {} ms, s{}: after MODE {channel} {mode} it is {letters}",
                self.world.now_ms, client.0
            );
            self.world.fault.get_or_insert(why);
        }
    }

    /// Somebody who runs a channel, as they know it.
    fn operator(&mut self, channel: &str) -> Option<Client> {
        let runs_it = |shadow: &Shadow| {
            let own = shadow.channels.get(channel).and_then(|room| room.members.get(&shadow.nick));
            own.is_some_and(|own| own.contains(&'o'))
        };
        let clients = self
            .world
            .clients
            .iter()
            .filter(|((server, _), shadow)| runs_it(shadow) && !self.world.is_paused(*server));
        let clients: Vec<Client> = clients.map(|(client, _)| *client).collect();
        self.world.dice.pick(&clients).copied()
    }

    /// Somebody on a channel, as this client knows it.
    fn member(&mut self, client: Client, channel: &str) -> String {
        let room = self.world.clients.get(&client).and_then(|shadow| shadow.channels.get(channel));
        let members: Vec<String> =
            room.map(|room| room.members.keys().cloned().collect()).unwrap_or_default();
        self.world.dice.pick(&members).cloned().unwrap_or_else(|| "nobody".to_string())
    }
}
