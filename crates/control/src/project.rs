//! Projects: add, list.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::Project;
use gatehouse_domain::id::ProjectId;
use gatehouse_domain::name::Name;
use gatehouse_store::{Listed, Page, StoreError};

use crate::act::{ActError, Caller, read, shortened};
use crate::app::App;

/// Makes a project.
///
/// # Errors
/// A bad name, or one that is taken; the database.
pub async fn add(app: &App, caller: &Caller, name: &str) -> Result<Project, ActError> {
    let name = read("name", Name::parse(name))?;
    let now = app.now();
    let id = ProjectId::new(now, app.random_bits());
    let act = caller.draft(now, "project.add", Object::new("project", id, name.as_str()));
    Ok(app.store.create_project(app.org, id, &name, &act).await?)
}

/// Lists projects by name.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<Project>, ActError> {
    Ok(app.store.projects(app.org, page).await?)
}

/// Looks up a project that a field of another noun names by id or name: one that does not exist is a mistake in that
/// field.
pub(crate) async fn named(app: &App, field: &'static str, given: &str) -> Result<Project, ActError> {
    let found = match given.parse::<ProjectId>() {
        Ok(id) => app.store.project(app.org, id).await,
        Err(_) => app.store.project_by_name(app.org, &read(field, Name::parse(given))?).await,
    };
    found.map_err(|e| {
        if matches!(e, StoreError::NotFound { .. }) {
            ActError::field(field, format!("there is no project `{}`", shortened(given)))
        } else {
            e.into()
        }
    })
}
