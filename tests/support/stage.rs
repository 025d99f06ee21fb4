//! What a transcript is played on: servers, the links between them, and people with raw connections.

use std::time::Duration;

/// A network under test. Servers and people are named by a word: server `hall` is called `hall.lan` on the network.
///
/// No act returns before it has taken place, but others may not have noticed yet: that is what `hear` waits for.
/// Nobody answers a server's PING on a person's behalf; a transcript says it.
pub trait Stage {
    /// Sets what stands in a server's settings file, whether it runs or not. It is read at the next start, or when an
    /// operator says REHASH. Whatever is not said here is as suits the stage: no limits on speed, no discovery. Comes
    /// before the first start of each server, and always has `server.sid`. Settings with faults are met by a start that fails, or a REHASH.
    fn configure(&mut self, server: &str, settings: &toml::Table) -> Outcome;

    /// Starts a server, for the first time or again with what it had put on disk, and waits until it takes in people.
    fn start(&mut self, server: &str) -> Outcome;

    /// Ends a server as its admin would, and waits until it is gone. Its links stay cut until `link` is said again.
    fn stop(&mut self, server: &str) -> Outcome;

    /// Ends a server without a word to anyone, as `kill -9` or a power cut.
    fn kill(&mut self, server: &str) -> Outcome;

    /// Lets two running servers reach each other, and waits until they are linked. `a` is the one who calls.
    fn link(&mut self, a: &str, b: &str) -> Outcome;

    /// Breaks the link between two servers, and keeps them from making it anew.
    fn cut(&mut self, a: &str, b: &str) -> Outcome;

    /// A cut, and the wait until both servers show each other's users as gone.
    fn split(&mut self, a: &str, b: &str) -> Outcome;

    /// Opens a connection for a person who has none; nothing is said on it.
    fn connect(&mut self, person: &str, server: &str, door: Door) -> Outcome;

    /// Sends one line, which may be anything, and its line end.
    fn say(&mut self, person: &str, line: &[u8]) -> Outcome;

    /// Closes a person's connection without a QUIT.
    fn hang_up(&mut self, person: &str) -> Outcome;

    /// Lets time pass; what happens meanwhile is heard by the next `hear`.
    fn wait(&mut self, time: Duration) -> Outcome;

    /// All that anyone got since it was last asked, once everything done so far has had all its consequences on all
    /// servers that can reach each other (those that a server leaves to its next tick included). In order for each
    /// person; what the stage said itself to find this out is not in it.
    fn hear(&mut self) -> Result<Vec<(String, Heard)>, String>;

    /// For how long more is to be heard where something is missing: none where nothing comes by itself.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// Why an act could not take place, in a sentence that names the server or person.
pub type Outcome = Result<(), String>;

/// Which listener a person comes in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Plain,
    Tls,
    /// Over TLS, with a certificate of one's own.
    Certificate,
}

/// What a person's client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A line without its line end.
    Line(String),
    /// The end of the connection, by whichever side; after `hang_up` it is not told.
    Closed,
}
