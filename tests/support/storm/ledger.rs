//! What every engine is held to after every step, whatever the network does to it.

use std::collections::BTreeMap;

use folkmoot::engine::{Audit, Engine};

/// All that has ever been seen of all servers of one network.
#[derive(Default)]
pub struct Ledger {
    /// Whether views are compared too, which takes time.
    pub is_thorough: bool,
    /// Whether facts are written down, to show where two servers differ.
    keeps_facts: bool,
    /// Somebody lied before: what is known of things to come may differ, and messages too.
    is_after_lies: bool,
    /// Which facts count for those who have heard so much, and what they know to be superseded before it comes.
    facts: BTreeMap<u64, (Audit, Vec<String>)>,
    /// What that means to those for whom the same servers are in reach.
    meanings: BTreeMap<(u64, u64), (u64, Vec<String>)>,
    /// When each event was written, by its dot.
    stamps: BTreeMap<String, String>,
    /// Who bears each id in each run of their server, as they introduced themselves first.
    users: BTreeMap<(String, String), String>,
    /// No stamp of a run is at or below what the disk had at its start.
    floors: BTreeMap<String, u64>,
    /// How far each server has heard each origin in this life of its own.
    lives: BTreeMap<usize, Life>,
}

/// What is here and was not there, and the other way round.
pub fn difference(there: &[String], here: &[String]) -> (Vec<String>, Vec<String>) {
    let beyond = |these: &[String], those: &[String]| {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    (beyond(here, there), beyond(there, here))
}

#[derive(Default)]
struct Life {
    audit: Option<Audit>,
    epoch: u32,
    heard: [BTreeMap<String, u64>; 3],
}

impl Ledger {
    pub fn new(keeps_facts: bool) -> Ledger {
        Ledger { keeps_facts, ..Ledger::default() }
    }

    /// A new one, for a network in which nobody lies any more.
    pub fn after_lies(&self) -> Ledger {
        Ledger { keeps_facts: self.keeps_facts, is_after_lies: true, ..Ledger::default() }
    }

    /// A server begins anew, with nothing but its disk.
    pub fn begin(&mut self, server: usize, origin: String, clock_floor_ms: u64) {
        self.lives.remove(&server);
        self.floors.insert(origin, clock_floor_ms);
    }

    /// Whatever anybody says, nothing piles up.
    pub fn weigh(engine: &Engine) -> Result<(), String> {
        match engine.loads().into_iter().find(|load| load.count > load.most) {
            Some(load) => Err(format!("{} {}, and {} at most", load.count, load.what, load.most)),
            None => Ok(()),
        }
    }

    /// Looks at an engine between two steps.
    pub fn inspect(&mut self, server: usize, epoch: u32, engine: &Engine) -> Result<(), String> {
        let audit = engine.audit();
        let life = self.lives.entry(server).or_default();
        if life.epoch != epoch {
            // It has found out that others know it in a later run, and left everything behind.
            *life = Life { epoch, ..Life::default() };
        }
        if life.audit.as_ref() == Some(&audit) {
            return Ok(());
        }
        for (before, now) in life.heard.iter_mut().zip(engine.heard()) {
            let now: BTreeMap<String, u64> = now.into_iter().collect();
            if let Some((origin, tip)) = before.iter().find(|(origin, tip)| now.get(*origin) < Some(tip)) {
                return Err(format!("had heard {origin} up to {tip}, and now less"));
            }
            *before = now;
        }
        let shown = || if self.keeps_facts { engine.facts_shown() } else { Vec::new() };
        let (known, facts) = self.facts.entry(audit.heard_hash).or_insert_with(|| (audit.clone(), shown()));
        let is_early_same = known.early_hash == audit.early_hash || self.is_after_lies;
        if known.facts_hash != audit.facts_hash || !is_early_same {
            let (more, less) = difference(facts, &shown());
            return Err(format!(
                "other facts than somebody who had heard the same: more {more:#?}, less {less:#?} having heard {:?}",
                life.heard[0]
            ));
        }
        // Between two slices of people it is as if some of them were in reach and others not.
        if self.is_thorough && !audit.is_turning {
            let meaning = engine.meaning_hash();
            let shown = || if self.keeps_facts { engine.meaning_shown() } else { Vec::new() };
            let at = (audit.heard_hash, audit.standings_hash);
            let (known, things) = self.meanings.entry(at).or_insert_with(|| (meaning, shown()));
            if *known != meaning {
                let (more, less) = difference(things, &shown());
                return Err(format!(
                    "sees something else than somebody with the same facts and servers in reach: more {more:#?}, \
                     less {less:#?} having heard {:?}",
                    life.heard[0]
                ));
            }
        }
        life.audit = Some(audit);
        Ok(())
    }

    /// The first who has been introduced by a server.
    pub fn user_of(&self, server: usize) -> Option<String> {
        let of = |(origin, _): &&(String, String)| origin.starts_with(&format!("{server}AA."));
        self.users.keys().find(of).map(|(_, user)| user.clone())
    }

    /// A line with an event goes from one server to another.
    pub fn sent(&mut self, line: &str) -> Result<(), String> {
        let Some(dot) = dot_of(line) else { return Ok(()) };
        let (_, body) = line.split_once(' ').unwrap_or_default();
        let Some((dot, stamp)) = dot.rsplit_once('.') else { return Ok(()) };
        let (origin, place) = dot.rsplit_once('.').unwrap_or_default();
        if self.is_after_lies && place.starts_with('M') {
            return Ok(());
        }
        let first = self.stamps.entry(dot.to_string()).or_insert_with(|| stamp.to_string());
        if first != stamp {
            return Err(format!("{dot} was written twice: with the stamp {first} and with {stamp}"));
        }
        let ms = u64::from_str_radix(stamp, 36).unwrap_or_default() >> 16;
        if self.floors.get(origin).is_some_and(|floor_ms| ms < *floor_ms) {
            return Err(format!("{dot} is older than the run that it was written in: {line}"));
        }
        let words: Vec<&str> = body.split(' ').collect();
        if words.first() == Some(&"USER") && words.len() > 10 {
            let user = (origin.to_string(), words[1].to_string());
            let signed_on = words[10].to_string();
            let first = self.users.entry(user).or_insert_with(|| signed_on.clone());
            if *first != signed_on {
                return Err(format!("{} of {origin} is somebody else than before: {line}", words[1]));
            }
        }
        Ok(())
    }
}

/// The number and the time of the event that a line carries, if it carries one.
pub fn dot_of(line: &str) -> Option<&str> {
    let (tags, _) = line.strip_prefix('@')?.split_once(' ')?;
    tags.split(';').find_map(|tag| tag.strip_prefix("dot="))
}
