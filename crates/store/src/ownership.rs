//! Marks on objects that were written from files.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::ownership::{MAX_BATCH, Mark, Noun, Owned};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "owned object";

type Row = (String, String, String, i64);

impl Store {
    /// Lists the marks by noun and name.
    ///
    /// # Errors
    /// A bad page; one that cannot be read; the database.
    pub async fn owned_objects(&self, org: OrgId, page: &Page) -> Result<Listed<Owned>, StoreError> {
        let limit = page.rows()?;
        let after = page.cursor(|text| {
            let (noun, name) = text.split_once(':')?;
            Some((noun.to_owned(), name.to_owned()))
        })?;
        let (noun, name) = after.unwrap_or_default();
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT noun, name, digest, applied_at FROM owned_objects \
                 WHERE org_id = $1 AND (noun > $2 OR (noun = $2 AND name > $3)) ORDER BY noun, name LIMIT $4",
            )
            .bind(org.to_string())
            .bind(noun.as_str())
            .bind(name.as_str())
            .bind(limit)
            .fetch_all(db)
            .await
        })?;
        let listed = Listed::new(rows, page, |row| format!("{}:{}", row.0, row.1));
        let items = listed.items.into_iter().map(owned_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Marks objects, all or none, in place of marks they have.
    ///
    /// # Errors
    /// More than [`MAX_BATCH`]; the database.
    pub async fn mark_owned(&self, org: OrgId, marks: &[Mark], act: &Draft) -> Result<(), StoreError> {
        if marks.len() > MAX_BATCH {
            let why = format!("are {}, expected at most {MAX_BATCH}", marks.len());
            return Err(StoreError::Invalid { field: "items", why });
        }
        // In one order, so that two such acts do not wait for each other.
        let mut marks: Vec<&Mark> = marks.iter().collect();
        marks.sort_by(|a, b| (a.noun.as_str(), &a.name).cmp(&(b.noun.as_str(), &b.name)));
        let mut tx = self.begin().await?;
        for mark in marks {
            change!(tx, |db| {
                sqlx::query(
                    "INSERT INTO owned_objects (org_id, noun, name, digest, applied_at) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (org_id, noun, name) DO UPDATE SET digest = excluded.digest, \
                     applied_at = excluded.applied_at",
                )
                .bind(org.to_string())
                .bind(mark.noun.as_str())
                .bind(mark.name.as_str())
                .bind(mark.digest.to_string())
                .bind(act.at.0)
                .execute(db)
                .await
            })?;
        }
        tx.record(org, act).await
    }

    /// Removes the mark on an object. The object stays as it is.
    ///
    /// # Errors
    /// It has none; the database.
    pub async fn release_owned(
        &self,
        org: OrgId,
        noun: Noun,
        name: &str,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM owned_objects WHERE org_id = $1 AND noun = $2 AND name = $3")
                .bind(org.to_string())
                .bind(noun.as_str())
                .bind(name)
                .execute(db)
                .await
        })?;
        if gone == 0 {
            return Err(StoreError::not_found(NOUN, name));
        }
        tx.record(org, act).await
    }
}

fn owned_of((noun, name, digest, applied_at): Row) -> Result<Owned, StoreError> {
    let mark = Mark { noun: stored::parsed(NOUN, &noun)?, digest: stored::parsed(NOUN, &digest)?, name };
    Ok(Owned { mark, applied_at: UnixMillis(applied_at) })
}
