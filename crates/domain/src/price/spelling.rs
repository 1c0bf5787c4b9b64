//! One model, many names: how Bedrock, Vertex AI and dated identifiers are brought back to Anthropic's own.

/// What may stand around a model's name.
#[derive(Debug, Clone)]
pub(super) struct Spelling {
    pub(super) places: Vec<String>,
    pub(super) vendors: Vec<String>,
}

impl Spelling {
    /// The name without decoration.
    pub(super) fn canonical<'a>(&self, name: &'a str) -> &'a str {
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = without_prefix(name, &self.places);
        let name = without_prefix(name, &self.vendors);
        let name = without_bracket(name);
        let name = name.split('@').next().unwrap_or(name);
        without_date(without_version(name))
    }
}

fn without_prefix<'a>(name: &'a str, prefixes: &[String]) -> &'a str {
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_str())).unwrap_or(name)
}

/// Without a `[1m]` at the end, by which the client marks a long context.
fn without_bracket(name: &str) -> &str {
    match name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
        Some((before, _)) => before,
        None => name,
    }
}

/// Without `-v1` or `-v1:0` at the end.
fn without_version(name: &str) -> &str {
    let Some((before, version)) = name.rsplit_once("-v") else { return name };
    let (major, minor) = version.split_once(':').unwrap_or((version, "0"));
    if is_number(major) && is_number(minor) { before } else { name }
}

/// Without `-20250929` at the end.
fn without_date(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((before, date)) if date.len() == 8 && is_number(date) => before,
        _ => name,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
