//! `folkmoot load`: it finishes each load on a real server and finds no fault there, and finds those of a bad one.

#[path = "support/process/mod.rs"]
mod process;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use process::Server;
use process::log::Mark;
use process::run::{Output, run};
use serde_json::Value;

fn load(server: SocketAddr, words: &str) -> Output {
    let server = server.to_string();
    let mut arguments = vec!["load"];
    arguments.extend(words.split(' '));
    arguments.extend(["--server", &server, "--rounds", "1", "--json"]);
    run(&arguments)
}

/// The only run of a load without faults.
fn figures(server: SocketAddr, words: &str) -> Value {
    let output = load(server, words);
    assert_eq!(output.code, Some(0), "{words}: {output:?}");
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON was asked for");
    let figures = report["runs"][0].clone();
    for fault in ["lost", "doubled", "misordered"] {
        assert_eq!(figures["faults"][fault], 0, "{words}: {report:#}");
    }
    assert!(figures["cpu_us_each"].is_number(), "the server's process was not found: {report:#}");
    figures
}

#[test]
fn each_load_comes_to_its_end_on_a_server_that_does_right() {
    let server = Server::started("hall", "");
    let place = server.places().irc[0];
    assert_eq!(figures(place, "connect --clients 30 --at-once 10")["count"], 30);
    assert_eq!(figures(place, "fanout --members 8 --senders 2 --in-flight 5 --lines 100")["count"], 700);
    assert_eq!(figures(place, "rooms --rooms 4 --members 3 --in-flight 6 --lines 100")["count"], 200);
    assert_eq!(figures(place, "pairs --pairs 3 --lines 100")["count"], 100);
    let delays = &figures(place, "latency --rooms 2 --members 3 --rate 500 --lines 100")["delay_us"];
    assert!(delays["p50"].as_u64() <= delays["max"].as_u64(), "{delays}");
    assert!(figures(place, "churn --clients 5 --channels 2 --seconds 1")["count"].as_u64() > Some(0));
}

#[test]
fn lines_are_counted_across_a_link() {
    let barn = Server::started("barn", "");
    let mut hall = Server::new("hall");
    hall.call(&barn.name(), barn.places().link[0]);
    hall.start();
    hall.logs(Mark::START, "barn.lan is part of the network");
    let to = barn.places().irc[0];
    let words = format!("fanout --members 6 --in-flight 4 --lines 100 --to {to}");
    assert_eq!(figures(hall.places().irc[0], &words)["count"], 500);
}

#[test]
fn servers_are_compared_in_one_table() {
    let [hall, barn] = ["hall", "barn"].map(|word| Server::started(word, ""));
    let own = format!("hall={}", hall.places().irc[0]);
    let other = format!("barn={}", barn.places().irc[0]);
    let output = run(&[
        "load",
        "pairs",
        "--pairs",
        "2",
        "--lines",
        "50",
        "--rounds",
        "2",
        "--server",
        &own,
        "--compare",
        &other,
    ]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let rows: Vec<&str> = output.stdout.lines().collect();
    assert!(rows[3].starts_with("server ") && rows[3].contains(" ratio "), "{output:?}");
    assert!(rows[4].starts_with("hall ") && rows[5].starts_with("barn "), "{output:?}");
    assert!(rows[5].ends_with("0+0+0"), "{output:?}");
}

#[test]
fn a_server_that_cannot_take_the_load_leaves_the_figures_of_the_others() {
    let hall = Server::started("hall", "");
    let barn = Server::started("barn", "[server]\npassword = \"sesame\"");
    let other = format!("--compare barn={}", barn.places().irc[0]);
    let output = load(hall.places().irc[0], &format!("pairs --pairs 2 --lines 50 {other}"));
    assert_eq!(output.code, Some(1));
    let (report, why) = output.stderr.split_once("\npairs on barn: ").expect("whose fault it is");
    assert!(why.contains("the server lets nobody in: :barn.lan 464"), "{output:?}");
    let report: Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["runs"].as_array().unwrap().len(), 1, "{output:?}");
}

#[test]
fn what_cannot_be_loaded_is_said() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = load(nobody, "pairs");
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains(&format!("{nobody} cannot be reached")), "{output:?}");

    let server = Server::started("hall", "[server]\npassword = \"sesame\"");
    let output = load(server.places().irc[0], "connect --clients 2");
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("the server lets nobody in: :hall.lan 464"), "{output:?}");
}

#[test]
fn a_server_that_loses_doubles_or_mixes_up_lines_is_found_out() {
    let found = |fault: Fault| {
        let output = load(bad_server(fault), "fanout --members 2 --in-flight 4 --lines 50 --patience 2");
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("Lines were lost, doubled or out of order."), "{output:?}");
        let report = output.stderr.split("\nLines were").next().unwrap();
        let report: Value = serde_json::from_str(report).unwrap();
        let faults = &report["runs"][0]["faults"];
        ["lost", "doubled", "misordered"].map(|kind| faults[kind].as_u64().unwrap())
    };
    assert_eq!(found(Fault::Loses), [1, 0, 0]);
    assert_eq!(found(Fault::Doubles), [0, 1, 0]);
    assert_eq!(found(Fault::MixesUp), [0, 0, 1]);
}

#[derive(Clone, Copy)]
enum Fault {
    /// One line never comes.
    Loses,
    /// One line comes twice.
    Doubles,
    /// One line comes after the one that was said after it.
    MixesUp,
}

/// A server of one channel that does something wrong with one line, and says everything to everyone else.
fn bad_server(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let members: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().flatten().enumerate() {
            let members = members.clone();
            members.lock().unwrap().push(socket.try_clone().unwrap());
            thread::spawn(move || serve(number, socket, &members, fault));
        }
    });
    place
}

fn serve(number: usize, mut socket: TcpStream, members: &Mutex<Vec<TcpStream>>, fault: Fault) {
    let lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let mut held: Option<String> = None;
    for line in lines.map_while(Result::ok) {
        let say_all = |text: &str| {
            let members = members.lock().unwrap();
            for (_, mut member) in members.iter().enumerate().filter(|(other, _)| *other != number) {
                let _ = member.write_all(text.as_bytes());
            }
        };
        if line.starts_with("USER ") {
            socket.write_all(b":bad 422 x :no message of the day\r\n").unwrap();
        } else if line.starts_with("JOIN ") {
            socket.write_all(b":bad 366 x #x :End of NAMES\r\n").unwrap();
        } else if line.starts_with("PRIVMSG ") {
            let text = format!(":x!x@x {line}\r\n");
            // Past those that go before it is measured.
            let is_bad = line.contains(" :0 20 ");
            match fault {
                Fault::Loses if is_bad => {}
                Fault::Doubles if is_bad => say_all(&format!("{text}{text}")),
                Fault::MixesUp if is_bad => held = Some(text),
                _ => {
                    say_all(&text);
                    if let Some(late) = held.take() {
                        say_all(&late);
                    }
                }
            }
        }
    }
}
