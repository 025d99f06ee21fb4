//! Points in time: the wall clock that people read, as milliseconds and as server-time writes them.

use std::fmt;

/// Milliseconds since 1970-01-01 00:00:00 UTC, by somebody's wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Reads what server-time writes, with any number of digits behind the second or none.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        // Clocks that count leap seconds have a 61st.
        let is_time = hour < 24 && minute < 60 && second <= 60;
        let days = days_of_date(year, month, day)?;
        let is_number = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
        let ms = format!("{fraction:0<3.3}").parse::<u64>().ok().filter(|_| is_number && is_time)?;
        Some(Timestamp(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms))
    }

    /// Whole seconds, as the numerics of IRC count them.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// The form that the server-time specification prescribes: `2026-11-21T06:56:05.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.0 / 86_400_000);
        let second = self.0 / 1000 % 86_400;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.0 % 1000
        )
    }
}

/// Days since 1970-01-01 as a date of the Gregorian calendar.
///
/// Counts in eras of 400 years that begin on 1 March, so that a leap day comes last in its year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The days from 1970-01-01 to a date; none to one that is before that, or in no calendar.
fn days_of_date(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // The year that begins on 1 March, as above.
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
    let days = (year_from_march * 365 + leap_days + day_of_year).checked_sub(719_468)?;
    // A day that the month does not have would be one of the next.
    (civil_date(days) == (year, month, day)).then_some(days)
}

/// Three numbers of so many digits each.
fn numbers(text: &str, sign: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(sign);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// What the clocks say as one step begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For everything that people read and servers compare; may jump.
    pub wall: Timestamp,
    /// Milliseconds since this server started, for timers; only ever rises.
    pub steady_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_as_server_time_prescribes() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_795_244_165_123, "2026-11-21T06:56:05.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)));
        }
    }

    #[test]
    fn only_what_is_a_time_is_read_as_one() {
        for (text, ms) in [
            ("1970-01-02T00:00:00Z", Some(86_400_000)),
            ("1970-01-01T00:00:00.5Z", Some(500)),
            ("1970-01-01T00:00:01.123456Z", Some(1_123)),
            ("2016-12-31T23:59:60.000Z", Some(1_483_228_800_000)),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00.-1Z", None),
            ("1970-01-01T00:00:00.000", None),
            ("1969-12-31T00:00:00.000Z", None),
            ("2026-02-29T00:00:00.000Z", None),
            ("2026-13-01T00:00:00.000Z", None),
            ("2026-00-01T00:00:00.000Z", None),
            ("2026-01-00T00:00:00.000Z", None),
            ("2026-01-01T24:00:00.000Z", None),
            ("2026-1-1T00:00:00.000Z", None),
            ("2026-01-01-01T00:00:00.000Z", None),
            ("+026-01-01T00:00:00.000Z", None),
            ("2026-01-01T00:00:00.é00Z", None),
            ("2026-01-01 00:00:00.000Z", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::parse(text), ms.map(Timestamp), "{text}");
        }
    }
}
