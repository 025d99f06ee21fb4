//! `folkmoot rotate-secret`: asks the server that runs on a data directory for a new secret of its network.
//!
//! As with invites, the two speak by a file there, which only its owner can write: the command puts down its wish, the
//! server how far that has come. So it works from wherever the directory can be reached.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::data::{self, DataDirectory};
use super::identity::make_secret;
use super::running::RunningServer;
use crate::engine::{Event, Secret};

const NOTE: &str = "rotate-secret";
const WANTED: &str = "wanted";
const BEGUN: &str = "begun";
const DONE: &str = "done";

/// How long the server may take, which looks twice a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The command's part: has the network's secret changed.
pub fn ask(directory: &Path) -> Result<(), String> {
    if RunningServer::find(directory).is_none() {
        return Err(format!(
            "no server runs on the data directory {}; name that of a running one with --data. Every server that is linked \
             with it gets the new secret too",
            directory.display()
        ));
    }
    let note = directory.join(NOTE);
    data::write(&note, WANTED)?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    let outcome = loop {
        let answer = data::read(&note)?.unwrap_or_default();
        match answer.as_str() {
            DONE => break Ok(()),
            WANTED | BEGUN if Instant::now() < deadline => thread::sleep(LOOK_AGAIN),
            WANTED | BEGUN => break Err("the server does not answer; its log may say why".to_string()),
            "" => {
                break Err("somebody else has the secret changed at the same moment; look again".to_string());
            }
            fault => break Err(fault.to_string()),
        }
    };
    let _ = std::fs::remove_file(&note);
    outcome
}

/// What somebody wanted of an earlier run is not done in this one.
pub fn forget(data: &DataDirectory) {
    data.remove(NOTE);
}

/// The server's part: a new secret, if somebody wants one.
pub fn wish(data: &DataDirectory) -> Option<Event> {
    let wanted = data.read(NOTE).ok().flatten().is_some_and(|text| text == WANTED);
    // Taken on only once that can be written, or it would be taken on again and again.
    (wanted && data.write(NOTE, BEGUN).is_ok()).then(|| Event::Rotate { secret: Secret(make_secret()) })
}

/// Says how it went, if it was wished for here.
pub fn answer(data: &DataDirectory, outcome: &Result<(), String>) {
    if data.read(NOTE).ok().flatten().is_some_and(|text| text == BEGUN) {
        // Whoever waits for it will not wait for ever.
        let _ = data.write(NOTE, outcome.as_ref().map_or_else(|fault| fault.as_str(), |()| DONE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::data::tests::Scratch;

    #[test]
    fn a_wish_is_taken_on_once_and_answered() {
        let scratch = Scratch::new("rotation");
        let data = DataDirectory::open(&scratch.0).unwrap();
        assert!(wish(&data).is_none());
        // Nobody asked here, so nobody is answered.
        answer(&data, &Ok(()));
        assert_eq!(data.read(NOTE).unwrap(), None);
        for (outcome, said) in [(Ok(()), DONE), (Err("the disk is full".to_string()), "the disk is full")] {
            data.write(NOTE, WANTED).unwrap();
            assert!(matches!(wish(&data), Some(Event::Rotate { .. })));
            assert!(wish(&data).is_none(), "taken on already");
            answer(&data, &outcome);
            assert_eq!(data.read(NOTE).unwrap().as_deref(), Some(said));
        }
        data.write(NOTE, WANTED).unwrap();
        forget(&data);
        assert!(wish(&data).is_none(), "of an earlier run");
    }

    #[test]
    fn where_no_server_runs_nothing_is_changed() {
        let scratch = Scratch::new("rotation-nobody");
        let fault = ask(&scratch.0).unwrap_err();
        assert!(fault.contains("no server runs"), "{fault}");
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    }
}
