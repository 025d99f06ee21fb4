//! A cable between two servers that a test can cut, mend and make slow.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So much is read at once, and so many of that may be on their way: a slow cable is a full one soon.
const PIECE_BYTES: usize = 4 << 10;
const PIECES_MAX: usize = 64;

/// Hands on what is said to it, both ways, while it is whole.
pub struct Relay {
    address: SocketAddr,
    cable: Arc<Mutex<Cable>>,
}

struct Cable {
    target: SocketAddr,
    is_whole: bool,
    is_wanted: bool,
    pace: Pace,
    /// Both ends of all that goes through it.
    ends: Vec<TcpStream>,
}

/// How slow it is.
#[derive(Clone, Copy, Default)]
struct Pace {
    delay: Duration,
    /// Each way; `None`: as fast as it goes.
    bytes_per_second: Option<u32>,
}

impl Relay {
    pub fn to(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cable =
            Cable { target, is_whole: true, is_wanted: true, pace: Pace::default(), ends: Vec::new() };
        let cable = Arc::new(Mutex::new(cable));
        let own = cable.clone();
        std::thread::spawn(move || {
            for caller in listener.incoming() {
                if !own.lock().unwrap().is_wanted {
                    return;
                }
                // Whoever cannot be put through is hung up on.
                let _ = caller.and_then(|caller| put_through(&own, caller));
            }
        });
        Relay { address, cable }
    }

    /// Where to call.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads elsewhere from the next call on, as after a restart of the server behind it.
    pub fn lead_to(&self, target: SocketAddr) {
        self.cable.lock().unwrap().target = target;
    }

    /// Ends what goes through it, and lets nothing through.
    pub fn cut(&self) {
        let mut cable = self.cable.lock().unwrap();
        cable.is_whole = false;
        cable.hang_up();
    }

    pub fn mend(&self) {
        self.cable.lock().unwrap().is_whole = true;
    }

    /// From now on everything arrives so much later, and no more than so much in a second, each way.
    pub fn slow_down(&self, delay: Duration, bytes_per_second: u32) {
        self.cable.lock().unwrap().pace = Pace { delay, bytes_per_second: Some(bytes_per_second) };
    }

    /// A short fault: ends what goes through it, and is whole again at once.
    pub fn interrupt(&self) {
        self.cable.lock().unwrap().hang_up();
    }
}

impl Cable {
    fn hang_up(&mut self) {
        for end in self.ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut cable = self.cable.lock().unwrap();
        cable.is_wanted = false;
        cable.hang_up();
        // Wakes the listening thread, so that it sees that.
        let _ = TcpStream::connect(self.address);
    }
}

fn put_through(shared: &Arc<Mutex<Cable>>, caller: TcpStream) -> io::Result<()> {
    // Held throughout, so that no call slips past a cut.
    let mut cable = shared.lock().unwrap();
    if !cable.is_whole {
        return Ok(());
    }
    let called = TcpStream::connect(cable.target)?;
    for socket in [&caller, &called] {
        socket.set_nodelay(true)?;
        cable.ends.push(socket.try_clone()?);
    }
    for (from, to) in [(caller.try_clone()?, called.try_clone()?), (called.try_clone()?, caller.try_clone()?)]
    {
        let (pieces, arriving) = sync_channel(PIECES_MAX);
        let own = shared.clone();
        std::thread::spawn(move || take_in(&own, from, &pieces));
        std::thread::spawn(move || hand_on(arriving, to));
    }
    Ok(())
}

/// What was read, when it is to arrive, and how long it keeps the cable busy.
type Piece = (Vec<u8>, Instant, Duration);

fn take_in(cable: &Mutex<Cable>, mut from: TcpStream, pieces: &SyncSender<Piece>) {
    let mut bytes = vec![0; PIECE_BYTES];
    while let Ok(count) = from.read(&mut bytes)
        && count > 0
    {
        let pace = cable.lock().unwrap().pace;
        let busy =
            pace.bytes_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(count as u64) / rate);
        if pieces.send((bytes[..count].to_vec(), Instant::now() + pace.delay, busy)).is_err() {
            break;
        }
    }
}

fn hand_on(arriving: Receiver<Piece>, mut to: TcpStream) {
    for (bytes, due, busy) in arriving {
        std::thread::sleep(due.saturating_duration_since(Instant::now()) + busy);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // An end from one side is an end for both.
    let _ = to.shutdown(Shutdown::Write);
}
