//! A network's secret is changed: on all its servers at once, while links stay; who was away is given it on its return.

#[path = "support/process/mod.rs"]
mod process;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use process::log::{Log, Mark};
use process::run::{Output, run};
use process::{SECRET, Server, until};

/// A server with its secret where it keeps it itself, which calls those others.
fn member(word: &str, secret: &str, others: &[&Server]) -> Server {
    let mut server = Server::new(word);
    server.unset("network");
    fs::create_dir(server.data()).unwrap();
    fs::write(server.data().join("network.secret"), format!("{secret}\n")).unwrap();
    for other in others {
        server.call(&other.name(), other.places().link[0]);
    }
    server
}

fn linked(mut server: Server, other: &Server) -> Server {
    server.start();
    server.is_linked_with(Mark::START, other);
    server
}

fn kept(server: &Server) -> String {
    let text = fs::read_to_string(server.data().join("network.secret")).unwrap();
    text.lines().next().unwrap().to_string()
}

fn rotate(server: &Server) -> Output {
    run(&["rotate-secret", "--data", server.data().to_str().unwrap()])
}

/// Logs of runs, of which none may show any of these.
fn hide(logs: &[Log], secrets: &[&str]) {
    for log in logs {
        let text = log.text();
        for secret in secrets {
            // As it is, and as it goes over links and to those who join.
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            for shape in [secret.to_string(), BASE64.encode(secret), hex] {
                assert!(!text.contains(&shape), "{shape} in {text}");
            }
        }
    }
}

#[test]
fn a_new_secret_reaches_every_server_over_the_links_and_those_that_were_off_on_their_return() {
    let mut hall = member("hall", SECRET, &[]);
    hall.start();
    let barn = linked(member("barn", SECRET, &[&hall]), &hall);
    let mill = linked(member("mill", SECRET, &[&barn]), &barn);
    let mut shed = linked(member("shed", SECRET, &[&mill]), &mill);
    let mut logs = vec![hall.log().clone(), barn.log().clone(), mill.log().clone(), shed.log().clone()];
    hall.logs(Mark::START, "shed.lan is part of the network");
    let mut alice = hall.client("alice");
    alice.reach("shed.lan");
    shed.stop();
    hall.logs(Mark::START, "shed.lan has stopped");

    let output = rotate(&hall);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("The network has a new secret"), "{output:?}");
    let made = kept(&hall);
    assert_ne!(made, SECRET);
    // Two links away.
    until(|| kept(&mill) == made).unwrap();
    assert_eq!(kept(&barn), made);
    for server in [&hall, &barn, &mill] {
        let former = fs::read_to_string(server.data().join("network.secret.old")).unwrap();
        assert!(former.ends_with(&format!(" {SECRET}\n")), "{former}");
        assert_eq!(server.log().count(Mark::START, ".lan closed conn="), usize::from(server.word == "mill"));
    }
    alice.reach("mill.lan");

    assert_eq!(kept(&shed), SECRET);
    let marks = (hall.mark(), mill.mark());
    shed.start();
    logs.push(shed.log().clone());
    mill.logs(marks.1, "shed.lan proves itself by a former secret of the network");
    until(|| kept(&shed) == made).unwrap();
    hall.logs(marks.0, "shed.lan is part of the network");
    alice.reach("shed.lan");

    // Others know the new one only: one who was told it, and one who is let in now.
    let told = linked(member("told", &made, &[&shed]), &shed);
    let code = run(&["invite", "--data", barn.data().to_str().unwrap()]).stdout;
    let mut guest = Server::new("guest");
    guest.unset("network");
    guest.try_start_with(&["--join", code.trim()]).unwrap();
    guest.is_linked_with(Mark::START, &barn);
    assert_eq!(kept(&guest), made);
    logs.extend([told.log().clone(), guest.log().clone()]);
    hide(&logs, &[SECRET, &made]);
}

#[test]
fn when_its_time_is_over_the_old_secret_lets_nobody_in() {
    let mut hall = member("hall", SECRET, &[]);
    hall.set("network.old_secret_for = \"1s\"");
    hall.start();
    assert_eq!(rotate(&hall).code, Some(0));
    hall.logs(Mark::START, "a former secret of the network is not taken any more");
    until(|| !hall.data().join("network.secret.old").exists()).unwrap();
    let mark = hall.mark();
    let mut late = member("late", SECRET, &[&hall]);
    late.start();
    hall.logs(mark, "late.lan refused conn=");
    late.logs(Mark::START, "reason=proof");
    assert_eq!(kept(&late), SECRET);
    assert_eq!(hall.log().count(mark, "late.lan linked"), 0);
}

#[test]
fn a_secret_that_the_admins_own_tools_hand_out_is_left_to_them() {
    let mut hall = Server::started("hall", "");
    let mut barn = Server::new("barn");
    barn.call("hall.lan", hall.places().link[0]);
    let barn = &mut linked(barn, &hall);
    let settings = hall.write_settings();
    let output = run(&[
        "rotate-secret",
        "--config",
        settings.to_str().unwrap(),
        "--data",
        hall.data().to_str().unwrap(),
    ]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let file = hall.path().join("secret");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{SECRET}\n"));
    let what_to_do =
        format!("network.secret_file {} holds a secret that the network had before", file.display());
    assert!(output.stdout.contains(&what_to_do), "{output:?}");
    hall.logs(Mark::START, &what_to_do);
    barn.logs(Mark::START, " holds a secret that the network had before; put the first line of ");
    until(|| barn.data().join("network.secret").exists() && kept(barn) == kept(&hall)).unwrap();

    // Nobody has done it yet, and nobody is left out for that.
    barn.stop();
    let mark = hall.mark();
    barn.start();
    hall.is_linked_with(mark, barn);
    assert_eq!(hall.log().count(mark, "proves itself by a former secret"), 0);
    // Done.
    fs::write(&file, format!("{}\n", kept(&hall))).unwrap();
    hall.stop();
    hall.start();
    assert_eq!(hall.log().count(Mark::START, "holds a secret that the network had before"), 0);
}

#[test]
fn a_secret_is_changed_only_where_a_server_runs() {
    let server = Server::new("nobody");
    let output = rotate(&server);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("no server runs on the data directory"), "{}", output.stderr);
}
