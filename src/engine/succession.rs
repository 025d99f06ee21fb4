//! Who has a registered channel once its founder's account is no more.

use super::network::{AccountId, Clause, ClauseFact, Edit, Registration};
use super::turn::Turn;
use crate::wire::fold::Folded;

impl Turn<'_> {
    /// Writes something of a registration, or that it is so no more.
    pub fn write_clause(&mut self, of: &Registration, clause: Clause, fact: Option<ClauseFact>) {
        let (channel, claimed, by) = (of.id(), of.claimed, self.prefix());
        self.change(Edit::Registration { channel, claimed, clause, fact, by });
    }

    /// Makes somebody the founder of a registered channel: what the one before had offered is offered no more.
    pub fn found_anew(&mut self, of: &Registration, founder: AccountId) {
        let (name, birth, at) = (of.name.clone(), of.birth, of.at);
        self.write_clause(of, Clause::Founded, Some(ClauseFact::Founded { name, birth, founder, at }));
        let is_offered = self.network().clauses_of(&of.id(), of.claimed).contains(&Clause::Offer);
        if is_offered {
            self.write_clause(of, Clause::Offer, None);
        }
    }

    /// Writes down that a successor has come to own a channel, before they say who comes after them: until then it is
    /// theirs only for as long as they are the successor.
    pub fn settle_succession(&mut self, of: &Registration) {
        if of.founder != of.owner {
            self.found_anew(of, of.owner);
        }
    }

    /// An account ends: each of its channels is its successor's from now on, or nobody's, and nothing of it stays behind.
    pub fn bequeath_channels(&mut self, account: AccountId) {
        let of = self.network().registrations().iter();
        let theirs = of.filter(|(_, of)| of.owner == account).map(|(channel, _)| channel.clone());
        for channel in theirs.collect::<Vec<Folded>>() {
            let Some(of) = self.network().registrations().get(&channel).cloned() else { continue };
            let is_there = |heir: &AccountId| self.network().accounts().get(*heir).is_some();
            match of.successor.filter(|heir| *heir != account).filter(is_there) {
                Some(heir) => {
                    self.found_anew(&of, heir);
                    self.write_clause(&of, Clause::Successor, None);
                }
                None => self.drop_registration(&of),
            }
        }
    }
}
