//! Somebody who sits on one cable and sends what nobody said.

use super::dice::Dice;
use super::ledger::dot_of;
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
        let is_event = dot_of(line).is_some();
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
            (Manner::Lying, 8..11) => vec![forge(dice, &line)],
            (Manner::Lying, 11) if may_say_more => vec![line, forge(dice, &again)],
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

/// What makes sense, and is not so: numbers that are yet to be given out, what was never replaced, what nobody has.
fn forge(dice: &mut Dice, line: &str) -> String {
    let far = if dice.one_in(3) { 60 } else { 3 };
    let ahead = 1 + dice.below(far);
    let later = |number: &str| {
        let number = u64::from_str_radix(number, 36).ok()?.checked_add(ahead)?;
        Some(super::world::base36(number))
    };
    let forged = (|| match line.split_once(' ')? {
        // The next event of its writer; or one that ends others that are to come.
        (tags, body) if dot_of(line).is_some() => {
            let whole = dot_of(line)?;
            let (dot, stamp) = whole.rsplit_once('.')?;
            let (origin, place) = dot.rsplit_once('.')?;
            let next = format!("{origin}.{}{}", &place[..1], later(&place[1..])?);
            let tags_of_next = tags.replace(whole, &format!("{next}.{stamp}"));
            Some(match dice.below(3) {
                0 => format!("{tags_of_next} {body}"),
                1 => format!("{tags};over={next} {body}"),
                _ => format!("{tags_of_next} {}", instead(dice, body)),
            })
        }
        // More than there is.
        ("HAVE" | "DONE" | "CHAIN" | "DEAD" | "ALIVE", _) => {
            let places: Vec<usize> = line.match_indices('=').map(|(place, _)| place + 1).collect();
            let place = *dice.pick(&places)?;
            let end = line[place..].find([' ', '/']).map_or(line.len(), |end| place + end);
            Some(format!("{}{}{}", &line[..place], later(&line[place..end])?, &line[end..]))
        }
        // Links that are not there, or not those that are.
        ("ROUTES", rest) => {
            let [sid, epoch, number, peers] = rest.splitn(4, ' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            let peers = if dice.one_in(2) { ":" } else { peers };
            Some(format!("ROUTES {sid} {epoch} {} {peers}", later(number)?))
        }
        (head, body) if body.starts_with("WORDING") || head == "WORDING" => {
            let words: Vec<&str> = line.split(' ').skip_while(|word| *word != "WORDING").take(5).collect();
            Some(format!("{} GONE", words.join(" ")))
        }
        _ => None,
    })();
    forged.unwrap_or_else(|| line.to_string())
}

/// Says otherwise of the same person or channel what would hurt most.
fn instead(dice: &mut Dice, body: &str) -> String {
    let words: Vec<&str> = body.split(' ').collect();
    match (words[0], words.get(1)) {
        ("USER" | "JOIN", Some(user)) => match dice.below(3) {
            0 => format!("QUIT {user} :forged"),
            1 => format!("KICK {user} {} forged!f@f :forged", words.get(2).unwrap_or(&"#green")),
            _ => "GOODBYE :forged".to_string(),
        },
        _ => body.replace('+', "-"),
    }
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
