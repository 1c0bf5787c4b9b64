//! Settings profiles, their versions, the audiences of overlays, schemas of settings, and what is known of the settings on clients.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProfileId};
use gatehouse_domain::name::Name;
use gatehouse_domain::settings::{Content, StepKind, Target, VersionState};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

pub use assignment::Assignment;
pub use audience::{Assigned, NewAudience};
pub use machine::{MachineNews, OnMachine};
pub use receipt::{MAX_BATCH, PEOPLE, Reach};
pub use schedule::{Due, Scheduled};
pub use schema::{MAX_SCHEMAS, NewSchema, StoredSchema};
pub use step::{Occasion, Wanted};
pub use version::{Published, Summary, Version};

mod content;
mod version;
mod step;
mod assignment;
pub(crate) mod audience;
mod schedule;
mod schema;
mod receipt;
mod machine;

const NOUN: &str = "settings profile";

/// Most profiles of an organization: every node holds the published contents in memory.
pub const MAX_PROFILES: i64 = 5000;

// The name of the team, project or user comes along, so that people are shown no identifiers.
const SELECT: &str = "SELECT p.id, p.name, p.folded, p.target, p.team_id, p.project_id, p.user_id, p.overlay, p.created_at, \
     COALESCE(t.name, j.name, u.email) AS target_name, \
     (SELECT MAX(v.number) FROM settings_versions v WHERE v.org_id = p.org_id AND v.profile_id = p.id) AS newest, \
     (SELECT v.number FROM settings_versions v WHERE v.org_id = p.org_id AND v.profile_id = p.id \
     AND v.state = 'published') AS published, \
     o.number AS open_number, o.state AS open_state, \
     d.number AS due_number, d.publish_at, d.actor_name AS due_by, d.problem \
     FROM settings_profiles p \
     LEFT JOIN teams t ON t.org_id = p.org_id AND t.id = p.team_id \
     LEFT JOIN projects j ON j.org_id = p.org_id AND j.id = p.project_id \
     LEFT JOIN users u ON u.org_id = p.org_id AND u.id = p.user_id \
     LEFT JOIN settings_versions o ON o.org_id = p.org_id AND o.profile_id = p.id \
     AND o.state IN ('draft', 'review', 'approved') \
     LEFT JOIN settings_schedules d ON d.org_id = p.org_id AND d.profile_id = p.id \
     WHERE p.org_id = $1";

/// A profile to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProfile {
    /// Its identifier.
    pub id: ProfileId,
    /// Its name.
    pub name: Name,
    /// Whose settings it contributes to.
    pub target: Target,
    /// What its first draft says.
    pub content: Content,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its identifier.
    pub id: ProfileId,
    /// Its name, unique in the organization.
    pub name: String,
    /// Whose settings it contributes to.
    pub target: Target,
    /// The name of the team or project, or the user's address; none for the whole organization.
    pub target_name: Option<String>,
    /// The number of its newest version.
    pub newest: u32,
    /// The version that clients get.
    pub published: Option<u32>,
    /// The version that is on its way there, and how far it is.
    pub open: Option<(u32, VersionState)>,
    /// When that is to be published.
    pub scheduled: Option<Scheduled>,
    /// When it was made.
    pub created_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    folded: String,
    target: String,
    team_id: Option<String>,
    project_id: Option<String>,
    user_id: Option<String>,
    overlay: i64,
    target_name: Option<String>,
    created_at: i64,
    newest: Option<i64>,
    published: Option<i64>,
    open_number: Option<i64>,
    open_state: Option<String>,
    due_number: Option<i64>,
    publish_at: Option<i64>,
    due_by: Option<String>,
    problem: Option<String>,
}

impl Store {
    /// Makes a profile whose version 1 is a draft.
    ///
    /// # Errors
    /// There is one of that name (in whatever case), or [`MAX_PROFILES`] of them; its team, project or user does not
    /// exist; the database.
    pub async fn create_settings_profile(
        &self,
        org: OrgId,
        new: &NewProfile,
        act: &Draft,
    ) -> Result<Profile, StoreError> {
        let mut tx = self.begin().await?;
        let (count,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM settings_profiles WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_one(db)
                .await
        })?;
        if count >= MAX_PROFILES {
            let why = format!(
                "would be one too many: an organization has at most {MAX_PROFILES} settings profiles"
            );
            return Err(StoreError::Invalid { field: "name", why });
        }
        let (team, project, user) = match new.target {
            Target::Organization | Target::Rollout => (None, None, None),
            Target::Team(id) => (Some(id.to_string()), None, None),
            Target::Project(id) => (None, Some(id.to_string()), None),
            Target::User(id) => (None, None, Some(id.to_string())),
        };
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO settings_profiles \
                 (org_id, id, name, folded, target, team_id, project_id, user_id, created_at, overlay) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(org.to_string())
            .bind(new.id.to_string())
            .bind(new.name.as_str())
            .bind(new.name.folded())
            .bind(stored_kind(new.target))
            .bind(team)
            .bind(project)
            .bind(user)
            .bind(act.at.0)
            .bind(i64::from(new.target == Target::Rollout))
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, &new.name))?;
        step::add_draft(&mut tx, org, new.id, 1, &new.content, act).await?;
        tx.record(org, act).await?;
        self.settings_profile(org, new.id).await
    }

    /// Looks a profile up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn settings_profile(&self, org: OrgId, id: ProfileId) -> Result<Profile, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND p.id = $?", Arg::Text(id.to_string()));
        self.one_profile(filter).await?.ok_or_else(|| StoreError::not_found(NOUN, id))
    }

    /// Looks a profile up by its name, in whatever case.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn settings_profile_by_name(&self, org: OrgId, name: &Name) -> Result<Profile, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND p.folded = $?", Arg::Text(name.folded()));
        self.one_profile(filter).await?.ok_or_else(|| StoreError::not_found(NOUN, name))
    }

    /// Lists profiles by name.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn settings_profiles(&self, org: OrgId, page: &Page) -> Result<Listed<Profile>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND p.folded > $?", page.cursor(|text| Some(text.to_owned()))?);
        filter.arg("ORDER BY p.folded LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.profile_rows(filter).await?, page, |row| row.folded.clone());
        let items = listed.items.into_iter().map(profile_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    async fn one_profile(&self, filter: Filter) -> Result<Option<Profile>, StoreError> {
        self.profile_rows(filter).await?.pop().map(profile_of).transpose()
    }

    async fn profile_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

/// Locks a profile until the transaction ends, so that changes of its versions take turns.
async fn lock(tx: &mut Tx, org: OrgId, id: ProfileId) -> Result<(), StoreError> {
    let found = change!(tx, |db| {
        sqlx::query("UPDATE settings_profiles SET name = name WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(id.to_string())
            .execute(db)
            .await
    })?;
    if found == 0 { Err(StoreError::not_found(NOUN, id)) } else { Ok(()) }
}

fn profile_of(row: Row) -> Result<Profile, StoreError> {
    let target = target_of(
        &row.id,
        &row.target,
        row.team_id.as_deref(),
        row.project_id.as_deref(),
        row.user_id.as_deref(),
        row.overlay,
    )?;
    let number = |number: i64| number_of(&row.id, number);
    let open = match (row.open_number, &row.open_state) {
        (Some(open), Some(state)) => Some((number(open)?, state_of(&row.id, state)?)),
        (None, _) | (_, None) => None,
    };
    let scheduled = match (row.due_number, row.publish_at, row.due_by) {
        (Some(due), Some(at), Some(by)) => {
            Some(Scheduled { number: number(due)?, at: UnixMillis(at), by, problem: row.problem })
        }
        (None, ..) | (_, None, _) | (.., None) => None,
    };
    Ok(Profile {
        id: stored::parsed(NOUN, &row.id)?,
        target,
        target_name: row.target_name,
        newest: number(row.newest.unwrap_or(0))?,
        published: row.published.map(number).transpose()?,
        open,
        scheduled,
        created_at: UnixMillis(row.created_at),
        name: row.name,
    })
}

/// The target as it is written down: an overlay is for parts of the whole organization.
const fn stored_kind(target: Target) -> &'static str {
    match target {
        Target::Rollout => Target::Organization.kind(),
        Target::Organization | Target::Team(_) | Target::Project(_) | Target::User(_) => target.kind(),
    }
}

fn target_of(
    given: &str,
    kind: &str,
    team: Option<&str>,
    project: Option<&str>,
    user: Option<&str>,
    overlay: i64,
) -> Result<Target, StoreError> {
    match (kind, team, project, user, overlay) {
        ("organization", None, None, None, 0) => Ok(Target::Organization),
        ("organization", None, None, None, 1) => Ok(Target::Rollout),
        ("team", Some(id), None, None, 0) => Ok(Target::Team(stored::parsed("team", id)?)),
        ("project", None, Some(id), None, 0) => Ok(Target::Project(stored::parsed("project", id)?)),
        ("user", None, None, Some(id), 0) => Ok(Target::User(stored::parsed("user", id)?)),
        _ => Err(StoreError::corrupt(NOUN, given, "it is not clear whose settings it contributes to")),
    }
}

fn number_of(given: &str, number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::corrupt(NOUN, given, format!("it has a version {number}")))
}

fn state_of(given: &str, text: &str) -> Result<VersionState, StoreError> {
    let known = VersionState::ALL.into_iter().find(|state| state.as_str() == text);
    known.ok_or_else(|| StoreError::corrupt(NOUN, given, format!("a version's state is `{text}`")))
}

fn kind_of(given: &str, text: &str) -> Result<StepKind, StoreError> {
    let known = StepKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| StoreError::corrupt(NOUN, given, format!("a step of it is `{text}`")))
}
