//! Accounts: what all servers know of somebody who comes again, and how everyone sees it.
//!
//! An account is the facts under its id. It is there for as long as one of them says when it was made, which is said
//! once: so whoever drops it drops it for good, whatever somebody out of reach writes of it meanwhile. Its name is a
//! claim, as a nick is: of two accounts that were given one name in a split the earlier one has it, and the other is
//! shown by its name and the server that gave it, and is the same account as before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::block::Blocked;
use super::change::{Key, Value};
use super::metadata::Metadata;
use crate::engine::merge::{Facts, Stamp};
use crate::wire::fold::{Folded, fold};
use crate::wire::names::{MetadataKey, Nick, ServerId};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

/// One account, on every server and for good; the stamp that it was made with, so nobody had to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Stamp);

impl AccountId {
    pub fn new(made: Stamp) -> AccountId {
        AccountId(made)
    }

    pub fn parse(text: &str) -> Option<AccountId> {
        Stamp::parse(text).map(AccountId)
    }
}

/// `2s1k0ftdg0.7FA`
impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing that is said of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// When it was made; without this there is no account.
    Registered,
    Name,
    Password,
    /// A certificate that logs in.
    Certificate(Pin),
    /// A password of one device's own, by the device's name.
    Device(Folded),
    Email,
    Suspension,
    /// A nick beside the account's name that is its own.
    Nick(Folded),
    /// What its owner says of themselves for programs to read.
    Metadata(MetadataKey),
    /// Somebody whom its owner does not want to hear from.
    Block(Blocked),
    /// What its owner has chosen, by the name of what is chosen.
    Setting(String),
}

/// As the wire and the log call it: `device/phone`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Registered => f.write_str("registered"),
            Field::Name => f.write_str("name"),
            Field::Password => f.write_str("password"),
            Field::Certificate(pin) => write!(f, "certificate/{pin}"),
            Field::Device(name) => write!(f, "device/{name}"),
            Field::Email => f.write_str("email"),
            Field::Suspension => f.write_str("suspension"),
            Field::Nick(nick) => write!(f, "nick/{nick}"),
            Field::Metadata(key) => write!(f, "metadata/{key}"),
            Field::Block(blocked) => write!(f, "block/{blocked}"),
            Field::Setting(key) => write!(f, "setting/{key}"),
        }
    }
}

/// What that says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountFact {
    Registered(Timestamp),
    /// The oldest claim has the name.
    Name {
        name: String,
        claimed: Stamp,
    },
    Password(Credential),
    Certificate {
        added: Timestamp,
    },
    Device(Device),
    Email(String),
    Suspension(Suspension),
    Nick {
        nick: String,
        claimed: Stamp,
    },
    Metadata(String),
    Block {
        added: Timestamp,
    },
    Setting(String),
}

/// What a password is checked against; never the password, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// In PHC form.
    pub hash: String,
    pub scram: ScramKeys,
}

/// What SCRAM-SHA-256 needs in place of the password (RFC 5802).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored: [u8; 32],
    pub server: [u8; 32],
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(…)")
    }
}

/// A device with a password of its own, which the server made: long enough for a plain digest to keep it.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub digest: [u8; 32],
    pub added: Timestamp,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({} …)", self.name)
    }
}

/// Why nobody may log in, since when and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// `None` until somebody lifts it.
    pub until: Option<Timestamp>,
    pub set: Timestamp,
    /// `nick!user@host`.
    pub by: String,
    pub reason: String,
}

impl Suspension {
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// An account as everyone sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// What it is called: the name that it claims, unless an older claim stands.
    pub name: String,
    /// The name that it claims.
    pub chosen: String,
    pub claimed: Stamp,
    pub registered: Timestamp,
    pub password: Option<Credential>,
    pub certificates: BTreeMap<Pin, Timestamp>,
    pub devices: BTreeMap<Folded, Device>,
    pub email: Option<String>,
    /// Whether or not it is over: nobody counts as logged in before it is lifted.
    pub suspension: Option<Suspension>,
    /// Further nicks that are the account's own, each with its claim.
    pub nicks: BTreeMap<Folded, (String, Stamp)>,
    /// What its owner says of themselves for programs to read.
    pub profile: Metadata,
    /// Whom its owner does not want to hear from, since when.
    pub blocks: BTreeMap<Blocked, Timestamp>,
    pub settings: BTreeMap<String, String>,
}

impl Account {
    /// Whether it is shown by another name than its owner gave it.
    pub fn lost_its_name(&self) -> bool {
        self.name != self.chosen
    }

    /// Every field of which something is said; that without which there is no account comes first.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::Registered, Field::Name];
        fields.extend(self.password.as_ref().map(|_| Field::Password));
        fields.extend(self.certificates.keys().map(|pin| Field::Certificate(*pin)));
        fields.extend(self.devices.keys().cloned().map(Field::Device));
        fields.extend(self.email.as_ref().map(|_| Field::Email));
        fields.extend(self.suspension.as_ref().map(|_| Field::Suspension));
        fields.extend(self.nicks.keys().cloned().map(Field::Nick));
        fields.extend(self.profile.keys().cloned().map(Field::Metadata));
        fields.extend(self.blocks.keys().cloned().map(Field::Block));
        fields.extend(self.settings.keys().cloned().map(Field::Setting));
        fields
    }

    /// What the facts make of it; `None` where there is none any more, or not yet.
    fn of(id: AccountId, facts: &Facts<Key, Value>) -> Option<Account> {
        let shown = |field: Field| match &facts.get(&Key::Account(id, field))?.value {
            Value::Account(fact) => Some(fact.clone()),
            _ => None,
        };
        let Some(AccountFact::Registered(registered)) = shown(Field::Registered) else { return None };
        let Some(AccountFact::Name { name, claimed }) = shown(Field::Name) else { return None };
        // No server in order gives such a name, and it could pass for one that another account was given.
        if is_given_name(&name) || Nick::from_peer(&name).is_none() {
            return None;
        }
        let mut account = Account {
            id,
            chosen: name.clone(),
            name,
            claimed,
            registered,
            password: None,
            certificates: BTreeMap::new(),
            devices: BTreeMap::new(),
            email: None,
            suspension: None,
            nicks: BTreeMap::new(),
            profile: Metadata::new(),
            blocks: BTreeMap::new(),
            settings: BTreeMap::new(),
        };
        for (key, fact) in facts.range(&Key::Account(id, Field::Registered), &Key::Account(id, last_field()))
        {
            if let (Key::Account(_, field), Value::Account(fact)) = (key, &fact.value) {
                account.take(field, fact);
            }
        }
        Some(account)
    }

    fn take(&mut self, field: &Field, fact: &AccountFact) {
        match (field, fact.clone()) {
            (_, AccountFact::Registered(_) | AccountFact::Name { .. }) => {}
            (_, AccountFact::Password(credential)) => self.password = Some(credential),
            (_, AccountFact::Email(address)) => self.email = Some(address),
            (_, AccountFact::Suspension(suspension)) => self.suspension = Some(suspension),
            (Field::Certificate(pin), AccountFact::Certificate { added }) => {
                self.certificates.insert(*pin, added);
            }
            (Field::Device(name), AccountFact::Device(device)) => {
                self.devices.insert(name.clone(), device);
            }
            (Field::Nick(folded), AccountFact::Nick { nick, claimed }) => {
                self.nicks.insert(folded.clone(), (nick, claimed));
            }
            (Field::Metadata(key), AccountFact::Metadata(value)) => {
                self.profile.insert(key.clone(), value);
            }
            (Field::Block(blocked), AccountFact::Block { added }) => {
                self.blocks.insert(blocked.clone(), added);
            }
            (Field::Setting(key), AccountFact::Setting(value)) => {
                self.settings.insert(key.clone(), value);
            }
            _ => {}
        }
    }
}

/// Not below any field there is: the names of settings are ASCII.
fn last_field() -> Field {
    Field::Setting(char::MAX.to_string())
}

/// Every account, and whose which name is.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    by_id: BTreeMap<AccountId, Account>,
    /// By the names that are shown.
    by_name: BTreeMap<Folded, AccountId>,
    /// Who wants which name; the oldest claim has it.
    claims: BTreeMap<Folded, BTreeSet<AccountId>>,
    certificates: BTreeMap<Pin, BTreeSet<AccountId>>,
    /// Who wants which nick beside their name.
    nicks: BTreeMap<Folded, BTreeSet<AccountId>>,
}

/// What a change of accounts may have changed besides.
#[derive(Debug, Default)]
pub(super) struct Ripples {
    /// Accounts that are shown otherwise, or not any more, or now.
    pub accounts: BTreeSet<AccountId>,
    /// Nicks that may be somebody else's.
    pub nicks: BTreeSet<Folded>,
}

impl Accounts {
    pub fn of(facts: &Facts<Key, Value>) -> Accounts {
        let ids = facts.iter().filter_map(|(key, _)| match key {
            Key::Account(id, _) => Some(*id),
            _ => None,
        });
        let ids: BTreeSet<AccountId> = ids.collect();
        let mut accounts = Accounts::default();
        accounts.refresh(&ids, facts);
        accounts
    }

    /// Computes anew what the facts make of these accounts, and of those who share a name with them.
    pub(super) fn refresh(&mut self, touched: &BTreeSet<AccountId>, facts: &Facts<Key, Value>) -> Ripples {
        let (mut ripples, mut names) = (Ripples::default(), BTreeSet::new());
        for &id in touched {
            let before = self.by_id.remove(&id);
            let now = Account::of(id, facts);
            for account in [&before, &now].into_iter().flatten() {
                names.insert(fold(&account.chosen));
                // Also the name that it is, or was, shown by in place of its own.
                ripples.nicks.insert(fold(&account.name));
                ripples.nicks.extend(account.nicks.keys().cloned());
            }
            if let Some(account) = &before {
                self.forget(account);
            }
            if let Some(mut account) = now {
                self.claims.entry(fold(&account.chosen)).or_default().insert(id);
                for pin in account.certificates.keys() {
                    self.certificates.entry(*pin).or_default().insert(id);
                }
                for nick in account.nicks.keys() {
                    self.nicks.entry(nick.clone()).or_default().insert(id);
                }
                // Shown as before, until it is seen below who has the name now.
                if let Some(before) = before.filter(|before| before.chosen == account.chosen) {
                    account.name = before.name;
                    self.by_name.insert(fold(&account.name), id);
                }
                self.by_id.insert(id, account);
            }
            ripples.accounts.insert(id);
        }
        for name in names {
            self.refresh_name(&name, &mut ripples);
            ripples.nicks.insert(name);
        }
        ripples
    }

    fn forget(&mut self, account: &Account) {
        let id = account.id;
        if self.by_name.get(&fold(&account.name)) == Some(&id) {
            self.by_name.remove(&fold(&account.name));
        }
        remove(&mut self.claims, &fold(&account.chosen), id);
        account.certificates.keys().for_each(|pin| remove(&mut self.certificates, pin, id));
        account.nicks.keys().for_each(|nick| remove(&mut self.nicks, nick, id));
    }

    /// The oldest claim has the name; all others are shown by where they were given it, too.
    fn refresh_name(&mut self, name: &Folded, ripples: &mut Ripples) {
        let mut claims: Vec<(Stamp, AccountId)> = self
            .claims
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|id| Some((self.by_id.get(id)?.claimed, *id)))
            .collect();
        claims.sort();
        for (_, id) in &claims {
            let shown = fold(&self.by_id[id].name);
            if self.by_name.get(&shown) == Some(id) {
                self.by_name.remove(&shown);
            }
        }
        for (place, (claimed, id)) in claims.into_iter().enumerate() {
            let Some(account) = self.by_id.get(&id) else { continue };
            let chosen = &account.chosen;
            let by_server = format!("{chosen}-{}", claimed.server);
            let shown = match place {
                0 => chosen.clone(),
                // A server gives no name twice, unless its disk was put back from a copy.
                _ if self.by_name.contains_key(&fold(&by_server)) => format!("{chosen}-{id}"),
                _ => by_server,
            };
            self.by_name.insert(fold(&shown), id);
            if let Some(account) = self.by_id.get_mut(&id).filter(|account| account.name != shown) {
                ripples.nicks.extend([fold(&account.name), fold(&shown)]);
                account.name = shown;
                ripples.accounts.insert(id);
            }
        }
    }

    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.by_id.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.by_id.values()
    }

    /// The account that is called this.
    pub fn named(&self, name: &str) -> Option<&Account> {
        self.by_id.get(self.by_name.get(&fold(name))?)
    }

    /// What those are called who had this name in a split and have lost it since.
    pub fn that_lost(&self, name: &str) -> Vec<String> {
        let claims = self.claims.get(&fold(name)).into_iter().flatten();
        let accounts = claims.filter_map(|id| self.by_id.get(id)).filter(|account| account.lost_its_name());
        accounts.map(|account| account.name.clone()).collect()
    }

    /// The accounts that a certificate logs in to, the oldest first.
    pub fn certified(&self, pin: &Pin) -> impl Iterator<Item = &Account> {
        self.certificates.get(pin).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// Whose a nick is: by name, or as one of their further nicks, whichever was claimed first.
    pub fn owner_of(&self, nick: &Folded) -> Option<&Account> {
        let by_name = self.by_name.get(nick).and_then(|id| self.by_id.get(id));
        let by_name = by_name.map(|account| (account.claimed, account));
        let by_nick = self.nicks.get(nick).into_iter().flatten().filter_map(|id| self.by_id.get(id));
        let by_nick = by_nick.filter_map(|account| Some((account.nicks.get(nick)?.1, account)));
        by_name.into_iter().chain(by_nick).min_by_key(|(claimed, _)| *claimed).map(|(_, account)| account)
    }
}

fn remove<K: Ord>(map: &mut BTreeMap<K, BTreeSet<AccountId>>, key: &K, id: AccountId) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}

/// Whether a name could pass for one that a server gave to an account that lost its own: `bob-7FA`.
pub fn is_given_name(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, sid)| ServerId::parse(&sid.to_ascii_uppercase()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::merge::{Dot, Early, Fact, Origin, Stream, Vector};

    fn claim(ms: u64) -> Stamp {
        Stamp { ms, count: 0, server: ServerId::LOWEST }
    }

    /// What is said of accounts that were all registered by one name, each at a moment of its own.
    fn facts(name: &str, claims: &[u64]) -> Facts<Key, Value> {
        let said = claims.iter().flat_map(|ms| {
            let claimed = claim(*ms);
            let name = AccountFact::Name { name: name.to_string(), claimed };
            [
                (Field::Registered, AccountFact::Registered(Timestamp(*ms)), 2 * ms),
                (Field::Name, name, 2 * ms + 1),
            ]
            .map(|(field, fact, seq)| {
                let origin = Origin { server: ServerId::LOWEST, epoch: 1 };
                let dot = Dot { origin, stream: Stream::Durable, seq };
                let key = Key::Account(AccountId::new(claimed), field);
                (key, Fact { dot, stamp: claimed, value: Value::Account(fact) })
            })
        });
        Facts::restored(Vector::default(), said, Early::default())
    }

    #[test]
    fn whoever_comes_to_be_shown_by_another_name_is_looked_at_under_both() {
        let nicks = |names: &[String]| names.iter().map(|name| fold(name)).collect::<BTreeSet<Folded>>();
        let given = format!("pat-{}", ServerId::LOWEST);
        let both = nicks(&["pat".to_string(), given.clone()]);
        let (early, late) = (AccountId::new(claim(1)), AccountId::new(claim(2)));
        let mut accounts = Accounts::of(&facts("pat", &[2]));
        assert_eq!(accounts.get(late).expect("it is there").name, "pat");

        // Somebody turns out to have been first.
        let ripples = accounts.refresh(&BTreeSet::from([early]), &facts("pat", &[1, 2]));
        assert_eq!(
            (accounts.get(late).expect("it is there").name.as_str(), ripples.nicks),
            (&*given, both.clone())
        );
        assert_eq!(accounts.that_lost("pat"), vec![given.clone()]);

        // They go, and the name is free for the other.
        let ripples = accounts.refresh(&BTreeSet::from([early]), &facts("pat", &[2]));
        assert_eq!((accounts.get(late).expect("it is there").name.as_str(), ripples.nicks), ("pat", both));
        assert!(accounts.that_lost("pat").is_empty());

        // One that is shown by a given name goes with it.
        let mut accounts = Accounts::of(&facts("pat", &[1, 2]));
        let ripples = accounts.refresh(&BTreeSet::from([late]), &facts("pat", &[1]));
        assert!(ripples.nicks.contains(&fold(&given)), "{:?}", ripples.nicks);
    }
}
