//! Budgets, and what was spent of them.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::budget::{Budget, Holder, MAX_BUDGETS, Mode, Period, Raised, WhenAway};
use gatehouse_domain::id::{BudgetId, OrgId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::zone::Zone;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "budget";

const SELECT: &str = "SELECT b.id, b.team_id, b.project_id, b.user_id, b.key_id, b.models, b.provider, b.period, \
     b.limit_nanos, b.mode, b.thresholds, b.zone, b.grace, b.when_away, b.created_at, COALESCE(t.name, p.name, u.email, k.public_id) AS holder \
     FROM budgets b \
     LEFT JOIN teams t ON t.org_id = b.org_id AND t.id = b.team_id \
     LEFT JOIN projects p ON p.org_id = b.org_id AND p.id = b.project_id \
     LEFT JOIN users u ON u.org_id = b.org_id AND u.id = b.user_id \
     LEFT JOIN keys k ON k.org_id = b.org_id AND k.id = b.key_id \
     WHERE b.org_id = $1";

/// A budget with its holder's name: a team's or project's name, an e-mail address, the public part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRow {
    /// The budget.
    pub budget: Budget,
    /// The name; `None` for the organization.
    pub holder_name: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    team_id: Option<String>,
    project_id: Option<String>,
    user_id: Option<String>,
    key_id: Option<String>,
    models: Option<String>,
    provider: Option<String>,
    period: String,
    limit_nanos: i64,
    mode: String,
    thresholds: String,
    when_away: String,
    zone: String,
    grace: i64,
    created_at: i64,
    holder: Option<String>,
}

impl Store {
    /// Makes a budget.
    ///
    /// # Errors
    /// There are [`MAX_BUDGETS`]; its holder does not exist; the database.
    pub async fn create_budget(&self, org: OrgId, budget: &Budget, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (count,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM budgets WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_one(db)
                .await
        })?;
        if stored::unsigned(NOUN, count)? >= MAX_BUDGETS as u64 {
            return Err(StoreError::refused(NOUN, budget.id, "would be one too many: remove another first"));
        }
        let of = |kind: &str| (budget.holder.kind() == kind).then(|| budget.holder.id());
        let made = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO budgets (org_id, id, team_id, project_id, user_id, key_id, models, provider, period, \
                 limit_nanos, mode, thresholds, created_at, when_away, zone, grace) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            )
            .bind(org.to_string())
            .bind(budget.id.to_string())
            .bind(of("team"))
            .bind(of("project"))
            .bind(of("user"))
            .bind(of("key"))
            .bind(stored::models_text(&budget.models))
            .bind(budget.provider.clone())
            .bind(budget.period.as_str())
            .bind(budget.limit.0)
            .bind(budget.mode.as_str())
            .bind(thresholds_text(&budget.thresholds))
            .bind(budget.created_at.0)
            .bind(budget.when_away.as_str())
            .bind(budget.zone.name())
            .bind(i64::from(budget.grace))
            .execute(db)
            .await
        });
        made.map_err(|e| {
            let missing =
                e.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation);
            if missing { StoreError::not_found(budget.holder.kind(), budget.holder.id()) } else { e.into() }
        })?;
        tx.publish(org, act).await
    }

    /// Looks a budget up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn budget(&self, org: OrgId, id: BudgetId) -> Result<BudgetRow, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND b.id = $?", Arg::Text(id.to_string()));
        let found = self.budget_rows(org, filter).await?.pop();
        found.ok_or_else(|| StoreError::not_found(NOUN, id))
    }

    /// Lists budgets in the order in which they were made, of all holders or of one.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn budgets(
        &self,
        org: OrgId,
        holder: Option<Holder>,
        page: &Page,
    ) -> Result<Listed<BudgetRow>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        match holder {
            None => {}
            Some(Holder::Organization) => filter.sql(
                "AND b.team_id IS NULL AND b.project_id IS NULL AND b.user_id IS NULL AND b.key_id IS NULL",
            ),
            Some(Holder::Team(id)) => filter.text("AND b.team_id = $?", Some(id)),
            Some(Holder::Project(id)) => filter.text("AND b.project_id = $?", Some(id)),
            Some(Holder::User(id)) => filter.text("AND b.user_id = $?", Some(id)),
            Some(Holder::Key(id)) => filter.text("AND b.key_id = $?", Some(id)),
        }
        filter.text("AND b.id > $?", page.cursor(|text| text.parse::<BudgetId>().ok())?);
        filter.arg("ORDER BY b.id LIMIT $?", Arg::Int(rows));
        Ok(Listed::new(self.budget_rows(org, filter).await?, page, |row| row.budget.id.to_string()))
    }

    /// All budgets, for the policy snapshot. One that cannot be read is an error: whom it limits would go without.
    ///
    /// # Errors
    /// A budget that cannot be read; the database.
    pub async fn all_budgets(&self, org: OrgId) -> Result<Vec<Budget>, StoreError> {
        let rows = self.budget_rows(org, Filter::new(SELECT, org)).await?;
        Ok(rows.into_iter().map(|row| row.budget).collect())
    }

    /// Sets what may change of a budget: limit, mode, grace, thresholds and stance. What it counts stays.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn set_budget(&self, org: OrgId, budget: &Budget, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE budgets SET limit_nanos = $3, mode = $4, thresholds = $5, when_away = $6, grace = $7 \
                 WHERE org_id = $1 AND id = $2",
            )
            .bind(org.to_string())
            .bind(budget.id.to_string())
            .bind(budget.limit.0)
            .bind(budget.mode.as_str())
            .bind(thresholds_text(&budget.thresholds))
            .bind(budget.when_away.as_str())
            .bind(i64::from(budget.grace))
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Err(StoreError::not_found(NOUN, budget.id));
        }
        tx.publish(org, act).await
    }

    /// Removes a budget.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn remove_budget(&self, org: OrgId, id: BudgetId, act: &Draft) -> Result<(), StoreError> {
        let mut tx: Tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM budgets WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        })?;
        if gone == 0 { Err(StoreError::not_found(NOUN, id)) } else { tx.publish(org, act).await }
    }

    async fn budget_rows(&self, org: OrgId, filter: Filter) -> Result<Vec<BudgetRow>, StoreError> {
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut raised = self.raised(org).await?;
        let read = |row: Row| {
            let raised = raised.remove(&row.id).unwrap_or_default();
            budget_of(row, raised)
        };
        rows.into_iter().map(read).collect()
    }
}

fn thresholds_text(list: &[u8]) -> String {
    list.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

fn budget_of(row: Row, raised: Vec<Raised>) -> Result<BudgetRow, StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(NOUN, &row.id, why);
    let ids =
        [("team", &row.team_id), ("project", &row.project_id), ("user", &row.user_id), ("key", &row.key_id)];
    let (kind, id) = ids
        .into_iter()
        .find_map(|(kind, id)| Some((kind, id.as_deref()?)))
        .unwrap_or((Holder::Organization.kind(), ""));
    let percents = row.thresholds.split(',').filter(|text| !text.is_empty()).map(str::parse);
    let budget = Budget {
        id: stored::parsed(NOUN, &row.id)?,
        holder: Holder::read(kind, id).ok_or_else(|| corrupt("its holder cannot be read"))?,
        models: stored::models(NOUN, &row.id, row.models.as_deref())?,
        period: stored::parsed::<Period>(NOUN, &row.period)?,
        zone: row.zone.parse::<Zone>().map_err(|_| corrupt("its time zone is unknown"))?,
        limit: Nanos(row.limit_nanos),
        raised,
        grace: u8::try_from(row.grace).map_err(|_| corrupt("its grace is no percentage"))?,
        mode: Mode::named(&row.mode).ok_or_else(|| corrupt("its mode is neither hard nor shadow"))?,
        thresholds: percents
            .collect::<Result<_, _>>()
            .map_err(|_| corrupt("its thresholds are no numbers"))?,
        when_away: WhenAway::named(&row.when_away)
            .ok_or_else(|| corrupt("its stance is neither open nor closed"))?,
        created_at: UnixMillis(row.created_at),
        provider: row.provider,
    };
    Ok(BudgetRow { budget, holder_name: row.holder })
}
