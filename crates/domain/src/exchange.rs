//! The record of one exchange: a request and whatever became of it (promise P4).
//!
//! A record never holds content: no prompt, no reply, no key.

mod record;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::data_protection::DataFindings;
use crate::id::{ExchangeId, KeyId, OrgId, ProjectId, SessionId, TeamId, UserId};
use crate::money::Nanos;
use crate::routing::Fault;
use crate::time::UnixMillis;
use crate::usage::Usage;

pub use record::BadRecord;

/// What was presented to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A virtual key.
    Key(KeyId),
    /// An access token of a session that began with a sign-in.
    Session(SessionId),
}

/// Whose exchange it is: who pays, by which credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The tenant.
    pub org: OrgId,
    /// The credential's holder.
    pub user: UserId,
    /// The credential presented.
    pub credential: Credential,
    /// The team that is charged, if any.
    pub team: Option<TeamId>,
    /// The project that is charged, if any.
    pub project: Option<ProjectId>,
}

impl Principal {
    /// The key presented, if it was one.
    pub const fn key(&self) -> Option<KeyId> {
        match self.credential {
            Credential::Key(id) => Some(id),
            Credential::Session(_) => None,
        }
    }

    /// The session whose token was presented, if it was one.
    pub const fn session(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Key(_) => None,
            Credential::Session(id) => Some(id),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
    /// `GET /v1/models` and `GET /v1/models/{id}`.
    Models,
    /// Anything else that reached the gateway listener and was refused.
    Other,
}

impl Kind {
    /// The name used in the database, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Other => "other",
        }
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The reply was complete and handed to the client.
    Completed,
    /// We refused it; the upstream never saw it.
    Refused,
    /// The upstream answered with an error, which was relayed.
    UpstreamError,
    /// The upstream could not be reached, broke off, or sent what is no reply.
    UpstreamFailed,
    /// The client left before the reply was complete.
    ClientGone,
    /// The key, the session or its holder was revoked while the reply was under way.
    Revoked,
    /// This node stopped before the reply was complete (found at the next start, or cut by the drain limit).
    Interrupted,
}

impl Ended {
    /// The name used in the database, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamFailed => "upstream_failed",
            Self::ClientGone => "client_gone",
            Self::Revoked => "revoked",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Where the price came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceBasis {
    /// Nothing was consumed.
    #[default]
    None,
    /// The price table.
    Table,
    /// The price table with a contract's override or discount.
    Contract,
    /// The stated default, since the model is not in the table. Raises an alarm.
    Default,
}

impl PriceBasis {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Table => "table",
            Self::Contract => "contract",
            Self::Default => "default",
        }
    }
}

/// What an exchange cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// The amount.
    pub nanos: Nanos,
    /// By which price.
    pub basis: PriceBasis,
}

/// An attempt that came to nothing, after which another provider was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The provider that was asked.
    pub provider: String,
    /// What went wrong.
    pub fault: Fault,
    /// From the head's arrival to the attempt's end, in milliseconds.
    pub ended_ms: u32,
}

/// What the provider of an exchange begins with that was made by the client's own credential, through the forward proxy: the
/// host follows. What it cost is what the provider's prices say, and is on no bill of the organization's providers.
pub const CALLER: &str = "caller:";

/// The record of one exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Our identifier.
    pub id: ExchangeId,
    /// The `request-id` header that the client saw: the upstream's where there was one, else ours.
    pub request_id: String,
    /// What was asked for.
    pub kind: Kind,
    /// Whose it is; `None` when the credential was not recognized.
    pub principal: Option<Principal>,
    /// The provider it was sent to; after several attempts, the last one, whose answer the client got.
    pub provider: Option<String>,
    /// The model asked for; where an alias or a fallback stands for another, that one.
    pub model: Option<String>,
    /// The model the reply names.
    pub served_model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The status the client saw (or would have seen).
    pub status: u16,
    /// How it ended.
    pub ended: Ended,
    /// Which refusal, or which fault of the upstream: a code from the refusal table.
    pub reason: Option<String>,
    /// What it consumed.
    pub usage: Usage,
    /// Whether `usage` is our estimate, since the provider's final figures did not arrive.
    pub estimated: bool,
    /// What it cost.
    pub cost: Cost,
    /// When its head had arrived.
    pub started_at: UnixMillis,
    /// From the head's arrival to the first byte of the reply's body, in milliseconds.
    pub first_byte_ms: Option<u32>,
    /// From the head's arrival to the end, in milliseconds.
    pub duration_ms: u32,
    /// Time spent in our own stages before the upstream was asked, in microseconds.
    pub overhead_us: u32,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the reply's body.
    pub bytes_out: u64,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// The client's session identifier (`X-Claude-Code-Session-Id`), at most 64 printable characters.
    pub session: Option<String>,
    /// The client's product and version, from `User-Agent`, at most 64 printable characters.
    pub client: Option<String>,
    /// What the client asked for, where [`Exchange::model`] is another.
    pub asked: Option<String>,
    /// Attempts at other providers (or at the same one) that came to nothing before; at most as many as are configured.
    pub attempts: Vec<Attempt>,
    /// Whether the client's session was with another provider before, so that its cache was left behind.
    pub switched: bool,
    /// What of the request was left out, since the provider said that it does not know it: members of the body and betas, by
    /// name. Empty for most.
    pub left_out: Vec<String>,
    /// What data protection found in the request; `None` for most.
    pub data: Option<DataFindings>,
}

/// What is known when a request is about to be sent upstream; replay turns an intent without an
/// [`Exchange`] into an interrupted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The exchange it begins.
    pub id: ExchangeId,
    /// What was asked for.
    pub kind: Kind,
    /// Whose it is.
    pub principal: Principal,
    /// The provider it is about to be sent to.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// When its head had arrived.
    pub started_at: UnixMillis,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Input tokens, estimated from the body's size.
    pub estimated_input: u64,
    /// The client's address.
    pub peer: Option<IpAddr>,
}

impl Intent {
    /// The record of an intent whose end nobody saw. `cost` is the price of [`Intent::estimated_usage`].
    pub fn interrupted(self, cost: Cost) -> Exchange {
        let usage = self.estimated_usage();
        Exchange {
            id: self.id,
            request_id: String::new(),
            kind: self.kind,
            principal: Some(self.principal),
            provider: Some(self.provider),
            model: Some(self.model),
            served_model: None,
            stream: self.stream,
            status: 0,
            ended: Ended::Interrupted,
            reason: Some("node_stopped".to_owned()),
            usage,
            estimated: true,
            cost,
            started_at: self.started_at,
            first_byte_ms: None,
            duration_ms: 0,
            overhead_us: 0,
            bytes_in: self.bytes_in,
            bytes_out: 0,
            peer: self.peer,
            session: None,
            client: None,
            asked: None,
            attempts: Vec::new(),
            switched: false,
            left_out: Vec::new(),
            data: None,
        }
    }

    /// What an interrupted exchange is assumed to have consumed: its input, and no output that anybody saw.
    pub fn estimated_usage(&self) -> Usage {
        let mut usage = Usage::default();
        if self.kind == Kind::Messages {
            usage.tokens.input = self.estimated_input;
        }
        usage
    }
}

/// Input tokens estimated from a body's bytes: four bytes a token, rounded up. Coarse on purpose;
/// it is used only where the provider's own count never arrived, and marked as an estimate.
pub fn estimate_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}
