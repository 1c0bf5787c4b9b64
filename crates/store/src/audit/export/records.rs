//! The records of a batch of exchanges, as lines of an export.

use std::collections::HashMap;

use gatehouse_domain::audit::{Leaf, Leaves, export_deleted, export_exchange, export_lost};
use gatehouse_domain::exchange::{Exchange, Principal};
use gatehouse_domain::id::OrgId;
use sqlx::Row as _;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::ledger::plain;

/// Records read at a time; about 50 KiB.
pub(super) const CHUNK: usize = 64;

/// An exchange's row as it is, whatever it is.
struct Raw {
    user: Option<String>,
    key: Option<String>,
    team: Option<String>,
    project: Option<String>,
    model: Option<String>,
    status: i64,
    ended: String,
    record: Vec<u8>,
}

const SELECT: &str = "SELECT id, user_id, key_id, team_id, project_id, model, status, ended, record FROM exchanges \
    WHERE org_id = $1";

impl Store {
    /// Appends the records of these leaves, at most [`CHUNK`]; the first one is the batch's `n`-th, from 1. What is not
    /// there, or is not what was hashed, gets a line that says so; also what was deleted because of its age.
    pub(super) async fn push_records(
        &self,
        org: OrgId,
        seq: i64,
        n: u64,
        leaves: &[Leaf],
        out: &mut String,
    ) -> Result<(), StoreError> {
        let found = self.raw_records(org, leaves).await?;
        // Asked after the records, so that none of them was deleted without this being known.
        let deleted = found.len() < leaves.len() && seq <= self.deleted_through(org).await?;
        for (n, leaf) in (n..).zip(leaves) {
            match found.get(&leaf.id.to_string()).and_then(|row| sound(org, row, leaf)) {
                Some(record) => export_exchange(out, n, record, leaf),
                None if deleted && !found.contains_key(&leaf.id.to_string()) => export_deleted(out, n, leaf),
                None => export_lost(out, n, leaf),
            }
            out.push('\n');
        }
        Ok(())
    }

    async fn raw_records(&self, org: OrgId, leaves: &[Leaf]) -> Result<HashMap<String, Raw>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        let mut before = "AND id IN ($?";
        for leaf in leaves {
            filter.arg(before, Arg::Text(leaf.id.to_string()));
            before = ", $?";
        }
        filter.sql(")");
        let (sql, args) = filter.into_parts();
        read!(self, |db| {
            let rows = bound!(sqlx::query(sql), args).fetch_all(db).await?;
            let raw = rows.iter().map(|row| {
                // As bytes, without a check of what they are: somebody may have put anything there.
                let bytes = |name: &str| row.try_get_unchecked::<Option<Vec<u8>>, _>(name);
                let text = |name: &str| -> Result<Option<String>, sqlx::Error> {
                    Ok(bytes(name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
                };
                let raw = Raw {
                    user: text("user_id")?,
                    key: text("key_id")?,
                    team: text("team_id")?,
                    project: text("project_id")?,
                    model: text("model")?,
                    status: row.try_get("status")?,
                    ended: text("ended")?.unwrap_or_default(),
                    record: bytes("record")?.unwrap_or_default(),
                };
                Ok((text("id")?.unwrap_or_default(), raw))
            });
            raw.collect::<Result<_, sqlx::Error>>().map_err(StoreError::from)
        })
    }
}

/// All leaves, in pieces of [`CHUNK`], each with the number of its first.
pub(super) fn pieces(leaves: &Leaves) -> impl Iterator<Item = (u64, Vec<Leaf>)> {
    let all: Vec<Leaf> = leaves.iter().collect();
    let piece = move |at: usize| (at as u64 + 1, all[at..all.len().min(at + CHUNK)].to_vec());
    (0..leaves.len()).step_by(CHUNK).map(piece)
}

/// The record, if it is what was hashed and the columns beside it say the same. They are not hashed; who changes them
/// hides an exchange from a search.
fn sound<'a>(org: OrgId, row: &'a Raw, leaf: &Leaf) -> Option<&'a str> {
    let record = std::str::from_utf8(&row.record).ok().filter(|record| leaf.holds(record))?;
    let told = Exchange::read_record(org, record).ok()?;
    let whose = told.principal.as_ref();
    let agrees = whose.map(|p| p.user.to_string()) == row.user
        && whose.and_then(Principal::key).map(|id| id.to_string()) == row.key
        && whose.and_then(|p| p.team).map(|id| id.to_string()) == row.team
        && whose.and_then(|p| p.project).map(|id| id.to_string()) == row.project
        && told.model.as_deref().map(plain) == row.model
        && i64::from(told.status) == row.status
        && told.ended.as_str() == row.ended;
    agrees.then_some(record)
}
