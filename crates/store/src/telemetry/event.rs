//! The list of events that clients told of.

use gatehouse_domain::id::{ClientEventId, OrgId, TeamId, UserId};
use gatehouse_domain::telemetry::EventName;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, beginning, bound};
use crate::ledger::TRIED;
use crate::page::{Listed, Page};
use crate::stored;

/// Most events of one request that are given.
const TOLD: i64 = 20;

/// Which events are wanted; all conditions apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Of this time or later.
    pub since: Option<UnixMillis>,
    /// Before this time.
    pub until: Option<UnixMillis>,
    /// Of this user.
    pub user: Option<UserId>,
    /// Charged to this team.
    pub team: Option<TeamId>,
    /// Of this name.
    pub name: Option<EventName>,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Identifier; sorts by the time.
    pub id: ClientEventId,
    /// Its user's e-mail address.
    pub email: Option<String>,
    /// The name of its team.
    pub team: Option<String>,
    /// What happened.
    pub name: String,
    /// Of which model; empty when it has none.
    pub model: String,
    /// The client's session; empty when it is not told.
    pub session: String,
    /// Attributes: a JSON object.
    pub attributes: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    email: Option<String>,
    team: Option<String>,
    name: String,
    model: String,
    session: String,
    attributes: String,
}

const SELECT: &str = "SELECT e.id, u.email, t.name AS team, e.name, e.model, e.session, e.attributes \
    FROM client_events e \
    LEFT JOIN users u ON u.org_id = e.org_id AND u.id = e.user_id \
    LEFT JOIN teams t ON t.org_id = e.org_id AND t.id = e.team_id \
    WHERE e.org_id = $1";

impl Store {
    /// Lists what clients told of, the newest first.
    ///
    /// Times and users are found by index. A team and a name are tried on one event after the other, on [`TRIED`] for a page at
    /// most: such a page may be shorter than asked for, or empty, and there is a next one all the same.
    ///
    /// # Errors
    /// A bad page; a row that cannot be read; the database.
    pub async fn client_events(
        &self,
        org: OrgId,
        wanted: &EventFilter,
        page: &Page,
    ) -> Result<Listed<EventRow>, StoreError> {
        let rows = page.rows()?;
        let after = page.cursor(|text| text.parse::<ClientEventId>().ok())?;
        let tries = wanted.team.is_some() || wanted.name.is_some();
        let end = if tries { self.end_of_events(org, wanted, after).await? } else { None };
        let mut filter = Filter::new(SELECT, org);
        wanted.by_index(&mut filter, after);
        filter.text("AND e.id >= $?", end.as_ref());
        filter.text("AND e.team_id = $?", wanted.team);
        filter.text("AND e.name = $?", wanted.name.map(EventName::as_str));
        filter.arg("ORDER BY e.id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(event_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next.or(end) })
    }

    /// The last event that a page may be looked for up to; `None` when so many are not left.
    async fn end_of_events(
        &self,
        org: OrgId,
        wanted: &EventFilter,
        after: Option<ClientEventId>,
    ) -> Result<Option<String>, StoreError> {
        let mut filter = Filter::new("SELECT e.id FROM client_events e WHERE e.org_id = $1", org);
        wanted.by_index(&mut filter, after);
        filter.arg("ORDER BY e.id DESC LIMIT 1 OFFSET $?", Arg::Int(TRIED - 1));
        let (sql, args) = filter.into_parts();
        let found: Option<(String,)> =
            read!(self, |db| bound!(sqlx::query_as(sql), args).fetch_optional(db).await)?;
        Ok(found.map(|(id,)| id))
    }

    /// What the client of a person told of one request within a span of time, by the `request-id` that it saw: at most 20.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn client_events_of(
        &self,
        org: OrgId,
        user: UserId,
        request_id: &str,
        span: (UnixMillis, UnixMillis),
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND e.id >= $?", Some(ClientEventId::new(span.0, 0)));
        filter.text("AND e.id < $?", Some(ClientEventId::new(span.1, 0)));
        filter.text("AND e.user_id = $?", Some(user));
        let written = format!("%{}", beginning(&format!("\"request_id\":\"{request_id}\"")));
        filter.text("AND e.attributes LIKE $? ESCAPE '\\'", Some(written));
        filter.arg("ORDER BY e.id LIMIT $?", Arg::Int(TOLD));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(event_of).collect()
    }
}

impl EventFilter {
    /// The conditions that an index serves, and the place to go on from.
    fn by_index(&self, filter: &mut Filter, after: Option<ClientEventId>) {
        filter.text("AND e.id >= $?", self.since.map(|at| ClientEventId::new(at, 0)));
        filter.text("AND e.id < $?", self.until.map(|at| ClientEventId::new(at, 0)));
        filter.text("AND e.user_id = $?", self.user);
        filter.text("AND e.id < $?", after);
    }
}

fn event_of(row: Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: stored::parsed("event", &row.id)?,
        email: row.email,
        team: row.team,
        name: row.name,
        model: row.model,
        session: row.session,
        attributes: row.attributes,
    })
}
