//! Threads, sockets and files: no rules. Starts everything, and stops it in reverse.

mod allowance;
mod answers;
pub mod archive;
mod arrivals;
mod beacon;
pub mod bearer;
mod capacity;
pub mod cli;
mod client;
mod clock;
mod compat;
mod compression;
mod conn;
mod data;
mod discover;
mod discovery;
pub mod end;
mod ergo;
mod fanout;
mod flusher;
mod identity;
mod inbox;
mod invite;
mod join;
mod joincode;
mod keeper;
mod lan;
mod link;
mod listen;
mod mdns;
mod outbox;
mod pace;
mod pairing;
mod password;
mod proxy;
mod reader;
mod reload;
mod resolve;
mod rotation;
mod router;
mod running;
mod secrets;
pub mod serve;
pub mod settings;
mod shared;
mod situation;
mod socket;
mod store;
mod surplus;
mod suspect;
mod threads;
mod tls;
mod verify;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use self::clock::Clock;
use self::end::End;
use self::keeper::Keeper;
use self::listen::Listener;
use self::reload::Reload;
use self::router::{Helpers, Router};
use self::running::Services;
use self::shared::Shared;
use self::store::Store;
use self::threads::{ROOMY_STACK_BYTES, STACK_BYTES};
use self::verify::Verifier;
use crate::config::Config;
use crate::engine::{Engine, Event, Figures};

/// How long last words may take to go out when the server stops, and threads to notice that it does: after the last one
/// that did ...
const EACH_WITHIN: Duration = Duration::from_secs(2);
/// ... and altogether, on a machine that is too busy to let thousands go at once.
const ALL_WITHIN: Duration = Duration::from_secs(10);
/// How long those who serve everyone may take for what they have begun. Nobody outside can hold them up, and what the
/// store has not written by then is lost.
const SERVICES_WITHIN: Duration = Duration::from_secs(20);

/// A server that runs until it is told to stop.
struct Running {
    shared: Arc<Shared>,
    listeners: Vec<Arc<Listener>>,
    services: Services,
    reload: Arc<Reload>,
    /// An operator's wish that the server end.
    ends: Receiver<End>,
}

/// Starts a server, or says why it cannot be started; then nothing is left of it.
fn start(config: Config, node: identity::Node, source: settings::Source) -> Result<Running, String> {
    start_with(config, node, source, socket::CLIENT_SEND_BUFFER_BYTES)
}

fn start_with(
    config: Config,
    node: identity::Node,
    source: settings::Source,
    client_send_buffer_bytes: usize,
) -> Result<Running, String> {
    let shown = Arc::new(tls::Shown::new(&node.shown)?);
    let client_door = Arc::new(tls::client_listener(shown.clone()));
    let mesh_server = Arc::new(tls::mesh_server(&node.own)?);
    let mesh_client = Arc::new(tls::mesh_client(&node.own, tls::LINK_PROTOCOL)?);
    let mesh_door = Arc::new(link::Door { server: mesh_server, host: invite::Host::new(&node, &config) });
    let (listeners, services) = listen::bind_all(&config.listen, &client_door, &mesh_door)?;

    let capacity = capacity::find();
    let (limits, wanted) = (config.limits.clone(), config.limits.clients_max);
    let (level, room, because) = if capacity.clients_max < wanted {
        (log::Level::Warn, capacity.clients_max, capacity.because)
    } else {
        (log::Level::Info, wanted, "limits.clients_max")
    };
    log::log!(
        target: "folkmoot::server",
        level,
        "room for clients: clients_max={room} because=\"{because}\""
    );

    let (gateways, dns) = (config.gateway.as_slice().into(), Arc::new(config.dns.clone()));
    let history = Arc::new(config.history.clone());
    let (store, stored) = Store::open(node.data.path(), identity::wall_clock(), config.limits.messages_kept)?;
    let mut clock = Clock::new(Instant::now());
    let engine = Engine::restored(config, node.identity, &stored, clock.now(Instant::now()))
        .map_err(|why| format!("the store in {}: {why}", node.data.path().display()))?;
    let (shared, events) = Shared::new(engine, limits, capacity.clients_max, client_send_buffer_bytes)?;
    *shared.gateways.write() = gateways;
    *shared.dns.write() = dns;
    *shared.history.write() = history;
    let shared = Arc::new(shared);
    let reload = Arc::new(Reload { source, data: node.data.path().to_path_buf(), own: node.own, shown });
    let (end, ends) = end::ends();
    let running = Running { shared: shared.clone(), listeners, services, reload: reload.clone(), ends };

    // The first that the engine hears.
    running.look_around();
    shared.tell(Event::SecretsFound(node.secrets.all()));
    let (verifier, checks) = Verifier::new();
    let (tasks, tasks_waiting) = keeper::tasks();
    let directory = node.data.path().to_path_buf();
    let keeper = Keeper { reload, secrets: node.secrets, data: node.data };
    let (desk, tray) = store::desk(shared.room.clone());
    let tray = Arc::new(tray);
    let helpers = Helpers { verifier, keeper: tasks, store: desk, ends: end };
    let router = Router::new(shared.clone(), events, helpers, mesh_client, clock);
    let begun = shared
        .serve("router", ROOMY_STACK_BYTES, |_| router.run())
        .and_then(|()| shared.serve("flusher", STACK_BYTES, |shared| shared.flusher.run(shared)))
        .and_then(|()| {
            (1..=verify::threads()).try_for_each(|number| {
                let checks = checks.clone();
                let work = move |shared: &Arc<Shared>| verify::run(shared, &checks);
                shared.serve(&format!("verify {number}"), STACK_BYTES, work)
            })
        })
        .and_then(|()| {
            shared.serve("keeper", ROOMY_STACK_BYTES, move |shared| keeper.run(shared, &tasks_waiting))
        })
        .and_then(|()| {
            let tray = tray.clone();
            shared.serve("store", ROOMY_STACK_BYTES, move |shared| store::run(store, shared, &tray))
        })
        .and_then(|()| {
            (1..=store::READERS).try_for_each(|number| {
                let (tray, directory) = (tray.clone(), directory.clone());
                shared.serve(&format!("recall {number}"), ROOMY_STACK_BYTES, move |shared| {
                    store::recall(number, &directory, shared, &tray);
                })
            })
        })
        .and_then(|()| {
            running.listeners.iter().cloned().try_for_each(|listener| {
                shared.keep_door(&listener.name(), move |shared| listener.run(shared))
            })
        });
    if let Err(why) = begun {
        running.stop("could not be started");
        return Err(why);
    }
    Ok(running)
}

impl Running {
    /// Where the listeners are, with the ports that the system gave them.
    pub fn addresses(&self) -> Services {
        self.services.clone()
    }

    /// What the LAN is told: copied out.
    pub fn figures(&self) -> Figures {
        self.shared.engine.read().figures()
    }

    /// Tells the engine where this server stands by now: addresses come and go.
    pub fn look_around(&self) {
        self.shared.tell(Event::Situated(situation::look(&self.services, self.shared.clients_possible)));
    }

    /// Reads the settings again, and has the engine apply what can be applied.
    pub fn reload(&self) {
        self.shared.tell(self.reload.read(None));
    }

    /// Tells the engine something. Waits while more waits for it than it can take.
    pub fn inject(&self, event: Event) {
        self.shared.tell(event);
    }

    /// Ends everything, in the reverse order of its start; returns when it is done: as soon as those who are here have
    /// left, two seconds later where somebody does not, and within a minute on a machine that is too busy.
    pub fn stop(&self, why: &str) {
        let shared = &self.shared;
        if shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        self.listeners.iter().for_each(|listener| listener.close());
        // Whoever got in before is in the table then, and has a thread to wait for.
        let mut stragglers = shared.doors.wait(Instant::now() + EACH_WITHIN);
        shared.tell(Event::Stop { why: why.to_string() });
        shared.talkers.wait_as_they_leave(EACH_WITHIN, ALL_WITHIN);
        let late: Vec<_> = shared.connections.read().iter().cloned().collect();
        for conn in &late {
            conn.kill(why);
        }
        drop(late);
        stragglers.extend(shared.talkers.wait_as_they_leave(EACH_WITHIN, ALL_WITHIN));

        shared.finished.store(true, Ordering::Release);
        // Wakes the router, so that it sees that.
        shared.tell(Event::Tick);
        shared.flusher.stop();
        stragglers.extend(shared.services.wait(Instant::now() + SERVICES_WITHIN));
        for name in &stragglers {
            log::warn!(target: "folkmoot::server", "the thread \"{name}\" did not end in time");
        }
        let counters = &shared.counters;
        log::info!(
            target: "folkmoot::server",
            "stopped: {why} accepted={} refused={} slow_readers={} events={} patient_events={} batches={} blocked_sends={}",
            counters.accepted.load(Ordering::Relaxed),
            counters.refused.load(Ordering::Relaxed),
            counters.slow_readers.load(Ordering::Relaxed),
            counters.events.load(Ordering::Relaxed),
            counters.patient_events.load(Ordering::Relaxed),
            counters.batches.load(Ordering::Relaxed),
            counters.blocked.load(Ordering::Relaxed)
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::path::Path;

    use super::*;
    use crate::edge::data::DataDirectory;
    use crate::edge::data::tests::Scratch;

    /// A server on ports that the system chooses.
    fn begin(data: &Path, change: impl FnOnce(&mut Config)) -> Result<Running, String> {
        let mut config = Config::default();
        config.server.name = Some("hall.lan".into());
        let any = || vec!["127.0.0.1:0".to_string()];
        config.listen.irc = any();
        config.listen.ircs = any();
        config.listen.link = any();
        change(&mut config);
        let node = identity::load(&config, Arc::new(DataDirectory::open(data)?))?;
        let source = settings::Source { file: None, data: Some(data.to_path_buf()) };
        start_with(config, node, source, 8 << 10)
    }

    #[test]
    fn a_server_starts_and_stops_with_clients_on_it() {
        let scratch = Scratch::new("start-stop");
        let running = begin(&scratch.0, |_| {}).unwrap();
        let services = running.addresses();
        let mut clients: Vec<TcpStream> = [services.irc[0], services.ircs[0], services.link[0]]
            .map(|a| TcpStream::connect(a).unwrap())
            .into();
        running.stop("the day is over");
        for client in &mut clients {
            let _ = client.read_to_end(&mut Vec::new());
        }
        assert_eq!(still_there(&running), [""; 0]);
        TcpStream::connect(services.irc[0]).expect_err("nobody listens any more");
    }

    #[test]
    fn whoever_comes_in_while_it_stops_is_gone_with_it() {
        for round in 0..20 {
            let scratch = Scratch::new("crowded-stop");
            let running = begin(&scratch.0, |_| {}).unwrap();
            let services = running.addresses();
            let (inside, someone_is_inside) = crossbeam_channel::bounded(3);
            let crowd = [services.irc[0], services.ircs[0], services.link[0]].map(|address| {
                let inside = inside.clone();
                std::thread::spawn(move || {
                    let mut clients = Vec::new();
                    while let Ok(client) = TcpStream::connect(address) {
                        clients.push(client);
                        let _ = inside.try_send(());
                    }
                })
            });
            someone_is_inside.recv().unwrap();
            running.stop("the day is over");
            assert_eq!(still_there(&running), [""; 0], "round {round}");
            crowd.into_iter().for_each(|caller| caller.join().unwrap());
        }
    }

    fn still_there(running: &Running) -> Vec<String> {
        let shared = &running.shared;
        let now = Instant::now();
        [&shared.doors, &shared.talkers, &shared.services].iter().flat_map(|group| group.wait(now)).collect()
    }

    #[test]
    fn one_too_many_from_an_address_is_told_so() {
        let scratch = Scratch::new("refusal");
        let running = begin(&scratch.0, |config| config.limits.connections_per_address = 1).unwrap();
        let address = running.addresses().irc[0];
        // Accepted in this order, since one thread accepts.
        let first = TcpStream::connect(address).unwrap();
        let mut heard = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "ERROR :Too many connections from your address\r\n");
        drop(first);
        running.stop("done");
    }

    #[test]
    fn a_taken_port_stops_the_start() {
        let [one, other] = ["taken-one", "taken-other"].map(Scratch::new);
        let running = begin(&one.0, |_| {}).unwrap();
        let taken = running.addresses().link[0];
        let fault =
            begin(&other.0, |config| config.listen.link = vec![taken.to_string()]).map(|_| ()).unwrap_err();
        assert!(fault.contains(&format!("port {} is taken", taken.port())), "{fault}");
        running.stop("done");
    }
}
