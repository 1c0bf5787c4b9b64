//! Texts and times: comparison without case, excerpts for error messages, and the times that filters hold.

use gatehouse_domain::time::UnixMillis;

/// Brings a text to the form by which texts without case are compared, and by which a store may index them.
///
/// Every character is lowered by itself. That is Unicode's `toLowercase` (as RFC 8265, section 3.3 asks for user names)
/// less its rule for a final sigma, so that a part of a text folds as the whole does. Distinct letters stay distinct:
/// the dotless `ı` is not `i` and `ß` is not `ss`, so nobody becomes somebody else by folding.
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether two texts are the same but for case.
pub fn same(one: &str, other: &str) -> bool {
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

/// The beginning of what was given, made safe for a log or an error.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// Reads an `xsd:dateTime` with a zone: `2026-11-22T23:37:08Z`, `2026-11-22T23:37:08.123+01:00`.
pub(crate) fn parse_time(text: &str) -> Option<UnixMillis> {
    if !text.is_ascii() || !text.contains('T') || text.len() > 40 {
        return None;
    }
    if text.ends_with('Z') {
        return text.parse().ok();
    }
    let (clock, zone) = text.split_at(text.len().checked_sub(6)?);
    let sign = match zone.as_bytes().first()? {
        b'+' => -1,
        b'-' => 1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let at: UnixMillis = format!("{clock}Z").parse().ok()?;
    Some(at.plus_millis(sign * (hours * 60 + minutes) * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_never_makes_one_name_of_two() {
        for (one, other, equal) in [
            ("Ada@Example.com", "ADA@eXAMPLE.COM", true),
            ("ÅSA", "åsa", true),
            ("ΟΔΟΣ", "οδοσ", true),
            ("\u{212a}", "k", true),
            ("admın", "admin", false),
            ("straße", "STRASSE", false),
            ("İ", "i", false),
            ("а", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(same(one, other), equal, "{one} {other}");
            assert_eq!(fold(one) == fold(other), equal, "{one} {other}");
        }
    }

    #[test]
    fn times_with_zones_are_read() {
        let utc = parse_time("2026-11-22T23:37:08Z").unwrap();
        assert_eq!(parse_time("2026-11-23T00:37:08+01:00"), Some(utc));
        assert_eq!(parse_time("2026-11-22T18:07:08.000-05:30"), Some(utc));
        for text in [
            "",
            "Z",
            "2026-11-22",
            "2026-11-22T23:37:08",
            "2026-11-22T23:37:08+1:00",
            "2026-11-22T23:37:08+15:00",
            "2026-11-22T23:37:08+-1:00",
            "é2026-11-22T23:37:08+01:00",
            "+01:00",
            "T+01:00",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
