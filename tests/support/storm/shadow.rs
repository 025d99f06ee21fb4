//! A client that believes every line it hears, and objects when two of them cannot both be true.

use std::collections::{BTreeMap, BTreeSet};

/// What one client knows of the network, from nothing but its lines.
#[derive(Default)]
pub struct Shadow {
    pub nick: String,
    /// The server that answers this client: another one than it is connected to, where it is a guest.
    pub home: String,
    /// Whether it has been moved from one home to another, when what was on its way may have been lost.
    pub is_moved: bool,
    pub channels: BTreeMap<String, Room>,
    /// Where people come from, as they were last shown.
    pub hosts: BTreeMap<String, String>,
    /// Whether NAMES shows all that a member is, so that statuses can be followed.
    pub sees_all_statuses: bool,
    /// Whether the client says several lines as one message.
    pub sends_multiline: bool,
    /// Authors heard on a channel that they were never seen on.
    pub strangers: Vec<(String, String)>,
    /// Channels that this client has left at least once.
    pub left: BTreeSet<String>,
    /// Whether the client is told of metadata, and what it knows of people under the key that it is subscribed to.
    pub knows_metadata: bool,
    pub statuses: BTreeMap<String, String>,
    /// Nicks on the MONITOR list, and whether somebody has them.
    pub watched: BTreeMap<String, bool>,
    msgids: BTreeSet<String>,
    /// The latest messages heard on channels, with their ids, and those that were taken back.
    pub latest: BTreeMap<String, String>,
    redacted: BTreeSet<String>,
    /// The last number heard from each author in each place.
    counted: BTreeMap<(String, String), u64>,
    /// All messages heard: author and number.
    pub heard: BTreeSet<(String, u64)>,
    pub lines: u64,
}

/// A channel as this client believes it to be.
#[derive(Default, Debug)]
pub struct Room {
    pub members: BTreeMap<String, BTreeSet<char>>,
    /// Flags, and modes with their values.
    pub modes: BTreeMap<char, String>,
    /// Whether it was asked for them once; from then on it is told.
    pub knows_modes: bool,
    pub topic: String,
    /// What is said of it under the key that clients are subscribed to.
    pub status: Option<String>,
    /// Those who were members: what they said before they left may come after the news that they did.
    gone: BTreeSet<String>,
    /// NAMES has not ended yet.
    filling: bool,
}

/// Modes that are set with a value.
const WITH_VALUE: &str = "klfWL";

const STATUSES: &[(char, char)] = &[('~', 'q'), ('&', 'a'), ('@', 'o'), ('%', 'h'), ('+', 'v')];

impl Shadow {
    pub fn new(caps: &str) -> Shadow {
        let has = |cap: &str| caps.split(' ').any(|one| one == cap);
        Shadow {
            sees_all_statuses: has("multi-prefix"),
            sends_multiline: has("draft/multiline"),
            knows_metadata: has("draft/metadata-3"),
            ..Shadow::default()
        }
    }

    /// From here on this is the server that answers.
    pub fn answered_by(&mut self, server: &str) {
        self.is_moved |= !self.home.is_empty() && self.home != server;
        self.home = server.to_string();
    }

    /// Takes one line. What does not fit is said as a sentence.
    pub fn hear(&mut self, line: &str) -> Result<(), String> {
        self.lines += 1;
        self.take(line).map_err(|why| format!("{} hears `{line}`: {why}", self.nick))
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let (tags, rest) = match line.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').ok_or("tags and nothing else")?,
            None => ("", line),
        };
        let Some(rest) = rest.strip_prefix(':') else { return Ok(()) };
        if rest.len() > 510 {
            return Err(format!("{} bytes", rest.len() + 1));
        }
        let (head, trailing) = rest.split_once(" :").map_or((rest, None), |(head, text)| (head, Some(text)));
        let mut words: Vec<&str> = head.split(' ').collect();
        words.extend(trailing);
        let source = words[0].split('!').next().unwrap_or_default().to_string();
        let msgid = tags.split(';').find_map(|tag| tag.strip_prefix("msgid="));
        if let Some(msgid) = msgid
            && !self.msgids.insert(msgid.to_string())
        {
            return Err("the same message twice".into());
        }
        let host = words[0].split_once('@').map(|(_, host)| host.to_string());
        if words[1].len() == 3 && words[1].bytes().all(|byte| byte.is_ascii_digit()) {
            self.answered_by(&source);
        }
        match (words[1], host) {
            ("JOIN", Some(host)) => drop(self.hosts.insert(source.clone(), host)),
            ("CHGHOST", _) if !self.knows(&source) => return Err(format!("{source} was nowhere")),
            ("CHGHOST", _) => drop(self.hosts.insert(source.clone(), words[3].to_string())),
            ("396", _) => drop(self.hosts.insert(self.nick.clone(), words[3].to_string())),
            ("QUIT", _) => drop(self.hosts.remove(&source)),
            ("NICK", _) => {
                let host = self.hosts.remove(&source);
                self.hosts.extend(host.map(|host| (words[2].to_string(), host)));
            }
            _ => {}
        }
        if let Some(msgid) = msgid.filter(|_| words[1] == "PRIVMSG" && words[2].starts_with('#')) {
            if self.redacted.contains(msgid) {
                return Err("that was taken back before".into());
            }
            self.latest.insert(words[2].to_string(), msgid.to_string());
        }
        match words[1] {
            "001" => self.nick = words[2].to_string(),
            "JOIN" => self.joined(&source, words[2])?,
            "353" => self.named(words[4], words.last().expect("there are words"))?,
            "366" => self.room(words[3])?.filling = false,
            "761" => self.has_status(words[3], Some(words[6])),
            "766" => self.has_status(words[3], None),
            "332" => self.room(words[3])?.topic = words[4].to_string(),
            // Some ask about channels that they were not let into.
            "324" => {
                if let Some(room) = self.channels.get_mut(words[3]) {
                    room.modes = read_modes(words[4], &words[5..]);
                    room.knows_modes = true;
                }
            }
            "PART" => self.left(&source, words[2])?,
            // Who kicks may have gone by the time that the owner of the kicked one does it.
            "KICK" => self.left(words[3], words[2])?,
            "QUIT" => self.quit(&source)?,
            "NICK" => self.renamed(&source, words[2])?,
            "MODE" if words[2].starts_with('#') => {
                self.set_modes(words[2], words[3], &words[4..])?;
            }
            "RENAME" => self.room_renamed(words[2], words[3])?,
            "TOPIC" => self.room(words[2])?.topic = words[3].to_string(),
            "REDACT" if !self.redacted.insert(words[3].to_string()) => {
                return Err("it was taken back already".into());
            }
            "730" => self.presence(words[3], true)?,
            "731" => self.presence(words[3], false)?,
            "PRIVMSG" => self.said(&source, words[2], words[3])?,
            _ => {}
        }
        Ok(())
    }

    fn has_status(&mut self, target: &str, status: Option<&str>) {
        let status = status.map(str::to_string);
        if let Some(room) = self.channels.get_mut(target) {
            room.status = status;
        } else if let Some(status) = status {
            self.statuses.insert(target.to_string(), status);
        } else {
            self.statuses.remove(target);
        }
    }

    /// Once it is known of somebody whether they are here, only the contrary is news.
    fn presence(&mut self, people: &str, is_here: bool) -> Result<(), String> {
        for person in people.split(',') {
            let nick = person.split('!').next().unwrap_or_default().to_ascii_lowercase();
            if self.watched.insert(nick.clone(), is_here) == Some(is_here) {
                return Err(format!("{nick} was so already"));
            }
            if !is_here {
                self.statuses.retain(|known, _| !known.eq_ignore_ascii_case(&nick));
            }
        }
        Ok(())
    }

    fn room(&mut self, channel: &str) -> Result<&mut Room, String> {
        self.channels.get_mut(channel).ok_or_else(|| format!("I am not on {channel}"))
    }

    fn room_renamed(&mut self, old: &str, new: &str) -> Result<(), String> {
        let room = self.channels.remove(old).ok_or_else(|| format!("I am not on {old}"))?;
        match self.channels.insert(new.to_string(), room) {
            None => Ok(()),
            Some(_) => Err(format!("I am on {new} already")),
        }
    }

    fn knows(&self, nick: &str) -> bool {
        nick == self.nick || self.channels.values().any(|room| room.members.contains_key(nick))
    }

    fn joined(&mut self, nick: &str, channel: &str) -> Result<(), String> {
        if nick == self.nick {
            let room = Room { filling: true, ..Room::default() };
            return match self.channels.insert(channel.to_string(), room) {
                None => Ok(()),
                Some(_) => Err("I am on it already".into()),
            };
        }
        // What is said of whoever comes is told anew.
        self.statuses.remove(nick);
        let room = self.room(channel)?;
        if room.filling {
            return Err("somebody joins in the midst of my NAMES".into());
        }
        match room.members.insert(nick.to_string(), BTreeSet::new()) {
            None => Ok(()),
            Some(_) => Err(format!("{nick} is on it already")),
        }
    }

    fn named(&mut self, channel: &str, names: &str) -> Result<(), String> {
        let room = self.room(channel)?;
        for name in names.split(' ').filter(|name| !name.is_empty()) {
            let (nick, statuses) = read_name(name);
            if room.filling && room.members.contains_key(&nick) {
                return Err(format!("{nick} twice"));
            }
            // Whoever comes into sight where a channel hides its members is told so by NAMES.
            room.members.entry(nick).or_insert(statuses);
        }
        Ok(())
    }

    fn left(&mut self, nick: &str, channel: &str) -> Result<(), String> {
        let is_me = nick == self.nick;
        let room = self.room(channel)?;
        room.members.remove(nick).ok_or_else(|| format!("{nick} was not on it"))?;
        room.gone.insert(nick.to_string());
        if is_me {
            self.left.insert(channel.to_string());
            self.channels.remove(channel);
        }
        // Of those who are out of sight nothing is told any more.
        let in_sight: BTreeSet<&String> =
            self.channels.values().flat_map(|room| room.members.keys()).collect();
        let me = &self.nick;
        self.hosts.retain(|nick, _| nick == me || in_sight.contains(nick));
        Ok(())
    }

    fn quit(&mut self, nick: &str) -> Result<(), String> {
        if nick == self.nick {
            return Ok(());
        }
        let mut was_somewhere = false;
        for room in self.channels.values_mut() {
            if room.members.remove(nick).is_some() {
                was_somewhere = true;
                room.gone.insert(nick.to_string());
            }
        }
        self.statuses.remove(nick);
        if was_somewhere { Ok(()) } else { Err(format!("{nick} was nowhere")) }
    }

    fn renamed(&mut self, old: &str, new: &str) -> Result<(), String> {
        if !self.knows(old) {
            return Err(format!("{old} was nowhere"));
        }
        if !old.eq_ignore_ascii_case(new) && self.knows(new) {
            return Err(format!("{new} is somebody else"));
        }
        // Whoever was called that before is somebody else, perhaps seen from afar only.
        match self.statuses.remove(old) {
            Some(status) => drop(self.statuses.insert(new.to_string(), status)),
            None => drop(self.statuses.remove(new)),
        }
        if old == self.nick {
            self.nick = new.to_string();
        }
        for room in self.channels.values_mut() {
            if let Some(statuses) = room.members.remove(old) {
                room.members.insert(new.to_string(), statuses);
            }
        }
        Ok(())
    }

    fn set_modes(&mut self, channel: &str, letters: &str, values: &[&str]) -> Result<(), String> {
        let sees_all = self.sees_all_statuses;
        let room = self.room(channel)?;
        let mut values = values.iter();
        let mut on = true;
        for letter in letters.chars() {
            match letter {
                '+' | '-' => on = letter == '+',
                'q' | 'a' | 'o' | 'h' | 'v' => {
                    let nick = values.next().ok_or("a status of nobody")?;
                    let member = room.members.get_mut(*nick).ok_or_else(|| format!("{nick} is not on it"))?;
                    let is_news = if on { member.insert(letter) } else { member.remove(&letter) };
                    if sees_all && !is_news {
                        return Err(format!("{nick} was so already"));
                    }
                }
                'b' | 'e' | 'I' => {
                    values.next().ok_or("a list and no mask")?;
                }
                letter if on && WITH_VALUE.contains(letter) => {
                    let value = values.next().ok_or("a mode and no value")?;
                    room.modes.insert(letter, value.to_string());
                }
                'k' => {
                    values.next().ok_or("a key to take away and no value")?;
                    room.modes.remove(&letter);
                }
                _ if on => {
                    room.modes.insert(letter, String::new());
                }
                _ => {
                    room.modes.remove(&letter);
                }
            }
        }
        Ok(())
    }

    fn said(&mut self, source: &str, target: &str, text: &str) -> Result<(), String> {
        let mut is_stranger = false;
        if target.starts_with('#') {
            let room = self.room(target)?;
            // In an auditorium people speak who are in nobody's sight.
            let hides_members = room.modes.contains_key(&'u') || !room.knows_modes;
            is_stranger = !hides_members && !room.members.contains_key(source) && !room.gone.contains(source);
        }
        // Texts are `<author> <number>`; the author stays the same through every change of nick.
        let (author, number) = text.split_once(' ').ok_or("a text that nobody said")?;
        let number: u64 = number.parse().map_err(|_| "a text that nobody said")?;
        if is_stranger {
            self.strangers.push((author.to_string(), target.to_string()));
        }
        let place = if target.starts_with('#') { target } else { "me" };
        let last = self.counted.entry((author.to_string(), place.to_string())).or_default();
        if number <= *last {
            return Err(format!("{author} had said {last} before"));
        }
        *last = number;
        self.heard.insert((author.to_string(), number));
        Ok(())
    }
}

/// One name of NAMES: the nick, and the letters of what they are.
pub fn read_name(name: &str) -> (String, BTreeSet<char>) {
    let signs = name.chars().take_while(|c| STATUSES.iter().any(|(sign, _)| sign == c));
    let statuses: BTreeSet<char> = signs
        .filter_map(|c| STATUSES.iter().find(|(sign, _)| *sign == c).map(|(_, letter)| *letter))
        .collect();
    (name[statuses.len()..].to_string(), statuses)
}

/// What MODE answers: letters, and the values of those that have one.
pub fn read_modes(letters: &str, values: &[&str]) -> BTreeMap<char, String> {
    let mut values = values.iter();
    let letters = letters.chars().filter(|letter| *letter != '+');
    letters
        .map(|letter| {
            let value =
                if WITH_VALUE.contains(letter) { values.next().map(|value| value.to_string()) } else { None };
            (letter, value.unwrap_or_default())
        })
        .collect()
}
