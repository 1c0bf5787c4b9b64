//! What handlers take out of a request. Each refuses in the API's own error shape and names the field.

use std::error::Error as _;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use http_body_util::LengthLimitError;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{ApiError, Code};
use crate::act::shortened;

/// Longest body of a management request, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(req: Request, _: &S) -> Result<Self, ApiError> {
        body(req, MAX_BODY).await.map(Self)
    }
}

/// A JSON body of at most so many bytes, where more than [`MAX_BODY`] are to be expected.
#[derive(Debug)]
pub struct BodyUpTo<T, const MAX: usize>(pub T);

impl<S: Send + Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for BodyUpTo<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(req: Request, _: &S) -> Result<Self, ApiError> {
        body(req, MAX).await.map(Self)
    }
}

async fn body<T: DeserializeOwned>(req: Request, most: usize) -> Result<T, ApiError> {
    check_is_json(&req)?;
    let bytes = tokio::time::timeout(BODY_TIMEOUT, read(req, most))
        .await
        .map_err(|_| ApiError::new(Code::RequestTimeout, "the body did not arrive in time"))??;
    parse(&bytes)
}

/// The query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(pairs)
            .map(Self)
            .map_err(|e| told(e.path().to_string(), &e.inner().to_string()))
    }
}

/// The one variable segment of the path, as text.
#[derive(Debug)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(ApiError::new(Code::NotFound, "the path is not UTF-8")),
        }
    }
}

/// The two variable segments of the path, as texts.
#[derive(Debug)]
pub struct Pair(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for Pair {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((first, second))) => Ok(Self(first, second)),
            Err(_) => Err(ApiError::new(Code::NotFound, "the path is not UTF-8")),
        }
    }
}

impl Segment {
    /// The identifier in the path; a text that is none names nothing that exists.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub fn id<T: FromStr>(&self, noun: &str) -> Result<T, ApiError> {
        self.0.parse().map_err(|_| ApiError::not_found(noun, &self.0))
    }
}

fn check_is_json(req: &Request) -> Result<(), ApiError> {
    let declared = req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let told = format!("the body must be declared as `application/json`, not `{}`", shortened(declared));
    Err(ApiError::new(Code::UnsupportedMediaType, told))
}

async fn read(req: Request, most: usize) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::new(Code::BodyTooLarge, format!("the body is longer than {most} bytes"));
    let announced = req.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|len| len > most as u64) {
        return Err(too_large());
    }
    axum::body::to_bytes(req.into_body(), most).await.map_err(|e| {
        let cause = e.source();
        if cause.and_then(|cause| cause.downcast_ref::<LengthLimitError>()).is_some() {
            too_large()
        } else {
            ApiError::new(Code::BadRequest, "the body broke off")
        }
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde would fill a structure from an array too, by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|e| malformed(&e))?;
        return Err(ApiError::new(Code::InvalidField, "the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        if e.inner().is_data() {
            told(e.path().to_string(), &e.inner().to_string())
        } else {
            malformed(e.inner())
        }
    })?;
    json.end().map_err(|e| malformed(&e))?;
    Ok(value)
}

fn malformed(e: &serde_json::Error) -> ApiError {
    ApiError::new(Code::MalformedJson, format!("the body is not JSON: {}", shortened(&e.to_string())))
}

/// Turns serde's message into a code and a field. serde words these three the same for every format.
fn told(path: String, message: &str) -> ApiError {
    let message = shortened(&without_value(message.split(" at line ").next().unwrap_or(message)));
    let named = message.split('`').nth(1).map(str::to_owned);
    let (code, field) = if message.starts_with("unknown field") {
        (Code::UnknownField, named)
    } else if message.starts_with("missing field") {
        (Code::MissingField, named)
    } else if message.starts_with("duplicate field") {
        (Code::InvalidField, named)
    } else {
        (Code::InvalidField, (path != ".").then_some(path))
    };
    let text = match &field {
        Some(field) if !message.contains(field.as_str()) => format!("`{field}`: {message}"),
        _ => message,
    };
    ApiError { field, ..ApiError::new(code, text) }
}

/// serde repeats a value of the wrong type. It may be a secret in the wrong place, so only its type is told.
fn without_value(message: &str) -> String {
    let wrong =
        ["invalid type: ", "invalid value: "].into_iter().find_map(|start| message.strip_prefix(start));
    let Some((given, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let kind = given.split([' ', '`', '"']).next().unwrap_or_default();
    format!("{kind} given, expected {expected}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        #[serde(default)]
        teams: Vec<String>,
        count: Option<u8>,
    }

    #[test]
    fn a_wrong_body_names_its_field() {
        for (text, code, field) in [
            ("", Code::MalformedJson, None),
            ("{", Code::MalformedJson, None),
            ("{\"name\":\"a\"} x", Code::MalformedJson, None),
            ("{\"name\":\"\\ud800\"}", Code::MalformedJson, None),
            ("[]", Code::InvalidField, None),
            ("[\"a\"]", Code::InvalidField, None),
            ("null", Code::InvalidField, None),
            ("{}", Code::MissingField, Some("name")),
            ("{\"name\":\"a\",\"nmae\":1}", Code::UnknownField, Some("nmae")),
            ("{\"name\":\"a\",\"name\":\"b\"}", Code::InvalidField, Some("name")),
            ("{\"name\":7}", Code::InvalidField, Some("name")),
            ("{\"name\":\"a\",\"teams\":[\"x\",null]}", Code::InvalidField, Some("teams[1]")),
            ("{\"name\":\"a\",\"count\":-1}", Code::InvalidField, Some("count")),
            ("{\"name\":\"a\",\"count\":1e99}", Code::InvalidField, Some("count")),
        ] {
            let error = parse::<Example>(text.as_bytes()).unwrap_err();
            assert_eq!((error.code, error.field.as_deref()), (code, field), "{text}: {}", error.message);
        }
        for deep in
            ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("{{\"name\":{}", "[".repeat(100_000))]
        {
            assert!(parse::<Example>(deep.as_bytes()).is_err());
        }
        let good = parse::<Example>(b" {\"name\":\"a\",\"teams\":[\"x\"]}\n").unwrap();
        assert_eq!((good.name.as_str(), good.teams.len(), good.count), ("a", 1, None));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_repeated() {
        for text in [
            "\"canary, expected\"",
            "{\"name\":[\"canary\"]}",
            "{\"name\":\"a\",\"count\":\"canary\"}",
            "{\"name\":77077}",
        ] {
            let error = parse::<Example>(text.as_bytes()).unwrap_err();
            assert!(
                !error.message.contains("canary") && !error.message.contains("77077"),
                "{}",
                error.message
            );
        }
    }

    #[test]
    fn a_long_value_is_not_repeated_whole() {
        let text = format!("{{\"name\":\"a\",\"{}\":1}}", "x".repeat(100_000));
        assert!(parse::<Example>(text.as_bytes()).unwrap_err().message.len() < 200);
    }
}
