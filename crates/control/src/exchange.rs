//! Finished exchanges.

use gatehouse_domain::exchange::Ended;
use gatehouse_domain::id::{KeyId, UserId};
use gatehouse_domain::name::Email;
use gatehouse_store::ledger::{ExchangeFilter, ExchangeRow, Order};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Range, read};
use crate::app::App;

/// Which exchanges are wanted, as they are asked for.
pub struct Wanted {
    /// When they began.
    pub range: Range,
    /// Identifier or e-mail address of their user.
    pub user: Option<String>,
    /// The key they were made with.
    pub key: Option<KeyId>,
    /// The model they asked for.
    pub model: Option<String>,
    /// How they ended.
    pub ended: Option<Ended>,
    /// The status the client saw.
    pub status: Option<u16>,
    /// In which order.
    pub order: Order,
}

/// Lists exchanges, those that have just ended included.
///
/// # Errors
/// A range, user or page that is none; the ledger is behind; the database.
pub async fn list(app: &App, wanted: Wanted, page: &Page) -> Result<Listed<ExchangeRow>, ActError> {
    let (since, until) = wanted.range.read((app.house.now)())?;
    (app.house.flush_ledger)().await?;
    let user = match wanted.user {
        Some(text) => Some(user(app, &text).await?),
        None => None,
    };
    let filter = ExchangeFilter {
        since,
        until,
        user,
        key: wanted.key,
        team: None,
        model: wanted.model,
        ended: wanted.ended,
        status: wanted.status,
    };
    Ok(app.store.exchanges(app.org, &filter, wanted.order, page).await?)
}

async fn user(app: &App, text: &str) -> Result<UserId, ActError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let email: Email = read("user", text.parse())?;
    Ok(app.store.user_by_email(app.org, &email).await?.id)
}
