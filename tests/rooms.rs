//! A channel of thousands: what each thing that people do there costs, and how long everybody else waits for it.
//!
//! A measurement, and no test: `cargo test --release --test rooms -- --ignored --nocapture`. It takes two minutes, a
//! machine with nothing else to do, and 15,000 descriptors; `FOLKMOOT_MEMBERS=1250,2500` measures other sizes. Each line
//! of it says, for one act on a channel with so many members here, the longest round trip of a PING of somebody who is
//! not there, how many of them took longer than 5 ms, the processor time that it took, and for how long the host of a
//! virtual machine has given its processors to others meanwhile: where it has, others may have waited for that. Those
//! who hear it are read by a thread that works only where nobody else would.

#[path = "support/process/mod.rs"]
mod process;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use process::client::Client;
use process::lab::{come_first, make_way};
use process::relay::Relay;
use process::{Server, figures};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const SIZES: &str = "1250,2500,5000";
/// Of so many members here, one is on the other server beside them, where a link is cut.
const HERE_TO_THERE: f64 = 2.5;
const CHANNEL: &str = "#big";
/// So many come at once.
const AT_ONCE: usize = 100;
/// Nobody hears anything for so long: it is over.
const CALM: Duration = Duration::from_millis(400);
/// Nobody is to wait for longer.
const STALL: Duration = Duration::from_millis(5);

/// In place of how much was heard.
const HUNG_UP: u64 = u64::MAX >> 1;

/// Connections that are read and not listened to.
struct Crowd {
    address: SocketAddr,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    set: Arc<OwnedFd>,
    heard_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn new(address: SocketAddr) -> Crowd {
        let set = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        let sockets = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (heard_bytes, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (own_set, own_sockets, own_heard, own_stop) =
            (set.clone(), sockets.clone(), heard_bytes.clone(), stop.clone());
        let thread = thread::spawn(move || {
            make_way();
            let (mut events, mut bytes) = (Vec::with_capacity(256), vec![0; 64 << 10]);
            let wait = Timespec::try_from(Duration::from_millis(100)).unwrap();
            while !own_stop.load(Ordering::Relaxed) {
                events.clear();
                if epoll::wait(&*own_set, spare_capacity(&mut events), Some(&wait)).is_err() {
                    continue;
                }
                let sockets = own_sockets.lock().unwrap();
                for event in &events {
                    match (&sockets[event.data.u64() as usize]).read(&mut bytes) {
                        Ok(0) => own_heard.store(HUNG_UP, Ordering::Relaxed),
                        Ok(count) => drop(own_heard.fetch_add(count as u64, Ordering::Relaxed)),
                        Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                        Err(why) => panic!("{why}"),
                    }
                }
            }
        });
        Crowd { address, sockets, set, heard_bytes, stop, thread: Some(thread) }
    }

    /// Brings it to so many, some at a time: all of them at once are another story.
    fn grow(&self, name: char, size: usize) {
        let start = self.sockets.lock().unwrap().len();
        for number in start..size {
            if number % AT_ONCE == 0 {
                self.rest(Duration::ZERO);
            }
            // Half of them take batches and the time.
            let mut socket = TcpStream::connect(self.address).unwrap();
            let caps = ["no-implicit-names", "batch server-time no-implicit-names"][number % 2];
            let nick = format!("{name}{number}");
            let text = format!("CAP REQ :{caps}\r\nCAP END\r\nNICK {nick}\r\nUSER {nick} 0 * :someone\r\n");
            socket.write_all(format!("{text}JOIN {CHANNEL}\r\n").as_bytes()).unwrap();
            socket.set_nonblocking(true).unwrap();
            let data = epoll::EventData::new_u64(number as u64);
            self.sockets.lock().unwrap().push(socket);
            let sockets = self.sockets.lock().unwrap();
            epoll::add(&*self.set, &sockets[number], data, epoll::EventFlags::IN).unwrap();
        }
        self.rest(Duration::ZERO);
    }

    /// Waits until nobody has heard anything for a while.
    fn rest(&self, at_least: Duration) {
        let (started, mut since, mut heard) = (Instant::now(), Instant::now(), 0);
        while since.elapsed() < CALM || started.elapsed() < at_least {
            thread::sleep(Duration::from_millis(5));
            let now = self.heard_bytes.load(Ordering::Relaxed);
            assert!(now < HUNG_UP, "the server hung up on somebody");
            if now != heard {
                (since, heard) = (Instant::now(), now);
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("it is taken once").join();
    }
}

/// Somebody who asks for an answer all the time, and remembers how long each took.
struct Polite {
    times: Arc<Mutex<Vec<Duration>>>,
}

impl Polite {
    fn begin(mut client: Client) -> Polite {
        let times = Arc::<Mutex<Vec<Duration>>>::default();
        let own = times.clone();
        thread::spawn(move || {
            come_first();
            for number in 0.. {
                let asked = Instant::now();
                client.say(&format!("PING {number}"));
                client.hear_until(&format!(":{number}"));
                own.lock().unwrap().push(asked.elapsed());
                // The test is over once it alone knows.
                if Arc::strong_count(&own) == 1 {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Polite { times }
    }

    /// Those since the last time, the longest last.
    fn waits(&self) -> Vec<Duration> {
        // One that waits still is one of them.
        let so_far = self.times.lock().unwrap().len();
        while self.times.lock().unwrap().len() < so_far + 2 {
            thread::sleep(Duration::from_millis(1));
        }
        let mut waits = std::mem::take(&mut *self.times.lock().unwrap());
        waits.sort();
        waits
    }
}

struct Measured<'a> {
    server: &'a Server,
    crowd: &'a Crowd,
    polite: &'a Polite,
    size: usize,
}

impl Measured<'_> {
    fn act(&self, name: &str, act: impl FnOnce()) {
        self.act_for(name, Duration::ZERO, act);
    }

    /// Does it, and waits for its end; it takes so long at least until it begins to show.
    fn act_for(&self, name: &str, at_least: Duration, act: impl FnOnce()) {
        self.crowd.rest(Duration::ZERO);
        self.polite.waits();
        let (started, busy, stolen) = (Instant::now(), figures::busy(self.server.pid()), figures::stolen());
        act();
        self.crowd.rest(at_least);
        let waits = self.polite.waits();
        let took = figures::busy(self.server.pid()).saturating_sub(busy);
        let (time, stolen) = (started.elapsed(), figures::stolen() - stolen);
        let (longest, size) = (waits[waits.len() - 1], self.size);
        let stalled = waits.iter().filter(|wait| **wait > STALL).count();
        let of = waits.len();
        println!(
            "{name:<12} members={size:<5} longest={longest:>8.1?} late={stalled:>3} of {of:<4} cpu={took:>8.1?} in {time:.1?} stolen={stolen:?}"
        );
    }

    /// What somebody asks for, up to the end of the answer.
    fn ask(&self, name: &str, client: &mut Client, line: &str, end: &str) {
        self.act(name, || {
            client.say(line);
            client.hear_until(end);
        });
    }
}

fn acts_here(measured: &Measured) {
    let mut dora = measured.server.client("dora");
    measured.act("nothing", || ());
    measured.ask("JOIN", &mut dora, &format!("JOIN {CHANNEL}"), " 366 ");
    measured.ask("NAMES", &mut dora, &format!("NAMES {CHANNEL}"), " 366 ");
    measured.ask("WHO", &mut dora, &format!("WHO {CHANNEL}"), " 315 ");
    measured.ask("WHOX", &mut dora, &format!("WHO {CHANNEL} %tcuihsnfdlaor,7"), " 315 ");
    measured.ask("WHO of all", &mut dora, "WHO *", " 315 ");
    measured.act("PRIVMSG", || dora.say(&format!("PRIVMSG {CHANNEL} :hello")));
    measured.act("NICK", || dora.say("NICK flora"));
    measured.act("PART", || dora.say(&format!("PART {CHANNEL}")));
    dora.join(CHANNEL);
    measured.act("QUIT", || dora.say("QUIT"));
}

#[test]
#[ignore = "a measurement: cargo test --release --test rooms -- --ignored --nocapture"]
fn what_is_done_in_a_channel_of_thousands() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    // None of them answers a PING.
    let settings = "network.hold = \"1s\"\nlimits.ping_after = \"1h\"";
    let mut hall = Server::measured("hall", settings);
    let mut barn = Server::new("barn");
    barn.set(settings);
    barn.log_usually();
    barn.start_elsewhere();
    barn.start();
    let cable = Relay::to(barn.places().link[0]);
    hall.call("barn.lan", cable.address());
    let mark = hall.mark();
    hall.reload();
    hall.logs(mark, "barn.lan is part of the network");
    let (here, there) = (Crowd::new(hall.places().irc[0]), Crowd::new(barn.places().irc[0]));
    let polite = Polite::begin(hall.client("polite"));
    let sizes = std::env::var("FOLKMOOT_MEMBERS").unwrap_or(SIZES.to_string());
    for size in sizes.split(',').map(|size| size.parse().expect("FOLKMOOT_MEMBERS: 1250,2500")) {
        here.grow('h', size);
        let measured = Measured { server: &hall, crowd: &here, polite: &polite, size };
        acts_here(&measured);
        there.grow('t', (size as f64 / HERE_TO_THERE) as usize);
        here.rest(CALM);
        measured.act_for("netsplit", Duration::from_secs(3), || cable.cut());
        measured.act_for("return", Duration::from_secs(5), || {
            cable.mend();
            hall.reload();
        });
        there.rest(Duration::ZERO);
    }
}
