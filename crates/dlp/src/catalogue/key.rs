//! Keys that belong to no service: private keys, tokens in themselves, passwords in addresses; and our own.

use super::begins;
use crate::check::{gatehouse_key, jwt, password, random, random_start};
use crate::detector::Detector;

pub(crate) const ALL: &[Detector] = &[
    begins(
        "gatehouse-key",
        "a Gatehouse key or token",
        &["gh_", "gha_", "ghscim_"],
        (r"gh(?:a|scim)?_[0-9A-Za-z]{57}", 65),
        gatehouse_key,
    ),
    // The form of PEM (RFC 7468) and what OpenSSH and OpenPGP make of it. Where line ends are written as escapes, too.
    begins(
        "private-key",
        "a private key",
        &["-----BEGIN "],
        (
            r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|[^<>\x24\x7b]){1,160}?([A-Za-z0-9+/]{32,})",
            9000,
        ),
        random_start,
    ),
    // RFC 7519 in its compact form: both the header and the claims are JSON objects.
    begins(
        "jwt",
        "a signed token (JWT)",
        &["eyJ"],
        (r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{20,}", 6300),
        jwt,
    ),
    begins(
        "database-url-password",
        "a database's address with a password",
        &[
            "postgres://",
            "postgresql://",
            "mysql://",
            "mariadb://",
            "mongodb://",
            "mongodb+srv://",
            "redis://",
            "rediss://",
            "amqp://",
            "amqps://",
            "sqlserver://",
            "clickhouse://",
        ],
        (r#"[a-z+]{5,11}://[^\s:@/"'`<>]{0,64}:([^\s@/"'`<>]{6,128})@[A-Za-z0-9_.:\[\]-]+"#, 500),
        password,
    ),
    begins(
        "age-key",
        "a secret key of age",
        &["AGE-SECRET-KEY-1"],
        (r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}", 75),
        random,
    ),
    begins(
        "password-hash",
        "a password's hash",
        &["$2a$", "$2b$", "$2y$", "$6$", "$y$", "$argon2i"],
        (
            r"\$(?:2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}|6\$(?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{8,16}\$[./A-Za-z0-9]{86}|y\$[./A-Za-z0-9]{2,8}\$[./A-Za-z0-9]{16,86}\$[./A-Za-z0-9]{43}|argon2id?\$v=[0-9]{2}\$m=[0-9]{1,9},t=[0-9]{1,4},p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,128})",
            220,
        ),
        random_start,
    ),
];
