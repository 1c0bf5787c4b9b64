//! Finding groups and their members.

use gatehouse_domain::id::{GroupId, OrgId};
use gatehouse_domain::source::Source;

use super::{Group, Member, MemberKind, NOUN, Row, group_of};
use crate::dialect::{read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

const COLUMNS: &str = "SELECT g.id, g.source, g.name_key, g.display_name, g.external_id, g.team_id, g.version, \
     g.created_at, g.updated_at, \
     (SELECT COUNT(*) FROM directory_members m WHERE m.org_id = g.org_id AND m.group_id = g.id) AS members \
     FROM directory_groups g WHERE g.org_id = $1";
const COUNT: &str = "SELECT COUNT(*) FROM directory_groups g WHERE g.org_id = $1";

/// Which groups of a source are wanted. Folded values are compared as they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupWanted {
    /// All.
    All,
    /// The one with this identifier; a text that is none names no group.
    Group(String),
    /// The one of this key.
    NameKey(String),
    /// Those with this identifier of the source.
    ExternalId(String),
    /// Those that this user or group is directly in.
    Member(String),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupOrder {
    /// By identifier: as they were made.
    Group,
    /// By identifier, the newest first.
    GroupDescending,
    /// By key.
    NameKey,
    /// By key, the last first.
    NameKeyDescending,
    /// By the time of the last change.
    Updated,
    /// By the time of the last change, the newest first.
    UpdatedDescending,
}

impl GroupOrder {
    const fn sql(self) -> &'static str {
        match self {
            Self::Group => "ORDER BY g.id",
            Self::GroupDescending => "ORDER BY g.id DESC",
            Self::NameKey => "ORDER BY g.name_key",
            Self::NameKeyDescending => "ORDER BY g.name_key DESC",
            Self::Updated => "ORDER BY g.updated_at, g.id",
            Self::UpdatedDescending => "ORDER BY g.updated_at DESC, g.id",
        }
    }
}

impl Store {
    /// Looks a group of a source up.
    ///
    /// # Errors
    /// The source has none of that identifier; the database.
    pub async fn group(&self, org: OrgId, source: &Source, id: GroupId) -> Result<Group, StoreError> {
        let filter = of_source(COLUMNS, org, source, &GroupWanted::Group(id.to_string()));
        self.group_rows(filter).await?.pop().ok_or_else(|| StoreError::not_found(NOUN, id))
    }

    /// Looks a group up, of whatever source.
    ///
    /// # Errors
    /// There is none of that identifier; the database.
    pub async fn any_group(&self, org: OrgId, id: GroupId) -> Result<Group, StoreError> {
        let mut filter = Filter::new(COLUMNS, org);
        filter.arg("AND g.id = $?", Arg::Text(id.to_string()));
        self.group_rows(filter).await?.pop().ok_or_else(|| StoreError::not_found(NOUN, id))
    }

    /// Lists the groups of all sources by identifier.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn all_groups(&self, org: OrgId, page: &Page) -> Result<Listed<Group>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(COLUMNS, org);
        filter.text("AND g.id > $?", page.cursor(|text| text.parse::<GroupId>().ok())?);
        filter.arg("ORDER BY g.id LIMIT $?", Arg::Int(rows));
        Ok(Listed::new(self.group_rows(filter).await?, page, |group| group.id.to_string()))
    }

    /// Counts groups of a source.
    ///
    /// # Errors
    /// The database.
    pub async fn count_groups(
        &self,
        org: OrgId,
        source: &Source,
        wanted: &GroupWanted,
    ) -> Result<u64, StoreError> {
        let (sql, args) = of_source(COUNT, org, source, wanted).into_parts();
        let (count,): (i64,) = read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_one(db).await)?;
        stored::unsigned(NOUN, count)
    }

    /// Lists groups of a source: `limit` of them, leaving out the first `offset`.
    ///
    /// # Errors
    /// The database.
    pub async fn groups(
        &self,
        org: OrgId,
        source: &Source,
        wanted: &GroupWanted,
        order: GroupOrder,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        let mut filter = of_source(COLUMNS, org, source, wanted);
        filter.sql(order.sql());
        filter.arg("LIMIT $?", Arg::Int(i64::from(limit)));
        filter.arg("OFFSET $?", Arg::Int(i64::try_from(offset).unwrap_or(i64::MAX)));
        self.group_rows(filter).await
    }

    /// Lists groups of a source by identifier, those after `after`.
    ///
    /// # Errors
    /// The database.
    pub async fn groups_after(
        &self,
        org: OrgId,
        source: &Source,
        wanted: &GroupWanted,
        after: Option<GroupId>,
        limit: u32,
    ) -> Result<Vec<Group>, StoreError> {
        let mut filter = of_source(COLUMNS, org, source, wanted);
        filter.text("AND g.id > $?", after);
        filter.sql(GroupOrder::Group.sql());
        filter.arg("LIMIT $?", Arg::Int(i64::from(limit)));
        self.group_rows(filter).await
    }

    /// Who is directly in a group, at most `limit`.
    ///
    /// # Errors
    /// The database.
    pub async fn group_members(
        &self,
        org: OrgId,
        id: GroupId,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT member_id, kind FROM directory_members WHERE org_id = $1 AND group_id = $2 \
                 ORDER BY member_id LIMIT $3",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(i64::from(limit))
            .fetch_all(db)
            .await
        })?;
        let member = |(id, kind): (String, String)| {
            let kind = if kind == "group" { MemberKind::Group } else { MemberKind::User };
            Member { id, kind }
        };
        Ok(rows.into_iter().map(member).collect())
    }

    async fn group_rows(&self, filter: Filter) -> Result<Vec<Group>, StoreError> {
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(group_of).collect()
    }
}

/// The group, within a transaction.
pub(super) async fn in_tx(tx: &mut Tx, org: OrgId, id: GroupId) -> Result<Group, StoreError> {
    let mut filter = Filter::new(COLUMNS, org);
    filter.arg("AND g.id = $?", Arg::Text(id.to_string()));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), group_of)
}

fn of_source(sql: &'static str, org: OrgId, source: &Source, wanted: &GroupWanted) -> Filter {
    let mut filter = Filter::new(sql, org);
    filter.arg("AND g.source = $?", Arg::Text(source.to_string()));
    // A zero byte is in no stored text, and PostgreSQL takes none.
    let text = |text: &str| Arg::Text(text.replace('\0', "\u{fffd}"));
    match wanted {
        GroupWanted::All => {}
        GroupWanted::Group(id) => filter.arg("AND g.id = $?", text(id)),
        GroupWanted::NameKey(key) => filter.arg("AND g.name_key = $?", text(key)),
        GroupWanted::ExternalId(id) => filter.arg("AND g.external_id = $?", text(id)),
        GroupWanted::Member(id) => filter.arg(
            "AND EXISTS (SELECT 1 FROM directory_members m \
             WHERE m.org_id = g.org_id AND m.group_id = g.id AND m.member_id = $?)",
            text(id),
        ),
    }
    filter
}
