//! What the log may say of an event that led to a bug: enough to find it, no passwords, nothing private.

use std::fmt;

use crate::engine::{ConnId, Event, Origin};
use crate::wire::line::Lines;

/// Commands whose parameters are secrets, or may be.
const SECRET: &[&str] = &[
    "PASS",
    "OPER",
    "WEBIRC",
    "AUTHENTICATE",
    "REGISTER",
    "VERIFY",
    "PROOF",
    "SECRET",
    "ACCOUNT",
    "WORDING",
    "NS",
    "NICKSERV",
];
/// Commands whose last parameter is what people say to each other, or to a service that asks for passwords.
const PRIVATE: &[&str] = &["PRIVMSG", "NOTICE", "TAGMSG", "SQUERY", "WALLOPS"];

/// A copy of what matters in an event, taken before the engine gets it, and put into words only if it has to be.
pub enum Suspect {
    Lines { conn: ConnId, lines: Lines },
    Other(String),
}

impl Suspect {
    pub fn of(event: &Event) -> Suspect {
        match event {
            Event::Lines { conn, lines } => Suspect::Lines { conn: *conn, lines: lines.clone() },
            Event::Tick => Suspect::Other(String::from("Tick")),
            Event::Opened { conn, from: Origin::Client { address, .. } } => {
                Suspect::Other(format!("Opened {{ conn: {}, client: {address} }}", conn.0))
            }
            // Keying material is as good as a password.
            Event::Opened { conn, from: Origin::Peer { address, dialled, .. } } => Suspect::Other(format!(
                "Opened {{ conn: {}, peer: {address}, dialled: {dialled:?} }}",
                conn.0
            )),
            // Settings hold passwords.
            Event::Configured { ask, .. } => Suspect::Other(format!("Configured {{ ask: {ask:?} }}")),
            // What people said to each other.
            Event::Recalled { ask, .. } => Suspect::Other(format!("Recalled {{ ask: {ask:?} }}")),
            Event::NotRecorded { number, .. } => {
                Suspect::Other(format!("NotRecorded {{ number: {number} }}"))
            }
            other => Suspect::Other(format!("{other:?}")),
        }
    }
}

impl fmt::Debug for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspect::Other(text) => f.write_str(text),
            Suspect::Lines { conn, lines } => {
                let lines: Vec<String> = lines
                    .iter()
                    .map(|line| line.map_or_else(|fault| format!("{fault:?}"), discreet))
                    .collect();
                f.debug_struct("Lines").field("conn", &conn.0).field("lines", &lines).finish()
            }
        }
    }
}

/// A line without what is nobody's business.
fn discreet(line: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut words = line.split(' ');
    let command = loop {
        let Some(word) = words.next() else { return kept.join(" ") };
        kept.push(word);
        if !word.is_empty() && !word.starts_with(['@', ':']) {
            break word.to_ascii_uppercase();
        }
    };
    if SECRET.contains(&command.as_str()) {
        kept.push("…");
    } else if PRIVATE.contains(&command.as_str()) {
        kept.extend(words.next());
        kept.push("…");
    } else {
        kept.extend(words);
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_report_holds_no_secrets() {
        for (line, shown) in [
            ("PASS hay", "PASS …"),
            ("@label=1 oper admin hay", "@label=1 oper …"),
            (":alice AUTHENTICATE aGF5", ":alice AUTHENTICATE …"),
            ("SECRET 17 c2VzYW1l", "SECRET …"),
            ("WEBIRC sesame gate host 10.0.0.1", "WEBIRC …"),
            (
                "@dot=1AA.1.D5.1 ACCOUNT 1.1AA password ann $argon2id$v=19 1 c c c",
                "@dot=1AA.1.D5.1 ACCOUNT …",
            ),
            ("WORDING 2BB 1AA 5 1AA.1.D5 IS ACCOUNT 1.1AA password", "WORDING …"),
            ("PRIVMSG NickServ :IDENTIFY hay", "PRIVMSG NickServ …"),
            ("JOIN #green", "JOIN #green"),
            ("TOPIC #green :the harvest", "TOPIC #green :the harvest"),
            ("", ""),
            ("@a :b", "@a :b"),
        ] {
            assert_eq!(discreet(line), shown, "{line}");
        }
    }
}
