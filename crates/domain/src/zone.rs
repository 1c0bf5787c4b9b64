//! Time zones: where the days, weeks and months of a budget begin.
//!
//! The rules of zones are in the program, so that they are the same on every node and need no file of the system.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

use crate::budget::Period;
use crate::time::{HOUR_MS, UnixMillis};

/// A time zone of the IANA database, or UTC.
#[derive(Clone, Default)]
pub struct Zone(Option<TimeZone>);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone (expected a name such as UTC, Europe/Zurich or Asia/Shanghai)")]
pub struct BadZone(String);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(None);

    /// Its name in the IANA database.
    pub fn name(&self) -> &str {
        self.0.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC")
    }

    /// Whether it is UTC.
    pub const fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// The start and the end of the period that holds this time; [`Period::Total`] has no end.
    ///
    /// Both are full hours of UTC, since sums of the ledger are kept by the hour: a period begins with the first full hour
    /// of its first local day. Where the offset is not whole hours (India, Nepal) that is up to 45 minutes after midnight.
    /// A day on which the clock is changed has 23 or 25 hours.
    pub fn bounds(&self, period: Period, at: UnixMillis) -> (UnixMillis, Option<UnixMillis>) {
        let local = self.0.as_ref().and_then(|zone| local_bounds(zone, period, at));
        local.map_or_else(|| (period.start(at), period.end(at)), |(start, end)| (start, Some(end)))
    }

    /// This time as people there read it: `2026-11-23 at 00:00 Europe/Zurich`.
    pub fn told(&self, at: UnixMillis) -> String {
        let local = self.0.as_ref().zip(Timestamp::from_millisecond(at.0).ok());
        if let Some((zone, at)) = local {
            return format!("{} {}", zone.to_datetime(at).strftime("%Y-%m-%d at %H:%M"), self.name());
        }
        let text = at.to_string();
        format!("{} at {} UTC", &text[..10], &text[11..16])
    }
}

/// The bounds in a zone; `None` for what has none there, and for times beyond the calendar.
fn local_bounds(zone: &TimeZone, period: Period, at: UnixMillis) -> Option<(UnixMillis, UnixMillis)> {
    let date = zone.to_datetime(Timestamp::from_millisecond(at.0).ok()?).date();
    let first = first_day(period, date)?;
    let start = first_hour(zone, first)?;
    if start <= at {
        return Some((start, first_hour(zone, next(period, first)?)?));
    }
    // After midnight, before the first full hour: still the period before.
    let first = first_day(period, first.yesterday().ok()?)?;
    Some((first_hour(zone, first)?, start))
}

/// The first day of the period that holds a date; `None` for [`Period::Total`].
fn first_day(period: Period, date: Date) -> Option<Date> {
    match period {
        Period::Day => Some(date),
        Period::Week => date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok(),
        Period::Month => Some(date.first_of_month()),
        Period::Total => None,
    }
}

/// The first day of the period after the one that begins with a date.
fn next(period: Period, first: Date) -> Option<Date> {
    match period {
        Period::Day => first.tomorrow().ok(),
        Period::Week => first.checked_add(7.days()).ok(),
        Period::Month => first.checked_add(1.month()).ok(),
        Period::Total => None,
    }
}

/// The first full hour of UTC in a local day. Where the clock is put forward at midnight, the day begins after that.
fn first_hour(zone: &TimeZone, date: Date) -> Option<UnixMillis> {
    let midnight = zone.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_millisecond();
    Some(UnixMillis(midnight.checked_add(HOUR_MS - 1)?).hour())
}

impl FromStr for Zone {
    type Err = BadZone;

    fn from_str(text: &str) -> Result<Self, BadZone> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Self::UTC);
        }
        let found = TimeZoneDatabase::bundled().get(text);
        found.map(|zone| Self(Some(zone))).map_err(|_| BadZone(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn at(text: &str) -> UnixMillis {
        text.parse().unwrap()
    }

    /// Zone, period, a time, when its period begins and ends.
    const CASES: &str = "
        UTC              day   2026-11-22T23:59:59Z     2026-11-22           2026-11-23
        Europe/Zurich    day   2026-01-15T12:00:00Z     2026-01-14T23:00:00Z 2026-01-15T23:00:00Z
        Europe/Zurich    day   2026-03-29T12:00:00Z     2026-03-28T23:00:00Z 2026-03-29T22:00:00Z
        Europe/Zurich    day   2026-10-25T12:00:00Z     2026-10-24T22:00:00Z 2026-10-25T23:00:00Z
        Europe/Zurich    week  2026-03-29T21:59:59.999Z 2026-03-22T23:00:00Z 2026-03-29T22:00:00Z
        Europe/Zurich    month 2026-03-31T21:59:59Z     2026-02-28T23:00:00Z 2026-03-31T22:00:00Z
        Europe/Zurich    month 2026-03-31T22:00:00Z     2026-03-31T22:00:00Z 2026-04-30T22:00:00Z
        America/New_York month 2026-11-01T03:59:59Z     2026-10-01T04:00:00Z 2026-11-01T04:00:00Z
        America/New_York day   2026-11-01T12:00:00Z     2026-11-01T04:00:00Z 2026-11-02T05:00:00Z
        Asia/Shanghai    week  2026-11-29T16:00:00Z     2026-11-29T16:00:00Z 2026-12-06T16:00:00Z
        America/Asuncion day   2023-10-01T12:00:00Z     2023-10-01T04:00:00Z 2023-10-02T03:00:00Z
        Asia/Kolkata     day   2026-11-22T18:45:00Z     2026-11-21T19:00:00Z 2026-11-22T19:00:00Z
        Asia/Kolkata     day   2026-11-22T19:00:00Z     2026-11-22T19:00:00Z 2026-11-23T19:00:00Z
        Asia/Kathmandu   month 2026-10-31T18:30:00Z     2026-09-30T19:00:00Z 2026-10-31T19:00:00Z";

    /// In Zurich the clock is changed on 2026-03-29 and 2026-10-25; in Asuncion midnight does not exist on that day; the
    /// offsets of India and Nepal are not whole hours.
    #[test]
    fn periods_begin_with_local_days_and_follow_the_change_of_the_clock() {
        for case in CASES.trim().lines() {
            let mut words = case.split_whitespace();
            let mut word = || words.next().unwrap();
            let (name, period) = (word(), word().parse().unwrap());
            let (when, start, end) = (at(word()), at(word()), at(word()));
            assert_eq!(zone(name).bounds(period, when), (start, Some(end)), "{case}");
        }
        assert_eq!(zone("Europe/Zurich").bounds(Period::Total, at("2026-11-22")), (UnixMillis(0), None));
    }

    #[test]
    fn names_are_those_of_the_database() {
        for name in ["Europe/Zurich", "Asia/Shanghai", "America/Argentina/Buenos_Aires"] {
            assert_eq!(zone(name).to_string(), name);
        }
        assert!(zone("utc").is_utc() && zone("europe/zurich") == zone("Europe/Zurich"));
        for bad in ["", "Mars/Olympus", "+02:00", "../../etc/passwd"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
        assert_eq!(
            zone("Europe/Zurich").told(at("2026-11-22T23:00:00Z")),
            "2026-11-23 at 00:00 Europe/Zurich"
        );
        assert_eq!(Zone::UTC.told(at("2026-11-23")), "2026-11-23 at 00:00 UTC");
    }

    proptest! {
        /// Periods are whole hours, hold their time, and follow each other without a gap.
        #[test]
        fn periods_follow_each_other(
            name in prop::sample::select(vec![
                "UTC", "Europe/Zurich", "America/New_York", "America/Asuncion", "Asia/Kolkata", "Asia/Kathmandu",
                "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Shanghai", "Africa/Casablanca", "America/Nuuk",
            ]),
            period in prop::sample::select(vec![Period::Day, Period::Week, Period::Month]),
            at in 1_600_000_000_000..2_000_000_000_000_i64,
        ) {
            let (zone, at) = (zone(name), UnixMillis(at));
            let (start, end) = zone.bounds(period, at);
            let end = end.unwrap();
            prop_assert!(start <= at && at < end, "{start} {at} {end}");
            prop_assert_eq!((start.hour(), end.hour()), (start, end));
            prop_assert_eq!(zone.bounds(period, start), (start, Some(end)));
            prop_assert_eq!(zone.bounds(period, end.plus_millis(-1)), (start, Some(end)));
            prop_assert_eq!(zone.bounds(period, end).0, end);
        }
    }
}
