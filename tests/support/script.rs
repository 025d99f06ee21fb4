//! Reads transcripts: what is done, line by line, and what people are to hear after each act.

use std::time::Duration;

use crate::support::stage::Door;

/// A whole file, with the lines as they stand in it.
pub struct Script {
    pub lines: Vec<String>,
    pub steps: Vec<Step>,
}

/// An act and all that is heard because of it. Places are counted from 0 within `lines`.
pub struct Step {
    /// The act's last line: more than one where settings follow.
    pub place: usize,
    pub act: Act,
    pub expected: Vec<Expected>,
}

pub struct Expected {
    pub place: usize,
    pub person: String,
    /// As it stands in the file, placeholders and all.
    pub text: String,
}

#[derive(Debug, PartialEq)]
pub enum Act {
    /// `servers hall, barn`, `start hall`
    Start(Vec<String>),
    /// `stop hall`
    Stop(String),
    /// `kill hall`
    Kill(String),
    /// `config hall`, and indented lines
    Configure { server: String, settings: toml::Table },
    /// `link hall barn`
    Link(String, String),
    /// `cut hall barn`
    Cut(String, String),
    /// `split hall barn`
    Split(String, String),
    /// `alice at hall over TLS wants server-time batch`
    Arrive { person: String, server: String, door: Door, wants: Vec<String> },
    /// `eve connects to hall`
    Connect { person: String, server: String, door: Door },
    /// `alice hangs up`
    HangUp { person: String },
    /// `alice> JOIN #green`
    Say { person: String, text: String },
    /// `wait 90s`
    Wait(Duration),
}

/// How a transcript says that the server closed somebody's connection.
pub const CLOSED: &str = "*closed*";

/// How a transcript says that somebody got everything from 001 to the message of the day.
pub const WELCOME: &str = "*welcome*";

/// Reads a file; a fault comes with the number of its line.
pub fn parse(text: &str) -> Result<Script, (usize, String)> {
    let lines: Vec<String> = text.lines().map(str::to_string).collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut place = 0;
    if !lines.first().is_some_and(|line| line.starts_with("# ")) {
        return Err((1, "a transcript begins with a comment that says what is true".to_string()));
    }
    while place < lines.len() {
        let line = lines[place].trim_end();
        let fault = |why: String| (place + 1, why);
        if line.is_empty() || line.starts_with('#') || line.starts_with(ONLY_SIMULATED) {
            // Nothing to be done.
        } else if line.starts_with(' ') {
            return Err(fault("only settings are indented, below `config SERVER`".to_string()));
        } else if let Some((person, text)) = spoken(line, '<') {
            let step = steps.last_mut().ok_or_else(|| fault("nothing has been done yet".to_string()))?;
            step.expected.push(Expected { place, person, text });
        } else if let Some((person, text)) = spoken(line, '>') {
            steps.push(Step { place, act: Act::Say { person, text }, expected: Vec::new() });
        } else if let Some(server) = line.strip_prefix("config ") {
            let (settings, last) = settings(&lines, place + 1)?;
            place = last;
            let act = Act::Configure { server: server.trim().to_string(), settings };
            steps.push(Step { place, act, expected: Vec::new() });
        } else {
            let act = act(line).map_err(fault)?;
            steps.push(Step { place, act, expected: Vec::new() });
        }
        place += 1;
    }
    Ok(Script { lines, steps })
}

/// How a file begins the line that keeps it from being played on processes; `build.rs` looks for the same.
const ONLY_SIMULATED: &str = "only simulated: ";

/// `alice> text` or `alice< text`.
fn spoken(line: &str, sign: char) -> Option<(String, String)> {
    let (person, text) = line.split_once(sign)?;
    let is_name = !person.is_empty() && person.chars().all(|c| c.is_ascii_alphanumeric());
    let text = text.strip_prefix(' ').unwrap_or(text);
    is_name.then(|| (person.to_string(), text.to_string()))
}

/// The indented lines from here on, and the place of the last of them.
fn settings(lines: &[String], first: usize) -> Result<(toml::Table, usize), (usize, String)> {
    let inside = lines[first..].iter().take_while(|line| line.starts_with(' ') || line.trim().is_empty());
    let mut count = inside.count();
    while count > 0 && lines[first + count - 1].trim().is_empty() {
        count -= 1;
    }
    let indent = lines[first..first + count]
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len());
    let indent = indent.min().unwrap_or(0);
    let text: Vec<&str> =
        lines[first..first + count].iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    let text = text.join("\n");
    let table = text.parse();
    let settings = table.map_err(|fault: toml::de::Error| {
        let line =
            fault.span().map_or(0, |span| lines[first..].join("\n")[..span.start].matches('\n').count());
        (first + line + 1, fault.message().to_string())
    })?;
    Ok((settings, first + count - 1))
}

fn act(line: &str) -> Result<Act, String> {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let name = |word: &str| word.to_string();
    match words[..] {
        ["servers", ref servers @ ..] if !servers.is_empty() => {
            Ok(Act::Start(servers.iter().map(|server| name(server)).collect()))
        }
        ["start", server] => Ok(Act::Start(vec![name(server)])),
        ["stop", server] => Ok(Act::Stop(name(server))),
        ["kill", server] => Ok(Act::Kill(name(server))),
        ["link", a, b] => Ok(Act::Link(name(a), name(b))),
        ["cut", a, b] => Ok(Act::Cut(name(a), name(b))),
        ["split", a, b] => Ok(Act::Split(name(a), name(b))),
        ["wait", time] => Ok(Act::Wait(duration(time).ok_or_else(|| format!("{time} is no time; try 90s"))?)),
        [person, "hangs", "up"] => Ok(Act::HangUp { person: name(person) }),
        [person, "connects", "to", server, ref how @ ..] => {
            let (door, []) = door(how) else {
                return Err("after the server, only `over TLS [by certificate]`".to_string());
            };
            Ok(Act::Connect { person: name(person), server: name(server), door })
        }
        [person, "at", server, ref how @ ..] => {
            let (door, rest) = door(how);
            let wants = match rest {
                [] => &[],
                ["wants", wants @ ..] if !wants.is_empty() => wants,
                _ => {
                    return Err("after the server, only `over TLS [by certificate]` and `wants CAPABILITY…`"
                        .to_string());
                }
            };
            let wants = wants.iter().map(|cap| name(cap)).collect();
            Ok(Act::Arrive { person: name(person), server: name(server), door, wants })
        }
        _ => Err(format!(
            "\"{line}\" is nothing that a transcript can say; there are: `servers`, `start`, `stop`, `kill`, `config`, \
             `link`, `cut`, `split`, `wait`, `NAME at SERVER`, `NAME connects to SERVER`, `NAME hangs up`, `NAME> line`, \
             `NAME< line`"
        )),
    }
}

fn door<'w>(words: &'w [&'w str]) -> (Door, &'w [&'w str]) {
    match words {
        ["over", "TLS", "by", "certificate", rest @ ..] => (Door::Certificate, rest),
        ["over", "TLS", rest @ ..] => (Door::Tls, rest),
        rest => (Door::Plain, rest),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(60 * number)),
        "h" => Some(Duration::from_secs(3600 * number)),
        _ => None,
    }
}

/// A line that is said, as bytes. `{600 x}` stands for 600 times x, `{byte ff}` for a byte that is no text.
pub fn said(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        rest = &rest[start..];
        match rest.find('}').and_then(|end| Some((end, special(&rest[1..end])?))) {
            Some((end, meant)) => {
                bytes.extend(meant);
                rest = &rest[end + 1..];
            }
            None => {
                bytes.push(b'{');
                rest = &rest[1..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn special(inside: &str) -> Option<Vec<u8>> {
    let (first, second) = inside.split_once(' ')?;
    if first == "byte" {
        return Some(vec![u8::from_str_radix(second, 16).ok()?]);
    }
    Some(second.repeat(first.parse().ok()?).into_bytes())
}
