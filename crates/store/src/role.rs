//! Roles that an organization wrote.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::role::{Permissions, RoleName};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::{policy, stored};

const NOUN: &str = "role";

/// Most roles that an organization may write.
pub const MAX_ROLES: u64 = 200;

/// A role that the organization wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRole {
    /// Its name.
    pub name: RoleName,
    /// What it includes.
    pub permissions: Permissions,
    /// When it was first written.
    pub created_at: UnixMillis,
    /// When it was last written.
    pub changed_at: UnixMillis,
}

type Row = (String, String, i64, i64);

impl Store {
    /// The roles that the organization wrote, by name; there are [`MAX_ROLES`] at most.
    ///
    /// # Errors
    /// One that cannot be read; the database.
    pub async fn roles(&self, org: OrgId) -> Result<Vec<CustomRole>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT name, permissions, created_at, changed_at FROM roles WHERE org_id = $1 ORDER BY name",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(role_of).collect()
    }

    /// Looks a role up that the organization wrote.
    ///
    /// # Errors
    /// One that cannot be read; the database.
    pub async fn role(&self, org: OrgId, name: &RoleName) -> Result<Option<CustomRole>, StoreError> {
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT name, permissions, created_at, changed_at FROM roles WHERE org_id = $1 AND name = $2",
            )
            .bind(org.to_string())
            .bind(name.as_str())
            .fetch_optional(db)
            .await
        })?;
        row.map(role_of).transpose()
    }

    /// Writes a role, new or in place of the one of that name. Tokens of that role have the new permissions at once.
    ///
    /// # Errors
    /// There are [`MAX_ROLES`] others; the database.
    pub async fn put_role(
        &self,
        org: OrgId,
        name: &RoleName,
        permissions: Permissions,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // Makes writers take turns, so that the count holds.
        policy::bump(&mut tx, org).await?;
        let (others,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM roles WHERE org_id = $1 AND name <> $2")
                .bind(org.to_string())
                .bind(name.as_str())
                .fetch_one(db)
                .await
        })?;
        if stored::unsigned(NOUN, others)? >= MAX_ROLES {
            return Err(StoreError::refused(NOUN, name, "would be one more than the 200 there may be"));
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO roles (org_id, name, permissions, created_at, changed_at) VALUES ($1, $2, $3, $4, $4) \
                 ON CONFLICT (org_id, name) DO UPDATE SET permissions = excluded.permissions, \
                 changed_at = excluded.changed_at",
            )
            .bind(org.to_string())
            .bind(name.as_str())
            .bind(text_of(permissions))
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }

    /// Removes a role.
    ///
    /// # Errors
    /// There is none of that name; tokens that were not revoked have it; the database.
    pub async fn remove_role(&self, org: OrgId, name: &RoleName, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        policy::bump(&mut tx, org).await?;
        let (used,): (i64,) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT COUNT(*) FROM admin_tokens WHERE org_id = $1 AND role = $2 AND revoked_at IS NULL",
            )
            .bind(org.to_string())
            .bind(name.as_str())
            .fetch_one(db)
            .await
        })?;
        if used > 0 {
            return Err(StoreError::refused(NOUN, name, "is the role of tokens that were not revoked"));
        }
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM roles WHERE org_id = $1 AND name = $2")
                .bind(org.to_string())
                .bind(name.as_str())
                .execute(db)
                .await
        })?;
        if gone == 0 {
            return Err(StoreError::not_found(NOUN, name));
        }
        tx.record(org, act).await
    }
}

fn text_of(permissions: Permissions) -> String {
    permissions.iter().map(gatehouse_domain::role::Permission::as_str).collect::<Vec<_>>().join(",")
}

fn role_of((name, permissions, created_at, changed_at): Row) -> Result<CustomRole, StoreError> {
    let list = permissions.split(',').filter(|name| !name.is_empty());
    let list: Vec<_> = list.map(|text| stored::parsed(NOUN, text)).collect::<Result<_, _>>()?;
    Ok(CustomRole {
        name: stored::parsed(NOUN, &name)?,
        permissions: Permissions::of(&list),
        created_at: UnixMillis(created_at),
        changed_at: UnixMillis(changed_at),
    })
}
