//! What is known of the settings on users' clients.

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::settings::{Checksum, ClientVersion, Receipt};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "settings receipt";

/// Most receipts of one call.
pub const MAX_BATCH: usize = 500;

/// Most people of one answer of [`Store::settings_people`].
pub const PEOPLE: usize = 20_000;

const SELECT: &str = "SELECT u.id, u.email, r.offered, r.offered_at, r.before_offer, r.reported, r.reported_at, \
     r.client, r.seen_at FROM users u \
     LEFT JOIN settings_receipts r ON r.org_id = u.org_id AND r.user_id = u.id \
     WHERE u.org_id = $1 AND u.state = 'active'";

/// What is kept of two tellings of a receipt: of what was offered and of what was reported, the later.
macro_rules! later_stands {
    ($table:literal) => {
        concat!(
            "offered = CASE WHEN excluded.offered_at >= COALESCE(",
            $table,
            ".offered_at, 0) ",
            "THEN excluded.offered ELSE ",
            $table,
            ".offered END, ",
            "before_offer = CASE WHEN excluded.offered_at >= COALESCE(",
            $table,
            ".offered_at, 0) ",
            "THEN excluded.before_offer ELSE ",
            $table,
            ".before_offer END, ",
            "offered_at = CASE WHEN excluded.offered_at >= COALESCE(",
            $table,
            ".offered_at, 0) ",
            "THEN excluded.offered_at ELSE ",
            $table,
            ".offered_at END, ",
            "reported = CASE WHEN excluded.reported_at >= COALESCE(",
            $table,
            ".reported_at, 0) ",
            "THEN excluded.reported ELSE ",
            $table,
            ".reported END, ",
            "reported_at = CASE WHEN excluded.reported_at >= COALESCE(",
            $table,
            ".reported_at, 0) ",
            "THEN excluded.reported_at ELSE ",
            $table,
            ".reported_at END, ",
            "client = COALESCE(excluded.client, ",
            $table,
            ".client), ",
            "seen_at = CASE WHEN excluded.seen_at > ",
            $table,
            ".seen_at ",
            "THEN excluded.seen_at ELSE ",
            $table,
            ".seen_at END"
        )
    };
}
pub(super) use later_stands;

// Several nodes see one client; the newer news count. A user who does not exist (any more) is passed over.
const UPSERT: &str = concat!(
    "INSERT INTO settings_receipts \
     (org_id, user_id, offered, offered_at, before_offer, reported, reported_at, client, seen_at) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM users WHERE org_id = $1 AND id = $2 \
     ON CONFLICT (org_id, user_id) DO UPDATE SET ",
    later_stands!("settings_receipts")
);

/// An active user with what is known of their client's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The user.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// What is known; nothing of a client that was never seen.
    pub receipt: Receipt,
}

/// A receipt as it stands in a table.
#[derive(sqlx::FromRow)]
pub(super) struct Columns {
    offered: Option<String>,
    offered_at: Option<i64>,
    before_offer: Option<String>,
    reported: Option<String>,
    reported_at: Option<i64>,
    client: Option<String>,
    seen_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    email: String,
    #[sqlx(flatten)]
    receipt: Columns,
}

impl Store {
    /// Writes receipts down, at most [`MAX_BATCH`], in one transaction. For the job that does so now and then; nobody acts,
    /// so that nothing is audited.
    ///
    /// # Errors
    /// Too many; the database.
    pub async fn put_settings_receipts(
        &self,
        org: OrgId,
        receipts: &[(UserId, Receipt)],
    ) -> Result<(), StoreError> {
        if receipts.len() > MAX_BATCH {
            let why = format!("has {} entries, expected at most {MAX_BATCH}", receipts.len());
            return Err(StoreError::Invalid { field: "receipts", why });
        }
        let mut tx = self.begin().await?;
        for (user, receipt) in receipts {
            let text = |sum: Option<Checksum>| sum.map(|sum| sum.to_string());
            let time = |of: Option<(Checksum, UnixMillis)>| of.map(|(_, at)| at.0);
            let first = |of: Option<(Checksum, UnixMillis)>| of.map(|(sum, _)| sum.to_string());
            change!(tx, |db| {
                sqlx::query(UPSERT)
                    .bind(org.to_string())
                    .bind(user.to_string())
                    .bind(first(receipt.offered))
                    .bind(time(receipt.offered))
                    .bind(text(receipt.before))
                    .bind(first(receipt.reported))
                    .bind(time(receipt.reported))
                    .bind(receipt.client.map(|client| client.to_string()))
                    .bind(receipt.seen_at.map_or(0, |at| at.0))
                    .execute(db)
                    .await
            })?;
        }
        tx.commit().await
    }

    /// Active users whose addresses come after this one, by address, with their identifiers; [`PEOPLE`] at most.
    ///
    /// # Errors
    /// The database.
    pub async fn settings_people(
        &self,
        org: OrgId,
        after: &str,
    ) -> Result<Vec<(UserId, String)>, StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, email FROM users WHERE org_id = $1 AND state = 'active' AND email > $2 ORDER BY email LIMIT $3",
            )
            .bind(org.to_string())
            .bind(after)
            .bind(i64::try_from(PEOPLE).unwrap_or(i64::MAX))
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(|(id, email)| Ok((stored::parsed("user", &id)?, email))).collect()
    }

    /// Lists active users by address, each with what is known of their client's settings.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn settings_reach(&self, org: OrgId, page: &Page) -> Result<Listed<Reach>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND u.email > $?", page.cursor(|text| Some(text.to_owned()))?);
        filter.arg("ORDER BY u.email LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.email.clone());
        let items = listed.items.into_iter().map(reach_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }
}

fn reach_of(row: Row) -> Result<Reach, StoreError> {
    let receipt = row.receipt.receipt(&row.id)?;
    Ok(Reach { user: stored::parsed("user", &row.id)?, email: row.email, receipt })
}

impl Columns {
    /// The receipt of the user with this id.
    pub(super) fn receipt(&self, id: &str) -> Result<Receipt, StoreError> {
        let sum = |text: &Option<String>| {
            let read = text.as_deref().map(Checksum::parse).transpose();
            read.map_err(|error| StoreError::corrupt(NOUN, id, error))
        };
        let dated =
            |text: &Option<String>, at: Option<i64>| Ok::<_, StoreError>(sum(text)?.zip(at.map(UnixMillis)));
        Ok(Receipt {
            offered: dated(&self.offered, self.offered_at)?,
            before: sum(&self.before_offer)?,
            reported: dated(&self.reported, self.reported_at)?,
            client: self.client.as_deref().and_then(|text| ClientVersion::parse(text).ok()),
            seen_at: self.seen_at.map(UnixMillis),
        })
    }
}
