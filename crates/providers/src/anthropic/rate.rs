//! What a reply's head tells of the provider's limits on rates.
//!
//! `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` and `retry-after`, as the API's
//! reference has them (platform.claude.com, "Rate limits"); the reset is when the limit is whole again. The clouds say nothing
//! but 429. Whatever cannot be believed counts as not said.

use gatehouse_domain::quota::{Heard, MAX_AMOUNT, Measure, Told};
use gatehouse_domain::time::UnixMillis;
use http::{HeaderMap, HeaderValue, header};

/// Limits whose reset is not told are limits per minute, in milliseconds.
const MINUTE: u64 = 60_000;

/// What a head with this status tells, which came at this time.
pub fn rate_limits(status: u16, headers: &HeaderMap, now: UnixMillis) -> Heard {
    let mut heard = Heard::default();
    if status == 429 && !is_final(headers) {
        heard.refused = Some(seconds(headers).map(|seconds| seconds.saturating_mul(1000)));
    }
    let mut said = [[None; 3]; Measure::ALL.len()];
    for (name, value) in headers {
        let Some(rest) = name.as_str().strip_prefix("anthropic-ratelimit-") else { continue };
        let Some((measure, what)) = rest.rsplit_once('-') else { continue };
        let (Some(measure), Some(what)) = (place(measure), column(what)) else { continue };
        said[measure][what] = value.to_str().ok();
    }
    for (told, [limit, remaining, reset]) in heard.told.iter_mut().zip(said) {
        let (Some(limit), Some(remaining)) = (limit.and_then(amount), remaining.and_then(amount)) else {
            continue;
        };
        if limit == 0 {
            continue;
        }
        let reset = reset.and_then(|text| text.trim().parse::<UnixMillis>().ok());
        let whole_in = reset.map_or(MINUTE, |at| u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0));
        *told = Some(Told { limit, remaining: remaining.min(limit), whole_in });
    }
    heard
}

/// Whether the provider says that it would refuse this request again: then it says nothing of others.
fn is_final(headers: &HeaderMap) -> bool {
    headers.get("x-should-retry").is_some_and(|value| value == "false")
}

fn seconds(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER).map(HeaderValue::to_str)?.ok()?.trim().parse().ok()
}

fn place(measure: &str) -> Option<usize> {
    ["requests", "tokens", "input-tokens", "output-tokens"].iter().position(|name| *name == measure)
}

fn column(what: &str) -> Option<usize> {
    ["limit", "remaining", "reset"].iter().position(|name| *name == what)
}

fn amount(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|amount| *amount <= MAX_AMOUNT)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    /// 2026-11-28T12:00:00Z.
    const NOW: UnixMillis = UnixMillis(1_795_867_200_000);

    fn heard(status: u16, lines: &[(&str, &str)]) -> Heard {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::try_from(*name).unwrap(), value);
        }
        rate_limits(status, &headers, NOW)
    }

    #[test]
    fn a_reply_tells_of_four_limits() {
        let all = heard(
            200,
            &[
                ("anthropic-ratelimit-requests-limit", "1000"),
                ("anthropic-ratelimit-requests-remaining", "999"),
                ("anthropic-ratelimit-requests-reset", "2026-11-28T12:00:01Z"),
                ("anthropic-ratelimit-tokens-limit", "480000"),
                ("anthropic-ratelimit-tokens-remaining", "470000"),
                ("anthropic-ratelimit-tokens-reset", "2026-11-28T12:00:02.500Z"),
                ("anthropic-ratelimit-input-tokens-limit", "400000"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-11-28T12:01:00Z"),
                ("anthropic-ratelimit-output-tokens-limit", "80000"),
                ("anthropic-ratelimit-output-tokens-remaining", "80000"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-11-28T12:00:00Z"),
                ("anthropic-ratelimit-unified-status", "allowed"),
                ("retry-after", "7"),
            ],
        );
        let told = |limit, remaining, whole_in| Some(Told { limit, remaining, whole_in });
        let expected = [
            told(1_000, 999, 1_000),
            told(480_000, 470_000, 2_500),
            told(400_000, 0, 60_000),
            told(80_000, 80_000, 0),
        ];
        assert_eq!((all.told, all.refused), (expected, None), "only a 429 asks to be left alone");
        assert!(heard(200, &[("content-type", "application/json")]).is_nothing());
        assert_eq!(heard(429, &[("retry-after", "7")]).refused, Some(Some(7_000)));
        assert_eq!(heard(429, &[]).refused, Some(None), "a cloud says no more");
        assert!(heard(429, &[("x-should-retry", "false")]).is_nothing(), "that is this request's own fault");
    }

    #[test]
    fn what_cannot_be_believed_is_not_said() {
        const LIMIT: &str = "anthropic-ratelimit-requests-limit";
        const REMAINING: &str = "anthropic-ratelimit-requests-remaining";
        const RESET: &str = "anthropic-ratelimit-requests-reset";
        for (limit, remaining, reset, expected) in [
            ("10", "-1", "2026-11-28T12:00:01Z", None),
            ("-10", "1", "2026-11-28T12:00:01Z", None),
            ("0", "0", "2026-11-28T12:00:01Z", None),
            ("", "", "", None),
            ("1e3", "5", "2026-11-28T12:00:01Z", None),
            ("18446744073709551616", "0", "2026-11-28T12:00:01Z", None),
            ("18446744073709551615", "0", "2026-11-28T12:00:01Z", None),
            ("10", "\u{e9}", "2026-11-28T12:00:01Z", None),
            ("10", "11", "2026-11-28T12:00:01Z", Some((10, 10, 1_000))),
            ("10", "1", "2020-01-01T00:00:00Z", Some((10, 1, 0))),
            ("10", "1", "1969-12-31T23:59:59Z", Some((10, 1, 60_000))),
            ("10", "1", "9999-12-31T23:59:59Z", Some((10, 1, 251_606_433_599_000))),
            ("10", "1", "99999-12-31T23:59:59Z", Some((10, 1, 60_000))),
            ("10", "1", "-5", Some((10, 1, 60_000))),
            ("10", "1", "tomorrow", Some((10, 1, 60_000))),
        ] {
            let heard = heard(200, &[(LIMIT, limit), (REMAINING, remaining), (RESET, reset)]);
            let told = heard.told[0].map(|told| (told.limit, told.remaining, told.whole_in));
            assert_eq!(told, expected, "{limit:?} {remaining:?} {reset:?}");
        }
        for (after, expected) in [
            ("0", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            assert_eq!(heard(429, &[("retry-after", after)]).refused, Some(expected), "{after}");
        }
        assert_eq!(heard(200, &[(LIMIT, "5")]).told[0], None, "a limit alone is no standing");
    }
}
