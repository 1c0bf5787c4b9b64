//! `import-env`: what the client does with the variables of a shell snippet, what is wrong with them, and a form that works.
//!
//! Values are looked at and, where they may be secrets, never shown. Nothing is changed and no server is asked.

mod judge;
mod snippet;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use gatehouse_domain::price::PriceTable;
use serde_json::{Value, json};

use super::table::printable;
use super::{Failure, Out};
use crate::clock;
use judge::{Judged, Level, judge};

/// Largest snippet, in bytes.
const MAX_SNIPPET: u64 = 256 * 1024;

/// Arguments of `import-env`.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 it works as it is, 1 something is to be changed, 2 it cannot be read.")]
pub(crate) struct ImportEnvArgs {
    /// The snippet: a file, or `-` for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
}

/// Runs `import-env`.
pub(crate) fn run(args: &ImportEnvArgs, out: &mut Out) -> Result<u8, Failure> {
    let text = read(args)?;
    let variables = snippet::read(&text);
    if variables.is_empty() {
        return Err(Failure::Usage(format!(
            "`{}` sets no variable; expected lines such as export ANTHROPIC_BASE_URL=https://gateway.example.com",
            args.file.display()
        )));
    }
    let judged = judge(&variables, &PriceTable::builtin(), clock::now());
    if out.wants_json() {
        out.json(&as_json(&judged))?;
    } else {
        print(&judged, out)?;
    }
    Ok(u8::from(judged.findings.iter().any(|finding| finding.level == Level::Warning)))
}

fn read(args: &ImportEnvArgs) -> Result<String, Failure> {
    let refused = |why: String| Failure::Usage(format!("cannot read `{}`: {why}", args.file.display()));
    let mut bytes = Vec::new();
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().take(MAX_SNIPPET + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(&args.file).and_then(|file| file.take(MAX_SNIPPET + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MAX_SNIPPET {
        return Err(refused(format!("it is larger than {} KiB", MAX_SNIPPET / 1024)));
    }
    String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8 text".to_owned()))
}

fn as_json(judged: &Judged) -> Value {
    let variables: Vec<Value> = judged
        .meanings
        .iter()
        .map(|one| json!({"name": one.name, "line": one.line, "client": one.does}))
        .collect();
    let findings: Vec<Value> = judged
        .findings
        .iter()
        .map(|one| {
            json!({
                "level": one.level.as_str(), "code": one.code, "name": one.name, "line": one.line, "message": one.message,
            })
        })
        .collect();
    let proposed: Vec<Value> =
        judged.proposed.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "mode": judged.mode.as_str(),
        "variables": variables,
        "findings": findings,
        "proposed": {"variables": proposed, "settings": judged.settings},
    })
}

fn print(judged: &Judged, out: &mut Out) -> Result<(), Failure> {
    out.line(format!("Mode: {}", judged.mode))?;
    out.line("\nWhat the client does with each variable:")?;
    for one in &judged.meanings {
        out.line(format!("  {}: {} (line {})", printable(&one.name), one.does, one.line))?;
    }
    if !judged.findings.is_empty() {
        out.line("\nWhat to mind:")?;
    }
    for one in &judged.findings {
        let (level, name) = (one.level.as_str(), printable(&one.name));
        out.line(format!("  {level} {} ({name}, line {}): {}", one.code, one.line, printable(&one.message)))?;
    }
    out.line("\n# A form that works, as variables (the keys are yours to put in):")?;
    for (name, value) in &judged.proposed {
        out.line(format!("export {name}='{}'", printable(value).replace('\'', r"'\''")))?;
    }
    out.line("\n# The same as settings of the client, without secrets (~/.claude/settings.json):")?;
    out.line(format!("{:#}", judged.settings))?;
    Ok(())
}
