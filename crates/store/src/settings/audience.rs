//! Audiences of overlays.

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProfileId};
use gatehouse_domain::settings::audience::BadAudience;
use gatehouse_domain::settings::{Audience, Member, Percent, Target};
use gatehouse_domain::time::UnixMillis;

use super::{NOUN, Profile, lock};
use crate::dialect::{change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

/// An audience, with the names of those who are named in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// When and for which share.
    pub audience: Audience,
    /// Teams by name, users by address.
    pub members: BTreeMap<Member, String>,
}

/// What an audience becomes.
pub type NewAudience = (Audience, BTreeSet<Member>);

type Row = (i64, i64, Option<i64>);
type MemberRow = (Option<String>, Option<String>, Option<String>);

impl Store {
    /// Looks up an overlay's audience; `None` if it never had one.
    ///
    /// # Errors
    /// The database.
    pub async fn settings_audience(
        &self,
        org: OrgId,
        profile: ProfileId,
    ) -> Result<Option<Assigned>, StoreError> {
        let mut tx = self.begin().await?;
        let found = find(&mut tx, org, profile).await;
        tx.rollback().await?;
        found
    }

    /// Makes of an overlay's audience another: `become` gets the one it has.
    ///
    /// # Errors
    /// The profile is no overlay or does not exist; `become` refuses; a team or user does not exist; the database.
    pub async fn change_settings_audience(
        &self,
        org: OrgId,
        profile: &Profile,
        becomes: impl FnOnce(Option<&Assigned>) -> Result<NewAudience, BadAudience> + Send,
        act: &Draft,
    ) -> Result<Assigned, StoreError> {
        if profile.target != Target::Rollout {
            return Err(StoreError::refused(
                NOUN,
                &profile.name,
                "is no overlay: whom it concerns follows from its target",
            ));
        }
        let mut tx = self.begin().await?;
        lock(&mut tx, org, profile.id).await?;
        let before = find(&mut tx, org, profile.id).await?;
        let (audience, members) = becomes(before.as_ref()).map_err(|why| StoreError::Invalid {
            field: "audience",
            why: format!("of `{}`: {why}", profile.name),
        })?;
        put(&mut tx, org, profile.id, &audience, act).await?;
        let had: BTreeSet<Member> = before.iter().flat_map(|before| before.members.keys().copied()).collect();
        for gone in had.difference(&members) {
            remove(&mut tx, org, profile.id, *gone).await?;
        }
        for new in members.difference(&had) {
            add(&mut tx, org, profile.id, *new).await?;
        }
        let now = find(&mut tx, org, profile.id).await?;
        let now = now.ok_or_else(|| StoreError::corrupt(NOUN, profile.id, "its audience is gone"))?;
        tx.publish(org, act).await?;
        Ok(now)
    }
}

async fn find(tx: &mut Tx, org: OrgId, profile: ProfileId) -> Result<Option<Assigned>, StoreError> {
    let found: Option<Row> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT percent, starts_at, ends_at FROM settings_audiences WHERE org_id = $1 AND profile_id = $2",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .fetch_optional(db)
        .await
    })?;
    let Some((percent, starts_at, ends_at)) = found else { return Ok(None) };
    let audience = audience_of(&profile.to_string(), Some(percent), Some(starts_at), ends_at)?;
    let Some(audience) = audience else { return Ok(None) };
    let rows: Vec<MemberRow> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT m.team_id, m.user_id, COALESCE(t.name, u.email) FROM settings_audience_members m \
             LEFT JOIN teams t ON t.org_id = m.org_id AND t.id = m.team_id \
             LEFT JOIN users u ON u.org_id = m.org_id AND u.id = m.user_id \
             WHERE m.org_id = $1 AND m.profile_id = $2",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .fetch_all(db)
        .await
    })?;
    let members = rows.into_iter().map(member_of).collect::<Result<_, _>>()?;
    Ok(Some(Assigned { audience, members }))
}

fn member_of((team, user, name): MemberRow) -> Result<(Member, String), StoreError> {
    let name = name.unwrap_or_default();
    match (team, user) {
        (Some(id), None) => Ok((Member::Team(stored::parsed("team", &id)?), name)),
        (None, Some(id)) => Ok((Member::User(stored::parsed("user", &id)?), name)),
        (None, None) | (Some(_), Some(_)) => {
            Err(StoreError::corrupt(NOUN, name, "it is not clear who is in its audience"))
        }
    }
}

pub(super) fn audience_of(
    given: &str,
    percent: Option<i64>,
    starts_at: Option<i64>,
    ends_at: Option<i64>,
) -> Result<Option<Audience>, StoreError> {
    let (Some(percent), Some(starts_at)) = (percent, starts_at) else { return Ok(None) };
    let percent = u64::try_from(percent).ok().and_then(|percent| Percent::new(percent).ok());
    let percent =
        percent.ok_or_else(|| StoreError::corrupt(NOUN, given, "its audience is no share of people"))?;
    Ok(Some(Audience { percent, starts_at: UnixMillis(starts_at), ends_at: ends_at.map(UnixMillis) }))
}

async fn put(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    audience: &Audience,
    act: &Draft,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO settings_audiences (org_id, profile_id, percent, starts_at, ends_at, changed_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, profile_id) DO UPDATE SET \
             percent = excluded.percent, starts_at = excluded.starts_at, ends_at = excluded.ends_at, \
             changed_at = excluded.changed_at",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(i64::from(audience.percent.get()))
        .bind(audience.starts_at.0)
        .bind(audience.ends_at.map(|end| end.0))
        .bind(act.at.0)
        .execute(db)
        .await
    })?;
    Ok(())
}

/// Names somebody in an audience.
pub(crate) async fn add(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    member: Member,
) -> Result<(), StoreError> {
    let (team, user) = match member {
        Member::Team(id) => (Some(id.to_string()), None),
        Member::User(id) => (None, Some(id.to_string())),
    };
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO settings_audience_members (org_id, profile_id, member, team_id, user_id) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(id_of(member))
        .bind(team.as_deref())
        .bind(user.as_deref())
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting("member of an audience", id_of(member)))?;
    Ok(())
}

/// Names somebody in an audience no more.
pub(crate) async fn remove(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    member: Member,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "DELETE FROM settings_audience_members WHERE org_id = $1 AND profile_id = $2 AND member = $3",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(id_of(member))
        .execute(db)
        .await
    })?;
    Ok(())
}

fn id_of(member: Member) -> String {
    match member {
        Member::Team(id) => id.to_string(),
        Member::User(id) => id.to_string(),
    }
}
