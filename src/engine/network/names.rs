//! What channels are called that were given another name than they were made with.
//!
//! All that is known of a channel is kept under the name it was made with, so a new name moves nothing: it is one more
//! thing that is set, under the birth like all others, and shows what was said before it, during it, and on the far
//! side of a split as one channel. Two channels can come to want one name only in a split. Then the one that was made
//! with it has it, else whichever was given it first; the other goes by the name it was made with, which stays its own
//! for as long as anybody is there, or it is registered.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::merge::Stamp;
use crate::wire::fold::Folded;

/// Which channels were given which names, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// By the channel's id.
    given: BTreeMap<Folded, (Stamp, Folded)>,
    /// By the name.
    claims: BTreeMap<Folded, BTreeSet<(Stamp, Folded)>>,
}

impl Names {
    /// Notes what a channel was given as a name; answers with the names about which that may matter to others.
    pub fn give(&mut self, id: &Folded, given: Option<(Stamp, Folded)>) -> Vec<Folded> {
        // Its own name nobody else can take.
        let given = given.filter(|(_, name)| name != id);
        let before = match given.clone() {
            Some(given) => self.given.insert(id.clone(), given),
            None => self.given.remove(id),
        };
        if before == given {
            return Vec::new();
        }
        let mut touched = Vec::new();
        if let Some((stamp, name)) = before {
            if let Some(claims) = self.claims.get_mut(&name) {
                claims.remove(&(stamp, id.clone()));
                if claims.is_empty() {
                    self.claims.remove(&name);
                }
            }
            touched.push(name);
        }
        if let Some((stamp, name)) = given {
            self.claims.entry(name.clone()).or_default().insert((stamp, id.clone()));
            touched.push(name);
        }
        touched
    }

    /// The channel that was given this name before all others.
    pub fn first(&self, name: &Folded) -> Option<&Folded> {
        self.claims.get(name)?.first().map(|(_, id)| id)
    }

    /// All channels that were given this name.
    pub fn claimants(&self, name: &Folded) -> impl Iterator<Item = &Folded> {
        self.claims.get(name).into_iter().flatten().map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fold::fold;
    use crate::wire::names::ServerId;

    fn at(ms: u64) -> Stamp {
        Stamp { ms, count: 0, server: ServerId::LOWEST }
    }

    #[test]
    fn whoever_was_given_a_name_first_has_it_until_it_gets_another() {
        let mut names = Names::default();
        let [green, red, lime, own] = ["#green", "#red", "#lime", "#green"].map(fold);
        assert_eq!(names.give(&red, Some((at(7), lime.clone()))), std::slice::from_ref(&lime));
        assert_eq!(names.give(&green, Some((at(5), lime.clone()))), std::slice::from_ref(&lime));
        assert_eq!(names.first(&lime), Some(&green));
        assert_eq!(names.claimants(&lime).count(), 2);
        assert_eq!(
            names.give(&green, Some((at(9), own))),
            std::slice::from_ref(&lime),
            "its own needs no claim"
        );
        assert_eq!(names.first(&lime), Some(&red));
        assert_eq!(names.give(&red, None), std::slice::from_ref(&lime));
        assert_eq!(names.first(&lime), None);
        assert!(names.give(&red, None).is_empty());
    }
}
