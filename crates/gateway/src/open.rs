//! An exchange under way. Its record is written when it is closed or, whatever happens, when it is dropped (P4).

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gatehouse_domain::budget::{Admission, Charge, Exceeded, Hold, Standing};
use gatehouse_domain::exchange::{Attempt, Cost, Ended, Exchange, Intent, Kind, estimate_tokens};
use gatehouse_domain::limit::{Limited, Taken, Used};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::policy::Grant;
use gatehouse_domain::usage::Usage;
use http::HeaderMap;

use crate::connection::{Connection, Overstay, Tick as _};
use crate::counters::Reserved;
use crate::guest::Inside;
use crate::ledger::Ticket;
use crate::refusal::Refusal;
use crate::routes::watched;
use crate::settings::client_of;
use crate::witness::Noted;
use crate::worker::{Active, Shared, Worker};

const MAX_NOTE: usize = 64;

/// An exchange under way.
pub(crate) struct Open {
    record: Option<Box<Exchange>>,
    began: Instant,
    shared: Arc<Shared>,
    watch: Option<Watch>,
    /// Set while the upstream may be working for us: then an end nobody saw is estimated.
    sent: bool,
    /// Whether it is a copy for one of two attempts at once: nothing of it is written or charged.
    copy: bool,
    /// Whether it counts among the requests under way: only those with a good credential do.
    counted: bool,
    /// What is held of budgets for it.
    hold: Option<Hold>,
    /// What it has taken of limits on rates.
    taken: Option<Taken>,
    /// The most that it may cost.
    worst: Nanos,
    /// How long it waited for a provider's quota.
    waited: Duration,
    /// What the client is told of its model.
    pub(crate) notice: Option<String>,
    /// The route that it goes by, if there is one.
    pub(crate) route: Option<String>,
    /// What is noted for who is told of its end; none where nobody is.
    pub(crate) noted: Option<Box<Noted>>,
    request_id: String,
}

/// Its place among the worker's exchanges under way.
struct Watch {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    active: Option<(usize, Rc<Active>)>,
}

impl Open {
    /// Opens an exchange of a client's connection.
    pub(crate) fn new(worker: &Rc<Worker>, connection: &Rc<Connection>, kind: Kind) -> Self {
        let mut open = Self::unwatched(&worker.shared, connection.peer(), kind);
        open.watch =
            Some(Watch { worker: Rc::clone(worker), connection: Rc::clone(connection), active: None });
        open
    }

    /// Opens an exchange that nobody waits for.
    pub(crate) fn unwatched(shared: &Arc<Shared>, peer: IpAddr, kind: Kind) -> Self {
        let now = Worker::now();
        let id = Worker::exchange_id(now);
        let record = Exchange {
            id,
            request_id: String::new(),
            kind,
            principal: None,
            provider: None,
            model: None,
            served_model: None,
            stream: false,
            status: 0,
            ended: Ended::ClientGone,
            reason: None,
            usage: Usage::default(),
            estimated: false,
            cost: Cost::default(),
            started_at: now,
            first_byte_ms: None,
            duration_ms: 0,
            overhead_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            peer: Some(peer),
            session: None,
            client: None,
            asked: None,
            attempts: Vec::new(),
            switched: false,
            left_out: Vec::new(),
            data: None,
        };
        let request_id = format!("req_{}", &id.to_string()[4..]);
        Self {
            record: Some(Box::new(record)),
            began: Instant::now(),
            shared: Arc::clone(shared),
            watch: None,
            sent: false,
            copy: false,
            counted: false,
            hold: None,
            taken: None,
            worst: Nanos::ZERO,
            waited: Duration::ZERO,
            notice: None,
            route: None,
            noted: shared.witness.wants().map(|wants| Box::new(Noted::new(wants))),
            request_id,
        }
    }

    /// The record, until the exchange is closed.
    pub(crate) fn record(&mut self) -> &mut Exchange {
        self.record.as_mut().expect("an exchange is closed once, by the last that holds it")
    }

    /// The guest whose exchange it is.
    pub(crate) fn guest(&self) -> Option<&Inside> {
        self.watch.as_ref().and_then(|watch| watch.connection.guest.as_deref())
    }

    /// Our own request id, for answers that have none from the upstream.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Notes what the head tells.
    pub(crate) fn note_head(&mut self, headers: &HeaderMap) {
        let session = note(headers, "x-claude-code-session-id");
        let client = note(headers, "user-agent");
        if let Some(noted) = &mut self.noted {
            noted.head(headers);
        }
        let is_guest = self.guest().is_some();
        let proxies = &self.shared.settings.load().proxies;
        let record = self.record.as_mut().expect("an exchange is closed once, by the last that holds it");
        // The proxy knows whose a guest's connection is; what the guest says of it is nothing.
        if !is_guest {
            record.peer = record.peer.map(|peer| client_of(proxies, peer, headers));
        }
        record.session = session;
        record.client = client.map(|agent| agent.split(' ').next().unwrap_or_default().to_owned());
    }

    /// Notes whose exchange it is, and lets the sweep watch the key or session.
    pub(crate) fn note_grant(&mut self, grant: &Grant) {
        self.record().principal = Some(grant.principal());
        self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        self.counted = true;
        if let Some(watch) = &mut self.watch {
            let active = Active::new(grant.clone(), watch.worker.tick());
            let slot = watch.worker.active.borrow_mut().insert(Rc::clone(&active));
            watch.active = Some((slot, active));
        }
    }

    /// What the sweep sees of it; only those that were let in are seen.
    pub(crate) fn active(&self) -> Option<&Rc<Active>> {
        self.watch.as_ref()?.active.as_ref().map(|(_, active)| active)
    }

    /// A copy for one of two attempts at once. From here on the exchange counts as sent.
    pub(crate) fn copied(&mut self) -> Self {
        self.sent = true;
        let mut record = self.record().clone();
        record.attempts.clear();
        Self {
            record: Some(Box::new(record)),
            began: self.began,
            shared: Arc::clone(&self.shared),
            watch: None,
            sent: false,
            copy: true,
            counted: false,
            hold: None,
            taken: None,
            worst: Nanos::ZERO,
            waited: self.waited,
            notice: None,
            route: None,
            noted: self.noted.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// Whether it is such a copy.
    pub(crate) const fn is_copy(&self) -> bool {
        self.copy
    }

    /// Takes over what the copy of the attempt that counts has noted. What is held of budgets moves along.
    ///
    /// # Errors
    /// A hard budget that applies there has no room; then all but what was noted is as it was.
    pub(crate) async fn take_over(&mut self, mut copy: Self) -> Result<(), Box<Exceeded>> {
        let Some(mut noted) = copy.record.take() else { return Ok(()) };
        self.sent = copy.sent;
        self.noted = copy.noted.take();
        let (provider, model) = (noted.provider.clone(), noted.model.clone());
        let (provider, model) =
            (provider.as_deref().unwrap_or_default(), model.as_deref().unwrap_or_default());
        let moved = self.redirect(provider, model).await;
        let mut attempts = std::mem::take(&mut self.record().attempts);
        attempts.append(&mut noted.attempts);
        noted.attempts = attempts;
        *self.record() = *noted;
        moved
    }

    /// Detaches the exchange from its connection: the client is gone, and the rest is read for its usage only.
    pub(crate) fn connection_gone(&mut self) {
        if let Some(watch) = &self.watch {
            let reason = match watch.connection.overstayed.get() {
                Some(Overstay::Stalled) => "client_stalled",
                Some(Overstay::Head | Overstay::Idle) | None => "client_left",
            };
            let record = self.record();
            record.ended = Ended::ClientGone;
            record.reason = Some(reason.to_owned());
        }
    }

    /// Notes a refusal; the caller closes with the fitting end.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let request_id = self.request_id.clone();
        let record = self.record();
        record.status = refusal.status().as_u16();
        record.reason = Some(refusal.code().to_owned());
        if record.request_id.is_empty() {
            record.request_id = request_id;
        }
    }

    /// Takes it, with its input as estimated, out of all limits on rates that apply.
    pub(crate) fn take(&mut self) -> Result<(), Box<Limited>> {
        let shared = Arc::clone(&self.shared);
        let record = self.record();
        if let (Some(principal), Some(model)) = (&record.principal, &record.model) {
            self.taken = shared.limits.take(principal, model, estimate_tokens(record.bytes_in))?;
        }
        Ok(())
    }

    /// Holds the most that it may cost in all budgets that apply.
    pub(crate) fn reserve(&mut self, worst: Nanos) -> Reserved {
        let shared = Arc::clone(&self.shared);
        self.worst = worst;
        match self.record.as_deref().and_then(charge) {
            Some(charge) => shared.counters.reserve(&charge, worst, Worker::now()),
            None => Reserved::Now(Ok(Admission { hold: None, fullest: None })),
        }
    }

    /// Takes over what is held for it; gives the budget that is used up most.
    pub(crate) fn hold(&mut self, admission: Admission) -> Option<Standing> {
        self.hold = admission.hold;
        admission.fullest
    }

    /// Sends it to another provider, or as another model: what is held moves to the budgets that apply there. If one
    /// has no room, everything is as it was but the hold.
    ///
    /// # Errors
    /// A hard budget that applies there has no room.
    pub(crate) async fn redirect(&mut self, provider: &str, model: &str) -> Result<(), Box<Exceeded>> {
        let before = self.record.as_deref().map(|record| (record.provider.clone(), record.model.clone()));
        let is_same = before
            .as_ref()
            .is_some_and(|(old, name)| old.as_deref() == Some(provider) && name.as_deref() == Some(model));
        if is_same {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        if let (Some(hold), Some(charge)) = (self.hold.take(), self.record.as_deref().and_then(charge)) {
            shared.counters.settle(Some(hold), &charge, Nanos::ZERO, Ticket(0));
        }
        let record = self.record();
        record.provider = Some(provider.to_owned());
        if record.model.as_deref() != Some(model) {
            let asked = record.asked.take().or(record.model.take());
            record.asked = asked.filter(|asked| asked != model);
            record.model = Some(model.to_owned());
        }
        if self.worst == Nanos::ZERO || shared.counters.is_idle() {
            return Ok(());
        }
        let worst = self.worst;
        let decided = match self.reserve(worst) {
            Reserved::Now(decided) => decided,
            Reserved::Later(waiting) => waiting.await,
        };
        match decided {
            Ok(admission) => {
                self.hold(admission);
                Ok(())
            }
            Err(why) => {
                let (provider, model) = before.unwrap_or_default();
                let record = self.record();
                (record.provider, record.model) = (provider, model);
                Err(why)
            }
        }
    }

    /// An attempt came to nothing and another begins: what it said and cost is no part of the exchange.
    pub(crate) fn begin_anew(&mut self, failed: Attempt) {
        self.sent = false;
        if let Some(noted) = &mut self.noted {
            (noted.asked_ms, noted.stop_reason, noted.reply_id) = (None, None, None);
        }
        let record = self.record();
        record.attempts.push(failed);
        (record.bytes_out, record.reason) = (0, None);
    }

    /// It had to wait for a provider's quota, which is not our own time.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// What is written down before the upstream is asked.
    pub(crate) fn intent(&mut self) -> Option<Intent> {
        self.sent = true;
        let since = self.began.elapsed();
        let (elapsed, is_copy) = (since.saturating_sub(self.waited), self.copy);
        if let Some(noted) = &mut self.noted {
            noted.asked_ms = Some(u32::try_from(since.as_millis()).unwrap_or(u32::MAX));
        }
        let record = self.record();
        // Of a further attempt, what came before is the providers' time.
        let is_first = record.attempts.is_empty();
        let before = record.overhead_us;
        record.overhead_us = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
        if !is_first || is_copy {
            record.overhead_us = before;
        }
        Some(Intent {
            id: record.id,
            kind: record.kind,
            principal: record.principal?,
            provider: record.provider.clone().unwrap_or_default(),
            model: record.model.clone().unwrap_or_default(),
            stream: record.stream,
            started_at: record.started_at,
            bytes_in: record.bytes_in,
            estimated_input: estimate_tokens(record.bytes_in),
            peer: record.peer,
        })
    }

    /// Tells a provider of the trace that it belongs to, if that is wanted.
    pub(crate) fn pass_on(&self, given: &HeaderMap, sent: &mut HeaderMap) {
        if let (Some(noted), Some(record)) = (&self.noted, &self.record) {
            noted.pass_on(record, given, sent);
        }
    }

    /// The upstream did not get the request, or said clearly that it did no work: nothing was consumed.
    pub(crate) fn nothing_consumed(&mut self) {
        self.sent = false;
    }

    /// Notes what was consumed.
    pub(crate) fn metered(&mut self, usage: Usage, estimated: bool) {
        self.sent = false;
        let record = self.record();
        record.usage = usage;
        record.estimated = estimated;
    }

    /// Milliseconds since the head arrived.
    pub(crate) fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    /// Closes the exchange: prices it and hands its record to the ledger.
    pub(crate) fn close(&mut self, ended: Ended) -> Ticket {
        self.record().ended = ended;
        self.settle().unwrap_or(Ticket(0))
    }

    /// Whether the reply's status is one of success.
    pub(crate) fn is_success(&mut self) -> bool {
        (200..300).contains(&self.record().status)
    }

    /// Whether the exchange has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.record.is_none()
    }

    fn settle(&mut self) -> Option<Ticket> {
        if self.copy {
            self.record = None;
            return None;
        }
        let mut record = self.record.take()?;
        record.duration_ms = self.elapsed_ms();
        if record.request_id.is_empty() {
            record.request_id.clone_from(&self.request_id);
        }
        if self.sent && record.kind == Kind::Messages {
            record.usage.tokens.input = estimate_tokens(record.bytes_in);
            record.estimated = true;
        }
        self.price(&mut record);
        self.shared.meters.count(&record);
        self.watch_cache(&record);
        let ticket = self.shared.ledger.close(&record);
        let hold = self.hold.take();
        if (hold.is_some() || !self.shared.counters.is_idle())
            && let Some(charge) = charge(&record)
        {
            self.shared.counters.settle(hold, &charge, record.cost.nanos, ticket);
        }
        if let Some(taken) = self.taken.take() {
            let tokens = &record.usage.tokens;
            let input = tokens.input + tokens.cache_write_5m + tokens.cache_write_1h;
            self.shared.limits.settle(taken, Some(Used { input, output: tokens.output }));
        }
        if self.counted {
            self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(watch) = self.watch.take()
            && let Some((slot, _)) = watch.active
        {
            watch.worker.active.borrow_mut().remove(slot);
        }
        if let Some(noted) = self.noted.take() {
            self.shared.witness.ended(noted.finished(record));
        }
        Some(ticket)
    }

    /// Notes what was read from caches, where the provider has said it.
    fn watch_cache(&self, record: &Exchange) {
        if record.kind != Kind::Messages || record.ended != Ended::Completed || record.estimated {
            return;
        }
        let percent = self.shared.settings.load().routing.cache_alarm_percent;
        let route = watched(self.route.as_deref());
        self.shared.routes.read_from_cache(route, &record.usage.tokens, percent, record.started_at);
    }

    fn price(&self, record: &mut Exchange) {
        if record.kind != Kind::Messages || record.usage == Usage::default() {
            return;
        }
        let settings = self.shared.settings.load();
        let Some(model) = record.served_model.as_deref().or(record.model.as_deref()) else { return };
        let priced = settings.prices.price(model, &record.usage, record.started_at);
        record.cost = priced.cost;
        if let Some(unknown) = priced.unknown {
            self.shared.meters.unknown_price(&unknown);
        }
        if priced.saturated {
            record.estimated = true;
            tracing::error!(exchange.id = %record.id, "an exchange costs more than can be written down");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.record.is_some() {
            self.connection_gone();
            self.settle();
        }
    }
}

/// What budgets are charged by, once the exchange has a principal and a place to go to.
fn charge(record: &Exchange) -> Option<Charge<'_>> {
    Some(Charge {
        principal: record.principal.as_ref()?,
        model: record.model.as_deref()?,
        provider: record.provider.as_deref()?,
        at: record.started_at,
    })
}

/// A header's value as a note for the record: printable, short.
fn note(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    let text: String = value.chars().filter(|c| !c.is_control()).take(MAX_NOTE).collect();
    (!text.is_empty()).then_some(text)
}
