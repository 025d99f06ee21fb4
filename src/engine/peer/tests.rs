//! Whatever can be written to a peer is read back the same.

use super::*;
use crate::engine::merge::{Origin, Stream, Vector};
use crate::engine::network::{
    AccountFact, AccountId, BanFact, BanKind, Blocked, Clause, ClauseFact, ClientDoor, Complaint, Credential,
    Device, Durable, Field, Item, MaskFact, MemberFact, Message as Said, Network, Party, Redaction, Renaming,
    ScramKeys, ServerFact, Setting, StatusFact, Subject, Suspension, Talk, Target, Topic, UserFact, Verb,
    edit_of,
};
use crate::wire::fold::fold;
use crate::wire::letters::Letters;
use crate::wire::names::{ChannelName, MetadataKey, Nick, ServerId, UserId};
use crate::wire::pin::Pin;
use crate::wire::time::Timestamp;

fn sid() -> ServerId {
    ServerId::parse("7FA").unwrap()
}

fn stamp(ms: u64) -> Stamp {
    Stamp { ms, count: 3, server: sid() }
}

fn edits() -> Vec<Edit> {
    let user = UserId::numbered(sid(), 5);
    let (channel, birth) = (fold("#Green"), stamp(7));
    let name = ChannelName::parse("#Green", 64).unwrap();
    let by = "ann!a@host".to_string();
    let said = |verb, target, text: &str| {
        Edit::Message(Said {
            verb,
            sender: user,
            source: by.clone(),
            account: Some("ann".into()),
            target,
            text: text.into(),
            joints: Vec::new(),
            between: match text {
                "hi" => (Some(AccountId::new(stamp(1))), Some(AccountId::new(stamp(2)))),
                _ => (None, Some(AccountId::new(stamp(2)))),
            },
            tags: vec![("+draft/react".into(), "a b;c\\".into())],
            is_closed: text == "hi",
            is_blank: text.is_empty() && verb != Verb::Tagmsg,
        })
    };
    let redacted = |target, reason: Option<&str>| {
        Edit::Redact(Redaction {
            sender: user,
            source: by.clone(),
            account: Some("ann".into()),
            target,
            message: Dot { origin: Origin { server: sid(), epoch: 2 }, stream: Stream::Message, seq: 9 },
            said: stamp(4),
            reason: reason.map(str::to_string),
        })
    };
    let key = |text| MetadataKey::parse(text).unwrap();
    let green = Subject::Channel(channel.clone(), birth);
    let account = |field, fact| {
        let account = AccountId::parse("2s1k0ftdg0.7FA").unwrap();
        Edit::Account { account, field, fact, by: by.clone() }
    };
    let scram = ScramKeys { salt: vec![1; 16], iterations: 4096, stored: [2; 32], server: [3; 32] };
    let credential = Credential { hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".into(), scram };
    let device = Device { name: "Phone".into(), digest: [4; 32], added: Timestamp(5) };
    let suspension = Suspension { until: None, set: Timestamp(6), by: "".into(), reason: ": for now".into() };
    let owner = AccountId::parse("2s1k0ftdg0.7FA").unwrap();
    let clause = |clause, fact| Edit::Registration {
        channel: channel.clone(),
        claimed: stamp(8),
        clause,
        fact,
        by: by.clone(),
    };
    let to_channel = |least| Target::Channel { name: name.clone(), least };
    vec![
        Edit::Server(ServerFact {
            name: "hall.lan".into(),
            description: "The great hall".into(),
            version: "folkmoot-0.1".into(),
            pin: "sha256:00".into(),
            clients_max: 9,
            doors: vec![
                ClientDoor { host: "10.0.0.5".into(), port: 6667, secure: false },
                ClientDoor { host: "fd00::5".into(), port: 6697, secure: true },
            ],
            started: Timestamp(4),
        }),
        Edit::Goodbye { reason: "".into() },
        Edit::User {
            user,
            fact: UserFact {
                nick: Nick::parse("Ann", 9).unwrap(),
                claimed: stamp(1),
                username: "a".into(),
                host: "0::1".into(),
                address: "10.0.0.1".into(),
                name: Some("barn.example".into()),
                cloak: None,
                realname: ": Ann of the hall".into(),
                account: AccountId::parse("2s1k0ftdg0.7FA"),
                away: Some("out; to lunch".into()),
                modes: Letters::parse("iw").unwrap(),
                title: None,
                class: Some("administrator".into()),
                secure: true,
                certificate: Some(Box::new(Pin([0xa5; 32]))),
                gateway: Some("web".into()),
                stands_for: Some(user),
                signed_on: Timestamp(8),
            },
        },
        Edit::Quit { user, reason: "Quit: bye now".into() },
        Edit::Join {
            user,
            channel: channel.clone(),
            fact: MemberFact {
                name: name.clone(),
                birth,
                joined: stamp(9),
                status: Letters::NONE.with('o'),
                is_silent: false,
            },
        },
        Edit::Join {
            user,
            channel: channel.clone(),
            fact: MemberFact {
                name: name.clone(),
                birth,
                joined: stamp(9),
                status: Letters::NONE,
                is_silent: true,
            },
        },
        Edit::Part { user, channel: channel.clone(), reason: None },
        Edit::Part { user, channel: channel.clone(), reason: Some("".into()) },
        Edit::Kick { user, channel: channel.clone(), by: by.clone(), reason: "out you go".into() },
        Edit::Setting {
            channel: channel.clone(),
            birth,
            item: Item::Mode('n'),
            value: Some(Setting::On),
            by: by.clone(),
        },
        Edit::Setting { channel: channel.clone(), birth, item: Item::Mode('k'), value: None, by: by.clone() },
        Edit::Setting {
            channel: channel.clone(),
            birth,
            item: Item::Mode('k'),
            value: Some(Setting::Value("sesame".into())),
            by: String::new(),
        },
        Edit::Setting {
            channel: channel.clone(),
            birth,
            item: Item::Name,
            value: Some(Setting::Name(Renaming { name: name.clone(), reason: "".into() })),
            by: by.clone(),
        },
        Edit::Setting { channel: channel.clone(), birth, item: Item::Name, value: None, by: by.clone() },
        Edit::Setting {
            channel: channel.clone(),
            birth,
            item: Item::Topic,
            value: Some(Setting::Topic(Topic { text: "".into(), by: by.clone(), at: Timestamp(3) })),
            by: by.clone(),
        },
        Edit::Setting { channel: channel.clone(), birth, item: Item::Topic, value: None, by: by.clone() },
        Edit::Status {
            channel: channel.clone(),
            birth,
            user,
            letter: 'v',
            fact: StatusFact { on: false, joined: stamp(9) },
            by: by.clone(),
        },
        Edit::Mask {
            channel: channel.clone(),
            birth,
            list: 'b',
            mask: "*!*@bad".into(),
            fact: Some(MaskFact { by: by.clone(), at: Timestamp(2), until: Some(Timestamp(9)) }),
            by: by.clone(),
        },
        Edit::Mask {
            channel: channel.clone(),
            birth,
            list: 'e',
            mask: "x!*@*".into(),
            fact: None,
            by: by.clone(),
        },
        clause(
            Clause::Founded,
            Some(ClauseFact::Founded { name: name.clone(), birth, founder: owner, at: Timestamp(9) }),
        ),
        clause(Clause::Founded, None),
        clause(Clause::Access(owner), Some(ClauseFact::Access(Letters::NONE.with('o')))),
        clause(Clause::Successor, Some(ClauseFact::Account(owner))),
        clause(Clause::Offer, Some(ClauseFact::Account(owner))),
        clause(Clause::Description, Some(ClauseFact::Text(": about gardens".into()))),
        Edit::Metadata { of: green.clone(), key: key("url"), value: None, by: by.clone() }.lasting().unwrap(),
        Edit::Mask {
            channel: channel.clone(),
            birth,
            list: 'b',
            mask: "x!*@*".into(),
            fact: None,
            by: by.clone(),
        }
        .lasting()
        .unwrap(),
        Edit::Metadata {
            of: Subject::User(user),
            key: key("status"),
            value: Some(": in the garden".into()),
            by: by.clone(),
        },
        Edit::Metadata { of: Subject::User(user), key: key("a/b"), value: None, by: by.clone() },
        Edit::Metadata { of: green.clone(), key: key("url"), value: Some("x".into()), by: by.clone() },
        Edit::Metadata { of: green, key: key("url"), value: None, by: by.clone() },
        Edit::Ban {
            kind: BanKind::UserHost,
            mask: "*bad*@10.0.0.0/8".into(),
            fact: Some(BanFact {
                until: Some(Timestamp(9)),
                set: Timestamp(8),
                by: by.clone(),
                reason: "go".into(),
            }),
            by: by.clone(),
        },
        Edit::Ban {
            kind: BanKind::Realname,
            mask: "*free\\smoney*".into(),
            fact: Some(BanFact { until: None, set: Timestamp(8), by: by.clone(), reason: "".into() }),
            by: by.clone(),
        },
        Edit::Complaint {
            id: stamp(9),
            fact: Some(Box::new(Complaint {
                made: Timestamp(8),
                by: Party { source: "ann!a@host".into(), account: Some("ann".into()) },
                about: Party { source: "eve!e@host".into(), account: None },
                place: Some("#green".into()),
                reason: ": rude; as said".into(),
                context: vec!["<eve> a; b\\".into(), "<ann> :x".into()],
            })),
            by: by.clone(),
        },
        Edit::Complaint { id: stamp(9), fact: None, by: "ada!a@host".into() },
        Edit::Ban { kind: BanKind::Address, mask: "fe80::/10".into(), fact: None, by: "hall.lan".into() },
        account(Field::Registered, Some(AccountFact::Registered(Timestamp(7)))),
        account(Field::Registered, None),
        account(Field::Name, Some(AccountFact::Name { name: "ann".into(), claimed: stamp(3) })),
        account(Field::Password, Some(AccountFact::Password(credential))),
        account(Field::Certificate(Pin([7; 32])), Some(AccountFact::Certificate { added: Timestamp(9) })),
        account(Field::Device(fold("Phone")), Some(AccountFact::Device(device))),
        account(Field::Email, Some(AccountFact::Email("ann@farm.lan".into()))),
        account(Field::Suspension, Some(AccountFact::Suspension(suspension))),
        account(Field::Suspension, None),
        account(
            Field::Nick(fold("Annie")),
            Some(AccountFact::Nick { nick: "Annie".into(), claimed: stamp(3) }),
        ),
        account(
            Field::Metadata(MetadataKey::parse("status").unwrap()),
            Some(AccountFact::Metadata(": out; back soon".into())),
        ),
        account(Field::Metadata(MetadataKey::parse("status").unwrap()), None),
        account(
            Field::Block(Blocked::parse("*!*@10.0.0.9").unwrap()),
            Some(AccountFact::Block { added: Timestamp(7) }),
        ),
        account(Field::Block(Blocked::parse("2s1k0ftdg0.7FA").unwrap()), None),
        account(Field::Setting("away".into()), Some(AccountFact::Setting(": out".into()))),
        account(Field::Setting("away".into()), None),
        Edit::Read { account: AccountId::new(stamp(3)), place: fold("#Gr:een"), time: Timestamp(9) },
        said(Verb::Privmsg, to_channel(None), ":) hello  there"),
        said(Verb::Notice, to_channel(Some('o')), "one\n\n:two\n"),
        said(Verb::Notice, to_channel(Some('o')), ""),
        said(Verb::Tagmsg, to_channel(None), ""),
        redacted(to_channel(Some('o')), None),
        redacted(to_channel(None), Some("")),
        redacted(Target::User { user, nick: Nick::parse("bob", 9).unwrap() }, Some(": never mind")),
        said(Verb::Privmsg, Target::User { user, nick: Nick::parse("bob", 9).unwrap() }, "hi"),
    ]
}

#[test]
fn every_kind_of_change_survives_the_wire() {
    for (place, edit) in edits().into_iter().enumerate() {
        let origin = Origin { server: sid(), epoch: 2 };
        let stream = edit.stream();
        let change = Change {
            dot: Dot { origin, stream, seq: place as u64 + 1 },
            stamp: stamp(1_795_244_165_123),
            over: vec![Dot { origin: Origin { epoch: 1, ..origin }, stream: Stream::Session, seq: 40 }],
            after: if stream == Stream::Message { 77 } else { 0 },
            more: place % 2 == 0,
            edit,
        };
        let line = write_change(&change);
        let message = Message::parse(&line).expect("a written change is a message");
        assert_eq!(read_change(&message, &line).as_ref(), Some(&change), "{line}");
    }
}

#[test]
fn what_cannot_be_read_is_kept_and_passed_on_as_it_came() {
    for line in [
        "@dot=7FA.2.S5k.2s1k0ftdg0 FROBNICATE now :or never",
        "@dot=7FA.2.S5l.2s1k0ftdg0 JOIN nonsense",
        "@dot=7FA.2.M5l.2s1k0ftdg0 QUIT 7FAAAAAAB :wrong stream",
    ] {
        let message = Message::parse(line).unwrap();
        let change = read_change(&message, line).expect("its dot makes sense");
        assert_eq!(write_change(&change), line);
    }
}

#[test]
fn a_line_without_a_sensible_dot_is_nothing() {
    for line in
        ["@dot=7FA.2.S5k JOIN x", "@dot= JOIN x", "@dot=7FA.2.S0.1 JOIN x", "@dot=7FA.2.S1.1;over=x QUIT a b"]
    {
        let message = Message::parse(line).unwrap();
        assert_eq!(read_change(&message, line), None, "{line}");
    }
}

fn read(line: &str) -> Change {
    read_change(&Message::parse(line).unwrap(), line).expect("its dot makes sense")
}

#[test]
fn a_fact_of_a_later_version_is_held_for_those_who_know_it_until_it_is_written_over() {
    let durable = Durable::new(0, Default::default(), Origin { server: sid(), epoch: 1 });
    let mut network = Network::new(sid(), durable, 0, Talk::new(0));
    let snapshot = |network: &Network| {
        let answer = network.facts(Stream::Session).answer(&Vector::default());
        let lines = answer.facts.iter().filter_map(|(key, fact)| {
            let edit = edit_of(key, &fact.value)?;
            let change =
                Change { dot: fact.dot, stamp: fact.stamp, over: vec![], after: 0, more: false, edit };
            Some(write_change(&change))
        });
        lines.collect::<Vec<String>>()
    };
    let said = "@dot=7FA.2.S1.2s1k0ftdg0;key=statue\\shall;x=1 ERECT hall :of stone";
    let other = "@dot=9BC.1.S1.2s1k0ftdg0;key=statue\\sbarn ERECT barn :of straw";
    network.apply(&Arc::new(read(said)));
    network.apply(&Arc::new(read(other)));
    assert_eq!(snapshot(&network), [other, said]);
    network.apply(&Arc::new(read("@dot=9BC.1.S2.2s1k0ftdg1;over=7FA.2.S1;key=statue\\shall;gone RAZE hall")));
    assert_eq!(snapshot(&network), [other]);
}
