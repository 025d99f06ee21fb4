//! Who may not be on the network: by user@host, by address, by real name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::change::{Key, Value};
use crate::engine::merge::{Fact, Facts};
use crate::wire::cidr::Cidr;
use crate::wire::mask::glob_matches;
use crate::wire::time::Timestamp;

/// What a ban goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BanKind {
    /// `user@host`, where the host may be a network of addresses.
    UserHost,
    /// An address, or a network of them.
    Address,
    Realname,
}

impl BanKind {
    pub const ALL: [BanKind; 3] = [BanKind::UserHost, BanKind::Address, BanKind::Realname];

    /// As people and the wire call it: K-Line, D-Line, X-Line.
    pub fn letter(self) -> char {
        match self {
            BanKind::UserHost => 'K',
            BanKind::Address => 'D',
            BanKind::Realname => 'X',
        }
    }

    pub fn from_letter(letter: &str) -> Option<BanKind> {
        BanKind::ALL.into_iter().find(|kind| letter.chars().eq([kind.letter()]))
    }
}

/// Why, since when and until when; it explains itself when its setter is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanFact {
    /// `None` for good.
    pub until: Option<Timestamp>,
    pub set: Timestamp,
    /// `nick!user@host`.
    pub by: String,
    pub reason: String,
}

impl BanFact {
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Somebody as bans know people; what is not known yet is not matched.
#[derive(Clone, Copy, Debug)]
pub struct Suspect<'a> {
    pub username: Option<&'a str>,
    /// All that the place may be called: as shown, as resolved, as cloaked.
    pub hosts: &'a [&'a str],
    pub address: IpAddr,
    pub realname: Option<&'a str>,
}

/// One ban, ready to be held against people.
#[derive(Clone, Debug)]
pub struct Ban {
    pub fact: BanFact,
    pattern: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    UserHost { user: String, host: String, network: Option<Cidr> },
    Address(Option<Cidr>),
    Realname(String),
}

impl Ban {
    fn new(kind: BanKind, mask: &str, fact: BanFact) -> Ban {
        let pattern = match kind {
            BanKind::UserHost => {
                let (user, host) = mask.split_once('@').unwrap_or(("*", mask));
                Pattern::UserHost { user: user.into(), host: host.into(), network: Cidr::parse(host) }
            }
            BanKind::Address => Pattern::Address(Cidr::parse(mask)),
            BanKind::Realname => Pattern::Realname(mask.replace("\\s", " ")),
        };
        Ban { fact, pattern }
    }

    pub fn matches(&self, suspect: &Suspect) -> bool {
        match &self.pattern {
            Pattern::UserHost { user, host, network } => suspect.username.is_some_and(|username| {
                let is_from_there = || {
                    network.is_some_and(|network| network.contains(suspect.address))
                        || suspect.hosts.iter().any(|known_as| glob_matches(host, known_as))
                        || glob_matches(host, &suspect.address.to_canonical().to_string())
                };
                glob_matches(user, username) && is_from_there()
            }),
            Pattern::Address(network) => network.is_some_and(|network| network.contains(suspect.address)),
            Pattern::Realname(mask) => suspect.realname.is_some_and(|realname| glob_matches(mask, realname)),
        }
    }
}

/// All bans that show, whether or not they have expired.
#[derive(Clone, Debug, Default)]
pub struct Bans(BTreeMap<(BanKind, String), Ban>);

impl Bans {
    pub(super) fn of(facts: &Facts<Key, Value>) -> Bans {
        let mut bans = Bans::default();
        for (key, fact) in facts.iter() {
            // Of several side by side the one that shows comes last.
            if let (Key::Ban(kind, mask), Value::Ban(ban)) = (key, &fact.value) {
                bans.0.insert((*kind, mask.clone()), Ban::new(*kind, mask, ban.clone()));
            }
        }
        bans
    }

    /// Takes what shows of one ban now, and answers with what showed before.
    pub(super) fn take(&mut self, kind: BanKind, mask: &str, shows: Option<&Fact<Value>>) -> Option<BanFact> {
        let key = (kind, mask.to_string());
        let before = match shows.map(|fact| &fact.value) {
            Some(Value::Ban(fact)) => self.0.insert(key, Ban::new(kind, mask, fact.clone())),
            _ => self.0.remove(&key),
        };
        before.map(|ban| ban.fact)
    }

    pub fn get(&self, kind: BanKind, mask: &str) -> Option<&Ban> {
        self.0.get(&(kind, mask.to_string()))
    }

    /// Every ban with its kind and mask, in force or not.
    pub fn iter(&self) -> impl Iterator<Item = (BanKind, &str, &Ban)> {
        self.0.iter().map(|((kind, mask), ban)| (*kind, mask.as_str(), ban))
    }

    /// The first ban of that kind that is in force and means somebody.
    pub fn against(&self, kind: BanKind, suspect: &Suspect, now: Timestamp) -> Option<(&str, &Ban)> {
        let bans = self.0.range((kind, String::new())..).take_while(|((of, _), _)| *of == kind);
        let mut bans = bans.map(|((_, mask), ban)| (mask.as_str(), ban));
        bans.find(|(_, ban)| ban.fact.is_in_force(now) && ban.matches(suspect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_means_people_by_host_by_address_and_by_network() {
        let fact = BanFact { until: None, set: Timestamp(1), by: String::new(), reason: String::new() };
        let suspect = Suspect {
            username: Some("eve"),
            hosts: &["eve.example", "q7.example"],
            address: "::ffff:10.1.2.3".parse().unwrap(),
            realname: Some("Eve of the Well"),
        };
        for (kind, mask, is_meant) in [
            (BanKind::UserHost, "*@eve.example", true),
            (BanKind::UserHost, "EV?@*.example", true),
            (BanKind::UserHost, "bob@eve.example", false),
            (BanKind::UserHost, "*@q?.example", true),
            (BanKind::UserHost, "*@10.1.2.*", true),
            (BanKind::UserHost, "eve@10.1.0.0/16", true),
            (BanKind::UserHost, "bob@10.1.0.0/16", false),
            (BanKind::UserHost, "eve@10.2.0.0/16", false),
            (BanKind::Address, "10.1.2.3", true),
            (BanKind::Address, "10.1.2.4", false),
            (BanKind::Address, "10.0.0.0/8", true),
            (BanKind::Realname, "*of\\sthe\\swell", true),
            (BanKind::Realname, "of\\sthe\\swell", false),
        ] {
            let ban = Ban::new(kind, mask, fact.clone());
            assert_eq!(ban.matches(&suspect), is_meant, "{} {mask}", kind.letter());
        }
        // Who has not said who they are yet is known by the address alone.
        let stranger = Suspect { username: None, realname: None, ..suspect };
        assert!(!Ban::new(BanKind::UserHost, "*@10.1.2.*", fact.clone()).matches(&stranger));
        assert!(Ban::new(BanKind::Address, "10.1.2.3", fact).matches(&stranger));
    }
}
