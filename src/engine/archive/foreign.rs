//! Accounts and channels that another program kept, as facts of this server.
//!
//! Their ids are made of when they were registered, so that the same file makes the same accounts whenever it is imported.

use std::collections::{BTreeMap, BTreeSet};

use super::{Import, Item};
use crate::engine::merge::{Facts, Stamp};
use crate::engine::mode;
use crate::engine::network::{
    AccountFact, AccountId, Accounts, Change, Clause, ClauseFact, Credential, Edit, Field, Item as Set, Key,
    MaskFact, Setting, Subject, Suspension, Topic, Value, is_given_name,
};
use crate::engine::peer;
use crate::engine::services::is_reserved;
use crate::wire::fold::{Folded, fold};
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, MetadataKey, Nick};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

/// An account elsewhere.
#[derive(Clone, Debug)]
pub struct ForeignAccount {
    pub name: String,
    pub registered: Timestamp,
    /// What its password is checked against, where that can be done here.
    pub credential: Option<Credential>,
    pub email: Option<String>,
    pub nicks: Vec<String>,
    pub certificates: Vec<Pin>,
    /// Why nobody may log in, and until when.
    pub suspension: Option<(String, Option<Timestamp>)>,
}

/// A channel that was registered elsewhere.
#[derive(Clone, Debug)]
pub struct ForeignChannel {
    pub name: String,
    pub registered: Timestamp,
    /// By the account's name.
    pub founder: String,
    /// What accounts are there, by name and the letter of a status.
    pub access: Vec<(String, char)>,
    /// Of modes without a value.
    pub modes: String,
    pub key: Option<String>,
    pub limit: Option<u64>,
    /// The text, who set it and when.
    pub topic: Option<(String, String, Timestamp)>,
    /// Entries of lists, by their letters: the mask, who set it and when.
    pub masks: Vec<(char, String, String, Timestamp)>,
    pub metadata: BTreeMap<String, String>,
}

/// Modes that mean the same wherever channels are kept.
const MODES: &str = "imnst";

impl Import {
    /// Takes an account; answers with what of it could not be had here. The error is why none of it can.
    pub fn take_account(&mut self, account: &ForeignAccount) -> Result<Vec<String>, String> {
        let name = &account.name;
        if Nick::from_peer(name).is_none() || is_given_name(name) || is_reserved(name) {
            return Err(format!("nobody can be called \"{name}\" here"));
        }
        let claimed = self.claim(account.registered, |facts, made| {
            let of = AccountId::new(made);
            match facts.get(&Key::Account(of, Field::Name)).map(|fact| &fact.value) {
                Some(Value::Account(AccountFact::Name { name: known, .. })) => fold(known) == fold(name),
                _ => true,
            }
        });
        let id = AccountId::new(claimed);
        if self.foreign.accounts(self.durable.facts()).named(name).is_some_and(|known| known.id != id)
            || self.foreign.names.contains_key(&fold(name))
        {
            return Err(format!("there is an account {name} already, which stays as it is"));
        }
        let is_anothers = |accounts: &Accounts, nick: &str| {
            accounts.owner_of(&fold(nick)).is_some_and(|owner| owner.id != id)
        };
        if is_anothers(self.foreign.accounts(self.durable.facts()), name) {
            return Err(format!("{name} is a nick of somebody here, who keeps it"));
        }
        self.foreign.names.insert(fold(name), id);
        let mut left_out = Vec::new();
        let mut facts = vec![(Field::Name, AccountFact::Name { name: name.clone(), claimed })];
        facts.extend(account.credential.clone().map(|it| (Field::Password, AccountFact::Password(it))));
        facts.extend(account.email.clone().map(|email| (Field::Email, AccountFact::Email(email))));
        let nicks = account
            .nicks
            .iter()
            .filter_map(|nick| Nick::from_peer(nick))
            .filter(|nick| fold(nick.as_str()) != fold(name));
        for nick in nicks {
            match is_anothers(self.foreign.accounts(self.durable.facts()), nick.as_str()) {
                true => left_out.push(format!("{name}: {nick} is a nick of somebody here, who keeps it")),
                false => {
                    let fact = AccountFact::Nick { nick: nick.to_string(), claimed };
                    facts.push((Field::Nick(nick.folded()), fact));
                }
            }
        }
        facts.extend(
            account.certificates.iter().map(|pin| {
                (Field::Certificate(*pin), AccountFact::Certificate { added: account.registered })
            }),
        );
        facts.extend(account.suspension.clone().map(|(reason, until)| {
            let suspension = Suspension { until, set: self.now, by: String::new(), reason };
            (Field::Suspension, AccountFact::Suspension(suspension))
        }));
        facts.push((Field::Registered, AccountFact::Registered(account.registered)));
        for (field, fact) in facts {
            self.write(claimed, Edit::Account { account: id, field, fact: Some(fact), by: String::new() })?;
        }
        Ok(left_out)
    }

    /// Takes a channel, after all accounts; answers with what of it could not be had here.
    pub fn take_channel(&mut self, channel: &ForeignChannel) -> Result<Vec<String>, String> {
        let of = &channel.name;
        let name =
            ChannelName::from_peer(of).ok_or_else(|| format!("no channel can be called \"{of}\" here"))?;
        let id = name.folded();
        let founder = self.account_named(&channel.founder);
        let founder =
            founder.ok_or_else(|| format!("{of} is nobody's: there is no account {}", channel.founder))?;
        let claimed = self.claim(channel.registered, |_, _| true);
        let of_any = |claimed, clause| Key::Registration(id.clone(), claimed, clause);
        let (first, last) = (of_any(Stamp::LOWEST, Clause::Founded), of_any(Stamp::HIGHEST, Clause::Lock));
        let is_another = |key: &Key| !matches!(key, Key::Registration(_, made, _) if *made == claimed);
        let has_another = self.durable.facts().range(&first, &last).any(|(key, _)| is_another(key));
        if has_another || !self.foreign.channels.insert(id.clone()) {
            return Err(format!("{of} is registered already, and stays as it is"));
        }
        let mut left_out = Vec::new();
        let clause = |clause, fact| Edit::Registration {
            channel: id.clone(),
            claimed,
            clause,
            fact: Some(fact),
            by: String::new(),
        };
        let founded = ClauseFact::Founded { name, birth: claimed, founder, at: channel.registered };
        let mut edits = vec![clause(Clause::Founded, founded)];
        for (account, status) in &channel.access {
            match (self.account_named(account), access_of(*status)) {
                (Some(account), Some(_)) if account == founder => {}
                (Some(account), Some(letters)) => {
                    edits.push(clause(Clause::Access(account), ClauseFact::Access(letters)));
                }
                (None, _) => left_out.push(format!("{of}: there is no account {account} to have access")),
                (_, None) => left_out.push(format!("{of}: there is no access \"{status}\" for {account}")),
            }
        }
        let setting = |item, value| Edit::Setting {
            channel: id.clone(),
            birth: claimed,
            item,
            value: Some(value),
            by: String::new(),
        };
        for letter in channel.modes.chars() {
            let is_known = MODES.contains(letter)
                && mode::channel_mode(letter).is_some_and(|mode| mode.kind == mode::Kind::Flag);
            match is_known {
                true => edits.push(setting(Set::Mode(letter), Setting::On)),
                false => left_out.push(format!("{of}: mode {letter} means something else here, or nothing")),
            }
        }
        edits.extend(channel.key.clone().map(|key| setting(Set::Mode('k'), Setting::Value(key))));
        edits.extend(channel.limit.map(|limit| setting(Set::Mode('l'), Setting::Value(limit.to_string()))));
        edits.extend(
            channel
                .topic
                .clone()
                .map(|(text, by, at)| setting(Set::Topic, Setting::Topic(Topic { text, by, at }))),
        );
        edits.extend(channel.masks.iter().cloned().map(|(list, mask, by, at)| {
            let fact = Some(MaskFact { by, at, until: None });
            Edit::Mask { channel: id.clone(), birth: claimed, list, mask, fact, by: String::new() }
        }));
        for (key, value) in &channel.metadata {
            match MetadataKey::parse(key) {
                Some(key) => {
                    let (of, value) = (Subject::Channel(id.clone(), claimed), Some(value.clone()));
                    edits.push(Edit::Metadata { of, key, value, by: String::new() });
                }
                None => left_out.push(format!("{of}: \"{key}\" is no key of metadata")),
            }
        }
        for edit in edits {
            let edit = edit.clone().lasting().unwrap_or(edit);
            if let Err(why) = self.write(claimed, edit) {
                left_out.push(format!("{of}: {why}"));
            }
        }
        Ok(left_out)
    }

    fn account_named(&mut self, name: &str) -> Option<AccountId> {
        let made = self.foreign.names.get(&fold(name)).copied();
        made.or_else(|| self.foreign.accounts(self.durable.facts()).named(name).map(|account| account.id))
    }

    /// A stamp of that time that nothing else of this import has, and that fits what is here.
    fn claim(&mut self, at: Timestamp, fits: impl Fn(&Facts<Key, Value>, Stamp) -> bool) -> Stamp {
        let server = self.own.server;
        let mut stamp = Stamp { ms: at.0.min(self.now.0), count: 0, server };
        while self.foreign.claims.contains(&stamp) || !fits(self.durable.facts(), stamp) {
            stamp = Stamp::from_number(stamp.number() + 1, server);
        }
        self.foreign.claims.insert(stamp);
        stamp
    }

    /// Has a fact written like one of an export.
    fn write(&mut self, stamp: Stamp, edit: Edit) -> Result<(), String> {
        let change = Change { dot: self.next_dot(), stamp, over: Vec::new(), after: 0, more: false, edit };
        let item = Item::of_line(&peer::write_change(&change)).ok_or("it cannot be said here")?;
        // Nobody has written it before.
        self.take(Item { id: None, ..item }).map(|_| ())
    }
}

/// What the statuses of others are called here; an owner beside the founder is an administrator.
fn access_of(status: char) -> Option<Letters> {
    Letters::parse(match status {
        'q' | 'a' => "ao",
        'o' => "o",
        'h' => "h",
        'v' => "v",
        _ => return None,
    })
}

/// What an import has of another program so far.
#[derive(Default)]
pub(super) struct Foreign {
    /// Those that were there before.
    known: Option<Accounts>,
    names: BTreeMap<Folded, AccountId>,
    channels: BTreeSet<Folded>,
    claims: BTreeSet<Stamp>,
}

impl Foreign {
    fn accounts(&mut self, facts: &Facts<Key, Value>) -> &Accounts {
        self.known.get_or_insert_with(|| Accounts::of(facts))
    }
}
