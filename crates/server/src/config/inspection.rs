//! `[inspection]`: what the forward proxy looks into.

use std::path::PathBuf;
use std::time::Duration;

use gatehouse_domain::proxy::{Host, HostPattern, is_sign_in};
use gatehouse_gateway::settings::Paid;
use http::{HeaderName, HeaderValue};

use super::read::{Section, brief};

/// Most entries of a list.
const MOST: usize = 200;
/// Headers that no operator may set: they say how a message is framed, whose it is, or whom it is for.
const OURS: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
];

/// What the forward proxy looks into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Hosts that are looked into.
    pub(crate) hosts: Vec<HostPattern>,
    /// Hosts that are not.
    pub(crate) never: Vec<HostPattern>,
    /// Hosts of models.
    pub(crate) models: Vec<String>,
    /// By whose credential model requests are made.
    pub(crate) paid: Paid,
    /// Headers that are added at hosts.
    pub(crate) added: Vec<(HostPattern, HeaderName, HeaderValue)>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// What people are told.
    pub(crate) notice: String,
    /// To reach a host.
    pub(crate) connect: Duration,
    /// To a reply's first byte.
    pub(crate) first_byte: Duration,
    /// Silence within a stream.
    pub(crate) stream_idle: Duration,
}

/// Reads `[inspection]`.
pub(crate) fn inspection(s: &Section<'_, '_>) -> Inspection {
    let paid = [("caller", Paid::Caller), ("organization", Paid::Organization)];
    let notice = s.text("notice").unwrap_or_default();
    if notice.len() > 1000 || notice.chars().any(char::is_control) {
        s.mistake("notice", "expected at most 1000 bytes on one line");
    }
    let mut added = organizations(s);
    added.extend(headers(s));
    Inspection {
        hosts: patterns(s, "hosts"),
        never: patterns(s, "never"),
        models: models(s),
        paid: s.choice("credential", &paid),
        added,
        ca_file: s.text("ca_file").map(PathBuf::from),
        notice: notice.to_owned(),
        connect: s.seconds("connect_seconds", 1..=3600),
        first_byte: s.seconds("first_byte_seconds", 1..=3600),
        stream_idle: s.seconds("stream_idle_seconds", 1..=3600),
    }
}

fn texts<'a>(s: &Section<'a, '_>, key: &'static str) -> Vec<&'a str> {
    let texts = s.texts(key);
    if texts.len() > MOST {
        s.mistake(key, format!("expected at most {MOST}"));
    }
    texts
}

fn patterns(s: &Section<'_, '_>, key: &'static str) -> Vec<HostPattern> {
    let read = |text: &str| match pattern(text) {
        Ok(HostPattern::Name(name) | HostPattern::Below(name)) if key == "hosts" && is_sign_in(&name) => {
            s.mistake(key, format!("people sign in at `{name}`: that is never looked into"));
            None
        }
        Ok(pattern) => Some(pattern),
        Err(told) => {
            s.mistake(key, told);
            None
        }
    };
    texts(s, key).into_iter().filter_map(read).collect()
}

fn pattern(text: &str) -> Result<HostPattern, String> {
    match text.parse() {
        Ok(pattern @ (HostPattern::Name(_) | HostPattern::Below(_))) => Ok(pattern),
        Ok(_) | Err(_) => Err(format!(
            "expected a name, or `*.` and a name for everything below it, found `{}`",
            brief(text)
        )),
    }
}

fn models(s: &Section<'_, '_>) -> Vec<String> {
    let read = |text: &str| match Host::parse(text) {
        Ok(Host::Name(name)) => Some(name),
        Ok(Host::Address(_)) | Err(_) => {
            s.mistake("model_hosts", format!("expected names of hosts, found `{}`", brief(text)));
            None
        }
    };
    texts(s, "model_hosts").into_iter().filter_map(read).collect()
}

/// The accounts of which organizations may be used (tenant restrictions of Anthropic's API).
fn organizations(s: &Section<'_, '_>) -> Vec<(HostPattern, HeaderName, HeaderValue)> {
    let given = texts(s, "allowed_organizations");
    let is_id =
        |text: &&str| text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !given.iter().all(is_id) {
        s.mistake(
            "allowed_organizations",
            "expected ids of organizations such as \"6f1c3b52-0000-4000-8000-000000000000\"",
        );
        return Vec::new();
    }
    let Ok(value) = HeaderValue::from_str(&given.join(",")) else { return Vec::new() };
    if given.is_empty() {
        return Vec::new();
    }
    let name = HeaderName::from_static("anthropic-allowed-org-ids");
    let at = "anthropic.com".to_owned();
    [HostPattern::Name(at.clone()), HostPattern::Below(at)]
        .map(|pattern| (pattern, name.clone(), value.clone()))
        .into()
}

/// `"HOST NAME: VALUE"`.
fn headers(s: &Section<'_, '_>) -> Vec<(HostPattern, HeaderName, HeaderValue)> {
    let read = |text: &str| {
        let (host, rest) = text.split_once(' ')?;
        let (name, value) = rest.split_once(':')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = HeaderValue::from_str(value.trim()).ok()?;
        let is_ours = OURS.contains(&name.as_str()) || name.as_str().starts_with("proxy-");
        (!is_ours).then_some((pattern(host).ok()?, name, value))
    };
    let told = |text: &str| {
        let expected = "expected \"HOST NAME: VALUE\" with a header that is not for credentials or framing";
        s.mistake("add_headers", format!("{expected}, found `{}`", brief(text)));
    };
    let given = texts(s, "add_headers");
    given
        .into_iter()
        .filter_map(|text| {
            read(text).or_else(|| {
                told(text);
                None
            })
        })
        .collect()
}
