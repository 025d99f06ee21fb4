//! One seed: servers, people who talk and quarrel over nicks and channels, cables that break, servers that
//! crash; and then a calm, in which everything has to be right again.

#[path = "../dice.rs"]
mod dice;
#[path = "../disk.rs"]
mod disk;
mod shadow;
mod world;

use std::collections::BTreeSet;

use folkmoot::engine::ConnId;
use shadow::{read_modes, read_name};
use world::{Cable, OPERATOR, World};

/// How many things happen before the calm.
const ACTS: usize = 90;

/// How long it may take until every server has been called again, has synchronised and has gone quiet.
const CALM_MS: u64 = 200_000;

/// How long nothing must have been written at the end of it.
const QUIET_MS: u64 = 30_000;

const CHANNELS: &[&str] = &["#green", "#red", "#Blue"];

type Client = (usize, ConnId);

/// Plays a seed to its end; a sentence says what was not right.
pub fn play(seed: u64, trace: bool) -> Result<(), String> {
    let mut storm = Storm { world: World::new(seed, trace), said: 0, people: 0 };
    storm.world.wait(3_000);
    for _ in 0..ACTS {
        storm.act();
        let ms = if storm.world.dice.one_in(6) { 9_000 } else { 300 };
        let ms = storm.world.dice.below(ms);
        storm.world.wait(ms);
        storm.check()?;
    }
    storm.calm()?;
    storm.everyone_hears_everyone()?;
    storm.everyone_believes_what_is_so()
}

struct Storm {
    world: World,
    /// Messages are numbered, so that their order can be seen.
    said: u64,
    people: u64,
}

impl Storm {
    fn check(&mut self) -> Result<(), String> {
        if let Some(fault) = self.world.fault.take() {
            return Err(fault);
        }
        match self.world.doubled_nick() {
            Some(nick) => Err(format!("at {} ms: two are called {nick}", self.world.now_ms)),
            None => Ok(()),
        }
    }

    fn someone(&mut self) -> Option<Client> {
        let clients: Vec<Client> = self.world.clients.keys().copied().collect();
        self.world.dice.pick(&clients).copied()
    }

    fn running(&mut self) -> Option<usize> {
        let running: Vec<usize> =
            (0..self.world.servers.len()).filter(|s| self.world.is_running(*s)).collect();
        self.world.dice.pick(&running).copied()
    }

    fn nick(&mut self) -> String {
        // Few enough that people meet.
        let number = self.world.dice.below(14);
        if self.world.dice.one_in(3) { format!("N{number}") } else { format!("n{number}") }
    }

    fn channel(&mut self) -> &'static str {
        self.world.dice.pick(CHANNELS).expect("there are some")
    }

    fn act(&mut self) {
        let Some(server) = self.running() else { return };
        let act = self.world.dice.below(100);
        match act {
            0..20 => self.someone_comes(server),
            20..28 => self.break_or_mend(),
            28..31 if self.world.dice.one_in(2) => {
                // Not the last one: somebody has to remember.
                let running = (0..self.world.servers.len()).filter(|s| self.world.is_running(*s)).count();
                if running > 1 {
                    let is_clean = self.world.dice.one_in(3);
                    if is_clean { self.world.stop(server) } else { self.world.crash(server) }
                }
            }
            28..31 if self.world.dice.one_in(2) => self.world.set_clock(server),
            31..36 => {
                let asleep: Vec<usize> =
                    (0..self.world.servers.len()).filter(|s| !self.world.is_running(*s)).collect();
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

    fn someone_comes(&mut self, server: usize) {
        let nick = self.nick();
        let caps =
            ["", "message-tags multi-prefix", "multi-prefix extended-join batch message-tags server-time"];
        let caps = self.world.dice.pick(&caps).expect("there are some");
        let client = self.world.arrive(server, &nick, caps);
        self.people += 1;
        let channel = self.channel();
        self.join(client, channel);
    }

    /// With the key, in case there is one; and with a look at how the channel is set.
    fn join(&mut self, client: Client, channel: &str) {
        self.world.speak(client, &format!("JOIN {channel} sesame"));
        self.world.speak(client, &format!("MODE {channel}"));
    }

    fn break_or_mend(&mut self) {
        let all: Vec<_> = self.world.cables.keys().copied().collect();
        let Some(&ends) = self.world.dice.pick(&all) else { return };
        let next = match self.world.cables[&ends] {
            Cable::Whole if self.world.dice.one_in(4) => Cable::Silent,
            Cable::Whole if self.world.dice.one_in(4) => Cable::Half,
            Cable::Whole => Cable::Cut,
            _ => Cable::Whole,
        };
        self.world.set_cable(ends, next);
    }

    fn someone_does(&mut self, client: Client) {
        let channel = self.channel();
        let act = self.world.dice.below(27);
        // What takes a right is mostly done by those who have it.
        let client = match act {
            8..17 | 22..26 if !self.world.dice.one_in(4) => self.operator(channel).unwrap_or(client),
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
                ];
                format!("MODE {channel} {}", self.world.dice.pick(&modes).expect("there are some"))
            }
            26 => {
                self.world.speak(client, &format!("OPER {OPERATOR} any"));
                format!("KILL {} :out", self.nick())
            }
            24..26 => format!("INVITE {} {channel}", self.nick()),
            22..24 => format!("TOPIC {channel} :{}", self.world.dice.number() % 1000),
            15 => format!("KICK {channel} {} :out", self.member(client, channel)),
            16 if self.world.dice.one_in(2) => return self.world.hang_up(client),
            16 => format!("MODE {channel} +o {}", self.member(client, channel)),
            17 => {
                self.said += 1;
                format!("PRIVMSG {} :{author} {}", self.nick(), self.said)
            }
            18 => format!("AWAY :{}", self.said),
            // Members only: whoever hears it must know the author from the channel.
            _ if !self.world.clients[&client].channels.contains_key(channel) => return,
            _ => {
                self.said += 1;
                format!("PRIVMSG {channel} :{author} {}", self.said)
            }
        };
        let answer = self.world.ask(client, &line);
        // Who lost a status in a repair is told once it is whole, and refused until then.
        let is_refused = answer.iter().any(|line| line.contains(" 482 "));
        if let Some(mode) = line.strip_prefix(&format!("MODE {channel} "))
            && !is_refused
        {
            self.is_set_as_asked(client, channel, mode);
        }
    }

    /// Whoever runs a channel gets what they ask for, whoever set it before.
    fn is_set_as_asked(&mut self, client: Client, channel: &str, mode: &str) {
        let Some(shadow) = self.world.clients.get(&client) else { return };
        let room = shadow.channels.get(channel);
        let own = room.and_then(|room| room.members.get(&shadow.nick));
        let runs_it = own.is_some_and(|own| own.contains(&'o') || own.contains(&'h'));
        let letter = mode.chars().nth(1).unwrap_or_default();
        if !shadow.sees_all_statuses || !runs_it || !"splitm".contains(letter) {
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
        let runs_it = |shadow: &shadow::Shadow| {
            let own = shadow.channels.get(channel).and_then(|room| room.members.get(&shadow.nick));
            own.is_some_and(|own| own.contains(&'o'))
        };
        let clients = self.world.clients.iter().filter(|(_, shadow)| runs_it(shadow));
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

    // The calm.

    /// Everything is mended and runs: all servers must come to see the same, and then fall silent.
    fn calm(&mut self) -> Result<(), String> {
        let all: Vec<_> = self.world.cables.keys().copied().collect();
        for ends in all {
            self.world.set_cable(ends, Cable::Whole);
        }
        for server in 0..self.world.servers.len() {
            if !self.world.is_running(server) {
                self.world.start(server);
            }
        }
        self.world.wait(CALM_MS);
        self.check()?;
        let quiet_ms = self.world.now_ms - self.world.last_event_ms;
        if quiet_ms < QUIET_MS {
            return Err(format!("no quiet: an event was sent {quiet_ms} ms before the end"));
        }
        self.everyone_sees_the_same("after the calm")
    }

    fn everyone_sees_the_same(&self, when: &str) -> Result<(), String> {
        let engines = self.world.servers.iter().filter_map(|machine| machine.engine.as_ref());
        let views: Vec<_> = engines
            .map(|engine| {
                let report = engine.report();
                (report.seen_hash, report.state_hash, report.servers.len(), report.users_network)
            })
            .collect();
        let count = self.world.servers.len();
        let same = views.windows(2).all(|pair| pair[0] == pair[1]);
        if !same || views.iter().any(|view| view.2 != count) {
            return Err(format!("{when} {count} servers differ: (vectors, view, servers, users) {views:?}"));
        }
        Ok(())
    }

    /// Each says one thing in each of their channels, and each other member hears it once.
    fn everyone_hears_everyone(&mut self) -> Result<(), String> {
        let clients: Vec<Client> = self.world.clients.keys().copied().collect();
        let mut expected: Vec<(Client, (String, u64))> = Vec::new();
        for &client in &clients {
            let rooms: Vec<String> = self.world.clients[&client].channels.keys().cloned().collect();
            for room in rooms {
                self.said += 1;
                let author = format!("{}:{}", client.0, client.1.0);
                let answer = self.world.ask(client, &format!("PRIVMSG {room} :{author} {}", self.said));
                if answer.iter().any(|line| line.contains(" 404 ")) {
                    continue;
                }
                let hears = clients.iter().filter(|other| **other != client);
                let hears = hears.filter(|other| self.world.clients[other].channels.contains_key(&room));
                expected.extend(hears.map(|other| (*other, (author.clone(), self.said))));
            }
        }
        self.world.wait(20_000);
        self.check()?;
        for (client, message) in expected {
            let shadow = &self.world.clients[&client];
            if !shadow.heard.contains(&message) {
                return Err(format!("{} on s{} never heard {message:?}", shadow.nick, client.0));
            }
        }
        self.everyone_sees_the_same("after the last words")
    }

    /// What each client put together from lines is what its server says when asked.
    fn everyone_believes_what_is_so(&mut self) -> Result<(), String> {
        let clients: Vec<Client> = self.world.clients.keys().copied().collect();
        for client in clients {
            let rooms: Vec<String> = self.world.clients[&client].channels.keys().cloned().collect();
            for room in rooms {
                let answer = self.world.ask(client, &format!("NAMES {room}"));
                let mut names = BTreeSet::new();
                for line in answer.iter().filter(|line| line.contains(" 353 ")) {
                    let (_, list) = line.rsplit_once(" :").expect("353 has a list");
                    names.extend(list.split(' ').map(read_name));
                }
                let shadow = &self.world.clients[&client];
                let believed = &shadow.channels[&room];
                let is_so = if shadow.sees_all_statuses {
                    believed
                        .members
                        .iter()
                        .map(|(nick, status)| (nick.clone(), status.clone()))
                        .collect::<BTreeSet<_>>()
                        == names
                } else {
                    believed.members.keys().eq(names.iter().map(|(nick, _)| nick))
                };
                if !is_so {
                    return Err(format!(
                        "{} on s{} believes of {room} {:?}, and it is {names:?}",
                        shadow.nick, client.0, believed.members
                    ));
                }
                let (topic, modes) = (believed.topic.clone(), believed.modes.clone());
                let knows_modes = believed.knows_modes;
                let answer = self.world.ask(client, &format!("MODE {room}"));
                let is_so = answer.iter().any(|line| {
                    let words: Vec<&str> =
                        line.split(' ').skip_while(|word| !word.starts_with(':')).collect();
                    words[1] == "324" && read_modes(words[4], &words[5..]) == modes
                });
                if knows_modes && !is_so {
                    return Err(format!(
                        "client on s{} believes in the modes {modes:?} of {room}: {answer:?}",
                        client.0
                    ));
                }
                let answer = self.world.ask(client, &format!("TOPIC {room}"));
                let is_so = answer.iter().any(|line| match topic.is_empty() {
                    true => line.contains(" 331 "),
                    false => line.contains(" 332 ") && line.ends_with(&format!(" :{topic}")),
                });
                if !is_so {
                    return Err(format!(
                        "client on s{} believes in the topic {topic} of {room}: {answer:?}",
                        client.0
                    ));
                }
            }
        }
        Ok(())
    }
}
