//! How a server process begins and ends, and what those who depend on it see of that.

#[path = "support/process/mod.rs"]
mod process;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use process::client::Client;
use process::log::Mark;
use process::run::run;
use process::{Directory, Server, linked};
use rustix::process::Signal;
use socket2::SockRef;

// The end.

#[test]
fn a_server_that_is_told_to_stop_tells_everyone_and_ends_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut hall = Server::started("hall", "");
        let (mut alice, mut newcomer) = (hall.client("alice"), hall.connect());
        let mut secure = hall.connect_tls();
        secure.register("carol");
        newcomer.sync();
        hall.signal(signal);
        for client in [&mut alice, &mut newcomer, &mut secure] {
            let heard = client.hear_to_the_end();
            assert!(
                heard.len() == 1 && heard[0].starts_with("ERROR :Closing link: 127.0.0.1 ("),
                "{heard:?}"
            );
        }
        drop((alice, newcomer, secure));
        assert_eq!(hall.ended().code(), Some(0));
        assert!(!hall.data().join("running").exists(), "no note says that it runs");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut hall = Server::started("hall", "");
    // Who stays on the line is waited for, but not any more after that.
    let mut alice = hall.client("alice");
    hall.signal(Signal::TERM);
    alice.hear_until("ERROR ");
    hall.signal(Signal::TERM);
    assert_eq!(hall.ended().code(), Some(1));
}

/// Proves: DIE, RESTART
#[test]
fn an_operator_has_a_server_start_again_and_stop() {
    let operator = "[[operator]]\nname = \"ada\"\npassword = \"x\"";
    let mut hall = Server::started("hall", operator);
    let (pid, name) = (hall.pid(), hall.name());
    let mut alice = hall.client("alice");
    alice.say("OPER ada x");
    alice.hear_until(" 381 ");
    // What the log says of the first start is read by now.
    hall.logs(Mark::START, "alice!alice@127.0.0.1 is an operator now");
    let since = hall.mark();
    alice.say(&format!("RESTART {name} :once more"));
    let heard = alice.hear_to_the_end();
    assert!(heard.iter().any(|line| line.contains("(Restarted by alice: once more)")), "{heard:?}");
    let log = hall.logs(since, "started version=");
    // The same process runs the program anew, on whatever ports it is given now.
    assert_eq!(hall.pid(), pid, "{log}");
    let deadline = Instant::now() + Duration::from_secs(10);
    let address = loop {
        let note = fs::read_to_string(hall.data().join("running")).unwrap_or_default();
        let note: serde_json::Value = serde_json::from_str(&note).unwrap_or_default();
        if let Some(address) = note["irc"][0].as_str() {
            break address.parse().expect("an address");
        }
        assert!(Instant::now() < deadline, "the server leaves no note that it runs");
        std::thread::yield_now();
    };
    let mut alice = Client::connect(address);
    alice.register("alice");
    alice.say("OPER ada x");
    alice.hear_until(" 381 ");
    alice.say(&format!("DIE {name}"));
    alice.hear_to_the_end();
    drop(alice);
    assert_eq!(hall.ended().code(), Some(0));
}

#[test]
fn who_does_not_hang_up_holds_nobody_up_for_long() {
    let mut hall = Server::started("hall", "");
    let _alice = hall.client("alice");
    let told = Instant::now();
    assert_eq!(hall.stop().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(6), "{:?}", told.elapsed());
}

#[test]
fn those_who_are_left_hear_at_once_that_a_server_went() {
    let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
    // Only what is told at once can be heard in time.
    hall.set("network.hold = \"1h\"");
    let _relay = linked(&mut hall, &mut barn);
    let mut alice = hall.client("alice");
    alice.join("#green");
    alice.reach("barn.lan");
    let mut bob = barn.client("bob");
    bob.join("#green");
    alice.hear_until(":bob!bob@127.0.0.1 JOIN #green");
    barn.signal(Signal::TERM);
    assert!(alice.hear().starts_with(":bob!bob@127.0.0.1 QUIT :"));
    drop(bob);
    assert_eq!(barn.ended().code(), Some(0));
    assert_eq!(alice.sync(), [""; 0]);
}

#[test]
fn a_server_that_was_killed_is_missed_after_the_hold_and_whole_when_it_is_back() {
    let (mut hall, mut barn) = (Server::new("hall"), Server::new("barn"));
    hall.set("network.hold = \"1s\"");
    let relay = linked(&mut hall, &mut barn);
    let mut alice = hall.client("alice");
    alice.join("#green");
    alice.say("TOPIC #green :harvest");
    alice.reach("barn.lan");
    let mut bob = barn.client("bob");
    bob.join("#green");
    alice.hear_until(":bob!bob@127.0.0.1 JOIN #green");

    let before = Instant::now();
    barn.kill();
    assert_eq!(alice.hear(), ":bob!bob@127.0.0.1 QUIT :hall.lan barn.lan");
    assert!(before.elapsed() >= Duration::from_secs(1), "held for {:?} only", before.elapsed());

    barn.start();
    relay.lead_to(barn.places().link[0]);
    barn.is_linked_with(Mark::START, &hall);
    barn.logs(Mark::START, "hall.lan is part of the network");
    let mut bob = barn.client("bob");
    bob.reach("hall.lan");
    let heard = bob.join("#green");
    assert!(heard.contains(&":barn.lan 332 bob #green :harvest".to_string()), "{heard:#?}");
    let names = heard.iter().find(|line| line.contains(" 353 ")).expect("NAMES come with the JOIN");
    assert!(names.contains("@alice") && names.contains("bob"), "{names}");
    assert_eq!(alice.hear(), ":bob!bob@127.0.0.1 JOIN #green");
    bob.say("PRIVMSG #green :back again");
    assert_eq!(alice.hear(), ":bob!bob@127.0.0.1 PRIVMSG #green :back again");
    assert_eq!(alice.sync(), [""; 0]);
}

#[test]
fn a_server_that_stood_still_blames_nobody_else_for_it() {
    let mut hall = Server::new("hall");
    hall.set("limits.ping_after = \"1s\"");
    hall.set("limits.pong_within = \"2s\"");
    hall.start();
    let mut alice = hall.client("alice");
    alice.hear_until("PING ");
    hall.signal(Signal::STOP);
    // In time, but nobody is there to read it.
    alice.say("PONG :hall.lan");
    std::thread::sleep(Duration::from_secs(3));
    let mark = hall.mark();
    hall.signal(Signal::CONT);
    hall.logs(mark, "this server stood still");
    alice.say("PING still");
    assert_eq!(alice.hear_until(" PONG "), ":hall.lan PONG hall.lan :still");
}

// Those who do not read.

#[test]
fn who_does_not_read_is_let_go_while_others_go_on() {
    let hall = Server::started("hall", "limits.send_queue = 65536");
    let mut alice = hall.client("alice");
    let mut slow = hall.connect();
    // Else this end's system would take it all in.
    SockRef::from(slow.socket()).set_recv_buffer_size(4 << 10).unwrap();
    slow.register("slow");
    alice.join("#green");
    slow.say("JOIN #green");
    alice.hear_until(":slow!slow@127.0.0.1 JOIN #green");
    let mark = hall.mark();
    // Everything that slow says comes back to it, and goes nowhere from there.
    let questions = format!("PING :{}\r\n", "x".repeat(400)).repeat(4_000);
    slow.send_within(questions.as_bytes(), process::PATIENCE);
    assert_eq!(alice.hear(), ":slow!slow@127.0.0.1 QUIT :SendQ exceeded");
    hall.logs(mark, " did not read what was sent to it conn=");
    assert_eq!(alice.sync(), [""; 0]);
    slow.hear_to_the_end();
}

#[test]
fn who_reads_slowly_but_reads_gets_everything() {
    let hall = Server::started("hall", "");
    let mut slow = hall.connect();
    SockRef::from(slow.socket()).set_recv_buffer_size(4 << 10).unwrap();
    slow.register("slow");
    let token = "x".repeat(400);
    for number in 0..2_000 {
        slow.say(&format!("PING :{number} {token}"));
    }
    for number in 0..2_000 {
        assert_eq!(slow.hear(), format!(":hall.lan PONG hall.lan :{number} {token}"));
    }
}

// TLS.

#[test]
fn people_come_in_over_tls_as_over_plain_text() {
    let hall = Server::started("hall", "");
    let mut carol = hall.connect_tls();
    carol.register("carol");
    let token = "x".repeat(400);
    for number in 0..500 {
        carol.say(&format!("PING :{number} {token}"));
    }
    for number in 0..500 {
        assert_eq!(carol.hear(), format!(":hall.lan PONG hall.lan :{number} {token}"));
    }
    let mut lost = Client::connect(hall.places().ircs[0]);
    lost.say("NICK lost");
    assert_eq!(lost.hear_to_the_end(), ["ERROR :This port speaks TLS only"]);
    assert_eq!(carol.sync(), [""; 0]);
    carol.say("QUIT :enough");
    assert_eq!(carol.hear_to_the_end(), ["ERROR :Closing link: 127.0.0.1 (Quit: enough)"]);
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let mut hall = Server::new("hall");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| hall.path().join(name));
    let renew = || {
        let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let signed =
            rcgen::CertificateParams::new(vec!["hall.lan".to_string()]).unwrap().self_signed(&made).unwrap();
        fs::write(&certificate, signed.pem()).unwrap();
        fs::write(&key, made.serialize_pem()).unwrap();
    };
    // Whoever trusts nothing but what the file holds gets in.
    let come_in = |hall: &Server, nick: &str| {
        let mut client = Client::connect_tls(hall.places().ircs[0], "hall.lan", &certificate);
        client.register(nick);
        client
    };
    renew();
    hall.set("tls.certificate = \"cert.pem\"");
    hall.set("tls.key = \"key.pem\"");
    hall.start();
    let mut alice = come_in(&hall, "alice");
    renew();
    let mark = hall.mark();
    hall.reload();
    hall.logs(mark, "clients are shown another certificate from now on: sha256:");
    come_in(&hall, "bob");
    assert_eq!(alice.sync(), [""; 0]);
}

// The beginning.

#[test]
fn a_taken_port_is_named_and_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for list in ["irc", "ircs", "link"] {
        let mut hall = Server::new("hall");
        hall.set(&format!("listen.{list} = [\"{address}\"]"));
        let output = run(&["serve", "--config", hall.write_settings().to_str().unwrap()]);
        assert_eq!(output.code, Some(1), "{output:?}");
        let expected = format!("port {} is taken: another program listens on {address}", address.port());
        assert!(
            output.stderr.contains(&expected) && output.stderr.contains(&format!("listen.{list}")),
            "{output:?}"
        );
    }
}

#[test]
fn two_servers_never_share_a_data_directory() {
    let hall = Server::started("hall", "");
    let data = hall.data();
    let output = run(&[
        "serve",
        "--config",
        hall.write_settings().to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ]);
    assert_eq!(output.code, Some(1));
    let process = format!("(process {})", hall.pid().as_raw_nonzero());
    assert!(output.stderr.contains("another server runs on the data directory"), "{}", output.stderr);
    assert!(output.stderr.contains(&process), "{}", output.stderr);
    assert_eq!(hall.client("alice").sync(), [""; 0]);
}

#[test]
fn a_server_is_the_same_one_after_each_start() {
    let mut hall = Server::started("hall", "");
    let sid = |hall: &Server| {
        let line = hall.logs(Mark::START, " started version=");
        line.split(" sid=").nth(1).unwrap().to_string()
    };
    let first = sid(&hall);
    hall.stop();
    hall.start();
    let second = sid(&hall);
    hall.kill();
    hall.start();
    let third = sid(&hall);
    let (own, epoch) = first.rsplit_once(" epoch=").unwrap();
    let epoch: u32 = epoch.parse().unwrap();
    assert_eq!([second, third], [1, 2].map(|later| format!("{own} epoch={}", epoch + later)));
}

#[test]
fn check_says_every_fault_with_its_line() {
    let directory = Directory::new("check");
    let file = directory.0.join("folkmoot.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        run(&["check", "--config", file.to_str().unwrap()])
    };
    let output = check("[server]\nname = \"hall.lan\"\n\n[limits]\nnick_length = 20\n");
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.stdout, format!("{}: no faults\n", file.display()));

    let output =
        check("[server]\nnmae = \"hall.lan\"\n\n[limits]\nnick_length = \"long\"\nping_after = \"soon\"\n");
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    for part in ["line 2: ", "did you mean `name`?", "line 5: ", "line 6: "] {
        assert!(output.stderr.contains(part), "{part} in {}", output.stderr);
    }
    // What does not pass does not start either.
    let start = run(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!((start.code, start.stderr), (Some(1), output.stderr));

    // Those of the text and those of the files that it names come together.
    let output = check("[server]\nsid = 7\n[tls]\ncertificate = \"gone.pem\"\nkey = \"gone.pem\"\n");
    for part in ["line 2: server.sid: ", "tls.certificate and tls.key: cannot read "] {
        assert!(output.stderr.contains(part), "{part} in {}", output.stderr);
    }

    let output = run(&["check", "--config", "nowhere.toml"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("nowhere.toml"), "{}", output.stderr);
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    for arguments in [&["sreve"][..], &["serve", "--port", "1"], &["check", "--json"]] {
        let output = run(arguments);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(output.stderr.contains("Usage: "), "{}", output.stderr);
    }
    let output = run(&["--version"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(output.stdout.starts_with(concat!("folkmoot ", env!("CARGO_PKG_VERSION"), "-")));
}

#[test]
fn settings_that_cannot_be_used_are_not_taken_by_a_running_server() {
    let hall = Server::started("hall", "");
    let mut alice = hall.client("alice");
    let mark = hall.mark();
    fs::write(hall.path().join("folkmoot.toml"), "[limits]\nnick_length = 0\n").unwrap();
    hall.signal(Signal::HUP);
    let line = hall.logs(mark, "config not taken: ");
    assert!(line.contains("line 2: "), "{line}");
    assert_eq!(alice.sync(), [""; 0]);
}

#[test]
fn what_a_newcomer_is_told_is_true() {
    let hall = Server::started("hall", "");
    assert!(hall.prints("hall.lan runs folkmoot-").ends_with(" in the network Folkmoot."));
    let (irc, ircs) = (hall.places().irc[0], hall.places().ircs[0]);
    hall.prints(&format!("    127.0.0.1 port {}", irc.port()));
    hall.prints(&format!("    127.0.0.1 port {} with TLS", ircs.port()));
    let code = hall.prints("/OPER admin ").trim().trim_start_matches("/OPER admin ").to_string();
    let mut alice = hall.client("alice");
    alice.say("OPER admin wrong");
    alice.hear_until(" 464 ");
    alice.say(&format!("OPER admin {code}"));
    alice.hear_until(" 381 ");
}

#[test]
fn no_password_is_ever_logged() {
    let mut hall = Server::new("hall");
    hall.set("server.password = \"sesame-door\"\noperator = [{ name = \"me\", password = \"sesame-oper\" }]");
    hall.start();
    let mut alice = hall.connect();
    alice.say("PASS sesame-door");
    alice.register("alice");
    // Right, wrong, in the wrong place, and in what is almost a command.
    for (line, answer) in [
        ("PASS sesame-again", " 462 "),
        ("OPER me sesame-wrong", " 464 "),
        ("OPER sesame-misplaced again", " 464 "),
        ("OPERA me sesame-oper", " 421 "),
    ] {
        alice.say(line);
        alice.hear_until(answer);
    }
    hall.logs(Mark::START, "alice!alice@127.0.0.1 failed to become an operator (name unknown)");
    hall.logs(Mark::START, "alice!alice@127.0.0.1 failed to become an operator (name \"me\")");
    alice.say("OPER me sesame-oper");
    hall.logs(Mark::START, "alice!alice@127.0.0.1 is an operator now (name \"me\"");
    let mut bob = hall.connect();
    bob.say("PASS sesame-guessed\r\nNICK bob\r\nUSER bob 0 * :Bob");
    bob.hear_to_the_end();
    hall.logs(Mark::START, "conn=2 closed why=");
    let log = hall.log().clone();
    hall.stop();
    assert!(!log.whole().contains("sesame"), "{}", log.text());
}

#[test]
fn a_second_machine_joins_with_a_code_and_only_once() {
    let mut hall = Server::new("hall");
    // As on two fresh machines: no secret that somebody carried there.
    hall.unset("network");
    hall.start();
    let output = run(&["invite", "--data", hall.data().to_str().unwrap()]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let code = output.stdout.trim();

    let mut barn = Server::new("barn");
    barn.unset("network");
    let mark = hall.mark();
    barn.try_start_with(&["--join", code]).unwrap();
    barn.is_linked_with(Mark::START, &hall);
    hall.is_linked_with(mark, &barn);

    let mut shed = Server::new("shed");
    shed.unset("network");
    let fault = shed.try_start_with(&["--join", code]).unwrap_err();
    assert!(fault.contains("there is no such invite, or it was used"), "{fault}");

    // It needs no code any more, and calls by itself.
    barn.stop();
    let mark = hall.mark();
    barn.start();
    hall.is_linked_with(mark, &barn);
}

#[test]
fn of_two_machines_that_come_with_one_code_at_once_one_gets_in() {
    let mut hall = Server::new("hall");
    hall.unset("network");
    hall.start();
    let output = run(&["invite", "--data", hall.data().to_str().unwrap()]);
    let code = output.stdout.trim();
    let outcomes = std::thread::scope(|scope| {
        let come = |word: &'static str| {
            scope.spawn(move || {
                let mut server = Server::new(word);
                server.unset("network");
                let outcome = server.try_start_with(&["--join", code]);
                (server, outcome)
            })
        };
        [come("barn"), come("shed")].map(|comer| comer.join().unwrap())
    });
    let (inside, outside): (Vec<_>, Vec<_>) = outcomes.iter().partition(|(_, outcome)| outcome.is_ok());
    assert_eq!((inside.len(), outside.len()), (1, 1));
    inside[0].0.is_linked_with(Mark::START, &hall);
    let fault = outside[0].1.as_ref().unwrap_err();
    assert!(fault.contains("there is no such invite, or it was used"), "{fault}");
    assert!(!outside[0].0.data().join("network.secret").exists(), "it is of no network");
}

#[test]
fn an_invite_needs_a_running_server() {
    let directory = Directory::new("nobody");
    let output = run(&["invite", "--data", directory.0.to_str().unwrap()]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("no server runs on the data directory"), "{}", output.stderr);
}
