//! Three servers come apart while people talk on each, one of them is killed meanwhile, and they come together again: as
//! one network, with one past.

#[path = "support/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "support/mesh/mod.rs"]
mod mesh;
#[path = "support/process/mod.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mesh::{Mesh, OPERATOR, settle};
use process::client::{Came, Client};
use process::log::Mark;
use process::relay::Relay;
use process::{LOOK_AGAIN, Server};

const WORDS: [&str; 3] = ["hall", "barn", "mill"];

/// Where all of them talk all the time.
const LOAD: &str = "#load";

/// How much each voice has to have been told is on disk before a test goes on.
const TOLD_IN_A_PHASE: usize = 100;

/// How much each says before it has heard an answer.
const WAITING_MAX: usize = 16;

/// How many messages are asked for at once.
const PAGE: usize = 100;

/// How often somebody on the mesh says something, so that it is seen whether all is well.
const SAYS_EVERY: Duration = Duration::from_millis(100);

const CAPS: &str = "sasl batch message-tags server-time echo-message draft/chathistory";

fn password_of(account: &str) -> String {
    format!("{account} of the village")
}

/// Somebody new with an account of their name, which they have made themselves.
fn newcomer(at: SocketAddr, name: &str) -> Client {
    let mut client = Client::connect(at);
    client.register(name);
    client.say(&format!("CAP REQ :{CAPS}"));
    client.hear_until(" ACK ");
    client.say(&format!("REGISTER * * :{}", password_of(name)));
    client.hear_until(" REGISTER SUCCESS ");
    client
}

/// Somebody who logs in to an account that there is.
fn returned(at: SocketAddr, nick: &str, account: &str) -> Client {
    let mut client = Client::connect(at);
    let secret = BASE64.encode(format!("\0{account}\0{}", password_of(account)));
    client.say(&format!("CAP REQ :{CAPS}\r\nNICK {nick}\r\nUSER {nick} 0 * :{nick}"));
    client.hear_until(" ACK ");
    client.say(&format!("AUTHENTICATE PLAIN\r\nAUTHENTICATE {secret}"));
    let said = client.hear_until(" :SASL authentication ");
    assert!(said.contains(" 903 "), "{account} is known with its password: {said}");
    client.say("CAP END");
    client.hear_until(" 001 ");
    client.sync();
    client
}

/// The value of a tag of a line.
fn tag<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let tags = line.strip_prefix('@')?.split_once(' ')?.0.split(';');
    tags.filter_map(|tag| tag.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What somebody was told is on disk: by its id, to whom it was said and what.
type Told = BTreeMap<String, String>;

/// Somebody who talks without a pause, to a channel and to others, and keeps what they are told of it.
struct Voice {
    is_over: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    thread: Option<JoinHandle<Client>>,
}

impl Voice {
    fn raised(client: Client, nick: &str, targets: &[String]) -> Voice {
        let (is_over, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Told::new())));
        let (until, tale, nick, targets) =
            (is_over.clone(), told.clone(), nick.to_string(), targets.to_vec());
        let thread = std::thread::spawn(move || speak(client, &nick, &targets, &until, &tale));
        Voice { is_over, told, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        self.told.lock().unwrap().len()
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    /// Says no more, and has heard all that comes of what it said.
    fn fall_silent(&mut self) -> Client {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it talks").join().expect("it did not fall over")
    }
}

/// Until it is over, or the connection is.
fn speak(
    mut client: Client,
    nick: &str,
    targets: &[String],
    is_over: &AtomicBool,
    told: &Mutex<Told>,
) -> Client {
    let (own, mut number, mut waiting) = (format!(" :{nick}!"), 0, 0);
    let deadline = Instant::now() + mesh::SETTLED_WITHIN * 4;
    loop {
        let is_last = is_over.load(Ordering::Relaxed);
        if is_last && waiting == 0 {
            return client;
        }
        assert!(Instant::now() < deadline, "{nick} waits for {waiting} answers");
        while !is_last && waiting < WAITING_MAX {
            client.say(&format!("PRIVMSG {} :{nick} says {number}", targets[number % targets.len()]));
            (number, waiting) = (number + 1, waiting + 1);
        }
        match client.next_by(Instant::now() + LOOK_AGAIN) {
            Came::End => return client,
            Came::Nothing => {}
            Came::Line(line) => {
                if let Some(token) = line.strip_prefix("PING ") {
                    client.say(&format!("PONG {token}"));
                } else if line.contains(&own)
                    && let Some((_, said)) = line.split_once(" PRIVMSG ")
                {
                    let id = tag(&line, "msgid").expect("a message has an id");
                    told.lock().unwrap().insert(id.to_string(), said.to_string());
                    waiting -= 1;
                } else if line.contains(" 401 ") {
                    waiting -= 1;
                }
            }
        }
    }
}

/// Waits until each of these was told of so much more.
fn talk_on(voices: &[&Voice]) {
    let due: Vec<usize> = voices.iter().map(|voice| voice.count() + TOLD_IN_A_PHASE).collect();
    settle("everybody was told of what they say", || {
        voices.iter().zip(&due).all(|(voice, due)| voice.count() >= *due)
    });
}

/// One line of the past, as each server has to show it: when, its id, whose, to whom, and what.
fn shown(line: &str) -> String {
    let (_, rest) = line.split_once(' ').expect("tags, and the rest");
    let (time, id) = (tag(line, "time").expect("a time"), tag(line, "msgid").expect("an id"));
    format!("{time} {id} {rest}")
}

/// All that was said in one place, as somebody is shown it page by page, the oldest first.
fn past(client: &mut Client, target: &str) -> Vec<String> {
    let (mut all, mut before): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        client.say(&match &before {
            None => format!("CHATHISTORY LATEST {target} * {PAGE}"),
            Some(id) => format!("CHATHISTORY BEFORE {target} msgid={id} {PAGE}"),
        });
        let lines = client.sync();
        let page: Vec<&String> =
            lines.iter().filter(|line| line.contains(" PRIVMSG ") && tag(line, "batch").is_some()).collect();
        let Some(first) = page.first() else { return all };
        before = tag(first, "msgid").map(str::to_string);
        all.splice(0..0, page.into_iter().map(|line| shown(line)));
    }
}

/// What one server shows of all channels, private conversations, accounts and rights.
fn look(
    server: &Server,
    number: usize,
    channels: &[String],
    accounts: &[String],
) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeMap::new();
    for account in accounts {
        let nick = format!("{account}_{number}");
        let mut client = returned(server.places().irc[0], &nick, account);
        for channel in channels {
            client.join(channel);
            // Whoever joins shows here as what they have become by that.
            client.say(&format!(
                "MODE {channel} +b\r\nTOPIC {channel}\r\nCS INFO {channel}\r\nCS ACCESS {channel} LIST"
            ));
            let replies = client.sync().into_iter();
            let replies = replies
                .filter(|line| [" 367 ", " 332 ", " 333 ", ":ChanServ "].iter().any(|it| line.contains(it)));
            let replies = replies.filter_map(|line| Some(line.split_once(&nick)?.1.to_string()));
            seen.insert(format!("{channel} for {account}"), replies.collect());
            // One of them reads for all.
            if accounts.first() == Some(account) {
                seen.insert(format!("what was said on {channel}"), past(&mut client, channel));
            }
        }
        for other in accounts.iter().filter(|other| *other != account) {
            seen.insert(format!("what {account} and {other} said"), past(&mut client, other));
        }
        client.say("QUIT");
        client.hear_to_the_end();
    }
    seen
}

/// Holds that each server has all that somebody was told is on disk.
fn has_all(seen: &BTreeMap<String, Vec<String>>, told: &Told) {
    let lines: Vec<&String> = seen.values().flatten().collect();
    let kept: BTreeMap<&str, &str> = lines
        .iter()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ').skip(1);
            Some((words.next()?, words.next()?.split_once(" PRIVMSG ")?.1))
        })
        .collect();
    let lost: Vec<_> =
        told.iter().filter(|(id, said)| kept.get(id.as_str()) != Some(&said.as_str())).collect();
    assert!(
        lost.is_empty(),
        "{} of {} that were told to be on disk are nowhere: {lost:?}",
        lost.len(),
        told.len()
    );
}

fn server(word: &str) -> Server {
    let mut server = Server::new(word);
    server.set(OPERATOR);
    server.set("history.ack = \"disk\"\nnetwork.hold = \"1s\"");
    server
}

/// What somebody does on their side of the split, while the others do the same on theirs.
fn act_apart(server: &Server, word: &str) -> Client {
    let mut client = newcomer(server.places().irc[0], &format!("{word}3"));
    let own = format!("#of-{word}");
    client.join(&own);
    client.join(LOAD);
    client.say(&format!("CS REGISTER {own}"));
    client.hear_until(&format!("{own} is yours now"));
    client.say(&format!(
        "CS ACCESS {own} ADD {word}1 OP\r\nMODE {own} +b {word}!*@*\r\nTOPIC {own} :only here"
    ));
    client.say(&format!("TOPIC {LOAD} :as {word} has it"));
    client.say(&format!("PRIVMSG {own} :first on {own}\r\nPRIVMSG {word}2 :among us"));
    client.hear_until(&format!("PRIVMSG {own} :first on {own}"));
    client.hear_until(&format!("PRIVMSG {word}2 :among us"));
    client
}

fn is_out_of_reach(servers: &[Server], marks: &[Mark]) {
    for (server, mark) in servers.iter().zip(marks) {
        for other in servers.iter().filter(|other| other.word != server.word) {
            server.logs(*mark, &format!("{} is out of reach", other.name()));
        }
    }
}

#[test]
fn after_a_split_under_load_and_a_kill_all_servers_have_one_past_and_nothing_that_was_told_is_missing() {
    let mut servers = WORDS.map(server);
    servers[0].start();
    let mut relays = Vec::new();
    for (one, other) in [(1, 0), (2, 0), (2, 1)] {
        if !servers[other].is_running() {
            servers[other].start();
        }
        let relay = Relay::to(servers[other].places().link[0]);
        let name = servers[other].name();
        servers[one].call(&name, relay.address());
        relays.push(relay);
    }
    servers[2].start();
    for (one, other) in [(1, 0), (2, 0), (2, 1)] {
        servers[one].is_linked_with(Mark::START, &servers[other]);
        servers[other].is_linked_with(Mark::START, &servers[one]);
    }

    // One on each, with an account, who talks to all, to the next of them, and to somebody beside them.
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for (server, word) in servers.iter().zip(WORDS) {
        let mut client = newcomer(server.places().irc[0], &format!("{word}1"));
        client.join(LOAD);
        client.say(&format!("MODE {LOAD} -t"));
        WORDS.iter().for_each(|other| client.reach(&format!("{other}.lan")));
        firsts.push(client);
        seconds.push(newcomer(server.places().irc[0], &format!("{word}2")));
    }
    let targets = |number: usize| {
        let (own, next) = (WORDS[number], WORDS[(number + 1) % 3]);
        [LOAD.to_string(), format!("{next}1"), format!("{own}2")]
    };
    let raised = |client: Client, number: usize| {
        Voice::raised(client, &format!("{}1", WORDS[number]), &targets(number))
    };
    let mut voices: Vec<Voice> =
        firsts.into_iter().enumerate().map(|(number, client)| raised(client, number)).collect();
    talk_on(&voices.iter().collect::<Vec<_>>());

    let marks = servers.each_ref().map(Server::mark);
    relays.iter().for_each(Relay::cut);
    is_out_of_reach(&servers, &marks);
    let thirds: Vec<Client> =
        servers.iter().zip(WORDS).map(|(server, word)| act_apart(server, word)).collect();
    talk_on(&voices.iter().collect::<Vec<_>>());
    // In the middle of a word.
    servers[2].kill();
    let mut dead = voices.pop().expect("the voice at the mill");
    dead.fall_silent();
    talk_on(&voices.iter().collect::<Vec<_>>());
    servers[2].start();
    let mut back = returned(servers[2].places().irc[0], "mill1", "mill1");
    back.join(LOAD);
    voices.push(raised(back, 2));
    talk_on(&voices.iter().collect::<Vec<_>>());

    let marks = servers.each_ref().map(Server::mark);
    relays.iter().for_each(Relay::mend);
    servers.iter().for_each(Server::reload);
    for (one, other) in [(1, 0), (2, 0), (2, 1)] {
        servers[one].is_linked_with(marks[one], &servers[other]);
        servers[other].is_linked_with(marks[other], &servers[one]);
    }
    talk_on(&voices.iter().collect::<Vec<_>>());
    let mut told = dead.told();
    let firsts: Vec<Client> = voices.iter_mut().map(Voice::fall_silent).collect();
    voices.iter().for_each(|voice| told.extend(voice.told()));
    // They stay, or their channel would be gone with its topic.
    let _people = (firsts, seconds, thirds);

    let doors = servers.each_ref().map(|server| server.places().irc[0]);
    let mut mesh = Mesh::of(servers.into(), &doors, SAYS_EVERY);
    mesh.agrees();
    mesh.talkers.iter().for_each(|talker| talker.talk(false));
    let channels: Vec<String> =
        [LOAD.to_string()].into_iter().chain(WORDS.map(|word| format!("#of-{word}"))).collect();
    let accounts: Vec<String> =
        WORDS.iter().flat_map(|word| ["1", "2", "3"].map(|number| format!("{word}{number}"))).collect();
    let mut seen =
        mesh.servers.iter().enumerate().map(|(number, server)| look(server, number, &channels, &accounts));
    let first = seen.next().expect("there are three");
    has_all(&first, &told);
    for (other, word) in seen.zip(&WORDS[1..]) {
        for (what, lines) in &first {
            let theirs = &other[what];
            let place = lines.iter().zip(theirs).position(|(one, other)| one != other);
            let place = place.unwrap_or(lines.len().min(theirs.len()));
            let around =
                |lines: &[String]| lines[place.saturating_sub(2)..lines.len().min(place + 3)].to_vec();
            assert_eq!(
                around(lines),
                around(theirs),
                "{what}: of hall's {} and {word}'s {} lines, from {place} on",
                lines.len(),
                theirs.len()
            );
        }
    }
    let said: BTreeSet<&String> = first.values().flatten().collect();
    println!(
        "{} messages were told to be on disk; {} lines are alike on all servers",
        told.len(),
        said.len()
    );
}
