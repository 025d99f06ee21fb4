//! Says which revision this build is, writes a test for each transcript, and says which tests cannot run here. A build
//! from an archive is a good build: its revision is "unknown".

use std::path::{Path, PathBuf};
use std::process::Command;

/// How a transcript says why it cannot be played on real processes.
const ONLY_SIMULATED: &str = "only simulated: ";

fn main() {
    println!("cargo::rerun-if-env-changed=FOLKMOOT_REVISION");
    println!("cargo::rustc-env=FOLKMOOT_REVISION={}", revision());

    println!("cargo::rustc-check-cfg=cfg(has_namespaces)");
    if may_make_namespaces() {
        println!("cargo::rustc-cfg=has_namespaces");
    }
    println!("cargo::rustc-check-cfg=cfg(has_cables)");
    if may_make_namespaces() && is_installed("nft") {
        println!("cargo::rustc-cfg=has_cables");
    }

    println!("cargo::rustc-check-cfg=cfg(has_faketime)");
    if may_fake_time() {
        println!("cargo::rustc-cfg=has_faketime");
    }

    let has_irssi = is_installed("irssi") && is_installed("script") && is_installed("stty");
    let programs = [
        ("irssi", has_irssi),
        ("weechat", is_installed("weechat-headless") && weechat_has("fifo")),
        ("ii", is_installed("ii")),
        ("netcat", is_installed("nc")),
        ("openssl", is_installed("openssl")),
        ("python_irc", python_imports("irc.client")),
        ("python_ircstates", python_imports("irctokens, ircstates")),
    ];
    for (program, is_there) in programs {
        println!("cargo::rustc-check-cfg=cfg(has_{program})");
        if is_there {
            println!("cargo::rustc-cfg=has_{program}");
        }
    }

    println!("cargo::rerun-if-changed=tests/transcripts");
    let root = Path::new("tests/transcripts");
    let (mut simulated, mut processes) = (String::new(), String::new());
    // A package may come without its tests.
    if root.is_dir() {
        write_tests(root, root, 0, &mut simulated, &mut processes);
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names the directory"));
    std::fs::write(out.join("transcripts.rs"), simulated).expect("cargo's directory can be written to");
    std::fs::write(out.join("processes.rs"), processes).expect("cargo's directory can be written to");
}

/// Whether WeeChat finds a plugin, which Debian has in a package of its own.
fn weechat_has(plugin: &str) -> bool {
    let system = Path::new("/usr/lib");
    let of_machines = std::fs::read_dir(system).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = of_machines.chain([system.to_path_buf(), PathBuf::from("/usr/local/lib")]);
    folders.into_iter().any(|folder| folder.join("weechat/plugins").join(format!("{plugin}.so")).exists())
}

/// A module for each folder, and in it a test for each file that calls `play` of the crate it is included into.
fn write_tests(root: &Path, folder: &Path, depth: usize, simulated: &mut String, processes: &mut String) {
    let entries = std::fs::read_dir(folder).expect("the transcripts can be listed");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("and read").path()).collect();
    paths.sort();
    let indent = "    ".repeat(depth);
    for path in paths {
        let name = path.file_stem().expect("it has a name").to_string_lossy().replace(['-', '.'], "_");
        if path.is_dir() {
            let open = format!("{indent}mod {name} {{\n");
            simulated.push_str(&open);
            processes.push_str(&open);
            write_tests(root, &path, depth + 1, simulated, processes);
            let close = format!("{indent}}}\n");
            simulated.push_str(&close);
            processes.push_str(&close);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            let shown = path.strip_prefix(root).expect("it was found there").display().to_string();
            let text = std::fs::read_to_string(&path).expect("a transcript is text");
            let test = |ignore: &str| {
                format!(
                    "{indent}#[test]\n{ignore}{indent}fn {name}() {{\n{indent}    crate::play({shown:?});\n{indent}}}\n"
                )
            };
            let reason = text.lines().find_map(|line| line.strip_prefix(ONLY_SIMULATED));
            simulated.push_str(&test(""));
            processes.push_str(&test(
                &reason.map_or(String::new(), |why| format!("{indent}#[ignore = {why:?}]\n")),
            ));
        }
    }
}

/// Whether tests can lay out networks of their own here: that takes two capabilities and the program `ip`.
fn may_make_namespaces() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    capabilities & NET_ADMIN != 0 && capabilities & SYS_ADMIN != 0 && is_installed("ip")
}

fn is_installed(program: &str) -> bool {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    places.into_iter().any(|place| Path::new(place).join(program).exists())
}

fn python_imports(modules: &str) -> bool {
    let import = format!("import {modules}");
    Command::new("python3").args(["-c", &import]).output().is_ok_and(|output| output.status.success())
}

/// Whether a process can be given another clock: that takes a library to be loaded before it, where it loads any.
fn may_fake_time() -> bool {
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let library = format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketime.so.1");
    println!("cargo::rustc-env=FAKETIME_LIBRARY={library}");
    !is_static && Path::new(&library).exists()
}

fn revision() -> String {
    if let Ok(packaged) = std::env::var("FOLKMOOT_REVISION") {
        return packaged;
    }
    // Every commit, and every change of branch, adds a line to this.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_string())
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
}
