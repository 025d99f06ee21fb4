//! A cable between two machines, and all that can be wrong with it.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::{Lan, ip};

/// What becomes of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing comes through, and neither end is told.
    Silent,
    /// Nothing comes through from the first end to the second; the other way all is well.
    OneWay,
    /// Whoever sends anything is told that there is no such connection.
    Reset,
    /// Pulled out: both ends see that they have no carrier.
    Unplugged,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::Silent, Fault::OneWay, Fault::Reset, Fault::Unplugged];
}

pub struct Cable {
    pub ends: [String; 2],
    namespaces: [String; 2],
    number: u8,
}

impl Cable {
    /// Joins two machines. What is wrong with it later is told to the packet filter of each, which has a place for it
    /// from here on. No two cables of a LAN have the same number.
    pub fn lay(lan: &Lan, number: u8, a: &str, b: &str) -> Cable {
        let ends = [a.to_string(), b.to_string()];
        let namespaces = [lan.namespace(a), lan.namespace(b)];
        let cable = Cable { ends, namespaces, number };
        let [near, far] = &cable.namespaces;
        let [at_near, at_far] = [cable.socket(0), cable.socket(1)];
        ip(&format!("link add {at_near} netns {near} type veth peer name {at_far} netns {far}"));
        for (end, namespace) in cable.namespaces.iter().enumerate() {
            let (address, socket) = (cable.address(end), cable.socket(end));
            ip(&format!("-n {namespace} addr add {address}/30 dev {socket}"));
            ip(&format!("-n {namespace} link set {socket} up"));
        }
        cable.mend();
        cable
    }

    /// What the machine at one end calls it.
    fn socket(&self, end: usize) -> String {
        format!("to-{}", self.ends[1 - end])
    }

    /// The address of one end.
    pub fn address(&self, end: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 214, self.number, end as u8 + 1)
    }

    pub fn spoil(&self, fault: Fault) {
        let verdicts = match fault {
            Fault::Silent => ["drop", "drop"],
            Fault::OneWay => ["accept", "drop"],
            // What says so itself has to arrive.
            Fault::Reset => ["meta l4proto tcp tcp flags & rst != rst reject with tcp reset"; 2],
            Fault::Unplugged => return self.plug("down"),
        };
        for (end, verdict) in verdicts.into_iter().enumerate() {
            self.filter(end, &format!("iifname \"{}\" {verdict}", self.socket(end)));
        }
    }

    /// Makes it as good as new.
    pub fn mend(&self) {
        self.plug("up");
        [0, 1].into_iter().for_each(|end| self.filter(end, ""));
    }

    fn plug(&self, state: &str) {
        ip(&format!("-n {} link set {} {state}", self.namespaces[0], self.socket(0)));
    }

    /// Replaces what the packet filter at one end does to all that comes through this cable.
    fn filter(&self, end: usize, rule: &str) {
        let table = format!("cable-{}", self.number);
        let rules = format!(
            "table inet {table} {{ }}\ndelete table inet {table}\n\
             table inet {table} {{\n chain in {{\n type filter hook input priority 0;\n {rule}\n }}\n }}\n"
        );
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.namespaces[end], "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`ip` is there");
        child.stdin.take().expect("it is piped").write_all(rules.as_bytes()).expect("nft reads");
        let output = child.wait_with_output().expect("it is our child");
        assert!(output.status.success(), "nft {rules}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
