//! The unit in which servers are compared: what one bare `send(2)` costs on this machine, just now.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// As many as make the figure steady, within about 50 ms.
const SENDS: u32 = 10_000;
/// As long as a usual line of chat.
const LINE_BYTES: usize = 100;
/// How many lines may lie in the socket before the other end reads them.
const SENDS_PER_READ: u32 = 100;

/// The processor time of one `send(2)` of a line to a TCP socket over loopback, by a thread that does nothing else.
pub fn bare_send() -> Result<Duration, String> {
    measure().map_err(|why| format!("one send(2) cannot be measured: {why}"))
}

fn measure() -> std::io::Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    let line = [b'x'; LINE_BYTES];
    let mut heard = vec![0; LINE_BYTES * SENDS_PER_READ as usize];
    let mut spent = Duration::ZERO;
    for _ in 0..SENDS / SENDS_PER_READ {
        let before = own_time();
        for _ in 0..SENDS_PER_READ {
            sender.write_all(&line)?;
        }
        spent += own_time() - before;
        receiver.read_exact(&mut heard)?;
    }
    Ok(spent / SENDS)
}

/// How long this thread has been running on a processor.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_costs_something() {
        let unit = bare_send().unwrap();
        assert!(unit > Duration::ZERO, "{unit:?}");
    }
}
