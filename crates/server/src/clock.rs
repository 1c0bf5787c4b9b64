//! The time and chance of this process; everything else takes them as arguments.

use std::time::SystemTime;

use gatehouse_domain::time::UnixMillis;

/// The wall clock. A clock before 1970 counts as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Fills with random bytes fit for keys.
pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system's random source works after it has worked at the start");
}

/// Random bits for an identifier.
pub(crate) fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    random(&mut bytes);
    u128::from_le_bytes(bytes)
}
