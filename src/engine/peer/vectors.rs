//! Vectors and sets of dots, as they go over the wire.

use crate::engine::merge::{Origin, Vector};
use crate::wire::base36;

/// `7FA.2=5k 9BC.1=3`
pub fn write_vector(vector: &Vector) -> String {
    let entries: Vec<String> =
        vector.iter().map(|(origin, tip)| format!("{origin}={}", base36::encode(tip))).collect();
    entries.join(" ")
}

pub fn read_vector(text: &str) -> Option<Vector> {
    let entries = text.split_ascii_whitespace().map(|entry| {
        let (origin, tip) = entry.split_once('=')?;
        Some((Origin::parse(origin)?, base36::parse(tip)?))
    });
    entries.collect()
}

/// `1-5k 7 9-a`
pub fn ranges(seqs: &[u64]) -> Vec<String> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    let text = |(first, last): (u64, u64)| match first == last {
        true => base36::encode(first),
        false => format!("{}-{}", base36::encode(first), base36::encode(last)),
    };
    ranges.into_iter().map(text).collect()
}

/// No more numbers than a peer could really hold, so that one short line cannot fill the memory.
const RANGE_MAX: u64 = 10_000_000;

pub fn read_ranges(text: &str) -> Option<Vec<u64>> {
    let mut seqs = Vec::new();
    for range in text.split_ascii_whitespace() {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (base36::parse(first)?, base36::parse(last)?);
        if last < first || last - first > RANGE_MAX {
            return None;
        }
        seqs.extend(first..=last);
    }
    Some(seqs)
}
