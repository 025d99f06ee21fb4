//! How many clients this machine can hold, whatever the settings say, and what decides that.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files for listeners, links and those who want to become one, the store and the like.
const FILES_RESERVED: usize = 256;
/// Memory maps of everything but client threads, and how many of them each thread takes: past the limit the process
/// would not be refused a thread but aborted.
const MAPS_RESERVED: usize = 4096;
const MAPS_PER_THREAD: usize = 4;
/// Threads for everything but clients.
const THREADS_RESERVED: usize = 256;

/// How many clients there can be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub clients_max: usize,
    /// The system's limit that decides.
    pub because: &'static str,
}

/// What the system says about itself; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    files_max: Option<usize>,
    maps_max: Option<usize>,
    pid_max: Option<usize>,
    pids_max: Option<usize>,
}

/// Raises what may be raised, and looks at the rest.
pub fn find() -> Capacity {
    let machine = Machine {
        files_max: raise_files_limit(),
        maps_max: number("/proc/sys/vm/max_map_count"),
        pid_max: number("/proc/sys/kernel/pid_max"),
        pids_max: pids_max(),
    };
    machine.capacity()
}

impl Machine {
    fn capacity(self) -> Capacity {
        let bound = |limit: Option<usize>, rest: fn(usize) -> usize| limit.map_or(usize::MAX, rest);
        [
            (bound(self.files_max, |files| files.saturating_sub(FILES_RESERVED)), "RLIMIT_NOFILE"),
            (
                bound(self.maps_max, |maps| maps.saturating_sub(MAPS_RESERVED) / MAPS_PER_THREAD),
                "vm.max_map_count",
            ),
            // Half, because other programs need some too.
            (bound(self.pid_max, |pids| pids / 2), "kernel.pid_max"),
            (
                bound(self.pids_max, |pids| pids.saturating_sub(THREADS_RESERVED)),
                "pids.max of the control group",
            ),
        ]
        .into_iter()
        .map(|(clients_max, because)| Capacity { clients_max, because })
        .min_by_key(|capacity| capacity.clients_max)
        .expect("a list of four has a least")
    }
}

/// The soft limit exists for programs that use select, which we do not.
fn raise_files_limit() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files_max = if raised.is_ok() { limit.maximum } else { limit.current };
    files_max.and_then(|files| usize::try_from(files).ok())
}

/// The least of what the control groups that we are in allow.
fn pids_max() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            match controllers {
                "" => Some(("/sys/fs/cgroup", path)),
                "pids" => Some(("/sys/fs/cgroup/pids", path)),
                _ => None,
            }
        })
        .flat_map(|(root, path)| {
            let ancestors = std::path::Path::new(path).ancestors();
            ancestors.map(move |group| {
                format!("{root}{}/pids.max", group.display().to_string().trim_end_matches('/'))
            })
        })
        .filter_map(|file| number(&file))
        .min()
}

fn number(file: &str) -> Option<usize> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_thing_decides() {
        let roomy = Machine {
            files_max: Some(1 << 20),
            maps_max: Some(1 << 20),
            pid_max: Some(1 << 22),
            pids_max: None,
        };
        for (machine, clients_max, because) in [
            (roomy, 261_120, "vm.max_map_count"),
            (Machine { files_max: Some(1024), ..roomy }, 768, "RLIMIT_NOFILE"),
            (Machine { files_max: Some(100), ..roomy }, 0, "RLIMIT_NOFILE"),
            (Machine { maps_max: Some(20_096), ..roomy }, 4000, "vm.max_map_count"),
            (Machine { pid_max: Some(8192), ..roomy }, 4096, "kernel.pid_max"),
            (Machine { pids_max: Some(1256), ..roomy }, 1000, "pids.max of the control group"),
        ] {
            assert_eq!(machine.capacity(), Capacity { clients_max, because });
        }
    }
}
