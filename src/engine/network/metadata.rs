//! Metadata: what people say of themselves, and of channels that they run, for programs to read.

use std::collections::BTreeMap;

use super::change::{Key, Value};
use crate::engine::merge::{Fact, Facts, Stamp};
use crate::wire::fold::Folded;
use crate::wire::names::{MetadataKey, UserId};

/// What is said of one person or channel, by keys.
pub type Metadata = BTreeMap<MetadataKey, String>;

/// Whom or what something is said of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Written by the user's own server only, and gone with the user.
    User(UserId),
    /// A channel of one birth: who makes it anew begins with nothing.
    Channel(Folded, Stamp),
}

impl Subject {
    /// The first and last key under which anything can be said of it.
    pub(super) fn keys(&self) -> (Key, Key) {
        let (first, last) = MetadataKey::range();
        (Key::Metadata(self.clone(), first), Key::Metadata(self.clone(), last))
    }

    /// All that is said of it in facts that are of interest.
    pub(super) fn read(&self, facts: &Facts<Key, Value>, counts: impl Fn(&Fact<Value>) -> bool) -> Metadata {
        let (first, last) = self.keys();
        let shown = facts.range(&first, &last).filter(|(_, fact)| counts(fact));
        let said = shown.filter_map(|(key, fact)| match (key, &fact.value) {
            (Key::Metadata(_, key), Value::Metadata(value)) => Some((key.clone(), value.clone())),
            _ => None,
        });
        said.collect()
    }
}

/// What is not as it was, with what it is now.
pub fn changes(before: &Metadata, now: &Metadata) -> Vec<(MetadataKey, Option<String>)> {
    let gone = before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), None));
    let new = now.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    gone.chain(new.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}
