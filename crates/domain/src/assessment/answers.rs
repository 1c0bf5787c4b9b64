//! The answers that an assessment starts from.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::framework::plain;
use crate::settings::similar::nearest;

/// Most people that an organization may have.
pub(super) const MAX_TEAM_SIZE: u32 = 100_000_000;
/// Most entries of a list.
pub(super) const MAX_ENTRIES: usize = 200;
/// Longest entry of a list, in characters.
pub(super) const MAX_ENTRY: usize = 200;

/// How much security is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SecurityLevel {
    /// Low.
    #[default]
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Very high.
    Critical,
}

/// How demanding the rules are that an organization must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ComplianceLevel {
    /// None.
    #[default]
    None,
    /// General ones, such as its own policy or ISO 27001.
    Basic,
    /// Those of an industry, such as finance or health care.
    Industry,
    /// Those of governments and defense.
    Strict,
}

/// How closely costs are to be controlled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum CostControl {
    /// Each person or team pays for itself.
    #[default]
    Low,
    /// Costs are watched.
    Medium,
    /// There are budgets.
    High,
    /// Costs are managed in detail.
    FineGrained,
}

/// The answers. What was not answered has its default: nobody, low, none, no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Answers {
    /// How many people will use it.
    pub team_size: u32,
    /// How much security is asked for.
    pub security_level: SecurityLevel,
    /// The frameworks to comply with, each once.
    pub compliance_requirements: Vec<String>,
    /// How demanding they are; without it, what is known of the frameworks decides.
    pub compliance_level: Option<ComplianceLevel>,
    /// How closely costs are to be controlled.
    pub cost_control: CostControl,
    /// Whether the network lets only some connections out.
    pub network_restrictions: bool,
    /// What is there already: proxies, directories, log collectors. It is never scored.
    pub existing_infrastructure: Vec<String>,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("`{field}`: ") })]
pub struct Mistake {
    /// Which answer; empty for the whole.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl Mistake {
    pub(super) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

const FIELDS: [&str; 7] = [
    "team_size",
    "security_level",
    "compliance_requirements",
    "compliance_level",
    "cost_control",
    "network_restrictions",
    "existing_infrastructure",
];
const SECURITY: [(&str, SecurityLevel); 4] = [
    ("low", SecurityLevel::Low),
    ("medium", SecurityLevel::Medium),
    ("high", SecurityLevel::High),
    ("critical", SecurityLevel::Critical),
];
const COMPLIANCE: [(&str, ComplianceLevel); 4] = [
    ("none", ComplianceLevel::None),
    ("basic", ComplianceLevel::Basic),
    ("industry", ComplianceLevel::Industry),
    ("strict", ComplianceLevel::Strict),
];
const COST: [(&str, CostControl); 5] = [
    ("low", CostControl::Low),
    ("medium", CostControl::Medium),
    ("high", CostControl::High),
    ("fine_grained", CostControl::FineGrained),
    // What the fourth level is called where it stands beside the other factors.
    ("critical", CostControl::FineGrained),
];

impl Answers {
    /// Reads answers from JSON.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(value: &Value) -> Result<Self, Vec<Mistake>> {
        let Value::Object(map) = value else {
            return Err(vec![Mistake::new("", "the answers must be a JSON object")]);
        };
        let mut reader = Reader { map, mistakes: Vec::new() };
        reader.known_fields();
        let answers = Self {
            team_size: reader.team_size(),
            security_level: reader.word("security_level", &SECURITY).unwrap_or_default(),
            compliance_requirements: reader.list("compliance_requirements"),
            compliance_level: reader.word("compliance_level", &COMPLIANCE),
            cost_control: reader.word("cost_control", &COST).unwrap_or_default(),
            network_restrictions: reader.yes_or_no("network_restrictions"),
            existing_infrastructure: reader.list("existing_infrastructure"),
        };
        if answers.compliance_level == Some(ComplianceLevel::None)
            && !answers.compliance_requirements.is_empty()
        {
            reader.mistakes.push(Mistake::new(
                "compliance_level",
                "cannot be `none` while `compliance_requirements` names something to comply with",
            ));
        }
        if reader.mistakes.is_empty() { Ok(answers) } else { Err(reader.mistakes) }
    }
}

struct Reader<'a> {
    map: &'a Map<String, Value>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(field, message));
    }

    fn known_fields(&mut self) {
        for name in self.map.keys() {
            if !FIELDS.contains(&name.as_str()) {
                let hint = hint(nearest(name, FIELDS));
                let shown: String = name.chars().take(MAX_ENTRY).collect();
                self.mistakes.push(Mistake::new(&shown, format!("there is no such question{hint}")));
            }
        }
    }

    fn team_size(&mut self) -> u32 {
        let Some(value) = self.map.get("team_size") else { return 0 };
        let size = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= MAX_TEAM_SIZE);
        size.unwrap_or_else(|| {
            self.wrong(
                "team_size",
                format!("must be a whole number from 0 to {MAX_TEAM_SIZE}, not {}", shown(value)),
            );
            0
        })
    }

    fn word<T: Copy>(&mut self, field: &str, known: &[(&'static str, T)]) -> Option<T> {
        let value = self.map.get(field).filter(|value| !value.is_null())?;
        let found = value.as_str().and_then(|word| known.iter().find(|(k, _)| *k == word));
        if found.is_none() {
            let words: Vec<_> = known.iter().map(|(k, _)| format!("`{k}`")).collect();
            let hint = hint(value.as_str().and_then(|word| nearest(word, known.iter().map(|(k, _)| *k))));
            self.wrong(field, format!("must be one of {}, not {}{hint}", words.join(", "), shown(value)));
        }
        found.map(|(_, level)| *level)
    }

    fn yes_or_no(&mut self, field: &str) -> bool {
        match self.map.get(field) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is)) => *is,
            Some(other) => {
                self.wrong(field, format!("must be true or false, not {}", shown(other)));
                false
            }
        }
    }

    /// A list of names, each once; names that differ only in case, spaces or punctuation are the same.
    fn list(&mut self, field: &str) -> Vec<String> {
        let entries = match self.map.get(field) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                self.wrong(
                    field,
                    format!("must be a list of names, such as [\"ISO 27001\"], not {}", shown(other)),
                );
                return Vec::new();
            }
        };
        if entries.len() > MAX_ENTRIES {
            self.wrong(field, format!("has {} entries; at most {MAX_ENTRIES} are taken", entries.len()));
            return Vec::new();
        }
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let name = entry.as_str().map(str::trim).filter(|name| is_name(name));
            let Some(name) = name else {
                let told = format!("must be a name of up to {MAX_ENTRY} characters, not {}", shown(entry));
                self.wrong(&format!("{field}[{i}]"), told);
                continue;
            };
            if seen.insert(plain(name)) {
                names.push(name.to_owned());
            }
        }
        names
    }
}

fn is_name(name: &str) -> bool {
    name.chars().count() <= MAX_ENTRY
        && name.chars().any(char::is_alphanumeric)
        && !name.chars().any(char::is_control)
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// A value as an error shows it: short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 {
        return text;
    }
    text.chars().take(40).chain(['…']).collect()
}
