//! The words of `usage`, `exchanges` and `price`.

use clap::Subcommand;

use super::ServeArgs;

/// Arguments of `usage`.
#[derive(clap::Args)]
pub(crate) struct UsageArgs {
    /// What there is a row for
    #[arg(long, default_value = "user", value_name = "WHAT")]
    #[arg(value_parser = ["user", "team", "model", "key", "project", "provider", "day", "hour", "terminal"])]
    pub(crate) by: String,
    /// From when: 7d, 24h, 2026-11-01
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Whose word: what the gateway counted, what clients claim, or what the provider's client analytics tell
    #[arg(long, default_value = "gateway", value_parser = ["gateway", "client", "analytics"])]
    pub(crate) source: String,
}

/// Arguments of `exchanges`.
#[derive(clap::Args)]
pub(crate) struct ExchangesArgs {
    /// From when: 7d, 24h, 2026-11-01
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only this person's
    #[arg(long, value_name = "EMAIL")]
    pub(crate) user: Option<String>,
    /// Only with this model
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Only those that ended so: completed, refused, …
    #[arg(long)]
    pub(crate) ended: Option<String>,
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// A table for people instead of JSON lines
    #[arg(long, conflicts_with = "json")]
    pub(crate) table: bool,
}

/// `price …`
#[derive(Subcommand)]
pub(crate) enum PriceCommand {
    /// The price table in use
    List(ServeArgs),
    /// What a model costs, and why
    Explain {
        /// The model's name
        model: String,
        /// The configuration to look at
        #[command(flatten)]
        serve: ServeArgs,
    },
}
