//! Servers on machines that only cables join, and what is done to these.

use std::net::SocketAddr;
use std::time::Duration;

use super::Lan;
use super::cable::{Cable, Fault};
use crate::mesh::{Mesh, OPERATOR};
use crate::process::Server;
use crate::process::log::Mark;

/// How often each talker says something.
const SAYS_EVERY: Duration = Duration::from_millis(100);

/// Every machine with a server, every cable with a link over it.
pub struct Network {
    // Dropped in this order: servers before their machines.
    pub mesh: Mesh,
    pub cables: Vec<Cable>,
    lan: Lan,
}

impl Network {
    /// Lays cables between these machines. Either end of each calls the other.
    pub fn of(words: &[&str], cables: &[(&str, &str)]) -> Network {
        let mut lan = Lan::new();
        words.iter().for_each(|word| lan.add(word));
        let lay = |(number, (a, b)): (usize, &(&str, &str))| Cable::lay(&lan, number as u8, a, b);
        let cables: Vec<Cable> = cables.iter().enumerate().map(lay).collect();
        let mut servers: Vec<Server> = Vec::new();
        for word in words {
            let mut server = Server::new(word);
            server.set(
                r#"
                listen = { irc = ["0.0.0.0:6667"], ircs = [], link = ["0.0.0.0:6900"] }
                limits.ping_after = "1h"
                # Few enough that memory soon holds as many as it ever will.
                limits.messages_kept = 2000
                "#,
            );
            server.set(OPERATOR);
            server.start_by(lan.starter(word));
            for cable in &cables {
                if let Some(end) = cable.ends.iter().position(|end| end == word) {
                    let other = format!("{}.lan", cable.ends[1 - end]);
                    server.call(&other, format!("{}:6900", cable.address(1 - end)));
                }
            }
            server.start();
            servers.push(server);
        }
        let doors: Vec<_> = words.iter().map(|word| lan.irc(word)).collect();
        for cable in &cables {
            let [a, b] = cable.ends.each_ref().map(|word| {
                let server = servers.iter().find(|server| server.word == *word);
                server.expect("there is one on each machine")
            });
            // At their start they may have called each other in vain.
            a.reload();
            a.is_linked_with(Mark::START, b);
            b.is_linked_with(Mark::START, a);
        }
        Network { mesh: Mesh::of(servers, &doors, SAYS_EVERY), cables, lan }
    }

    pub fn triangle() -> Network {
        Network::of(&["hall", "barn", "mill"], &[("hall", "barn"), ("barn", "mill"), ("mill", "hall")])
    }

    pub fn ring_of_five() -> Network {
        let words = ["hall", "barn", "mill", "shed", "inn"];
        let cables: Vec<(&str, &str)> =
            (0..words.len()).map(|number| (words[number], words[(number + 1) % words.len()])).collect();
        Network::of(&words, &cables)
    }

    /// The same, and two cables across.
    pub fn ring_of_five_with_chords() -> Network {
        let words = ["hall", "barn", "mill", "shed", "inn"];
        let across = [(0, 2), (1, 3)];
        let ring = (0..words.len()).map(|number| (number, (number + 1) % words.len()));
        let cables: Vec<(&str, &str)> = ring.chain(across).map(|(a, b)| (words[a], words[b])).collect();
        Network::of(&words, &cables)
    }

    /// Where people come in to one of the servers.
    pub fn door(&self, server: usize) -> SocketAddr {
        self.lan.irc(&self.mesh.servers[server].word)
    }

    fn ends(&self, cable: usize) -> [&Server; 2] {
        self.cables[cable].ends.each_ref().map(|word| self.mesh.server(word))
    }

    /// Does something to a cable, and waits until the servers at both ends have noticed that.
    pub fn spoil(&self, cable: usize, fault: Fault) {
        let ends = self.ends(cable);
        let marks = ends.map(Server::mark);
        self.cables[cable].spoil(fault);
        for (end, mark) in marks.into_iter().enumerate() {
            ends[end].logs(mark, &format!("{} closed conn=", ends[1 - end].name()));
        }
    }

    /// Puts a cable right, and waits until the servers at both ends are linked again.
    pub fn mend(&self, cable: usize) {
        let ends = self.ends(cable);
        let marks = ends.map(Server::mark);
        self.cables[cable].mend();
        // Without this they would call again only when they think it is time.
        ends[0].reload();
        for (end, mark) in marks.into_iter().enumerate() {
            ends[end].is_linked_with(mark, ends[1 - end]);
        }
    }
}
