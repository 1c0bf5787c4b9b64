//! Projects: add, list, classify.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::Project;
use gatehouse_domain::id::ProjectId;
use gatehouse_domain::name::Name;
use gatehouse_store::{Listed, Page, StoreError};

use crate::access::read_class;
use crate::act::{ActError, Caller, Changed, read, shortened};
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

/// Looks a project up by id or name.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<Project, ActError> {
    if let Ok(id) = given.parse::<ProjectId>() {
        return Ok(app.store.project(app.org, id).await?);
    }
    let missing = |_| ActError::NotFound { noun: "project", given: shortened(given) };
    let name = Name::parse(given).map_err(missing)?;
    Ok(app.store.project_by_name(app.org, &name).await?)
}

/// Sets how sensitive a project's data is; none says nothing of it.
///
/// # Errors
/// There is no such project or data class; the database.
pub async fn set_data_class(
    app: &App,
    caller: &Caller,
    given: &str,
    class: Option<&str>,
) -> Result<Changed<Project>, ActError> {
    let mut project = get(app, given).await?;
    let class = read_class(app, class)?;
    let act = caller
        .draft(app.now(), "project.set_data_class", Object::new("project", project.id, project.name.as_str()))
        .with_some("before", project.data_class.as_deref())
        .with_some("data_class", class);
    app.store.set_project_data_class(app.org, project.id, class, &act).await?;
    project.data_class = class.map(str::to_owned);
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: project, in_force })
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
