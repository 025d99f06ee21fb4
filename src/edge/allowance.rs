//! How fast one client may talk: a token bucket that delays reading, and never drops a line.

use std::time::{Duration, Instant};

/// What a client may say at once after being quiet: enough to arrive and join its channels.
const BURST_LINES: f64 = 30.0;
/// What it may say for as long as it likes; more than people type.
const LINES_PER_SECOND: f64 = 3.0;
/// Text without a line end costs too: one line for each of these.
const LINE_BYTES: usize = 1024;

pub struct Allowance {
    lines: f64,
    counted_at: Instant,
    /// The last byte was CR, so an LF that follows ends nothing more.
    after_cr: bool,
}

impl Allowance {
    pub fn new(now: Instant) -> Allowance {
        Allowance { lines: BURST_LINES, counted_at: now, after_cr: false }
    }

    /// How many of these bytes may be taken in now, paid for at once; or how long to wait for the next line.
    pub fn spend(&mut self, bytes: &[u8], now: Instant) -> Result<usize, Duration> {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.lines = (self.lines + passed * LINES_PER_SECOND).min(BURST_LINES);
        self.counted_at = now;
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            if self.after_cr && rest[0] == b'\n' {
                self.after_cr = false;
                taken += 1;
            } else if self.lines >= 1.0 {
                taken += self.take_line(rest);
            } else if taken == 0 {
                return Err(Duration::from_secs_f64((1.0 - self.lines) / LINES_PER_SECOND));
            } else {
                break;
            }
        }
        Ok(taken)
    }

    /// How long the next piece is: a line, or as much as costs like one. The beginning of a line is paid for by its end.
    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let piece = &bytes[..bytes.len().min(LINE_BYTES)];
        let end = piece.iter().position(|&byte| byte == b'\r' || byte == b'\n');
        if end.is_some() || piece.len() == LINE_BYTES {
            self.lines -= 1.0;
        }
        let length = end.map_or(piece.len(), |end| end + 1);
        self.after_cr = piece[length - 1] == b'\r';
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_lines_come_at_their_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
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
    fn a_line_in_pieces_costs_one_line() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
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
            let taken = Allowance::new(start).spend(&line.repeat(100), start).unwrap();
            // A CR that was paid for brings its LF with it.
            assert_eq!(taken, line.len() * lines, "{line:?}");
        }
    }

    #[test]
    fn text_without_end_is_slowed_too() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert_eq!(allowance.spend(&[b'a'; 100_000], start), Ok(30 * LINE_BYTES));
    }
}
