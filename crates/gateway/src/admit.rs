//! Admission: whether the budgets have room for a request, and what the client is told of them.
//!
//! What is held is the most that the request may cost: its body's bytes as input of the dearest kind, and as much output
//! as it allows. Counting tokens costs nothing and is never refused. The client's own probe, a message of one token, is a
//! message like any other: it costs next to nothing, and is how the client learns that a budget is used up.

use std::pin::Pin;
use std::rc::Rc;

use gatehouse_domain::budget::{Admission, Cause, Exceeded, Holder, Standing};
use gatehouse_domain::exchange::{Kind, estimate_tokens};
use gatehouse_domain::limit::{Limited, Measure};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::price::Worst;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::{Geo, Speed};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::counters::Reserved;
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

/// Lets a request through if all limits and budgets have room for it.
///
/// Where other nodes have to be asked, that waits in a box of its own: all other requests do not carry it.
pub(crate) fn admit(worker: &Rc<Worker>, mut routed: Routed) -> Gate {
    if routed.granted.open.record().kind != Kind::Messages {
        return Gate::Decided(Ok(Admitted { routed, standing: None }));
    }
    if !worker.shared.limits.is_idle()
        && let Err(limited) = routed.granted.open.take()
    {
        let beyond = Box::new(Beyond { limited: *limited, now: Worker::now() });
        return Gate::Decided(Err(Refused::new(routed.granted.open, Refusal::Limited(beyond), None)));
    }
    if worker.shared.counters.is_idle() {
        return Gate::Decided(Ok(Admitted { routed, standing: None }));
    }
    reserve(worker, routed)
}

fn reserve(worker: &Rc<Worker>, mut routed: Routed) -> Gate {
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
        Reserved::Now(decided) => Gate::Decided(decide(routed, decided)),
        Reserved::Later(waiting) => Gate::Waits(Box::pin(async move { decide(routed, waiting.await) })),
    }
}

fn decide(mut routed: Routed, decided: Result<Admission, Box<Exceeded>>) -> Result<Admitted, Box<Refused>> {
    match decided {
        Ok(admission) => {
            let standing = routed.granted.open.hold(admission);
            Ok(Admitted { routed, standing })
        }
        Err(why) => Err(Refused::new(routed.granted.open, refusal(why), None)),
    }
}

/// What the client is told when a budget lets nothing through.
#[expect(clippy::boxed_local, reason = "it comes in a box")]
pub(crate) fn refusal(why: Box<Exceeded>) -> Refusal {
    match why.cause {
        Cause::Spent => Refusal::Budget(Box::new(Spent { why: *why, now: Worker::now() })),
        Cause::Away => Refusal::BudgetUnknown,
    }
}

/// Whether a request is let through, or what is waited for to know.
#[expect(clippy::large_enum_variant, reason = "what most requests get must not cost an allocation")]
pub(crate) enum Gate {
    /// It is known.
    Decided(Result<Admitted, Box<Refused>>),
    /// Other nodes are asked.
    Waits(Pin<Box<dyn Future<Output = Result<Admitted, Box<Refused>>>>>),
}

impl Gate {
    /// Waits where that is needed.
    pub(crate) async fn pass(self) -> Result<Admitted, Box<Refused>> {
        match self {
            Self::Decided(decided) => decided,
            Self::Waits(waiting) => waiting.await,
        }
    }
}

/// Tells the client that whether it may spend cannot be found out; it asks no second time.
pub(crate) fn tell_unknown(headers: &mut HeaderMap) {
    set(headers, "anthropic-ratelimit-unified-overage-disabled-reason", "fetch_error");
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
        let Exceeded { standing, worst, .. } = &self.why;
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
        let limit = standing.limit;
        let grace = match Nanos(standing.ceiling.0.saturating_sub(limit.0)) {
            Nanos::ZERO => String::new(),
            grace => format!(" and ${grace} of grace"),
        };
        let used = format!("${} of ${limit}{grace} are spent", standing.spent);
        let held = if standing.held > Nanos::ZERO {
            format!(", ${} are reserved for requests under way", standing.held)
        } else {
            String::new()
        };
        let this = if standing.spent < standing.ceiling {
            format!(", and this one may cost ${worst}")
        } else {
            String::new()
        };
        let reset = standing
            .resets_at
            .map_or_else(String::new, |at| format!(" It begins anew on {}.", standing.budget.zone.told(at)));
        format!(
            "{whose}{period} budget is used up: {used}{held}{this}.{reset} Ask your administrator to raise it."
        )
    }
}

/// Which limit has no room, and when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beyond {
    pub(crate) limited: Limited,
    pub(crate) now: UnixMillis,
}

impl Beyond {
    /// In whole seconds, when there is room.
    fn seconds(&self) -> u64 {
        self.limited.wait.div_ceil(1000).max(1)
    }

    /// The headers by which the client knows when to come back; after more than a minute it gives up at once.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(self.seconds()));
        let level = &self.limited.level;
        let [limit, remaining, reset] = match level.limit.measure {
            Measure::Requests => [
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
            ],
            Measure::InputTokens => [
                "anthropic-ratelimit-input-tokens-limit",
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-input-tokens-reset",
            ],
            Measure::OutputTokens => [
                "anthropic-ratelimit-output-tokens-limit",
                "anthropic-ratelimit-output-tokens-remaining",
                "anthropic-ratelimit-output-tokens-reset",
            ],
            // The provider has no such header.
            Measure::Concurrency => return,
        };
        set(headers, limit, &level.limit.amount.to_string());
        set(headers, remaining, &level.remaining.to_string());
        let whole = self.now.plus_millis(i64::try_from(level.whole_in).unwrap_or(i64::MAX));
        set(headers, reset, &whole.to_string());
    }

    /// The sentence that a person reads.
    pub(crate) fn sentence(&self) -> String {
        let limit = &self.limited.level.limit;
        let whose = match limit.holder {
            Holder::Organization => "Your organization has",
            Holder::Team(_) => "Your team has",
            Holder::Project(_) => "Your project has",
            Holder::User(_) => "You have",
            Holder::Key(_) => "Your key has",
        };
        format!(
            "{whose} reached the limit of {} {}. Try again in {} s.",
            limit.amount,
            limit.measure.words(),
            self.seconds()
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

    use gatehouse_domain::budget::{Budget, Mode, Period, WhenAway};
    use gatehouse_domain::id::{BudgetId, LimitId, TeamId, UserId};
    use gatehouse_domain::limit::{Level, Limit};
    use gatehouse_domain::model::ModelScope;
    use gatehouse_domain::zone::Zone;

    use super::*;

    fn standing(spent: i64, period: Period, holder: Holder) -> Standing {
        let now = UnixMillis(1_795_390_628_123); // 2026-11-22T23:37:08Z
        let budget = Budget {
            id: BudgetId::from_bits(1),
            holder,
            models: ModelScope::all(),
            provider: None,
            period,
            zone: Zone::UTC,
            limit: Nanos(10_000_000),
            raised: Vec::new(),
            grace: 0,
            mode: Mode::Hard,
            thresholds: vec![75, 95],
            when_away: WhenAway::Closed,
            created_at: now,
        };
        Standing {
            spent: Nanos(spent),
            held: Nanos(0),
            limit: budget.limit,
            ceiling: budget.ceiling_at(now),
            resets_at: budget.bounds(now).1,
            budget: Arc::new(budget),
        }
    }

    pub(crate) fn spent() -> Spent {
        let why = Exceeded {
            standing: standing(9_000_000, Period::Day, Holder::Team(TeamId::from_bits(1))),
            worst: Nanos(2_000_000),
            cause: Cause::Spent,
        };
        Spent { why, now: UnixMillis(1_795_390_628_123) }
    }

    pub(crate) fn beyond() -> Beyond {
        let limit = Limit {
            id: LimitId::from_bits(1),
            holder: Holder::User(UserId::from_bits(1)),
            models: ModelScope::all(),
            measure: Measure::InputTokens,
            amount: 6_000,
            created_at: UnixMillis(0),
        };
        let level = Level { limit: Arc::new(limit), remaining: 12, whole_in: 59_880 };
        Beyond { limited: Limited { level, wait: 4_321 }, now: UnixMillis(1_795_390_628_123) }
    }

    #[test]
    fn a_limit_says_when_to_come_back() {
        let response = Refusal::Limited(Box::new(beyond())).response("req_1");
        assert_eq!(
            text(response.headers()),
            [
                "anthropic-ratelimit-input-tokens-limit: 6000",
                "anthropic-ratelimit-input-tokens-remaining: 12",
                "anthropic-ratelimit-input-tokens-reset: 2026-11-22T23:38:08.003Z",
                "content-type: application/json",
                "request-id: req_1",
                "retry-after: 5",
            ]
        );
        assert_eq!(
            beyond().sentence(),
            "You have reached the limit of 6000 input tokens per minute. Try again in 5 s."
        );
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
