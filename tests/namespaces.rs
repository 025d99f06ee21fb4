//! Machines on a LAN, each a network namespace on one bridge: servers without settings find each other, and a cable is
//! pulled out and put back.

#[path = "support/process/mod.rs"]
mod process;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use process::client::Client;
use process::log::Mark;
use process::run::run_by;
use process::{SECRET, Server, until};

/// How long it may take until servers that start on one LAN are linked.
const LINKED_WITHIN: Duration = Duration::from_secs(5);
/// A link is given up after 20 seconds of silence, its users after 5 more, and a call that nobody takes lasts 10.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
const HEALED_WITHIN: Duration = Duration::from_secs(90);
/// How long users of a server out of reach are held where its settings do not say.
const HOLD: Duration = Duration::from_secs(5);

/// A bridge that this machine is on too, at the last address.
struct Lan {
    number: u32,
    machines: Vec<String>,
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("`ip` is there");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Lan {
    fn new() -> Lan {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = (std::process::id() + MADE.fetch_add(1, Ordering::Relaxed)) % 250;
        let lan = Lan { number, machines: Vec::new() };
        let bridge = lan.bridge();
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("addr add {}/24 dev {bridge}", lan.address(254)));
        ip(&format!("link set {bridge} up"));
        lan
    }

    fn bridge(&self) -> String {
        format!("folkmoot{}", self.number)
    }

    fn address(&self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number as u8, machine)
    }

    /// The bridge's end of a machine's cable.
    fn socket(&self, word: &str) -> String {
        format!("fm{}{word}", self.number)
    }

    fn namespace(&self, word: &str) -> String {
        format!("folkmoot-{}-{word}", self.number)
    }

    /// One more machine, with a name of its own.
    fn add(&mut self, word: &str) {
        let (namespace, socket) = (self.namespace(word), self.socket(word));
        ip(&format!("netns add {namespace}"));
        self.machines.push(word.to_string());
        let address = self.address(self.machines.len() as u8);
        ip(&format!("link add {socket} type veth peer name eth0 netns {namespace}"));
        ip(&format!("link set {socket} master {} up", self.bridge()));
        ip(&format!("-n {namespace} addr add {address}/24 dev eth0"));
        ip(&format!("-n {namespace} link set eth0 up"));
        ip(&format!("-n {namespace} link set lo up"));
    }

    /// A server on such a machine, with no settings at all.
    fn server(&self, word: &str, secret: &str) -> Server {
        let namespace = self.namespace(word);
        let name_itself = format!("hostname {word} && exec \"$@\"");
        let starter = ["ip", "netns", "exec", &namespace, "unshare", "--uts", "sh", "-c", &name_itself, "sh"];
        Server::bare(word, &starter, secret)
    }

    fn address_of(&self, word: &str) -> Ipv4Addr {
        let machine = self.machines.iter().position(|known| known == word).expect("it was added") + 1;
        self.address(machine as u8)
    }

    /// Has two machines hear nothing more of each other, and not know why; or has them hear of each other again.
    fn silence(&self, a: &str, b: &str, is_silent: bool) {
        let verb = if is_silent { "add" } else { "del" };
        for (here, there) in [(a, b), (b, a)] {
            ip(&format!("-n {} route {verb} blackhole {}", self.namespace(here), self.address_of(there)));
        }
    }

    fn client(&self, word: &str, nick: &str) -> Client {
        let mut client = Client::connect(SocketAddr::new(self.address_of(word).into(), 6667));
        client.register(nick);
        client
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for word in &self.machines {
            // Its cable goes with it.
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(word)]).status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge()]).status();
    }
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn two_fresh_servers_find_each_other_and_heal_when_a_cable_was_pulled() {
    let mut lan = Lan::new();
    lan.add("hall");
    lan.add("barn");
    let (mut hall, mut barn) = (lan.server("hall", SECRET), lan.server("barn", SECRET));
    hall.start();
    barn.start();
    let started = Instant::now();
    hall.is_linked_with(Mark::START, &barn);
    barn.is_linked_with(Mark::START, &hall);
    assert!(started.elapsed() < LINKED_WITHIN, "linked after {:?}", started.elapsed());

    let found = run_by(&["ip", "netns", "exec", &lan.namespace("barn")], &["discover"]);
    assert!(found.stdout.contains("hall.lan") && found.stdout.contains("barn.lan"), "{found:?}");

    let (mut alice, mut bob) = (lan.client("hall", "alice"), lan.client("barn", "bob"));
    alice.join("#green");
    alice.reach("barn.lan");
    bob.join("#green");
    alice.hear_until(" JOIN #green");
    alice.say("PRIVMSG #green :hello barn");
    assert!(bob.hear().ends_with(" PRIVMSG #green :hello barn"));
    bob.say("PRIVMSG #green :hello hall");
    assert!(alice.hear().ends_with(" PRIVMSG #green :hello hall"));

    ip(&format!("link set {} down", lan.socket("barn")));
    let quit = alice.hear_until_within(NOTICED_WITHIN, " QUIT ");
    assert!(quit.starts_with(":bob!") && quit.ends_with(" :hall.lan barn.lan"), "{quit}");
    // Heard where it was said, though nobody else can.
    alice.say("TOPIC #green :harvest");
    barn.logs(Mark::START, "hall.lan is out of reach");

    ip(&format!("link set {} up", lan.socket("barn")));
    let join = alice.hear_until_within(HEALED_WITHIN, " JOIN #green");
    assert!(join.starts_with(":bob!"), "{join}");
    let quit = bob.hear_until_within(HEALED_WITHIN, " QUIT ");
    assert!(quit.starts_with(":alice!") && quit.ends_with(" :barn.lan hall.lan"), "{quit}");
    bob.hear_until_within(HEALED_WITHIN, ":alice!alice@");
    bob.hear_until(" MODE #green +o alice");
    bob.say("TOPIC #green");
    bob.hear_until(" 332 bob #green :harvest");
    bob.say("PRIVMSG #green :back again");
    alice.hear_until(" PRIVMSG #green :back again");
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn servers_with_different_secrets_see_each_other_and_do_not_link() {
    let mut lan = Lan::new();
    lan.add("hall");
    lan.add("shed");
    let (mut hall, mut shed) = (lan.server("hall", SECRET), lan.server("shed", "nobody else knows this one"));
    hall.start();
    shed.start();
    hall.logs(Mark::START, "shed.lan seen on this LAN");
    shed.logs(Mark::START, "hall.lan seen on this LAN");
    for (server, other) in [(&hall, "shed.lan"), (&shed, "hall.lan")] {
        assert_eq!(server.log().count(Mark::START, &format!("{other} linked")), 0);
    }
}

/// Three servers, each linked with both others, and somebody on each, all on one channel and all heard out.
fn triangle() -> (Lan, [Server; 3], [Client; 3]) {
    let mut lan = Lan::new();
    let words = ["hall", "barn", "shed"];
    words.into_iter().for_each(|word| lan.add(word));
    let mut servers = words.map(|word| lan.server(word, SECRET));
    servers.iter_mut().for_each(Server::start);
    for server in &servers {
        for other in servers.iter().filter(|other| other.word != server.word) {
            server.is_linked_with(Mark::START, other);
        }
    }
    let mut clients =
        [("hall", "alice"), ("barn", "bob"), ("shed", "carol")].map(|(word, nick)| lan.client(word, nick));
    clients.iter_mut().for_each(|client| drop(client.join("#green")));
    let [alice, bob, carol] = &mut clients;
    // Whoever came first may come to know only later who else was there.
    for client in [alice, bob, carol] {
        let is_there = |nick: &str, names: &str| names.split([' ', ':', '@']).any(|word| word == nick);
        let all = |names: &String| ["alice", "bob", "carol"].iter().all(|nick| is_there(nick, names));
        until(|| {
            client.say("NAMES #green");
            client.sync().iter().any(all)
        })
        .unwrap();
    }
    (lan, servers, clients)
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn a_server_that_is_killed_is_missed_after_the_hold_and_found_again() {
    let (lan, mut servers, [mut alice, mut bob, carol]) = triangle();
    let [hall, barn, shed] = &mut servers;
    let marks = (hall.mark(), barn.mark());
    let killed = Instant::now();
    shed.kill();
    drop(carol);
    for client in [&mut alice, &mut bob] {
        assert!(client.hear_until_within(NOTICED_WITHIN, " QUIT ").starts_with(":carol!"));
    }
    assert!(killed.elapsed() >= HOLD, "missed after {:?}", killed.elapsed());

    shed.start();
    hall.is_linked_with(marks.0, shed);
    barn.is_linked_with(marks.1, shed);
    let mut carol = lan.client("shed", "carol");
    carol.join("#green");
    for (client, server, mark) in [(&mut alice, hall, marks.0), (&mut bob, barn, marks.1)] {
        assert!(client.hear().starts_with(":carol!"));
        assert_eq!(server.log().count(mark, "shed.lan is out of reach"), 1);
        assert_eq!(server.log().count(mark, "shed.lan is part of the network"), 1);
    }
    alice.say("PRIVMSG #green :welcome back");
    for client in [&mut bob, &mut carol] {
        client.hear_until(" PRIVMSG #green :welcome back");
    }
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn in_a_triangle_nobody_notices_that_one_link_falls_silent() {
    const LINES: usize = 5;
    let (lan, servers, mut clients) = triangle();
    let [hall, barn, _shed] = &servers;
    let mut talk = |round: &str| {
        for client in &mut clients {
            (0..LINES).for_each(|number| client.say(&format!("PRIVMSG #green :{round} {number}")));
        }
        for (client, others) in
            clients.iter_mut().zip([["bob", "carol"], ["alice", "carol"], ["alice", "bob"]])
        {
            let mut heard: Vec<String> = (0..2 * LINES).map(|_| client.hear()).collect();
            for nick in others {
                let theirs = heard.extract_if(.., |line| line.starts_with(&format!(":{nick}!")));
                let theirs: Vec<String> =
                    theirs.map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
                let said: Vec<String> =
                    (0..LINES).map(|number| format!("PRIVMSG #green :{round} {number}")).collect();
                assert_eq!(theirs, said, "of {nick}");
            }
            assert_eq!(heard, [""; 0]);
        }
    };
    talk("before");
    let marks = (hall.mark(), barn.mark());
    lan.silence("hall", "barn", true);
    // These go on their way before anybody knows, and are asked for again by the other way.
    talk("lost");
    talk("round about");
    lan.silence("hall", "barn", false);
    hall.is_linked_with(marks.0, barn);
    barn.is_linked_with(marks.1, hall);
    talk("straight again");
    for client in &mut clients {
        assert_eq!(client.sync(), [""; 0]);
    }
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn a_server_that_stops_is_gone_for_all_others_at_once_and_found_again() {
    let (_lan, mut servers, [mut alice, mut bob, carol]) = triangle();
    let [hall, _barn, shed] = &mut servers;
    let mark = hall.mark();
    let told = Instant::now();
    shed.signal(rustix::process::Signal::TERM);
    for client in [&mut alice, &mut bob] {
        assert!(client.hear_until(" QUIT ").starts_with(":carol!"));
    }
    assert!(told.elapsed() < Duration::from_secs(2), "heard after {:?}", told.elapsed());
    hall.logs(mark, "shed.lan has stopped");
    drop(carol);
    assert_eq!(shed.ended().code(), Some(0));

    shed.start();
    hall.is_linked_with(mark, shed);
}
