//! Device grants: sign-ins that a client has asked for and a person is to approve in a browser.

use std::net::IpAddr;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{stored, user};

const NOUN: &str = "device grant";

/// How far a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has decided.
    Pending,
    /// Approved, and not collected yet.
    Approved,
    /// Denied.
    Denied,
    /// Collected.
    Delivered,
}

impl DeviceState {
    const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Denied, Self::Delivered];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Delivered => "delivered",
        }
    }
}

/// A grant to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// The SHA-256 of the device code.
    pub device: [u8; 32],
    /// The user code, as it is shown.
    pub user_code: String,
    /// The seconds that must lie between two polls.
    pub poll_seconds: i64,
    /// Which product asks, as it says of itself.
    pub surface: Option<String>,
    /// The client's program and version.
    pub client: Option<String>,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// When it is made.
    pub created_at: UnixMillis,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// A grant as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What it was made with.
    pub new: NewDevice,
    /// How far it is.
    pub state: DeviceState,
    /// What its approval gave, for who approved it to read.
    pub approval: Option<String>,
    /// When the client last polled.
    pub polled_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    device: Vec<u8>,
    user_code: String,
    state: String,
    approval: Option<String>,
    poll_seconds: i64,
    polled_at: Option<i64>,
    surface: Option<String>,
    client: Option<String>,
    peer: Option<String>,
    created_at: i64,
    expires_at: i64,
}

const COLUMNS: &str = "device, user_code, state, approval, poll_seconds, polled_at, surface, client, peer, created_at, expires_at";

impl Store {
    /// Keeps a new grant, unless there are `most` that have not run out: then false. Not audited: anybody may ask.
    ///
    /// # Errors
    /// There is one of that user code; the database.
    pub async fn create_device(&self, org: OrgId, new: &NewDevice, most: u32) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let (open,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM device_grants WHERE org_id = $1 AND expires_at > $2")
                .bind(org.to_string())
                .bind(new.created_at.0)
                .fetch_one(db)
                .await
        })?;
        if open >= i64::from(most) {
            return Ok(false);
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO device_grants (org_id, device, user_code, state, poll_seconds, surface, client, peer, \
                 created_at, expires_at) VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7, $8, $9)",
            )
            .bind(org.to_string())
            .bind(new.device.to_vec())
            .bind(new.user_code.as_str())
            .bind(new.poll_seconds)
            .bind(new.surface.as_deref())
            .bind(new.client.as_deref())
            .bind(new.peer.map(|peer| peer.to_string()))
            .bind(new.created_at.0)
            .bind(new.expires_at.0)
            .execute(db)
            .await
        })
        // The code is a secret of sorts; no error repeats it.
        .map_err(StoreError::inserting(NOUN, "of that code"))?;
        tx.commit().await?;
        Ok(true)
    }

    /// The grant that is polled for with the code of this hash.
    ///
    /// # Errors
    /// The database.
    pub async fn device(&self, org: OrgId, device: &[u8; 32]) -> Result<Option<Device>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM device_grants WHERE org_id = $1 AND device = $2"
        ));
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(sql).bind(org.to_string()).bind(device.to_vec()).fetch_optional(db).await
        })?;
        row.map(device_of).transpose()
    }

    /// The grant of this user code.
    ///
    /// # Errors
    /// The database.
    pub async fn device_by_code(&self, org: OrgId, user_code: &str) -> Result<Option<Device>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM device_grants WHERE org_id = $1 AND user_code = $2"
        ));
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(sql).bind(org.to_string()).bind(user_code).fetch_optional(db).await
        })?;
        row.map(device_of).transpose()
    }

    /// Notes a poll of a grant that nobody has decided about.
    ///
    /// # Errors
    /// The database.
    pub async fn note_poll(
        &self,
        org: OrgId,
        device: &[u8; 32],
        at: UnixMillis,
        poll_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "UPDATE device_grants SET polled_at = $3, poll_seconds = $4 WHERE org_id = $1 AND device = $2 \
                 AND state = 'pending'",
            )
            .bind(org.to_string())
            .bind(device.to_vec())
            .bind(at.0)
            .bind(poll_seconds)
            .execute(db)
            .await
        })?;
        tx.commit().await
    }

    /// Decides about a grant: approved by this person with what the approval gives, or denied. False when it was decided
    /// before, has run out, or the person is disabled: of two decisions one counts.
    ///
    /// # Errors
    /// There is no such person; the database.
    pub async fn decide_device(
        &self,
        org: OrgId,
        device: &[u8; 32],
        approved: Option<(UserId, &str)>,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        // Whoever disables the person waits for this, and withdraws it.
        if let Some((user, _)) = approved
            && user::lock(&mut tx, org, user).await? == UserState::Disabled
        {
            return Ok(false);
        }
        let to = if approved.is_some() { DeviceState::Approved } else { DeviceState::Denied };
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE device_grants SET state = $3, approval = $4, user_id = $6 WHERE org_id = $1 AND device = $2 \
                 AND state = 'pending' AND expires_at > $5",
            )
            .bind(org.to_string())
            .bind(device.to_vec())
            .bind(to.text())
            .bind(approved.map(|(_, approval)| approval))
            .bind(act.at.0)
            .bind(approved.map(|(user, _)| user.to_string()))
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Ok(false);
        }
        tx.record(org, act).await?;
        Ok(true)
    }

    /// Removes grants and sign-ins that have run out, of all organizations, and notes which sessions have. For a job.
    ///
    /// # Errors
    /// The database.
    pub async fn clear_sign_ins(&self, now: UnixMillis) -> Result<(), StoreError> {
        const STATEMENTS: [&str; 5] = [
            "DELETE FROM device_grants WHERE expires_at <= $1",
            "DELETE FROM pending_logins WHERE expires_at <= $1",
            "DELETE FROM local_sign_ins WHERE expires_at <= $1",
            "DELETE FROM factor_links WHERE expires_at <= $1",
            "UPDATE sessions SET ended_at = expires_at, ended_why = 'expired', source_token = NULL \
             WHERE ended_at IS NULL AND expires_at <= $1",
        ];
        for sql in STATEMENTS {
            let mut tx = self.begin().await?;
            change!(tx, |db| sqlx::query(sql).bind(now.0).execute(db).await)?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Denies what a person has approved and nobody has collected.
pub(crate) async fn withdraw(tx: &mut Tx, org: OrgId, user: UserId) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "UPDATE device_grants SET state = 'denied', approval = NULL WHERE org_id = $1 AND user_id = $2 \
             AND state = 'approved'",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .execute(db)
        .await
    })?;
    Ok(())
}

/// Marks an approved grant as collected; false when it is not (any more) there to be collected.
pub(crate) async fn deliver(
    tx: &mut Tx,
    org: OrgId,
    device: &[u8; 32],
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let changed = change!(tx, |db| {
        sqlx::query(
            "UPDATE device_grants SET state = 'delivered', approval = NULL WHERE org_id = $1 AND device = $2 \
             AND state = 'approved' AND expires_at > $3",
        )
        .bind(org.to_string())
        .bind(device.to_vec())
        .bind(now.0)
        .execute(db)
        .await
    })?;
    Ok(changed == 1)
}

fn device_of(row: Row) -> Result<Device, StoreError> {
    let state = DeviceState::ALL.into_iter().find(|state| state.text() == row.state);
    Ok(Device {
        state: state.ok_or_else(|| StoreError::corrupt(NOUN, "of that code", "its state is none"))?,
        approval: row.approval,
        polled_at: row.polled_at.map(UnixMillis),
        new: NewDevice {
            device: stored::bytes(NOUN, "of that code", &row.device)?,
            user_code: row.user_code,
            poll_seconds: row.poll_seconds,
            surface: row.surface,
            client: row.client,
            peer: row.peer.and_then(|peer| peer.parse().ok()),
            created_at: UnixMillis(row.created_at),
            expires_at: UnixMillis(row.expires_at),
        },
    })
}
