//! Credentials that run out: what is asked for them, and what the answers say. Bytes only; the server does the asking.

pub mod amazon;
pub mod google;
pub mod profile;

/// A tag of a session: the service writes it into its bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// A request for a credential.
pub struct Ask {
    /// Its method.
    pub method: http::Method,
    /// Where to.
    pub url: String,
    /// Its headers, but for host and length.
    pub headers: http::HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no credential. Never says anything of a secret; completes "the credential of provider `x` cannot be had: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCredential {
    /// The file is not in a form that is known.
    #[error("the credential file {0}")]
    File(&'static str),
    /// The request cannot be made.
    #[error("the request for it cannot be made: {0}")]
    Request(String),
    /// The service refuses.
    #[error("the service answered with {status}: {said}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The service's answer has no credential.
    #[error("the service's answer has no {0}")]
    Missing(&'static str),
}

/// Longest part of a refusal that is told, in characters.
const MAX_SAID: usize = 300;

/// A refusal, with as much of the answer as helps. Answers that are none of success hold no credential.
fn refused(status: u16, said: &str) -> NoCredential {
    let said = said.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect();
    NoCredential::Refused { status, said }
}

/// Seconds since 1970 of a time as `2026-11-28T03:04:05Z`; fractions are left out.
fn seconds(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_form = text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z');
    if !is_form || !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from the civil calendar: years begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2026-11-28T03:04:05Z", Some(1_795_835_045)),
            ("2026-11-28T03:04:05.123Z", Some(1_795_835_045)),
            ("2026-13-28T03:04:05Z", None),
            ("2026-11-28 03:04:05Z", None),
            ("2026-11-28T03:04:05+01:00", None),
            ("", None),
            ("ü", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
