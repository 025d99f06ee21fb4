//! Peers that hold the network's secret and still do what no server in order does: it costs nobody else anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::config::Config;
use crate::engine::effect::Effect;
use crate::engine::event::{ConnId, Event, Origin, Pin};
use crate::engine::links::LinkStage;
use crate::engine::merge::{Origin as Run, Stream};
use crate::engine::peer::next_hash;
use crate::engine::peer::{Fault, RULES};
use crate::engine::{Engine, Identity};
use crate::wire::base36;
use crate::wire::line::Lines;
use crate::wire::names::{ServerId, ServerName, UserId};
use crate::wire::time::{Now, Timestamp};

const SECRET: &[u8] = b"known to all of them";
pub(super) const WALL_MS: u64 = 1_795_244_000_000;

/// One server, and peers that say whatever a test has them say.
pub(super) struct Hall {
    pub(super) engine: Engine,
    now_ms: u64,
    /// All that was said, to whom.
    pub(super) said: Vec<(ConnId, String)>,
    pub(super) notes: Vec<String>,
    closed: Vec<ConnId>,
    conns: u64,
}

/// A scripted peer.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) conn: ConnId,
    sid: &'static str,
}

impl Hall {
    pub(super) fn new() -> Hall {
        let identity = Identity {
            sid: ServerId::parse("1AA").unwrap(),
            name: ServerName::parse("hall.lan").unwrap(),
            epoch: 3,
            secret: SECRET.to_vec(),
            pin: Pin([1; 32]),
            clock_floor_ms: 0,
            seed: [1; 32],
            version: "folkmoot-0".to_string(),
        };
        let now = Now { wall: Timestamp(WALL_MS), steady_ms: 0 };
        let engine = Engine::new(Config::default(), identity, now);
        Hall { engine, now_ms: 0, said: vec![], notes: vec![], closed: vec![], conns: 0 }
    }

    pub(super) fn step(&mut self, event: Event) {
        let now = Now { wall: Timestamp(WALL_MS + self.now_ms), steady_ms: self.now_ms };
        for effect in self.engine.step(now, event) {
            match effect {
                Effect::Send { to, line } => self.said.push((to, line.to_string())),
                Effect::SendAll { to, line } => {
                    self.said.extend(to.into_iter().map(|to| (to, line.to_string())));
                }
                Effect::SendBundle { to, bundle } => {
                    let lines = || bundle.lines().map(str::to_string);
                    self.said.extend(to.into_iter().flat_map(|to| lines().map(move |line| (to, line))));
                }
                Effect::Note { text, .. } => self.notes.push(text),
                Effect::Close { conn, .. } => self.closed.push(conn),
                _ => {}
            }
        }
        for conn in std::mem::take(&mut self.closed) {
            self.step(Event::Closed { conn, why: "closed".to_string() });
        }
    }

    pub(super) fn wait(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 250;
            self.step(Event::Tick);
            // Whatever else they are, they are not silent.
            for conn in self.engine.links.by_conn.keys().copied().collect::<Vec<_>>() {
                self.step(Event::Lines { conn, lines: Lines::from("PING 1 0") });
            }
        }
    }

    pub(super) fn hear(&mut self, from: Peer, line: &str) {
        self.step(Event::Lines { conn: from.conn, lines: Lines::from(line) });
    }

    /// What has been said to a peer since the last time.
    pub(super) fn told(&mut self, peer: Peer) -> Vec<String> {
        let (told, rest) = self.said.drain(..).partition(|(to, _)| *to == peer.conn);
        self.said = rest;
        let told: Vec<(ConnId, String)> = told;
        told.into_iter().map(|(_, line)| line).collect()
    }

    pub(super) fn noted(&self, words: &str) -> usize {
        self.notes.iter().filter(|note| note.contains(words)).count()
    }

    pub(super) fn faults(&self, fault: Fault) -> u64 {
        self.engine.trust.faults().find(|(found, _)| *found == fault).unwrap().1
    }

    pub(super) fn refused(&self, reason: &str) -> u64 {
        self.engine.trust.refused().find(|(word, _)| *word == reason).map_or(0, |(_, count)| count)
    }

    pub(super) fn is_up(&self, peer: Peer) -> bool {
        self.engine.links.by_conn.get(&peer.conn).is_some_and(|link| link.stage == LinkStage::Up)
    }

    pub(super) fn tip(&self, stream: Stream, run: &str) -> u64 {
        self.engine.network.seen(stream).tip(Run::parse(run).unwrap())
    }

    pub(super) fn call(&mut self, sid: &'static str, pin: u8) -> Peer {
        self.conns += 1;
        let conn = ConnId(1000 + self.conns);
        let from = Origin::Peer {
            address: "10.0.0.9:40000".parse().unwrap(),
            dialled: None,
            pin: Pin([pin; 32]),
            exporter: [9; 32],
        };
        self.step(Event::Opened { conn, from });
        Peer { conn, sid }
    }

    pub(super) fn greet(&mut self, peer: Peer, name: &str, clock_ms: u64, network: &str) -> Vec<String> {
        let greeting = format!("CONNECT_SERVER 1 {} 1 {name} bm9uY2U= {clock_ms} * :{network}", peer.sid);
        self.hear(peer, &greeting);
        self.told(peer)
    }

    pub(super) fn prove(&mut self, peer: Peer, nonce: &str, seen: &str) {
        let text = ["folkmoot/1", "caller", peer.sid, "1AA", "bm9uY2U=", nonce, ""].join("\0");
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        let tag = hmac::sign(&key, &[text.as_bytes(), &[9; 32]].concat());
        self.hear(peer, &format!("PROOF {} {seen} 0", BASE64.encode(tag)));
    }

    /// A peer that is let in, and has said what it has.
    pub(super) fn linked(&mut self, sid: &'static str, name: &str) -> Peer {
        let peer = self.call(sid, sid.as_bytes()[0]);
        let greeting = self.told(peer)[0].clone();
        let nonce = greeting.split(' ').nth(5).unwrap().to_string();
        self.greet(peer, name, WALL_MS + self.now_ms, "Folkmoot");
        self.prove(peer, &nonce, "0");
        self.hear(peer, "CONNECTED ok");
        self.hear(peer, "HAVE M :\nHAVE D :\nHAVE S :");
        assert!(self.is_up(peer), "{:?}", self.notes);
        self.hear(peer, &format!("ROUTES {sid} 1 1 :1AA=1"));
        self.introduce(peer, name);
        self.told(peer);
        peer
    }

    /// Somebody on this server.
    pub(super) fn client(&mut self, conn: u64, nick: &str) -> UserId {
        let address = "10.0.0.1:50000".parse().unwrap();
        let from = Origin::Client { address, name: None, secure: None, certificate: None };
        self.step(Event::Opened { conn: ConnId(conn), from });
        self.hear_client(conn, &format!("NICK {nick}\nUSER {nick} 0 * :{nick}"));
        self.engine.network.user_called(nick).expect("registered").id
    }

    pub(super) fn hear_client(&mut self, conn: u64, line: &str) {
        self.step(Event::Lines { conn: ConnId(conn), lines: Lines::from(line) });
    }

    /// The first event of a peer's run: what it is.
    pub(super) fn introduce(&mut self, peer: Peer, name: &str) {
        let pin = Pin([peer.sid.as_bytes()[0]; 32]);
        let line = format!("SERVER {name} folkmoot-0 {pin} 9 1 * :");
        self.event(peer, &format!("{}.1.S1", peer.sid), 0, &line);
    }

    /// An event with a stamp so far from now.
    pub(super) fn event(&mut self, from: Peer, dot: &str, ahead_ms: u64, line: &str) {
        let stamp = base36::encode((WALL_MS + self.now_ms + ahead_ms) << 16);
        self.hear(from, &format!("@dot={dot}.{stamp} {line}"));
    }

    pub(super) fn user(&mut self, from: Peer, dot: &str, uid: &str, nick: &str, ahead_ms: u64) {
        let line = format!("USER {uid} {nick} 1.{} u h 10.0.0.1 + * * 1 :n", &uid[..3]);
        self.event(from, dot, ahead_ms, &line);
    }

    pub(super) fn sees(&self, nick: &str) -> bool {
        self.engine.network.user_called(nick).is_some()
    }
}

// Who may link.

#[test]
fn who_may_not_link_is_refused_with_a_reason_that_stays_the_same() {
    for (sid, name, pin, ahead_ms, network, reason) in [
        ("1AA", "barn.lan", 2, 0, "Folkmoot", "own-sid"),
        ("2BB", "hall.lan", 2, 0, "Folkmoot", "duplicate-name"),
        ("2BB", "barn.lan", 2, 0, "Elsewhere", "network"),
        ("2BB", "barn.lan", 2, 10_001, "Folkmoot", "clock"),
        ("3CC", "shed.lan", 9, 0, "Folkmoot", "duplicate-sid"),
        ("4DD", "shed.lan", 2, 0, "Folkmoot", "duplicate-name"),
        ("9ZZ", "not a name", 2, 0, "Folkmoot", "rules"),
    ] {
        let mut hall = Hall::new();
        hall.linked("3CC", "shed.lan");
        let peer = hall.call(sid, pin);
        let answer = hall.greet(peer, name, WALL_MS + ahead_ms, network);
        let refusal = format!("CONNECTED refused {reason} :");
        assert!(answer.iter().any(|line| line.starts_with(&refusal)), "{reason}: {answer:?}");
        assert_eq!(hall.refused(reason), 1, "{reason}");
        assert!(!hall.engine.links.by_conn.contains_key(&peer.conn), "{reason}");
    }
}

#[test]
fn a_server_without_the_secret_is_refused() {
    let mut hall = Hall::new();
    let peer = hall.call("2BB", 2);
    hall.greet(peer, "barn.lan", WALL_MS, "Folkmoot");
    hall.prove(peer, "another nonce", "0");
    assert!(hall.told(peer).iter().any(|line| line.starts_with("CONNECTED refused proof :")));
    assert_eq!(hall.refused("proof"), 1);
}

// What nobody may write.

#[test]
fn what_is_written_of_anothers_users_counts_for_nothing_and_the_link_stays() {
    let mut hall = Hall::new();
    let shed = hall.linked("3CC", "shed.lan");
    let barn = hall.linked("2BB", "barn.lan");
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
    assert!(hall.sees("carol"));
    for seq in 2..30 {
        hall.event(barn, &format!("2BB.1.S{}", base36::encode(seq)), 0, "QUIT 3CCAAAAAA :begone");
    }
    assert!(hall.sees("carol"));
    assert_eq!(hall.tip(Stream::Session, "2BB.1"), 29, "numbers stay without gaps");
    assert_eq!(hall.faults(Fault::NotOwner), 28);
    assert_eq!(hall.noted("writes of a user of another server"), 1, "once a minute: {:?}", hall.notes);
    assert!(hall.is_up(barn));
    let told = hall.told(shed);
    assert_eq!(told.iter().filter(|line| line.contains("QUIT")).count(), 28, "others need the numbers, too");
    hall.wait(61_000);
    hall.event(barn, "2BB.1.Su", 0, "QUIT 3CCAAAAAA :begone");
    assert_eq!(hall.noted("and_before=27"), 1, "{:?}", hall.notes);
}

#[test]
fn events_in_the_name_of_this_server_are_not_taken() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    // It has been talked into new runs often enough.
    hall.engine.renewals = vec![0; 8];
    let tip = hall.tip(Stream::Session, "1AA.3");
    hall.event(barn, &format!("1AA.3.S{}", base36::encode(tip + 1)), 0, "GOODBYE :so long");
    hall.event(barn, "1AA.4.S1", 0, "SERVER hall.lan x sha256:00 9 1 * :");
    assert_eq!((hall.tip(Stream::Session, "1AA.3"), hall.tip(Stream::Session, "1AA.4")), (tip, 0));
    assert_eq!(hall.faults(Fault::OwnOrigin), 2);
    assert!(hall.is_up(barn));
}

#[test]
fn a_snapshot_cannot_end_what_this_server_owns_nor_speak_for_its_runs_to_come() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.engine.renewals = vec![0; 8];
    let tip = hall.tip(Stream::Session, "1AA.3");
    hall.hear(barn, "HAVE S :9ZZ.1=5");
    assert!(hall.told(barn).iter().any(|line| line.starts_with("WANT S ")));
    let next = base36::encode(tip + 7);
    hall.hear(barn, "SNAPSHOT S");
    hall.event(barn, "1AA.4.S1", 0, "SERVER hall.lan x sha256:00 9 1 * :");
    hall.hear(barn, &format!("DONE S :1AA.3={next} 1AA.4=1 9ZZ.1=5"));
    assert_eq!(hall.tip(Stream::Session, "1AA.3"), tip);
    assert_eq!(hall.tip(Stream::Session, "1AA.4"), 0);
    assert_eq!(
        hall.engine.network.server(ServerId::parse("1AA").unwrap()).map(|server| server.epoch),
        Some(3)
    );
    assert_eq!(hall.tip(Stream::Session, "9ZZ.1"), 5);
}

#[test]
fn a_server_is_not_talked_into_ever_new_runs() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.hear(barn, "HAVE S :1AA.zik0zj=5");
    assert_eq!(hall.engine.identity.epoch, 3, "no such number of runs is likely");
    assert!(hall.is_up(barn));
    for _ in 0..20 {
        let barn = hall.linked("2BB", "barn.lan");
        hall.hear(barn, &format!("HAVE S :1AA.{}=zz", base36::encode(u64::from(hall.engine.identity.epoch))));
    }
    assert_eq!(hall.engine.identity.epoch, 11, "eight times in ten minutes at most");
    assert!(hall.faults(Fault::OwnOrigin) >= 7);
}

#[test]
fn nobody_is_believed_to_be_in_a_run_that_no_server_comes_to() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let shed = hall.linked("3CC", "shed.lan");
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
    hall.told(barn);
    for line in
        ["HAVE S :3CC.zik0zj=5", "HAVE S :3CC.1z141z3=5", "HAVE D :3CC.zik0zj=5", "HAVE M :3CC.zik0zj=5"]
    {
        hall.hear(barn, line);
        assert!(!hall.told(barn).iter().any(|line| line.starts_with("WANT")), "{line}");
    }
    hall.event(barn, "3CC.zik0zj.S1", 0, "GOODBYE :so long");
    hall.hear(barn, "ROUTES 3CC zik0zj 1 :2BB=1");
    assert_eq!(hall.tip(Stream::Session, "3CC.zik0zj"), 0);
    assert!(hall.sees("carol") && hall.is_up(barn));
    assert!(hall.faults(Fault::TooMany) > 0);
}

#[test]
fn nobody_is_at_a_host_that_reads_as_several_people_in_a_list() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.event(barn, "2BB.1.S2", 0, "USER 2BBAAAAAA ann 1.2BB u 10,9.0.1 10.0.0.1 + * * 1 :n");
    hall.user(barn, "2BB.1.S3", "2BBAAAAAB", "ben", 0);
    assert!(!hall.sees("ann") && hall.sees("ben"));
}

// Clocks.

#[test]
fn an_origin_whose_clock_is_ahead_waits_until_the_time_has_come() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let shed = hall.linked("3CC", "shed.lan");
    hall.user(barn, "2BB.1.S2", "2BBAAAAAA", "alice", 59_000);
    assert!(hall.sees("alice"), "less than a minute is no matter");
    hall.user(barn, "2BB.1.S3", "2BBAAAAAB", "bob", 100_000);
    hall.user(barn, "2BB.1.S4", "2BBAAAAAC", "carol", 0);
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "dave", 0);
    assert!(!hall.sees("bob") && !hall.sees("carol"), "the origin waits as a whole");
    assert!(hall.sees("dave"), "nobody else does");
    assert!(hall.engine.clock.ms() < WALL_MS + 60_000, "the clock here does not follow");
    assert_eq!(hall.noted("barn.lan is in quarantine"), 1);
    assert!(hall.is_up(barn));
    hall.told(barn);
    hall.hear(barn, "HAVE S :2BB.1=5");
    hall.wait(30_000);
    assert!(!hall.told(barn).iter().any(|line| line.starts_with("WANT S")), "nor is it asked for");
    assert!(!hall.sees("bob"));
    hall.wait(15_000);
    assert!(hall.sees("bob") && hall.sees("carol"), "{:?}", hall.notes);
    assert_eq!(hall.noted("out of quarantine"), 1);
}

#[test]
fn a_clock_ahead_in_a_snapshot_holds_back_that_origin_only() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.user(barn, "2BB.1.S2", "2BBAAAAAA", "alice", 0);
    hall.hear(barn, "HAVE S :9ZZ.1=2 9ZZ.2=1 2BB.1=4");
    hall.hear(barn, "SNAPSHOT S");
    hall.event(barn, "9ZZ.1.S1", 0, "SERVER mill.lan x sha256:00 9 1 * :");
    // The same holds for a later run, and for what the origin had said before.
    hall.event(barn, "9ZZ.2.S1", 0, "SERVER mill.lan x sha256:00 9 1 * :");
    hall.user(barn, "2BB.1.S4", "2BBAAAAAB", "bob", 100_000);
    hall.hear(barn, "DONE S :9ZZ.1=2 9ZZ.2=1 2BB.1=4");
    assert_eq!((hall.tip(Stream::Session, "2BB.1"), hall.tip(Stream::Session, "9ZZ.2")), (2, 1));
    assert!(hall.sees("alice") && !hall.sees("bob"));
    assert!(hall.engine.clock.ms() < WALL_MS + 60_000);
    hall.wait(41_000);
    assert!(
        hall.told(barn).iter().any(|line| line.starts_with("WANT S")),
        "asked for when its time has come"
    );
}

#[test]
fn a_quarantine_ends_with_the_link_that_it_came_by_or_when_the_same_event_comes_in_time() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let shed = hall.linked("3CC", "shed.lan");
    hall.user(barn, "3CC.1.S2", "3CCAAAAAA", "mallory", 3_600_000);
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
    assert!(hall.sees("carol") && !hall.sees("mallory"));
    hall.user(shed, "3CC.1.S3", "3CCAAAAAB", "dave", 0);
    assert!(hall.sees("dave"), "that time was false");
    hall.user(barn, "3CC.1.S4", "3CCAAAAAC", "mallory", 3_600_000);
    hall.user(shed, "3CC.1.S5", "3CCAAAAAD", "erin", 0);
    assert!(!hall.sees("erin"));
    hall.told(shed);
    hall.step(Event::Closed { conn: barn.conn, why: "gone".to_string() });
    assert!(hall.told(shed).iter().any(|line| line.starts_with("WANT S ")), "{:?}", hall.notes);
    hall.user(shed, "3CC.1.S4", "3CCAAAAAC", "frank", 0);
    assert!(hall.sees("frank") && hall.sees("erin"));
}

#[test]
fn messages_of_an_origin_ahead_wait_too() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.event(barn, "2BB.1.M1", 90_000, ":a!u@h PRIVMSG 2BBAAAAAA #green :hello");
    assert_eq!(hall.tip(Stream::Message, "2BB.1"), 0);
    hall.wait(31_000);
    assert_eq!(hall.tip(Stream::Message, "2BB.1"), 1);
}

// Events changed on their way.

#[test]
fn whoever_changes_events_on_their_way_is_named_and_believed_no_more_but_in_its_own_name() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    // The shed is behind the barn, which tells of it what it likes.
    hall.hear(barn, "ROUTES 2BB 1 2 :1AA=1 3CC=1\nROUTES 3CC 1 1 :2BB=1");
    let pin = Pin([b'3'; 32]);
    let stamp = base36::encode(WALL_MS << 16);
    let first = format!("@dot=3CC.1.S1.{stamp} SERVER shed.lan folkmoot-0 {pin} 9 1 * :");
    let user =
        |nick: &str| format!("@dot=3CC.1.S2.{stamp} USER 3CCAAAAAA {nick} 1.3CC u h 10.0.0.1 + * * 1 :n");
    hall.hear(barn, &first);
    hall.hear(barn, &user("mallory"));
    assert!(hall.sees("mallory"));
    // Somebody else has heard otherwise: no more than that is sure.
    let right = next_hash(next_hash(0, [first.as_str()]), [user("carol").as_str()]);
    let mill = hall.linked("4DD", "mill.lan");
    hall.hear(mill, &format!("CHAIN S {RULES} :3CC.1=2/{}", base36::encode(right)));
    assert_eq!(hall.faults(Fault::Forged), 1);
    assert_eq!(hall.engine.chains.false_relays().count(), 0);
    // Then the shed calls by itself.
    let shed = hall.call("3CC", b'3');
    let nonce = hall.told(shed)[0].split(' ').nth(5).unwrap().to_string();
    hall.greet(shed, "shed.lan", WALL_MS, "Folkmoot");
    hall.prove(shed, &nonce, "0");
    hall.hear(shed, "CONNECTED ok\nHAVE M :\nHAVE D :\nHAVE S :3CC.1=2");
    hall.wait(60_000);
    hall.hear(shed, &format!("CHAIN S {RULES} :3CC.1=2/{}", base36::encode(right)));
    assert_eq!(hall.noted("events of shed.lan came here changed, by way of barn.lan"), 1, "{:?}", hall.notes);
    // What the barn says of others from now on counts for nothing; what it says of itself does.
    hall.event(barn, "3CC.1.S3", 0, "QUIT 3CCAAAAAA :begone");
    hall.user(barn, "2BB.1.S2", "2BBAAAAAA", "bob", 0);
    assert!(hall.sees("mallory") && hall.sees("bob"));
    // What is false is put right by whoever wrote it, as any fact that differs.
    let seen = hall.engine.seen_digest(Stream::Session);
    hall.hear(shed, &format!("STATE S {RULES} {} 5", base36::encode(seen)));
    let asked = hall.told(shed);
    assert!(asked.iter().any(|line| line.starts_with("BUCKETS S ")), "{asked:?}");
    hall.wait(601_000);
    let asked = hall.told(barn);
    assert!(
        asked.iter().any(|line| line.starts_with("WANT S ")),
        "what was not taken is asked for: {asked:?}"
    );
    hall.event(barn, "3CC.1.S3", 0, "QUIT 3CCAAAAAA :bye");
    assert!(!hall.sees("mallory"), "after a while it may have been put in order");
}

#[test]
fn those_who_pass_on_what_they_heard_agree_on_every_origin() {
    let mut mesh = crate::engine::peer::Mesh::new(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]);
    mesh.say(0, "PRIVMSG #green :hello\nAWAY :x");
    mesh.pull_out(2);
    mesh.say(2, "TOPIC #green :sowing");
    mesh.say(1, "PRIVMSG #green :anyone?\nMODE #green +b a!*@*");
    mesh.plug_in();
    mesh.wait(120_000);
    assert_eq!(mesh.faults(Fault::Forged), 0);
    assert!(mesh.between.iter().any(|line| line.starts_with("CHAIN M ")));
}
