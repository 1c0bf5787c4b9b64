//! `[[identity.ci]]`: whose CI jobs become which service accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gatehouse_domain::name::Email;
use gatehouse_identity::ci::Platform;

use super::identity::all;
use super::read::Section;
use super::tree::Value;

/// An issuer of the tokens of CI jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ci {
    /// Its name here; unique.
    pub(crate) name: String,
    /// What it is.
    pub(crate) platform: Platform,
    /// Its identifier.
    pub(crate) issuer: String,
    /// The audience that jobs ask for.
    pub(crate) audience: String,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Its rules; the first that fits decides.
    pub(crate) rules: Vec<CiRule>,
}

/// Which jobs become which service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CiRule {
    /// Its name; unique among those of its issuer.
    pub(crate) name: String,
    /// The account.
    pub(crate) account: Email,
    /// The team to charge.
    pub(crate) team: Option<String>,
    /// For each claim the patterns of which its value must be like one.
    pub(crate) claims: BTreeMap<String, Vec<String>>,
}

/// Reads one `[[identity.ci]]`.
pub(super) fn ci(s: &Section<'_, '_>) -> Option<Ci> {
    let platforms = [
        ("github", Platform::GitHub),
        ("gitlab", Platform::GitLab),
        ("kubernetes", Platform::Kubernetes),
        ("other", Platform::Other),
    ];
    let (name, issuer, audience) = (s.parsed("name", name), s.required("issuer"), s.required("audience"));
    let platform = s.choice("platform", &platforms);
    let ca_file = s.text("ca_file").map(PathBuf::from);
    let rules = all(s, "rules", rule, |one| &one.name);
    if s.node("rules").is_none_or(|list| list.value.items().is_some_and(<[_]>::is_empty)) {
        s.mistake("rules", "without a rule nobody gets a token; add a [[identity.ci.rules]]");
    }
    Some(Ci {
        name: name?,
        platform,
        issuer: issuer?.to_owned(),
        audience: audience?.to_owned(),
        ca_file,
        rules,
    })
}

fn rule(s: &Section<'_, '_>) -> Option<CiRule> {
    let (name, account) = (s.parsed("name", name), s.parsed("account", Email::parse));
    let team = s.text("team").map(str::to_owned);
    let claims = claims(s);
    Some(CiRule { name: name?, account: account?, team, claims })
}

/// A name that stands in sessions and logs.
fn name(text: &str) -> Result<String, &'static str> {
    let fits = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits && (1..=32).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 32 lower-case letters, digits and `-`")
    }
}

/// `claims = { repository = "acme/app", ref = ["refs/heads/main", "refs/tags/*"] }`.
fn claims(s: &Section<'_, '_>) -> BTreeMap<String, Vec<String>> {
    let expected = "expected patterns by claim, such as { repository = \"acme/app\" }";
    let Some(node) = s.node("claims") else {
        s.mistake("claims", format!("it is required: {expected}"));
        return BTreeMap::new();
    };
    let Value::Section(members) = &node.value else {
        s.mistake("claims", format!("{expected}, found {}", node.value.type_name()));
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (claim, node) in members {
        let items = node.value.items().unwrap_or_else(|| std::slice::from_ref(node));
        let patterns: Vec<String> =
            items.iter().filter_map(|item| item.value.text()).map(str::to_owned).collect();
        if patterns.len() != items.len() {
            s.mistake("claims", format!("{expected}; all patterns of `{claim}` must be texts"));
        }
        out.insert(claim.clone(), patterns);
    }
    out
}
