//! Users as directories describe them, and what the house takes from that.

use gatehouse_domain::name::{self, Email, Name, is_unprintable};
use serde_json::{Value, json};

use super::document::{self, Document};
use super::patch::{Patch, PatchError};
use super::resource::{self, Placed, ResourceError, location};
use super::schema::{GROUP, USER};
use super::text::fold;

/// A user in canonical form: has a name, holds only what the directory may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimUser {
    document: Document,
}

/// A group that a user is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRef {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub display: String,
}

/// What the house takes from a user. Nothing here can fail: a directory must be able to disable a person whose name or
/// address we would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUser {
    /// The name by which the directory knows them. Names that differ only in case are the same; compare by [`fold`].
    pub user_name: String,
    /// Their address: the primary one, else one for work, else the first, else the user name, if it is an address.
    pub email: Option<Email>,
    /// Their name for people to read, without characters that cannot be seen, cut to the length of names.
    pub display_name: Option<Name>,
    /// Whether they may sign in and use their keys.
    pub active: bool,
    /// The directory's identifier.
    pub external_id: Option<String>,
}

impl ScimUser {
    /// Reads the body of a POST. Who is not said to be inactive is active.
    ///
    /// # Errors
    /// The body is no user.
    pub fn parse(body: &[u8]) -> Result<Self, ResourceError> {
        Self::with_default_active(&document::parse(body)?, true)
    }

    /// Reads the body of a PUT to this user. `active` stays what it is when the body does not say: nobody is let in
    /// again by an omission.
    ///
    /// # Errors
    /// The body is no user.
    pub fn replaced_by(&self, body: &[u8]) -> Result<Self, ResourceError> {
        Self::with_default_active(&document::parse(body)?, self.is_active())
    }

    /// Reads what [`ScimUser::stored`] gave.
    ///
    /// # Errors
    /// It is no user.
    pub fn from_stored(stored: &Document) -> Result<Self, ResourceError> {
        Ok(Self { document: resource::read(stored, &USER)? })
    }

    /// The user after a PATCH.
    ///
    /// # Errors
    /// One of its operations cannot be done. This user is as before.
    pub fn patched(&self, patch: &Patch) -> Result<Self, PatchError> {
        let changed = patch.apply(&self.document)?;
        Self::from_stored(&changed).map_err(PatchError::Result)
    }

    fn with_default_active(given: &Document, active: bool) -> Result<Self, ResourceError> {
        let mut document = resource::read(given, &USER)?;
        document.entry("active").or_insert(Value::Bool(active));
        Ok(Self { document })
    }

    /// What to store.
    pub const fn stored(&self) -> &Document {
        &self.document
    }

    /// The name by which the directory knows them, as it spells it.
    pub fn user_name(&self) -> &str {
        self.text("userName").unwrap_or_default()
    }

    /// The user name as an index holds it: unique in the organization.
    pub fn folded_user_name(&self) -> String {
        fold(self.user_name())
    }

    /// The directory's identifier. An empty one is none, or two users would seem to be the same.
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId").filter(|id| !id.is_empty())
    }

    /// The name for people to read, as the directory spells it.
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// Whether they may sign in. `active` is absent only after a PATCH took it away, and then they may not: as for a
    /// filter by `active eq true`, what is not said to be is not.
    pub fn is_active(&self) -> bool {
        self.document.get("active") == Some(&Value::Bool(true))
    }

    /// What the house takes from them.
    pub fn identity(&self) -> DirectoryUser {
        DirectoryUser {
            user_name: self.user_name().to_owned(),
            email: self.email(),
            display_name: self.names().find_map(|name| readable(&name)),
            active: self.is_active(),
            external_id: self.external_id().map(str::to_owned),
        }
    }

    /// The whole document, to be filtered, sorted and rendered.
    pub fn document(&self, placed: Placed<'_>, groups: &[GroupRef]) -> Document {
        let groups: Vec<Value> = groups
            .iter()
            .map(|group| {
                let address = location(&GROUP, placed.base, &group.id);
                json!({ "value": group.id, "$ref": address, "display": group.display, "type": "direct" })
            })
            .collect();
        let ours = if groups.is_empty() { vec![] } else { vec![("groups", Value::Array(groups))] };
        resource::rendered(&USER, &self.document, placed, &ours)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.document.get(name).and_then(Value::as_str)
    }

    /// The first of their addresses that is one, the most fitting first.
    fn email(&self) -> Option<Email> {
        let given = self.document.get("emails").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut ranked: Vec<&Value> = given.iter().collect();
        ranked.sort_by_key(|email| {
            (
                email.get("primary") != Some(&Value::Bool(true)),
                email.get("type") != Some(&Value::from("work")),
            )
        });
        let addresses = ranked.into_iter().filter_map(|email| email.get("value")?.as_str());
        addresses.chain([self.user_name()]).find_map(|address| Email::parse(address).ok())
    }

    /// What may serve as the name for people to read, the most fitting first.
    fn names(&self) -> impl Iterator<Item = String> {
        let part = |part: &str| self.document.get("name")?.get(part)?.as_str();
        let both =
            [part("givenName"), part("familyName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        [self.display_name(), part("formatted")]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .chain([both])
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// A name that people can read, made of a given one; `None` if nothing is left of it.
fn readable(given: &str) -> Option<Name> {
    let seen: String = given.chars().filter(|c| !is_unprintable(*c)).collect();
    let short: String = seen.trim().chars().take(name::MAX_NAME).collect();
    Name::parse(&short).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(body: &Value) -> Result<ScimUser, ResourceError> {
        ScimUser::parse(body.to_string().as_bytes())
    }

    #[test]
    fn unknown_and_read_only_attributes_are_dropped() {
        let user = user(&json!({
            "schemas": ["URN:ietf:params:scim:schemas:core:2.0:user", "urn:example:custom:2.0:User"],
            "ID": "chosen-by-the-directory",
            "USERNAME": "  Ada@Example.com ",
            "password": "hunter2",
            "groups": [{ "value": "admins" }],
            "meta": { "resourceType": "User" },
            "emails": { "Value": "ada@example.com", "TYPE": "Work", "primary": "True", "unknown": 1 },
            "nickName": null,
            "phoneNumbers": [],
            "urn:example:custom:2.0:User": { "tag": "x" },
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user": {
                "Department": "Engines", "manager": "usr_9", "unknown": true,
            },
        }))
        .unwrap();
        assert_eq!(
            Value::Object(user.stored().clone()),
            json!({
                "userName": "Ada@Example.com",
                "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                    "department": "Engines", "manager": { "value": "usr_9" },
                },
                "active": true,
            })
        );
        assert_eq!(ScimUser::from_stored(user.stored()), Ok(user.clone()));
        assert_eq!(user.folded_user_name(), "ada@example.com");
    }

    #[test]
    fn hostile_users_are_refused() {
        for (body, why) in [
            (json!({}), "`userName` is required"),
            (json!({ "userName": null }), "`userName` is required"),
            (json!({ "userName": "" }), "`userName` must not be empty"),
            (json!({ "userName": " \t " }), "`userName` must not be empty"),
            (json!({ "userName": 7 }), "`userName` must be a text"),
            (json!({ "userName": ["ada"] }), "`userName` must be a text"),
            (json!({ "userName": { "value": "ada" } }), "`userName` must be a text"),
            (json!({ "userName": "a\u{0}b" }), "`userName` has the character U+0000"),
            (json!({ "userName": "a\u{202e}b" }), "`userName` has the character U+202E"),
            (json!({ "userName": "a".repeat(257) }), "`userName` is longer than 256 characters"),
            (json!({ "userName": "a", "active": "yes" }), "`active` must be `true` or `false`"),
            (json!({ "userName": "a", "active": 0 }), "`active` must be `true` or `false`"),
            (json!({ "userName": "a", "active": [false] }), "`active` must be `true` or `false`"),
            (json!({ "userName": "a", "name": "Ada" }), "`name` must be an object"),
            (json!({ "userName": "a", "name": { "givenName": ["Ada"] } }), "`givenName` must be a text"),
            (json!({ "userName": "a", "emails": [7] }), "`emails` must be an object"),
            (
                json!({ "userName": "a", "emails": vec![json!({ "display": "a" }); 101] }),
                "`emails` has more than 100",
            ),
            (json!({ "userName": "a", "title": "x".repeat(8193) }), "`title` is longer than 8192 bytes"),
            (
                json!({ "userName": "a", "emails": [
                    { "value": "a@example.com", "primary": true }, { "value": "b@example.com", "primary": "true" },
                ] }),
                "more than one value of `emails` is primary",
            ),
            (json!({ "userName": "a", "schemas": "urn:x" }), "`schemas` must hold"),
            (
                json!({ "userName": "a", "schemas": [super::super::schema::CORE_GROUP] }),
                "`schemas` must hold",
            ),
            (
                json!({ "userName": "a", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": [] }),
                "must be an object",
            ),
        ] {
            let error = user(&body).expect_err(&body.to_string()).to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn the_house_takes_what_it_can_use() {
        for (body, email, name) in [
            (
                json!({ "userName": "ada", "displayName": "Ada", "emails": [
                    { "value": "ada@home.example", "type": "home" },
                    { "value": "Ada@Example.com", "type": "work" },
                ] }),
                Some("ada@example.com"),
                Some("Ada"),
            ),
            (
                json!({ "userName": "ada", "name": { "givenName": "Ada", "familyName": "Lovelace" }, "emails": [
                    { "value": "work@example.com", "type": "work" },
                    { "value": "first@example.com", "primary": true },
                ] }),
                Some("first@example.com"),
                Some("Ada Lovelace"),
            ),
            (
                json!({ "userName": "ada@example.com", "displayName": "\u{200b} ", "name": { "formatted": "A. L." },
                    "emails": [{ "value": "no address" }] }),
                Some("ada@example.com"),
                Some("A. L."),
            ),
            (json!({ "userName": "ada" }), None, None),
            (json!({ "userName": "ada", "displayName": "<img onerror>" }), None, Some("<img onerror>")),
        ] {
            let identity = user(&body).unwrap().identity();
            assert_eq!(identity.email.as_ref().map(Email::as_str), email, "{body}");
            assert_eq!(identity.display_name.as_ref().map(Name::as_str), name, "{body}");
        }
        let long = user(&json!({ "userName": "ada", "displayName": "名".repeat(500) })).unwrap();
        assert_eq!(long.identity().display_name.unwrap().as_str().chars().count(), name::MAX_NAME);
    }

    #[test]
    fn an_empty_identifier_is_none() {
        assert_eq!(user(&json!({ "userName": "ada", "externalId": "" })).unwrap().external_id(), None);
    }

    #[test]
    fn an_omission_lets_nobody_in_again() {
        let disabled = user(&json!({ "userName": "ada", "active": "False" })).unwrap();
        assert!(!disabled.is_active());
        assert!(!disabled.replaced_by(br#"{"userName":"ada"}"#).unwrap().is_active());
        assert!(disabled.replaced_by(br#"{"userName":"ada","active":true}"#).unwrap().is_active());
        let body = br#"{"Operations":[{"op":"remove","path":"active"}]}"#;
        let unsaid = disabled.patched(&Patch::parse(body, &USER).unwrap()).unwrap();
        assert!(!unsaid.is_active() && unsaid.stored().get("active").is_none());
    }
}
