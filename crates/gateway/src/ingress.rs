//! Clients that speak as to a cloud (Bedrock, Vertex AI, Foundry): their requests on the way in, our replies on the way out.
//! In between they go through the stages as all others do.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use gatehouse_domain::exchange::Kind;
use gatehouse_domain::price::{KnownModel, PriceTable};
use gatehouse_domain::time::UnixMillis;
use gatehouse_providers::cloud::{self, Dialect, Form, Frames, Purpose, Table, Way, way};
use gatehouse_providers::json::RequestScan;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, Uri, header};
use serde_json::{Value, json};

use crate::inspect::Received;
use crate::refusal::Refusal;
use crate::reply::ReplyBody;
use crate::settings::{Credential, Face, Provider, Settings};

/// What clouds call models, where no cloud is configured.
static BUILT_IN: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::built_in()));
/// The geographies in the names of Bedrock's inference profiles that we list.
const PROFILES: &[&str] = &["us", "eu", "global"];

/// What a path in a cloud's form is for, and the method that it takes.
pub(crate) fn kind(path: &str) -> Option<(Kind, &'static str)> {
    way(path).map(|way| match way.purpose {
        Purpose::Message => (Kind::Messages, "POST"),
        Purpose::Count => (Kind::CountTokens, "POST"),
        Purpose::Models => (Kind::Models, "GET"),
    })
}

/// The form of what is answered to a path.
pub(crate) fn form(path: &str) -> Form {
    way(path).map(|way| way.form).unwrap_or_default()
}

/// Notes in what a request says by its path in a cloud's form; what comes in the API's own is left as it is.
pub(crate) fn enter(settings: &Settings, head: &mut Parts, mut body: Received) -> Result<Received, Refusal> {
    let Some(Way { form, purpose, model, stream }) = way(head.uri.path()) else { return Ok(body) };
    body.form = form;
    let is_count = purpose == Purpose::Count;
    if form == Form::Messages {
        let path = if is_count { "/v1/messages/count_tokens" } else { "/v1/messages" };
        let target = head.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        head.uri = PathAndQuery::try_from(target).map_err(|_| Refusal::HeadTooLarge)?.into();
        return Ok(body);
    }
    if form == Form::Bedrock && is_count {
        let inner = cloud::unwrapped_count(&body.pieces);
        let inner = inner.ok_or_else(|| Refusal::Unsupported("input".to_owned()))?;
        let mut scan = RequestScan::new();
        scan.feed(&inner).map_err(|why| Refusal::BadBody(why.into()))?;
        body.facts = scan.finish().map_err(Refusal::BadBody)?;
        body.bytes = inner.len() as u64;
        body.pieces = vec![inner];
    }
    if let Some(stream) = stream {
        body.facts.stream = stream;
    }
    // Of a count in Vertex AI's form the body names the model.
    let named = if form == Form::Vertex && is_count { body.facts.model.take() } else { model };
    if let (Some(named), Some(kind)) = (named, form.kind()) {
        body.facts.model = Some(table(settings).plain_name(kind, &named));
        body.named = Some(named);
    }
    Ok(body)
}

/// The table that tells what clouds call models: that of the first cloud there is.
fn table(settings: &Settings) -> &Arc<Table> {
    let first = settings.providers.iter().find_map(|provider| match &provider.face {
        Face::Cloud(dialect, _) => Some(&dialect.table),
        Face::Plain(..) | Face::Caller(_) => None,
    });
    first.unwrap_or(&BUILT_IN)
}

/// How Anthropic's API is spoken to for a request that came in a cloud's form.
pub(crate) fn as_dialect(
    provider: &Provider,
    name: &http::HeaderName,
    value: &HeaderValue,
) -> (Dialect, Credential) {
    let dialect = Dialect {
        kind: cloud::Kind::Anthropic,
        prefix: provider.prefix.clone(),
        place: None,
        profile: String::new(),
        models: std::collections::BTreeMap::new(),
        headers: Vec::new(),
        counts: true,
        table: Arc::clone(&BUILT_IN),
    };
    (dialect, Credential::Header(name.clone(), value.clone()))
}

/// Gives a reply the form that its client asked in: event-stream frames for Bedrock's, failures in the cloud's words.
pub(crate) fn dress(form: Form, mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    if form == Form::Messages {
        return response;
    }
    if !response.status().is_success() {
        let status = response.status().as_u16();
        let Some(body) = response.body_mut().whole_mut() else { return response };
        let Some(told) = cloud::failure(form, status, body) else { return response };
        response.body_mut().replace(told.body);
        if let Ok(status) = told.status.try_into() {
            *response.status_mut() = status;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(name) = told.error_type {
            headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
        }
    } else if form == Form::Bedrock {
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            response.body_mut().frame(Frames::default());
            let headers = response.headers_mut();
            headers
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.amazon.eventstream"));
            headers.insert("x-amzn-bedrock-content-type", HeaderValue::from_static("application/json"));
        } else if let Some(count) =
            response.body_mut().whole_mut().and_then(|body| cloud::bedrock_count(body))
        {
            response.body_mut().replace(count);
        }
    }
    if form == Form::Bedrock {
        name_request(response.headers_mut());
    }
    response
}

/// Amazon's header for what is `request-id` elsewhere.
fn name_request(headers: &mut HeaderMap) {
    if let Some(id) = headers.get("request-id").cloned() {
        headers.insert("x-amzn-requestid", id);
    }
}

/// The answer to a request for Bedrock's inference profiles: our models by the names that they have there. None for other
/// paths. Account and region in the resource names are placeholders.
pub(crate) fn profiles(
    settings: &Settings,
    allows: &dyn Fn(&str) -> bool,
    uri: &Uri,
    now: UnixMillis,
) -> Option<Result<Response<Bytes>, Refusal>> {
    let rest = uri.path().strip_prefix("/inference-profiles")?;
    let prices: &PriceTable = &settings.prices;
    let known: Vec<&KnownModel> = prices.models(now).filter(|model| allows(&model.id)).collect();
    let table = table(settings);
    let summaries = known.iter().flat_map(|model| {
        let own = table.model(cloud::Kind::Bedrock, &model.id);
        PROFILES.iter().map(move |place| profile(model, place, &own))
    });
    let value = match rest.strip_prefix('/') {
        None => json!({"inferenceProfileSummaries": summaries.collect::<Vec<_>>()}),
        Some(wanted) => {
            let wanted = wanted.replace("%3A", ":").replace("%3a", ":");
            match summaries.into_iter().find(|one| one["inferenceProfileId"] == *wanted) {
                Some(one) => one,
                None => return Some(Err(Refusal::UnknownModel(wanted.chars().take(80).collect()))),
            }
        }
    };
    let mut response = Response::new(Bytes::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(Ok(response))
}

fn profile(model: &KnownModel, place: &str, own: &str) -> Value {
    let at = model.created_at.unwrap_or(UnixMillis(0)).to_string();
    json!({
        "inferenceProfileId": format!("{place}.{own}"),
        "inferenceProfileArn": format!("arn:aws:bedrock:us-east-1:000000000000:inference-profile/{place}.{own}"),
        "inferenceProfileName": format!("{} {}", place.to_ascii_uppercase(), model.display_name),
        "description": model.display_name,
        "models": [{"modelArn": format!("arn:aws:bedrock:us-east-1::foundation-model/{own}")}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "createdAt": at,
        "updatedAt": at,
    })
}
