//! Who got a rollout.

use gatehouse_domain::id::{OrgId, RolloutId, UserId};
use gatehouse_domain::settings::Checksum;
use gatehouse_domain::time::UnixMillis;

use super::step::{NewAssignment, News};
use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

const NOUN: &str = "assignment";

/// How far somebody is with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssignmentState {
    /// It is theirs, and their client has not said that it has it.
    Assigned,
    /// Their client said that it applied it.
    Confirmed,
    /// They used it since.
    Active,
    /// It was taken back.
    Undone,
    /// It was taken back, and their client said that it has other settings again.
    Restored,
    /// They left.
    Left,
}

impl AssignmentState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Assigned, Self::Confirmed, Self::Active, Self::Undone, Self::Restored, Self::Left];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Confirmed => "confirmed",
            Self::Active => "active",
            Self::Undone => "undone",
            Self::Restored => "restored",
            Self::Left => "left",
        }
    }

    /// Whether it is theirs.
    pub const fn has_it(self) -> bool {
        matches!(self, Self::Assigned | Self::Confirmed | Self::Active)
    }
}

/// Somebody who got a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// In which phase, from 0.
    pub phase: usize,
    /// At which place in it.
    pub place: u64,
    /// How far they are.
    pub state: AssignmentState,
    /// By what they can use it: `key`, `session`, `sign_in` or `none`.
    pub credential: String,
    /// The settings that they had before; none for nothing.
    pub from: Option<Checksum>,
    /// Those that they have with it, once that was seen.
    pub to: Option<Checksum>,
    /// When they got it.
    pub assigned_at: UnixMillis,
    /// When their client said that it applied it.
    pub confirmed_at: Option<UnixMillis>,
    /// When it was seen that they use it.
    pub active_at: Option<UnixMillis>,
    /// When it was taken back.
    pub undone_at: Option<UnixMillis>,
    /// When their client said that it has other settings again.
    pub restored_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    email: String,
    phase: i64,
    place: i64,
    state: String,
    credential: String,
    from_checksum: Option<String>,
    to_checksum: Option<String>,
    assigned_at: i64,
    confirmed_at: Option<i64>,
    active_at: Option<i64>,
    undone_at: Option<i64>,
    restored_at: Option<i64>,
}

impl Store {
    /// Everybody who got a rollout, in the order in which they did.
    ///
    /// # Errors
    /// An assignment that cannot be read; the database.
    pub async fn rollout_assignments(
        &self,
        org: OrgId,
        rollout: RolloutId,
    ) -> Result<Vec<Assignment>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT a.user_id, u.email, a.phase, a.place, a.state, a.credential, a.from_checksum, a.to_checksum, \
                 a.assigned_at, a.confirmed_at, a.active_at, a.undone_at, a.restored_at FROM rollout_assignments a \
                 JOIN users u ON u.org_id = a.org_id AND u.id = a.user_id \
                 WHERE a.org_id = $1 AND a.rollout_id = $2 ORDER BY a.phase, a.place, a.user_id",
            )
            .bind(org.to_string())
            .bind(rollout.to_string())
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(assignment_of).collect()
    }
}

fn assignment_of(row: Row) -> Result<Assignment, StoreError> {
    let sum = |text: Option<String>| {
        let read = text.as_deref().map(Checksum::parse).transpose();
        read.map_err(|error| StoreError::corrupt(NOUN, &row.user_id, error))
    };
    let state = AssignmentState::ALL.into_iter().find(|state| state.as_str() == row.state);
    Ok(Assignment {
        user: stored::parsed("user", &row.user_id)?,
        phase: usize::try_from(row.phase).unwrap_or(0),
        place: stored::unsigned(NOUN, row.place)?,
        state: state.ok_or_else(|| StoreError::corrupt(NOUN, &row.user_id, "its state is not known"))?,
        from: sum(row.from_checksum)?,
        to: sum(row.to_checksum)?,
        email: row.email,
        credential: row.credential,
        assigned_at: UnixMillis(row.assigned_at),
        confirmed_at: row.confirmed_at.map(UnixMillis),
        active_at: row.active_at.map(UnixMillis),
        undone_at: row.undone_at.map(UnixMillis),
        restored_at: row.restored_at.map(UnixMillis),
    })
}

/// Gives it to people, after those of the phase who have it. Who had it and gave it back gets it anew.
pub(super) async fn assign(
    tx: &mut Tx,
    org: OrgId,
    rollout: RolloutId,
    phase: usize,
    new: &[NewAssignment],
    now: UnixMillis,
) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let phase = stored::signed("phase", phase as u64)?;
    let (last,): (Option<i64>,) = within!(tx, |db| {
        sqlx::query_as(
            "SELECT MAX(place) FROM rollout_assignments WHERE org_id = $1 AND rollout_id = $2 AND phase = $3",
        )
        .bind(org.to_string())
        .bind(rollout.to_string())
        .bind(phase)
        .fetch_one(db)
        .await
    })?;
    for (one, place) in new.iter().zip(last.map_or(0, |last| last.saturating_add(1))..) {
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO rollout_assignments (org_id, rollout_id, user_id, phase, place, state, credential, \
                 from_checksum, assigned_at) VALUES ($1, $2, $3, $4, $5, 'assigned', $6, $7, $8) \
                 ON CONFLICT (org_id, rollout_id, user_id) DO UPDATE SET phase = excluded.phase, \
                 place = excluded.place, state = 'assigned', credential = excluded.credential, \
                 from_checksum = excluded.from_checksum, to_checksum = NULL, assigned_at = excluded.assigned_at, \
                 confirmed_at = NULL, active_at = NULL, undone_at = NULL, restored_at = NULL",
            )
            .bind(org.to_string())
            .bind(rollout.to_string())
            .bind(one.user.to_string())
            .bind(phase)
            .bind(place)
            .bind(one.credential)
            .bind(one.from.map(|sum| sum.to_string()))
            .bind(now.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, one.user))?;
    }
    Ok(())
}

/// Takes it back from people, or notes that they left. From whom it was taken is left as it is.
pub(super) async fn undo(
    tx: &mut Tx,
    org: OrgId,
    rollout: RolloutId,
    users: &[UserId],
    state: &'static str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    for user in users {
        change!(tx, |db| {
            sqlx::query(
                "UPDATE rollout_assignments SET state = $4, undone_at = $5 \
                 WHERE org_id = $1 AND rollout_id = $2 AND user_id = $3 AND state IN ('assigned', 'confirmed', 'active')",
            )
            .bind(org.to_string())
            .bind(rollout.to_string())
            .bind(user.to_string())
            .bind(state)
            .bind(now.0)
            .execute(db)
            .await
        })?;
    }
    Ok(())
}

/// Writes down what was seen; what is known stays.
pub(super) async fn tell(
    tx: &mut Tx,
    org: OrgId,
    rollout: RolloutId,
    news: &[News],
    now: UnixMillis,
) -> Result<(), StoreError> {
    for one in news {
        let when = |is: bool| is.then_some(now.0);
        change!(tx, |db| {
            sqlx::query(
                "UPDATE rollout_assignments SET to_checksum = COALESCE($4, to_checksum), \
                 confirmed_at = COALESCE(confirmed_at, $5), active_at = COALESCE(active_at, $6), \
                 restored_at = COALESCE(restored_at, $7), \
                 state = CASE WHEN state = 'undone' AND COALESCE(restored_at, $7) IS NOT NULL THEN 'restored' \
                 WHEN state IN ('undone', 'restored', 'left') THEN state \
                 WHEN COALESCE(active_at, $6) IS NOT NULL THEN 'active' \
                 WHEN COALESCE(confirmed_at, $5) IS NOT NULL THEN 'confirmed' ELSE state END \
                 WHERE org_id = $1 AND rollout_id = $2 AND user_id = $3",
            )
            .bind(org.to_string())
            .bind(rollout.to_string())
            .bind(one.user.to_string())
            .bind(one.to.map(|sum| sum.to_string()))
            .bind(when(one.confirmed))
            .bind(when(one.active))
            .bind(when(one.restored))
            .execute(db)
            .await
        })?;
    }
    Ok(())
}
