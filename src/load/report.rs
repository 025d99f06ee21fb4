//! What was measured, as a table for people and as JSON for programs.

use serde::Serialize;

use super::ledger::Faults;

/// One run of one load on one server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    pub server: String,
    /// What one thing is: a line that someone heard, a registration, a turn.
    pub what: &'static str,
    /// How many were done.
    pub count: u64,
    pub seconds: f64,
    pub per_second: f64,
    /// Of the server's processes, for each; absent where they are not on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_each: Option<f64>,
    /// The same in units of one bare `send(2)`, measured beside this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sends_each: Option<f64>,
    pub bare_send_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes_each: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_us: Option<Delay>,
    pub faults: Faults,
}

/// How long lines took, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Delay {
    pub p50: u32,
    pub p90: u32,
    pub p99: u32,
    pub max: u32,
}

impl Delay {
    pub fn of(mut delays_us: Vec<u32>) -> Option<Delay> {
        delays_us.sort_unstable();
        let at = |share: f64| delays_us[((delays_us.len() - 1) as f64 * share).round() as usize];
        let max = *delays_us.last()?;
        Some(Delay { p50: at(0.5), p90: at(0.9), p99: at(0.99), max })
    }
}

pub fn json(load: &str, runs: &[Run]) -> String {
    let value = serde_json::json!({ "load": load, "runs": runs });
    serde_json::to_string_pretty(&value).expect("figures and words") + "\n"
}

/// A line for each server: the median of its runs, and how far they lie apart.
pub fn table(title: &str, runs: &[Run]) -> String {
    let mut servers: Vec<&str> = Vec::new();
    for run in runs {
        if !servers.contains(&run.server.as_str()) {
            servers.push(&run.server);
        }
    }
    let what = runs.first().map_or("", |run| run.what);
    let mut rows = vec![vec![
        "server".to_string(),
        format!("{what}/s"),
        "CPU each, µs".to_string(),
        "in bare sends".to_string(),
        "lowest–highest".to_string(),
        "ratio".to_string(),
        "memory, KiB".to_string(),
        "each, KiB".to_string(),
        "p50 / p99, ms".to_string(),
        "lost+doubled+misordered".to_string(),
    ]];
    let of = |server: &str, figure: fn(&Run) -> Option<f64>| {
        let mut figures: Vec<f64> =
            runs.iter().filter(|run| run.server == server).filter_map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    };
    let first = servers.first().and_then(|server| median(&of(server, |run| run.sends_each)));
    for server in servers {
        let own = || runs.iter().filter(|run| run.server == server);
        let sends = of(server, |run| run.sends_each);
        let ratio = first.and_then(|first| median(&sends).map(|sends| sends / first));
        let delays = own().any(|run| run.delay_us.is_some()).then(|| {
            let p50 = median(&of(server, |run| run.delay_us.map(|delay| f64::from(delay.p50) / 1e3)));
            let p99 = median(&of(server, |run| run.delay_us.map(|delay| f64::from(delay.p99) / 1e3)));
            format!("{} / {}", shown(p50, 2), shown(p99, 2))
        });
        let faults = own().fold(Faults::default(), |mut sum, run| {
            sum.add(run.faults);
            sum
        });
        rows.push(vec![
            server.to_string(),
            shown(median(&of(server, |run| Some(run.per_second))), 0),
            shown(median(&of(server, |run| run.cpu_us_each)), 2),
            shown(median(&sends), 2),
            match (sends.first(), sends.last()) {
                (Some(lowest), Some(highest)) => format!("{lowest:.2}–{highest:.2}"),
                _ => String::new(),
            },
            shown(ratio, 2),
            shown(median(&of(server, |run| run.resident_bytes.map(|bytes| bytes as f64 / 1024.0))), 0),
            shown(median(&of(server, |run| run.resident_bytes_each.map(|bytes| bytes / 1024.0))), 1),
            delays.unwrap_or_default(),
            format!("{}+{}+{}", faults.lost, faults.doubled, faults.misordered),
        ]);
    }
    let unit = median(&{
        let mut units: Vec<f64> = runs.iter().map(|run| run.bare_send_us).collect();
        units.sort_by(f64::total_cmp);
        units
    });
    format!("{title}\none bare send(2): {} µs\n\n{}", shown(unit, 2), aligned(&rows))
}

/// Of figures in order.
fn median(figures: &[f64]) -> Option<f64> {
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        count if count % 2 == 1 => Some(figures[middle]),
        _ => Some((figures[middle - 1] + figures[middle]) / 2.0),
    }
}

fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map(|figure| format!("{figure:.digits$}")).unwrap_or_default()
}

/// Columns of equal width; those that say nothing are left out. The first is a name, the others are figures.
fn aligned(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let is_used = |column: usize| rows[1..].iter().any(|row| !row[column].is_empty());
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().filter(|(column, _)| is_used(*column)) {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            if column == 0 {
                line += &format!("{cell:<width$}");
            } else {
                line += &format!("  {cell:>width$}");
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_spread_and_leaves_out_what_was_not_measured() {
        let run = |server: &str, sends: f64| Run {
            server: server.to_string(),
            what: "lines heard",
            per_second: 1000.0 * sends,
            sends_each: Some(sends),
            bare_send_us: 4.0,
            ..Run::default()
        };
        let runs =
            [run("ours", 1.0), run("other", 3.0), run("ours", 2.0), run("other", 3.0), run("ours", 1.5)];
        let expected = "fan-out\none bare send(2): 4.00 µs\n\n\
                        server  lines heard/s  in bare sends  lowest–highest  ratio  lost+doubled+misordered\n\
                        ours             1500           1.50       1.00–2.00   1.00                    0+0+0\n\
                        other            3000           3.00       3.00–3.00   2.00                    0+0+0\n";
        assert_eq!(table("fan-out", &runs), expected);
    }

    #[test]
    fn delays_are_given_by_their_ranks() {
        let delay = Delay::of((1..=100).rev().collect()).unwrap();
        assert_eq!((delay.p50, delay.p90, delay.p99, delay.max), (51, 90, 99, 100));
        assert!(Delay::of(Vec::new()).is_none());
    }
}
