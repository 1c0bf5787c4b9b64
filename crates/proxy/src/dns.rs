//! Messages of the domain name system (RFC 1035), as far as a question for addresses needs them. Opens no socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most records of an answer that are looked at.
const MAX_RECORDS: usize = 256;
/// Most labels of a name, pointers included: a name that goes in circles ends here.
const MAX_LABELS: usize = 128;
/// Most names that lead from one to the next.
const MAX_ALIASES: usize = 16;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Kind {
    const fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

const ALIAS: u16 = 5;
const AUTHORITY: u16 = 6;
const INTERNET: u16 = 1;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// All addresses, perhaps none, and for how many seconds that holds.
    Addresses(Vec<IpAddr>, u32),
    /// It did not fit: ask again by TCP.
    Cut,
    /// The server cannot say.
    Failed,
}

/// A question. The name must be one that [`gatehouse_domain::proxy::Host`] has read.
pub fn question(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    // One question, recursion desired.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).unwrap_or(0);
        message.push(length);
        message.extend(&label.as_bytes()[..usize::from(length)]);
    }
    message.push(0);
    message.extend(kind.code().to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// Reads an answer to a question. `None`: it is no answer to this one, and another may follow.
pub fn reply(message: &[u8], id: u16, name: &str, kind: Kind) -> Option<Reply> {
    let mut reader = Reader { message, at: 0 };
    if reader.short()? != id {
        return None;
    }
    let flags = reader.short()?;
    let counts = [reader.short()?, reader.short()?, reader.short()?, reader.short()?];
    if flags & 0x8000 == 0 || counts[0] != 1 {
        return None;
    }
    if reader.name()? != name || reader.short()? != kind.code() || reader.short()? != INTERNET {
        return None;
    }
    if flags & 0x0200 != 0 {
        return Some(Reply::Cut);
    }
    match flags & 0x000f {
        // No error, or no such name.
        0 | 3 => Some(records(&mut reader, counts[1], counts[2], name, kind).unwrap_or(Reply::Failed)),
        _ => Some(Reply::Failed),
    }
}

struct Record<'a> {
    name: String,
    kind: u16,
    ttl: u32,
    content: &'a [u8],
    /// Where the content begins.
    at: usize,
}

/// The addresses that belong to the name that was asked for, aliases followed. None at all for an answer that is damaged.
fn records(reader: &mut Reader<'_>, answers: u16, authorities: u16, name: &str, kind: Kind) -> Option<Reply> {
    if usize::from(answers) > MAX_RECORDS {
        return None;
    }
    let mut all = Vec::with_capacity(usize::from(answers));
    for _ in 0..answers {
        all.push(reader.record()?);
    }
    let (mut wanted, mut ttl) = (name.to_owned(), u32::MAX);
    for _ in 0..MAX_ALIASES {
        let Some(alias) = all.iter().find(|record| record.kind == ALIAS && record.name == wanted) else {
            break;
        };
        wanted = Reader { message: reader.message, at: alias.at }.name()?;
        ttl = ttl.min(alias.ttl);
    }
    let mut addresses = Vec::new();
    for record in all.iter().filter(|record| record.kind == kind.code() && record.name == wanted) {
        addresses.push(match kind {
            Kind::A => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(record.content).ok()?)),
            Kind::Aaaa => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(record.content).ok()?)),
        });
        ttl = ttl.min(record.ttl);
    }
    if addresses.is_empty() {
        // How long there is none says the zone (RFC 2308).
        ttl = 0;
        for _ in 0..authorities.min(16) {
            let record = reader.record()?;
            if record.kind == AUTHORITY {
                let minimum = record.content.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
                ttl = record.ttl.min(minimum);
            }
        }
    }
    Some(Reply::Addresses(addresses, ttl))
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    /// A name in lower case, without its last dot. Pointers lead backwards only.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut at, mut end) = (String::new(), self.at, None);
        for _ in 0..MAX_LABELS {
            let length = *self.message.get(at)?;
            match length {
                0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(name);
                }
                1..64 => {
                    let label = self.message.get(at + 1..at + 1 + usize::from(length))?;
                    if !label.iter().all(u8::is_ascii_graphic) || name.len() > 255 {
                        return None;
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                    at += 1 + usize::from(length);
                }
                192.. => {
                    let low = *self.message.get(at + 1)?;
                    end = end.or(Some(at + 2));
                    let to = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if to >= at {
                        return None;
                    }
                    at = to;
                }
                64..192 => return None,
            }
        }
        None
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let name = self.name()?;
        let kind = self.short()?;
        self.short()?;
        let ttl = u32::from_be_bytes(*self.take(4)?.first_chunk()?);
        let length = self.short()?;
        let at = self.at;
        // A value with the highest bit set counts as none (RFC 2181 8).
        let ttl = if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl };
        Some(Record { name, kind, ttl, content: self.take(usize::from(length))?, at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(
        id: u16,
        name: &str,
        kind: Kind,
        flags: u16,
        records: &[Vec<u8>],
        authorities: &[Vec<u8>],
    ) -> Vec<u8> {
        let mut message = question(id, name, kind);
        message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        message[7] = u8::try_from(records.len()).unwrap();
        message[9] = u8::try_from(authorities.len()).unwrap();
        message.extend(records.concat());
        message.extend(authorities.concat());
        message
    }

    /// With a pointer to the question's name.
    fn record(kind: u16, ttl: u32, content: &[u8]) -> Vec<u8> {
        let mut record = vec![192, 12];
        record.extend(kind.to_be_bytes());
        record.extend(INTERNET.to_be_bytes());
        record.extend(ttl.to_be_bytes());
        record.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        record.extend(content);
        record
    }

    #[test]
    fn addresses_and_how_long_they_hold() {
        let name = "api.example";
        let records = [record(1, 60, &[192, 0, 2, 1]), record(1, 30, &[192, 0, 2, 2])];
        let message = answer(7, name, Kind::A, 0, &records, &[]);
        let addresses = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(reply(&message, 7, name, Kind::A), Some(Reply::Addresses(addresses, 30)));
        for (id, name, kind) in [(8, name, Kind::A), (7, "other.example", Kind::A), (7, name, Kind::Aaaa)] {
            assert_eq!(reply(&message, id, name, kind), None, "it answers another question");
        }
        assert_eq!(reply(&question(7, name, Kind::A), 7, name, Kind::A), None, "a question is no answer");
        assert_eq!(reply(&answer(7, name, Kind::A, 0x0200, &[], &[]), 7, name, Kind::A), Some(Reply::Cut));
        assert_eq!(reply(&answer(7, name, Kind::A, 2, &[], &[]), 7, name, Kind::A), Some(Reply::Failed));
        let zone = record(AUTHORITY, 600, &[&[0; 22][..], &45_u32.to_be_bytes()].concat());
        let none = answer(7, name, Kind::A, 3, &[], &[zone]);
        assert_eq!(reply(&none, 7, name, Kind::A), Some(Reply::Addresses(vec![], 45)));
    }

    #[test]
    fn aliases_are_followed_and_what_was_not_asked_for_does_not_count() {
        let name = "a.example";
        let mut alias = record(ALIAS, 20, &[1, b'b', 192, 14]);
        let foreign = [&[1, b'x', 0][..], &record(1, 90, &[6, 6, 6, 6])[2..]].concat();
        let target = [&[1, b'B', 192, 14][..], &record(1, 90, &[192, 0, 2, 3])[2..]].concat();
        let message = answer(1, name, Kind::A, 0, &[alias.clone(), foreign, target], &[]);
        let addresses = vec![[192, 0, 2, 3].into()];
        assert_eq!(reply(&message, 1, name, Kind::A), Some(Reply::Addresses(addresses, 20)));
        // An alias of itself ends.
        let end = alias.len() - 4;
        alias.truncate(end);
        alias.extend([192, 12]);
        alias[11] = 2;
        let circle = answer(1, name, Kind::A, 0, &[alias], &[]);
        assert_eq!(reply(&circle, 1, name, Kind::A), Some(Reply::Addresses(vec![], 0)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut message = question(1, "a.example", Kind::A);
            message[2] = 0x80;
            message[7] = 2;
            message[9] = 1;
            message.extend(&bytes);
            let _ = reply(&message, 1, "a.example", Kind::A);
            let _ = reply(&bytes, 1, "a.example", Kind::A);
        }
    }
}
