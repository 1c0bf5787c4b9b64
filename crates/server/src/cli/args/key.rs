//! The words of `session` and `key`.

use clap::Subcommand;

/// `session …`
#[derive(Subcommand)]
pub(crate) enum SessionCommand {
    /// List sessions
    List {
        /// Only this person's
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Those that are over too
        #[arg(long)]
        all: bool,
    },
    /// End a session for good, open streams included
    Revoke {
        /// The session's id
        id: String,
    },
}

/// `key …`
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; its text is shown once
    Create(KeyCreate),
    /// List keys
    List {
        /// Only this person's
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
    },
    /// Make a successor; the old key goes on for a while
    Rotate {
        /// The key's id
        id: String,
        /// How long the old key goes on: 24h, 7d, 0s
        #[arg(long, default_value = "24h", value_name = "TIME")]
        overlap: String,
    },
    /// Let a key end
    Expire {
        /// The key's id
        id: String,
        /// When: 2026-12-31, 2026-12-31T12:00:00Z, or from now: 12h
        #[arg(long, default_value = "0s", value_name = "TIME")]
        at: String,
    },
    /// Refuse a key until it is enabled again
    Disable {
        /// The key's id
        id: String,
    },
    /// Let a disabled key work again
    Enable {
        /// The key's id
        id: String,
    },
    /// Refuse a key for good
    Revoke {
        /// The key's id
        id: String,
    },
}

/// Arguments of `key create`.
#[derive(clap::Args)]
pub(crate) struct KeyCreate {
    /// Its holder's e-mail address
    #[arg(long, value_name = "EMAIL")]
    pub(crate) user: String,
    /// The team it charges
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// The project it charges
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// The models it may use, separated by commas; `*` at the end stands for anything
    #[arg(long, value_delimiter = ',', value_name = "MODELS")]
    pub(crate) models: Vec<String>,
    /// Where it is good: for model requests, for the forward proxy, or for both [default: gateway]
    #[arg(long = "for", value_name = "WHAT", value_parser = ["gateway", "proxy", "both"])]
    pub(crate) purpose: Option<String>,
    /// When it ends: 30d, 12h, 2026-12-31
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Name for people to read
    #[arg(long)]
    pub(crate) name: Option<String>,
}
