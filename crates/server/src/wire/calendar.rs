//! What this node knows that has its day: certificates, prices, models.

use std::sync::Arc;

use gatehouse_domain::maintenance::{Due, Kind};
use gatehouse_domain::time::DAY_MS;

use super::live::Live;
use super::probe;
use crate::clock;

/// Prices are to be looked at this often.
const PRICES_MS: i64 = 90 * DAY_MS;

/// All of it. Certificates are looked at now.
pub(super) async fn dated(live: Arc<Live>) -> Vec<Due> {
    let now = clock::now();
    let mut all: Vec<Due> = Vec::new();
    let settings = live.settings.load_full();
    let looked = settings.prices.as_of().plus_millis(PRICES_MS);
    all.push(Due::new(Kind::Prices, "table", looked, "compare the price table with the provider's list"));
    for model in settings.prices.models(now) {
        if let Some(ends) = model.retires_at {
            all.push(Due::new(Kind::Model, &model.id, ends, format!("the provider retires {}", model.id)));
        }
    }
    for alias in &settings.routing.aliases {
        if let Some(ends) = alias.retires.filter(|ends| *ends >= now) {
            let then = alias
                .model
                .as_deref()
                .map_or_else(|| "it is refused then".to_owned(), |to| format!("{to} takes its place"));
            all.push(Due::new(
                Kind::Model,
                format!("alias/{}", alias.name),
                ends,
                format!("{} retires here; {then}", alias.name),
            ));
        }
    }
    for (of, days) in probe::certificate_days(live).await {
        let ends = now.plus_millis(i64::try_from(days).unwrap_or(0).saturating_mul(DAY_MS));
        all.push(Due::new(Kind::Certificate, &of, ends, format!("the certificate of {of} ends")));
    }
    all
}
