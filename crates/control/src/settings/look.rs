//! What all published profiles amount to for one person, and why.

use std::sync::Arc;

use gatehouse_domain::directory::{Team, User};
use gatehouse_domain::settings::{Finding, Merged, Path, lint_merge};

use super::snapshot::{Served, Snapshot};
use crate::act::{ActError, read};
use crate::app::App;
use crate::{team, user};

/// A user's settings, with the layers they come from.
#[derive(Debug)]
pub struct Effective {
    /// The user.
    pub user: User,
    /// Their settings; `None` if no published profile concerns them.
    pub served: Option<Arc<Served>>,
    /// What came out otherwise than a layer wanted, or than is safe.
    pub findings: Vec<Finding>,
}

/// Where the values at a key come from, for a user.
#[derive(Debug)]
pub struct Explained {
    /// The user.
    pub user: User,
    /// The key.
    pub path: Path,
    /// All layers of the user, merged; [`Merged::explain`] tells of the key.
    pub merged: Merged,
}

/// Tells what a user is served. Reads the database, so that it is what was published last.
///
/// # Errors
/// There is no such user; their layers are too many or too large together; the database.
pub async fn effective(app: &App, given: &str) -> Result<Effective, ActError> {
    let user = user::get(app, given).await?;
    let snapshot = of(app, &user).await?;
    let undeliverable = |why: &dyn std::fmt::Display| ActError::field("user", why.to_string());
    let served = snapshot.served(user.id, app.now()).map_err(|why| undeliverable(&why))?;
    let merged = snapshot.merged(user.id, app.now()).map_err(|why| undeliverable(&why))?;
    Ok(Effective { user, served, findings: lint_merge(&merged, &app.settings.catalogue()) })
}

/// Tells where the values at a key come from.
///
/// # Errors
/// There is no such user; no path of keys; the layers are too many or too large together; the database.
pub async fn explain(app: &App, given: &str, key: &str) -> Result<Explained, ActError> {
    let path = read("key", Path::parse(key))?;
    let user = user::get(app, given).await?;
    let merged = of(app, &user).await?.merged(user.id, app.now());
    let merged = merged.map_err(|why| ActError::field("user", why))?;
    Ok(Explained { user, path, merged })
}

/// Tells what somebody is served who is in this team only, and in no audience of an overlay.
///
/// # Errors
/// There is no such team; the layers are too large together; the database.
pub async fn team(app: &App, given: &str) -> Result<(Team, Option<Arc<Served>>), ActError> {
    let team = team::get(app, given).await?;
    let layers = app.store.published_settings(app.org).await?;
    let snapshot = Snapshot::new(0, app.settings.catalogue(), layers, &[]);
    let served = snapshot.served_to_team(team.id).map_err(|why| ActError::field("team", why))?;
    Ok((team, served))
}

async fn of(app: &App, user: &User) -> Result<Snapshot, ActError> {
    let layers = app.store.published_settings(app.org).await?;
    let assignments = app.store.settings_assignments(app.org, Some(user.id)).await?;
    Ok(Snapshot::new(0, app.settings.catalogue(), layers, &assignments))
}
