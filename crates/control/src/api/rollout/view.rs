//! What `/api/v1/rollouts` takes and shows.

use gatehouse_domain::rollout::{Judged, Verdict};
use gatehouse_store::rollout::{Assignment, Event, Rollout};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::rollout::{self, Applied, Preview, Shown};

/// A rollout to be made, or tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    /// The definition: `name`, `settings`, `phase` and so on (see docs/rollout.md). Unknown keys are refused.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// Only say what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Why.
    pub reason: Option<String>,
}

/// A rollout that is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// Why.
    pub reason: Option<String>,
    /// Only from the members of this team, by name or id.
    pub team: Option<String>,
}

/// An agreement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalBody {
    /// What was looked at, and why it may go on.
    pub comment: String,
}

/// Somebody who wants to be among the first, or does so no more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VolunteerBody {
    /// Who, by e-mail address or id.
    pub user: String,
    /// Whether they do; true if not given.
    pub volunteers: Option<bool>,
}

/// Whom a phase means today.
#[derive(Debug, Serialize, ToSchema)]
pub struct PhasePreview {
    /// The phase.
    pub phase: String,
    /// People who get it in this phase.
    pub new: u64,
    /// People who have it then.
    pub total: u64,
    /// From how many teams these are.
    pub teams: u64,
}

/// What became of a definition.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppliedView {
    /// `created`, `unchanged` (it is under way as it is) or `preview`.
    pub outcome: &'static str,
    /// The rollout; none of a preview.
    pub rollout: Option<RolloutLine>,
    /// Of a preview: whom each phase means today.
    pub phases: Vec<PhasePreview>,
}

/// A rollout in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutLine {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Where it is: `awaiting_start`, `deploying`, `soaking`, `evaluating`, `awaiting_approval`, `paused`, `succeeded`,
    /// `rolling_back`, `rolled_back`, `rollback_incomplete` or `aborted`.
    pub state: &'static str,
    /// In which phase.
    pub phase: Option<String>,
    /// Since when it is in this state (RFC 3339).
    pub since: String,
    /// Why it is paused, taken back or ended.
    pub reason: Option<String>,
    /// Who made it.
    pub author: String,
    /// When (RFC 3339).
    pub created_at: String,
}

/// What a check says.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutCheckView {
    /// What is measured.
    pub metric: String,
    /// What it is held against.
    pub limit: String,
    /// What was found; null without data, or where it is withheld.
    pub value: Option<f64>,
    /// Of how many.
    pub n: u64,
    /// The bound that decides, where there is one.
    pub bound: Option<f64>,
    /// `pass`, `fail` or `insufficient`.
    pub verdict: &'static str,
    /// `critical`, `signal` or `dry_run`.
    pub kind: String,
    /// `rollback`, `pause` or `warn`.
    pub on_fail: String,
    /// Whether so few people describe and do not prove.
    pub descriptive: bool,
}

/// A phase, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct PhaseView {
    /// Its name.
    pub phase: String,
    /// Whether it proved itself; null while that is open.
    pub success: Option<bool>,
    /// People who had it at the last look.
    pub users: u64,
    /// When its first people got it (RFC 3339).
    pub started_at: Option<String>,
    /// When its last did.
    pub deployed_at: Option<String>,
    /// When it is judged.
    pub judged_at: Option<String>,
    /// When it was done with.
    pub ended_at: Option<String>,
    /// What the checks last said.
    pub checks: Vec<RolloutCheckView>,
    /// The six figures of its people since it began.
    #[schema(value_type = Object)]
    pub metrics: Value,
    /// How many answers there were.
    pub answers: u64,
    /// How many people must agree.
    pub approvals: u32,
}

/// Somebody's agreement.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgreedView {
    /// With which phase.
    pub phase: Option<String>,
    /// By whom.
    pub by: String,
    /// When (RFC 3339).
    pub at: String,
    /// Why.
    pub comment: String,
}

/// How many people are in a state.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeopleView {
    /// `assigned`, `confirmed`, `active`, `undone`, `restored` or `left`.
    pub state: &'static str,
    /// How many.
    pub users: u64,
}

/// A rollout, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutView {
    /// In short.
    #[serde(flatten)]
    pub line: RolloutLine,
    /// The overlays that it gives to people, and their versions.
    pub settings: Vec<String>,
    /// Its phases.
    pub phases: Vec<PhaseView>,
    /// How far people are.
    pub people: Vec<PeopleView>,
    /// People who have neither key nor session, and cannot sign in.
    pub without_credential: u64,
    /// Looks in a row that failed.
    pub failures: u32,
    /// Looks in a row that came to nothing.
    pub errors: u32,
    /// Whether people are asked although evidence is wanting.
    pub insufficient: bool,
    /// Who has agreed.
    pub agreed: Vec<AgreedView>,
    /// After it was taken back: people whose client has not said that it is without. At most a hundred are named.
    pub unconfirmed: Vec<String>,
    /// The definition, as it was given.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// When it is looked at again (RFC 3339).
    pub next_at: Option<String>,
}

/// Somebody who got a rollout.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssignmentView {
    /// Who.
    pub email: String,
    /// In which phase.
    pub phase: Option<String>,
    /// How far they are.
    pub state: &'static str,
    /// By what they can use it: `key`, `session`, `sign_in` or `none`.
    pub credential: String,
    /// Checksum of the settings that they had before.
    pub from: Option<String>,
    /// Checksum of those that they have with it.
    pub to: Option<String>,
    /// When they got it (RFC 3339).
    pub assigned_at: String,
    /// When their client said that it applied it.
    pub confirmed_at: Option<String>,
    /// When it was seen that they use it.
    pub active_at: Option<String>,
    /// When it was taken back.
    pub undone_at: Option<String>,
    /// When their client said that it has other settings again.
    pub restored_at: Option<String>,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolloutEventView {
    /// Number of the step.
    pub step: u64,
    /// When (RFC 3339).
    pub at: String,
    /// What.
    pub kind: String,
    /// By whom.
    pub by: String,
    /// On which node; empty for what somebody asked for.
    pub node: String,
    /// In words.
    pub text: String,
}

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Cursor: the `next` of the page before.
    pub(super) after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    pub(super) limit: Option<u32>,
}

/// Which people are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StateQuery {
    /// Only those in this state.
    pub(super) state: Option<String>,
}

impl From<&Rollout> for RolloutLine {
    fn from(rollout: &Rollout) -> Self {
        Self {
            id: rollout.id.to_string(),
            name: rollout.name.clone(),
            state: rollout.progress.state.as_str(),
            phase: rollout::phase_name(rollout),
            since: rollout.progress.since.to_string(),
            reason: rollout.progress.reason.clone(),
            author: rollout.author_name.clone(),
            created_at: rollout.created_at.to_string(),
        }
    }
}

impl From<Judged> for RolloutCheckView {
    fn from(judged: Judged) -> Self {
        let Judged { metric, limit, value, n, bound, verdict, kind, on_fail, descriptive } = judged;
        let verdict = match verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Insufficient => "insufficient",
        };
        Self { metric, limit, value, n, bound, verdict, kind, on_fail, descriptive }
    }
}

impl From<Preview> for PhasePreview {
    fn from(Preview { phase, new, total, teams }: Preview) -> Self {
        Self { phase, new, total, teams }
    }
}

impl From<Applied> for AppliedView {
    fn from(applied: Applied) -> Self {
        let of =
            |outcome, rollout: &Rollout| Self { outcome, rollout: Some(rollout.into()), phases: Vec::new() };
        match applied {
            Applied::Made(rollout) => of("created", &rollout),
            Applied::Same(rollout) => of("unchanged", &rollout),
            Applied::Previewed(phases) => Self {
                outcome: "preview",
                rollout: None,
                phases: phases.into_iter().map(PhasePreview::from).collect(),
            },
        }
    }
}

impl From<rollout::PhaseShown> for PhaseView {
    fn from(phase: rollout::PhaseShown) -> Self {
        let passed = phase.passed;
        Self {
            phase: phase.id,
            success: passed.success,
            users: passed.users,
            started_at: passed.started_at.map(|at| at.to_string()),
            deployed_at: passed.deployed_at.map(|at| at.to_string()),
            judged_at: phase.ends_at.map(|at| at.to_string()),
            ended_at: passed.ended_at.map(|at| at.to_string()),
            checks: passed.judged.into_iter().map(RolloutCheckView::from).collect(),
            metrics: passed.metrics,
            answers: passed.answers,
            approvals: phase.approvals,
        }
    }
}

impl From<Shown> for RolloutView {
    fn from(shown: Shown) -> Self {
        let names: Vec<String> = shown.phases.iter().map(|phase| phase.id.clone()).collect();
        let agreed = |one: gatehouse_store::rollout::Agreed| AgreedView {
            phase: names.get(one.phase).cloned(),
            by: one.by,
            at: one.at.to_string(),
            comment: one.comment,
        };
        Self {
            line: (&shown.rollout).into(),
            settings: shown.settings,
            people: shown
                .people
                .into_iter()
                .map(|(state, users)| PeopleView { state: state.as_str(), users })
                .collect(),
            without_credential: shown.without_credential,
            failures: shown.rollout.progress.failures,
            errors: shown.rollout.progress.errors,
            insufficient: shown.rollout.progress.insufficient,
            agreed: shown.approvals.into_iter().map(agreed).collect(),
            unconfirmed: shown.unconfirmed,
            definition: shown.given,
            next_at: shown.rollout.next_at.map(|at| at.to_string()),
            phases: shown.phases.into_iter().map(PhaseView::from).collect(),
        }
    }
}

pub(super) fn assignment(names: &[String], one: Assignment) -> AssignmentView {
    let time = |at: Option<gatehouse_domain::time::UnixMillis>| at.map(|at| at.to_string());
    AssignmentView {
        phase: names.get(one.phase).cloned(),
        state: one.state.as_str(),
        from: one.from.map(|sum| sum.to_string()),
        to: one.to.map(|sum| sum.to_string()),
        assigned_at: one.assigned_at.to_string(),
        confirmed_at: time(one.confirmed_at),
        active_at: time(one.active_at),
        undone_at: time(one.undone_at),
        restored_at: time(one.restored_at),
        email: one.email,
        credential: one.credential,
    }
}

pub(super) fn event(event: Event) -> RolloutEventView {
    let Event { revision, at, kind, actor, node, text } = event;
    RolloutEventView { step: revision, at: at.to_string(), kind, by: actor, node, text }
}
