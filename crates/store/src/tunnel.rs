//! Tunnels of the forward proxy: written to a file at once, carried into the database behind.

mod spool;

use gatehouse_domain::exchange::Credential;
use gatehouse_domain::id::{NodeId, OrgId, TunnelId, UserId};
use gatehouse_domain::proxy::{Tunnel, Via};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::key;
use crate::page::{Listed, Page};
use crate::stored;

pub use spool::{Spool, SpoolFull};

const NOUN: &str = "tunnel";

const SELECT: &str = "SELECT t.id, t.node_id, t.user_id, u.email, t.via, t.client, t.form, t.host, t.port, t.pinned, t.rule, \
     t.verdict, t.started_at, t.resolve_ms, t.connect_ms, t.ended_at, t.bytes_up, t.bytes_down, t.ended, \
     t.inspected \
     FROM tunnels t LEFT JOIN users u ON u.org_id = t.org_id AND u.id = t.user_id WHERE t.org_id = $1";

/// A tunnel as it stands in the database, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TunnelRow {
    /// Its identifier.
    pub id: String,
    /// The node it went through.
    pub node_id: String,
    /// Who; nobody where they were not recognized.
    pub user_id: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// `certificate`, `network`, or the identifier of a key or session.
    pub via: Option<String>,
    /// The client's address.
    pub client: String,
    /// `connect` or `plain`.
    pub form: String,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: i64,
    /// The address connected to.
    pub pinned: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// `allow`, `report` or `deny`.
    pub verdict: String,
    /// When it began.
    pub started_at: i64,
    /// Milliseconds that looking the name up took.
    pub resolve_ms: Option<i64>,
    /// Milliseconds that connecting took.
    pub connect_ms: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Bytes from the client.
    pub bytes_up: Option<i64>,
    /// Bytes to the client.
    pub bytes_down: Option<i64>,
    /// How it ended.
    pub ended: Option<String>,
    /// Requests seen in it; nothing where it was not looked into.
    pub inspected: Option<i64>,
}

/// Which tunnels are wanted; all conditions apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelFilter {
    /// Those of this person.
    pub user: Option<UserId>,
    /// Those of a person who is in this team.
    pub team: Option<gatehouse_domain::id::TeamId>,
    /// Those that began at this time or later.
    pub since: Option<UnixMillis>,
    /// Those with this verdict.
    pub verdict: Option<String>,
    /// Those to this host.
    pub host: Option<String>,
}

/// Most tunnels that are given around a moment.
pub const AROUND: i64 = 20;
/// How far the clocks of two machines may be apart, in milliseconds.
const SLACK_MS: i64 = 1_000;

/// Most tunnels that one call forgets.
pub const FORGOTTEN: i64 = 2_000;

impl Store {
    /// Lists tunnels, newest first.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn tunnels(
        &self,
        org: OrgId,
        wanted: &TunnelFilter,
        page: &Page,
    ) -> Result<Listed<TunnelRow>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND t.id < $?", page.cursor(|text| text.parse::<TunnelId>().ok())?);
        filter.text("AND t.user_id = $?", wanted.user);
        filter.text(
            "AND t.user_id IN (SELECT user_id FROM memberships WHERE org_id = $1 AND team_id = $?)",
            wanted.team,
        );
        filter.int("AND t.started_at >= $?", wanted.since.map(|at| at.0));
        filter.text("AND t.verdict = $?", wanted.verdict.as_ref());
        filter.text("AND t.host = $?", wanted.host.as_ref());
        filter.arg("ORDER BY t.id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let found = read!(self, |db| bound!(sqlx::query_as::<_, TunnelRow>(sql), args).fetch_all(db).await)?;
        Ok(Listed::new(found, page, |row| row.id.clone()))
    }

    /// The tunnels of a person to our own gateway, or looked into, that were open at some moment of a span: at most [`AROUND`], the
    /// newest first. Clocks of two machines may differ by a second.
    ///
    /// # Errors
    /// The database.
    pub async fn tunnels_around(
        &self,
        org: OrgId,
        user: UserId,
        span: (UnixMillis, UnixMillis),
    ) -> Result<Vec<TunnelRow>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND t.user_id = $?", Some(user));
        filter.int("AND t.started_at <= $?", Some(span.1.0 + SLACK_MS));
        filter.int("AND (t.ended_at IS NULL OR t.ended_at >= $?)", Some(span.0.0 - SLACK_MS));
        filter.sql("AND (t.rule = 'gateway' OR t.inspected IS NOT NULL)");
        filter.arg("ORDER BY t.id DESC LIMIT $?", Arg::Int(AROUND));
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, TunnelRow>(sql), args).fetch_all(db).await)?)
    }

    /// Writes tunnels as they are now, in their order: what has ended is never changed again.
    ///
    /// # Errors
    /// The database; then none of them is written.
    pub async fn write_tunnels(&self, org: OrgId, tunnels: &[Tunnel]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut used = Vec::new();
        for tunnel in tunnels {
            write(&mut tx, org, tunnel).await?;
            if let Some(Via::Credential(Credential::Key(key))) = tunnel.via {
                used.push((key, tunnel.started_at));
            }
        }
        key::touch(&mut tx, org, &used).await?;
        tx.commit().await
    }

    /// Ends the tunnels that this node left open when it died. Before it opens new ones.
    ///
    /// # Errors
    /// The database.
    pub async fn interrupt_tunnels(
        &self,
        org: OrgId,
        node: NodeId,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let ended = change!(tx, |db| {
            sqlx::query(
                "UPDATE tunnels SET ended_at = $3, ended = 'interrupted' \
                 WHERE org_id = $1 AND node_id = $2 AND ended_at IS NULL",
            )
            .bind(org.to_string())
            .bind(node.to_string())
            .bind(now.0)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Forgets the oldest tunnels that began before a time and have ended, at most [`FORGOTTEN`] of them, so that nobody
    /// waits long meanwhile. Gives how many went.
    ///
    /// # Errors
    /// The database.
    pub async fn forget_tunnels(&self, org: OrgId, before: UnixMillis) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query(
                "DELETE FROM tunnels WHERE org_id = $1 AND id IN (SELECT id FROM tunnels \
                 WHERE org_id = $1 AND id < $2 AND ended_at IS NOT NULL ORDER BY id LIMIT $3)",
            )
            .bind(org.to_string())
            .bind(TunnelId::new(before, 0).to_string())
            .bind(FORGOTTEN)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(gone)
    }
}

async fn write(tx: &mut Tx, org: OrgId, tunnel: &Tunnel) -> Result<(), StoreError> {
    let via = tunnel.via.map(|via| match via {
        Via::Credential(Credential::Key(key)) => key.to_string(),
        Via::Credential(Credential::Session(session)) => session.to_string(),
        Via::Certificate => "certificate".to_owned(),
        Via::Network => "network".to_owned(),
    });
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let end = tunnel.end;
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO tunnels (org_id, id, node_id, user_id, via, client, form, host, port, pinned, rule, verdict, \
             started_at, resolve_ms, connect_ms, ended_at, bytes_up, bytes_down, ended, inspected) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
             ON CONFLICT (org_id, id) DO UPDATE SET pinned = excluded.pinned, rule = excluded.rule, \
             verdict = excluded.verdict, connect_ms = excluded.connect_ms, ended_at = excluded.ended_at, \
             bytes_up = excluded.bytes_up, bytes_down = excluded.bytes_down, ended = excluded.ended, \
             inspected = excluded.inspected \
             WHERE tunnels.ended_at IS NULL",
        )
        .bind(org.to_string())
        .bind(tunnel.id.to_string())
        .bind(tunnel.node.to_string())
        .bind(tunnel.user.map(|user| user.to_string()))
        .bind(via)
        .bind(tunnel.client.to_string())
        .bind(&tunnel.form)
        .bind(&tunnel.host)
        .bind(i64::from(tunnel.port))
        .bind(tunnel.pinned.map(|address| address.to_string()))
        .bind(&tunnel.rule)
        .bind(tunnel.verdict.as_str())
        .bind(tunnel.started_at.0)
        .bind(tunnel.resolve_ms.map(i64::from))
        .bind(tunnel.connect_ms.map(i64::from))
        .bind(end.map(|end| end.at.0))
        .bind(end.map(|end| bytes(end.up)))
        .bind(end.map(|end| bytes(end.down)))
        .bind(end.map(|end| end.why.as_str()))
        .bind(tunnel.inspected.map(i64::from))
        .execute(db)
        .await
    })?;
    Ok(())
}

impl TunnelRow {
    /// The port, which is never out of range unless somebody changed the database.
    ///
    /// # Errors
    /// It is.
    pub fn port(&self) -> Result<u16, StoreError> {
        u16::try_from(self.port).map_err(|_| StoreError::corrupt(NOUN, &self.id, "its port is out of range"))
    }

    /// Bytes from the client and to it, where they are known.
    ///
    /// # Errors
    /// They are negative.
    pub fn bytes(&self) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let read = |count: Option<i64>| count.map(|count| stored::unsigned(NOUN, count)).transpose();
        Ok((read(self.bytes_up)?, read(self.bytes_down)?))
    }

    /// Requests seen in it, where it was looked into.
    ///
    /// # Errors
    /// The count is negative.
    pub fn inspected(&self) -> Result<Option<u64>, StoreError> {
        self.inspected.map(|count| stored::unsigned(NOUN, count)).transpose()
    }
}
