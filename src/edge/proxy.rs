//! What a load balancer says before all else, received: for whom a connection is.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::tls::Timely;
use crate::wire::proxy::{FIXED_BYTES_V2, Header, LINE_BYTES_MAX_V1, SIGNATURE_V2, START_V1};

/// A balancer says it as it connects; whoever does not is none.
const HEADER_WITHIN: Duration = Duration::from_secs(3);

/// Reads a header and not a byte more, so that TLS can begin right behind it.
pub fn receive(socket: &TcpStream) -> Result<Header, String> {
    let mut socket = Timely { socket, deadline: Instant::now() + HEADER_WITHIN };
    let header = read(&mut socket);
    // Whoever reads next has a time of their own, or none.
    let restored = socket.socket.set_read_timeout(None);
    let header = header.and_then(|header| restored.map(|()| header));
    match header {
        Ok(Some(header)) => Ok(header),
        Ok(None) => Err("what it says is no header of the PROXY protocol".to_string()),
        Err(fault) => Err(format!("no header of the PROXY protocol came: {fault}")),
    }
}

/// `None` where it is none.
fn read(from: &mut impl Read) -> io::Result<Option<Header>> {
    let mut start = [0; SIGNATURE_V2.len()];
    from.read_exact(&mut start)?;
    if start.starts_with(START_V1) {
        let mut line = start.to_vec();
        // The shortest line is longer than that; from here on it can end anywhere.
        while !line.ends_with(b"\r\n") {
            if line.len() == LINE_BYTES_MAX_V1 {
                return Ok(None);
            }
            let mut next = [0];
            from.read_exact(&mut next)?;
            line.push(next[0]);
        }
        return Ok(Header::parse_v1(&line));
    }
    if &start != SIGNATURE_V2 {
        return Ok(None);
    }
    let mut fixed = [0; FIXED_BYTES_V2];
    fixed[..start.len()].copy_from_slice(&start);
    from.read_exact(&mut fixed[start.len()..])?;
    let mut rest = vec![0; Header::rest_of_v2(&fixed)];
    from.read_exact(&mut rest)?;
    Ok(Header::parse_v2(&fixed, &rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_and_nothing_behind_it() {
        let v2 =
            [&SIGNATURE_V2[..], b"\x21\x11\x00\x0c\xc6\x33\x64\x03\x0a\x00\x00\x01\xd4\x31\x1a\x0b"].concat();
        let header = Header { source: Some("198.51.100.3:54321".parse().unwrap()), ..Header::default() };
        for (said, header) in [
            (&b"PROXY TCP4 198.51.100.3 10.0.0.1 54321 6667\r\n"[..], Some(header.clone())),
            (b"PROXY UNKNOWN\r\n", Some(Header::default())),
            (&v2, Some(header)),
            (b"NICK eve\r\nUSER eve 0 * :Eve\r\n", None),
            (b"GET / HTTP/1.1\r\n\r\n", None),
        ] {
            let said = [said, b"NICK bob\r\n"].concat();
            let mut rest = &said[..];
            assert_eq!(read(&mut rest).unwrap(), header);
            assert!(header.is_none() || rest == b"NICK bob\r\n", "{rest:?}");
        }
        let endless = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
        assert_eq!(read(&mut &endless[..]).unwrap(), None);
        assert!(read(&mut &v2[..20]).is_err(), "it was cut off");
    }
}
