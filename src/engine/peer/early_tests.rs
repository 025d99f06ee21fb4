//! What comes before its time: the first part of an act, and names of what is yet to be written.

use super::{Hall, WALL_MS, digest_of};
use crate::engine::merge::{EARLY_MAX, Stream};
use crate::wire::base36;

#[test]
fn whoever_asks_for_modes_that_come_in_parts_hears_first_what_has_come_of_them() {
    let mut hall = Hall::new();
    hall.client(1, "alice");
    hall.hear_client(1, "JOIN #green");
    let barn = hall.linked("2BB", "barn.lan");
    let birth = hall.engine.network.channels().next().expect("it was made").1.birth;
    let stamp = base36::encode((WALL_MS + 1) << 16);
    hall.hear(barn, &format!("@dot=2BB.1.S2.{stamp};more MODE #green {birth} barn.lan +m"));
    hall.said.clear();
    hall.hear_client(1, "MODE #green");
    let heard: Vec<&str> = hall.said.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(heard[0], ":barn.lan MODE #green +m");
    assert!(heard[1].contains(" 324 alice #green +mnt"), "{heard:?}");
}

#[test]
fn who_changes_a_channel_is_shown_to_join_first_also_where_the_change_comes_before_the_way_to_them() {
    for comes in [true, false] {
        let mut hall = Hall::new();
        hall.client(1, "alice");
        hall.hear_client(1, "JOIN #green");
        let barn = hall.linked("2BB", "barn.lan");
        let birth = hall.engine.network.channels().next().expect("it was made").1.birth;
        let pin = "sha256:".to_string() + &"05".repeat(32);
        hall.event(barn, "3CC.1.S1", 0, &format!("SERVER shed.lan folkmoot-0 {pin} 9 1 * :"));
        hall.user(barn, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
        hall.event(barn, "3CC.1.S3", 0, &format!("JOIN 3CCAAAAAA #green {birth} {birth} +"));
        hall.said.clear();
        hall.event(barn, "3CC.1.S4", 1, &format!("MODE #green {birth} carol!u@h +m"));
        assert!(hall.said.iter().all(|(to, _)| to.0 != 1), "{:?}", hall.said);
        if comes {
            hall.hear(barn, "ROUTES 2BB 1 2 :1AA=1 3CC=1\nROUTES 3CC 1 1 :2BB=1");
        } else {
            // They may be of somebody who is gone for good.
            hall.wait(1_000);
        }
        let heard: Vec<&str> =
            hall.said.iter().filter(|(to, _)| to.0 == 1).map(|(_, line)| line.as_str()).collect();
        let mode = ":carol!u@h MODE #green +m";
        let expected = if comes { vec![":carol!u@h JOIN #green", mode] } else { vec![mode] };
        assert_eq!(heard, expected);
    }
}

#[test]
fn what_comes_from_a_disk_before_its_sender_is_no_word_of_a_stranger() {
    let mut hall = Hall::new();
    hall.client(1, "alice");
    hall.hear_client(1, "JOIN #green");
    let barn = hall.linked("2BB", "barn.lan");
    hall.user(barn, "2BB.1.S2", "2BBAAAAAA", "bob", 0);
    hall.said.clear();
    hall.event(barn, "2BB.1.M1", 0, ":bob!u@h PRIVMSG 2BBAAAAAA #green :from a disk");
    assert!(hall.said.iter().all(|(_, line)| !line.contains("from a disk")), "{:?}", hall.said);
    let stamp = base36::encode((WALL_MS + 2) << 16);
    hall.hear(
        barn,
        &format!("@dot=2BB.1.M2.{stamp};after=2 :bob!u@h PRIVMSG 2BBAAAAAA #green :from outside"),
    );
    assert!(hall.said.iter().any(|(_, line)| line.ends_with(":from outside")), "{:?}", hall.said);
}

/// How a peer says that something is replaced of which it knows no more than the number it will have, and the key.
fn named_dead(dot: &str, key: &str) -> String {
    format!("DEAD S :{dot}={}", base36::encode(digest_of(key)))
}

#[test]
fn nobody_ends_what_this_server_has_yet_to_write() {
    let mut hall = Hall::new();
    let alice = hall.client(1, "alice");
    let barn = hall.linked("2BB", "barn.lan");
    hall.hear(barn, "HAVE S :2BB.1=2\nSNAPSHOT S");
    let tip = hall.tip(Stream::Session, "1AA.3");
    for next in tip + 1..tip + 9 {
        let dot = format!("1AA.3.S{}", base36::encode(next));
        hall.hear(barn, &named_dead(&dot, &format!("user {alice}")));
    }
    hall.hear(barn, "DONE S :2BB.1=2");
    assert_eq!(hall.tip(Stream::Session, "2BB.1"), 2, "the answer was taken");
    hall.hear_client(1, "AWAY :for lunch");
    assert!(hall.engine.network.user_called("alice").is_some_and(|user| user.fact.away.is_some()));
}

#[test]
fn nobody_ends_what_a_server_has_yet_to_write_of_its_own_users() {
    let mut hall = Hall::new();
    let (barn, shed) = (hall.linked("2BB", "barn.lan"), hall.linked("3CC", "shed.lan"));
    hall.hear(barn, "HAVE S :2BB.1=2\nSNAPSHOT S");
    hall.hear(barn, &named_dead("3CC.1.S2", "user 3CCAAAAAA"));
    hall.hear(barn, "DONE S :2BB.1=2");
    assert_eq!(hall.tip(Stream::Session, "2BB.1"), 2, "the answer was taken");
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
    assert!(hall.sees("carol"));
}

#[test]
fn what_is_said_to_be_replaced_before_it_comes_is_bounded_and_holds_nobody_back() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    for round in 0..3u64 {
        hall.hear(barn, &format!("HAVE S :2BB.1={}\nSNAPSHOT S", 2 + round));
        for first in (0..60_000).step_by(100) {
            let dots =
                (first..first + 100).map(|seq| format!("{}ZZ.1.S{}=1", 7 + round, base36::encode(seq + 1)));
            hall.hear(barn, &format!("DEAD S :{}", dots.collect::<Vec<_>>().join(" ")));
        }
        hall.hear(barn, &format!("DONE S :2BB.1={}", 2 + round));
        hall.said.clear();
    }
    assert!(hall.engine.network.facts(Stream::Session).early().len() <= EARLY_MAX);
    // Somebody else, who tells the truth.
    let shed = hall.linked("3CC", "shed.lan");
    hall.user(shed, "3CC.1.S2", "3CCAAAAAA", "carol", 0);
    hall.event(shed, "3CC.1.S3", 0, "JOIN 3CCAAAAAA #green 1.3CC 1.3CC -");
    hall.hear(shed, "@dot=3CC.1.S4.1;over=4DD.1.S9 NEWS of :nothing");
    assert_eq!(hall.tip(Stream::Session, "3CC.1"), 4);
}
