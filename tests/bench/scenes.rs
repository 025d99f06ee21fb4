//! What is measured: each scene sets something up, and then does one thing over and over.

use std::hint::black_box;

use folkmoot::engine::ConnId;
use folkmoot::wire::message::Message;

use crate::pair::Pair;

pub struct Scene {
    pub name: &'static str,
    pub what: &'static str,
    /// How often the guard does it: what takes long, seldom.
    pub times: u32,
    pub begin: fn() -> Act,
}

/// Once more.
pub type Act = Box<dyn FnMut()>;

pub const SCENES: &[Scene] = &[
    Scene { name: "parse", what: "three lines are taken apart", times: 1000, begin: parse },
    Scene { name: "fanout", what: "a line to a channel of 200", times: 100, begin: fanout },
    Scene {
        name: "variants",
        what: "the same, where they have one of four sets of capabilities",
        times: 100,
        begin: variants,
    },
    Scene { name: "private", what: "a line from one to another", times: 1000, begin: private },
    Scene { name: "come", what: "somebody comes, joins 50 others, and quits", times: 50, begin: come },
    Scene { name: "enter", what: "somebody joins 1,000 others, and parts", times: 10, begin: enter },
    Scene {
        name: "names",
        what: "somebody asks who 1,000 others on a channel are: NAMES",
        times: 10,
        begin: names,
    },
    Scene { name: "who", what: "the same by WHO", times: 10, begin: who },
    Scene {
        name: "room",
        what: "a line to a channel of 2,000, of whom half take batches",
        times: 10,
        begin: room,
    },
    Scene {
        name: "reload",
        what: "the config is read again beside 1,000, and is as it was",
        times: 10,
        begin: reload,
    },
    Scene {
        name: "netsplit",
        what: "250 of another server go and return, before 1,000 of whom half take batches",
        times: 1,
        begin: netsplit,
    },
    Scene { name: "mesh", what: "a line goes over a link to one who hears it", times: 500, begin: mesh },
    Scene { name: "merge", what: "two servers with 30 people each link", times: 2, begin: merge },
];

const TEXT: &str = "as long as lines usually are: some words, and then some more of them";

fn parse() -> Act {
    Box::new(|| {
        for line in [
            "PING 1",
            "PRIVMSG #green :as long as lines usually are",
            "@label=a7;+draft/reply=xyz :alice!a@host PRIVMSG #green,bob :as long as lines usually are",
        ] {
            black_box(Message::parse(black_box(line)));
        }
    })
}

fn fanout() -> Act {
    crowd(&[""])
}

fn variants() -> Act {
    crowd(&["", "server-time", "message-tags server-time account-tag", "echo-message batch labeled-response"])
}

/// Two hundred on one channel who talk in turn, each with the next of these capabilities.
fn crowd(caps: &'static [&'static str]) -> Act {
    let mut pair = Pair::new();
    let people: Vec<_> = (0..200)
        .map(|number| {
            let person = pair.arrive(0, &format!("n{number}"));
            pair.say(person, &format!("CAP REQ :{}\nJOIN #green", caps[number % caps.len()]));
            person
        })
        .collect();
    let mut said = 0;
    Box::new(move || {
        said += 1;
        pair.say(people[said % people.len()], &format!("PRIVMSG #green :{TEXT}"));
    })
}

fn private() -> Act {
    let mut pair = Pair::new();
    let people: Vec<_> = (0..200).map(|number| pair.arrive(0, &format!("n{number}"))).collect();
    let mut said = 0;
    Box::new(move || {
        said += 1;
        let to = (said * 7 + 1) % people.len();
        pair.say(people[said % people.len()], &format!("PRIVMSG n{to} :{TEXT}"));
    })
}

fn come() -> Act {
    let mut pair = Pair::new();
    for number in 0..50 {
        let person = pair.arrive(0, &format!("n{number}"));
        pair.say(person, "JOIN #green");
    }
    let mut came = 0;
    Box::new(move || {
        came += 1;
        let person = pair.arrive(0, &format!("guest{came}"));
        pair.say(person, "JOIN #green\nQUIT :bye");
        pair.hang_up(person);
    })
}

fn enter() -> Act {
    in_a_room("JOIN #green\nPART #green :bye")
}

fn names() -> Act {
    in_a_room("NAMES #green")
}

fn who() -> Act {
    in_a_room("WHO #green")
}

/// One of those who are not on a channel of 1,000 says this.
fn in_a_room(line: &'static str) -> Act {
    let mut pair = Pair::new();
    for number in 0..1_000 {
        let person = pair.arrive(0, &format!("n{number}"));
        pair.say(person, "JOIN #green");
    }
    let guest = pair.arrive(0, "guest");
    Box::new(move || pair.say(guest, line))
}

fn room() -> Act {
    let mut pair = Pair::new();
    let people = grown(&mut pair, 0, 2_000);
    Box::new(move || pair.say(people[0], &format!("PRIVMSG #green :{TEXT}")))
}

fn reload() -> Act {
    let mut pair = Pair::new();
    grown(&mut pair, 0, 1_000);
    Box::new(move || {
        pair.reload(0);
        pair.tick(0);
    })
}

fn netsplit() -> Act {
    let mut pair = Pair::new();
    pair.link();
    grown(&mut pair, 0, 1_000);
    grown(&mut pair, 1, 250);
    let mut is_tried = false;
    Box::new(move || {
        pair.cut();
        // Those who are gone are shown as gone.
        pair.pass(10_000);
        let users_apart = (!is_tried).then(|| pair.engine(0).report().users_network);
        pair.mend();
        pair.pass(20_000);
        if let Some(users_apart) = users_apart {
            assert_eq!((users_apart, pair.engine(0).report().users_network), (1_000, 1_250));
            // To count all of them would be most of what it costs.
            is_tried = true;
        }
    })
}

/// So many people on one channel, of whom every other one takes batches and the time.
fn grown(pair: &mut Pair, server: usize, people: usize) -> Vec<(usize, ConnId)> {
    let all = (0..people).map(|number| {
        let person = pair.arrive(server, &format!("n{server}x{number}"));
        let caps = ["", "batch server-time"][number % 2];
        pair.say(person, &format!("CAP REQ :{caps}\nJOIN #green"));
        person
    });
    all.collect()
}

fn mesh() -> Act {
    let mut pair = Pair::new();
    pair.link();
    let (alice, bob) = (pair.arrive(0, "alice"), pair.arrive(1, "bob"));
    pair.say(alice, "JOIN #green");
    pair.say(bob, "JOIN #green");
    Box::new(move || pair.say(alice, &format!("PRIVMSG #green :{TEXT}")))
}

fn merge() -> Act {
    Box::new(|| {
        let mut pair = Pair::new();
        for number in 0..60 {
            let person = pair.arrive(number % 2, &format!("n{number}"));
            pair.say(person, &format!("JOIN #c{}", number % 7));
        }
        pair.link();
        assert_eq!(pair.engine(0).report().users_network, 60);
    })
}
