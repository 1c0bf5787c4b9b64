//! The group schema (RFC 7643, section 4.2).

use super::Attribute;

pub(super) const ATTRIBUTES: &[Attribute] = &[
    Attribute::text("displayName", "The group's name").required().unique(),
    Attribute::complex("members", "Who is in the group", MEMBER).many(),
];

const MEMBER: &[Attribute] = &[
    Attribute::text("value", "The member's identifier").exact().immutable(),
    Attribute::reference("$ref", "The member's address", &["User", "Group"]).immutable(),
    Attribute::text("type", "The kind of member").usually(&["User", "Group"]).immutable(),
];
