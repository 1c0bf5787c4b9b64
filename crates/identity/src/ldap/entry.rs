//! Entries as a search returns them.

use ldap3::asn1::{PL, StructureTag};

use super::guard::Malformed;

/// Most attributes of one entry; we ask for ten.
const MAX_ATTRIBUTES: usize = 256;

/// One entry of a search's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

/// The values of an attribute, and where the next ones begin when the server gave only a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Values<'a> {
    pub(super) values: &'a [Vec<u8>],
    pub(super) next: Option<u32>,
}

impl Entry {
    /// Reads a `SearchResultEntry` (RFC 4511 section 4.5.2).
    pub(super) fn read(tag: StructureTag) -> Result<Self, Malformed> {
        let [dn, attributes] = children(tag)?.try_into().map_err(|_| Malformed::Form)?;
        let attributes = children(attributes)?;
        if attributes.len() > MAX_ATTRIBUTES {
            return Err(Malformed::Form);
        }
        let attributes = attributes.into_iter().map(attribute).collect::<Result<_, _>>()?;
        Ok(Self { dn: text(dn)?, attributes })
    }

    /// All values of an attribute.
    pub(super) fn all(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values.as_slice())
    }

    /// The first value of an attribute.
    pub(super) fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().map(Vec::as_slice)
    }

    /// The first value of an attribute, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.first(name)?).ok()
    }

    /// The values of an attribute that was asked for from number `from` on. Active Directory gives at most 1,500 at
    /// once, under the name `member;range=0-1499`, beside an empty `member`.
    pub(super) fn ranged(&self, name: &str, from: u32) -> Result<Values<'_>, Malformed> {
        for (found, values) in &self.attributes {
            let Some(range) = Range::read(found, name) else { continue };
            let count = u32::try_from(values.len()).map_err(|_| Malformed::Form)?;
            // What does not go on where we stopped would be read for ever, or leave members out.
            let promised = |last: u32| last.checked_sub(from)?.checked_add(1);
            if range.first != from || range.last.is_some_and(|last| promised(last) != Some(count)) {
                return Err(Malformed::Form);
            }
            let next = match range.last {
                Some(last) => Some(last.checked_add(1).ok_or(Malformed::Form)?),
                None => None,
            };
            return Ok(Values { values, next });
        }
        // A later part that is missing altogether would leave members out as well.
        if from == 0 { Ok(Values { values: self.all(name), next: None }) } else { Err(Malformed::Form) }
    }
}

/// A part of an attribute's values: `member;range=0-1499`, or `member;range=1500-*` for the last part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    last: Option<u32>,
}

impl Range {
    fn read(description: &str, name: &str) -> Option<Self> {
        let (found, options) = description.split_once(';')?;
        if !found.eq_ignore_ascii_case(name) {
            return None;
        }
        options.split(';').find_map(|option| {
            let (key, value) = option.split_once('=')?;
            let (first, last) = value.split_once('-')?;
            if !key.eq_ignore_ascii_case("range") {
                return None;
            }
            let last = if last == "*" { None } else { Some(number(last)?) };
            Some(Self { first: number(first)?, last })
        })
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn attribute(tag: StructureTag) -> Result<(String, Vec<Vec<u8>>), Malformed> {
    let [name, values] = children(tag)?.try_into().map_err(|_| Malformed::Form)?;
    Ok((text(name)?, children(values)?.into_iter().map(bytes).collect::<Result<_, _>>()?))
}

fn children(tag: StructureTag) -> Result<Vec<StructureTag>, Malformed> {
    match tag.payload {
        PL::C(children) => Ok(children),
        PL::P(_) => Err(Malformed::Form),
    }
}

fn bytes(tag: StructureTag) -> Result<Vec<u8>, Malformed> {
    match tag.payload {
        PL::P(bytes) => Ok(bytes),
        PL::C(_) => Err(Malformed::Form),
    }
}

fn text(tag: StructureTag) -> Result<String, Malformed> {
    String::from_utf8(bytes(tag)?).map_err(|_| Malformed::Form)
}

#[cfg(test)]
impl Entry {
    /// An entry with these attributes.
    pub(super) fn of(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let attributes = attributes
            .iter()
            .map(|(name, values)| {
                ((*name).to_owned(), values.iter().map(|value| value.as_bytes().to_vec()).collect())
            })
            .collect();
        Self { dn: dn.to_owned(), attributes }
    }
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::{TagClass, parse_tag};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |first, last| Some(Range { first, last });
        for (description, expected) in [
            ("member;range=0-1499", range(0, Some(1499))),
            ("Member;Range=1500-*", range(1500, None)),
            ("member;x-other;range=7-7", range(7, Some(7))),
            ("member", None),
            ("member;range=", None),
            ("member;range=0", None),
            ("member;range=+0-1", None),
            ("member;range=-1-5", None),
            ("member;range=0-99999999999", None),
            ("member;range=*-*", None),
            ("members;range=0-1", None),
        ] {
            assert_eq!(Range::read(description, "member"), expected, "{description}");
        }
    }

    #[test]
    fn parts_must_follow_each_other() {
        let part = |name: &str| Entry::of("cn=g", &[("member", &[]), (name, &["a", "b"])]);
        assert_eq!(part("member;range=0-1").ranged("member", 0).unwrap().next, Some(2));
        assert_eq!(part("member;range=2-*").ranged("member", 2).unwrap().next, None);
        for (name, from) in [
            ("member;range=0-1", 2),
            ("member;range=4-5", 2),
            ("member;range=2-1499", 2),
            ("member;range=2-1", 2),
            ("member;range=0-*", 2),
        ] {
            assert_eq!(part(name).ranged("member", from), Err(Malformed::Form), "{name} from {from}");
        }
        let empty = Entry::of("cn=g", &[("member;range=2-1", &[])]);
        assert_eq!(empty.ranged("member", 2), Err(Malformed::Form));
        let plain = Entry::of("cn=g", &[("member", &["a"])]);
        assert_eq!(plain.ranged("member", 0).unwrap().values.len(), 1);
        assert_eq!(plain.ranged("member", 1500), Err(Malformed::Form));
    }

    proptest! {
        #[test]
        fn any_reply_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if super::super::guard::check(&bytes).is_ok() && let Ok((_, tag)) = parse_tag(&bytes) {
                let _ = Entry::read(tag);
            }
        }

        #[test]
        fn any_description_is_read_without_panic(text: String) {
            let _ = Range::read(&text, "member");
            let _ = Range::read(&format!("member;range={text}"), "member");
        }
    }

    #[test]
    fn a_reply_of_another_form_is_refused() {
        let leaf =
            |bytes: &[u8]| StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(bytes.to_vec()) };
        let branch = |children: Vec<StructureTag>| StructureTag {
            class: TagClass::Universal,
            id: 16,
            payload: PL::C(children),
        };
        for reply in [
            leaf(b""),
            branch(vec![]),
            branch(vec![leaf(b"cn=a")]),
            branch(vec![leaf(b"\xff"), branch(vec![])]),
            branch(vec![branch(vec![]), branch(vec![])]),
            branch(vec![leaf(b"cn=a"), leaf(b"")]),
            branch(vec![leaf(b"cn=a"), branch(vec![branch(vec![leaf(b"x")])])]),
            branch(vec![leaf(b"cn=a"), branch(vec![branch(vec![leaf(b"x"), branch(vec![branch(vec![])])])])]),
        ] {
            assert_eq!(Entry::read(reply.clone()), Err(Malformed::Form), "{reply:?}");
        }
    }
}
