//! Servers as processes of their own: started, stopped, killed, linked, looked at from outside.

// Each test takes this in whole and uses a part of it.
#![allow(dead_code)]

pub mod client;
pub mod figures;
pub mod hostile;
pub mod lab;
pub mod log;
pub mod peer;
pub mod relay;
pub mod run;

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use toml::{Table, Value};

use self::client::Client;
use self::log::{Log, Mark};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_folkmoot");
/// How long anything may take that should take no time; far above what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What makes the servers of a test one network.
pub const SECRET: &str = "everybody in the village knows it";
/// How long to wait before looking again at what cannot be waited for.
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A directory of the test's own, gone when the test is.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Directory {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("folkmoot-{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("the test can write where temporary files go");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the listeners of a running server are, as it says itself in its data directory.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Places {
    pub irc: Vec<SocketAddr>,
    pub ircs: Vec<SocketAddr>,
    pub link: Vec<SocketAddr>,
}

/// One server of the test: its directory and settings, and its process while it runs.
pub struct Server {
    /// One word; on the network it has `.lan` behind it.
    pub word: String,
    directory: Directory,
    /// `None`: it runs without a settings file.
    settings: Option<Table>,
    links: Vec<Table>,
    /// What the program is started by, such as `ip netns exec hall`.
    starter: Vec<String>,
    /// What it logs, as `RUST_LOG` says it; all there is to log, unless it is measured.
    logging: &'static str,
    running: Option<Running>,
    /// The words of runs that are over, for the failure that may come later.
    past: Vec<Log>,
}

struct Running {
    child: Child,
    places: Places,
    log: Log,
    /// What it prints for the people at its machine.
    printed: Log,
}

/// What every server has that is not told otherwise: the same secret, ports that the system chooses, nothing that
/// reaches other machines, and no limits on speed.
fn settings_default(word: &str) -> Table {
    let text = format!(
        r#"
        server.name = "{word}.lan"
        network.secret_file = "secret"
        listen = {{ irc = ["127.0.0.1:0"], ircs = ["127.0.0.1:0"], link = ["127.0.0.1:0"] }}
        discovery.enabled = false
        limits = {{ flood = false, connections_per_address = 0 }}
        history.replay_on_join = 0
        "#
    );
    text.parse().expect("the defaults of the test are TOML")
}

impl Server {
    /// A server that does not run yet.
    pub fn new(word: &str) -> Server {
        let directory = Directory::new(word);
        fs::write(directory.0.join("secret"), format!("{SECRET}\n")).unwrap();
        let settings = Some(settings_default(word));
        let (links, starter, past) = (Vec::new(), Vec::new(), Vec::new());
        let logging = "folkmoot=trace";
        Server { word: word.to_string(), directory, settings, links, starter, logging, running: None, past }
    }

    /// A server without any settings, started by another program, with this secret in its data directory.
    pub fn bare(word: &str, starter: Vec<String>, secret: &str) -> Server {
        let mut server = Server::new(word);
        server.settings = None;
        server.start_by(starter);
        fs::create_dir(server.data()).unwrap();
        fs::write(server.data().join("network.secret"), format!("{secret}\n")).unwrap();
        server
    }

    /// From the next start on, another program starts it.
    pub fn start_by(&mut self, starter: Vec<String>) {
        self.starter = starter;
    }

    /// From the next start on it works only where nothing else would, as it would have a machine of its own.
    pub fn start_elsewhere(&mut self) {
        self.start_by(lab::ELSEWHERE.map(String::from).to_vec());
    }

    /// A server that runs on these settings.
    pub fn started(word: &str, settings: &str) -> Server {
        let mut server = Server::new(word);
        server.set(settings);
        server.start();
        server
    }

    /// A server that runs on these settings and logs what it does where nobody asks for more: for those who measure, who
    /// would measure the telling of every line along.
    pub fn measured(word: &str, settings: &str) -> Server {
        let mut server = Server::new(word);
        server.log_usually();
        server.set(settings);
        server.start();
        server
    }

    /// From the next start on it logs what it does where nobody asks for more.
    pub fn log_usually(&mut self) {
        self.logging = "info";
    }

    pub fn name(&self) -> String {
        format!("{}.lan", self.word)
    }

    pub fn path(&self) -> &Path {
        &self.directory.0
    }

    /// Adds to the settings, or changes them, for the next start or `reload`.
    pub fn set(&mut self, settings: &str) {
        self.set_table(&settings.parse().unwrap_or_else(|fault| panic!("{settings} is no TOML: {fault}")));
    }

    fn set_table(&mut self, settings: &Table) {
        merge(self.settings.as_mut().expect("it has settings"), settings);
    }

    /// These settings and no others, but for what every server of a test has.
    pub fn set_to(&mut self, settings: &Table) {
        self.settings = Some(settings_default(&self.word));
        self.set_table(settings);
    }

    pub fn has_password(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings["server"].get("password").is_some())
    }

    /// These settings and nothing else, for a server that would run without any.
    pub fn set_all(&mut self, settings: &str) {
        self.settings =
            Some(settings.parse().unwrap_or_else(|fault| panic!("{settings} is no TOML: {fault}")));
    }

    /// Takes a whole table out of the settings.
    pub fn unset(&mut self, table: &str) {
        self.settings.as_mut().expect("it has settings").remove(table);
    }

    /// From the next start or `reload` on, calls a server there.
    pub fn call(&mut self, name: &str, address: impl Display) {
        self.call_nobody(name);
        let link = Table::from_iter([
            ("name".to_string(), Value::from(name)),
            ("address".to_string(), Value::from(address.to_string())),
        ]);
        self.links.push(link);
    }

    /// Takes a `call` back.
    pub fn call_nobody(&mut self, name: &str) {
        self.links.retain(|link| link["name"].as_str() != Some(name));
    }

    /// Puts down the settings as they are now; returns where.
    pub fn write_settings(&self) -> PathBuf {
        let mut settings = self.settings.clone().expect("it has settings");
        if !self.links.is_empty() {
            settings.insert("link".to_string(), self.links.clone().into());
        }
        let path = self.directory.0.join("folkmoot.toml");
        fs::write(&path, settings.to_string()).unwrap();
        path
    }

    /// Starts it, and waits until it takes people in.
    pub fn start(&mut self) {
        self.try_start().unwrap_or_else(|why| panic!("{why}"));
    }

    pub fn try_start(&mut self) -> Result<(), String> {
        self.try_start_with(&[])
    }

    /// Starts it with more arguments. A failure says all that it said.
    pub fn try_start_with(&mut self, arguments: &[&str]) -> Result<(), String> {
        assert!(self.running.is_none(), "{} runs already", self.word);
        let mut command = match self.starter.split_first() {
            Some((starter, words)) => {
                let mut command = Command::new(starter);
                command.args(words).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
        };
        command.arg("serve");
        if self.settings.is_some() {
            command.arg("--config").arg(self.write_settings());
        }
        let mut child = command
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .env("RUST_LOG", self.logging)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|why| format!("{PROGRAM} cannot be started: {why}"))?;
        let log = Log::follow(child.stderr.take().expect("it is piped"));
        // From here on it is killed when it is dropped, whatever happens.
        let printed = Log::follow(child.stdout.take().expect("it is piped"));
        self.running = Some(Running { child, places: Places::default(), log, printed });
        let running = self.running.as_mut().expect("set just now");
        // The last that it prints: from here on it does nothing that it is not asked for.
        let started = running.printed.find(Mark::START, "What must not be lost is in ");
        let note = started.and_then(|_| {
            fs::read_to_string(self.directory.0.join("data/running")).map_err(|why| why.to_string())
        });
        match note {
            Ok(note) => {
                running.places = serde_json::from_str(&note).map_err(|why| why.to_string())?;
                Ok(())
            }
            Err(_) => {
                let running = self.running.take().expect("set just now");
                let text = running.log.whole();
                self.past.push(running.log.clone());
                Err(format!("{} does not start:\n{text}", self.word))
            }
        }
    }

    pub fn data(&self) -> PathBuf {
        self.directory.0.join("data")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap_or_else(|| panic!("{} does not run", self.word))
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn places(&self) -> &Places {
        &self.running().places
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.running().child)
    }

    pub fn log(&self) -> &Log {
        &self.running().log
    }

    /// Waits for a line on stdout.
    pub fn prints(&self, words: &str) -> String {
        let printed = &self.running().printed;
        printed
            .find(Mark::START, words)
            .unwrap_or_else(|why| panic!("{}: {why}\n{}", self.word, printed.text()))
    }

    /// Waits for a line of the log since a mark that holds all these words.
    pub fn logs(&self, since: Mark, words: &str) -> String {
        self.log().find(since, words).unwrap_or_else(|why| panic!("{}: {why}", self.word))
    }

    pub fn mark(&self) -> Mark {
        self.log().mark()
    }

    /// Whether all that it had for its disk is there.
    pub fn has_written(&self) -> bool {
        let number = |what: &str| {
            let line = self.log().last(&format!(" {what}"))?;
            line.split_once("changes=").map(|(_, rest)| rest.replace(what, ""))
        };
        number("go to disk") == number("are on disk")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Has it read its settings again, and waits until it has; calls that are due are made at the next tick, however
    /// often they failed before.
    pub fn reload(&self) {
        self.write_settings();
        let mark = self.mark();
        self.signal(Signal::HUP);
        self.logs(mark, "config read again");
    }

    /// Ends it as its admin would, and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for an end that somebody has brought about.
    pub fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().unwrap_or_else(|| panic!("{} does not run", self.word));
        let mut status = None;
        let outcome = until(|| {
            status = running.child.try_wait().expect("it is our child");
            status.is_some()
        });
        self.past.push(running.log.clone());
        outcome.unwrap_or_else(|_| panic!("{} does not end", self.word));
        status.expect("it has ended")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let running = self.running.take().unwrap_or_else(|| panic!("{} does not run", self.word));
        self.past.push(running.log.clone());
        drop(running);
    }

    /// A connection on which nothing was said yet.
    pub fn connect(&self) -> Client {
        Client::connect(self.places().irc[0])
    }

    /// The same over TLS, by someone who trusts the server's own certificate.
    pub fn connect_tls(&self) -> Client {
        Client::connect_tls(self.places().ircs[0], &self.name(), &self.data().join("node.cert"))
    }

    /// The same, with a certificate made for the occasion.
    pub fn connect_by_certificate(&self) -> Client {
        Client::connect_by_certificate(self.places().ircs[0], &self.name(), &self.data().join("node.cert"))
    }

    /// Somebody who has come in, and has read all that the server says to that.
    pub fn client(&self, nick: &str) -> Client {
        let mut client = self.connect();
        client.register(nick);
        client
    }

    /// Waits until it is linked with the other one.
    pub fn is_linked_with(&self, since: Mark, other: &Server) {
        self.logs(since, &format!("{} linked conn=", other.name()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let fell = match &mut self.running {
            Some(running) => running.child.try_wait().ok().flatten(),
            None => None,
        };
        let logs = self.past.iter().chain(self.running.as_ref().map(|running| &running.log));
        let text: String = logs.map(Log::text).collect();
        self.running = None;
        let bug = text.contains("met a bug");
        if std::thread::panicking() {
            eprintln!("--- what {} logged:\n{text}---", self.word);
        } else {
            assert!(fell.is_none() && !bug, "{} fell over: {fell:?}\n{text}", self.word);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two servers that are linked, the first of which calls the second through a relay.
pub fn linked(one: &mut Server, other: &mut Server) -> relay::Relay {
    other.start();
    let relay = relay::Relay::to(other.places().link[0]);
    one.call(&other.name(), relay.address());
    one.start();
    one.is_linked_with(Mark::START, other);
    other.is_linked_with(Mark::START, one);
    // Only then can people of the one reach the other.
    one.logs(Mark::START, &format!("{} is part of the network", other.name()));
    other.logs(Mark::START, &format!("{} is part of the network", one.name()));
    relay
}

/// Looks until something is true that nobody tells about.
pub fn until(mut is_true: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        if Instant::now() >= deadline {
            return Err(format!("not true within {PATIENCE:?}"));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn merge(into: &mut Table, more: &Table) {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (Some(Value::Table(known)), Value::Table(more)) => merge(known, more),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
