//! Virtual keys.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::{KeyInfo, KeyState, Purpose};
use gatehouse_domain::id::{KeyId, OrgId, ProjectId, TeamId, UserId};
use gatehouse_domain::key::{KeyHash, KeyKind, PublicId};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::{project, stored, team, user};

mod rotate;
mod touch;

pub use rotate::{Replacement, Rotated};
pub use touch::touch;

const NOUN: &str = "key";

const SELECT: &str = "SELECT k.id, k.public_id, k.name, k.user_id, u.email, t.name AS team, p.name AS project, \
     k.models, k.state, k.purpose, k.expires_at, k.replaced_by, k.created_at, k.last_used_at \
     FROM keys k \
     JOIN users u ON u.org_id = k.org_id AND u.id = k.user_id \
     LEFT JOIN teams t ON t.org_id = k.org_id AND t.id = k.team_id \
     LEFT JOIN projects p ON p.org_id = k.org_id AND p.id = k.project_id \
     WHERE k.org_id = $1";

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its identifier.
    pub id: KeyId,
    /// The public part of its text.
    pub public: PublicId,
    /// The keyed hash of its text.
    pub hash: KeyHash,
    /// A name for people.
    pub name: Option<Name>,
    /// Its holder.
    pub user: UserId,
    /// The team it charges.
    pub team: Option<TeamId>,
    /// The project it charges.
    pub project: Option<ProjectId>,
    /// The models it may use.
    pub models: ModelScope,
    /// Where it is good.
    pub purpose: Purpose,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
}

/// Which keys are wanted; all conditions apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyFilter {
    /// Those of this holder.
    pub user: Option<UserId>,
    /// Those that charge this team.
    pub team: Option<TeamId>,
    /// Those that charge this project.
    pub project: Option<ProjectId>,
    /// Those in this state. Expiry is not a state: an expired key is `Active` until somebody says otherwise.
    pub state: Option<KeyState>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    public_id: String,
    name: Option<String>,
    user_id: String,
    email: String,
    team: Option<String>,
    project: Option<String>,
    models: Option<String>,
    state: String,
    purpose: String,
    expires_at: Option<i64>,
    replaced_by: Option<String>,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl Store {
    /// Makes a key.
    ///
    /// # Errors
    /// Holder, team or project do not exist; its time is over already; there is a key of that public part; the database.
    pub async fn create_key(&self, org: OrgId, new: &NewKey, act: &Draft) -> Result<KeyInfo, StoreError> {
        if let Some(at) = new.expires_at.filter(|at| *at <= act.at) {
            return Err(StoreError::Invalid {
                field: "expires_at",
                why: format!("is {at}, which is not in the future"),
            });
        }
        let mut tx = self.begin().await?;
        user::must_exist(&mut tx, org, new.user).await?;
        if let Some(id) = new.team {
            team::must_exist(&mut tx, org, id).await?;
        }
        if let Some(id) = new.project {
            project::must_exist(&mut tx, org, id).await?;
        }
        insert(&mut tx, org, new, act.at).await?;
        let key = in_tx(&mut tx, org, new.id).await?;
        tx.publish(org, act).await?;
        Ok(key)
    }

    /// Looks a key up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn key(&self, org: OrgId, id: KeyId) -> Result<KeyInfo, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND k.id = $?", Arg::Text(id.to_string()));
        self.key_rows(filter).await?.pop().map_or_else(|| Err(StoreError::not_found(NOUN, id)), info_of)
    }

    /// Looks a key up by the public part of its text.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn key_by_public(&self, org: OrgId, public: PublicId) -> Result<KeyInfo, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND k.public_id = $?", Arg::Text(public.as_str().to_owned()));
        let found = self.key_rows(filter).await?.pop();
        found.map_or_else(|| Err(StoreError::not_found(NOUN, hint(public.as_str()))), info_of)
    }

    /// Lists keys, newest first. One that cannot be read is left out.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn keys(
        &self,
        org: OrgId,
        wanted: &KeyFilter,
        page: &Page,
    ) -> Result<Listed<KeyInfo>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND k.id < $?", page.cursor(|text| text.parse::<KeyId>().ok())?);
        filter.text("AND k.user_id = $?", wanted.user);
        filter.text("AND k.team_id = $?", wanted.team);
        filter.text("AND k.project_id = $?", wanted.project);
        filter.text("AND k.state = $?", wanted.state.map(stored::key_state_text));
        filter.arg("ORDER BY k.id DESC LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.key_rows(filter).await?, page, |row| row.id.clone());
        let items = listed.items.into_iter().filter_map(|row| stored::readable(info_of(row))).collect();
        Ok(Listed { items, next: listed.next })
    }

    /// Disables, enables or revokes a key. Revoking is final; revoking again changes nothing and is recorded.
    ///
    /// # Errors
    /// There is none; it is revoked and should be something else; the database.
    pub async fn set_key_state(
        &self,
        org: OrgId,
        id: KeyId,
        state: KeyState,
        act: &Draft,
    ) -> Result<KeyInfo, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE keys SET state = $3 WHERE org_id = $1 AND id = $2 AND (state <> 'revoked' OR $3 = 'revoked')",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(stored::key_state_text(state))
            .execute(db)
            .await
        })?;
        let key = in_tx(&mut tx, org, id).await?;
        if changed == 0 {
            return Err(StoreError::refused(NOUN, id, "is revoked, which is final"));
        }
        tx.publish(org, act).await?;
        Ok(key)
    }

    /// Sets when a key stops working: `None` is never, a time that has come is at once.
    ///
    /// # Errors
    /// There is none; it is revoked; the database.
    pub async fn set_key_expiry(
        &self,
        org: OrgId,
        id: KeyId,
        expires_at: Option<UnixMillis>,
        act: &Draft,
    ) -> Result<KeyInfo, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE keys SET expires_at = $3 WHERE org_id = $1 AND id = $2 AND state <> 'revoked'",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(expires_at.map(|at| at.0))
            .execute(db)
            .await
        })?;
        let key = in_tx(&mut tx, org, id).await?;
        if changed == 0 {
            return Err(StoreError::refused(NOUN, id, "is revoked, which is final"));
        }
        tx.publish(org, act).await?;
        Ok(key)
    }

    async fn key_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

async fn insert(tx: &mut Tx, org: OrgId, new: &NewKey, now: UnixMillis) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO keys (org_id, id, public_id, hash, name, user_id, team_id, project_id, models, state, \
             expires_at, created_at, pepper, purpose) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'active', $10, $11, $12, $13)",
        )
        .bind(org.to_string())
        .bind(new.id.to_string())
        .bind(new.public.as_str())
        .bind(new.hash.as_bytes().to_vec())
        .bind(new.name.as_ref().map(Name::as_str))
        .bind(new.user.to_string())
        .bind(new.team.map(|id| id.to_string()))
        .bind(new.project.map(|id| id.to_string()))
        .bind(stored::models_text(&new.models))
        .bind(new.expires_at.map(|at| at.0))
        .bind(now.0)
        .bind(i64::from(new.hash.generation().0))
        .bind(new.purpose.as_str())
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, hint(new.public.as_str())))?;
    Ok(())
}

async fn in_tx(tx: &mut Tx, org: OrgId, id: KeyId) -> Result<KeyInfo, StoreError> {
    let mut filter = Filter::new(SELECT, org);
    filter.arg("AND k.id = $?", Arg::Text(id.to_string()));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), info_of)
}

fn hint(public: &str) -> String {
    format!("{}{public}", KeyKind::Virtual.prefix())
}

fn info_of(row: Row) -> Result<KeyInfo, StoreError> {
    Ok(KeyInfo {
        id: stored::parsed(NOUN, &row.id)?,
        hint: hint(&row.public_id),
        name: row.name,
        user: stored::parsed("user", &row.user_id)?,
        email: row.email,
        team: row.team,
        project: row.project,
        models: stored::models("key", &row.id, row.models.as_deref())?,
        state: stored::key_state(&row.id, &row.state)?,
        purpose: stored::purpose(&row.id, &row.purpose)?,
        expires_at: row.expires_at.map(UnixMillis),
        replaced_by: stored::parsed_some(NOUN, row.replaced_by.as_deref())?,
        created_at: UnixMillis(row.created_at),
        last_used_at: row.last_used_at.map(UnixMillis),
    })
}
