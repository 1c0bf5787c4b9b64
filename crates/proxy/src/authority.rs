//! The authority that vouches for us where a tunnel is looked into: made here, or brought by the organization.
//!
//! It is held as one text: its certificate, then its key, both PEM. What it is good for is what a client would take: every
//! certificate that it issues is judged by the same rules as a client judges it (path, time, name constraints) before anybody
//! sees it, so that a name outside the authority's constraints has none.

mod certificate;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use gatehouse_domain::proxy::HostPattern;
use gatehouse_domain::time::UnixMillis;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{CertificateError, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use x509_cert::name::Name;
use zeroize::Zeroizing;

use certificate::{Kind, Read, Wanted, issue, name};

/// How long a certificate that we show is good.
const LEAF: Duration = Duration::from_hours(7 * 24);
/// One that has less left than this is replaced.
const FRESH: Duration = Duration::from_hours(2 * 24);
/// How long before now one begins to be good: clocks differ.
const SKEW: Duration = Duration::from_hours(1);
/// Most hosts whose certificates are kept; beyond it the one that ends first goes.
const MOST: usize = 512;
/// Longest text of an authority, in bytes.
pub const MAX_TEXT: usize = 32 * 1024;

/// Why something is no authority that could be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthority {
    /// The certificate cannot be read.
    #[error("the certificate cannot be read as one PEM certificate")]
    Certificate,
    /// There are several.
    #[error("there are several certificates: give the one that issues, without those above it")]
    Several,
    /// It is one of a server.
    #[error(
        "the certificate is none of an authority (it needs basicConstraints CA:TRUE and may sign certificates)"
    )]
    NotCa,
    /// The key cannot be read.
    #[error("the key cannot be read: expected an unencrypted PEM key, ECDSA (P-256, P-384), Ed25519 or RSA")]
    Key,
    /// They do not belong together.
    #[error("the key is not that of the certificate")]
    Mismatch,
    /// Its time is over, or has not come.
    #[error("the certificate is not good now: it is from {from} to {until}")]
    Time {
        /// When it begins.
        from: UnixMillis,
        /// When it ends.
        until: UnixMillis,
    },
    /// A name that no certificate is made for.
    #[error("`{0}` is no host that could be looked into: expected a name, or `*.` and a name")]
    Host(String),
    /// No names were given.
    #[error("an authority is made for hosts: give at least one")]
    NoHosts,
    /// A certificate or key cannot be made.
    #[error("a certificate or its key cannot be made")]
    Making,
}

/// Why there is no certificate for a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLeaf {
    /// The authority's constraints do not hold the name.
    #[error("the inspection authority is not good for this name")]
    Outside,
    /// The authority's time is over.
    #[error("the inspection authority has expired")]
    Expired,
    /// It cannot be made.
    #[error("no certificate can be made for this name")]
    Failed,
}

/// What is known of an authority. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub subject: String,
    /// Names that it is good for, with everything below them; empty if it is not limited.
    pub names: Vec<String>,
    /// When it begins to be good.
    pub from: UnixMillis,
    /// When it ends.
    pub until: UnixMillis,
    /// SHA-256 of its certificate, in hexadecimal digits.
    pub sha256: String,
    /// Its certificate, PEM: what clients are to trust.
    pub certificate: String,
}

/// Makes an authority for these hosts and nothing else: a new ECDSA P-256 key, and critical name constraints. The text that it is
/// held as.
///
/// # Errors
/// A host that no certificate can be for; the maker of certificates fails.
pub fn create(
    organization: &str,
    hosts: &[HostPattern],
    lifetime: Duration,
    now: UnixMillis,
) -> Result<Zeroizing<String>, BadAuthority> {
    let mut names = Vec::new();
    for host in hosts {
        let (HostPattern::Name(name) | HostPattern::Below(name)) = host else {
            return Err(BadAuthority::Host(host.to_string()));
        };
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        return Err(BadAuthority::NoHosts);
    }
    let Fresh { secret, key } = new_key().ok_or(BadAuthority::Making)?;
    let subject = name(organization, &format!("Gatehouse inspection {}", &now.to_string()[..10]));
    let subject = subject.ok_or(BadAuthority::Making)?;
    let wanted = Wanted {
        issuer: &subject,
        subject: &subject,
        from: now.plus_millis(-millis(SKEW)),
        until: after(now, lifetime),
        kind: Kind::Authority(&names),
    };
    let certificate = issue(&wanted, &*key, &*key).ok_or(BadAuthority::Making)?;
    let secret = pem("PRIVATE KEY", &secret);
    Ok(Zeroizing::new(format!("{}{}", *pem("CERTIFICATE", &certificate), *secret)))
}

/// A new ECDSA P-256 key.
struct Fresh {
    /// As PKCS#8.
    secret: Zeroizing<Vec<u8>>,
    /// Ready to sign.
    key: Arc<dyn SigningKey>,
}

fn new_key() -> Option<Fresh> {
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let made = ring::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
    let secret = Zeroizing::new(made.as_ref().to_vec());
    let key = any_supported_type(&PrivateKeyDer::Pkcs8(secret.as_slice().into())).ok()?;
    Some(Fresh { secret, key })
}

/// Checks an authority that was brought, and gives the text that it is held as.
///
/// # Errors
/// Says what is wrong with it.
pub fn import(certificate: &str, key: &str, now: UnixMillis) -> Result<Zeroizing<String>, BadAuthority> {
    let mut certificates = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let first = certificates.next().and_then(Result::ok).ok_or(BadAuthority::Certificate)?;
    if certificates.next().is_some() {
        return Err(BadAuthority::Several);
    }
    let text = Zeroizing::new(format!("{}{}\n", *pem("CERTIFICATE", &first), key.trim()));
    let authority = Authority::open(&text, now)?;
    let Facts { from, until, .. } = authority.facts;
    if now < from || until <= now {
        return Err(BadAuthority::Time { from, until });
    }
    Ok(text)
}

/// An authority in use, with the certificates that it issued for now.
pub struct Authority {
    facts: Facts,
    certificate: CertificateDer<'static>,
    /// Its name, as it stands in what it issues.
    name: Name,
    /// Which of its keys it is, if its certificate says.
    key_id: Option<Vec<u8>>,
    key: Arc<dyn SigningKey>,
    verifier: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    leaves: Mutex<HashMap<String, Leaf>>,
}

/// What a host is answered with, and until when.
struct Leaf {
    tls: Arc<ServerConfig>,
    made: UnixMillis,
    until: UnixMillis,
}

impl Authority {
    /// Opens the text that an authority is held as.
    ///
    /// # Errors
    /// It is none. That its time is over is not an error here: it is known, and issues nothing.
    pub fn open(text: &str, now: UnixMillis) -> Result<Self, BadAuthority> {
        let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes());
        let certificate = certificates.next().and_then(Result::ok).ok_or(BadAuthority::Certificate)?;
        let secret = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| BadAuthority::Key)?;
        let key = any_supported_type(&secret).map_err(|_| BadAuthority::Key)?;
        let read = Read::of(&certificate).ok_or(BadAuthority::Certificate)?;
        if !read.is_authority {
            return Err(BadAuthority::NotCa);
        }
        if key.public_key().is_none_or(|public| *public != *read.public_key) {
            return Err(BadAuthority::Mismatch);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).map_err(|_| BadAuthority::NotCa)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|_| BadAuthority::Making)?;
        let facts = Facts {
            subject: read.told(),
            names: read.names,
            from: read.from,
            until: read.until,
            sha256: digest(&certificate),
            certificate: pem("CERTIFICATE", &certificate).to_string(),
        };
        let (name, key_id, leaves) = (read.subject, read.key_id, Mutex::default());
        let opened = Self { facts, certificate, name, key_id, key, verifier, provider, leaves };
        // A key of a kind that it cannot sign with shows in what it issues.
        let some = opened.facts.names.first().map_or("inspection.example", String::as_str);
        match opened.leaf(some, now) {
            Err(NoLeaf::Failed) => Err(BadAuthority::Key),
            Ok(_) | Err(NoLeaf::Outside | NoLeaf::Expired) => Ok(opened),
        }
    }

    /// What is known of it.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What a client that greets this host is answered with. HTTP/1.1 is all that is spoken within.
    ///
    /// # Errors
    /// A client would not take a certificate of this authority for this name.
    pub fn tls(&self, host: &str, now: UnixMillis) -> Result<Arc<ServerConfig>, NoLeaf> {
        let lock = || self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = after(now, FRESH);
        if let Some(leaf) = lock().get(host)
            && (leaf.until > fresh || leaf.until == self.facts.until)
            && (leaf.made..leaf.until).contains(&now)
        {
            return Ok(Arc::clone(&leaf.tls));
        }
        let (certified, until) = self.leaf(host, now)?;
        let mut tls = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| NoLeaf::Failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)) as Arc<dyn ResolvesServerCert>);
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = Arc::new(tls);
        let mut leaves = lock();
        if leaves.len() >= MOST && !leaves.contains_key(host) {
            let first = leaves.iter().min_by_key(|(_, leaf)| leaf.until).map(|(name, _)| name.clone());
            first.and_then(|name| leaves.remove(&name));
        }
        leaves.insert(host.to_owned(), Leaf { tls: Arc::clone(&tls), made: now, until });
        Ok(tls)
    }

    /// A certificate for a name, with a key of its own, if a client would take it.
    fn leaf(&self, host: &str, now: UnixMillis) -> Result<(CertifiedKey, UnixMillis), NoLeaf> {
        if self.facts.until <= now {
            return Err(NoLeaf::Expired);
        }
        let until = after(now, LEAF).min(self.facts.until);
        let Fresh { key, .. } = new_key().ok_or(NoLeaf::Failed)?;
        let wanted = Wanted {
            issuer: &self.name,
            subject: &name("", "Gatehouse inspection").ok_or(NoLeaf::Failed)?,
            from: now.plus_millis(-millis(SKEW)),
            until,
            kind: Kind::Host(host, self.key_id.as_deref()),
        };
        let leaf = CertificateDer::from(issue(&wanted, &*key, &*self.key).ok_or(NoLeaf::Failed)?);
        let name = ServerName::try_from(host).map_err(|_| NoLeaf::Outside)?;
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.non_negative()));
        if let Err(error) = self.verifier.verify_server_cert(&leaf, &[], &name, &[], at) {
            tracing::debug!(host, %error, "the inspection authority has no certificate for a host");
            // A signature that does not fit is a key that does not; all else is what the authority may not.
            let is_mismatch =
                matches!(error, rustls::Error::InvalidCertificate(CertificateError::BadSignature));
            return Err(if is_mismatch { NoLeaf::Failed } else { NoLeaf::Outside });
        }
        Ok((CertifiedKey::new(vec![leaf, self.certificate.clone()], key), until))
    }
}

/// SHA-256 in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn pem(what: &str, bytes: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(Base64::encode_string(bytes));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 80));
    for part in ["-----BEGIN ", what, "-----\n"] {
        text.push_str(part);
    }
    for line in encoded.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    for part in ["-----END ", what, "-----\n"] {
        text.push_str(part);
    }
    text
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn after(now: UnixMillis, span: Duration) -> UnixMillis {
    now.plus_millis(millis(span))
}
