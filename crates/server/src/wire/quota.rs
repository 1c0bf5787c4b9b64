//! What is told of providers' quotas.

use gatehouse_control::provider::{ProviderLimit, ProviderQuota};
use gatehouse_gateway::quota::{ModelView, View};

/// A quota as the management plane tells it.
pub(super) fn told(view: View) -> ProviderQuota {
    ProviderQuota {
        requests_per_minute: view.configured.requests_per_minute,
        concurrent: view.configured.concurrent,
        under_way: view.under_way,
        waiting: view.waiting,
        waiting_users: view.users,
        limits: view.models.into_iter().flat_map(limits).collect(),
    }
}

fn limits(model: ModelView) -> impl Iterator<Item = ProviderLimit> {
    let ModelView { model, limits, closed_ms, heard_ms_ago } = model;
    let told_seconds_ago = heard_ms_ago / 1000;
    let refused = (closed_ms > 0).then(|| ProviderLimit {
        model: model.clone(),
        measure: "refused".to_owned(),
        limit: None,
        remaining: None,
        seconds_left: closed_ms.div_ceil(1000),
        told_seconds_ago,
    });
    let told = limits.into_iter().map(move |(measure, told)| ProviderLimit {
        model: model.clone(),
        measure: measure.as_str().to_owned(),
        limit: Some(told.limit),
        remaining: Some(told.remaining),
        seconds_left: told.whole_in.div_ceil(1000),
        told_seconds_ago,
    });
    refused.into_iter().chain(told)
}
