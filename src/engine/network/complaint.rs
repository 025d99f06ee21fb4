//! Complaints: what people have told those who run the network of others, by REPORT.

use super::Network;
use super::change::{Key, Value};
use crate::engine::merge::Stamp;
use crate::wire::time::Timestamp;

/// One complaint; it explains itself when everybody in it is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub made: Timestamp,
    pub by: Party,
    pub about: Party,
    /// The channel where it was; nothing where it was in private.
    pub place: Option<String>,
    pub reason: String,
    /// The last that was said there, oldest first, as far as whoever complains could read it.
    pub context: Vec<String>,
}

/// Somebody as they were then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// `nick!user@host`.
    pub source: String,
    pub account: Option<String>,
}

impl Network {
    /// Every complaint that nobody has closed, the oldest first.
    pub fn complaints(&self) -> Vec<(Stamp, &Complaint)> {
        let (first, last) = (Key::Complaint(Stamp::LOWEST), Key::Complaint(Stamp::HIGHEST));
        let facts = self.durable.facts().range(&first, &last);
        let complaints = facts.filter_map(|(key, fact)| match (key, &fact.value) {
            (Key::Complaint(id), Value::Complaint(complaint)) => Some((*id, complaint)),
            _ => None,
        });
        complaints.collect()
    }

    pub fn complaint(&self, id: Stamp) -> Option<&Complaint> {
        match &self.durable.facts().get(&Key::Complaint(id))?.value {
            Value::Complaint(complaint) => Some(complaint),
            _ => None,
        }
    }
}
