//! The table of differences: models' names, and what a kind of provider does not take.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Kind;

/// The table that is compiled in.
const BUILT_IN: &str = include_str!("clouds.toml");
/// Longest name of a member that can be left out; the scanner's limit.
const MAX_FIELD: usize = 32;
/// Most members that a kind may name; each costs a comparison for every member of a body.
const MAX_FIELDS: usize = 64;

/// How the kinds of providers differ.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Table {
    /// What is never left out because a provider says that it does not know it.
    #[serde(default = "needed")]
    pub(crate) needed: Vec<String>,
    #[serde(default, rename = "model")]
    models: Vec<Model>,
    #[serde(flatten)]
    kinds: BTreeMap<Kind, Differences>,
}

/// What a table of somebody's own has that does not say it.
fn needed() -> Vec<String> {
    Table::built_in().needed
}

/// A model with names of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    also: Vec<String>,
    #[serde(flatten)]
    by_kind: BTreeMap<Kind, String>,
}

/// How one kind differs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    /// What a model is called that has no name of its own; `{}` stands for its name.
    model: String,
    /// The betas that are sent; empty for all.
    #[serde(default)]
    only_betas: Vec<String>,
    /// What it does not take.
    #[serde(default)]
    pub(super) without: Vec<Without>,
}

/// Something that a kind does not take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Without {
    #[serde(default)]
    pub(super) betas: Vec<String>,
    #[serde(default)]
    pub(super) instead: Vec<String>,
    #[serde(default)]
    pub(super) fields: Vec<String>,
    #[serde(default)]
    pub(super) tools: Vec<String>,
    #[serde(default)]
    pub(super) act: Act,
}

/// What becomes of what is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    /// It is left out.
    #[default]
    Drop,
    /// The request is refused.
    Refuse,
}

/// Why a text is no table; completes "the table of clouds cannot be used: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// It is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// A kind is missing.
    #[error("there is no section [{0}]")]
    Missing(&'static str),
    /// A rule cannot be followed.
    #[error("[{0}]: {1}")]
    Rule(&'static str, String),
}

impl Table {
    /// The table that is compiled in.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the built-in table is a good one: a test reads it")
    }

    /// Reads a table.
    ///
    /// # Errors
    /// If it is not in the form of the built-in one.
    pub fn parse(text: &str) -> Result<Self, BadTable> {
        let table: Self = toml::from_str(text).map_err(|error| BadTable::Form(error.to_string()))?;
        for kind in Kind::ALL {
            let differences = table.kinds.get(&kind).ok_or(BadTable::Missing(kind.name()))?;
            differences.check().map_err(|what| BadTable::Rule(kind.name(), what))?;
        }
        Ok(table)
    }

    /// How a kind differs.
    pub fn of(&self, kind: Kind) -> &Differences {
        &self.kinds[&kind]
    }

    /// What a kind calls a model. One that has the form of the kind's own names keeps its name.
    pub fn model(&self, kind: Kind, asked: &str) -> String {
        if kind.is_own_name(asked) {
            return asked.to_owned();
        }
        let is_it = |model: &&Model| model.name == asked || model.also.iter().any(|also| also == asked);
        let own = self.models.iter().find(is_it).and_then(|model| model.by_kind.get(&kind));
        own.cloned().unwrap_or_else(|| self.of(kind).model.replace("{}", asked))
    }
}

impl Table {
    /// Betas and the members of the body that belong to them, as all kinds have them.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[String], &[String])> {
        let rules = self.kinds.values().flat_map(|differences| &differences.without);
        rules.filter(|rule| !rule.betas.is_empty()).map(|rule| (&rule.betas[..], &rule.fields[..]))
    }

    /// The model that a kind calls by this name.
    pub(super) fn named(&self, kind: Kind, own: &str) -> Option<&str> {
        let is_it = |model: &&Model| model.by_kind.get(&kind).is_some_and(|name| name == own);
        self.models.iter().find(is_it).map(|model| model.name.as_str())
    }
}

impl Differences {
    fn check(&self) -> Result<(), String> {
        if !self.model.contains("{}") {
            return Err("`model` has no `{}` for the model's name".to_owned());
        }
        let fields = self.without.iter().map(|rule| rule.fields.len()).sum::<usize>();
        if fields > MAX_FIELDS {
            return Err(format!("it names {fields} fields, more than {MAX_FIELDS}"));
        }
        for rule in &self.without {
            if let Some(field) = rule.fields.iter().find(|field| field.is_empty() || field.len() > MAX_FIELD)
            {
                return Err(format!("the field `{field}` has not 1 to {MAX_FIELD} bytes"));
            }
            if matches!(rule.act, Act::Drop) && !rule.tools.is_empty() {
                return Err(
                    "tools cannot be left out, since the model would look for them: act = \"refuse\""
                        .to_owned(),
                );
            }
            if matches!(rule.act, Act::Refuse) && !(rule.betas.is_empty() && rule.instead.is_empty()) {
                return Err("a beta alone is no reason to refuse: name its fields".to_owned());
            }
        }
        Ok(())
    }

    /// The betas to send out of those asked for, each once.
    pub(super) fn betas<'a>(&'a self, asked: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut out: Vec<&str> = Vec::new();
        let mut add = |beta: &'a str| {
            if !out.contains(&beta) {
                out.push(beta);
            }
        };
        for beta in asked {
            match self.without.iter().find(|rule| any(&rule.betas, beta)) {
                Some(rule) => rule.instead.iter().for_each(|instead| add(instead)),
                None if self.only_betas.is_empty() || any(&self.only_betas, beta) => add(beta),
                None => {}
            }
        }
        out
    }
}

/// Whether a name is one of these; a `*` at a pattern's end stands for anything.
pub fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_clouds_names() {
        let table = Table::built_in();
        for (kind, asked, expected) in [
            (Kind::Bedrock, "claude-opus-5-5", "anthropic.claude-opus-5-5"),
            (Kind::Bedrock, "claude-opus-4-6", "anthropic.claude-opus-4-6-v1"),
            (Kind::Bedrock, "claude-haiku-4-5-20251001", "anthropic.claude-haiku-4-5-20251001-v1:0"),
            (Kind::Bedrock, "us.anthropic.claude-x-v1:0", "us.anthropic.claude-x-v1:0"),
            (
                Kind::Bedrock,
                "arn:aws:bedrock:us-east-1:1:inference-profile/x",
                "arn:aws:bedrock:us-east-1:1:inference-profile/x",
            ),
            (Kind::BedrockMantle, "claude-opus-5-5", "anthropic.claude-opus-5-5"),
            (Kind::Vertex, "claude-sonnet-4-5", "claude-sonnet-4-5@20250929"),
            (Kind::Vertex, "claude-opus-5-5", "claude-opus-5-5"),
            (Kind::Vertex, "claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929"),
            (Kind::Foundry, "my-deployment", "my-deployment"),
            (Kind::ClaudePlatformAws, "claude-opus-5-5", "claude-opus-5-5"),
        ] {
            assert_eq!(table.model(kind, asked), expected, "{kind:?}");
        }
    }

    #[test]
    fn betas_are_left_out_and_renamed() {
        let table = Table::built_in();
        let betas = |kind, asked: &str| table.of(kind).betas(asked.split(',')).join(",");
        let asked = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,\
                     advanced-tool-use-2025-11-20,tool-search-tool-2025-10-19,effort-2025-11-24";
        assert_eq!(
            betas(Kind::Bedrock, asked),
            "interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19,effort-2025-11-24"
        );
        assert_eq!(betas(Kind::Anthropic, asked), asked);
        assert!(!betas(Kind::Vertex, asked).contains("context-management"));
    }

    #[test]
    fn a_table_that_cannot_be_followed_is_refused() {
        for (text, expected) in [
            ("", "no section [anthropic]"),
            ("[bedrok]\nmodel = \"{}\"", "unknown variant `bedrok`"),
            ("[bedrock]\nmodel = \"{}\"\nbetas = []", "unknown field `betas`"),
            ("bedrock = { model = \"x\" }\nanthropic = { model = \"{}\" }", "[bedrock]: `model` has no `{}`"),
            ("anthropic = { model = \"{}\", without = [{ tools = [\"x\"] }] }", "act = \"refuse\""),
            (
                "anthropic = { model = \"{}\", without = [{ betas = [\"x\"], act = \"refuse\" }] }",
                "name its fields",
            ),
            ("anthropic = { model = \"{}\", without = [{ fields = [\"\"] }] }", "has not 1 to 32 bytes"),
        ] {
            let error = Table::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
