//! A cable between two servers that a test can cut and mend.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Hands on what is said to it, both ways, while it is whole.
pub struct Relay {
    address: SocketAddr,
    cable: Arc<Mutex<Cable>>,
}

struct Cable {
    target: SocketAddr,
    is_whole: bool,
    is_wanted: bool,
    /// Both ends of all that goes through it.
    ends: Vec<TcpStream>,
}

impl Relay {
    pub fn to(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cable = Cable { target, is_whole: true, is_wanted: true, ends: Vec::new() };
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

fn put_through(cable: &Mutex<Cable>, caller: TcpStream) -> io::Result<()> {
    // Held throughout, so that no call slips past a cut.
    let mut cable = cable.lock().unwrap();
    if !cable.is_whole {
        return Ok(());
    }
    let called = TcpStream::connect(cable.target)?;
    for socket in [&caller, &called] {
        socket.set_nodelay(true)?;
        cable.ends.push(socket.try_clone()?);
    }
    for (mut from, mut to) in
        [(caller.try_clone()?, called.try_clone()?), (called.try_clone()?, caller.try_clone()?)]
    {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            // An end from one side is an end for both.
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
