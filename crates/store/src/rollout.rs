//! Rollouts: what was defined, how far it is, who has it.
//!
//! A rollout moves in steps. Each is one transaction that counts the rollout's revision up from the one that was read, so
//! that of two controllers, or of one that was killed and another that came after it, only one does a step, and none is done
//! in part.

mod step;
mod assignment;
mod people;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProfileId, RolloutId};
use gatehouse_domain::rollout::{Progress, State};
use gatehouse_domain::time::UnixMillis;

use crate::admin_token;
use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

pub use assignment::{Assignment, AssignmentState};
pub use people::{Active, Credentials};
pub(crate) use step::holds;
pub use step::{Agreed, Approval, Event, Happened, Lease, NewAssignment, News, Share, Step};

pub(crate) const NOUN: &str = "rollout";
/// Most rollouts that are looked at in one turn of the controller.
const MOST_DUE: i64 = 100;

const SELECT: &str = "SELECT r.id, r.name, r.definition, r.state, r.progress, r.revision, r.author_id, r.author_name, \
     r.next_at, r.created_at FROM rollouts r WHERE r.org_id = $1";

/// A rollout to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRollout {
    /// Its identifier.
    pub id: RolloutId,
    /// Its name.
    pub name: String,
    /// What was defined, as JSON.
    pub definition: String,
    /// Where it begins.
    pub progress: Progress,
    /// The overlays that it gives to people, and which version of each.
    pub overlays: Vec<(ProfileId, u32)>,
    /// When it is first looked at.
    pub next_at: UnixMillis,
}

/// A rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Its identifier.
    pub id: RolloutId,
    /// Its name.
    pub name: String,
    /// What was defined, as JSON.
    pub definition: String,
    /// How far it is.
    pub progress: Progress,
    /// How many steps were done.
    pub revision: u64,
    /// The person who made it.
    pub author: String,
    /// By which name.
    pub author_name: String,
    /// When it is to be looked at again.
    pub next_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    definition: String,
    state: String,
    progress: String,
    revision: i64,
    author_id: String,
    author_name: String,
    next_at: Option<i64>,
    created_at: i64,
}

impl Store {
    /// Makes a rollout. The person behind the actor is its author.
    ///
    /// # Errors
    /// One of that name is under way; another one has one of its overlays; the database.
    pub async fn create_rollout(&self, org: OrgId, new: &NewRollout, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let author = admin_token::person_of(&mut tx, org, &act.actor).await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO rollouts (org_id, id, name, definition, state, progress, revision, author_id, \
                 author_name, active, next_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10, $11)",
            )
            .bind(org.to_string())
            .bind(new.id.to_string())
            .bind(new.name.as_str())
            .bind(new.definition.as_str())
            .bind(new.progress.state.as_str())
            .bind(progress_text(&new.progress))
            .bind(author)
            .bind(act.actor.name.as_str())
            .bind(new.name.as_str())
            .bind(new.next_at.0)
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, &new.name))?;
        step::hold_overlays(&mut tx, org, new.id, &new.overlays).await?;
        let made = Happened { kind: "created", text: String::new(), node: String::new() };
        step::note(&mut tx, org, new.id, 0, &made, act).await?;
        tx.record(org, act).await
    }

    /// Looks a rollout up by its id, or by its name: the newest of that name.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn rollout(&self, org: OrgId, given: &str) -> Result<Rollout, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        match given.parse::<RolloutId>() {
            Ok(id) => filter.arg("AND r.id = $?", Arg::Text(id.to_string())),
            Err(_) => filter.arg("AND r.name = $?", Arg::Text(given.to_owned())),
        }
        filter.sql("ORDER BY r.id DESC LIMIT 1");
        let found = self.rollout_rows(filter).await?.pop();
        rollout_of(found.ok_or_else(|| StoreError::not_found(NOUN, given))?)
    }

    /// Lists rollouts, the newest first.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn rollouts(&self, org: OrgId, page: &Page) -> Result<Listed<Rollout>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND r.id < $?", page.cursor(|text| text.parse::<RolloutId>().ok())?);
        filter.arg("ORDER BY r.id DESC LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.rollout_rows(filter).await?, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(rollout_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Rollouts to be looked at now, the longest due first. One that cannot be read is left out, and the log tells.
    ///
    /// # Errors
    /// The database.
    pub async fn due_rollouts(&self, org: OrgId, now: UnixMillis) -> Result<Vec<Rollout>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.int("AND r.next_at <= $?", Some(now.0));
        filter.arg("ORDER BY r.next_at, r.id LIMIT $?", Arg::Int(MOST_DUE));
        let rows = self.rollout_rows(filter).await?;
        Ok(rows.into_iter().filter_map(|row| stored::readable(rollout_of(row))).collect())
    }

    async fn rollout_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

pub(crate) fn progress_text(progress: &Progress) -> String {
    serde_json::to_string(progress).expect("a progress has text keys only")
}

fn rollout_of(row: Row) -> Result<Rollout, StoreError> {
    let progress: Progress =
        serde_json::from_str(&row.progress).map_err(|e| StoreError::corrupt(NOUN, &row.id, e))?;
    if progress.state.as_str() != row.state || !State::ALL.contains(&progress.state) {
        return Err(StoreError::corrupt(NOUN, &row.id, "its state is told in two ways"));
    }
    Ok(Rollout {
        id: stored::parsed(NOUN, &row.id)?,
        revision: stored::unsigned(NOUN, row.revision)?,
        next_at: row.next_at.map(UnixMillis),
        created_at: UnixMillis(row.created_at),
        name: row.name,
        definition: row.definition,
        progress,
        author: row.author_id,
        author_name: row.author_name,
    })
}
