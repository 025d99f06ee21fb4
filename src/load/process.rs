//! What a server's process has used, as the kernel counts it in `/proc`.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// A server's process on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

/// What it has used by now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time together, of all its threads, also of those that have ended. In steps of a tick,
    /// which mostly is 10 ms.
    pub cpu: Duration,
    /// Resident memory.
    pub resident_bytes: u64,
    pub threads: u64,
}

impl Process {
    pub fn of_id(id: u32) -> Result<Process, String> {
        Process(id).usage().map(|_| Process(id))
    }

    /// Whose socket listens there; `None` where that is another machine, or somebody else's process.
    pub fn behind(server: SocketAddr) -> Option<Process> {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let sockets: Vec<String> = tables
            .iter()
            .flat_map(|table| listening(table, server.port()))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        if !server.ip().is_loopback() && !is_here(server) {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.map(Process).find(|process| process.holds_one_of(&sockets))
    }

    fn holds_one_of(self, sockets: &[String]) -> bool {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.0)) else { return false };
        let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.into_iter().any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    }

    pub fn usage(self) -> Result<Usage, String> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.0);
            fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))
        };
        let (stat, memory) = (read("stat")?, read("statm")?);
        usage(&stat, &memory).ok_or_else(|| format!("/proc/{}/stat reads like nothing known: {stat}", self.0))
    }
}

/// Whether an address is one of this machine's.
fn is_here(server: SocketAddr) -> bool {
    std::net::UdpSocket::bind((server.ip(), 0)).is_ok()
}

/// The inodes of the sockets that listen on a port.
fn listening(table: &str, port: u16) -> Vec<&str> {
    const LISTEN: &str = "0A";
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| {
        let own_port = row.get(1).and_then(|address| address.rsplit(':').next());
        row.get(3) == Some(&LISTEN)
            && own_port.and_then(|text| u16::from_str_radix(text, 16).ok()) == Some(port)
    });
    ours.filter_map(|row| row.get(9).copied()).collect()
}

fn usage(stat: &str, memory: &str) -> Option<Usage> {
    // The second field is the program's name, in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |place: usize| fields.get(place - 3)?.trim().parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    let resident_pages: u64 = memory.split(' ').nth(1)?.parse().ok()?;
    Some(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64),
        resident_bytes: resident_pages * rustix::param::page_size() as u64,
        threads: number(20)?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_figures_of_a_process_are_read_whatever_it_is_called() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 12 99 3 184";
        let usage = usage(stat, "100 40 9 1 0 30 0\n").unwrap();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(usage.cpu, Duration::from_secs_f64(300.0 / ticks));
        assert_eq!(usage.resident_bytes, 40 * rustix::param::page_size() as u64);
        assert_eq!(usage.threads, 9);
    }

    #[test]
    fn whoever_listens_on_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = Process::behind(listener.local_addr().unwrap());
        assert_eq!(found, Some(Process(std::process::id())));
        assert!(found.unwrap().usage().unwrap().resident_bytes > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        assert!(Process::of_id(u32::MAX).unwrap_err().contains("/proc/4294967295/stat"));
    }
}
