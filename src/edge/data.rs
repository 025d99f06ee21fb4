//! The data directory: one server's at a time, readable by its owner only, and never half written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::wire::time::Timestamp;

const LOCK: &str = "lock";
const EPOCH: &str = "epoch";
const CLOCK: &str = "clock";

/// The first second of 2026, before which no server of this kind has run.
const FIRST_EPOCH_S: u64 = 1_767_225_600;

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory where there is none, and takes it for this process.
    pub fn open(path: &Path) -> Result<DataDirectory, String> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|why| format!("cannot make the data directory {}: {why}", path.display()))?;
        match lock(path) {
            Ok(Some(lock)) => Ok(DataDirectory { path: path.to_path_buf(), _lock: lock }),
            Ok(None) => Err(format!(
                "another server runs on the data directory {}{}; stop it, or give this one its own with --data",
                path.display(),
                running_pid(path).map(|pid| format!(" (process {pid})")).unwrap_or_default()
            )),
            Err(why) => Err(format!("cannot use the data directory {}: {why}", path.display())),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file's text, `None` where there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<String>, String> {
        read(&self.path.join(name))
    }

    /// Writes a file that only the owner may read: wholly or not at all, and on disk when this returns.
    pub fn write(&self, name: &str, text: &str) -> Result<(), String> {
        write(&self.path.join(name), text)
    }

    /// Removes a file; one that is not there is removed already.
    pub fn remove(&self, name: &str) {
        match fs::remove_file(self.path.join(name)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                log::warn!(target: "folkmoot::server", "{name} could not be removed: {why}");
            }
            _ => {}
        }
    }

    /// The epoch of the start that comes now: above all before it, and kept before it is used.
    ///
    /// A new directory begins with the time: should the one before it have been lost, its epochs were lower, and
    /// nobody can take this run for one of those, which others may remember.
    pub fn next_epoch(&self, now: Timestamp) -> Result<u32, String> {
        let before = self.last_epoch(now)?;
        let epoch =
            before.checked_add(1).ok_or("this server has started too often: its epochs are used up")?;
        self.keep_epoch(epoch)?;
        Ok(epoch)
    }

    /// No start before this moment had a higher epoch.
    pub fn last_epoch(&self, now: Timestamp) -> Result<u32, String> {
        let seconds = now.seconds().saturating_sub(FIRST_EPOCH_S);
        Ok(self.number(EPOCH)?.unwrap_or(u32::try_from(seconds).unwrap_or(0)))
    }

    pub fn keep_epoch(&self, epoch: u32) -> Result<(), String> {
        self.write(EPOCH, &format!("{epoch}\n"))
    }

    /// No stamp of an earlier start is above this.
    pub fn clock_floor_ms(&self) -> Result<u64, String> {
        Ok(self.number(CLOCK)?.unwrap_or(0))
    }

    pub fn keep_clock(&self, ms: u64) -> Result<(), String> {
        self.write(CLOCK, &format!("{ms}\n"))
    }

    /// Whether a server was ever started here.
    pub fn was_used(&self) -> bool {
        self.path.join(EPOCH).exists()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let number = text.trim().parse().map_err(|_| {
            let path = self.path.join(name);
            format!("{} should hold a number and does not; restore it from a copy", path.display())
        })?;
        Ok(Some(number))
    }
}

/// Whether a server runs on that data directory at this moment.
pub fn is_in_use(path: &Path) -> bool {
    path.join(LOCK).exists() && matches!(lock(path), Ok(None))
}

/// Takes the lock that a server holds for as long as it runs; the system lets go of it even after a crash.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join(LOCK))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

fn running_pid(directory: &Path) -> Option<u32> {
    super::running::RunningServer::find(directory).map(|server| server.pid)
}

pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    let mut text = String::new();
    match File::open(path).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(format!("cannot read {}: {why}", path.display())),
    }
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let attempt = || -> io::Result<()> {
        // A leftover of a crash may have been made by somebody with other rights.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The rename itself is only safe once the directory is on disk.
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    attempt().map_err(|why| format!("cannot write {}: {why}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory of a test's own, gone when the test ends.
    pub(crate) struct Scratch(pub(crate) PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("folkmoot-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_the_owner_may_read_what_is_kept() {
        let scratch = Scratch::new("data-modes");
        let path = scratch.0.join("data");
        let data = DataDirectory::open(&path).unwrap();
        data.write("a", "text").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("a")), 0o600);
        assert_eq!(data.read("a").unwrap().as_deref(), Some("text"));
        assert_eq!(data.read("b").unwrap(), None);
        assert!(!path.join("a.new").exists());
    }

    #[test]
    fn two_servers_never_share_a_data_directory() {
        let scratch = Scratch::new("data-lock");
        let first = DataDirectory::open(&scratch.0).unwrap();
        assert!(is_in_use(&scratch.0));
        let fault = DataDirectory::open(&scratch.0).unwrap_err();
        assert!(fault.contains("another server runs on"), "{fault}");
        drop(first);
        assert!(!is_in_use(&scratch.0));
        DataDirectory::open(&scratch.0).unwrap();
    }

    #[test]
    fn each_start_has_a_higher_epoch_than_all_before() {
        let scratch = Scratch::new("data-epoch");
        let long_ago = Timestamp(0);
        for epoch in 1..=3 {
            let data = DataDirectory::open(&scratch.0).unwrap();
            assert_eq!(data.was_used(), epoch > 1);
            assert_eq!(data.next_epoch(long_ago).unwrap(), epoch);
        }
        let data = DataDirectory::open(&scratch.0).unwrap();
        data.keep_epoch(40).unwrap();
        assert_eq!(data.next_epoch(long_ago).unwrap(), 41);
        data.write(EPOCH, "?").unwrap();
        assert!(data.next_epoch(long_ago).unwrap_err().contains("restore it"));
    }

    #[test]
    fn a_directory_made_anew_begins_above_all_runs_of_the_one_before() {
        let scratch = Scratch::new("data-epoch-anew");
        let at = |s: u64| Timestamp((FIRST_EPOCH_S + s) * 1_000);
        let before = DataDirectory::open(&scratch.0).unwrap();
        assert_eq!(before.next_epoch(at(1_000)).unwrap(), 1_001);
        assert_eq!(before.next_epoch(at(1_500)).unwrap(), 1_002);
        before.remove(EPOCH);
        assert_eq!(before.next_epoch(at(2_000)).unwrap(), 2_001);
    }

    #[test]
    fn the_clock_floor_is_kept() {
        let scratch = Scratch::new("data-clock");
        let data = DataDirectory::open(&scratch.0).unwrap();
        assert_eq!(data.clock_floor_ms().unwrap(), 0);
        data.keep_clock(1_795_244_165_123).unwrap();
        assert_eq!(data.clock_floor_ms().unwrap(), 1_795_244_165_123);
    }
}
