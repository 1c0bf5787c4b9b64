//! Between the data path and the portal of the management plane.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatehouse_control::portal;
use gatehouse_domain::id::{KeyId, UserId};
use gatehouse_domain::key::KeyHash;
use gatehouse_gateway::portal::{Asked, Entry, Later, Portal};
use http::Response;

use super::live::Live;
use crate::clock;
use crate::fetch::Net;

/// How long a request may wait for the policy to be brought up to date.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The portal, with the way to identity providers.
pub(super) type SignIn = portal::Portal<Net>;

/// The portal as the data path sees it.
pub(super) struct Front {
    live: Arc<Live>,
    portal: Arc<SignIn>,
}

impl Front {
    pub(super) fn new(live: &Arc<Live>, portal: &Arc<SignIn>) -> Self {
        Self { live: Arc::clone(live), portal: Arc::clone(portal) }
    }
}

impl Portal for Front {
    fn entry(&self, path: &str) -> Option<Entry> {
        Some(match self.portal.entry(path)? {
            portal::Entry::Open(most) => Entry::Open(most),
            portal::Entry::Granted => Entry::Granted,
            portal::Entry::Telling(most) => Entry::Telling(most),
        })
    }

    fn answer(&self, asked: Asked) -> Later<Response<Bytes>> {
        let portal = Arc::clone(&self.portal);
        Box::pin(async move {
            let asked = portal::Asked {
                method: asked.method,
                path: asked.path,
                query: asked.query,
                headers: asked.headers,
                body: asked.body,
                peer: asked.peer,
                principal: asked.principal,
            };
            portal.answer(&asked).await
        })
    }

    fn reported(&self, user: UserId, checksum: &str, user_agent: Option<&str>) {
        self.live.delivery.hear(user, checksum, user_agent, clock::now());
    }

    fn rehashed(&self, key: KeyId, old: KeyHash, new: KeyHash) {
        self.live.rehashes.note(key, old, new);
    }

    fn session_provider(&self, user: UserId, session: &str) -> Later<Option<String>> {
        let (live, session) = (Arc::clone(&self.live), session.to_owned());
        Box::pin(async move {
            let found = live.store.session_provider(live.org, user, &session).await;
            found.unwrap_or_else(|error| {
                tracing::warn!(%error, "the ledger could not be asked for a session's provider");
                None
            })
        })
    }

    fn catch_up(&self) -> Later<()> {
        let live = Arc::clone(&self.live);
        Box::pin(async move {
            live.fresh.changed();
            // In force or not: the data path looks again.
            let _ = live.fresh.in_force(CATCH_UP).await;
        })
    }
}
