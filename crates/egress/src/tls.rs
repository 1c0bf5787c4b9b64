//! TLS to destinations: whom we trust, and what we show.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatehouse_domain::proxy::{Host, HostPattern};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// What is special about TLS to some hosts. Holds a key, so there is no `Debug`.
pub struct Special {
    hosts: Vec<HostPattern>,
    ca: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Special {
    /// For these hosts: more authorities, and a certificate (with its chain) and key to show, all PEM.
    ///
    /// # Errors
    /// A sentence that begins with the setting that is wrong.
    pub fn new(
        hosts: Vec<HostPattern>,
        ca: Option<&[u8]>,
        identity: Option<(&[u8], &[u8])>,
    ) -> Result<Self, String> {
        let ca =
            ca.map(certificates).transpose().map_err(|why| format!("ca_file: {why}"))?.unwrap_or_default();
        let read = |(chain, key): (&[u8], &[u8])| {
            let chain = certificates(chain).map_err(|why| format!("client_certificate: {why}"))?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| format!("client_key: it holds no key in PEM form: {error}"))?;
            Ok::<_, String>((chain, key))
        };
        let special = Self { hosts, ca, identity: identity.map(read).transpose()? };
        // Whether they belong together shows only here.
        special.config(Arc::new(RootCertStore::empty()))?;
        Ok(special)
    }

    fn config(&self, roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, String> {
        let identity = self.identity.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()));
        with_roots(roots, identity).map_err(|why| format!("client_certificate and client_key: {why}"))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = read.map_err(|error| format!("it does not parse: {error}"))?;
    if found.is_empty() { Err("it holds no certificate in PEM form".to_owned()) } else { Ok(found) }
}

/// TLS settings by host and CA file. The system's certificates are read at most once, and only if they are needed.
pub struct Trust<'a> {
    special: &'a [Special],
    system: Option<RootCertStore>,
    made: HashMap<(Option<usize>, Option<PathBuf>), Arc<ClientConfig>>,
}

impl<'a> Trust<'a> {
    /// Where these hosts are special; the first that fits counts.
    pub fn new(special: &'a [Special]) -> Self {
        Self { special, system: None, made: HashMap::new() }
    }

    /// TLS settings for a host: the system's authorities, those of a file, and what is special about the host.
    ///
    /// # Errors
    /// A sentence that says which certificates cannot be used.
    pub fn with(&mut self, host: &Host, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
        let at =
            self.special.iter().position(|special| special.hosts.iter().any(|pattern| pattern.fits(host)));
        self.made(at, ca_file)
    }

    /// TLS settings for hosts that are not known beforehand.
    ///
    /// # Errors
    /// As [`Trust::with`].
    pub fn any(&mut self, ca_file: Option<&Path>) -> Result<AnyHost, String> {
        let all = self.special;
        let special =
            all.iter().enumerate().map(|(at, one)| Ok((one.hosts.clone(), self.made(Some(at), ca_file)?)));
        let special = special.collect::<Result<_, String>>()?;
        Ok(AnyHost { special, others: self.made(None, ca_file)? })
    }

    fn made(&mut self, at: Option<usize>, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
        let of = (at, ca_file.map(Path::to_owned));
        if let Some(made) = self.made.get(&of) {
            return Ok(Arc::clone(made));
        }
        let mut roots = self.system.get_or_insert_with(system_roots).clone();
        if let Some(path) = ca_file {
            let pem = std::fs::read(path)
                .map_err(|error| format!("ca_file: cannot read `{}`: {error}", path.display()))?;
            add(&mut roots, certificates_of(&pem)?)?;
        }
        let special = at.map(|at| &self.special[at]);
        if let Some(special) = special {
            add(&mut roots, special.ca.clone())?;
        }
        let roots = Arc::new(some(roots)?);
        let made = match special {
            Some(special) => special.config(roots)?,
            None => with_roots(roots, None)?,
        };
        self.made.insert(of, Arc::clone(&made));
        Ok(made)
    }
}

/// TLS settings for hosts that are not known beforehand.
#[derive(Clone)]
pub struct AnyHost {
    special: Vec<(Vec<HostPattern>, Arc<ClientConfig>)>,
    others: Arc<ClientConfig>,
}

impl AnyHost {
    /// TLS settings for a host.
    pub fn of(&self, host: &Host) -> Arc<ClientConfig> {
        let fits = |(hosts, _): &&(Vec<HostPattern>, _)| hosts.iter().any(|pattern| pattern.fits(host));
        Arc::clone(self.special.iter().find(fits).map_or(&self.others, |(_, made)| made))
    }
}

/// A host as its certificate names it; nothing for a name that no certificate has.
pub fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()).ok(),
        Host::Address(address) => Some(ServerName::from(*address)),
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.map_err(|error| format!("the CA file does not parse: {error}"))
}

fn add(roots: &mut RootCertStore, certificates: Vec<CertificateDer<'static>>) -> Result<(), String> {
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| format!("the CA file holds a certificate that cannot be used: {error}"))?;
    }
    Ok(())
}

fn some(roots: RootCertStore) -> Result<RootCertStore, String> {
    if roots.is_empty() {
        return Err("no trusted certificates were found on this system; set `ca_file`".to_owned());
    }
    Ok(roots)
}

/// The system's trusted certificates and, if given, more in PEM form.
///
/// # Errors
/// A sentence that says which certificates could not be read.
pub fn trusted_roots(extra_ca: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = system_roots();
    if let Some(pem) = extra_ca {
        add(&mut roots, certificates_of(pem)?)?;
    }
    some(roots)
}

/// A TLS client that trusts these and shows this certificate, if any.
fn with_roots(
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A TLS client configuration that trusts these.
///
/// # Errors
/// A sentence that says what the TLS library does not take.
pub fn client_tls_with(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, String> {
    with_roots(roots, None)
}
