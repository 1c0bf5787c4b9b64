//! `gatehouse demo`: the server with a scripted model behind it and a sample organization in it.

mod script;
mod message;
mod model;
mod organization;

use std::path::Path;

use gatehouse_store::data_dir::DataDir;
use zeroize::Zeroizing;

use crate::cli::{ADMIN_TOKEN_FILE, DemoArgs, Failure, Global, Out, exports};
use crate::clock;
use crate::config::Sources;
use crate::environment::Environment;
use crate::wire::{self, IfTaken, Start};

/// The variable in which the scripted model's key is handed to the configuration; never in the real environment.
const KEY_VARIABLE: &str = "SCRIPTED_MODEL_KEY";

/// The file that says that a data directory is one of demos.
const MARKER: &str = "demo";

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
    claim(&data_dir)?;
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

/// Marks a data directory as one of demos. One that a real server has filled is refused: sample people and a scripted
/// model have no place in it.
fn claim(data_dir: &Path) -> Result<(), Failure> {
    let marker = data_dir.join(MARKER);
    if marker.exists() {
        return Ok(());
    }
    if data_dir.join("gatehouse.db").exists() || data_dir.join(ADMIN_TOKEN_FILE).exists() {
        let path = data_dir.display();
        return Err(Failure::Usage(format!(
            "`{path}` is the data directory of a real server; name another one for the demo"
        )));
    }
    DataDir::open(data_dir).map_err(|error| Failure::Failed(error.to_string()))?;
    std::fs::write(marker, "This directory belongs to `gatehouse demo`.\n")?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_servers_directory_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (fresh, real) = (folder.path().join("fresh"), folder.path().join("real"));
        assert!(claim(&fresh).is_ok() && claim(&fresh).is_ok());
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("gatehouse.db"), "").unwrap();
        assert!(matches!(claim(&real), Err(Failure::Usage(_))));
    }

    #[test]
    fn the_scripted_model_is_the_only_provider() {
        let environment = Environment {
            variables: [("GATEHOUSE__PROVIDER__REAL__API_KEY", "env:X"), ("ANTHROPIC_API_KEY", "sk-real")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let args = DemoArgs { set: Vec::new() };
        let sources = sources(&args, &environment, ([127, 0, 0, 1], 9).into());
        let config = crate::config::load(&sources).unwrap();
        let providers: Vec<(&str, &str)> =
            config.providers.iter().map(|p| (p.name.as_str(), p.base_url.as_str())).collect();
        assert_eq!(providers, [("scripted", "http://127.0.0.1:9")]);
    }
}
