//! The list of events that clients told of.

use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::EventName;
use gatehouse_store::telemetry::{EventFilter, EventRow};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Range};
use crate::app::App;
use crate::{scope, user};

/// Which events are wanted, as the caller wrote it; all conditions apply.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// When.
    pub range: Range,
    /// Of whom, by address or id.
    pub user: Option<String>,
    /// Of which name.
    pub name: Option<String>,
}

/// Lists events within a scope, the newest first.
///
/// # Errors
/// A bad range, name or page; an unknown user; the database.
pub async fn events(
    app: &App,
    scope: Scope,
    wanted: &Wanted,
    page: &Page,
) -> Result<Listed<EventRow>, ActError> {
    let (since, until) = wanted.range.read(app.now())?;
    let read = |name: &str| {
        EventName::parse(name).ok_or_else(|| {
            let known = EventName::ALL.map(EventName::as_str).join(", ");
            ActError::field("name", format!("expected one of {known}"))
        })
    };
    let name = wanted.name.as_deref().map(read).transpose()?;
    let user = match &wanted.user {
        Some(given) => Some(user::within(app, scope, given).await?.id),
        None => scope::user(scope),
    };
    let filter = EventFilter { since, until, user, team: scope::team(scope), name };
    Ok(app.store.client_events(app.org, &filter, page).await?)
}
