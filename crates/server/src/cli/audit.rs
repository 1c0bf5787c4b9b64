//! `audit`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use gatehouse_domain::audit::{Checkpoint, PublicKey, Report, Wrong, verify_against};
use serde_json::{Value, json};

use super::args::AuditCommand;
use super::client::{Client, connect};
use super::table::{Align, Table};
use super::{Failure, Global, Out, output};
use crate::environment::Environment;

/// Exit code for an export that was tampered with.
const BROKEN: u8 = 1;
/// Most that is read of a file of checkpoints, in bytes.
const MAX_KEPT: u64 = 64 << 20;
/// Exit code for a file that cannot be read or is no export.
const UNREADABLE: u8 = 2;

/// Runs `audit …`.
pub(crate) fn run(
    command: AuditCommand,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    match command {
        AuditCommand::Verify { file, key, checkpoint } => {
            let kept = checkpoint.as_deref().map(kept).transpose()?.unwrap_or_default();
            check(&file, key.as_deref(), &kept, out)
        }
        AuditCommand::Export { file } => export(&file, &connect(global, environment)?, out),
        AuditCommand::List { limit, action } => {
            let client = connect(global, environment)?;
            let query = action.as_deref().map(|action| ("action", action));
            let entries = client.list("/api/v1/audit", query.as_slice(), Some(limit))?;
            out.list(&entries, &table_of(&entries), "The audit log has no such entry.")?;
            Ok(0)
        }
    }
}

/// Reads checkpoints that were kept elsewhere, in the order of their entries.
fn kept(path: &Path) -> Result<Vec<Checkpoint>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::Usage(format!("cannot use the checkpoints in `{}`: {why}", path.display()))
    };
    let (mut text, mut kept) = (String::new(), Vec::new());
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(MAX_KEPT).read_to_string(&mut text).map_err(|error| failed(&error))?;
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let read = Checkpoint::read_line(line.trim_end());
        kept.push(read.map_err(|why| failed(&format!("line {number}: {why}")))?.0);
    }
    if kept.is_empty() {
        return Err(failed(&"there is none in it"));
    }
    kept.sort_by_key(|point| point.seq);
    Ok(kept)
}

fn check(path: &Path, key: Option<&str>, kept: &[Checkpoint], out: &mut Out) -> Result<u8, Failure> {
    let mut trusted: Vec<PublicKey> = key
        .map(|key| serde_json::from_value(json!(key.trim())))
        .transpose()
        .map_err(|_| {
            Failure::Usage("--key is no public key (expected 64 hexadecimal characters)".to_owned())
        })?
        .into_iter()
        .collect();
    if trusted.is_empty() {
        // Whoever kept a checkpoint trusts the key it is signed with.
        trusted.extend(kept.iter().map(|point| point.key));
    }
    let unreadable =
        |error: io::Error| Failure::Usage(format!("cannot read the export `{}`: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let input = BufReader::with_capacity(1 << 18, file);
    let report = verify_against(input, &trusted, kept).map_err(unreadable)?;
    if out.wants_json() {
        out.json(&serde_json::to_value(&report).map_err(|error| Failure::Failed(error.to_string()))?)?;
    } else {
        tell(&report, kept.len(), out)?;
    }
    if report.is_sound() && !kept.is_empty() && report.compared == 0 {
        return Err(Failure::Failed(
            "the checkpoints given lie before the first entry of the export, so that nothing was compared; export from entry 1"
                .to_owned(),
        ));
    }
    Ok(match &report.fault {
        None => 0,
        Some(fault) if matches!(fault.wrong, Wrong::NotAnExport(_)) => UNREADABLE,
        Some(_) => BROKEN,
    })
}

fn tell(report: &Report, kept: usize, out: &mut Out) -> io::Result<()> {
    let Report { entries, exchanges, checkpoints, .. } = report;
    if let Some(fault) = &report.fault {
        out.line(format!("broken: {fault}"))?;
        return out.line(format!("up to there {entries} entries and {exchanges} exchanges are sound"));
    }
    out.line(format!("sound: {entries} entries, {exchanges} exchanges, {checkpoints} signed checkpoints"))?;
    if kept > 0 {
        out.line(format!("contains {} of {kept} checkpoints given", report.compared))?;
    }
    let keys: Vec<String> =
        report.keys.iter().map(|key| output::field(&json!({"key": key}), "key")).collect();
    if report.trusted {
        return out.line(format!("signed by the given key {}", keys.join(", ")));
    }
    out.line(format!(
        "signed by {}\nTo rule out that everything was rewritten and signed anew, compare this key with one noted \
         elsewhere, or give it with --key.",
        keys.join(", ")
    ))
}

/// Writes the export beside its place and moves it there when it is whole.
fn export(path: &Path, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("cannot write `{}`: {error}", path.display()));
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut from = client.stream("/api/v1/audit/export")?;
    let (mut bytes, mut lines, mut writer) = (vec![0; 1 << 16], 0_u64, BufWriter::new(file.as_file_mut()));
    loop {
        let n = from
            .read(&mut bytes)
            .map_err(|error| Failure::Failed(format!("the export broke off: {error}")))?;
        if n == 0 {
            break;
        }
        lines += bytes[..n].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        writer.write_all(&bytes[..n]).map_err(failed)?;
    }
    writer.flush().map_err(failed)?;
    drop(writer);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    let shown = path.display();
    let answer = json!({"file": shown.to_string(), "lines": lines});
    out.done(
        &answer,
        &format!("Wrote {lines} lines to {shown}. Check it with `gatehouse audit verify {shown}`."),
    )?;
    Ok(0)
}

fn table_of(entries: &[Value]) -> Table {
    let columns = [
        ("SEQ", Align::Right),
        ("AT", Align::Left),
        ("ACTOR", Align::Left),
        ("ACTION", Align::Left),
        ("OBJECT", Align::Left),
        ("OUTCOME", Align::Left),
        ("REASON", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for entry in entries {
        table.row([
            output::field(entry, "seq"),
            output::field(entry, "at"),
            named(&entry["actor"]),
            output::field(entry, "action"),
            named(&entry["object"]),
            output::field(entry, "outcome"),
            output::field(entry, "reason"),
        ]);
    }
    table
}

/// The name of an actor or object, or its id where it has none.
fn named(item: &Value) -> String {
    match item["name"].as_str() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => output::field(item, "id"),
    }
}
