//! Whose request it is.

use std::sync::Arc;

use gatehouse_domain::key::{BadKey, KeyKind, VirtualKey};
use gatehouse_domain::policy::{Denied, Grant, KeyGrant, SessionGrant};
use gatehouse_domain::token::{self, AccessToken, BadAccess};
use gatehouse_listener::{Certified, Person};
use http::{HeaderMap, header};

use crate::connection::Connection;
use crate::refusal::Refusal;
use crate::worker::Worker;

/// Finds out whose key or session a request carries, and that a client certificate is not somebody else's.
pub(crate) async fn recognize(
    worker: &Worker,
    connection: &Connection,
    headers: &HeaderMap,
) -> Result<Grant, Refusal> {
    let grant = presented(worker, headers).await?;
    let Some(certificate) = connection.certificate() else { return Ok(grant) };
    let is_holder = match (worker.shared.entrance.rules().person, certificate) {
        (Person::Any, _) => true,
        (Person::Holder, Certified::Unclear) => false,
        (Person::Holder, Certified::For(email)) => {
            let policy = worker.shared.policy.load();
            let member = policy.proxy().people.by_email(&email).map(|member| member.user);
            member == Some(grant.principal().user)
        }
    };
    if is_holder { Ok(grant) } else { Err(Refusal::Certificate) }
}

/// Finds out whose key or session a request carries. Where both headers hold credentials of ours, the bearer counts.
///
/// A genuine token for a session that the policy does not hold is of one that was ended, or of one that began a moment ago,
/// perhaps on another node: then the policy is brought up to date first.
async fn presented(worker: &Worker, headers: &HeaderMap) -> Result<Grant, Refusal> {
    match look(worker, headers) {
        Look::Found(grant) => Ok(grant),
        Look::Refused(why) => Err(why),
        Look::NotHere(token) => {
            worker.shared.reception.catch_up().await;
            let found = worker.shared.policy.load().session(token.session, Worker::now());
            found.map(Grant::Session).map_err(|why| Refusal::SignedOut(session_code(why)))
        }
    }
}

/// What a first look finds.
enum Look {
    Found(Grant),
    Refused(Refusal),
    /// The policy does not hold the session.
    NotHere(AccessToken),
}

fn look(worker: &Worker, headers: &HeaderMap) -> Look {
    let mut seen = false;
    let mut mistyped = false;
    for text in credentials(headers) {
        seen = true;
        if text.starts_with(token::PREFIX.as_bytes()) {
            return session(worker, text);
        }
        match key(worker, text) {
            Ok(found) => return found.map_or_else(Look::Refused, |grant| Look::Found(Grant::Key(grant))),
            Err(BadKey::Mistyped) => mistyped = true,
            Err(BadKey::Foreign) => {}
        }
    }
    Look::Refused(match (seen, mistyped) {
        (false, _) if is_signed(headers) => Refusal::Signed,
        (false, _) => Refusal::NoCredential,
        (true, true) => Refusal::BadCredential("key_mistyped"),
        (true, false) => Refusal::BadCredential("key_foreign"),
    })
}

fn key(worker: &Worker, text: &[u8]) -> Result<Result<Arc<KeyGrant>, Refusal>, BadKey> {
    let key = VirtualKey::parse(KeyKind::Virtual, text)?;
    let policy = worker.shared.policy.load();
    let found = policy.identify(&key, Worker::now());
    if let Ok(grant) = &found
        && let Some(new) = policy.rehash(&key, grant)
    {
        worker.shared.reception.rehashed(grant.id, grant.hash, new);
    }
    Ok(match found {
        Ok(grant) if !grant.purpose.includes_gateway() => Err(Refusal::BadCredential("key_not_for_gateway")),
        found => found.map_err(|why| Refusal::BadCredential(key_code(why))),
    })
}

fn session(worker: &Worker, text: &[u8]) -> Look {
    let now = Worker::now();
    let token = match worker.shared.policy.load().token(text, now) {
        Ok(token) => token,
        Err(BadAccess::Expired) => return Look::Refused(Refusal::SignedOut("token_expired")),
        Err(BadAccess::Forged | BadAccess::Foreign) => {
            return Look::Refused(Refusal::SignedOut("token_forged"));
        }
    };
    let found: Result<Arc<SessionGrant>, Denied> = worker.shared.policy.load().session(token.session, now);
    match found {
        Ok(grant) => Look::Found(Grant::Session(grant)),
        Err(Denied::Unknown) => Look::NotHere(token),
        Err(why) => Look::Refused(Refusal::SignedOut(session_code(why))),
    }
}

/// The credentials a request carries, in the order in which they count.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, rest) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    bearer.chain(headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii()))
}

/// Whether a request is signed as Amazon has it (Signature Version 4), instead of carrying a credential.
fn is_signed(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().any(|value| value.as_bytes().starts_with(b"AWS4-"))
}

fn key_code(why: Denied) -> &'static str {
    match why {
        Denied::Unknown => "key_unknown",
        Denied::Expired => "key_expired",
        Denied::Disabled => "key_disabled",
        Denied::Revoked => "key_revoked",
        Denied::HolderDisabled => "holder_disabled",
    }
}

fn session_code(why: Denied) -> &'static str {
    match why {
        Denied::Unknown | Denied::Disabled | Denied::Revoked => "session_over",
        Denied::Expired => "session_expired",
        Denied::HolderDisabled => "holder_disabled",
    }
}
