//! The values that modes of channels are set to.

use crate::wire::names::ChannelName;

/// The most seconds that slow mode can ask for: six hours.
const APART_S_MAX: u64 = 21_600;

/// The most lines, joins and seconds that flood protection can count.
const FLOOD_COUNT_MAX: usize = 100;
const FLOOD_S_MAX: u64 = 3_600;

/// What is too much, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flood {
    pub lines: usize,
    pub seconds: u64,
    /// Whether whoever says more is banned too, and not only kicked.
    pub bans: bool,
    /// How many may come within how many seconds.
    pub joins: Option<(usize, u64)>,
}

impl Flood {
    /// Reads `lines:seconds`; with a star in front, that bans; with `,joins:seconds` behind it or without.
    pub fn parse(text: &str) -> Option<Flood> {
        let (bans, numbers) = text.strip_prefix('*').map_or((false, text), |numbers| (true, numbers));
        let (said, joins) =
            numbers.split_once(',').map_or((numbers, None), |(said, joins)| (said, Some(joins)));
        let (lines, seconds) = count_within(said)?;
        let joins = match joins {
            Some(joins) => Some(count_within(joins)?),
            None => None,
        };
        Some(Flood { lines, seconds, bans, joins })
    }
}

/// `5:10` is five within ten seconds.
fn count_within(text: &str) -> Option<(usize, u64)> {
    let (count, seconds) = text.split_once(':')?;
    let (count, seconds) = (count.parse().ok()?, seconds.parse().ok()?);
    let is_fit = (1..=FLOOD_COUNT_MAX).contains(&count) && (1..=FLOOD_S_MAX).contains(&seconds);
    is_fit.then_some((count, seconds))
}

/// Of modes that have none, or whose value is read where more has to be known.
pub fn none(_: &str) -> Result<String, &'static str> {
    Ok(String::new())
}

pub fn members(text: &str) -> Result<String, &'static str> {
    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    number.map(|number| number.to_string()).ok_or("Must be a number above 0")
}

pub fn seconds_apart(text: &str) -> Result<String, &'static str> {
    let number = text.parse::<u64>().ok().filter(|number| (1..=APART_S_MAX).contains(number));
    number.map(|number| number.to_string()).ok_or("Must be a number of seconds from 1 to 21600")
}

pub fn flood(text: &str) -> Result<String, &'static str> {
    let flood = Flood::parse(text).ok_or(
        "Must be <lines>:<seconds>, up to 100:3600, or *<lines>:<seconds> to ban as well as to kick; with ,<joins>:<seconds> behind it or without",
    )?;
    let star = if flood.bans { "*" } else { "" };
    let joins = flood.joins.map_or(String::new(), |(joins, seconds)| format!(",{joins}:{seconds}"));
    Ok(format!("{star}{}:{}{joins}", flood.lines, flood.seconds))
}

pub fn channel(text: &str) -> Result<String, &'static str> {
    let name = ChannelName::from_peer(text);
    name.map(|name| name.to_string()).ok_or("Must be the name of a channel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_down_in_one_way() {
        for (read, text, value) in [
            (members as fn(&str) -> _, "007", Some("7")),
            (members, "0", None),
            (members, "-1", None),
            (seconds_apart, "30", Some("30")),
            (seconds_apart, "0", None),
            (seconds_apart, "21601", None),
            (flood, "5:10", Some("5:10")),
            (flood, "*05:010", Some("*5:10")),
            (flood, "5", None),
            (flood, "0:10", None),
            (flood, "5:0", None),
            (flood, "101:10", None),
            (flood, "**5:10", None),
            (flood, "*5:10,020:60", Some("*5:10,20:60")),
            (flood, "5:10,", None),
            (flood, "5:10,20", None),
            (flood, ",20:60", None),
        ] {
            assert_eq!(read(text).ok().as_deref(), value, "{text}");
        }
    }
}
