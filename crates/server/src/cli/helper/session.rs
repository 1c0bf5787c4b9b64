//! A session at a gateway, kept on this machine and refreshed when little of its token's life is left.

use std::time::Duration;

use gatehouse_control::portal::PublicUrl;
use gatehouse_domain::time::UnixMillis;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::Failure;
use super::cache::{Cache, Found, Kind, Locked};
use super::gateway::{Away, Endpoints, Gateway, Reply, Standing};

/// A token is refreshed when less than this is left of it, in milliseconds, or half of its life if that is shorter. A coding
/// client uses a token for five minutes before it asks for the next.
const LITTLE_MS: i64 = 600_000;
/// How long another process may take to get the next token.
const PATIENCE: Duration = Duration::from_secs(6);
/// So much must be left of a token that is given out because no other can be had, in milliseconds.
const LEAST_MS: i64 = 10_000;

/// A session. No `Debug`: it has tokens in it.
pub(super) struct Session {
    /// What is presented with requests.
    pub(super) access: Zeroizing<String>,
    /// What the next access token is had for.
    pub(super) refresh: Option<Zeroizing<String>>,
    /// Until when the access token is good.
    pub(super) expires_at: UnixMillis,
    /// How long it was good when it was given out, in milliseconds.
    pub(super) life_ms: i64,
    /// Whose it is, where the gateway said so.
    pub(super) email: Option<String>,
    /// When they signed in.
    pub(super) signed_in_at: UnixMillis,
    /// Where tokens are given out.
    pub(super) token_endpoint: String,
    /// Where they are given back.
    pub(super) revocation_endpoint: String,
}

/// Why there is no token.
pub(super) enum NoToken {
    /// Nobody is signed in.
    SignedOut,
    /// The gateway has ended the session. Nothing of it is kept any more.
    Over,
    /// What was kept was altered.
    Altered,
    /// The gateway cannot say now.
    Away(Away),
    /// The cache cannot be used.
    Cache(Failure),
}

impl NoToken {
    /// In a sentence, with what to do.
    pub(super) fn failure(self, gateway: &PublicUrl) -> Failure {
        let gateway = gateway.as_str();
        let login = format!("run `gatehouse client login --gateway {gateway}`");
        match self {
            Self::SignedOut => {
                Failure::Failed(format!("nobody is signed in to {gateway} on this machine; {login}"))
            }
            Self::Over => Failure::Failed(format!(
                "the session at {gateway} is over: it was ended or has run out; {login}"
            )),
            Self::Altered => Failure::Failed(format!(
                "the session kept for {gateway} was altered or comes from elsewhere, and is not used; {login}"
            )),
            Self::Away(Away(why)) => Failure::Unreachable(format!("{gateway} {why}")),
            Self::Cache(failure) => failure,
        }
    }
}

impl From<Failure> for NoToken {
    fn from(failure: Failure) -> Self {
        Self::Cache(failure)
    }
}

/// The session, with a token that will be good for a while.
pub(super) fn fresh(cache: &Cache, gateway: &Gateway, now: UnixMillis) -> Result<Session, NoToken> {
    let kept = kept(cache, gateway.url())?;
    if !kept.is_due(now) {
        return Ok(kept);
    }
    let locked = cache.try_lock(gateway.url(), PATIENCE)?;
    // Another process may have been faster.
    let kept = self::kept(cache, gateway.url())?;
    if !kept.is_due(now) {
        return Ok(kept);
    }
    let refreshed = locked.map_or_else(busy, |locked| refreshed(&kept, &locked, gateway, now));
    match refreshed {
        // The gateway may be back before the token runs out.
        Err(NoToken::Away(_)) if kept.expires_at.plus_millis(-LEAST_MS) > now => Ok(kept),
        found => found,
    }
}

/// As [`fresh`], with a token that the gateway took a moment ago, if it can be asked.
pub(super) fn proved(cache: &Cache, gateway: &Gateway, now: UnixMillis) -> Result<Session, NoToken> {
    let session = fresh(cache, gateway, now)?;
    match gateway.standing(&session.access) {
        Standing::Good => Ok(session),
        Standing::Refused => renewed(&session, cache, gateway, now),
    }
}

/// The session after its token was refused: if it is over, all of it is removed.
pub(super) fn renewed(
    refused: &Session,
    cache: &Cache,
    gateway: &Gateway,
    now: UnixMillis,
) -> Result<Session, NoToken> {
    let locked = cache.try_lock(gateway.url(), PATIENCE)?;
    let kept = kept(cache, gateway.url())?;
    if *kept.access != *refused.access {
        return Ok(kept);
    }
    locked.map_or_else(busy, |locked| refreshed(&kept, &locked, gateway, now))
}

fn busy() -> Result<Session, NoToken> {
    Err(NoToken::Away(Away("keeps another process waiting that asks for the next token".to_owned())))
}

/// The session as it is kept.
pub(super) fn kept(cache: &Cache, gateway: &PublicUrl) -> Result<Session, NoToken> {
    match cache.read(gateway, Kind::Session)? {
        Found::Nothing => Err(NoToken::SignedOut),
        Found::Altered => Err(NoToken::Altered),
        Found::Content(content) => {
            let value = serde_json::from_slice(&content).map_err(|_| NoToken::Altered)?;
            Session::of(&value).ok_or(NoToken::Altered)
        }
    }
}

/// Refreshes, and keeps what comes of it.
fn refreshed(
    kept: &Session,
    locked: &Locked<'_>,
    gateway: &Gateway,
    now: UnixMillis,
) -> Result<Session, NoToken> {
    let Some(token) = &kept.refresh else { return Err(over(locked)) };
    let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    let answered = gateway.post(&kept.token_endpoint, &form);
    // The answer may be what got lost, and with it the next token; asked again at once, the gateway gives that again.
    let reply = answered.or_else(|_| gateway.post(&kept.token_endpoint, &form)).map_err(NoToken::Away)?;
    if reply.status == 200 {
        let next = kept.next(&reply, now).map_err(NoToken::Away)?;
        locked.write(Kind::Session, &next.content())?;
        return Ok(next);
    }
    if reply.text("error") == Some("invalid_grant") {
        return Err(over(locked));
    }
    Err(NoToken::Away(Away(format!("answered {} to a refresh", reply.status))))
}

/// Removes everything of a session that is over.
fn over(locked: &Locked<'_>) -> NoToken {
    let removed = locked.remove(Kind::Session).and_then(|()| locked.remove(Kind::Policy));
    removed.err().map_or(NoToken::Over, NoToken::Cache)
}

impl Session {
    /// The session that begins with this answer.
    pub(super) fn begin(reply: &Reply, endpoints: &Endpoints, now: UnixMillis) -> Result<Self, Away> {
        let (access, life_ms) = token(reply)?;
        Ok(Self {
            access,
            refresh: reply.text("refresh_token").map(|text| Zeroizing::new(text.to_owned())),
            expires_at: now.plus_millis(life_ms),
            life_ms,
            email: reply.text("email").map(str::to_owned),
            signed_in_at: now,
            token_endpoint: endpoints.token.clone(),
            revocation_endpoint: endpoints.revocation.clone(),
        })
    }

    /// The session after a refresh. Without a new refresh token the old one stays.
    fn next(&self, reply: &Reply, now: UnixMillis) -> Result<Self, Away> {
        let (access, life_ms) = token(reply)?;
        let refresh = reply.text("refresh_token").map(|text| Zeroizing::new(text.to_owned()));
        Ok(Self {
            access,
            refresh: refresh.or_else(|| self.refresh.clone()),
            expires_at: now.plus_millis(life_ms),
            life_ms,
            email: reply.text("email").map(str::to_owned).or_else(|| self.email.clone()),
            signed_in_at: self.signed_in_at,
            token_endpoint: self.token_endpoint.clone(),
            revocation_endpoint: self.revocation_endpoint.clone(),
        })
    }

    /// Whether little of its token's life is left.
    fn is_due(&self, now: UnixMillis) -> bool {
        self.expires_at.plus_millis(-LITTLE_MS.min(self.life_ms / 2)) <= now
    }

    /// As it is kept.
    pub(super) fn content(&self) -> Zeroizing<Vec<u8>> {
        let value = json!({
            "access": *self.access,
            "refresh": self.refresh.as_deref(),
            "expires_at": self.expires_at.0,
            "life_ms": self.life_ms,
            "email": self.email,
            "signed_in_at": self.signed_in_at.0,
            "token_endpoint": self.token_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
        });
        Zeroizing::new(value.to_string().into_bytes())
    }

    fn of(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let time = |name: &str| value[name].as_i64().map(UnixMillis);
        Some(Self {
            access: Zeroizing::new(text("access")?),
            refresh: text("refresh").map(Zeroizing::new),
            expires_at: time("expires_at")?,
            life_ms: value["life_ms"].as_i64()?,
            email: text("email"),
            signed_in_at: time("signed_in_at")?,
            token_endpoint: text("token_endpoint")?,
            revocation_endpoint: text("revocation_endpoint")?,
        })
    }
}

/// The access token of an answer, and how long it is good, in milliseconds.
fn token(reply: &Reply) -> Result<(Zeroizing<String>, i64), Away> {
    let strange = || Away("answered without an access token and its life".to_owned());
    let text = reply.text("access_token").ok_or_else(strange)?;
    // What is printed is taken as a header by whoever asked for it.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(strange());
    }
    let seconds = reply.body["expires_in"].as_f64().filter(|s| (0.0..1e9).contains(s)).ok_or_else(strange)?;
    #[expect(clippy::cast_possible_truncation, reason = "less than 1e12")]
    let life_ms = (seconds * 1000.0) as i64;
    Ok((Zeroizing::new(text.to_owned()), life_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: Value) -> Reply {
        Reply { status: 200, body }
    }

    fn endpoints() -> Endpoints {
        let at = |path: &str| format!("https://gw.example.com/{path}");
        Endpoints { device: at("d"), token: at("t"), revocation: at("r") }
    }

    #[test]
    fn a_session_is_read_as_it_is_kept_and_refreshed_in_time() {
        let now = UnixMillis(1_000_000);
        let body = json!({"access_token": "a", "expires_in": 3600, "refresh_token": "r", "email": "ada@example.com"});
        let begun = Session::begin(&reply(body), &endpoints(), now).ok().unwrap();
        let read = Session::of(&serde_json::from_slice(&begun.content()).unwrap()).unwrap();
        assert_eq!((read.access.as_str(), read.expires_at), ("a", now.plus_millis(3_600_000)));
        assert_eq!(read.email.as_deref(), Some("ada@example.com"));
        for (after, due) in [(0, false), (2_999_999, false), (3_000_000, true), (3_700_000, true)] {
            assert_eq!(read.is_due(now.plus_millis(after)), due, "{after}");
        }
        let next = read.next(&reply(json!({"access_token": "b", "expires_in": 600})), now).ok().unwrap();
        assert_eq!(next.refresh.as_deref().map(String::as_str), Some("r"), "it stays");
        assert!(!next.is_due(now.plus_millis(299_999)) && next.is_due(now.plus_millis(300_000)));
    }

    #[test]
    fn what_is_no_token_is_not_kept() {
        for body in [
            json!({}),
            json!({"access_token": "a"}),
            json!({"access_token": "", "expires_in": 1}),
            json!({"access_token": "a\nb", "expires_in": 1}),
            json!({"access_token": "a", "expires_in": -1}),
            json!({"access_token": "a", "expires_in": "3600"}),
        ] {
            assert!(Session::begin(&reply(body.clone()), &endpoints(), UnixMillis(0)).is_err(), "{body}");
        }
    }
}
