//! Contents: stored once by their checksum, never changed, and checked against it when they are read.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::settings::{Checksum, Content, Document, Path, Target};

use crate::dialect::change;
use crate::engine::Tx;
use crate::error::StoreError;

const NOUN: &str = "settings content";

/// The columns of a content, as they stand in a row.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) checksum: String,
    pub(super) settings: String,
    pub(super) locks: String,
    pub(super) priority: i64,
}

/// Stores a content unless it is there.
pub(super) async fn put(
    tx: &mut Tx,
    org: OrgId,
    content: &Content,
    act: &Draft,
) -> Result<Checksum, StoreError> {
    let checksum = content.checksum();
    let settings = serde_json::to_string(content.settings())
        .map_err(|error| StoreError::Invalid { field: "settings", why: error.to_string() })?;
    let locks: Vec<String> = content.locks().iter().map(ToString::to_string).collect();
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO settings_contents (org_id, checksum, settings, locks, priority, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, checksum) DO NOTHING",
        )
        .bind(org.to_string())
        .bind(checksum.to_string())
        .bind(settings.as_str())
        .bind(locks.join("\n"))
        .bind(i64::from(content.priority()))
        .bind(act.at.0)
        .execute(db)
        .await
    })?;
    Ok(checksum)
}

/// Reads a content back. One that was changed since is not given out.
pub(super) fn content_of(target: Target, row: &Row) -> Result<Content, StoreError> {
    let corrupt = |why: &dyn std::fmt::Display| StoreError::corrupt(NOUN, &row.checksum, why);
    let settings = Document::parse(row.settings.as_bytes()).map_err(|error| corrupt(&error))?;
    let locks = row.locks.lines().map(Path::parse).collect::<Result<_, _>>();
    let locks = locks.map_err(|error| corrupt(&error))?;
    let priority = u32::try_from(row.priority).map_err(|error| corrupt(&error))?;
    let content = Content::new(target, settings, locks, priority).map_err(|error| corrupt(&error))?;
    if content.checksum().to_string() != row.checksum {
        return Err(corrupt(&"it is not what was stored under its checksum"));
    }
    Ok(content)
}
