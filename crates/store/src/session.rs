//! Sessions of people who signed in, and their refresh tokens.

use std::net::IpAddr;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{OrgId, SessionId, TeamId, UserId};
use gatehouse_domain::session::{Session, SessionEnd};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::{device, stored, user};

mod refresh;
mod follow;

pub use follow::Following;
pub use refresh::{Family, Refreshed};

const NOUN: &str = "session";

const SELECT: &str = "SELECT s.id, s.user_id, u.email, t.name AS team, s.source, s.surface, s.client, s.peer, \
     s.created_at, s.refreshed_at, s.expires_at, s.ended_at, s.ended_why \
     FROM sessions s \
     JOIN users u ON u.org_id = s.org_id AND u.id = s.user_id \
     LEFT JOIN teams t ON t.org_id = s.org_id AND t.id = s.team_id \
     WHERE s.org_id = $1";

/// A session to begin.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its identifier.
    pub id: SessionId,
    /// Who signed in.
    pub user: UserId,
    /// The team it charges.
    pub team: Option<TeamId>,
    /// Where they signed in.
    pub source: String,
    /// The source's name for them.
    pub subject: Option<String>,
    /// Which product asked for it.
    pub surface: Option<String>,
    /// The client's program and version.
    pub client: Option<String>,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// The database's half of its refresh tokens.
    pub seed: [u8; 32],
    /// The identity provider's refresh token, sealed.
    pub source_token: Option<String>,
    /// When it ends.
    pub expires_at: UnixMillis,
}

/// Which sessions are wanted; all conditions apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// Those of this person.
    pub user: Option<UserId>,
    /// Those that stand at this time.
    pub open_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    user_id: String,
    email: String,
    team: Option<String>,
    source: String,
    surface: Option<String>,
    client: Option<String>,
    peer: Option<String>,
    created_at: i64,
    refreshed_at: Option<i64>,
    expires_at: i64,
    ended_at: Option<i64>,
    ended_why: Option<String>,
}

impl Store {
    /// Begins a session: collects the approved device grant and makes the session of it, both or nothing. `None` when there
    /// is nothing to collect (any more): of two that ask at once one gets it.
    ///
    /// # Errors
    /// The person does not exist or is disabled; the database.
    pub async fn begin_session(
        &self,
        org: OrgId,
        device: &[u8; 32],
        new: &NewSession,
        act: &Draft,
    ) -> Result<Option<Session>, StoreError> {
        let mut tx = self.begin().await?;
        // The person's row comes before the grant's, as where a person is disabled.
        let state = user::lock(&mut tx, org, new.user).await?;
        if !device::deliver(&mut tx, org, device, act.at).await? {
            return Ok(None);
        }
        begin_in(tx, org, state, new, act).await.map(Some)
    }

    /// Begins a session that nobody had to approve: of a service account, by the token of a CI job.
    ///
    /// # Errors
    /// The account does not exist or is disabled; the database.
    pub async fn begin_service_session(
        &self,
        org: OrgId,
        new: &NewSession,
        act: &Draft,
    ) -> Result<Session, StoreError> {
        let mut tx = self.begin().await?;
        let state = user::lock(&mut tx, org, new.user).await?;
        begin_in(tx, org, state, new, act).await
    }

    /// Looks a session up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn session(&self, org: OrgId, id: SessionId) -> Result<Session, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND s.id = $?", Arg::Text(id.to_string()));
        let (sql, args) = filter.into_parts();
        let row = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
        row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), session_of)
    }

    /// Lists sessions, newest first. One that cannot be read is left out.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn sessions(
        &self,
        org: OrgId,
        wanted: &SessionFilter,
        page: &Page,
    ) -> Result<Listed<Session>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND s.id < $?", page.cursor(|text| text.parse::<SessionId>().ok())?);
        filter.text("AND s.user_id = $?", wanted.user);
        filter.int("AND s.ended_at IS NULL AND s.expires_at > $?", wanted.open_at.map(|at| at.0));
        filter.arg("ORDER BY s.id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().filter_map(|row| stored::readable(session_of(row))).collect();
        Ok(Listed { items, next: listed.next })
    }

    /// Ends a session. One that is over already stays as it ended, and nothing is recorded: then false.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn end_session(
        &self,
        org: OrgId,
        id: SessionId,
        why: SessionEnd,
        act: &Draft,
    ) -> Result<(Session, bool), StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE sessions SET ended_at = $3, ended_why = $4, source_token = NULL \
                 WHERE org_id = $1 AND id = $2 AND ended_at IS NULL",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(act.at.0)
            .bind(why.as_str())
            .execute(db)
            .await
        })?;
        let session = in_tx(&mut tx, org, id).await?;
        if changed == 0 {
            return Ok((session, false));
        }
        tx.publish(org, act).await?;
        Ok((session, true))
    }
}

/// Ends all sessions of a person, and what they approved and nobody has collected. The caller holds the person's row, so
/// that none begins at the same time. Sessions whose time is over ended by that.
pub(crate) async fn end_all(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    why: SessionEnd,
    at: UnixMillis,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "UPDATE sessions SET ended_at = $3, ended_why = $4, source_token = NULL WHERE org_id = $1 AND user_id = $2 \
             AND ended_at IS NULL AND expires_at > $3",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(at.0)
        .bind(why.as_str())
        .execute(db)
        .await
    })?;
    device::withdraw(tx, org, user).await
}

/// Makes the session, if its holder, whose row is locked and in this state, may have one.
async fn begin_in(
    mut tx: Tx,
    org: OrgId,
    state: UserState,
    new: &NewSession,
    act: &Draft,
) -> Result<Session, StoreError> {
    if state == UserState::Disabled {
        return Err(StoreError::refused("user", new.user, "is disabled"));
    }
    insert(&mut tx, org, new, act.at).await?;
    let session = in_tx(&mut tx, org, new.id).await?;
    tx.publish(org, act).await?;
    Ok(session)
}

async fn insert(tx: &mut Tx, org: OrgId, new: &NewSession, now: UnixMillis) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO sessions (org_id, id, user_id, team_id, source, subject, surface, client, peer, seed, \
             generation, used, source_token, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, '', $11, $12, $13)",
        )
        .bind(org.to_string())
        .bind(new.id.to_string())
        .bind(new.user.to_string())
        .bind(new.team.map(|id| id.to_string()))
        .bind(new.source.as_str())
        .bind(new.subject.as_deref())
        .bind(new.surface.as_deref())
        .bind(new.client.as_deref())
        .bind(new.peer.map(|peer| peer.to_string()))
        .bind(new.seed.to_vec())
        .bind(new.source_token.as_deref())
        .bind(now.0)
        .bind(new.expires_at.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, new.id))?;
    Ok(())
}

async fn in_tx(tx: &mut Tx, org: OrgId, id: SessionId) -> Result<Session, StoreError> {
    let mut filter = Filter::new(SELECT, org);
    filter.arg("AND s.id = $?", Arg::Text(id.to_string()));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), session_of)
}

fn session_of(row: Row) -> Result<Session, StoreError> {
    let why = |text: String| {
        let found = SessionEnd::ALL.into_iter().find(|why| why.as_str() == text);
        found.ok_or_else(|| StoreError::corrupt(NOUN, &row.id, format!("its end is `{text}`")))
    };
    Ok(Session {
        id: stored::parsed(NOUN, &row.id)?,
        user: stored::parsed("user", &row.user_id)?,
        email: row.email,
        team: row.team,
        source: row.source,
        surface: row.surface,
        client: row.client,
        peer: row.peer.and_then(|peer| peer.parse().ok()),
        created_at: UnixMillis(row.created_at),
        refreshed_at: row.refreshed_at.map(UnixMillis),
        expires_at: UnixMillis(row.expires_at),
        ended_at: row.ended_at.map(UnixMillis),
        ended_why: row.ended_why.map(why).transpose()?,
    })
}
