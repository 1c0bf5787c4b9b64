//! The process's environment, read once and passed on as a value.

use std::collections::BTreeMap;

/// Environment variables. Those that are not UTF-8 are left out: none of ours can be.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    /// Values by name.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect() }
    }

    /// A variable's value; an empty one counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
