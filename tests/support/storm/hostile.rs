//! Somebody who sits on one cable and sends what nobody said.

use super::dice::Dice;
use super::wires::End;

/// How many lines are remembered, to be said again.
const REMEMBERED_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Says nonsense and says events twice, long after; and where it swallows a line, it cuts the link too.
    Noisy,
    /// Changes whatever it likes: what is said then is not true, and need not be agreed on.
    Lying,
}

pub struct Mutator {
    manner: Manner,
    earlier: Vec<(End, String)>,
    /// Directions in which a snapshot is under way, into which nothing else belongs.
    in_snapshot: Vec<(End, String)>,
}

impl Mutator {
    pub fn new(manner: Manner) -> Mutator {
        Mutator { manner, earlier: Vec::new(), in_snapshot: Vec::new() }
    }

    /// What is sent instead of a line; nothing where the link is cut.
    pub fn mutate(&mut self, dice: &mut Dice, from: End, line: &str) -> Option<Vec<String>> {
        let is_event = line.starts_with("@dot=");
        if let Some(stream) = line.strip_prefix("SNAPSHOT ") {
            self.in_snapshot.push((from, stream.to_string()));
        } else if let Some(rest) = line.strip_prefix("DONE ") {
            self.in_snapshot.retain(|(end, stream)| *end != from || !rest.starts_with(stream));
        }
        let is_in_snapshot = self.in_snapshot.iter().any(|(end, _)| *end == from);
        let again = self.earlier.iter().filter(|(end, _)| (end.0) == from.0).map(|(_, line)| line.clone());
        let again: Vec<String> = again.collect();
        let again = dice.pick(&again).cloned().unwrap_or_default();
        let may_say_more = !is_in_snapshot && !line.starts_with("CONNECT");
        if is_event && !is_in_snapshot {
            if self.earlier.len() >= REMEMBERED_MAX {
                self.earlier.remove(dice.below(REMEMBERED_MAX as u64) as usize);
            }
            self.earlier.push((from, line.to_string()));
        }
        let line = line.to_string();
        Some(match (self.manner, dice.below(40)) {
            (Manner::Noisy, 0..2) if may_say_more => vec![line, nonsense(dice)],
            (Manner::Noisy, 2..5) if may_say_more && !again.is_empty() => vec![line, again],
            (Manner::Noisy, 5) if dice.one_in(4) => return None,
            (Manner::Lying, 0..4) => vec![falsify(dice, &line)],
            (Manner::Lying, 4..6) => vec![line, falsify(dice, &again)],
            (Manner::Lying, 6) => vec![],
            (Manner::Lying, 7) => vec![nonsense(dice)],
            _ => vec![line],
        })
    }
}

fn nonsense(dice: &mut Dice) -> String {
    const LINES: &[&str] = &[
        "FROBNICATE now",
        "@dot=0AA.1.S0.1 JOIN x",
        "@dot= QUIT",
        "@dot=0AA JOIN 0AAAAAAAA #green",
        "HAVE",
        "HAVE S",
        "HAVE S :0AA.1=!",
        "HAVE X :0AA.1=5",
        "WANT Q :",
        "WANT M 0AA.1 z",
        "ROUTES 0AA",
        "ROUTES 0AA 1 1 :1AA=x",
        "ALIVE S 0AA.1 :1-5",
        "DEAD S :0AA.1.S1",
        "DONE M 9ZZ.1",
        "PASSING",
        "PASSING WALLOPS",
        "@once=0AA.1.1 PASSING TAGMSG x y",
        "ASK 0AA 1AA",
        "ASK 0AA 1AA KICK #green x 1 y :z",
        "ANSWER 0AA 1AA IDLE 1 x",
        "PONG x y",
        "\u{fffd}\u{fffd}\u{1}\u{2}",
        "@;;;= : :",
        "",
    ];
    dice.pick(LINES).expect("there are some").to_string()
}

/// One thing about a line, changed: a tag, a word, a letter, its end.
fn falsify(dice: &mut Dice, line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_string).collect();
    let place = dice.below(words.len() as u64) as usize;
    match dice.below(7) {
        0 => drop(words.remove(place)),
        1 => words[place] = words[dice.below(words.len() as u64) as usize].clone(),
        2 => words.truncate(place + 1),
        3 => words.swap(0, place),
        4 => {
            let numbers = ["0", "-1", "1", "zzzzzzzzzzzz", "3w5e11264sgsf", "4294967296", "1-zzz", ""];
            words[place] = dice.pick(&numbers).expect("there are some").to_string();
        }
        5 => {
            // Another number in a dot or a stamp, another server in an id.
            let digits: Vec<char> = "0123456789AZaz.=-,:".chars().collect();
            let chars: Vec<char> = words[place].chars().collect();
            if !chars.is_empty() {
                let at = dice.below(chars.len() as u64) as usize;
                let digit = *dice.pick(&digits).expect("there are some");
                words[place] =
                    chars.iter().enumerate().map(|(i, c)| if i == at { digit } else { *c }).collect();
            }
        }
        _ => words.insert(place, "@dot=1AA.1.S1.1".to_string()),
    }
    words.join(" ").chars().take(8_000).collect()
}
