//! Sums of what clients say.

use std::sync::LazyLock;

use gatehouse_domain::id::OrgId;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::{MEASURES, Measure, Sums};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, bound};
use crate::ledger::MAX_SUMS;
use crate::span::{self, CLIENTS};

/// What sums are asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientBy {
    /// Users.
    User,
    /// Teams that the credential charged.
    Team,
    /// Models.
    Model,
    /// UTC days.
    Day,
    /// UTC hours.
    Hour,
    /// One sum of everything.
    Total,
}

/// A sum of what clients say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientUsageRow {
    /// Identifier of what the sum is of; the start of the span in UTC milliseconds for days and hours; empty for none.
    pub id: String,
    /// Its name: e-mail address, team, model.
    pub name: Option<String>,
    /// The sums.
    pub sums: Sums,
}

/// The sums of all measures, each as the sums of its upper and its lower half: neither can come to the end of its range.
static SUMS: LazyLock<String> = LazyLock::new(|| {
    let halves = Measure::ALL.map(|measure| {
        let c = measure.as_str();
        format!("CAST(SUM(r.{c} / 4294967296) AS BIGINT), CAST(SUM(r.{c} % 4294967296) AS BIGINT)")
    });
    halves.join(", ")
});

static COLUMNS: LazyLock<String> =
    LazyLock::new(|| format!("user_id, team_id, model, {}", Measure::ALL.map(Measure::as_str).join(", ")));

macro_rules! select {
    ($id:literal, $name:literal, $join:literal) => {{
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!(concat!("SELECT ", $id, ", ", $name, ", {}"), *SUMS));
        [SQL.as_str(), $join]
    }};
}

macro_rules! by_cost {
    ($id:literal) => {
        concat!("GROUP BY ", $id, " ORDER BY SUM(CAST(r.cost_nanos AS DOUBLE PRECISION)) DESC, ", $id)
    };
}

impl ClientBy {
    fn select(self) -> [&'static str; 2] {
        match self {
            Self::User => select!(
                "r.user_id",
                "MAX(u.email)",
                "LEFT JOIN users u ON u.org_id = r.org_id AND u.id = r.user_id"
            ),
            Self::Team => select!(
                "r.team_id",
                "MAX(t.name)",
                "LEFT JOIN teams t ON t.org_id = r.org_id AND t.id = r.team_id"
            ),
            Self::Model => select!("r.model", "MAX(r.model)", ""),
            Self::Day => select!("CAST(r.hour - r.hour % 86400000 AS TEXT)", "CAST(NULL AS TEXT)", ""),
            Self::Hour => select!("CAST(r.hour AS TEXT)", "CAST(NULL AS TEXT)", ""),
            Self::Total => select!("'total'", "CAST(NULL AS TEXT)", ""),
        }
    }

    const fn group(self) -> &'static str {
        match self {
            Self::User => by_cost!("r.user_id"),
            Self::Team => by_cost!("r.team_id"),
            Self::Model => by_cost!("r.model"),
            Self::Day => "GROUP BY r.hour - r.hour % 86400000 ORDER BY r.hour - r.hour % 86400000",
            Self::Hour => "GROUP BY r.hour ORDER BY r.hour",
            Self::Total => "HAVING COUNT(*) > 0",
        }
    }
}

impl Store {
    /// Sums what clients said within a scope from the hour of `since` up to `until`, the largest cost first (days and hours in
    /// their order). A sum stops at the end of the range of 64 bits.
    ///
    /// # Errors
    /// There are more than [`MAX_SUMS`] of them; the database.
    pub async fn client_usage(
        &self,
        org: OrgId,
        scope: Scope,
        by: ClientBy,
        since: Option<UnixMillis>,
        until: Option<UnixMillis>,
    ) -> Result<Vec<ClientUsageRow>, StoreError> {
        let (since, until) = (since.map_or(i64::MIN, |at| at.hour().0), until.map_or(i64::MAX, |at| at.0));
        let parts = if by == ClientBy::Hour { span::hours(since, until) } else { span::parts(since, until) };
        let [select, join] = by.select();
        let mut filter = span::over(&CLIENTS, [select, COLUMNS.as_str(), join], org, &parts);
        match scope {
            Scope::Organization => {}
            Scope::Team(team) => filter.text("AND r.team_id = $?", Some(team)),
            Scope::User(user) => filter.text("AND r.user_id = $?", Some(user)),
        }
        filter.sql(by.group());
        filter.arg("LIMIT $?", Arg::Int(i64::from(MAX_SUMS) + 1));
        let (sql, args) = filter.into_parts();
        let rows: Result<Vec<ClientUsageRow>, sqlx::Error> = read!(self, |db| {
            let found = bound!(sqlx::query(sql).persistent(false), args).fetch_all(db).await;
            found.and_then(|rows| rows.iter().map(row_of).collect())
        });
        let rows = rows?;
        if rows.len() > MAX_SUMS as usize {
            let why = format!("leaves more than {MAX_SUMS} sums; ask for a shorter span");
            return Err(StoreError::Invalid { field: "since", why });
        }
        Ok(rows)
    }
}

fn row_of<R>(row: &R) -> Result<ClientUsageRow, sqlx::Error>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let mut sums = Sums::default();
    for at in 0..MEASURES {
        let (high, low): (i64, i64) = (row.try_get(2 + 2 * at)?, row.try_get(3 + 2 * at)?);
        sums.0[at] = high.saturating_mul(1 << 32).saturating_add(low);
    }
    Ok(ClientUsageRow { id: row.try_get(0)?, name: row.try_get(1)?, sums })
}
