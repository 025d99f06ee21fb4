//! What is heard: who is believed, who is answered, and what the engine is told of it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Talk;
use super::say::ANSWER_WITHIN;
use crate::edge::answers::Answer;
use crate::edge::beacon::{self, Datagram, Door, Kind, LanKey, Proof};
use crate::engine::{Beacon, Event};

const CLOCK_DIFFERENCE_MAX_MS: u64 = 30_000;
/// A nonce is remembered for longer than its datagram's time is believed.
const REPLAY_WINDOW: Duration = Duration::from_secs(90);
const REPLAYS_MAX: usize = 4096;
/// A server that is not believed to be ours is mentioned again only after this.
const STRANGER_INTERVAL: Duration = Duration::from_secs(60);
const STRANGERS_MAX: usize = 256;

impl Talk {
    /// Takes in one datagram, whoever sent it.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        wall_ms: u64,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<Event> {
        let through = self.interfaces.iter().find(|interface| interface.is_near(from.ip()))?.address;
        let keys = self.announcement.keys(wall_ms);
        let is_right = |key: &&LanKey| matches!(Datagram::decode(bytes, Some(key)), Some((_, Proof::Right)));
        let key = keys.iter().find(is_right);
        let (datagram, proof) = Datagram::decode(bytes, key)?;
        let about = &datagram.about;
        if about.sid == self.announcement.about.sid && about.pin == self.announcement.about.pin {
            return None;
        }
        if datagram.kind == Kind::Announce
            && !self.asked.iter().any(|(at, nonce)| *nonce == datagram.nonce && now < *at + ANSWER_WITHIN)
        {
            return None;
        }
        let ours = proof == Proof::Right && self.is_fresh(now, wall_ms, from.ip(), &datagram);
        if proof == Proof::Right && !ours {
            return None;
        }
        match datagram.kind {
            Kind::Goodbye => {
                return if ours { about.sid.map(|server| Event::Vanished { server }) } else { None };
            }
            Kind::Discover => {
                // By the secret that the question came with: it may be all that whoever asks has yet.
                self.answer(now, wall_ms, from, through, &datagram, key.filter(|_| ours), bytes.len())
            }
            Kind::Announce => {}
        }
        if datagram.from_client || !ours && !self.is_news(now, from.ip(), &datagram) {
            return None;
        }
        let mut link = from;
        link.set_port(about.port(Door::Link)?);
        Some(Event::Discovered(Beacon {
            sid: about.sid?,
            name: about.name.clone(),
            network: about.network.clone(),
            link,
            pin: about.pin?,
            ours,
        }))
    }

    /// Whether a proven datagram was made just now, and for the first time; an answer is dated by its question.
    fn is_fresh(&mut self, now: Instant, wall_ms: u64, from: IpAddr, datagram: &Datagram) -> bool {
        let difference_ms = wall_ms.abs_diff(datagram.time_ms);
        if difference_ms > CLOCK_DIFFERENCE_MAX_MS {
            // Anybody can repeat an old datagram, as often as they like.
            if !self.is_news(now, from, datagram) {
                return false;
            }
            log::warn!(
                target: "folkmoot::link",
                "{} holds our network's secret but was not believed: its clock and ours differ difference_s={}",
                datagram.about.name,
                difference_ms / 1000
            );
            return false;
        }
        if datagram.kind == Kind::Announce {
            return true;
        }
        self.used.retain(|_, at| now < *at + REPLAY_WINDOW);
        self.used.len() < REPLAYS_MAX && self.used.insert(datagram.nonce, now).is_none()
    }

    /// Whether a server that is not believed has not been mentioned for a while.
    fn is_news(&mut self, now: Instant, from: IpAddr, datagram: &Datagram) -> bool {
        self.strangers.retain(|_, at| now < *at + STRANGER_INTERVAL);
        self.strangers.len() < STRANGERS_MAX
            && self.strangers.insert((from, datagram.about.sid), now).is_none()
    }

    #[expect(clippy::too_many_arguments, reason = "each is one thing that was heard")]
    fn answer(
        &mut self,
        now: Instant,
        wall_ms: u64,
        to: SocketAddr,
        through: IpAddr,
        question: &Datagram,
        key: Option<&LanKey>,
        question_bytes: usize,
    ) {
        if key.is_none() && question_bytes < beacon::CLIENT_QUESTION_BYTES_MIN {
            return;
        }
        if !self.answers.promise(now, to) {
            return;
        }
        let datagram = self.datagram(Kind::Announce, question.nonce, wall_ms, Some(through), to.is_ipv6());
        // Without proof an answer is never longer than its question, so that nobody can have others flooded by us.
        let bytes_max = if key.is_some() { beacon::BYTES_MAX } else { question_bytes };
        let bytes = datagram.encode(key, bytes_max);
        self.answers.give(now, Answer { to, is_compat: false, bytes });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::edge::answers::{DELAY_MAX, PER_SECOND};
    use crate::edge::beacon::About;
    use crate::edge::discovery::tests::{WALL_MS, near, talk};
    use crate::edge::secrets::SecretBook;
    use crate::engine::Secret;

    /// One of the calls of that server, as it is heard on the loopback network.
    fn call(talk: &mut Talk, kind: Kind) -> Vec<u8> {
        let calls = talk.call(kind, Instant::now(), WALL_MS);
        calls
            .into_iter()
            .find(|(to, _)| to.to_string() == "127.255.255.255:6900")
            .expect("there is a loopback")
            .1
    }

    fn hear(talk: &mut Talk, bytes: &[u8]) -> Option<Event> {
        talk.hear(Instant::now(), WALL_MS, near(), bytes)
    }

    #[test]
    fn a_question_from_our_network_is_believed_once_and_answered() {
        let (mut hall, mut barn) = (talk("7FA", "the same secret"), talk("8BB", "the same secret"));
        let question = call(&mut barn, Kind::Discover);
        let Some(Event::Discovered(beacon)) = hear(&mut hall, &question) else { panic!("nobody found") };
        assert_eq!((beacon.sid.as_str(), beacon.ours), ("8BB", true));
        assert_eq!(beacon.link, "127.0.0.1:6900".parse().unwrap());

        let answer = hall.answers.due(Instant::now() + DELAY_MAX).pop().expect("an answer");
        assert_eq!(answer.to, near());
        let Some(Event::Discovered(beacon)) = hear(&mut barn, &answer.bytes) else { panic!("no answer") };
        assert_eq!((beacon.sid.as_str(), beacon.ours), ("7FA", true));
        // Nobody else asked that.
        assert!(hear(&mut talk("9CC", "the same secret"), &answer.bytes).is_none());

        assert!(hear(&mut hall, &question).is_none(), "replayed");
        assert!(hall.answers.due(Instant::now() + DELAY_MAX).is_empty());
    }

    #[test]
    fn a_server_that_was_away_while_the_secret_changed_is_found_all_the_same() {
        let scratch = crate::edge::data::tests::Scratch::new("discovery-rotated");
        let data = crate::edge::data::DataDirectory::open(&scratch.0).unwrap();
        let mut config = Config::default();
        config.network.secret_file = Some(data.path().join("secret").display().to_string());
        data.write("secret", "the same secret as ever").unwrap();
        let book = Arc::new(SecretBook::load(&config, &data, WALL_MS).unwrap());
        let (mut hall, mut barn) =
            (talk("7FA", "the same secret as ever"), talk("8BB", "the same secret as ever"));
        hall.announcement.secrets = book.clone();
        let mut secrets = book.all();
        assert!(secrets.replace(Secret("another one by now".into()), WALL_MS, WALL_MS + 1_000));
        book.keep(&data, secrets).unwrap();

        // It is believed, and believes the answer.
        let question = call(&mut barn, Kind::Discover);
        assert!(matches!(hear(&mut hall, &question), Some(Event::Discovered(beacon)) if beacon.ours));
        let answer = hall.answers.due(Instant::now() + DELAY_MAX).pop().expect("an answer");
        assert!(matches!(hear(&mut barn, &answer.bytes), Some(Event::Discovered(beacon)) if beacon.ours));
        // What it can read is what it hears first.
        let question = call(&mut hall, Kind::Discover);
        assert!(matches!(hear(&mut barn, &question), Some(Event::Discovered(beacon)) if beacon.ours));
        // Until the old one is over.
        let question = call(&mut talk("9CC", "the same secret as ever"), Kind::Discover);
        let heard = hall.hear(Instant::now(), WALL_MS + 1_000, near(), &question);
        assert!(matches!(heard, Some(Event::Discovered(beacon)) if !beacon.ours));
    }

    #[test]
    fn what_was_said_long_ago_or_far_away_is_not_believed() {
        let (mut hall, mut barn) = (talk("7FA", "the same secret"), talk("8BB", "the same secret"));
        let question = call(&mut barn, Kind::Discover);
        let later_ms = WALL_MS + CLOCK_DIFFERENCE_MAX_MS + 1;
        assert!(hall.hear(Instant::now(), later_ms, near(), &question).is_none());
        let far = "203.0.113.9:6900".parse().unwrap();
        hall.interfaces.retain(|interface| interface.address.is_loopback());
        assert!(hall.hear(Instant::now(), WALL_MS, far, &question).is_none());
        assert!(hall.answers.due(Instant::now() + DELAY_MAX).is_empty());
        assert!(hear(&mut hall, &question).is_some(), "the same is believed in time and from near");
    }

    #[test]
    fn a_server_ignores_itself() {
        let mut hall = talk("7FA", "the same secret");
        let question = call(&mut hall, Kind::Discover);
        assert!(hear(&mut hall, &question).is_none());
        assert!(hall.answers.due(Instant::now() + DELAY_MAX).is_empty());
    }

    #[test]
    fn other_networks_are_mentioned_but_never_ours() {
        let (mut hall, mut other) = (talk("7FA", "our secret"), talk("8BB", "another secret"));
        let question = call(&mut other, Kind::Discover);
        let Some(Event::Discovered(beacon)) = hear(&mut hall, &question) else { panic!("nobody found") };
        assert!(!beacon.ours);
        let question = call(&mut other, Kind::Discover);
        assert!(hear(&mut hall, &question).is_none(), "mentioned again at once");
        let goodbye = call(&mut other, Kind::Goodbye);
        assert!(hear(&mut hall, &goodbye).is_none());
    }

    #[test]
    fn a_goodbye_counts_only_with_proof() {
        let (mut hall, mut barn) = (talk("7FA", "the same secret"), talk("8BB", "the same secret"));
        let goodbye = call(&mut barn, Kind::Goodbye);
        assert!(
            matches!(hear(&mut hall, &goodbye), Some(Event::Vanished { server }) if server.as_str() == "8BB")
        );
    }

    #[test]
    fn a_client_gets_no_more_than_it_gave_and_a_lan_no_more_than_ten_a_second() {
        let mut hall = talk("7FA", "our secret");
        let question = Datagram {
            kind: Kind::Discover,
            from_client: true,
            time_ms: 0,
            nonce: [1; 16],
            network_id: [0; 8],
            about: About::default(),
        };
        assert!(hear(&mut hall, &question.encode(None, 512)).is_none());
        assert!(hall.answers.next().is_none(), "a short question gets no answer");
        let padded = question.encode_client_question(beacon::CLIENT_QUESTION_BYTES_MIN);
        let now = Instant::now();
        for port in 1..=20 {
            let from = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
            assert!(hall.hear(now, WALL_MS, from, &padded).is_none());
        }
        let answers = hall.answers.due(now + DELAY_MAX);
        assert_eq!(answers.len(), PER_SECOND);
        for answer in answers {
            assert!(answer.bytes.len() <= padded.len());
            let (said, proof) = Datagram::decode(&answer.bytes, None).unwrap();
            assert_eq!((proof, said.nonce, said.about.network.as_str()), (Proof::None, [1; 16], "Folkmoot"));
        }
    }
}
