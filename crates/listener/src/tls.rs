//! TLS as a listener of ours answers it: certificate, key, and what clients must show, from files.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::certificate;

/// The files that TLS is made from, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// What clients show.
    pub clients: Option<Clients>,
}

/// What clients show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The authorities that their certificates come from.
    pub ca: PathBuf,
    /// Whether who shows none is let in.
    pub asked: Asked,
    /// Lists of certificates that were revoked. If there are any, each of the authorities must have one that has not run out.
    pub crls: Vec<PathBuf>,
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Who shows none is let in.
    Optional,
    /// Nobody is let in without one.
    Required,
}

/// TLS as it was made from files.
#[derive(Clone)]
pub struct Tls {
    /// For connections.
    pub config: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970 (UTC); not known if that cannot be read.
    pub ends_at: Option<i64>,
}

/// What tells one state of the files from another: of each, when it was written, its length, which it is.
pub type Trace = Vec<Option<(i64, i64, u64, u64)>>;

impl Tls {
    /// The same for a listener that speaks HTTP/2 and nothing else. A client that names protocols must name `h2`.
    #[must_use]
    pub fn for_http2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![b"h2".to_vec()];
        self
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let clients = self.clients.iter().flat_map(|c| std::iter::once(&c.ca).chain(&c.crls));
        [&self.certificate, &self.key].into_iter().chain(clients).map(PathBuf::as_path)
    }

    /// The state of the files. Looks at no content.
    pub fn trace(&self) -> Trace {
        let of = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.mtime(), meta.mtime_nsec(), meta.len(), meta.ino()))
        };
        self.all().map(of).collect()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn load(&self) -> Result<Tls, String> {
        let chain: Vec<CertificateDer<'static>> = every(&self.certificate, "certificate")?;
        let ends_at = chain.first().and_then(|leaf| certificate::ends_at(leaf));
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("cannot read the key in `{}`: {error}", self.key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                for certificate in every::<CertificateDer<'static>>(&clients.ca, "certificate")? {
                    let told = |error| format!("`{}`: {error}", clients.ca.display());
                    roots.add(certificate).map_err(told)?;
                }
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                for path in &clients.crls {
                    let lists: Vec<CertificateRevocationListDer<'static>> =
                        every(path, "list of revoked certificates")?;
                    verifier = verifier.with_crls(lists);
                }
                // A list that is no longer kept says nothing of who was revoked since.
                verifier = verifier.only_check_end_entity_revocation().enforce_revocation_expiration();
                if clients.asked == Asked::Optional {
                    verifier = verifier.allow_unauthenticated();
                }
                let told = |error| format!("`{}`: {error}", clients.ca.display());
                builder.with_client_cert_verifier(verifier.build().map_err(told)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("`{}` and `{}`: {error}", self.certificate.display(), self.key.display())
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.clients.is_some() {
            // A session that is taken up again would not show its certificate, which may have been revoked since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Tls { config: Arc::new(config), ends_at })
    }
}

/// All items of a kind in a file; at least one.
fn every<T: PemObject>(path: &Path, noun: &str) -> Result<Vec<T>, String> {
    let told = |error: pem::Error| format!("cannot read `{}`: {error}", path.display());
    let read: Vec<T> = T::pem_file_iter(path).map_err(told)?.collect::<Result<_, _>>().map_err(told)?;
    if read.is_empty() {
        return Err(format!("`{}` holds no {noun} (PEM)", path.display()));
    }
    Ok(read)
}
