//! How far everybody's settings have come.

use gatehouse_domain::id::UserId;
use gatehouse_domain::settings::{Checksum, Receipt, ReceiptState};
use gatehouse_store::{Listed, MAX_LIMIT, Page};

use super::compare::walk;
use super::snapshot::Snapshot;
use crate::act::ActError;
use crate::app::App;

/// An active user for whom settings are published, with what is known of their client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The user.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// How far they have come.
    pub state: ReceiptState,
    /// The checksum of the settings that are theirs.
    pub assigned: Checksum,
    /// What is known of their client.
    pub receipt: Receipt,
}

/// Lists receipts by the user's address, all or those in one state. Users for whom nothing is published have none.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, state: Option<ReceiptState>, page: &Page) -> Result<Listed<Known>, ActError> {
    let snapshot = fresh(app).await?;
    let now = app.now();
    walk(app, page, |reach| {
        let served = snapshot.served(reach.user).ok().flatten()?;
        let found = reach.receipt.state(served.checksum, served.range, now);
        let wanted = state.is_none_or(|state| state == found);
        wanted.then_some(Known {
            user: reach.user,
            email: reach.email,
            state: found,
            assigned: served.checksum,
            receipt: reach.receipt,
        })
    })
    .await
}

/// Counts receipts by state, in the order of [`ReceiptState::ALL`].
///
/// # Errors
/// The database.
pub async fn count(app: &App) -> Result<Vec<(ReceiptState, u64)>, ActError> {
    let mut counts: Vec<(ReceiptState, u64)> = ReceiptState::ALL.map(|state| (state, 0)).to_vec();
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = list(app, None, &page).await?;
        for known in &listed.items {
            if let Some((_, count)) = counts.iter_mut().find(|(state, _)| *state == known.state) {
                *count += 1;
            }
        }
        let Some(next) = listed.next else { return Ok(counts) };
        page = Page::after(next, MAX_LIMIT);
    }
}

/// What is published, after what this node has heard from clients was written down.
async fn fresh(app: &App) -> Result<Snapshot, ActError> {
    app.settings.flush(&app.store, app.org).await?;
    Ok(Snapshot::load(&app.store, app.org, app.settings.shared_catalogue()).await?)
}
