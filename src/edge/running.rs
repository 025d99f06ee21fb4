//! The note that a running server leaves in its data directory, for commands that look for it.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::data::{self, DataDirectory};

const RUNNING: &str = "running";

/// Where the listeners of a running server are, port numbers as the system gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    pub irc: Vec<SocketAddr>,
    pub ircs: Vec<SocketAddr>,
    pub link: Vec<SocketAddr>,
}

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningServer {
    pub pid: u32,
    pub version: String,
    pub name: String,
    pub sid: String,
    pub network: String,
    pub pin: String,
    #[serde(flatten)]
    pub services: Services,
}

impl RunningServer {
    /// Tells whoever looks into the data directory that this server runs.
    pub fn announce(&self, data: &DataDirectory) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).expect("strings, numbers and addresses only");
        data.write(RUNNING, &(text + "\n"))
    }

    /// Takes the note back.
    pub fn withdraw(data: &DataDirectory) {
        data.remove(RUNNING);
    }

    /// The server that runs on that data directory. A note that a crash left behind is not believed.
    pub fn find(directory: &Path) -> Option<RunningServer> {
        if !data::is_in_use(directory) {
            return None;
        }
        let text = data::read(&directory.join(RUNNING)).ok()??;
        serde_json::from_str(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;

    #[test]
    fn a_server_is_found_only_while_it_runs() {
        let scratch = Scratch::new("running");
        let data = DataDirectory::open(&scratch.0).unwrap();
        assert_eq!(RunningServer::find(&scratch.0), None);
        let server = RunningServer {
            pid: 7,
            version: "1".into(),
            name: "hall.lan".into(),
            sid: "7FA".into(),
            network: "Folkmoot".into(),
            pin: "sha256:00".into(),
            services: Services { link: vec!["[::]:6900".parse().unwrap()], ..Services::default() },
        };
        server.announce(&data).unwrap();
        assert_eq!(RunningServer::find(&scratch.0), Some(server.clone()));
        // As after a crash: the note is there, and nobody holds the lock.
        drop(data);
        assert_eq!(RunningServer::find(&scratch.0), None);
        let data = DataDirectory::open(&scratch.0).unwrap();
        RunningServer::withdraw(&data);
        RunningServer::withdraw(&data);
        assert_eq!(RunningServer::find(&scratch.0), None);
    }
}
