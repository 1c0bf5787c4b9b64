//! What people say of the readiness checklist.

use std::collections::BTreeMap;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::readiness::{Item, Kept, Statement, Waiver};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;

#[derive(sqlx::FromRow)]
struct Row {
    item: String,
    owner: Option<String>,
    due_at: Option<i64>,
    stated: Option<String>,
    stated_by: Option<String>,
    stated_at: Option<i64>,
    waived: Option<String>,
    waived_by: Option<String>,
    waived_until: Option<i64>,
}

impl Store {
    /// What is kept of the items of which anything is. Items that this program does not know are left out.
    ///
    /// # Errors
    /// The database.
    pub async fn readiness(&self, org: OrgId) -> Result<BTreeMap<Item, Kept>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT item, owner, due_at, stated, stated_by, stated_at, waived, waived_by, waived_until \
                 FROM readiness_items WHERE org_id = $1",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        Ok(rows.into_iter().filter_map(|row| Some((row.item.parse().ok()?, kept(row)))).collect())
    }

    /// Keeps this of an item, in place of what was kept.
    ///
    /// # Errors
    /// The database.
    pub async fn keep_readiness(
        &self,
        org: OrgId,
        item: Item,
        kept: &Kept,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let (statement, waiver) = (kept.statement.as_ref(), kept.waiver.as_ref());
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO readiness_items (org_id, item, owner, due_at, stated, stated_by, stated_at, waived, \
                 waived_by, waived_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (org_id, item) DO UPDATE SET owner = excluded.owner, due_at = excluded.due_at, \
                 stated = excluded.stated, stated_by = excluded.stated_by, stated_at = excluded.stated_at, \
                 waived = excluded.waived, waived_by = excluded.waived_by, waived_until = excluded.waived_until",
            )
            .bind(org.to_string())
            .bind(item.as_str())
            .bind(kept.owner.as_deref())
            .bind(kept.due.map(|due| due.0))
            .bind(statement.map(|said| said.text.as_str()))
            .bind(statement.map(|said| said.by.as_str()))
            .bind(statement.map(|said| said.at.0))
            .bind(waiver.map(|waiver| waiver.reason.as_str()))
            .bind(waiver.map(|waiver| waiver.by.as_str()))
            .bind(waiver.map(|waiver| waiver.until.0))
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }
}

fn kept(row: Row) -> Kept {
    let statement = match (row.stated, row.stated_by, row.stated_at) {
        (Some(text), Some(by), Some(at)) => Some(Statement { text, by, at: UnixMillis(at) }),
        _ => None,
    };
    let waiver = match (row.waived, row.waived_by, row.waived_until) {
        (Some(reason), Some(by), Some(until)) => Some(Waiver { reason, by, until: UnixMillis(until) }),
        _ => None,
    };
    Kept { owner: row.owner, due: row.due_at.map(UnixMillis), statement, waiver }
}
