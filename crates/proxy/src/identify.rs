//! Who asks: by what they presented, by their client certificate, by the network they come from. In this order, and what was
//! presented and is wrong is not made up for by another way.

use std::net::IpAddr;
use std::sync::Arc;

use gatehouse_domain::directory::UserState;
use gatehouse_domain::key::{KeyKind, VirtualKey};
use gatehouse_domain::policy::{Denied, Grant, Snapshot};
use gatehouse_domain::proxy::{Member, Via, Who};
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::token;
use gatehouse_listener::Certified;

use crate::credential;
use crate::head::Head;
use crate::serve::Shared;

/// Somebody who was recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Who.
    pub(crate) who: Who,
    /// How.
    pub(crate) via: Via,
    /// What they were let in by, where that is a key or a session.
    grant: Option<Grant>,
}

/// What was found out.
pub(crate) enum Found {
    /// Who it is.
    Known(Known),
    /// Nothing was presented.
    Nobody,
    /// What was presented is no good; why, for the record.
    Wrong(&'static str),
}

/// What a connection says of its client before any request.
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: IpAddr,
    /// The e-mail address in its client certificate.
    pub(crate) certificate: Option<Certified>,
}

/// Finds out who asks.
pub(crate) async fn identify(shared: &Shared, head: &Head, peer: &Peer) -> Found {
    let Ok(header) = head.one("proxy-authorization") else {
        return Found::Wrong("credentials_twice");
    };
    if let Some(value) = header {
        let Some(presented) = credential::read(value) else { return Found::Wrong("credentials_unreadable") };
        return match look(shared, &presented.0) {
            Look::Is(found) => found,
            Look::NotHere => {
                // The session may have begun a moment ago, perhaps on another node.
                (shared.parts.catch_up)().await;
                match look(shared, &presented.0) {
                    Look::Is(found) => found,
                    Look::NotHere => Found::Wrong("session_over"),
                }
            }
        };
    }
    let snapshot = shared.parts.policy.load();
    let of = |member: Option<&Arc<Member>>, via: Via| match member {
        Some(member) if member.state == UserState::Active => {
            Found::Known(Known { who: snapshot.proxy().people.who(member.user, None), via, grant: None })
        }
        Some(_) => Found::Wrong("holder_disabled"),
        None => Found::Wrong("user_unknown"),
    };
    match &peer.certificate {
        Some(Certified::For(email)) => return of(snapshot.proxy().people.by_email(email), Via::Certificate),
        Some(Certified::Unclear) => return Found::Wrong("certificate_unclear"),
        None => {}
    }
    let settings = shared.parts.settings.load();
    match settings.sources.iter().find(|(network, _)| network.holds(peer.address)) {
        Some((_, email)) => of(snapshot.proxy().people.by_email(email), Via::Network),
        None => Found::Nobody,
    }
}

enum Look {
    Is(Found),
    /// The policy does not hold the session.
    NotHere,
}

fn look(shared: &Shared, text: &[u8]) -> Look {
    let (snapshot, now) = (shared.parts.policy.load(), shared.now());
    if text.starts_with(token::PREFIX.as_bytes()) {
        let Ok(token) = snapshot.token(text, now) else { return Look::Is(Found::Wrong("token_refused")) };
        return match snapshot.session(token.session, now) {
            Ok(session) => Look::Is(known(&snapshot, Grant::Session(session))),
            Err(Denied::Unknown) => Look::NotHere,
            Err(why) => Look::Is(Found::Wrong(code(why))),
        };
    }
    let Ok(key) = VirtualKey::parse(KeyKind::Virtual, text) else {
        return Look::Is(Found::Wrong("key_foreign"));
    };
    Look::Is(match snapshot.identify(&key, now) {
        Ok(grant) if !grant.purpose.includes_proxy() => Found::Wrong("key_not_for_proxy"),
        Ok(grant) => {
            if let Some(new) = snapshot.rehash(&key, &grant) {
                (shared.parts.rehashed)(grant.id, grant.hash, new);
            }
            known(&snapshot, Grant::Key(grant))
        }
        Err(why) => Found::Wrong(code(why)),
    })
}

fn known(snapshot: &Snapshot, grant: Grant) -> Found {
    let principal = grant.principal();
    let who = snapshot.proxy().people.who(principal.user, principal.team);
    Found::Known(Known { who, via: Via::Credential(principal.credential), grant: Some(grant) })
}

impl Known {
    /// What they were let in by, where that is a key or a session.
    pub(crate) const fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// Who they are by the newest policy: teams may have changed.
    pub(crate) fn who_now(&self, snapshot: &Snapshot) -> Who {
        let charged = self.grant.as_ref().and_then(|grant| grant.principal().team);
        snapshot.proxy().people.who(self.who.user, charged)
    }

    /// Whether they may still go on (promise P6).
    pub(crate) fn is_good(&self, snapshot: &Snapshot, now: UnixMillis) -> bool {
        if let Some(grant) = &self.grant {
            snapshot.still_good(grant, now).is_ok()
        } else {
            let member = snapshot.proxy().people.by_id(self.who.user);
            member.is_some_and(|member| member.state == UserState::Active)
        }
    }
}

const fn code(why: Denied) -> &'static str {
    match why {
        Denied::Unknown => "key_unknown",
        Denied::Expired => "key_expired",
        Denied::Disabled => "key_disabled",
        Denied::Revoked => "key_revoked",
        Denied::HolderDisabled => "holder_disabled",
    }
}
