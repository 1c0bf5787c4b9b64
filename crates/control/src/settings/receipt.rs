//! How far everybody's settings have come.

use std::collections::HashMap;

use gatehouse_domain::id::UserId;
use gatehouse_domain::settings::receipt::VersionRange;
use gatehouse_domain::settings::{Checksum, Machine, Receipt, ReceiptState};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{MAX_BATCH, OnMachine};
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
    /// Their machines, as far as these name themselves, the one seen last first.
    pub machines: Vec<KnownMachine>,
}

/// A machine of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMachine {
    /// The machine.
    pub machine: Machine,
    /// How far the user's settings have come there.
    pub state: ReceiptState,
    /// When it was first seen.
    pub first_seen_at: UnixMillis,
    /// What was last exchanged with it.
    pub receipt: Receipt,
}

/// Lists receipts by the user's address, all or those in one state. Users for whom nothing is published have none.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, state: Option<ReceiptState>, page: &Page) -> Result<Listed<Known>, ActError> {
    let listed = users(app, state, page).await?;
    let mut machines: HashMap<UserId, Vec<OnMachine>> = HashMap::new();
    let ids: Vec<UserId> = listed.items.iter().map(|(known, _)| known.user).collect();
    for some in ids.chunks(MAX_BATCH) {
        for one in app.store.settings_machines(app.org, some).await? {
            machines.entry(one.user).or_default().push(one);
        }
    }
    let now = app.now();
    let with_machines = |(known, range): (Known, VersionRange)| {
        let of_user = machines.remove(&known.user).unwrap_or_default().into_iter();
        let machines = of_user.map(|one| KnownMachine {
            machine: one.machine,
            state: one.receipt.state(known.assigned, range, now),
            first_seen_at: one.first_seen_at,
            receipt: one.receipt,
        });
        Known { machines: machines.collect(), ..known }
    };
    Ok(Listed { items: listed.items.into_iter().map(with_machines).collect(), next: listed.next })
}

/// As [`list`], without machines, and with the versions of the client that each user's settings let start.
async fn users(
    app: &App,
    state: Option<ReceiptState>,
    page: &Page,
) -> Result<Listed<(Known, VersionRange)>, ActError> {
    let snapshot = fresh(app).await?;
    let now = app.now();
    walk(app, page, |reach| {
        let served = snapshot.served(reach.user).ok().flatten()?;
        let found = reach.receipt.state(served.checksum, served.range, now);
        let wanted = state.is_none_or(|state| state == found);
        let known = Known {
            user: reach.user,
            email: reach.email,
            state: found,
            assigned: served.checksum,
            receipt: reach.receipt,
            machines: Vec::new(),
        };
        wanted.then_some((known, served.range))
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
        let listed = users(app, None, &page).await?;
        for (known, _) in &listed.items {
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
