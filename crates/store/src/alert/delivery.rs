//! Messages on their way to receivers.

use gatehouse_domain::alert::Notification;
use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{DeliveryId, OrgId};
use gatehouse_domain::time::UnixMillis;

use super::{from_json, to_json};
use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::rollout::{Lease, holds};
use crate::stored;

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its turn, or for another try.
    Waiting,
    /// A node is sending it.
    Sending,
    /// The receiver has it.
    Sent,
    /// The receiver does not take it.
    Failed,
    /// Too many waited.
    Dropped,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Sending, Self::Sent, Self::Failed, Self::Dropped];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// To whom.
    pub receiver: String,
    /// What.
    pub notification: Notification,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// To whom.
    pub receiver: String,
    /// Whether it is a test.
    pub is_test: bool,
    /// Where it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it is due.
    pub next_at: UnixMillis,
    /// When it was sent, or given up.
    pub ended_at: Option<UnixMillis>,
    /// What was last wrong.
    pub error: Option<String>,
    /// What is told.
    pub notification: Notification,
}

/// Which messages are wanted; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// To this receiver.
    pub receiver: Option<String>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Tests only, or none of them.
    pub is_test: Option<bool>,
    /// That ended at this time or later.
    pub ended_since: Option<UnixMillis>,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Sent,
    /// It is to be tried again.
    Again {
        /// When.
        at: UnixMillis,
        /// What was wrong.
        error: String,
    },
    /// It is given up.
    Failed {
        /// What was wrong.
        error: String,
    },
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    receiver: String,
    is_test: i64,
    state: String,
    attempts: i64,
    created_at: i64,
    next_at: i64,
    ended_at: Option<i64>,
    error: Option<String>,
    body: String,
}

const SELECT: &str = "SELECT d.id, d.receiver, d.is_test, d.state, d.attempts, d.created_at, d.next_at, d.ended_at, d.error, \
                      d.body FROM alert_deliveries d WHERE d.org_id = $1";
/// What is not over.
const OPEN: &str = "AND d.state IN ('waiting', 'sending')";

impl Store {
    /// Messages, the newest first.
    ///
    /// # Errors
    /// A bad page; one that cannot be read; the database.
    pub async fn deliveries(
        &self,
        org: OrgId,
        wanted: &DeliveryFilter,
        page: &Page,
    ) -> Result<Listed<Delivery>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND d.receiver = $?", wanted.receiver.as_ref());
        filter.text("AND d.state = $?", wanted.state.map(DeliveryState::as_str));
        filter.int("AND d.is_test = $?", wanted.is_test.map(i64::from));
        filter.int("AND d.ended_at >= $?", wanted.ended_since.map(|at| at.0));
        filter.text("AND d.id < $?", page.cursor(|text| text.parse::<DeliveryId>().ok())?);
        filter.arg("ORDER BY d.id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(delivery_of).collect::<Result<_, StoreError>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// The oldest message that is not over of a receiver; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read; the database.
    pub async fn oldest_delivery(&self, org: OrgId, receiver: &str) -> Result<Option<Delivery>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.sql(OPEN);
        filter.sql("AND d.is_test = 0");
        filter.text("AND d.receiver = $?", Some(receiver));
        filter.sql("ORDER BY d.id LIMIT 1");
        let (sql, args) = filter.into_parts();
        let row = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
        row.map(delivery_of).transpose()
    }

    /// How many messages a receiver was sent, or was tried to be sent, since a time.
    ///
    /// # Errors
    /// The database.
    pub async fn tried_since(
        &self,
        org: OrgId,
        receiver: &str,
        since: UnixMillis,
    ) -> Result<u64, StoreError> {
        let count: i64 = read!(self, |db| {
            sqlx::query_scalar(
                "SELECT count(*) FROM alert_deliveries WHERE org_id = $1 AND receiver = $2 AND tried_at > $3",
            )
            .bind(org.to_string())
            .bind(receiver)
            .bind(since.0)
            .fetch_one(db)
            .await
        })?;
        stored::unsigned("deliveries", count)
    }

    /// Takes a message that is due, to send it: nobody else does until `until`. Gives whether it was taken, which it is only
    /// under the lease.
    ///
    /// # Errors
    /// The database.
    pub async fn claim_delivery(
        &self,
        org: OrgId,
        lease: Lease<'_>,
        id: DeliveryId,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !holds(&mut tx, org, lease, now).await? {
            return Ok(false);
        }
        let taken = change!(tx, |db| {
            sqlx::query(
                "UPDATE alert_deliveries SET state = 'sending', attempts = attempts + 1, tried_at = $3, next_at = $4 \
                 WHERE org_id = $1 AND id = $2 AND state IN ('waiting', 'sending') AND next_at <= $3",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(now.0)
            .bind(until.0)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(taken > 0)
    }

    /// Writes down what became of a message that was taken.
    ///
    /// # Errors
    /// The database.
    pub async fn end_delivery(
        &self,
        org: OrgId,
        id: DeliveryId,
        outcome: &Outcome,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let (state, next, ended, error) = match outcome {
            Outcome::Sent => ("sent", now, Some(now.0), None),
            Outcome::Again { at, error } => ("waiting", *at, None, Some(error)),
            Outcome::Failed { error } => ("failed", now, Some(now.0), Some(error)),
        };
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "UPDATE alert_deliveries SET state = $3, next_at = $4, ended_at = $5, error = $6 \
                 WHERE org_id = $1 AND id = $2 AND state = 'sending'",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(state)
            .bind(next.0)
            .bind(ended)
            .bind(error.map(|error| error.replace('\0', "\u{fffd}")))
            .execute(db)
            .await
        })?;
        tx.commit().await
    }

    /// Writes down a test: a message that was tried once, at somebody's request, and what became of it.
    ///
    /// # Errors
    /// The database.
    pub async fn record_test(
        &self,
        org: OrgId,
        test: &NewDelivery,
        error: Option<&str>,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let body = to_json(&test.notification);
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO alert_deliveries (org_id, id, receiver, is_test, state, attempts, created_at, next_at, \
                 tried_at, ended_at, error, body) VALUES ($1, $2, $3, 1, $4, 1, $5, $5, $5, $5, $6, $7)",
            )
            .bind(org.to_string())
            .bind(test.id.to_string())
            .bind(test.receiver.as_str())
            .bind(if error.is_some() { "failed" } else { "sent" })
            .bind(act.at.0)
            .bind(error.map(|error| error.replace('\0', "\u{fffd}")))
            .bind(body.as_str())
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting("delivery", test.id))?;
        tx.record(org, act).await
    }
}

/// Writes a message to be sent. When too many wait for its receiver, the oldest is dropped.
pub(super) async fn put(
    tx: &mut Tx,
    org: OrgId,
    new: &NewDelivery,
    queue: u32,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let waiting: Vec<String> = within!(tx, |db| {
        sqlx::query_scalar(
            "SELECT id FROM alert_deliveries WHERE org_id = $1 AND receiver = $2 AND state = 'waiting' AND is_test = 0 \
             ORDER BY id",
        )
        .bind(org.to_string())
        .bind(new.receiver.as_str())
        .fetch_all(db)
        .await
    })?;
    let room = usize::try_from(queue).unwrap_or(usize::MAX).saturating_sub(1);
    for id in waiting.iter().take(waiting.len().saturating_sub(room)) {
        change!(tx, |db| {
            sqlx::query(
                "UPDATE alert_deliveries SET state = 'dropped', ended_at = $3, error = 'too many waited' \
                 WHERE org_id = $1 AND id = $2",
            )
            .bind(org.to_string())
            .bind(id.as_str())
            .bind(now.0)
            .execute(db)
            .await
        })?;
    }
    let body = to_json(&new.notification);
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO alert_deliveries (org_id, id, receiver, is_test, state, attempts, created_at, next_at, body) \
             VALUES ($1, $2, $3, 0, 'waiting', 0, $4, $4, $5)",
        )
        .bind(org.to_string())
        .bind(new.id.to_string())
        .bind(new.receiver.as_str())
        .bind(now.0)
        .bind(body.as_str())
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting("delivery", new.id))?;
    Ok(())
}

fn delivery_of(row: Row) -> Result<Delivery, StoreError> {
    let state = DeliveryState::ALL.into_iter().find(|state| state.as_str() == row.state);
    Ok(Delivery {
        id: stored::parsed("delivery", &row.id)?,
        state: state.ok_or_else(|| StoreError::corrupt("delivery", &row.id, "its state is unknown"))?,
        is_test: row.is_test == 1,
        attempts: stored::unsigned("delivery", row.attempts)?,
        created_at: UnixMillis(row.created_at),
        next_at: UnixMillis(row.next_at),
        ended_at: row.ended_at.map(UnixMillis),
        error: row.error,
        notification: from_json("delivery", &row.id, &row.body)?,
        receiver: row.receiver,
    })
}
