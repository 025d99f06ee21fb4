//! Storms that are written by hand: what random ones meet too rarely, each with the order of events that it takes.

use super::layout::Layout;
use super::wires::Cable;
use super::world::base36;
use super::{Client, Storm};

/// A schedule, and what is true of it.
pub type Schedule = (&'static str, fn() -> Result<(), String>);

pub const ALL: &[Schedule] = &[
    ("what only the dead had seen go stays gone", what_only_the_dead_had_seen_go_stays_gone),
    ("half a snapshot is none", half_a_snapshot_is_none),
    ("an old write that comes after its remover changes nothing", an_old_write_after_its_remover),
    ("a write that is dead when it comes still replaces what it replaced", a_dead_write_still_replaces),
    ("a server whose disk was put back begins beyond what others remember", a_disk_that_was_put_back),
    ("a store that was put back begins with what others remember", a_store_that_was_put_back),
    ("whoever comes back after all have forgotten brings back nobody's past", back_after_all_have_forgotten),
    ("a status counts for the join that it was given to", a_status_for_a_join_that_is_over),
    ("a clock that was set back goes on from where it was", a_clock_that_was_set_back),
    ("what was said in a run that is over is not said again", a_word_of_the_run_before),
    ("of two topics set apart the later shows everywhere", two_topics_set_apart),
    ("of two that trade nicks across a split nobody is called the same", nicks_traded_across_a_split),
    ("nobody ends what is to come by guessing its number", what_is_to_come_was_named),
    ("nobody writes of another server's users", what_belongs_to_another),
    ("what was forged on its way is put right by its writer", what_was_forged_on_its_way),
    ("what a liar brought before its turn ends with its link", what_a_liar_brought_early),
    ("one false time keeps nobody from hearing an origin for longer than its link lasts", a_false_time),
];

/// Every server linked with every other.
fn linked(layout: Layout) -> Storm {
    let mut storm = Storm::scripted(layout);
    storm.world.wait(5_000);
    storm
}

fn without_logs(layout: Layout) -> Layout {
    Layout { events_kept: 0, ..layout }
}

impl Storm {
    fn comes(&mut self, server: usize, nick: &str) -> Client {
        let client = self.world.arrive(server, nick, "multi-prefix");
        self.world.speak(client, "JOIN #green");
        self.world.wait(10);
        client
    }

    fn says(&mut self, client: Client, line: &str) {
        self.world.speak(client, line);
        self.world.wait(10);
    }

    /// Cuts a server off from these others.
    fn cut(&mut self, server: usize, others: &[usize]) {
        others.iter().for_each(|other| self.world.set_cable((server, *other), Cable::Cut));
    }

    fn mend(&mut self, server: usize, others: &[usize]) {
        others.iter().for_each(|other| self.world.set_cable((server, *other), Cable::Whole));
    }

    /// The number of something that a server has yet to say, and the time as it goes with it.
    fn to_come(&self, server: usize, stream: char, ahead: u64) -> (String, String) {
        let engine = self.world.servers[server].engine.as_ref().expect("it runs");
        let [facts, _, messages] = engine.heard();
        let own = |(origin, _): &&(String, u64)| origin.starts_with(&format!("{server}AA."));
        let (run, _) = facts.iter().filter(own).max().expect("it has introduced itself");
        let said = if stream == 'M' { &messages } else { &facts };
        let tip = said.iter().find(|(origin, _)| origin == run).map_or(0, |(_, tip)| *tip);
        (format!("{run}.{stream}{}", base36(tip + ahead)), base36(self.world.wall_ms() << 16))
    }

    /// The numbers of all facts that a server has written.
    fn said_by(&self, server: usize) -> Vec<String> {
        let (last, _) = self.to_come(server, 'S', 0);
        let (run, tip) = last.rsplit_once(".S").expect("as it was just made");
        let tip = u64::from_str_radix(tip, 36).expect("as it was just made");
        (1..=tip).map(|seq| format!("{run}.S{}", base36(seq))).collect()
    }

    fn sees(&mut self, client: Client, nick: &str) -> bool {
        self.names(client).iter().any(|name| name.trim_start_matches('@') == nick)
    }

    fn topic(&mut self, client: Client) -> String {
        let answer = self.world.ask(client, "TOPIC #green");
        let topic = answer.iter().find(|line| line.contains(" 332 ")).and_then(|line| line.rsplit_once(" :"));
        topic.map(|(_, topic)| topic.to_string()).unwrap_or_default()
    }

    fn modes(&mut self, client: Client) -> String {
        let answer = self.world.ask(client, "MODE #green");
        let modes = answer.iter().find_map(|line| line.split_once(" 324 ").map(|(_, rest)| rest.to_string()));
        modes.unwrap_or_default().split(' ').skip(2).collect::<Vec<_>>().join(" ")
    }

    fn names(&mut self, client: Client) -> Vec<String> {
        let answer = self.world.ask(client, "NAMES #green");
        let names =
            answer.iter().filter(|line| line.contains(" 353 ")).filter_map(|line| line.rsplit_once(':'));
        let mut names: Vec<String> =
            names.flat_map(|(_, names)| names.split(' ')).map(str::to_string).collect();
        names.sort();
        names
    }

    /// After a while all servers that run see the same, and each of these clients has these modes set.
    fn all_agree(&mut self, wait_ms: u64) -> Result<(), String> {
        self.world.wait(wait_ms);
        self.check()?;
        let engines = self.world.servers.iter().filter_map(|machine| machine.engine.as_ref());
        let reports: Vec<_> = engines.map(|engine| engine.report()).collect();
        let seen: Vec<_> = reports.iter().map(|report| (report.seen_hash, report.state_hash)).collect();
        match seen.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(()),
            false => Err(format!("servers differ: (vectors, view) {seen:?}")),
        }
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what} is {is:?} and should be {should:?}")) }
}

/// 2 takes away what 0 had set, and only 3 hears of it at first. 0 merges with them, they die, and 1 still has
/// the old state: 0 has no events left to give it, and what was written cannot be had from anyone.
fn what_only_the_dead_had_seen_go_stays_gone() -> Result<(), String> {
    let mut storm = linked(without_logs(Layout::plain(4)));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let cat = storm.comes(2, "cat");
    storm.says(ann, "MODE #green +mo cat");
    storm.says(ann, "TOPIC #green :old");
    storm.cut(0, &[1, 2, 3]);
    storm.cut(1, &[2, 3]);
    storm.world.wait(8_000);
    storm.says(cat, "MODE #green -m");
    storm.says(cat, "TOPIC #green :");
    storm.mend(0, &[2, 3]);
    storm.world.wait(90_000);
    storm.world.crash(2);
    storm.world.crash(3);
    storm.world.wait(1_000);
    storm.mend(0, &[1]);
    storm.all_agree(120_000)?;
    expect("the mode that bob sees", storm.modes(bob), "+nt".to_string())?;
    let answer = storm.world.ask(bob, "TOPIC #green");
    expect("whether there is a topic", answer.iter().any(|line| line.contains(" 332 ")), false)
}

/// The cable breaks after each line of a snapshot in turn, and whoever sent it dies: what had come of it must
/// not count, or 0 would have seen a part of what it says that it has seen.
fn half_a_snapshot_is_none() -> Result<(), String> {
    for lines in 0..40 {
        half_a_snapshot(lines * 100).map_err(|why| format!("cut after {} ms: {why}", lines * 100))?;
    }
    Ok(())
}

fn half_a_snapshot(cut_after_ms: u64) -> Result<(), String> {
    let mut storm = linked(without_logs(Layout::plain(3)));
    let ann = storm.comes(0, "ann");
    let cat = storm.comes(2, "cat");
    storm.says(ann, "MODE #green +mo cat");
    storm.cut(2, &[0, 1]);
    storm.world.wait(8_000);
    storm.says(cat, "MODE #green -m");
    storm.says(cat, "MODE #green +ib x!*@*");
    storm.comes(2, "dan");
    storm.says(cat, "MODE #green +i-b+k x!*@* sesame");
    storm.says(cat, "PART #green");
    storm.says(cat, "JOIN #green");
    storm.world.wires.paced.insert((2, 0), 100);
    storm.mend(2, &[0]);
    // Until they greet each other.
    for _ in 0..1_000 {
        storm.world.wait(100);
        if storm.world.wires.are_joined(0, 2) {
            break;
        }
    }
    storm.world.wait(cut_after_ms);
    storm.world.crash(2);
    storm.cut(2, &[0]);
    storm.all_agree(60_000)?;
    // And once it is there again, with nothing but its disk.
    storm.world.wires.paced.clear();
    storm.mend(2, &[0, 1]);
    storm.world.start(2);
    storm.all_agree(120_000)
}

/// 0 says +m and 1, who has seen it, says -m. The news of 1 are with 2 long before those of 0.
fn an_old_write_after_its_remover() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let cat = storm.comes(2, "cat");
    storm.says(ann, "MODE #green +o bob");
    storm.world.wires.slow.insert((0, 2), 3_000);
    storm.says(ann, "MODE #green +m");
    storm.says(bob, "MODE #green -m");
    storm.world.wait(1_000);
    expect("the mode before the old news", storm.modes(cat), "+nt".to_string())?;
    storm.world.wait(3_000);
    expect("the mode after the old news", storm.modes(cat), "+nt".to_string())?;
    storm.all_agree(60_000)
}

/// Three set the limit one after another, each having seen the one before; 3 hears of the second last.
fn a_dead_write_still_replaces() -> Result<(), String> {
    let mut storm = linked(Layout::plain(4));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let cat = storm.comes(2, "cat");
    let dan = storm.comes(3, "dan");
    storm.says(ann, "MODE #green +oo bob cat");
    storm.world.wires.slow.insert((1, 3), 3_000);
    storm.says(ann, "MODE #green +l 11");
    storm.says(bob, "MODE #green +l 22");
    storm.says(cat, "MODE #green +l 33");
    storm.world.wait(5_000);
    storm.says(cat, "MODE #green -l");
    expect("the limit that dan sees", storm.modes(dan), "+nt".to_string())?;
    storm.all_agree(60_000)
}

/// 0 starts from an old copy of its disk, is told that others know it in a later run, begins one beyond that,
/// and crashes before its disk has it.
fn a_disk_that_was_put_back() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let bob = storm.comes(1, "bob");
    for _ in 0..3 {
        storm.world.crash(0);
        storm.world.wait(1_000);
        storm.world.start(0);
        storm.world.wait(20_000);
        let ann = storm.comes(0, "ann");
        storm.says(ann, "AWAY :soon back");
    }
    storm.world.crash(0);
    storm.cut(0, &[1, 2]);
    storm.world.put_back_disk(0, 3);
    storm.world.start(0);
    storm.comes(0, "eve");
    storm.comes(0, "fay");
    storm.mend(0, &[1, 2]);
    storm.world.wait(7_000);
    storm.world.crash(0);
    storm.world.start(0);
    storm.world.wait(90_000);
    storm.comes(0, "gus");
    storm.all_agree(60_000)?;
    expect("who is there", storm.names(bob), vec!["@bob".to_string(), "gus".to_string()])
}

/// 0 drops a registered channel, and starts again from a copy of its store in which that is still registered. Others have
/// heard more of that store than is in it, and have nothing to say of the channel, so nothing in it counts; but whoever is logged in to an account that the others
/// remember stays so.
fn a_store_that_was_put_back() -> Result<(), String> {
    let mut storm = linked(without_logs(Layout::plain(2)));
    let bob = storm.comes(1, "bob");
    let ann = storm.comes(0, "ann");
    storm.says(ann, "REGISTER * * open-sesame");
    storm.world.wait(1_000);
    // Nothing is set on the channel but what is in the store.
    for line in ["PART #green", "JOIN #blue", "MODE #blue -nt", "CS REGISTER #blue", "MODE #blue +k sesame"] {
        storm.says(ann, line);
    }
    storm.world.wait(5_000);
    storm.world.stop(0);
    let copy = storm.world.servers[0].disk.clone();
    storm.world.start(0);
    storm.world.wait(20_000);
    let ann = storm.world.arrive(0, "ann", "multi-prefix");
    for line in ["NS IDENTIFY ann open-sesame", "CS DROP #blue #blue"] {
        storm.says(ann, line);
        storm.world.wait(5_000);
    }
    storm.world.stop(0);
    storm.cut(0, &[1]);
    storm.world.put_back_store(0, copy);
    storm.world.start(0);
    let ann = storm.world.arrive(0, "ann", "multi-prefix");
    storm.says(ann, "NS IDENTIFY ann open-sesame");
    storm.world.wait(1_000);
    storm.says(ann, "JOIN #blue");
    let is_locked = |storm: &mut Storm| {
        let modes = storm.world.ask(ann, "MODE #blue");
        modes.iter().any(|line| line.contains("sesame"))
    };
    expect("whether the old copy is in force", is_locked(&mut storm), true)?;
    // What it has heard so far it lets go of, as nobody else may.
    storm.world.anything_goes = true;
    storm.mend(0, &[1]);
    storm.world.wait(90_000);
    storm.world.anything_goes = false;
    storm.world.ledger = storm.world.ledger.after_lies();
    storm.all_agree(1_000)?;
    expect("whether it still is", is_locked(&mut storm), false)?;
    let about = storm.world.ask(bob, "WHO ann %a");
    expect("the account of ann", about.first().map(String::as_str), Some(":s1.lan 354 bob ann"))
}

/// 3 is away until nobody counts its users any more, and nothing is left in any log of what was undone meanwhile.
fn back_after_all_have_forgotten() -> Result<(), String> {
    let mut storm = linked(without_logs(Layout { forget_after_s: 30, ..Layout::plain(4) }));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let zed = storm.comes(3, "zed");
    storm.says(ann, "MODE #green +mo zed");
    storm.says(ann, "MODE #green +b evil!*@*");
    storm.says(zed, "TOPIC #green :from zed");
    storm.cut(3, &[0, 1, 2]);
    storm.world.wait(60_000);
    storm.says(ann, "MODE #green -mb evil!*@*");
    storm.says(ann, "TOPIC #green :");
    storm.says(bob, "PART #green");
    storm.world.trim(1, 0, 0);
    storm.world.trim(2, 0, 0);
    storm.mend(3, &[2]);
    storm.all_agree(90_000)?;
    expect("the mode that zed sees", storm.modes(zed), "+nt".to_string())?;
    let bans = storm.world.ask(zed, "MODE #green b");
    expect("whether there is a ban", bans.iter().any(|line| line.contains(" 367 ")), false)?;
    let topic = storm.world.ask(zed, "TOPIC #green");
    expect("whether there is a topic", topic.iter().any(|line| line.contains(" 332 ")), false)?;
    expect("who is there", storm.names(ann), vec!["@ann".to_string(), "@zed".to_string()])
}

/// While nobody can tell 0, bob leaves and joins again; what ann gives him there she gives to the join that is over.
fn a_status_for_a_join_that_is_over() -> Result<(), String> {
    let mut storm = linked(Layout { hold_s: 30, ..Layout::plain(3) });
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let cat = storm.comes(2, "cat");
    storm.cut(0, &[1, 2]);
    storm.world.wait(2_000);
    storm.says(bob, "PART #green");
    storm.says(bob, "JOIN #green");
    storm.says(ann, "MODE #green +o bob");
    storm.mend(0, &[1, 2]);
    storm.all_agree(90_000)?;
    let should = vec!["@ann".to_string(), "bob".to_string(), "cat".to_string()];
    for client in [ann, bob, cat] {
        expect("who is what", storm.names(client), should.clone())?;
    }
    Ok(())
}

/// The disk has the highest stamp of the run before; while the server is down, its clock is set back.
fn a_clock_that_was_set_back() -> Result<(), String> {
    let mut storm = linked(Layout::plain(2));
    storm.world.set_clock(0, 5_000);
    storm.comes(0, "ann");
    storm.world.wait(2_000);
    storm.world.stop(0);
    storm.world.set_clock(0, -4_000);
    storm.world.start(0);
    storm.world.wait(20_000);
    storm.comes(0, "ann");
    storm.all_agree(60_000)
}

/// What ann says is on its way, and not on the disk, as her server crashes; it comes back from the other.
fn a_word_of_the_run_before() -> Result<(), String> {
    let mut storm = linked(Layout { hold_s: 30, ..Layout::plain(2) });
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    storm.world.recorded_after_ms = Some(1_000);
    storm.says(ann, "PRIVMSG #green :ann 1");
    storm.world.crash(0);
    storm.cut(0, &[1]);
    storm.world.start(0);
    let cat = storm.comes(0, "cat");
    storm.mend(0, &[1]);
    storm.all_agree(90_000)?;
    let said = ("ann".to_string(), 1);
    expect("whether bob has heard it", storm.world.clients[&bob].heard.contains(&said), true)?;
    expect("whether cat has, who came after", storm.world.clients[&cat].heard.contains(&said), false)
}

/// Each hears of the other's only after a split, 0 of the older one and 1 of the newer; the next one is over both.
fn two_topics_set_apart() -> Result<(), String> {
    let mut storm = linked(Layout::plain(2));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    storm.says(ann, "MODE #green -t");
    storm.cut(0, &[1]);
    storm.world.wait(2_000);
    storm.says(bob, "TOPIC #green :the older");
    storm.says(ann, "TOPIC #green :the newer");
    storm.mend(0, &[1]);
    storm.all_agree(90_000)?;
    for client in [ann, bob] {
        let topic = storm.world.ask(client, "TOPIC #green");
        expect("whether the newer shows", topic.iter().any(|line| line.ends_with(":the newer")), true)?;
    }
    storm.says(bob, "TOPIC #green :");
    storm.all_agree(5_000)?;
    let topic = storm.world.ask(ann, "TOPIC #green");
    expect("whether there is a topic", topic.iter().any(|line| line.contains(" 332 ")), false)
}

/// While they cannot hear of each other, ann becomes bob and bob becomes ann, and a third takes what both left.
fn nicks_traded_across_a_split() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let cat = storm.comes(2, "cat");
    storm.cut(0, &[1, 2]);
    storm.cut(1, &[2]);
    storm.says(ann, "NICK zoe");
    storm.says(bob, "NICK tom");
    storm.world.wait(70_000);
    // Forgotten on the other side, so that their nicks are free there.
    storm.says(ann, "NICK bob");
    storm.says(bob, "NICK ann");
    storm.says(cat, "NICK ann");
    storm.mend(0, &[1, 2]);
    storm.mend(1, &[2]);
    storm.all_agree(90_000)?;
    let names = storm.names(cat);
    expect("how many there are", names.len(), 3)?;
    for client in [ann, bob] {
        expect("who is there", storm.names(client), names.clone())?;
    }
    Ok(())
}

/// 2 says that it has written over what 0 is to write next, of another key; 1 hears of that first, 0 last.
fn what_is_to_come_was_named() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let over: Vec<String> = (1..=5).map(|ahead| storm.to_come(0, 'S', ahead).0).collect();
    let (dot, stamp) = storm.to_come(2, 'S', 1);
    let lie = format!("@dot={dot}.{stamp};over={} MODE #green 5.2AA s2.lan +n", over.join(","));
    storm.world.wires.slow.insert((1, 0), 2_000);
    storm.world.forge(2, 1, &lie);
    storm.world.wait(100);
    storm.says(ann, "TOPIC #green :harvest");
    storm.world.wait(100);
    for client in [ann, bob] {
        expect("the topic", storm.topic(client), "harvest".to_string())?;
    }
    storm.world.wait(4_000);
    storm.all_agree(120_000)?;
    expect("the topic in the end", storm.topic(ann), "harvest".to_string())
}

/// 2 says in its own name that ann, who is on 0, has gone, and that bob, who is on 1, was kicked.
fn what_belongs_to_another() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let uid = |server: usize| storm.world.ledger.user_of(server).ok_or("nobody has an id there");
    let (anns, bobs) = (uid(0)?, uid(1)?);
    for (ahead, of, body) in
        [(1, 0, format!("QUIT {anns} :forged")), (2, 1, format!("KICK {bobs} #green x!y@z :forged"))]
    {
        let (dot, stamp) = storm.to_come(2, 'S', ahead);
        let over = storm.said_by(of).join(",");
        storm.world.forge(2, 0, &format!("@dot={dot}.{stamp};over={over} {body}"));
    }
    storm.world.wait(1_000);
    for client in [ann, bob] {
        expect("whether ann is there", storm.sees(client, "ann"), true)?;
        expect("whether bob is there", storm.sees(client, "bob"), true)?;
    }
    storm.all_agree(120_000)
}

/// Somebody on the only cable there is has 0 say goodbye to 1, in the place of what it says next.
fn what_was_forged_on_its_way() -> Result<(), String> {
    let mut storm = linked(Layout::plain(2));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let (dot, stamp) = storm.to_come(0, 'S', 1);
    storm.world.anything_goes = true;
    storm.world.forge(0, 1, &format!("@dot={dot}.{stamp} GOODBYE :forged"));
    storm.world.wait(5);
    storm.says(ann, "TOPIC #green :harvest");
    expect("whether bob sees ann", storm.sees(bob, "ann"), false)?;
    storm.world.wait(90_000);
    storm.world.anything_goes = false;
    storm.world.ledger = storm.world.ledger.after_lies();
    storm.all_agree(1_000)?;
    expect("whether bob sees ann", storm.sees(bob, "ann"), true)?;
    expect("the topic", storm.topic(bob), "harvest".to_string())
}

/// 2 tells 1 what ann is going to say; then it is cut off, and ann says something else.
fn what_a_liar_brought_early() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let (dot, stamp) = storm.to_come(0, 'M', 2);
    storm.world.forge(2, 1, &format!("@dot={dot}.{stamp} :ann!u@h PRIVMSG 0AAAAAAAA #green :0:0 99"));
    storm.world.wait(100);
    storm.cut(2, &[0, 1]);
    storm.world.wait(2_000);
    for number in 1..=3 {
        storm.says(ann, &format!("PRIVMSG #green :ann {number}"));
    }
    storm.world.wait(1_000);
    let heard: Vec<u64> = storm.world.clients[&bob].heard.iter().map(|(_, number)| *number).collect();
    expect("what bob has heard", heard, vec![1, 2, 3])
}

/// 2 tells 1 of an event of 0 from a time far ahead, which it would have to wait for; then it is cut off. What 0 really
/// said in its place 1 has to ask for.
fn a_false_time() -> Result<(), String> {
    let mut storm = linked(Layout::plain(3));
    let ann = storm.comes(0, "ann");
    let bob = storm.comes(1, "bob");
    let (dot, _) = storm.to_come(0, 'S', 1);
    let stamp = base36((storm.world.wall_ms() + 3_600_000) << 16);
    storm.world.forge(2, 1, &format!("@dot={dot}.{stamp} TOPIC #green 5.0AA x 5 :forged"));
    storm.world.wait(100);
    storm.cut(2, &[0, 1]);
    storm.cut(0, &[1]);
    storm.world.wait(2_000);
    storm.says(ann, "TOPIC #green :harvest");
    storm.mend(0, &[1]);
    storm.world.wait(90_000);
    expect("the topic", storm.topic(bob), "harvest".to_string())
}
