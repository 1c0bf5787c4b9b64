//! Who is in which group, and what follows for teams.

use std::collections::HashMap;

use gatehouse_domain::id::{GroupId, OrgId};
use gatehouse_domain::source::Source;

use super::{Member, MemberKind};
use crate::dialect::{change, within};
use crate::engine::Tx;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};

/// Members looked up, added or removed by one statement.
const CHUNK: usize = 100;

/// Says of each identifier what it is in this source.
///
/// # Errors
/// The source has no such user or group.
pub(super) async fn resolved(
    tx: &mut Tx,
    org: OrgId,
    source: &Source,
    ids: &[String],
) -> Result<Vec<Member>, StoreError> {
    let mut known: HashMap<String, MemberKind> = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        for (sql, kind) in [
            (
                "SELECT user_id FROM accounts WHERE org_id = $1 AND deleted_at IS NULL AND user_id IN (''",
                MemberKind::User,
            ),
            ("SELECT id FROM directory_groups WHERE org_id = $1 AND id IN (''", MemberKind::Group),
        ] {
            let mut filter = Filter::new(sql, org);
            list(&mut filter, chunk);
            filter.arg(") AND source = $?", Arg::Text(source.to_string()));
            let (sql, args) = filter.into_parts();
            let rows: Vec<(String,)> =
                within!(tx, |db| bound!(sqlx::query_as(sql), args).fetch_all(db).await)?;
            known.extend(rows.into_iter().map(|(id,)| (id, kind)));
        }
    }
    let member = |id: &String| match known.get(id) {
        Some(kind) => Ok(Member { id: id.clone(), kind: *kind }),
        None => Err(StoreError::not_found("member", id.chars().take(64).collect::<String>())),
    };
    ids.iter().map(member).collect()
}

/// Puts members into a group. Those that are in it stay in it.
pub(super) async fn add(
    tx: &mut Tx,
    org: OrgId,
    group: GroupId,
    members: &[Member],
) -> Result<(), StoreError> {
    for chunk in members.chunks(CHUNK) {
        let mut filter =
            Filter::new("INSERT INTO directory_members (org_id, group_id, member_id, kind) VALUES", org);
        let mut row = "($1, $?,";
        for member in chunk {
            filter.arg(row, Arg::Text(group.to_string()));
            filter.arg("$?,", Arg::Text(member.id.clone()));
            filter.arg("$?)", Arg::Text(member.kind.as_str().to_owned()));
            row = ", ($1, $?,";
        }
        filter.sql("ON CONFLICT DO NOTHING");
        let (sql, args) = filter.into_parts();
        change!(tx, |db| bound!(sqlx::query(sql), args).execute(db).await)?;
    }
    touch(tx, org, members.iter().filter(|member| member.kind == MemberKind::User).map(|member| &member.id))
        .await
}

/// Takes members out of a group.
pub(super) async fn remove(
    tx: &mut Tx,
    org: OrgId,
    group: GroupId,
    ids: &[String],
) -> Result<(), StoreError> {
    for chunk in ids.chunks(CHUNK) {
        let mut filter = Filter::new("DELETE FROM directory_members WHERE org_id = $1", org);
        filter.arg("AND group_id = $? AND member_id IN (''", Arg::Text(group.to_string()));
        list(&mut filter, chunk);
        filter.sql(")");
        let (sql, args) = filter.into_parts();
        change!(tx, |db| bound!(sqlx::query(sql), args).execute(db).await)?;
    }
    touch(tx, org, ids).await
}

/// Counts the versions of these users' accounts up: what is said of them names their groups.
async fn touch(tx: &mut Tx, org: OrgId, users: impl IntoIterator<Item = &String>) -> Result<(), StoreError> {
    // In one order, so that two such changes do not wait for each other.
    let mut users: Vec<String> = users.into_iter().cloned().collect();
    users.sort_unstable();
    for chunk in users.chunks(CHUNK) {
        let mut filter = Filter::new(
            "UPDATE accounts SET version = version + 1 WHERE org_id = $1 AND user_id IN (''",
            org,
        );
        list(&mut filter, chunk);
        filter.sql(")");
        let (sql, args) = filter.into_parts();
        change!(tx, |db| bound!(sqlx::query(sql), args).execute(db).await)?;
    }
    Ok(())
}

fn list(filter: &mut Filter, ids: &[String]) {
    for id in ids {
        filter.arg(", $?", Arg::Text(id.replace('\0', "\u{fffd}")));
    }
}

/// The teams that a user or group is in by way of groups.
pub(crate) async fn teams_above(tx: &mut Tx, org: OrgId, member: &str) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> = within!(tx, |db| {
        sqlx::query_as(
            "WITH RECURSIVE above (id) AS (SELECT group_id FROM directory_members WHERE org_id = $1 AND member_id = $2 \
             UNION SELECT id FROM directory_groups WHERE org_id = $1 AND id = $2 UNION SELECT m.group_id FROM directory_members m JOIN above ON m.member_id = above.id WHERE m.org_id = $1) \
             SELECT DISTINCT g.team_id FROM directory_groups g JOIN above ON g.id = above.id \
             WHERE g.org_id = $1 AND g.team_id IS NOT NULL ORDER BY g.team_id",
        )
        .bind(org.to_string())
        .bind(member)
        .fetch_all(db)
        .await
    })?;
    Ok(rows.into_iter().map(|(team,)| team).collect())
}

/// Takes a user or group out of all groups.
pub(crate) async fn forget_member(tx: &mut Tx, org: OrgId, member: &str) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query("DELETE FROM directory_members WHERE org_id = $1 AND member_id = $2")
            .bind(org.to_string())
            .bind(member)
            .execute(db)
            .await
    })?;
    Ok(())
}

/// Everyone in the groups that are mapped to a team, and in groups within them.
macro_rules! wanted {
    () => {
        "WITH RECURSIVE inside (id) AS (\
         SELECT id FROM directory_groups WHERE org_id = $1 AND team_id = $2 UNION \
         SELECT m.member_id FROM directory_members m JOIN inside ON m.group_id = inside.id \
         WHERE m.org_id = $1 AND m.kind = 'group') \
         SELECT DISTINCT m.member_id FROM directory_members m JOIN inside ON m.group_id = inside.id \
         WHERE m.org_id = $1 AND m.kind = 'user'"
    };
}

/// Puts everyone into these teams whom their groups put there, and takes the other provisioned users out.
pub(crate) async fn settle(tx: &mut Tx, org: OrgId, teams: &[String]) -> Result<(), StoreError> {
    for team in teams {
        for sql in [
            concat!(
                "DELETE FROM memberships WHERE org_id = $1 AND team_id = $2 \
                 AND user_id IN (SELECT user_id FROM accounts WHERE org_id = $1) AND user_id NOT IN (",
                wanted!(),
                ")"
            ),
            concat!(
                "INSERT INTO memberships (org_id, user_id, team_id) SELECT CAST($1 AS TEXT), member_id, CAST($2 AS TEXT) \
                 FROM (",
                wanted!(),
                ") AS wanted WHERE 1 = 1 ON CONFLICT DO NOTHING"
            ),
        ] {
            change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(team).execute(db).await)?;
        }
    }
    Ok(())
}
