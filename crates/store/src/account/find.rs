//! Finding accounts.

use std::collections::HashMap;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::source::Source;

use super::{Account, GroupOf, NOUN, Row, account_of};
use crate::dialect::{read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

const COLUMNS: &str = "SELECT a.user_id, a.source, a.name_key, a.user_name, a.external_id, a.document, a.active, \
     a.version, a.created_at, a.updated_at, u.state \
     FROM accounts a JOIN users u ON u.org_id = a.org_id AND u.id = a.user_id \
     WHERE a.org_id = $1 AND a.deleted_at IS NULL";
const COUNT: &str = "SELECT COUNT(*) FROM accounts a WHERE a.org_id = $1 AND a.deleted_at IS NULL";

/// Users asked for at a time.
const CHUNK: usize = 100;

/// Which accounts of a source are wanted. Folded values are compared as they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountWanted {
    /// All.
    All,
    /// That of this user; a text that is no identifier names none.
    User(String),
    /// That of this key.
    NameKey(String),
    /// Those with this identifier of the source.
    ExternalId(String),
    /// Those with this folded name to show.
    DisplayKey(String),
    /// Those with this folded address.
    Email(String),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountOrder {
    /// By identifier: as they were made.
    User,
    /// By identifier, the newest first.
    UserDescending,
    /// By key.
    NameKey,
    /// By key, the last first.
    NameKeyDescending,
    /// By the time of the last change.
    Updated,
    /// By the time of the last change, the newest first.
    UpdatedDescending,
}

impl AccountOrder {
    const fn sql(self) -> &'static str {
        match self {
            Self::User => "ORDER BY a.user_id",
            Self::UserDescending => "ORDER BY a.user_id DESC",
            Self::NameKey => "ORDER BY a.name_key",
            Self::NameKeyDescending => "ORDER BY a.name_key DESC",
            Self::Updated => "ORDER BY a.updated_at, a.user_id",
            Self::UpdatedDescending => "ORDER BY a.updated_at DESC, a.user_id",
        }
    }
}

impl Store {
    /// Looks an account of a source up.
    ///
    /// # Errors
    /// The source has none of that user; the database.
    pub async fn account(&self, org: OrgId, source: &Source, user: UserId) -> Result<Account, StoreError> {
        let filter = of_source(COLUMNS, org, source, &AccountWanted::User(user.to_string()));
        self.account_rows(filter).await?.pop().ok_or_else(|| StoreError::not_found(NOUN, user))
    }

    /// The account of a user, of whatever source, if it has one.
    ///
    /// # Errors
    /// The database.
    pub async fn account_of_user(&self, org: OrgId, user: UserId) -> Result<Option<Account>, StoreError> {
        let mut filter = Filter::new(COLUMNS, org);
        filter.arg("AND a.user_id = $?", Arg::Text(user.to_string()));
        Ok(self.account_rows(filter).await?.pop())
    }

    /// Counts accounts of a source.
    ///
    /// # Errors
    /// The database.
    pub async fn count_accounts(
        &self,
        org: OrgId,
        source: &Source,
        wanted: &AccountWanted,
    ) -> Result<u64, StoreError> {
        let (sql, args) = of_source(COUNT, org, source, wanted).into_parts();
        let (count,): (i64,) = read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_one(db).await)?;
        stored::unsigned(NOUN, count)
    }

    /// Lists accounts of a source: `limit` of them, leaving out the first `offset`.
    ///
    /// # Errors
    /// The database.
    pub async fn accounts(
        &self,
        org: OrgId,
        source: &Source,
        wanted: &AccountWanted,
        order: AccountOrder,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let mut filter = of_source(COLUMNS, org, source, wanted);
        filter.sql(order.sql());
        filter.arg("LIMIT $?", Arg::Int(i64::from(limit)));
        filter.arg("OFFSET $?", Arg::Int(i64::try_from(offset).unwrap_or(i64::MAX)));
        self.account_rows(filter).await
    }

    /// Lists accounts of a source by identifier, those after `after`.
    ///
    /// # Errors
    /// The database.
    pub async fn accounts_after(
        &self,
        org: OrgId,
        source: &Source,
        wanted: &AccountWanted,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let mut filter = of_source(COLUMNS, org, source, wanted);
        filter.text("AND a.user_id > $?", after);
        filter.sql(AccountOrder::User.sql());
        filter.arg("LIMIT $?", Arg::Int(i64::from(limit)));
        self.account_rows(filter).await
    }

    /// The groups that these users are directly in.
    ///
    /// # Errors
    /// The database.
    pub async fn groups_of(
        &self,
        org: OrgId,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Vec<GroupOf>>, StoreError> {
        let mut groups: HashMap<UserId, Vec<GroupOf>> = HashMap::new();
        for chunk in users.chunks(CHUNK) {
            let mut filter = Filter::new(
                "SELECT m.member_id, g.id, g.display_name FROM directory_members m \
                 JOIN directory_groups g ON g.org_id = m.org_id AND g.id = m.group_id \
                 WHERE m.org_id = $1 AND m.member_id IN (''",
                org,
            );
            for user in chunk {
                filter.arg(", $?", Arg::Text(user.to_string()));
            }
            filter.sql(") ORDER BY m.member_id, g.id");
            let (sql, args) = filter.into_parts();
            let rows: Vec<(String, String, String)> =
                read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_all(db).await)?;
            for (user, id, display_name) in rows {
                let group = GroupOf { id: stored::parsed("group", &id)?, display_name };
                groups.entry(stored::parsed(NOUN, &user)?).or_default().push(group);
            }
        }
        Ok(groups)
    }

    async fn account_rows(&self, filter: Filter) -> Result<Vec<Account>, StoreError> {
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(account_of).collect()
    }
}

/// The account of a source, within a transaction.
pub(super) async fn in_tx(
    tx: &mut Tx,
    org: OrgId,
    source: &Source,
    user: UserId,
) -> Result<Account, StoreError> {
    let (sql, args) = of_source(COLUMNS, org, source, &AccountWanted::User(user.to_string())).into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, user)), account_of)
}

fn of_source(sql: &'static str, org: OrgId, source: &Source, wanted: &AccountWanted) -> Filter {
    let mut filter = Filter::new(sql, org);
    filter.arg("AND a.source = $?", Arg::Text(source.to_string()));
    // A zero byte is in no stored text, and PostgreSQL takes none.
    let text = |text: &str| Arg::Text(text.replace('\0', "\u{fffd}"));
    match wanted {
        AccountWanted::All => {}
        AccountWanted::User(id) => filter.arg("AND a.user_id = $?", text(id)),
        AccountWanted::NameKey(key) => filter.arg("AND a.name_key = $?", text(key)),
        AccountWanted::ExternalId(id) => filter.arg("AND a.external_id = $?", text(id)),
        AccountWanted::DisplayKey(key) => filter.arg("AND a.display_key = $?", text(key)),
        AccountWanted::Email(email) => filter.arg(
            "AND EXISTS (SELECT 1 FROM account_emails e \
             WHERE e.org_id = a.org_id AND e.user_id = a.user_id AND e.email = $?)",
            text(email),
        ),
    }
    filter
}
