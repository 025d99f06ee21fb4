//! What both ends of a pairing say: letting a second machine into the network by a code that works once.
//!
//! Over TLS 1.3, by `tls::JOIN_PROTOCOL`, one line each way:
//!
//! ```text
//! JOIN 1 <invite> <proof>                      proof = HMAC-SHA256(code's secret, "folkmoot-join/1" 00 invite exporter)
//! WELCOME <server> <network> <secret>          all of the line after WELCOME, and after JOIN 1, is words;
//! REFUSED <reason> :<text>                     bytes are hexadecimal
//! ```
//!
//! The newcomer goes by the pin in the code, and keeps it: from then on it calls the inviter, and nobody else can take
//! that call. The inviter keeps nothing of the newcomer, not even its pin: whoever was given the secret is a member, and
//! proves it on each link. To be rid of a member, cut it off, and have the secret changed: `rotation`.
//!
//! The exporter is keying material of the TLS session, so that a proof is worth nothing on another connection.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ring::hmac;
use rustls::{ConnectionCommon, SideData, StreamOwned};

pub(super) const TALK_WITHIN: Duration = Duration::from_secs(10);
const LINE_BYTES_MAX: usize = 1024;

/// Keying material that both ends of a TLS session share and nobody else has.
pub(super) fn exporter<S: SideData>(connection: &ConnectionCommon<S>) -> Result<[u8; 32], rustls::Error> {
    connection.export_keying_material([0; 32], b"EXPORTER-folkmoot-join", None)
}

/// Shows, to the other end of this session only, that one holds the code's secret.
pub(super) fn prove(secret: &[u8], invite: &[u8; 8], exporter: &[u8; 32]) -> Vec<u8> {
    hmac::sign(&key(secret), &proven(invite, exporter)).as_ref().to_vec()
}

pub(super) fn is_proof(secret: &[u8], invite: &[u8; 8], exporter: &[u8; 32], proof: &[u8]) -> bool {
    hmac::verify(&key(secret), &proven(invite, exporter), proof).is_ok()
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn proven(invite: &[u8; 8], exporter: &[u8; 32]) -> Vec<u8> {
    [b"folkmoot-join/1\0".as_slice(), invite, exporter].concat()
}

/// One line, within the time and the length that a line may have.
pub(super) fn read_line<C, S>(tls: &mut StreamOwned<C, TcpStream>, deadline: Instant) -> io::Result<String>
where
    C: std::ops::DerefMut<Target = ConnectionCommon<S>>,
    S: SideData,
{
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        tls.sock.set_read_timeout(Some(left))?;
        match tls.read(&mut byte)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if byte[0] == b'\n' => {
                return String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into());
            }
            _ => line.push(byte[0]),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
