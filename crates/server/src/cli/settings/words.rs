//! The words of `settings` and `bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::language::Language;

/// `settings …`
#[derive(Subcommand)]
pub(crate) enum SettingsCommand {
    /// List settings profiles
    List,
    /// Show a profile and its versions, or one version with what it says
    Show {
        /// The profile's name or id
        profile: String,
        /// A version's number
        version: Option<u32>,
    },
    /// Make a profile; its version 1 is a draft
    New {
        /// Its name
        name: String,
        /// Whose settings it contributes to
        #[arg(long = "for", value_name = "organization|team:T|project:P|user:U")]
        target: String,
        /// What it says
        #[command(flatten)]
        text: Text,
    },
    /// Write a profile's draft: the open one anew, or that of a new version
    Edit {
        /// The profile's name or id
        profile: String,
        /// What it says
        #[command(flatten)]
        text: Text,
    },
    /// Hand a draft in for review
    Submit(Step),
    /// Agree with a version that others wrote
    Approve(Step),
    /// Send a version back to its writers
    Return(Step),
    /// Give an approved version to clients
    Publish(Step),
    /// Take a version from clients, or give up one that they do not have yet
    Retire(Step),
    /// Give an earlier version to clients again
    Rollback {
        /// The profile's name or id
        profile: String,
        /// The version's number
        version: u32,
        /// Why
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// What a version changes, and for how many people
    Diff {
        /// The profile's name or id
        profile: String,
        /// The version's number [default: the newest]
        version: Option<u32>,
        /// Number of the version to compare with, or `nothing` [default: the published one, else the one before]
        #[arg(long, value_name = "VERSION")]
        against: Option<String>,
        /// List the people who get other settings by it
        #[arg(long)]
        users: bool,
    },
    /// Where a value of a person's settings comes from, and why
    Explain {
        /// E-mail address or id
        user: String,
        /// The key, such as permissions.deny
        key: String,
    },
    /// The settings that a person's client gets
    Effective {
        /// E-mail address or id
        user: String,
    },
    /// How far everybody's settings have come
    Receipts {
        /// Only those in this state
        #[arg(long, value_name = "STATE")]
        #[arg(value_parser = ["assigned", "offered", "confirmed", "drifted", "partial", "blocked", "unseen"])]
        state: Option<String>,
        /// A row for each machine that names itself
        #[arg(long)]
        machines: bool,
    },
    /// Check a settings file here, without a server; exit code 1 if it has errors
    Lint {
        /// The file; `-` is standard input
        file: PathBuf,
        /// It will be on the machine, and is not delivered by the gateway
        #[arg(long)]
        machine: bool,
        /// Language
        #[command(flatten)]
        language: Language,
    },
    /// The keys that a client's settings may have, and help for them
    Catalogue {
        /// A key, or the beginning of keys
        key: Option<String>,
        /// Language
        #[command(flatten)]
        language: Language,
    },
    /// Write settings as files for machines or device management
    Export(Export),
}

/// What a draft says.
#[derive(Args)]
pub(crate) struct Text {
    /// The client's settings as JSON; `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A key that weaker layers cannot change; may be given several times [default: as in the version before]
    #[arg(long = "lock", value_name = "KEY")]
    pub(crate) locks: Vec<String>,
    /// Lock nothing
    #[arg(long, conflicts_with = "locks")]
    pub(crate) no_locks: bool,
    /// Of two teams of a person, the one with the greater priority wins [default: as in the version before]
    #[arg(long, value_name = "N")]
    pub(crate) priority: Option<u32>,
}

/// A step of a version.
#[derive(Args)]
pub(crate) struct Step {
    /// The profile's name or id
    pub(crate) profile: String,
    /// The version's number [default: the one under way; for `retire` the published one]
    pub(crate) version: Option<u32>,
    /// What is to be said about it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// The version's checksum as it was looked at; with another the step is refused
    #[arg(long, value_name = "SUM")]
    pub(crate) checksum: Option<String>,
}

/// Arguments of `settings export`.
#[derive(Args)]
pub(crate) struct Export {
    /// What for; `bundle` is all of them in one signed archive
    #[arg(long, value_name = "FORMAT", value_parser = [
        "linux-file", "linux-dropin", "macos-plist", "macos-mobileconfig", "windows-reg", "windows-admx",
        "windows-powershell", "bundle",
    ])]
    pub(crate) format: String,
    /// The settings of this person
    #[arg(long, value_name = "EMAIL", required_unless_present = "team", conflicts_with = "team")]
    pub(crate) user: Option<String>,
    /// The settings of somebody who is in this team only
    #[arg(long, value_name = "TEAM")]
    pub(crate) team: Option<String>,
    /// Where to; made if it is not there
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub(crate) output: PathBuf,
}

/// `bundle …`
#[derive(Subcommand)]
pub(crate) enum BundleCommand {
    /// Check a bundle of settings offline; exit code 1 if it was tampered with
    Verify {
        /// The bundle
        file: PathBuf,
        /// The public key it must be signed with (hex) [default: the one in the bundle]
        #[arg(long, value_name = "PUBKEY")]
        key: Option<String>,
    },
}
