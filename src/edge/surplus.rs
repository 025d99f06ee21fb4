//! One client for whom there is no room: it is told where there is some, over TLS as well, and let go.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::client::let_in;
use super::conn::Conn;
use super::outbox::Due;
use super::reader::{Greeting, attend};
use super::shared::Shared;
use super::tls::Timely;

/// How long it may take to hear what was said, and to hang up.
const LISTEN_WITHIN: Duration = Duration::from_secs(2);

/// Serves it to its end; `door` is the TLS side of the listener, `None` on a plain one.
pub fn serve(shared: &Shared, conn: &Arc<Conn>, door: Option<Arc<ServerConfig>>) {
    let tell = || {
        let secure = door.is_some();
        door.map(|config| let_in(conn, config)).transpose()?;
        let words = shared.engine.read().send_elsewhere(conn.address.ip(), secure);
        for line in &words {
            conn.append(line, Due::AtOnce, shared);
        }
        conn.end("no room", shared);
        // What it says meanwhile is read and forgotten: to close with something unread would have the system cut off
        // our last words.
        let mut rest = Timely { socket: conn.socket(), deadline: Instant::now() + LISTEN_WITHIN };
        let mut buffer = [0; 512];
        while rest.read(&mut buffer).is_ok_and(|count| count > 0) {}
        Ok(Greeting::Served)
    };
    if let Err(why) = attend(shared, conn, tell, || unreachable!("it never opens")) {
        log::debug!(target: conn.log_target(), "{} was not told that there is no room: {why}", conn.address);
    }
}
