//! What coding clients say of their own use (OpenTelemetry), as figures that can be added up.
//!
//! All of it is a claim of the client: whose it is comes from the credential that it was sent with, everything else from
//! the client. It is kept apart from the ledger, which counts what went through the gateway.
//!
//! Names of metrics, events and attributes are those of Claude Code
//! (<https://docs.claude.com/en/docs/claude-code/monitoring-usage>).

use crate::id::{ClientEventId, TeamId, UserId};
use crate::time::{DAY_MS, UnixMillis};

/// The name that stands for all models that are not counted apart.
pub const OTHER_MODELS: &str = "other";

/// Greatest amount of one point; what says more says this much. So no claim brings a sum to the end of its range.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000_000;

/// What one signal of the protocol carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Sums.
    Metrics,
    /// Events.
    Logs,
    /// Spans, which are not kept.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// Its name, which is also the last part of its path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// The signal of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == text)
    }
}

macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident = $column:literal,)*) => {
        /// What is summed of a client's claims.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Measure {
            $($(#[$doc])* $name,)*
        }

        impl Measure {
            /// All of them.
            pub const ALL: [Self; MEASURES] = [$(Self::$name,)*];

            /// Its name, as tables and answers have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $column,)*
                }
            }
        }
    };
}

/// How many measures there are.
pub const MEASURES: usize = 23;

measures! {
    /// Nano-dollars, of the metric.
    Cost = "cost_nanos",
    /// Input tokens outside the cache, of the metric.
    Input = "input_tokens",
    /// Output tokens, of the metric.
    Output = "output_tokens",
    /// Tokens read from the cache, of the metric.
    CacheRead = "cache_read_tokens",
    /// Tokens written to the cache, of the metric.
    CacheWrite = "cache_write_tokens",
    /// Sessions begun.
    Sessions = "sessions",
    /// Milliseconds that a person was active.
    ActiveUser = "active_user_ms",
    /// Milliseconds that the client was active.
    ActiveClient = "active_client_ms",
    /// Lines added.
    LinesAdded = "lines_added",
    /// Lines removed.
    LinesRemoved = "lines_removed",
    /// Commits.
    Commits = "commits",
    /// Pull requests.
    PullRequests = "pull_requests",
    /// Edits that the person accepted.
    EditsAccepted = "edits_accepted",
    /// Edits that the person rejected.
    EditsRejected = "edits_rejected",
    /// Requests that a model answered, by events.
    Requests = "requests",
    /// Requests that failed, by events.
    Errors = "errors",
    /// Nano-dollars, by events.
    RequestCost = "request_cost_nanos",
    /// Milliseconds that answered requests took, by events.
    RequestTime = "request_ms",
    /// Prompts, by events.
    Prompts = "prompts",
    /// Uses of tools, by events.
    Tools = "tool_calls",
    /// Of these, how many failed.
    ToolFailures = "tool_failures",
    /// Surveys shown, by events.
    SurveysShown = "surveys_shown",
    /// Surveys answered, by events.
    SurveysAnswered = "surveys_answered",
}

/// A sum of every measure. Additions saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums(pub [i64; MEASURES]);

impl Sums {
    /// Adds an amount; a negative one counts as none.
    pub fn add(&mut self, measure: Measure, amount: i64) {
        let sum = &mut self.0[measure as usize];
        *sum = sum.saturating_add(amount.clamp(0, MAX_AMOUNT));
    }

    /// A sum.
    pub const fn of(&self, measure: Measure) -> i64 {
        self.0[measure as usize]
    }
}

/// How much a point of a metric says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So much more than before.
    More(i64),
    /// So much since the stream began.
    Since(Running),
}

/// A point of a sum that runs on (cumulative temporality).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Which stream: a digest of its holder, its metric, all its attributes and its beginning.
    pub stream: [u8; 32],
    /// When the point was taken, in nanoseconds; later points have later times.
    pub nanos: i64,
    /// The sum.
    pub total: i64,
}

/// What a running sum brings after what is known of its stream: the last point's time and total. `None` when the point is
/// not newer, and so was counted already. A total below the last one is a stream that began anew without saying so.
pub const fn step(known: Option<(i64, i64)>, now: &Running) -> Option<i64> {
    match known {
        None => Some(now.total),
        Some((nanos, _)) if now.nanos <= nanos => None,
        Some((_, total)) if now.total < total => Some(now.total),
        Some((_, total)) => Some(now.total - total),
    }
}

/// A point of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// What it counts.
    pub measure: Measure,
    /// Of which model; empty when it has none.
    pub model: String,
    /// When.
    pub at: UnixMillis,
    /// How much.
    pub amount: Amount,
}

/// Something that happened at a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identifier; sorts by the time.
    pub id: ClientEventId,
    /// When.
    pub at: UnixMillis,
    /// What.
    pub name: EventName,
    /// Of which model; empty when it has none.
    pub model: String,
    /// The client's session; empty when it is not told.
    pub session: String,
    /// What is kept of its attributes: a JSON object.
    pub attributes: String,
    /// What it adds.
    pub adds: Vec<(Measure, i64)>,
}

/// All that one request of a client brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose, by the credential.
    pub user: UserId,
    /// The team that the credential charges.
    pub team: Option<TeamId>,
    /// Digest of the request's content together with its holder.
    pub digest: [u8; 32],
    /// When it came.
    pub came: UnixMillis,
    /// Points of metrics.
    pub points: Vec<Point>,
    /// Events.
    pub events: Vec<Event>,
}

/// An event that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventName {
    /// A model answered.
    ApiRequest,
    /// A request to a model failed.
    ApiError,
    /// A tool was used.
    ToolResult,
    /// A person wrote a prompt.
    UserPrompt,
    /// A person was asked how it goes.
    FeedbackSurvey,
}

impl EventName {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ApiRequest, Self::ApiError, Self::ToolResult, Self::UserPrompt, Self::FeedbackSurvey];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiRequest => "api_request",
            Self::ApiError => "api_error",
            Self::ToolResult => "tool_result",
            Self::UserPrompt => "user_prompt",
            Self::FeedbackSurvey => "feedback_survey",
        }
    }

    /// The event of this name, which the client may write with `claude_code.` before it.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("claude_code.").unwrap_or(text);
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// The attributes that are kept of it, besides those of every event. None of them holds what a person or a model
    /// wrote.
    pub const fn kept(self) -> &'static [&'static str] {
        match self {
            Self::ApiRequest => &[
                "model",
                "cost_usd",
                "duration_ms",
                "ttft_ms",
                "input_tokens",
                "output_tokens",
                "cache_read_tokens",
                "cache_creation_tokens",
                "request_id",
                "speed",
                "query_source",
                "effort",
            ],
            Self::ApiError => &["model", "status_code", "attempt", "duration_ms", "request_id"],
            Self::ToolResult => &[
                "tool_name",
                "success",
                "duration_ms",
                "error_type",
                "decision_type",
                "decision_source",
                "tool_result_size_bytes",
            ],
            Self::UserPrompt => &["prompt_length", "command_name", "command_source"],
            Self::FeedbackSurvey => &["event_type", "survey_type", "response"],
        }
    }
}

/// Attributes that are kept of every event.
pub const KEPT_ALWAYS: [&str; 5] =
    ["prompt.id", "event.sequence", "app.version", "terminal.type", "anthropic.provider"];

/// A value as a client writes it: numbers come as texts at times.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// Another number.
    Real(f64),
    /// Yes or no.
    Flag(bool),
}

impl Value {
    /// As a number, whichever way it is written.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "what is this large is cut to `MAX_AMOUNT` anyway"
            )]
            Self::Whole(n) => Some(*n as f64),
            Self::Real(n) => Some(*n).filter(|n| n.is_finite()),
            Self::Flag(_) => None,
        }
    }

    /// As yes or no.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Flag(yes) => Some(*yes),
            Self::Whole(_) | Self::Real(_) => None,
        }
    }
}

/// Looks an attribute up.
pub type Attribute<'a> = dyn Fn(&str) -> Option<&'a Value> + 'a;

fn text<'a>(attribute: &Attribute<'a>, name: &str) -> Option<&'a str> {
    match attribute(name)? {
        Value::Text(text) => Some(text),
        Value::Whole(_) | Value::Real(_) | Value::Flag(_) => None,
    }
}

/// What a metric counts, and how many of our units one of its units is. `None` for what is not kept.
pub fn measure(metric: &str, attribute: &Attribute<'_>) -> Option<(Measure, f64)> {
    let kind = text(attribute, "type").unwrap_or_default();
    let found = match metric.strip_prefix("claude_code.")? {
        "cost.usage" => (Measure::Cost, 1e9),
        "token.usage" => match kind {
            "input" => (Measure::Input, 1.0),
            "output" => (Measure::Output, 1.0),
            "cacheRead" => (Measure::CacheRead, 1.0),
            "cacheCreation" => (Measure::CacheWrite, 1.0),
            _ => return None,
        },
        "session.count" => (Measure::Sessions, 1.0),
        "active_time.total" if kind == "user" => (Measure::ActiveUser, 1e3),
        "active_time.total" => (Measure::ActiveClient, 1e3),
        "lines_of_code.count" if kind == "added" => (Measure::LinesAdded, 1.0),
        "lines_of_code.count" if kind == "removed" => (Measure::LinesRemoved, 1.0),
        "commit.count" => (Measure::Commits, 1.0),
        "pull_request.count" => (Measure::PullRequests, 1.0),
        "code_edit_tool.decision" => match text(attribute, "decision") {
            Some("accept") => (Measure::EditsAccepted, 1.0),
            Some("reject") => (Measure::EditsRejected, 1.0),
            _ => return None,
        },
        _ => return None,
    };
    Some(found)
}

/// What an event adds.
pub fn adds(event: EventName, attribute: &Attribute<'_>) -> Vec<(Measure, i64)> {
    let number = |name: &str| attribute(name).and_then(Value::number);
    match event {
        EventName::ApiRequest => {
            let micros = number("cost_usd_micros").map(|n| n * 1e3);
            let cost = number("cost_usd").map(|n| n * 1e9).or(micros).unwrap_or(0.0);
            let took = number("duration_ms").unwrap_or(0.0);
            vec![
                (Measure::Requests, 1),
                (Measure::RequestCost, amount(cost)),
                (Measure::RequestTime, amount(took)),
            ]
        }
        EventName::ApiError => vec![(Measure::Errors, 1)],
        EventName::ToolResult => {
            let failed = attribute("success").and_then(Value::flag) == Some(false);
            vec![(Measure::Tools, 1), (Measure::ToolFailures, i64::from(failed))]
        }
        EventName::UserPrompt => vec![(Measure::Prompts, 1)],
        EventName::FeedbackSurvey => match text(attribute, "event_type") {
            Some("appeared") => vec![(Measure::SurveysShown, 1)],
            Some("responded") => vec![(Measure::SurveysAnswered, 1)],
            _ => Vec::new(),
        },
    }
}

/// A number as an amount: rounded, never negative, at most [`MAX_AMOUNT`].
pub fn amount(number: f64) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "the limit is exact")]
    const MOST: f64 = MAX_AMOUNT as f64;
    #[expect(clippy::cast_possible_truncation, reason = "it was brought into the range before")]
    let whole = if number.is_finite() { number.round().clamp(0.0, MOST) as i64 } else { 0 };
    whole
}

/// The time of a point or event. A clock that is far off is not believed: what claims to lie more than a day ahead or a
/// week back is of now.
pub fn when(nanos: u64, now: UnixMillis) -> UnixMillis {
    let claimed = i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
    let believed = now.0 - 7 * DAY_MS..now.0 + DAY_MS;
    if believed.contains(&claimed) { UnixMillis(claimed) } else { now }
}

#[cfg(test)]
mod tests;
