//! Joining a network by a code: finds the server that gave it out, proves it, and keeps what is received.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::data::DataDirectory;
use super::discover;
use super::identity::{self, Certificate};
use super::joincode::{CodeFault, JoinCode};
use super::pairing::{TALK_WITHIN, exporter, hex, prove, read_line, unhex};
use super::settings::{JOINED, Settings};
use super::tls::{self, JOIN_PROTOCOL};
use crate::wire::names;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Joins the network that the code is from; says which one that is.
pub fn join(settings: &Settings, data: &DataDirectory, text: &str) -> Result<String, String> {
    let code: JoinCode = text.parse().map_err(|fault: CodeFault| fault.to_string())?;
    let config = &settings.config;
    if settings.network_named && config.network.name != code.network {
        return Err(format!(
            "this join code is from the network {}, and the settings name the network {}; take network.name out of them",
            code.network, config.network.name
        ));
    }
    if config.network.secret_file.is_some() {
        return Err("network.secret_file says where the network's secret comes from; take it out of the settings to join by a code".to_string());
    }
    if data.was_used() && data.read(identity::SECRET)?.is_some() {
        // Before the invite is used up. A command line that is kept, such as a container's, says the same each time.
        let pin = code.pin.to_string();
        return if config.link.iter().any(|link| link.pin.as_ref() == Some(&pin)) {
            Ok(format!(
                "a member of the network {} already, so the join code is not used",
                config.network.name
            ))
        } else {
            Err(format!(
                "this server has a network of its own already, with its secret in {0}; the join code is not used. To leave \
                 that network, remove {0} and do the same again; or start a new server with another --data",
                data.path().join(identity::SECRET).display()
            ))
        };
    }
    let own = identity::own_certificate(config, data)?;
    let (address, welcome) = ask_to_be_let_in(&code, &own, config.discovery.port)?;
    let secret = String::from_utf8(welcome.secret).map_err(|_| "the network's secret is not text")?;

    data.write(identity::SECRET, &format!("{secret}\n"))?;
    data.write(
        JOINED,
        &format!(
            "# Written when this server joined the network; the settings file counts more.\n\
             [network]\nname = \"{}\"\n\n[[link]]\nname = \"{}\"\naddress = \"{address}\"\npin = \"{}\"\n",
            welcome.network, welcome.name, code.pin
        ),
    )?;
    Ok(format!("joined the network {} through {} at {address}", welcome.network, welcome.name))
}

struct Welcome {
    name: String,
    network: String,
    secret: Vec<u8>,
}

/// Why one address did not help.
enum JoinFault {
    /// Another address may.
    Unreachable(String),
    /// The right server said no, so there is no use in asking elsewhere.
    Refused(String),
}

fn ask_to_be_let_in(code: &JoinCode, own: &Certificate, port: u16) -> Result<(SocketAddr, Welcome), String> {
    let mut tried = Vec::new();
    let mut attempt = |address: SocketAddr| match ask_at(address, code, own) {
        Ok(welcome) => Some(Ok((address, welcome))),
        Err(JoinFault::Refused(why)) => Some(Err(why)),
        Err(JoinFault::Unreachable(why)) => {
            tried.push(format!("{address}: {why}"));
            None
        }
    };
    if let Some(outcome) = code.addresses.iter().find_map(|address| attempt(*address)) {
        return outcome;
    }
    // It may have another address by now, or be on a network that was not thought of.
    if let Some(outcome) = discover::find_link(port, code.pin).and_then(&mut attempt) {
        return outcome;
    }
    Err(format!(
        "the server that gave out this code cannot be reached ({}), and does not answer on this LAN",
        tried.join("; ")
    ))
}

fn ask_at(address: SocketAddr, code: &JoinCode, own: &Certificate) -> Result<Welcome, JoinFault> {
    let tcp = TcpStream::connect_timeout(&address, CONNECT_WITHIN)
        .map_err(|why| JoinFault::Unreachable(why.to_string()))?;
    let line = talk(tcp, address, code, own).map_err(JoinFault::Unreachable)?;
    read_answer(&line)
}

/// Shows the proof to the server that gave out the code, and to no other; what it answers.
fn talk(tcp: TcpStream, address: SocketAddr, code: &JoinCode, own: &Certificate) -> Result<String, String> {
    let in_words = |why: io::Error| why.to_string();
    let deadline = Instant::now() + TALK_WITHIN;
    let config = Arc::new(tls::mesh_client(own, JOIN_PROTOCOL)?);
    let session =
        ClientConnection::new(config, ServerName::from(address.ip())).map_err(|why| why.to_string())?;
    let mut session = rustls::Connection::Client(session);
    tls::shake_hands(&mut session, &tcp, deadline)?;
    if tls::shown_pin(&session) != Some(code.pin) {
        return Err("another server than the one that gave out the code".to_string());
    }
    let rustls::Connection::Client(session) = session else { unreachable!("made as a client's") };
    let exporter = exporter(&session).map_err(|why| why.to_string())?;
    let proof = prove(&code.secret, &code.invite, &exporter);
    let line = format!("JOIN 1 {} {}\n", hex(&code.invite), hex(&proof));
    tcp.set_write_timeout(Some(TALK_WITHIN)).map_err(in_words)?;
    let mut tls = StreamOwned::new(session, tcp);
    tls.write_all(line.as_bytes()).and_then(|()| tls.flush()).map_err(in_words)?;
    read_line(&mut tls, deadline).map_err(in_words)
}

fn read_answer(line: &str) -> Result<Welcome, JoinFault> {
    if let Some(refusal) = line.strip_prefix("REFUSED ") {
        let text = refusal.split_once(" :").map_or(refusal, |(_, text)| text);
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        return Err(JoinFault::Refused(format!("the server refused: {text}")));
    }
    let words: Vec<&str> = line.split(' ').collect();
    let odd = || JoinFault::Unreachable("it answered with something that is no answer".to_string());
    let ["WELCOME", name, network, secret] = words[..] else { return Err(odd()) };
    let is_plain =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control() || c == '"' || c == '\\');
    if names::ServerName::parse(name).is_none() || !is_plain(network) {
        return Err(odd());
    }
    let secret = unhex(secret).ok_or_else(odd)?;
    Ok(Welcome { name: name.to_string(), network: network.to_string(), secret })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::thread;

    use rustls::{ServerConfig, ServerConnection};

    use super::*;
    use crate::config::Config;
    use crate::edge::data::tests::Scratch;
    use crate::edge::invite::{Host, admit, invite};
    use crate::edge::running::{RunningServer, Services};
    use crate::edge::secrets::SecretBook;
    use crate::edge::settings::Source;
    use crate::engine::Pin;

    fn defaults() -> Settings {
        Source::default().read().expect("the defaults have no faults")
    }

    /// A server that lets as many in as are said, one after another.
    fn serve(
        scratch: &Scratch,
        times: usize,
    ) -> (DataDirectory, thread::JoinHandle<Vec<Result<String, String>>>) {
        let data = DataDirectory::open(&scratch.0.join("hall")).unwrap();
        let own = identity::own_certificate(&Config::default(), &data).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = RunningServer {
            pid: 1,
            version: "test".into(),
            name: "hall.lan".into(),
            sid: "7FA".into(),
            network: "Moot".into(),
            pin: own.pin().to_string(),
            services: Services { link: vec![listener.local_addr().unwrap()], ..Services::default() },
        };
        server.announce(&data).unwrap();
        let host = Host {
            data: data.path().to_path_buf(),
            name: "hall.lan".into(),
            network: "Moot".into(),
            secrets: Arc::new(SecretBook::of("a secret of the network")),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(own.chain, own.key)
            .unwrap();
        config.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
        let config = Arc::new(config);
        let thread = thread::spawn(move || {
            let admit_next = |_| {
                let (tcp, _) = listener.accept().unwrap();
                let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp);
                while tls.conn.is_handshaking() {
                    if let Err(why) = tls.conn.complete_io(&mut tls.sock) {
                        return Err(why.to_string());
                    }
                }
                admit(&mut tls, &host)
            };
            (0..times).map(admit_next).collect()
        });
        (data, thread)
    }

    #[test]
    fn a_code_lets_one_server_in_and_no_second() {
        let scratch = Scratch::new("pairing");
        let (hall, served) = serve(&scratch, 2);
        let code = invite(hall.path()).unwrap().to_string();

        let barn = DataDirectory::open(&scratch.0.join("barn")).unwrap();
        let said = join(&defaults(), &barn, &code).unwrap();
        assert!(said.starts_with("joined the network Moot through hall.lan"), "{said}");
        assert_eq!(barn.read(identity::SECRET).unwrap().as_deref(), Some("a secret of the network\n"));
        let settings = Source { file: None, data: Some(barn.path().to_path_buf()) }.read().unwrap();
        assert_eq!(settings.config.network.name, "Moot");
        assert_eq!(settings.config.link[0].name, "hall.lan");
        let pin = identity::own_certificate(&Config::default(), &hall).unwrap().pin();
        assert_eq!(settings.config.link[0].pin, Some(pin.to_string()));

        let shed = DataDirectory::open(&scratch.0.join("shed")).unwrap();
        let fault = join(&defaults(), &shed, &code).unwrap_err();
        assert!(fault.contains("there is no such invite, or it was used"), "{fault}");
        assert_eq!(shed.read(identity::SECRET).unwrap(), None);
        let outcomes = served.join().unwrap();
        assert!(outcomes[0].is_ok() && outcomes[1].is_err(), "{outcomes:?}");
        assert_eq!(fs::read_dir(hall.path().join("invites")).unwrap().count(), 0);
    }

    #[test]
    fn a_wrong_proof_uses_the_invite_up() {
        let scratch = Scratch::new("pairing-wrong");
        let (hall, served) = serve(&scratch, 2);
        let right = invite(hall.path()).unwrap();
        let wrong = JoinCode { secret: [0; 16], ..right.clone() };
        let barn = DataDirectory::open(&scratch.0.join("barn")).unwrap();
        for (code, reason) in [(wrong, "not the one that was given out"), (right, "no such invite")] {
            let fault = join(&defaults(), &barn, &code.to_string()).unwrap_err();
            assert!(fault.contains(reason), "{fault}");
        }
        assert!(served.join().unwrap().iter().all(Result::is_err));
    }

    #[test]
    fn nothing_is_said_to_a_server_with_another_certificate() {
        let scratch = Scratch::new("pairing-pin");
        let (hall, served) = serve(&scratch, 1);
        let code = JoinCode { pin: Pin([0; 32]), ..invite(hall.path()).unwrap() };
        let barn = DataDirectory::open(&scratch.0.join("barn")).unwrap();
        let fault =
            ask_at(code.addresses[0], &code, &identity::own_certificate(&Config::default(), &barn).unwrap());
        assert!(matches!(fault, Err(JoinFault::Unreachable(why)) if why.contains("another server")));
        assert!(served.join().unwrap()[0].is_err());
        assert_eq!(fs::read_dir(hall.path().join("invites")).unwrap().count(), 1);
    }

    #[test]
    fn a_server_does_not_leave_its_network_by_accident() {
        let scratch = Scratch::new("pairing-member");
        let (hall, served) = serve(&scratch, 1);
        let barn = DataDirectory::open(&scratch.0.join("barn")).unwrap();
        drop(SecretBook::load(&Config::default(), &barn, 0).unwrap());
        barn.next_epoch(identity::wall_clock()).unwrap();
        let code = invite(hall.path()).unwrap().to_string();
        let fault = join(&defaults(), &barn, &code).unwrap_err();
        assert!(fault.contains("has a network of its own already"), "{fault}");
        // As that says, and with the same code.
        fs::remove_file(barn.path().join(identity::SECRET)).unwrap();
        barn.write("network.secret.old", "9999999999999 a secret of the network it leaves\n").unwrap();
        join(&defaults(), &barn, &code).unwrap();
        assert!(SecretBook::load(&Config::default(), &barn, 0).unwrap().all().former.is_empty());
        assert!(served.join().unwrap()[0].is_ok());
    }

    #[test]
    fn a_code_in_a_command_line_that_is_kept_does_no_harm() {
        let scratch = Scratch::new("pairing-again");
        let (hall, served) = serve(&scratch, 1);
        let code = invite(hall.path()).unwrap().to_string();
        let barn = DataDirectory::open(&scratch.0.join("barn")).unwrap();
        join(&defaults(), &barn, &code).unwrap();
        barn.next_epoch(identity::wall_clock()).unwrap();
        let settings = Source { file: None, data: Some(barn.path().to_path_buf()) }.read().unwrap();
        let said = join(&settings, &barn, &code).unwrap();
        assert!(said.starts_with("a member of the network Moot already"), "{said}");
        assert!(served.join().unwrap()[0].is_ok());
    }

    #[test]
    fn a_code_from_another_network_than_the_settings_name_is_not_used() {
        let scratch = Scratch::new("pairing-named");
        let (hall, served) = serve(&scratch, 0);
        let barn = DataDirectory::open(&scratch.0.join("barn")).unwrap();
        let named = Settings { network_named: true, ..defaults() };
        let fault = join(&named, &barn, &invite(hall.path()).unwrap().to_string()).unwrap_err();
        assert!(fault.contains("from the network Moot"), "{fault}");
        assert!(served.join().unwrap().is_empty());
    }
}
