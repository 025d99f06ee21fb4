//! How a server is found on its LAN by programs that know nothing of it: DNS-SD, the older protocol's port, and our own
//! list of servers.

#[path = "support/machines/lan.rs"]
// Each test takes what it needs of it.
#[allow(dead_code)]
mod lan;
#[path = "support/process/mod.rs"]
mod process;

use std::net::{SocketAddr, UdpSocket};

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};

use lan::Lan;
use process::SECRET;
use process::run::run_by;

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn programs_that_know_nothing_of_folkmoot_find_a_server_by_dns_sd_and_hear_when_it_goes() {
    let mut lan = Lan::new();
    lan.add("hall");
    let browser = ServiceDaemon::new().unwrap();
    browser.disable_interface(IfKind::All).unwrap();
    browser.enable_interface(lan.bridge().as_str()).unwrap();
    let kinds = [("_ircs._tcp.local.", 6697), ("_irc._tcp.local.", 6667)];
    let browsed = kinds.map(|(kind, _)| browser.browse(kind).unwrap());
    let next = |place: usize| browsed[place].recv_timeout(process::PATIENCE).expect("something is heard");
    let mut hall = lan.server("hall", SECRET);
    hall.start();
    for (place, (kind, port)) in kinds.into_iter().enumerate() {
        let found = loop {
            if let ServiceEvent::ServiceResolved(found) = next(place) {
                break found;
            }
        };
        assert_eq!((found.get_fullname(), found.get_port()), (format!("hall.lan.{kind}").as_str(), port));
        assert!(found.get_addresses_v4().contains(&lan.address_of("hall")), "{found:?}");
        assert_eq!(found.get_property_val_str("network"), Some("Folkmoot"));
        assert!(
            found.get_property_val_str("version").is_some_and(|version| version.starts_with("folkmoot-"))
        );
    }
    hall.stop();
    for (place, (kind, _)) in kinds.into_iter().enumerate() {
        let name = format!("hall.lan.{kind}");
        while !matches!(next(place), ServiceEvent::ServiceRemoved(_, gone) if gone == name) {}
    }
    browser.shutdown().unwrap();
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn programs_of_the_older_protocol_find_a_server_by_its_compat_port() {
    let mut lan = Lan::new();
    lan.add("hall");
    let mut hall = lan.server("hall", SECRET);
    hall.set_all("[discovery]\ncompat_port = 9999\n");
    hall.start();
    let asker = UdpSocket::bind((lan.address(254), 0)).unwrap();
    asker.set_broadcast(true).unwrap();
    asker.set_read_timeout(Some(process::PATIENCE)).unwrap();
    asker.send_to(b"DISCOVER_SERVER 0 \n", (lan.address(255), 9999)).unwrap();
    let mut buffer = [0; 512];
    let (length, from) = asker.recv_from(&mut buffer).expect("an answer comes");
    assert_eq!(from, SocketAddr::new(lan.address_of("hall").into(), 9999));
    assert_eq!(
        &buffer[..length],
        b"SERVER_ANNOUNCE 31 \n\x08hall.lan\x12\x08\n\x03IRC\x10\x8b4\x12\t\n\x04IRCS\x10\xa94\n"
    );
}

#[test]
#[cfg_attr(not(has_namespaces), ignore = "needs root, network namespaces and the program `ip`")]
fn discover_shows_how_full_each_server_is_and_the_emptiest_first() {
    let mut lan = Lan::new();
    lan.add("barn");
    lan.add("hall");
    let [mut barn, mut hall] = ["barn", "hall"].map(|word| lan.server(word, SECRET));
    barn.set_all("[limits]\nclients_max = 10\n");
    hall.set_all("[limits]\nclients_max = 100\n");
    barn.start();
    hall.start();
    let _guests =
        [("barn", "bob"), ("hall", "alice"), ("hall", "ann")].map(|(word, nick)| lan.client(word, nick));
    let namespace = lan.namespace("barn");
    let discover = |arguments: &[&str]| run_by(&["ip", "netns", "exec", &namespace], arguments).stdout;
    let json: serde_json::Value = serde_json::from_str(&discover(&["discover", "--json"])).unwrap();
    let listed = |place: usize| ["name", "users", "users_max"].map(|key| json[place][key].to_string());
    assert_eq!(listed(0), ["\"hall.lan\"", "2", "100"]);
    assert_eq!(listed(1), ["\"barn.lan\"", "1", "10"]);
    let table = discover(&["discover"]);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[1].starts_with("hall.lan ") && rows[1].contains(" 2/100 "), "{table}");
    assert!(rows[2].starts_with("barn.lan ") && rows[2].contains(" 1/10 "), "{table}");
}
