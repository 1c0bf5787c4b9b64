//! Who may be in a cohort, and by what they can use the product.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, TeamId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

/// An enabled person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// Their teams, by id.
    pub teams: Vec<TeamId>,
}

/// Who holds what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// People with a key that is good.
    pub keys: BTreeSet<UserId>,
    /// People with a session that is not over.
    pub sessions: BTreeSet<UserId>,
}

impl Store {
    /// All enabled people with their teams, by id.
    ///
    /// # Errors
    /// The database.
    pub async fn active_people(&self, org: OrgId) -> Result<Vec<Active>, StoreError> {
        let rows: Vec<(String, String, Option<String>)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT u.id, u.email, m.team_id FROM users u \
                 LEFT JOIN memberships m ON m.org_id = u.org_id AND m.user_id = u.id \
                 WHERE u.org_id = $1 AND u.state = 'active' ORDER BY u.id, m.team_id",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        let mut people: BTreeMap<UserId, Active> = BTreeMap::new();
        for (id, email, team) in rows {
            let user = stored::parsed("user", &id)?;
            let person = people.entry(user).or_insert_with(|| Active { user, email, teams: Vec::new() });
            person.teams.extend(stored::parsed_some::<TeamId>("team", team.as_deref())?);
        }
        Ok(people.into_values().collect())
    }

    /// Who holds a good key or a session.
    ///
    /// # Errors
    /// The database.
    pub async fn credentials(&self, org: OrgId, now: UnixMillis) -> Result<Credentials, StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT DISTINCT 'key' AS kind, k.user_id FROM keys k WHERE k.org_id = $1 AND k.state = 'active' \
                 AND (k.expires_at IS NULL OR k.expires_at > $2) \
                 UNION SELECT DISTINCT 'session', s.user_id FROM sessions s WHERE s.org_id = $1 \
                 AND s.ended_at IS NULL AND s.expires_at > $2",
            )
            .bind(org.to_string())
            .bind(now.0)
            .fetch_all(db)
            .await
        })?;
        let mut found = Credentials::default();
        for (kind, user) in rows {
            let user = stored::parsed("user", &user)?;
            if kind == "key" {
                found.keys.insert(user)
            } else {
                found.sessions.insert(user)
            };
        }
        Ok(found)
    }

    /// Who volunteered to be among the first.
    ///
    /// # Errors
    /// The database.
    pub async fn volunteers(&self, org: OrgId) -> Result<BTreeSet<UserId>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |db| {
            sqlx::query_as("SELECT user_id FROM rollout_volunteers WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        rows.iter().map(|(user,)| stored::parsed("user", user)).collect()
    }

    /// Notes that somebody volunteers, or does so no more.
    ///
    /// # Errors
    /// There is no such person; the database.
    pub async fn set_volunteer(
        &self,
        org: OrgId,
        user: UserId,
        volunteers: bool,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("DELETE FROM rollout_volunteers WHERE org_id = $1 AND user_id = $2")
                .bind(org.to_string())
                .bind(user.to_string())
                .execute(db)
                .await
        })?;
        if volunteers {
            change!(tx, |db| {
                sqlx::query("INSERT INTO rollout_volunteers (org_id, user_id, since_at) VALUES ($1, $2, $3)")
                    .bind(org.to_string())
                    .bind(user.to_string())
                    .bind(act.at.0)
                    .execute(db)
                    .await
            })
            .map_err(StoreError::inserting("volunteer", user))?;
        }
        tx.record(org, act).await
    }
}
