//! Somebody who is here, by one connection, by several, or by none for the moment.

use std::collections::BTreeMap;

use super::event::ConnId;
use super::merge::Stamp;
use super::network::Channel;
use super::shield::Shield;
use super::speaking::Pace;
use crate::wire::fold::Folded;
use crate::wire::time::Now;

/// One of this server's users, as they are to themselves: whatever connection they say it on, it holds for all.
#[derive(Debug)]
pub struct Person {
    /// In the order in which they came.
    pub(super) conns: Vec<ConnId>,
    /// Why the last connection went, and when, while there is none.
    pub(super) absence: Option<Absence>,
    /// When they last said something, for WHOIS.
    pub spoke_ms: u64,
    /// Channels that they were invited to, each by its birth: who makes one anew has invited nobody.
    pub invited: BTreeMap<Folded, Stamp>,
    pub shield: Shield,
    /// When they last knocked on each channel.
    pub knocked_ms: BTreeMap<Folded, u64>,
    pub pace: Pace,
}

/// Since when nobody is connected, and what is said where they do not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    pub since: Now,
    pub why: String,
    /// Whether others are shown that nobody is there, which ends as they come back.
    pub is_shown_away: bool,
}

impl Person {
    pub fn new(now_ms: u64) -> Person {
        Person {
            conns: Vec::new(),
            absence: None,
            spoke_ms: now_ms,
            invited: BTreeMap::new(),
            shield: Shield::default(),
            knocked_ms: BTreeMap::new(),
            pace: Pace::default(),
        }
    }

    pub fn conns(&self) -> &[ConnId] {
        &self.conns
    }

    /// Whether they were invited to a channel, or to one that it has since turned out to be a part of.
    pub fn is_invited(&self, channel: &Channel) -> bool {
        self.invited.get(&channel.id()).is_some_and(|birth| channel.birth <= *birth)
    }

    /// For how long they have said nothing.
    pub fn idle_s(&self, now: Now) -> u64 {
        now.steady_ms.saturating_sub(self.spoke_ms) / 1000
    }
}
