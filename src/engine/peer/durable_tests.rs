//! What two servers tell each other of what is on disk, of what is not, and of what was.

use super::Pair;
use crate::engine::links::LinkStage;
use crate::engine::merge::Stream;
use crate::engine::network::{BanFact, BanKind, Edit};
use crate::wire::time::Timestamp;

fn ban(pair: &mut Pair, side: usize, who: &str) {
    let (by, reason) = ("alice!a@host".to_string(), "be gone".to_string());
    let fact = Some(BanFact { until: None, set: Timestamp(1), by: by.clone(), reason });
    pair.engines[side].write(Edit::Ban { kind: BanKind::UserHost, mask: mask(who), fact, by }, false);
}

#[test]
fn a_ban_that_is_over_is_removed_everywhere() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(5_000);
    let until = Some(Timestamp(pair.engines[0].now.wall.0 + 10_000));
    let by = "alice!a@host".to_string();
    for (side, who, until) in [(1, "bob", until), (1, "carol", None)] {
        let fact = Some(BanFact { until, set: Timestamp(1), by: by.clone(), reason: String::new() });
        let (kind, by) = (BanKind::UserHost, by.clone());
        pair.engines[side].write(Edit::Ban { kind, mask: mask(who), fact, by }, false);
    }
    pair.wait(1_000);
    assert_eq!(bans(&pair, 0), ["bob", "carol"]);
    pair.wait(180_000);
    assert_eq!((bans(&pair, 0), bans(&pair, 1)), (vec!["carol".into()], vec!["carol".into()]));
    assert!(is_one_network(&pair));
}

fn mask(who: &str) -> String {
    format!("{who}@host.lan")
}

fn bans(pair: &Pair, side: usize) -> Vec<String> {
    let bans = pair.engines[side].network.bans().iter();
    bans.map(|(_, mask, _)| mask.split('@').next().unwrap_or_default().to_string()).collect()
}

fn is_one_network(pair: &Pair) -> bool {
    let [hall, barn] = [0, 1].map(|side| pair.engines[side].report());
    (hall.state_hash, hall.seen_hash) == (barn.state_hash, barn.seen_hash)
}

#[test]
fn what_is_not_on_disk_is_in_force_here_and_told_to_nobody() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    ban(&mut pair, 0, "before");
    pair.wait(5_000);
    assert_eq!(bans(&pair, 1), ["before"]);

    pair.disks_fail[0] = true;
    ban(&mut pair, 0, "bob");
    pair.wait(60_000);
    assert_eq!(
        (bans(&pair, 0), bans(&pair, 1)),
        (vec!["before".into(), "bob".into()], vec!["before".into()])
    );
    assert_eq!(pair.links(0), [(LinkStage::Up, true)], "a disk at fault is no fault of the link");

    // Not on a new link either, and what the other one says is heard.
    pair.lose_links();
    ban(&mut pair, 1, "carol");
    pair.wait(90_000);
    assert_eq!(pair.links(0), [(LinkStage::Up, true)]);
    assert_eq!((bans(&pair, 0).len(), bans(&pair, 1)), (3, vec!["before".into(), "carol".into()]));

    pair.disks_fail[0] = false;
    ban(&mut pair, 0, "dave");
    pair.wait(1_000);
    assert_eq!(bans(&pair, 1), ["before", "bob", "carol", "dave"]);
    assert!(is_one_network(&pair));
}

#[test]
fn a_server_in_the_middle_passes_on_what_is_on_its_disk() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    pair.wait(5_000);
    pair.disks_fail[1] = true;
    ban(&mut pair, 0, "bob");
    pair.wait(5_000);
    assert_eq!(bans(&pair, 1), ["bob"]);
    let own = pair.engines[0].origin_of(Stream::Durable);
    let network = &pair.engines[1].network;
    assert_eq!((network.seen(Stream::Durable).tip(own), network.said(Stream::Durable).tip(own)), (1, 0));
    pair.disks_fail[1] = false;
    ban(&mut pair, 1, "carol");
    pair.wait(1_000);
    assert_eq!(pair.engines[1].network.said(Stream::Durable).tip(own), 1);
}

#[test]
fn a_server_that_lost_its_disk_gets_it_back_and_begins_a_generation_that_nobody_has_seen() {
    let mut pair = Pair::new([Some("barn.lan"), None]);
    ["one", "two", "three"].into_iter().for_each(|who| ban(&mut pair, 0, who));
    pair.wait(5_000);
    // It has said less by then than the others remember, or as much, or more.
    for (run, written) in [(2, &["four"][..]), (3, &["five"]), (4, &["four", "six", "seven", "eight"])] {
        let before = pair.engines[0].generation;
        pair.begin_with_an_empty_disk(0, run);
        written.iter().for_each(|who| ban(&mut pair, 0, who));
        pair.wait(90_000);
        assert!(is_one_network(&pair));
        assert!(written.iter().all(|who| bans(&pair, 1).contains(&who.to_string())), "{:?}", bans(&pair, 1));
        assert!(pair.engines[0].generation > before);
    }
    assert_eq!(bans(&pair, 1), ["eight", "five", "four", "one", "seven", "six", "three", "two"]);
    // And what it lifts is lifted, whenever it was set.
    for who in ["one", "four"] {
        let by = String::new();
        pair.engines[0].write(Edit::Ban { kind: BanKind::UserHost, mask: mask(who), fact: None, by }, false);
    }
    pair.wait(1_000);
    assert_eq!(bans(&pair, 1), ["eight", "five", "seven", "six", "three", "two"]);
    // Whoever lost nothing goes on as before.
    let generation = pair.engines[0].generation;
    pair.lose_links();
    pair.wait(90_000);
    assert_eq!((is_one_network(&pair), pair.engines[0].generation), (true, generation));
}
