//! The words of the command line.

mod access;
mod code;
mod directory;
mod operate;
mod secret;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::assess::AssessArgs;
use super::budget::BudgetCommand;
use super::conformance::ConformanceArgs;
use super::helper::ClientCommand;
use super::settings::{BundleCommand, SettingsCommand};
pub(crate) use access::{AccessCommand, ExplainArgs, RoleCommand};
pub(crate) use code::{ApplyArgs, DiffArgs, ExportArgs};
pub(crate) use directory::{DirectoryCommand, GroupCommand, ScimCommand, ScimTokenCommand};
pub(crate) use operate::{AdminCommand, AuditCommand, ProviderCommand, TokenCommand};
pub(crate) use secret::SecretsCommand;

/// The house around AI coding assistants: gateway, keys, ledger and audit log in one program.
#[derive(Parser)]
#[command(name = "gatehouse", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 server not reachable.\n\
                        Start with `gatehouse demo`, which needs no provider and no key."
)]
pub(crate) struct Args {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(clap::Args, Clone)]
pub(crate) struct Global {
    /// Address of the management API [default: the server of the data directory]
    #[arg(long, global = true, env = "GATEHOUSE_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Administrator's token [default: admin.token in the data directory]; better given in the variable
    #[arg(long, global = true, env = "GATEHOUSE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Data directory
    #[arg(help = "Data directory [default: gatehouse in $XDG_DATA_HOME, else ~/.local/share/gatehouse]")]
    #[arg(long, global = true, env = "GATEHOUSE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Run the server with a built-in scripted model and a sample organization; needs no provider and no key
    Demo(DemoArgs),
    /// Check, show or reload the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// People
    #[command(subcommand)]
    User(UserCommand),
    /// Teams
    #[command(subcommand)]
    Team(TeamCommand),
    /// Projects
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Virtual keys: what clients use instead of a provider's key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Access policies: who may use which model, from where (in the Cedar language)
    #[command(subcommand)]
    Access(AccessCommand),
    /// What may be spent, by whom, in which period
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// What administrators may do
    #[command(subcommand)]
    Role(RoleCommand),
    /// Whether somebody may use a model, and which rule decides; exit code 1 if not
    Explain(ExplainArgs),
    /// Sessions of people who signed in
    #[command(subcommand)]
    Session(SessionCommand),
    /// What coding clients and CI jobs run themselves
    #[command(subcommand)]
    Client(ClientCommand),
    /// What was consumed and what it cost
    Usage(UsageArgs),
    /// Single exchanges, one JSON line each, newest first
    Exchanges(ExchangesArgs),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Model providers
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// The server's own keys: rotate them while it serves
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Administrators' credentials
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Directories that are read by LDAP
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Directories that bring in people and groups by SCIM
    #[command(subcommand)]
    Scim(ScimCommand),
    /// Whether a live provider answers as it should: asks it what the conformance corpus has; costs money
    Conformance(ConformanceArgs),
    /// Prices
    #[command(subcommand)]
    Price(PriceCommand),
    /// Settings that the organization gives to its people's clients
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Signed bundles of settings
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Write teams, projects, people, roles, access policies, the teams of groups and published settings to files; never
    /// keys, tokens or secrets
    Export(ExportArgs),
    /// Compare files with the server, changes by hand apart; exit code 1 when they differ
    Diff(DiffArgs),
    /// Make the server as files say
    Apply(ApplyArgs),
    /// Which deployment mode fits your organization, and what to do next; needs no server
    Assess(AssessArgs),
    /// How the server is doing
    Status,
}

/// Arguments of `serve`.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML); without one the defaults hold
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, over file and environment: --set gateway.workers=2
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Arguments of `demo`. Without `--data-dir` it uses a fresh directory and removes it at the end.
#[derive(clap::Args)]
pub(crate) struct DemoArgs {
    /// One setting, over the demo's own: --set listen.gateway=127.0.0.1:9000
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// `config …`
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration without starting anything; reports every mistake at once
    Check(ServeArgs),
    /// Show the effective settings: of a file with --config, else of the running server
    Show(ServeArgs),
    /// Tell the running server to read its configuration again
    Reload,
}

/// `user …`
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Add a person
    Add {
        /// E-mail address
        email: String,
        /// Team to join; may be given several times
        #[arg(long = "team", value_name = "TEAM")]
        teams: Vec<String>,
        /// Name for people to read
        #[arg(long)]
        name: Option<String>,
    },
    /// List people
    List {
        /// Only those whose address or name contains this
        #[arg(long, value_name = "TEXT")]
        find: Option<String>,
    },
    /// Show a person
    Get {
        /// E-mail address or id
        user: String,
    },
    /// Let a disabled person's keys work again
    Enable {
        /// E-mail address or id
        user: String,
    },
    /// Refuse all keys of a person from now on
    Disable {
        /// E-mail address or id
        user: String,
    },
    /// Replace a person's teams
    Teams {
        /// E-mail address or id
        user: String,
        /// All teams from now on; none to leave all
        teams: Vec<String>,
    },
    /// Give a person another address, so that somebody else can have the old one
    Address {
        /// E-mail address or id
        user: String,
        /// The new address
        email: String,
    },
    /// Show where a person signs in, or forget it
    Identities {
        /// E-mail address or id
        user: String,
        /// Forget it and end their sessions: who next signs in with their address is taken for them
        #[arg(long)]
        forget: bool,
    },
    /// Set the password that a person signs in with on the gateway's own page, read from standard input
    Password {
        /// E-mail address or id
        user: String,
        /// Remove it instead, and the second factors with it
        #[arg(long)]
        remove: bool,
    },
    /// Second factors of who signs in on the gateway's own page
    #[command(subcommand)]
    Factor(FactorCommand),
}

/// `user factor …`
#[derive(Subcommand)]
pub(crate) enum FactorCommand {
    /// Show what a person has besides a password
    List {
        /// E-mail address or id
        user: String,
    },
    /// Remove all of it, recovery codes included; local sessions end
    Reset {
        /// E-mail address or id
        user: String,
    },
    /// Make a link by which a person may add an authenticator app or a passkey: once, within a day
    Link {
        /// E-mail address or id
        user: String,
    },
}

/// `team …`
#[derive(Subcommand)]
pub(crate) enum TeamCommand {
    /// Add a team
    Add {
        /// Its name
        name: String,
    },
    /// List teams
    List,
    /// Set the models that a team's members may use
    Models {
        /// The team
        team: String,
        /// The models, separated by commas; `*` at the end stands for anything; none for every model
        #[arg(value_delimiter = ',')]
        models: Vec<String>,
    },
}

/// `project …`
#[derive(Subcommand)]
pub(crate) enum ProjectCommand {
    /// Add a project
    Add {
        /// Its name
        name: String,
    },
    /// List projects
    List,
}

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
    /// When it ends: 30d, 12h, 2026-12-31
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Name for people to read
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// Arguments of `usage`.
#[derive(clap::Args)]
pub(crate) struct UsageArgs {
    /// What there is a row for
    #[arg(long, default_value = "user", value_name = "WHAT")]
    #[arg(value_parser = ["user", "team", "model", "key", "project", "provider", "day", "hour"])]
    pub(crate) by: String,
    /// From when: 7d, 24h, 2026-11-01
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_stable_words_are_understood() {
        for line in [
            "serve --config FILE --data-dir DIR",
            "demo --data-dir DIR",
            "config check --config FILE",
            "--server http://h --token T --json user add a@b.c --team t --team u",
            "team add core",
            "key create --user a@b.c --team t --models a,b --expires 30d",
            "key revoke key_1",
            "usage --by key --since 7d",
            "exchanges --since 2026-11-01",
            "audit export FILE",
            "audit verify FILE --key K --checkpoint C",
            "client token --server http://h --from env:ID_TOKEN",
            "client token --from -",
            "settings new base --for team:core -f FILE --lock model --lock env --priority 3",
            "settings approve base 2 --note fine --checksum S",
            "settings explain a@b.c permissions.deny",
            "settings publish base 2 --at 2h",
            "settings unschedule base",
            "settings audience assign pilot --user a@b.c --team core --percent 10 --starts 1h --ends 2w",
            "settings audience widen pilot --percent 25",
            "settings schema import FILE --client 2.1.340 --dry-run",
            "settings lint FILE --schema FILE",
            "settings export --format bundle --team core -o DIR",
            "bundle verify FILE --key K",
        ] {
            let words = std::iter::once("gatehouse").chain(line.split(' '));
            let parsed = Args::try_parse_from(words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
        }
        let Command::Key(KeyCommand::Create(create)) =
            Args::try_parse_from(["gatehouse", "key", "create", "--user", "u", "--models", "a,b"])
                .unwrap()
                .command
        else {
            panic!("key create")
        };
        assert_eq!(create.models, ["a", "b"]);
    }
}
