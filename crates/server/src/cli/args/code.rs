//! Words of `export`, `diff` and `apply`.

use std::path::PathBuf;

/// Arguments of `export`.
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// Folder to write to; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}

/// Arguments of `diff`.
#[derive(clap::Args)]
pub(crate) struct DiffArgs {
    /// Folder to read
    #[arg(short, long = "from", value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// Arguments of `apply`.
#[derive(clap::Args)]
pub(crate) struct ApplyArgs {
    /// Folder to read
    #[arg(short, long = "from", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove what was applied before and is in the folder no longer; people are disabled
    #[arg(long)]
    pub(crate) prune: bool,
}
