//! The command line: what can be asked for, and the way from a command to its exit code.

mod args;
mod client;
mod credential;
mod output;
mod table;
mod people;
mod access;
mod alerts;
mod budget;
mod limit;
mod proxy;
mod inspection;
mod role;
mod route;
mod directory;
mod key;
mod session;
mod factor;
mod helper;
mod spending;
mod mode;
mod mode_report;
mod trace;
mod onboarding;
mod import_env;
mod conformance;
mod audit;
mod config;
mod data;
mod operate;
mod secret;
mod settings;
mod code;
mod language;
mod assess;
mod plan;
mod log_forward;
mod maintenance;
mod backup;
mod doctor;
mod network;
mod rollout;
mod feedback;
mod metrics;
mod wrong_usage;
mod report;
mod reconcile;
mod analytics;
mod retention;
mod scale;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::environment::Environment;

pub(crate) use args::{Args, Command, DemoArgs, Global, ServeArgs};
pub(crate) use client::Client;
pub(crate) use config::{exposed, read as read_config, sources};
pub(crate) use credential::{ADMIN_TOKEN_FILE, LISTEN_FILE, data_dir, read_token};
pub(crate) use key::exports;
pub(crate) use output::{Out, is_shown, is_watched};
pub(crate) use table::{Align, Table};

/// Why a command did not succeed. Each kind has an exit code of its own, which scripts may rely on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server said no, or something went wrong on the way. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The command or the configuration is not as it must be. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The server cannot be reached. Exit code 3.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("cannot write the output: {error}"))
    }
}

/// Reads the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let environment = Environment::from_process();
    // Wrong usage ends in here with exit code 2; `--help` and `--version` with 0.
    let args = Args::try_parse().unwrap_or_else(|error| {
        let words: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        wrong_usage::plainly(error, Args::command(), &words).exit()
    });
    let mut out = Out::new(args.global.json);
    let result = run(args, &environment, &mut out);
    match result {
        Ok(code) => ExitCode::from(code),
        // Whoever read our output has seen enough.
        Err(_) if out.is_closed() => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&format!("gatehouse: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a line or three a command")]
fn run(args: Args, environment: &Environment, out: &mut Out) -> Result<u8, Failure> {
    let global = &args.global;
    match args.command {
        Command::Serve(serve) => crate::wire::serve(&serve, global, environment, out),
        Command::Demo(demo) => crate::demo::run(&demo, global, environment, out),
        Command::Config(command) => config::run(command, global, environment, out),
        Command::Alerts(command) => {
            alerts::run(command, environment, &client::connect(global, environment)?, out)
        }
        Command::Audit(command) => audit::run(command, global, environment, out),
        Command::User(command) => people::user(command, &client::connect(global, environment)?, out),
        Command::Team(command) => people::team(command, &client::connect(global, environment)?, out),
        Command::Project(command) => people::project(command, &client::connect(global, environment)?, out),
        Command::Access(command) => access::run(command, &client::connect(global, environment)?, out),
        Command::Limit(command) => limit::run(command, &client::connect(global, environment)?, out),
        Command::Budget(command) => budget::run(command, &client::connect(global, environment)?, out),
        Command::Data(command) => data::run(&command, out),
        Command::Scale(args) => scale::run(&args, out),
        Command::Retention(command) => retention::run(&command, &client::connect(global, environment)?, out),
        Command::Proxy(command) => proxy::run(command, &client::connect(global, environment)?, out),
        Command::Inspection(command) => inspection::run(command, &client::connect(global, environment)?, out),
        Command::Role(command) => role::run(command, &client::connect(global, environment)?, out),
        Command::Explain(args) => access::explain(&args, &client::connect(global, environment)?, out),
        Command::Key(command) => key::run(command, &client::connect(global, environment)?, out),
        Command::Session(command) => session::run(command, &client::connect(global, environment)?, out),
        Command::Client(command) => helper::run(command, global, environment, out),
        Command::Usage(command) => spending::usage(&command, &client::connect(global, environment)?, out),
        Command::Analytics(command) => analytics::run(&command, &client::connect(global, environment)?, out),
        Command::Telemetry(command) => mode::telemetry(&command, &client::connect(global, environment)?, out),
        Command::Mode(command) => mode::mode(&command, &client::connect(global, environment)?, out),
        Command::Onboarding(args) => {
            onboarding::run(&args, &client::connect(global, environment)?, environment, out)
        }
        Command::ImportEnv(args) => import_env::run(&args, out),
        Command::Exchanges(command) => {
            spending::exchanges(&command, &client::connect(global, environment)?, out)
        }
        Command::Trace(args) => trace::run(&args, &client::connect(global, environment)?, out),
        Command::Conformance(args) => conformance::run(&args, &client::connect(global, environment)?, out),
        Command::Price(command) => spending::price(&command, environment, out),
        Command::Provider(command) => operate::provider(command, &client::connect(global, environment)?, out),
        Command::Route(command) => route::run(command, &client::connect(global, environment)?, out),
        Command::Secrets(command) => secret::run(command, &client::connect(global, environment)?, out),
        Command::Admin(command) => operate::admin(command, &client::connect(global, environment)?, out),
        Command::Directory(command) => {
            directory::directory(command, &client::connect(global, environment)?, out)
        }
        Command::Scim(command) => directory::scim(command, &client::connect(global, environment)?, out),
        Command::Settings(command) => settings::run(command, global, environment, out),
        Command::Bundle(command) => settings::bundle(&command, out),
        Command::Rollout(command) => rollout::run(command, &client::connect(global, environment)?, out),
        Command::Feedback(command) => feedback::run(command, &client::connect(global, environment)?, out),
        Command::Metrics(args) => metrics::run(&args, &client::connect(global, environment)?, out),
        Command::Export(args) => code::export(&args, &client::connect(global, environment)?, out),
        Command::Diff(args) => code::diff(&args, &client::connect(global, environment)?, out),
        Command::Apply(args) => code::apply(&args, &client::connect(global, environment)?, out),
        Command::Assess(args) => assess::run(&args, environment, out),
        Command::Maintenance(args) => maintenance::run(&args, &client::connect(global, environment)?, out),
        Command::LogForward(command) => {
            log_forward::run(&command, &client::connect(global, environment)?, out)
        }
        Command::Plan(command) => {
            plan::run(command, environment, &client::connect(global, environment)?, out)
        }
        Command::Backup(args) => backup::backup(&args, global, environment, out),
        Command::Restore(args) => backup::restore(&args, global, environment, out),
        Command::Network(command) => network::run(&command, environment, out),
        Command::Doctor(args) if args.is_network()? => {
            doctor::network::run(&args.network, global, environment, out)
        }
        Command::Doctor(args) => doctor::doctor(&args, global, environment, out),
        Command::Readiness(command) => {
            doctor::readiness(command, &client::connect(global, environment)?, out)
        }
        Command::Report(command) => report::run(command, &client::connect(global, environment)?, out),
        Command::Reconcile(args) => reconcile::run(&args, &client::connect(global, environment)?, out),
        Command::Status => operate::status(&client::connect(global, environment)?, out),
    }
}
