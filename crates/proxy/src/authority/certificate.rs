//! Certificates (RFC 5280): making the two kinds that are needed, and reading what an authority's says of itself.
//!
//! The name of an authority goes into what it issues byte by byte as it stands in its own certificate, however it is put
//! together; a client compares the bytes.

use gatehouse_domain::time::UnixMillis;
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use sha2::{Digest as _, Sha256};

use gatehouse_listener::der::{
    BITS, BOOLEAN, Der, GENERAL_TIME, INTEGER, OCTETS, OID, SEQUENCE, SET, UTC_TIME, UTF8, element,
};

const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Members of a name (X.520).
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
/// What members of a name are called in texts.
const CALLED: [(&[u8], &str); 5] = [
    (COMMON_NAME, "CN"),
    (ORGANIZATION, "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];
/// Extensions (RFC 5280 4.2).
const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_USAGE: &[u8] = &[0x55, 0x1d, 37];
const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// Kinds of general names (RFC 5280 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
/// The bits of digitalSignature, and of keyCertSign with cRLSign, behind the number of bits that are not used.
const SIGNS: [u8; 2] = [7, 0x80];
const ISSUES: [u8; 2] = [1, 0x06];
/// The bit of keyCertSign alone.
const KEY_CERT_SIGN: u8 = 0x04;

/// How signatures are told apart (RFC 5758, 8410, 4055), in the order in which they are preferred.
const ALGORITHMS: [(SignatureScheme, &[u8]); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]),
    (SignatureScheme::ED25519, &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70]),
    (
        SignatureScheme::RSA_PKCS1_SHA256,
        &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0],
    ),
];

/// A certificate to make.
pub(super) struct Wanted<'a> {
    /// The name of who issues it.
    pub(super) issuer: &'a [u8],
    /// Its own name.
    pub(super) subject: &'a [u8],
    /// When it begins to be good.
    pub(super) from: UnixMillis,
    /// When it ends.
    pub(super) until: UnixMillis,
    /// What it is for.
    pub(super) kind: Kind<'a>,
}

/// What a certificate is for.
pub(super) enum Kind<'a> {
    /// An authority for these names and what is below them, that issues no authorities.
    Authority(&'a [String]),
    /// A server of this name, issued by the key of this identifier.
    Host(&'a str, &'a [u8]),
}

/// Makes a certificate of a key, signed by another or the same. None if the other signs in no way that is known here.
pub(super) fn issue(wanted: &Wanted<'_>, key: &dyn SigningKey, by: &dyn SigningKey) -> Option<Vec<u8>> {
    let signer = by.choose_scheme(&ALGORITHMS.map(|(scheme, _)| scheme))?;
    let (_, algorithm) = ALGORITHMS.iter().find(|(scheme, _)| *scheme == signer.scheme())?;
    let public = key.public_key()?;
    let mut serial: [u8; 16] = rand::random();
    // A positive number of as many bytes.
    serial[0] = serial[0] & 0x7f | 0x40;
    let fields = element(
        SEQUENCE,
        &[
            &element(VERSION, &[&element(INTEGER, &[&[2]])]),
            &element(INTEGER, &[&serial]),
            algorithm,
            wanted.issuer,
            &element(SEQUENCE, &[&time(wanted.from), &time(wanted.until)]),
            wanted.subject,
            &public,
            &element(EXTENSIONS, &[&element(SEQUENCE, &[&extensions(&wanted.kind, &public)])]),
        ],
    );
    let signature = signer.sign(&fields).ok()?;
    Some(element(SEQUENCE, &[&fields, algorithm, &element(BITS, &[&[0], &signature])]))
}

fn extensions(kind: &Kind<'_>, public: &[u8]) -> Vec<u8> {
    let dns = |name: &str| element(DNS_NAME, &[name.as_bytes()]);
    match kind {
        Kind::Authority(names) => {
            let subtree = |name: Vec<u8>| element(SEQUENCE, &[&name]);
            let permitted: Vec<u8> = names.iter().flat_map(|name| subtree(dns(name))).collect();
            // A constraint on names alone would leave every address free.
            let excluded = [subtree(element(ADDRESS, &[&[0; 8]])), subtree(element(ADDRESS, &[&[0; 32]]))];
            let constraints =
                element(SEQUENCE, &[&element(0xa0, &[&permitted]), &element(0xa1, &[&excluded.concat()])]);
            let basic = element(SEQUENCE, &[&element(BOOLEAN, &[&[0xff]]), &element(INTEGER, &[&[0]])]);
            [
                extension(BASIC_CONSTRAINTS, Critical::Yes, &basic),
                extension(KEY_USAGE, Critical::Yes, &element(BITS, &[&ISSUES])),
                extension(NAME_CONSTRAINTS, Critical::Yes, &constraints),
                extension(SUBJECT_KEY, Critical::No, &element(OCTETS, &[&Sha256::digest(public)[..20]])),
            ]
            .concat()
        }
        Kind::Host(name, key_id) => {
            let issuer = if key_id.is_empty() {
                Vec::new()
            } else {
                extension(AUTHORITY_KEY, Critical::No, &element(SEQUENCE, &[&element(0x80, &[key_id])]))
            };
            let usage = element(SEQUENCE, &[&element(OID, &[SERVER])]);
            [
                extension(BASIC_CONSTRAINTS, Critical::Yes, &element(SEQUENCE, &[])),
                extension(KEY_USAGE, Critical::Yes, &element(BITS, &[&SIGNS])),
                extension(EXTENDED_USAGE, Critical::No, &usage),
                extension(ALTERNATIVE_NAMES, Critical::No, &element(SEQUENCE, &[&dns(name)])),
                issuer,
            ]
            .concat()
        }
    }
}

/// Whether who does not know an extension must refuse the certificate.
#[derive(Clone, Copy)]
enum Critical {
    Yes,
    No,
}

fn extension(id: &[u8], critical: Critical, content: &[u8]) -> Vec<u8> {
    let critical = match critical {
        Critical::Yes => element(BOOLEAN, &[&[0xff]]),
        Critical::No => Vec::new(),
    };
    element(SEQUENCE, &[&element(OID, &[id]), &critical, &element(OCTETS, &[content])])
}

/// A name of an organization, if there is one, and a common name.
pub(super) fn name(organization: &str, common: &str) -> Vec<u8> {
    let member = |id: &[u8], text: &str| {
        element(SET, &[&element(SEQUENCE, &[&element(OID, &[id]), &element(UTF8, &[text.as_bytes()])])])
    };
    let organization = if organization.is_empty() { Vec::new() } else { member(ORGANIZATION, organization) };
    element(SEQUENCE, &[&organization, &member(COMMON_NAME, common)])
}

/// A time, to the second: with two digits of the year up to 2049 (RFC 5280 4.1.2.5).
fn time(at: UnixMillis) -> Vec<u8> {
    let digits: Vec<u8> = at.to_string().bytes().filter(u8::is_ascii_digit).take(14).collect();
    if (&b"1950"[..]..&b"2050"[..]).contains(&&digits[..4]) {
        element(UTC_TIME, &[&digits[2..], b"Z"])
    } else {
        element(GENERAL_TIME, &[&digits, b"Z"])
    }
}

/// What a certificate says of itself.
pub(super) struct Read {
    /// Its name.
    pub(super) subject: Vec<u8>,
    /// Its key.
    pub(super) public_key: Vec<u8>,
    /// Which of its key's it is; empty where it does not say.
    pub(super) key_id: Vec<u8>,
    /// When it begins to be good.
    pub(super) from: UnixMillis,
    /// When it ends.
    pub(super) until: UnixMillis,
    /// Whether it may issue others.
    pub(super) is_authority: bool,
    /// Names that it is good for.
    pub(super) names: Vec<String>,
}

impl Read {
    /// Reads a certificate, as far as it matters here. Its signature is not looked at.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let mut fields = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
        fields.optional(VERSION);
        fields.expect(INTEGER)?;
        fields.expect(SEQUENCE)?;
        fields.expect(SEQUENCE)?;
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let (from, until) = (read_time(validity.element()?)?, read_time(validity.element()?)?);
        let subject = element(SEQUENCE, &[fields.expect(SEQUENCE)?]);
        let public_key = element(SEQUENCE, &[fields.expect(SEQUENCE)?]);
        let (mut is_issuer, mut may_sign) = (false, true);
        let (mut key_id, mut names) = (Vec::new(), Vec::new());
        while let Some((tag, content)) = fields.element() {
            if tag != EXTENSIONS {
                continue;
            }
            let mut list = Der(Der(content).expect(SEQUENCE)?);
            while let Some((SEQUENCE, extension)) = list.element() {
                let mut parts = Der(extension);
                let id = parts.expect(OID)?;
                parts.optional(BOOLEAN);
                let mut content = Der(parts.expect(OCTETS)?);
                match id {
                    BASIC_CONSTRAINTS => {
                        let basic = Der(content.expect(SEQUENCE)?).optional(BOOLEAN);
                        is_issuer = basic.is_some_and(|value| value != [0]);
                    }
                    KEY_USAGE => {
                        let bits = content.expect(BITS)?;
                        may_sign = bits.get(1).is_some_and(|byte| byte & KEY_CERT_SIGN != 0);
                    }
                    SUBJECT_KEY => key_id = content.expect(OCTETS)?.to_vec(),
                    NAME_CONSTRAINTS => names = permitted(content.expect(SEQUENCE)?)?,
                    _ => {}
                }
            }
        }
        let is_authority = is_issuer && may_sign;
        Some(Self { subject, public_key, key_id, from, until, is_authority, names })
    }

    /// Its name, for people.
    pub(super) fn told(&self) -> String {
        let mut members = Vec::new();
        let mut sets = Der(Der(&self.subject).expect(SEQUENCE).unwrap_or_default());
        while let Some((SET, set)) = sets.element() {
            let mut pairs = Der(set);
            while let Some((SEQUENCE, pair)) = pairs.element() {
                let mut parts = Der(pair);
                let (Some(id), Some((_, value))) = (parts.expect(OID), parts.element()) else { continue };
                let called = CALLED.iter().find(|(known, _)| *known == id).map_or("?", |(_, called)| called);
                let text = String::from_utf8_lossy(value);
                let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
                members.push(format!("{called}={text}"));
            }
        }
        members.join(", ")
    }
}

/// The host names that are permitted.
fn permitted(constraints: &[u8]) -> Option<Vec<String>> {
    let mut subtrees = Der(Der(constraints).optional(0xa0).unwrap_or_default());
    let mut names = Vec::new();
    while let Some((tag, subtree)) = subtrees.element() {
        if tag != SEQUENCE {
            return None;
        }
        if let Some(name) = Der(subtree).optional(DNS_NAME) {
            names.push(String::from_utf8_lossy(name).trim_start_matches('.').to_ascii_lowercase());
        }
    }
    Some(names)
}

fn read_time((tag, content): (u8, &[u8])) -> Option<UnixMillis> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let full = match tag {
        // Two digits up to 49 are of this century (RFC 5280 4.1.2.5.1).
        UTC_TIME => format!("{}{text}", if text < "5" { "20" } else { "19" }),
        GENERAL_TIME => text.to_owned(),
        _ => return None,
    };
    if full.len() != 14 || !full.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| &full[from..to];
    let (date, clock) = (
        format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8)),
        format!("{}:{}:{}", part(8, 10), part(10, 12), part(12, 14)),
    );
    format!("{date}T{clock}Z").parse().ok()
}
