//! Directories' tokens: good for SCIM only, and for one source.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProvisioningTokenId};
use gatehouse_domain::key::{KeyHash, KeyKind, PublicId};
use gatehouse_domain::name::Name;
use gatehouse_domain::source::Source;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;
use crate::token::{self, Table};

const NOUN: &str = "provisioning token";

const SELECT: &str = "SELECT org_id, id, public_id, hash, name, source, expires_at, revoked_at, created_at, last_used_at, pepper \
     FROM provisioning_tokens WHERE org_id = $1";

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProvisioningToken {
    /// Its identifier.
    pub id: ProvisioningTokenId,
    /// The public part of its text.
    pub public: PublicId,
    /// The keyed hash of its text.
    pub hash: KeyHash,
    /// What it is for.
    pub name: Name,
    /// Whose people and groups it may manage.
    pub source: Source,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
}

/// A token as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningToken {
    /// Its identifier.
    pub id: ProvisioningTokenId,
    /// The public part of its text: `ghscim_Ab12Cd34`.
    pub hint: String,
    /// What it is for.
    pub name: String,
    /// Whose people and groups it may manage.
    pub source: Source,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// When it was taken back.
    pub revoked_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixMillis>,
}

impl ProvisioningToken {
    /// Whether it works at this time.
    pub fn usable(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// What is needed to recognize a presented token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningGrant {
    /// The organization it belongs to.
    pub org: OrgId,
    /// The keyed hash to compare with.
    pub hash: KeyHash,
    /// The token. It may be revoked or expired: see [`ProvisioningToken::usable`].
    pub token: ProvisioningToken,
}

#[derive(sqlx::FromRow)]
struct Row {
    org_id: String,
    id: String,
    public_id: String,
    hash: Vec<u8>,
    name: String,
    source: String,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    created_at: i64,
    last_used_at: Option<i64>,
    pepper: i64,
}

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// Its time is over already; there is one of that public part; the database.
    pub async fn create_provisioning_token(
        &self,
        org: OrgId,
        new: &NewProvisioningToken,
        act: &Draft,
    ) -> Result<ProvisioningToken, StoreError> {
        token::must_be_ahead(new.expires_at, act.at)?;
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO provisioning_tokens (org_id, id, public_id, hash, name, source, expires_at, created_at, \
                 pepper) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(org.to_string())
            .bind(new.id.to_string())
            .bind(new.public.as_str())
            .bind(new.hash.as_bytes().to_vec())
            .bind(new.name.as_str())
            .bind(new.source.to_string())
            .bind(new.expires_at.map(|at| at.0))
            .bind(act.at.0)
            .bind(i64::from(new.hash.generation().0))
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
    pub async fn provisioning_grant(
        &self,
        public: PublicId,
    ) -> Result<Option<ProvisioningGrant>, StoreError> {
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT org_id, id, public_id, hash, name, source, expires_at, revoked_at, created_at, last_used_at, pepper \
                 FROM provisioning_tokens WHERE public_id = $1",
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
    pub async fn provisioning_token(
        &self,
        org: OrgId,
        id: ProvisioningTokenId,
    ) -> Result<ProvisioningToken, StoreError> {
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
    pub async fn provisioning_tokens(
        &self,
        org: OrgId,
        page: &Page,
    ) -> Result<Listed<ProvisioningToken>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND id < $?", page.cursor(|text| text.parse::<ProvisioningTokenId>().ok())?);
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
    /// There is none; the database.
    pub async fn revoke_provisioning_token(
        &self,
        org: OrgId,
        id: ProvisioningTokenId,
        act: &Draft,
    ) -> Result<ProvisioningToken, StoreError> {
        let mut tx = self.begin().await?;
        token::take_back(&mut tx, Table::Provisioning, org, &id.to_string(), act.at).await?;
        let token = in_tx(&mut tx, org, id).await?.token;
        tx.record(org, act).await?;
        Ok(token)
    }

    /// Notes that a token was used, to the minute. Writes at most once a minute and token; no audit entry.
    ///
    /// # Errors
    /// The database.
    pub async fn touch_provisioning_token(
        &self,
        org: OrgId,
        id: ProvisioningTokenId,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        token::touch(self, Table::Provisioning, org, &id.to_string(), now).await
    }
}

async fn in_tx(tx: &mut Tx, org: OrgId, id: ProvisioningTokenId) -> Result<ProvisioningGrant, StoreError> {
    let mut filter = Filter::new(SELECT, org);
    filter.arg("AND id = $?", Arg::Text(id.to_string()));
    let (sql, args) = filter.into_parts();
    let row = within!(tx, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
    row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), grant_of)
}

fn hint(public: &str) -> String {
    format!("{}{public}", KeyKind::Provisioning.prefix())
}

fn grant_of(row: Row) -> Result<ProvisioningGrant, StoreError> {
    Ok(ProvisioningGrant {
        org: stored::parsed("organization", &row.org_id)?,
        hash: stored::key_hash(NOUN, &row.id, &row.hash, row.pepper)?,
        token: ProvisioningToken {
            id: stored::parsed(NOUN, &row.id)?,
            hint: hint(&row.public_id),
            name: row.name,
            source: stored::parsed(NOUN, &row.source)?,
            expires_at: row.expires_at.map(UnixMillis),
            revoked_at: row.revoked_at.map(UnixMillis),
            created_at: UnixMillis(row.created_at),
            last_used_at: row.last_used_at.map(UnixMillis),
        },
    })
}
