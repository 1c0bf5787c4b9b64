//! What is owned by code: marks on objects that were written from files.

use gatehouse_domain::audit::Object;
use gatehouse_domain::ownership::{MAX_BATCH, MAX_NAME, Mark, Noun, Owned};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, read, shortened};
use crate::app::App;

/// A mark as a caller wrote it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The kind of object.
    pub noun: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of what was written, in hex.
    pub digest: String,
}

/// Lists the marks by noun and name.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<Owned>, ActError> {
    Ok(app.store.owned_objects(app.org, page).await?)
}

/// Marks objects as owned by code, all or none. They need not exist.
///
/// # Errors
/// None or more than [`MAX_BATCH`]; an unknown noun, a bad name or digest; the database.
pub async fn mark(app: &App, caller: &Caller, wanted: &[Wanted]) -> Result<(), ActError> {
    if wanted.is_empty() || wanted.len() > MAX_BATCH {
        let told = format!("are {} items, expected 1 to {MAX_BATCH}", wanted.len());
        return Err(ActError::field("items", told));
    }
    let marks: Vec<Mark> = wanted.iter().map(read_mark).collect::<Result<_, _>>()?;
    let names: Vec<String> = marks.iter().map(|mark| format!("{} {}", mark.noun, mark.name)).collect();
    let count = u64::try_from(marks.len()).unwrap_or(u64::MAX);
    let act = caller
        .draft(app.now(), "owned_objects.mark", Object::new("owned_objects", "files", "files"))
        .with("count", count)
        .with("objects", names);
    Ok(app.store.mark_owned(app.org, &marks, &act).await?)
}

/// Removes the mark on an object. The object stays as it is.
///
/// # Errors
/// It has none; the database.
pub async fn release(app: &App, caller: &Caller, noun: &str, name: &str) -> Result<(), ActError> {
    let missing = || ActError::NotFound { noun: "owned object", given: shortened(name) };
    let noun: Noun = noun.parse().map_err(|_| missing())?;
    if !is_name(name) {
        return Err(missing());
    }
    let act = caller.draft(app.now(), "owned_objects.release", Object::new(noun.as_str(), name, name));
    Ok(app.store.release_owned(app.org, noun, name, &act).await?)
}

fn read_mark(wanted: &Wanted) -> Result<Mark, ActError> {
    let noun = read("noun", wanted.noun.parse())?;
    let digest = read("digest", wanted.digest.parse())?;
    if !is_name(&wanted.name) {
        let told = format!("is no name: expected 1 to {MAX_NAME} bytes without control characters");
        return Err(ActError::field("name", told));
    }
    Ok(Mark { noun, name: wanted.name.clone(), digest })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}
