//! Points in time: UTC milliseconds since 1970.

use std::fmt;

use serde::{Deserialize, Serialize};

/// UTC milliseconds since 1970-01-01T00:00:00Z. Leap seconds are not counted, as in POSIX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

impl UnixMillis {
    /// The milliseconds as an unsigned number; a time before 1970 counts as 1970.
    pub fn non_negative(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }

    /// The start of the UTC hour that holds this time.
    pub fn hour(self) -> Self {
        Self(self.0.div_euclid(HOUR_MS) * HOUR_MS)
    }

    /// The start of the UTC day that holds this time.
    pub fn day(self) -> Self {
        Self(self.0.div_euclid(DAY_MS) * DAY_MS)
    }

    /// The start of the UTC month that holds this time.
    pub fn month(self) -> Self {
        let days = self.0.div_euclid(DAY_MS);
        let (_, _, day) = civil_from_days(days);
        Self((days - (day - 1)) * DAY_MS)
    }

    /// The start of the UTC week that holds this time. Weeks begin on Mondays.
    pub fn week(self) -> Self {
        // 1970-01-01 was a Thursday.
        let days = self.0.div_euclid(DAY_MS);
        Self((days - (days + 3).rem_euclid(7)) * DAY_MS)
    }

    /// The start of the UTC month after the one that holds this time.
    pub fn next_month(self) -> Self {
        Self(self.month().0 + 31 * DAY_MS).month()
    }

    /// This time moved by so many milliseconds, stopping at the ends of the range.
    pub fn plus_millis(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T23:37:08.123Z`.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (h, m, s) = (ms / HOUR_MS, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
    }
}

/// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar
/// (the algorithm of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (the inverse of the above).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// A text that should have been a time and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a UTC time (expected such as 2026-11-22, 2026-11-22T23:37:08Z)")]
pub struct BadTime(String);

/// Reads `2026-11-22` or `2026-11-22T23:37:08Z` (fractions of a second to the millisecond), in UTC.
impl std::str::FromStr for UnixMillis {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        parse_rfc3339(text).ok_or_else(|| BadTime(text.chars().take(64).collect()))
    }
}

fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock.strip_suffix('Z')?)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let ms = match clock {
        None => 0,
        Some(clock) => clock_millis(clock)?,
    };
    Some(UnixMillis(days * DAY_MS + ms))
}

fn clock_millis(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.splitn(3, ':').map(digits);
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next()??);
    if h > 23 || m > 59 || s > 59 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    digits(fraction)?;
    let ms = digits(&format!("{fraction:0<3}")[..3])?;
    Some(((h * 60 + m) * 60 + s) * 1000 + ms)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first_day() {
        for (at, month) in [
            ("2026-11-22T23:37:08Z", "2026-11-01"),
            ("2026-11-01", "2026-11-01"),
            ("2024-02-29T23:59:59.999Z", "2024-02-01"),
        ] {
            let read = |text: &str| text.parse::<UnixMillis>().unwrap();
            assert_eq!(read(at).month(), read(month), "{at}");
        }
    }

    #[test]
    fn prints_and_reads_rfc3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_390_628_123, "2026-11-22T23:37:08.123Z"),
        ] {
            assert_eq!(UnixMillis(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(UnixMillis(ms)));
        }
        assert_eq!("2000-02-29".parse(), Ok(UnixMillis(951_782_400_000)));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "2026-02-30",
            "2026-13-01",
            "2026-1",
            "+026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
        ] {
            assert!(text.parse::<UnixMillis>().is_err(), "{text}");
        }
    }
}
