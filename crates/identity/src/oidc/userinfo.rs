//! The userinfo endpoint (Core section 5.3): what an issuer says about a person beyond the ID token.

use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use crate::fetch::{FetchError, HttpRequest, HttpResponse};
use crate::jwt::{BadGroups, ClaimNames, Groups, Person};
use crate::secret::Secret;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// Why the userinfo endpoint told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserInfoError {
    /// The request failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer is no JSON object with `sub`. Signed answers (`application/jwt`) are not supported.
    #[error("the userinfo answer is no JSON object with `sub`")]
    Malformed,
    /// The answer is about somebody else (Core section 5.3.2: it must not be used).
    #[error("the userinfo answer is about somebody else than the ID token")]
    OtherSubject,
    /// Its groups cannot be used.
    #[error(transparent)]
    Groups(#[from] BadGroups),
}

pub(super) fn request(endpoint: &Url, access_token: &str) -> HttpRequest {
    let bearer = Zeroizing::new(format!("Bearer {access_token}"));
    HttpRequest {
        authorization: Some(Secret::new(bearer.as_bytes().to_vec())),
        ..HttpRequest::get(endpoint.clone(), MAX_ANSWER)
    }
}

pub(super) fn read(answer: HttpResponse, subject: &str, names: &ClaimNames) -> Result<Person, UserInfoError> {
    let body = answer.successful()?;
    if body.len() > MAX_ANSWER {
        return Err(FetchError::TooLong(MAX_ANSWER).into());
    }
    let claims: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| UserInfoError::Malformed)?;
    match claims.get("sub").and_then(Value::as_str) {
        None => Err(UserInfoError::Malformed),
        Some(other) if other != subject => Err(UserInfoError::OtherSubject),
        Some(_) => Ok(Person::read(&claims, names)?),
    }
}

/// Whether asking the endpoint could add anything.
pub(super) fn is_thin(person: &Person, names: &ClaimNames) -> bool {
    person.email.is_none()
        || person.name.is_none()
        || (names.groups.is_some() && person.groups == Groups::Absent)
}

/// What the ID token says, and where it says nothing, what the endpoint says. An address and whether it is verified are
/// taken from the same document.
pub(super) fn merge(token: Person, endpoint: Person) -> Person {
    let (email, email_verified) = match token.email {
        Some(email) => (Some(email), token.email_verified),
        None => (endpoint.email, endpoint.email_verified),
    };
    let groups = match token.groups {
        Groups::Absent => endpoint.groups,
        Groups::Listed(_) | Groups::Overage => token.groups,
    };
    Person { email, email_verified, name: token.name.or(endpoint.name), groups }
}
