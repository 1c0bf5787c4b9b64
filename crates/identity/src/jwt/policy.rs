//! What a token must be like to be believed.

use gatehouse_domain::time::UnixMillis;
use serde_json::{Map, Value};

use super::{Algorithm, ClaimNames, Claims, JwtError, Person, Token, shown};
use crate::jwks::KeySet;

/// What a token must be like to be believed. All of it comes from configuration.
#[derive(Debug, Clone)]
pub struct Policy {
    issuer: String,
    audiences: Vec<String>,
    kind: TokenKind,
    algorithms: Vec<Algorithm>,
    skew: Skew,
    names: ClaimNames,
}

/// Which tokens a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The ID token of a sign-in. Must be issued to us, and say when.
    Id,
    /// A token that its bearer presents: an access token (RFC 9068) or the token of a CI job.
    Bearer,
}

impl TokenKind {
    /// Whether a token of this `typ` is one of these. A token for another use (`logout+jwt`, `dpop+jwt`) is signed with
    /// the same keys and must not pass (RFC 8725 section 3.11).
    fn accepts(self, typ: &str) -> bool {
        let bare = typ
            .get(..12)
            .filter(|start| start.eq_ignore_ascii_case("application/"))
            .map_or(typ, |_| &typ[12..]);
        bare.eq_ignore_ascii_case("jwt")
            || match self {
                Self::Id => false,
                Self::Bearer => bare.eq_ignore_ascii_case("at+jwt"),
            }
    }
}

/// By how much the issuer's clock may differ from ours: at most a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew(i64);

impl Skew {
    /// The most that may be configured, in seconds.
    pub const MAX_SECONDS: u16 = 60;

    /// So many seconds.
    ///
    /// # Errors
    /// If they are more than [`Skew::MAX_SECONDS`].
    pub fn seconds(seconds: u16) -> Result<Self, BadPolicy> {
        if seconds > Self::MAX_SECONDS {
            return Err(BadPolicy::Skew(seconds));
        }
        Ok(Self(i64::from(seconds) * 1000))
    }
}

impl Default for Skew {
    fn default() -> Self {
        Self(30_000)
    }
}

/// A policy that would accept nothing, or too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// No issuer.
    #[error("cannot verify tokens without an issuer")]
    NoIssuer,
    /// No audience, or an empty one.
    #[error("cannot verify tokens of `{0}` without an audience: tokens for any other service would pass")]
    NoAudience(String),
    /// No algorithm.
    #[error("cannot verify tokens of `{0}` without an allowed algorithm (such as `RS256`)")]
    NoAlgorithm(String),
    /// Too much skew.
    #[error("a clock difference of {0} seconds is too large (the limit is {max})", max = Skew::MAX_SECONDS)]
    Skew(u16),
}

impl Policy {
    /// A policy for tokens of one issuer, meant for any of these audiences. Allows every algorithm of [`Algorithm`].
    ///
    /// # Errors
    /// If there is no issuer or no audience.
    pub fn new(
        kind: TokenKind,
        issuer: &str,
        audiences: Vec<String>,
        names: ClaimNames,
    ) -> Result<Self, BadPolicy> {
        if issuer.is_empty() {
            return Err(BadPolicy::NoIssuer);
        }
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(BadPolicy::NoAudience(shown(issuer)));
        }
        let algorithms = Algorithm::ALL.to_vec();
        Ok(Self { issuer: issuer.to_owned(), audiences, kind, algorithms, skew: Skew::default(), names })
    }

    /// The same, with only these algorithms.
    ///
    /// # Errors
    /// If there is none.
    pub fn with_algorithms(mut self, algorithms: &[Algorithm]) -> Result<Self, BadPolicy> {
        if algorithms.is_empty() {
            return Err(BadPolicy::NoAlgorithm(shown(&self.issuer)));
        }
        algorithms.clone_into(&mut self.algorithms);
        Ok(self)
    }

    /// The same, with another tolerance for clocks.
    pub const fn with_skew(mut self, skew: Skew) -> Self {
        self.skew = skew;
        self
    }

    /// Whose tokens it is for.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the issuer puts what it says about a person.
    pub const fn claim_names(&self) -> &ClaimNames {
        &self.names
    }

    /// Verifies a token with the issuer's keys.
    ///
    /// # Errors
    /// The first thing that is wrong. The signature is checked before any claim is read.
    pub fn verify(&self, token: &Token<'_>, keys: &KeySet, now: UnixMillis) -> Result<Claims, JwtError> {
        let header = &token.header;
        if header.crit {
            return Err(JwtError::Critical);
        }
        if let Some(typ) = header.typ.as_deref().filter(|typ| !self.kind.accepts(typ)) {
            return Err(JwtError::Type(shown(typ)));
        }
        let algorithm = Algorithm::parse(&header.alg)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| JwtError::Algorithm(shown(&header.alg)))?;
        let key = keys.find(token.key_id(), algorithm)?;
        if !key.verifies(algorithm, token.signed, &token.signature) {
            return Err(JwtError::Signature);
        }
        let raw: Map<String, Value> = serde_json::from_slice(&token.payload)
            .map_err(|_| JwtError::Malformed("its claims are no JSON object"))?;
        self.check(raw, now)
    }

    fn check(&self, raw: Map<String, Value>, now: UnixMillis) -> Result<Claims, JwtError> {
        let issuer = required_text(&raw, "iss")?;
        if issuer != self.issuer {
            return Err(JwtError::Issuer { expected: self.issuer.clone(), got: shown(&issuer) });
        }
        let audience = self.check_audience(&raw)?;
        let (expires_at, issued_at) = self.check_times(&raw, now)?;
        Ok(Claims {
            issuer,
            subject: required_text(&raw, "sub")?,
            audience,
            expires_at,
            issued_at,
            nonce: text(&raw, "nonce")?,
            person: Person::read(&raw, &self.names)?,
            raw,
        })
    }

    /// OpenID Connect Core section 3.1.3.7, points 3 to 5.
    fn check_audience(&self, raw: &Map<String, Value>) -> Result<Vec<String>, JwtError> {
        let audience: Vec<String> = match raw.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(several)) => {
                let names: Option<Vec<_>> = several.iter().map(|v| v.as_str().map(str::to_owned)).collect();
                names.ok_or(JwtError::Claim("aud"))?
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                return Err(JwtError::Claim("aud"));
            }
        };
        if !audience.iter().any(|name| self.audiences.contains(name)) {
            return Err(JwtError::Audience(self.audiences.join("`, `")));
        }
        let party = text(raw, "azp")?;
        let is_us = party.as_ref().is_some_and(|party| self.audiences.contains(party));
        // An access token's `azp` is the client that asked for it, which need not be the service it is for.
        let must_be_us = match self.kind {
            TokenKind::Id => audience.len() > 1 || party.is_some(),
            TokenKind::Bearer => audience.len() > 1,
        };
        if must_be_us && !is_us {
            return Err(JwtError::AuthorizedParty(self.audiences.join("`, `")));
        }
        Ok(audience)
    }

    fn check_times(
        &self,
        raw: &Map<String, Value>,
        now: UnixMillis,
    ) -> Result<(UnixMillis, Option<UnixMillis>), JwtError> {
        let expires_at = date(raw, "exp")?.ok_or(JwtError::Claim("exp"))?;
        let not_before = date(raw, "nbf")?;
        let issued_at = date(raw, "iat")?;
        if issued_at.is_none() && self.kind == TokenKind::Id {
            return Err(JwtError::Claim("iat"));
        }
        if now >= expires_at.plus_millis(self.skew.0) {
            return Err(JwtError::Expired);
        }
        for (claim, from) in [("nbf", not_before), ("iat", issued_at)] {
            let Some(from) = from else { continue };
            if from > now.plus_millis(self.skew.0) {
                return Err(JwtError::NotYetValid);
            }
            if from.0 < 0 || from >= expires_at {
                return Err(JwtError::Claim(claim));
            }
        }
        Ok((expires_at, issued_at))
    }
}

fn text(raw: &Map<String, Value>, claim: &'static str) -> Result<Option<String>, JwtError> {
    match raw.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(JwtError::Claim(claim))
        }
    }
}

fn required_text(raw: &Map<String, Value>, claim: &'static str) -> Result<String, JwtError> {
    text(raw, claim)?.filter(|text| !text.trim().is_empty()).ok_or(JwtError::Claim(claim))
}

/// A `NumericDate` (RFC 7519 section 2): seconds since 1970, possibly with a fraction.
fn date(raw: &Map<String, Value>, claim: &'static str) -> Result<Option<UnixMillis>, JwtError> {
    let Some(value) = raw.get(claim) else { return Ok(None) };
    let millis = match value.as_i64() {
        Some(seconds) => seconds.checked_mul(1000),
        None => value.as_f64().and_then(millis_of),
    };
    millis.map(|ms| Some(UnixMillis(ms))).ok_or(JwtError::Claim(claim))
}

/// Up to the year 9999, far from where a float loses milliseconds.
fn millis_of(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range has just been checked")]
    (0.0..253_402_300_800.0).contains(&seconds).then_some((seconds * 1000.0) as i64)
}
