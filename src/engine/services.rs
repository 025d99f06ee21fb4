//! Services: the names that people know from other networks, under which the server itself answers in words.

use super::turn::Turn;
use crate::wire::fold::fold;

/// Names that nobody is called: people would take them for the network's own.
const RESERVED: &[&str] = &[
    "authserv", "botserv", "chanserv", "histserv", "hostserv", "memoserv", "nickserv", "operserv",
    "saslserv", "services",
];

/// Who answers on accounts.
pub const NICKSERV: &str = "NickServ";

pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&fold(name).as_str())
}

impl Turn<'_> {
    /// What a service says to the speaker.
    pub fn notice_by(&mut self, service: &str, text: &str) {
        let server = self.server_name();
        self.say(format!(":{service}!{service}@{server} NOTICE {} :{text}", self.called()));
    }
}
