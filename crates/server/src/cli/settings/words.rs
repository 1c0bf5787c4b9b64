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
        #[arg(long = "for", value_name = "organization|team:T|project:P|rollout|user:U")]
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
    /// Give an approved version to clients, now or at a time
    Publish {
        /// Which
        #[command(flatten)]
        step: Step,
        /// When: a span from now, such as 2h, or a UTC time, such as 2026-12-01T06:00:00Z [default: now]
        #[arg(long, value_name = "TIME", conflicts_with = "note")]
        at: Option<String>,
    },
    /// Take back what was to be published at a time
    Unschedule {
        /// The profile's name or id
        profile: String,
    },
    /// Who gets an overlay (a profile for `rollout`), and when
    #[command(subcommand)]
    Audience(AudienceCommand),
    /// Published JSON schemas of the client's settings, for keys that this program does not know
    #[command(subcommand)]
    Schema(SchemaCommand),
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
        /// Only those of people whose settings this profile is a layer of now
        #[arg(long, value_name = "PROFILE")]
        profile: Option<String>,
    },
    /// Check a settings file here, without a server; exit code 1 if it has errors
    Lint {
        /// The file; `-` is standard input
        file: PathBuf,
        /// It will be on the machine, and is not delivered by the gateway
        #[arg(long)]
        machine: bool,
        /// A JSON schema of the client's settings, for keys that this program does not know
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
        /// Language
        #[command(flatten)]
        language: Language,
    },
    /// The keys that a client's settings may have, and help for them
    Catalogue {
        /// A key, or the beginning of keys
        key: Option<String>,
        /// A JSON schema of the client's settings, for keys that this program does not know
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
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

/// `settings audience …`
#[derive(Subcommand)]
pub(crate) enum AudienceCommand {
    /// Show who gets an overlay
    Show {
        /// The profile's name or id
        profile: String,
    },
    /// Give an overlay to these, in place of those who have it
    Assign {
        /// The profile's name or id
        profile: String,
        /// Who
        #[command(flatten)]
        who: Who,
        /// From when on: a span from now, or a UTC time [default: now]
        #[arg(long, value_name = "TIME")]
        starts: Option<String>,
        /// Until when [default: until it is withdrawn]
        #[arg(long, value_name = "TIME")]
        ends: Option<String>,
    },
    /// Give an overlay to these too
    Widen {
        /// The profile's name or id
        profile: String,
        /// Who
        #[command(flatten)]
        who: Who,
    },
    /// Take an overlay from everybody
    Withdraw {
        /// The profile's name or id
        profile: String,
    },
}

/// Who gets an overlay.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Who {
    /// A person; may be given several times
    #[arg(long = "user", value_name = "EMAIL")]
    pub(crate) users: Vec<String>,
    /// All members of a team; may be given several times
    #[arg(long = "team", value_name = "TEAM")]
    pub(crate) teams: Vec<String>,
    /// A share of all people, in percent; who is in a share stays in every greater one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) percent: Option<u8>,
}

/// `settings schema …`
#[derive(Subcommand)]
pub(crate) enum SchemaCommand {
    /// Make the keys of a schema known on the server; rules that are there are never loosened
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
        /// The version of the client that it describes
        #[arg(long, value_name = "VERSION")]
        client: Option<String>,
        /// Only show what it would bring
        #[arg(long)]
        dry_run: bool,
    },
    /// List the schemas that were imported
    List,
    /// Print an imported schema
    Show {
        /// Its number [default: the newest]
        number: Option<u32>,
    },
    /// Put all imported schemas out of force
    Reset,
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
