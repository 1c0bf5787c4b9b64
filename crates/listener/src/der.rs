//! Distinguished encoding (ITU-T X.690, clauses 8 and 10): reading what others made, and writing what we make.

/// A truth value.
pub const BOOLEAN: u8 = 0x01;
/// A whole number.
pub const INTEGER: u8 = 0x02;
/// Bits.
pub const BITS: u8 = 0x03;
/// Bytes.
pub const OCTETS: u8 = 0x04;
/// An object identifier.
pub const OID: u8 = 0x06;
/// Text.
pub const UTF8: u8 = 0x0c;
/// A time with a year of two digits.
pub const UTC_TIME: u8 = 0x17;
/// A time with a year of four digits.
pub const GENERAL_TIME: u8 = 0x18;
/// Elements in order.
pub const SEQUENCE: u8 = 0x30;
/// Elements without an order.
pub const SET: u8 = 0x31;

/// What is left to read: tag, length, content, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Der<'a>(pub &'a [u8]);

impl<'a> Der<'a> {
    /// The next element.
    pub fn element(&mut self) -> Option<(u8, &'a [u8])> {
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

    /// The next element, if it has this tag; else nothing, and it counts as read.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// The next element, if it has this tag; else it stays.
    pub fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.expect(tag) } else { None }
    }
}

/// An element of these parts.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let digits = length.to_be_bytes();
    let digits = &digits[digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len() - 1)..];
    if length > 0x7f {
        // A length has at most eight digits.
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
    }
    out.extend_from_slice(digits);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(tag in 1..200_u8, content in proptest::collection::vec(any::<u8>(), 0..700)) {
            let mut written = element(tag, &[&content[..content.len() / 2], &content[content.len() / 2..]]);
            written.push(9);
            let mut reader = Der(&written);
            prop_assert_eq!(reader.element(), Some((tag, &content[..])));
            prop_assert_eq!(reader.0, [9]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Der(&bytes);
            while reader.element().is_some() {}
        }
    }
}
