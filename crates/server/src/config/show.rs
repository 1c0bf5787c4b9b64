//! The effective configuration as text, without secrets, and what differs between two of them.

use super::tree::{Node, Value};

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its full name, such as `gateway.workers` or `provider[main].base_url`.
    pub(crate) key: String,
    /// Its value; a password in it is replaced by `***`.
    pub(crate) value: String,
    /// Where it was written.
    pub(crate) origin: String,
}

/// A setting that differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its full name.
    pub(crate) key: String,
    /// Whether it takes effect without a restart.
    pub(crate) reloadable: bool,
}

/// All settings of a tree, sorted by name.
pub(crate) fn settings(tree: &Node) -> Vec<Shown> {
    let mut out = Vec::new();
    walk("", tree, &mut out);
    out.sort_by(|a, b| a.key.cmp(&b.key));
    out
}

/// What differs.
pub(crate) fn changes(old: &[Shown], new: &[Shown]) -> Vec<Change> {
    let value = |list: &[Shown], key: &str| list.iter().find(|s| s.key == key).map(|s| s.value.clone());
    let mut keys: Vec<&String> = old.iter().chain(new).map(|shown| &shown.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| value(old, key) != value(new, key))
        .map(|key| Change { key: key.clone(), reloadable: is_reloadable(key) })
        .collect()
}

fn is_reloadable(key: &str) -> bool {
    const STARTS: &[&str] = &[
        "data_class.",
        "secrets.",
        "identity.",
        "directory[",
        "scim.",
        "settings.",
        "telemetry.",
        "log_forward[",
        "mode.",
        "provider[",
        "provider_defaults.",
        "pricing.",
        "routing.",
        "route[",
        "alias[",
        "drain.",
        "policy.",
        "audit.",
        "backup.",
        "alerts.",
        "log.filter",
        "gateway.",
        "tls.",
        "proxy.",
        "egress.",
        "provider_report[",
        "inspection.",
        "data_protection.",
    ];
    let is_list = key == "listen.client_header"
        || ["listen.trusted_proxies", "listen.proxy_protocol"]
            .iter()
            .any(|list| key.strip_prefix(list).is_some_and(|rest| rest.is_empty() || rest.starts_with('[')));
    let at_start =
        ["gateway.workers", "proxy.workers"].contains(&key) || key.starts_with("proxy.name_servers");
    is_list || STARTS.iter().any(|start| key.starts_with(start)) && !at_start
}

fn walk(path: &str, node: &Node, out: &mut Vec<Shown>) {
    let value = match &node.value {
        Value::Section(members) => {
            for (key, member) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&path, member, out);
            }
            return;
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.name().map_or_else(|| index.to_string(), str::to_owned);
                walk(&format!("{path}[{name}]"), item, out);
            }
            return;
        }
        Value::Text(text) => format!("\"{}\"", without_password(text)),
        Value::Number(digits) => digits.clone(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Other(name) => (*name).to_owned(),
    };
    out.push(Shown { key: path.to_owned(), value, origin: node.origin.to_string() });
}

/// Replaces the password of `scheme://user:password@host`, wherever it may be hidden in the address's query as well.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let rest = match rest[..end].rfind('@') {
        Some(at) => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            format!("{user}:***{}", &rest[at..])
        }
        None => rest.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((before, _)) => format!("{before}?***"),
        None => rest,
    };
    format!("{scheme}://{rest}")
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn passwords_are_not_shown() {
        for (given, shown) in [
            ("sqlite", "sqlite"),
            ("postgres://u:canary@h:5432/db", "postgres://u:***@h:5432/db"),
            ("postgres://u:can@ry@h/db", "postgres://u:***@h/db"),
            ("postgres://h/db?password=canary", "postgres://h/db?***"),
            ("https://api.anthropic.com", "https://api.anthropic.com"),
        ] {
            assert_eq!(without_password(given), shown);
        }
    }
}
