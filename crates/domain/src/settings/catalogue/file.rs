//! Reading a catalogue.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::env::EnvRules;
use super::kind::{BadKind, Fields, Kind, Shape};
use super::{Catalogue, Key, Merge, Mistake, Origin, Remote, Scope, Texts};
use crate::settings::path::{BadPath, Path};
use crate::settings::version::{BadVersion, ClientVersion};

/// A catalogue that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCatalogue {
    /// It is not TOML, a field is missing or unknown, or a value has the wrong type.
    #[error("the catalogue of settings cannot be read: {0}")]
    Syntax(String),
    /// A key's path is none.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// A type is none.
    #[error(transparent)]
    Kind(#[from] BadKind),
    /// A version is none.
    #[error(transparent)]
    Version(#[from] BadVersion),
    /// A type names a shape that is not there.
    #[error("the type of `{owner}` names the shape `{shape}`, which is not described")]
    Shape {
        /// The key or shape.
        owner: String,
        /// What is missing.
        shape: String,
    },
    /// A shape has none of, or more than one of `is`, `tag` and fields.
    #[error("the shape `{0}` must have either `is`, or `tag` and `form`, or fields")]
    Form(String),
    /// A key stands in no object.
    #[error("`{0}` stands beneath a key that is not described as an object")]
    Orphan(Path),
    /// What grows must be a list that unites.
    #[error("`{0}` grows, so it must be a list, and cannot replace whole")]
    Grows(Path),
}

pub(super) fn parse(text: &str) -> Result<Catalogue, BadCatalogue> {
    let file: File = toml::from_str(text)
        .map_err(|error| BadCatalogue::Syntax(error.to_string().trim_end().to_owned()))?;
    let shapes = file
        .shape
        .into_iter()
        .map(|(name, shape)| Ok((name.clone(), shape.read(name)?)))
        .collect::<Result<BTreeMap<_, _>, BadCatalogue>>()?;
    let mut keys = BTreeMap::new();
    for (path, key) in file.key {
        let path = Path::parse(&path)?;
        keys.insert(path.clone(), key.read(path)?);
    }
    let catalogue = Catalogue {
        as_of: ClientVersion::parse(&file.as_of)?,
        keys,
        shapes,
        env: file.env,
        tools: file.tools,
        aliases: file.aliases,
    };
    check(&catalogue)?;
    Ok(catalogue)
}

/// Whether everything that is named is there.
fn check(catalogue: &Catalogue) -> Result<(), BadCatalogue> {
    for (name, shape) in &catalogue.shapes {
        let kinds: Vec<&Kind> = match shape {
            Shape::Alias(kind) => vec![kind],
            Shape::Object(fields) => fields.kinds().collect(),
            Shape::Tagged { forms, .. } => forms.values().flat_map(Fields::kinds).collect(),
        };
        kinds.into_iter().try_for_each(|kind| check_shapes(catalogue, name, kind))?;
    }
    for (path, key) in &catalogue.keys {
        check_shapes(catalogue, &path.to_string(), &key.kind)?;
        let above = path.parent().filter(|above| !above.is_root());
        if above.is_some_and(|above| catalogue.key(&above).is_none_or(|above| above.kind != Kind::Object)) {
            return Err(BadCatalogue::Orphan(path.clone()));
        }
        if key.grows && !(matches!(key.kind, Kind::List(..)) && key.merge == Merge::Unite) {
            return Err(BadCatalogue::Grows(path.clone()));
        }
    }
    Ok(())
}

fn check_shapes(catalogue: &Catalogue, owner: &str, kind: &Kind) -> Result<(), BadCatalogue> {
    match kind.shapes().into_iter().find(|shape| !catalogue.shapes.contains_key(*shape)) {
        None => Ok(()),
        Some(shape) => Err(BadCatalogue::Shape { owner: owner.to_owned(), shape: shape.to_owned() }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: String,
    aliases: Vec<String>,
    tools: Vec<String>,
    env: EnvRules,
    shape: BTreeMap<String, ShapeText>,
    key: BTreeMap<String, KeyText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShapeText {
    is: Option<String>,
    tag: Option<String>,
    form: Option<BTreeMap<String, FieldsText>>,
    required: Option<BTreeMap<String, String>>,
    optional: Option<BTreeMap<String, String>>,
    choice: Option<BTreeMap<String, String>>,
}

impl ShapeText {
    fn read(self, name: String) -> Result<Shape, BadCatalogue> {
        let fields = FieldsText { required: self.required, optional: self.optional, choice: self.choice };
        match (self.is, self.tag, self.form, fields.is_empty()) {
            (Some(kind), None, None, true) => Ok(Shape::Alias(Kind::parse(&kind)?)),
            (None, Some(tag), Some(forms), true) => {
                let forms = forms.into_iter().map(|(name, fields)| Ok((name, fields.read()?)));
                Ok(Shape::Tagged { tag, forms: forms.collect::<Result<_, BadCatalogue>>()? })
            }
            (None, None, None, false) => Ok(Shape::Object(fields.read()?)),
            _ => Err(BadCatalogue::Form(name)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldsText {
    required: Option<BTreeMap<String, String>>,
    optional: Option<BTreeMap<String, String>>,
    choice: Option<BTreeMap<String, String>>,
}

impl FieldsText {
    fn is_empty(&self) -> bool {
        self.required.is_none() && self.optional.is_none() && self.choice.is_none()
    }

    fn read(self) -> Result<Fields, BadCatalogue> {
        let kinds = |texts: Option<BTreeMap<String, String>>| {
            let texts = texts.unwrap_or_default().into_iter();
            texts.map(|(name, text)| Ok((name, Kind::parse(&text)?))).collect::<Result<_, BadCatalogue>>()
        };
        Ok(Fields {
            required: kinds(self.required)?,
            optional: kinds(self.optional)?,
            choice: kinds(self.choice)?,
        })
    }
}

impl Fields {
    /// The kinds of all fields.
    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.required.values().chain(self.optional.values()).chain(self.choice.values())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    scope: Scope,
    merge: Option<Whole>,
    entries: Option<Whole>,
    #[serde(default)]
    grows: bool,
    #[serde(default)]
    asks: bool,
    #[serde(default)]
    runs: bool,
    mistake: Option<Mistake>,
    #[serde(default)]
    remote: Remote,
    since: Option<String>,
    instead: Option<String>,
    en: String,
    #[serde(rename = "zh-cn")]
    zh_cn: String,
    #[serde(rename = "zh-tw")]
    zh_tw: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Whole {
    Replace,
}

impl KeyText {
    fn read(self, path: Path) -> Result<Key, BadCatalogue> {
        Ok(Key {
            path,
            kind: Kind::parse(&self.kind)?,
            scope: self.scope,
            merge: match (self.merge, self.entries) {
                (Some(Whole::Replace), _) => Merge::Replace,
                (None, Some(Whole::Replace)) => Merge::ReplaceEntries,
                (None, None) => Merge::Unite,
            },
            grows: self.grows,
            asks: self.asks,
            runs: self.runs,
            mistake: self.mistake,
            remote: self.remote,
            since: self.since.map(|since| ClientVersion::parse(&since)).transpose()?,
            instead: self.instead,
            help: Texts { en: self.en, zh_cn: self.zh_cn, zh_tw: self.zh_tw },
            origin: Origin::Release,
        })
    }
}
