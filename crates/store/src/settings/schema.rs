//! Schemas of the client's settings, as they were brought in.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::settings::ClientVersion;
use gatehouse_domain::time::UnixMillis;

use super::number_of;
use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};

const NOUN: &str = "settings schema";

/// Most schemas in force together. Each adds to those before, so all of them are read.
pub const MAX_SCHEMAS: i64 = 64;

const SELECT: &str = "SELECT number, digest, client, text, actor_name, imported_at FROM settings_schemas \
     WHERE org_id = $1";

/// A schema to be brought in.
#[derive(Debug, Clone, Copy)]
pub struct NewSchema<'a> {
    /// SHA-256 of its text, in hex.
    pub digest: &'a str,
    /// The version of the client that it describes, if that is known.
    pub client: Option<ClientVersion>,
    /// The schema; `None` puts all before it out of force.
    pub text: Option<&'a str>,
}

/// A schema that was brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchema {
    /// Its number, from 1.
    pub number: u32,
    /// SHA-256 of its text, in hex; empty if it has none.
    pub digest: String,
    /// The version of the client that it describes.
    pub client: Option<ClientVersion>,
    /// The schema; `None` puts all before it out of force.
    pub text: Option<String>,
    /// The name of who brought it in.
    pub by: String,
    /// When.
    pub imported_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    digest: String,
    client: Option<String>,
    text: Option<String>,
    actor_name: String,
    imported_at: i64,
}

impl Store {
    /// The number of the newest schema; 0 if there is none. Cheap enough to be asked for with every change of the policy.
    ///
    /// # Errors
    /// The database.
    pub async fn settings_schema_number(&self, org: OrgId) -> Result<u32, StoreError> {
        let (newest,): (Option<i64>,) = read!(self, |db| {
            sqlx::query_as("SELECT MAX(number) FROM settings_schemas WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_one(db)
                .await
        })?;
        number_of(NOUN, newest.unwrap_or(0))
    }

    /// The schemas in force, oldest first: those since the newest that put others out of force.
    ///
    /// # Errors
    /// The database.
    pub async fn settings_schemas_in_force(&self, org: OrgId) -> Result<Vec<StoredSchema>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.sql(
            "AND number > COALESCE((SELECT MAX(e.number) FROM settings_schemas e WHERE e.org_id = $1 \
             AND e.text IS NULL), 0) ORDER BY number",
        );
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(schema_of).collect()
    }

    /// Looks a schema up.
    ///
    /// # Errors
    /// There is none of that number; the database.
    pub async fn settings_schema(&self, org: OrgId, number: u32) -> Result<StoredSchema, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND number = $?", Arg::Int(i64::from(number)));
        let (sql, args) = filter.into_parts();
        let row = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
        schema_of(row.ok_or_else(|| StoreError::not_found(NOUN, number))?)
    }

    /// Lists schemas, newest first, without their texts (an empty text stands for one).
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn settings_schemas(
        &self,
        org: OrgId,
        page: &Page,
    ) -> Result<Listed<StoredSchema>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(
            "SELECT number, digest, client, CASE WHEN text IS NULL THEN NULL ELSE '' END AS text, actor_name, \
             imported_at FROM settings_schemas WHERE org_id = $1",
            org,
        );
        filter.int("AND number < $?", page.cursor(|text| text.parse::<u32>().ok())?.map(i64::from));
        filter.arg("ORDER BY number DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let found = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(found, page, |row| row.number.to_string());
        let items = listed.items.into_iter().map(schema_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Brings a schema in, which is in force from then on together with those before it, or puts those out of force. Gives
    /// its number.
    ///
    /// # Errors
    /// Another was brought in since the one with number `after`; there are [`MAX_SCHEMAS`] in force; the database.
    pub async fn add_settings_schema(
        &self,
        org: OrgId,
        after: u32,
        new: NewSchema<'_>,
        act: &Draft,
    ) -> Result<u32, StoreError> {
        let mut tx = self.begin().await?;
        let (newest, in_force): (Option<i64>, i64) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT MAX(s.number), COUNT(CASE WHEN s.number > COALESCE((SELECT MAX(e.number) \
                 FROM settings_schemas e WHERE e.org_id = $1 AND e.text IS NULL), 0) THEN 1 END) \
                 FROM settings_schemas s WHERE s.org_id = $1",
            )
            .bind(org.to_string())
            .fetch_one(db)
            .await
        })?;
        let newest = number_of(NOUN, newest.unwrap_or(0))?;
        if newest != after {
            return Err(StoreError::refused(
                NOUN,
                newest,
                "was brought in in between; look at it, and try again",
            ));
        }
        if new.text.is_some() && in_force >= MAX_SCHEMAS {
            let why = format!(
                "would be one too many: {MAX_SCHEMAS} are in force; reset them, then import the newest"
            );
            return Err(StoreError::Invalid { field: "schema", why });
        }
        let number = newest.saturating_add(1);
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO settings_schemas (org_id, number, digest, client, text, actor_name, imported_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(org.to_string())
            .bind(i64::from(number))
            .bind(new.digest)
            .bind(new.client.map(|client| client.to_string()))
            .bind(new.text)
            .bind(act.actor.name.as_str())
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, number))?;
        tx.publish(org, act).await?;
        Ok(number)
    }
}

fn schema_of(row: Row) -> Result<StoredSchema, StoreError> {
    let client = row.client.as_deref().map(ClientVersion::parse).transpose();
    Ok(StoredSchema {
        number: number_of(NOUN, row.number)?,
        client: client.map_err(|why| StoreError::corrupt(NOUN, row.number, why))?,
        digest: row.digest,
        text: row.text,
        by: row.actor_name,
        imported_at: UnixMillis(row.imported_at),
    })
}
