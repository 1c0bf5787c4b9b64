//! Versions of a profile and their way from draft to clients.

use std::collections::BTreeMap;

use gatehouse_domain::id::{OrgId, ProfileId};
use gatehouse_domain::settings::{Audience, Checksum, Content, Step, Target, VersionState};
use gatehouse_domain::time::UnixMillis;

use super::audience::audience_of;
use super::content::{self, content_of};
use super::{Profile, kind_of, number_of, state_of, target_of};
use crate::dialect::{read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

pub(super) const NOUN: &str = "settings version";

const SELECT: &str = "SELECT v.number, v.state, v.approvals, v.created_at, v.checksum, \
     c.settings, c.locks, c.priority \
     FROM settings_versions v \
     JOIN settings_contents c ON c.org_id = v.org_id AND c.checksum = v.checksum \
     WHERE v.org_id = $1";

const LIST: &str = "SELECT v.number, v.state, v.approvals, v.created_at, v.checksum FROM settings_versions v \
     WHERE v.org_id = $1";

/// The person behind the actor: who has two tokens is one.
const STEPS: &str = "SELECT s.number, s.kind, COALESCE(t.person, s.actor_id) AS actor_id, s.actor_name, s.at, s.note \
     FROM settings_steps s LEFT JOIN admin_tokens t ON t.org_id = s.org_id AND t.id = s.actor_id \
     WHERE s.org_id = $1";

/// A version of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u32,
    /// Where it is on its way.
    pub state: VersionState,
    /// How many people must agree; 0 until it was submitted.
    pub approvals: u32,
    /// What it says.
    pub content: Content,
    /// The name of that.
    pub checksum: Checksum,
    /// What was done with it, oldest first.
    pub steps: Vec<Step>,
    /// When it was begun.
    pub created_at: UnixMillis,
}

/// A version without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its number, from 1.
    pub number: u32,
    /// Where it is on its way.
    pub state: VersionState,
    /// How many people must agree; 0 until it was submitted.
    pub approvals: u32,
    /// The name of what it says.
    pub checksum: Checksum,
    /// What was done with it, oldest first.
    pub steps: Vec<Step>,
    /// When it was begun.
    pub created_at: UnixMillis,
}

/// A profile's version that clients get.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The profile.
    pub profile: ProfileId,
    /// Its name.
    pub name: String,
    /// Whose settings it contributes to.
    pub target: Target,
    /// The version's number.
    pub number: u32,
    /// What it says.
    pub content: Content,
    /// When it was last published.
    pub published_at: UnixMillis,
    /// When an overlay holds and for which share; `None` for one that concerns nobody yet, and for all other profiles.
    pub audience: Option<Audience>,
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    state: String,
    approvals: i64,
    created_at: i64,
    #[sqlx(flatten)]
    content: content::Row,
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    number: i64,
    state: String,
    approvals: i64,
    created_at: i64,
    checksum: String,
}

#[derive(sqlx::FromRow)]
struct StepRow {
    number: i64,
    kind: String,
    actor_id: String,
    actor_name: String,
    at: i64,
    note: Option<String>,
}

#[derive(sqlx::FromRow)]
struct PublishedRow {
    profile_id: String,
    name: String,
    target: String,
    team_id: Option<String>,
    project_id: Option<String>,
    user_id: Option<String>,
    overlay: i64,
    percent: Option<i64>,
    starts_at: Option<i64>,
    ends_at: Option<i64>,
    number: i64,
    published_at: Option<i64>,
    #[sqlx(flatten)]
    content: content::Row,
}

impl Store {
    /// Looks a version up.
    ///
    /// # Errors
    /// There is none; it was changed in the database; the database.
    pub async fn settings_version(
        &self,
        org: OrgId,
        profile: &Profile,
        number: u32,
    ) -> Result<Version, StoreError> {
        let mut tx = self.begin().await?;
        let found = one(&mut tx, org, profile, number).await;
        tx.rollback().await?;
        found
    }

    /// Lists a profile's versions, newest first, without what they say.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn settings_versions(
        &self,
        org: OrgId,
        profile: &Profile,
        page: &Page,
    ) -> Result<Listed<Summary>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(LIST, org);
        filter.arg("AND v.profile_id = $?", Arg::Text(profile.id.to_string()));
        filter.int("AND v.number < $?", page.cursor(|text| text.parse::<u32>().ok())?.map(i64::from));
        filter.arg("ORDER BY v.number DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let found = read!(self, |db| bound!(sqlx::query_as::<_, SummaryRow>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(found, page, |row| row.number.to_string());
        let (first, last) = match (listed.items.last(), listed.items.first()) {
            (Some(oldest), Some(newest)) => (oldest.number, newest.number),
            (None, _) | (_, None) => return Ok(Listed { items: Vec::new(), next: None }),
        };
        let mut filter = Filter::new(STEPS, org);
        filter.arg("AND s.profile_id = $?", Arg::Text(profile.id.to_string()));
        filter.arg("AND s.number >= $?", Arg::Int(first));
        filter.arg("AND s.number <= $?", Arg::Int(last));
        filter.sql("ORDER BY s.number, s.step");
        let (sql, args) = filter.into_parts();
        let steps = read!(self, |db| bound!(sqlx::query_as::<_, StepRow>(sql), args).fetch_all(db).await)?;
        let mut steps = steps_of(steps)?;
        let mut summary = |row| summary_of(row, &mut steps);
        let items = listed.items.iter().map(&mut summary).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// What clients get of each profile: the published versions, by profile. One that cannot be read is an error: the
    /// others without it would be other settings than were published.
    ///
    /// # Errors
    /// A content was changed in the database; the database.
    pub async fn published_settings(&self, org: OrgId) -> Result<Vec<Published>, StoreError> {
        let rows: Vec<PublishedRow> = read!(self, |db| {
            sqlx::query_as(
                "SELECT v.profile_id, p.name, p.target, p.team_id, p.project_id, p.user_id, p.overlay, \
                 a.percent, a.starts_at, a.ends_at, v.number, v.checksum, c.settings, c.locks, c.priority, \
                 (SELECT MAX(s.at) FROM settings_steps s WHERE s.org_id = v.org_id AND s.profile_id = v.profile_id \
                 AND s.number = v.number AND s.kind = 'published') AS published_at \
                 FROM settings_versions v \
                 JOIN settings_profiles p ON p.org_id = v.org_id AND p.id = v.profile_id \
                 JOIN settings_contents c ON c.org_id = v.org_id AND c.checksum = v.checksum \
                 LEFT JOIN settings_audiences a ON a.org_id = v.org_id AND a.profile_id = v.profile_id \
                 WHERE v.org_id = $1 AND v.state = 'published' ORDER BY v.profile_id",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(published_of).collect()
    }
}

fn published_of(row: PublishedRow) -> Result<Published, StoreError> {
    let target = target_of(
        &row.profile_id,
        &row.target,
        row.team_id.as_deref(),
        row.project_id.as_deref(),
        row.user_id.as_deref(),
        row.overlay,
    )?;
    Ok(Published {
        audience: audience_of(&row.profile_id, row.percent, row.starts_at, row.ends_at)?,
        profile: stored::parsed(super::NOUN, &row.profile_id)?,
        target,
        number: number_of(&row.profile_id, row.number)?,
        content: content_of(target, &row.content)?,
        published_at: UnixMillis(row.published_at.unwrap_or(0)),
        name: row.name,
    })
}

pub(super) async fn one(
    tx: &mut Tx,
    org: OrgId,
    profile: &Profile,
    number: u32,
) -> Result<Version, StoreError> {
    let mut filter = Filter::new(SELECT, org);
    filter.arg("AND v.profile_id = $?", Arg::Text(profile.id.to_string()));
    filter.arg("AND v.number = $?", Arg::Int(i64::from(number)));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    let row = row.ok_or_else(|| StoreError::not_found(NOUN, number))?;
    let mut filter = Filter::new(STEPS, org);
    filter.arg("AND s.profile_id = $?", Arg::Text(profile.id.to_string()));
    filter.arg("AND s.number = $?", Arg::Int(i64::from(number)));
    filter.sql("ORDER BY s.step");
    let (sql, args) = filter.into_parts();
    let steps = within!(tx, |db| bound!(sqlx::query_as::<_, StepRow>(sql), args).fetch_all(db).await)?;
    version_of(profile.target, &row, &mut steps_of(steps)?)
}

fn steps_of(rows: Vec<StepRow>) -> Result<BTreeMap<i64, Vec<Step>>, StoreError> {
    let mut steps = BTreeMap::<i64, Vec<Step>>::new();
    for row in rows {
        let kind = kind_of(&row.number.to_string(), &row.kind)?;
        let (by, name, at) = (row.actor_id, row.actor_name, UnixMillis(row.at));
        steps.entry(row.number).or_default().push(Step { kind, by, name, at, note: row.note });
    }
    Ok(steps)
}

fn version_of(
    target: Target,
    row: &Row,
    steps: &mut BTreeMap<i64, Vec<Step>>,
) -> Result<Version, StoreError> {
    let given = row.number.to_string();
    let content = content_of(target, &row.content)?;
    Ok(Version {
        number: number_of(&given, row.number)?,
        state: state_of(&given, &row.state)?,
        approvals: number_of(&given, row.approvals)?,
        checksum: content.checksum(),
        content,
        steps: steps.remove(&row.number).unwrap_or_default(),
        created_at: UnixMillis(row.created_at),
    })
}

fn summary_of(row: &SummaryRow, steps: &mut BTreeMap<i64, Vec<Step>>) -> Result<Summary, StoreError> {
    let given = row.number.to_string();
    Ok(Summary {
        number: number_of(&given, row.number)?,
        state: state_of(&given, &row.state)?,
        approvals: number_of(&given, row.approvals)?,
        checksum: Checksum::parse(&row.checksum).map_err(|why| StoreError::corrupt(NOUN, &given, why))?,
        steps: steps.remove(&row.number).unwrap_or_default(),
        created_at: UnixMillis(row.created_at),
    })
}
