//! How fast one peer may talk: a token bucket of bytes that delays reading, so that TCP slows the peer down.

use std::time::{Duration, Instant};

/// How many seconds' worth may come at once after a silence: links carry bursts, as when a network heals.
const BURST_SECONDS: f64 = 8.0;

/// So much is taken at a time, that nobody has to save up for it.
const PIECE_BYTES: usize = 16 << 10;

pub struct Pace {
    bytes_per_second: f64,
    bytes: f64,
    counted_at: Instant,
}

impl Pace {
    /// `None` where there is no limit, which is written as 0.
    pub fn new(bytes_per_second: usize, now: Instant) -> Option<Pace> {
        let bytes_per_second = bytes_per_second as f64;
        let bytes = bytes_per_second * BURST_SECONDS;
        (bytes > 0.0).then_some(Pace { bytes_per_second, bytes, counted_at: now })
    }

    /// How many of these bytes may be taken in now, paid for at once; or how long to wait.
    pub fn spend(&mut self, bytes: &[u8], now: Instant) -> Result<usize, Duration> {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        let full = self.bytes_per_second * BURST_SECONDS;
        self.bytes = (self.bytes + passed * self.bytes_per_second).min(full);
        self.counted_at = now;
        let piece = bytes.len().min(PIECE_BYTES) as f64;
        if self.bytes < piece {
            return Err(Duration::from_secs_f64((piece - self.bytes) / self.bytes_per_second));
        }
        let taken = bytes.len().min(self.bytes as usize);
        self.bytes -= taken as f64;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_bytes_come_at_their_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(100_000, start).unwrap();
        let flood = vec![b'x'; 2_000_000];
        assert_eq!(pace.spend(&flood, start), Ok(800_000));
        let wait = pace.spend(&flood, start).unwrap_err();
        assert!((wait.as_secs_f64() - 0.16384).abs() < 0.001, "{wait:?}");
        assert_eq!(pace.spend(&flood, start + Duration::from_secs(2)), Ok(200_000));
        assert_eq!(pace.spend(b"PING 1\r\n", start + Duration::from_secs(3)), Ok(8));
        // Quiet for an hour is no more than a burst.
        assert_eq!(pace.spend(&flood, start + Duration::from_secs(3_600)), Ok(800_000));
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(Pace::new(0, Instant::now()).is_none());
    }
}
