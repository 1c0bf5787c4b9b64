//! macOS: a property list of managed preferences, and a configuration profile that carries it.
//!
//! <https://developer.apple.com/library/archive/documentation/CoreFoundation/Conceptual/CFPropertyLists/> and
//! <https://developer.apple.com/documentation/devicemanagement/toplevel>.

use std::fmt::Write as _;

use gatehouse_domain::settings::{Checksum, Path};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{BadArtifact, File, Subject, escaped};
use crate::settings::snapshot::uuid_of;

/// The preference domain that the client reads.
const DOMAIN: &str = "com.anthropic.claudecode";

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
    <plist version=\"1.0\">\n";

/// The property list for `/Library/Managed Preferences`.
pub(super) fn preferences(subject: &Subject<'_>) -> Result<File, BadArtifact> {
    let settings = subject.settings.as_map();
    Ok(File { path: format!("{DOMAIN}.plist"), bytes: document(settings)? })
}

/// The configuration profile. Its identifiers are made of the settings, so that a device replaces the one it has.
pub(super) fn profile(subject: &Subject<'_>) -> Result<File, BadArtifact> {
    let named = |what: &str| {
        let digest = Sha256::digest(format!("gatehouse profile {what}\n{}", subject.checksum));
        uuid_of(&Checksum::from_bytes(digest.into())).to_uppercase()
    };
    let settings = Value::Object(subject.settings.as_map().clone());
    let payload = json!({
        "PayloadContent": { DOMAIN: { "Forced": [{ "mcx_preference_settings": settings }] } },
        "PayloadEnabled": true,
        "PayloadIdentifier": format!("gatehouse.settings.{DOMAIN}"),
        "PayloadType": "com.apple.ManagedClient.preferences",
        "PayloadUUID": named("payload"),
        "PayloadVersion": 1,
    });
    let profile = json!({
        "PayloadContent": [payload],
        "PayloadDescription": format!("Settings of Claude Code for {} ({})", subject.of, subject.checksum),
        "PayloadDisplayName": "Claude Code settings",
        "PayloadEnabled": true,
        "PayloadIdentifier": "gatehouse.settings",
        "PayloadOrganization": subject.organization,
        "PayloadRemovalDisallowed": true,
        "PayloadScope": "System",
        "PayloadType": "Configuration",
        "PayloadUUID": named("profile"),
        "PayloadVersion": 1,
    });
    let map = profile.as_object().cloned().unwrap_or_default();
    Ok(File { path: "claude-code.mobileconfig".to_owned(), bytes: document(&map)? })
}

fn document(map: &Map<String, Value>) -> Result<Vec<u8>, BadArtifact> {
    let mut out = HEAD.to_owned();
    dict(&mut out, 0, &Path::root(), map)?;
    out.push_str("</plist>\n");
    Ok(out.into_bytes())
}

fn dict(out: &mut String, depth: usize, path: &Path, map: &Map<String, Value>) -> Result<(), BadArtifact> {
    let indent = "\t".repeat(depth);
    if map.is_empty() {
        let _ = writeln!(out, "{indent}<dict/>");
        return Ok(());
    }
    let _ = writeln!(out, "{indent}<dict>");
    for (key, entry) in map {
        let at = path.key(key);
        let _ = writeln!(out, "{indent}\t<key>{}</key>", text(&at, key)?);
        value(out, depth + 1, &at, entry)?;
    }
    let _ = writeln!(out, "{indent}</dict>");
    Ok(())
}

fn value(out: &mut String, depth: usize, path: &Path, given: &Value) -> Result<(), BadArtifact> {
    let indent = "\t".repeat(depth);
    let _ = match given {
        Value::Null => return Err(BadArtifact::Null(path.to_string())),
        Value::Bool(true) => writeln!(out, "{indent}<true/>"),
        Value::Bool(false) => writeln!(out, "{indent}<false/>"),
        Value::Number(number) if number.is_f64() => writeln!(out, "{indent}<real>{number}</real>"),
        Value::Number(number) => writeln!(out, "{indent}<integer>{number}</integer>"),
        Value::String(given) => writeln!(out, "{indent}<string>{}</string>", text(path, given)?),
        Value::Array(entries) if entries.is_empty() => writeln!(out, "{indent}<array/>"),
        Value::Array(entries) => {
            let _ = writeln!(out, "{indent}<array>");
            for (at, entry) in entries.iter().enumerate() {
                value(out, depth + 1, &path.index(at), entry)?;
            }
            writeln!(out, "{indent}</array>")
        }
        Value::Object(map) => return dict(out, depth, path, map),
    };
    Ok(())
}

/// A text of the list. XML 1.0 has no way to write most control characters.
fn text(path: &Path, given: &str) -> Result<String, BadArtifact> {
    let cannot = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if given.chars().any(cannot) {
        return Err(BadArtifact::Character(path.to_string()));
    }
    Ok(escaped(given))
}
