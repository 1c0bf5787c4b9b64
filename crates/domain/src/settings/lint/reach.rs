//! Whether a key reaches the client, what it costs on the way, and who must agree.

use serde_json::Value;

use super::{Channel, Code, Findings, Lint, at, path_of};
use crate::settings::catalogue::{Key, Remote};
use crate::settings::document::Document;
use crate::settings::version::ClientVersion;

pub(super) fn check(document: &Document, by: &Lint<'_>, found: &mut Findings) {
    let version = |key| ClientVersion::parse(at(document, key)?.as_str()?).ok();
    let (lowest, highest) = (version("requiredMinimumVersion"), version("requiredMaximumVersion"));
    if let (Some(lowest), Some(highest)) = (lowest, highest)
        && lowest > highest
    {
        let path = path_of("requiredMinimumVersion");
        found.about(Code::EmptyVersionRange, &path, &lowest.to_string(), &highest.to_string());
    }
    let oldest = lowest.max(by.oldest_client);
    for key in by.catalogue.keys() {
        if let Some(value) = key.path.find(document.as_map()) {
            check_key(key, value, oldest, by, found);
        }
    }
}

fn check_key(key: &Key, value: &Value, oldest: Option<ClientVersion>, by: &Lint<'_>, found: &mut Findings) {
    // What is said of an object need not be said of each of its keys.
    let above = key.path.parent().and_then(|above| by.catalogue.key(&above));
    if key.runs && above.is_none_or(|above| !above.runs) {
        found.plain(Code::TwoPeople, &key.path);
    }
    if let (Some(since), Some(oldest)) = (key.since, oldest)
        && oldest < since
    {
        found.about(Code::NeedsNewerClient, &key.path, &oldest.to_string(), &since.to_string());
    }
    match by.channel {
        Channel::Machine => {}
        Channel::Gateway => match key.remote {
            Remote::Ignored => found.plain(Code::IgnoredRemotely, &key.path),
            Remote::Login => found.plain(Code::LoginKey, &key.path),
            Remote::Applied if !key.asks || is_empty(value) || above.is_some_and(|above| above.asks) => {}
            Remote::Applied => found.plain(Code::ApprovalDialog, &key.path),
        },
    }
}

/// Whether there is nothing to approve.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
