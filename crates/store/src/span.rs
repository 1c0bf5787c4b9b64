//! Which sums a span of time is added up of: daily ones for its whole days, hourly ones for what is left at its ends.
//!
//! Days have about an eighth as many rows as their hours, and both are written in the same transaction, so that the sums
//! are the same.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::{DAY_MS, HOUR_MS};

use crate::filter::{Arg, Filter};

/// Two tables of the same sums.
pub(crate) struct Tables {
    /// By the hour, in a column `hour`.
    pub(crate) hourly: &'static str,
    /// By the UTC day, in a column `day`.
    pub(crate) daily: &'static str,
}

/// What went through the gateway.
pub(crate) const LEDGER: Tables = Tables { hourly: "rollups", daily: "daily_rollups" };
/// What clients say.
pub(crate) const CLIENTS: Tables = Tables { hourly: "client_rollups", daily: "client_daily_rollups" };

/// Rows of one table, from a time on and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Hours.
    Hours(i64, i64),
    /// Days.
    Days(i64, i64),
}

/// The hours from `since` on that begin before `until`, both in milliseconds, as days wherever all hours of one are in it.
/// `since` is the start of an hour; `i64::MIN` and `i64::MAX` are no bounds.
pub(crate) fn parts(since: i64, until: i64) -> Vec<Part> {
    let end = if until == i64::MAX { until } else { up(until, HOUR_MS) };
    let first_day = if since == i64::MIN { since } else { up(since, DAY_MS) };
    let last_day = if end == i64::MAX { end } else { end.div_euclid(DAY_MS).saturating_mul(DAY_MS) };
    if first_day >= last_day {
        return hours(since, until);
    }
    let mut parts = Vec::with_capacity(3);
    if since < first_day {
        parts.push(Part::Hours(since, first_day));
    }
    parts.push(Part::Days(first_day, last_day));
    if last_day < end {
        parts.push(Part::Hours(last_day, end));
    }
    parts
}

/// The same as hours only.
pub(crate) fn hours(since: i64, until: i64) -> Vec<Part> {
    vec![Part::Hours(since, until)]
}

fn up(at: i64, step: i64) -> i64 {
    let rest = at.rem_euclid(step);
    if rest == 0 { at } else { at.saturating_add(step - rest) }
}

/// The rows of these parts as a table `r` with `org_id`, `hour` (the start of the day for days) and these columns. The
/// organization is `$1`; the bounds are `$first` and so on, to be appended by [`bounds`] in their turn.
pub(crate) fn rows(tables: &Tables, columns: &str, parts: &[Part], first: usize) -> String {
    let part = |(n, part): (usize, &Part)| {
        let (table, time) = match part {
            Part::Hours(..) => (tables.hourly, "hour"),
            Part::Days(..) => (tables.daily, "day"),
        };
        let (from, to) = (first + 2 * n, first + 2 * n + 1);
        format!(
            "SELECT org_id, {time} AS hour, {columns} FROM {table} \
             WHERE org_id = $1 AND {time} >= ${from} AND {time} < ${to}"
        )
    };
    let parts: Vec<String> = parts.iter().enumerate().map(part).collect();
    format!("({}) r", parts.join(" UNION ALL "))
}

/// Appends the bounds of these parts to the arguments.
pub(crate) fn bounds(filter: &mut Filter, parts: &[Part]) {
    for part in parts {
        let (Part::Hours(since, until) | Part::Days(since, until)) = part;
        filter.arg("", Arg::Int(*since));
        filter.arg("", Arg::Int(*until));
    }
}

/// A statement over the rows of these parts: `select`, then the table `r`, then `joins`, up to and including `WHERE`.
pub(crate) fn over(
    tables: &Tables,
    [select, columns, joins]: [&str; 3],
    org: OrgId,
    parts: &[Part],
) -> Filter {
    let from = rows(tables, columns, parts, 2);
    let mut filter = Filter::made(format!("{select} FROM {from} {joins} WHERE r.org_id = $1"), org);
    bounds(&mut filter, parts);
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: i64 = DAY_MS;
    const H: i64 = HOUR_MS;

    #[test]
    fn whole_days_are_days_and_the_rest_is_hours() {
        use Part::{Days, Hours};
        for (since, until, expected) in [
            (i64::MIN, i64::MAX, vec![Days(i64::MIN, i64::MAX)]),
            (D, 3 * D, vec![Days(D, 3 * D)]),
            (D + H, 3 * D, vec![Hours(D + H, 2 * D), Days(2 * D, 3 * D)]),
            (D, 3 * D + 1, vec![Days(D, 3 * D), Hours(3 * D, 3 * D + H)]),
            (D - H, 2 * D + 2 * H, vec![Hours(D - H, D), Days(D, 2 * D), Hours(2 * D, 2 * D + 2 * H)]),
            (D + H, i64::MAX, vec![Hours(D + H, 2 * D), Days(2 * D, i64::MAX)]),
            (i64::MIN, D + 1, vec![Days(i64::MIN, D), Hours(D, D + H)]),
            // The last hour of the day is in it: so is the day.
            (D, 2 * D - 1, vec![Days(D, 2 * D)]),
            (D, 2 * D - H, vec![Hours(D, 2 * D - H)]),
            (D + H, 2 * D, vec![Hours(D + H, 2 * D)]),
            (D + H, 3 * D - H, vec![Hours(D + H, 3 * D - H)]),
            (5 * D, D, vec![Hours(5 * D, D)]),
            (-D - H, D, vec![Hours(-D - H, -D), Days(-D, D)]),
        ] {
            assert_eq!(parts(since, until), expected, "{since} {until}");
        }
    }

    #[test]
    fn every_hour_is_in_exactly_one_part() {
        for since in 0..60 {
            for until in 0..140 {
                let (since, until) = (since * H, until * (H / 2));
                let mut found = Vec::new();
                for part in parts(since, until) {
                    let (Part::Hours(from, to) | Part::Days(from, to)) = part;
                    found.extend((0..200).map(|hour| hour * H).filter(|hour| *hour >= from && *hour < to));
                }
                let expected: Vec<i64> =
                    (0..200).map(|hour| hour * H).filter(|hour| *hour >= since && *hour < until).collect();
                assert_eq!(found, expected, "{since} {until}");
            }
        }
    }
}
