//! Rules on who may use which model: access policies, and whom they speak of.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProjectId, TeamId, UserId};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{policy, stored};

const NOUN: &str = "access policy";

/// Most access policies of an organization. Each is looked at for every request that they concern.
pub const MAX_POLICIES: usize = 500;
/// Longest text of an access policy, in bytes.
pub const MAX_TEXT: usize = 32 * 1024;
/// People read at a time.
const BATCH: usize = 5000;

/// An access policy as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    /// Its name, unique in the organization.
    pub name: String,
    /// Its text, in the Cedar language.
    pub text: String,
    /// When it was first written.
    pub created_at: UnixMillis,
    /// When it was last written.
    pub changed_at: UnixMillis,
}

/// A person, as rules see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their identifier.
    pub id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their teams.
    pub teams: Vec<TeamId>,
}

/// A team, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamModels {
    /// Its identifier.
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// The models its members may use.
    pub models: ModelScope,
    /// How sensitive its data is, if that was said.
    pub data_class: Option<String>,
}

/// A project, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledProject {
    /// Its identifier.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// How sensitive its data is, if that was said.
    pub data_class: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    text: String,
    created_at: i64,
    changed_at: i64,
}

impl Store {
    /// All access policies by name; there are [`MAX_POLICIES`] at most.
    ///
    /// # Errors
    /// The database.
    pub async fn access_policies(&self, org: OrgId) -> Result<Vec<AccessPolicy>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT name, text, created_at, changed_at FROM access_policies WHERE org_id = $1 ORDER BY name",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        Ok(rows.into_iter().map(policy_of).collect())
    }

    /// Writes an access policy, new or in place of the one of that name. The caller has checked its text.
    ///
    /// # Errors
    /// Its text is longer than [`MAX_TEXT`]; there are [`MAX_POLICIES`] others; the database.
    pub async fn put_access_policy(
        &self,
        org: OrgId,
        name: &str,
        text: &str,
        act: &Draft,
    ) -> Result<AccessPolicy, StoreError> {
        if text.len() > MAX_TEXT {
            let why = format!("is {} bytes long, expected at most {MAX_TEXT}", text.len());
            return Err(StoreError::Invalid { field: "text", why });
        }
        let mut tx = self.begin().await?;
        // Makes writers take turns, so that the count holds.
        policy::bump(&mut tx, org).await?;
        if others(&mut tx, org, name).await? >= MAX_POLICIES as u64 {
            return Err(StoreError::refused(NOUN, name, "would be one more than the 500 there may be"));
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO access_policies (org_id, name, text, created_at, changed_at) VALUES ($1, $2, $3, $4, $4) \
                 ON CONFLICT (org_id, name) DO UPDATE SET text = excluded.text, changed_at = excluded.changed_at",
            )
            .bind(org.to_string())
            .bind(name)
            .bind(text)
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        let row: Row = within!(tx, |db| {
            sqlx::query_as(
                "SELECT name, text, created_at, changed_at FROM access_policies WHERE org_id = $1 AND name = $2",
            )
            .bind(org.to_string())
            .bind(name)
            .fetch_one(db)
            .await
        })?;
        tx.record(org, act).await?;
        Ok(policy_of(row))
    }

    /// Removes an access policy.
    ///
    /// # Errors
    /// There is none of that name; the database.
    pub async fn remove_access_policy(&self, org: OrgId, name: &str, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM access_policies WHERE org_id = $1 AND name = $2")
                .bind(org.to_string())
                .bind(name)
                .execute(db)
                .await
        })?;
        if gone == 0 {
            return Err(StoreError::not_found(NOUN, name));
        }
        tx.publish(org, act).await
    }

    /// All teams with the models and the data class of each.
    ///
    /// # Errors
    /// The database. A list of models that cannot be read lets nothing through.
    pub async fn team_models(&self, org: OrgId) -> Result<Vec<TeamModels>, StoreError> {
        let rows: Vec<(String, String, Option<String>, Option<String>)> = read!(self, |db| {
            sqlx::query_as("SELECT id, name, models, data_class FROM teams WHERE org_id = $1 ORDER BY id")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        let team = |(id, name, models, data_class): (String, String, Option<String>, Option<String>)| {
            Ok(TeamModels {
                models: stored::models("team", &id, models.as_deref())?,
                id: stored::parsed("team", &id)?,
                name,
                data_class,
            })
        };
        rows.into_iter().map(team).collect()
    }

    /// All projects, as rules see them.
    ///
    /// # Errors
    /// The database.
    pub async fn ruled_projects(&self, org: OrgId) -> Result<Vec<RuledProject>, StoreError> {
        let rows: Vec<(String, String, Option<String>)> = read!(self, |db| {
            sqlx::query_as("SELECT id, name, data_class FROM projects WHERE org_id = $1 ORDER BY id")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        let project = |(id, name, data_class): (String, String, Option<String>)| {
            Ok(RuledProject { id: stored::parsed("project", &id)?, name, data_class })
        };
        rows.into_iter().map(project).collect()
    }

    /// Everybody with their teams, in the order of their identifiers.
    ///
    /// # Errors
    /// The database.
    pub async fn people(&self, org: OrgId) -> Result<Vec<Person>, StoreError> {
        let mut people: Vec<Person> = Vec::new();
        let mut after = String::new();
        loop {
            let rows: Vec<(String, String)> = read!(self, |db| {
                sqlx::query_as(
                    "SELECT id, email FROM users WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3",
                )
                .bind(org.to_string())
                .bind(after.as_str())
                .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
                .fetch_all(db)
                .await
            })?;
            let Some((last, _)) = rows.last() else { return Ok(people) };
            let (first, last) = (after, last.clone());
            let full = rows.len() == BATCH;
            let from = people.len();
            for (id, email) in rows {
                people.push(Person { id: stored::parsed("user", &id)?, email, teams: Vec::new() });
            }
            self.add_teams(org, &mut people[from..], &first, &last).await?;
            if !full {
                return Ok(people);
            }
            after = last;
        }
    }

    /// Adds the teams of people whose identifiers lie after `first` and not after `last`.
    async fn add_teams(
        &self,
        org: OrgId,
        people: &mut [Person],
        first: &str,
        last: &str,
    ) -> Result<(), StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT user_id, team_id FROM memberships \
                 WHERE org_id = $1 AND user_id > $2 AND user_id <= $3 ORDER BY user_id, team_id",
            )
            .bind(org.to_string())
            .bind(first)
            .bind(last)
            .fetch_all(db)
            .await
        })?;
        for (user, team) in rows {
            let user: UserId = stored::parsed("user", &user)?;
            if let Ok(at) = people.binary_search_by_key(&user, |person| person.id) {
                people[at].teams.push(stored::parsed("team", &team)?);
            }
        }
        Ok(())
    }
}

async fn others(tx: &mut Tx, org: OrgId, name: &str) -> Result<u64, StoreError> {
    let (count,): (i64,) = within!(tx, |db| {
        sqlx::query_as("SELECT COUNT(*) FROM access_policies WHERE org_id = $1 AND name <> $2")
            .bind(org.to_string())
            .bind(name)
            .fetch_one(db)
            .await
    })?;
    stored::unsigned(NOUN, count)
}

fn policy_of(row: Row) -> AccessPolicy {
    AccessPolicy {
        name: row.name,
        text: row.text,
        created_at: UnixMillis(row.created_at),
        changed_at: UnixMillis(row.changed_at),
    }
}
