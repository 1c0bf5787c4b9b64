//! Profiles: make one, write its draft, look them up.

use gatehouse_domain::audit::Object;
use gatehouse_domain::id::ProfileId;
use gatehouse_domain::name::Name;
use gatehouse_domain::role::Scope;
use gatehouse_domain::settings::{Content, Document, Finding, Path, Target};
use gatehouse_store::settings::{NewProfile, Profile, Summary, Version};
use gatehouse_store::{Listed, Page};

use super::check;
use crate::act::{ActError, Caller, read};
use crate::app::App;
use crate::{project, team, user};

/// Whose settings a profile contributes to, as the caller wrote it.
#[derive(Debug, Clone)]
pub enum Whose {
    /// Everybody's.
    Organization,
    /// A team's members', by name or id.
    Team(String),
    /// Those of a project's key holders, by name or id.
    Project(String),
    /// Those of the people in its audience, which is assigned apart.
    Rollout,
    /// One person's, by address or id.
    User(String),
}

/// What a draft shall say, as the caller wrote it.
#[derive(Debug, Clone)]
pub struct Text {
    /// The settings.
    pub settings: Document,
    /// Paths that weaker layers cannot change; as in the version before if not given.
    pub locks: Option<Vec<String>>,
    /// Priority among the teams of a user; as in the version before if not given.
    pub priority: Option<u32>,
}

/// A draft that was written.
#[derive(Debug)]
pub struct Written {
    /// The profile.
    pub profile: Profile,
    /// The draft.
    pub version: Version,
    /// What was found in it; no errors, since these are refused.
    pub findings: Vec<Finding>,
}

/// Makes a profile whose version 1 is a draft.
///
/// # Errors
/// A bad or taken name, an unknown team, project or user, a document with errors; the database.
pub async fn create(
    app: &App,
    caller: &Caller,
    name: &str,
    whose: &Whose,
    text: Text,
) -> Result<Written, ActError> {
    let name = read("name", Name::parse(name))?;
    let target = find(app, whose).await?;
    let content = content(target, text, &Content::default())?;
    let findings = check::must_be_sound(app, &content)?;
    let now = app.now();
    let id = ProfileId::new(now, app.random_bits());
    let act = caller
        .draft(now, "settings.create", Object::new("settings_profile", id, name.as_str()))
        .with("target", target.kind())
        .with("version", 1_u32)
        .with("checksum", content.checksum().to_string());
    let new = NewProfile { id, name, target, content };
    let profile = app.store.create_settings_profile(app.org, &new, &act).await?;
    let version = app.store.settings_version(app.org, &profile, 1).await?;
    Ok(Written { profile, version, findings })
}

/// Writes a profile's draft: the open one anew, or that of a new version.
///
/// # Errors
/// There is no such profile; its open version is under review; a document with errors; the database.
pub async fn write(app: &App, caller: &Caller, given: &str, text: Text) -> Result<Written, ActError> {
    let profile = get(app, given).await?;
    let before = app.store.settings_version(app.org, &profile, profile.newest).await?;
    let content = content(profile.target, text, &before.content)?;
    let findings = check::must_be_sound(app, &content)?;
    let act = caller
        .draft(app.now(), "settings.write", object(&profile))
        .with("checksum", content.checksum().to_string());
    let number = app.store.put_settings_draft(app.org, profile.id, &content, &act).await?;
    let profile = app.store.settings_profile(app.org, profile.id).await?;
    let version = app.store.settings_version(app.org, &profile, number).await?;
    Ok(Written { profile, version, findings })
}

/// Lists profiles by name.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<Profile>, ActError> {
    Ok(app.store.settings_profiles(app.org, page).await?)
}

/// Looks a profile up by id or name.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<Profile, ActError> {
    if let Ok(id) = given.parse::<ProfileId>() {
        return Ok(app.store.settings_profile(app.org, id).await?);
    }
    let name = Name::parse(given)
        .map_err(|_| ActError::NotFound { noun: "settings profile", given: given.to_owned() })?;
    Ok(app.store.settings_profile_by_name(app.org, &name).await?)
}

/// Lists a profile's versions, newest first, without what they say.
///
/// # Errors
/// There is no such profile; a bad page; the database.
pub async fn versions(app: &App, given: &str, page: &Page) -> Result<Listed<Summary>, ActError> {
    let profile = get(app, given).await?;
    Ok(app.store.settings_versions(app.org, &profile, page).await?)
}

/// Looks a version up by its number.
///
/// # Errors
/// There is none; the database.
pub async fn version(app: &App, given: &str, number: &str) -> Result<(Profile, Version), ActError> {
    let profile = get(app, given).await?;
    let number = number_of(number)?;
    let version = app.store.settings_version(app.org, &profile, number).await?;
    Ok((profile, version))
}

pub(super) fn number_of(given: &str) -> Result<u32, ActError> {
    given.parse().map_err(|_| ActError::NotFound { noun: "settings version", given: given.to_owned() })
}

/// A profile as the object of an act.
pub(super) fn object(profile: &Profile) -> Object {
    Object::new("settings_profile", profile.id, profile.name.as_str())
}

async fn find(app: &App, whose: &Whose) -> Result<Target, ActError> {
    Ok(match whose {
        Whose::Organization => Target::Organization,
        Whose::Team(given) => Target::Team(team::named(app, Scope::Organization, "target", given).await?.id),
        Whose::Project(given) => Target::Project(project::named(app, "target", given).await?.id),
        Whose::Rollout => Target::Rollout,
        Whose::User(given) => Target::User(user::named(app, Scope::Organization, "target", given).await?.id),
    })
}

fn content(target: Target, text: Text, before: &Content) -> Result<Content, ActError> {
    let locks = match text.locks {
        Some(given) => {
            let paths: Result<Vec<Path>, _> = given.iter().map(|lock| Path::parse(lock)).collect();
            read("locks", paths)?
        }
        None => before.locks().to_vec(),
    };
    let priority = text.priority.unwrap_or_else(|| before.priority());
    read("locks", Content::new(target, text.settings, locks, priority))
}
