//! Signing requests for Amazon's services (Signature Version 4).

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as calculate};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest as _, Sha256};

/// Keys that requests are signed with. Their secret part is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys(Credentials);

impl AwsKeys {
    /// A key's identifier, its secret, and the session's token where they are temporary.
    pub fn new(id: &str, secret: &str, session_token: Option<&str>) -> Self {
        Self(Credentials::new(id, secret, session_token.map(str::to_owned), None, "gatehouse"))
    }

    /// The key's identifier, which is no secret.
    pub fn id(&self) -> &str {
        self.0.access_key_id()
    }
}

/// What a signature is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The region, such as `us-east-1`.
    pub region: String,
    /// The service's signing name, such as `bedrock`.
    pub service: String,
}

/// A request that cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub struct SignError(String);

/// SHA-256 of a body that is in pieces, in hexadecimal.
pub fn body_hash(pieces: &[Bytes]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    let mut out = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing into memory does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Signs a request: adds `x-amz-date`, `x-amz-security-token` where there is one, and `authorization`.
///
/// `url` is the whole address, its path encoded as it is sent. Signed are `host`, which must be among the headers,
/// `content-type` and `x-amz-*`; what else is in the headers may still change on the way.
///
/// # Errors
/// If the address or a signed header's value cannot be part of a signature.
pub fn sign(
    keys: &AwsKeys,
    scope: &Scope,
    (method, url): (&Method, &str),
    headers: &mut HeaderMap,
    body_hash: String,
    now: SystemTime,
) -> Result<(), SignError> {
    let failed = |error: &dyn std::fmt::Display| SignError(error.to_string());
    let identity = keys.0.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(&scope.service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let mut signed = Vec::with_capacity(8);
    for (name, value) in headers.iter().filter(|(name, _)| is_signed(name)) {
        signed.push((name.as_str(), value.to_str().map_err(|error| failed(&error))?));
    }
    let body = SignableBody::Precomputed(body_hash);
    let request = SignableRequest::new(method.as_str(), url, signed.into_iter(), body);
    let request = request.map_err(|error| failed(&error))?;
    let (made, _) = calculate(request, &params).map_err(|error| failed(&error))?.into_parts();
    for header in made.into_parts().0 {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| failed(&error))?;
        value.set_sensitive(header.sensitive() || header.name() == "authorization");
        headers.insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

fn is_signed(name: &HeaderName) -> bool {
    matches!(name.as_str(), "host" | "content-type") || name.as_str().starts_with("x-amz-")
}
