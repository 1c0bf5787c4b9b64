//! Users and their teams.

use std::collections::BTreeSet;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::{User, UserState};
use gatehouse_domain::id::{OrgId, TeamId, UserId};
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound, containing};
use crate::page::{Listed, Page, check_text};
use crate::{session, stored, team};

const NOUN: &str = "user";

// Team names are joined with a line feed, which no name contains; one statement for a page, however many teams.
const SELECT: &str = "SELECT u.id, u.email, u.name, u.state, u.created_at, \
     (SELECT STRING_AGG(t.name, '\n') FROM memberships m JOIN teams t ON t.org_id = m.org_id AND t.id = m.team_id \
     WHERE m.org_id = u.org_id AND m.user_id = u.id) AS teams \
     FROM users u WHERE u.org_id = $1";

/// Most teams of one user.
pub const MAX_TEAMS: usize = 200;

/// A user to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Their identifier.
    pub id: UserId,
    /// Their address.
    pub email: Email,
    /// Their name.
    pub name: Option<Name>,
    /// Their teams, at most [`MAX_TEAMS`].
    pub teams: Vec<TeamId>,
}

/// Which users are wanted; all conditions apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserFilter {
    /// Whose address or name contains this text, in whatever case.
    pub text: Option<String>,
    /// Who are in this team.
    pub team: Option<TeamId>,
    /// Who are in this state.
    pub state: Option<UserState>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    email: String,
    name: Option<String>,
    state: String,
    created_at: i64,
    teams: Option<String>,
}

impl Store {
    /// Adds a user.
    ///
    /// # Errors
    /// There is one of that address; a team does not exist; the database.
    pub async fn create_user(&self, org: OrgId, new: &NewUser, act: &Draft) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO users (org_id, id, email, name, search, state, created_at) \
                 VALUES ($1, $2, $3, $4, $5, 'active', $6)",
            )
            .bind(org.to_string())
            .bind(new.id.to_string())
            .bind(new.email.as_str())
            .bind(new.name.as_ref().map(Name::as_str))
            .bind(search_text(new.email.as_str(), new.name.as_ref().map(Name::as_str)))
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, &new.email))?;
        join(&mut tx, org, new.id, &new.teams).await?;
        let user = in_tx(&mut tx, org, new.id).await?;
        // Which settings a user gets depends on their teams.
        if new.teams.is_empty() {
            tx.record(org, act).await?;
        } else {
            tx.publish(org, act).await?;
        }
        Ok(user)
    }

    /// Looks a user up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn user(&self, org: OrgId, id: UserId) -> Result<User, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND u.id = $?", Arg::Text(id.to_string()));
        self.user_rows(filter).await?.pop().map_or_else(|| Err(StoreError::not_found(NOUN, id)), user_of)
    }

    /// Looks a user up by their address.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn user_by_email(&self, org: OrgId, email: &Email) -> Result<User, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND u.email = $?", Arg::Text(email.to_string()));
        self.user_rows(filter).await?.pop().map_or_else(|| Err(StoreError::not_found(NOUN, email)), user_of)
    }

    /// Lists users by address.
    ///
    /// # Errors
    /// A bad page or text; the database.
    pub async fn users(
        &self,
        org: OrgId,
        wanted: &UserFilter,
        page: &Page,
    ) -> Result<Listed<User>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND u.email > $?", page.cursor(|text| Some(text.to_owned()))?);
        if let Some(text) = &wanted.text {
            check_text("text", text)?;
            filter.arg(r"AND u.search LIKE $? ESCAPE '\'", Arg::Text(containing(text)));
        }
        filter.text(
            "AND EXISTS (SELECT 1 FROM memberships m \
             WHERE m.org_id = u.org_id AND m.user_id = u.id AND m.team_id = $?)",
            wanted.team,
        );
        filter.text("AND u.state = $?", wanted.state.map(stored::user_state_text));
        filter.arg("ORDER BY u.email LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.user_rows(filter).await?, page, |row| row.email.clone());
        let items = listed.items.into_iter().map(user_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Enables or disables a user; a disabled user's keys are refused, and their sessions end for good.
    ///
    /// # Errors
    /// There is none; it is to be enabled while its directory holds it disabled; the database.
    pub async fn set_user_state(
        &self,
        org: OrgId,
        id: UserId,
        state: UserState,
        act: &Draft,
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query("UPDATE users SET state = $3 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(stored::user_state_text(state))
                .execute(db)
                .await
        })?;
        if changed == 0 {
            return Err(StoreError::not_found(NOUN, id));
        }
        if state == UserState::Active {
            must_be_enabled_by_its_source(&mut tx, org, id).await?;
        }
        if state == UserState::Disabled {
            session::end_all(&mut tx, org, id, SessionEnd::UserDisabled, act.at).await?;
        }
        let user = in_tx(&mut tx, org, id).await?;
        tx.publish(org, act).await?;
        Ok(user)
    }

    /// Gives a user another name for people to read, or none.
    ///
    /// # Errors
    /// There is no such user; the database.
    pub async fn set_user_name(
        &self,
        org: OrgId,
        id: UserId,
        name: Option<&Name>,
        act: &Draft,
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let user = in_tx(&mut tx, org, id).await?;
        let name = name.map(Name::as_str);
        change!(tx, |db| {
            sqlx::query("UPDATE users SET name = $3, search = $4 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(name)
                .bind(search_text(&user.email, name))
                .execute(db)
                .await
        })?;
        tx.record(org, act).await?;
        Ok(User { name: name.map(str::to_owned), ..user })
    }

    /// Gives a user another address.
    ///
    /// # Errors
    /// There is no such user; another has the address; the user comes from a directory, which says their address; the
    /// database.
    pub async fn set_user_email(
        &self,
        org: OrgId,
        id: UserId,
        email: &Email,
        act: &Draft,
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, id).await?;
        let user = in_tx(&mut tx, org, id).await?;
        let accounts: (i64,) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT COUNT(*) FROM accounts WHERE org_id = $1 AND user_id = $2 AND deleted_at IS NULL",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_one(db)
            .await
        })?;
        if accounts.0 > 0 {
            let why = "comes from a directory, which says their address; change it there";
            return Err(StoreError::refused(NOUN, id, why));
        }
        change!(tx, |db| {
            sqlx::query("UPDATE users SET email = $3, search = $4 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(email.as_str())
                .bind(search_text(email.as_str(), user.name.as_deref()))
                .execute(db)
                .await
        })
        .map_err(StoreError::inserting(NOUN, email))?;
        tx.record(org, act).await?;
        Ok(User { email: email.to_string(), ..user })
    }

    /// Puts a user into exactly these teams.
    ///
    /// # Errors
    /// There is no such user or team; more than [`MAX_TEAMS`]; the database.
    pub async fn set_user_teams(
        &self,
        org: OrgId,
        id: UserId,
        teams: &[TeamId],
        act: &Draft,
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        // Locks the user, so that two such changes do not end in a mixture of both.
        let found = change!(tx, |db| {
            sqlx::query("UPDATE users SET state = state WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        })?;
        if found == 0 {
            return Err(StoreError::not_found(NOUN, id));
        }
        change!(tx, |db| {
            sqlx::query("DELETE FROM memberships WHERE org_id = $1 AND user_id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        })?;
        join(&mut tx, org, id, teams).await?;
        let user = in_tx(&mut tx, org, id).await?;
        tx.publish(org, act).await?;
        Ok(user)
    }

    async fn user_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

/// Refuses a user that the organization does not have.
pub(crate) async fn must_exist(tx: &mut Tx, org: OrgId, id: UserId) -> Result<(), StoreError> {
    in_tx(tx, org, id).await.map(|_| ())
}

async fn in_tx(tx: &mut Tx, org: OrgId, id: UserId) -> Result<User, StoreError> {
    let mut filter = Filter::new(SELECT, org);
    filter.arg("AND u.id = $?", Arg::Text(id.to_string()));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), user_of)
}

async fn join(tx: &mut Tx, org: OrgId, user: UserId, teams: &[TeamId]) -> Result<(), StoreError> {
    if teams.len() > MAX_TEAMS {
        let why = format!("has {} teams, expected at most {MAX_TEAMS}", teams.len());
        return Err(StoreError::Invalid { field: "teams", why });
    }
    for id in teams.iter().copied().collect::<BTreeSet<_>>() {
        team::must_exist(tx, org, id).await?;
        change!(tx, |db| {
            sqlx::query("INSERT INTO memberships (org_id, user_id, team_id) VALUES ($1, $2, $3)")
                .bind(org.to_string())
                .bind(user.to_string())
                .bind(id.to_string())
                .execute(db)
                .await
        })
        .map_err(StoreError::inserting("membership", id))?;
    }
    Ok(())
}

/// Locks a user until the transaction ends, and tells its state.
pub(crate) async fn lock(tx: &mut Tx, org: OrgId, id: UserId) -> Result<UserState, StoreError> {
    let found: Option<(String,)> = within!(tx, |db| {
        sqlx::query_as("UPDATE users SET state = state WHERE org_id = $1 AND id = $2 RETURNING state")
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_optional(db)
            .await
    })?;
    let (state,) = found.ok_or_else(|| StoreError::not_found(NOUN, id))?;
    stored::user_state(&id.to_string(), &state)
}

/// Refuses to enable a user whom its directory holds disabled: its word would count for nothing otherwise.
async fn must_be_enabled_by_its_source(tx: &mut Tx, org: OrgId, id: UserId) -> Result<(), StoreError> {
    let found: Option<(String,)> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT source FROM accounts WHERE org_id = $1 AND user_id = $2 AND active = 0 AND deleted_at IS NULL",
        )
        .bind(org.to_string())
        .bind(id.to_string())
        .fetch_optional(db)
        .await
    })?;
    let why = "is disabled in the directory it comes from; enable it there";
    found.map_or(Ok(()), |_| Err(StoreError::refused(NOUN, id, why)))
}

/// What users are searched in: address and name, in lower case.
pub(crate) fn search_text(email: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{email}\n{}", name.to_lowercase()),
        None => email.to_owned(),
    }
}

fn user_of(row: Row) -> Result<User, StoreError> {
    let mut teams: Vec<String> =
        row.teams.iter().flat_map(|names| names.split('\n')).map(str::to_owned).collect();
    teams.sort_unstable();
    Ok(User {
        id: stored::parsed(NOUN, &row.id)?,
        state: stored::user_state(&row.id, &row.state)?,
        email: row.email,
        name: row.name,
        teams,
        created_at: UnixMillis(row.created_at),
    })
}
