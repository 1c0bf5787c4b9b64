//! Admission: whether the budgets have room for a request, and what the client is told of them.
//!
//! What is held is the most that the request may cost: its body's bytes as input of the dearest kind, and as much output
//! as it allows. Counting tokens costs nothing and is never refused. The client's own probe, a message of one token, is a
//! message like any other: it costs next to nothing, and is how the client learns that a budget is used up.

use std::rc::Rc;

use gatehouse_domain::budget::{Exceeded, Holder, Standing};
use gatehouse_domain::exchange::{Kind, estimate_tokens};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::price::Worst;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::{Geo, Speed};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::route::Routed;
use crate::worker::Worker;

/// Output tokens of a request that does not say how many it allows in a way that can be read. Providers refuse such
/// requests; one that does not writes no more than this.
const MOST_OUTPUT: u64 = 128_000;

/// A request that is within all budgets. What is held for it is in its open exchange, and ends with that.
pub(crate) struct Admitted {
    routed: Routed,
    standing: Option<Standing>,
}

impl Admitted {
    /// The request, and the budget that the client is told of.
    pub(crate) fn into_parts(self) -> (Routed, Option<Standing>) {
        (self.routed, self.standing)
    }
}

/// Lets a request through if all budgets have room for it.
pub(crate) fn admit(worker: &Rc<Worker>, mut routed: Routed) -> Result<Admitted, Box<Refused>> {
    if worker.shared.counters.is_idle() || routed.granted.open.record().kind != Kind::Messages {
        return Ok(Admitted { routed, standing: None });
    }
    let body = &routed.granted.body;
    let asked = Worst {
        input: estimate_tokens(body.bytes),
        output: body.facts.max_tokens.unwrap_or(MOST_OUTPUT),
        speed: if body.facts.fast { Speed::Fast } else { Speed::Standard },
        geo: if body.facts.placed { Geo::Us } else { Geo::Global },
    };
    let fallback = routed.fallback().map(str::to_owned);
    let open = &mut routed.granted.open;
    let record = open.record();
    let settings = worker.shared.settings.load();
    // The dearest of the models that may answer.
    let models = [record.model.as_deref(), fallback.as_deref()];
    let worst = models.into_iter().flatten();
    let worst = worst.map(|model| settings.prices.worst(model, &asked, record.started_at)).max();
    drop(settings);
    match open.reserve(worst.unwrap_or_default()) {
        Ok(standing) => Ok(Admitted { routed, standing }),
        Err(why) => {
            let spent = Spent { why: *why, now: Worker::now() };
            Err(Refused::new(routed.granted.open, Refusal::Budget(Box::new(spent)), None))
        }
    }
}

/// Tells the client how a budget stands that has let its request through. The provider's own limits are not the
/// client's: they are the organization's.
pub(crate) fn tell(headers: &mut HeaderMap, standing: &Standing, status: StatusCode) {
    if !status.is_success() {
        return;
    }
    let theirs: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("anthropic-ratelimit-")).cloned().collect();
    for name in &theirs {
        headers.remove(name);
    }
    let threshold = standing.threshold();
    let status = if threshold.is_some() { "allowed_warning" } else { "allowed" };
    set(headers, "anthropic-ratelimit-unified-status", status);
    set(headers, "anthropic-ratelimit-unified-representative-claim", "overage");
    set(headers, "anthropic-ratelimit-unified-overage-status", status);
    // Below one: at one the client takes it for a refusal.
    set(headers, "anthropic-ratelimit-unified-overage-utilization", &part(standing.used().min(9999), 10_000));
    if let Some(percent) = threshold {
        set(headers, "anthropic-ratelimit-unified-overage-surpassed-threshold", &part(percent.into(), 100));
    }
    resets(headers, standing);
}

/// Why there is no room, and when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) why: Exceeded,
    pub(crate) now: UnixMillis,
}

impl Spent {
    /// The headers by which the client knows it: it asks no second time, and shows our sentence.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let standing = &self.why.standing;
        set(headers, "anthropic-ratelimit-unified-status", "rejected");
        set(headers, "anthropic-ratelimit-unified-overage-utilization", "1");
        set(headers, "anthropic-ratelimit-unified-overage-surpassed-threshold", "1");
        set(headers, "anthropic-ratelimit-unified-overage-disabled-reason", "org_spend_cap_reached");
        let period = standing.budget.period.adjective();
        if !period.is_empty() {
            set(headers, "anthropic-ratelimit-unified-overage-period", period);
        }
        if standing.budget.holder.is_shared() {
            set(headers, "anthropic-ratelimit-unified-overage-scope", "group_pool");
        }
        resets(headers, standing);
        if let Some(at) = standing.resets_at {
            let seconds = at.0.saturating_sub(self.now.0).max(0).saturating_add(999) / 1000;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    /// The sentence that a person reads.
    pub(crate) fn sentence(&self) -> String {
        let Exceeded { standing, worst } = &self.why;
        let whose = match standing.budget.holder {
            Holder::Organization => "Your organization's",
            Holder::Team(_) => "Your team's",
            Holder::Project(_) => "Your project's",
            Holder::User(_) => "Your",
            Holder::Key(_) => "Your key's",
        };
        let period = match standing.budget.period.adjective() {
            "" => "",
            daily => &format!(" {daily}"),
        };
        let limit = standing.budget.limit;
        let used = format!("${} of ${limit} are spent", standing.spent);
        let held = if standing.held > Nanos::ZERO {
            format!(", ${} are reserved for requests under way", standing.held)
        } else {
            String::new()
        };
        let this =
            if standing.spent < limit { format!(", and this one may cost ${worst}") } else { String::new() };
        let reset = standing.resets_at.map_or_else(String::new, |at| {
            let text = at.to_string();
            format!(" It begins anew on {} at {} UTC.", &text[..10], &text[11..16])
        });
        format!(
            "{whose}{period} budget is used up: {used}{held}{this}.{reset} Ask your administrator to raise it."
        )
    }
}

fn resets(headers: &mut HeaderMap, standing: &Standing) {
    if let Some(at) = standing.resets_at {
        let seconds = (at.0 / 1000).to_string();
        set(headers, "anthropic-ratelimit-unified-reset", &seconds);
        set(headers, "anthropic-ratelimit-unified-overage-reset", &seconds);
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// A fraction below one, or one, with as many decimals as its whole (a power of ten) has zeros.
fn part(parts: u64, whole: u64) -> String {
    let decimals = whole.ilog10() as usize;
    format!("{}.{:0decimals$}", parts / whole, parts % whole)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use gatehouse_domain::budget::{Budget, Mode, Period};
    use gatehouse_domain::id::{BudgetId, TeamId};
    use gatehouse_domain::model::ModelScope;

    use super::*;

    fn standing(spent: i64, period: Period, holder: Holder) -> Standing {
        let now = UnixMillis(1_795_390_628_123); // 2026-11-22T23:37:08Z
        let budget = Budget {
            id: BudgetId::from_bits(1),
            holder,
            models: ModelScope::all(),
            provider: None,
            period,
            limit: Nanos(10_000_000),
            mode: Mode::Hard,
            thresholds: vec![75, 95],
            created_at: now,
        };
        Standing { spent: Nanos(spent), held: Nanos(0), resets_at: period.end(now), budget: Arc::new(budget) }
    }

    pub(crate) fn spent() -> Spent {
        let why = Exceeded {
            standing: standing(9_000_000, Period::Day, Holder::Team(TeamId::from_bits(1))),
            worst: Nanos(2_000_000),
        };
        Spent { why, now: UnixMillis(1_795_390_628_123) }
    }

    fn text(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{}: {}", name.as_str(), value.to_str().unwrap())
        };
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_refusal_is_what_the_client_knows() {
        let response = Refusal::Budget(Box::new(spent())).response("req_1");
        assert_eq!(
            text(response.headers()),
            [
                "anthropic-ratelimit-unified-overage-disabled-reason: org_spend_cap_reached",
                "anthropic-ratelimit-unified-overage-period: daily",
                "anthropic-ratelimit-unified-overage-reset: 1795392000",
                "anthropic-ratelimit-unified-overage-scope: group_pool",
                "anthropic-ratelimit-unified-overage-surpassed-threshold: 1",
                "anthropic-ratelimit-unified-overage-utilization: 1",
                "anthropic-ratelimit-unified-reset: 1795392000",
                "anthropic-ratelimit-unified-status: rejected",
                "content-type: application/json",
                "request-id: req_1",
                "retry-after: 1372",
                "x-should-retry: false",
            ]
        );
        assert_eq!(
            spent().sentence(),
            "Your team's daily budget is used up: $0.009 of $0.01 are spent, and this one may cost $0.002. It begins anew \
             on 2026-11-23 at 00:00 UTC. Ask your administrator to raise it."
        );
        let mut total = spent();
        total.why.standing = standing(10_000_000, Period::Total, Holder::Organization);
        assert_eq!(
            total.sentence(),
            "Your organization's budget is used up: $0.01 of $0.01 are spent. Ask your administrator to raise it."
        );
        let response = Refusal::Budget(Box::new(total)).response("req_1");
        assert!(response.headers().get(header::RETRY_AFTER).is_none(), "it never begins anew");
    }

    #[test]
    fn a_success_warns_from_the_threshold_on_and_hides_the_providers_limits() {
        for (spent, status, used, threshold) in [
            (0, "allowed", "0.0000", None),
            (7_499_999, "allowed", "0.7499", None),
            (7_500_000, "allowed_warning", "0.7500", Some("0.75")),
            (10_000_000, "allowed_warning", "0.9999", Some("0.95")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("anthropic-ratelimit-requests-remaining", HeaderValue::from_static("1"));
            tell(&mut headers, &standing(spent, Period::Month, Holder::Organization), StatusCode::OK);
            let get = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(get("anthropic-ratelimit-requests-remaining"), None);
            assert_eq!(get("anthropic-ratelimit-unified-status"), Some(status), "{spent}");
            assert_eq!(get("anthropic-ratelimit-unified-overage-utilization"), Some(used), "{spent}");
            assert_eq!(get("anthropic-ratelimit-unified-overage-surpassed-threshold"), threshold, "{spent}");
            assert_eq!(get("anthropic-ratelimit-unified-reset"), Some("1796083200"));
        }
    }
}
