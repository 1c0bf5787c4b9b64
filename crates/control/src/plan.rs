//! Deployment plans: an assessment that is kept, its tasks, and the documents that follow from it.

mod block;
mod comparison;
mod configuration;
mod diagram;
mod document;

use std::collections::BTreeMap;

use gatehouse_domain::assessment::{Answers, Assessment, Choice, Mistake, Mode, assess};
use gatehouse_domain::audit::Object;
use gatehouse_domain::id::PlanId;
use gatehouse_domain::plan::{TaskState, check, is_overdue, stands};
use gatehouse_domain::readiness::{Item, Judged};
use gatehouse_domain::settings::lint::Language;
use gatehouse_store::plan::{Plan, PlanTask};
use gatehouse_store::{Listed, Page};
use serde_json::Value;

use crate::act::{ActError, Caller, read, shortened};
use crate::app::{App, Ways};
use crate::pdf;
use crate::period::ahead_of;
use crate::readiness;

/// Longest text of a decision or a task, in characters.
const MAX_TEXT: usize = 1000;

/// Why a plan was not made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The answers are not as they must be.
    #[error("the answers are not as they must be")]
    Answers(Vec<Mistake>),
    /// Anything else.
    #[error(transparent)]
    Act(#[from] ActError),
}

/// What a plan is made of.
#[derive(Debug, Clone, Default)]
pub struct NewPlan {
    /// The answers of the assessment.
    pub answers: Value,
    /// The mode that somebody decided for; else it is the score's.
    pub mode: Option<String>,
    /// Why they did.
    pub because: Option<String>,
}

/// What is to change of a task. What is not given stays.
#[derive(Debug, Clone, Default)]
pub struct TaskChange {
    /// Who sees to it; empty for nobody.
    pub owner: Option<String>,
    /// Until when; a point in time or a span from now; empty for no day.
    pub due: Option<String>,
    /// `open`, `underway`, `done` or `dropped`.
    pub state: Option<String>,
    /// What was done, or why it is not needed.
    pub note: Option<String>,
}

/// A task, and how it stands.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// What is kept of it.
    pub task: PlanTask,
    /// How it stands.
    pub state: TaskState,
    /// The items of the checklist that show it.
    pub check: Vec<Judged>,
    /// Whether its day has passed.
    pub overdue: bool,
}

/// A plan with its tasks.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The plan.
    pub plan: Plan,
    /// Its tasks, in their order.
    pub tasks: Vec<Tracked>,
}

/// What can be had of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The configuration of a server for its mode (TOML).
    Configuration,
    /// The architecture (SVG).
    Diagram,
    /// The deployment document (Markdown).
    Markdown,
    /// The deployment document, with the diagram in it (HTML).
    Html,
    /// The deployment document (PDF).
    Pdf,
    /// What is known of the gateways there are (Markdown).
    Comparison,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Configuration, Self::Diagram, Self::Markdown, Self::Html, Self::Pdf, Self::Comparison];

    /// Its name, which is that of a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "gatehouse.toml",
            Self::Diagram => "architecture.svg",
            Self::Markdown => "deployment.md",
            Self::Html => "deployment.html",
            Self::Pdf => "deployment.pdf",
            Self::Comparison => "gateways.md",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Configuration => "application/toml; charset=utf-8",
            Self::Diagram => "image/svg+xml; charset=utf-8",
            Self::Markdown | Self::Comparison => "text/markdown; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Pdf => "application/pdf",
        }
    }
}

/// Assesses answers and keeps the result as a plan. Where the score and the most demanding factor differ, somebody must
/// have decided, and said why.
///
/// # Errors
/// Answers that cannot be used; a decision that is missing or has no reason; the database.
pub async fn create(app: &App, caller: &Caller, new: &NewPlan) -> Result<Whole, PlanError> {
    let answers = Answers::read(&new.answers).map_err(PlanError::Answers)?;
    let choice = choice(new)?;
    let because = choice.as_ref().map(|choice| choice.reason.clone());
    let Assessment { recommendation, analysis } = assess(&answers, choice.clone());
    if choice.is_none() && !analysis.agreement {
        let told = format!(
            "the score leads to `{}` and the most demanding factor to `{}`: decide for one of them (`mode`), and say why (`because`)",
            recommendation.mode.as_str(),
            analysis.matrix_mode.as_str()
        );
        return Err(ActError::field("mode", told).into());
    }
    let (now, mode) = (app.now(), choice.map_or(recommendation.mode, |choice| choice.mode));
    let tasks: Vec<_> = analysis.tasks.iter().map(fresh).collect();
    let score = recommendation.complexity_score;
    let json = |value: Result<String, serde_json::Error>| {
        value.map_err(|error| ActError::field("answers", format!("they cannot be kept: {error}")))
    };
    let plan = Plan {
        id: PlanId::new(now, app.random_bits()),
        mode,
        because,
        answers: json(serde_json::to_string(&answers))?,
        result: json(serde_json::to_string(&Assessment { recommendation, analysis }))?,
        author: caller.actor.name.clone(),
        created_at: now,
    };
    let act = caller
        .draft(now, "plan.create", Object::new("plan", plan.id, mode.as_str()))
        .with("mode", mode.as_str())
        .with("score", score)
        .with_some("because", plan.because.clone());
    app.store.add_plan(app.org, &plan, &tasks, &act).await.map_err(ActError::from)?;
    Ok(Whole { tasks: tracked(app, tasks).await?, plan })
}

fn choice(new: &NewPlan) -> Result<Option<Choice>, ActError> {
    let because = line("because", new.because.as_deref())?.filter(|text| !text.is_empty());
    let Some(word) = new.mode.as_deref() else {
        return match because {
            None => Ok(None),
            Some(_) => Err(ActError::field("because", "a reason without a decision (`mode`)")),
        };
    };
    let mode =
        Mode::of(word).ok_or_else(|| ActError::field("mode", "expected direct, proxy, gateway or hybrid"))?;
    let reason = because.ok_or_else(|| ActError::field("because", "must say why it was decided so"))?;
    Ok(Some(Choice { mode, reason }))
}

fn fresh(task: &gatehouse_domain::assessment::Task) -> PlanTask {
    PlanTask {
        task: task.step.id.to_owned(),
        because: task.because.clone(),
        owner: None,
        due: None,
        state: TaskState::Open,
        note: None,
        noted_by: None,
        noted_at: None,
    }
}

async fn tracked(app: &App, tasks: Vec<PlanTask>) -> Result<Vec<Tracked>, ActError> {
    // The checklist asks directories and providers: only when a task waits for it.
    let asked = tasks.iter().any(|task| !check(&task.task).is_empty());
    let judged: BTreeMap<Item, Judged> = if asked {
        readiness::all(app).await?.into_iter().map(|judged| (judged.item, judged)).collect()
    } else {
        BTreeMap::new()
    };
    let now = app.now();
    let one = |task: PlanTask| {
        let check: Vec<Judged> =
            check(&task.task).iter().filter_map(|item| judged.get(item).cloned()).collect();
        let found: Vec<_> = check.iter().map(|judged| judged.state).collect();
        let state = stands(task.state, &found);
        Tracked { overdue: is_overdue(state, task.due, now), state, check, task }
    };
    Ok(tasks.into_iter().map(one).collect())
}

/// Lists plans, the newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, page: &Page) -> Result<Listed<Plan>, ActError> {
    Ok(app.store.plans(app.org, page).await?)
}

/// A plan with its tasks, by its identifier or `latest`.
///
/// # Errors
/// There is no such plan; the database.
pub async fn get(app: &App, given: &str) -> Result<Whole, ActError> {
    let plan = named(app, given).await?;
    let tasks = app.store.plan_tasks(app.org, plan.id).await?;
    Ok(Whole { tasks: tracked(app, tasks).await?, plan })
}

async fn named(app: &App, given: &str) -> Result<Plan, ActError> {
    let missing = || ActError::NotFound { noun: "deployment plan", given: shortened(given) };
    if given == "latest" {
        return app.store.plans(app.org, &Page::first(1)).await?.items.into_iter().next().ok_or_else(missing);
    }
    Ok(app.store.plan(app.org, given.parse().map_err(|_| missing())?).await?)
}

/// Notes something of a task.
///
/// # Errors
/// There is no such plan or task; a value that cannot be used; a task is to be done that its check says is not; the database.
pub async fn set_task(
    app: &App,
    caller: &Caller,
    plan: &str,
    name: &str,
    change: &TaskChange,
) -> Result<Tracked, ActError> {
    let plan = named(app, plan).await?;
    let missing = || ActError::NotFound { noun: "task", given: shortened(name) };
    let tasks = app.store.plan_tasks(app.org, plan.id).await?;
    let mut task = tasks.into_iter().find(|task| task.task == name).ok_or_else(missing)?;
    let now = app.now();
    let mut act = caller
        .draft(now, "plan.task", Object::new("plan", plan.id, plan.mode.as_str()))
        .with("task", task.task.clone());
    if let Some(owner) = line("owner", change.owner.as_deref())? {
        act = act.with("owner", owner.clone());
        task.owner = Some(owner).filter(|owner| !owner.is_empty());
    }
    if let Some(due) = line("due", change.due.as_deref())? {
        task.due = if due.is_empty() { None } else { Some(read("due", ahead_of(now, &due))?) };
        act = act.with("due", due);
    }
    if let Some(note) = line("note", change.note.as_deref())? {
        act = act.with("note", note.clone());
        task.note = Some(note).filter(|note| !note.is_empty());
        (task.noted_by, task.noted_at) = (Some(caller.actor.name.clone()), Some(now));
    }
    if let Some(state) = change.state.as_deref() {
        task.state = read("state", state.parse())?;
        act = act.with("state", task.state.as_str());
        may_become(&task)?;
    }
    app.store.keep_plan_task(app.org, plan.id, &task, &act).await?;
    tracked(app, vec![task]).await?.pop().ok_or_else(missing)
}

fn may_become(task: &PlanTask) -> Result<(), ActError> {
    let items: Vec<_> = check(&task.task).iter().map(|item| item.as_str()).collect();
    match task.state {
        TaskState::Done if !items.is_empty() => Err(ActError::field(
            "state",
            format!("it is done when the readiness checklist says so of {}", items.join(", ")),
        )),
        TaskState::Done | TaskState::Dropped if task.note.is_none() => {
            Err(ActError::field("note", "must say what was done, or why it is not needed"))
        }
        TaskState::Open | TaskState::Underway | TaskState::Done | TaskState::Dropped => Ok(()),
    }
}

/// A document of a plan.
///
/// # Errors
/// There is no such plan or document; the database.
pub async fn document(
    app: &App,
    plan: &str,
    name: &str,
    language: Language,
) -> Result<(Document, Vec<u8>), ActError> {
    let document = Document::ALL.into_iter().find(|document| document.as_str() == name);
    let document = document.ok_or_else(|| ActError::NotFound { noun: "document", given: shortened(name) })?;
    let ways = (app.house.ways)();
    let text = match document {
        Document::Configuration => configuration::toml(&named(app, plan).await?, &ways),
        Document::Diagram => diagram::svg(named(app, plan).await?.mode, language),
        Document::Comparison => {
            named(app, plan).await?;
            block::markdown(&comparison::sheet(language))
        }
        Document::Markdown => block::markdown(&document::blocks(&get(app, plan).await?, &ways, language)),
        Document::Html => block::html(&document::blocks(&get(app, plan).await?, &ways, language), language),
        Document::Pdf => return Ok((document, printed(app, &get(app, plan).await?, &ways, language).await?)),
    };
    Ok((document, text.into_bytes()))
}

/// The deployment document as PDF. How tasks stand is as of now, and so is its date.
async fn printed(app: &App, whole: &Whole, ways: &Ways, language: Language) -> Result<Vec<u8>, ActError> {
    let author = app.store.org(app.org).await?.name;
    let blocks = document::blocks(whole, ways, language);
    let parts = block::printed(&blocks, &diagram::picture(whole.plan.mode, language));
    let title = format!("{} · {author}", document::title(&whole.plan, language));
    let footer = vec![title.clone(), whole.plan.id.to_string()];
    pdf::print(pdf::Document { language, title, author, at: app.now(), footer, parts }).await
}

fn line(field: &'static str, given: Option<&str>) -> Result<Option<String>, ActError> {
    let Some(given) = given.map(str::trim) else { return Ok(None) };
    if given.chars().count() > MAX_TEXT || given.chars().any(char::is_control) {
        let why = format!("expected at most {MAX_TEXT} characters in one line");
        return Err(ActError::field(field, why));
    }
    Ok(Some(given.to_owned()))
}
