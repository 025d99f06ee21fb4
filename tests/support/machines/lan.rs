//! Machines of their own on one bridge, each a network namespace.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Server;
use crate::process::client::Client;

/// How many LANs there may be at once.
const NUMBERS: u32 = 250;

/// A bridge that this machine is on too, at the last address.
pub struct Lan {
    number: u32,
    machines: Vec<String>,
}

pub fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("`ip` is there");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

fn bridge(lan: u32) -> String {
    format!("folkmoot{lan}")
}

impl Lan {
    pub fn new() -> Lan {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let first = std::process::id() + MADE.fetch_add(1, Ordering::Relaxed);
        // Others may test on this machine too: a number is ours once we have made its bridge.
        let is_made = |number: &u32| {
            let output =
                Command::new("ip").args(["link", "add", &bridge(*number), "type", "bridge"]).output();
            output.expect("`ip` is there").status.success()
        };
        let mut numbers = (first..first + NUMBERS).map(|number| number % NUMBERS);
        let number = numbers.find(is_made).expect("a LAN can be laid out, and not all are taken");
        let lan = Lan { number, machines: Vec::new() };
        let bridge = lan.bridge();
        ip(&format!("addr add {}/24 dev {bridge}", lan.address(254)));
        ip(&format!("link set {bridge} up"));
        lan
    }

    pub fn bridge(&self) -> String {
        bridge(self.number)
    }

    pub fn address(&self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number as u8, machine)
    }

    /// The bridge's end of a machine's cable.
    pub fn socket(&self, word: &str) -> String {
        format!("fm{}{word}", self.number)
    }

    pub fn namespace(&self, word: &str) -> String {
        format!("folkmoot-{}-{word}", self.number)
    }

    /// One more machine, with a name of its own.
    pub fn add(&mut self, word: &str) {
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

    /// What starts a program on a machine, which then goes by that name.
    pub fn starter(&self, word: &str) -> Vec<String> {
        let (namespace, name_itself) = (self.namespace(word), format!("hostname {word} && exec \"$@\""));
        let words = ["ip", "netns", "exec", &namespace, "unshare", "--uts", "sh", "-c", &name_itself, "sh"];
        words.map(str::to_string).to_vec()
    }

    /// A server on such a machine, with no settings at all.
    pub fn server(&self, word: &str, secret: &str) -> Server {
        Server::bare(word, self.starter(word), secret)
    }

    pub fn address_of(&self, word: &str) -> Ipv4Addr {
        let machine = self.machines.iter().position(|known| known == word).expect("it was added") + 1;
        self.address(machine as u8)
    }

    /// Has two machines hear nothing more of each other, and not know why; or has them hear of each other again.
    pub fn silence(&self, a: &str, b: &str, is_silent: bool) {
        let verb = if is_silent { "add" } else { "del" };
        for (here, there) in [(a, b), (b, a)] {
            ip(&format!("-n {} route {verb} blackhole {}", self.namespace(here), self.address_of(there)));
        }
    }

    /// Where people connect to a machine.
    pub fn irc(&self, word: &str) -> SocketAddr {
        SocketAddr::new(self.address_of(word).into(), 6667)
    }

    pub fn client(&self, word: &str, nick: &str) -> Client {
        let mut client = Client::connect(self.irc(word));
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
