//! Somebody who changes something all the time: channels, modes, topics, bans, their nick, whether they are there at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::process::client::{Came, Client};

/// So few that they get in each other's way.
const NICKS: [&str; 7] = ["ann", "ben", "cyd", "dan", "eve", "fay", "gus"];
const CHANNELS: u64 = 5;
const MASKS: u64 = 8;

pub struct Restless {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Restless {
    pub fn begin(at: SocketAddr, seed: u64, every: Duration) -> Restless {
        let is_over = Arc::new(AtomicBool::new(false));
        let own = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut dice = Dice::new(seed);
            while !own.load(Ordering::Relaxed) {
                one_visit(Client::connect(at), &mut dice, every, &own);
            }
        });
        Restless { is_over, thread: Some(thread) }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("taken only here").join();
    }
}

/// From a connection to its end, by whoever ends it.
fn one_visit(mut client: Client, dice: &mut Dice, every: Duration, is_over: &AtomicBool) {
    let nick = *dice.pick(&NICKS).expect("there are some");
    client.say(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nOPER watch over"));
    let mut next = Instant::now() + every;
    while !is_over.load(Ordering::Relaxed) {
        match client.next_by(next) {
            // Somebody else has the nick.
            Came::Line(line) if line.contains(" 433 * ") => return,
            Came::Line(line) => {
                if let Some(token) = line.strip_prefix("PING ") {
                    client.say(&format!("PONG {token}"));
                }
            }
            Came::End => return,
            Came::Nothing => {
                client.say(&something(dice));
                next += every;
            }
        }
    }
    client.say("QUIT :enough");
    client.hear_to_the_end();
}

fn something(dice: &mut Dice) -> String {
    let channel = format!("#c{}", dice.below(CHANNELS));
    let nick = *dice.pick(&NICKS).expect("there are some");
    let mask = format!("mask{}", dice.below(MASKS));
    let nobody = format!("{mask}@nowhere.example");
    let sign = if dice.one_in(2) { '+' } else { '-' };
    match dice.below(42) {
        0..6 => format!("JOIN {channel} key"),
        6 => format!("PART {channel} :for now"),
        7 => format!("KICK {channel} {nick} :out"),
        8..14 => format!("MODE {channel} {sign}{} {nick}", dice.pick(&['o', 'v']).expect("there are two")),
        14..18 => format!("MODE {channel} {sign}{}", dice.pick(&['m', 'n', 't']).expect("there are some")),
        18..22 => format!("MODE {channel} {sign}b {mask}"),
        22 => format!("MODE {channel} {sign}k key"),
        23 => format!("MODE {channel} +l {}", 5 + dice.below(20)),
        24..28 => format!("TOPIC {channel} :{}", dice.below(1000)),
        28..30 => format!("NICK {nick}"),
        30 => "AWAY :for a moment".to_string(),
        31 => "AWAY".to_string(),
        32 => "QUIT :back soon".to_string(),
        33 => format!("PRIVMSG {nick} :hello"),
        34 => format!("KLINE {}d {nobody} :not here", dice.below(3)),
        35 => format!("UNKLINE {nobody}"),
        _ => format!("PRIVMSG {channel} :hello"),
    }
}
