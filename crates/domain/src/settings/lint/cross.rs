//! Keys that only make sense together, or only apart.

use std::collections::HashSet;

use serde_json::Value;

use super::{Code, Findings, at, path_of, texts_at};
use crate::settings::checksum::canonical_value;
use crate::settings::document::Document;
use crate::settings::path::Path;

/// Restrictions to a list, which block everything if the list is missing or empty.
const LOCKS: &[(&str, &str)] = &[
    ("sandbox.network.allowManagedDomainsOnly", "sandbox.network.allowedDomains"),
    ("sandbox.network.strictAllowlist", "sandbox.network.allowedDomains"),
    ("allowManagedMcpServersOnly", "allowedMcpServers"),
];

/// Lists that allow nothing if they are empty.
const ALLOW_LISTS: &[&str] = &[
    "allowedMcpServers",
    "allowedProviders",
    "availableModels",
    "forceLoginOrgUUID",
    "strictKnownMarketplaces",
    "allowedChannelPlugins",
    "allowedHttpHookUrls",
    "sshHostAllowlist",
];

/// Rules that allow every command.
const BROAD: &[&str] = &["Bash", "Bash(*)", "Bash(:*)", "PowerShell", "PowerShell(*)", "PowerShell(:*)"];

pub(super) fn check(document: &Document, found: &mut Findings) {
    for (lock, list) in LOCKS {
        if is_true(document, lock) && is_missing_or_empty(at(document, list)) {
            found.about(Code::LockWithoutList, &path_of(lock), "", list);
        }
    }
    for list in ALLOW_LISTS {
        if at(document, list).is_some_and(|value| value.as_array().is_some_and(Vec::is_empty)) {
            found.plain(Code::AllowsNothing, &path_of(list));
        }
    }
    check_permissions(document, found);
    check_login(document, found);
    check_partners(document, found);
    for (key, value) in document.as_map() {
        check_duplicates(&Path::root().key(key), value, found);
    }
}

fn check_permissions(document: &Document, found: &mut Findings) {
    let denied = texts_at(document, &path_of("permissions.deny"));
    let denied: HashSet<&str> = denied.into_iter().map(|(_, rule)| rule).collect();
    for list in ["permissions.allow", "permissions.ask"] {
        let path = path_of(list);
        for (index, rule) in texts_at(document, &path) {
            if denied.contains(rule) {
                found.about(Code::AllowedAndDenied, &path.index(index), rule, "");
            } else if list == "permissions.allow" && BROAD.contains(&rule) {
                found.about(Code::BroadAllow, &path.index(index), rule, "");
            }
        }
    }
    let mode = at(document, "permissions.defaultMode").and_then(Value::as_str);
    let path = path_of("permissions.defaultMode");
    if mode == Some("bypassPermissions") {
        let disabled = "permissions.disableBypassPermissionsMode";
        match at(document, disabled) {
            Some(_) => found.about(Code::NoEffect, &path, "", disabled),
            None => found.about(Code::BroadAllow, &path, "bypassPermissions", ""),
        }
    }
    if mode == Some("auto") {
        let disabled = ["disableAutoMode", "permissions.disableAutoMode"];
        if let Some(disabled) = disabled.into_iter().find(|key| at(document, key).is_some()) {
            found.about(Code::NoEffect, &path, "", disabled);
        }
    }
}

/// Ways to sign in that stop a client which has a credential for the gateway.
fn check_login(document: &Document, found: &mut Findings) {
    let credentials = ["env.ANTHROPIC_AUTH_TOKEN", "env.ANTHROPIC_API_KEY", "apiKeyHelper"];
    let Some(credential) = credentials.into_iter().find(|key| !is_missing_or_empty(at(document, key))) else {
        return;
    };
    for key in ["forceLoginMethod", "forceLoginOrgUUID"] {
        if at(document, key).is_some() {
            found.about(Code::LoginBlocksCredential, &path_of(key), "", credential);
        }
    }
}

/// Keys that need another one, or that another one makes ineffective.
fn check_partners(document: &Document, found: &mut Findings) {
    let mut needs = |key: &str, holds: bool, other: &str| {
        if at(document, key).is_some() && !holds {
            found.about(Code::NeedsOther, &path_of(key), "", other);
        }
    };
    let helper = "env.CLAUDE_CODE_ENABLE_PROXY_AUTH_HELPER";
    needs("proxyAuthHelper", at(document, helper).is_some_and(|value| value == "1"), helper);
    let endpoint = "env.ANTHROPIC_BASE_URL";
    let custom =
        texts_at(document, &path_of("allowedProviders")).iter().any(|(_, name)| *name == "customEndpoint");
    needs("allowedProviders", !custom || !is_missing_or_empty(at(document, endpoint)), endpoint);
    let quiet = "env.CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC";
    let survey = "env.CLAUDE_CODE_ENABLE_FEEDBACK_SURVEY_FOR_OTEL";
    let surveyed = at(document, quiet).is_none_or(|value| value != "1") || at(document, survey).is_some();
    needs("feedbackSurveyRate", surveyed, survey);
    if is_true(document, "disableAllHooks") {
        for key in ["hooks", "statusLine"].into_iter().filter(|key| !is_missing_or_empty(at(document, key))) {
            found.about(Code::NoEffect, &path_of(key), "", "disableAllHooks");
        }
    }
    if is_true(document, "disableArtifact") && is_true(document, "enableArtifact") {
        found.about(Code::NoEffect, &path_of("enableArtifact"), "", "disableArtifact");
    }
}

/// Entries that a list of texts or objects has twice.
fn check_duplicates(path: &Path, value: &Value, found: &mut Findings) {
    match value {
        Value::Array(entries) => {
            let mut seen = HashSet::new();
            for (index, entry) in entries.iter().enumerate() {
                if !seen.insert(canonical_value(entry)) {
                    let shown = entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
                    found.about(Code::Duplicate, &path.index(index), &shown, "");
                }
                check_duplicates(&path.index(index), entry, found);
            }
        }
        // Arguments of commands may well repeat, so what hooks run is left alone.
        Value::Object(entries) => {
            for (key, entry) in
                entries.iter().filter(|(key, _)| !matches!(key.as_str(), "args" | "serverCommand"))
            {
                check_duplicates(&path.key(key), entry, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_true(document: &Document, key: &str) -> bool {
    at(document, key) == Some(&Value::Bool(true))
}

fn is_missing_or_empty(value: Option<&Value>) -> bool {
    value.is_none_or(|value| {
        value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_str().is_some_and(str::is_empty)
    })
}
