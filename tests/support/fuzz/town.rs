//! Plays a story on a simulated network, and holds what everyone hears to what must be so whatever was said.

use std::collections::BTreeMap;
use std::time::Duration;

use folkmoot::wire::message::Message;

use super::valid;
use crate::simulated::Simulated;
use crate::support::script::{self, Act};
use crate::support::stage::{Door, Heard, Stage};

/// Servers are compared, and their bounds looked at, after so many acts.
const ACTS_BETWEEN_LOOKS: usize = 50;
/// No single line is worth more than this to everybody together.
const BYTES_PER_ACT_MAX: usize = 1 << 20;

#[derive(Default)]
pub struct Town {
    stage: Simulated,
    servers: Vec<String>,
    /// Everyone who has a connection.
    people: BTreeMap<String, Listener>,
    pub lines_heard: usize,
}

/// What somebody's client has reason to believe.
#[derive(Default)]
struct Listener {
    /// From the welcome on.
    nick: Option<String>,
    /// Whoever never says CAP has not asked for tags.
    said_cap: bool,
}

/// Plays a story to its end. What servers must not do is an error; what they must not do at all is a panic.
pub fn play(story: &str) -> Result<Town, String> {
    let script = script::parse(story).map_err(|(line, why)| format!("line {line}: {why}"))?;
    let mut town = Town::default();
    // Kept by the harness for as long as the test runs, it would be most of what there is in memory.
    town.stage.is_quiet = std::env::var_os("FOLKMOOT_TRACE").is_none();
    for (place, step) in script.steps.iter().enumerate() {
        let told = |why: String| format!("after \"{}\": {why}", script.lines[step.place]);
        town.act(&step.act).map_err(told)?;
        town.listen().map_err(told)?;
        if place % ACTS_BETWEEN_LOOKS == 0 {
            town.look().map_err(told)?;
        }
    }
    town.end()?;
    Ok(town)
}

impl Town {
    /// What cannot be done, as somebody is not there to do it, is left out: the story was made up.
    fn act(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::Configure { server, settings } => self.configure(server, settings.clone())?,
            Act::Start(servers) => {
                for server in servers {
                    if !self.servers.contains(server) {
                        self.configure(server, toml::Table::new())?;
                    }
                    self.stage.start(server)?;
                }
            }
            Act::Link(a, b) => drop(self.stage.link(a, b)),
            Act::Cut(a, b) => drop(self.stage.cut(a, b)),
            Act::Connect { person, server, door } => self.connect(person, server, *door)?,
            Act::Arrive { person, server, door, wants } => {
                self.connect(person, server, *door)?;
                let (caps, user) =
                    (format!("CAP REQ :{}", wants.join(" ")), format!("USER {person} 0 * :{person}"));
                for line in [caps, format!("NICK {person}"), user, "CAP END".to_string()] {
                    self.say(person, line.as_bytes());
                }
            }
            Act::Say { person, text } => self.say(person, &script::said(text)),
            Act::HangUp { person } => {
                if self.people.remove(person).is_some() {
                    self.stage.hang_up(person)?;
                }
            }
            Act::Wait(time) => self.stage.wait(*time)?,
            act => return Err(format!("{act:?} is nothing that happens in a made-up story")),
        }
        Ok(())
    }

    fn configure(&mut self, server: &str, mut settings: toml::Table) -> Result<(), String> {
        self.servers.push(server.to_string());
        let table = settings.entry("server").or_insert_with(|| toml::Table::new().into());
        let table = table.as_table_mut().ok_or("[server] is a table")?;
        table.insert("sid".to_string(), format!("{}HA", self.servers.len()).into());
        self.stage.configure(server, &settings)
    }

    fn connect(&mut self, person: &str, server: &str, door: Door) -> Result<(), String> {
        if self.people.contains_key(person) {
            return Ok(());
        }
        self.people.insert(person.to_string(), Listener::default());
        self.stage.connect(person, server, door)
    }

    fn say(&mut self, person: &str, line: &[u8]) {
        let Some(listener) = self.people.get_mut(person) else { return };
        listener.said_cap |= line.to_ascii_uppercase().windows(3).any(|word| word == b"CAP");
        // Whose connection was closed meanwhile is told so by the next lines that are heard.
        let _ = self.stage.say(person, line);
    }

    fn listen(&mut self) -> Result<(), String> {
        let mut bytes = 0;
        for (person, heard) in self.stage.listen() {
            match heard {
                Heard::Line(line) => {
                    bytes += line.len();
                    self.lines_heard += 1;
                    self.hear(&person, &line)
                        .map_err(|why| format!("{person} hears \"{line}\", which {why}"))?;
                }
                Heard::Closed => drop(self.people.remove(&person)),
            }
        }
        if bytes > BYTES_PER_ACT_MAX {
            return Err(format!("{bytes} bytes came of it"));
        }
        Ok(())
    }

    fn hear(&mut self, person: &str, line: &str) -> Result<(), String> {
        if let Some(why) = valid::fault(line) {
            return Err(why);
        }
        let Some(listener) = self.people.get_mut(person) else { return Ok(()) };
        if line.starts_with('@') && !listener.said_cap {
            return Err("has tags that nobody asked for".to_string());
        }
        let message = Message::parse(line).ok_or("is none")?;
        let (command, first) = (message.command, message.params.first().copied().unwrap_or_default());
        if command == "001" {
            listener.nick = Some(first.to_string());
        }
        let nick = listener.nick.as_deref().unwrap_or("*");
        // Of a KNOCK a channel is told, not a person.
        let is_numeric = command != "710" && command.starts_with(|c: char| c.is_ascii_digit());
        if is_numeric && first != nick {
            return Err(format!("is for {first}, and they are {nick}"));
        }
        let source = message.source.unwrap_or_default().split('!').next().unwrap_or_default();
        if command == "NICK" && source == nick {
            listener.nick = Some(first.to_string());
        }
        Ok(())
    }

    /// Servers that are linked hold the same, and nobody more than they may.
    fn look(&mut self) -> Result<(), String> {
        self.stage.rest()?;
        self.listen()?;
        for server in &self.servers {
            // It may yet have to be started.
            let loads = self.stage.engine(server).map(|engine| engine.loads()).unwrap_or_default();
            if let Some(load) = loads.into_iter().find(|load| load.count > load.most) {
                return Err(format!("{server} has {} {}, and {} at most", load.count, load.what, load.most));
            }
        }
        Ok(())
    }

    /// Everyone goes, and nothing is left of them.
    fn end(&mut self) -> Result<(), String> {
        for person in std::mem::take(&mut self.people).into_keys() {
            self.stage.hang_up(&person)?;
        }
        if let [a, b] = &self.servers[..] {
            // They may be linked still; or an operator has asked that they are not, for a while.
            let _ = self.stage.link(a, b);
        }
        self.stage.wait(Duration::from_secs(2))?;
        self.look()?;
        for server in &self.servers {
            let report = self.stage.engine(server)?.report();
            if report.links.len() + 1 == self.servers.len()
                && (report.users_network > 0 || report.channels > 0)
            {
                let (users, channels) = (report.users_network, report.channels);
                return Err(format!(
                    "everyone is gone, and {server} has {users} users and {channels} channels"
                ));
            }
        }
        Ok(())
    }
}
