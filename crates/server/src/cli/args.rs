//! The words of the command line.

mod access;
mod code;
mod directory;
mod operate;
mod secret;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::assess::AssessArgs;
use super::backup::{BackupArgs, RestoreArgs};
use super::budget::BudgetCommand;
use super::conformance::ConformanceArgs;
use super::doctor::{DoctorArgs, ReadinessCommand};
use super::feedback::{FeedbackCommand, MetricsArgs};
use super::helper::ClientCommand;
use super::import_env::ImportEnvArgs;
use super::mode::{ModeCommand, TelemetryCommand};
use super::onboarding::OnboardingArgs;
use super::proxy::ProxyCommand;
use super::reconcile::ReconcileArgs;
use super::report::ReportCommand;
use super::rollout::RolloutCommand;
use super::settings::{BundleCommand, SettingsCommand};
pub(crate) use access::{AccessCommand, ExplainArgs, RoleCommand};
pub(crate) use code::{ApplyArgs, DiffArgs, ExportArgs};
pub(crate) use directory::{DirectoryCommand, GroupCommand, ScimCommand, ScimTokenCommand};
pub(crate) use operate::{
    AdminCommand, AuditCommand, ProviderCommand, RouteCommand, RouteExplainArgs, TokenCommand,
};
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
    /// The forward proxy: where people may go, and where they went
    #[command(subcommand)]
    Proxy(ProxyCommand),
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
    /// What clients tell of their own use
    #[command(subcommand)]
    Telemetry(TelemetryCommand),
    /// Which way clients go: straight to the provider, through a proxy, to the gateway, or both
    #[command(subcommand)]
    Mode(ModeCommand),
    /// Print what a person needs to begin, in their mode
    Onboarding(OnboardingArgs),
    /// Say what the client does with the variables of a shell snippet, and propose a form that works; needs no server
    ImportEnv(ImportEnvArgs),
    /// Single exchanges, one JSON line each, newest first
    Exchanges(ExchangesArgs),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Go through the readiness checklist: what is found out now, and what people state; exit code 1 if something is missing
    Doctor(DoctorArgs),
    /// Say who sees to an item of the checklist, what was done, or why it may wait
    #[command(subcommand)]
    Readiness(ReadinessCommand),
    /// Write everything there is into one file, while the server runs
    Backup(BackupArgs),
    /// Fill an empty deployment from a backup, check one, or try one out
    Restore(RestoreArgs),
    /// Model providers
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Which provider a request goes to
    #[command(subcommand)]
    Route(RouteCommand),
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
    /// Settings on their way to people, in phases that must prove themselves
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// What people think
    #[command(subcommand)]
    Feedback(FeedbackCommand),
    /// The six figures: adoption, frequency, error rate, response time, cost per user, satisfaction
    Metrics(MetricsArgs),
    /// Write teams, projects, people, roles, access policies, the teams of groups and published settings to files; never
    /// keys, tokens or secrets
    Export(ExportArgs),
    /// Compare files with the server, changes by hand apart; exit code 1 when they differ
    Diff(DiffArgs),
    /// Make the server as files say
    Apply(ApplyArgs),
    /// Which deployment mode fits your organization, and what to do next; needs no server
    Assess(AssessArgs),
    /// Reports for finance: who bears what, closed months, forecasts, anomalies, caching, what nobody uses
    #[command(subcommand)]
    Report(ReportCommand),
    /// Compare a month of the ledger with a provider's bill; exit code 1 when they differ too much
    Reconcile(ReconcileArgs),
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
    /// Set how sensitive the data is that a team works on; access policies may ask for it
    Set {
        /// The team
        team: String,
        /// What to set
        #[command(flatten)]
        class: ClassArgs,
    },
}

/// A data class, or none.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ClassArgs {
    /// A class of `data_class.order` in the configuration
    #[arg(long, value_name = "CLASS")]
    pub(crate) data_class: Option<String>,
    /// Say nothing of it any more
    #[arg(long)]
    no_data_class: bool,
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
    /// Set how sensitive a project's data is; access policies may ask for it
    Set {
        /// The project
        project: String,
        /// What to set
        #[command(flatten)]
        class: ClassArgs,
    },
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
    /// Whose word: what the gateway counted, or what clients claim
    #[arg(long, default_value = "gateway", value_parser = ["gateway", "client"])]
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
            "usage --source client --by model",
            "mode plan hybrid --team core",
            "mode set inherit --team core",
            "onboarding a@b.c --os windows --shell fish --lang zh-TW",
            "import-env -",
            "telemetry events --name api_request --since 1d",
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
            "proxy rule add claude allow --preset core --host *.corp.example --port 443,8443 --team t --before x",
            "proxy rule list",
            "proxy rule remove claude",
            "proxy explain a@b.c host.example:443",
            "proxy tunnels --json --since 1h",
            "key create --user a@b.c --for proxy",
            "client proxy-token --gateway g.example",
            "settings lint FILE --schema FILE",
            "settings export --format bundle --team core -o DIR",
            "bundle verify FILE --key K",
            "report chargeback --month 2026-10 --by team --format focus",
            "report close 2026-10",
            "report unused --days 30",
            "reconcile --source aws-cur2 --file F --month 2026-10",
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
