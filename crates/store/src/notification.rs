//! What people are to be told: an outbox for whatever carries it to them.

use gatehouse_domain::id::{NotificationId, OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

/// Something that somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Its identifier.
    pub id: NotificationId,
    /// Who.
    pub user: UserId,
    /// What it is about: `rollout_assigned`, `survey`.
    pub kind: &'static str,
    /// The rest, as JSON. It holds no secret.
    pub detail: String,
}

/// Something that somebody is to be told, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its identifier.
    pub id: NotificationId,
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// What it is about.
    pub kind: String,
    /// The rest, as JSON.
    pub detail: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was carried to them.
    pub sent_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    user_id: String,
    email: String,
    kind: String,
    detail: String,
    created_at: i64,
    sent_at: Option<i64>,
}

impl Store {
    /// Lists what waits to be carried to people, the oldest first.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn unsent_notifications(
        &self,
        org: OrgId,
        page: &Page,
    ) -> Result<Listed<Notification>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(
            "SELECT n.id, n.user_id, u.email, n.kind, n.detail, n.created_at, n.sent_at FROM notifications n \
             JOIN users u ON u.org_id = n.org_id AND u.id = n.user_id WHERE n.org_id = $1 AND n.sent_at IS NULL",
            org,
        );
        filter.text("AND n.id > $?", page.cursor(|text| text.parse::<NotificationId>().ok())?);
        filter.arg("ORDER BY n.id LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let one = |row: Row| {
            Ok(Notification {
                id: stored::parsed("notification", &row.id)?,
                user: stored::parsed("user", &row.user_id)?,
                email: row.email,
                kind: row.kind,
                detail: row.detail,
                created_at: UnixMillis(row.created_at),
                sent_at: row.sent_at.map(UnixMillis),
            })
        };
        let items = listed.items.into_iter().map(one).collect::<Result<_, StoreError>>()?;
        Ok(Listed { items, next: listed.next })
    }
}

/// Puts something into the outbox.
pub(crate) async fn put(
    tx: &mut Tx,
    org: OrgId,
    new: &NewNotification,
    now: UnixMillis,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO notifications (org_id, id, user_id, kind, detail, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(org.to_string())
        .bind(new.id.to_string())
        .bind(new.user.to_string())
        .bind(new.kind)
        .bind(new.detail.as_str())
        .bind(now.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting("notification", new.id))?;
    Ok(())
}
