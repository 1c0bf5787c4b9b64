//! Spans and points in time as people write them: `30d`, `2026-11-22`, `2026-11-22T23:37:08Z`.

use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};

/// Longest span that is accepted: ten years, in milliseconds.
pub const LONGEST_SPAN_MS: i64 = 3_660 * DAY_MS;

/// A text that is neither a span nor a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPeriod {
    /// Neither form.
    #[error(
        "`{0}` is neither a span (such as 90m, 24h, 7d, 2w) nor a UTC time (2026-11-22, 2026-11-22T23:37:08Z)"
    )]
    Form(String),
    /// Not a span.
    #[error("`{0}` is not a span (expected such as 90m, 24h, 7d, 2w; at most ten years)")]
    Span(String),
    /// It lies in the past where only the future makes sense.
    #[error("`{0}` is in the past")]
    Past(String),
}

/// Reads a span: a whole number and `s`, `m`, `h`, `d` or `w`. In milliseconds, up to [`LONGEST_SPAN_MS`].
///
/// # Errors
/// [`BadPeriod::Span`].
pub fn span_ms(text: &str) -> Result<i64, BadPeriod> {
    read_span(text).ok_or_else(|| BadPeriod::Span(shortened(text)))
}

/// Reads the beginning or end of a range: a point in time, or a span before `now`.
///
/// # Errors
/// [`BadPeriod::Form`].
pub fn back_from(now: UnixMillis, text: &str) -> Result<UnixMillis, BadPeriod> {
    if let Some(span) = read_span(text) {
        return Ok(now.plus_millis(-span));
    }
    text.parse().map_err(|_| BadPeriod::Form(shortened(text)))
}

/// Reads when something ends: a point in time after `now`, or a span from `now` on.
///
/// # Errors
/// [`BadPeriod::Form`] or [`BadPeriod::Past`].
pub fn ahead_of(now: UnixMillis, text: &str) -> Result<UnixMillis, BadPeriod> {
    if let Some(span) = read_span(text) {
        return Ok(now.plus_millis(span));
    }
    let at: UnixMillis = text.parse().map_err(|_| BadPeriod::Form(shortened(text)))?;
    if at <= now { Err(BadPeriod::Past(shortened(text))) } else { Ok(at) }
}

fn read_span(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1000,
        b'm' => 60_000,
        b'h' => HOUR_MS,
        b'd' => DAY_MS,
        b'w' => 7 * DAY_MS,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let span = digits.parse::<i64>().ok()?.checked_mul(unit)?;
    (0..=LONGEST_SPAN_MS).contains(&span).then_some(span)
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000 * DAY_MS);

    #[test]
    fn reads_spans() {
        for (text, ms) in [
            ("0s", 0),
            ("1s", 1000),
            ("90m", 5_400_000),
            ("24h", DAY_MS),
            ("30d", 30 * DAY_MS),
            ("2w", 14 * DAY_MS),
        ] {
            assert_eq!(span_ms(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in [
            "",
            "d",
            "7",
            "-7d",
            "+7d",
            "7 d",
            "1.5h",
            "7D",
            "\u{0667}d",
            "99999999999d",
            "9999999999w",
            "7\u{e9}",
        ] {
            assert!(span_ms(text).is_err(), "{text}");
            assert!(back_from(NOW, text).is_err(), "{text}");
        }
    }

    #[test]
    fn points_and_spans_meet() {
        assert_eq!(back_from(NOW, "1d"), Ok(UnixMillis(999 * DAY_MS)));
        assert_eq!(back_from(NOW, "1970-01-02"), Ok(UnixMillis(DAY_MS)));
        assert_eq!(ahead_of(NOW, "1d"), Ok(UnixMillis(1_001 * DAY_MS)));
        assert_eq!(
            ahead_of(NOW, "2030-01-01T00:00:00Z"),
            "2030-01-01".parse().map_err(|_| BadPeriod::Form(String::new()))
        );
        assert_eq!(ahead_of(NOW, "1970-01-02"), Err(BadPeriod::Past("1970-01-02".into())));
    }
}
