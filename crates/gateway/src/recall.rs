//! Who issued the signatures that a request carries, where this node does not remember it: it was restarted, or another node
//! served the session. The ledger knows with which provider a session was, and it is asked by the management plane, at the
//! first such request of a session only.

use std::rc::Rc;
use std::time::Duration;

use gatehouse_domain::id::UserId;
use gatehouse_domain::routing::{fingerprint, session_key};
use gatehouse_providers::anthropic::carried;

use crate::handle::Granted;
use crate::protect::Clean;
use crate::settings::Settings;
use crate::worker::Worker;

/// How long a request waits for the answer. Without one it goes on as if nothing were known.
const PATIENCE: Duration = Duration::from_secs(2);

/// Brings to mind with which provider a request's session was, where that matters and is not known.
pub(crate) async fn recall(worker: &Rc<Worker>, mut clean: Clean) -> Clean {
    let Some((user, session)) = forgotten(worker, clean.granted()) else { return clean };
    let asked = worker.shared.reception.session_provider(user, &session);
    if let Ok(Some(provider)) = tokio::time::timeout(PATIENCE, asked).await {
        worker.shared.routes.recalled(session_key(user.bits(), &session), fingerprint(&provider));
    }
    clean
}

/// Whose session it is, if it matters with whom that was and it is not known.
fn forgotten(worker: &Worker, granted: &mut Granted) -> Option<(UserId, String)> {
    let record = granted.open.record();
    let (user, session) = (record.principal?.user, record.session.as_deref()?);
    if !differ(&worker.shared.settings.load(), record.model.as_deref()?) {
        return None;
    }
    let routes = &worker.shared.routes;
    if routes.provider_of(session_key(user.bits(), session)).is_some() {
        return None;
    }
    let carried = carried(routes.seed(), &granted.body.pieces);
    let is_known = carried.signatures.iter().any(|signature| routes.issuer(*signature).is_some());
    (!carried.is_nothing() && !is_known).then(|| (user, session.to_owned()))
}

/// Whether providers of several families serve a model.
fn differ(settings: &Settings, model: &str) -> bool {
    let mut serving = settings.providers.iter().filter(|provider| provider.is_for(model));
    let first = serving.next();
    first.is_some_and(|first| serving.any(|other| other.family != first.family))
}
