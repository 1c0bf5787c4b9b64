//! What clients say of each person, for the figures: the three sums that those need.

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::bound;
use crate::span::{self, CLIENTS};
use crate::sum::{halves, whole};

const SELECT: &str = concat!(
    "SELECT r.user_id, ",
    halves!("sessions"),
    ", ",
    halves!("edits_accepted"),
    ", ",
    halves!("edits_rejected")
);

/// What a person's clients say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCounts {
    /// Whose.
    pub user: UserId,
    /// Sessions begun.
    pub sessions: i64,
    /// Edits that the person accepted.
    pub edits_accepted: i64,
    /// Edits that the person rejected.
    pub edits_rejected: i64,
}

impl Store {
    /// What each person's clients said from the hour of `since` up to `until`.
    ///
    /// # Errors
    /// The database.
    pub async fn client_counts(
        &self,
        org: OrgId,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<ClientCounts>, StoreError> {
        let columns = "user_id, sessions, edits_accepted, edits_rejected";
        let parts = span::parts(since.hour().0, until.0);
        let mut filter = span::over(&CLIENTS, [SELECT, columns, ""], org, &parts);
        filter.sql("GROUP BY r.user_id");
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String, i64, i64, i64, i64, i64, i64)> =
            read!(self, |db| bound!(sqlx::query_as(sql).persistent(false), args).fetch_all(db).await)?;
        let of = |(user, s1, s2, a1, a2, r1, r2): (String, i64, i64, i64, i64, i64, i64)| {
            // What belongs to nobody has no identifier.
            Some(ClientCounts {
                user: user.parse().ok()?,
                sessions: whole(s1, s2),
                edits_accepted: whole(a1, a2),
                edits_rejected: whole(r1, r2),
            })
        };
        Ok(rows.into_iter().filter_map(of).collect())
    }
}
