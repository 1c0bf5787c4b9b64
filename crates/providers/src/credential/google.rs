//! Google's access tokens: for a service account's key, or for the identity that a workload has from its platform.

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use http::{HeaderMap, HeaderValue, Method, header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ask, NoCredential, form, refused, seconds};

/// What tokens are good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token is asked for, in seconds; more is not given.
const LIFETIME: u64 = 3600;

/// A credential file.
pub enum File {
    /// Of a service account, with its key.
    ServiceAccount(Box<ServiceAccount>),
    /// Of a workload, whose platform gives it a token.
    Workload(Box<Workload>),
}

/// A service account's key.
pub struct ServiceAccount {
    email: String,
    key_id: String,
    token_url: String,
    key: RsaKeyPair,
}

/// How a workload shows who it is.
pub struct Workload {
    audience: String,
    subject_type: String,
    token_url: String,
    impersonate: Option<String>,
    /// Where its platform's token is.
    pub token_file: String,
    /// The member with the token, where the file is JSON.
    token_field: Option<String>,
}

/// A token, and when it runs out, in seconds since 1970.
pub struct Issued {
    /// The value of `authorization`, marked sensitive.
    pub bearer: HeaderValue,
    /// When it runs out.
    pub expires: u64,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct WorkloadFile {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
}

#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    subject_token_field_name: Option<String>,
}

impl File {
    /// Reads a credential file.
    ///
    /// # Errors
    /// [`NoCredential::File`].
    pub fn parse(text: &str) -> Result<Self, NoCredential> {
        let bad = NoCredential::File;
        let value: Value = serde_json::from_str(text).map_err(|_| bad("is not JSON"))?;
        match value["type"].as_str() {
            Some("service_account") => {
                let file: KeyFile = serde_json::from_value(value)
                    .map_err(|_| bad("lacks client_email, private_key or token_uri"))?;
                let key = RsaKeyPair::from_pkcs8(
                    &der(&file.private_key).ok_or(bad("has a private_key that is no PEM"))?,
                )
                .map_err(|_| bad("has a private_key that is no RSA key"))?;
                let (email, key_id, token_url) = (file.client_email, file.private_key_id, file.token_uri);
                Ok(Self::ServiceAccount(Box::new(ServiceAccount { email, key_id, token_url, key })))
            }
            Some("external_account") => {
                let file: WorkloadFile = serde_json::from_value(value)
                    .map_err(|_| bad("lacks audience, subject_token_type, token_url or credential_source"))?;
                let token_file = file.credential_source.file;
                Ok(Self::Workload(Box::new(Workload {
                    audience: file.audience,
                    subject_type: file.subject_token_type,
                    token_url: file.token_url,
                    impersonate: file.service_account_impersonation_url,
                    token_file: token_file.ok_or(bad("has a credential_source that is no file"))?,
                    token_field: file
                        .credential_source
                        .format
                        .and_then(|format| format.subject_token_field_name),
                })))
            }
            _ => Err(bad("is of a type that is not known: service_account and external_account are")),
        }
    }
}

impl ServiceAccount {
    /// Asks for a token, with an assertion that the account's key signs (RFC 7523).
    ///
    /// # Errors
    /// [`NoCredential::Request`] if there is no randomness.
    pub fn ask(&self, now: u64) -> Result<Ask, NoCredential> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({"iss": self.email, "scope": SCOPE, "aud": self.token_url, "iat": now, "exp": now + LIFETIME});
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| NoCredential::Request("the system gives no random bytes".to_owned()))?;
        let assertion = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature));
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        Ok(post(&self.token_url, &[("grant_type", grant), ("assertion", &assertion)]))
    }
}

impl Workload {
    /// The platform's token out of its file.
    ///
    /// # Errors
    /// [`NoCredential::File`].
    pub fn subject(&self, file: &str) -> Result<String, NoCredential> {
        let Some(field) = &self.token_field else { return Ok(file.trim().to_owned()) };
        let value: Value = serde_json::from_str(file).unwrap_or_default();
        value[field]
            .as_str()
            .map(str::to_owned)
            .ok_or(NoCredential::File("names a token file without the token"))
    }

    /// Exchanges the platform's token for one of Google's (RFC 8693).
    pub fn ask(&self, subject: &str) -> Ask {
        post(
            &self.token_url,
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("audience", &self.audience),
                ("scope", SCOPE),
                ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("subject_token_type", &self.subject_type),
                ("subject_token", subject),
            ],
        )
    }

    /// Asks for a service account's token with the workload's own; nothing if the workload's own is what is used.
    pub fn impersonate(&self, own: &Issued) -> Option<Ask> {
        let mut ask = post(self.impersonate.as_ref()?, &[]);
        ask.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        ask.headers.insert(header::AUTHORIZATION, own.bearer.clone());
        ask.body = json!({"scope": [SCOPE], "lifetime": format!("{LIFETIME}s")}).to_string().into_bytes();
        Some(ask)
    }
}

fn post(url: &str, fields: &[(&str, &str)]) -> Ask {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ask { method: Method::POST, url: url.to_owned(), headers, body: form(fields) }
}

/// Reads an answer of the token endpoint or of an impersonation.
///
/// # Errors
/// [`NoCredential::Refused`] or [`NoCredential::Missing`].
pub fn read(status: u16, body: &[u8], now: u64) -> Result<Issued, NoCredential> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if status != 200 {
        let texts = [&answer["error_description"], &answer["error"]["message"], &answer["error"]];
        let said = texts.iter().find_map(|text| text.as_str()).unwrap_or("nothing that helps");
        return Err(refused(status, said));
    }
    let token = answer["access_token"].as_str().or(answer["accessToken"].as_str());
    let token = token.ok_or(NoCredential::Missing("access_token"))?;
    let expires = match (answer["expires_in"].as_u64(), answer["expireTime"].as_str()) {
        (Some(seconds), _) => Some(now.saturating_add(seconds)),
        (None, Some(time)) => seconds(time),
        (None, None) => None,
    };
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| NoCredential::Missing("access_token that can be sent"))?;
    bearer.set_sensitive(true);
    Ok(Issued { bearer, expires: expires.ok_or(NoCredential::Missing("expires_in"))? })
}

/// What a PEM file holds, of its first block.
fn der(pem: &str) -> Option<Vec<u8>> {
    let inside = pem.split("-----").nth(2)?;
    Base64::decode_vec(&inside.split_whitespace().collect::<String>()).ok()
}
