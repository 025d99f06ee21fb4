//! How sockets are set up: dead ones are noticed, small lines are not held back, slow readers cannot hide.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::conn::Kind;
use crate::config::Limits;

/// What the system queues for one client. Left alone it takes megabytes, and hides for long that nobody reads.
pub const CLIENT_SEND_BUFFER_BYTES: usize = 64 << 10;
/// How long a link may go without an acknowledgement before it counts as cut.
const LINK_SILENCE_MAX: Duration = Duration::from_secs(20);

/// Sets up a connected socket.
pub fn prepare(socket: &TcpStream, kind: Kind, limits: &Limits, send_buffer_bytes: usize) -> io::Result<()> {
    // Lines are gathered by us, once per batch; to have the system wait for more would only cost time.
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(limits.keepalive_idle)
        .with_interval(limits.keepalive_interval)
        .with_retries(limits.keepalive_count);
    socket.set_tcp_keepalive(&keepalive)?;
    match kind {
        // The system doubles what it is asked for.
        Kind::Client | Kind::Surplus => socket.set_send_buffer_size(send_buffer_bytes),
        Kind::Caller | Kind::Called => socket.set_tcp_user_timeout(Some(LINK_SILENCE_MAX)),
    }
}
