//! `gatehouse demo`: the server with a scripted model behind it and a sample organization in it.

mod script;
mod message;
mod model;
mod organization;

use zeroize::Zeroizing;

use crate::cli::{DemoArgs, Failure, Global, Out, exports};
use crate::clock;
use crate::config::Sources;
use crate::environment::Environment;
use crate::wire::{self, IfTaken, Start};

/// The variable in which the scripted model's key is handed to the configuration; never in the real environment.
const KEY_VARIABLE: &str = "SCRIPTED_MODEL_KEY";

/// Runs `demo`. Without a data directory it uses a fresh one and removes it at the end.
pub(crate) fn run(
    args: &DemoArgs,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let key = Zeroizing::new(format!("sk-scripted-{:032x}", clock::random_bits()));
    let address = model::start(key.to_string(), u64::try_from(clock::now().0).unwrap_or(1))?;
    let temporary = match &global.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("gatehouse-demo-").tempdir()?),
    };
    let data_dir = match (&global.data_dir, &temporary) {
        (Some(given), _) => given.clone(),
        (None, Some(made)) => made.path().to_owned(),
        (None, None) => return Err(Failure::Failed("there is no data directory for the demo".to_owned())),
    };
    let start = Start {
        sources: sources(args, environment, address),
        environment: with_key(environment, &key),
        data_dir,
        if_taken: IfTaken::Move,
    };
    let code = wire::run(start, |ready| {
        let client = wire::client(ready)?;
        let key = organization::furnish(&client)?;
        out.line(format!(
            "Gatehouse {} demo: a scripted model, no provider, no cost.",
            env!("CARGO_PKG_VERSION")
        ))?;
        out.line("In another terminal, point Claude Code at it:\n")?;
        out.line(exports(&ready.gateway, &key))?;
        out.line("\nand try:\n\n  claude -p \"list the files here\" --allowedTools Bash\n\nThen see what was recorded:\n")?;
        let dir = ready.data_dir.display();
        for command in ["exchanges --table", "usage --by team", "user list", "audit list"] {
            out.line(format!("  gatehouse --data-dir {dir} {command}"))?;
        }
        out.line(format!(
            "\nManagement API: {}. Stop with Ctrl-C{}.",
            ready.admin,
            farewell(temporary.is_some())
        ))?;
        Ok(())
    });
    if let Some(temporary) = temporary {
        temporary.close()?;
    }
    code
}

const fn farewell(is_temporary: bool) -> &'static str {
    if is_temporary { "; everything is then removed (--data-dir DIR keeps it)" } else { "" }
}

/// The demo's configuration: the scripted model is its one provider, whatever else the environment says.
fn sources(args: &DemoArgs, environment: &Environment, address: std::net::SocketAddr) -> Sources {
    let mut flags = vec![
        "log.filter=warn".to_owned(),
        "drain.seconds=2".to_owned(),
        format!("provider.scripted.base_url=http://{address}"),
        format!("provider.scripted.api_key=env:{KEY_VARIABLE}"),
    ];
    flags.extend(args.set.iter().cloned());
    let mut variables = environment.variables.clone();
    variables.retain(|name, _| !name.starts_with("GATEHOUSE__"));
    if variables.contains_key("GATEHOUSE_LOG") {
        flags.remove(0);
    }
    Sources { file: None, variables, flags }
}

fn with_key(environment: &Environment, key: &str) -> Environment {
    let mut environment = environment.clone();
    environment.variables.insert(KEY_VARIABLE.to_owned(), key.to_owned());
    environment
}
