//! METADATA: what people say of themselves and of their channels for programs to read, and to which of it clients
//! subscribe.

use super::{Command, Who};
use crate::config::METADATA_KEY_BYTES_MAX;
use crate::engine::metadata::{ALL_IN_SIGHT, fault_in, in_older_words, seen_by};
use crate::engine::mode;
use crate::engine::network::{Edit, Metadata, Subject};
use crate::engine::sight;
use crate::engine::throttle::Deed;
use crate::engine::turn::{Outcome, Refusal, Turn};
use crate::wire::fold::Folded;
use crate::wire::message::fill;
use crate::wire::names::{ChannelName, MetadataKey, UserId, Word};
use crate::wire::numeric::{self, Words};
use crate::wire::standard::Standard;

pub const COMMANDS: &[Command] = &[Command {
    name: "METADATA",
    params_min: 0,
    who: Who::Anyone,
    run: metadata,
    usage: "<nick>|<channel>|* (GET <key> ...)|LIST|(SET <key> [:<value>])|CLEAR|SYNC | * (SUB <key> ...)|(UNSUB <key> ...)|SUBS",
    help: "Says something of you or of a channel that you run for programs to read, such as avatar, display-name, status or pronouns; shows what others say; and subscribes to keys, to be told of them.",
}];

/// How many keys stand on one line of an answer.
const KEYS_PER_LINE: usize = 12;

/// Whom or what it is about.
enum Target {
    /// The speaker, who may not be anybody yet.
    Oneself,
    User(UserId),
    Channel(Folded),
}

fn metadata(turn: &mut Turn, params: &[&str]) -> Outcome {
    if let Err(refusal) = obey(turn, params) {
        match refusal {
            Refusal::Standard(fault) => say_fault(turn, fault),
            other => return Err(other),
        }
    }
    Ok(())
}

/// A fault in the words of the draft that the client knows.
fn worded(turn: &Turn, fault: Standard) -> Standard {
    if turn.session().wants_older_metadata() { in_older_words(fault) } else { fault }
}

fn say_fault(turn: &mut Turn, fault: Standard) {
    let fault = worded(turn, fault);
    turn.fail(fault);
}

fn obey(turn: &mut Turn, params: &[&str]) -> Outcome {
    let [target, subcommand, rest @ ..] = params else {
        return Err(invalid_params(params.get(1).copied().unwrap_or_default(), "Not enough parameters"));
    };
    let verb = subcommand.to_ascii_uppercase();
    let enough = match verb.as_str() {
        "GET" | "SUB" | "UNSUB" => !rest.is_empty(),
        "SET" => (1..=2).contains(&rest.len()),
        "LIST" | "CLEAR" | "SUBS" | "SYNC" => rest.is_empty(),
        _ => {
            let why = format!("There is no METADATA {}", Word::echo(subcommand));
            return Err(invalid_params(subcommand, &why));
        }
    };
    if !enough {
        return Err(invalid_params(subcommand, "Too few parameters, or too many"));
    }
    if verb == "SYNC" && target.eq_ignore_ascii_case(ALL_IN_SIGHT) {
        return sync_all(turn, target);
    }
    let whom = find(turn, target)?;
    let is_oneself = matches!(whom, Target::Oneself);
    match verb.as_str() {
        "GET" => get(turn, target, &whom, rest),
        "LIST" => list(turn, target, &whom),
        "SET" => return set(turn, target, &whom, rest[0], rest.get(1).copied().unwrap_or_default()),
        "CLEAR" => return clear(turn, target, &whom),
        "SYNC" => return sync(turn, target, &whom),
        _ if !is_oneself => return Err(invalid_target(target)),
        "SUB" => return subscribe(turn, rest),
        "UNSUB" => unsubscribe(turn, rest),
        _ => list_subscriptions(turn),
    }
    Ok(())
}

fn invalid_params(subcommand: &str, why: &str) -> Refusal {
    // What could not stand between spaces stands for nothing.
    let is_word = !subcommand.starts_with(':') && !subcommand.contains(' ');
    let subcommand = Word::echo(if is_word { subcommand } else { "" });
    Standard::fail("METADATA", "INVALID_PARAMS", why).about(subcommand).into()
}

fn invalid_target(target: &str) -> Refusal {
    let fail = Standard::fail("METADATA", "INVALID_TARGET", "Invalid metadata target");
    fail.about(Word::echo(target)).into()
}

/// Who or what a target is, as far as the speaker may know of it.
fn find(turn: &Turn, target: &str) -> Result<Target, Refusal> {
    if target == "*" {
        return Ok(Target::Oneself);
    }
    if turn.session().user().is_none() {
        return Err(invalid_target(target));
    }
    if ChannelName::looks_like(target) {
        let channel = turn.channel(target).ok().filter(|channel| sight::sees_channel(turn, channel));
        let channel = channel.ok_or_else(|| invalid_target(target))?;
        return Ok(Target::Channel(channel.id()));
    }
    let user = turn.network().user_called(target).ok_or_else(|| invalid_target(target))?;
    Ok(if user.id == turn.me() { Target::Oneself } else { Target::User(user.id) })
}

fn read_key(text: &str) -> Result<MetadataKey, Standard> {
    let key = MetadataKey::parse(text).filter(|key| key.as_str().len() <= METADATA_KEY_BYTES_MAX);
    key.ok_or_else(|| Standard::fail("METADATA", "INVALID_KEY", "Invalid key").about(Word::echo(text)))
}

/// The same, where the others of several keys are looked at all the same.
fn warned(fault: Standard) -> Standard {
    Standard { kind: crate::wire::standard::Kind::Warn, ..fault }
}

/// All that the speaker may see of it.
fn visible(turn: &Turn, whom: &Target) -> Metadata {
    match whom {
        Target::Oneself => turn.own_metadata(),
        Target::User(user) => {
            let user = turn.network().user(*user);
            user.map(|user| turn.engine.visible_metadata(turn.me(), user)).unwrap_or_default()
        }
        Target::Channel(name) => {
            turn.network().channel(name).map(|channel| channel.metadata.clone()).unwrap_or_default()
        }
    }
}

/// How a target is called, and how a key of it is marked.
fn shown(turn: &Turn, target: &str, whom: &Target, key: &MetadataKey) -> (Word, Word) {
    let seen_by = if matches!(whom, Target::Channel(_)) { Word::echo("*") } else { seen_by(key) };
    (shown_target(turn, target, whom), seen_by)
}

fn shown_target(turn: &Turn, target: &str, whom: &Target) -> Word {
    match whom {
        Target::Oneself => Word::echo(target),
        Target::User(user) => {
            turn.network().user(*user).map_or(Word::echo(target), |user| (&user.nick).into())
        }
        Target::Channel(name) => {
            turn.network().channel(name).map_or(Word::echo(target), |channel| (&channel.name).into())
        }
    }
}

fn get(turn: &mut Turn, target: &str, whom: &Target, keys: &[&str]) {
    let known = visible(turn, whom);
    let (server, called) = (turn.server_name().to_string(), turn.called());
    let lines = keys.iter().map(|text| match read_key(text) {
        Ok(key) => {
            let (target, seen_by) = shown(turn, target, whom, &key);
            match known.get(&key) {
                Some(value) => numeric::key_value(target, &key, seen_by, value).line(&server, &called),
                None => numeric::key_not_set(target, &key).line(&server, &called),
            }
        }
        Err(fault) => worded(turn, warned(fault)).line(&server),
    });
    let lines = lines.collect();
    let target = shown_target(turn, target, whom);
    turn.reply_in_batch(&format!("metadata {target}"), lines);
}

fn list(turn: &mut Turn, target: &str, whom: &Target) {
    let (server, called) = (turn.server_name().to_string(), turn.called());
    let lines = visible(turn, whom).into_iter().map(|(key, value)| {
        let (target, seen_by) = shown(turn, target, whom, &key);
        numeric::key_value(target, &key, seen_by, &value).line(&server, &called)
    });
    let lines = lines.collect();
    let target = shown_target(turn, target, whom);
    turn.reply_in_batch(&format!("metadata {target}"), lines);
}

/// What the speaker may write of it, if anything.
fn writable(turn: &Turn, target: &str, whom: &Target, key: &str) -> Result<Option<Subject>, Refusal> {
    let refused = || {
        let fail = Standard::fail("METADATA", "KEY_NO_PERMISSION", "Permission denied");
        fail.about(shown_target(turn, target, whom)).about(Word::echo(key)).into()
    };
    match whom {
        Target::Oneself => Ok(turn.session().user().map(Subject::User)),
        Target::User(_) => Err(refused()),
        Target::Channel(name) => {
            let channel = turn.network().channel(name).ok_or_else(refused)?;
            match mode::is_at_least(channel.status(turn.me()), 'o') {
                true => Ok(Some(Subject::Channel(name.clone(), channel.birth))),
                false => Err(refused()),
            }
        }
    }
}

/// Not too often; except before the speaker is anybody, when nobody else feels it.
fn may_set(turn: &mut Turn, target: &str, whom: &Target, key: &str) -> Outcome {
    if turn.session().user().is_none() {
        return Ok(());
    }
    let target = shown_target(turn, target, whom);
    turn.may(Deed::SetMetadata).map_err(|seconds| {
        let fail = Standard::fail("METADATA", "RATE_LIMITED", "Too many changes, try again later");
        fail.about(target).about(Word::echo(key)).about(Word::echo(&seconds.to_string()))
    })?;
    turn.did(Deed::SetMetadata);
    Ok(())
}

fn write(turn: &mut Turn, of: Option<Subject>, key: MetadataKey, value: Option<String>) {
    match of {
        Some(of) => {
            let (by, is_oneself) = (turn.prefix(), matches!(of, Subject::User(_)));
            turn.change(Edit::Metadata { of, key: key.clone(), value: value.clone(), by });
            if is_oneself {
                let (me, conn) = (turn.me(), turn.conn);
                turn.engine.tell_said_of_oneself(me, &key, value.as_deref(), Some(conn));
                turn.keep_in_profile(&key, value.as_deref());
            }
        }
        None => {
            if let Some(registration) = turn.registration() {
                match value {
                    Some(value) => drop(registration.metadata.insert(key, value)),
                    None => drop(registration.metadata.remove(&key)),
                }
            }
        }
    }
}

fn set(turn: &mut Turn, target: &str, whom: &Target, key: &str, value: &str) -> Outcome {
    let key = read_key(key)?;
    let of = writable(turn, target, whom, key.as_str())?;
    let known = visible(turn, whom);
    let (named, seen_by) = shown(turn, target, whom, &key);
    let most = turn.config().metadata.keys;
    if !value.is_empty() {
        let most_bytes = turn.config().metadata.value_bytes;
        let too_long = (value.len() > most_bytes).then(|| format!("A value has at most {most_bytes} bytes"));
        let fault = too_long.or_else(|| fault_in(&key, value).map(str::to_string));
        if let Some(why) = fault {
            return Err(Standard::fail("METADATA", "INVALID_VALUE", why).about(Word::from(&key)).into());
        }
        if !known.contains_key(&key) && known.len() >= most {
            let fail = Standard::fail("METADATA", "LIMIT_REACHED", "There is no room for more keys");
            return Err(fail.about(named).about(Word::echo(&most.to_string())).into());
        }
    }
    let value = Some(value).filter(|value| !value.is_empty());
    if value.is_none() && !known.contains_key(&key) && turn.session().wants_older_metadata() {
        let fail = Standard::fail("METADATA", "KEY_NOT_SET", "Key not set").about(named);
        return Err(fail.about(Word::from(&key)).into());
    }
    if known.get(&key).map(String::as_str) != value {
        may_set(turn, target, whom, key.as_str())?;
        write(turn, of, key.clone(), value.map(str::to_string));
    }
    turn.reply(match value {
        Some(value) => numeric::key_value(named, &key, seen_by, value),
        None => numeric::key_not_set(named, &key),
    });
    Ok(())
}

fn clear(turn: &mut Turn, target: &str, whom: &Target) -> Outcome {
    let of = writable(turn, target, whom, "*")?;
    let known = visible(turn, whom);
    if !known.is_empty() {
        may_set(turn, target, whom, "*")?;
    }
    let named = shown_target(turn, target, whom);
    let (server, called) = (turn.server_name().to_string(), turn.called());
    let lines = known.keys().map(|key| numeric::key_not_set(&named, key).line(&server, &called)).collect();
    for key in known.into_keys() {
        write(turn, of.clone(), key, None);
    }
    turn.reply_in_batch(&format!("metadata {named}"), lines);
    Ok(())
}

// Subscriptions.

/// Keys on as many lines as it takes.
fn reply_keys(
    turn: &mut Turn,
    keys: Vec<MetadataKey>,
    numeric: fn(&Words) -> numeric::Numeric,
) -> Vec<String> {
    let (server, called) = (turn.server_name().to_string(), turn.called());
    let room = numeric(&Words::default()).room(&server, &called);
    let lines =
        keys.chunks(KEYS_PER_LINE).flat_map(|keys| fill(keys.iter().map(MetadataKey::to_string), room));
    lines.map(|line| numeric(&Words::from(line.as_str())).line(&server, &called)).collect()
}

fn subscribe(turn: &mut Turn, keys: &[&str]) -> Outcome {
    let most = turn.config().metadata.subscriptions;
    let (mut done, mut faults) = (Vec::new(), Vec::new());
    let mut new = std::collections::BTreeSet::new();
    for text in keys {
        let key = match read_key(text) {
            Ok(key) => key,
            Err(fault) => {
                faults.push(warned(fault));
                continue;
            }
        };
        let subscriptions = &mut turn.session_mut().subscriptions;
        if !subscriptions.contains(&key) {
            if subscriptions.len() >= most {
                let fail = |code| {
                    let fail = Standard::fail("METADATA", code, "You are subscribed to enough keys");
                    fail.about(Word::from(&key))
                };
                faults.push(match turn.session().wants_older_metadata() {
                    true => fail("TOO_MANY_SUBS"),
                    false => fail("LIMIT_REACHED").about(Word::echo(&most.to_string())),
                });
                break;
            }
            subscriptions.insert(key.clone());
            new.insert(key.clone());
        }
        if !done.contains(&key) {
            done.push(key);
        }
    }
    for line in reply_keys(turn, done, numeric::metadata_subscribed) {
        turn.say(line);
    }
    faults.into_iter().for_each(|fault| say_fault(turn, fault));
    if !new.is_empty() && turn.session().user().is_some() {
        match turn.may(Deed::Search) {
            Ok(()) => {
                turn.did(Deed::Search);
                turn.sync_all(&new);
            }
            Err(seconds) => turn.reply(numeric::metadata_sync_later(Word::echo(ALL_IN_SIGHT), seconds)),
        }
    }
    Ok(())
}

fn unsubscribe(turn: &mut Turn, keys: &[&str]) {
    let (mut done, mut faults) = (Vec::new(), Vec::new());
    for text in keys {
        match read_key(text) {
            Ok(key) => {
                turn.session_mut().subscriptions.remove(&key);
                if !done.contains(&key) {
                    done.push(key);
                }
            }
            Err(fault) => faults.push(warned(fault)),
        }
    }
    for line in reply_keys(turn, done, numeric::metadata_unsubscribed) {
        turn.say(line);
    }
    faults.into_iter().for_each(|fault| say_fault(turn, fault));
}

fn list_subscriptions(turn: &mut Turn) {
    let keys = turn.session().subscriptions.iter().cloned().collect();
    let lines = reply_keys(turn, keys, numeric::metadata_subscriptions);
    turn.reply_in_batch("metadata-subs", lines);
}

// Synchronisation.

/// Looks through much for the speaker, unless they have to wait for it.
fn may_sync(turn: &mut Turn, target: Word) -> bool {
    match turn.may(Deed::Search) {
        Ok(()) => {
            turn.did(Deed::Search);
            true
        }
        Err(seconds) => {
            turn.reply(numeric::metadata_sync_later(target, seconds));
            false
        }
    }
}

fn sync_all(turn: &mut Turn, target: &str) -> Outcome {
    if turn.session().user().is_none() {
        return Err(invalid_target(target));
    }
    if may_sync(turn, Word::echo(target)) {
        let keys = turn.session().subscriptions.clone();
        turn.sync_all(&keys);
    }
    Ok(())
}

fn sync(turn: &mut Turn, target: &str, whom: &Target) -> Outcome {
    let user = match whom {
        Target::Channel(name) => {
            let name = name.clone();
            if may_sync(turn, shown_target(turn, target, whom)) {
                turn.sync_channel(&name);
            }
            return Ok(());
        }
        Target::Oneself => turn.session().user(),
        Target::User(user) => Some(*user),
    };
    let user = user.ok_or_else(|| invalid_target(target))?;
    turn.sync_user(user);
    Ok(())
}
