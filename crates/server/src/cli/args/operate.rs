//! The words of `audit`, `provider` and `admin`.

use std::path::PathBuf;

use clap::Subcommand;

/// `audit …`
#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Check an export offline; exit code 1 if it was tampered with, 2 if it cannot be read
    Verify {
        /// The export
        file: PathBuf,
        /// The public key it must be signed with (hex); where the key was rotated, any of them will do [default: the one in the
        /// file]
        #[arg(long, value_name = "PUBKEY")]
        key: Option<String>,
        /// Checkpoints kept elsewhere that it must contain, one a line: a copy of `audit.checkpoint` in the data directory, or
        /// those in the server's log
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Write the whole log to a file
    Export {
        /// Where to
        file: PathBuf,
    },
    /// List the newest entries
    List {
        /// At most so many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u64,
        /// Only this action, such as key.create
        #[arg(long)]
        action: Option<String>,
    },
}

/// `provider …`
#[derive(Subcommand)]
pub(crate) enum ProviderCommand {
    /// List providers
    List,
    /// What providers tell of their limits, what is configured, and what waits: of the node that answers
    Limits,
    /// Seal a provider's key, read from standard input, for `api_key = "sealed:"`
    SetKey {
        /// The provider's name
        name: String,
    },
    /// Remove a provider's sealed key
    RemoveKey {
        /// The provider's name
        name: String,
    },
}

/// `route …`
#[derive(Subcommand)]
pub(crate) enum RouteCommand {
    /// Which rule decides, which providers would be asked in which order, and why not the others; exit code 1 if none would
    Explain(RouteExplainArgs),
}

/// Arguments of `route explain`.
#[derive(clap::Args)]
pub(crate) struct RouteExplainArgs {
    /// E-mail address or id
    #[arg(long)]
    pub(crate) user: String,
    /// The model that the client asks for
    #[arg(long)]
    pub(crate) model: String,
    /// The client's session (X-Claude-Code-Session-Id)
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Charged to this team
    #[arg(long)]
    pub(crate) team: Option<String>,
}

/// `admin …`
#[derive(Subcommand)]
pub(crate) enum AdminCommand {
    /// Administrators' tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

/// `admin token …`
#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its text is shown once
    Create {
        /// Whose or what for
        #[arg(long)]
        name: String,
        /// What it may do: the name of a role, see `role list`
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Limit it to what is charged to this team
        #[arg(long, conflicts_with = "user")]
        team: Option<String>,
        /// Limit it to this person
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Whose it is, if it is not limited to them [default: whose your own token is]
        #[arg(long, value_name = "EMAIL", conflicts_with = "service")]
        holder: Option<String>,
        /// The service whose it is
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// When it ends: 30d, 2026-12-31
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List tokens
    List,
    /// Refuse a token for good
    Revoke {
        /// The token's id
        id: String,
    },
}
