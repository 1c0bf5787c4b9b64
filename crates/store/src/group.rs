//! Groups that directories bring in, who is in them, and the teams they stand for.
//!
//! A group may be *mapped* to a team. Of a team that groups are mapped to, the provisioned members are exactly the users
//! in those groups, or in groups within them; its local members are not touched.

mod change;
mod find;
mod member;

use gatehouse_domain::id::{GroupId, TeamId};
use gatehouse_domain::source::Source;
use gatehouse_domain::time::UnixMillis;

use crate::error::StoreError;
use crate::stored;

pub(crate) use member::{forget_member, settle, teams_above};

pub use find::{GroupOrder, GroupWanted};

const NOUN: &str = "group";

/// A group of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its identifier.
    pub id: GroupId,
    /// Who brought it in.
    pub source: Source,
    /// Tells it apart from the other groups of its source: the folded name, or the folded distinguished name.
    pub name_key: String,
    /// Its name.
    pub display_name: String,
    /// The source's identifier.
    pub external_id: Option<String>,
    /// The team that its members are in.
    pub team: Option<TeamId>,
    /// Counts up with each change.
    pub version: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// How many members it has.
    pub members: u64,
}

/// What a source says of a group, apart from its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupData {
    /// Tells it apart from the other groups of its source.
    pub name_key: String,
    /// Its name.
    pub display_name: String,
    /// The source's identifier.
    pub external_id: Option<String>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Identifier of the user or group.
    pub id: String,
    /// Which of them it is.
    pub kind: MemberKind,
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
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    source: String,
    name_key: String,
    display_name: String,
    external_id: Option<String>,
    team_id: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
    members: i64,
}

fn group_of(row: Row) -> Result<Group, StoreError> {
    Ok(Group {
        id: stored::parsed(NOUN, &row.id)?,
        source: stored::parsed(NOUN, &row.source)?,
        name_key: row.name_key,
        display_name: row.display_name,
        external_id: row.external_id,
        team: stored::parsed_some("team", row.team_id.as_deref())?,
        version: stored::unsigned(NOUN, row.version)?,
        created_at: UnixMillis(row.created_at),
        updated_at: UnixMillis(row.updated_at),
        members: stored::unsigned(NOUN, row.members)?,
    })
}
