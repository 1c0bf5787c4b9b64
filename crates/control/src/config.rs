//! The configuration in force: show it, read it anew.

use gatehouse_domain::audit::{Object, Outcome};
use serde::Serialize;
use utoipa::ToSchema;

use crate::act::{ActError, Caller};
use crate::app::App;

/// What a new configuration changed.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Reloaded {
    /// Settings that are different and in force.
    pub changed: Vec<String>,
    /// Settings that are different and take effect with the next start only.
    pub restart_needed: Vec<String>,
}

/// The new configuration was refused as a whole; the old one stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the new configuration has mistakes, the old one stays in force\n{}", mistakes.join("\n"))]
pub struct ReloadRefused {
    /// Each mistake with its place. Never a secret.
    pub mistakes: Vec<String>,
}

/// Reads the configuration anew. Audited in two steps, so that what is done is recorded even if it is not survived.
///
/// # Errors
/// The new configuration has mistakes; the database.
pub async fn reload(app: &App, caller: &Caller) -> Result<Reloaded, ActError> {
    let object = || Object::new("config", "", "");
    app.store.record(app.org, &caller.draft(app.now(), "config.reload.begin", object())).await?;
    let result = (app.house.reload)().await;
    let act = caller.draft(app.now(), "config.reload", object());
    let act = match &result {
        Ok(done) => {
            act.with("changed", done.changed.clone()).with("restart_needed", done.restart_needed.clone())
        }
        Err(refused) => act.ended(Outcome::Failed, format!("{} mistakes", refused.mistakes.len())),
    };
    app.store.record(app.org, &act).await?;
    Ok(result?)
}
