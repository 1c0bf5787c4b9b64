//! `[identity]` and `[[identity.oidc]]`; `[[identity.ci]]` is in `ci.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_control::portal::{Local, SecondFactor};
use gatehouse_identity::oidc::{EmailTrust, Prompt};

use super::ci::{Ci, ci};
use super::mistake::Mistake;
use super::provider::{SecretSource, source};
use super::read::{Section, brief};
use super::tree::Value;

/// Longest notice that the client shows, in characters.
const MAX_NOTICE: usize = 500;
const HOUR: u64 = 3600;

/// How people sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// How long an access token works.
    pub(crate) access: Duration,
    /// How long a session lasts.
    pub(crate) session: Duration,
    /// What the client shows while it waits.
    pub(crate) notice: Option<String>,
    /// Whether passwords kept here count.
    pub(crate) local: Local,
    /// Whether who signs in with one must have a second factor.
    pub(crate) second_factor: SecondFactor,
    /// Identity providers, in the order of the page.
    pub(crate) oidc: Vec<Oidc>,
    /// Issuers of the tokens of CI jobs, in the order of their rules.
    pub(crate) ci: Vec<Ci>,
}

/// An identity provider that speaks OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Oidc {
    /// Its name here; unique.
    pub(crate) name: String,
    /// Its name on the page.
    pub(crate) label: String,
    /// Its identifier.
    pub(crate) issuer: String,
    /// Our client there.
    pub(crate) client_id: String,
    /// Where that client's secret is; none for a public client.
    pub(crate) client_secret: Option<SecretSource>,
    /// How the secret is sent.
    pub(crate) client_auth: ClientAuth,
    /// What is asked for; empty for the usual.
    pub(crate) scopes: Vec<String>,
    /// The claim with the groups.
    pub(crate) groups_claim: Option<String>,
    /// The claim with the address.
    pub(crate) email_claim: String,
    /// Whose people sign in there.
    pub(crate) domains: Vec<String>,
    /// When its addresses are believed.
    pub(crate) email_trust: EmailTrust,
    /// What it should ask the person.
    pub(crate) prompt: Option<Prompt>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether somebody who is not known here is added.
    pub(crate) create: bool,
    /// Whether somebody who signs in elsewhere comes in as the same user.
    pub(crate) join: bool,
    /// Teams by group.
    pub(crate) teams: BTreeMap<String, String>,
}

/// How a client proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// Reads `[identity]`.
pub(crate) fn identity(s: &Section<'_, '_>) -> Identity {
    let notice = s.text("login_notice").map(str::to_owned);
    if notice.as_ref().is_some_and(|text| text.chars().count() > MAX_NOTICE) {
        s.mistake(
            "login_notice",
            format!("it has more than {MAX_NOTICE} characters, and the client shows no more"),
        );
    }
    Identity {
        access: s.seconds("access_token_seconds", 600..=24 * HOUR),
        session: Duration::from_secs(s.whole("session_days", 1..=366) * 24 * HOUR),
        notice,
        local: if s.boolean("local_accounts") { Local::On } else { Local::Off },
        second_factor: s.choice(
            "local_second_factor",
            &[("optional", SecondFactor::Optional), ("required", SecondFactor::Required)],
        ),
        oidc: all(s, "oidc", oidc, |one| &one.name),
        ci: all(s, "ci", ci, |one| &one.name),
    }
}

/// All sections of a kind. Their names must differ.
pub(super) fn all<T>(
    s: &Section<'_, '_>,
    key: &'static str,
    read: impl Fn(&Section<'_, '_>) -> Option<T>,
    name: impl Fn(&T) -> &str,
) -> Vec<T> {
    let Some(list) = s.node(key) else { return Vec::new() };
    let Some(items) = list.value.items() else {
        let what = format!("expected [[{}]] sections, found {}", s.path_of(key), list.value.type_name());
        s.mistake(key, what);
        return Vec::new();
    };
    let mut out: Vec<T> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{}]", s.path_of(key), item.name().map_or_else(|| index.to_string(), brief));
        let Some(one) = s.reader().section(&path, item, None, |section| read(section)) else { continue };
        if out.iter().any(|other| name(other) == name(&one)) {
            let what = format!("there is already one named `{}`", name(&one));
            s.reader().note(Mistake::new(item.origin.clone(), format!("{path}.name"), what));
        }
        out.push(one);
    }
    out
}

fn oidc(s: &Section<'_, '_>) -> Option<Oidc> {
    let trust = [("verified", EmailTrust::WhenVerified), ("always", EmailTrust::Always)];
    let auth = [("basic", ClientAuth::Basic), ("post", ClientAuth::Post)];
    let prompts =
        [("login", Prompt::Login), ("select_account", Prompt::SelectAccount), ("consent", Prompt::Consent)];
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let (name, issuer) = (s.required("name"), s.required("issuer"));
    let client_id = s.required("client_id");
    let client_secret = s.text("client_secret").and_then(|text| secret(s, "client_secret", text));
    let client_auth = s.text("client_auth").map_or(ClientAuth::Basic, |_| s.choice("client_auth", &auth));
    let email_trust =
        s.text("trust_email").map_or(EmailTrust::WhenVerified, |_| s.choice("trust_email", &trust));
    let prompt = s.text("prompt").map(|_| s.choice("prompt", &prompts));
    let label = s.text("label").map(str::to_owned);
    let (groups_claim, email_claim) = (s.text("groups_claim"), s.text("email_claim"));
    let (scopes, domains) = (owned(s.texts("scopes")), owned(s.texts("domains")));
    let (ca_file, create, teams) =
        (s.text("ca_file").map(PathBuf::from), s.boolean_or("create", false), teams(s));
    let name = name?.to_owned();
    Some(Oidc {
        label: label.unwrap_or_else(|| name.clone()),
        name,
        issuer: issuer?.to_owned(),
        client_id: client_id?.to_owned(),
        client_secret,
        client_auth,
        scopes,
        groups_claim: groups_claim.map(str::to_owned),
        email_claim: email_claim.unwrap_or("email").to_owned(),
        domains,
        email_trust,
        prompt,
        ca_file,
        create,
        join: s.boolean_or("join", false),
        teams,
    })
}

pub(super) fn secret(s: &Section<'_, '_>, key: &'static str, text: &str) -> Option<SecretSource> {
    match source(text, "") {
        Ok(SecretSource::Sealed(_)) | Err(_) => {
            s.mistake(
                key,
                "a secret does not belong into the configuration: put it into a variable (\"env:VARIABLE\"), a file \
                 (\"file:PATH\") or behind a command (\"exec:COMMAND\")",
            );
            None
        }
        Ok(found) => Some(found),
    }
}

/// `teams = { group = "Team" }`.
pub(super) fn teams(s: &Section<'_, '_>) -> BTreeMap<String, String> {
    let Some(node) = s.node("teams") else { return BTreeMap::new() };
    let expected = "expected teams by group, such as { engineers = \"Core\" }";
    let Value::Section(members) = &node.value else {
        s.mistake("teams", format!("{expected}, found {}", node.value.type_name()));
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (group, team) in members {
        match team.value.text().filter(|text| !text.is_empty()) {
            Some(team) => {
                out.insert(group.clone(), team.to_owned());
            }
            None => s.mistake("teams", format!("{expected}, found {} in it", team.value.type_name())),
        }
    }
    out
}
