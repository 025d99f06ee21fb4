//! One connection: its socket, and what threads may do to it.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::inbox::Lane;
use super::outbox::{Appended, Due, Flushed, Io, Stage};
use super::shared::{Counters, Shared};
use crate::engine::{Bundle, ConnId, Traffic};

/// What QUIT shows of someone who did not read.
pub const SLOW_READER: &str = "SendQ exceeded";

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Client,
    /// A client for whom there is no room, while it is told so.
    Surplus,
    /// A server, or one that wants to join, that called us.
    Caller,
    /// A server that we called.
    Called,
}

/// The socket is closed when the last holder lets go; the id is never used again.
pub struct Conn {
    pub id: ConnId,
    pub kind: Kind,
    pub address: SocketAddr,
    socket: TcpStream,
    /// What still comes is of no interest; follows `Io::stage`, and can be read without the lock.
    over: AtomicBool,
    /// The engine has taken it for a peer of our network.
    proven: AtomicBool,
    /// No limit on speed is for whoever is here.
    unhurried: AtomicBool,
    /// What it has cost beside its lines, in lines, and has yet to pay for.
    owed: AtomicU32,
    /// It uses so much of its allowance that others go first; a peer: it brings much at once.
    demanding: AtomicBool,
    /// Its events are in the lane of those who demand much, as long as any of them waits there.
    patient: AtomicBool,
    /// How many of its events the router has yet to take.
    events_waiting: AtomicU32,
    received_lines: AtomicU64,
    received_bytes: AtomicU64,
    received_wire_bytes: AtomicU64,
    io: Mutex<Io>,
}

impl Conn {
    pub fn new(
        id: ConnId,
        kind: Kind,
        address: SocketAddr,
        socket: TcpStream,
        waiting_bytes_max: usize,
    ) -> Conn {
        let io = Mutex::new(Io::new(waiting_bytes_max));
        Conn {
            id,
            kind,
            address,
            socket,
            over: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            unhurried: AtomicBool::new(false),
            owed: AtomicU32::new(0),
            demanding: AtomicBool::new(false),
            patient: AtomicBool::new(false),
            events_waiting: AtomicU32::new(0),
            received_lines: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            received_wire_bytes: AtomicU64::new(0),
            io,
        }
    }

    /// For the connection's own thread, which receives from it; all sending goes through `append` and `flush`.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Where entries of the log about this connection belong.
    pub fn log_target(&self) -> &'static str {
        match self.kind {
            Kind::Client | Kind::Surplus => "folkmoot::client",
            Kind::Caller | Kind::Called => "folkmoot::link",
        }
    }

    pub fn is_link(&self) -> bool {
        matches!(self.kind, Kind::Caller | Kind::Called)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// From now on everything goes through this TLS session, whose handshake is done.
    pub fn secure(&self, tls: rustls::Connection) {
        self.io.lock().secure(tls);
    }

    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// To be done before it is told, so that whatever it says in answer finds it done.
    pub fn set_proven(&self) {
        self.proven.store(true, Ordering::Release);
    }

    pub fn is_unhurried(&self) -> bool {
        self.unhurried.load(Ordering::Relaxed)
    }

    pub fn set_unhurried(&self, on: bool) {
        self.unhurried.store(on, Ordering::Relaxed);
    }

    pub fn charge(&self, lines: u32) {
        self.owed.fetch_add(lines, Ordering::Relaxed);
    }

    /// What has yet to be paid for; whoever asks pays.
    pub fn take_owed(&self) -> u32 {
        self.owed.swap(0, Ordering::Relaxed)
    }

    pub fn set_demanding(&self, on: bool) {
        self.demanding.store(on, Ordering::Relaxed);
    }

    /// The lane for the next of its events; for the connection's own thread. While one of them waits, the others
    /// follow it, so that none overtakes another. Nobody counts what somebody demands who is exempt from all bounds.
    pub fn enter_lane(&self) -> Lane {
        if self.events_waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            let is_patient = self.demanding.load(Ordering::Relaxed) && !self.is_unhurried();
            self.patient.store(is_patient, Ordering::Relaxed);
        }
        match self.patient.load(Ordering::Relaxed) {
            false => Lane::Prompt,
            true if self.is_link() => Lane::Burst,
            true => Lane::Patient,
        }
    }

    /// The router has taken one of its events, and looks at no other before it is done with that.
    pub fn leave_lane(&self) {
        self.events_waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Queues a line. True where the caller has to see to a flush, that soon.
    pub fn append(&self, line: &str, due: Due, shared: &Shared) -> bool {
        let mut io = self.io.lock();
        let appended = io.append(line);
        self.appended(io, appended, due, shared)
    }

    /// The same for many lines at once.
    pub fn append_bundle(&self, bundle: &Arc<Bundle>, due: Due, shared: &Shared) -> bool {
        let mut io = self.io.lock();
        let appended = io.append_bundle(bundle);
        self.appended(io, appended, due, shared)
    }

    /// The same for a line that holds a secret.
    pub fn append_apart(&self, line: &str, due: Due, shared: &Shared) -> bool {
        let mut io = self.io.lock();
        let appended = io.append_apart(line);
        self.appended(io, appended, due, shared)
    }

    /// What is queued from now on is compressed.
    pub fn compress(&self) {
        self.io.lock().compress();
    }

    fn appended(&self, mut io: MutexGuard<'_, Io>, appended: Appended, due: Due, shared: &Shared) -> bool {
        match appended {
            Appended::Queued if io.due < Some(due) => {
                io.due = Some(due);
                true
            }
            Appended::Queued | Appended::Ignored => false,
            Appended::Overflow => {
                Counters::count(&shared.counters.slow_readers, 1);
                log::warn!(
                    target: self.log_target(),
                    "{} did not read what was sent to it conn={} unsent_bytes={}",
                    self.address, self.id.0, io.waiting_bytes()
                );
                self.bury(&mut io, SLOW_READER);
                false
            }
        }
    }

    /// Counts lines that came, by the connection's own thread.
    pub fn count_received(&self, lines: u64, bytes: u64) {
        self.received_lines.fetch_add(lines, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what came before it was unpacked, if it had to be.
    pub fn count_received_wire(&self, bytes: u64) {
        self.received_wire_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn traffic(&self) -> Traffic {
        let io = self.io.lock();
        Traffic {
            conn: self.id,
            queued_bytes: io.waiting_bytes(),
            sent_lines: io.queued_lines,
            sent_bytes: io.queued_bytes.saturating_sub(io.waiting_bytes() as u64),
            sent_wire_bytes: io.wire_bytes,
            received_lines: self.received_lines.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            received_wire_bytes: self.received_wire_bytes.load(Ordering::Relaxed),
            compression: io.is_compressed().then_some("zstd"),
        }
    }

    /// Sends what waits, without blocking; where the socket will not take it, the flusher goes on. False where
    /// nothing has been queued since the last time.
    pub fn flush(&self, shared: &Shared) -> bool {
        let mut io = self.io.lock();
        if io.due.take().is_none() {
            return false;
        }
        if !io.pending {
            self.push(&mut io, shared);
        }
        true
    }

    /// The flusher's part: the socket has room again.
    pub fn resume(&self, shared: &Shared) {
        let mut io = self.io.lock();
        io.pending = false;
        self.push(&mut io, shared);
    }

    /// Lets out what is queued, then tells the other side that nothing more comes.
    pub fn end(&self, why: &str, shared: &Shared) {
        let mut io = self.io.lock();
        if io.stage != Stage::Open {
            return;
        }
        io.stage = Stage::Ending { why: why.to_string() };
        self.over.store(true, Ordering::Release);
        if !io.pending {
            self.push(&mut io, shared);
        }
    }

    /// Gives the connection up at once, which wakes its thread. The first reason to end it is the one that counts, and
    /// is returned.
    pub fn kill(&self, why: &str) -> String {
        let mut io = self.io.lock();
        self.bury(&mut io, why);
        io.stage.why().unwrap_or(why).to_string()
    }

    /// Turns what came over the wire into what was said, appended to `plain`. True where the other side said goodbye.
    pub fn decrypt(&self, raw: &[u8], plain: &mut Vec<u8>, shared: &Shared) -> Result<bool, String> {
        let mut io = self.io.lock();
        let outcome = io.decrypt(raw, plain);
        // New keys are acknowledged, and faults are complained about, by TLS itself.
        if io.has_tls_to_send() && !io.pending {
            self.push(&mut io, shared);
        }
        outcome
    }

    fn push(&self, io: &mut MutexGuard<'_, Io>, shared: &Shared) {
        if matches!(io.stage, Stage::Ended { .. } | Stage::Dead { .. }) {
            return;
        }
        let outcome = io.flush(&self.socket).and_then(|flushed| match (flushed, &io.stage) {
            (Flushed::All, Stage::Ending { .. }) => {
                io.say_goodbye();
                io.flush(&self.socket)
            }
            (flushed, _) => Ok(flushed),
        });
        let outcome = match outcome {
            Ok(Flushed::All) => {
                if let Stage::Ending { why } = &io.stage {
                    io.stage = Stage::Ended { why: why.clone() };
                    // Half a shutdown: to close with something unread would have the system cut off our last words.
                    let _ = self.socket.shutdown(Shutdown::Write);
                }
                Ok(())
            }
            Ok(Flushed::Blocked) => {
                // Set and armed under the lock, so that no wake-up can be lost.
                io.pending = true;
                Counters::count(&shared.counters.blocked, 1);
                let armed = shared.flusher.watch(&self.socket, self.id, io.watched);
                io.watched = true;
                armed
            }
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            self.bury(io, &fault.to_string());
        }
    }

    fn bury(&self, io: &mut MutexGuard<'_, Io>, why: &str) {
        let why = io.stage.why().unwrap_or(why).to_string();
        io.stage = Stage::Dead { why };
        io.clear();
        self.over.store(true, Ordering::Release);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::sync::Arc;

    use socket2::SockRef;

    use super::*;
    use crate::config::Limits;
    use crate::edge::compression::Unpacker;
    use crate::edge::compression::tests::{lines, unpacked};
    use crate::edge::shared::tests::{conn, shared};
    use crate::edge::threads::STACK_BYTES;
    use crate::edge::tls::tests::{listener, session, trusting_client};

    /// A connection in the table, with buffers small enough for the flusher to be needed, and a flusher that works.
    fn narrow(send_queue: usize) -> (Arc<Shared>, Arc<Conn>, TcpStream) {
        let (shared, _events) = shared(Limits { send_queue, ..Limits::default() });
        let (conn, theirs) = conn(&shared, Kind::Client);
        SockRef::from(conn.socket()).set_send_buffer_size(8 << 10).unwrap();
        SockRef::from(&theirs).set_recv_buffer_size(8 << 10).unwrap();
        shared.admit(&conn).unwrap();
        shared.serve("flusher", STACK_BYTES, |shared| shared.flusher.run(shared)).unwrap();
        (shared, conn, theirs)
    }

    fn say(shared: &Shared, conn: &Conn, count: usize) -> Vec<String> {
        let lines: Vec<String> =
            (0..count).map(|number| format!("line {number} {}", "x".repeat(100))).collect();
        for line in &lines {
            if conn.append(line, Due::AtOnce, shared) {
                conn.flush(shared);
            }
        }
        lines
    }

    fn is_blocked(conn: &Conn) -> bool {
        conn.io.lock().pending
    }

    #[test]
    fn what_a_socket_would_not_take_arrives_whole_and_in_order() {
        let (shared, conn, theirs) = narrow(1 << 20);
        let said = say(&shared, &conn, 5000);
        assert!(is_blocked(&conn), "the buffers hold less than was said");
        conn.end("done", &shared);
        let heard: Vec<String> = BufReader::new(theirs).lines().map(Result::unwrap).collect();
        assert_eq!(heard, said);
        assert_eq!(conn.io.lock().buffer_bytes(), 0, "an idle connection holds no buffer");
        assert_eq!(conn.kill("too late to matter"), "done");
        shared.flusher.stop();
    }

    #[test]
    fn what_is_shared_with_others_arrives_whole_and_in_its_place() {
        for is_compressed in [false, true] {
            let (shared, conn, mut theirs) = narrow(4 << 20);
            if is_compressed {
                conn.compress();
            }
            let mut said = Vec::new();
            for round in 0..20 {
                said.extend(say(&shared, &conn, round % 3));
                let lines: Vec<String> =
                    (0..500).map(|number| format!("{round} {number} {}", "x".repeat(100))).collect();
                let bundle = Arc::new(Bundle::new(lines.clone()));
                if conn.append_bundle(&bundle, Due::InTurn, &shared) && round % 5 == 1 {
                    conn.flush(&shared);
                }
                said.extend(lines);
            }
            conn.flush(&shared);
            assert!(is_compressed || is_blocked(&conn), "the buffers hold less than was said");
            conn.end("done", &shared);
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).unwrap();
            if is_compressed {
                heard = unpacked(&mut Unpacker::new().unwrap(), &heard).unwrap();
            }
            let whole: String = said.iter().map(|line| format!("{line}\r\n")).collect();
            assert!(heard == whole.as_bytes());
            let traffic = conn.traffic();
            assert_eq!((traffic.sent_lines, traffic.sent_bytes), (said.len() as u64, whole.len() as u64));
            assert_eq!(conn.io.lock().buffer_bytes(), 0, "an idle connection holds no buffer");
            shared.flusher.stop();
        }
    }

    #[test]
    fn who_does_not_read_is_given_up_for_what_is_shared_as_well() {
        let (shared, conn, _theirs) = narrow(64 << 10);
        let bundle = Arc::new(Bundle::new((0..500).map(|_| "x".repeat(100))));
        for _ in 0..20 {
            if conn.append_bundle(&bundle, Due::AtOnce, &shared) {
                conn.flush(&shared);
            }
        }
        assert!(conn.is_over());
        assert_eq!(
            (conn.kill("too late to matter").as_str(), conn.io.lock().waiting_bytes()),
            (SLOW_READER, 0)
        );
        shared.flusher.stop();
    }

    #[test]
    fn who_does_not_read_is_given_up_and_costs_nothing_more() {
        let (shared, conn, mut theirs) = narrow(64 << 10);
        say(&shared, &conn, 5000);
        assert!(conn.is_over());
        assert_eq!(conn.io.lock().buffer_bytes(), 0);
        assert_eq!(shared.counters.slow_readers.load(Ordering::Relaxed), 1);
        // Its own thread wakes, and learns why.
        assert_eq!(conn.socket().read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(conn.kill("Connection closed"), SLOW_READER);
        let mut heard = Vec::new();
        let _ = theirs.read_to_end(&mut heard);
        assert!(heard.len() < 5000 * 100);
        shared.flusher.stop();
    }

    #[test]
    fn tls_carries_both_ways_through_full_sockets() {
        let (shared, conn, theirs) = narrow(4 << 20);
        let server = listener();
        let (ours, client) = session(server, trusting_client(), (conn.socket(), &theirs)).unwrap();
        conn.secure(ours);
        let said = say(&shared, &conn, 5000);
        assert!(is_blocked(&conn));
        let rustls::Connection::Client(client) = client else { unreachable!("we called") };
        let mut client = rustls::StreamOwned::new(client, theirs);

        // While we still have much to say, they speak too.
        client.write_all(b"NICK alice\r\n").unwrap();
        let (mut raw, mut plain) = ([0; 1024], Vec::new());
        while plain.is_empty() {
            let count = conn.socket().read(&mut raw).unwrap();
            assert_eq!(conn.decrypt(&raw[..count], &mut plain, &shared), Ok(false));
        }
        assert_eq!(plain, b"NICK alice\r\n");

        conn.end("done", &shared);
        // An end without TLS's goodbye would be an error here.
        let heard: Vec<String> = BufReader::new(client).lines().map(Result::unwrap).collect();
        assert_eq!(heard, said);
        assert_eq!(conn.io.lock().buffer_bytes(), 0);
        shared.flusher.stop();
    }

    #[test]
    fn nothing_is_sent_after_the_end() {
        let (shared, conn, mut theirs) = narrow(1 << 20);
        assert!(conn.append("ERROR :go", Due::AtOnce, &shared));
        conn.end("go", &shared);
        assert!(!conn.append("PRIVMSG alice :and?", Due::AtOnce, &shared));
        conn.flush(&shared);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "ERROR :go\r\n");
        shared.flusher.stop();
    }

    #[test]
    fn what_is_compressed_from_some_line_on_arrives_whole_through_full_sockets() {
        let (shared, conn, mut theirs) = narrow(4 << 20);
        let lines = lines(20_000);
        let mut said = String::new();
        for (number, line) in lines.iter().enumerate() {
            if number == 100 {
                conn.compress();
            }
            // Secrets stand among the rest, also first and twice in a row.
            let is_secret = matches!(number, 100 | 1000 | 1001) || number % 3000 == 0;
            let is_due = if is_secret {
                conn.append_apart(line, Due::AtOnce, &shared)
            } else {
                conn.append(line, Due::AtOnce, &shared)
            };
            // Flushed now after one line, now after many.
            if is_due && number % 7 == 0 || number % 50 == 0 {
                conn.flush(&shared);
            }
            said.push_str(&format!("{line}\r\n"));
        }
        conn.end("done", &shared);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).unwrap();
        let plain: usize = lines[..100].iter().map(|line| line.len() + 2).sum();
        assert_eq!(heard[..plain], said.as_bytes()[..plain]);
        let rest = unpacked(&mut Unpacker::new().unwrap(), &heard[plain..]).unwrap();
        assert_eq!(rest, said.as_bytes()[plain..]);
        let traffic = conn.traffic();
        assert_eq!((traffic.sent_bytes, traffic.sent_wire_bytes), (said.len() as u64, heard.len() as u64));
        assert!(heard.len() * 2 < said.len(), "{} of {}", heard.len(), said.len());
        assert_eq!(conn.io.lock().buffer_bytes(), 0, "an idle connection holds no buffer");
        shared.flusher.stop();
    }

    #[test]
    fn a_line_that_is_sent_apart_costs_the_same_whatever_stands_beside_it() {
        let secret = "SECRET 7 :correct horse battery staple, of this network and no other";
        let sizes = ["PRIVMSG #green :no horse at all", secret].map(|guess| {
            let (shared, conn, _theirs) = narrow(1 << 20);
            conn.compress();
            conn.append(guess, Due::AtOnce, &shared);
            conn.flush(&shared);
            let before = conn.traffic().sent_wire_bytes;
            conn.append_apart(secret, Due::AtOnce, &shared);
            conn.flush(&shared);
            shared.flusher.stop();
            conn.traffic().sent_wire_bytes - before
        });
        assert_eq!(sizes[0], sizes[1]);
    }
}
