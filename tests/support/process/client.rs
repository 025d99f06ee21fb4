//! A person's client, as raw as can be: bytes out, lines in, and never a wait without end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

pub struct Client {
    wire: Wire,
    /// What came behind the last whole line.
    begun: Vec<u8>,
    /// For failures.
    who: String,
    is_over: bool,
}

pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What the next moment brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    Line(String),
    End,
    /// Nothing in time.
    Nothing,
}

/// Trusts this one certificate, as one who was told its fingerprint would.
pub fn trusting(certificate: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("the server has made it")).unwrap();
    roots
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap_or_else(|why| panic!("{address}: {why}"));
        socket.set_nodelay(true).unwrap();
        Client::on(Wire::Plain(socket))
    }

    /// Over TLS, with this certificate at the other end.
    pub fn connect_tls(address: SocketAddr, name: &str, certificate: &Path) -> Client {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusting(certificate))
            .with_no_client_auth();
        Client::on(tls(address, name, config))
    }

    /// The same, showing a certificate that was made for the occasion.
    pub fn connect_by_certificate(address: SocketAddr, name: &str, certificate: &Path) -> Client {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let own = rcgen::CertificateParams::new(vec!["somebody.lan".to_string()]).unwrap();
        let own = own.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusting(certificate))
            .with_client_auth_cert(vec![own.der().clone()], key)
            .unwrap();
        Client::on(tls(address, name, config))
    }

    pub fn on(wire: Wire) -> Client {
        Client { wire, begun: Vec::new(), who: "somebody".to_string(), is_over: false }
    }

    /// Comes in, and reads everything that is said to newcomers.
    pub fn register(&mut self, nick: &str) -> Vec<String> {
        self.who = nick.to_string();
        self.say(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}"));
        self.hear_until(" 001 ");
        self.sync()
    }

    /// Joins a channel, and returns all that is said to that.
    pub fn join(&mut self, channel: &str) -> Vec<String> {
        self.say(&format!("JOIN {channel}"));
        self.sync()
    }

    /// Waits until another server has heard all that this one had to tell it so far.
    pub fn reach(&mut self, server: &str) {
        self.say(&format!("PING reach {server}"));
        self.hear_until(&format!(" PONG {server} :reach"));
    }

    pub fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// Bytes as they are; that nobody takes them any more is seen when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
    }

    /// Sends as much as is taken within this time; how much that was. For a plain connection.
    pub fn send_within(&mut self, bytes: &[u8], time: Duration) -> usize {
        let socket = self.socket();
        socket.set_write_timeout(Some(time)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match (&mut &*socket).write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        socket.set_write_timeout(None).unwrap();
        sent
    }

    /// Its own end.
    pub fn address(&self) -> SocketAddr {
        self.socket().local_addr().unwrap()
    }

    pub fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// Keying material of the TLS session, which only its two ends know.
    pub fn exported(&self, label: &str) -> [u8; 32] {
        match &self.wire {
            Wire::Plain(_) => panic!("{} has no TLS session", self.who),
            Wire::Tls(stream) => stream.conn.export_keying_material([0; 32], label.as_bytes(), None).unwrap(),
        }
    }

    /// The next line, the end, or nothing by then.
    pub fn next_by(&mut self, deadline: Instant) -> Came {
        loop {
            if let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                let line = String::from_utf8(line).expect("the server says UTF-8 only");
                let line = line.strip_suffix("\r\n").expect("the server ends its lines with CR LF");
                return Came::Line(line.to_string());
            }
            if self.is_over {
                return Came::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Came::Nothing;
            }
            self.socket().set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 16 << 10];
            let outcome = match &mut self.wire {
                Wire::Plain(socket) => socket.read(&mut bytes),
                Wire::Tls(stream) => stream.read(&mut bytes),
            };
            match outcome {
                Ok(0) => self.is_over = true,
                Ok(count) => self.begun.extend_from_slice(&bytes[..count]),
                Err(why)
                    if matches!(
                        why.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(_) => self.is_over = true,
            }
        }
    }

    /// The next line.
    pub fn hear(&mut self) -> String {
        match self.next_by(Instant::now() + PATIENCE) {
            Came::Line(line) => line,
            Came::End => panic!("{}: the connection ended", self.who),
            Came::Nothing => panic!("{} hears nothing", self.who),
        }
    }

    /// Reads up to a line with these words, and returns it.
    pub fn hear_until(&mut self, words: &str) -> String {
        self.hear_until_within(PATIENCE, words)
    }

    pub fn hear_until_within(&mut self, time: Duration, words: &str) -> String {
        let deadline = Instant::now() + time;
        let mut heard = Vec::new();
        loop {
            match self.next_by(deadline) {
                Came::Line(line) if line.contains(words) => return line,
                Came::Line(line) => heard.push(line),
                Came::End => panic!("{} hears {heard:#?} and the end, and not \"{words}\"", self.who),
                Came::Nothing => panic!("{} hears {heard:#?}, and not \"{words}\"", self.who),
            }
        }
    }

    /// Everything that the server had to say up to now.
    pub fn sync(&mut self) -> Vec<String> {
        self.say("PING :fence");
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            match self.next_by(deadline) {
                Came::Line(line) if line.contains(" PONG ") && line.ends_with(" :fence") => return heard,
                Came::Line(line) => heard.push(line),
                came => panic!("{} hears {heard:#?}, {came:?}, and no PONG", self.who),
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn hear_to_the_end(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            match self.next_by(deadline) {
                Came::Line(line) => heard.push(line),
                Came::End => return heard,
                Came::Nothing => panic!("{} hears {heard:#?}, and no end", self.who),
            }
        }
    }

    /// Says that nothing more comes, and goes on listening.
    pub fn stop_talking(&self) {
        let _ = self.socket().shutdown(Shutdown::Write);
    }
}

/// A TLS session with its handshake yet to come.
pub fn tls(address: SocketAddr, name: &str, config: ClientConfig) -> Wire {
    let socket = TcpStream::connect(address).unwrap_or_else(|why| panic!("{address}: {why}"));
    let name = ServerName::try_from(name.to_string()).unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    Wire::Tls(Box::new(StreamOwned::new(session, socket)))
}
