//! GUEST and HOME: what is said in a pipe between a client's server and the home of whoever it is.
//!
//! All of it goes over links apart from other lines, since passwords are said in it.

use super::{PeerMessage, When, or_star, unless_star};
use crate::engine::Engine;
use crate::engine::event::ConnId;
use crate::engine::guest::{Changed, Guest, Parcel, PipeId, Return, read_caps, write_caps};
use crate::engine::merge::{Origin, Vector};
use crate::engine::network::AccountId;
use crate::wire::base36;
use crate::wire::fold::fold;
use crate::wire::message::{Draft, Message, escape_tag_value, unescape_tag_value};
use crate::wire::names::{MetadataKey, Nick, UserId};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

pub const MESSAGES: &[PeerMessage] = &[
    PeerMessage {
        name: "GUEST",
        params_min: 4,
        when: When::Accepted,
        run: guest,
        shape: "<to sid.epoch> <from sid.epoch> <pipe> SAY <number> <heard> LINE :<line> | PART :<beginning> | LONG | BYTES :<readable> | SLOW | SAID <key> :<value> | WANTS :<keys> | WATCHES :<+ or -><nick>… | CLOSED :<why>; or <to> <from> <pipe> HEARD <number> | GONE",
    },
    PeerMessage {
        name: "HOME",
        params_min: 4,
        when: When::Accepted,
        run: home,
        shape: "<to sid.epoch> <from sid.epoch> <pipe> SAY <number> <heard> LINE :<line> | PART :<beginning> | CHARGE <lines> | HURRY <yes or no> | CAPS <version> :<capabilities> | WANTS :<keys> | WATCHES :<+ or -><nick>… | LEAVING | MOVED <since, ms> :<sid.epoch>:<number>… | CLOSED :<why>; or <to> <from> <pipe> HEARD <number> | GONE",
    },
];

/// The first word of each parcel that this version knows.
const KINDS: &[&str] = &[
    "LINE", "PART", "LONG", "BYTES", "SLOW", "SAID", "WANTS", "WATCHES", "CHARGE", "HURRY", "CAPS",
    "LEAVING", "MOVED", "CLOSED",
];

/// Whether a line between servers may hold what a client has said as a secret.
pub fn is_private(draft: &Draft) -> bool {
    MESSAGES.iter().any(|row| draft.is(row.name))
}

impl Guest {
    pub fn write(&self, draft: Draft) -> Draft {
        let or_none = |text: Option<&str>| match text {
            Some(text) => or_star(&escape_tag_value(text)).to_string(),
            None => "*".to_string(),
        };
        draft
            .param("GUEST")
            .param(self.user)
            .param(self.account)
            .param(&self.nick)
            .param(&self.username)
            .param(format!("@{}", self.address))
            .param(or_none(self.name.as_deref()))
            .param(or_none(self.secure.as_deref()))
            .param(self.certificate.map_or("*".to_string(), |pin| pin.to_string()))
            .param(or_star(&write_caps(self.caps)))
            .param(self.cap_version)
            .param(self.back.as_ref().map_or("*".to_string(), |back| back.write()))
            .param(if self.is_unattended { "AWAY" } else { "*" })
            .trailing(&self.realname)
    }

    pub fn read(params: &[&str]) -> Option<Guest> {
        let [
            user,
            account,
            nick,
            username,
            address,
            name,
            secure,
            certificate,
            caps,
            cap_version,
            back,
            attendance,
            realname,
            ..,
        ] = *params
        else {
            return None;
        };
        let text = |text: &str| {
            Some(unescape_tag_value(unless_star(text)).into_owned()).filter(|text| !text.is_empty())
        };
        Some(Guest {
            user: UserId::parse(user)?,
            account: AccountId::parse(account)?,
            nick: Nick::from_peer(nick)?,
            username: username.to_string(),
            realname: realname.to_string(),
            // No colon begins it so, as one would of an IPv6 address without its brackets.
            address: address.strip_prefix('@')?.parse().ok()?,
            name: text(name),
            secure: text(secure),
            certificate: match certificate {
                "*" => None,
                pin => Some(Pin::parse(pin)?),
            },
            caps: read_caps(unless_star(caps)),
            cap_version: cap_version.parse().ok()?,
            back: match back {
                "*" => None,
                back => Some(Box::new(Return::read(back)?)),
            },
            is_unattended: attendance == "AWAY",
        })
    }
}

/// How much of where somebody has come to, and gone from, is told: what more there is stays as it was.
const MOVES_BYTES_MAX: usize = 1_200;

impl Return {
    /// In one word. No name of a channel has a comma in it.
    pub fn write(&self) -> String {
        let changed = [
            ('n', self.changed.nick),
            ('a', self.changed.away),
            ('m', self.changed.modes),
            ('r', self.changed.realname),
        ];
        let mut text = format!("{},{},", self.former, base36::encode(self.tip));
        text.push_str(&self.sight.map_or("*".to_string(), base36::encode));
        text.push_str(&format!(",{},*", base36::encode(self.since.0)));
        text.extend(changed.into_iter().filter(|(_, is)| *is).map(|(letter, _)| letter));
        for (origin, tip) in self.heard.iter() {
            text.push_str(&format!(",={origin}:{}", base36::encode(tip)));
        }
        let mut room = MOVES_BYTES_MAX;
        let joined = self.joined.iter().map(|channel| ('+', channel));
        for (sign, channel) in joined.chain(self.parted.iter().map(|channel| ('-', channel))) {
            let word = format!(",{sign}{channel}");
            room = room.saturating_sub(word.len());
            if room > 0 {
                text.push_str(&word);
            }
        }
        text
    }

    pub fn read(text: &str) -> Option<Return> {
        let mut words = text.split(',');
        let (former, tip) = (UserId::parse(words.next()?)?, base36::parse(words.next()?)?);
        let sight = match words.next()? {
            "*" => None,
            sight => Some(base36::parse(sight)?),
        };
        let since = Timestamp(base36::parse(words.next()?)?);
        let letters = words.next()?;
        let (mut heard, mut joined, mut parted) = (Vector::default(), Vec::new(), Vec::new());
        for word in words {
            if let Some(heard_of) = word.strip_prefix('=') {
                let (origin, tip) = heard_of.split_once(':')?;
                heard.raise(Origin::parse(origin)?, base36::parse(tip)?);
            } else if let Some(channel) = word.strip_prefix('+') {
                joined.push(fold(channel));
            } else if let Some(channel) = word.strip_prefix('-') {
                parted.push(fold(channel));
            }
        }
        let changed = Changed {
            nick: letters.contains('n'),
            away: letters.contains('a'),
            modes: letters.contains('m'),
            realname: letters.contains('r'),
        };
        Some(Return { former, tip, sight, heard, since, changed, joined, parted })
    }
}

fn in_words(words: impl IntoIterator<Item = impl ToString>) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
}

fn read_watched(text: &str) -> Option<(Nick, bool)> {
    let here = text.strip_prefix('+').map(|nick| (nick, true));
    let (nick, is_here) = here.or_else(|| Some((text.strip_prefix('-')?, false)))?;
    Some((Nick::from_peer(nick)?, is_here))
}

fn write_parcel(draft: Draft, parcel: &Parcel) -> Draft {
    match parcel {
        Parcel::Line(line) => draft.param("LINE").trailing(line),
        Parcel::Part(text) => draft.param("PART").trailing(text),
        Parcel::TooLong => draft.param("LONG"),
        Parcel::NotText(readable) => draft.param("BYTES").trailing(readable),
        Parcel::Slowed => draft.param("SLOW"),
        Parcel::Said(key, value) => draft.param("SAID").param(key).trailing(value),
        Parcel::Wanted(keys) => draft.param("WANTS").trailing(in_words(keys)),
        Parcel::Watched(nicks) => {
            let marked =
                nicks.iter().map(|(nick, is_here)| format!("{}{nick}", if *is_here { '+' } else { '-' }));
            draft.param("WATCHES").trailing(in_words(marked))
        }
        Parcel::Charge(lines) => draft.param("CHARGE").param(lines),
        Parcel::Hurry(is_hurried) => draft.param("HURRY").param(if *is_hurried { "yes" } else { "no" }),
        Parcel::Caps(caps, version) => draft.param("CAPS").param(version).trailing(write_caps(*caps)),
        Parcel::Leaving => draft.param("LEAVING"),
        Parcel::Moved(heard, since) => {
            let heard = heard.iter().map(|(origin, tip)| format!("{origin}:{}", base36::encode(tip)));
            draft.param("MOVED").param(base36::encode(since.0)).trailing(in_words(heard))
        }
        Parcel::Closed(why) => draft.param("CLOSED").trailing(why),
        // Never said by this version.
        Parcel::Unknown => draft.param("*"),
    }
}

/// `None` where it makes no sense.
fn read_parcel(params: &[&str]) -> Option<Parcel> {
    Some(match *params {
        ["LINE", line, ..] => Parcel::Line(line.to_string()),
        ["PART", text, ..] => Parcel::Part(text.to_string()),
        ["LONG", ..] => Parcel::TooLong,
        ["BYTES", readable, ..] => Parcel::NotText(readable.to_string()),
        ["SLOW", ..] => Parcel::Slowed,
        ["SAID", key, value, ..] => Parcel::Said(MetadataKey::parse(key)?, value.to_string()),
        ["WANTS", keys, ..] => Parcel::Wanted(keys.split(' ').filter_map(MetadataKey::parse).collect()),
        ["WATCHES", nicks, ..] => Parcel::Watched(nicks.split(' ').filter_map(read_watched).collect()),
        ["CHARGE", lines, ..] => Parcel::Charge(lines.parse().ok()?),
        ["HURRY", "yes", ..] => Parcel::Hurry(true),
        ["HURRY", "no", ..] => Parcel::Hurry(false),
        ["CAPS", version, caps, ..] => Parcel::Caps(read_caps(caps), version.parse().ok()?),
        ["LEAVING", ..] => Parcel::Leaving,
        ["MOVED", since, heard, ..] => {
            let tips = heard.split(' ').filter_map(|heard| heard.split_once(':'));
            let tips = tips.filter_map(|(origin, tip)| Some((Origin::parse(origin)?, base36::parse(tip)?)));
            Parcel::Moved(tips.collect(), Timestamp(base36::parse(since)?))
        }
        ["CLOSED", why, ..] => Parcel::Closed(why.to_string()),
        [kind, ..] if !KINDS.contains(&kind) => Parcel::Unknown,
        _ => return None,
    })
}

impl Engine {
    fn draft_in_pipe(&self, id: PipeId, to: Origin) -> Draft {
        let draft = match id.host.server == self.identity.sid {
            // Also of a pipe that a former run had.
            true => Draft::new("GUEST").param(to).param(id.host),
            false => Draft::new("HOME").param(to).param(self.origin()),
        };
        draft.param(base36::encode(id.number))
    }

    pub(in crate::engine) fn send_parcel(
        &mut self,
        id: PipeId,
        to: Origin,
        number: u64,
        heard: u64,
        parcel: &Parcel,
    ) {
        let draft = self.draft_in_pipe(id, to).param("SAY");
        let draft = draft.param(base36::encode(number)).param(base36::encode(heard));
        self.send_towards(to.server, write_parcel(draft, parcel));
    }

    pub(in crate::engine) fn send_heard(&mut self, id: PipeId, to: Origin, heard: u64) {
        let draft = self.draft_in_pipe(id, to).param("HEARD").param(base36::encode(heard));
        self.send_towards(to.server, draft);
    }

    pub(in crate::engine) fn send_no_pipe(&mut self, id: PipeId, to: Origin) {
        let draft = self.draft_in_pipe(id, to).param("GONE");
        self.send_towards(to.server, draft);
    }
}

fn guest(engine: &mut Engine, conn: ConnId, message: &Message) {
    hear(engine, conn, message, |_, from| from);
}

fn home(engine: &mut Engine, conn: ConnId, message: &Message) {
    hear(engine, conn, message, |to, _| to);
}

fn hear(engine: &mut Engine, conn: ConnId, message: &Message, host: fn(Origin, Origin) -> Origin) {
    let ids = (
        Origin::parse(message.params[0]),
        Origin::parse(message.params[1]),
        base36::parse(message.params[2]),
    );
    let (Some(to), Some(from), Some(number)) = ids else {
        return engine.note_senseless(conn, message.command);
    };
    if to.server != engine.identity.sid {
        return engine.pass_on(conn, to.server, message);
    }
    let id = PipeId { host: host(to, from), number };
    match message.params[3..] {
        ["SAY", number, heard, ref parcel @ ..] => {
            let numbers = base36::parse(number).zip(base36::parse(heard));
            match (numbers, read_parcel(parcel)) {
                (Some(numbers), Some(parcel)) => engine.hear_in_pipe(id, from, numbers, parcel),
                _ => engine.note_senseless(conn, message.command),
            }
        }
        ["HEARD", heard, ..] => match base36::parse(heard) {
            Some(heard) => engine.heard_in_pipe(id, from, heard),
            None => engine.note_senseless(conn, message.command),
        },
        ["GONE", ..] => engine.no_pipe_there(id, from),
        _ => engine.note_senseless(conn, message.command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cap::{Cap, Caps};
    use crate::engine::merge::Stamp;
    use crate::wire::names::ServerId;

    #[test]
    fn whatever_is_said_in_a_pipe_survives_the_wire() {
        let key = || MetadataKey::parse("display-name").unwrap();
        let mut caps = Caps::default();
        caps.set(Cap::Sasl, true);
        caps.set(Cap::Batch, true);
        for parcel in [
            Parcel::Line("@label=a :x PRIVMSG #green ::)  two spaces".into()),
            Parcel::Line(String::new()),
            Parcel::Line(" :indented".into()),
            Parcel::Part("@a=b".into()),
            Parcel::TooLong,
            Parcel::NotText("PRIVMSG ".into()),
            Parcel::Slowed,
            Parcel::Said(key(), "Ann of Hall".into()),
            Parcel::Wanted([key(), MetadataKey::parse("url").unwrap()].into()),
            Parcel::Wanted(Default::default()),
            Parcel::Watched(vec![
                (Nick::parse("ann", 9).unwrap(), true),
                (Nick::parse("bob", 9).unwrap(), false),
            ]),
            Parcel::Watched(Vec::new()),
            Parcel::Charge(7),
            Parcel::Hurry(true),
            Parcel::Hurry(false),
            Parcel::Caps(caps, 302),
            Parcel::Caps(Caps::default(), 0),
            Parcel::Leaving,
            Parcel::Moved(Vector::default(), Timestamp(7)),
            Parcel::Moved(
                [(Origin { server: ServerId::LOWEST, epoch: 3 }, 70)].into_iter().collect(),
                Timestamp(7),
            ),
            Parcel::Closed("Quit: ".into()),
        ] {
            let line = write_parcel(Draft::new("GUEST"), &parcel).line();
            let message = Message::parse(&line).expect("a message");
            assert_eq!(read_parcel(&message.params), Some(parcel), "{line}");
        }
    }

    #[test]
    fn a_client_comes_to_its_home_as_its_host_knows_it() {
        let server = ServerId::LOWEST;
        let mut caps = Caps::default();
        caps.set(Cap::Batch, true);
        caps.set(Cap::MessageTags, true);
        let guest = |address: &str, far: bool| Guest {
            user: UserId::numbered(server, 5),
            account: AccountId::new(Stamp { ms: 7, count: 3, server }),
            nick: Nick::parse("ann", 9).unwrap(),
            username: "a".into(),
            realname: if far { ":) Ann".into() } else { String::new() },
            address: address.parse().unwrap(),
            name: far.then(|| "ann.example".into()),
            secure: far.then(|| "TLSv1.3, TLS_AES_128_GCM_SHA256".into()),
            certificate: far.then_some(Pin([7; 32])),
            caps: if far { caps } else { Caps::default() },
            cap_version: 302,
            back: far.then(|| {
                Box::new(Return {
                    former: UserId::numbered(server, 6),
                    tip: 9,
                    sight: Some(u64::MAX),
                    heard: [(Origin { server, epoch: 3 }, 70)].into_iter().collect(),
                    since: Timestamp(7_000),
                    changed: Changed { away: true, modes: true, ..Changed::default() },
                    joined: vec![fold("#green")],
                    parted: vec![fold("#+blue"), fold("#red")],
                })
            }),
            is_unattended: far,
        };
        for guest in [guest("10.0.0.1:5000", false), guest("[::1]:5000", true)] {
            let line = guest.write(Draft::new("ASK")).line();
            let message = Message::parse(&line).expect("a message");
            assert_eq!(Guest::read(&message.params[1..]), Some(guest), "{line}");
        }
    }
}
