//! The words of `secrets`.

use clap::Subcommand;

/// `secrets …`
#[derive(Subcommand)]
pub(crate) enum SecretsCommand {
    /// List the server's own keys, and what hangs on each
    List,
    /// Make a new key while requests go on: master, hashes, access-tokens, refresh-tokens, sign-in-forms, audit, bundles
    Rotate {
        /// What the key is for; `master` seals everything under the configured master key
        purpose: String,
        /// When the old key is to be retired, counted from when the new one is used: 30d
        #[arg(long, value_name = "SPAN")]
        retire_after: Option<String>,
    },
    /// Give an old key up; refused while something hangs on it
    Retire {
        /// What the key is for
        purpose: String,
        /// Its number
        key: String,
    },
}
