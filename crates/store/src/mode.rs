//! The deployment mode of the organization and of teams, and how it changed.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{ModeChangeId, OrgId, TeamId};
use gatehouse_domain::mode::Mode;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::page::{Listed, Page};
use crate::{stored, team};

/// A change of the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    /// Identifier; sorts by time.
    pub id: ModeChangeId,
    /// The team; `None` for the organization.
    pub team: Option<TeamId>,
    /// The team's name.
    pub team_name: Option<String>,
    /// The mode from then on; `None` for a team that goes by the organization again.
    pub mode: Option<Mode>,
    /// Who changed it.
    pub actor: String,
    /// When.
    pub at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    team_id: Option<String>,
    team: Option<String>,
    mode: Option<String>,
    actor: String,
    changed_at: i64,
}

const SELECT: &str = "SELECT c.id, c.team_id, t.name AS team, c.mode, c.actor, c.changed_at FROM mode_changes c \
    LEFT JOIN teams t ON t.org_id = c.org_id AND t.id = c.team_id WHERE c.org_id = $1";

impl Store {
    /// Changes the mode of the organization or of a team; none lets a team go by the organization again.
    ///
    /// # Errors
    /// There is no such team; the database.
    pub async fn set_mode(
        &self,
        org: OrgId,
        id: ModeChangeId,
        of: Option<TeamId>,
        mode: Option<Mode>,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if let Some(of) = of {
            team::must_exist(&mut tx, org, of).await?;
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO mode_changes (org_id, id, team_id, mode, actor, changed_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(of.map(|id| id.to_string()))
            .bind(mode.map(Mode::as_str))
            .bind(act.actor.name.clone())
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }

    /// What is in force: the newest change of the organization and of every team that was ever given a mode.
    ///
    /// # Errors
    /// A change that cannot be read; the database.
    pub async fn modes(&self, org: OrgId) -> Result<Vec<ModeChange>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.sql(
            "AND c.id = (SELECT MAX(n.id) FROM mode_changes n WHERE n.org_id = c.org_id \
             AND COALESCE(n.team_id, '') = COALESCE(c.team_id, '')) ORDER BY c.id",
        );
        self.mode_rows(filter).await?.into_iter().map(change_of).collect()
    }

    /// How the mode changed, the newest change first.
    ///
    /// # Errors
    /// A bad page; a change that cannot be read; the database.
    pub async fn mode_changes(&self, org: OrgId, page: &Page) -> Result<Listed<ModeChange>, StoreError> {
        let rows = page.rows()?;
        let mut filter = Filter::new(SELECT, org);
        filter.text("AND c.id < $?", page.cursor(|text| text.parse::<ModeChangeId>().ok())?);
        filter.arg("ORDER BY c.id DESC LIMIT $?", Arg::Int(rows));
        let listed = Listed::new(self.mode_rows(filter).await?, page, |row| row.id.clone());
        let items = listed.items.into_iter().map(change_of).collect::<Result<_, _>>()?;
        Ok(Listed { items, next: listed.next })
    }

    async fn mode_rows(&self, filter: Filter) -> Result<Vec<Row>, StoreError> {
        let (sql, args) = filter.into_parts();
        Ok(read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?)
    }
}

fn change_of(row: Row) -> Result<ModeChange, StoreError> {
    const NOUN: &str = "mode change";
    Ok(ModeChange {
        id: stored::parsed(NOUN, &row.id)?,
        team: stored::parsed_some(NOUN, row.team_id.as_deref())?,
        team_name: row.team,
        mode: stored::parsed_some(NOUN, row.mode.as_deref())?,
        actor: row.actor,
        at: UnixMillis(row.changed_at),
    })
}
