//! Lines typed by hand: into `nc`, or into `openssl s_client` over TLS. They end with LF alone.

use super::{Over, Program, Running, Way};
use crate::process::Directory;

pub struct Netcat(Running);

impl Netcat {
    pub fn start(way: &Way) -> Box<dyn Program> {
        let (port, place) = (way.port.to_string(), format!("127.0.0.1:{}", way.port));
        let folder = Directory::new("netcat");
        let mut running = match way.over {
            Over::Plain => Running::start(folder, &["nc", "127.0.0.1", &port]),
            Over::Tls => Running::start(folder, &["openssl", "s_client", "-quiet", "-connect", &place]),
        };
        running.write(&format!("NICK {nick}\nUSER {nick} 0 * :{nick}\n", nick = way.nick));
        Box::new(Netcat(running))
    }
}

impl Program for Netcat {
    fn join(&mut self, channel: &str) {
        self.0.write(&format!("JOIN {channel}\n"));
    }

    fn say(&mut self, target: &str, text: &str) {
        self.0.write(&format!("PRIVMSG {target} :{text}\n"));
    }

    fn quit(&mut self) {
        self.0.write("QUIT\n");
    }

    fn running(&self) -> &Running {
        &self.0
    }
}
