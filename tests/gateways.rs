//! People who come by a gateway: bytes as balancers and web gateways send them, on plain and TLS doors of real servers.

#[path = "support/process/mod.rs"]
mod process;

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use process::client::{Client, Wire, trusting};
use process::{Server, linked, until};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

const V1: &[u8] = b"PROXY TCP4 198.51.100.3 10.0.0.1 54321 6667\r\n";
/// Of 198.51.100.4, with the name that it asked for.
const V2_V4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x17\xc6\x33\x64\x04\x0a\x00\x00\x01\xd4\x31\x1a\x0b\x02\x00\x08hall.lan";
/// Of 2001:db8::5, over TLS to the balancer.
const V2_V6_SSL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x36\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xd4\x31\x1a\x29\
    \x20\x00\x0f\x01\0\0\0\0\x21\x00\x07TLSv1.3";
/// Of 198.51.100.7, without TLS to the balancer.
const V2_V4_NO_SSL: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x14\xc6\x33\x64\x07\x0a\x00\x00\x01\xd4\x31\x1a\x0b\
    \x20\x00\x05\0\0\0\0\0";
/// Of 198.51.100.8, with a checksum.
const V2_V4_CHECKED: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13\xc6\x33\x64\x08\x0a\x00\x00\x01\xd4\x31\x1a\x0b\
    \x03\x00\x04\x50\x6d\xd2\xce";
/// The balancer looks whether anybody is here.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

const BEHIND_A_BALANCER: &str = r#"
    cloak.who = "nobody"
    limits.connections_per_address = 2
    gateway = [{ name = "balancer", addresses = ["127.0.0.0/8"], speaks = "proxy" }]
    operator = [{ name = "ann", password = "hay" }]
"#;

/// A certificate and its key.
type Own = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn certificate() -> Own {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let made = rcgen::CertificateParams::new(vec!["gateway.lan".to_string()]).unwrap();
    let made = made.self_signed(&key).unwrap();
    (made.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn plain(address: SocketAddr, header: &[u8]) -> Client {
    let mut client = Client::connect(address);
    client.send(header);
    client
}

/// The header goes before the handshake.
fn over_tls(server: &Server, header: &[u8]) -> Client {
    over_tls_as(server, header, None)
}

/// With a certificate to show, where there is one.
fn over_tls_as(server: &Server, header: &[u8], own: Option<&Own>) -> Client {
    let certificate: &Path = &server.data().join("node.cert");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusting(certificate));
    let config = match own {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config.with_client_auth_cert(vec![chain.clone()], key.clone_key()).unwrap(),
    };
    let mut socket = TcpStream::connect(server.places().ircs[0]).unwrap();
    socket.write_all(header).unwrap();
    let session =
        ClientConnection::new(Arc::new(config), ServerName::try_from(server.name()).unwrap()).unwrap();
    Client::on(Wire::Tls(Box::new(StreamOwned::new(session, socket))))
}

/// What somebody shows of themselves to themselves: where they really come from, and whether that is secure.
fn whois(client: &mut Client, nick: &str) -> (String, bool) {
    client.say(&format!("WHOIS {nick}"));
    let lines = client.sync();
    let address = lines
        .iter()
        .find_map(|line| line.split_once(&format!(" 338 {nick} {nick} ")))
        .expect("there is 338")
        .1;
    let is_secure = lines.iter().any(|line| line.contains(" 671 "));
    (address.split(' ').next().unwrap().to_string(), is_secure)
}

/// Proves: WHOIS, RPL_WHOISACTUALLY, RPL_WHOISSECURE, PROXY protocol
#[test]
fn people_behind_a_balancer_come_from_where_they_come() {
    let hall = Server::started("hall", BEHIND_A_BALANCER);
    let irc = hall.places().irc[0];
    for (mut client, address, is_secure) in [
        (plain(irc, V1), "198.51.100.3", false),
        (plain(irc, V2_V4), "198.51.100.4", false),
        (plain(irc, V2_V6_SSL), "2001:db8::5", true),
        (plain(irc, V2_V4_NO_SSL), "198.51.100.7", false),
        (plain(irc, V2_V4_CHECKED), "198.51.100.8", false),
        (plain(irc, V2_LOCAL), "127.0.0.1", false),
        (plain(irc, b"PROXY UNKNOWN\r\n"), "127.0.0.1", false),
        (over_tls(&hall, V1), "198.51.100.3", true),
        (over_tls(&hall, V2_V4), "198.51.100.4", true),
        // TLS from the balancer on does not make the way to it secure.
        (over_tls(&hall, V2_V4_NO_SSL), "198.51.100.7", false),
    ] {
        client.register("eve");
        assert_eq!(whois(&mut client, "eve"), (address.to_string(), is_secure));
        client.say("QUIT");
        client.hear_to_the_end();
    }
}

#[test]
fn a_header_may_come_in_pieces_and_with_what_follows_it() {
    let hall = Server::started("hall", BEHIND_A_BALANCER);
    let irc = hall.places().irc[0];
    for header in [V1, V2_V4, V2_V6_SSL] {
        let mut client = Client::connect(irc);
        for byte in header {
            client.send(&[*byte]);
        }
        client.register("eve");
        client.say("QUIT");
        client.hear_to_the_end();
        let mut client = plain(irc, &[header, b"NICK eve\r\nUSER eve 0 * :Eve\r\n"].concat());
        client.hear_until(" 001 eve ");
        client.say("QUIT");
        client.hear_to_the_end();
    }
}

#[test]
fn whoever_comes_without_a_header_or_with_a_bad_one_is_let_go() {
    let hall = Server::started("hall", BEHIND_A_BALANCER);
    let (irc, ircs) = (hall.places().irc[0], hall.places().ircs[0]);
    let damaged: &[&[u8]] = &[
        b"NICK eve\r\nUSER eve 0 * :Eve\r\n",
        b"PROXY TCP4 198.51.100.300 10.0.0.1 54321 6667\r\n",
        &[b"PROXY TCP4 ", &[b'1'; 200][..]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c\xc6\x33\x64\x04\x0a\x00\x00\x01\xd4\x31\x1a\x0b",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0d\xc6\x33\x64\x04\x0a\x00\x00\x01\xd4\x31\x1a\x0b\x02",
        // Its checksum was that of another address.
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13\xc6\x33\x64\x09\x0a\x00\x00\x01\xd4\x31\x1a\x0b\x03\x00\x04\x50\x6d\xd2\xce",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
    ];
    for header in damaged {
        for door in [irc, ircs] {
            let since = hall.mark();
            assert_eq!(plain(door, header).hear_to_the_end(), [""; 0], "{header:?}");
            hall.logs(since, "was refused: what it says is no header of the PROXY protocol");
        }
    }
    // Who says nothing at all is not waited for longer than anybody else.
    let since = hall.mark();
    assert_eq!(Client::connect(irc).hear_to_the_end(), [""; 0]);
    hall.logs(since, "was refused: no header of the PROXY protocol came");
    plain(irc, V1).register("eve");
}

/// Proves: DLINE, ERR_YOUREBANNEDCREEP
#[test]
fn people_behind_a_balancer_are_counted_and_banned_by_their_own_address() {
    let hall = Server::started("hall", BEHIND_A_BALANCER);
    let irc = hall.places().irc[0];
    let mut inside: Vec<Client> = ["ann", "bob"]
        .map(|nick| {
            let mut client = plain(irc, V1);
            client.register(nick);
            client
        })
        .into();
    let refused = plain(irc, V1).hear_to_the_end();
    assert_eq!(refused, ["ERROR :Too many connections from your address"]);
    let mut carol = plain(irc, V2_V4);
    carol.register("carol");
    carol.say("OPER ann hay");
    carol.hear_until(" 381 ");
    carol.say("DLINE 198.51.100.3 :enough");
    for client in &mut inside {
        assert!(client.hear_to_the_end().iter().any(|line| line.contains(" 465 ")));
    }
    // Their places are free as soon as they are gone.
    let is_banned = || plain(irc, V1).hear_to_the_end().iter().any(|line| line.contains(" 465 "));
    until(is_banned).expect("whoever comes back is turned away");
    carol.hear_until(" NOTICE carol :D-Line on 198.51.100.3 ");
    assert_eq!(carol.sync(), [""; 0], "who comes by the same balancer from elsewhere stays");
}

/// Proves: WEBIRC, webirc, RPL_WHOISSPECIAL
#[test]
fn a_web_gateway_says_for_whom_it_connects() {
    let settings = r#"
        cloak.who = "nobody"
        gateway = [{ name = "web", addresses = ["127.0.0.1"], password = "hunter2" }]
        limits.connections_per_address = 1
    "#;
    let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
    hall.set(settings);
    let _relay = linked(&mut hall, &mut barn);
    let mut ann = plain(hall.places().irc[0], b"WEBIRC hunter2 web isp.example 198.51.100.3 :secure\r\n");
    ann.register("ann");
    assert_eq!(whois(&mut ann, "ann"), ("198.51.100.3".to_string(), false));
    let mut bob = over_tls(&hall, b"");
    bob.say("WEBIRC hunter2 web 198.51.100.4 198.51.100.4 :secure remote-port=21726");
    bob.register("bob");
    assert_eq!(whois(&mut bob, "bob"), ("198.51.100.4".to_string(), true));
    // And so it is on other servers.
    bob.reach("barn.lan");
    let mut carol = barn.client("carol");
    carol.say("WHOIS bob");
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains(" 318 ")) {
        lines.push(carol.hear());
    }
    assert!(lines.iter().any(|line| line.contains(" 311 carol bob bob 198.51.100.4 ")), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.ends_with(" 320 carol bob :is connected by the gateway web")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains(" 671 carol bob ")), "{lines:?}");

    // As many as may come from one address.
    let mut dave = plain(hall.places().irc[0], b"WEBIRC hunter2 web isp.example 198.51.100.3\r\n");
    let refused = "ERROR :Closing link: 127.0.0.1 (Too many connections from your address)";
    assert_eq!(dave.hear_to_the_end(), [refused]);

    let mut eve = plain(hall.places().irc[0], b"WEBIRC hunter3 web isp.example 198.51.100.3\r\n");
    assert_eq!(eve.hear_to_the_end(), ["ERROR :Closing link: 127.0.0.1 (Invalid WebIRC password)"]);
}

/// Proves: WEBIRC, webirc
#[test]
fn a_web_gateway_shows_who_it_is_by_its_certificate() {
    let (own, other) = (certificate(), certificate());
    let digest = ring::digest::digest(&ring::digest::SHA256, &own.0);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut hall = Server::started(
        "hall",
        &format!(
            r#"
            cloak.who = "nobody"
            gateway = [{{ name = "web", addresses = ["127.0.0.1"], certificate = "sha256:{hex}" }}]
            "#
        ),
    );
    let comes = |mut client: Client, password: &str| {
        client.say(&format!("WEBIRC {password} web isp.example 198.51.100.3 :secure"));
        client
    };
    let refused = ["ERROR :Closing link: 127.0.0.1 (Invalid WebIRC certificate)"];
    for stranger in [hall.connect(), over_tls(&hall, b""), over_tls_as(&hall, b"", Some(&other))] {
        assert_eq!(comes(stranger, "hunter2").hear_to_the_end(), refused);
    }
    let mut ann = comes(over_tls_as(&hall, b"", Some(&own)), "*");
    ann.register("ann");
    assert_eq!(whois(&mut ann, "ann"), ("198.51.100.3".to_string(), true));
    // The certificate is the gateway's, and logs nobody in who comes by it.
    ann.say("WHOIS ann");
    assert!(!ann.sync().iter().any(|line| line.contains(" 276 ")), "nor is it shown as theirs");
    ann.say("AUTHENTICATE EXTERNAL");
    ann.hear_until(" 908 ann PLAIN,SCRAM-SHA-256 ");

    // Where both are asked for, neither is enough.
    hall.set(&format!(
        r#"gateway = [{{ name = "web", addresses = ["127.0.0.1"], certificate = "sha256:{hex}", password = "hunter2" }}]"#
    ));
    hall.reload();
    assert_eq!(comes(over_tls(&hall, b""), "hunter2").hear_to_the_end(), refused);
    let refused = ["ERROR :Closing link: 127.0.0.1 (Invalid WebIRC password)"];
    assert_eq!(comes(over_tls_as(&hall, b"", Some(&own)), "hunter3").hear_to_the_end(), refused);
    comes(over_tls_as(&hall, b"", Some(&own)), "hunter2").register("bob");
}

/// The settings of gateways hold for those who come from then on.
#[test]
fn gateways_come_and_go_while_the_server_runs() {
    let mut hall = Server::started("hall", "");
    hall.client("ann");
    hall.set(BEHIND_A_BALANCER);
    hall.reload();
    assert_eq!(plain(hall.places().irc[0], b"NICK bob\r\nUSER bob\r\n").hear_to_the_end(), [""; 0]);
    plain(hall.places().irc[0], V1).register("bob");
    hall.unset("gateway");
    hall.reload();
    hall.client("carol");
}

/// A name server that knows two addresses, one of which has another's name, and says nothing of all others.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((count, asker)) = socket.recv_from(&mut question) {
            let asked = &question[12..count - 4];
            let is = |name: &str| asked.starts_with(&labels(name));
            let data = match () {
                () if is("3.100.51.198.in-addr.arpa") => labels("Pool-3.isp.example"),
                () if is("4.100.51.198.in-addr.arpa") => labels("pool-3.isp.example"),
                () if is("pool-3.isp.example") => vec![198, 51, 100, 3],
                () => continue,
            };
            let mut answer = question[..count].to_vec();
            (answer[2], answer[7]) = (0x80, 1);
            // The name that was asked for, of the kind that was asked for.
            answer.extend([0xc0, 12]);
            answer.extend(&question[count - 4..count]);
            answer.extend([0, 0, 0, 60, 0, data.len() as u8]);
            answer.extend(data);
            let _ = socket.send_to(&answer, asker);
        }
    });
    address
}

fn labels(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// Proves: WHOIS, RPL_WHOISUSER, RPL_WHOISHOST
#[test]
fn people_are_known_by_the_name_of_their_address_where_it_is_theirs() {
    let settings =
        format!("{BEHIND_A_BALANCER}\ndns = {{ reverse = true, servers = [\"{}\"] }}", name_server());
    let hall = Server::started("hall", &settings);
    for (header, host, address) in [
        (V1, "pool-3.isp.example", "198.51.100.3"),
        // Its name says that it is somebody else's, and then there is one without any.
        (V2_V4, "198.51.100.4", "198.51.100.4"),
        (V2_V4_NO_SSL, "198.51.100.7", "198.51.100.7"),
    ] {
        let mut client = plain(hall.places().irc[0], header);
        client.register("eve");
        client.say("WHOIS eve");
        let lines = client.sync();
        let says = |words: &str| lines.iter().any(|line| line.contains(words));
        assert!(says(&format!(" 311 eve eve eve {host} ")), "{lines:?}");
        assert!(says(&format!(" 378 eve eve :is connecting from eve@{host} {address}")), "{lines:?}");
        client.say("QUIT");
        client.hear_to_the_end();
    }
}
