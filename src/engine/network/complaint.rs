//! Complaints: what people have told those who run the network of others, by REPORT.

use std::collections::BTreeMap;

use super::Network;
use super::change::{Key, Value};
use crate::engine::merge::Stamp;
use crate::wire::fold::fold;
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

impl Party {
    /// By whom it counts: the account, or else where they come from, whatever they are called.
    fn weighs_for(&self) -> String {
        match &self.account {
            Some(account) => fold(account).to_string(),
            None => self.source.rsplit_once('@').map_or("", |(_, host)| host).to_string() + "@",
        }
    }
}

/// Which have to go so that there are no more than so many with another one by somebody: those of whoever has made most,
/// the oldest first, so that nobody can make many until there are none by others.
pub fn beyond(known: &[(Stamp, &Complaint)], by: &Party, most: usize) -> Vec<Stamp> {
    let mut stays: Vec<(Stamp, String)> = known.iter().map(|(id, one)| (*id, one.by.weighs_for())).collect();
    let mut goes = Vec::new();
    while stays.len() + 1 > most {
        let mut counts = BTreeMap::from([(by.weighs_for(), 1)]);
        stays.iter().for_each(|(_, by)| *counts.entry(by.clone()).or_insert(0) += 1);
        let largest = counts.values().copied().max();
        let Some(place) = stays.iter().position(|(_, by)| counts.get(by).copied() == largest) else { break };
        goes.push(stays.remove(place).0);
    }
    goes
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::names::ServerId;

    fn party(nick: &str, host: &str, account: Option<&str>) -> Party {
        Party { source: format!("{nick}!u@{host}"), account: account.map(str::to_string) }
    }

    #[test]
    fn whoever_has_reported_most_loses_their_oldest() {
        let by = [
            party("ann", "1", None),
            party("eve", "2", None),
            party("eve2", "2", None),
            party("bob", "3", Some("bob")),
            party("cyd", "4", Some("bob")),
            party("eve3", "2", None),
        ];
        let complaint = |by: &Party| Complaint {
            made: Timestamp(0),
            by: by.clone(),
            about: by.clone(),
            place: None,
            reason: String::new(),
            context: Vec::new(),
        };
        let all: Vec<Complaint> = by.iter().map(complaint).collect();
        let id = |number: u64| Stamp::from_number(number, ServerId::LOWEST);
        let known: Vec<(Stamp, &Complaint)> = (0..).map(id).zip(&all).collect();
        for (newcomer, most, goes) in [
            (party("dan", "5", None), 7, vec![]),
            (party("dan", "5", None), 6, vec![1]),
            (party("eve4", "2", None), 6, vec![1]),
            // Two of three are as many as two of hers, and hers was first; then it is his.
            (party("dan", "5", None), 4, vec![1, 2, 3]),
            (party("x", "9", Some("Bob")), 5, vec![1, 3]),
        ] {
            let goes: Vec<Stamp> = goes.into_iter().map(id).collect();
            assert_eq!(beyond(&known, &newcomer, most), goes, "{newcomer:?} {most}");
        }
    }
}
