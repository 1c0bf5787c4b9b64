//! Groups as directories describe them.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::document::{self, Document};
use super::patch::{Patch, PatchError};
use super::resource::{self, Placed, ResourceError, location};
use super::schema::{GROUP, USER};
use super::text::fold;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimGroup {
    display_name: String,
    external_id: Option<String>,
    members: Vec<Member>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// The member's identifier.
    pub id: String,
    /// What kind of resource it is; directories often do not say.
    pub kind: Option<MemberKind>,
}

/// What a member of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberKind {
    /// A user.
    User,
    /// Another group.
    Group,
}

impl MemberKind {
    /// How documents call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }
}

/// Who came and who left between two states of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberChanges {
    /// Who is in it now and was not before.
    pub added: Vec<Member>,
    /// Who was in it before and is not now.
    pub removed: Vec<Member>,
}

/// What the house takes from a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGroup {
    /// Its name. Names that differ only in case are the same; compare by [`fold`].
    pub display_name: String,
    /// The directory's identifier.
    pub external_id: Option<String>,
    /// Identifiers of who is in it.
    pub members: Vec<Member>,
}

impl ScimGroup {
    /// Reads the body of a POST or a PUT.
    ///
    /// # Errors
    /// The body is no group.
    pub fn parse(body: &[u8]) -> Result<Self, ResourceError> {
        Self::from_document(&document::parse(body)?)
    }

    /// The group of these parts, as a store holds them.
    ///
    /// # Errors
    /// The name is none, or there are too many members.
    pub fn new(
        display_name: &str,
        external_id: Option<&str>,
        members: &[Member],
    ) -> Result<Self, ResourceError> {
        Self::from_document(&parts(display_name, external_id, members))
    }

    /// The group after a PATCH.
    ///
    /// # Errors
    /// One of its operations cannot be done. This group is as before.
    pub fn patched(&self, patch: &Patch) -> Result<Self, PatchError> {
        let changed = patch.apply(&self.stored())?;
        Self::from_document(&changed).map_err(PatchError::Result)
    }

    fn from_document(given: &Document) -> Result<Self, ResourceError> {
        let document = resource::read(given, &GROUP)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let given = document.get("members").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let members: Vec<Member> = given.iter().map(member).collect::<Result<_, _>>()?;
        Ok(Self {
            display_name: text("displayName").unwrap_or_default().to_owned(),
            external_id: text("externalId").filter(|id| !id.is_empty()).map(str::to_owned),
            members,
        })
    }

    /// Its name.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Its name as an index holds it: unique in the organization.
    pub fn folded_display_name(&self) -> String {
        fold(&self.display_name)
    }

    /// The directory's identifier.
    pub fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }

    /// Who is in it, nobody twice.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What the house takes from it.
    pub fn identity(&self) -> DirectoryGroup {
        DirectoryGroup {
            display_name: self.display_name.clone(),
            external_id: self.external_id.clone(),
            members: self.members.clone(),
        }
    }

    /// Who came and who left since an earlier state.
    pub fn changes_since(&self, before: &Self) -> MemberChanges {
        let new_in = |here: &Self, there: &Self| {
            let there: HashSet<&str> = there.members.iter().map(|member| member.id.as_str()).collect();
            here.members.iter().filter(|member| !there.contains(member.id.as_str())).cloned().collect()
        };
        MemberChanges { added: new_in(self, before), removed: new_in(before, self) }
    }

    /// The parts that the directory may set, in canonical form.
    pub fn stored(&self) -> Document {
        parts(&self.display_name, self.external_id.as_deref(), &self.members)
    }

    /// The whole document, to be filtered, sorted and rendered.
    pub fn document(&self, placed: Placed<'_>) -> Document {
        let members = self.members.iter().map(|member| {
            let kind = if member.kind == Some(MemberKind::Group) { &GROUP } else { &USER };
            let mut entry = json!({ "value": member.id, "$ref": location(kind, placed.base, &member.id) });
            if let Some(kind) = member.kind {
                entry["type"] = Value::from(kind.as_str());
            }
            entry
        });
        let members: Vec<Value> = members.collect();
        let ours = if members.is_empty() { vec![] } else { vec![("members", Value::Array(members))] };
        resource::rendered(
            &GROUP,
            &parts(&self.display_name, self.external_id.as_deref(), &[]),
            placed,
            &ours,
        )
    }
}

fn parts(display_name: &str, external_id: Option<&str>, members: &[Member]) -> Document {
    let mut document = Document::new();
    document.insert("displayName".to_owned(), Value::from(display_name));
    if let Some(external_id) = external_id {
        document.insert("externalId".to_owned(), Value::from(external_id));
    }
    if !members.is_empty() {
        let member = |member: &Member| {
            let mut object = Document::new();
            object.insert("value".to_owned(), Value::from(member.id.as_str()));
            if let Some(kind) = member.kind {
                object.insert("type".to_owned(), Value::from(kind.as_str()));
            }
            Value::Object(object)
        };
        document.insert("members".to_owned(), members.iter().map(member).collect());
    }
    document
}

fn member(given: &Value) -> Result<Member, ResourceError> {
    let id = given.get("value").and_then(Value::as_str).filter(|id| !id.trim().is_empty());
    let kind = given.get("type").and_then(Value::as_str).and_then(|kind| {
        [MemberKind::User, MemberKind::Group]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(kind))
    });
    Ok(Member { id: id.ok_or(ResourceError::NamelessMember)?.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(body: &Value) -> Result<ScimGroup, ResourceError> {
        ScimGroup::parse(body.to_string().as_bytes())
    }

    #[test]
    fn nobody_is_a_member_twice() {
        let group = group(&json!({
            "displayName": " Engines ",
            "externalId": "g-7",
            "members": [
                { "value": "usr_1", "display": "Ada", "$ref": "https://elsewhere.example/Users/usr_1" },
                { "value": "usr_1", "type": "User" },
                { "value": "USR_1" },
                { "value": "usr_1 " },
                { "value": "grp_2", "type": "group" },
                "usr_3",
            ],
        }))
        .unwrap();
        assert_eq!(group.display_name(), "Engines");
        let members: Vec<_> = group.members().iter().map(|m| (m.id.as_str(), m.kind)).collect();
        let expected = [
            ("usr_1", None),
            ("USR_1", None),
            ("usr_1 ", None),
            ("grp_2", Some(MemberKind::Group)),
            ("usr_3", None),
        ];
        assert_eq!(members, expected);
        assert_eq!(ScimGroup::from_document(&group.stored()), Ok(group));
    }

    #[test]
    fn hostile_groups_are_refused() {
        for (body, why) in [
            (json!({ "members": [] }), "`displayName` is required"),
            (json!({ "displayName": " " }), "`displayName` must not be empty"),
            (json!({ "displayName": "a", "members": [{ "type": "User" }] }), "must have a `value`"),
            (json!({ "displayName": "a", "members": [{ "value": " " }] }), "must have a `value`"),
            (json!({ "displayName": "a", "members": [{ "value": 7 }] }), "`value` must be a text"),
            (json!({ "displayName": "a", "members": [["usr_1"]] }), "`members` must be an object"),
            (json!({ "displayName": "a", "members": true }), "`members` must be an object"),
        ] {
            let error = group(&body).expect_err(&body.to_string()).to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn changes_are_who_came_and_who_left() {
        let of = |ids: &[&str]| group(&json!({ "displayName": "a", "members": ids })).unwrap();
        let changes = of(&["b", "c", "d"]).changes_since(&of(&["a", "b"]));
        let ids = |members: &[Member]| members.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
        assert_eq!(
            (ids(&changes.added), ids(&changes.removed)),
            (vec!["c".into(), "d".into()], vec!["a".into()])
        );
    }
}
