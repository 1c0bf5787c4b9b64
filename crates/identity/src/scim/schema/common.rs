//! Attributes of every resource, and attributes that many lists share.

use super::{Attribute, Kind};

/// URN of the user schema.
pub const CORE_USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the group schema.
pub const CORE_GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// URN of the enterprise extension.
pub const ENTERPRISE_USER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

pub(super) const ATTRIBUTES: &[Attribute] = &[
    Attribute::text("schemas", "URNs of the schemas that the resource has attributes of")
        .exact()
        .many()
        .always(),
    Attribute::text("id", "Our identifier of the resource").exact().read_only().always().unique(),
    Attribute::text("externalId", "The directory's identifier of the resource").exact(),
    Attribute::complex("meta", "When and where the resource was made and changed", META).read_only(),
];

const META: &[Attribute] = &[
    Attribute::text("resourceType", "The kind of resource").exact().read_only(),
    Attribute::new(Kind::DateTime, "created", "When the resource was made").read_only(),
    Attribute::new(Kind::DateTime, "lastModified", "When the resource was last changed").read_only(),
    Attribute::reference("location", "The resource's address", &["uri"]).read_only(),
    Attribute::text("version", "The resource's entity tag").exact().read_only(),
];

pub(super) const DISPLAY: Attribute = Attribute::text("display", "The value for people to read");
pub(super) const PRIMARY: Attribute =
    Attribute::flag("primary", "Whether this is the preferred value; at most one is");

/// The attributes of a plain list: `value`, `display`, `type`, `primary`.
pub(super) const PLAIN: &[Attribute] = &[
    Attribute::text("value", "The value"),
    DISPLAY,
    Attribute::text("type", "What the value is for"),
    PRIMARY,
];
