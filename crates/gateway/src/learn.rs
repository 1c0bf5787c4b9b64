//! What a provider says that it does not know of a request is left out, and the request is sent once more; from then on it is
//! left out at once, for a while. See [`gatehouse_providers::unknown`].

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gatehouse_providers::cloud::Table;
use gatehouse_providers::unknown::{Unknown, Without, named};
use http::{HeaderMap, HeaderValue, Response};
use metrics::counter;

use crate::held::Held;
use crate::settings::{Face, Provider};
use crate::worker::Worker;

/// Most that is remembered of one provider; what was needed longest ago is forgotten for more.
const MOST: usize = 64;
/// How long the rest of a refusal is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The header that names betas.
const BETA: &str = "anthropic-beta";
/// Goes by where a provider has no table of its own.
static BUILT_IN: LazyLock<Table> = LazyLock::new(Table::built_in);

/// What a provider has said that it does not know, by model. Forgotten with the provider, when its configuration changes.
#[derive(Default)]
pub struct Learned {
    is_any: AtomicBool,
    entries: Mutex<Vec<Entry>>,
}

/// Something that a provider does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The model that was asked for.
    pub model: String,
    /// What it does not know.
    pub what: Unknown,
    /// When it is forgotten, so that it is tried anew.
    pub until: Instant,
    /// When a request was last sent without it.
    used: Instant,
    /// Requests that were sent without it.
    pub requests: u64,
}

impl Learned {
    /// What is remembered now.
    pub fn list(&self) -> Vec<Entry> {
        let now = Instant::now();
        self.entries().iter().filter(|entry| now < entry.until).cloned().collect()
    }

    /// How much that is.
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a model's requests are to go without.
    fn of(&self, model: &str, now: Instant) -> Vec<Unknown> {
        let mut entries = self.entries();
        entries.retain(|entry| now < entry.until);
        self.is_any.store(!entries.is_empty(), Ordering::Relaxed);
        entries.iter().filter(|entry| entry.model == model).map(|entry| entry.what.clone()).collect()
    }

    /// Notes that a request went without these.
    fn used(&self, model: &str, fields: &[String], now: Instant) {
        for entry in &mut *self.entries() {
            if entry.model == model && fields.iter().any(|field| field == entry.what.name()) {
                (entry.used, entry.requests) = (now, entry.requests + 1);
            }
        }
    }

    /// Remembers; says whether it was not known before.
    fn learn(&self, model: &str, what: Unknown, keep: Duration, now: Instant) -> bool {
        let mut entries = self.entries();
        entries.retain(|entry| now < entry.until);
        if entries.iter().any(|entry| entry.model == model && entry.what == what) {
            return false;
        }
        if entries.len() >= MOST
            && let Some(oldest) = (0..entries.len()).min_by_key(|at| entries[*at].used)
        {
            entries.swap_remove(oldest);
        }
        entries.push(Entry { model: model.to_owned(), what, until: now + keep, used: now, requests: 0 });
        self.is_any.store(true, Ordering::Relaxed);
        true
    }
}

/// Leaves out of a request what its provider does not know. Nothing if there is nothing to leave out.
pub(crate) fn leave_out(provider: &Provider, model: &str, pieces: &[Bytes]) -> Option<Without> {
    // Nearly always there is nothing.
    if !provider.learned.is_any.load(Ordering::Relaxed) {
        return None;
    }
    let unknown = provider.learned.of(model, Instant::now());
    if unknown.is_empty() {
        return None;
    }
    Some(table(provider).without(pieces.to_vec(), &unknown))
}

/// Notes what a request goes without.
pub(crate) fn noted(provider: &Provider, model: &str, without: &Without, headers: &HeaderMap) -> Vec<String> {
    let out = names(without, headers);
    if !out.is_empty() {
        provider.learned.used(model, &out, Instant::now());
        counter!("gatehouse_provider_left_out_total", "provider" => provider.name.to_string()).increment(1);
    }
    out
}

/// The names of the members that were left out, and those of the betas that it has and that go with them.
fn names(without: &Without, headers: &HeaderMap) -> Vec<String> {
    let mut out = without.fields.clone();
    let sent =
        headers.get_all(BETA).iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    for beta in sent.map(str::trim) {
        if gatehouse_providers::cloud::is_any(&without.betas, beta) && !out.iter().any(|name| name == beta) {
            out.push(beta.to_owned());
        }
    }
    out
}

/// Takes betas out of a head. What is left stays as it was written.
pub(crate) fn without_betas(headers: &mut HeaderMap, unwanted: &[String]) {
    if unwanted.is_empty() {
        return;
    }
    let lists: Vec<HeaderValue> = headers.get_all(BETA).iter().cloned().collect();
    headers.remove(BETA);
    for list in lists {
        let Ok(text) = list.to_str() else {
            headers.append(BETA, list);
            continue;
        };
        let is_kept = |beta: &&str| !gatehouse_providers::cloud::is_any(unwanted, beta.trim());
        let kept: Vec<&str> = text.split(',').filter(is_kept).collect();
        if let Ok(value) = HeaderValue::from_str(kept.join(",").trim())
            && !value.is_empty()
        {
            headers.append(BETA, value);
        }
    }
}

/// Whether the bytes of a request are kept until its reply begins, so that it can be sent once more: not where that would
/// take room from others.
pub(crate) fn is_kept(worker: &Worker, bytes: u64) -> bool {
    let settings = worker.shared.settings.load();
    let limit = settings.limits.body_budget / 2;
    !settings.routing.learn_for.is_zero() && worker.shared.budget.held().saturating_add(bytes) <= limit
}

/// Looks at a refusal. If it names what the provider does not know, that is remembered, and the answer is whether the request
/// would be another one without it. What came of the refusal is kept, so that it can be handed on.
pub(crate) async fn is_worth_another(
    worker: &Rc<Worker>,
    held: &mut Held,
    head: &Response<()>,
    provider: &Provider,
    (headers, pieces): (&HeaderMap, &[Bytes]),
) -> bool {
    let keep = worker.shared.settings.load().routing.learn_for;
    if !matches!(head.status().as_u16(), 400 | 422) || keep.is_zero() {
        return false;
    }
    let flow = held.flow();
    // What has come by then is looked at.
    let _ = tokio::time::timeout(PATIENCE, std::future::poll_fn(|cx| flow.poll_refusal(cx))).await;
    let unknown = named(flow.kept());
    if unknown.is_empty() {
        return false;
    }
    let record = flow.open.record();
    let model = record.model.as_deref().unwrap_or_default();
    let (table, mut is_another) = (table(provider), false);
    for what in unknown.into_iter().filter(|what| table.may_leave_out(what)) {
        // What the request does not have, or went without already, helps nobody to remember.
        let would_go = names(&table.without(pieces.to_vec(), std::slice::from_ref(&what)), headers);
        if would_go.iter().all(|name| record.left_out.contains(name)) {
            continue;
        }
        is_another = true;
        let (kind, name) = (what.kind(), what.name().to_owned());
        if provider.learned.learn(model, what, keep, Instant::now()) {
            let provider = &provider.name;
            counter!("gatehouse_provider_learned_total", "provider" => provider.to_string()).increment(1);
            tracing::warn!(%provider, model, kind, name, "the provider does not know this; requests go without it for a while");
        }
    }
    is_another
}

/// The table that a provider goes by.
fn table(provider: &Provider) -> &Table {
    match &provider.face {
        Face::Cloud(dialect, _) => &dialect.table,
        Face::Plain(..) | Face::Caller(_) => &BUILT_IN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Unknown {
        Unknown::Field(name.to_owned())
    }

    #[test]
    fn what_is_learned_is_one_models_bounded_and_forgotten() {
        let (learned, now, hour) = (Learned::default(), Instant::now(), Duration::from_hours(1));
        assert!(learned.learn("a", field("x"), hour, now) && !learned.learn("a", field("x"), hour, now));
        assert_eq!((learned.of("a", now), learned.of("b", now)), (vec![field("x")], Vec::new()));
        learned.used("a", &["x".to_owned()], now + Duration::from_mins(1));
        assert_eq!(learned.list()[0].requests, 1);
        for n in 0..200 {
            assert!(learned.learn("b", field(&format!("f{n}")), hour, now));
        }
        assert_eq!(learned.list().len(), MOST);
        assert_eq!(learned.of("a", now), [field("x")], "what is in use stays");
        assert!(learned.of("a", now + hour).is_empty() && learned.entries().is_empty());
    }

    #[test]
    fn betas_are_taken_out_and_the_rest_stays() {
        let mut headers = HeaderMap::new();
        headers.append(BETA, HeaderValue::from_static("a-1, b-2,c-3"));
        headers.append(BETA, HeaderValue::from_static("b-4"));
        without_betas(&mut headers, &["b-*".to_owned()]);
        let left: Vec<_> = headers.get_all(BETA).iter().collect();
        assert_eq!(left, ["a-1,c-3"]);
    }
}
