//! What is presented in `Proxy-Authorization`.

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// The secret that was presented. No `Debug`.
pub(crate) struct Presented(pub(crate) Zeroizing<Vec<u8>>);

/// Reads the header's value: `Bearer SECRET`, or `Basic` with the secret as the password (or as the user name, where there is
/// no password). Who the user name says it is does not count: the secret says whose it is.
pub(crate) fn read(value: &[u8]) -> Option<Presented> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return (!rest.is_empty()).then(|| Presented(Zeroizing::new(rest.to_vec())));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let text = std::str::from_utf8(rest).ok()?;
    let pair = Zeroizing::new(Base64::decode_vec(text).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    let secret = if password.is_empty() { user } else { password };
    (!secret.is_empty()).then(|| Presented(Zeroizing::new(secret.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_give_the_secret() {
        let basic = |pair: &str| format!("Basic {}", Base64::encode_string(pair.as_bytes()));
        for (value, secret) in [
            ("Bearer gh_1".to_owned(), Some("gh_1")),
            ("bearer  gh_1 ".to_owned(), Some("gh_1")),
            (basic("dev@example.com:gh_1"), Some("gh_1")),
            (basic("gh_1:"), Some("gh_1")),
            (basic("u:p:q"), Some("p:q")),
            (basic("nobody"), None),
            (basic(":"), None),
            ("Basic ???".to_owned(), None),
            ("Bearer ".to_owned(), None),
            ("Bearer".to_owned(), None),
            ("Digest username=x".to_owned(), None),
            (String::new(), None),
        ] {
            let read =
                read(value.as_bytes()).map(|presented| String::from_utf8(presented.0.to_vec()).unwrap());
            assert_eq!(read.as_deref(), secret, "{value}");
        }
    }
}
