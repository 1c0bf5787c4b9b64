//! Who a client certificate is for: the one e-mail address among its alternative names (RFC 5280 4.2.1.6). And when a
//! certificate ends.
//!
//! A client's certificate was verified before; here it is only walked through. A common name is no identity.

use crate::der::{BOOLEAN, Der, OCTETS, OID, SEQUENCE};

/// `2.5.29.17`.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const EXTENSIONS: u8 = 0xa3;
const RFC822_NAME: u8 = 0x81;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The e-mail address that a certificate is for. None if it has none, or several: then it is not said who it is.
pub fn email(certificate: &[u8]) -> Option<String> {
    let mut outer = Der(certificate);
    let mut whole = Der(outer.expect(SEQUENCE)?);
    let mut fields = Der(whole.expect(SEQUENCE)?);
    let mut found = None;
    while let Some((tag, content)) = fields.element() {
        if tag != EXTENSIONS {
            continue;
        }
        let mut list = Der(Der(content).expect(SEQUENCE)?);
        while let Some((SEQUENCE, extension)) = list.element() {
            if let Some(names) = alternative_names(extension) {
                let mut names = Der(Der(names).expect(SEQUENCE)?);
                while let Some((tag, name)) = names.element() {
                    if tag == RFC822_NAME && found.replace(name).is_some() {
                        return None;
                    }
                }
            }
        }
    }
    let text = std::str::from_utf8(found?).ok()?;
    let fits = text.is_ascii() && text.contains('@') && text.len() <= 254;
    fits.then(|| text.to_ascii_lowercase())
}

/// When a certificate ends, in seconds since 1970 (UTC). None if that cannot be read.
pub fn ends_at(certificate: &[u8]) -> Option<i64> {
    let mut outer = Der(certificate);
    let mut whole = Der(outer.expect(SEQUENCE)?);
    let mut fields = Der(whole.expect(SEQUENCE)?);
    // Version (which may be missing), serial number, algorithm, issuer: the validity is the third sequence from there.
    for _ in 0..2 {
        while fields.element()?.0 != SEQUENCE {}
    }
    let mut validity = Der(fields.expect(SEQUENCE)?);
    validity.element()?;
    match validity.element()? {
        // Of years of two digits, those from 50 are of the last century (RFC 5280 4.1.2.5.1).
        (UTC_TIME, [a, b, rest @ ..]) => {
            let year = two(&[*a, *b])?;
            seconds(if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, [a, b, c, d, rest @ ..]) => seconds(two(&[*a, *b])? * 100 + two(&[*c, *d])?, rest),
        _ => None,
    }
}

/// Month, day, hour, minute and second, two digits each, and `Z`.
fn seconds(year: i64, rest: &[u8]) -> Option<i64> {
    let (digits, b"Z") = rest.split_at_checked(10)? else { return None };
    let mut parts = digits.chunks_exact(2).map(two);
    let mut part = |range: std::ops::RangeInclusive<i64>| parts.next()?.filter(|n| range.contains(n));
    let (month, day) = (part(1..=12)?, part(1..=31)?);
    let (hour, minute, second) = (part(0..=23)?, part(0..=59)?, part(0..=59)?);
    // Days since 1970-03-01 in years that begin with March, so that a leap day is a year's last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn two(digits: &[u8]) -> Option<i64> {
    match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

fn alternative_names(extension: &[u8]) -> Option<&[u8]> {
    let mut parts = Der(extension);
    if parts.expect(OID)? != ALTERNATIVE_NAMES {
        return None;
    }
    match parts.element()? {
        (OCTETS, content) => Some(content),
        (BOOLEAN, _) => parts.expect(OCTETS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = match u8::try_from(content.len()) {
            Ok(short @ 0..128) => vec![short],
            _ => [&[0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &length, &content].concat()
    }

    fn certificate(names: &[(u8, &[u8])], critical: bool) -> Vec<u8> {
        let names: Vec<u8> = names.iter().flat_map(|(tag, name)| der(*tag, &[name])).collect();
        let oid = der(OID, &[ALTERNATIVE_NAMES]);
        let critical = if critical { der(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
        let extension = der(SEQUENCE, &[&oid, &critical, &der(OCTETS, &[&der(SEQUENCE, &[&names])])]);
        let other = der(SEQUENCE, &[&der(OID, &[&[0x55, 0x1d, 0x0f]]), &der(OCTETS, &[&[3, 2, 5, 0xa0]])]);
        let fields =
            der(SEQUENCE, &[&der(2, &[&[7]]), &der(EXTENSIONS, &[&der(SEQUENCE, &[&other, &extension])])]);
        der(SEQUENCE, &[&fields, &der(SEQUENCE, &[]), &der(3, &[&[0; 200]])])
    }

    #[test]
    fn one_address_is_an_identity() {
        for critical in [false, true] {
            let found = email(&certificate(&[(0x82, b"host.example"), (0x81, b"Dev@Example.com")], critical));
            assert_eq!(found.as_deref(), Some("dev@example.com"));
        }
        assert_eq!(email(&certificate(&[(0x82, b"host.example")], false)), None);
        assert_eq!(email(&certificate(&[(0x81, b"a@example.com"), (0x81, b"b@example.com")], false)), None);
        assert_eq!(email(&certificate(&[(0x81, b"nobody")], false)), None);
        assert_eq!(email(&certificate(&[(0x81, b"a@\xff.com")], false)), None);
        assert_eq!(email(b""), None);
    }

    fn dated(tag: u8, end: &[u8]) -> Vec<u8> {
        let validity = der(SEQUENCE, &[&der(UTC_TIME, &[b"200101000000Z"]), &der(tag, &[end])]);
        let fields: [&[u8]; 5] = [
            &der(0xa0, &[&[2, 1, 2]]),
            &der(2, &[&[7]]),
            &der(SEQUENCE, &[]),
            &der(SEQUENCE, &[]),
            &validity,
        ];
        der(SEQUENCE, &[&der(SEQUENCE, &fields)])
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (tag, text, ends) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261128104122Z", Some(1_795_862_482)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "20240229000000Z", Some(1_709_164_800)),
            (GENERALIZED_TIME, "20240301000000Z", Some(1_709_251_200)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "261328104122Z", None),
            (UTC_TIME, "2611281041Z", None),
            (UTC_TIME, "261128104122+0100", None),
            (UTC_TIME, "", None),
            (4, "261128104122Z", None),
        ] {
            assert_eq!(ends_at(&dated(tag, text.as_bytes())), ends, "{text}");
        }
        assert_eq!(ends_at(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..100_usize, byte in any::<u8>()) {
            let _ = (email(&bytes), ends_at(&bytes));
            let mut bent = certificate(&[(0x81, b"dev@example.com")], false);
            bent[at] = byte;
            let _ = (email(&bent), ends_at(&bent));
        }
    }
}
