//! How often something may be done, and the settings of `[limits]` that say so.

use std::time::Duration;

use super::fit::{self, Fit};
use super::section::Section;
use crate::wire::cidr::Cidr;

/// So many times at once after a silence, and from then on as many again in this time, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub within: Duration,
}

/// No one could tell more from no limit, and sums of times cannot run over.
const COUNT_MAX: u32 = 1_000_000;
const WITHIN_MAX: Duration = Duration::from_secs(86_400);

impl Rate {
    pub const fn new(count: u32, within_s: u64) -> Rate {
        Rate { count, within: Duration::from_secs(within_s) }
    }

    /// How long it takes to earn one.
    pub fn each(self) -> Duration {
        self.within / self.count
    }

    /// Reads `10 per 1m`.
    fn parse(text: &str) -> Option<Rate> {
        let (count, within) = text.split_once(" per ")?;
        let rate = Rate { count: count.trim().parse().ok()?, within: fit::duration(within.trim())? };
        let is_fit = (1..=COUNT_MAX).contains(&rate.count)
            && (Duration::from_millis(1)..=WITHIN_MAX).contains(&rate.within);
        is_fit.then_some(rate)
    }
}

/// How often people may do what others feel; `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    pub lines: Option<Rate>,
    pub joins: Option<Rate>,
    pub nick_changes: Option<Rate>,
    pub invitations: Option<Rate>,
    pub away_changes: Option<Rate>,
    pub new_targets: Option<Rate>,
    pub searches: Option<Rate>,
    pub metadata_changes: Option<Rate>,
    pub reports: Option<Rate>,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            lines: Some(Rate::new(30, 10)),
            joins: Some(Rate::new(100, 120)),
            nick_changes: Some(Rate::new(5, 60)),
            invitations: Some(Rate::new(10, 60)),
            away_changes: Some(Rate::new(10, 60)),
            new_targets: Some(Rate::new(20, 300)),
            searches: Some(Rate::new(20, 60)),
            metadata_changes: Some(Rate::new(20, 60)),
            reports: Some(Rate::new(5, 600)),
        }
    }
}

/// Who may come in, and how many at a time; zero, or `None`, is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrivals {
    pub per_address: Option<Rate>,
    pub per_network: Option<Rate>,
    pub connections_per_network: usize,
    pub newcomers_max: usize,
    pub newcomers_per_network: usize,
    /// How many bits of an address say that two are the same party, and the same network.
    pub address_bits_ipv6: u8,
    pub network_bits_ipv4: u8,
    pub network_bits_ipv6: u8,
    /// Those whom no limit on addresses and networks is for.
    pub trusted: Vec<Cidr>,
}

impl Default for Arrivals {
    fn default() -> Arrivals {
        Arrivals {
            per_address: Some(Rate::new(256, 60)),
            per_network: Some(Rate::new(1024, 60)),
            connections_per_network: 1024,
            newcomers_max: 2_000,
            newcomers_per_network: 512,
            address_bits_ipv6: 64,
            network_bits_ipv4: 24,
            network_bits_ipv6: 48,
            trusted: Vec::new(),
        }
    }
}

impl Section<'_, '_, '_> {
    pub(super) fn rates(&mut self, rates: &mut Rates) {
        self.rate("line_rate", &mut rates.lines);
        self.rate("join_rate", &mut rates.joins);
        self.rate("nick_rate", &mut rates.nick_changes);
        self.rate("invite_rate", &mut rates.invitations);
        self.rate("away_rate", &mut rates.away_changes);
        self.rate("target_rate", &mut rates.new_targets);
        self.rate("search_rate", &mut rates.searches);
        self.rate("metadata_rate", &mut rates.metadata_changes);
        self.rate("report_rate", &mut rates.reports);
    }

    pub(super) fn arrivals(&mut self, arrivals: &mut Arrivals) {
        self.rate("address_rate", &mut arrivals.per_address);
        self.rate("network_rate", &mut arrivals.per_network);
        self.number("connections_per_network", &mut arrivals.connections_per_network, 0, 1_000_000);
        self.number("newcomers_max", &mut arrivals.newcomers_max, 0, 1_000_000);
        self.number("newcomers_per_network", &mut arrivals.newcomers_per_network, 0, 1_000_000);
        self.number("address_bits_ipv6", &mut arrivals.address_bits_ipv6, 32, 128);
        self.number("network_bits_ipv4", &mut arrivals.network_bits_ipv4, 8, 32);
        self.number("network_bits_ipv6", &mut arrivals.network_bits_ipv6, 16, 128);
        let mut trusted = Vec::new();
        self.list("trusted", &mut trusted, network);
        arrivals.trusted = trusted.iter().filter_map(|text| Cidr::parse(text)).collect();
    }

    pub(super) fn rate(&mut self, key: &'static str, into: &mut Option<Rate>) {
        let mut text = String::new();
        self.text(key, &mut text, |text| match text {
            "none" => Ok(()),
            text if Rate::parse(text).is_some() => Ok(()),
            text => Err(format!("expected a rate such as \"10 per 1m\", or \"none\", found \"{text}\"")),
        });
        if !text.is_empty() {
            *into = Rate::parse(&text);
        }
    }
}

fn network(text: &str) -> Fit<()> {
    match Cidr::parse(text) {
        Some(_) => Ok(()),
        None => Err(format!("expected an address or a network such as \"10.0.0.0/8\", found \"{text}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read;

    #[test]
    fn a_rate_is_a_count_and_a_time() {
        for (text, rate) in [
            ("10 per 1m", Some(Rate::new(10, 60))),
            ("1 per 500ms", Some(Rate { count: 1, within: Duration::from_millis(500) })),
            ("0 per 1m", None),
            ("10 per 0s", None),
            ("10/1m", None),
            ("10 per 60", None),
            ("1000001 per 1m", None),
            ("10 per 2d", None),
        ] {
            assert_eq!(Rate::parse(text), rate, "{text}");
        }
        assert_eq!(Rate::new(30, 10).each(), Duration::from_nanos(333_333_333));
    }

    #[test]
    fn a_limit_can_be_set_and_taken_away() {
        let reading =
            read("[limits]\nnick_rate = \"2 per 1h\"\njoin_rate = \"none\"\ntrusted = [\"10.0.0.0/8\"]");
        assert_eq!(reading.faults, []);
        let limits = reading.config.limits;
        assert_eq!(limits.rates.nick_changes, Some(Rate::new(2, 3600)));
        assert_eq!(limits.rates.joins, None);
        assert_eq!(limits.rates.lines, Rates::default().lines);
        assert_eq!(limits.arrivals.trusted, [Cidr::parse("10.0.0.0/8").unwrap()]);
        let reading = read("[limits]\nnick_rate = \"often\"\ntrusted = [\"home\"]");
        let faults: Vec<String> = reading.faults.iter().map(ToString::to_string).collect();
        assert!(faults[0].contains("\"10 per 1m\"") && faults[1].contains("\"10.0.0.0/8\""), "{faults:?}");
    }
}
