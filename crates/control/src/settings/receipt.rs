//! How far everybody's settings have come.

use std::collections::HashMap;

use gatehouse_domain::id::UserId;
use gatehouse_domain::settings::receipt::VersionRange;
use gatehouse_domain::settings::{Checksum, Machine, Receipt, ReceiptState};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{MAX_BATCH, OnMachine, Reach};
use gatehouse_store::{Listed, MAX_LIMIT, Page};

use super::compare::walk;
use super::profile;
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
    let look = Look::new(app, wanted).await?;
    let listed = look.page(app, page).await?;
    let mut machines: HashMap<UserId, Vec<OnMachine>> = HashMap::new();
    let ids: Vec<UserId> = listed.items.iter().map(|(known, _)| known.user).collect();
    for some in ids.chunks(MAX_BATCH) {
        for one in app.store.settings_machines(app.org, some).await? {
            machines.entry(one.user).or_default().push(one);
        }
    }
    let with_machines = |(known, range): (Known, VersionRange)| {
        let of_user = machines.remove(&known.user).unwrap_or_default().into_iter();
        let machines = of_user.map(|one| KnownMachine {
            machine: one.machine,
            state: one.receipt.state(known.assigned, range, look.now),
            first_seen_at: one.first_seen_at,
            receipt: one.receipt,
        });
        Known { machines: machines.collect(), ..known }
    };
    Ok(Listed { items: listed.items.into_iter().map(with_machines).collect(), next: listed.next })
}

/// Counts receipts by state, in the order of [`ReceiptState::ALL`]: all, or those of people whom a profile concerns.
///
/// # Errors
/// There is no such profile; the database.
pub async fn count(app: &App, profile: Option<String>) -> Result<Vec<(ReceiptState, u64)>, ActError> {
    let mut counts: Vec<(ReceiptState, u64)> = ReceiptState::ALL.map(|state| (state, 0)).to_vec();
    let wanted = Wanted { state: None, profile };
    // Read once for all pages: with thousands of people that takes most of the time.
    let look = Look::new(app, &wanted).await?;
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = look.page(app, &page).await?;
        for (known, _) in &listed.items {
            if let Some((_, count)) = counts.iter_mut().find(|(state, _)| *state == known.state) {
                *count += 1;
            }
        }
        let Some(next) = listed.next else { return Ok(counts) };
        page = Page::after(next, MAX_LIMIT);
    }
}

/// What receipts are compared with.
struct Look {
    snapshot: Snapshot,
    profile: Option<String>,
    state: Option<ReceiptState>,
    now: UnixMillis,
}

impl Look {
    /// Reads what is published, after what this node has heard from clients was written down.
    async fn new(app: &App, wanted: &Wanted) -> Result<Self, ActError> {
        let profile = match &wanted.profile {
            Some(given) => Some(profile::get(app, given).await?.name),
            None => None,
        };
        app.settings.flush(&app.store, app.org).await?;
        let snapshot = Snapshot::load(&app.store, app.org, app.settings.catalogue()).await?;
        Ok(Self { snapshot, profile, state: wanted.state, now: app.now() })
    }

    /// A page of them, without machines, and with the versions of the client that each user's settings let start.
    async fn page(&self, app: &App, page: &Page) -> Result<Listed<(Known, VersionRange)>, ActError> {
        walk(app, page, |reach| self.known(reach)).await
    }

    /// What is known of a user, if it is wanted.
    fn known(&self, reach: Reach) -> Option<(Known, VersionRange)> {
        let served = self.snapshot.served(reach.user, self.now).ok().flatten()?;
        let is_layer = |profile: &String| served.layers.iter().any(|layer| layer.name == *profile);
        let state = reach.receipt.state(served.checksum, served.range, self.now);
        let is_wanted =
            self.profile.as_ref().is_none_or(is_layer) && self.state.is_none_or(|wanted| wanted == state);
        let known = Known {
            user: reach.user,
            email: reach.email,
            state,
            assigned: served.checksum,
            receipt: reach.receipt,
            machines: Vec::new(),
        };
        is_wanted.then_some((known, served.range))
    }
}
