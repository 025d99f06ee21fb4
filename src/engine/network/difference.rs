//! How what users see of one channel came to differ.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::{Channel, Role, Settings, Topic};
use super::metadata::changes;
use super::news::{ModeDelta, ModeValue};
use crate::wire::letters::Letters;
use crate::wire::names::{MetadataKey, UserId};

/// How one channel's view came to differ.
#[derive(Default)]
pub struct Difference {
    pub left: Vec<(UserId, Role)>,
    pub joined: Vec<(UserId, Letters)>,
    /// Who has spoken at last, or came anew while nobody saw it and has not spoken yet.
    pub silences: Vec<(UserId, bool)>,
    pub deltas: Vec<ModeDelta>,
    /// The new topic, where it changed.
    pub topic: Option<Option<Topic>>,
    /// What is said of it now, of what was said otherwise.
    pub metadata: Vec<(MetadataKey, Option<String>)>,
}

impl Difference {
    pub fn mode(&mut self, letter: char, before: Option<&Option<String>>, after: Option<&Option<String>>) {
        if before == after {
            return;
        }
        let value = after.or(before).cloned().flatten().map(ModeValue::Text);
        self.deltas.push(ModeDelta { on: after.is_some(), letter, value });
    }

    pub fn mask(&mut self, letter: char, mask: &str, before: bool, after: bool) {
        if before != after {
            self.deltas.push(ModeDelta { on: after, letter, value: Some(ModeValue::Text(mask.to_string())) });
        }
    }

    /// All that is set, compared as a whole; who is what is not part of it.
    pub fn settings(&mut self, before: &Settings, now: &Channel) {
        for letter in before.modes.keys().chain(now.modes.keys()).copied().collect::<BTreeSet<_>>() {
            self.mode(letter, before.modes.get(&letter), now.modes.get(&letter));
        }
        for letter in before.lists.keys().chain(now.lists.keys()).copied().collect::<BTreeSet<_>>() {
            let none = BTreeMap::new();
            let old = before.lists.get(&letter).unwrap_or(&none);
            let new = now.lists.get(&letter).unwrap_or(&none);
            for mask in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                self.mask(letter, mask, old.contains_key(mask), new.contains_key(mask));
            }
        }
        if before.topic != now.topic {
            self.topic = Some(now.topic.clone());
        }
        self.metadata.extend(changes(&before.metadata, &now.metadata));
    }

    pub fn status(&mut self, user: UserId, before: Letters, after: Letters) {
        if before == after {
            return;
        }
        for letter in before.iter().chain(after.iter()).collect::<BTreeSet<_>>() {
            if before.has(letter) != after.has(letter) {
                let value = Some(ModeValue::Member(user));
                self.deltas.push(ModeDelta { on: after.has(letter), letter, value });
            }
        }
    }
}
