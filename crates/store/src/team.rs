//! Teams.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::Team;
use gatehouse_domain::id::{OrgId, TeamId};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "team";

const SELECT: &str = "SELECT t.id, t.name, t.folded, t.models, t.data_class, t.created_at, \
     (SELECT COUNT(*) FROM memberships m WHERE m.org_id = t.org_id AND m.team_id = t.id) AS members \
     FROM teams t WHERE t.org_id = $1";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    folded: String,
    models: Option<String>,
    data_class: Option<String>,
    created_at: i64,
    members: i64,
}

impl Store {
    /// Makes a team.
    ///
    /// # Errors
    /// There is one of that name (in whatever case); the database.
    pub async fn create_team(
        &self,
        org: OrgId,
        id: TeamId,
        name: &Name,
        act: &Draft,
    ) -> Result<Team, StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO teams (org_id, id, name, folded, created_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(name.as_str())
            .bind(name.folded())
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, name))?;
        tx.record(org, act).await?;
        let (name, models) = (name.to_string(), ModelScope::all());
        Ok(Team { id, name, members: 0, models, data_class: None, created_at: act.at })
    }

    /// Looks a team up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn team(&self, org: OrgId, id: TeamId) -> Result<Team, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND t.id = $?", Arg::Text(id.to_string()));
        self.one_team(filter).await?.ok_or_else(|| StoreError::not_found(NOUN, id))
    }

    /// Looks a team up by its name, in whatever case.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn team_by_name(&self, org: OrgId, name: &Name) -> Result<Team, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND t.folded = $?", Arg::Text(name.folded()));
        self.one_team(filter).await?.ok_or_else(|| StoreError::not_found(NOUN, name))
    }

    /// Lists teams by name.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn teams(&self, org: OrgId, page: &Page) -> Result<Listed<Team>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND t.folded > $?", page.cursor(|text| Some(text.to_owned()))?);
        filter.arg("ORDER BY t.folded LIMIT $?", Arg::Int(rows));
        let rows = self.team_rows(filter).await?;
        let listed = Listed::new(rows, page, |row| row.folded.clone());
        let items = listed.items.into_iter().map(team_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Sets the models that a team's members may use.
    ///
    /// # Errors
    /// There is no such team; the database.
    pub async fn set_team_models(
        &self,
        org: OrgId,
        id: TeamId,
        models: &ModelScope,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query("UPDATE teams SET models = $3 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(stored::models_text(models))
                .execute(db)
                .await
        })?;
        if changed == 0 {
            return Err(StoreError::not_found(NOUN, id));
        }
        tx.publish(org, act).await
    }

    /// Sets how sensitive the data of a team is; none says nothing of it. The caller has checked that there is such a class.
    ///
    /// # Errors
    /// There is no such team; the database.
    pub async fn set_team_data_class(
        &self,
        org: OrgId,
        id: TeamId,
        class: Option<&str>,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query("UPDATE teams SET data_class = $3 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(class)
                .execute(db)
                .await
        })?;
        if changed == 0 {
            return Err(StoreError::not_found(NOUN, id));
        }
        tx.publish(org, act).await
    }

    /// Removes a team.
    ///
    /// # Errors
    /// There is none; it has members, a budget or a settings profile, or keys charge it (revoked ones included: their history names
    /// it); the database.
    pub async fn remove_team(&self, org: OrgId, id: TeamId, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM teams WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        });
        match gone {
            Ok(0) => Err(StoreError::not_found(NOUN, id)),
            Ok(_) => tx.record(org, act).await,
            Err(e)
                if e.as_database_error()
                    .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation) =>
            {
                Err(StoreError::refused(
                    NOUN,
                    id,
                    "has members, keys, a budget or a settings profile, or a directory's group stands for it",
                ))
            }
            Err(e) => Err(e.into()),
        }
    }

    async fn one_team(&self, filter: Filter) -> Result<Option<Team>, StoreError> {
        self.team_rows(filter).await?.pop().map(team_of).transpose()
    }

    async fn team_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| crate::filter::bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

/// Refuses a team that the organization does not have.
pub(crate) async fn must_exist(tx: &mut Tx, org: OrgId, id: TeamId) -> Result<(), StoreError> {
    let found: Option<(String,)> = within!(tx, |db| {
        sqlx::query_as("SELECT id FROM teams WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_optional(db)
            .await
    })?;
    found.map(|_| ()).ok_or_else(|| StoreError::not_found(NOUN, id))
}

fn team_of(row: Row) -> Result<Team, StoreError> {
    Ok(Team {
        id: stored::parsed(NOUN, &row.id)?,
        name: row.name,
        members: stored::unsigned(NOUN, row.members)?,
        models: stored::models(NOUN, &row.id, row.models.as_deref())?,
        data_class: row.data_class,
        created_at: UnixMillis(row.created_at),
    })
}
