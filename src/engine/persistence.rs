//! Whether somebody stays while no client of theirs is connected: what they wish, and how it is.

use super::attach::ALWAYS_ON;
use super::cap::Cap;
use super::network::{AccountFact, AccountId, Edit, Field};
use super::turn::Turn;

/// What can be wished for.
const WISHES: &[&str] = &["ON", "OFF", "DEFAULT"];

pub fn is_wish(text: &str) -> bool {
    WISHES.iter().any(|wish| text.eq_ignore_ascii_case(wish))
}

impl Turn<'_> {
    /// Writes down what the owner of an account wishes, and tells all their clients that know what it means.
    pub fn wish_to_stay(&mut self, account: AccountId, wish: &str) {
        let wish = wish.to_ascii_lowercase();
        let fact = (wish != "default").then_some(AccountFact::Setting(wish));
        let (field, by) = (Field::Setting(ALWAYS_ON.to_string()), self.prefix());
        self.change(Edit::Account { account, field, fact, by });
        for conn in self.engine.sessions.conns_of(self.me()).to_vec() {
            let mut other = Turn::new(self.engine, conn);
            if other.wants(Cap::DraftPersistence) {
                other.tell_persistence();
            }
        }
    }

    /// What the speaker has wished for, and how it is.
    pub fn tell_persistence(&mut self) {
        let wish = self.account().and_then(|account| account.settings.get(ALWAYS_ON));
        let wish = wish.map_or("DEFAULT".to_string(), |wish| wish.to_ascii_uppercase());
        let is_on = if self.engine.is_always_on(self.me()) { "ON" } else { "OFF" };
        self.say(format!(":{} PERSISTENCE STATUS {wish} {is_on}", self.server_name()));
    }

    /// The same for whoever arrives, before their client joins channels that they may be on already.
    pub fn welcome_with_persistence(&mut self) {
        if self.wants(Cap::DraftPersistence) && self.account().is_some() {
            self.tell_persistence();
        }
    }
}
