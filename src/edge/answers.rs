//! Answers that wait for their moment on a LAN, and how many there may be.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::identity::random;

/// Answers wait for a random time up to this, so that not all of a LAN speak at once.
pub const DELAY_MAX: Duration = Duration::from_millis(200);
pub const PER_SECOND: usize = 10;

pub struct Answer {
    pub to: SocketAddr,
    /// In the older protocol.
    pub is_compat: bool,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
pub struct Answers {
    waiting: Vec<(Instant, Answer)>,
    /// When those of the last second were promised.
    promised: Vec<Instant>,
}

impl Answers {
    /// Whether whoever asks may have one more answer; it counts as given then.
    pub fn promise(&mut self, now: Instant, to: SocketAddr) -> bool {
        self.promised.retain(|at| now < *at + Duration::from_secs(1));
        // Whoever asks by broadcast on several networks may be heard several times.
        let has_one = self.waiting.iter().any(|(_, answer)| answer.to == to);
        let may = !has_one && self.promised.len() < PER_SECOND;
        if may {
            self.promised.push(now);
        }
        may
    }

    /// Gives the answer that was promised, in a moment.
    pub fn give(&mut self, now: Instant, answer: Answer) {
        let delay = DELAY_MAX * u32::from(random::<1>()[0]) / 256;
        self.waiting.push((now + delay, answer));
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    /// Those whose moment has come.
    pub fn due(&mut self, now: Instant) -> Vec<Answer> {
        self.waiting.extract_if(.., |(at, _)| *at <= now).map(|(_, answer)| answer).collect()
    }
}
