//! Routing beside requests: what explains it, and the checks whether providers can be connected to.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::route::{RouteCache, RouteCandidate, RouteExplained, RouteLeftOut, RouteQuestion};
use gatehouse_gateway::explain::{self, Asked};

use super::live::Live;
use crate::clock;

/// How often it is looked whether checks are asked for, while they are not.
const IDLE: Duration = Duration::from_secs(5);

/// Explains where a request would go.
pub(super) fn explain(live: &Live, question: &RouteQuestion) -> RouteExplained {
    let RouteQuestion { principal, model, session } = question;
    let asked = Asked { principal, model, session: session.as_deref() };
    let (settings, policy) = (live.settings.load(), live.policy.load());
    let told = explain::explain(&settings, &policy, &live.routes, &asked, clock::now());
    let candidate = |one: explain::Candidate| RouteCandidate {
        provider: one.provider,
        model: one.model,
        region: one.region,
        weight: one.weight,
        priority: one.priority,
        signature_family: one.family,
        state: one.state,
        usable: one.usable,
    };
    RouteExplained {
        model: told.model,
        notice: told.notice,
        rule: told.rule,
        session_with: told.session_with,
        cache: RouteCache {
            recent_percent: told.cache.recent.map(|thousandths| thousandths / 10),
            usual_percent: told.cache.usual.map(|thousandths| thousandths / 10),
            alarm: told.cache.alarm,
        },
        candidates: told.candidates.into_iter().map(candidate).collect(),
        left_out: told.left_out.into_iter().map(|(provider, why)| RouteLeftOut { provider, why }).collect(),
    }
}

/// Tries again and again whether providers can be connected to, where there are others to take their place.
pub(super) async fn checks(live: Arc<Live>) {
    loop {
        let seconds = live.config.load().routes.health_check_seconds;
        let providers = live.settings.load().providers.clone();
        let is_wanted = seconds > 0 && providers.len() > 1;
        for provider in &providers {
            if is_wanted {
                provider.check().await;
            } else {
                provider.assume_reachable();
            }
        }
        tokio::time::sleep(if seconds == 0 { IDLE } else { Duration::from_secs(seconds) }).await;
    }
}
