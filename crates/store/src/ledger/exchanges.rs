//! The list of exchanges.

use gatehouse_domain::exchange::{Ended, Exchange};
use gatehouse_domain::id::{ExchangeId, KeyId, OrgId, TeamId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, beginning, bound};
use crate::page::{Listed, Page, check_text};
use crate::stored;

/// How many exchanges (or events of clients) are looked at for one page, when no index says which ones are meant.
pub const TRIED: i64 = 50_000;

/// Which exchanges are wanted; all conditions apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExchangeFilter {
    /// Begun at this time or later.
    pub since: Option<UnixMillis>,
    /// Begun before this time.
    pub until: Option<UnixMillis>,
    /// Of this user.
    pub user: Option<UserId>,
    /// By this key.
    pub key: Option<KeyId>,
    /// Charged to this team.
    pub team: Option<TeamId>,
    /// That asked for this model.
    pub model: Option<String>,
    /// That ended so.
    pub ended: Option<Ended>,
    /// Whose client saw this status.
    pub status: Option<u16>,
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// An exchange with the names of what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRow {
    /// The exchange.
    pub exchange: Exchange,
    /// Its user's e-mail address.
    pub email: Option<String>,
    /// Its team's name.
    pub team: Option<String>,
    /// Its project's name.
    pub project: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    record: String,
    email: Option<String>,
    team: Option<String>,
    project: Option<String>,
}

const SELECT: &str = "SELECT e.id, e.record, u.email, t.name AS team, p.name AS project FROM exchanges e \
    LEFT JOIN users u ON u.org_id = e.org_id AND u.id = e.user_id \
    LEFT JOIN teams t ON t.org_id = e.org_id AND t.id = e.team_id \
    LEFT JOIN projects p ON p.org_id = e.org_id AND p.id = e.project_id \
    WHERE e.org_id = $1";

impl Store {
    /// Lists exchanges in the order in which they began.
    ///
    /// Times and users are found by index, and a key by its holder. What is asked for besides is tried on one exchange after the other, on
    /// [`TRIED`] for a page at most: such a page may be shorter than asked for, or empty, and there is a next one all the
    /// same.
    ///
    /// # Errors
    /// A bad page or text; an entry that cannot be read; the database.
    pub async fn exchanges(
        &self,
        org: OrgId,
        wanted: &ExchangeFilter,
        order: Order,
        page: &Page,
    ) -> Result<Listed<ExchangeRow>, StoreError> {
        let rows = page.rows()?;
        wanted.model.as_ref().map_or(Ok(()), |model| check_text("model", model))?;
        let after = page.cursor(|text| text.parse::<ExchangeId>().ok())?;
        let wanted = &self.with_holder(org, wanted).await?;
        let end =
            if wanted.needs_trying() { self.end_of_trying(org, wanted, order, after).await? } else { None };
        let mut filter = Filter::new(SELECT, org);
        wanted.by_index(&mut filter, order, after);
        match order {
            Order::Newest => filter.text("AND e.id >= $?", end.as_ref()),
            Order::Oldest => filter.text("AND e.id <= $?", end.as_ref()),
        }
        filter.text("AND e.key_id = $?", wanted.key);
        filter.text("AND e.team_id = $?", wanted.team);
        filter.text("AND e.model = $?", wanted.model.as_ref());
        filter.text("AND e.ended = $?", wanted.ended.map(Ended::as_str));
        filter.int("AND e.status = $?", wanted.status.map(i64::from));
        filter.sql(order.sql());
        filter.arg("LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(|row| row_of(org, row)).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next.or(end) })
    }

    /// The exchange of this identifier, or whose client saw this `request-id`. One of the provider's is looked for among the newest
    /// [`TRIED`].
    ///
    /// # Errors
    /// A bad text; an entry that cannot be read; the database.
    pub async fn exchange_named(&self, org: OrgId, text: &str) -> Result<Option<ExchangeRow>, StoreError> {
        check_text("exchange", text)?;
        // Our own request-id is the identifier in other clothes.
        let id = text.strip_prefix("req_").map_or_else(|| text.to_owned(), |rest| format!("exc_{rest}"));
        let mut filter = Filter::new(SELECT, org);
        if let Ok(id) = id.parse::<ExchangeId>() {
            filter.text("AND e.id = $?", Some(id));
        } else {
            let end = self.end_of_trying(org, &ExchangeFilter::default(), Order::Newest, None).await?;
            filter.text("AND e.id >= $?", end);
            let written = format!("%{}", beginning(&format!("\"request_id\":\"{text}\"")));
            filter.text("AND e.record LIKE $? ESCAPE '\\'", Some(written));
        }
        filter.sql("ORDER BY e.id DESC LIMIT 1");
        let (sql, args) = filter.into_parts();
        let found = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
        found.map(|row| row_of(org, row)).transpose()
    }

    /// With the holder of the key that is asked for, since an index finds users.
    async fn with_holder(&self, org: OrgId, wanted: &ExchangeFilter) -> Result<ExchangeFilter, StoreError> {
        let mut wanted = wanted.clone();
        if let (Some(key), None) = (wanted.key, wanted.user) {
            let found: Option<(String,)> = read!(self, |db| {
                sqlx::query_as("SELECT user_id FROM keys WHERE org_id = $1 AND id = $2")
                    .bind(org.to_string())
                    .bind(key.to_string())
                    .fetch_optional(db)
                    .await
            })?;
            wanted.user = stored::parsed_some("user", found.as_ref().map(|(user,)| user.as_str()))?;
        }
        Ok(wanted)
    }

    /// The last exchange that a page may be looked for up to; `None` when so many are not left.
    async fn end_of_trying(
        &self,
        org: OrgId,
        wanted: &ExchangeFilter,
        order: Order,
        after: Option<ExchangeId>,
    ) -> Result<Option<String>, StoreError> {
        let mut filter = Filter::new("SELECT e.id FROM exchanges e WHERE e.org_id = $1", org);
        wanted.by_index(&mut filter, order, after);
        filter.sql(order.sql());
        filter.arg("LIMIT 1 OFFSET $?", Arg::Int(TRIED - 1));
        let (sql, args) = filter.into_parts();
        let found: Option<(String,)> =
            read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_optional(db).await)?;
        Ok(found.map(|(id,)| id))
    }
}

impl Order {
    const fn sql(self) -> &'static str {
        match self {
            Self::Newest => "ORDER BY e.id DESC",
            Self::Oldest => "ORDER BY e.id",
        }
    }
}

impl ExchangeFilter {
    /// Whether there are conditions that no index serves.
    const fn needs_trying(&self) -> bool {
        self.key.is_some()
            || self.team.is_some()
            || self.model.is_some()
            || self.ended.is_some()
            || self.status.is_some()
    }

    /// The conditions that an index serves, and the place to go on from.
    fn by_index(&self, filter: &mut Filter, order: Order, after: Option<ExchangeId>) {
        // Identifiers begin with their time, so that the primary key finds a span of time.
        filter.text("AND e.id >= $?", self.since.map(|at| ExchangeId::new(at, 0)));
        filter.text("AND e.id < $?", self.until.map(|at| ExchangeId::new(at, 0)));
        filter.text("AND e.user_id = $?", self.user);
        filter.text("AND e.key_id = $?", self.key);
        match order {
            Order::Newest => filter.text("AND e.id < $?", after),
            Order::Oldest => filter.text("AND e.id > $?", after),
        }
    }
}

fn row_of(org: OrgId, row: Row) -> Result<ExchangeRow, StoreError> {
    let Row { id, record, email, team, project } = row;
    let exchange = Exchange::read_record(org, &record).map_err(|e| StoreError::corrupt("exchange", id, e))?;
    Ok(ExchangeRow { exchange, email, team, project })
}
