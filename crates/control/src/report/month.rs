//! The lines of a month, and its close.

use std::collections::BTreeMap;

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::Team;
use gatehouse_domain::id::TeamId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::allocate::allocate;
use gatehouse_domain::report::statement::{Figures, Kind, Line, Whose, digest, total};
use gatehouse_store::report::{Ask, MAX_ROWS, Side, Statement, Sums};
use gatehouse_store::{MAX_LIMIT, Page};

use crate::act::{ActError, Caller};
use crate::app::App;

/// Closes a month that is over: its statement is written once and never changes. What arrives later of it becomes an
/// adjustment of the next month that is closed. After the first, months are closed in order.
///
/// # Errors
/// The month is not over; it is closed already or not the next one; the ledger is behind; the database.
pub async fn close(app: &App, caller: &Caller, month: Month) -> Result<Statement, ActError> {
    let now = app.now();
    if now < month.end() {
        return Err(ActError::field("month", format!("{month} is not over yet")));
    }
    (app.house.flush_ledger)().await?;
    let mut lines = usage_lines(app, month, &Side::ALL).await?;
    let overhead = overhead_lines(app, month, &lines).await?;
    for statement in app.store.statements(app.org).await?.iter().rev() {
        let month = statement.month;
        let late = Ask { beyond: Some(month.start()), ..span(month, &Side::ALL) };
        let sums = app.store.report_sums(app.org, &late).await?;
        lines.extend(sums.into_iter().map(|sums| line(Kind::Adjustment, month, sums)));
    }
    lines.extend(overhead);
    if lines.len() > MAX_ROWS as usize * 2 {
        return Err(ActError::field("month", "it has more lines than a statement can hold"));
    }
    let statement = Statement {
        month,
        closed_at: now,
        closed_by: caller.actor.name.clone(),
        digest: digest(app.org, month, &lines),
        lines: lines.len() as u64,
        total: total(&lines),
    };
    let act = caller
        .draft(now, "month.close", Object::new("month", month, month.to_string()))
        .with("digest", statement.digest.clone())
        .with("lines", i64::try_from(statement.lines).unwrap_or(i64::MAX))
        .with("total_nanos", statement.total.0);
    app.store.close_month(app.org, &statement, &lines, &act).await?;
    Ok(statement)
}

/// The statements there are, the newest first.
///
/// # Errors
/// The database.
pub async fn statements(app: &App) -> Result<Vec<Statement>, ActError> {
    Ok(app.store.statements(app.org).await?)
}

/// A locked statement, its lines, and whether their digest is still the one that was written down.
///
/// # Errors
/// The month is not closed; the database.
pub async fn statement(app: &App, month: Month) -> Result<(Statement, Vec<Line>, bool), ActError> {
    let found = app.store.statement(app.org, month).await?;
    let statement =
        found.ok_or_else(|| ActError::NotFound { noun: "closed month", given: month.to_string() })?;
    let lines = app.store.statement_lines(app.org, month).await?;
    let intact = digest(app.org, month, &lines) == statement.digest;
    Ok((statement, lines, intact))
}

/// What was used in a month, told apart by these sides, one line each.
pub(super) async fn usage_lines(app: &App, month: Month, by: &[Side]) -> Result<Vec<Line>, ActError> {
    let sums = app.store.report_sums(app.org, &span(month, by)).await?;
    Ok(sums.into_iter().map(|sums| line(Kind::Usage, month, sums)).collect())
}

/// What the rules put on teams in a month of this usage (which has been told apart by team at least).
pub(super) async fn overhead_lines(app: &App, month: Month, usage: &[Line]) -> Result<Vec<Line>, ActError> {
    let rules = app.store.allocations(app.org).await?;
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let teams = teams(app).await?;
    let ids: Vec<TeamId> = teams.iter().map(|team| team.id).collect();
    let mut spent: BTreeMap<Option<TeamId>, Nanos> = BTreeMap::new();
    let mut names: BTreeMap<TeamId, String> = teams.into_iter().map(|team| (team.id, team.name)).collect();
    for line in usage {
        let team = line.whose.team_id.parse::<TeamId>().ok();
        let sum = spent.entry(team).or_default();
        *sum = Nanos(sum.0.saturating_add(line.figures.cost.0));
        if let Some(team) = team {
            names.entry(team).or_insert_with(|| line.whose.team.clone());
        }
    }
    let overhead = |allotment: gatehouse_domain::report::allocate::Allotment| Line {
        kind: Kind::Overhead,
        rule: allotment.rule,
        month: month.to_string(),
        whose: Whose {
            team_id: allotment.team.map(|team| team.to_string()).unwrap_or_default(),
            team: allotment.team.and_then(|team| names.get(&team).cloned()).unwrap_or_default(),
            ..Whose::default()
        },
        figures: Figures { cost: allotment.amount, ..Figures::default() },
    };
    Ok(allocate(&rules, &ids, &spent).into_iter().map(overhead).collect())
}

/// Every line of a month: of its statement when it is closed, else as it stands now, without adjustments.
pub(super) async fn lines(app: &App, month: Month) -> Result<(Option<Statement>, Vec<Line>), ActError> {
    if let Some(statement) = app.store.statement(app.org, month).await? {
        let lines = app.store.statement_lines(app.org, month).await?;
        return Ok((Some(statement), lines));
    }
    (app.house.flush_ledger)().await?;
    let mut lines = usage_lines(app, month, &Side::ALL).await?;
    lines.extend(overhead_lines(app, month, &lines).await?);
    Ok((None, lines))
}

fn span(month: Month, by: &[Side]) -> Ask {
    Ask::span(month.start(), month.end(), by.to_vec())
}

fn line(kind: Kind, month: Month, sums: Sums) -> Line {
    Line { kind, rule: String::new(), month: month.to_string(), whose: sums.whose, figures: sums.figures }
}

async fn teams(app: &App) -> Result<Vec<Team>, ActError> {
    let (mut teams, mut page) = (Vec::new(), Page::first(MAX_LIMIT));
    loop {
        let listed = app.store.teams(app.org, &page).await?;
        teams.extend(listed.items);
        let Some(next) = listed.next else { return Ok(teams) };
        page = Page::after(next, MAX_LIMIT);
    }
}
