//! How many lines a line counts as: what makes others, or the server, do more costs more.

/// Commands that cost more than a line: what the command itself counts as, and how many further targets in its first
/// parameter, which are parted by commas, count as another line; zero where targets cost nothing.
const EFFORTS: &[(&str, u32, u32)] = &[
    // Checking a password is slow on purpose, here and for OPER and REGISTER.
    ("AUTHENTICATE", 4, 0),
    ("CHATHISTORY", 2, 0),
    ("INVITE", 2, 0),
    ("JOIN", 1, 10),
    ("KICK", 1, 2),
    ("LINKS", 2, 0),
    ("LIST", 4, 0),
    ("LUSERS", 2, 0),
    ("MAP", 2, 0),
    ("MOTD", 2, 0),
    ("NAMES", 1, 1),
    ("NICK", 2, 0),
    ("NOTICE", 1, 2),
    ("OPER", 10, 0),
    ("PART", 1, 10),
    ("PASS", 2, 0),
    ("PRIVMSG", 1, 2),
    ("REGISTER", 10, 0),
    ("SEARCH", 4, 0),
    ("STATS", 2, 0),
    ("TAGMSG", 1, 2),
    ("WHO", 2, 0),
    ("WHOIS", 2, 1),
    ("WHOWAS", 2, 1),
];

/// The longest command that costs more than one line.
pub const EFFORT_NAME_BYTES_MAX: usize = 12;

/// What one line costs, by its command and the number of its targets.
pub fn effort(command: &[u8], targets: u32) -> u32 {
    let row = EFFORTS.iter().find(|(name, ..)| name.as_bytes().eq_ignore_ascii_case(command));
    row.map_or(1, |(_, base, per_line)| base + targets.saturating_sub(1).checked_div(*per_line).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command;

    #[test]
    fn who_reaches_more_people_pays_more() {
        for (command, targets, cost) in [
            ("PING", 1, 1),
            ("privmsg", 1, 1),
            ("PRIVMSG", 10, 5),
            ("JOIN", 100, 10),
            ("NAMES", 50, 50),
            ("LIST", 9, 4),
            ("OPER", 1, 10),
            ("", 0, 1),
        ] {
            assert_eq!(effort(command.as_bytes(), targets), cost, "{command} {targets}");
        }
    }

    #[test]
    fn every_command_with_a_price_exists_and_fits() {
        for (name, ..) in EFFORTS {
            assert!(command::find(name).is_some(), "{name}");
            assert!(name.len() <= EFFORT_NAME_BYTES_MAX, "{name}");
        }
    }
}
