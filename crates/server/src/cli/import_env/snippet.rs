//! Reading the variables that a snippet of a shell sets.

/// A variable as it is set. The value may be a secret, so there is no `Debug`.
pub(super) struct Variable {
    /// Its name.
    pub(super) name: String,
    /// Its value, as far as it can be read without running anything.
    pub(super) value: String,
    /// In which line, from 1.
    pub(super) line: usize,
}

/// Most variables that are looked at.
const MAX_VARIABLES: usize = 500;

/// Reads `export A=b`, `A=b`, `set -gx A b`, `$env:A = "b"`, `setx A b` and `set A=b`, also within the fences of a document. Other
/// lines are passed over. Of a variable that is set twice the last value counts, as for a shell.
pub(super) fn read(text: &str) -> Vec<Variable> {
    let mut found: Vec<Variable> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        // What a shell runs in one line are several commands.
        let Some((name, value)) = assignment(line) else { continue };
        found.retain(|known| known.name != name);
        if found.len() < MAX_VARIABLES {
            found.push(Variable { name: name.to_owned(), value, line: number });
        }
    }
    found
}

fn assignment(line: &str) -> Option<(&str, String)> {
    let line = line.trim().trim_start_matches(['>', ' ']).trim_start_matches("$ ");
    if line.starts_with('#') || line.starts_with("//") {
        return None;
    }
    if let Some(rest) = line.strip_prefix("$env:") {
        let (name, value) = rest.split_once('=')?;
        return named(name.trim(), value.trim());
    }
    for words in ["set -gx ", "set -x ", "set -Ux ", "setx "] {
        if let Some(rest) = line.strip_prefix(words) {
            let (name, value) = rest.trim().split_once(char::is_whitespace)?;
            return named(name, value.trim());
        }
    }
    let rest = ["export ", "set ", "declare -x ", "typeset -x ", "setenv "]
        .into_iter()
        .find_map(|words| line.strip_prefix(words))
        .unwrap_or(line);
    let (name, value) = rest.trim_start().split_once('=')?;
    named(name, value)
}

fn named<'a>(name: &'a str, value: &str) -> Option<(&'a str, String)> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fits = !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(good)
        && !name.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| (name, unquoted(value)))
}

/// A value without its quotes, and without what follows it in the line.
fn unquoted(value: &str) -> String {
    let value = value.trim_start();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or_default().to_owned();
        }
    }
    let end = value.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(value.len());
    value[..end].trim_end_matches('`').to_owned()
}
