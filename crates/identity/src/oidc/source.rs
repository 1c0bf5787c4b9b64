//! The configuration of one source of identities.

use std::fmt;

use crate::jwt::{Algorithm, BadPath, BadPolicy, ClaimNames, ClaimPath, Policy, Skew, TokenKind, shown};
use crate::secret::Secret;

use super::address::{BadAddress, IssuerUrl, Loopback, endpoint};
use super::choice::Domain;

/// Longest client id, label or scope, in bytes.
const MAX_TEXT: usize = 256;
/// Most scopes and most domains.
const MAX_ITEMS: usize = 100;

/// A source of identities as an operator writes it down.
#[derive(Clone)]
pub struct SourceConfig {
    /// What it is called in configuration and addresses: 1 to 64 lower-case letters, digits and dashes.
    pub id: String,
    /// What it is called on the sign-in page.
    pub label: String,
    /// The issuer's identifier.
    pub issuer: String,
    /// Whether the issuer may be plain `http` on this machine.
    pub loopback: Loopback,
    /// Our client id there.
    pub client_id: String,
    /// How we prove to be that client.
    pub client_auth: ClientAuth,
    /// Where the browser comes back to. Must be registered at the issuer exactly like this.
    pub redirect_uri: String,
    /// What to ask for. Empty: `openid email profile`.
    pub scopes: Vec<String>,
    /// Whether the issuer should ask the person anything.
    pub prompt: Option<Prompt>,
    /// The allowed algorithms by name. Empty: all that are supported.
    pub algorithms: Vec<String>,
    /// By how many seconds clocks may differ.
    pub skew_seconds: u16,
    /// The claim that holds the e-mail address; usually `email`.
    pub email_claim: String,
    /// The claim that holds the name; usually `name`.
    pub name_claim: String,
    /// The claim that holds the groups, if they matter.
    pub groups_claim: Option<String>,
    /// Whether its addresses are believed.
    pub email_trust: EmailTrust,
    /// When to ask the userinfo endpoint.
    pub userinfo: UserInfoUse,
    /// The e-mail domains whose people sign in here: `example.com`, `*.example.com`. Empty: anybody's.
    pub domains: Vec<String>,
}

/// How we prove to the issuer which client we are.
#[derive(Clone)]
pub enum ClientAuth {
    /// Not at all: a public client, protected by PKCE alone.
    None,
    /// `client_secret_basic`.
    Basic(Secret),
    /// `client_secret_post`.
    Post(Secret),
}

/// What the issuer should ask the person (Core section 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// To sign in again, even with a session.
    Login,
    /// To choose an account.
    SelectAccount,
    /// To consent; some issuers give a refresh token only then.
    Consent,
}

impl Prompt {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::SelectAccount => "select_account",
            Self::Consent => "consent",
        }
    }
}

/// When an issuer's e-mail addresses count as verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailTrust {
    /// When it says so (`email_verified`).
    WhenVerified,
    /// Always: the organization runs the issuer and gives out the addresses. Never for an issuer at which anybody can
    /// open an account.
    Always,
}

/// When the userinfo endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserInfoUse {
    /// When the ID token lacks an address, a name or the configured groups.
    WhenThin,
    /// Never.
    Never,
}

/// The name of a source in configuration and addresses.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(String);

impl SourceId {
    /// Reads a name: 1 to 64 lower-case letters, digits and dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(fine)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A checked source.
#[derive(Clone)]
pub struct Source {
    pub(super) id: SourceId,
    pub(super) label: String,
    pub(super) issuer: IssuerUrl,
    pub(super) client_id: String,
    pub(super) client_auth: ClientAuth,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) prompt: Option<Prompt>,
    pub(super) policy: Policy,
    pub(super) email_trust: EmailTrust,
    pub(super) userinfo: UserInfoUse,
    pub(super) domains: Vec<Domain>,
}

/// A mistake in the configuration of a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// The id is none.
    #[error("`{0}` cannot name a source (expected 1 to 64 lower-case letters, digits and dashes)")]
    Id(String),
    /// A text is missing or too long.
    #[error("the source's `{0}` must have 1 to {MAX_TEXT} bytes")]
    Text(&'static str),
    /// An address is none.
    #[error("the source's `{field}`: {error}")]
    Address {
        /// Which setting.
        field: &'static str,
        /// What is wrong with it.
        error: BadAddress,
    },
    /// A scope is none, or `openid` is missing.
    #[error("the scope `{0}` cannot be asked for (expected words without spaces, quotes and backslashes)")]
    Scope(String),
    /// `openid` is not asked for.
    #[error("the source's scopes must include `openid`, or there is no ID token")]
    NoOpenId,
    /// An algorithm is unknown or symmetric.
    #[error(
        "the algorithm `{0}` is not supported (known are RS256 to RS512, PS256 to PS512, ES256, ES384, EdDSA)"
    )]
    Algorithm(String),
    /// The skew is too large.
    #[error(transparent)]
    Policy(#[from] BadPolicy),
    /// A claim's path is none.
    #[error(transparent)]
    Claim(#[from] BadPath),
    /// A domain is none.
    #[error("`{0}` is no e-mail domain (expected such as `example.com` or `*.example.com`)")]
    Domain(String),
    /// A list is too long.
    #[error("the source's `{0}` has more than {MAX_ITEMS} entries")]
    TooMany(&'static str),
}

impl Source {
    /// Checks a configuration.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn check(config: SourceConfig) -> Result<Self, Vec<BadSource>> {
        let mut mistakes = Vec::new();
        let mut note = |mistake: BadSource| mistakes.push(mistake);

        let id = SourceId::parse(&config.id);
        if id.is_none() {
            note(BadSource::Id(shown(&config.id)));
        }
        for (field, text) in [("label", &config.label), ("client_id", &config.client_id)] {
            if !(1..=MAX_TEXT).contains(&text.len()) || text.chars().any(char::is_control) {
                note(BadSource::Text(field));
            }
        }
        let issuer = IssuerUrl::parse(&config.issuer, config.loopback)
            .map_err(|error| note(BadSource::Address { field: "issuer", error }));
        // A browser on the developer's own machine may come back by plain `http`.
        if let Err(error) = endpoint(&config.redirect_uri, Loopback::Allowed) {
            note(BadSource::Address { field: "redirect_uri", error });
        }
        let scope = scope(&config.scopes).map_err(&mut note);
        let policy = policy(&config).map_err(&mut note);
        let domains = domains(&config.domains).map_err(&mut note);

        match (id, issuer, scope, policy, domains) {
            (Some(id), Ok(issuer), Ok(scope), Ok(policy), Ok(domains)) if mistakes.is_empty() => Ok(Self {
                id,
                label: config.label,
                issuer,
                client_id: config.client_id,
                client_auth: config.client_auth,
                redirect_uri: config.redirect_uri,
                scope,
                prompt: config.prompt,
                policy,
                email_trust: config.email_trust,
                userinfo: config.userinfo,
                domains,
            }),
            _ => Err(mistakes),
        }
    }

    /// Its name.
    pub const fn id(&self) -> &SourceId {
        &self.id
    }

    /// What it is called on the sign-in page.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its issuer.
    pub const fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }
}

fn policy(config: &SourceConfig) -> Result<Policy, BadSource> {
    let names = ClaimNames {
        email: ClaimPath::parse(&config.email_claim)?,
        name: ClaimPath::parse(&config.name_claim)?,
        groups: config.groups_claim.as_deref().map(ClaimPath::parse).transpose()?,
    };
    let policy = Policy::new(TokenKind::Id, &config.issuer, vec![config.client_id.clone()], names)?
        .with_skew(Skew::seconds(config.skew_seconds)?);
    if config.algorithms.is_empty() {
        return Ok(policy);
    }
    let known = |name: &String| Algorithm::parse(name).ok_or_else(|| BadSource::Algorithm(shown(name)));
    let algorithms: Vec<Algorithm> = config.algorithms.iter().map(known).collect::<Result<_, _>>()?;
    Ok(policy.with_algorithms(&algorithms)?)
}

/// The scopes joined by spaces (RFC 6749 section 3.3).
fn scope(scopes: &[String]) -> Result<String, BadSource> {
    if scopes.is_empty() {
        return Ok("openid email profile".to_owned());
    }
    if scopes.len() > MAX_ITEMS {
        return Err(BadSource::TooMany("scopes"));
    }
    let fine = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    for scope in scopes {
        if !(1..=MAX_TEXT).contains(&scope.len()) || !scope.chars().all(fine) {
            return Err(BadSource::Scope(shown(scope)));
        }
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err(BadSource::NoOpenId);
    }
    Ok(scopes.join(" "))
}

fn domains(domains: &[String]) -> Result<Vec<Domain>, BadSource> {
    if domains.len() > MAX_ITEMS {
        return Err(BadSource::TooMany("domains"));
    }
    domains.iter().map(|text| Domain::parse(text).ok_or_else(|| BadSource::Domain(shown(text)))).collect()
}
