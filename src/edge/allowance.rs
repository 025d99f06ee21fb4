//! How fast one client may talk: a token bucket that delays reading, and never drops a line.

use std::time::{Duration, Instant};

use crate::config::Rate;
use crate::engine::{EFFORT_NAME_BYTES_MAX, Meter, effort};

/// Text without a line end costs too: one line for each of these.
const LINE_BYTES: usize = 1024;

/// Whoever has used more than this part of what may come at once is served after the others. Few people do, and where
/// nobody else wants anything they do not feel it.
const DEMANDING_PART: u32 = 3;

pub struct Allowance {
    rate: Rate,
    meter: Meter,
    since: Instant,
    /// How much later than it might this one goes on: of many who began together each has another moment, or all of
    /// their lines would come at once, and everybody else's behind them.
    offset: Duration,
    /// The last byte was CR, so an LF that follows ends nothing more.
    after_cr: bool,
    line: Line,
}

impl Allowance {
    /// Connections with different numbers wait for different moments.
    pub fn new(rate: Rate, number: u64, now: Instant) -> Allowance {
        // Multiples of the golden section leave the widest gaps between each other.
        let part = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
        let offset = rate.each() * u32::try_from(part).expect("ten bits are left of it") / 1024;
        let (meter, line) = (Meter::default(), Line::default());
        Allowance { rate, meter, since: now, offset, after_cr: false, line }
    }

    /// How many of these bytes may be taken in now, paid for at once; or how long to wait for the next line. Whoever
    /// can pay for one line gets it whatever it costs, and is in debt then: what it is shows only at its end.
    pub fn spend(&mut self, bytes: &[u8], now: Instant) -> Result<usize, Duration> {
        let now = now.saturating_duration_since(self.since);
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            if self.after_cr && rest[0] == b'\n' {
                self.after_cr = false;
                taken += 1;
                continue;
            }
            let wait = self.meter.wait(self.rate, now);
            if wait.is_zero() {
                taken += self.take_line(rest, now);
            } else if taken == 0 {
                return Err(wait + self.offset);
            } else {
                break;
            }
        }
        Ok(taken)
    }

    /// Pays for what a line has cost besides.
    pub fn charge(&mut self, lines: u32, now: Instant) {
        if lines > 0 {
            self.meter.charge(self.rate, lines, now.saturating_duration_since(self.since));
        }
    }

    /// Whether others should go first.
    pub fn is_demanding(&self, now: Instant) -> bool {
        self.meter.used(now.saturating_duration_since(self.since)) > self.rate.within / DEMANDING_PART
    }

    /// How long the next piece is: a line, or as much as costs like one. The beginning of a line is paid for by its end.
    fn take_line(&mut self, bytes: &[u8], now: Duration) -> usize {
        let piece = &bytes[..bytes.len().min(LINE_BYTES)];
        let end = piece.iter().position(|&byte| byte == b'\r' || byte == b'\n');
        let length = end.map_or(piece.len(), |end| end + 1);
        self.line.read(&piece[..end.unwrap_or(length)]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.meter.charge(self.rate, effort(line.command(), line.targets), now);
        } else if length == LINE_BYTES {
            self.meter.charge(self.rate, 1, now);
        }
        self.after_cr = piece[length - 1] == b'\r';
        length
    }
}

/// What of a line decides its price: the command, and how many targets its first parameter names. Read byte by byte,
/// since nothing says that a line comes in one piece.
#[derive(Default)]
struct Line {
    place: Place,
    command: [u8; EFFORT_NAME_BYTES_MAX],
    /// One more than fits, for a command that is longer than any with a price.
    command_bytes: usize,
    targets: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before the command, where tags and a source may stand.
    #[default]
    Before,
    TagsOrSource,
    Command,
    BeforeTargets,
    Targets,
    Rest,
}

impl Line {
    fn read(&mut self, piece: &[u8]) {
        for &byte in piece {
            self.place = match (self.place, byte) {
                (Place::Rest, _) => return,
                (Place::Before, b' ') => Place::Before,
                (Place::Before, b'@' | b':') => Place::TagsOrSource,
                (Place::TagsOrSource, b' ') => Place::Before,
                (Place::TagsOrSource, _) => Place::TagsOrSource,
                (Place::Before | Place::Command, byte) if byte != b' ' => {
                    if let Some(place) = self.command.get_mut(self.command_bytes) {
                        *place = byte;
                    }
                    self.command_bytes = (self.command_bytes + 1).min(EFFORT_NAME_BYTES_MAX + 1);
                    Place::Command
                }
                (Place::Command | Place::BeforeTargets, b' ') => Place::BeforeTargets,
                (Place::Targets, b' ') => Place::Rest,
                (_, byte) => {
                    let is_first = self.place != Place::Targets;
                    self.targets = self.targets.saturating_add(u32::from(is_first || byte == b','));
                    Place::Targets
                }
            };
        }
    }

    fn command(&self) -> &[u8] {
        self.command.get(..self.command_bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_cost_besides_is_waited_for_by_the_next() {
        let rate = Rate { count: 2, within: Duration::from_secs(2) };
        let begun = Instant::now();
        let mut allowance = Allowance::new(rate, 0, begun);
        assert_eq!(allowance.spend(b"PING 1\r\n", begun), Ok(8));
        allowance.charge(0, begun);
        allowance.charge(3, begun);
        let wait = allowance.spend(b"PING 2\r\n", begun).unwrap_err();
        assert!(wait >= Duration::from_secs(2), "{wait:?}");
        assert_eq!(allowance.spend(b"PING 2\r\n", begun + wait), Ok(8));
    }

    fn allowance(start: Instant) -> Allowance {
        Allowance::new(Rate::new(30, 10), 0, start)
    }

    #[test]
    fn a_burst_is_free_and_then_lines_come_at_their_rate() {
        let start = Instant::now();
        let mut allowance = allowance(start);
        let flood = b"PRIVMSG #a :b\r\n".repeat(100);
        let taken = allowance.spend(&flood, start).unwrap();
        assert_eq!(taken, 15 * 30);
        let wait = allowance.spend(&flood[taken..], start).unwrap_err();
        assert!((wait.as_secs_f64() - 1.0 / 3.0).abs() < 0.001, "{wait:?}");
        assert_eq!(allowance.spend(&flood[taken..], start + Duration::from_secs(2)), Ok(15 * 6));
        // Quiet for an hour is no more than a burst.
        assert_eq!(allowance.spend(&flood, start + Duration::from_secs(3600)), Ok(15 * 30));
    }

    #[test]
    fn who_has_used_a_third_of_it_is_demanding_until_that_is_earned() {
        let start = Instant::now();
        let mut allowance = allowance(start);
        for (lines, after_s, expected) in
            [(10, 0, false), (1, 0, true), (0, 1, false), (1, 1, false), (30, 1, true)]
        {
            let now = start + Duration::from_secs(after_s);
            let _ = allowance.spend(&b"\n".repeat(lines), now);
            assert_eq!(allowance.is_demanding(now), expected, "{lines} more after {after_s} s");
        }
    }

    #[test]
    fn those_who_began_together_do_not_go_on_together() {
        let start = Instant::now();
        let mut waits: Vec<Duration> = (0..100)
            .map(|number| {
                let mut allowance = Allowance::new(Rate::new(30, 10), number, start);
                assert_eq!(allowance.spend(&[b'\n'; 30], start), Ok(30));
                allowance.spend(b"\n", start).unwrap_err()
            })
            .collect();
        waits.sort();
        assert!(waits[99] < Duration::from_secs(1) * 2 / 3, "nobody waits for more than one line longer");
        let gaps = waits.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() < Some(Duration::from_millis(10)), "{waits:?}");
    }

    #[test]
    fn a_line_in_pieces_costs_one_line() {
        let start = Instant::now();
        let mut allowance = allowance(start);
        for _ in 0..30 {
            for piece in [&b"PRIVMSG "[..], b"#a :b", b"\r", b"\n"] {
                assert_eq!(allowance.spend(piece, start), Ok(piece.len()));
            }
        }
        assert!(allowance.spend(b"QUIT\r\n", start).is_err());
    }

    #[test]
    fn every_line_end_counts_once() {
        let start = Instant::now();
        for (line, lines) in [(&b"A\r\n"[..], 30), (b"A\n", 30), (b"A\r", 30), (b"\n", 30)] {
            let taken = allowance(start).spend(&line.repeat(100), start).unwrap();
            // A CR that was paid for brings its LF with it.
            assert_eq!(taken, line.len() * lines, "{line:?}");
        }
    }

    #[test]
    fn text_without_end_is_slowed_too() {
        let start = Instant::now();
        assert_eq!(allowance(start).spend(&[b'a'; 100_000], start), Ok(30 * LINE_BYTES));
    }

    #[test]
    fn what_is_costly_counts_as_several_lines_however_it_is_written_and_cut() {
        let start = Instant::now();
        for (line, cost) in [
            ("LIST", 4),
            ("list >10,<20", 4),
            ("LISTING", 1),
            (":me  LIST", 4),
            ("@label=a;+b=c :me LIST", 4),
            ("PRIVMSG a,b,c,d,e :f,g,h,i,j,k,l", 3),
            ("PRIVMSG  a :LIST", 1),
            ("NAMES #a,#b,#c", 3),
            ("PING a,b,c,d,e,f", 1),
            ("OPERATOR me", 1),
            ("OPER me secret", 10),
            ("", 1),
        ] {
            for piece_bytes in [1, 3, 100] {
                let mut allowance = allowance(start);
                for piece in format!("{line}\r\n").as_bytes().chunks(piece_bytes) {
                    assert_eq!(allowance.spend(piece, start), Ok(piece.len()));
                }
                let left = allowance.spend(&b"\n".repeat(30), start).unwrap();
                assert_eq!(30 - left, cost, "{line}");
            }
        }
    }

    #[test]
    fn who_pays_for_one_line_gets_a_dear_one_and_waits_for_it_afterwards() {
        let start = Instant::now();
        let mut allowance = allowance(start);
        assert_eq!(allowance.spend(&b"\n".repeat(29), start), Ok(29));
        assert_eq!(allowance.spend(b"OPER a b\n", start), Ok(9));
        let wait = allowance.spend(b"\n", start).unwrap_err();
        assert!((wait.as_secs_f64() - 10.0 / 3.0).abs() < 0.001, "{wait:?}");
    }
}
