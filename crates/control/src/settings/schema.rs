//! Published schemas of the client's settings: keys become known at run time that this release does not know.

use gatehouse_domain::audit::Object;
use gatehouse_domain::settings::catalogue::{Key, Learned};
use gatehouse_domain::settings::{Catalogue, ClientVersion, Path, Schema};
use gatehouse_store::settings::{NewSchema, StoredSchema};
use gatehouse_store::{Listed, Page, StoreError};

use super::profile::number_of;
use crate::act::{ActError, Caller, Changed, read};
use crate::app::{App, InForce};

/// Most keys that an audit entry names.
const MAX_TOLD: usize = 50;

/// Whether an import is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Apply,
    /// It is only told what it would do.
    DryRun,
}

/// What an import brought, or would bring.
#[derive(Debug)]
pub struct Imported {
    /// Its number; `None` if nothing was imported: a dry run, or the newest one again.
    pub number: Option<u32>,
    /// SHA-256 of the schema's text, in hex.
    pub digest: String,
    /// Keys that were not known.
    pub added: Vec<Key>,
    /// Keys of earlier schemas that take something else now.
    pub changed: Vec<Key>,
    /// Known keys that the schema does not describe, with the published profiles that set them.
    pub missing: Vec<(Path, Vec<String>)>,
}

/// Brings a schema in. It adds keys to those known and never makes anything less strict, and it is in force on all nodes
/// from then on.
///
/// # Errors
/// It is none, or a hostile one; no version of the client; too many are in force; the database.
pub async fn import(
    app: &App,
    caller: &Caller,
    text: &str,
    client: Option<&str>,
    mode: Mode,
) -> Result<Changed<Imported>, ActError> {
    let schema = read("schema", Schema::parse(text.as_bytes()))?;
    let client = read("client", client.map(ClientVersion::parse).transpose())?;
    let before = app.store.settings_schema_number(app.org).await?;
    let in_force = app.store.settings_schemas_in_force(app.org).await?;
    let (catalogue, learned) = taught(app.settings.builtin(), &in_force)?.taught_by(&schema, client);
    let digest = schema.digest().to_string();
    let mut imported = imported(app, &catalogue, &learned, digest.clone()).await?;
    let is_newest = in_force.last().is_some_and(|newest| newest.digest == digest && newest.client == client);
    if mode == Mode::DryRun || is_newest {
        return Ok(Changed { now: imported, in_force: InForce::Now });
    }
    let names = |paths: &[Path]| paths.iter().take(MAX_TOLD).map(ToString::to_string).collect::<Vec<_>>();
    let number = before.saturating_add(1);
    let mut act = caller
        .draft(app.now(), "settings.schema_import", Object::new("settings_schema", number, digest.as_str()))
        .with("added", count(&learned.added))
        .with("added_keys", names(&learned.added))
        .with("changed", count(&learned.changed))
        .with("missing", count(&learned.missing));
    act.detail = act.detail.with_some("client", client.map(|client| client.to_string()));
    let new = NewSchema { digest: &digest, client, text: Some(text) };
    imported.number = Some(app.store.add_settings_schema(app.org, before, new, &act).await?);
    Ok(Changed { now: imported, in_force: take_over(app).await? })
}

/// Puts all imported schemas out of force: only what this release knows is known. The one act by which rules can be lost.
///
/// # Errors
/// None is in force; the database.
pub async fn reset(app: &App, caller: &Caller) -> Result<Changed<StoredSchema>, ActError> {
    let before = app.store.settings_schema_number(app.org).await?;
    let in_force = app.store.settings_schemas_in_force(app.org).await?;
    if in_force.is_empty() {
        return Err(ActError::field("schema", "no imported schema is in force"));
    }
    let number = before.saturating_add(1);
    let act = caller
        .draft(app.now(), "settings.schema_reset", Object::new("settings_schema", number, "reset"))
        .with("out_of_force", in_force.iter().map(|schema| schema.number.to_string()).collect::<Vec<_>>());
    let none = NewSchema { digest: "", client: None, text: None };
    let number = app.store.add_settings_schema(app.org, before, none, &act).await?;
    let in_force = take_over(app).await?;
    Ok(Changed { now: app.store.settings_schema(app.org, number).await?, in_force })
}

/// Lists imported schemas, newest first, without their texts.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<StoredSchema>, ActError> {
    Ok(app.store.settings_schemas(app.org, page).await?)
}

/// Looks an imported schema up by its number.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<StoredSchema, ActError> {
    Ok(app.store.settings_schema(app.org, number_of(given)?).await?)
}

/// A catalogue with what schemas say, in their order.
///
/// # Errors
/// One cannot be read: it was changed in the database.
pub(super) fn taught(builtin: &Catalogue, schemas: &[StoredSchema]) -> Result<Catalogue, StoreError> {
    let mut catalogue = builtin.clone();
    for stored in schemas {
        let corrupt = |why: String| StoreError::Corrupt {
            noun: "settings schema",
            given: stored.number.to_string(),
            why,
        };
        let text = stored.text.as_deref().unwrap_or_default();
        let schema = Schema::parse(text.as_bytes()).map_err(|why| corrupt(why.to_string()))?;
        if schema.digest().to_string() != stored.digest {
            return Err(corrupt("it is not what was imported".to_owned()));
        }
        catalogue = catalogue.taught_by(&schema, stored.client).0;
    }
    Ok(catalogue)
}

/// This node goes by it at once, the others when they notice.
async fn take_over(app: &App) -> Result<InForce, ActError> {
    app.settings.learn(&app.store, app.org).await?;
    Ok((app.house.policy_changed)().await)
}

fn count(paths: &[Path]) -> u64 {
    u64::try_from(paths.len()).unwrap_or(u64::MAX)
}

async fn imported(
    app: &App,
    catalogue: &Catalogue,
    learned: &Learned,
    digest: String,
) -> Result<Imported, ActError> {
    let keys = |paths: &[Path]| paths.iter().filter_map(|path| catalogue.key(path).cloned()).collect();
    let published = app.store.published_settings(app.org).await?;
    let sets = |path: &Path| {
        let of = published.iter().filter(|one| path.find(one.content.settings().as_map()).is_some());
        of.map(|one| one.name.clone()).collect::<Vec<_>>()
    };
    Ok(Imported {
        number: None,
        digest,
        added: keys(&learned.added),
        changed: keys(&learned.changed),
        missing: learned.missing.iter().map(|path| (path.clone(), sets(path))).collect(),
    })
}
