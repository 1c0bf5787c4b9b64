//! Administrators' tokens.

use gatehouse_domain::audit::{Actor, ActorKind, Draft};
use gatehouse_domain::id::{AdminTokenId, OrgId};
use gatehouse_domain::key::{KeyHash, KeyKind, PublicId};
use gatehouse_domain::name::Name;
use gatehouse_domain::role::{Role, RoleName, Scope};
use gatehouse_domain::time::{DAY_MS, UnixMillis};

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::token::{self, Table};
use crate::{policy, stored};

const NOUN: &str = "admin token";

/// The person of tokens that the serving machine made itself.
pub const MACHINE: &str = "machine";

/// An owner's token that ends sooner than this does not stand in for one that is taken back.
pub const OWNER_LASTS_MS: i64 = 7 * DAY_MS;

const SELECT: &str = "SELECT org_id, id, public_id, hash, name, role, team_id, user_id, expires_at, revoked_at, created_at, last_used_at, pepper, person \
     FROM admin_tokens WHERE org_id = $1";

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAdminToken {
    /// Its identifier.
    pub id: AdminTokenId,
    /// The public part of its text.
    pub public: PublicId,
    /// The keyed hash of its text.
    pub hash: KeyHash,
    /// Whose it is, or what for.
    pub name: Name,
    /// What it may do.
    pub role: RoleName,
    /// For whom.
    pub scope: Scope,
    /// Whose it is: a user's id, or `service:NAME`; `None`: whose the token is that makes it.
    pub person: Option<String>,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
}

/// A token as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Its identifier.
    pub id: AdminTokenId,
    /// The public part of its text: `gha_Ab12Cd34`.
    pub hint: String,
    /// Whose it is, or what for.
    pub name: String,
    /// What it may do.
    pub role: RoleName,
    /// For whom.
    pub scope: Scope,
    /// Whose it is: a user's id, `service:NAME`, `machine` for those that the serving machine made itself, or its own id when
    /// that was never said. Two tokens of one person are one when it is judged who wrote and who approves.
    pub person: String,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// When it was taken back.
    pub revoked_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixMillis>,
}

impl AdminToken {
    /// Whether it is an owner's, of the whole organization.
    pub fn is_owner(&self) -> bool {
        self.role.built_in() == Some(Role::Owner) && self.scope == Scope::Organization
    }

    /// Whether it works at this time.
    pub fn usable(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// What is needed to recognize a presented token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminGrant {
    /// The organization it belongs to.
    pub org: OrgId,
    /// The keyed hash to compare with.
    pub hash: KeyHash,
    /// The token. It may be revoked or expired: see [`AdminToken::usable`].
    pub token: AdminToken,
}

#[derive(sqlx::FromRow)]
struct Row {
    org_id: String,
    id: String,
    public_id: String,
    hash: Vec<u8>,
    name: String,
    role: String,
    team_id: Option<String>,
    user_id: Option<String>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    created_at: i64,
    last_used_at: Option<i64>,
    pepper: i64,
    person: Option<String>,
}

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// Its time is over already; there is one of that public part; the database.
    pub async fn create_admin_token(
        &self,
        org: OrgId,
        new: &NewAdminToken,
        act: &Draft,
    ) -> Result<AdminToken, StoreError> {
        token::must_be_ahead(new.expires_at, act.at)?;
        let (team, user) = match new.scope {
            Scope::Organization => (None, None),
            Scope::Team(team) => (Some(team.to_string()), None),
            Scope::User(user) => (None, Some(user.to_string())),
        };
        let mut tx = self.begin().await?;
        let person = match &new.person {
            Some(person) => person.clone(),
            None => person_of(&mut tx, org, &act.actor).await?,
        };
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO admin_tokens (org_id, id, public_id, hash, name, role, team_id, user_id, expires_at, \
                 created_at, pepper, person) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )
            .bind(org.to_string())
            .bind(new.id.to_string())
            .bind(new.public.as_str())
            .bind(new.hash.as_bytes().to_vec())
            .bind(new.name.as_str())
            .bind(new.role.as_str())
            .bind(team)
            .bind(user)
            .bind(new.expires_at.map(|at| at.0))
            .bind(act.at.0)
            .bind(i64::from(new.hash.generation().0))
            .bind(person)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, hint(new.public.as_str())))?;
        let grant = in_tx(&mut tx, org, new.id).await?;
        tx.record(org, act).await?;
        Ok(grant.token)
    }

    /// Finds the token that a presented text may be, by its public part. Not bound to a tenant: whose it is, is what the
    /// caller wants to know. The caller compares the hash and asks whether the token is usable.
    ///
    /// # Errors
    /// The database.
    pub async fn admin_grant(&self, public: PublicId) -> Result<Option<AdminGrant>, StoreError> {
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT org_id, id, public_id, hash, name, role, team_id, user_id, expires_at, revoked_at, created_at, last_used_at, pepper, person \
                 FROM admin_tokens WHERE public_id = $1",
            )
            .bind(public.as_str())
            .fetch_optional(db)
            .await
        })?;
        row.map(grant_of).transpose()
    }

    /// Looks a token up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn admin_token(&self, org: OrgId, id: AdminTokenId) -> Result<AdminToken, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND id = $?", Arg::Text(id.to_string()));
        let (sql, args) = filter.into_parts();
        let row = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
        row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), |row| Ok(grant_of(row)?.token))
    }

    /// Lists tokens, newest first; revoked and expired ones too.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn admin_tokens(&self, org: OrgId, page: &Page) -> Result<Listed<AdminToken>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND id < $?", page.cursor(|text| text.parse::<AdminTokenId>().ok())?);
        filter.arg("ORDER BY id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed
            .items
            .into_iter()
            .map(|row| Ok(grant_of(row)?.token))
            .collect::<Result<_, StoreError>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Takes a token back, for good. Taking it back again changes nothing and is recorded.
    ///
    /// # Errors
    /// There is none; it is the last owner's token that works, or the last that works for longer than [`OWNER_LASTS_MS`],
    /// without which nobody could make another; the database.
    pub async fn revoke_admin_token(
        &self,
        org: OrgId,
        id: AdminTokenId,
        act: &Draft,
    ) -> Result<AdminToken, StoreError> {
        let mut tx = self.begin().await?;
        // Makes revocations take turns: otherwise two owners could each revoke the other at the same moment.
        policy::bump(&mut tx, org).await?;
        let token = in_tx(&mut tx, org, id).await?.token;
        if token.is_owner() && token.usable(act.at) {
            let later = act.at.plus_millis(OWNER_LASTS_MS);
            if other_owners(&mut tx, org, id, act.at).await? == 0 {
                let why = "is the last owner's and cannot be revoked; make another owner first";
                return Err(StoreError::refused(NOUN, id, why));
            }
            // One that is about to expire is no successor.
            if token.usable(later) && other_owners(&mut tx, org, id, later).await? == 0 {
                let why = "is the last owner's that works for more than 7 days and cannot be revoked; make another owner first";
                return Err(StoreError::refused(NOUN, id, why));
            }
        }
        token::take_back(&mut tx, Table::Admin, org, &id.to_string(), act.at).await?;
        let token = in_tx(&mut tx, org, id).await?.token;
        tx.record(org, act).await?;
        Ok(token)
    }

    /// Notes that a token was used, to the minute. Writes at most once a minute and token; no audit entry.
    ///
    /// # Errors
    /// The database.
    pub async fn touch_admin_token(
        &self,
        org: OrgId,
        id: AdminTokenId,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        token::touch(self, Table::Admin, org, &id.to_string(), now).await
    }
}

/// Counts the other owners' tokens that still work at a time.
async fn other_owners(tx: &mut Tx, org: OrgId, id: AdminTokenId, at: UnixMillis) -> Result<i64, StoreError> {
    let (count,): (i64,) = within!(tx, |db| {
        sqlx::query_as(
            "SELECT COUNT(*) FROM admin_tokens WHERE org_id = $1 AND role = 'owner' AND team_id IS NULL AND user_id IS NULL \
             AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2) AND id <> $3",
        )
        .bind(org.to_string())
        .bind(at.0)
        .bind(id.to_string())
        .fetch_one(db)
        .await
    })?;
    Ok(count)
}

async fn in_tx(tx: &mut Tx, org: OrgId, id: AdminTokenId) -> Result<AdminGrant, StoreError> {
    let mut filter = Filter::new(SELECT, org);
    filter.arg("AND id = $?", Arg::Text(id.to_string()));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), grant_of)
}

/// The person who acts: whose the token is, if it is a token; else the actor.
pub(crate) async fn person_of(tx: &mut Tx, org: OrgId, actor: &Actor) -> Result<String, StoreError> {
    let found: Option<(Option<String>,)> = match actor.kind {
        ActorKind::System => return Ok(MACHINE.to_owned()),
        ActorKind::Admin => within!(tx, |db| {
            sqlx::query_as("SELECT person FROM admin_tokens WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(actor.id.as_str())
                .fetch_optional(db)
                .await
        })?,
        ActorKind::User | ActorKind::Directory | ActorKind::Anonymous => None,
    };
    Ok(found.and_then(|(person,)| person).unwrap_or_else(|| actor.id.clone()))
}

/// A scope that cannot be read is no reason to take the token for one of the whole organization.
fn scope_of(team: Option<&str>, user: Option<&str>) -> Result<Scope, StoreError> {
    Ok(match (team, user) {
        (None, None) => Scope::Organization,
        (Some(team), _) => Scope::Team(stored::parsed(NOUN, team)?),
        (None, Some(user)) => Scope::User(stored::parsed(NOUN, user)?),
    })
}

fn hint(public: &str) -> String {
    format!("{}{public}", KeyKind::Admin.prefix())
}

fn grant_of(row: Row) -> Result<AdminGrant, StoreError> {
    Ok(AdminGrant {
        org: stored::parsed("organization", &row.org_id)?,
        hash: stored::key_hash(NOUN, &row.id, &row.hash, row.pepper)?,
        token: AdminToken {
            id: stored::parsed(NOUN, &row.id)?,
            hint: hint(&row.public_id),
            name: row.name,
            role: stored::parsed(NOUN, &row.role)?,
            person: row.person.unwrap_or(row.id),
            scope: scope_of(row.team_id.as_deref(), row.user_id.as_deref())?,
            expires_at: row.expires_at.map(UnixMillis),
            revoked_at: row.revoked_at.map(UnixMillis),
            created_at: UnixMillis(row.created_at),
            last_used_at: row.last_used_at.map(UnixMillis),
        },
    })
}
