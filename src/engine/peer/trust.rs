//! What peers do that they should not: counted by reason, and told without flooding anyone.
//!
//! Nothing of this ends a link by itself: a fault is kept from harm where it is found, and a person decides
//! about whoever made it.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::engine::effect::Topic;
use crate::engine::merge::Origin;
use crate::engine::outgoing::{Outgoing, Spoken};

/// Something that a server in order does not do. Its word stays the same from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A line that makes no sense.
    Senseless,
    /// A fact about users of another server.
    NotOwner,
    /// Events in the name of this very server that it never wrote.
    OwnOrigin,
    /// A stamp far ahead of the wall clock here.
    ClockAhead,
    /// A claim to have what does not come when asked for.
    VainClaim,
    /// More than there may be: origins, servers, facts of one origin.
    TooMany,
    /// Events of an origin that are not those that others have of it.
    Forged,
    /// Other facts though the same has been heard.
    Diverged,
}

impl Fault {
    pub const ALL: [Fault; 8] = [
        Fault::Senseless,
        Fault::NotOwner,
        Fault::OwnOrigin,
        Fault::ClockAhead,
        Fault::VainClaim,
        Fault::TooMany,
        Fault::Forged,
        Fault::Diverged,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Fault::Senseless => "senseless",
            Fault::NotOwner => "not-owner",
            Fault::OwnOrigin => "own-origin",
            Fault::ClockAhead => "clock-ahead",
            Fault::VainClaim => "vain-claim",
            Fault::TooMany => "too-many",
            Fault::Forged => "forged",
            Fault::Diverged => "diverged",
        }
    }

    /// Whether operators should hear of it at once, beyond the log.
    fn is_alarming(self) -> bool {
        self != Fault::Senseless
    }
}

/// One thing is told once in so long, however often it happens.
const TOLD_EVERY_MS: u64 = 60_000;

/// So many different things are told of in that time; the others are only counted.
const TOLD_MAX: usize = 200;

/// What has been held against peers since this server started.
#[derive(Debug, Default)]
pub struct Trust {
    refused: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    told: BTreeMap<(Fault, String), Told>,
}

/// When something was told, and how often it has happened since.
#[derive(Debug)]
struct Told {
    at_ms: u64,
    since: u64,
}

impl Trust {
    pub(super) fn count_refusal(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// How many links were refused here, by the reason that was given.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.refused.iter().map(|(reason, count)| (*reason, *count))
    }

    /// How often each kind of fault was found.
    pub fn faults(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.into_iter().map(|fault| (fault, self.faults.get(&fault).copied().unwrap_or(0)))
    }

    /// Counts a fault, and answers with how often it was left untold if it is to be told now.
    fn count(&mut self, fault: Fault, about: &str, now_ms: u64) -> Option<u64> {
        *self.faults.entry(fault).or_default() += 1;
        let key = (fault, about.to_string());
        if let Some(told) = self.told.get_mut(&key)
            && now_ms < told.at_ms + TOLD_EVERY_MS
        {
            told.since += 1;
            return None;
        }
        if self.told.len() >= TOLD_MAX && !self.told.contains_key(&key) {
            self.told.retain(|_, told| now_ms < told.at_ms + TOLD_EVERY_MS);
            if self.told.len() >= TOLD_MAX {
                return None;
            }
        }
        let before = self.told.insert(key, Told { at_ms: now_ms, since: 0 });
        Some(before.map_or(0, |told| told.since))
    }
}

impl Engine {
    /// Counts a fault and tells of it, once a minute for each thing that it is about.
    pub(in crate::engine) fn suspect(&mut self, fault: Fault, about: &str, text: &str) {
        let Some(untold) = self.trust.count(fault, about, self.now.steady_ms) else { return };
        let text = match untold {
            0 => text.to_string(),
            untold => format!("{text} and_before={untold}"),
        };
        if fault.is_alarming() {
            self.tell_operators(&text);
        }
        self.note(log::Level::Warn, Topic::Link, text);
    }

    /// Counts a fault of an origin, whoever brought it.
    pub(super) fn suspect_origin(&mut self, fault: Fault, origin: Origin, text: &str) {
        self.suspect(fault, &origin.to_string(), text);
    }

    fn tell_operators(&mut self, text: &str) {
        for session in self.sessions.iter() {
            let user = session.user().and_then(|user| self.network.user(user));
            if let Some(user) = user.filter(|user| user.is_operator() && session.is_operator) {
                let body = format!(":{} NOTICE {} :*** {text}", self.identity.name, user.nick);
                let spoken = Spoken::new(self.now.wall, body);
                self.outgoing.push(Outgoing { to: session.conn.into(), spoken });
            }
        }
    }
}
