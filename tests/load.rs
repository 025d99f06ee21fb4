//! Servers that are full: whom they send where, and that it costs them nothing.

#[path = "support/process/mod.rs"]
mod process;

use process::client::Client;
use process::log::Mark;
use process::{Server, until};

const GOODBYE: &str = "ERROR :This server is full, try another one or come back later";

/// A server with room for so many, which calls these others once they run.
fn server(word: &str, room: usize, others: &[&Server]) -> Server {
    let mut server = Server::new(word);
    server.set(&format!("limits.clients_max = {room}"));
    for other in others {
        server.call(&other.name(), other.places().link[0]);
    }
    server.start();
    for other in others {
        server.logs(Mark::START, &format!("{} is part of the network", other.name()));
    }
    server
}

/// What somebody hears who comes to a full server, over TLS or not.
fn turned_away(server: &Server, secure: bool) -> Vec<String> {
    let mut newcomer = if secure { server.connect_tls() } else { server.connect() };
    // As programs do, at once; it must not cost them the answer.
    newcomer.say("CAP LS 302\r\nNICK newcomer\r\nUSER newcomer 0 * :Newcomer");
    newcomer.hear_to_the_end()
}

fn bounce(from: &Server, to: &Server, secure: bool) -> Vec<String> {
    let places = to.places();
    let place = if secure { places.ircs[0] } else { places.irc[0] };
    let (from, to, host, port) = (from.name(), to.name(), place.ip(), place.port());
    let line = format!(":{from} 010 * {host} {port} :This server is full; there is room on {to}");
    vec![line, GOODBYE.to_string()]
}

/// Proves: RPL_BOUNCE
#[test]
fn a_full_server_sends_newcomers_to_the_least_loaded_other_one() {
    let (barn, shed) = (server("barn", 10, &[]), server("shed", 3, &[]));
    let hall = server("hall", 1, &[&barn, &shed]);
    let mut alice = hall.client("alice");
    // One of three is more than two of ten.
    let _guests = [barn.client("bob"), barn.client("bill"), shed.client("sue")];
    alice.reach("barn.lan");
    alice.reach("shed.lan");
    assert_eq!(turned_away(&hall, false), bounce(&hall, &barn, false));
    assert_eq!(turned_away(&hall, true), bounce(&hall, &barn, true));

    let _more = [barn.client("ben"), barn.client("bea")];
    alice.reach("barn.lan");
    assert_eq!(turned_away(&hall, false), bounce(&hall, &shed, false));
    assert_eq!(alice.sync(), [""; 0]);
}

#[test]
fn whom_a_full_server_can_send_nowhere_hears_that_it_is_full() {
    let mut barn = server("barn", 2, &[]);
    let hall = server("hall", 1, &[&barn]);
    let mut alice = hall.client("alice");
    let bob = barn.client("bob");
    alice.reach("barn.lan");
    assert_eq!(turned_away(&hall, true), bounce(&hall, &barn, true));
    // What it takes is told as soon as it is another number.
    barn.set("limits.clients_max = 1");
    barn.reload();
    until(|| turned_away(&hall, true) == [GOODBYE]).unwrap();
    for secure in [false, true] {
        assert_eq!(turned_away(&hall, secure), [GOODBYE]);
    }
    drop(bob);
    until(|| turned_away(&hall, false) != [GOODBYE]).unwrap();
    barn.stop();
    hall.logs(Mark::START, "barn.lan has stopped");
    for secure in [false, true] {
        assert_eq!(turned_away(&hall, secure), [GOODBYE]);
    }
    assert_eq!(alice.sync(), [""; 0]);
}

#[test]
fn those_who_speak_tls_are_not_sent_where_everybody_can_read_along() {
    let mut barn = Server::new("barn");
    barn.set("listen.ircs = []");
    barn.start();
    let hall = server("hall", 1, &[&barn]);
    let _alice = hall.client("alice");
    assert_eq!(turned_away(&hall, false), bounce(&hall, &barn, false));
    assert_eq!(turned_away(&hall, true), [GOODBYE]);
}

#[test]
fn people_are_sent_to_the_name_that_a_server_goes_by() {
    let mut barn = Server::new("barn");
    barn.set("server.host = \"chat.example.org\"");
    barn.start();
    let hall = server("hall", 1, &[&barn]);
    let _alice = hall.client("alice");
    let port = barn.places().ircs[0].port();
    let heard = turned_away(&hall, true);
    assert_eq!(
        heard[0],
        format!(":hall.lan 010 * chat.example.org {port} :This server is full; there is room on barn.lan")
    );
}

#[test]
fn those_who_are_turned_away_take_no_room() {
    let hall = server("hall", 1, &[]);
    let alice = hall.client("alice");
    // Far more than are told at once; some of them never say a word, nor hang up.
    let mut silent: Vec<Client> = (0..100).map(|_| hall.connect()).collect();
    for newcomer in &mut silent {
        assert_eq!(newcomer.hear_to_the_end(), [GOODBYE]);
    }
    drop(alice);
    until(|| {
        let mut bob = hall.connect();
        bob.say("NICK bob\r\nUSER bob 0 * :Bob");
        bob.hear() != GOODBYE
    })
    .unwrap();
    drop(silent);
}
