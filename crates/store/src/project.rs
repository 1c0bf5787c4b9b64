//! Projects.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::Project;
use gatehouse_domain::id::{OrgId, ProjectId};
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter};
use crate::page::{Listed, Page};
use crate::stored;

const NOUN: &str = "project";

const SELECT: &str = "SELECT id, name, folded, created_at, data_class FROM projects WHERE org_id = $1";

type Row = (String, String, String, i64, Option<String>);

impl Store {
    /// Makes a project.
    ///
    /// # Errors
    /// There is one of that name (in whatever case); the database.
    pub async fn create_project(
        &self,
        org: OrgId,
        id: ProjectId,
        name: &Name,
        act: &Draft,
    ) -> Result<Project, StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO projects (org_id, id, name, folded, created_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(name.as_str())
            .bind(name.folded())
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, name))?;
        tx.record(org, act).await?;
        Ok(Project { id, name: name.to_string(), data_class: None, created_at: act.at })
    }

    /// Looks a project up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn project(&self, org: OrgId, id: ProjectId) -> Result<Project, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND id = $?", Arg::Text(id.to_string()));
        self.project_rows(filter)
            .await?
            .pop()
            .map_or_else(|| Err(StoreError::not_found(NOUN, id)), project_of)
    }

    /// Looks a project up by its name, in whatever case.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn project_by_name(&self, org: OrgId, name: &Name) -> Result<Project, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND folded = $?", Arg::Text(name.folded()));
        self.project_rows(filter)
            .await?
            .pop()
            .map_or_else(|| Err(StoreError::not_found(NOUN, name)), project_of)
    }

    /// Lists projects by name.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn projects(&self, org: OrgId, page: &Page) -> Result<Listed<Project>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND folded > $?", page.cursor(|text| Some(text.to_owned()))?);
        filter.arg("ORDER BY folded LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.project_rows(filter).await?, page, |(_, _, folded, ..)| folded.clone());
        let items = listed.items.into_iter().map(project_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    /// Sets how sensitive the data of a project is; none says nothing of it. The caller has checked that there is such a class.
    ///
    /// # Errors
    /// There is no such project; the database.
    pub async fn set_project_data_class(
        &self,
        org: OrgId,
        id: ProjectId,
        class: Option<&str>,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query("UPDATE projects SET data_class = $3 WHERE org_id = $1 AND id = $2")
                .bind(org.to_string())
                .bind(id.to_string())
                .bind(class)
                .execute(db)
                .await
        })?;
        if changed == 0 {
            return Err(StoreError::not_found(NOUN, id));
        }
        tx.publish(org, act).await
    }

    async fn project_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| crate::filter::bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

/// Refuses a project that the organization does not have.
pub(crate) async fn must_exist(tx: &mut Tx, org: OrgId, id: ProjectId) -> Result<(), StoreError> {
    let found: Option<(String,)> = within!(tx, |db| {
        sqlx::query_as("SELECT id FROM projects WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_optional(db)
            .await
    })?;
    found.map(|_| ()).ok_or_else(|| StoreError::not_found(NOUN, id))
}

fn project_of((id, name, _, created_at, data_class): Row) -> Result<Project, StoreError> {
    Ok(Project { id: stored::parsed(NOUN, &id)?, name, data_class, created_at: UnixMillis(created_at) })
}
