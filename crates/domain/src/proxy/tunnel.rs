//! The record of a tunnel or a forwarded request (promise P4). It holds no content.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::exchange::Credential;
use crate::id::{NodeId, OrgId, TunnelId, UserId};
use crate::time::UnixMillis;

/// How somebody was recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By what they presented.
    Credential(Credential),
    /// By their client certificate.
    Certificate,
    /// By the network they come from.
    Network,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$of])* $variant,)+
        }

        impl $name {
            /// Its name in the database, JSON and metrics.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|one| one.as_str() == name)
            }
        }
    };
}

words!(
    /// What was decided.
    Verdict {
        /// Let through.
        Allow = "allow",
        /// Let through by a rule that only reports.
        Report = "report",
        /// Refused.
        Deny = "deny",
    }
);

words!(
    /// How it ended.
    Close {
        /// Both sides said that they were done.
        Done = "done",
        /// It was refused.
        Refused = "refused",
        /// The destination could not be reached.
        Unreachable = "unreachable",
        /// The client broke the connection off.
        ClientGone = "client_gone",
        /// The destination broke the connection off.
        ServerGone = "server_gone",
        /// Nothing moved for too long.
        Idle = "idle",
        /// It had been open for as long as any tunnel may be.
        Limit = "limit",
        /// Whoever opened it may not go on: their key, session or account is no longer good, or a rule changed.
        Revoked = "revoked",
        /// The node stopped.
        Stopped = "stopped",
        /// The client does not take the certificate that it was shown for the inspection of its traffic: it says so, or hangs up
        /// without a word once it has seen it.
        Untrusted = "untrusted",
        /// The node died. Bytes are not known.
        Interrupted = "interrupted",
    }
);

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: UnixMillis,
    /// Bytes from the client.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
    /// Why.
    pub why: Close,
}

/// One tunnel, forwarded request, or refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its identifier.
    pub id: TunnelId,
    /// The tenant.
    pub org: OrgId,
    /// The node it went through.
    pub node: NodeId,
    /// Who; nobody where they were not recognized.
    pub user: Option<UserId>,
    /// How they were recognized.
    pub via: Option<Via>,
    /// The client's address.
    pub client: IpAddr,
    /// `connect` or `plain`.
    pub form: String,
    /// The host asked for, as far as it could be read.
    pub host: String,
    /// The port asked for; 0 where it could not be read.
    pub port: u16,
    /// The address that was connected to, or was to be.
    pub pinned: Option<IpAddr>,
    /// The rule that decided.
    pub rule: String,
    /// What it decided.
    pub verdict: Verdict,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long the name's look-up took, in milliseconds; nothing where none was needed.
    pub resolve_ms: Option<u32>,
    /// How long connecting took, in milliseconds.
    pub connect_ms: Option<u32>,
    /// How many requests were seen in it; nothing where it is not looked into.
    #[serde(default)]
    pub inspected: Option<u32>,
    /// How it ended; nothing while it is open.
    pub end: Option<End>,
}
