//! Schemas as data: which attributes users and groups have, and what is true of each (RFC 7643, sections 2, 4 and 7).

use serde_json::{Value, json};

pub use common::{CORE_GROUP, CORE_USER, ENTERPRISE_USER};

mod common;
mod user;
mod enterprise;
mod group;

/// What an attribute's values are. Numbers and binaries are absent: no attribute here has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A time.
    DateTime,
    /// The address of something.
    Reference,
    /// An object with attributes of its own.
    Complex,
}

impl Kind {
    /// How schema documents call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Boolean => "boolean",
            Self::DateTime => "dateTime",
            Self::Reference => "reference",
            Self::Complex => "complex",
        }
    }
}

/// Who may change an attribute, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutability {
    /// The directory, at any time.
    ReadWrite,
    /// Only we.
    ReadOnly,
    /// The directory, once.
    Immutable,
}

/// When an attribute is part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Returned {
    /// Whatever was asked for.
    Always,
    /// Unless something else was asked for.
    Default,
}

/// Among whom a value is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Uniqueness {
    /// It need not be.
    None,
    /// Among all resources of its kind in the organization.
    Server,
}

/// An attribute, or an attribute of an attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, spelled as documents spell it.
    pub name: &'static str,
    /// What it means.
    pub description: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether it holds a list.
    pub multi_valued: bool,
    /// Whether a resource must have it.
    pub required: bool,
    /// Whether case tells its values apart.
    pub case_exact: bool,
    /// Who may change it.
    pub mutability: Mutability,
    /// When it is part of an answer.
    pub returned: Returned,
    /// Among whom it is unique.
    pub uniqueness: Uniqueness,
    /// Values it usually has. Others are taken as well.
    pub canonical: &'static [&'static str],
    /// What it may refer to.
    pub references: &'static [&'static str],
    /// Its own attributes.
    pub sub: &'static [Attribute],
}

impl Attribute {
    /// Its own attribute of this name, whatever its case.
    pub fn sub(&self, name: &str) -> Option<&'static Self> {
        self.sub.iter().find(|sub| sub.name.eq_ignore_ascii_case(name))
    }

    /// Its entry in a schema document.
    pub fn document(&self) -> Value {
        let mut entry = json!({
            "name": self.name,
            "type": self.kind.as_str(),
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": match self.mutability {
                Mutability::ReadWrite => "readWrite",
                Mutability::ReadOnly => "readOnly",
                Mutability::Immutable => "immutable",
            },
            "returned": match self.returned {
                Returned::Always => "always",
                Returned::Default => "default",
            },
            "uniqueness": match self.uniqueness {
                Uniqueness::None => "none",
                Uniqueness::Server => "server",
            },
        });
        if !self.canonical.is_empty() {
            entry["canonicalValues"] = json!(self.canonical);
        }
        if !self.references.is_empty() {
            entry["referenceTypes"] = json!(self.references);
        }
        if !self.sub.is_empty() {
            entry["subAttributes"] = self.sub.iter().map(Self::document).collect();
        }
        entry
    }

    const fn new(kind: Kind, name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            description,
            kind,
            multi_valued: false,
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical: &[],
            references: &[],
            sub: &[],
        }
    }

    const fn text(name: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Text, name, description)
    }

    const fn flag(name: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Boolean, name, description)
    }

    const fn complex(name: &'static str, description: &'static str, sub: &'static [Self]) -> Self {
        Self { sub, ..Self::new(Kind::Complex, name, description) }
    }

    /// Addresses tell cases apart (RFC 7643, section 2.3.7).
    const fn reference(name: &'static str, description: &'static str, to: &'static [&'static str]) -> Self {
        Self { references: to, case_exact: true, ..Self::new(Kind::Reference, name, description) }
    }

    const fn many(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    const fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    const fn always(self) -> Self {
        Self { returned: Returned::Always, ..self }
    }

    const fn unique(self) -> Self {
        Self { uniqueness: Uniqueness::Server, ..self }
    }

    const fn usually(self, canonical: &'static [&'static str]) -> Self {
        Self { canonical, ..self }
    }
}

/// A set of attributes with a URN.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it describes.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// Its attribute of this name, whatever its case.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }
}

/// What every resource has, whatever its schema (RFC 7643, section 3.1). Not served as a document.
pub static COMMON: Schema =
    Schema { id: "", name: "Common", description: "What every resource has", attributes: common::ATTRIBUTES };

/// `User` (RFC 7643, section 4.1), without passwords and certificates.
pub static USER_SCHEMA: Schema =
    Schema { id: CORE_USER, name: "User", description: "A person", attributes: user::ATTRIBUTES };

/// The enterprise extension of `User` (RFC 7643, section 4.3).
pub static ENTERPRISE_SCHEMA: Schema = Schema {
    id: ENTERPRISE_USER,
    name: "EnterpriseUser",
    description: "A person's place in an organization",
    attributes: enterprise::ATTRIBUTES,
};

/// `Group` (RFC 7643, section 4.2).
pub static GROUP_SCHEMA: Schema =
    Schema { id: CORE_GROUP, name: "Group", description: "A group of people", attributes: group::ATTRIBUTES };

/// A kind of resource (RFC 7643, section 6).
#[derive(Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// Its name, also in `meta.resourceType`.
    pub name: &'static str,
    /// Its path below the base address.
    pub endpoint: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Its own schema.
    pub core: &'static Schema,
    /// The schemas that add to it. None is required.
    pub extensions: &'static [&'static Schema],
}

/// Users.
pub static USER: ResourceType = ResourceType {
    name: "User",
    endpoint: "/Users",
    description: "People who may sign in",
    core: &USER_SCHEMA,
    extensions: &[&ENTERPRISE_SCHEMA],
};

/// Groups.
pub static GROUP: ResourceType = ResourceType {
    name: "Group",
    endpoint: "/Groups",
    description: "Groups of people",
    core: &GROUP_SCHEMA,
    extensions: &[],
};

impl ResourceType {
    /// Its own schema and those that add to it.
    pub fn schemas(&self) -> impl Iterator<Item = &'static Schema> {
        std::iter::once(self.core).chain(self.extensions.iter().copied())
    }

    /// The one of its schemas with this URN, whatever its case.
    pub fn schema(&self, urn: &str) -> Option<&'static Schema> {
        self.schemas().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// Its attribute of this name at the top of a document, and where it is defined: its own, or one that all have.
    pub fn attribute(&self, name: &str) -> Option<(&'static Schema, &'static Attribute)> {
        [self.core, &COMMON].into_iter().find_map(|schema| Some((schema, schema.attribute(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attribute: &Attribute, depth: usize) {
        let Attribute { name, kind, .. } = attribute;
        assert_eq!(*kind == Kind::Complex, !attribute.sub.is_empty(), "{name}");
        assert_eq!(*kind == Kind::Reference, !attribute.references.is_empty(), "{name}");
        assert!(!attribute.description.is_empty() && depth < 2, "{name}: complex attributes do not nest");
        for (at, sub) in attribute.sub.iter().enumerate() {
            assert!(attribute.sub[..at].iter().all(|before| !before.name.eq_ignore_ascii_case(sub.name)));
            check(sub, depth + 1);
        }
    }

    #[test]
    fn the_tables_keep_the_rules_of_attributes() {
        for schema in USER.schemas().chain(GROUP.schemas()).chain([&COMMON]) {
            schema.attributes.iter().for_each(|attribute| check(attribute, 0));
        }
        for kind in [&USER, &GROUP] {
            let own = kind.core.attributes;
            assert!(own.iter().all(|a| COMMON.attribute(a.name).is_none()), "names at the top do not clash");
        }
    }

    #[test]
    fn names_and_urns_have_no_case() {
        assert_eq!(USER.attribute("USERNAME").unwrap().1.name, "userName");
        assert_eq!(USER.attribute("externalid").unwrap().0, &COMMON);
        let urn = "URN:ietf:params:scim:schemas:extension:enterprise:2.0:user";
        assert_eq!(USER.schema(urn), Some(&ENTERPRISE_SCHEMA));
        assert_eq!(GROUP.schema(urn), None);
        assert!(USER.attribute("password").is_none());
    }
}
