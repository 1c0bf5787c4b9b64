//! `/api/v1/alerts`.

pub mod view;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::alert::{Rule, rule_file};
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::alert::{AlertEvent, AlertEventFilter, DeliveryFilter, DeliveryState};
use serde::Deserialize;
use utoipa::IntoParams;

use self::view::{
    AlertEventView, AlertReceiverView, AlertRuleFile, AlertRuleView, AlertTestView, AlertView, DeliveryView,
    NewSilenceBody, SilenceView, alert_view,
};
use super::auth::{Admin, ReadConfig, ReadUsage, WriteConfig};
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::act::{ActError, read, shortened};
use crate::alert::{self, NewSilence, Shown};
use crate::app::App;
use crate::period::back_from;

/// In which language.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LanguageQuery {
    /// `en`, `zh-CN` or `zh-TW`; `en` if not given.
    lang: Option<String>,
}

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Of this rule.
    rule: Option<String>,
    /// From when on: a UTC time, or a span back from now.
    since: Option<String>,
    /// `en`, `zh-CN` or `zh-TW`; `en` if not given.
    lang: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// Which silences are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SilencesQuery {
    /// Those that have ended too.
    #[serde(default)]
    ended: bool,
}

/// Which messages are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// To this receiver.
    receiver: Option<String>,
    /// `waiting`, `sending`, `sent`, `failed` or `dropped`.
    state: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

fn language(given: Option<&str>) -> Result<Language, ActError> {
    match given {
        None | Some("en") => Ok(Language::English),
        Some("zh-CN") => Ok(Language::SimplifiedChinese),
        Some("zh-TW") => Ok(Language::TraditionalChinese),
        Some(other) => {
            let told = format!("`{}` is no language here; expected en, zh-CN or zh-TW", shortened(other));
            Err(ActError::field("lang", told))
        }
    }
}

/// Lists the alerts that are pending or fire, the worst first.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", operation_id = "alert_list", params(LanguageQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<AlertView>))
)]
pub async fn list(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<LanguageQuery>,
) -> Result<Json<Items<AlertView>>, ApiError> {
    let language = language(query.lang.as_deref())?;
    let plan = (app.house.alerts.plan)();
    let view = |Shown { alert, held_back }| alert_view(&plan.rules, language, alert, held_back);
    Ok(Json(Items::all(alert::list(&app).await?.into_iter().map(view).collect())))
}

/// Lists what happened to alerts, the newest first.
#[utoipa::path(
    get, path = "/api/v1/alerts/history", tag = "alerts", operation_id = "alert_history", params(EventsQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<AlertEventView>))
)]
pub async fn history(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<EventsQuery>,
) -> Result<Json<Items<AlertEventView>>, ApiError> {
    let language = language(query.lang.as_deref())?;
    let since = query.since.as_deref().map(|text| back_from(app.now(), text)).transpose();
    let filter = AlertEventFilter { rule: query.rule, since: read("since", since)? };
    let events = alert::history(&app, &filter, &page(query.after, query.limit)).await?;
    let plan = (app.house.alerts.plan)();
    let view = |event: AlertEvent| AlertEventView {
        id: event.id.to_string(),
        kind: event.kind,
        at: event.at.to_string(),
        alert: alert_view(&plan.rules, language, event.alert, None),
    };
    Ok(Json(Items::of(events, view)))
}

/// Lists the rules in force.
#[utoipa::path(
    get, path = "/api/v1/alerts/rules", tag = "alerts", operation_id = "alert_rules", params(LanguageQuery),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<AlertRuleView>))
)]
pub async fn rules(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<LanguageQuery>,
) -> Result<Json<Items<AlertRuleView>>, ApiError> {
    let language = language(query.lang.as_deref())?;
    let plan = (app.house.alerts.plan)();
    let view = |rule: &Rule| AlertRuleView {
        name: rule.name.clone(),
        signal: rule.signal.clone(),
        compare: rule.compare.sign(),
        threshold: rule.threshold,
        for_seconds: rule.hold_ms / 1000,
        keep_firing_seconds: rule.keep_ms / 1000,
        severity: rule.severity.as_str(),
        only: rule.only.iter().map(ToString::to_string).collect(),
        summary: rule.summary.of(language).to_owned(),
        action: rule.action.of(language).to_owned(),
    };
    Ok(Json(Items::all(plan.rules.iter().map(view).collect())))
}

/// Gives the rules in force as a rule file of Prometheus.
#[utoipa::path(
    get, path = "/api/v1/alerts/rule-file", tag = "alerts", operation_id = "alert_rule_file", params(LanguageQuery),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = AlertRuleFile))
)]
pub async fn file(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<LanguageQuery>,
) -> Result<Json<AlertRuleFile>, ApiError> {
    let language = language(query.lang.as_deref())?;
    let text = rule_file(&(app.house.alerts.plan)().rules, language);
    Ok(Json(AlertRuleFile { format: "prometheus", text }))
}

/// Lists silences, the newest first.
#[utoipa::path(
    get, path = "/api/v1/alerts/silences", tag = "alerts", operation_id = "alert_silences", params(SilencesQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<SilenceView>))
)]
pub async fn silences(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<SilencesQuery>,
) -> Result<Json<Items<SilenceView>>, ApiError> {
    let after = if query.ended { UnixMillis(0) } else { app.now() };
    let silences = alert::silences(&app, after).await?;
    Ok(Json(Items::all(silences.into_iter().map(SilenceView::from).collect())))
}

/// Makes a silence: nobody is told of the alerts that fulfill its conditions until it ends.
#[utoipa::path(
    post, path = "/api/v1/alerts/silences", tag = "alerts", operation_id = "alert_silence", request_body = NewSilenceBody,
    security(("admin_token" = ["write_config"])),
    responses((status = 201, body = SilenceView))
)]
pub async fn silence(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Body(new): Body<NewSilenceBody>,
) -> Result<(StatusCode, Json<SilenceView>), ApiError> {
    let NewSilenceBody { matchers, reason, starts, ends } = new;
    let new = NewSilence { matchers, reason, starts, ends };
    let silence = alert::silence(&app, &admin.caller, &new).await?;
    Ok((StatusCode::CREATED, Json(silence.into())))
}

/// Ends a silence now.
#[utoipa::path(
    delete, path = "/api/v1/alerts/silences/{silence}", tag = "alerts", operation_id = "alert_unsilence",
    params(("silence" = String, Path, description = "Id")),
    security(("admin_token" = ["write_config"])),
    responses((status = 204, description = "It has ended"))
)]
pub async fn unsilence(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<StatusCode, ApiError> {
    alert::end_silence(&app, &admin.caller, &given).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the receivers, and how they fare.
#[utoipa::path(
    get, path = "/api/v1/alerts/receivers", tag = "alerts", operation_id = "alert_receivers",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<AlertReceiverView>))
)]
pub async fn receivers(
    _: Admin<ReadConfig>,
    State(app): State<App>,
) -> Result<Json<Items<AlertReceiverView>>, ApiError> {
    let receivers = alert::receivers(&app).await?;
    Ok(Json(Items::all(receivers.into_iter().map(AlertReceiverView::from).collect())))
}

/// Sends a test to a receiver.
#[utoipa::path(
    post, path = "/api/v1/alerts/receivers/{receiver}/test", tag = "alerts", operation_id = "alert_test",
    params(("receiver" = String, Path, description = "Its name")),
    security(("admin_token" = ["write_config"])),
    responses((status = 200, body = AlertTestView))
)]
pub async fn test(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<AlertTestView>, ApiError> {
    let tested = alert::test(&app, &admin.caller, &given).await?;
    let (id, taken) = (tested.id.to_string(), tested.error.is_none());
    Ok(Json(AlertTestView { id, taken, error: tested.error }))
}

/// Lists messages to receivers, the newest first.
#[utoipa::path(
    get, path = "/api/v1/alerts/deliveries", tag = "alerts", operation_id = "alert_deliveries", params(DeliveriesQuery),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<DeliveryView>))
)]
pub async fn deliveries(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<Items<DeliveryView>>, ApiError> {
    let state = query.state.as_deref().map(|text| {
        let found = DeliveryState::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| {
            let told = format!(
                "`{}` is no state; expected waiting, sending, sent, failed or dropped",
                shortened(text)
            );
            ActError::field("state", told)
        })
    });
    let filter =
        DeliveryFilter { receiver: query.receiver, state: state.transpose()?, ..DeliveryFilter::default() };
    let listed = alert::deliveries(&app, &filter, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(listed, DeliveryView::from)))
}
