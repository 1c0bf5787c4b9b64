//! What `[[provider]]` has for the clouds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gatehouse_providers::cloud::Kind;

use super::{SecretSource, brief, source};
use crate::config::read::Section;

/// How a cloud is reached.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Cloud {
    /// Amazon's region, or Google's location.
    pub(crate) region: String,
    /// Google's project.
    pub(crate) project: String,
    /// Bedrock's inference profile.
    pub(crate) profile: String,
    /// The workspace, on Claude Platform on AWS.
    pub(crate) workspace: String,
    /// Models by the names that clients use.
    pub(crate) models: BTreeMap<String, String>,
    /// Whether it counts tokens.
    pub(crate) counts: bool,
    /// What it is shown.
    pub(crate) credential: CloudCredential,
}

/// Where what a cloud is shown comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum CloudCredential {
    /// A key that is sent as it is: `api_key`.
    Key,
    /// Amazon's keys, which sign requests.
    Amazon(Box<Amazon>),
    /// A credential file of Google's: a service account, or a workload's identity.
    Google(SecretSource),
}

/// Where Amazon's keys come from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Amazon {
    /// Keys: identifier, secret, and the session's token where they are temporary.
    pub(crate) keys: Option<(SecretSource, SecretSource, Option<SecretSource>)>,
    /// The role to take on.
    pub(crate) role: Option<Role>,
    /// The profile of Amazon's profile files that the keys come from.
    pub(crate) profile: Option<String>,
    /// Where roles are taken on.
    pub(crate) sts_url: String,
    /// What the role's session says of each user; empty for one session for all.
    pub(crate) tags: Vec<TagOf>,
}

/// What a session's tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagOf {
    /// The user, by identifier.
    User,
    /// The team that is charged.
    Team,
    /// The project that is charged.
    Project,
}

impl TagOf {
    /// The tag's name.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Team => "team",
            Self::Project => "project",
        }
    }
}

/// A role that is taken on: with the keys, or with a token that the platform puts into a file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// Its name (ARN).
    pub(crate) arn: String,
    /// What the session is called in Amazon's logs.
    pub(crate) session: String,
    /// What the role's owner may ask for.
    pub(crate) external_id: String,
    /// The file with the token.
    pub(crate) token_file: Option<PathBuf>,
}

/// Reads what a kind of cloud has. `has_key` says whether `api_key` is set.
pub(super) fn cloud(s: &Section<'_, '_>, kind: Kind, has_key: bool) -> Option<Cloud> {
    let before = Cloud {
        region: String::new(),
        project: String::new(),
        profile: String::new(),
        workspace: String::new(),
        models: models(s),
        counts: s.boolean_or("count_tokens", true),
        credential: CloudCredential::Key,
    };
    match kind {
        Kind::Anthropic => Some(before),
        Kind::Foundry => {
            if !has_key {
                s.mistake("api_key", "it is required");
            }
            Some(before)
        }
        Kind::Vertex => {
            let (region, project) = (s.parsed("region", valid_region), s.parsed("project", valid_project));
            let file = s.text("credentials").map(|_| s.parsed("credentials", kept));
            let credential = match (file, has_key) {
                (Some(_), true) => {
                    s.mistake("credentials", "there is an api_key as well; one of them is enough");
                    None
                }
                (Some(file), false) => file.map(CloudCredential::Google),
                (None, true) => Some(CloudCredential::Key),
                (None, false) => {
                    s.mistake(
                        "credentials",
                        "it is required: the credential file of a service account or of a workload",
                    );
                    None
                }
            };
            Some(Cloud { region: region?, project: project?, credential: credential?, ..before })
        }
        Kind::Bedrock | Kind::BedrockMantle | Kind::ClaudePlatformAws => {
            let region = s.parsed("region", valid_region);
            let profile = if kind == Kind::Bedrock { s.text("inference_profile") } else { None };
            let profile = profile.unwrap_or_default().to_owned();
            let workspace = if kind == Kind::ClaudePlatformAws { s.required("workspace")? } else { "" };
            let workspace = workspace.to_owned();
            let credential = amazon(s, has_key, region.as_deref().unwrap_or_default());
            Some(Cloud { region: region?, profile, workspace, credential: credential?, ..before })
        }
    }
}

fn amazon(s: &Section<'_, '_>, has_key: bool, region: &str) -> Option<CloudCredential> {
    let given = |key| s.text(key).map(|_| s.parsed(key, kept));
    let (id, secret, token) = (given("access_key_id"), given("secret_access_key"), given("session_token"));
    let role = s.text("role_arn").map(str::to_owned);
    let session = s.text("role_session_name").unwrap_or("gatehouse").to_owned();
    let external_id = s.text("external_id").unwrap_or_default().to_owned();
    let token_file = s.text("web_identity_token_file").map(PathBuf::from);
    let sts_url = match s.text("sts_url") {
        Some(_) => s.parsed("sts_url", super::valid_base_url)?,
        None if region.starts_with("cn-") => format!("https://sts.{region}.amazonaws.com.cn"),
        None => format!("https://sts.{region}.amazonaws.com"),
    };
    let profile = s.text("profile").map(str::to_owned);
    let tags = tags(s);
    let keys = match (id, secret) {
        (Some(id), Some(secret)) => Some((id?, secret?, token.flatten())),
        (None, None) => None,
        (Some(_), None) => {
            s.mistake("secret_access_key", "it is required beside access_key_id");
            return None;
        }
        (None, Some(_)) => {
            s.mistake("access_key_id", "it is required beside secret_access_key");
            return None;
        }
    };
    if has_key {
        if keys.is_some() || role.is_some() || profile.is_some() {
            s.mistake("api_key", "there are access keys, a profile or a role as well; one of them is enough");
        }
        return Some(CloudCredential::Key);
    }
    if token_file.is_some() && role.is_none() {
        s.mistake("role_arn", "it is required beside web_identity_token_file");
    }
    if profile.is_some() && (keys.is_some() || token_file.is_some()) {
        s.mistake(
            "profile",
            "there are access keys or a web identity's token as well; one of them is enough",
        );
    }
    if !tags.is_empty() && (role.is_none() || token_file.is_some()) {
        s.mistake(
            "session_tags",
            "they need role_arn, and keys to take it on with; a web identity's session has the tags that are in its token",
        );
    }
    let role = role.map(|arn| Role { arn, session, external_id, token_file });
    Some(CloudCredential::Amazon(Box::new(Amazon { keys, role, profile, sts_url, tags })))
}

/// `session_tags = ["user", "team", "project"]`.
fn tags(s: &Section<'_, '_>) -> Vec<TagOf> {
    let mut out = Vec::new();
    for text in s.texts("session_tags") {
        match [TagOf::User, TagOf::Team, TagOf::Project].into_iter().find(|tag| tag.key() == text) {
            Some(tag) if !out.contains(&tag) => out.push(tag),
            Some(_) => {}
            None => s.mistake(
                "session_tags",
                format!("expected `user`, `team` or `project`, found `{}`", brief(text)),
            ),
        }
    }
    if !out.is_empty() && !out.contains(&TagOf::User) {
        s.mistake("session_tags", "keys are those of a user: `user` must be among them");
    }
    out
}

/// `models = { "name" = "the provider's name" }`.
fn models(s: &Section<'_, '_>) -> BTreeMap<String, String> {
    let Some(node) = s.node("models") else { return BTreeMap::new() };
    let Some(members) = node.value.members() else {
        s.mistake("models", format!("expected names in {{ }}, found {}", node.value.type_name()));
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (name, node) in members {
        match node.value.text().filter(|text| !text.is_empty()) {
            Some(text) => _ = out.insert(name.clone(), text.to_owned()),
            None => s.mistake(
                "models",
                format!("expected a name for `{}`, found {}", brief(name), node.value.type_name()),
            ),
        }
    }
    out
}

/// Where a secret is that is not sealed: one of several parts cannot be.
fn kept(text: &str) -> Result<SecretSource, String> {
    match source(text, "")? {
        SecretSource::Sealed(_) => {
            Err("it cannot be sealed: put it into a variable (\"env:VARIABLE\"), a file (\"file:PATH\") or behind a command \
                 (\"exec:COMMAND\")"
                .to_owned())
        }
        source @ (SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Exec(_)) => Ok(source),
    }
}

fn valid_region(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.len() <= 40 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a region such as \"us-east-1\", found `{}`", brief(text)))
}

fn valid_project(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
    if text.len() <= 100 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a project's identifier such as \"acme-ai-1\", found `{}`", brief(text)))
}
