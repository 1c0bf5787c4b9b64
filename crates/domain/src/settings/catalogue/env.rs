//! What is known of environment variables in `env`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Lists of variables by what they do. An entry may begin, end or be parted by one asterisk, which stands for any
/// characters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvRules {
    quiet: Vec<String>,
    secret: Vec<String>,
    redirect: Vec<String>,
    runs: Vec<String>,
    content: Vec<String>,
    model: Vec<String>,
    switch: Vec<String>,
    values: BTreeMap<String, Vec<String>>,
}

/// What a variable takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvValues<'a> {
    /// Any text, as far as is known.
    Any,
    /// `0` or `1`.
    Switch,
    /// One of these.
    OneOf(&'a [String]),
}

impl EnvRules {
    /// Whether the client applies it without asking the user.
    pub fn is_quiet(&self, name: &str) -> bool {
        has(&self.quiet, name)
    }

    /// Whether it holds a credential.
    pub fn is_secret(&self, name: &str) -> bool {
        has(&self.secret, name)
    }

    /// Whether it decides where prompts, replies or telemetry go, or whom the client trusts on the way.
    pub fn redirects(&self, name: &str) -> bool {
        has(&self.redirect, name)
    }

    /// Whether it makes programs run, or decides which.
    pub fn runs(&self, name: &str) -> bool {
        has(&self.runs, name)
    }

    /// Whether it puts what people write or what tools return into telemetry.
    pub fn exports_content(&self, name: &str) -> bool {
        has(&self.content, name)
    }

    /// Whether it names a model.
    pub fn is_model(&self, name: &str) -> bool {
        has(&self.model, name)
    }

    /// What it takes.
    pub fn values(&self, name: &str) -> EnvValues<'_> {
        match self.values.get(name) {
            Some(values) => EnvValues::OneOf(values),
            None if has(&self.switch, name) => EnvValues::Switch,
            None => EnvValues::Any,
        }
    }
}

fn has(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    })
}
