//! Deployment plans and their tasks.

use gatehouse_domain::assessment::Mode;
use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, PlanId};
use gatehouse_domain::plan::TaskState;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "deployment plan";

/// A plan, without its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its identifier.
    pub id: PlanId,
    /// What was decided.
    pub mode: Mode,
    /// Why, if somebody decided; else the score did.
    pub because: Option<String>,
    /// What the assessment started from, as JSON.
    pub answers: String,
    /// What it gave, as JSON.
    pub result: String,
    /// Who made it.
    pub author: String,
    /// When.
    pub created_at: UnixMillis,
}

/// A task of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTask {
    /// The step's name.
    pub task: String,
    /// What is there already and gave rise to it.
    pub because: Option<String>,
    /// Who sees to it.
    pub owner: Option<String>,
    /// Until when.
    pub due: Option<UnixMillis>,
    /// What was noted of it.
    pub state: TaskState,
    /// What was done, or why it is not needed.
    pub note: Option<String>,
    /// Who noted that.
    pub noted_by: Option<String>,
    /// When.
    pub noted_at: Option<UnixMillis>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    mode: String,
    because: Option<String>,
    answers: String,
    result: String,
    author: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct TaskRow {
    task: String,
    because: Option<String>,
    owner: Option<String>,
    due_at: Option<i64>,
    state: String,
    note: Option<String>,
    noted_by: Option<String>,
    noted_at: Option<i64>,
}

const SELECT: &str = "SELECT id, mode, because, answers, result, author, created_at FROM deployment_plans \
    WHERE org_id = $1";

impl Store {
    /// Keeps a plan and its tasks, in their order.
    ///
    /// # Errors
    /// The database.
    pub async fn add_plan(
        &self,
        org: OrgId,
        plan: &Plan,
        tasks: &[PlanTask],
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO deployment_plans (org_id, id, mode, because, answers, result, author, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(org.to_string())
            .bind(plan.id.to_string())
            .bind(plan.mode.as_str())
            .bind(plan.because.as_deref())
            .bind(plan.answers.as_str())
            .bind(plan.result.as_str())
            .bind(plan.author.as_str())
            .bind(plan.created_at.0)
            .execute(db)
            .await
        })?;
        for (place, task) in (0_i64..).zip(tasks) {
            change!(tx, |db| {
                sqlx::query(
                    "INSERT INTO plan_tasks (org_id, plan_id, task, place, because, state) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(org.to_string())
                .bind(plan.id.to_string())
                .bind(task.task.as_str())
                .bind(place)
                .bind(task.because.as_deref())
                .bind(task.state.as_str())
                .execute(db)
                .await
            })?;
        }
        tx.record(org, act).await
    }

    /// Lists plans, the newest first.
    ///
    /// # Errors
    /// A bad page; a plan that cannot be read; the database.
    pub async fn plans(&self, org: OrgId, page: &Page) -> Result<Listed<Plan>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND id < $?", page.cursor(|text| text.parse::<PlanId>().ok())?);
        filter.arg("ORDER BY id DESC LIMIT $?", Arg::Int(rows));
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        let listed = Listed::new(rows, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(plan_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// A plan.
    ///
    /// # Errors
    /// There is no such plan; it cannot be read; the database.
    pub async fn plan(&self, org: OrgId, id: PlanId) -> Result<Plan, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND id = $?", Arg::Text(id.to_string()));
        let (sql, args) = filter.into_parts();
        let row = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_optional(db).await)?;
        plan_of(row.ok_or_else(|| StoreError::not_found(NOUN, id))?)
    }

    /// The tasks of a plan, in their order.
    ///
    /// # Errors
    /// A task that cannot be read; the database.
    pub async fn plan_tasks(&self, org: OrgId, id: PlanId) -> Result<Vec<PlanTask>, StoreError> {
        let rows: Vec<TaskRow> = read!(self, |db| {
            sqlx::query_as(
                "SELECT task, because, owner, due_at, state, note, noted_by, noted_at FROM plan_tasks \
                 WHERE org_id = $1 AND plan_id = $2 ORDER BY place",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(task_of).collect()
    }

    /// Keeps this of a task, in place of what was kept.
    ///
    /// # Errors
    /// There is no such task; the database.
    pub async fn keep_plan_task(
        &self,
        org: OrgId,
        id: PlanId,
        task: &PlanTask,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE plan_tasks SET owner = $4, due_at = $5, state = $6, note = $7, noted_by = $8, noted_at = $9 \
                 WHERE org_id = $1 AND plan_id = $2 AND task = $3",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(task.task.as_str())
            .bind(task.owner.as_deref())
            .bind(task.due.map(|due| due.0))
            .bind(task.state.as_str())
            .bind(task.note.as_deref())
            .bind(task.noted_by.as_deref())
            .bind(task.noted_at.map(|at| at.0))
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Err(StoreError::not_found("task", &task.task));
        }
        tx.record(org, act).await
    }
}

fn plan_of(row: Row) -> Result<Plan, StoreError> {
    let mode = Mode::of(&row.mode)
        .ok_or_else(|| StoreError::corrupt(NOUN, &row.id, format!("its mode is `{}`", row.mode)))?;
    Ok(Plan {
        id: stored::parsed(NOUN, &row.id)?,
        mode,
        because: row.because,
        answers: row.answers,
        result: row.result,
        author: row.author,
        created_at: UnixMillis(row.created_at),
    })
}

fn task_of(row: TaskRow) -> Result<PlanTask, StoreError> {
    Ok(PlanTask {
        state: stored::parsed("task", &row.state)?,
        task: row.task,
        because: row.because,
        owner: row.owner,
        due: row.due_at.map(UnixMillis),
        note: row.note,
        noted_by: row.noted_by,
        noted_at: row.noted_at.map(UnixMillis),
    })
}
