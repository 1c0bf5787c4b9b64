//! `backup` and `restore`.

use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use gatehouse_identity::secret::Secret;
use serde_json::json;

use super::args::ServeArgs;
use super::client::{Client, connect};
use super::config::sources;
use super::credential::data_dir;
use super::table::{Align, Table};
use super::{Failure, Global, Out, output};
use crate::config::{SecretSource, load};
use crate::environment::Environment;
use crate::secret::resolve;
use crate::wire::{Restored, archive, drill, restore as fill};

/// Arguments of `backup`.
#[derive(clap::Args)]
pub(crate) struct BackupArgs {
    /// Where to; a file that is there is replaced when the new one is whole
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// List the backups that the server has made by itself
    #[arg(long, conflicts_with = "file")]
    list: bool,
}

/// Arguments of `restore`.
#[derive(clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Only see whether the file is whole, and what is in it
    #[arg(long)]
    check: bool,
    /// Restore into a directory that is removed again, to know that this backup can be restored
    #[arg(long, conflicts_with = "check")]
    drill: bool,
    /// A file with the passphrase that opens the master keys in the backup
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    passphrase_file: Option<PathBuf>,
    /// Where to: the configuration names the database and the master key.
    #[command(flatten)]
    target: ServeArgs,
}

/// Runs `backup`.
pub(crate) fn backup(
    args: &BackupArgs,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let client = connect(global, environment)?;
    match &args.file {
        Some(file) => make(file, &client, out),
        None => list(&client, out),
    }
}

fn list(client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let kept = client.list("/api/v1/backups", &[], None)?;
    let mut table = Table::new(&[("FILE", Align::Left), ("BYTES", Align::Right)]);
    for item in &kept {
        table.row([output::field(item, "name"), output::number(item, "bytes")]);
    }
    out.list(&kept, &table, "The server has made no backup by itself (`backup.directory` lets it).")?;
    Ok(0)
}

/// Writes the backup beside its place, and moves it there when it was read again and found whole.
fn make(path: &Path, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("cannot write `{}`: {error}", path.display()));
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut from = client.stream("/api/v1/backups/export")?;
    let (mut bytes, mut writer) = (vec![0; 1 << 16], BufWriter::new(file.as_file_mut()));
    loop {
        let n = from
            .read(&mut bytes)
            .map_err(|error| Failure::Failed(format!("the backup broke off: {error}")))?;
        if n == 0 {
            break;
        }
        writer.write_all(&bytes[..n]).map_err(failed)?;
    }
    writer.flush().map_err(failed)?;
    drop(writer);
    file.as_file().sync_all().map_err(failed)?;
    let checked = archive(file.path())?.check().map_err(|error| Failure::Failed(error.to_string()))?;
    file.persist(path).map_err(|error| failed(error.error))?;
    let shown = path.display();
    let keys = checked.head.master_keys.join(" or ");
    let keeping = if checked.head.escrow.is_some() {
        format!("The master keys ({keys}) are in it, sealed under the passphrase of `backup.passphrase`.")
    } else {
        format!(
            "The master key ({keys}) is not in it: keep that key elsewhere, for nothing can be restored without it \
             (`backup.passphrase` puts it in, sealed)."
        )
    };
    let sentence = format!(
        "Wrote {} rows of {} tables to {shown}, and read them again.\n{keeping}\n\
         Try it with `gatehouse restore --drill {shown}`.",
        checked.contents.rows, checked.contents.tables
    );
    out.done(
        &json!({"file": shown.to_string(), "head": checked.head, "contents": checked.contents}),
        &sentence,
    )?;
    Ok(0)
}

/// Runs `restore`.
pub(crate) fn restore(
    args: &RestoreArgs,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    if args.check {
        return check(&args.file, out);
    }
    let config = load(&sources(&args.target, environment))
        .map_err(|mistakes| Failure::Usage(format!("the configuration is refused\n{mistakes}")))?;
    let passphrase = args.passphrase_file.as_deref().map(|path| passphrase(path, environment)).transpose()?;
    let target = data_dir(global, environment)?;
    let act = if args.drill { drill } else { fill };
    let done = act(&args.file, config, &target, passphrase, environment)?;
    let noted = args.drill && done.audit.fault.is_none() && note_drill(&done, global, environment);
    tell(args.drill, noted, &done, &target, out)
}

/// Tells the server that the drill went well, for the readiness checklist; false when it cannot be told.
fn note_drill(done: &Restored, global: &Global, environment: &Environment) -> bool {
    let told = connect(global, environment)
        .and_then(|client| client.post("/api/v1/backups/drills", &json!({"sha256": done.contents.sha256})));
    told.is_ok()
}

fn passphrase(path: &Path, environment: &Environment) -> Result<Secret, Failure> {
    let found = resolve(&SecretSource::File(path.to_owned()), environment);
    let found = found.map_err(|error| Failure::Usage(error.to_string()))?;
    found.ok_or_else(|| Failure::Usage("there is no passphrase".to_owned()))
}

fn check(file: &Path, out: &mut Out) -> Result<u8, Failure> {
    let checked = archive(file)?.check().map_err(|error| Failure::Failed(error.to_string()))?;
    if out.wants_json() {
        out.json(&json!(checked))?;
        return Ok(0);
    }
    let mut table = Table::new(&[("TABLE", Align::Left), ("ROWS", Align::Right)]);
    for (name, rows) in &checked.tables {
        table.row([name.clone(), rows.to_string()]);
    }
    out.table(&table, "")?;
    let head = &checked.head;
    out.line(format!(
        "whole: {} rows of {} tables, made {} by gatehouse {} from {} (sha256 {})",
        checked.contents.rows,
        checked.contents.tables,
        head.made_at,
        head.version,
        head.engine,
        checked.contents.sha256
    ))?;
    Ok(0)
}

fn tell(is_drill: bool, noted: bool, done: &Restored, target: &Path, out: &mut Out) -> Result<u8, Failure> {
    let Restored { head, contents, audit, older_keys } = done;
    let fault = audit.fault.as_ref().map(ToString::to_string);
    let answer = json!({
        "drill": is_drill, "noted": noted, "head": head, "contents": contents,
        "audit": {"entries": audit.entries, "exchanges": audit.exchanges, "fault": fault},
        "older_master_keys": older_keys,
    });
    let log = match &fault {
        None => format!("The audit log is sound: {} entries, {} exchanges.", audit.entries, audit.exchanges),
        Some(fault) => format!("THE AUDIT LOG IS BROKEN, as it was when it was backed up: {fault}"),
    };
    let names: Vec<String> = older_keys.iter().map(|path| format!("\"file:{}\"", path.display())).collect();
    let older = match names.as_slice() {
        [] => String::new(),
        names => format!(
            "Older master keys were written too; name them: secrets.previous = [{}]\n",
            names.join(", ")
        ),
    };
    let last = if is_drill {
        let noted =
            if noted { "It is noted in the readiness checklist." } else { "No server was told of it." };
        format!("This was a drill: what was restored has been removed again. {noted}")
    } else {
        format!("Start it with `gatehouse serve --data-dir {}`.", target.display())
    };
    let sentence = format!(
        "Restored {} rows of {} tables from the backup of {}: every table is as it was backed up, and the master key \
         opens what hangs on it.\n{log}\n{older}{last}",
        contents.rows, contents.tables, head.made_at
    );
    out.done(&answer, &sentence)?;
    Ok(u8::from(fault.is_some()))
}
