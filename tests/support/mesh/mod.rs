//! Linked servers with somebody on each who talks all the time, and what has to be true of them in the end.

// Each test takes this in whole and uses a part of it.
#![allow(dead_code)]

pub mod restless;
pub mod talker;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::process::client::Client;
use crate::process::{LOOK_AGAIN, Server};
use talker::{CHANNEL, Tale, Talker};

/// Who may see all of a server, and keep people off the network: for the settings of each.
pub const OPERATOR: &str = r#"operator = [{ name = "watch", password = "over", class = "administrator" }]"#;

/// How long lines may take that nothing keeps from arriving, and servers to agree once they are linked.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(30);

pub struct Mesh {
    // Dropped in this order: people before their servers.
    pub talkers: Vec<Talker>,
    observers: Vec<Client>,
    pub servers: Vec<Server>,
}

impl Mesh {
    /// Puts two people on each server: one who talks, every so often, and one who looks. Where the servers take them
    /// in stands beside them; all are linked by now.
    pub fn of(servers: Vec<Server>, doors: &[SocketAddr], every: Duration) -> Mesh {
        let nick = |start: &str, number: usize| format!("{start}{number}");
        let mut observers = Vec::new();
        for (number, door) in doors.iter().enumerate() {
            let mut observer = Client::connect(*door);
            observer.register(&nick("observer", number));
            observer.say("OPER watch over");
            observer.hear_until(" 381 ");
            observers.push(observer);
        }
        let arrive =
            |(number, door): (usize, &SocketAddr)| Talker::arrive(*door, &nick("talker", number), every);
        let talkers = doors.iter().enumerate().map(arrive).collect();
        let mut mesh = Mesh { talkers, observers, servers };
        mesh.everyone_sees_all();
        mesh.talkers.iter().for_each(|talker| talker.talk(true));
        settle("everybody has said something", || {
            mesh.talkers.iter().all(|talker| !talker.tale().said.is_empty())
        });
        // Whoever is heard has been heard to join.
        mesh.hears_everything();
        mesh.talkers.iter().for_each(|talker| drop(talker.take_beside()));
        mesh
    }

    fn everyone_sees_all(&mut self) {
        let count = self.talkers.len();
        let full = format!("{CHANNEL} {count} ");
        settle("everybody is on the channel", || {
            self.observers.iter_mut().all(|observer| {
                observer.say("LIST");
                observer.sync().iter().any(|line| line.contains(&full))
            })
        });
    }

    pub fn server(&self, word: &str) -> &Server {
        self.servers.iter().find(|server| server.word == word).expect("it is one of them")
    }

    /// Waits until everyone has heard every line of everyone else that was said before now, and holds that none came
    /// twice, or late, or never.
    pub fn hears_everything(&self) {
        self.hears_the_latest();
        for talker in &self.talkers {
            for (speaker, numbers) in talker.tale().heard {
                let whole: Vec<usize> = (0..numbers.len()).collect();
                let fault = numbers.iter().zip(&whole).position(|(heard, due)| heard != due);
                assert_eq!(fault, None, "{} of {speaker} heard {:?}", talker.nick, around(&numbers, fault));
            }
        }
    }

    /// Waits until everyone has heard the latest line of everyone else, or a later one.
    pub fn hears_the_latest(&self) {
        let said: Vec<usize> = self.talkers.iter().map(|talker| talker.tale().said.len()).collect();
        let has_come = |tale: &Tale, speaker: usize| {
            let heard = tale.heard.get(&self.talkers[speaker].nick).and_then(|numbers| numbers.last());
            said[speaker] == 0 || heard.is_some_and(|last| last + 1 >= said[speaker])
        };
        let others = |own: usize| (0..said.len()).filter(move |other| *other != own);
        settle("everyone has heard the latest lines", || {
            let tales = self.talkers.iter().map(Talker::tale).enumerate();
            tales.into_iter().all(|(own, tale)| others(own).all(|speaker| has_come(&tale, speaker)))
        });
    }

    /// Holds that no line came twice, or after a later one of the same speaker.
    pub fn hears_in_order(&self) {
        for talker in &self.talkers {
            for (speaker, numbers) in talker.tale().heard {
                let fault = numbers.windows(2).position(|pair| pair[0] >= pair[1]);
                assert_eq!(fault, None, "{} of {speaker} heard {:?}", talker.nick, around(&numbers, fault));
            }
        }
    }

    /// Of what was heard of other talkers, what was lost: by whom, of whom, and when it was said. What was said last may
    /// still be on its way.
    pub fn lost(&self) -> Vec<(usize, usize, Instant)> {
        let tales: Vec<Tale> = self.talkers.iter().map(Talker::tale).collect();
        let mut lost = Vec::new();
        for (hearer, tale) in tales.iter().enumerate() {
            for (speaker, talker) in self.talkers.iter().enumerate().filter(|(speaker, _)| *speaker != hearer)
            {
                let numbers = tale.heard.get(&talker.nick).map_or(&[][..], Vec::as_slice);
                let last = numbers.last().copied().unwrap_or(0);
                let heard: BTreeSet<usize> = numbers.iter().copied().collect();
                let missing = (0..last).filter(|number| !heard.contains(number));
                lost.extend(missing.map(|number| (hearer, speaker, tales[speaker].said[number])));
            }
        }
        lost
    }

    /// Every line for each who should hear it, as `lost` has them.
    pub fn said(&self) -> Vec<(usize, usize, Instant)> {
        let tales: Vec<Tale> = self.talkers.iter().map(Talker::tale).collect();
        let others = |speaker: usize| (0..tales.len()).filter(move |hearer| *hearer != speaker);
        let of = |(speaker, tale): (usize, &Tale)| {
            let lines = tale
                .said
                .iter()
                .flat_map(move |at| others(speaker).map(move |hearer| (hearer, speaker, *at)));
            lines.collect::<Vec<_>>()
        };
        tales.iter().enumerate().flat_map(of).collect()
    }

    /// Holds that each talker heard of each other that they went, and that they came, in turn, and came last.
    pub fn hears_who_comes_and_goes(&self) {
        for talker in &self.talkers {
            let beside = talker.take_beside();
            for other in &self.talkers {
                let theirs = beside.iter().filter(|line| line.starts_with(&format!(":{}!", other.nick)));
                let theirs: Vec<&String> = theirs.collect();
                let is_in_turn = theirs.chunks(2).all(|pair| match pair {
                    [went, came] => went.contains(" QUIT :") && came.contains(&format!(" JOIN {CHANNEL}")),
                    _ => false,
                });
                assert!(is_in_turn, "{} of {} heard {theirs:#?}", talker.nick, other.nick);
            }
        }
    }

    /// Holds that nobody has noticed anything since this was last asked.
    pub fn notices_nothing(&self) {
        for talker in &self.talkers {
            assert_eq!(talker.take_beside(), [""; 0], "{}", talker.nick);
        }
    }

    /// Waits until all servers show the same: people, channels, members, modes, topics, bans; and hold the same, by
    /// the digests of it.
    pub fn agrees(&mut self) {
        self.agrees_within(SETTLED_WITHIN);
    }

    pub fn agrees_within(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let seen: Vec<BTreeSet<String>> = self.observers.iter_mut().map(look).collect();
            assert!(
                seen[0].iter().any(|line| line.contains(" :state ")),
                "digests are shown: {:#?}",
                seen[0]
            );
            let Some(other) = seen.iter().position(|other| *other != seen[0]) else { return };
            if Instant::now() >= deadline {
                let only_first: Vec<_> = seen[0].difference(&seen[other]).collect();
                let only_other: Vec<_> = seen[other].difference(&seen[0]).collect();
                let (first, other) = (&self.servers[0].word, &self.servers[other].word);
                panic!("{first} shows {only_first:#?}, {other} shows {only_other:#?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A few numbers before and after a place.
fn around(numbers: &[usize], place: Option<usize>) -> Vec<usize> {
    let place = place.unwrap_or(0);
    numbers[place.saturating_sub(3)..numbers.len().min(place + 4)].to_vec()
}

/// All that one server shows, as far as it must be the same on others.
fn look(observer: &mut Client) -> BTreeSet<String> {
    let mut ask = |question: &str| {
        observer.say(question);
        let lines = observer.sync().into_iter();
        lines.filter_map(|line| what_counts(&line)).collect::<Vec<String>>()
    };
    let mut seen = BTreeSet::new();
    for question in ["LUSERS", "LIST", "WHO * %nuhsfr", "STATS K", "STATS k", "STATS h"] {
        seen.extend(ask(question));
    }
    let listed = seen.iter().filter_map(|line| line.strip_prefix("322 ")).map(|line| line.split(' ').next());
    let channels: BTreeSet<String> = listed.flatten().map(str::to_string).collect();
    for channel in channels {
        for question in ["MODE", "TOPIC", "NAMES"] {
            seen.extend(ask(&format!("{question} {channel}")));
        }
        // Entries name their channel too.
        seen.extend(ask(&format!("MODE {channel} +b")));
    }
    seen
}

/// A reply without its server and its addressee; members in the order of their names; nothing that is one server's own.
fn what_counts(line: &str) -> Option<String> {
    let mut words = line.split(' ').skip(1);
    let code = words.next().filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))?;
    let rest: Vec<&str> = words.skip(1).collect();
    let own = ["250", "252", "253", "255", "265", "266", "321", "323", "315", "366", "368", "219"];
    let is_of_peers = code == "249" && !rest.contains(&":state");
    if own.contains(&code) || is_of_peers {
        return None;
    }
    if code == "353" {
        let (start, names) = rest.split_at(2);
        let mut names: Vec<&str> = names.iter().map(|name| name.trim_start_matches(':')).collect();
        names.sort();
        return Some(format!("{code} {} {}", start.join(" "), names.join(" ")));
    }
    Some(format!("{code} {}", rest.join(" ")))
}

/// Looks until something is true that nobody tells about.
pub fn settle(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + SETTLED_WITHIN;
    while !is_true() {
        assert!(Instant::now() < deadline, "not so within {SETTLED_WITHIN:?}: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}
