//! Taking requests in: bounds, and the one job that writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::model::is_model_name;
use gatehouse_domain::settings::lint::ModelState;
use gatehouse_domain::telemetry::{OTHER_MODELS, Report, Signal};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::Store;
use gatehouse_store::telemetry::Kept;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::Status;

use super::answer::{Refused, partial, taken};
use super::read::{Reading, read, unpacked};
use super::{Form, Outgoing, Rules, json, protobuf};
use crate::app::App;

/// Requests that wait to be written; beyond it clients are told to come again.
const WAITING: usize = 256;
/// Requests that are written in one transaction.
const TOGETHER: usize = 64;
/// Requests that are read at once: each may take some 20 MiB while it is.
const READERS: usize = 2;
/// How long a request waits for its turn, and to be written.
const PATIENCE: Duration = Duration::from_secs(8);
/// Names of models that are counted apart although no price is known of them. Further ones are counted together.
const MAX_MODELS: usize = 256;
/// Largest JSON that is passed on: it becomes a tree for that.
const MAX_JSON_ON: usize = 1024 * 1024;

/// What became of requests since the start.
#[derive(Debug, Default)]
pub struct Figures {
    /// Counted.
    pub counted: AtomicU64,
    /// Known already, and not counted again.
    pub repeated: AtomicU64,
    /// Refused, since they could not be read.
    pub malformed: AtomicU64,
    /// Refused for now, since one person sent too many.
    pub too_many: AtomicU64,
    /// Refused for now, since there was no room or no database.
    pub no_room: AtomicU64,
    /// Items of counted requests that were left out.
    pub left_out: AtomicU64,
}

/// A report that waits, and who waits for it.
struct Waiting {
    report: Report,
    done: oneshot::Sender<Kept>,
}

/// Requests of this minute, by person.
#[derive(Default)]
struct Rates {
    minute: i64,
    counts: HashMap<UserId, u32>,
}

/// The intake.
pub struct Intake {
    queue: mpsc::Sender<Waiting>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Waiting>>,
    readers: Semaphore,
    rates: Mutex<Rates>,
    models: Mutex<BTreeSet<String>>,
    /// What became of requests.
    pub figures: Figures,
}

impl Default for Intake {
    fn default() -> Self {
        let (queue, inbox) = mpsc::channel(WAITING);
        Self {
            queue,
            inbox: tokio::sync::Mutex::new(inbox),
            readers: Semaphore::new(READERS),
            rates: Mutex::default(),
            models: Mutex::default(),
            figures: Figures::default(),
        }
    }
}

/// A request as it came.
pub(crate) struct Came<'a> {
    pub(crate) signal: Signal,
    pub(crate) content_type: &'a str,
    pub(crate) packing: Option<&'a str>,
    pub(crate) body: &'a Bytes,
    pub(crate) whose: &'a Principal,
}

impl Intake {
    /// Takes a request and answers when it is counted.
    pub(crate) async fn take(&self, app: &App, rules: &Rules, came: Came<'_>) -> Response<Bytes> {
        let Some(form) = Form::parse(came.content_type) else {
            self.figures.malformed.fetch_add(1, Ordering::Relaxed);
            return Refused::Form.response(Form::Json);
        };
        match self.tally(app, rules, &came, form).await {
            Ok(left_out) => taken(came.signal, form, left_out),
            Err(why) => why.response(form),
        }
    }

    /// Takes a request by gRPC and answers when it is counted.
    pub(crate) async fn take_grpc(&self, app: &App, rules: &Rules, came: &Came<'_>) -> Result<Bytes, Status> {
        let counted = self.tally(app, rules, came, Form::Protobuf).await;
        counted.map(|left_out| partial(left_out).into()).map_err(Refused::status)
    }

    /// Takes a request, and says how many of its items were left out when it is counted.
    async fn tally(&self, app: &App, rules: &Rules, came: &Came<'_>, form: Form) -> Result<u64, Refused> {
        let counted = self.count(app, rules, came, form).await;
        if let Err(why) = counted {
            let figure = match why {
                Refused::Form | Refused::Packing | Refused::Unpacking | Refused::Malformed(_) => {
                    &self.figures.malformed
                }
                Refused::TooMany => &self.figures.too_many,
                Refused::Full | Refused::Unavailable => &self.figures.no_room,
            };
            figure.fetch_add(1, Ordering::Relaxed);
        }
        counted
    }

    async fn count(&self, app: &App, rules: &Rules, came: &Came<'_>, form: Form) -> Result<u64, Refused> {
        let now = app.now();
        if !self.admit(came.whose.user, rules.per_minute, now) {
            return Err(Refused::TooMany);
        }
        // Before any work: while the database is away, nothing is read that cannot be written.
        let place = self.queue.try_reserve().map_err(|_| Refused::Full)?;
        let (taken, body) = {
            let turn = tokio::time::timeout(PATIENCE, self.readers.acquire()).await;
            let _turn = turn.map_err(|_| Refused::Full)?.map_err(|_| Refused::Full)?;
            let plain = unpacked(came.body, came.packing)?;
            let body = plain.map_or_else(|| came.body.clone(), Bytes::from);
            let reading = Reading {
                whose: came.whose,
                now,
                prompts: rules.prompts,
                random: &|| app.random_bits(),
                model: &|name| self.model(name, &|name| (app.house.model_state)(name)),
            };
            (read(came.signal, form, &body, &reading).map_err(Refused::Malformed)?, body)
        };
        let (done, written) = oneshot::channel();
        place.send(Waiting { report: taken.report, done });
        let written = tokio::time::timeout(PATIENCE, written).await;
        let Ok(Ok(kept)) = written else { return Err(Refused::Unavailable) };
        Ok(match kept {
            Kept::Again => {
                self.figures.repeated.fetch_add(1, Ordering::Relaxed);
                0
            }
            Kept::Counted(unheard) => {
                self.figures.counted.fetch_add(1, Ordering::Relaxed);
                let left_out = taken.left_out + unheard;
                self.figures.left_out.fetch_add(left_out, Ordering::Relaxed);
                self.pass_on(app, rules, came, (form, body)).await;
                left_out
            }
        })
    }

    /// Whether one more request of a person is taken in this minute.
    fn admit(&self, user: UserId, most: u32, now: UnixMillis) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.0.div_euclid(60_000);
        if rates.minute != minute {
            // People are as many as have credentials, so that one minute's are bounded.
            *rates = Rates { minute, counts: HashMap::new() };
        }
        let count = rates.counts.entry(user).or_default();
        *count = count.saturating_add(1);
        *count <= most
    }

    /// The name that a model is counted under.
    pub(super) fn model(&self, name: &str, state: &dyn Fn(&str) -> ModelState) -> String {
        if !is_model_name(name) {
            return OTHER_MODELS.to_owned();
        }
        match state(name) {
            ModelState::Served | ModelState::Retired => return name.to_owned(),
            ModelState::Unknown => {}
        }
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains(name) || models.len() < MAX_MODELS {
            models.insert(name.to_owned());
            return name.to_owned();
        }
        OTHER_MODELS.to_owned()
    }

    /// Passes a request on to collectors. What fails here fails for them alone.
    async fn pass_on(&self, app: &App, rules: &Rules, came: &Came<'_>, (form, body): (Form, Bytes)) {
        let Some(relay) = &rules.relay else { return };
        let mut who = vec![("gatehouse.user.id", came.whose.user.to_string())];
        if let Ok(user) = app.store.user(app.org, came.whose.user).await {
            who.push(("user.email", user.email.clone()));
        }
        if let Some(team) = came.whose.team
            && let Ok(team) = app.store.team(app.org, team).await
        {
            who.push(("gatehouse.team", team.name));
        }
        let stamped = match form {
            Form::Protobuf => protobuf::stamped(&body, &who),
            Form::Json if body.len() <= MAX_JSON_ON => json::stamped(&body, &who),
            Form::Json => {
                tracing::warn!(
                    bytes = body.len(),
                    "telemetry in JSON is too large to be passed on to collectors"
                );
                return;
            }
        };
        if let Ok(stamped) = stamped {
            relay(&Outgoing { signal: came.signal, form, body: stamped.into() });
        }
    }

    /// Writes what comes, many requests in one transaction. For a job; never ends.
    pub async fn write(&self, store: &Store, org: OrgId) {
        let mut inbox = self.inbox.lock().await;
        let mut waiting = Vec::with_capacity(TOGETHER);
        loop {
            waiting.clear();
            if inbox.recv_many(&mut waiting, TOGETHER).await == 0 {
                return;
            }
            // Nobody waits for it any more: it comes again, and counts then.
            waiting.retain(|one| !one.done.is_closed());
            let (reports, done): (Vec<Report>, Vec<_>) =
                waiting.drain(..).map(|one| (one.report, one.done)).unzip();
            match store.keep_reports(org, &reports).await {
                Ok(kept) => {
                    for (done, kept) in done.into_iter().zip(kept) {
                        // Who has gone meanwhile asks again and is told that it was counted.
                        let _ = done.send(kept);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what clients said of their use was not written down; they send it again");
                }
            }
        }
    }
}
