//! Reading stored values back as what they were.

use std::str::FromStr;

use gatehouse_domain::directory::{KeyState, Purpose, UserState};
use gatehouse_domain::key::{Generation, KeyHash};
use gatehouse_domain::model::ModelScope;

use crate::error::StoreError;

/// An identifier, or anything else that reads itself from text.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    noun: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|e| StoreError::corrupt(noun, text, e))
}

/// As [`parsed`], where there may be none.
pub(crate) fn parsed_some<T: FromStr<Err: std::fmt::Display>>(
    noun: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| parsed(noun, text)).transpose()
}

/// What could be read. What could not is logged and left out, so that one damaged row does not keep all others away.
pub(crate) fn readable<T>(read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "a damaged row of the database is left out")).ok()
}

/// A fixed number of bytes.
pub(crate) fn bytes<const N: usize>(
    noun: &'static str,
    given: &str,
    bytes: &[u8],
) -> Result<[u8; N], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::corrupt(noun, given, format!("{} bytes, expected {N}", bytes.len())))
}

/// A keyed hash and the pepper that it was made under.
pub(crate) fn key_hash(
    noun: &'static str,
    given: &str,
    hash: &[u8],
    pepper: i64,
) -> Result<KeyHash, StoreError> {
    let generation = u32::try_from(pepper)
        .map_err(|_| StoreError::corrupt(noun, given, format!("its pepper is `{pepper}`")))?;
    Ok(KeyHash::under(Generation(generation), bytes(noun, given, hash)?))
}

/// A number that is never negative.
pub(crate) fn unsigned(noun: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::corrupt(noun, number, "it is negative"))
}

/// A number to be stored. The database's range ends at 2⁶³ - 1.
pub(crate) fn signed(field: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Invalid { field, why: format!("is {number}, which is too large") })
}

pub(crate) const fn key_state_text(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Disabled => "disabled",
        KeyState::Revoked => "revoked",
    }
}

pub(crate) fn purpose(given: &str, text: &str) -> Result<Purpose, StoreError> {
    Purpose::named(text).ok_or_else(|| StoreError::corrupt("key", given, format!("its purpose is `{text}`")))
}

pub(crate) fn key_state(given: &str, text: &str) -> Result<KeyState, StoreError> {
    match text {
        "active" => Ok(KeyState::Active),
        "disabled" => Ok(KeyState::Disabled),
        "revoked" => Ok(KeyState::Revoked),
        _ => Err(StoreError::corrupt("key", given, format!("its state is `{text}`"))),
    }
}

pub(crate) const fn user_state_text(state: UserState) -> &'static str {
    match state {
        UserState::Active => "active",
        UserState::Disabled => "disabled",
    }
}

pub(crate) fn user_state(given: &str, text: &str) -> Result<UserState, StoreError> {
    match text {
        "active" => Ok(UserState::Active),
        "disabled" => Ok(UserState::Disabled),
        _ => Err(StoreError::corrupt("user", given, format!("their state is `{text}`"))),
    }
}

/// Patterns between commas, which no pattern contains; `None` is every model.
pub(crate) fn models_text(models: &ModelScope) -> Option<String> {
    models.patterns().map(|patterns| patterns.join(","))
}

pub(crate) fn models(noun: &'static str, given: &str, text: Option<&str>) -> Result<ModelScope, StoreError> {
    let Some(text) = text else { return Ok(ModelScope::all()) };
    let patterns: Vec<&str> = text.split(',').collect();
    ModelScope::only(&patterns).map_err(|e| StoreError::corrupt(noun, given, e))
}
