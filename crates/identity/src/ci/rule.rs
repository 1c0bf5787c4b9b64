//! One rule: which jobs become which service identity.

use crate::jwt::{BadPath, ClaimPath, Claims, shown};
use crate::oidc::{BadAddress, IssuerUrl, Loopback};

use super::pattern::{BadPattern, Pattern};

/// Longest name, audience or service, in bytes.
const MAX_TEXT: usize = 256;
/// Most claims in a rule, and most patterns for one claim.
const MAX_ITEMS: usize = 50;

/// What issues the token. Decides which claims say whose job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// Any other issuer.
    Other,
}

/// A rule as an operator writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleConfig {
    /// What it is called.
    pub name: String,
    /// What issues the tokens.
    pub platform: Platform,
    /// The issuer's identifier.
    pub issuer: String,
    /// Whether the issuer may be plain `http` on this machine.
    pub loopback: Loopback,
    /// The audience that the job must have asked for.
    pub audience: String,
    /// For each claim by its path, the patterns of which its value must be like one.
    pub claims: Vec<(String, Vec<String>)>,
    /// The service identity that such a job becomes.
    pub service: String,
}

/// What one claim must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    path: ClaimPath,
    any_of: Vec<Pattern>,
}

/// A checked rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) name: String,
    pub(super) issuer: IssuerUrl,
    pub(super) audience: String,
    pub(super) claims: Vec<ClaimRule>,
    pub(super) service: String,
}

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// A text is missing or too long.
    #[error("its `{0}` must have 1 to {MAX_TEXT} bytes")]
    Text(&'static str),
    /// The audience is the issuer's default, which tokens for other services have as well.
    #[error(
        "its audience `{0}` is what jobs get without asking, so their tokens for other services would pass; have the \
         job ask for an audience of its own, such as `gatehouse`"
    )]
    DefaultAudience(String),
    /// The issuer is none.
    #[error(transparent)]
    Issuer(#[from] BadAddress),
    /// A claim's path is none.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// A pattern is none.
    #[error("its claim `{claim}`: {why}")]
    Pattern {
        /// Which claim.
        claim: String,
        /// What is wrong.
        why: BadPattern,
    },
    /// A claim has no pattern, or too many, or there are too many claims.
    #[error("it may have {MAX_ITEMS} claims with 1 to {MAX_ITEMS} patterns each")]
    Count,
    /// A claim is given twice.
    #[error("its claim `{0}` is given twice; put the patterns in one list")]
    Twice(String),
    /// It does not say whose jobs it means.
    #[error("it would fit anybody's jobs; {0}")]
    Anybody(&'static str),
}

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(config: RuleConfig) -> Result<Self, BadRule> {
        for (field, text) in
            [("name", &config.name), ("audience", &config.audience), ("service", &config.service)]
        {
            if !(1..=MAX_TEXT).contains(&text.len()) || text.chars().any(char::is_control) {
                return Err(BadRule::Text(field));
            }
        }
        let issuer = IssuerUrl::parse(&config.issuer, config.loopback)?;
        if is_default_audience(config.platform, &config.audience) {
            return Err(BadRule::DefaultAudience(shown(&config.audience)));
        }
        if config.claims.len() > MAX_ITEMS {
            return Err(BadRule::Count);
        }
        let mut claims: Vec<ClaimRule> = Vec::with_capacity(config.claims.len());
        for (path, patterns) in &config.claims {
            let claim = ClaimRule::check(path, patterns)?;
            if claims.iter().any(|other| other.path == claim.path) {
                return Err(BadRule::Twice(shown(path)));
            }
            claims.push(claim);
        }
        if !claims.iter().any(|claim| claim.names_owner(config.platform)) {
            return Err(BadRule::Anybody(config.platform.advice()));
        }
        let RuleConfig { name, audience, service, .. } = config;
        Ok(Self { name, issuer, audience, claims, service })
    }

    /// Whether verified claims are what this rule is about.
    pub(super) fn fits(&self, claims: &Claims) -> bool {
        claims.issuer == self.issuer.as_str()
            && claims.audience.contains(&self.audience)
            && self.claims.iter().all(|claim| claim.fits(claims))
    }
}

/// GitHub gives `https://github.com/OWNER` to a job that asks for no audience; the API server's own audience is what
/// every pod of a cluster has.
fn is_default_audience(platform: Platform, audience: &str) -> bool {
    match platform {
        Platform::GitHub => audience.starts_with("https://github.com/"),
        Platform::Kubernetes => audience.starts_with("https://kubernetes.default.svc"),
        Platform::GitLab | Platform::Other => false,
    }
}

impl ClaimRule {
    fn check(path: &str, patterns: &[String]) -> Result<Self, BadRule> {
        if !(1..=MAX_ITEMS).contains(&patterns.len()) {
            return Err(BadRule::Count);
        }
        let bad = |why| BadRule::Pattern { claim: shown(path), why };
        let any_of: Result<Vec<_>, _> =
            patterns.iter().map(|text| Pattern::parse(text).map_err(bad)).collect();
        Ok(Self { path: ClaimPath::parse(path)?, any_of: any_of? })
    }

    fn fits(&self, claims: &Claims) -> bool {
        self.path.find(&claims.raw).is_some_and(|value| self.any_of.iter().any(|pattern| pattern.fits(value)))
    }

    /// Whether every pattern of this claim leaves no doubt about the owner of the job.
    fn names_owner(&self, platform: Platform) -> bool {
        let claim = self.path.to_string();
        self.any_of.iter().all(|pattern| platform.names_owner(&claim, pattern))
    }
}

impl Platform {
    /// Whether a claim that is like this pattern can only be of one owner. A prefix must reach past the end of the
    /// owner's name: `repo:acme*` would fit `acme-evil` as well.
    fn names_owner(self, claim: &str, pattern: &Pattern) -> bool {
        let (text, is_exact) = match pattern {
            Pattern::Exactly(text) => (text.as_str(), true),
            Pattern::Prefix(text) => (text.as_str(), false),
        };
        let within = |text: &str, end: char| text.split_once(end).is_some_and(|(owner, _)| !owner.is_empty());
        let below = |start: &str, end: char| text.strip_prefix(start).is_some_and(|rest| within(rest, end));
        match self {
            Self::GitHub => match claim {
                "sub" => below("repo:", '/'),
                // Not `job_workflow_ref`: a reusable workflow can be called from anybody's repository.
                "repository" | "workflow_ref" => within(text, '/'),
                "repository_owner" | "repository_owner_id" | "repository_id" => is_exact,
                _ => false,
            },
            Self::GitLab => match claim {
                "sub" => below("project_path:", '/'),
                "project_path" | "namespace_path" => is_exact || within(text, '/'),
                "project_id" | "namespace_id" => is_exact,
                _ => false,
            },
            Self::Kubernetes => match claim {
                "sub" => below("system:serviceaccount:", ':'),
                "kubernetes.io.namespace" | "kubernetes.io.serviceaccount.uid" => is_exact,
                _ => false,
            },
            Self::Other => match claim {
                "sub" => true,
                "iss" | "aud" | "exp" | "iat" | "nbf" => false,
                _ => is_exact,
            },
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::GitHub => {
                "add `repository_owner`, `repository_owner_id`, `repository`, `repository_id`, or `sub` such \
                 as `repo:acme/*`; `job_workflow_ref` says whose workflow it is, not who calls it"
            }
            Self::GitLab => {
                "add `namespace_path`, `namespace_id`, `project_path` such as `acme/*`, `project_id`, or `sub` such \
                 as `project_path:acme/*`"
            }
            Self::Kubernetes => {
                "add `kubernetes.io.namespace`, or `sub` such as `system:serviceaccount:ci:*`"
            }
            Self::Other => "add `sub`, or another claim with an exact value",
        }
    }
}
