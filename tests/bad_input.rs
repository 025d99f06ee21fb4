//! What comes in over the wire and should not: it costs whoever sent it, and nobody else.

#[path = "support/process/mod.rs"]
mod process;

use std::time::{Duration, Instant};

use process::client::{Came, Client};
use process::log::Mark;
use process::peer::{self, Greeting};
use process::relay::Relay;
use process::{Server, figures, linked, until};
use rustix::process::Pid;

/// Two linked servers with a well-behaved client on each, who must not notice anything.
struct Village {
    hall: Server,
    barn: Server,
    relay: Relay,
    alice: Client,
    bob: Client,
    /// Links are counted from here.
    since: (Mark, Mark),
}

impl Village {
    fn new() -> Village {
        let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
        let relay = linked(&mut hall, &mut barn);
        let (alice, bob) = (hall.client("alice"), barn.client("bob"));
        let since = (hall.mark(), barn.mark());
        Village { hall, barn, relay, alice, bob, since }
    }

    /// Those who behave are served as ever, and the link is the one that was there before.
    fn is_well(&mut self) {
        assert_eq!(self.alice.sync(), [""; 0]);
        assert_eq!(self.bob.sync(), [""; 0]);
        for words in ["barn.lan closed", "barn.lan is out of reach", "ERROR", "met a bug"] {
            assert_eq!(self.hall.log().count(self.since.0, words), 0, "{words}");
        }
        for words in ["hall.lan closed", "hall.lan is out of reach", "ERROR", "met a bug"] {
            assert_eq!(self.barn.log().count(self.since.1, words), 0, "{words}");
        }
    }

    /// A stranger who has heard the hall's greeting.
    fn stranger(&self) -> Client {
        let mut stranger = self.caller();
        assert!(stranger.hear().starts_with("CONNECT_SERVER 1 "));
        stranger
    }

    fn caller(&self) -> Client {
        peer::call(self.hall.places().link[0], "hall.lan", &self.hall.data().join("node.cert"))
    }
}

/// The same bytes for the same seed.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A process with nothing to do must not be busy.
fn is_idle(pid: Pid) {
    // What is left of the work before may take a moment; work that nobody gave it never ends.
    let mut seen = Vec::new();
    for _ in 0..10 {
        let (before, looked) = (figures::busy(pid), Instant::now());
        // What is measured is time passing: there is nothing to wait for.
        std::thread::sleep(Duration::from_secs(1));
        let busy = figures::busy(pid).saturating_sub(before);
        if busy < looked.elapsed() / 10 {
            return;
        }
        seen.push(busy);
    }
    panic!("busy for {seen:?} in ten seconds with nothing to do");
}

// The client port.

#[test]
fn noise_on_the_client_port_disturbs_nobody() {
    let mut village = Village::new();
    for seed in 1..=20 {
        let mut stranger = village.hall.connect();
        stranger.send(&noise(seed, 10_000));
        stranger.stop_talking();
        stranger.hear_to_the_end();
    }
    let mut registered = village.hall.client("carol");
    registered.send(&noise(21, 100_000));
    registered.send(b"\r\n");
    registered.stop_talking();
    registered.hear_to_the_end();
    village.is_well();
    is_idle(village.hall.pid());
}

/// Proves: ERR_INPUTTOOLONG, line of 512 bytes
#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_heard() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    for too_long in
        [format!("PING {}", "x".repeat(506)), format!("@{} PING x", "t".repeat(4095)), "x".repeat(100_000)]
    {
        alice.say(&too_long);
        assert_eq!(alice.hear(), ":hall.lan 417 alice :Input line was too long");
        assert_eq!(alice.sync(), [""; 0]);
    }
    // As long as can be, and fine.
    let token = "x".repeat(400);
    alice.say(&format!("@t={} PING :{token}", "t".repeat(4092)));
    assert_eq!(alice.hear(), format!(":hall.lan PONG hall.lan :{token}"));
}

#[test]
fn a_line_in_pieces_is_one_line_and_half_a_line_none() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    for byte in b"PING :one two\r\n" {
        alice.send(&[*byte]);
    }
    assert_eq!(alice.hear(), ":hall.lan PONG hall.lan :one two");
    alice.send(b"PING :three\r\nPING :fo");
    assert_eq!(alice.hear(), ":hall.lan PONG hall.lan :three");
    alice.stop_talking();
    assert_eq!(alice.hear_to_the_end(), [""; 0]);
}

#[test]
fn text_without_end_holds_no_memory_and_leaves_no_work_behind() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    let mut talkers: Vec<Client> = (0..20).map(|_| hall.connect()).collect();
    // Their threads have memory of their own.
    talkers.iter_mut().for_each(|talker| drop(talker.sync()));
    let before = figures::memory_bytes(hall.pid());
    // As much as ten thousand lines can hold, from each.
    let piece = [b'x'; 64 << 10];
    for _ in 0..10_000 * 512 / piece.len() {
        talkers.iter_mut().for_each(|talker| talker.send(&piece));
    }
    for talker in &mut talkers {
        assert_eq!(talker.hear(), ":hall.lan 417 * :Input line was too long");
    }
    // That was said early on; much may still be on its way.
    for talker in &mut talkers[1..] {
        talker.send(b"\r\nPING :taken in\r\n");
        assert_eq!(talker.hear(), ":hall.lan PONG hall.lan :taken in");
    }
    assert_eq!(alice.sync(), [""; 0]);
    let grown = figures::memory_bytes(hall.pid()).saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    // They are served again as soon as their line ends.
    for talker in &mut talkers {
        talker.send(b"\r\n");
        assert_eq!(talker.sync(), [""; 0]);
    }
    is_idle(hall.pid());
}

/// Proves: text that is not UTF-8
#[test]
fn what_is_not_utf8_fails_and_only_that() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    let mixed = b"PRIVMSG alice :caf\xe9\r\nPING :caf\xc3\xa9\r\n";
    alice.send(mixed);
    assert!(alice.hear().starts_with(":hall.lan NOTICE alice :"));
    assert_eq!(alice.hear(), ":hall.lan PONG hall.lan :café");
    alice.say("CAP REQ standard-replies");
    alice.hear_until(" ACK ");
    alice.send(mixed);
    let fail = alice.hear();
    assert!(fail.starts_with(":hall.lan FAIL ") && fail.contains(" INVALID_UTF8 :"), "{fail}");
    assert_eq!(alice.hear(), ":hall.lan PONG hall.lan :café");
}

#[test]
fn nul_is_nothing() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    alice.send(b"PI\0NG :a\0b\r\n\0\r\n\0\0\n");
    assert_eq!(alice.hear(), ":hall.lan PONG hall.lan :ab");
    assert_eq!(alice.sync(), [""; 0]);
}

#[test]
fn tls_and_http_on_the_plain_port_are_turned_away() {
    let mut village = Village::new();
    let mut tls = village.hall.connect();
    tls.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(tls.hear_to_the_end(), [""; 0]);
    let mut http = village.hall.connect();
    http.send(b"GET / HTTP/1.1\r\nHost: hall.lan\r\n\r\n");
    let refused = "ERROR :Closing link: 127.0.0.1 (This is a server for IRC, and not for the web)";
    assert_eq!(http.hear_to_the_end(), [refused]);
    village.is_well();
}

#[test]
fn who_says_nothing_is_let_go() {
    let hall = Server::started("hall", "limits.register_within = \"1s\"");
    let mut mute = hall.connect();
    let heard = mute.hear_to_the_end();
    assert_eq!(heard, ["ERROR :Closing link: 127.0.0.1 (Registration timed out)"]);
}

#[test]
fn a_byte_now_and_then_is_no_sign_of_life() {
    let mut hall = Server::new("hall");
    for limit in ["register_within = \"1s\"", "ping_after = \"1s\"", "pong_within = \"1s\""] {
        hall.set(&format!("limits.{limit}"));
    }
    hall.start();
    let mut dripping = hall.connect();
    let end = drip(&mut dripping);
    assert_eq!(end, "ERROR :Closing link: 127.0.0.1 (Registration timed out)");
    let mut dripping = hall.client("alice");
    let end = drip(&mut dripping);
    assert!(end.starts_with("ERROR :Closing link: 127.0.0.1 (Ping timeout: "), "{end}");
}

/// Sends a line that never ends, byte by byte; the last that is heard.
fn drip(client: &mut Client) -> String {
    let mut heard = String::new();
    loop {
        client.send(b"N");
        match client.next_by(Instant::now() + Duration::from_millis(50)) {
            Came::Line(line) => heard = line,
            Came::Nothing => {}
            Came::End => return heard,
        }
    }
}

#[test]
fn handshakes_that_do_not_end_count_and_hold_nobody_up() {
    let hall = Server::started("hall", "limits.connections_per_address = 3");
    let half_open: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(hall.places().ircs[0]);
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            client
        })
        .collect();
    let mut carol = hall.connect_tls();
    carol.register("carol");
    let mut one_too_many = hall.connect();
    assert_eq!(one_too_many.hear_to_the_end(), ["ERROR :Too many connections from your address"]);
    assert_eq!(carol.sync(), [""; 0]);
    drop(half_open);
}

#[test]
fn only_one_password_of_a_client_is_checked_at_a_time() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    alice.send("OPER admin guess\r\n".repeat(3).as_bytes());
    for expected in [" 263 alice OPER :", " 263 alice OPER :", " 464 alice :"] {
        let line = alice.hear();
        assert!(line.contains(expected), "{line}");
    }
    alice.say("OPER admin guess");
    alice.hear_until(" 464 alice :");
}

// The link port.

#[test]
fn noise_on_the_link_port_is_refused_and_disturbs_nobody() {
    let mut village = Village::new();
    for seed in 1..=20 {
        let mut stranger = Client::connect(village.hall.places().link[0]);
        stranger.send(&noise(seed, 10_000));
        stranger.stop_talking();
        let mark = village.since.0;
        let address = stranger.address();
        village.hall.logs(mark, &format!("{address} called and was not let in: no TLS handshake"));
    }
    village.is_well();
    is_idle(village.hall.pid());
}

#[test]
fn who_gets_through_tls_and_says_no_greeting_is_refused() {
    let mut village = Village::new();
    for (said, reason) in [
        ("PROOF x 0 0", "order"),
        ("CONNECTED ok", "order"),
        ("HAVE S", "order"),
        ("@dot=0AA.1.S1.1 GOODBYE :x", "order"),
        ("CONNECT_SERVER 2 9ZZ 1 shed.lan x 0 * :Folkmoot", "rules"),
        ("CONNECT_SERVER 1 nonsense 1 shed.lan x 0 * :Folkmoot", "rules"),
    ] {
        let mark = village.hall.mark();
        let mut stranger = village.stranger();
        stranger.say(said);
        let answer = stranger.hear();
        assert!(answer.starts_with(&format!("CONNECTED refused {reason} :")), "{said}: {answer}");
        assert_eq!(stranger.hear_to_the_end(), [""; 0], "{said}");
        village.hall.logs(mark, &format!(" reason={reason} why="));
    }
    village.is_well();
}

#[test]
fn who_says_nothing_at_the_link_port_is_let_go() {
    let mut village = Village::new();
    let mark = village.hall.mark();
    let mut without_tls = Client::connect(village.hall.places().link[0]);
    let mut without_greeting = village.stranger();
    village.hall.logs(mark, "called and was not let in: the TLS handshake took too long");
    village.hall.logs(mark, " why=\"the greeting took too long\"");
    assert_eq!(without_tls.hear_to_the_end(), [""; 0]);
    assert_eq!(without_greeting.hear_to_the_end(), [""; 0]);
    village.is_well();
}

#[test]
fn lines_that_make_no_sense_cost_only_themselves() {
    let mut village = Village::new();
    let mark = village.hall.mark();
    let mut stranger = village.stranger();
    let greeting = Greeting { sid: "9ZZ", name: "shed.lan", network: "Folkmoot" }.line();
    stranger.send(b"what is this\r\n\xff\xfe\r\n\r\n");
    stranger.say(&"x".repeat(20_000));
    stranger.say(&greeting);
    // Greeted all the same.
    assert!(stranger.hear().starts_with("PROOF "));
    for what in ["what", "NotUtf8", "TooLong"] {
        village.hall.logs(
            mark,
            &format!("sent a line that makes no sense conn={} what={what}", conn_of(&village, mark)),
        );
    }
    village.is_well();
}

/// The number that the log calls the last caller by.
fn conn_of(village: &Village, mark: Mark) -> String {
    let line = village.hall.logs(mark, " calls conn=");
    line.split(" conn=").nth(1).unwrap().split(' ').next().unwrap().to_string()
}

#[test]
fn nobody_passes_for_a_server_whose_certificate_is_known() {
    let pin = format!("sha256:{}", "0".repeat(64));
    let hall = Server::started(
        "hall",
        &format!("link = [{{ name = \"barn.lan\", connect = false, pin = \"{pin}\" }}]"),
    );
    let mark = hall.mark();
    let mut stranger = peer::call(hall.places().link[0], "hall.lan", &hall.data().join("node.cert"));
    assert!(stranger.hear().starts_with("CONNECT_SERVER 1 "));
    stranger.say(&Greeting { sid: "9ZZ", name: "Barn.lan", network: "Folkmoot" }.line());
    assert!(
        stranger.hear().starts_with("CONNECTED refused pin :hall.lan knows Barn.lan by another certificate")
    );
    hall.logs(mark, " reason=pin why=");
}

#[test]
fn who_cannot_be_part_of_the_network_is_told_why() {
    let mut village = Village::new();
    let sid = village.caller().hear().split(' ').nth(2).unwrap().to_string();
    let fit = Greeting { sid: "9ZZ", name: "shed.lan", network: "Folkmoot" };
    let mut late = Greeting { ..fit }.line();
    // As if the clock stood in the year 2001.
    let clock = late.split(' ').nth(6).unwrap().to_string();
    late = late.replace(&clock, "1000000000000");
    for (line, reason) in [
        (Greeting { sid: &sid, ..fit }.line(), "own-sid"),
        (Greeting { name: "hall.lan", ..fit }.line(), "duplicate-name"),
        (Greeting { name: "barn.lan", ..fit }.line(), "duplicate-name"),
        (Greeting { network: "Elsewhere", ..fit }.line(), "network"),
        (late, "clock"),
    ] {
        let mark = village.hall.mark();
        let mut stranger = village.stranger();
        stranger.say(&line);
        let answer = stranger.hear();
        assert!(answer.starts_with(&format!("CONNECTED refused {reason} :")), "{line}: {answer}");
        assert_eq!(stranger.hear_to_the_end(), [""; 0], "{line}");
        village.hall.logs(mark, &format!(" reason={reason} why="));
    }
    village.is_well();
}

#[test]
fn a_proof_by_someone_who_lacks_the_secret_is_refused() {
    let mut village = Village::new();
    let mut stranger = village.stranger();
    stranger.say(&Greeting { sid: "9ZZ", name: "shed.lan", network: "Folkmoot" }.line());
    assert!(stranger.hear().starts_with("PROOF "));
    stranger.say("PROOF bm8gcHJvb2Y= 0 0");
    let answer = stranger.hear();
    assert!(answer.starts_with("CONNECTED refused proof :"), "{answer}");
    assert_eq!(stranger.hear_to_the_end(), [""; 0]);
    village.is_well();
}

#[test]
fn a_proven_peer_that_talks_nonsense_stays_and_one_out_of_turn_goes() {
    let mut village = Village::new();
    let mark = village.hall.mark();
    let mut stranger = village.caller();
    peer::prove(&mut stranger, &Greeting { sid: "9ZZ", name: "shed.lan", network: "Folkmoot" });
    let conn = conn_of(&village, mark);
    stranger.say(&"x".repeat(20_000));
    stranger.send(b"\xff\xfe\r\nNO SUCH THING\r\n@dot=nonsense QUIT x\r\nHAVE\r\n");
    for what in ["TooLong", "NotUtf8", "NO", "QUIT", "HAVE"] {
        village.hall.logs(mark, &format!("shed.lan sent a line that makes no sense conn={conn} what={what}"));
    }
    village.is_well();
    stranger.say("PROOF x 0 0");
    assert!(stranger.hear_until("CONNECTED ").starts_with("CONNECTED refused order :"));
    assert_eq!(stranger.hear_to_the_end(), [""; 0]);
    village.is_well();
}

#[test]
fn our_own_proof_sent_back_proves_nothing() {
    let mut village = Village::new();
    let mut stranger = village.stranger();
    stranger.say(&Greeting { sid: "9ZZ", name: "shed.lan", network: "Folkmoot" }.line());
    let proof = stranger.hear();
    stranger.say(&proof);
    assert!(stranger.hear().starts_with("CONNECTED refused proof :"));
    village.is_well();
}

#[test]
fn servers_with_different_secrets_do_not_link_and_both_logs_say_why() {
    let mut village = Village::new();
    let mut shed = Server::new("shed");
    std::fs::write(shed.path().join("secret"), "nobody else knows this one\n").unwrap();
    shed.call("hall.lan", village.hall.places().link[0]);
    shed.start();
    let why = "why=\"the two servers do not hold the same network secret\"";
    shed.logs(Mark::START, why);
    let said = village.hall.logs(village.since.0, why);
    assert!(said.contains("shed.lan refused conn=") && said.contains(" reason=proof "), "{said}");
    village.is_well();
}

#[test]
fn a_client_at_the_link_port_and_a_link_at_the_client_port_come_to_nothing() {
    let mut village = Village::new();
    let mark = village.hall.mark();
    let mut lost = Client::connect(village.hall.places().link[0]);
    lost.say("NICK carol\r\nUSER carol 0 * :Carol");
    let address = lost.address();
    village.hall.logs(mark, &format!("{address} called and was not let in: no TLS handshake"));

    let mut shed = Server::new("shed");
    shed.call("hall.lan", village.hall.places().irc[0]);
    shed.start();
    shed.logs(Mark::START, "hall.lan cannot be reached at=");
    village.is_well();
}

// What is left behind.

#[test]
fn a_thousand_visits_and_twenty_cuts_leave_nothing_behind() {
    let mut village = Village::new();
    let pids = [village.hall.pid(), village.barn.pid()];
    let look = || pids.map(|pid| (figures::threads(pid), figures::descriptors(pid)));
    let before = look();
    for round in 0..100 {
        let mut visitors: Vec<Client> = (0..10).map(|_| village.hall.connect()).collect();
        for (number, visitor) in visitors.iter_mut().enumerate() {
            match (round + number) % 4 {
                0 => {}
                1 => visitor.send(b"NICK half"),
                2 => visitor.say(&format!("NICK n{number}")),
                _ => drop(visitor.register(&format!("v{number}"))),
            }
        }
    }
    for _ in 0..20 {
        let mark = (village.hall.mark(), village.barn.mark());
        village.relay.interrupt();
        village.hall.logs(mark.0, "barn.lan closed");
        village.barn.logs(mark.1, "hall.lan closed");
        // Else the wait before the next call doubles each time.
        village.hall.reload();
        village.hall.is_linked_with(mark.0, &village.barn);
        village.barn.is_linked_with(mark.1, &village.hall);
    }
    // What a start has open for a moment may have been among it.
    let is_back = || before.iter().zip(look()).all(|(before, now)| now.0 == before.0 && now.1 <= before.1);
    until(is_back).unwrap_or_else(|why| panic!("{why}: {before:?} became {:?}", look()));
    // Too short for anyone to be shown as gone.
    assert_eq!((village.alice.sync(), village.bob.sync()), (vec![], vec![]));
}
