//! Which servers' certificates are believed.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::config::{ConfigError, Trust};

/// Most authorities of one source.
const MAX_AUTHORITIES: usize = 1000;

/// TLS 1.2 and 1.3 with ring; without a way to turn the check of certificates off.
pub(super) fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
                return Err(ConfigError::NoSystemTrust(errors.join(", ")));
            }
        }
        Trust::Authorities(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).take(MAX_AUTHORITIES) {
                let certificate = certificate.map_err(|e| ConfigError::Authorities(e.to_string()))?;
                roots.add(certificate).map_err(|e| ConfigError::Authorities(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(ConfigError::Authorities("there is no certificate in the text".to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ConfigError::Authorities(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
