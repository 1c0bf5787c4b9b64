//! The enterprise extension (RFC 7643, section 4.3).

use super::Attribute;

pub(super) const ATTRIBUTES: &[Attribute] = &[
    Attribute::text("employeeNumber", "The number by which the organization knows the person"),
    Attribute::text("costCenter", "The cost center"),
    Attribute::text("organization", "The organization"),
    Attribute::text("division", "The division"),
    Attribute::text("department", "The department"),
    Attribute::complex("manager", "The person's manager", MANAGER),
];

const MANAGER: &[Attribute] = &[
    Attribute::text("value", "The manager's identifier").exact(),
    Attribute::reference("$ref", "The manager's address", &["User"]),
    Attribute::text("displayName", "The manager's name").read_only(),
];
