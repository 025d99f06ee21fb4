//! Peers that hold the network's secret and misuse it, against the built program: nobody else may notice.

#[path = "support/process/mod.rs"]
mod process;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::client::Client;
use process::peer::{self, Greeting};
use process::{Server, figures, linked};

/// Two linked servers with people, and a third that was let in and is up to no good.
struct Village {
    hall: Server,
    _barn: Server,
    _relay: process::relay::Relay,
    alice: Client,
    bob: Client,
    shed: Client,
}

impl Village {
    fn new() -> Village {
        let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
        let relay = linked(&mut hall, &mut barn);
        let (mut alice, mut bob) = (hall.client("alice"), barn.client("bob"));
        alice.join("#green");
        bob.join("#green");
        let mark = hall.mark();
        let mut shed = peer::call(hall.places().link[0], "hall.lan", &hall.data().join("node.cert"));
        peer::prove(&mut shed, &Greeting { sid: "9ZZ", name: "shed.lan", network: "Folkmoot" });
        shed.say("HAVE M :");
        shed.say("HAVE D :");
        shed.say("HAVE S :");
        hall.logs(mark, "shed.lan linked");
        alice.sync();
        bob.sync();
        Village { hall, _barn: barn, _relay: relay, alice, bob, shed }
    }

    /// People still hear each other, in both directions.
    fn is_well(&mut self) {
        self.alice.say("PRIVMSG #green :from alice");
        self.bob.hear_until("PRIVMSG #green :from alice");
        self.bob.say("PRIVMSG #green :from bob");
        self.alice.hear_until("PRIVMSG #green :from bob");
        for words in ["barn.lan closed", "met a bug"] {
            assert!(!self.hall.log().text().contains(words), "{words}");
        }
    }

    /// An event of the third server, with a stamp so far ahead.
    fn event(&mut self, dot: &str, ahead: Duration, line: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead;
        let stamp = base36((now.as_millis() as u64) << 16);
        self.shed.say(&format!("@dot={dot}.{stamp} {line}"));
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    digits.reverse();
    String::from_utf8(digits).unwrap()
}

#[test]
fn a_clock_ahead_and_lies_about_others_are_told_and_harm_nobody() {
    let mut village = Village::new();
    let mark = village.hall.mark();
    let server = "SERVER shed.lan folkmoot-0 sha256:00 9 1 * :";
    village.event("9ZZ.1.S1", Duration::ZERO, server);
    let user = "USER 9ZZAAAAAA eve 1.9ZZ u h 10.0.0.1 + * * 1 :n";
    village.event("9ZZ.1.S2", Duration::from_secs(3_600), user);
    village.hall.logs(mark, "is in quarantine: its clock is ahead of the one here origin=9ZZ.1");
    let sid = village.hall.log().text();
    let sid = sid.split(" sid=").nth(1).unwrap().get(..3).unwrap().to_string();
    village.event(&format!("{sid}.1yyyyyy.S1"), Duration::ZERO, "GOODBYE :so long");
    village.hall.logs(mark, "tells of a later run of this server, which is not believed");
    village.is_well();
}

#[test]
fn a_peer_that_does_not_read_costs_its_own_link_only() {
    let mut village = Village::new();
    let mark = village.hall.mark();
    // It is told all that is said, as long as it claims to be within reach, and asks for it again and again.
    village.shed.say("ROUTES 9ZZ 1 1 :");
    let before = figures::memory_bytes(village.hall.pid());
    for _ in 0..40 {
        let wants = "WANT S :\r\n".repeat(5_000);
        // Once the other side has had enough, there is nobody to send to.
        village.shed.send_within(wants.as_bytes(), Duration::from_millis(200));
        if village.hall.log().count(mark, "shed.lan closed") > 0 {
            break;
        }
    }
    village.hall.logs(mark, "shed.lan closed");
    let after = figures::memory_bytes(village.hall.pid());
    assert!(after < before + (64 << 20), "{before} {after}");
    village.is_well();
}

#[test]
fn early_events_of_made_up_origins_do_not_fill_the_memory() {
    let mut village = Village::new();
    let before = figures::memory_bytes(village.hall.pid());
    let text = "x".repeat(3_500);
    for number in 0..20_000u64 {
        let origin = base36(1 + number % 5_000);
        let seq = base36(2 + number);
        let line = format!(":a!u@h PRIVMSG 9ZZAAAAAA #green :{text}");
        village.shed.say(&format!("@dot=9ZZ.{origin}.M{seq}.1 {line}"));
    }
    village.is_well();
    let after = figures::memory_bytes(village.hall.pid());
    assert!(after < before + (96 << 20), "{before} {after}");
}
