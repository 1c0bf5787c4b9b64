//! Alerts: what was seen, what fires, who was told, and what is kept back.
//!
//! One turn of the engine is one transaction: alerts, what happened to them, groups and messages change together, under the
//! lease of the node that evaluates. A killed node therefore neither loses a message nor decides on it twice.

mod delivery;
mod reading;
mod silence;

use gatehouse_domain::alert::{Alert, Group};
use gatehouse_domain::id::{AlertEventId, OrgId};
use gatehouse_domain::time::UnixMillis;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use delivery::{Delivery, DeliveryFilter, DeliveryState, NewDelivery, Outcome};

use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::rollout::{Lease, holds};
use crate::stored;

/// Something that happened to an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertEvent {
    /// Its identifier.
    pub id: AlertEventId,
    /// `fired` or `resolved`.
    pub kind: String,
    /// When.
    pub at: UnixMillis,
    /// The alert as it was then.
    pub alert: Alert,
}

/// What one turn of the engine comes to.
#[derive(Debug, Default)]
pub struct AlertTurn {
    /// All alerts that are pending or fire, in place of those that were.
    pub alerts: Vec<Alert>,
    /// What happened.
    pub events: Vec<AlertEvent>,
    /// Groups that are new or changed.
    pub groups: Vec<Group>,
    /// Keys of groups that are no more.
    pub groups_gone: Vec<String>,
    /// Messages to be sent.
    pub deliveries: Vec<NewDelivery>,
    /// Most messages that wait for one receiver: the oldest of what would be more are dropped.
    pub queue: u32,
}

/// Which events are wanted; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct AlertEventFilter {
    /// Of this rule.
    pub rule: Option<String>,
    /// From this time on.
    pub since: Option<UnixMillis>,
}

impl Store {
    /// The alerts that are pending or fire.
    ///
    /// # Errors
    /// One that cannot be read; the database.
    pub async fn alerts(&self, org: OrgId) -> Result<Vec<Alert>, StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as("SELECT key, body FROM alerts WHERE org_id = $1 ORDER BY key")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        rows.iter().map(|(key, body)| from_json("alert", key, body)).collect()
    }

    /// The groups.
    ///
    /// # Errors
    /// One that cannot be read; the database.
    pub async fn alert_groups(&self, org: OrgId) -> Result<Vec<Group>, StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as("SELECT key, body FROM alert_groups WHERE org_id = $1 ORDER BY key")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        rows.iter().map(|(key, body)| from_json("alert group", key, body)).collect()
    }

    /// What happened, the newest first.
    ///
    /// # Errors
    /// A bad page; one that cannot be read; the database.
    pub async fn alert_events(
        &self,
        org: OrgId,
        wanted: &AlertEventFilter,
        page: &Page,
    ) -> Result<Listed<AlertEvent>, StoreError> {
        let rows = page.rows()?;
        let mut filter =
            Filter::new("SELECT e.id, e.kind, e.at, e.body FROM alert_events e WHERE e.org_id = $1", org);
        filter.text("AND e.rule = $?", wanted.rule.as_ref());
        filter.int("AND e.at >= $?", wanted.since.map(|at| at.0));
        filter.text("AND e.id < $?", page.cursor(|text| text.parse::<AlertEventId>().ok())?);
        filter.arg("ORDER BY e.id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String, String, i64, String)> =
            read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.0.clone());
        let one = |(id, kind, at, body): (String, String, i64, String)| {
            Ok(AlertEvent {
                id: stored::parsed("alert event", &id)?,
                kind,
                at: UnixMillis(at),
                alert: from_json("alert event", &id, &body)?,
            })
        };
        let items = listed.items.into_iter().map(one).collect::<Result<_, StoreError>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Keeps what a turn came to, whole, if the lease is still held; gives whether it was.
    ///
    /// # Errors
    /// The database.
    pub async fn keep_alert_turn(
        &self,
        org: OrgId,
        lease: Lease<'_>,
        turn: &AlertTurn,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !holds(&mut tx, org, lease, now).await? {
            return Ok(false);
        }
        keep_alerts(&mut tx, org, &turn.alerts).await?;
        for event in &turn.events {
            keep_event(&mut tx, org, event).await?;
        }
        for group in &turn.groups {
            keep_group(&mut tx, org, group).await?;
        }
        for key in &turn.groups_gone {
            change!(tx, |db| {
                sqlx::query("DELETE FROM alert_groups WHERE org_id = $1 AND key = $2")
                    .bind(org.to_string())
                    .bind(key.as_str())
                    .execute(db)
                    .await
            })?;
        }
        for delivery in &turn.deliveries {
            delivery::put(&mut tx, org, delivery, turn.queue, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets what ended before a time: events, messages, silences and values that no longer count.
    ///
    /// # Errors
    /// The database.
    pub async fn forget_alerts(
        &self,
        org: OrgId,
        before: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (sql, at) in [
            ("DELETE FROM alert_events WHERE org_id = $1 AND at < $2", before),
            ("DELETE FROM alert_deliveries WHERE org_id = $1 AND created_at < $2", before),
            ("DELETE FROM alert_silences WHERE org_id = $1 AND ends_at < $2", before),
            ("DELETE FROM alert_readings WHERE org_id = $1 AND until_at < $2", now),
        ] {
            change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(at.0).execute(db).await)?;
        }
        tx.commit().await
    }
}

/// Writes the alerts that there are now over those that there were.
async fn keep_alerts(tx: &mut Tx, org: OrgId, alerts: &[Alert]) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query("DELETE FROM alerts WHERE org_id = $1").bind(org.to_string()).execute(db).await
    })?;
    for alert in alerts {
        let (key, body) = (alert.key(), to_json(alert));
        change!(tx, |db| {
            sqlx::query("INSERT INTO alerts (org_id, key, body) VALUES ($1, $2, $3)")
                .bind(org.to_string())
                .bind(key.as_str())
                .bind(body.as_str())
                .execute(db)
                .await
        })
        .map_err(StoreError::inserting("alert", &key))?;
    }
    Ok(())
}

async fn keep_event(tx: &mut Tx, org: OrgId, event: &AlertEvent) -> Result<(), StoreError> {
    let body = to_json(&event.alert);
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO alert_events (org_id, id, kind, rule, at, body) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(org.to_string())
        .bind(event.id.to_string())
        .bind(event.kind.as_str())
        .bind(event.alert.rule.as_str())
        .bind(event.at.0)
        .bind(body.as_str())
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting("alert event", event.id))?;
    Ok(())
}

async fn keep_group(tx: &mut Tx, org: OrgId, group: &Group) -> Result<(), StoreError> {
    let body = to_json(group);
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO alert_groups (org_id, key, body) VALUES ($1, $2, $3) \
             ON CONFLICT (org_id, key) DO UPDATE SET body = excluded.body",
        )
        .bind(org.to_string())
        .bind(group.key.as_str())
        .bind(body.as_str())
        .execute(db)
        .await
    })?;
    Ok(())
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what alerts are made of has a JSON form")
}

fn from_json<T: DeserializeOwned>(noun: &'static str, given: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::corrupt(noun, given, error))
}
