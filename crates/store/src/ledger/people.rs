//! Who used what, for the figures: no more of the sums than those need.

use std::collections::HashSet;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Filter, bound};
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

    /// Who had an answer from the hour of `since` up to the hour of `until`: a request that neither failed nor was refused. Of
    /// these people, or of everybody.
    ///
    /// # Errors
    /// The database.
    pub async fn answered_within(
        &self,
        org: OrgId,
        people: Option<&[UserId]>,
        since: UnixMillis,
        until: Option<UnixMillis>,
    ) -> Result<HashSet<UserId>, StoreError> {
        let columns = "user_id, requests, errors, refusals";
        let parts = span::parts(since.hour().0, until.map_or(i64::MAX, |at| at.0));
        let mut filter = span::over(&LEDGER, ["SELECT r.user_id", columns, ""], org, &parts);
        if let Some(people) = people {
            of_people(&mut filter, people);
        }
        filter.sql("GROUP BY r.user_id HAVING SUM(requests) > SUM(errors) + SUM(refusals)");
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String,)> =
            read!(self, |db| bound!(sqlx::query_as(sql).persistent(false), args).fetch_all(db).await)?;
        // What belongs to nobody has no identifier.
        Ok(rows.into_iter().filter_map(|(id,)| id.parse().ok()).collect())
    }
}

/// Only rows of these people. They are looked up one by one, which serves for a team's members, and not for everybody.
pub(super) fn of_people(filter: &mut Filter, people: &[UserId]) {
    if people.is_empty() {
        filter.sql("AND 1 = 0");
        return;
    }
    for (at, user) in people.iter().enumerate() {
        let condition = if at == 0 { "AND (r.user_id = $?" } else { "OR r.user_id = $?" };
        filter.text(condition, Some(user));
    }
    filter.sql(")");
}
