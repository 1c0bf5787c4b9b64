//! What a token says about its subject.

use gatehouse_domain::name::{Email, is_unprintable};
use gatehouse_domain::time::UnixMillis;
use serde_json::{Map, Value};

use super::{BadPath, ClaimPath, shown};

/// Most groups that are taken from one document.
const MAX_GROUPS: usize = 2000;
/// Longest name of a group, in bytes.
const MAX_GROUP: usize = 256;
/// Longest name of a person, in characters; what is over is cut off, since it is only shown.
const MAX_NAME: usize = 200;

/// The claims of a verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// `iss`: exactly the policy's issuer.
    pub issuer: String,
    /// `sub`: not empty. Accounts are joined on issuer and subject.
    pub subject: String,
    /// `aud`: holds at least one of the policy's audiences.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: UnixMillis,
    /// `iat`.
    pub issued_at: Option<UnixMillis>,
    /// `nonce`.
    pub nonce: Option<String>,
    /// What it says about the person.
    pub person: Person,
    /// All claims, for rules.
    pub raw: Map<String, Value>,
}

/// What a token or a userinfo answer says about a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// The e-mail address, if there is a usable one.
    pub email: Option<Email>,
    /// Whether the issuer says that it has verified the address.
    pub email_verified: bool,
    /// The name to show. Written by the person: escape it wherever it is shown.
    pub name: Option<String>,
    /// The groups.
    pub groups: Groups,
}

/// What is known of a person's groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Groups {
    /// Nothing is said about them. This is not the same as being in none.
    #[default]
    Absent,
    /// All groups of the person.
    Listed(Vec<String>),
    /// There are too many for the token (Entra ID then names an endpoint in `_claim_names` instead). Deciding on an
    /// empty list would be wrong; have the issuer send only assigned groups, or application roles.
    Overage,
}

/// Why the groups of a token cannot be used. Going on without them could grant or take away the wrong things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadGroups {
    /// The claim is no list of names.
    #[error(
        "the claim `{0}` is no list of groups (expected text, or a list of text of 1 to {MAX_GROUP} bytes)"
    )]
    NoList(String),
    /// There are more than are taken.
    #[error(
        "the claim `{0}` lists more than {MAX_GROUPS} groups; have the issuer send only those that matter here"
    )]
    TooMany(String),
}

/// Where an issuer puts what it says about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The e-mail address.
    pub email: ClaimPath,
    /// The name.
    pub name: ClaimPath,
    /// The groups; none are taken if not configured.
    pub groups: Option<ClaimPath>,
}

impl ClaimNames {
    /// `email` and `name` as OpenID Connect has them, and groups at this path.
    ///
    /// # Errors
    /// If the path is none.
    pub fn standard(groups: Option<&str>) -> Result<Self, BadPath> {
        Ok(Self {
            email: ClaimPath::parse("email")?,
            name: ClaimPath::parse("name")?,
            groups: groups.map(ClaimPath::parse).transpose()?,
        })
    }
}

impl Person {
    /// Reads what a document says about a person.
    ///
    /// An address that is unusable, or not text, is none. It counts as verified only if the document says so; some
    /// issuers write the truth value as text.
    ///
    /// # Errors
    /// If the groups are there and cannot be read.
    pub fn read(document: &Map<String, Value>, names: &ClaimNames) -> Result<Self, BadGroups> {
        let text = |path: &ClaimPath| path.find(document).and_then(Value::as_str);
        let email = text(&names.email).and_then(|address| Email::parse(address).ok());
        let says_verified = match document.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(verified)) => verified == "true",
            Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
        };
        Ok(Self {
            email_verified: says_verified && email.is_some(),
            email,
            name: text(&names.name).and_then(printable),
            groups: names.groups.as_ref().map_or(Ok(Groups::Absent), |path| groups(document, path))?,
        })
    }
}

fn printable(name: &str) -> Option<String> {
    let clean: String = name.trim().chars().filter(|c| !is_unprintable(*c)).take(MAX_NAME).collect();
    (!clean.is_empty()).then_some(clean)
}

fn groups(document: &Map<String, Value>, path: &ClaimPath) -> Result<Groups, BadGroups> {
    if is_overage(document, path) {
        return Ok(Groups::Overage);
    }
    let no_list = || BadGroups::NoList(shown(&path.to_string()));
    let list = match path.find(document) {
        None => return Ok(Groups::Absent),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(no_list()),
    };
    if list.len() > MAX_GROUPS {
        return Err(BadGroups::TooMany(shown(&path.to_string())));
    }
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for value in list {
        let name = value.as_str().filter(|name| (1..=MAX_GROUP).contains(&name.len())).ok_or_else(no_list)?;
        names.push(name.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    Ok(Groups::Listed(names))
}

/// Whether the issuer says that the claim has been left out for its size: distributed claims (OpenID Connect Core
/// section 5.6.2) name it in `_claim_names`; Entra's implicit flow says `hasgroups`.
fn is_overage(document: &Map<String, Value>, path: &ClaimPath) -> bool {
    let elsewhere = document.get("_claim_names").and_then(Value::as_object);
    let flagged = document.get("hasgroups").is_some_and(|flag| flag == &Value::Bool(true));
    path.roots()
        .any(|root| elsewhere.is_some_and(|names| names.contains_key(&root)) || (flagged && root == "groups"))
}
