//! The words of the command line.

mod access;
mod code;
mod directory;
mod key;
mod operate;
mod people;
mod secret;
mod spending;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::alerts::AlertsCommand;
use super::analytics::AnalyticsCommand;
use super::assess::AssessArgs;
use super::backup::{BackupArgs, RestoreArgs};
use super::budget::BudgetCommand;
use super::conformance::ConformanceArgs;
use super::data::DataCommand;
use super::doctor::{DoctorArgs, ReadinessCommand};
use super::feedback::FeedbackCommand;
use super::helper::ClientCommand;
use super::import_env::ImportEnvArgs;
use super::inspection::InspectionCommand;
use super::limit::LimitCommand;
use super::log_forward::LogForwardCommand;
use super::maintenance::MaintenanceArgs;
use super::metrics::MetricsArgs;
use super::mode::{ModeCommand, TelemetryCommand};
use super::network::NetworkCommand;
use super::onboarding::OnboardingArgs;
use super::plan::PlanCommand;
use super::proxy::ProxyCommand;
use super::reconcile::ReconcileArgs;
use super::report::ReportCommand;
use super::retention::RetentionCommand;
use super::rollout::RolloutCommand;
use super::scale::ScaleArgs;
use super::settings::{BundleCommand, SettingsCommand};
use super::trace::TraceArgs;
pub(crate) use access::{AccessCommand, ExplainArgs, RoleCommand};
pub(crate) use code::{ApplyArgs, DiffArgs, ExportArgs};
pub(crate) use directory::{DirectoryCommand, GroupCommand, ScimCommand, ScimTokenCommand};
pub(crate) use key::{KeyCommand, KeyCreate, SessionCommand};
pub(crate) use operate::{
    AdminCommand, AuditCommand, ProviderCommand, RouteCommand, RouteExplainArgs, TokenCommand,
};
pub(crate) use people::{ClassArgs, FactorCommand, ProjectCommand, TeamCommand, UserCommand};
pub(crate) use secret::SecretsCommand;
pub(crate) use spending::{ExchangesArgs, PriceCommand, UsageArgs};

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
    /// Authority to trust besides the system's (PEM), for an address that begins with https://
    #[arg(long, global = true, env = "GATEHOUSE_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Client certificate to show the server (PEM)
    #[arg(
        long,
        global = true,
        env = "GATEHOUSE_CLIENT_CERTIFICATE",
        value_name = "FILE",
        requires = "client_key"
    )]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The client certificate's key (PEM)
    #[arg(long, global = true, env = "GATEHOUSE_CLIENT_KEY", value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
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
    /// Limit how much may be asked in a minute, or at the same time
    #[command(subcommand)]
    Limit(LimitCommand),
    /// How large an installation must be for so many developers, and what it costs; asks no server
    Scale(ScaleArgs),
    /// Data protection: what is looked for, and whether a file has it; asks no server
    #[command(subcommand)]
    Data(DataCommand),
    /// How long records are kept
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// The forward proxy: where people may go, and where they went
    #[command(subcommand)]
    Proxy(ProxyCommand),
    /// TLS inspection: what the forward proxy looks into, and the authority that vouches for it
    #[command(subcommand)]
    Inspection(InspectionCommand),
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
    /// The provider's client analytics: what people did with the coding client, whichever way it went
    #[command(subcommand)]
    Analytics(AnalyticsCommand),
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
    /// One request as each part saw it: the forward proxy, the gateway, and the person's client
    Trace(TraceArgs),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The network around Gatehouse
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Alerts: what fires, who is told, what is silenced
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// What has its day: ends of certificates, keys and models, backups, reviews, tasks; exit code 1 while something is overdue
    Maintenance(MaintenanceArgs),
    /// Where the log is handed to, and how far each destination is
    #[command(subcommand)]
    LogForward(LogForwardCommand),
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
    /// The deployment plan that follows from an assessment: tasks, configuration, architecture diagram, documents
    #[command(subcommand)]
    Plan(PlanCommand),
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

#[cfg(test)]
mod tests;
