//! With which provider a client's session was.

use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::id::{OrgId, UserId};

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};

/// Of so many of a user's exchanges, the newest, the session is looked for.
const LOOKED: i64 = 500;

impl Store {
    /// The provider that answered last in a user's session; none if that is not among the newest of the user's exchanges.
    ///
    /// # Errors
    /// A record that cannot be read; the database.
    pub async fn session_provider(
        &self,
        org: OrgId,
        user: UserId,
        session: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut filter = Filter::new("SELECT e.id, e.record FROM exchanges e WHERE e.org_id = $1", org);
        filter.text("AND e.user_id = $?", Some(user));
        filter.arg("AND e.status = 200 ORDER BY e.id DESC LIMIT $?", Arg::Int(LOOKED));
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String, String)> =
            read!(self, |db| bound!(sqlx::query_as::<_, (String, String)>(sql), args).fetch_all(db).await)?;
        for (id, record) in rows {
            let exchange =
                Exchange::read_record(org, &record).map_err(|e| StoreError::corrupt("exchange", id, e))?;
            if exchange.session.as_deref() == Some(session) && exchange.provider.is_some() {
                return Ok(exchange.provider);
            }
        }
        Ok(None)
    }
}
