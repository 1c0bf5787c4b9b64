//! Exchanges of a span of time as they were recorded, for figures that no sum holds.

use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::id::{ExchangeId, OrgId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};

/// Records read at a time.
pub const RECORDS: i64 = 5000;

impl Store {
    /// The next [`RECORDS`] exchanges, at most, that began in a span of time, in the order in which they did; after one, or
    /// from the beginning.
    ///
    /// # Errors
    /// A record that cannot be read; the database.
    pub async fn exchange_records(
        &self,
        org: OrgId,
        since: UnixMillis,
        until: UnixMillis,
        after: Option<ExchangeId>,
    ) -> Result<Vec<Exchange>, StoreError> {
        let mut filter = Filter::new("SELECT e.id, e.record FROM exchanges e WHERE e.org_id = $1", org);
        filter.text("AND e.id >= $?", Some(ExchangeId::new(since, 0)));
        filter.text("AND e.id < $?", Some(ExchangeId::new(until, 0)));
        filter.text("AND e.id > $?", after);
        filter.arg("ORDER BY e.id LIMIT $?", Arg::Int(RECORDS));
        let (sql, args) = filter.into_parts();
        let rows: Vec<(String, String)> =
            read!(self, |db| bound!(sqlx::query_as::<_, (String, String)>(sql), args).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(id, record)| {
                Exchange::read_record(org, &record).map_err(|e| StoreError::corrupt("exchange", id, e))
            })
            .collect()
    }
}
