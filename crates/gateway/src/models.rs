//! `GET /v1/models` and `GET /v1/models/{id}`, in the shape of Anthropic's Models API, from our own price table and
//! cut down to what the key may use.

use bytes::Bytes;
use gatehouse_domain::price::{KnownModel, PriceTable};
use gatehouse_domain::time::UnixMillis;
use http::{HeaderValue, Response, Uri, header};
use serde_json::{Value, json};

use crate::refusal::Refusal;

/// Models on one page unless the client says otherwise, and at most.
const PAGE: (usize, usize) = (20, 1000);

/// The answer to a request for models.
pub(crate) fn answer(
    prices: &PriceTable,
    allows: &dyn Fn(&str) -> bool,
    uri: &Uri,
    now: UnixMillis,
) -> Result<Response<Bytes>, Refusal> {
    let known: Vec<&KnownModel> = prices.models(now).filter(|model| allows(&model.id)).collect();
    let wanted = uri.path().strip_prefix("/v1/models/").filter(|id| !id.is_empty());
    let value = match wanted {
        Some(id) => known
            .iter()
            .find(|model| model.id == id)
            .map(|model| shown(model))
            .ok_or_else(|| Refusal::UnknownModel(id.chars().take(80).collect()))?,
        None => page(&known, uri.query().unwrap_or_default()),
    };
    let mut response = Response::new(Bytes::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn page(known: &[&KnownModel], query: &str) -> Value {
    let of = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    let at = |id: &str| known.iter().position(|model| model.id == id);
    let limit = of("limit").and_then(|n| n.parse().ok()).unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let start = of("after_id").and_then(at).map_or(0, |n| n + 1);
    let end = of("before_id").and_then(at).unwrap_or(known.len());
    let between = known.get(start..end).unwrap_or_default();
    let shown_now = &between[..between.len().min(limit)];
    json!({
        "data": shown_now.iter().map(|model| shown(model)).collect::<Vec<_>>(),
        "has_more": shown_now.len() < between.len(),
        "first_id": shown_now.first().map(|model| &model.id),
        "last_id": shown_now.last().map(|model| &model.id),
    })
}

fn shown(model: &KnownModel) -> Value {
    json!({
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": model.created_at.map_or(UnixMillis(0), |at| at).to_string(),
    })
}
