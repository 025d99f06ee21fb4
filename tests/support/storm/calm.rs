//! The calm after a storm: everything is mended, and soon everyone must see, hear and believe the same.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::difference;
use super::shadow::{read_modes, read_name};
use super::wires::Cable;
use super::world::GUESTS_ANSWER_MS;
use super::{Client, Storm};

/// How long it may take until every server has been called again, has synchronised and has gone quiet.
const CALM_MS: u64 = 200_000;

/// How long it may take after lies: who was found to lie is not believed for ten minutes, and who was talked into run after
/// run of itself believes no more of that for as long.
const CALM_AFTER_LIES_MS: u64 = 900_000;

/// How long nothing must have been written at the end of it.
const QUIET_MS: u64 = 30_000;

/// How much longer that may take after lies: what nobody uses any more is tidied away ten minutes after the last of it came.
const QUIET_AFTER_LIES_MS: u64 = 600_000;

/// How long an event takes at most to reach everyone, once all is mended.
const LAST_WORDS_MS: u64 = 5_000;

impl Storm {
    // The calm.

    /// Everything is mended and runs: all servers must come to see the same, and then fall silent.
    pub fn calm(&mut self) -> Result<(), String> {
        let all: Vec<_> = self.world.wires.cables.keys().copied().collect();
        let liar =
            self.world.wires.hostile.take().map(|(cable, _)| cable).filter(|_| self.world.anything_goes);
        for ends in all {
            self.world.set_cable(ends, Cable::Whole);
        }
        for server in 0..self.world.count() {
            if !self.world.is_running(server) {
                self.world.start(server);
            }
        }
        if let Some(cable) = liar {
            // Whoever lied is cut off, and with that all that was said there.
            self.world.reset(cable, 1_500);
            self.world.wait(CALM_AFTER_LIES_MS);
            self.wait_for_quiet(QUIET_MS, QUIET_AFTER_LIES_MS);
            self.world.anything_goes = false;
            self.world.ledger = self.world.ledger.after_lies();
        } else {
            self.world.wait(CALM_MS);
        }
        self.check()?;
        let quiet_ms = self.world.now_ms - self.world.wires.last_event_ms;
        if quiet_ms < QUIET_MS {
            return Err(format!("no quiet: an event was sent {quiet_ms} ms before the end"));
        }
        self.everyone_sees_the_same("after the calm")
    }

    /// Waits until no event was sent for so long, but no longer than `most_ms`.
    fn wait_for_quiet(&mut self, quiet_ms: u64, most_ms: u64) {
        let end_ms = self.world.now_ms + most_ms;
        while self.world.now_ms < end_ms && self.world.now_ms - self.world.wires.last_event_ms < quiet_ms {
            self.world.wait(1_000);
        }
    }

    fn everyone_sees_the_same(&self, when: &str) -> Result<(), String> {
        let engines = self.world.servers.iter().filter_map(|machine| machine.engine.as_ref());
        let views: Vec<_> = engines
            .map(|engine| {
                let report = engine.report();
                let facts = engine.audit().facts_hash;
                (report.seen_hash, facts, report.state_hash, report.servers.len(), report.users_network)
            })
            .collect();
        let count = self.world.count();
        let same = views.windows(2).all(|pair| pair[0] == pair[1]);
        if !same || views.iter().any(|view| view.3 != count) {
            return Err(format!(
                "{when} {count} servers differ: (vectors, facts, view, servers, users) {views:?}: {:#?}",
                self.first_difference()
            ));
        }
        Ok(())
    }

    /// What the first server that holds something else than the one before it has more and less than that.
    fn first_difference(&self) -> Option<(Vec<String>, Vec<String>)> {
        let engines = self.world.servers.iter().filter_map(|machine| machine.engine.as_ref());
        let held: Vec<Vec<String>> = engines
            .map(|engine| {
                let heard = engine.heard();
                let heard = heard.iter().flatten().map(|(origin, tip)| format!("{origin} up to {tip}"));
                heard.chain(engine.facts_shown()).collect()
            })
            .collect();
        let differences = held.windows(2).map(|pair| difference(&pair[0], &pair[1]));
        differences.into_iter().find(|(more, less)| !more.is_empty() || !less.is_empty())
    }

    /// Each says one thing in each of their channels, and each other member hears it once.
    pub fn everyone_hears_everyone(&mut self) -> Result<(), String> {
        let clients = self.world.clients.iter().filter(|(_, shadow)| !shadow.is_moved);
        let clients: Vec<Client> = clients.map(|(client, _)| *client).collect();
        let mut expected: Vec<(Client, (String, u64))> = Vec::new();
        for &client in &clients {
            let Some(shadow) = self.world.clients.get(&client) else { continue };
            let rooms: Vec<String> = shadow.channels.keys().cloned().collect();
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
        // Somebody may just tidy up.
        self.wait_for_quiet(LAST_WORDS_MS, 10 * LAST_WORDS_MS);
        self.check()?;
        for (client, message) in expected {
            let shadow = &self.world.clients[&client];
            if !shadow.heard.contains(&message) {
                return Err(format!("{} on s{} never heard {message:?}", shadow.nick, client.0));
            }
        }
        self.everyone_sees_the_same("after the last words")
    }

    /// Whatever a server took from its users and lived to tell is in every server's log, once.
    pub fn everyone_holds_what_was_said(&self) -> Result<(), String> {
        if self.is_trimmed {
            return Ok(());
        }
        for (number, machine) in self.world.servers.iter().enumerate() {
            let Some(engine) = &machine.engine else { continue };
            let mut held: BTreeMap<&str, usize> = BTreeMap::new();
            engine.messages().for_each(|(_, text)| *held.entry(text).or_default() += 1);
            for (text, server, run) in &self.accepted {
                let has_lived = self.world.servers[*server].runs == *run;
                let times = held.get(text.as_str()).copied().unwrap_or(0);
                let is_held = has_lived && !self.taken_back.contains(text);
                if times > 1 || (is_held && times == 0) {
                    return Err(format!("s{number} holds `{text}` of s{server} {times} times"));
                }
            }
        }
        Ok(())
    }

    /// What was said is in the store of every server: each message once, with the same words (or none, where it was taken
    /// back), in the same place and in the same order. What memory lost before the store could take it may be missing
    /// on that one server until it starts again.
    pub fn every_store_holds_the_same(&self) -> Result<(), String> {
        let stores: Vec<_> = self.world.servers.iter().map(|machine| machine.disk.shelf().all()).collect();
        if self.is_trimmed {
            return Ok(());
        }
        for (number, store) in stores.iter().enumerate().skip(1) {
            if let Some(place) =
                (0..store.len().max(stores[0].len())).find(|at| stores[0].get(*at) != store.get(*at))
            {
                return Err(format!(
                    "s0 and s{number} keep different histories: {:?} and {:?}",
                    stores[0].get(place),
                    store.get(place)
                ));
            }
        }
        Ok(())
    }

    /// What was taken back on one server is taken back on all.
    pub fn everyone_agrees_on_what_was_taken_back(&self) -> Result<(), String> {
        if self.is_trimmed {
            return Ok(());
        }
        let engines = self.world.servers.iter().filter_map(|machine| machine.engine.as_ref());
        let redacted: Vec<_> = engines.map(|engine| engine.redacted()).collect();
        match redacted.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(()),
            false => Err(format!("not all the same was taken back: {redacted:?}")),
        }
    }

    /// Of a message of several lines everyone has heard all of it or nothing.
    pub fn nobody_heard_a_part_of_a_message(&self) -> Result<(), String> {
        for shadow in self.world.clients.values() {
            for (author, numbers) in &self.whole {
                let heard =
                    numbers.clone().filter(|number| shadow.heard.contains(&(author.clone(), *number)));
                let heard = heard.count() as u64;
                if heard != 0 && heard != numbers.end() - numbers.start() + 1 {
                    return Err(format!("{} heard {heard} lines of {numbers:?} by {author}", shadow.nick));
                }
            }
        }
        Ok(())
    }

    /// What each client put together from lines is what its server says when asked.
    pub fn everyone_believes_what_is_so(&mut self) -> Result<(), String> {
        // Who comes home in silence learns from the next answer where that is.
        let all: Vec<Client> = self.world.clients.keys().copied().collect();
        all.into_iter().for_each(|client| self.world.speak(client, "USERHOST nobody"));
        self.world.wait(GUESTS_ANSWER_MS);
        // Who was moved from one home to another may believe a little too much of what was on its way.
        let clients = self.world.clients.iter().filter(|(_, shadow)| !shadow.is_moved);
        let clients: Vec<Client> = clients.map(|(client, _)| *client).collect();
        for client in clients {
            self.knows_who_is_here(client)?;
            self.knows_what_is_said_of_whom(client)?;
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
                let known = believed.members.keys().filter_map(|nick| shadow.hosts.get_key_value(nick));
                let hosts: Vec<(String, String)> =
                    known.map(|(nick, host)| (nick.clone(), host.clone())).collect();
                for (nick, host) in hosts {
                    let answer = self.world.ask(client, &format!("USERHOST {nick}"));
                    if !answer.iter().any(|line| line.ends_with(&format!("@{host}"))) {
                        return Err(format!("client on s{} believes {nick} at {host}: {answer:?}", client.0));
                    }
                }
                let shadow = &self.world.clients[&client];
                let believed = &shadow.channels[&room];
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
                self.modes_are_as_locked(client, &room)?;
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

    /// Whoever is subscribed to a key knows what is said under it of their channels and of those who are there.
    fn knows_what_is_said_of_whom(&mut self, client: Client) -> Result<(), String> {
        let shadow = &self.world.clients[&client];
        if !shadow.knows_metadata {
            return Ok(());
        }
        let rooms = shadow.channels.iter().map(|(name, room)| (name.clone(), room.status.clone()));
        let others = shadow.channels.values().flat_map(|room| room.members.keys());
        let others = others.filter(|nick| **nick != shadow.nick);
        let people = others.map(|nick| (nick.clone(), shadow.statuses.get(nick).cloned()));
        let believed: BTreeMap<String, Option<String>> = rooms.chain(people).collect();
        for (target, status) in believed {
            let answer = self.world.ask(client, &format!("METADATA {target} GET status"));
            let is_so = answer.iter().any(|line| match &status {
                Some(status) => line.contains(" 761 ") && line.ends_with(&format!(" :{status}")),
                None => line.contains(" 766 "),
            });
            if !is_so {
                return Err(format!(
                    "client on s{} believes that {status:?} is said of {target}: {answer:?}",
                    client.0
                ));
            }
        }
        Ok(())
    }

    /// Whoever watches nicks knows which of them somebody has.
    fn knows_who_is_here(&mut self, client: Client) -> Result<(), String> {
        let watched = self.world.clients[&client].watched.clone();
        if watched.is_empty() {
            return Ok(());
        }
        let nicks: Vec<&str> = watched.keys().map(String::as_str).collect();
        let answer = self.world.ask(client, &format!("ISON {}", nicks.join(" ")));
        let is_on = answer.iter().find_map(|line| line.split_once(" 303 ")?.1.split_once(':'));
        let here: BTreeSet<String> =
            is_on.into_iter().flat_map(|(_, nicks)| nicks.split(' ')).map(str::to_ascii_lowercase).collect();
        match watched.iter().find(|(nick, is_here)| here.contains(*nick) != **is_here) {
            Some((nick, is_here)) => Err(format!(
                "{} on s{} believes that {nick} is {}",
                self.world.clients[&client].nick,
                client.0,
                if *is_here { "here" } else { "not here" }
            )),
            None => Ok(()),
        }
    }
}
