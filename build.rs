//! Says which revision this build is. A build from an archive is a good build: it says "unknown".

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FOLKMOOT_REVISION");
    println!("cargo::rustc-env=FOLKMOOT_REVISION={}", revision());
}

fn revision() -> String {
    if let Ok(packaged) = std::env::var("FOLKMOOT_REVISION") {
        return packaged;
    }
    println!("cargo::rerun-if-changed=.git/HEAD");
    Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_string(), |text| text.trim().to_string())
}
