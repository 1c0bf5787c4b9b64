//! `[[provider]]` and `[provider_defaults]`.

mod cloud;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_gateway::quota::Configured;
use gatehouse_providers::anthropic::CredentialKind;
use gatehouse_providers::cloud::{Kind, base_url as address_of};

pub(crate) use cloud::{Amazon, Cloud, CloudCredential, TagOf};

use super::mistake::Mistake;
use super::read::{Section, brief};
use super::section::count;
use super::tree::{Node, Origin, Value};

/// A provider.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Provider {
    /// Its name; unique.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: Kind,
    /// Where it is, without a `/` at the end.
    pub(crate) base_url: String,
    /// Where its key comes from; none where it is shown something else.
    pub(crate) api_key: Option<SecretSource>,
    /// What the clouds need to be told besides; none for Anthropic's API as it is.
    pub(crate) cloud: Option<Cloud>,
    /// The models that go there; empty for all.
    pub(crate) serves: Vec<String>,
    /// A table of the clouds' differences instead of the built-in one.
    pub(crate) clouds_file: Option<PathBuf>,
    /// How its key is sent.
    pub(crate) auth: CredentialKind,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// To reach it.
    pub(crate) connect: Duration,
    /// To its reply's first byte.
    pub(crate) first_byte: Duration,
    /// Silence within a stream.
    pub(crate) stream_idle: Duration,
    /// How long an unused connection is kept.
    pub(crate) pool_idle: Duration,
    /// Open connections per worker.
    pub(crate) max_connections: usize,
    /// The region that it is in; empty if it is not said.
    pub(crate) region: String,
    /// The providers where signatures of thinking that it issues are valid: those of the same family.
    pub(crate) family: String,
    /// Its limits.
    pub(crate) quota: Configured,
}

/// Where a secret comes from. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// A variable.
    Env(String),
    /// A file.
    File(PathBuf),
    /// The standard output of a command, run by `/bin/sh -c`.
    Exec(String),
    /// The store, where it is kept sealed under this name.
    Sealed(String),
}

/// As it is written in the configuration.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Sealed(name) => write!(f, "sealed:{name}"),
        }
    }
}

/// Makes the provider that an `ANTHROPIC_API_KEY` stands for, unless providers are configured.
pub(crate) fn add_default(tree: &mut Node, variables: &BTreeMap<String, String>) {
    let Value::Section(top) = &mut tree.value else { return };
    if top.contains_key("provider") || variables.get("ANTHROPIC_API_KEY").is_none_or(String::is_empty) {
        return;
    }
    let origin = Origin::Variable("ANTHROPIC_API_KEY".to_owned());
    let text = |text: &str| Node { origin: origin.clone(), value: Value::Text(text.to_owned()) };
    let members = BTreeMap::from([
        ("name".to_owned(), text("anthropic")),
        ("api_key".to_owned(), text("env:ANTHROPIC_API_KEY")),
    ]);
    let item = Node { origin: origin.clone(), value: Value::Section(members) };
    top.insert("provider".to_owned(), Node { origin, value: Value::List(vec![item]) });
}

/// Reads all `[[provider]]` sections over `[provider_defaults]`.
pub(crate) fn providers(top: &Section<'_, '_>) -> Vec<Provider> {
    let defaults = top.node("provider_defaults");
    if let Some(node) = defaults {
        top.reader().section("provider_defaults", node, None, common);
    }
    let fallback = defaults.and_then(|node| node.value.members());
    let Some(list) = top.node("provider") else { return Vec::new() };
    let Some(items) = list.value.items() else {
        top.mistake("provider", format!("expected [[provider]] sections, found {}", list.value.type_name()));
        return Vec::new();
    };
    let mut out: Vec<Provider> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("provider[{}]", item.name().map_or_else(|| index.to_string(), brief));
        let read = top.reader().section(&path, item, fallback, provider);
        let Some(provider) = read else { continue };
        if out.iter().any(|other| other.name == provider.name) {
            let what = format!("there is already a provider named `{}`", provider.name);
            top.reader().note(Mistake::new(item.origin.clone(), format!("{path}.name"), what));
        }
        out.push(provider);
    }
    out
}

impl Provider {
    /// Where its secrets come from, by the setting's name.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
        let mut out: Vec<_> = self.api_key.iter().map(|key| ("api_key", key)).collect();
        match self.cloud.as_ref().map(|cloud| &cloud.credential) {
            Some(CloudCredential::Amazon(amazon)) => {
                if let Some((id, secret, token)) = &amazon.keys {
                    out.push(("access_key_id", id));
                    out.push(("secret_access_key", secret));
                    out.extend(token.iter().map(|token| ("session_token", token)));
                }
            }
            Some(CloudCredential::Google(file)) => out.push(("credentials", file)),
            Some(CloudCredential::Key) | None => {}
        }
        out
    }

    /// Where what it is shown comes from, in words.
    pub(crate) fn credential(&self) -> String {
        let role = match self.cloud.as_ref().map(|cloud| &cloud.credential) {
            Some(CloudCredential::Amazon(amazon)) => {
                let profile = || amazon.profile.as_ref().map(|name| format!("profile:{name}"));
                amazon.role.as_ref().map(|role| role.arn.clone()).or_else(profile)
            }
            Some(CloudCredential::Google(_) | CloudCredential::Key) | None => None,
        };
        let secrets = self.secrets();
        match (role, secrets.first()) {
            (Some(arn), _) => arn,
            (None, Some((_, source))) => source.to_string(),
            (None, None) => "environment".to_owned(),
        }
    }
}

struct Common {
    auth: CredentialKind,
    clouds_file: Option<PathBuf>,
    connect: Duration,
    first_byte: Duration,
    stream_idle: Duration,
    pool_idle: Duration,
    max_connections: usize,
}

fn common(s: &Section<'_, '_>) -> Common {
    Common {
        auth: s.choice("auth", &[("x-api-key", CredentialKind::ApiKey), ("bearer", CredentialKind::Bearer)]),
        clouds_file: s.text("clouds_file").map(PathBuf::from),
        connect: s.seconds("connect_seconds", 1..=300),
        first_byte: s.seconds("first_byte_seconds", 1..=7200),
        stream_idle: s.seconds("stream_idle_seconds", 1..=7200),
        pool_idle: s.seconds("pool_idle_seconds", 0..=3600),
        max_connections: count(s, "max_connections", 1..=1_000_000),
    }
}

fn provider(s: &Section<'_, '_>) -> Option<Provider> {
    let name = s.parsed("name", valid_name);
    let kind = match s.text("kind") {
        None => Kind::Anthropic,
        Some(_) => s.choice("kind", &Kind::ALL.map(|kind| (kind.name(), kind))),
    };
    let has_key = s.text("api_key").is_some();
    let cloud = cloud::cloud(s, kind, has_key);
    let region = cloud.as_ref().map(|cloud| cloud.region.as_str()).unwrap_or_default();
    let base_url = match s.text("base_url") {
        Some(_) => s.parsed("base_url", valid_base_url),
        None if kind == Kind::Foundry => s.required("base_url").map(str::to_owned),
        None => address_of(kind, region),
    };
    let common = common(s);
    let ca_file = s.text("ca_file").map(PathBuf::from);
    let is_asked_for = has_key || kind == Kind::Anthropic;
    let api_key = if is_asked_for {
        Some(s.parsed("api_key", |text| source(text, name.as_deref().unwrap_or_default()))?)
    } else {
        None
    };
    let region = match kind {
        Kind::Anthropic | Kind::Foundry => s.text("region").unwrap_or_default().to_owned(),
        Kind::Bedrock | Kind::BedrockMantle | Kind::ClaudePlatformAws | Kind::Vertex => region.to_owned(),
    };
    let family = s.text("signature_family").map(str::to_owned);
    let quota = Configured {
        requests_per_minute: limit(s, "requests_per_minute"),
        concurrent: limit(s, "concurrent"),
    };
    let serves = s.texts("serves").into_iter().map(str::to_owned).collect();
    // Anthropic's API as it is needs nothing of what the clouds need; a table of one's own may say otherwise.
    let cloud = cloud?;
    let is_listed = common.clouds_file.is_some();
    let is_plain = kind == Kind::Anthropic && cloud.models.is_empty() && cloud.counts && !is_listed;
    let base_url = base_url?;
    let family = family.unwrap_or_else(|| family_of(kind, &base_url));
    Some(Provider {
        name: name?,
        kind,
        base_url,
        api_key,
        cloud: (!is_plain).then_some(cloud),
        serves,
        clouds_file: common.clouds_file,
        auth: common.auth,
        ca_file,
        connect: common.connect,
        first_byte: common.first_byte,
        stream_idle: common.stream_idle,
        pool_idle: common.pool_idle,
        max_connections: common.max_connections,
        region,
        family,
        quota,
    })
}

/// A limit of the provider's; 0 where it is not set.
fn limit(s: &Section<'_, '_>, key: &'static str) -> u32 {
    if s.node(key).is_none() { 0 } else { u32::try_from(s.whole(key, 0..=1_000_000)).unwrap_or(u32::MAX) }
}

/// A cloud signs as one; of what speaks as Anthropic's API does, each address is taken to sign for itself.
fn family_of(kind: Kind, base_url: &str) -> String {
    if kind != Kind::Anthropic {
        return kind.name().to_owned();
    }
    let place = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    place.split('/').next().unwrap_or_default().to_owned()
}

pub(super) fn valid_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.len() <= 64 && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("expected at most 64 letters, digits, `-` and `_`, found `{}`", brief(text)))
}

/// An address: `http` or `https`, a host, perhaps a port and a path.
pub(super) fn valid_base_url(text: &str) -> Result<String, String> {
    let bad = |why: &str| format!("expected an address such as \"https://api.anthropic.com\": {why}");
    let uri: http::Uri = text.parse().map_err(|error| bad(&format!("{error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("it must begin with http:// or https://"));
    }
    match uri.authority() {
        None => return Err(bad("it names no host")),
        Some(authority) if authority.as_str().contains('@') => {
            return Err(bad("it must not hold a user or password"));
        }
        Some(_) => {}
    }
    if text.contains(['?', '#']) {
        return Err(bad("it must not have a query or a fragment"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Reads where a secret comes from. A text of another form may be the secret itself and is never repeated.
pub(super) fn source(text: &str, name: &str) -> Result<SecretSource, String> {
    match text.split_once(':') {
        Some(("env", variable)) if !variable.is_empty() => Ok(SecretSource::Env(variable.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretSource::File(path.into())),
        Some(("exec", command)) if !command.is_empty() => Ok(SecretSource::Exec(command.to_owned())),
        Some(("sealed", "")) => Ok(SecretSource::Sealed(name.to_owned())),
        Some(("sealed", other)) => Ok(SecretSource::Sealed(other.to_owned())),
        _ => Err("a key does not belong into the configuration: put it into a variable (\"env:VARIABLE\"), a file \
                  (\"file:PATH\"), behind a command (\"exec:COMMAND\"), or seal it with `gatehouse provider set-key` \
                  and write \"sealed:\""
            .to_owned()),
    }
}
