//! The list of events that clients told of.

use gatehouse_domain::id::{ClientEventId, OrgId, TeamId, UserId};
use gatehouse_domain::telemetry::EventName;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

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
    /// # Errors
    /// A bad page; a row that cannot be read; the database.
    pub async fn client_events(
        &self,
        org: OrgId,
        wanted: &EventFilter,
        page: &Page,
    ) -> Result<Listed<EventRow>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND e.id >= $?", wanted.since.map(|at| ClientEventId::new(at, 0)));
        filter.text("AND e.id < $?", wanted.until.map(|at| ClientEventId::new(at, 0)));
        filter.text("AND e.user_id = $?", wanted.user);
        filter.text("AND e.team_id = $?", wanted.team);
        filter.text("AND e.name = $?", wanted.name.map(EventName::as_str));
        filter.text("AND e.id < $?", page.cursor(|text| text.parse::<ClientEventId>().ok())?);
        filter.arg("ORDER BY e.id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(event_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
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
