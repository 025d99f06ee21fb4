//! Peers that speak in pipes that are not theirs, and what else should not be said there.

use super::{Hall, Peer};
use crate::engine::event::{ConnId, Event, Origin as From};
use crate::engine::guest::{Pipe, PipeId};
use crate::engine::merge::Origin;
use crate::wire::names::{ServerId, UserId};

/// Two peers, and a client that is a guest whose home is the first of them; the pipe is number 5.
fn hall_with_a_guest() -> (Hall, Peer, Peer) {
    let mut hall = Hall::new();
    let (home, other) = (hall.linked("2BB", "barn.lan"), hall.linked("3CC", "mill.lan"));
    let from = From::Client {
        address: "10.0.0.1:50000".parse().unwrap(),
        name: None,
        secure: None,
        certificate: None,
    };
    hall.step(Event::Opened { conn: ConnId(1), from });
    hall.engine.sessions.become_guest(ConnId(1));
    let far = Origin { server: ServerId::parse("2BB").unwrap(), epoch: 1 };
    let pipe = PipeId { host: hall.engine.origin(), number: 5 };
    hall.engine.guests.open(pipe, Pipe::new(far, UserId::numbered(far.server, 1), ConnId(1)));
    (hall, home, other)
}

fn heard(hall: &mut Hall) -> Vec<String> {
    let said = std::mem::take(&mut hall.said);
    said.into_iter().filter(|(to, _)| *to == ConnId(1)).map(|(_, line)| line).collect()
}

#[test]
fn only_its_other_end_is_heard_in_a_pipe() {
    let (mut hall, home, other) = hall_with_a_guest();
    for line in [
        "HOME 1AA.3 3CC.1 5 SAY 1 0 LINE :forged",
        "HOME 1AA.3 3CC.1 5 SAY 1 0 CLOSED :forged",
        "HOME 1AA.3 3CC.1 5 GONE",
        "HOME 1AA.2 2BB.1 5 SAY 1 0 CLOSED :of a former run",
        "HOME 1AA.3 2BB.2 5 SAY 1 0 CLOSED :of another run",
        "GUEST 1AA.3 2BB.1 5 SAY 1 0 LINE :QUIT",
        "GUEST 1AA.3 1AA.3 5 SAY 1 0 LINE :QUIT",
        "HOME 1AA.3 2BB.1 6 SAY 1 0 LINE :of another pipe",
        "HOME 1AA.3 2BB.1 5 SAY 2 0 LINE :before its turn",
        "HOME 1AA.3 2BB.1 5 SAY 1 0 LINE",
        "HOME 1AA.3 2BB.1 5 SAY x",
        "HOME 1AA.3 2BB.1 5 HEARD 99",
        "HOME 1AA.3 2BB.1 5 WHAT",
        "HOME 1AA.3 2BB.1 x GONE",
        "HOME 1AA.3 2BB.1 5",
    ] {
        hall.hear(other, line);
        assert_eq!(heard(&mut hall), Vec::<String>::new(), "{line}");
    }
    assert!(hall.is_up(other), "a line that makes no sense ends no link");
    hall.hear(home, "HOME 1AA.3 2BB.1 5 SAY 1 0 LINE ::barn.lan NOTICE alice :hello");
    hall.hear(home, "HOME 1AA.3 2BB.1 5 SAY 1 0 LINE ::barn.lan NOTICE alice :hello");
    hall.hear(home, "HOME 1AA.3 2BB.1 5 SAY 2 0 DANCE :of a later version");
    hall.hear(home, "HOME 1AA.3 2BB.1 5 SAY 3 0 CLOSED :so");
    assert_eq!(heard(&mut hall), [":barn.lan NOTICE alice :hello"]);
    assert!(hall.engine.sessions.get(ConnId(1)).is_none(), "its home has closed it");
}

#[test]
fn nobody_waits_for_a_home_that_does_not_listen() {
    let (mut hall, home, _) = hall_with_a_guest();
    let line = format!("PRIVMSG #green :{}", "x".repeat(400));
    for _ in 0..4_000 {
        hall.hear_client(1, &line);
    }
    hall.wait(250);
    assert_eq!(heard(&mut hall), [""; 0], "much at once may only be much");
    hall.wait(1_000);
    hall.hear_client(1, &line);
    hall.wait(250);
    assert_eq!(heard(&mut hall), ["ERROR :Closing link: 10.0.0.1 (SendQ exceeded)"]);
    assert!(hall.is_up(home));
    for load in hall.engine.loads() {
        assert!(load.count <= load.most, "{load:?}");
    }
}
