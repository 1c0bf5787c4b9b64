//! Limits on rates.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::budget::Holder;
use gatehouse_domain::id::{LimitId, OrgId};
use gatehouse_domain::limit::{Limit, MAX_LIMITS, Measure};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "limit";

const SELECT: &str = "SELECT l.id, l.team_id, l.project_id, l.user_id, l.key_id, l.models, l.measure, l.amount, \
     l.created_at, COALESCE(t.name, p.name, u.email, k.public_id) AS holder \
     FROM limits l \
     LEFT JOIN teams t ON t.org_id = l.org_id AND t.id = l.team_id \
     LEFT JOIN projects p ON p.org_id = l.org_id AND p.id = l.project_id \
     LEFT JOIN users u ON u.org_id = l.org_id AND u.id = l.user_id \
     LEFT JOIN keys k ON k.org_id = l.org_id AND k.id = l.key_id \
     WHERE l.org_id = $1";

/// A limit with its holder's name: a team's or project's name, an e-mail address, the public part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// The limit.
    pub limit: Limit,
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
    measure: String,
    amount: i64,
    created_at: i64,
    holder: Option<String>,
}

impl Store {
    /// Makes a limit.
    ///
    /// # Errors
    /// There are [`MAX_LIMITS`]; its holder does not exist; the database.
    pub async fn create_limit(&self, org: OrgId, limit: &Limit, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (count,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM limits WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_one(db)
                .await
        })?;
        if stored::unsigned(NOUN, count)? >= MAX_LIMITS as u64 {
            return Err(StoreError::refused(NOUN, limit.id, "would be one too many: remove another first"));
        }
        let of = |kind: &str| (limit.holder.kind() == kind).then(|| limit.holder.id());
        let amount = stored::signed(NOUN, limit.amount)?;
        let made = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO limits (org_id, id, team_id, project_id, user_id, key_id, models, measure, amount, \
                 created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(org.to_string())
            .bind(limit.id.to_string())
            .bind(of("team"))
            .bind(of("project"))
            .bind(of("user"))
            .bind(of("key"))
            .bind(stored::models_text(&limit.models))
            .bind(limit.measure.as_str())
            .bind(amount)
            .bind(limit.created_at.0)
            .execute(db)
            .await
        });
        made.map_err(|e| {
            let missing =
                e.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation);
            if missing { StoreError::not_found(limit.holder.kind(), limit.holder.id()) } else { e.into() }
        })?;
        tx.publish(org, act).await
    }

    /// Looks a limit up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn limit(&self, org: OrgId, id: LimitId) -> Result<LimitRow, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND l.id = $?", Arg::Text(id.to_string()));
        let found = self.limit_rows(filter).await?.pop();
        limit_of(found.ok_or_else(|| StoreError::not_found(NOUN, id))?)
    }

    /// Lists limits in the order in which they were made, of all holders or of one.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn limits(
        &self,
        org: OrgId,
        holder: Option<Holder>,
        page: &Page,
    ) -> Result<Listed<LimitRow>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        match holder {
            None => {}
            Some(Holder::Organization) => filter.sql(
                "AND l.team_id IS NULL AND l.project_id IS NULL AND l.user_id IS NULL AND l.key_id IS NULL",
            ),
            Some(Holder::Team(id)) => filter.text("AND l.team_id = $?", Some(id)),
            Some(Holder::Project(id)) => filter.text("AND l.project_id = $?", Some(id)),
            Some(Holder::User(id)) => filter.text("AND l.user_id = $?", Some(id)),
            Some(Holder::Key(id)) => filter.text("AND l.key_id = $?", Some(id)),
        }
        filter.text("AND l.id > $?", page.cursor(|text| text.parse::<LimitId>().ok())?);
        filter.arg("ORDER BY l.id LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.limit_rows(filter).await?, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(limit_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// All limits, for the policy snapshot. One that cannot be read is an error: whom it limits would go without.
    ///
    /// # Errors
    /// A limit that cannot be read; the database.
    pub async fn all_limits(&self, org: OrgId) -> Result<Vec<Limit>, StoreError> {
        let rows = self.limit_rows(Filter::new(SELECT, org)).await?;
        rows.into_iter().map(|row| limit_of(row).map(|row| row.limit)).collect()
    }

    /// Removes a limit.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn remove_limit(&self, org: OrgId, id: LimitId, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM limits WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        })?;
        if gone == 0 { Err(StoreError::not_found(NOUN, id)) } else { tx.publish(org, act).await }
    }

    async fn limit_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

fn limit_of(row: Row) -> Result<LimitRow, StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(NOUN, &row.id, why);
    let ids =
        [("team", &row.team_id), ("project", &row.project_id), ("user", &row.user_id), ("key", &row.key_id)];
    let (kind, id) = ids
        .into_iter()
        .find_map(|(kind, id)| Some((kind, id.as_deref()?)))
        .unwrap_or((Holder::Organization.kind(), ""));
    let limit = Limit {
        id: stored::parsed(NOUN, &row.id)?,
        holder: Holder::read(kind, id).ok_or_else(|| corrupt("its holder cannot be read"))?,
        models: stored::models(NOUN, &row.id, row.models.as_deref())?,
        measure: Measure::named(&row.measure).ok_or_else(|| corrupt("what it limits cannot be read"))?,
        amount: stored::unsigned(NOUN, row.amount)?,
        created_at: UnixMillis(row.created_at),
    };
    Ok(LimitRow { limit, holder_name: row.holder })
}
