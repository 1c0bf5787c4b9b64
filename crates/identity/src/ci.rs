//! Service identities for CI: which OIDC token of which job may be exchanged for a token of ours.
//!
//! A [`Rule`] names an issuer, an audience and what the token's claims must say, and the service identity that such a job
//! becomes. The first rule that fits decides; without one the answer is no. Issuers such as GitHub's serve the whole
//! world with one set of keys, so a rule that does not say whose jobs it means is refused when it is written, not found
//! out later.

pub use pattern::{BadPattern, Pattern};
pub use rule::{BadRule, ClaimRule, Platform, Rule, RuleConfig};

mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use gatehouse_domain::time::UnixMillis;

use crate::fetch::Fetch;
use crate::jwks::VerifyError;
use crate::jwt::{BadPath, BadPolicy, ClaimNames, Claims, JwtError, Policy, Token, TokenKind, shown};
use crate::oidc::{Issuer, IssuerUrl};

/// Most rules.
const MAX_RULES: usize = 1000;

/// The rules of an organization, with what is known of their issuers.
pub struct Exchange {
    rules: Vec<Rule>,
    issuers: Vec<(Issuer, Policy)>,
}

/// A token that a rule accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchanged {
    /// The rule that decided.
    pub rule: String,
    /// The service identity to issue a token for.
    pub service: String,
    /// What the job's token says, for the audit log.
    pub claims: Claims,
}

/// Why a token is not exchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// No rule is about its issuer.
    #[error("no rule is about tokens of `{0}`")]
    Issuer(String),
    /// It does not verify.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// It verifies, and no rule fits.
    #[error("no rule fits the token of `{subject}` from `{issuer}`; add one, or correct its claims")]
    NoRule {
        /// Its issuer.
        issuer: String,
        /// Its subject.
        subject: String,
    },
}

/// Why a set of rules is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    /// A rule is.
    #[error("the rule `{name}`: {why}")]
    Rule {
        /// Which.
        name: String,
        /// What is wrong with it.
        why: BadRule,
    },
    /// Two have the same name.
    #[error("two rules are called `{0}`")]
    SameName(String),
    /// There are too many.
    #[error("there are more than {MAX_RULES} rules")]
    TooMany,
    /// An issuer's tokens could not be verified.
    #[error(transparent)]
    Policy(#[from] BadPolicy),
    /// Cannot happen: the standard claims have names.
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl Exchange {
    /// Checks rules.
    ///
    /// # Errors
    /// All rules that are refused, or what is wrong with them together.
    pub fn new(configs: Vec<RuleConfig>) -> Result<Self, Vec<BadRules>> {
        if configs.len() > MAX_RULES {
            return Err(vec![BadRules::TooMany]);
        }
        let (mut rules, mut mistakes) = (Vec::<Rule>::new(), Vec::new());
        for config in configs {
            let name = config.name.clone();
            match Rule::check(config) {
                Err(why) => mistakes.push(BadRules::Rule { name: shown(&name), why }),
                Ok(rule) if rules.iter().any(|other| other.name == rule.name) => {
                    mistakes.push(BadRules::SameName(name));
                }
                Ok(rule) => rules.push(rule),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let issuers = issuers(&rules).map_err(|error| vec![error])?;
        Ok(Self { rules, issuers })
    }

    /// Its issuers, to be refreshed by a background task.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter().map(|(issuer, _)| issuer)
    }

    /// Verifies a job's token and finds the service identity that the job becomes.
    ///
    /// # Errors
    /// If the token is wrong, its issuer is away, or no rule fits.
    pub async fn exchange<F: Fetch>(
        &self,
        fetch: &F,
        token: &str,
        now: UnixMillis,
    ) -> Result<Exchanged, ExchangeError> {
        let parsed = Token::parse(token).map_err(VerifyError::from)?;
        // Only chooses whose keys and policy it is held against; both then demand this very issuer.
        let claimed = parsed.claimed_issuer().ok_or(VerifyError::Token(JwtError::Claim("iss")))?;
        let (issuer, policy) = self
            .issuers
            .iter()
            .find(|(issuer, _)| issuer.url().as_str() == claimed)
            .ok_or_else(|| ExchangeError::Issuer(shown(&claimed)))?;
        let claims = issuer.verify(fetch, policy, token, now).await?;
        self.decide(claims)
    }

    /// The first rule that fits verified claims.
    fn decide(&self, claims: Claims) -> Result<Exchanged, ExchangeError> {
        match self.rules.iter().find(|rule| rule.fits(&claims)) {
            Some(rule) => Ok(Exchanged { rule: rule.name.clone(), service: rule.service.clone(), claims }),
            None => {
                Err(ExchangeError::NoRule { issuer: shown(&claims.issuer), subject: shown(&claims.subject) })
            }
        }
    }
}

/// Every issuer of these rules once, with a policy that accepts any audience that one of its rules names.
fn issuers(rules: &[Rule]) -> Result<Vec<(Issuer, Policy)>, BadRules> {
    let mut grouped: Vec<(&IssuerUrl, Vec<String>)> = Vec::new();
    for rule in rules {
        match grouped.iter_mut().find(|(url, _)| url.as_str() == rule.issuer.as_str()) {
            Some((_, audiences)) => audiences.push(rule.audience.clone()),
            None => grouped.push((&rule.issuer, vec![rule.audience.clone()])),
        }
    }
    let mut issuers = Vec::with_capacity(grouped.len());
    for (url, audiences) in grouped {
        let names = ClaimNames::standard(None)?;
        let policy = Policy::new(TokenKind::Bearer, url.as_str(), audiences, names)?;
        issuers.push((Issuer::new(url.clone()), policy));
    }
    Ok(issuers)
}
