//! Changing groups.

use std::collections::BTreeSet;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{GroupId, OrgId, TeamId};
use gatehouse_domain::source::Source;

use super::find::in_tx;
use super::{Group, GroupData, NOUN, member};
use crate::dialect::change;
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{stored, team};

impl Store {
    /// Makes a group with these members: identifiers of users and groups of the same source.
    ///
    /// # Errors
    /// The source has one of that key; a member does not exist (`NotFound` of `member`); the database.
    pub async fn create_group(
        &self,
        org: OrgId,
        source: &Source,
        id: GroupId,
        data: &GroupData,
        members: &[String],
        act: &Draft,
    ) -> Result<Group, StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO directory_groups (org_id, id, source, name_key, display_name, external_id, version, \
                 created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(source.to_string())
            .bind(data.name_key.as_str())
            .bind(data.display_name.as_str())
            .bind(data.external_id.as_deref())
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, &data.display_name))?;
        let members = member::resolved(&mut tx, org, source, members).await?;
        member::add(&mut tx, org, id, &members).await?;
        let group = in_tx(&mut tx, org, id).await?;
        tx.record(org, act).await?;
        Ok(group)
    }

    /// Changes a group that has this version; `None` when it has another one by now.
    ///
    /// # Errors
    /// The source has no such group, or another one of that key; an added member does not exist (`NotFound` of
    /// `member`); the database.
    #[expect(clippy::too_many_arguments, reason = "who, which, in which state, what, by whom")]
    pub async fn change_group(
        &self,
        org: OrgId,
        source: &Source,
        id: GroupId,
        version: u64,
        data: &GroupData,
        added: &[String],
        removed: &[String],
        act: &Draft,
    ) -> Result<Option<Group>, StoreError> {
        let version = stored::signed("version", version)?;
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE directory_groups SET name_key = $5, display_name = $6, external_id = $7, updated_at = $8, \
                 version = version + 1 WHERE org_id = $1 AND id = $2 AND source = $3 AND version = $4",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(source.to_string())
            .bind(version)
            .bind(data.name_key.as_str())
            .bind(data.display_name.as_str())
            .bind(data.external_id.as_deref())
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, &data.display_name))?;
        if changed == 0 {
            in_tx(&mut tx, org, id).await?;
            return Ok(None);
        }
        let added = member::resolved(&mut tx, org, source, added).await?;
        member::remove(&mut tx, org, id, removed).await?;
        member::add(&mut tx, org, id, &added).await?;
        let teams = member::teams_above(&mut tx, org, &id.to_string()).await?;
        member::settle(&mut tx, org, &teams).await?;
        let group = in_tx(&mut tx, org, id).await?;
        finish(tx, org, !teams.is_empty(), act).await?;
        Ok(Some(group))
    }

    /// Removes a group; nobody in it is disabled by that. `None` when `version` is given and the group has another one
    /// by now.
    ///
    /// # Errors
    /// The source has no such group; the database.
    pub async fn remove_group(
        &self,
        org: OrgId,
        source: &Source,
        id: GroupId,
        version: Option<u64>,
        act: &Draft,
    ) -> Result<Option<()>, StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, id).await?;
        let group = in_tx(&mut tx, org, id).await?;
        if group.source != *source {
            return Err(StoreError::not_found(NOUN, id));
        }
        if version.is_some_and(|version| version != group.version) {
            return Ok(None);
        }
        let teams = member::teams_above(&mut tx, org, &id.to_string()).await?;
        member::forget_member(&mut tx, org, &id.to_string()).await?;
        for sql in [
            "UPDATE accounts SET version = version + 1 WHERE org_id = $1 AND user_id IN \
             (SELECT member_id FROM directory_members WHERE org_id = $1 AND group_id = $2)",
            "DELETE FROM directory_members WHERE org_id = $1 AND group_id = $2",
            "DELETE FROM directory_groups WHERE org_id = $1 AND id = $2",
        ] {
            change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(id.to_string()).execute(db).await)?;
        }
        member::settle(&mut tx, org, &teams).await?;
        finish(tx, org, !teams.is_empty(), act).await?;
        Ok(Some(()))
    }

    /// Lets a group stand for a team, or for none.
    ///
    /// # Errors
    /// There is no such group or team; the database.
    pub async fn map_group(
        &self,
        org: OrgId,
        id: GroupId,
        team: Option<TeamId>,
        act: &Draft,
    ) -> Result<Group, StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, id).await?;
        let before = in_tx(&mut tx, org, id).await?;
        if let Some(team) = team {
            team::must_exist(&mut tx, org, team).await?;
        }
        change!(tx, |db| {
            sqlx::query("UPDATE directory_groups SET team_id = $3 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(team.map(|team| team.to_string()))
                .execute(db)
                .await
        })?;
        member::settle(&mut tx, org, &together(before.team, team)).await?;
        let group = in_tx(&mut tx, org, id).await?;
        tx.publish(org, act).await?;
        Ok(group)
    }
}

fn together(one: Option<TeamId>, other: Option<TeamId>) -> Vec<String> {
    one.into_iter().chain(other).map(|team| team.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The data path decides by teams, and must learn of who joined or left one.
async fn finish(tx: Tx, org: OrgId, teams_changed: bool, act: &Draft) -> Result<(), StoreError> {
    if teams_changed { tx.publish(org, act).await } else { tx.record(org, act).await }
}

/// Keeps others from changing the group until the transaction ends.
async fn lock(tx: &mut Tx, org: OrgId, id: GroupId) -> Result<(), StoreError> {
    let found = change!(tx, |db| {
        sqlx::query("UPDATE directory_groups SET version = version WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(id.to_string())
            .execute(db)
            .await
    })?;
    if found == 0 { Err(StoreError::not_found(NOUN, id)) } else { Ok(()) }
}
