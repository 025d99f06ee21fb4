//! A stage of real processes: servers linked through relays, people with sockets, and time that passes by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use toml::Table;

use crate::process::client::{Came, Client};
use crate::process::log::Mark;
use crate::process::relay::Relay;
use crate::process::{LOOK_AGAIN, PATIENCE, Server};
use crate::support::stage::{Door, Heard, Outcome, Stage};

/// A server that has something to do at its next tick has done it by then.
const TICK_SURELY: Duration = Duration::from_millis(400);
/// How long a server holds those out of reach if its settings do not say.
const HOLD_DEFAULT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Processes {
    servers: BTreeMap<String, Server>,
    people: BTreeMap<String, Person>,
    /// By the two servers, the lesser name first.
    cables: BTreeMap<(String, String), Cable>,
    heard: Vec<(String, Heard)>,
    fences: u64,
    /// Until then something may come that no fence waits for.
    unsettled_until: Option<Instant>,
    /// Something was said that others hear of when it is on disk.
    writes_to_disk: bool,
    /// A channel is registered, or may be, or has another name than at first: what is set on it goes to disk as well.
    has_registered: bool,
}

struct Person {
    client: Client,
    server: String,
    is_registered: bool,
    door: Door,
}

struct Cable {
    relay: Relay,
    caller: String,
    is_whole: bool,
}

/// How long people wait before each line: as slow as a machine may be, where somebody wants to see that.
fn pause() -> Duration {
    let ms = std::env::var("FOLKMOOT_PAUSE_MS").ok();
    Duration::from_millis(ms.map_or(1, |ms| ms.parse().expect("FOLKMOOT_PAUSE_MS is a number")))
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.min(b).to_string(), a.max(b).to_string())
}

impl Stage for Processes {
    fn configure(&mut self, server: &str, settings: &Table) -> Outcome {
        let server = self.servers.entry(server.to_string()).or_insert_with(|| Server::new(server));
        server.set_to(settings);
        server.write_settings();
        Ok(())
    }

    fn start(&mut self, server: &str) -> Outcome {
        self.servers.entry(server.to_string()).or_insert_with(|| Server::new(server)).try_start()
    }

    fn stop(&mut self, server: &str) -> Outcome {
        let marks = self.marks();
        self.running(server)?.signal(Signal::TERM);
        // It waits until those who were on it have hung up.
        self.all_leave(server);
        let status = self.server(server).ended();
        self.lose(server, &marks);
        if status.success() { Ok(()) } else { Err(format!("{server} ended with {status}")) }
    }

    fn kill(&mut self, server: &str) -> Outcome {
        let marks = self.marks();
        self.running(server)?;
        self.server(server).kill();
        self.all_leave(server);
        self.lose(server, &marks);
        Ok(())
    }

    fn link(&mut self, a: &str, b: &str) -> Outcome {
        let marks = self.marks();
        let (target, name) = (self.running(b)?.places().link[0], self.running(b)?.name());
        self.running(a)?;
        let cable = self.cables.entry(pair(a, b)).or_insert_with(|| Cable {
            relay: Relay::to(target),
            caller: String::new(),
            is_whole: false,
        });
        cable.relay.lead_to(target);
        cable.relay.mend();
        (cable.caller, cable.is_whole) = (a.to_string(), true);
        let address = cable.relay.address();
        let caller = self.server(a);
        caller.call(&name, address);
        // Read anew, all places are called at the next tick.
        caller.reload();
        self.servers[a].is_linked_with(marks[a], &self.servers[b]);
        self.servers[b].is_linked_with(marks[b], &self.servers[a]);
        self.unsettle();
        Ok(())
    }

    fn cut(&mut self, a: &str, b: &str) -> Outcome {
        let marks = self.marks();
        self.part(a, b)?;
        for (one, other) in [(a, b), (b, a)] {
            self.servers[one].logs(marks[one], &format!("{other}.lan closed conn="));
        }
        self.unsettle();
        Ok(())
    }

    fn split(&mut self, a: &str, b: &str) -> Outcome {
        let marks = self.marks();
        self.cut(a, b)?;
        let (near, far) = (self.reachable(a), self.reachable(b));
        if near.contains(b) {
            // Nobody is shown as gone, and only time can tell.
            return self.wait(HOLD_DEFAULT + TICK_SURELY);
        }
        for (these, those) in [(&near, &far), (&far, &near)] {
            for (one, other) in these.iter().flat_map(|one| those.iter().map(move |other| (one, other))) {
                self.servers[one].logs(marks[one.as_str()], &format!("{other}.lan is out of reach"));
            }
        }
        Ok(())
    }

    fn connect(&mut self, person: &str, server: &str, door: Door) -> Outcome {
        if self.people.contains_key(person) {
            return Err(format!("{person} has a connection already"));
        }
        let at = self.running(server)?;
        let client = match door {
            Door::Plain => at.connect(),
            Door::Tls => at.connect_tls(),
            Door::Certificate => at.connect_by_certificate(),
        };
        let known = Person { client, server: server.to_string(), is_registered: false, door };
        self.people.insert(person.to_string(), known);
        Ok(())
    }

    fn say(&mut self, person: &str, line: &[u8]) -> Outcome {
        // Something was said later than what was said before it, by any clock.
        std::thread::sleep(pause());
        let known = self.people.get_mut(person).ok_or_else(|| format!("{person} has no connection"))?;
        known.client.send(&[line, b"\r\n"].concat());
        let mut words = line.split(|byte| *byte == b' ').skip_while(|word| word.starts_with(b"@"));
        let said = words.next().unwrap_or_default();
        let is_slow = |command: &str| said.eq_ignore_ascii_case(command.as_bytes());
        // Passwords are checked, files are read, queues measured and servers called beside everything else, and bans are
        // put on disk before others hear of them.
        let is_of_bans = said.to_ascii_uppercase().ends_with(b"LINE");
        let is_checked = !known.is_registered && self.servers[&known.server].has_password();
        let text = String::from_utf8_lossy(line).to_ascii_uppercase();
        self.has_registered |= ["CHANSERV", "CS ", "RENAME "].iter().any(|word| text.contains(word));
        self.writes_to_disk |= self.has_registered
            || ["REGISTER ", "MARKREAD ", "NICKSERV ", "NS ", "REPORT", "METADATA "]
                .iter()
                .any(|word| text.contains(word));
        if is_checked
            || is_of_bans
            || ["OPER", "REHASH", "CONNECT", "SQUIT", "STATS"].into_iter().any(is_slow)
        {
            self.unsettle();
        }
        Ok(())
    }

    fn hang_up(&mut self, person: &str) -> Outcome {
        let known = self.people.remove(person).ok_or_else(|| format!("{person} has no connection"))?;
        let server = &self.servers[&known.server];
        let conn = conn_of(server, known.client.address());
        let mark = server.mark();
        drop(known);
        server.logs(mark, &format!(" conn={conn} closed why="));
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Outcome {
        std::thread::sleep(time);
        self.unsettle();
        Ok(())
    }

    fn hear(&mut self) -> Result<Vec<(String, Heard)>, String> {
        loop {
            let before = self.heard.len();
            let has_written = self.has_written();
            // First all that was said is taken in, then all that came of it reaches every server, then everyone on it.
            // Where something came, that may have had others do something in turn.
            self.fence_people()?;
            if std::mem::take(&mut self.writes_to_disk) {
                self.unsettle();
            }
            self.fence_network()?;
            self.fence_people()?;
            let is_settled = self.unsettled_until.is_none_or(|until| Instant::now() >= until);
            match (self.heard.len() == before, is_settled && has_written && self.has_written()) {
                (true, true) => break,
                (true, false) => std::thread::sleep(LOOK_AGAIN),
                (false, _) => {}
            }
        }
        self.unsettled_until = None;
        Ok(std::mem::take(&mut self.heard))
    }

    /// What is left to a tick, a disk or another thread comes late on a machine that is busy.
    fn patience(&self) -> Duration {
        PATIENCE
    }
}

/// What the log of its server calls a connection.
fn conn_of(server: &Server, address: SocketAddr) -> String {
    let line = server.logs(Mark::START, &format!("{address} connected conn="));
    line.rsplit_once('=').expect("it was found by that").1.to_string()
}

impl Processes {
    fn server(&mut self, server: &str) -> &mut Server {
        self.servers.get_mut(server).expect("looked for before")
    }

    fn running(&self, server: &str) -> Result<&Server, String> {
        let found = self.servers.get(server).filter(|server| server.is_running());
        found.ok_or_else(|| format!("{server} does not run"))
    }

    /// Where the logs of all who run end by now.
    fn marks(&self) -> BTreeMap<String, Mark> {
        let running = self.servers.iter().filter(|(_, server)| server.is_running());
        running.map(|(name, server)| (name.clone(), server.mark())).collect()
    }

    fn has_written(&self) -> bool {
        self.servers.values().filter(|server| server.is_running()).all(Server::has_written)
    }

    fn unsettle(&mut self) {
        self.unsettled_until = Some(Instant::now() + TICK_SURELY);
    }

    /// Breaks a cable, and keeps both ends from trying it.
    fn part(&mut self, a: &str, b: &str) -> Outcome {
        let cable = self.cables.get_mut(&pair(a, b)).filter(|cable| cable.is_whole);
        let cable = cable.ok_or_else(|| format!("{a} and {b} were not linked"))?;
        cable.is_whole = false;
        let caller = cable.caller.clone();
        let called = if caller == a { b } else { a };
        let caller = self.server(&caller);
        caller.call_nobody(&format!("{called}.lan"));
        if caller.is_running() {
            caller.reload();
        }
        self.cables[&pair(a, b)].relay.cut();
        Ok(())
    }

    /// A server has gone: its links are cut, and the others have noticed.
    fn lose(&mut self, server: &str, marks: &BTreeMap<String, Mark>) {
        for other in self.neighbours(server) {
            self.part(server, &other).expect("neighbours are linked");
            self.servers[&other].logs(marks[&other], &format!("{server}.lan closed conn="));
        }
        self.unsettle();
    }

    fn neighbours(&self, server: &str) -> Vec<String> {
        let whole = self.cables.iter().filter(|(_, cable)| cable.is_whole).map(|(pair, _)| pair);
        let others = whole.filter_map(|(a, b)| match (a == server, b == server) {
            (true, _) => Some(b.clone()),
            (_, true) => Some(a.clone()),
            _ => None,
        });
        others.collect()
    }

    /// A server, and those that it has a path to.
    fn reachable(&self, server: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([server.to_string()]);
        let mut look_from = vec![server.to_string()];
        while let Some(here) = look_from.pop() {
            look_from.extend(self.neighbours(&here).into_iter().filter(|there| found.insert(there.clone())));
        }
        found
    }

    /// Everybody on a server that is ending hears the last of it, and hangs up.
    fn all_leave(&mut self, server: &str) {
        let people: Vec<String> = self
            .people
            .iter()
            .filter(|(_, person)| person.server == server)
            .map(|(name, _)| name.clone())
            .collect();
        for name in people {
            let person = self.people.get_mut(&name).expect("found above");
            let lines = person.client.hear_to_the_end();
            self.heard.extend(lines.into_iter().map(|line| (name.clone(), Heard::Line(line))));
            self.over(&name);
        }
    }

    fn over(&mut self, name: &str) {
        self.people.remove(name);
        self.heard.push((name.to_string(), Heard::Closed));
    }

    /// From every server with somebody on it to every other, and back again.
    fn fence_network(&mut self) -> Outcome {
        let mut askers: BTreeMap<String, String> = BTreeMap::new();
        for (name, person) in self.people.iter().filter(|(_, person)| person.is_registered) {
            askers.entry(person.server.clone()).or_insert_with(|| name.clone());
        }
        let mut asked = Vec::new();
        for (server, name) in askers {
            for other in self.reachable(&server).into_iter().filter(|other| *other != server) {
                self.fences += 1;
                let token = format!("fence-{}", self.fences);
                let there = format!("{other}.lan");
                let asker = self.people.get_mut(&name).expect("found above");
                asker.client.say(&format!("PING {token} {there}"));
                asked.push((name.clone(), there, token, format!(":{server}.lan 402 ")));
            }
        }
        // They answer in any order; nobody there is an answer too.
        let mut answered = vec![false; asked.len()];
        for number in 0..asked.len() {
            while !answered[number] {
                let name = asked[number].0.clone();
                let Some(line) = self.next_line(&name)? else {
                    asked
                        .iter()
                        .zip(&mut answered)
                        .filter(|(ask, _)| ask.0 == name)
                        .for_each(|(_, done)| *done = true);
                    break;
                };
                type Asked = (String, String, String, String);
                let is_answer = |(place, (by, there, token, unknown)): (usize, &Asked)| {
                    let body = body(&line);
                    let pong = format!(" PONG {there} :{token}");
                    // Whatever they are called by now; what another server says so is no answer to this.
                    let nobody = body.starts_with(unknown) && body.contains(&format!(" {there} :"));
                    !answered[place] && *by == name && (body.ends_with(&pong) || nobody)
                };
                match asked.iter().enumerate().position(is_answer) {
                    Some(place) => answered[place] = true,
                    None => self.note(&name, line),
                }
            }
        }
        Ok(())
    }

    /// Everything that is on its way to anyone arrives.
    fn fence_people(&mut self) -> Outcome {
        self.fences += 1;
        let token = format!("fence-{}", self.fences);
        let names: Vec<String> = self.people.keys().cloned().collect();
        for name in &names {
            self.people.get_mut(name).expect("listed above").client.say(&format!("PING {token}"));
        }
        let pong = format!(" :{token}");
        for name in &names {
            while let Some(line) = self.next_line(name)? {
                if body(&line).contains(" PONG ") && line.ends_with(&pong) {
                    break;
                }
                self.note(name, line);
            }
        }
        Ok(())
    }

    /// The next line for somebody; `None` where there is nobody any more.
    fn next_line(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(person) = self.people.get_mut(name) else { return Ok(None) };
        match person.client.next_by(Instant::now() + PATIENCE) {
            Came::Line(line) => Ok(Some(line)),
            Came::End => {
                self.over(name);
                Ok(None)
            }
            Came::Nothing => {
                Err(format!("{name} waits in vain for a PONG from {} ({:?})", person.server, person.door))
            }
        }
    }

    fn note(&mut self, name: &str, line: String) {
        if let Some(person) = self.people.get_mut(name)
            && body(&line).split(' ').nth(1) == Some("001")
        {
            person.is_registered = true;
        }
        self.heard.push((name.to_string(), Heard::Line(line)));
    }
}

/// A line without its tags.
fn body(line: &str) -> &str {
    match line.strip_prefix('@') {
        Some(tagged) => tagged.split_once(' ').map_or("", |(_, body)| body),
        None => line,
    }
}
