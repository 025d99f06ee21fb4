//! How long a test runs that can be short or long.

use std::time::Duration;

/// As a variable of the environment says, such as 90s or 30m; else the time that is given.
pub fn from_environment(name: &str, default: Duration) -> Duration {
    let Ok(text) = std::env::var(name) else { return default };
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = number.parse::<u64>().ok().zip(["s", "m", "h"].iter().position(|known| *known == unit));
    let (number, power) = seconds.unwrap_or_else(|| panic!("{name}={text}: try 90s or 30m"));
    Duration::from_secs(number * 60_u64.pow(power as u32))
}
