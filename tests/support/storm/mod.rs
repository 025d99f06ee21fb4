//! One seed: servers, people who talk and quarrel over nicks and channels, cables that break, servers that
//! crash; and then a calm, in which everything has to be right again.

mod acts;
mod calm;
#[path = "../credential.rs"]
mod credential;
#[path = "../dice.rs"]
mod dice;
#[path = "../disk.rs"]
mod disk;
mod hostile;
mod keeping;
mod layout;
mod ledger;
pub mod schedules;
mod shadow;
mod wires;
mod world;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use folkmoot::engine::ConnId;

use dice::Dice;
use hostile::{Manner, Mutator};
use layout::Layout;
use wires::Cable;
use world::World;

/// How many things happen before the calm.
const ACTS: usize = 90;

type Client = (usize, ConnId);

/// Plays a seed to its end; a sentence says what was not right.
pub fn play(seed: u64, trace: bool) -> Result<(), String> {
    let mut storm = Storm::new(seed, trace);
    storm.world.wait(3_000);
    storm.send_one_away();
    for _ in 0..ACTS {
        storm.act();
        let ms = if storm.world.dice.one_in(6) { 9_000 } else { 300 };
        let ms = storm.world.dice.below(ms);
        storm.world.wait(ms);
        storm.check()?;
    }
    let was_lied_to = storm.world.anything_goes;
    storm.calm()?;
    storm.everyone_hears_everyone()?;
    if !was_lied_to {
        storm.everyone_holds_what_was_said()?;
        storm.every_store_holds_the_same()?;
        storm.everyone_agrees_on_what_was_taken_back()?;
        storm.nobody_heard_a_part_of_a_message()?;
    }
    storm.everyone_believes_what_is_so()
}

pub struct Storm {
    world: World,
    /// Messages are numbered, so that their order can be seen.
    said: u64,
    /// What was said on channels and not refused: the text, and the run of the server that took it.
    accepted: Vec<(String, usize, u32)>,
    /// Texts that were taken back: whoever starts again does not hold them any more.
    taken_back: BTreeSet<String>,
    /// The numbers that somebody said in one message.
    whole: Vec<(String, RangeInclusive<u64>)>,
    /// A server that the others do not see between the beginning and the calm.
    away: Option<usize>,
    /// Whether logs were cut short, or are short from the beginning.
    is_trimmed: bool,
}

impl Storm {
    /// A network in which nothing happens by chance.
    fn scripted(layout: Layout) -> Storm {
        let mut world = World::new(layout, 1, std::env::var_os("FOLKMOOT_TRACE").is_some());
        world.ledger.is_thorough = true;
        Storm::over(world)
    }

    fn over(mut world: World) -> Storm {
        world.start_all();
        Storm {
            world,
            said: 0,
            accepted: Vec::new(),
            taken_back: BTreeSet::new(),
            whole: Vec::new(),
            away: None,
            is_trimmed: false,
        }
    }

    fn new(seed: u64, trace: bool) -> Storm {
        let mut dice = Dice::new(seed);
        let layout = Layout::rolled(&mut dice);
        let is_trimmed = layout.messages_kept < 10_000;
        let mut world = World::new(layout, dice.number(), trace);
        world.ledger.is_thorough = seed.is_multiple_of(4);
        let cables: Vec<_> = world.wires.cables.keys().copied().collect();
        let manner = match dice.below(12) {
            0 => Some(Manner::Noisy),
            1 | 2 => Some(Manner::Lying),
            _ => None,
        };
        if let (Some(manner), Some(cable)) = (manner, dice.pick(&cables)) {
            world.say(format_args!("somebody {manner:?} sits between s{} and s{}", cable.0, cable.1));
            world.wires.hostile = Some((*cable, Mutator::new(manner)));
            world.anything_goes = manner == Manner::Lying;
        }
        let storm = Storm::over(world);
        let away = dice.one_in(6).then(|| dice.below(storm.world.count() as u64) as usize);
        Storm { away, is_trimmed, ..storm }
    }

    /// Everyone knows everyone; now one of them is lost from sight until the calm.
    fn send_one_away(&mut self) {
        let Some(away) = self.away else { return };
        let cables: Vec<_> = self.world.wires.cables.keys().copied().collect();
        for ends in cables.into_iter().filter(|(a, b)| *a == away || *b == away) {
            self.world.set_cable(ends, Cable::Cut);
        }
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(fault) = self.world.fault.take() {
            return Err(fault);
        }
        match self.world.doubled_nick() {
            Some(nick) if !self.world.anything_goes => {
                Err(format!("at {} ms: two are called {nick}", self.world.now_ms))
            }
            _ => Ok(()),
        }
    }
}
