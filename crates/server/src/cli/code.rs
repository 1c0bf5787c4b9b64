//! `export`, `diff` and `apply`: what is configured on the server, as files.
//!
//! Keys, tokens and secrets are not among it. What `apply` wrote is marked on the server as owned by code, with a digest:
//! so a change by hand is told from a change of the files, and only what was applied is ever removed.

mod shape;
mod files;
mod write;
mod server;
mod plan;
mod apply;
mod profile;
mod audience;

use std::collections::BTreeSet;
use std::path::Path;

use gatehouse_domain::ownership::Noun;
use serde_json::json;

use super::args::{ApplyArgs, DiffArgs, ExportArgs};
use super::client::Client;
use super::{Failure, Out};
use files::Files;
use shape::Objects;

/// Runs `export`.
pub(crate) fn export(args: &ExportArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let objects = server::objects(client, &BTreeSet::from(Noun::ALL))?;
    let files = write::write(&args.output, &objects)?;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let told = json!({"objects": objects.len(), "files": names});
    let folder = args.output.display();
    out.done(&told, &format!("Wrote {} objects to {} files in {folder}.", objects.len(), names.len()))?;
    Ok(0)
}

/// Runs `diff`: exit code 1 when there are differences.
pub(crate) fn diff(args: &DiffArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let (files, has) = both(&args.folder, client)?;
    let plan = plan::compare(&files, &has, &server::owned(client)?);
    apply::tell(&plan, out)?;
    Ok(u8::from(!plan.differences.is_empty()))
}

/// Runs `apply`.
pub(crate) fn apply(args: &ApplyArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let (files, has) = both(&args.folder, client)?;
    let owned = server::owned(client)?;
    let plan = plan::compare(&files, &has, &owned);
    if args.dry_run {
        apply::rehearse(&plan, args.prune, out)?;
    } else {
        apply::run(client, &files, &owned, (&plan, args.prune), out)?;
    }
    Ok(0)
}

/// What the files say, in the server's spelling, and what the server has.
fn both(folder: &Path, client: &Client) -> Result<(Files, Objects), Failure> {
    let files = files::read(folder)?;
    let has = server::objects(client, &files.nouns)?;
    Ok((files.spelled_as(&has), has))
}
