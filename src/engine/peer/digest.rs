//! Digests of what servers hold and have heard: over the lines that carry it, so that they are the same on every
//! server and stay so.

use ring::digest::{SHA256, digest};

use super::{name_of, write_change, write_vector};
use crate::engine::merge::{Counting, Digested, Fact, Vector};
use crate::engine::network::{Change, Key, Value, edit_of};

impl Digested<Key> for Value {
    fn digest(key: &Key, fact: &Fact<Value>) -> u64 {
        digest_of(&line_of(key, fact).unwrap_or_default())
    }

    fn mark(key: &Key) -> u64 {
        digest_of(&name_of(key))
    }

    fn counting(key: &Key) -> Counting {
        match key {
            // Whether the join that it was given to is over, only the view knows.
            Key::Status(..) => Counting::Apart,
            // It reads as it came, and that may have been by different ways.
            Key::Foreign(_) => Counting::Apart,
            key if key.is_owned() => Counting::InLatestRun,
            _ => Counting::Always,
        }
    }
}

/// A fact as the line that carries it in a snapshot.
pub(super) fn line_of(key: &Key, fact: &Fact<Value>) -> Option<String> {
    let edit = edit_of(key, &fact.value)?;
    let change = Change { dot: fact.dot, stamp: fact.stamp, over: vec![], after: 0, more: false, edit };
    Some(write_change(&change))
}

pub(super) fn digest_of_vector(vector: &Vector) -> u64 {
    digest_of(&write_vector(vector))
}

pub(super) fn digest_of(text: &str) -> u64 {
    let digest = digest(&SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("8 of 32 bytes"))
}
