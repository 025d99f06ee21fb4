//! Whoever asks in the older protocol is answered in it.

use std::net::SocketAddr;
use std::time::Instant;

use super::Talk;
use super::say::open_doors;
use crate::edge::answers::Answer;
use crate::edge::beacon::Door;
use crate::edge::compat;

impl Talk {
    /// Answers whoever asks in the older protocol.
    pub(super) fn hear_compat(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let near = self.interfaces.iter().find(|interface| interface.is_near(from.ip()));
        let Some(through) = near.map(|interface| interface.address) else { return };
        if !compat::is_question(bytes) || !self.answers.promise(now, from) {
            return;
        }
        let doors = open_doors(&self.announcement.services, Some(through), false);
        let features = doors.into_iter().filter_map(|(door, port)| {
            let name = match door {
                Door::Irc => "IRC",
                Door::Ircs => "IRCS",
                Door::Web | Door::Link => return None,
            };
            Some(compat::Feature { name, port, udp_port: None })
        });
        let features: Vec<compat::Feature> = features.collect();
        let bytes = compat::announcement(&self.announcement.about.name, &features);
        self.answers.give(now, Answer { to: from, is_compat: true, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::answers::{DELAY_MAX, PER_SECOND};
    use crate::edge::discovery::tests::{near, talk};

    #[test]
    fn the_older_protocol_is_answered_near_by_and_no_more_often_than_ours() {
        let mut hall = talk("7FA", "our secret");
        let now = Instant::now();
        let question = b"DISCOVER_SERVER 0 \n";
        hall.hear_compat(now, near(), b"DISCOVER_CLIENT 0 \n");
        hall.interfaces.retain(|interface| interface.address.is_loopback());
        hall.hear_compat(now, "203.0.113.9:9999".parse().unwrap(), question);
        assert!(hall.answers.next().is_none());
        for port in 1..=20 {
            hall.hear_compat(now, SocketAddr::new("127.0.0.1".parse().unwrap(), port), question);
        }
        let answers = hall.answers.due(now + DELAY_MAX);
        assert_eq!(answers.len(), PER_SECOND);
        for answer in answers {
            assert!(answer.is_compat);
            assert_eq!(answer.bytes, b"SERVER_ANNOUNCE 20 \n\x08s7fa.lan\x12\x08\n\x03IRC\x10\x8b4\n");
        }
    }
}
