//! Keys of Amazon's for each user: the role is taken on with session tags that say for whom, so that the bill does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::{ProjectId, TeamId, UserId};
use gatehouse_gateway::portal::Later;
use gatehouse_gateway::settings::Tagged;
use gatehouse_providers::credential::Tag;
use gatehouse_providers::sigv4::AwsKeys;

use super::amazon::KeySource;
use crate::config::TagOf;

/// Most sets of keys at once; beyond it, those that run out first are forgotten.
const MOST: usize = 20_000;
/// How long fetching may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys with fewer seconds left than this are not used any more.
const LEAST: u64 = 60;
/// They are renewed when fewer seconds than this are left.
const AHEAD: u64 = 600;
/// After a failure nothing is asked for so many seconds.
const PAUSE: u64 = 2;
/// Longest name of a session.
const MAX_SESSION: usize = 64;

/// Keys by user.
pub(super) struct PerUser {
    pub(super) provider: String,
    pub(super) source: Arc<KeySource>,
    pub(super) tags: Vec<TagOf>,
    pub(super) held: Mutex<HashMap<Whose, Arc<Slot>>>,
}

/// What tells sets of keys apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    user: UserId,
    team: Option<TeamId>,
    project: Option<ProjectId>,
}

/// One user's keys.
#[derive(Default)]
pub(super) struct Slot {
    keys: ArcSwapOption<Held>,
    /// Held while they are fetched; when it may be tried again.
    fetching: tokio::sync::Mutex<u64>,
}

struct Held {
    keys: Arc<AwsKeys>,
    expires: u64,
}

impl PerUser {
    /// What the data path asks. Keys are fetched on this runtime.
    pub(super) fn handle(self: &Arc<Self>, runtime: Option<tokio::runtime::Handle>) -> Arc<dyn Tagged> {
        Arc::new(Handle { of: Arc::clone(self), runtime })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Whose, Arc<Slot>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whose(&self, principal: &Principal) -> Whose {
        let has = |tag| self.tags.contains(&tag);
        Whose {
            user: principal.user,
            team: principal.team.filter(|_| has(TagOf::Team)),
            project: principal.project.filter(|_| has(TagOf::Project)),
        }
    }

    fn slot(&self, whose: Whose) -> Arc<Slot> {
        let mut held = self.held();
        if let Some(slot) = held.get(&whose) {
            return Arc::clone(slot);
        }
        if held.len() >= MOST {
            let end = |slot: &Slot| slot.keys.load().as_ref().map_or(0, |held| held.expires);
            let mut ends: Vec<u64> = held.values().map(|slot| end(slot)).collect();
            ends.sort_unstable();
            let limit = ends[ends.len() / 10];
            held.retain(|_, slot| end(slot) > limit);
        }
        let slot = Arc::new(Slot::default());
        held.insert(whose, Arc::clone(&slot));
        slot
    }

    async fn fetch(&self, whose: Whose) {
        let slot = self.slot(whose);
        // Those who want the same keys wait for one fetch.
        let mut not_before = slot.fetching.lock().await;
        let now = seconds();
        let left = slot.keys.load().as_ref().map_or(0, |held| held.expires.saturating_sub(now));
        if left > AHEAD || now < *not_before {
            return;
        }
        let tags = self.tags_of(whose);
        let first = self.source.roles.last().map_or("gatehouse", |role| &role.session);
        let session: String = format!("{first}-{}", whose.user).chars().take(MAX_SESSION).collect();
        let fetched = tokio::time::timeout(PATIENCE, self.source.keys(&tags, Some(&session), now)).await;
        match fetched.unwrap_or_else(|_| Err("the service took too long".to_owned())) {
            Ok(issued) => {
                // One that lives shortly is renewed at half its time.
                *not_before = now + issued.expires.saturating_sub(now).min(2 * AHEAD) / 2;
                slot.keys
                    .store(Some(Arc::new(Held { keys: Arc::new(issued.keys), expires: issued.expires })));
            }
            Err(error) => {
                *not_before = now + PAUSE;
                tracing::error!(provider = %self.provider, user.id = %whose.user, error, "no keys could be had for a user");
            }
        }
    }

    fn tags_of(&self, whose: Whose) -> Vec<Tag> {
        let value = |tag: &TagOf| match tag {
            TagOf::User => Some(whose.user.to_string()),
            TagOf::Team => whose.team.map(|id| id.to_string()),
            TagOf::Project => whose.project.map(|id| id.to_string()),
        };
        self.tags.iter().filter_map(|tag| Some(Tag { key: tag.key(), value: value(tag)? })).collect()
    }
}

struct Handle {
    of: Arc<PerUser>,
    runtime: Option<tokio::runtime::Handle>,
}

impl Tagged for Handle {
    fn at_hand(&self, principal: &Principal) -> Option<Arc<AwsKeys>> {
        let whose = self.of.whose(principal);
        let slot = Arc::clone(self.of.held().get(&whose)?);
        let held = slot.keys.load_full()?;
        let left = held.expires.saturating_sub(seconds());
        if left <= AHEAD
            && let Ok(not_before) = slot.fetching.try_lock()
            && seconds() >= *not_before
            && let Some(runtime) = &self.runtime
        {
            let of = Arc::clone(&self.of);
            runtime.spawn(async move { of.fetch(whose).await });
        }
        (left > LEAST).then(|| Arc::clone(&held.keys))
    }

    fn fetch(&self, principal: &Principal) -> Later<()> {
        let (of, whose) = (Arc::clone(&self.of), self.of.whose(principal));
        Box::pin(async move { of.fetch(whose).await })
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
