//! The list of exchanges.

use gatehouse_domain::exchange::{Cost, Ended, Exchange, Kind, PriceBasis, Principal};
use gatehouse_domain::id::{ExchangeId, KeyId, OrgId, TeamId, UserId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page, check_text};
use crate::stored;

/// How many exchanges are looked at for one page, when no index says which ones are meant.
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
    request_id: String,
    kind: String,
    user_id: Option<String>,
    key_id: Option<String>,
    team_id: Option<String>,
    project_id: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    served_model: Option<String>,
    stream: i64,
    status: i64,
    ended: String,
    reason: Option<String>,
    usage: String,
    estimated: i64,
    cost_nanos: i64,
    price_basis: String,
    started_at: i64,
    first_byte_ms: Option<i64>,
    duration_ms: i64,
    overhead_us: i64,
    bytes_in: i64,
    bytes_out: i64,
    peer: Option<String>,
    session: Option<String>,
    client: Option<String>,
    email: Option<String>,
    team: Option<String>,
    project: Option<String>,
}

const SELECT: &str = "SELECT e.id, e.request_id, e.kind, e.user_id, e.key_id, e.team_id, e.project_id, e.provider, \
    e.model, e.served_model, e.stream, e.status, e.ended, e.reason, e.usage, e.estimated, e.cost_nanos, e.price_basis, \
    e.started_at, e.first_byte_ms, e.duration_ms, e.overhead_us, e.bytes_in, e.bytes_out, e.peer, e.session, e.client, \
    u.email, t.name AS team, p.name AS project FROM exchanges e \
    LEFT JOIN users u ON u.org_id = e.org_id AND u.id = e.user_id \
    LEFT JOIN teams t ON t.org_id = e.org_id AND t.id = e.team_id \
    LEFT JOIN projects p ON p.org_id = e.org_id AND p.id = e.project_id \
    WHERE e.org_id = $1";

impl Store {
    /// Lists exchanges in the order in which they began.
    ///
    /// Times, users and keys are found by index. What is asked for besides is tried on one exchange after the other, on
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
        let end =
            if wanted.needs_trying() { self.end_of_trying(org, wanted, order, after).await? } else { None };
        let mut filter = Filter::new(SELECT, org);
        wanted.by_index(&mut filter, order, after);
        match order {
            Order::Newest => filter.text("AND e.id >= $?", end.as_ref()),
            Order::Oldest => filter.text("AND e.id <= $?", end.as_ref()),
        }
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
        self.team.is_some() || self.model.is_some() || self.ended.is_some() || self.status.is_some()
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
    let small = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let exchange = Exchange {
        id: stored::parsed("exchange", &row.id)?,
        kind: named("kind", &row.id, &row.kind, &KINDS, Kind::as_str)?,
        principal: principal_of(org, &row)?,
        ended: named("end", &row.id, &row.ended, &ENDS, Ended::as_str)?,
        usage: serde_json::from_str(&row.usage).map_err(|e| StoreError::corrupt("exchange", &row.id, e))?,
        cost: Cost {
            nanos: Nanos(row.cost_nanos),
            basis: named("price basis", &row.id, &row.price_basis, &BASES, PriceBasis::as_str)?,
        },
        request_id: row.request_id,
        provider: row.provider,
        model: row.model,
        served_model: row.served_model,
        stream: row.stream != 0,
        status: u16::try_from(row.status).unwrap_or(0),
        reason: row.reason,
        estimated: row.estimated != 0,
        started_at: UnixMillis(row.started_at),
        first_byte_ms: row.first_byte_ms.map(small),
        duration_ms: small(row.duration_ms),
        overhead_us: small(row.overhead_us),
        bytes_in: row.bytes_in.unsigned_abs(),
        bytes_out: row.bytes_out.unsigned_abs(),
        peer: row.peer.and_then(|peer| peer.parse().ok()),
        session: row.session,
        client: row.client,
    };
    Ok(ExchangeRow { exchange, email: row.email, team: row.team, project: row.project })
}

fn principal_of(org: OrgId, row: &Row) -> Result<Option<Principal>, StoreError> {
    let (Some(user), Some(key)) = (&row.user_id, &row.key_id) else { return Ok(None) };
    Ok(Some(Principal {
        org,
        user: stored::parsed("user", user)?,
        key: stored::parsed("key", key)?,
        team: stored::parsed_some("team", row.team_id.as_deref())?,
        project: stored::parsed_some("project", row.project_id.as_deref())?,
    }))
}

const KINDS: [Kind; 4] = [Kind::Messages, Kind::CountTokens, Kind::Models, Kind::Other];
const ENDS: [Ended; 7] = [
    Ended::Completed,
    Ended::Refused,
    Ended::UpstreamError,
    Ended::UpstreamFailed,
    Ended::ClientGone,
    Ended::Revoked,
    Ended::Interrupted,
];
const BASES: [PriceBasis; 4] =
    [PriceBasis::None, PriceBasis::Table, PriceBasis::Contract, PriceBasis::Default];

/// The one of a closed set that has this name.
fn named<T: Copy>(
    what: &str,
    id: &str,
    text: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, StoreError> {
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.ok_or_else(|| StoreError::corrupt("exchange", id, format!("its {what} is `{text}`")))
}
