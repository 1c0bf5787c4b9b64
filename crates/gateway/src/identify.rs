//! Whose request it is.

use std::sync::Arc;

use gatehouse_domain::key::{BadKey, KeyKind, VirtualKey};
use gatehouse_domain::policy::{Denied, KeyGrant};
use http::{HeaderMap, header};

use crate::refusal::Refusal;
use crate::worker::Worker;

/// Finds out whose key a request carries. Where both headers hold keys of ours, the bearer counts.
pub(crate) fn recognize(worker: &Worker, headers: &HeaderMap) -> Result<Arc<KeyGrant>, Refusal> {
    let mut seen = false;
    let mut mistyped = false;
    for text in credentials(headers) {
        seen = true;
        match VirtualKey::parse(KeyKind::Virtual, text) {
            Ok(key) => {
                let policy = worker.shared.policy.load();
                return policy
                    .identify(&key, &worker.shared.pepper, Worker::now())
                    .map_err(|why| Refusal::BadCredential(code_of(why)));
            }
            Err(BadKey::Mistyped) => mistyped = true,
            Err(BadKey::Foreign) => {}
        }
    }
    Err(match (seen, mistyped) {
        (false, _) => Refusal::NoCredential,
        (true, true) => Refusal::BadCredential("key_mistyped"),
        (true, false) => Refusal::BadCredential("key_foreign"),
    })
}

/// The credentials a request carries, in the order in which they count.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, rest) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    bearer.chain(headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii()))
}

fn code_of(why: Denied) -> &'static str {
    match why {
        Denied::Unknown => "key_unknown",
        Denied::Expired => "key_expired",
        Denied::Disabled => "key_disabled",
        Denied::Revoked => "key_revoked",
        Denied::HolderDisabled => "holder_disabled",
    }
}
