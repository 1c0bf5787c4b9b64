//! Which profiles concern whom.

use gatehouse_domain::id::{OrgId, ProfileId, UserId};

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

/// Assignments read at a time.
const BATCH: usize = 20_000;

// Members of a profile's team, holders of a key that charges its project, its user, and who is named in its audience
// or is a member of a team there. Profiles of the whole
// organization concern everybody and are not listed.
const SELECT: &str = "SELECT a.user_id, a.profile_id FROM ( \
     SELECT m.user_id AS user_id, p.id AS profile_id FROM settings_profiles p \
     JOIN memberships m ON m.org_id = p.org_id AND m.team_id = p.team_id WHERE p.org_id = $1 \
     UNION SELECT k.user_id, p.id FROM settings_profiles p \
     JOIN keys k ON k.org_id = p.org_id AND k.project_id = p.project_id \
     WHERE p.org_id = $1 AND k.state <> 'revoked' \
     UNION SELECT m.user_id, a.profile_id FROM settings_audience_members a \
     JOIN memberships m ON m.org_id = a.org_id AND m.team_id = a.team_id WHERE a.org_id = $1 \
     UNION SELECT a.user_id, a.profile_id FROM settings_audience_members a \
     WHERE a.org_id = $1 AND a.user_id IS NOT NULL \
     UNION SELECT p.user_id, p.id FROM settings_profiles p WHERE p.org_id = $1 AND p.user_id IS NOT NULL \
     ) a WHERE 1 = 1";

/// A profile that concerns a user; of an overlay, as long as its audience is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assignment {
    /// The user.
    pub user: UserId,
    /// The profile.
    pub profile: ProfileId,
}

impl Store {
    /// Which profiles of teams, projects and users, and which overlays, concern whom, sorted by user. Of one user, or of all. The share of
    /// all people that an overlay has is not listed: it follows from the overlay and the person.
    ///
    /// # Errors
    /// The database.
    pub async fn settings_assignments(
        &self,
        org: OrgId,
        user: Option<UserId>,
    ) -> Result<Vec<Assignment>, StoreError> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut found: Vec<Assignment> = Vec::new();
        loop {
            let mut filter = Filter::new(SELECT, org);
            filter.text("AND a.user_id = $?", user);
            if let Some(last) = found.last() {
                filter.arg("AND a.user_id >= $?", Arg::Text(last.user.to_string()));
                filter.arg("AND (a.user_id > $?", Arg::Text(last.user.to_string()));
                filter.arg("OR a.profile_id > $?)", Arg::Text(last.profile.to_string()));
            }
            filter.arg("ORDER BY a.user_id, a.profile_id LIMIT $?", Arg::Int(limit));
            let (sql, args) = filter.into_parts();
            let rows: Vec<(String, String)> =
                read!(self, |db| bound!(sqlx::query_as::<_, (String, String)>(sql), args)
                    .fetch_all(db)
                    .await)?;
            let full = rows.len() == BATCH;
            for (user, profile) in rows {
                let user = stored::parsed("user", &user)?;
                found.push(Assignment { user, profile: stored::parsed(super::NOUN, &profile)? });
            }
            if !full {
                return Ok(found);
            }
        }
    }
}
