//! The words of `access`, `role` and `explain`.

use std::path::PathBuf;

use clap::Subcommand;

/// `access …`
#[derive(Subcommand)]
pub(crate) enum AccessCommand {
    /// List the access policies
    List,
    /// Show the text of one
    Show {
        /// Its name
        name: String,
    },
    /// Write one, new or in place of the one of that name
    Set {
        /// Its name: a-z, 0-9 and `-`; `default` takes the place of the built-in one, which permits everything
        name: String,
        /// The file with its text, or `-`
        file: PathBuf,
    },
    /// Remove one
    Remove {
        /// Its name
        name: String,
    },
    /// Check a text without writing anything
    Check {
        /// The file, or `-`
        file: PathBuf,
    },
    /// Show what policies can speak of
    Schema,
}

/// `role …`
#[derive(Subcommand)]
pub(crate) enum RoleCommand {
    /// List the roles and what each includes
    List,
    /// Write a role of your own, new or in place of the one of that name
    Set {
        /// Its name: a-z, 0-9 and `_`
        name: String,
        /// Names of permissions, separated by commas; `role list` shows them
        #[arg(value_delimiter = ',', required = true)]
        permissions: Vec<String>,
    },
    /// Remove a role that no token has
    Remove {
        /// Its name
        name: String,
    },
}

/// Arguments of `explain`.
#[derive(clap::Args)]
pub(crate) struct ExplainArgs {
    /// E-mail address or id
    pub(crate) user: String,
    /// The model's name
    pub(crate) model: String,
    /// By this key of theirs
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Charged to this team
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Charged to this project
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Of this provider [default: the one that would be used]
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// From this IP address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<String>,
    /// With this data class as the client says it
    #[arg(long, value_name = "CLASS")]
    pub(crate) data_class: Option<String>,
}
