//! The life of a server process: settings, identity, start, signals, end.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

use super::data::DataDirectory;
use super::discovery::{Announcement, Discovery};
use super::end::End;
use super::identity::{self, Node};
use super::running::{RunningServer, Services};
use super::secrets::SecretBook;
use super::settings::{self, ADMIN_CODE, Settings, Source};
use super::{Running, join, lan, password, rotation};
use crate::config::Config;
use crate::engine::Pin;

/// How often to look whether a command has left a wish in the data directory.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a server until a signal or an operator ends it; says whether it is to start again.
pub fn serve(source: Source, join_code: Option<&str>) -> Result<bool, String> {
    let signals = listen_for_signals()?;
    let before = read(&source)?;
    let data = Arc::new(DataDirectory::open(&before.data)?);
    if let Some(code) = join_code {
        let said = join::join(&before, &data, code)?;
        log::info!(target: "folkmoot::server", "{said}");
    }
    let Settings { mut config, warnings, .. } = read(&source)?;
    for warning in warnings {
        log::warn!(target: "folkmoot::server", "{warning}");
    }
    let node = identity::load(&config, data.clone())?;
    let admin_code = config.operator.is_empty().then(password::make_admin_code);
    if let Some((_, hash)) = &admin_code {
        config.operator.push(settings::administrator(hash));
    }

    let about = About::new(&node, &config);
    let (identity, secrets) = (node.identity.clone(), node.secrets.clone());
    let running = Arc::new(super::start(config.clone(), node, source)?);
    let services = running.addresses();
    let discovery = config
        .discovery
        .enabled
        .then(|| discover(&config, &identity, &secrets, &services, &running))
        .transpose()?;
    rotation::forget(&data);
    about.note(&services).announce(&data)?;
    // Kept only once the server runs, so that no code is ever in force that was not shown.
    if let Some((_, hash)) = &admin_code {
        data.write(ADMIN_CODE, &format!("{hash}\n"))?;
    }
    log::info!(
        target: "folkmoot::server",
        "{} started version=\"{}\" sid={} epoch={}", about.name, about.version, about.sid, identity.epoch
    );
    let welcome = about.welcome(&services, admin_code.as_ref().map(|(code, _)| code.as_str()), &data);
    // Whoever closed our output does not want to read it; the server runs all the same.
    let _ = std::io::stdout().write_all(welcome.as_bytes());

    let end = wait(&signals, &running, &data);
    if let Some(discovery) = discovery {
        discovery.stop();
    }
    running.stop(&end.why);
    RunningServer::withdraw(&data);
    Ok(end.again)
}

fn read(source: &Source) -> Result<Settings, String> {
    source.read().map_err(|faults| faults.join("\n"))
}

fn discover(
    config: &Config,
    identity: &crate::engine::Identity,
    secrets: &Arc<SecretBook>,
    services: &Services,
    running: &Arc<Running>,
) -> Result<Discovery, String> {
    let announcement = Announcement::new(identity, config, services.clone(), secrets.clone());
    let (asked, told, moved) = (running.clone(), running.clone(), running.clone());
    Discovery::start(
        announcement,
        move || asked.figures(),
        move |event| told.inject(event),
        move || moved.look_around(),
    )
}

/// What a signal asks for.
enum Wish {
    Stop(&'static str),
    Reload,
}

/// Waits until the server shall end; says why.
fn wait(wishes: &Receiver<Wish>, running: &Running, data: &DataDirectory) -> End {
    loop {
        select! {
            recv(wishes) -> wish => match wish.expect("the signal thread lives as long as the process") {
                Wish::Stop(why) => return End { why: why.to_string(), again: false },
                Wish::Reload => running.reload(),
            },
            recv(running.ends) -> end => return end.expect("the router lives until it is told to stop"),
            default(LOOK_INTERVAL) => {
                if let Some(event) = rotation::wish(data) {
                    running.inject(event);
                }
            }
        }
    }
}

/// Ctrl-C and SIGTERM end the server, the second of them at once; SIGHUP has the settings read again.
fn listen_for_signals() -> Result<Receiver<Wish>, String> {
    let fault = |why: &dyn std::fmt::Display| format!("cannot listen for signals: {why}");
    let (wish, wishes) = unbounded();
    let interrupted = wish.clone();
    ctrlc::set_handler(move || stop(&interrupted, "interrupted")).map_err(|why| fault(&why))?;
    let mut signals = Signals::new([SIGTERM, SIGHUP]).map_err(|why| fault(&why))?;
    std::thread::Builder::new()
        .name("signals".to_string())
        .spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGHUP => wish.send(Wish::Reload).unwrap_or(()),
                    _ => stop(&wish, "terminated"),
                }
            }
        })
        .map_err(|why| fault(&why))?;
    Ok(wishes)
}

fn stop(wish: &Sender<Wish>, why: &'static str) {
    static STOPPING: AtomicBool = AtomicBool::new(false);
    if STOPPING.swap(true, Ordering::Relaxed) {
        std::process::exit(1);
    }
    // Nobody waits any more only when the end has come already.
    let _ = wish.send(Wish::Stop(why));
}

/// What a server tells the people at its machine.
struct About {
    name: String,
    sid: String,
    network: String,
    version: String,
    own: Pin,
    shown: Pin,
}

impl About {
    fn new(node: &Node, config: &Config) -> About {
        About {
            name: node.identity.name.to_string(),
            sid: node.identity.sid.to_string(),
            network: config.network.name.clone(),
            version: node.identity.version.clone(),
            own: node.own.pin(),
            shown: node.shown.pin(),
        }
    }

    fn note(&self, services: &Services) -> RunningServer {
        RunningServer {
            pid: std::process::id(),
            version: self.version.clone(),
            name: self.name.clone(),
            sid: self.sid.clone(),
            network: self.network.clone(),
            pin: self.own.to_string(),
            services: services.clone(),
        }
    }

    /// The first thing that a newcomer reads.
    fn welcome(&self, services: &Services, admin_code: Option<&str>, data: &DataDirectory) -> String {
        let path = std::path::absolute(data.path()).unwrap_or_else(|_| data.path().to_path_buf());
        let path = path.display();
        let mut text = format!("{} runs {} in the network {}.\n", self.name, self.version, self.network);
        let plain = places(&services.irc, "");
        let secure = places(&services.ircs, " with TLS");
        if !plain.is_empty() || !secure.is_empty() {
            text += "\nPeople connect with any IRC client to\n";
            text += &plain;
            text += &secure;
        }
        if !secure.is_empty() {
            text += &format!("The certificate they are shown there:\n    {}\n", self.shown);
        }
        if let Some(code) = admin_code {
            text += &format!(
                "\nTo become administrator, type in your client:\n    /OPER admin {code}\n\
                 This code is shown only now. It works until the settings name an [[operator]]; for another one, stop the\n\
                 server and remove {path}/{ADMIN_CODE}.\n"
            );
        }
        if !services.link.is_empty() {
            text += &format!(
                "\nTo link a second server, run `folkmoot invite --data {path}` here, and there, with the code it prints:\n    \
                 folkmoot serve --join CODE\n\
                 Servers on one LAN with the same network.secret link by themselves. This one is known to others by\n    {}\n",
                self.own
            );
        }
        text + &format!("\nWhat must not be lost is in {path}\n\n")
    }
}

fn places(listeners: &[SocketAddr], how: &str) -> String {
    let reachable = lan::reachable(listeners, &lan::interfaces());
    reachable.iter().map(|place| format!("    {} port {}{how}\n", place.ip(), place.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;

    #[test]
    fn a_newcomer_is_told_where_to_go() {
        let scratch = Scratch::new("welcome");
        let data = DataDirectory::open(&scratch.0).unwrap();
        let about = About {
            name: "hall.lan".into(),
            sid: "7FA".into(),
            network: "Moot".into(),
            version: "folkmoot-0".into(),
            own: Pin([1; 32]),
            shown: Pin([2; 32]),
        };
        let services = Services {
            irc: vec!["127.0.0.1:6667".parse().unwrap()],
            ircs: vec!["127.0.0.1:6697".parse().unwrap()],
            link: vec!["127.0.0.1:6900".parse().unwrap()],
        };
        let text = about.welcome(&services, Some("ABCD-EFGH-JKLM"), &data);
        for part in [
            "127.0.0.1 port 6667\n",
            "127.0.0.1 port 6697 with TLS\n",
            "/OPER admin ABCD-EFGH-JKLM\n",
            "serve --join CODE",
            &Pin([2; 32]).to_string(),
            &scratch.0.display().to_string(),
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let text = about.welcome(&Services::default(), None, &data);
        assert!(!text.contains("OPER") && !text.contains("connect") && !text.contains("--join"), "{text}");
    }
}
