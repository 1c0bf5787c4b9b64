//! Roles: those that are there from the beginning, and those that an organization writes.

use gatehouse_domain::audit::Object;
use gatehouse_domain::role::{Permission, Permissions, Role, RoleName};

use crate::act::{ActError, Caller, read, shortened};
use crate::app::App;

/// A role as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: RoleName,
    /// What it includes.
    pub permissions: Permissions,
    /// Whether it is there from the beginning.
    pub built_in: bool,
}

/// Lists the roles: those that are there from the beginning, then the others by name.
///
/// # Errors
/// The database.
pub async fn list(app: &App) -> Result<Vec<Shown>, ActError> {
    let built_in =
        Role::ALL.map(|role| Shown { name: role.into(), permissions: role.permissions(), built_in: true });
    let others = app.store.roles(app.org).await?.into_iter();
    let others = others.map(|role| Shown { name: role.name, permissions: role.permissions, built_in: false });
    Ok(built_in.into_iter().chain(others).collect())
}

/// Looks up a role that a field of another noun names.
pub(crate) async fn named(app: &App, field: &'static str, given: &str) -> Result<Shown, ActError> {
    let name: RoleName = read(field, given.parse())?;
    let missing = || {
        let known = Role::ALL.map(Role::as_str).join(", ");
        ActError::field(
            field,
            format!("there is no role `{}`; there are {known}, and your own", shortened(given)),
        )
    };
    list(app).await?.into_iter().find(|role| role.name == name).ok_or_else(missing)
}

/// Writes a role, new or in place of the one of that name. Tokens of that role have the new permissions at once.
///
/// # Errors
/// A bad name, the name of a role that is there from the beginning, an unknown permission; `write_admins`, which only
/// owners have; too many roles; the database.
pub async fn put(app: &App, caller: &Caller, given: &str, permissions: &[String]) -> Result<Shown, ActError> {
    let name: RoleName = read("name", given.parse())?;
    if name.built_in().is_some() {
        let told = format!("the role `{name}` is there from the beginning and cannot be changed");
        return Err(ActError::field("name", told));
    }
    let list: Vec<Permission> =
        permissions.iter().map(|text| read("permissions", text.parse())).collect::<Result<_, _>>()?;
    if list.contains(&Permission::WriteAdmins) {
        let told = "`write_admins` is the owner's alone: who has it can give themselves everything else";
        return Err(ActError::field("permissions", told));
    }
    let permissions = Permissions::of(&list);
    let before = app.store.role(app.org, &name).await?.map_or(Permissions::NONE, |role| role.permissions);
    let act = caller
        .draft(app.now(), "role.put", Object::new("role", &name, name.as_str()))
        .with("before", names(before))
        .with("permissions", names(permissions));
    app.store.put_role(app.org, &name, permissions, &act).await?;
    Ok(Shown { name, permissions, built_in: false })
}

/// Removes a role that no token has.
///
/// # Errors
/// There is none of that name; tokens have it; the database.
pub async fn remove(app: &App, caller: &Caller, given: &str) -> Result<(), ActError> {
    let missing = || ActError::NotFound { noun: "role", given: shortened(given) };
    let name: RoleName = given.parse().map_err(|_| missing())?;
    let act = caller.draft(app.now(), "role.remove", Object::new("role", &name, name.as_str()));
    Ok(app.store.remove_role(app.org, &name, &act).await?)
}

/// The permissions' names.
pub fn names(permissions: Permissions) -> Vec<String> {
    permissions.iter().map(|permission| permission.as_str().to_owned()).collect()
}
