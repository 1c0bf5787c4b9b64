//! What somebody is told whose command line is not understood.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{Command, Error};

/// The error with the usage of the very command. The parser's own line lists what was given as if it were required, and counts
/// among it what the environment gives: somebody with a token in their environment would read that each command needs one.
pub(crate) fn plainly(mut error: Error, mut command: Command, words: &[String]) -> Error {
    if error.get(ContextKind::Usage).is_some() {
        command.build();
        let usage = usage_of(&mut command, words);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error
}

/// The usage of the command that these words name.
fn usage_of(command: &mut Command, words: &[String]) -> StyledStr {
    let mut rest = words.iter().enumerate();
    while let Some((at, word)) = rest.next() {
        if let Some(option) = word.strip_prefix("--") {
            let is_it = |arg: &clap::Arg| arg.get_long() == Some(option) && arg.get_action().takes_values();
            if command.get_arguments().any(is_it) {
                rest.next();
            }
        } else if let Some(named) = command.find_subcommand_mut(word) {
            return usage_of(named, words.get(at + 1..).unwrap_or_default());
        }
    }
    command.render_usage()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::args::Args;

    fn told(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let matches =
            Args::command().try_get_matches_from(std::iter::once(&"gatehouse".to_owned()).chain(&words));
        let error = matches.and_then(|matches| Args::from_arg_matches(&matches)).err().unwrap();
        plainly(error, Args::command(), &words).to_string()
    }

    #[test]
    fn what_was_given_is_not_told_to_be_required() {
        for line in [
            "--token T limit add",
            "limit add --token T",
            "limit --server key --token=T add requests",
            "limit add requests 5 --token T --wrong",
        ] {
            let told = told(line);
            assert!(
                told.contains("Usage: gatehouse limit add [OPTIONS] <MEASURE> <AMOUNT>\n"),
                "{line}: {told}"
            );
            assert!(!told.contains("--token <TOKEN>"), "{line}: {told}");
        }
    }

    /// Each command, with all those below it.
    fn each(command: &mut Command, check: &dyn Fn(&str, &str)) {
        let (name, usage) = (command.get_name().to_owned(), command.render_usage().to_string());
        check(&name, &usage);
        for below in command.get_subcommands_mut() {
            each(below, check);
        }
    }

    #[test]
    fn no_command_requires_what_every_command_takes() {
        let mut command = Args::command();
        command.build();
        let global: Vec<String> = command
            .get_arguments()
            .filter(|arg| arg.is_global_set())
            .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
            .collect();
        assert!(global.contains(&"--token".to_owned()), "{global:?}");
        each(&mut command, &|name, usage| {
            for option in &global {
                assert!(usage.split([' ', '\n']).all(|word| word != option), "{name}: {usage}");
            }
        });
    }
}
