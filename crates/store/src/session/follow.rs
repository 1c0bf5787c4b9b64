//! What the groups of a source say at a sign-in or a refresh: whose teams somebody is in, and what their session charges.

use std::collections::BTreeSet;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, SessionId, TeamId, UserId};

use crate::dialect::{change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{stored, team, user};

/// What a source says of somebody now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following<'a> {
    /// Who it is.
    pub user: UserId,
    /// The source, as sessions name it.
    pub source: &'a str,
    /// The teams that their groups there stand for.
    pub teams: &'a BTreeSet<TeamId>,
}

impl Store {
    /// Puts somebody into the teams that a source's groups stand for, and takes them out of those that it put them into
    /// earlier. Memberships that came about otherwise stay. False when nothing was to be changed; then nothing is recorded.
    ///
    /// # Errors
    /// There is no such user or team; the database.
    pub async fn follow_groups(
        &self,
        org: OrgId,
        following: &Following<'_>,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        user::lock(&mut tx, org, following.user).await?;
        let has = memberships(&mut tx, org, following.user).await?;
        let is_in = |team: &TeamId| has.iter().any(|(has, _)| has == team);
        let given = |source: &Option<String>| source.as_deref() == Some(following.source);
        let out: Vec<TeamId> = has
            .iter()
            .filter(|(team, source)| given(source) && !following.teams.contains(team))
            .map(|(team, _)| *team)
            .collect();
        let into: Vec<TeamId> = following.teams.iter().filter(|team| !is_in(team)).copied().collect();
        if out.is_empty() && into.is_empty() {
            return Ok(false);
        }
        for id in out {
            change!(tx, |db| {
                sqlx::query("DELETE FROM memberships WHERE org_id = $1 AND user_id = $2 AND team_id = $3")
                    .bind(org.to_string())
                    .bind(following.user.to_string())
                    .bind(id.to_string())
                    .execute(db)
                    .await
            })?;
        }
        for id in into {
            team::must_exist(&mut tx, org, id).await?;
            change!(tx, |db| {
                sqlx::query(
                    "INSERT INTO memberships (org_id, user_id, team_id, source) VALUES ($1, $2, $3, $4)",
                )
                .bind(org.to_string())
                .bind(following.user.to_string())
                .bind(id.to_string())
                .bind(following.source)
                .execute(db)
                .await
            })?;
        }
        tx.publish(org, act).await?;
        Ok(true)
    }

    /// Lets an open session charge another team. False when it does already, or is over; then nothing is recorded.
    ///
    /// # Errors
    /// The database.
    pub async fn charge_session(
        &self,
        org: OrgId,
        id: SessionId,
        team: Option<TeamId>,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE sessions SET team_id = $3 WHERE org_id = $1 AND id = $2 AND ended_at IS NULL \
                 AND COALESCE(team_id, '') <> COALESCE($3, '')",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(team.map(|team| team.to_string()))
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Ok(false);
        }
        tx.publish(org, act).await?;
        Ok(true)
    }
}

async fn memberships(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
) -> Result<Vec<(TeamId, Option<String>)>, StoreError> {
    let rows: Vec<(String, Option<String>)> = within!(tx, |db| {
        sqlx::query_as("SELECT team_id, source FROM memberships WHERE org_id = $1 AND user_id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .fetch_all(db)
            .await
    })?;
    rows.into_iter().map(|(team, source)| Ok((stored::parsed("team", &team)?, source))).collect()
}
