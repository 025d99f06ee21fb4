//! Vectors and sets of dots, as they go over the wire.

use crate::engine::merge::{Dot, Named, Origin, Vector};
use crate::wire::base36;

/// `7FA.2=5k 9BC.1=3`
pub fn write_vector(vector: &Vector) -> String {
    words(vector).join(" ")
}

/// The same in parts, each short enough for a line; the last one may be empty.
pub fn write_vector_in_parts(vector: &Vector, words_per_part: usize) -> Vec<String> {
    let parts: Vec<String> = words(vector).chunks(words_per_part).map(|part| part.join(" ")).collect();
    if parts.is_empty() { vec![String::new()] } else { parts }
}

fn words(vector: &Vector) -> Vec<String> {
    vector.iter().map(|(origin, tip)| format!("{origin}={}", base36::encode(tip))).collect()
}

pub fn read_vector(text: &str) -> Option<Vector> {
    let entries = text.split_ascii_whitespace().map(|entry| {
        let (origin, tip) = entry.split_once('=')?;
        Some((Origin::parse(origin)?, base36::parse(tip)?))
    });
    entries.collect()
}

/// `7FA.2.S5k=3w5e11264sg`: a dot, and the mark of the key under which it was written over.
pub fn write_named(named: Named) -> String {
    format!("{}={}", named.dot, base36::encode(named.mark))
}

pub fn read_named(text: &str) -> Option<Named> {
    let (dot, mark) = text.split_once('=')?;
    Some(Named { dot: Dot::parse(dot)?, mark: base36::parse(mark)? })
}

/// `1-5k 7 9-a`
pub fn write_ranges(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<String> {
    let text = |(first, last): (u64, u64)| match first == last {
        true => base36::encode(first),
        false => format!("{}-{}", base36::encode(first), base36::encode(last)),
    };
    ranges.map(text).collect()
}

/// However long a range is, it is held as one: a short line cannot fill the memory.
pub fn read_ranges(text: &str) -> Option<Vec<(u64, u64)>> {
    let ranges = text.split_ascii_whitespace().map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (base36::parse(first)?, base36::parse(last)?);
        (first <= last).then_some((first, last))
    });
    ranges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_superseded_before_it_comes_survives_the_wire() {
        let text = "7FA.2.S5k=3w5e11264sgsf";
        let named = read_named(text).expect("a dot and a mark");
        assert_eq!((named.mark, write_named(named).as_str()), (u64::MAX, text));
        // As they were before they had a key with them, too.
        for text in ["", "7FA.2.S5k", "7FA.2.S5k=", "7FA.2=5", "7FA.2.S5k=-1", "7FA.2.S5k=05"] {
            assert_eq!(read_named(text), None, "{text}");
        }
    }
}
