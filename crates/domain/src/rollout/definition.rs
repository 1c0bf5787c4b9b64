//! What a rollout is to do, as somebody wrote it.

use serde_json::Value;

use super::read::{Mistake, Mistakes, Reader};
use crate::name::Name;
use crate::time::{DAY_MS, HOUR_MS};

/// Most phases of a rollout.
pub const MAX_PHASES: usize = 10;
/// The phases that every rollout knows, in their order.
pub const PHASES: [&str; 3] = ["pilot", "limited_rollout", "full_rollout"];
/// Most people or teams that are named in one list.
const MAX_NAMED: usize = 1000;
/// Most overlays of a release.
const MAX_OVERLAYS: usize = 5;
/// Most checks of a phase.
const MAX_CHECKS: usize = 20;

/// A rollout as it was defined. It never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name: one under way has it.
    pub name: String,
    /// What is rolled out.
    pub settings: Vec<Overlay>,
    /// How clients reach the models: `gateway`, `proxy`, `hybrid` or `direct`.
    pub mode: &'static str,
    /// How often it is looked at, in milliseconds.
    pub interval_ms: i64,
    /// How long evidence may be wanting at the end of a phase before a person is asked, in milliseconds.
    pub max_wait_ms: i64,
    /// How many looks in a row must fail before something is done.
    pub failures: u32,
    /// How many people get it in one step.
    pub batch: usize,
    /// People who do not get it, whatever a cohort says.
    pub exclude_users: Vec<String>,
    /// Teams whose members do not get it.
    pub exclude_teams: Vec<String>,
    /// The phases, in their order.
    pub phases: Vec<Phase>,
}

/// Settings that go to people: a published version of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The profile, by name or id.
    pub profile: String,
    /// Which version.
    pub version: u32,
}

/// A phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its name.
    pub id: String,
    /// Who gets it, besides those of the phases before.
    pub cohort: Cohort,
    /// How long it is watched before it is judged, in milliseconds.
    pub soak_ms: i64,
    /// What must hold.
    pub checks: Vec<Check>,
    /// How many people must agree before the next phase begins.
    pub approvals: u32,
}

/// Who is in a phase. What is given adds up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cohort {
    /// These people.
    pub users: Vec<String>,
    /// Members of these teams, whoever they are at the time.
    pub teams: Vec<String>,
    /// Who volunteered.
    pub volunteers: bool,
    /// This share of all people, of each team the same.
    pub percent: u8,
    /// Everybody.
    pub everyone: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// People who got it.
    Cohort,
    /// Of the people whose client was seen since, those whose client said that it applied the settings.
    Receipts,
    /// Active people of all.
    Adoption,
    /// Requests of an active person.
    Frequency,
    /// Failed requests of all.
    ErrorRate,
    /// The 95th percentile of the time to the end of a request, in milliseconds.
    P95,
    /// Dollars of an active person.
    CostPerUser,
    /// Mean score from 1 to 5.
    Satisfaction,
}

/// What a measure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It must not exceed this.
    AtMost(f64),
    /// It must reach this.
    AtLeast(f64),
    /// It must not exceed so many times what it was.
    AtMostTimes(f64, Against),
}

/// What a measure is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The same people in the fourteen days before.
    Previous,
    /// The people who have not got it, in the same time.
    Others,
}

/// How much a check weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It must pass, and what it says to do is done when it fails.
    Critical,
    /// When it fails, the rollout waits for a person. It need not have enough data.
    Signal,
    /// It is only written down.
    DryRun,
}

/// What is done when a critical check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnFail {
    /// Nothing; it is written down.
    Warn,
    /// The rollout waits for a person.
    Pause,
    /// Everything is taken back.
    Rollback,
}

/// A check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Check {
    /// What is measured.
    pub measure: Measure,
    /// What it is held against.
    pub limit: Limit,
    /// Of fewer (people, requests, answers) nothing is said.
    pub min_sample: u64,
    /// How much it weighs.
    pub weight: Weight,
    /// What is done when it fails.
    pub on_fail: OnFail,
}

const MEASURES: [(&str, Measure); 8] = [
    ("cohort", Measure::Cohort),
    ("receipts", Measure::Receipts),
    ("adoption", Measure::Adoption),
    ("frequency", Measure::Frequency),
    ("error_rate", Measure::ErrorRate),
    ("p95_ms", Measure::P95),
    ("cost_per_user_usd", Measure::CostPerUser),
    ("satisfaction", Measure::Satisfaction),
];
const WEIGHTS: [(&str, Weight); 3] =
    [("critical", Weight::Critical), ("signal", Weight::Signal), ("dry_run", Weight::DryRun)];
const ON_FAIL: [(&str, OnFail); 3] =
    [("rollback", OnFail::Rollback), ("pause", OnFail::Pause), ("warn", OnFail::Warn)];
const AGAINST: [(&str, Against); 2] = [("previous", Against::Previous), ("others", Against::Others)];
const MODES: [(&str, &str); 4] =
    [("gateway", "gateway"), ("proxy", "proxy"), ("hybrid", "hybrid"), ("direct", "direct")];

fn name_of<T: PartialEq>(words: &[(&'static str, T)], meant: &T) -> &'static str {
    words.iter().find(|(_, known)| known == meant).map_or("", |(word, _)| word)
}

impl Measure {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        name_of(&MEASURES, &self)
    }
}

impl Weight {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        name_of(&WEIGHTS, &self)
    }
}

impl OnFail {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        name_of(&ON_FAIL, &self)
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::AtMostTimes(factor, Against::Previous) => {
                write!(f, "at most {factor} times what it was before")
            }
            Self::AtMostTimes(factor, Against::Others) => {
                write!(f, "at most {factor} times that of the others")
            }
        }
    }
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// All mistakes, each with its place.
    pub fn read(value: &Value) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Mistakes::default();
        let read = definition(value, &mut mistakes);
        if mistakes.0.is_empty() { Ok(read) } else { Err(mistakes.0) }
    }
}

fn definition(value: &Value, mistakes: &mut Mistakes) -> Definition {
    let mut table = Reader::new("", value, mistakes);
    let name = table.text("name", mistakes).unwrap_or_default();
    if let Err(why) = Name::parse(&name) {
        mistakes.add("name", why.to_string());
    }
    let settings = overlays(table.tables("settings", mistakes), mistakes);
    let mode = table.word("mode", &MODES, mistakes).unwrap_or("gateway");
    let interval_ms = table.span("interval", mistakes).unwrap_or(5 * 60_000);
    if interval_ms < 1000 {
        mistakes.add("interval", "must be a second at least");
    }
    let max_wait_ms = table.span("max_wait", mistakes).unwrap_or(7 * DAY_MS);
    let failures = table.whole("failures", (1, 100), mistakes).unwrap_or(3);
    let batch = table.whole("batch", (1, 500), mistakes).unwrap_or(200);
    let exclude_users = table.texts("exclude_users", MAX_NAMED, mistakes);
    let exclude_teams = table.texts("exclude_teams", MAX_NAMED, mistakes);
    let given = table.tables("phase", mistakes);
    if given.is_empty() || given.len() > MAX_PHASES {
        mistakes.add("phase", format!("is there {} times; expected 1 to {MAX_PHASES}", given.len()));
    }
    let phases: Vec<Phase> =
        given.iter().take(MAX_PHASES).enumerate().map(|(at, value)| phase(at, value, mistakes)).collect();
    order(&phases, mistakes);
    table.end(mistakes);
    Definition {
        name,
        settings,
        mode,
        interval_ms,
        max_wait_ms,
        failures: u32::try_from(failures).unwrap_or(3),
        batch: usize::try_from(batch).unwrap_or(200),
        exclude_users,
        exclude_teams,
        phases,
    }
}

/// Each phase has a name of its own, and those that are known come in their order.
fn order(phases: &[Phase], mistakes: &mut Mistakes) {
    let mut last = None;
    for (at, phase) in phases.iter().enumerate() {
        if phases.iter().take(at).any(|other| other.id == phase.id) {
            mistakes.add(format!("phase[{at}].id"), format!("is `{}` a second time", phase.id));
        }
        let Some(rank) = PHASES.iter().position(|known| *known == phase.id) else { continue };
        if last.is_some_and(|last| rank < last) {
            mistakes.add(
                format!("phase[{at}].id"),
                format!("comes too late: {} is the order", PHASES.join(", ")),
            );
        }
        last = Some(rank);
    }
}

fn overlays(given: &[Value], mistakes: &mut Mistakes) -> Vec<Overlay> {
    if given.is_empty() || given.len() > MAX_OVERLAYS {
        mistakes.add(
            "settings",
            format!(
                "is there {} times; expected 1 to {MAX_OVERLAYS} overlays, each with `profile` and `version`",
                given.len()
            ),
        );
    }
    let mut all = Vec::new();
    for (at, value) in given.iter().take(MAX_OVERLAYS).enumerate() {
        let mut table = Reader::new(format!("settings[{at}]"), value, mistakes);
        let profile = table.text("profile", mistakes);
        let version = table.whole("version", (1, u64::from(u32::MAX)), mistakes);
        let (profile_at, version_at) = (table.at("profile"), table.at("version"));
        table.end(mistakes);
        match (profile, version.and_then(|version| u32::try_from(version).ok())) {
            (Some(profile), Some(version)) => all.push(Overlay { profile, version }),
            (None, _) => mistakes.add(profile_at, "is missing: the name of an overlay"),
            (Some(_), None) => mistakes.add(version_at, "is missing: the published version's number"),
        }
    }
    all
}

fn phase(at: usize, value: &Value, mistakes: &mut Mistakes) -> Phase {
    let place = format!("phase[{at}]");
    let mut table = Reader::new(place.clone(), value, mistakes);
    let id = table.text("id", mistakes).unwrap_or_default();
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if id.is_empty() || id.len() > 40 || !id.bytes().all(good) {
        let told = "must be 1 to 40 of a-z, 0-9 and `_`: pilot, limited_rollout, full_rollout, or a name of your own";
        mistakes.add(table.at("id"), told);
    }
    let defaults = Defaults::of(&id);
    let soak_ms = table.span("soak", mistakes).unwrap_or(defaults.soak_ms);
    let approvals = table.whole("approvals", (0, 10), mistakes).unwrap_or(0);
    let cohort = match table.get("cohort") {
        Some(value) => cohort(format!("{place}.cohort"), value, mistakes),
        None if id == "full_rollout" => Cohort { everyone: true, ..Cohort::default() },
        None => {
            mistakes.add(table.at("cohort"), "is missing: say who is in this phase");
            Cohort::default()
        }
    };
    let given = table.get("check");
    let checks = match given {
        None => defaults.checks,
        Some(Value::Array(list)) if list.len() <= MAX_CHECKS => list
            .iter()
            .enumerate()
            .filter_map(|(n, one)| check(format!("{place}.check[{n}]"), one, mistakes))
            .collect(),
        Some(_) => {
            mistakes.add(table.at("check"), format!("is no list of at most {MAX_CHECKS} tables"));
            Vec::new()
        }
    };
    table.end(mistakes);
    Phase { id, cohort, soak_ms, checks, approvals: u32::try_from(approvals).unwrap_or(0) }
}

fn cohort(place: String, value: &Value, mistakes: &mut Mistakes) -> Cohort {
    let mut table = Reader::new(place.clone(), value, mistakes);
    let cohort = Cohort {
        users: table.texts("users", MAX_NAMED, mistakes),
        teams: table.texts("teams", MAX_NAMED, mistakes),
        volunteers: table.flag("volunteers", mistakes),
        percent: u8::try_from(table.whole("percent", (0, 100), mistakes).unwrap_or(0)).unwrap_or(0),
        everyone: table.flag("everyone", mistakes),
    };
    table.end(mistakes);
    if cohort == Cohort::default() {
        mistakes.add(place, "has nobody: give users, teams, volunteers, percent or everyone");
    }
    cohort
}

fn check(place: String, value: &Value, mistakes: &mut Mistakes) -> Option<Check> {
    let mut table = Reader::new(place.clone(), value, mistakes);
    let measure = table.word("metric", &MEASURES, mistakes);
    let (most, least) = (table.number("at_most", mistakes), table.number("at_least", mistakes));
    let times = table.number("at_most_times", mistakes);
    let against = table.word("against", &AGAINST, mistakes);
    let min_sample = table.whole("min_sample", (0, 1_000_000_000), mistakes);
    let weight = table.word("kind", &WEIGHTS, mistakes).unwrap_or(Weight::Critical);
    let on_fail = table.word("on_fail", &ON_FAIL, mistakes).unwrap_or(OnFail::Pause);
    table.end(mistakes);
    let limit = match (most, least, times) {
        (Some(limit), None, None) => Limit::AtMost(limit),
        (None, Some(limit), None) => Limit::AtLeast(limit),
        (None, None, Some(factor)) => Limit::AtMostTimes(factor, against.unwrap_or(Against::Previous)),
        _ => {
            mistakes.add(place, "needs exactly one of at_most, at_least and at_most_times");
            return None;
        }
    };
    let Some(measure) = measure else {
        mistakes.add(format!("{place}.metric"), "is missing");
        return None;
    };
    if !fits(measure, limit) {
        mistakes.add(place, format!("cannot hold {} against `{limit}`", measure.as_str()));
        return None;
    }
    Some(Check { measure, limit, min_sample: min_sample.unwrap_or(least_sample(measure)), weight, on_fail })
}

/// Which limits make sense for a measure.
const fn fits(measure: Measure, limit: Limit) -> bool {
    match measure {
        Measure::Cohort
        | Measure::Receipts
        | Measure::Adoption
        | Measure::Frequency
        | Measure::Satisfaction => {
            matches!(limit, Limit::AtLeast(_))
        }
        Measure::ErrorRate => matches!(limit, Limit::AtMost(_)),
        Measure::P95 | Measure::CostPerUser => !matches!(limit, Limit::AtLeast(_)),
    }
}

const fn least_sample(measure: Measure) -> u64 {
    match measure {
        Measure::Cohort => 0,
        Measure::Receipts | Measure::Adoption | Measure::Frequency | Measure::CostPerUser => 1,
        Measure::ErrorRate | Measure::P95 => 100,
        Measure::Satisfaction => 5,
    }
}

/// What holds for a phase that does not say.
struct Defaults {
    soak_ms: i64,
    checks: Vec<Check>,
}

impl Defaults {
    fn of(id: &str) -> Self {
        let check = |measure, limit, weight, on_fail| Check {
            measure,
            limit,
            min_sample: least_sample(measure),
            weight,
            on_fail,
        };
        let errors =
            |limit| check(Measure::ErrorRate, Limit::AtMost(limit), Weight::Critical, OnFail::Rollback);
        let times = |measure| {
            check(measure, Limit::AtMostTimes(1.5, Against::Previous), Weight::Signal, OnFail::Pause)
        };
        let least = |measure, limit| check(measure, Limit::AtLeast(limit), Weight::Critical, OnFail::Pause);
        match id {
            "pilot" => Self {
                soak_ms: 7 * DAY_MS,
                checks: vec![
                    least(Measure::Cohort, 5.0),
                    least(Measure::Receipts, 0.9),
                    least(Measure::Adoption, 0.6),
                    errors(0.05),
                    least(Measure::Satisfaction, 3.5),
                ],
            },
            "full_rollout" => Self { soak_ms: 14 * DAY_MS, checks: vec![errors(0.03), times(Measure::P95)] },
            "limited_rollout" => Self {
                soak_ms: 7 * DAY_MS,
                checks: vec![errors(0.03), times(Measure::P95), times(Measure::CostPerUser)],
            },
            _ => Self { soak_ms: 24 * HOUR_MS, checks: vec![errors(0.03)] },
        }
    }
}

#[cfg(test)]
mod tests;
