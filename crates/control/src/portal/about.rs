//! What a client may ask about itself.

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Response, header};
use gatehouse_domain::budget::{Mode, Period, Standing};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::settings::{Machine, machine};
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::fetch::Fetch;
use serde_json::{Value, json};

use super::Portal;
use super::reply::{self, Empty, Refused};
use super::request::Asked;
use super::settings::{PublicUrl, Rules};
use crate::app::App;
use crate::settings::Answer;

/// The settings of a client, from memory. 404 is the one answer that means "none": whatever goes wrong is another, since a
/// client that is told "none" drops the policy it has.
pub(super) fn settings(app: &App, asked: &Asked) -> Result<Response<Bytes>, Refused> {
    let principal = asked.principal.ok_or(Refused::Unavailable)?;
    let known = asked.header(header::IF_NONE_MATCH);
    let agent = asked.header(header::USER_AGENT);
    let now = app.now();
    let answer = app.settings.fetch(principal.user, known, agent, now).map_err(|error| {
        tracing::error!(user = %principal.user, %error, "a client cannot be told its settings");
        Refused::Unavailable
    })?;
    let named = asked.header(HeaderName::from_static(machine::HEADER)).and_then(Machine::parse);
    if let Some(machine) = named {
        app.settings.on_machine(principal.user, machine, &answer, known, agent, now);
    }
    let (mut response, served) = match answer {
        Answer::Nothing => return Err(Refused::NotFound),
        Answer::Same(served) => (reply::empty(Empty::NotModified), served),
        Answer::Settings(served) => {
            let mut response = Response::new(Bytes::copy_from_slice(served.body.as_bytes()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            (response, served)
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&served.etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}

/// The certificate that clients of an inspecting proxy are to trust (PEM, for `NODE_EXTRA_CA_CERTS`), from memory. It is no
/// secret: everybody who is inspected sees it.
pub(super) fn inspection_authority(app: &App) -> Result<Response<Bytes>, Refused> {
    let authority = (app.house.inspection.current)().ok_or(Refused::NotFound)?;
    let mut response = Response::new(Bytes::from(authority.certificate));
    let pem = HeaderValue::from_static("application/x-pem-file");
    response.headers_mut().insert(header::CONTENT_TYPE, pem);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// The desktop client's configuration: it finds us, and signs in here itself.
pub(super) fn bootstrap(rules: &Rules, url: Option<&PublicUrl>, now: UnixMillis) -> Response<Bytes> {
    let Some(url) = url else { return Refused::NotFound.response() };
    let models: Vec<_> = rules.models.iter().map(|name| json!({"name": name})).collect();
    reply::json(&json!({
        "inferenceProvider": "gateway",
        "inferenceGatewayBaseUrl": url.as_str(),
        "inferenceCredentialKind": "interactive",
        "inferenceModels": models,
        "expiresAt": now.plus_millis(rules.access_ms).0 / 1000,
    }))
}

impl<F: Fetch> Portal<F> {
    /// What the person has used this month, this week and today (UTC), in cents, and how the hard budgets stand that
    /// apply to them. Where one is of the same period, its limit and what was spent of it are told: it is what decides.
    pub(super) async fn usage(&self, asked: &Asked) -> Result<Response<Bytes>, Refused> {
        let principal = asked.principal.ok_or(Refused::Unavailable)?;
        // What has just ended is counted; a ledger that is behind is no reason to say nothing.
        let _ = (self.app.house.flush_ledger)().await;
        let now = self.app.now();
        let spent = async |since: UnixMillis| {
            let cost = self.app.store.spent(self.app.org, principal.user, since).await?;
            Ok::<_, gatehouse_store::StoreError>(cents(cost))
        };
        let (today, this_week, this_month) =
            (spent(now.day()).await?, spent(now.week()).await?, spent(now.month()).await?);
        let mut hard = (self.app.house.budgets_of)(&principal);
        // A budget of some models only is no answer to how much is left.
        hard.retain(|s| {
            s.budget.mode == Mode::Hard && s.budget.models.patterns().is_none() && s.budget.provider.is_none()
        });
        let of = |period: Period, used: i64| {
            let fullest = hard.iter().filter(|s| s.budget.period == period).max_by_key(|s| s.used());
            match fullest {
                None => json!({"limit": null, "used_credits": used, "utilization": null}),
                Some(s) => json!({
                    "limit": s.limit.0 / NANOS_PER_CENT,
                    "used_credits": cents(s.spent),
                    "utilization": percent(s),
                }),
            }
        };
        let month = of(Period::Month, this_month);
        Ok(reply::json(&json!({
            "extra_usage": {
                "is_enabled": true,
                "monthly_limit": month["limit"],
                "used_credits": month["used_credits"],
                "utilization": month["utilization"],
                "currency": "USD",
                "daily": of(Period::Day, today),
                "weekly": of(Period::Week, this_week),
            },
            "limits": limits(&hard),
        })))
    }
}

/// Of each period with an end, the hard budget that is used up most. The reset is the second that the headers tell.
fn limits(hard: &[Standing]) -> Vec<Value> {
    let of = |period: Period| {
        let fullest = hard.iter().filter(|s| s.budget.period == period).max_by_key(|s| s.used())?;
        let resets_at = UnixMillis(fullest.resets_at?.0 / 1000 * 1000).to_string();
        let severity = match fullest.used() {
            used if used >= 9_500 => "critical",
            _ if fullest.threshold().is_some() => "warning",
            _ => "normal",
        };
        Some(json!({
            "kind": "spend",
            "group": period.adjective(),
            "percent": percent(fullest),
            "resets_at": resets_at,
            "severity": severity,
            "is_active": true,
        }))
    };
    Period::ALL.into_iter().filter_map(of).collect()
}

/// What is used, in whole percent, at most 100.
fn percent(standing: &Standing) -> u64 {
    (standing.used() / 100).min(100)
}

const NANOS_PER_CENT: i64 = 10_000_000;

/// Cents, rounded up: what is spent is not told smaller than it is.
fn cents(cost: Nanos) -> i64 {
    let whole = cost.0.max(0);
    whole / NANOS_PER_CENT + i64::from(whole % NANOS_PER_CENT != 0)
}
