//! How far everybody's settings have come.

use gatehouse_domain::id::UserId;
use gatehouse_domain::settings::{Checksum, Receipt, ReceiptState};
use gatehouse_store::{Listed, MAX_LIMIT, Page};

use super::compare::walk;
use super::profile;
use super::snapshot::{Served, Snapshot};
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

/// Which receipts are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those in this state.
    pub state: Option<ReceiptState>,
    /// Only those of people whose settings this profile is a layer of now, by name or id: of an overlay, those in its
    /// audience.
    pub profile: Option<String>,
}

/// Lists receipts by the user's address. Users for whom nothing is published have none.
///
/// # Errors
/// There is no such profile; a bad page; the database.
pub async fn list(app: &App, wanted: &Wanted, page: &Page) -> Result<Listed<Known>, ActError> {
    let profile = match &wanted.profile {
        Some(given) => Some(profile::get(app, given).await?.name),
        None => None,
    };
    let state = wanted.state;
    let snapshot = fresh(app).await?;
    let now = app.now();
    let concerns = |served: &Served| {
        profile.as_ref().is_none_or(|profile| served.layers.iter().any(|layer| layer.name == *profile))
    };
    walk(app, page, |reach| {
        let served = snapshot.served(reach.user, now).ok().flatten().filter(|served| concerns(served))?;
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

/// Counts receipts by state, in the order of [`ReceiptState::ALL`]: all, or those of people whom a profile concerns.
///
/// # Errors
/// There is no such profile; the database.
pub async fn count(app: &App, profile: Option<String>) -> Result<Vec<(ReceiptState, u64)>, ActError> {
    let mut counts: Vec<(ReceiptState, u64)> = ReceiptState::ALL.map(|state| (state, 0)).to_vec();
    let wanted = Wanted { state: None, profile };
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = list(app, &wanted, &page).await?;
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
    Ok(Snapshot::load(&app.store, app.org, app.settings.catalogue()).await?)
}
