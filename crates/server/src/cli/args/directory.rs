//! The words of `directory` and `scim`.

use clap::Subcommand;

/// `directory …`
#[derive(Subcommand)]
pub(crate) enum DirectoryCommand {
    /// List the configured directories with their last runs
    List,
    /// Read a directory whole and tell what is there; changes nothing
    Check {
        /// Its name
        name: String,
    },
    /// Bring the accounts to what the directory says; exit code 1 if that was not done
    Sync {
        /// Its name
        name: String,
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// Disable as many accounts as the directory says, beyond the limit too
        #[arg(long, conflicts_with = "dry_run")]
        confirm_disable: bool,
    },
    /// List the runs of a directory, newest first
    Runs {
        /// Its name
        name: String,
        /// At most so many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: u64,
    },
}

/// `scim …`
#[derive(Subcommand)]
pub(crate) enum ScimCommand {
    /// Directories' tokens
    #[command(subcommand)]
    Token(ScimTokenCommand),
    /// Groups that directories brought in
    #[command(subcommand)]
    Group(GroupCommand),
}

/// `scim token …`
#[derive(Subcommand)]
pub(crate) enum ScimTokenCommand {
    /// Make a token; its text is shown once
    Create {
        /// The directory's name: okta, entra. Its tokens all see the same people and groups
        source: String,
        /// What it is for [default: the directory's name]
        #[arg(long)]
        name: Option<String>,
        /// When it ends: 365d, 2026-12-31
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

/// `scim group …`
#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups of all directories
    List,
    /// Let a group stand for a team: its members are in that team
    Map {
        /// The group's id
        group: String,
        /// The team
        #[arg(long)]
        team: String,
    },
    /// Let a group stand for no team
    Unmap {
        /// The group's id
        group: String,
    },
}
