//! Random faults on a network, and what was whole when, so that what may have been lost can be told from what may not.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cable::Fault;
use super::network::Network;
use crate::dice::Dice;

/// How long a fault may go unnoticed, and what was lost by it stay away, while there is another way.
const REPAIRED_WITHIN: Duration = Duration::from_secs(30);
/// How long a cable that was mended may carry nothing yet: until both ends have given the old link up, and called.
const CALLED_WITHIN: Duration = Duration::from_secs(45);
/// The same where nobody has them call: the longest wait before a call, and the call.
const CALLED_UNPROMPTED_WITHIN: Duration = Duration::from_secs(120);

pub struct Havoc {
    dice: Dice,
    /// For each cable and each server, when it could not be relied on: from when to when, as far as that is over.
    cables: Vec<Vec<(Instant, Option<Instant>)>>,
    servers: Vec<Vec<(Instant, Option<Instant>)>>,
    /// What is to be put right, and when.
    due: Vec<(Instant, Part)>,
    pub faults: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Cable(usize),
    Server(usize),
}

impl Havoc {
    pub fn new(network: &Network, seed: u64) -> Havoc {
        let (cables, servers) = (network.cables.len(), network.mesh.servers.len());
        let (cables, servers) = (vec![Vec::new(); cables], vec![Vec::new(); servers]);
        Havoc { dice: Dice::new(seed), cables, servers, due: Vec::new(), faults: 0 }
    }

    /// Puts right what is due, and now and then spoils something more. Called again and again.
    pub fn go_on(&mut self, network: &Network) {
        let now = Instant::now();
        for (_, part) in self.due.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.mend(network, part);
        }
        let fault = *self.dice.pick(&Fault::ALL).expect("there are some");
        let lasts =
            Duration::from_millis(200 << self.dice.below(8)) + Duration::from_millis(self.dice.below(5000));
        match self.dice.below(20) {
            0 => {
                let server = self.dice.below(self.servers.len() as u64) as usize;
                self.spoil(network, Part::Server(server), fault, lasts);
            }
            // Somebody is alone.
            1 => {
                let word = &self.dice.pick(&network.mesh.servers).expect("there are some").word;
                let own = network.cables.iter().enumerate().filter(|(_, cable)| cable.ends.contains(word));
                for (cable, _) in own.collect::<Vec<_>>() {
                    self.spoil(network, Part::Cable(cable), fault, lasts);
                }
            }
            _ => {
                let cable = self.dice.below(self.cables.len() as u64) as usize;
                self.spoil(network, Part::Cable(cable), fault, lasts);
            }
        }
    }

    /// Puts everything right.
    pub fn end(&mut self, network: &Network) {
        for (_, part) in std::mem::take(&mut self.due) {
            self.mend(network, part);
        }
        network.mesh.servers.iter().for_each(|server| server.reload());
    }

    fn spoil(&mut self, network: &Network, part: Part, fault: Fault, lasts: Duration) {
        if self.due.iter().any(|(_, other)| *other == part) {
            return;
        }
        let now = Instant::now();
        self.faults += 1;
        println!("{part:?} {fault:?} for {lasts:?}");
        match part {
            Part::Cable(cable) => {
                self.cables[cable].push((now, None));
                network.cables[cable].spoil(fault);
            }
            Part::Server(server) => {
                self.servers[server].push((now, None));
                network.mesh.servers[server].signal(Signal::STOP);
            }
        }
        self.due.push((now + lasts, part));
    }

    fn mend(&mut self, network: &Network, part: Part) {
        let is_prompted = !self.dice.one_in(8);
        let until = Instant::now() + if is_prompted { CALLED_WITHIN } else { CALLED_UNPROMPTED_WITHIN };
        println!("{part:?} is mended, prompted: {is_prompted}");
        let (times, prompted) = match part {
            Part::Cable(cable) => {
                network.cables[cable].mend();
                (&mut self.cables[cable], network.cables[cable].ends.to_vec())
            }
            Part::Server(server) => {
                network.mesh.servers[server].signal(Signal::CONT);
                let all = network.mesh.servers.iter().map(|server| server.word.clone());
                (&mut self.servers[server], all.collect())
            }
        };
        times.last_mut().expect("it was spoiled").1 = Some(until);
        if is_prompted {
            for word in prompted {
                // Not waited for: it may be paused itself.
                network.mesh.server(&word).signal(Signal::HUP);
            }
        }
    }

    /// Whether there surely was a way between two servers, the same all the time, from well before a moment until what
    /// was said then had to have come.
    pub fn were_joined(&self, network: &Network, a: usize, b: usize, at: Instant) -> bool {
        let until = at + REPAIRED_WITHIN;
        let is_whole = |times: &[(Instant, Option<Instant>)]| {
            times.iter().all(|(from, to)| *from > until || to.is_some_and(|to| to < at))
        };
        let word = |server: usize| &network.mesh.servers[server].word;
        let mut found = vec![a];
        let mut next = 0;
        while let Some(here) = found.get(next).copied() {
            next += 1;
            if !is_whole(&self.servers[here]) {
                continue;
            }
            for (cable, times) in network.cables.iter().zip(&self.cables) {
                let Some(end) = cable.ends.iter().position(|end| end == word(here)) else { continue };
                let there = (0..self.servers.len()).find(|other| *word(*other) == cable.ends[1 - end]);
                let there = there.expect("a cable ends at a server");
                if is_whole(times) && !found.contains(&there) {
                    found.push(there);
                }
            }
        }
        found.contains(&b) && is_whole(&self.servers[b])
    }
}
