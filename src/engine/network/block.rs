//! Blocks: whom the owner of an account does not want to hear from.

use std::fmt;

use super::account::{Account, AccountId};
use crate::wire::mask::Mask;

/// Somebody who is blocked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// Whoever is logged in to it, whatever it is called and wherever they come from.
    Account(AccountId),
    /// Those who have no account, by what they are called and where they come from.
    Mask(Mask),
}

impl Blocked {
    /// As `Display` writes it: no id of an account looks like a mask.
    pub fn parse(text: &str) -> Option<Blocked> {
        if text.contains('!') {
            return Mask::complete(text).filter(|mask| mask.as_str() == text).map(Blocked::Mask);
        }
        AccountId::parse(text).map(Blocked::Account)
    }

    /// Whether both mean the same people.
    pub fn is_same(&self, other: &Blocked) -> bool {
        match (self, other) {
            (Blocked::Mask(one), Blocked::Mask(other)) => one.folded() == other.folded(),
            _ => self == other,
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::Account(account) => write!(f, "{account}"),
            Blocked::Mask(mask) => write!(f, "{mask}"),
        }
    }
}

impl Account {
    /// Whether its owner does not want to hear from somebody who is logged in to this account, or to none and is
    /// `nick!user@host`. Nobody is blocked from themselves.
    pub fn keeps_away(&self, account: Option<AccountId>, source: &str) -> bool {
        let is_meant = |blocked: &Blocked| match (blocked, account) {
            (Blocked::Account(blocked), Some(account)) => *blocked == account,
            (Blocked::Mask(mask), None) => mask.matches(source),
            _ => false,
        };
        account != Some(self.id) && self.blocks.keys().any(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_is_written() {
        let account = AccountId::parse("2s1k0ftdg0.7FA").expect("an id");
        let mask = Mask::complete("[a]*!*@Host.lan").expect("a mask");
        for blocked in [Blocked::Account(account), Blocked::Mask(mask.clone())] {
            assert_eq!(Blocked::parse(&blocked.to_string()), Some(blocked));
        }
        for text in ["", "bob", "bob!", "bob!b", "**!*@*", "2s1k0ftdg0"] {
            assert_eq!(Blocked::parse(text), None, "{text}");
        }
        let same = Mask::complete("[A]*!*@host.LAN").expect("a mask");
        assert!(Blocked::Mask(mask).is_same(&Blocked::Mask(same)));
    }
}
