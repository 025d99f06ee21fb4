//! What a peer claims and does not give, and what it might fill this server's memory with.

use super::{Fault, Hall};
use crate::engine::event::Event;
use crate::engine::merge::Stream;
use crate::wire::base36;

#[test]
fn what_a_peer_claims_and_does_not_give_is_asked_for_ever_more_rarely() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let shed = hall.linked("3CC", "shed.lan");
    let mut asked = 0;
    for second in 0..600 {
        if second % 10 == 0 {
            hall.hear(barn, "HAVE S :9ZZ.1=zz\nHAVE M :8YY.1=zz");
        }
        for line in hall.told(barn) {
            if line.starts_with("WANT S") {
                asked += 1;
                hall.hear(barn, "DONE S :9ZZ.1=zz");
            } else if let Some(want) = line.strip_prefix("WANT M ") {
                asked += 1;
                let origin = want.split(' ').next().unwrap();
                hall.hear(barn, &format!("DONE M {origin}"));
            }
        }
        hall.wait(1_000);
    }
    // Messages are asked for in three ranges.
    assert!((6..=40).contains(&asked), "{asked}");
    assert!(hall.faults(Fault::VainClaim) > 0 && hall.is_up(barn));
    // Whoever else has it is asked for it at once.
    hall.hear(shed, "HAVE S :9ZZ.1=1");
    assert!(hall.told(shed).iter().any(|line| line.starts_with("WANT S")));
}

#[test]
fn a_message_that_is_said_to_follow_what_never_comes_does_not_make_anyone_ask_forever() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let line = "@dot=2BB.1.M1.1;after=zzzzzz :a!u@h PRIVMSG 2BBAAAAAA #green :hello";
    let mut asked = 0;
    hall.hear(barn, line);
    for _ in 0..200 {
        for said in hall.told(barn) {
            if said.starts_with("WANT S") {
                asked += 1;
                hall.hear(barn, "DONE S :2BB.1=1");
            } else if said.starts_with("WANT M") {
                asked += 1;
                hall.hear(barn, line);
                hall.hear(barn, "DONE M 2BB.1");
            }
        }
        hall.wait(250);
    }
    assert!(asked < 10, "{asked}");
    assert!(hall.is_up(barn));
}

#[test]
fn what_waits_for_its_turn_is_bounded() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let text = "x".repeat(4_000);
    for seq in 5..9_000u64 {
        let line = format!(":a!u@h PRIVMSG 2BBAAAAAA #green :{text}");
        hall.event(barn, &format!("2BB.1.M{}", base36::encode(seq)), 0, &line);
        hall.event(barn, &format!("9ZZ.{}.S5", base36::encode(seq)), 0, "GOODBYE :x");
        hall.event(barn, &format!("8YY.1.S{}", base36::encode(seq)), 0, "GOODBYE :x");
        hall.said.clear();
    }
    for load in hall.engine.intake.loads() {
        assert!(load.count <= load.most, "{load:?}");
    }
}

#[test]
fn what_others_say_faster_than_the_disk_writes_is_had_from_them_once_it_has_caught_up() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    let say = |hall: &mut Hall, seq: u64| {
        hall.event(barn, &format!("2BB.1.M{}", base36::encode(seq)), 0, ":a!u@h PRIVMSG 2BBAAAAAA #green :a");
    };
    let tip = |hall: &Hall| hall.tip(Stream::Message, "2BB.1");
    let wants = |hall: &mut Hall| hall.told(barn).iter().filter(|line| line.starts_with("WANT M")).count();
    // Not a word of it is on disk.
    (1..=5_000).for_each(|seq| say(&mut hall, seq));
    assert_eq!(tip(&hall), 3_750);
    // What is no message is heard and answered.
    hall.hear(barn, "PING 77 0");
    assert!(hall.told(barn).iter().any(|line| line.starts_with("PONG 77")));
    hall.event(barn, "2BB.1.S2", 0, "USER 2BBAAAAAA ann u h h * * 0 :Ann");
    assert_eq!(hall.tip(Stream::Session, "2BB.1"), 2);
    hall.wait(2_000);
    assert_eq!((tip(&hall), wants(&mut hall)), (3_750, 0));

    hall.step(Event::Recorded { number: 2_000 });
    hall.wait(250);
    assert_eq!(wants(&mut hall), 2, "there is room again");
    (3_751..=3_850).for_each(|seq| say(&mut hall, seq));
    hall.hear(barn, "DONE M 2BB.1");
    assert_eq!((tip(&hall), wants(&mut hall)), (3_850, 1));
    assert!(hall.is_up(barn) && hall.faults(Fault::VainClaim) == 0);
}

#[test]
fn a_disk_that_takes_nothing_keeps_nobody_from_hearing_what_others_say() {
    for fault in [Event::StoreFault { why: Some("full".to_string()) }, Event::Tick] {
        let mut hall = Hall::new();
        let barn = hall.linked("2BB", "barn.lan");
        let say = |hall: &mut Hall, first, last| {
            for seq in first..=last {
                let dot = format!("2BB.1.M{}", base36::encode(seq));
                hall.event(barn, &dot, 0, ":a!u@h PRIVMSG 2BBAAAAAA #green :a");
            }
            hall.tip(Stream::Message, "2BB.1")
        };
        assert_eq!(say(&mut hall, 1, 3_760), 3_750);
        let is_told = matches!(fault, Event::StoreFault { .. });
        hall.step(fault);
        hall.wait(if is_told { 250 } else { 10_000 });
        assert_eq!(say(&mut hall, 3_751, 6_000), 6_000, "told={is_told}");
    }
}

#[test]
fn a_short_line_cannot_fill_the_memory() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.hear(barn, "HAVE S :9ZZ.1=5\nSNAPSHOT S");
    for _ in 0..1_000 {
        hall.hear(barn, "ALIVE S 9ZZ.1 :1-3w5e11264sgsf 0-3w5e11264sgsf 5-9 7-zzzzzzzz");
    }
    hall.hear(barn, "DONE S :9ZZ.1=5");
    assert_eq!(hall.tip(Stream::Session, "9ZZ.1"), 5);
}

#[test]
fn origins_that_somebody_makes_up_are_bounded() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    for epoch in 1..6_000u64 {
        hall.event(barn, &format!("9ZZ.{}.S1", base36::encode(epoch)), 0, "NEWS of :nothing");
        hall.said.clear();
    }
    for first in (1..6_000).step_by(100) {
        let origins = (first..first + 100).map(|epoch: u64| format!("8YY.{}=1", base36::encode(epoch)));
        hall.hear(barn, &format!("HAVE M :{}", origins.collect::<Vec<_>>().join(" ")));
    }
    assert!(hall.engine.network.seen(Stream::Session).len() <= 4_097);
    assert!(hall.engine.links.by_conn[&barn.conn].known.clone().message.len() <= 4_097);
    assert!(hall.faults(Fault::TooMany) > 0 && hall.is_up(barn));
    assert_eq!(hall.noted("more origins than there may be"), 1);
}

#[test]
fn a_map_that_somebody_makes_up_is_bounded_and_its_numbers_do_not_run_over() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    hall.hear(barn, "ROUTES 1AA 3 3w5e11264sgsf :2BB=1");
    hall.hear(barn, "ROUTES 1AA 3 zzzzzzzz :2BB=1");
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars();
    let sids = letters.clone().flat_map(|a| letters.clone().map(move |b| format!("9{a}{b}")));
    for sid in sids.clone() {
        hall.hear(barn, &format!("ROUTES {sid} 1 1 :2BB=4294967295 1AA=0"));
    }
    let all: Vec<String> = sids.take(500).map(|sid| format!("{sid}=1")).collect();
    hall.hear(barn, &format!("ROUTES 2BB 1 2 :1AA=1 {}", all.join(" ")));
    assert!(hall.engine.routes.known().count() <= 257);
    assert!(hall.faults(Fault::TooMany) > 0);
    hall.wait(31_000);
}

#[test]
fn passing_words_of_origins_that_do_not_exist_leave_nothing_behind() {
    let mut hall = Hall::new();
    let barn = hall.linked("2BB", "barn.lan");
    for epoch in 1..3_000u64 {
        let once = format!("9ZZ.{}.1", base36::encode(epoch));
        hall.hear(barn, &format!("@once={once} PASSING WALLOPS a!u@h :hear hear"));
        hall.hear(barn, &format!("@once=2BB.1.{} PASSING WALLOPS a!u@h :hear hear", base36::encode(epoch)));
    }
    assert!(hall.engine.intake.passed_count() <= 1_024);
}
