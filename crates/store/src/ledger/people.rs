//! Who used what, for the figures: no more of the sums than those need.

use std::collections::HashSet;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::bound;
use crate::span::{self, LEDGER};
use crate::stored;

impl Store {
    /// How many exchanges there were from the hour of `since` up to the hour of `until`.
    ///
    /// # Errors
    /// The database.
    pub async fn exchanges_within(
        &self,
        org: OrgId,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<u64, StoreError> {
        const SELECT: &str = "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT)";
        let parts = span::parts(since.hour().0, until.0);
        let (sql, args) = span::over(&LEDGER, [SELECT, "requests", ""], org, &parts).into_parts();
        let (requests,): (i64,) =
            read!(self, |db| bound!(sqlx::query_as(sql).persistent(false), args).fetch_one(db).await)?;
        stored::unsigned("usage", requests)
    }

    /// Who had an answer since the hour of a time: a request that neither failed nor was refused.
    ///
    /// # Errors
    /// The database.
    pub async fn answered_since(&self, org: OrgId, since: UnixMillis) -> Result<HashSet<UserId>, StoreError> {
        let columns = "user_id, requests, errors, refusals";
        let parts = span::parts(since.hour().0, i64::MAX);
        let mut filter = span::over(&LEDGER, ["SELECT r.user_id", columns, ""], org, &parts);
        filter.sql("GROUP BY r.user_id HAVING SUM(requests) > SUM(errors) + SUM(refusals)");
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String,)> =
            read!(self, |db| bound!(sqlx::query_as(sql).persistent(false), args).fetch_all(db).await)?;
        // What belongs to nobody has no identifier.
        Ok(rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect())
    }
}
