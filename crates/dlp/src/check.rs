//! What has to hold of a text besides its form.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::key::{KeyKind, VirtualKey};

/// Whether what has the form of a secret is one.
pub(crate) type Check = fn(&[u8]) -> bool;

/// Least entropy of what is taken for random, in bits a character. 32 random hexadecimal digits have 3.0 or less once in some
/// thousands; words and numbers in a row have less.
const LEAST: f64 = 2.9;
/// What stands in texts that are no secrets, in lower case.
const PLACEHOLDERS: &[&[u8]] = &[
    b"example",
    b"xxxx",
    b"placeholder",
    b"your",
    b"dummy",
    b"redacted",
    b"changeme",
    b"insert_",
    b"sample",
    b"....",
    b"****",
    b"----",
    b"____",
    b"01234567",
    b"12345678",
    b"abcdefgh",
    b"deadbeef",
    b"aaaaaaaa",
    b"00000000",
];
/// Passwords that everybody knows.
const KNOWN: &[&[u8]] = &[
    b"password",
    b"passwd",
    b"secret",
    b"postgres",
    b"mysql",
    b"mongodb",
    b"redis",
    b"guest",
    b"admin",
    b"root",
    b"foobar",
    b"testtest",
    b"test123",
    b"database",
    b"username",
    b"mypassword",
    b"mysecretpassword",
    b"hunter2",
    b"pass123",
    b"letmein",
    b"123456",
    b"qwerty",
];

/// It looks random, and is no placeholder.
pub(crate) fn random(secret: &[u8]) -> bool {
    entropy(secret) >= LEAST && !is_placeholder(secret)
}

/// The same of what is long: a long random text has everything in it somewhere.
pub(crate) fn random_start(secret: &[u8]) -> bool {
    random(&secret[..secret.len().min(64)])
}

/// An access key's identifier is 16 of 32 characters, so its entropy says less.
pub(crate) fn upper(secret: &[u8]) -> bool {
    entropy(secret) >= 2.5 && !is_placeholder(secret)
}

/// The last six characters are the CRC-32 of the 30 before them in base 62.
pub(crate) fn github(secret: &[u8]) -> bool {
    let Some((body, given)) = secret.get(4..).and_then(|body| body.split_at_checked(30)) else {
        return false;
    };
    base62(crc32fast::hash(body)) == given
}

fn base62(mut number: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; 6];
    for place in out.iter_mut().rev() {
        *place = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    out
}

/// One of ours, by its own checksum.
pub(crate) fn gatehouse_key(secret: &[u8]) -> bool {
    let kinds = [KeyKind::Virtual, KeyKind::Admin, KeyKind::Provisioning];
    kinds.into_iter().any(|kind| VirtualKey::parse(kind, secret).is_ok())
}

/// Its header is a JSON object that names an algorithm, and it is signed.
pub(crate) fn jwt(secret: &[u8]) -> bool {
    let Some(header) = secret.split(|byte| *byte == b'.').next() else { return false };
    let decoded = std::str::from_utf8(header).ok().and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
    let Some(decoded) = decoded else { return false };
    let Ok(read) = serde_json::from_slice::<serde_json::Value>(&decoded) else { return false };
    read["alg"].as_str().is_some_and(|alg| !alg.eq_ignore_ascii_case("none"))
}

/// A password in an address: anything but a placeholder, a variable or one that everybody knows.
pub(crate) fn password(secret: &[u8]) -> bool {
    let lower = secret.to_ascii_lowercase();
    let is_variable = secret.iter().any(|byte| matches!(byte, b'$' | b'{' | b'}' | b'%' | b'*' | b'('))
        && !secret.iter().any(u8::is_ascii_digit);
    let is_variable =
        is_variable || secret.starts_with(b"$") || secret.starts_with(b"{") || secret.starts_with(b"%(");
    !is_variable && !KNOWN.contains(&&*lower) && !is_placeholder(secret)
}

fn is_placeholder(secret: &[u8]) -> bool {
    let lower = secret.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.windows(word.len()).any(|part| part == *word))
}

/// Shannon's entropy of a text's bytes, in bits a byte.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let all = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX)).max(1.0);
    let part = |count: u32| {
        let share = f64::from(count) / all;
        -share * share.log2()
    };
    counts.into_iter().filter(|count| *count > 0).map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_chance_in_it_is_not_random() {
        for text in [
            "",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababab",
            "put-your-key-here-please-2024",
        ] {
            assert!(!random(text.as_bytes()), "{text}");
        }
        assert!(random(b"k3Jz9QpLw7Rt2Vx8"));
    }

    #[test]
    fn a_checksum_in_base_62_has_six_digits() {
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(61), b"00000z");
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
    }

    #[test]
    fn variables_and_known_words_are_no_passwords() {
        for text in [
            "${DB_PASSWORD}",
            "$PASSWORD",
            "{password}",
            "%(pass)s",
            "Password",
            "postgres",
            "changeme",
            "xxxxxx",
        ] {
            assert!(!password(text.as_bytes()), "{text}");
        }
        for text in ["tr0ub4dor", "correct-horse", "a$b{9}c1"] {
            assert!(password(text.as_bytes()), "{text}");
        }
    }
}
