//! What Ergo keeps: its database, and the file that it imports from Anope and Atheme.
//!
//! The database is a log of commands in the form in which Redis speaks: what was set last under a key counts. Accounts are
//! there in parts, each under a key of its own, channels as JSON. The other file is JSON as a whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::identity::random;
use super::verify;
use crate::engine::{Credential, ForeignAccount, ForeignChannel, SCRAM_ITERATIONS, ScramKeys};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub accounts: Vec<ForeignAccount>,
    pub channels: Vec<ForeignChannel>,
    /// What of it makes no sense, or cannot be had.
    pub left_out: Vec<String>,
}

/// Reads either file; `None` where it is neither.
pub fn read(bytes: &[u8]) -> Option<Result<Found, String>> {
    match bytes.first()? {
        b'*' => Some(read_log(bytes).map(|keys| of_keys(&keys))),
        b'{' => {
            let value: Value = serde_json::from_slice(bytes).ok()?;
            value.get("users")?;
            Some(of_import(value))
        }
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
struct ImportFile {
    version: u32,
    users: BTreeMap<String, User>,
    #[serde(default)]
    channels: BTreeMap<String, Channel>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct User {
    name: String,
    hash: String,
    email: String,
    registered_at: u64,
    #[serde(alias = "additionalnicks")]
    additional_nicks: Vec<String>,
    certfps: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Channel {
    name: String,
    founder: String,
    registered_at: u64,
    topic: String,
    topic_set_by: String,
    topic_set_at: u64,
    amode: BTreeMap<String, String>,
    modes: String,
    key: String,
    limit: u64,
}

fn of_import(value: Value) -> Result<Found, String> {
    let file: ImportFile =
        serde_json::from_value(value).map_err(|why| format!("it is no file for Ergo to import: {why}"))?;
    if file.version != 1 {
        return Err(format!(
            "it is of version {}, and this version of Folkmoot reads version 1",
            file.version
        ));
    }
    let mut found = Found::default();
    for (key, user) in file.users {
        let name = if user.name.is_empty() { key } else { user.name };
        let credential = found.credential(&name, &user.hash, None);
        found.accounts.push(ForeignAccount {
            registered: time_of(user.registered_at),
            credential,
            email: an_address(&user.email),
            nicks: user.additional_nicks,
            certificates: pins(&user.certfps),
            suspension: None,
            name,
        });
    }
    for (key, channel) in file.channels {
        let registered = time_of(channel.registered_at);
        let access = channel.amode.into_iter().filter_map(|(name, mode)| Some((name, mode.chars().next()?)));
        let set_at = if channel.topic_set_at == 0 { registered } else { time_of(channel.topic_set_at) };
        found.channels.push(ForeignChannel {
            name: if channel.name.is_empty() { key } else { channel.name },
            registered,
            founder: channel.founder,
            access: access.collect(),
            modes: channel.modes,
            key: Some(channel.key).filter(|key| !key.is_empty()),
            limit: Some(channel.limit).filter(|limit| *limit > 0),
            topic: topic(channel.topic, channel.topic_set_by, set_at),
            masks: Vec::new(),
            metadata: BTreeMap::new(),
        });
    }
    Ok(found)
}

/// Ergo counts nanoseconds; some of what makes files for it, and older versions, count seconds.
fn time_of(number: u64) -> Timestamp {
    Timestamp(if number < 1 << 40 { number * 1_000 } else { number / 1_000_000 })
}

fn topic(text: String, by: String, at: Timestamp) -> Option<(String, String, Timestamp)> {
    (!text.is_empty()).then_some((text, by, at))
}

fn an_address(text: &str) -> Option<String> {
    Some(text.strip_prefix("mailto:").unwrap_or(text).to_string()).filter(|text| text.contains('@'))
}

/// Those that are digests by SHA-256; older ones are by which no certificate is known here.
fn pins(digests: &[String]) -> Vec<Pin> {
    digests.iter().filter_map(|digest| Pin::parse(&format!("sha256:{digest}"))).collect()
}

impl Found {
    /// What a password is checked against from now on: what it was until now, if that can be told here.
    fn credential(&mut self, name: &str, hash: &str, scram: Option<ScramKeys>) -> Option<Credential> {
        // As Anope writes it.
        let hash = hash.strip_prefix("bcrypt:").unwrap_or(hash);
        if !verify::is_known(hash) {
            let why =
                if hash.is_empty() { "it has none" } else { "it is kept in a way that is not known here" };
            self.left_out.push(format!("{name}: nobody can log in by password: {why}"));
            return None;
        }
        // Keys that nobody has: whoever uses SCRAM logs in once without it, and then there are others.
        let nobodys = || ScramKeys {
            salt: random::<16>().to_vec(),
            iterations: SCRAM_ITERATIONS,
            stored: random(),
            server: random(),
        };
        Some(Credential { hash: hash.to_string(), scram: scram.unwrap_or_else(nobodys) })
    }
}

/// What counts of a database, by its keys.
fn read_log(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let (mut keys, mut rest) = (BTreeMap::new(), bytes);
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let words =
            command(&mut rest).ok_or_else(|| format!("it is no database of Ergo from byte {at} on"))?;
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["set", key, value, ..] => drop(keys.insert(key.to_string(), value.to_string())),
            ["del", key] => drop(keys.remove(key)),
            ["flushdb"] => keys.clear(),
            _ => return Err(format!("it says what this version does not know at byte {at}")),
        }
    }
    Ok(keys)
}

/// The next command: how many words there are, and of each how long it is.
fn command(rest: &mut &[u8]) -> Option<Vec<String>> {
    let count = number(rest, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(rest, b'$')?;
        let (word, after) = rest.split_at_checked(length)?;
        *rest = after.strip_prefix(b"\r\n")?;
        words.push(String::from_utf8_lossy(word).into_owned());
    }
    Some(words)
}

fn number(rest: &mut &[u8], sign: u8) -> Option<usize> {
    let line = rest.strip_prefix(&[sign])?;
    let end = line.iter().position(|byte| *byte == b'\r')?;
    *rest = line[end..].strip_prefix(b"\r\n")?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Credentials {
    passphrase_hash: Option<String>,
    certfps: Option<Vec<String>>,
    salt: Option<String>,
    iters: u32,
    stored_key: Option<String>,
    server_key: Option<String>,
}

impl Credentials {
    fn scram(&self) -> Option<ScramKeys> {
        let bytes = |text: &Option<String>| BASE64.decode(text.as_ref()?).ok();
        Some(ScramKeys {
            salt: bytes(&self.salt).filter(|salt| salt.len() >= 8)?,
            iterations: Some(self.iters).filter(|rounds| *rounds >= 4_096)?,
            stored: bytes(&self.stored_key)?.try_into().ok()?,
            server: bytes(&self.server_key)?.try_into().ok()?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Suspended {
    time_created: String,
    /// In nanoseconds; none is for good.
    duration: u64,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Registered {
    name: String,
    registered_at: String,
    founder: String,
    topic: String,
    topic_set_by: String,
    topic_set_time: String,
    modes: Option<Vec<u32>>,
    key: String,
    user_limit: u64,
    account_to_u_mode: Option<BTreeMap<String, u32>>,
    bans: Option<BTreeMap<String, Mask>>,
    excepts: Option<BTreeMap<String, Mask>>,
    invites: Option<BTreeMap<String, Mask>>,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mask {
    time_created: String,
    creator_nickmask: String,
}

/// Channels have had this before their ids since they are kept as JSON.
const CHANNELS: &str = "1 ";

fn of_keys(keys: &BTreeMap<String, String>) -> Found {
    let mut found = Found::default();
    let starting = |prefix: &'static str| {
        let from = keys.range(prefix.to_string()..);
        from.map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    };
    for (account, _) in starting("account.exists ") {
        let part = |name: &str| keys.get(&format!("account.{name} {account}")).map(String::as_str);
        let name = part("name").unwrap_or(account).to_string();
        if part("verified").is_none() {
            found.left_out.push(format!("{name}: was never verified"));
            continue;
        }
        let credentials: Credentials = read_or_default(part("credentials"));
        let hash = credentials.passphrase_hash.as_ref().and_then(|hash| BASE64.decode(hash).ok());
        let hash = hash.and_then(|hash| String::from_utf8(hash).ok()).unwrap_or_default();
        let hash = if hash.is_empty() { hash } else { format!("{}{hash}", verify::ERGO) };
        let credential = found.credential(&name, &hash, credentials.scram());
        let settings: BTreeMap<String, Value> = read_or_default(part("settings"));
        let email = settings.get("Email").and_then(Value::as_str).or(part("callback"));
        let suspension = part("suspended").map(|text| {
            let of: Suspended = read_or_default(Some(text));
            let begun = Timestamp::parse(&of.time_created).filter(|_| of.duration > 0);
            (of.reason, begun.map(|begun| Timestamp(begun.0 + of.duration / 1_000_000)))
        });
        // Older versions had commas between them.
        let nicks = part("additionalnicks").unwrap_or_default();
        let nicks: Vec<String> = serde_json::from_str(nicks).unwrap_or_else(|_| {
            nicks.split(',').filter(|nick| !nick.is_empty()).map(str::to_string).collect()
        });
        found.accounts.push(ForeignAccount {
            registered: time_of(part("registered.time").and_then(|time| time.parse().ok()).unwrap_or(0)),
            credential,
            email: email.and_then(an_address),
            nicks,
            certificates: pins(&credentials.certfps.unwrap_or_default()),
            suspension,
            name,
        });
    }
    for (id, value) in starting(CHANNELS) {
        match serde_json::from_str::<Registered>(value) {
            Ok(channel) if !channel.founder.is_empty() => found.channels.push(of_registered(channel)),
            Ok(channel) => found.left_out.push(format!("{}: nobody's", channel.name)),
            Err(why) => found.left_out.push(format!("the channel {id} cannot be read: {why}")),
        }
    }
    if starting("channel.exists ").next().is_some() {
        let text = "channels are as Ergo kept them before version 2.11: start that or a later version on a copy once";
        found.left_out.push(text.to_string());
    }
    found
}

fn read_or_default<T: Default + for<'t> Deserialize<'t>>(text: Option<&str>) -> T {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn of_registered(channel: Registered) -> ForeignChannel {
    let registered = Timestamp::parse(&channel.registered_at).unwrap_or_default();
    let at = |time: &str| Timestamp::parse(time).unwrap_or(registered);
    let letter = |number: &u32| char::from_u32(*number).filter(|letter| *letter != '\0');
    let lists = [('b', channel.bans), ('e', channel.excepts), ('I', channel.invites)];
    let masks = lists.into_iter().flat_map(|(list, masks)| {
        masks.unwrap_or_default().into_iter().map(move |(mask, of)| (list, mask, of))
    });
    let access = channel.account_to_u_mode.unwrap_or_default();
    ForeignChannel {
        registered,
        access: access.iter().filter_map(|(name, mode)| Some((name.clone(), letter(mode)?))).collect(),
        modes: channel
            .modes
            .unwrap_or_default()
            .iter()
            .filter_map(letter)
            .filter(|c| !"kl".contains(*c))
            .collect(),
        key: Some(channel.key).filter(|key| !key.is_empty()),
        limit: Some(channel.user_limit).filter(|limit| *limit > 0),
        topic: topic(channel.topic, channel.topic_set_by, at(&channel.topic_set_time)),
        masks: masks
            .map(|(list, mask, of)| (list, mask, of.creator_nickmask, at(&of.time_created)))
            .collect(),
        metadata: channel.metadata.unwrap_or_default(),
        name: channel.name,
        founder: channel.founder,
    }
}
