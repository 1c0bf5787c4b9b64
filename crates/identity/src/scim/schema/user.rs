//! The user schema (RFC 7643, section 4.1).

use super::Attribute;
use super::common::{DISPLAY, PLAIN, PRIMARY};

pub(super) const ATTRIBUTES: &[Attribute] = &[
    Attribute::text("userName", "The name by which the directory knows the person; their sign-in name")
        .required()
        .unique(),
    Attribute::complex("name", "The parts of the person's name", NAME),
    Attribute::text("displayName", "The person's name for people to read"),
    Attribute::text("nickName", "How the person is called"),
    Attribute::reference("profileUrl", "A page about the person", &["external"]),
    Attribute::text("title", "The person's title, such as Vice President"),
    Attribute::text("userType", "How the person belongs to the organization, such as Employee"),
    Attribute::text("preferredLanguage", "The languages the person prefers, as in Accept-Language"),
    Attribute::text("locale", "The person's locale, such as en-US"),
    Attribute::text("timezone", "The person's time zone, such as Europe/Zurich"),
    Attribute::flag("active", "Whether the person may sign in and use their keys"),
    Attribute::complex("emails", "E-mail addresses", EMAIL).many(),
    Attribute::complex("phoneNumbers", "Telephone numbers", PHONE).many(),
    Attribute::complex("ims", "Instant messaging addresses", PLAIN).many(),
    Attribute::complex("photos", "Addresses of pictures", PHOTO).many(),
    Attribute::complex("addresses", "Postal addresses", ADDRESS).many(),
    Attribute::complex("groups", "The groups the person is in; changed through the groups", GROUP)
        .many()
        .read_only(),
    Attribute::complex("entitlements", "What the person is entitled to", PLAIN).many(),
    Attribute::complex("roles", "The person's roles in the organization", PLAIN).many(),
];

const NAME: &[Attribute] = &[
    Attribute::text("formatted", "The whole name"),
    Attribute::text("familyName", "The family name"),
    Attribute::text("givenName", "The given name"),
    Attribute::text("middleName", "The middle names"),
    Attribute::text("honorificPrefix", "Titles before the name"),
    Attribute::text("honorificSuffix", "Titles after the name"),
];

const WORK_HOME: &[&str] = &["work", "home", "other"];

const EMAIL: &[Attribute] = &[
    Attribute::text("value", "The address"),
    DISPLAY,
    Attribute::text("type", "What the address is for").usually(WORK_HOME),
    PRIMARY,
];

const PHONE: &[Attribute] = &[
    Attribute::text("value", "The number"),
    DISPLAY,
    Attribute::text("type", "What the number is for")
        .usually(&["work", "home", "mobile", "fax", "pager", "other"]),
    PRIMARY,
];

const PHOTO: &[Attribute] = &[
    Attribute::reference("value", "The picture's address", &["external"]),
    DISPLAY,
    Attribute::text("type", "What the picture is for").usually(&["photo", "thumbnail"]),
    PRIMARY,
];

const ADDRESS: &[Attribute] = &[
    Attribute::text("formatted", "The whole address"),
    Attribute::text("streetAddress", "Street and number"),
    Attribute::text("locality", "City"),
    Attribute::text("region", "State or region"),
    Attribute::text("postalCode", "Postal code"),
    Attribute::text("country", "Country, as in ISO 3166-1"),
    Attribute::text("type", "What the address is for").usually(WORK_HOME),
    PRIMARY,
];

const GROUP: &[Attribute] = &[
    Attribute::text("value", "The group's identifier").exact().read_only(),
    Attribute::reference("$ref", "The group's address", &["Group"]).read_only(),
    Attribute::text("display", "The group's name").read_only(),
    Attribute::text("type", "Whether the person is in the group itself or in a group within it")
        .usually(&["direct", "indirect"])
        .read_only(),
];
