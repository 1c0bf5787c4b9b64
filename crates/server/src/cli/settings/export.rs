//! `settings export` and `bundle verify`.

use std::io::Read as _;
use std::path::{Component, Path};

use base64ct::{Base64, Encoding as _};
use gatehouse_control::settings::artifact::{Report, verify};
use gatehouse_domain::audit::PublicKey;
use serde_json::json;

use super::super::client::Client;
use super::super::output::field;
use super::super::table::printable;
use super::super::{Failure, Out};
use super::words::{BundleCommand, Export};

/// Largest bundle that is read, in bytes.
const MAX_BUNDLE: u64 = 64 << 20;

/// Writes settings as files.
pub(super) fn run(wanted: &Export, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let mut query = vec![("format", wanted.format.as_str())];
    query.extend(wanted.user.as_deref().map(|user| ("user", user)));
    query.extend(wanted.team.as_deref().map(|team| ("team", team)));
    let answer = client.get("/api/v1/settings/export", &query)?;
    let mut written = Vec::new();
    for file in answer["files"].as_array().into_iter().flatten() {
        let path = field(file, "path");
        let bytes = file["content"].as_str().and_then(|text| Base64::decode_vec(text).ok());
        let bytes = bytes
            .ok_or_else(|| Failure::Failed(format!("the server's answer has no content for `{path}`")))?;
        written.push(write(&wanted.output, &path, &bytes)?);
    }
    let told = json!({"files": written, "checksum": answer["checksum"], "key": answer["key"]});
    let (files, sum) = (written.join(", "), field(&answer, "checksum"));
    let next = if wanted.format == "bundle" {
        format!("\nCheck it with `gatehouse bundle verify {files} --key {}`.", field(&answer, "key"))
    } else {
        String::new()
    };
    Ok(out.done(&told, &format!("Wrote {files} ({sum}).{next}"))?)
}

/// Writes a file beneath a folder. The server names the path, so one that leads elsewhere is refused.
fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<String, Failure> {
    let relative = Path::new(path);
    if path.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Failure::Failed(format!(
            "the server named a file that leads elsewhere: {}",
            printable(path)
        )));
    }
    let target = folder.join(relative);
    let failed =
        |error: std::io::Error| Failure::Failed(format!("cannot write `{}`: {error}", target.display()));
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(&target, bytes).map_err(failed)?;
    Ok(target.display().to_string())
}

/// Runs `bundle …`.
pub(crate) fn bundle(command: &BundleCommand, out: &mut Out) -> Result<u8, Failure> {
    let BundleCommand::Verify { file, key } = command;
    let key: Option<PublicKey> =
        key.as_deref().map(|text| text.trim().parse()).transpose().map_err(|_| {
            Failure::Usage("--key is no public key (expected 64 hexadecimal characters)".to_owned())
        })?;
    let unreadable = |error: std::io::Error| {
        Failure::Usage(format!("cannot read the bundle `{}`: {error}", file.display()))
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(MAX_BUNDLE).read_to_end(&mut bytes).map_err(unreadable)?;
    match verify(&bytes, key.as_ref()) {
        Ok(report) => {
            tell(&report, out)?;
            Ok(0)
        }
        Err(why) if out.wants_json() => {
            out.json(&json!({"sound": false, "why": why.to_string()}))?;
            Ok(1)
        }
        Err(why) => Err(Failure::Failed(format!("broken: {why}"))),
    }
}

fn tell(report: &Report, out: &mut Out) -> Result<(), Failure> {
    let manifest = &report.manifest;
    if out.wants_json() {
        let told = json!({"sound": true, "trusted": report.trusted, "manifest": manifest});
        return Ok(out.json(&told)?);
    }
    out.line(format!(
        "sound: {} files of settings for {} of {}",
        manifest.files.len(),
        printable(&manifest.of),
        printable(&manifest.organization)
    ))?;
    out.line(format!(
        "settings {}, published {}",
        printable(&manifest.checksum),
        printable(&manifest.created)
    ))?;
    let key = manifest.key;
    Ok(out.line(if report.trusted {
        format!("signed by the given key {key}")
    } else {
        format!(
            "signed by {key}\nTo rule out that somebody else made it, compare this key with one noted elsewhere, or give it \
             with --key."
        )
    })?)
}
