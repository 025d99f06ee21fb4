//! What the system tells about a process.

use std::fs;
use std::time::Duration;

use rustix::process::Pid;

fn entries(pid: Pid, of: &str) -> usize {
    let path = format!("/proc/{}/{of}", pid.as_raw_nonzero());
    fs::read_dir(&path).unwrap_or_else(|why| panic!("{path}: {why}")).count()
}

pub fn threads(pid: Pid) -> usize {
    entries(pid, "task")
}

pub fn descriptors(pid: Pid) -> usize {
    entries(pid, "fd")
}

/// How much processor time its threads of this moment have had.
pub fn busy(pid: Pid) -> Duration {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let nanoseconds = fs::read_dir(tasks).unwrap().filter_map(|task| {
        // A thread may end while we look.
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// For how long this machine has had no processor though it had work for one, since it started, all its processors
/// together: its host gave them to others.
pub fn stolen() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let all =
        text.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8)).expect("Linux tells it");
    // Counted by hundredths of a second.
    Duration::from_millis(all.parse::<u64>().unwrap() * 10)
}

/// How much memory it holds.
pub fn memory_bytes(pid: Pid) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes << 10
}
