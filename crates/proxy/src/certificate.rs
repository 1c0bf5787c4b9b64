//! Who a client certificate is for: the one e-mail address among its alternative names (RFC 5280 4.2.1.6).
//!
//! The certificate was verified before; here it is only walked through. A common name is no identity.

/// `2.5.29.17`.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const EXTENSIONS: u8 = 0xa3;
const RFC822_NAME: u8 = 0x81;

/// The e-mail address that a certificate is for. None if it has none, or several: then it is not said who it is.
pub fn email(certificate: &[u8]) -> Option<String> {
    let mut outer = Der(certificate);
    let mut whole = Der(outer.expect(SEQUENCE)?);
    let mut fields = Der(whole.expect(SEQUENCE)?);
    let mut found = None;
    while let Some((tag, content)) = fields.next() {
        if tag != EXTENSIONS {
            continue;
        }
        let mut list = Der(Der(content).expect(SEQUENCE)?);
        while let Some((SEQUENCE, extension)) = list.next() {
            if let Some(names) = alternative_names(extension) {
                let mut names = Der(Der(names).expect(SEQUENCE)?);
                while let Some((tag, name)) = names.next() {
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

fn alternative_names(extension: &[u8]) -> Option<&[u8]> {
    let mut parts = Der(extension);
    if parts.expect(OID)? != ALTERNATIVE_NAMES {
        return None;
    }
    match parts.next()? {
        (OCTETS, content) => Some(content),
        (BOOLEAN, _) => parts.expect(OCTETS),
        _ => None,
    }
}

/// Distinguished encoding: tag, length, content.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let count = usize::from(first & 0x7f);
            let (digits, after) = rest.split_at_checked(count).filter(|_| (1..=3).contains(&count))?;
            length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
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

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..100_usize, byte in any::<u8>()) {
            let _ = email(&bytes);
            let mut bent = certificate(&[(0x81, b"dev@example.com")], false);
            bent[at] = byte;
            let _ = email(&bent);
        }
    }
}
