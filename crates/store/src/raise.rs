//! Requests to raise a budget's limit for a while.

use std::collections::HashMap;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::budget::{MAX_ASKED, Raise, RaiseState, Raised};
use gatehouse_domain::id::{BudgetId, OrgId, RaiseId, UserId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page, check_text};
use crate::stored;

const NOUN: &str = "raise";
/// Most raises that are looked at for the policy: those that end last.
const MAX_RAISED: i64 = 10_000;

const SELECT: &str = "SELECT r.id, r.budget_id, r.user_id, r.amount_nanos, r.reason, r.until_at, r.state, r.created_at, \
     r.decided_at, r.decided_by, u.email FROM budget_raises r \
     JOIN users u ON u.org_id = r.org_id AND u.id = r.user_id WHERE r.org_id = $1";

/// A request with the address of who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaiseRow {
    /// The request.
    pub raise: Raise,
    /// Who asked.
    pub email: String,
}

/// Which requests are wanted.
#[derive(Debug, Clone, Default)]
pub struct RaiseFilter {
    /// In this state.
    pub state: Option<RaiseState>,
    /// Of this person.
    pub user: Option<UserId>,
    /// About this budget.
    pub budget: Option<BudgetId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    budget_id: String,
    user_id: String,
    amount_nanos: i64,
    reason: String,
    until_at: Option<i64>,
    state: String,
    created_at: i64,
    decided_at: Option<i64>,
    decided_by: Option<String>,
    email: String,
}

impl Store {
    /// Writes a request down.
    ///
    /// # Errors
    /// The person has one that waits for this budget, or [`MAX_ASKED`] in all; no such budget; the database.
    pub async fn ask_raise(&self, org: OrgId, raise: &Raise, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let waiting: Vec<(String,)> = within!(tx, |db| {
            sqlx::query_as(
                "SELECT budget_id FROM budget_raises WHERE org_id = $1 AND user_id = $2 AND state = 'asked'",
            )
            .bind(org.to_string())
            .bind(raise.user.to_string())
            .fetch_all(db)
            .await
        })?;
        let budget = raise.budget.to_string();
        if waiting.iter().any(|(other,)| *other == budget) {
            let why = "was asked for already; wait for the decision";
            return Err(StoreError::refused(NOUN, raise.budget, why));
        }
        if waiting.len() >= MAX_ASKED {
            let why = "would be one too many: others wait for a decision";
            return Err(StoreError::refused(NOUN, raise.budget, why));
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO budget_raises (org_id, id, budget_id, user_id, amount_nanos, reason, until_at, state, \
                 created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(org.to_string())
            .bind(raise.id.to_string())
            .bind(raise.budget.to_string())
            .bind(raise.user.to_string())
            .bind(raise.amount.0)
            .bind(raise.reason.clone())
            .bind(raise.until.map(|at| at.0))
            .bind(raise.state.as_str())
            .bind(raise.created_at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, raise.budget))?;
        tx.record(org, act).await
    }

    /// Looks a request up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn raise(&self, org: OrgId, id: RaiseId) -> Result<RaiseRow, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND r.id = $?", Arg::Text(id.to_string()));
        let found = self.raise_rows(filter).await?.pop();
        raise_of(found.ok_or_else(|| StoreError::not_found(NOUN, id))?)
    }

    /// Lists requests, the newest first.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn raises(
        &self,
        org: OrgId,
        wanted: &RaiseFilter,
        page: &Page,
    ) -> Result<Listed<RaiseRow>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND r.state = $?", wanted.state.map(RaiseState::as_str));
        filter.text("AND r.user_id = $?", wanted.user);
        filter.text("AND r.budget_id = $?", wanted.budget);
        filter.text("AND r.id < $?", page.cursor(|text| text.parse::<RaiseId>().ok())?);
        filter.arg("ORDER BY r.id DESC LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.raise_rows(filter).await?, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(raise_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Decides a request that nobody has decided: its state, amount, end, and who decided it when are taken over.
    ///
    /// # Errors
    /// It was decided meanwhile; the database.
    pub async fn decide_raise(&self, org: OrgId, raise: &Raise, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if let Some(by) = &raise.decided_by {
            check_text("decided_by", by)?;
        }
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE budget_raises SET state = $3, amount_nanos = $4, until_at = $5, decided_at = $6, decided_by = $7 \
                 WHERE org_id = $1 AND id = $2 AND state = 'asked'",
            )
            .bind(org.to_string())
            .bind(raise.id.to_string())
            .bind(raise.state.as_str())
            .bind(raise.amount.0)
            .bind(raise.until.map(|at| at.0))
            .bind(raise.decided_at.map(|at| at.0))
            .bind(raise.decided_by.clone())
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Err(StoreError::refused(NOUN, raise.id, "was decided already"));
        }
        tx.publish(org, act).await
    }

    /// The approved raises of all budgets, those that are over among them.
    pub(crate) async fn raised(&self, org: OrgId) -> Result<HashMap<String, Vec<Raised>>, StoreError> {
        let rows: Vec<(String, i64, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT budget_id, amount_nanos, until_at FROM budget_raises \
                 WHERE org_id = $1 AND state = 'approved' AND until_at IS NOT NULL ORDER BY until_at DESC LIMIT $2",
            )
            .bind(org.to_string())
            .bind(MAX_RAISED)
            .fetch_all(db)
            .await
        })?;
        let mut raised: HashMap<String, Vec<Raised>> = HashMap::new();
        for (budget, amount, until) in rows {
            let one = Raised { amount: Nanos(amount), until: UnixMillis(until) };
            raised.entry(budget).or_default().push(one);
        }
        Ok(raised)
    }

    async fn raise_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

fn raise_of(row: Row) -> Result<RaiseRow, StoreError> {
    let state = RaiseState::named(&row.state);
    let raise = Raise {
        id: stored::parsed(NOUN, &row.id)?,
        budget: stored::parsed(NOUN, &row.budget_id)?,
        user: stored::parsed(NOUN, &row.user_id)?,
        amount: Nanos(row.amount_nanos),
        state: state.ok_or_else(|| StoreError::corrupt(NOUN, &row.id, "its state is unknown"))?,
        reason: row.reason,
        until: row.until_at.map(UnixMillis),
        created_at: UnixMillis(row.created_at),
        decided_at: row.decided_at.map(UnixMillis),
        decided_by: row.decided_by,
    };
    Ok(RaiseRow { raise, email: row.email })
}
