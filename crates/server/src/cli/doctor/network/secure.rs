//! TLS as the coding client does it: what is trusted, what is shown, and what a failure means.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use gatehouse_egress::tls::trusted_roots;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, StreamOwned};

use super::hop::{Duplex, Place, Report};
use crate::cli::{Failure, Global};
use crate::environment::Environment;

/// What is trusted and what is shown.
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    /// Where further authorities came from.
    more: Option<PathBuf>,
    /// The client certificate.
    shown: Option<PathBuf>,
}

impl Trust {
    /// As the command line says, or as the coding client finds it.
    pub(super) fn read(global: &Global, environment: &Environment) -> Result<Self, Failure> {
        let named = |given: &Option<PathBuf>, variable: &str| {
            given.clone().or_else(|| environment.get(variable).map(PathBuf::from))
        };
        let more = named(&global.ca_file, "NODE_EXTRA_CA_CERTS");
        let pem = more.as_ref().map(|path| {
            std::fs::read(path)
                .map_err(|error| Failure::Usage(format!("cannot read `{}`: {error}", path.display())))
        });
        let roots = trusted_roots(pem.transpose()?.as_deref()).map_err(Failure::Usage)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Usage(error.to_string()))?
            .with_root_certificates(roots);
        let shown = named(&global.client_certificate, "CLAUDE_CODE_CLIENT_CERT");
        let key = named(&global.client_key, "CLAUDE_CODE_CLIENT_KEY");
        let config = match (&shown, key) {
            (Some(chain), Some(key)) => {
                let told = |error: &dyn std::fmt::Display| {
                    Failure::Usage(format!("the client certificate `{}`: {error}", chain.display()))
                };
                let read: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(chain).and_then(Iterator::collect);
                let read = read.map_err(|error| told(&error))?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| told(&error))?;
                builder.with_client_auth_cert(read, key).map_err(|error| told(&error))?
            }
            (None, None) => builder.with_no_client_auth(),
            (Some(_), None) | (None, Some(_)) => {
                let told = "a client certificate and its key go together (CLAUDE_CODE_CLIENT_CERT, CLAUDE_CODE_CLIENT_KEY)";
                return Err(Failure::Usage(told.to_owned()));
            }
        };
        Ok(Self { config: Arc::new(config), more, shown })
    }

    /// Says what is in use on this machine.
    pub(super) fn tell(&self, report: &mut Report) {
        let more = self.more.as_ref().map_or_else(
            || "the system's authorities".to_owned(),
            |path| format!("the system's authorities and those in {}", path.display()),
        );
        report.pass("machine", "ca", format!("trusts {more}"));
        if let Some(path) = &self.shown {
            report.pass("machine", "mtls", format!("shows the client certificate in {}", path.display()));
        }
    }
}

/// Greets the other side.
pub(super) fn greet(
    report: &mut Report,
    hop: &'static str,
    place: &Place,
    trust: &Trust,
    mut stream: Box<dyn Duplex>,
) -> Option<Box<dyn Duplex>> {
    let Ok(name) = ServerName::try_from(place.host.clone()) else {
        report.fail(
            hop,
            "tls",
            format!("`{}` is no name for a certificate", place.host),
            "Use its DNS name.",
        );
        return None;
    };
    let mut connection = match ClientConnection::new(Arc::clone(&trust.config), name) {
        Ok(connection) => connection,
        Err(error) => {
            report.fail(hop, "tls", error.to_string(), "");
            return None;
        }
    };
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            fault(report, hop, "tls", place, trust, &error);
            return None;
        }
    }
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    report.pass(hop, "tls", format!("{version}, and the certificate is for {} and trusted", place.host));
    Some(Box::new(StreamOwned::new(connection, stream)))
}

/// Says what a failure of a connection means.
pub(super) fn fault(
    report: &mut Report,
    hop: &'static str,
    check: &'static str,
    place: &Place,
    trust: &Trust,
    error: &io::Error,
) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let (check, evidence, advice) = match cause {
        Some(rustls::Error::InvalidCertificate(why)) => ("tls", why.to_string(), certificate(why, place)),
        Some(rustls::Error::AlertReceived(alert)) => shown(*alert, trust),
        Some(rustls::Error::InvalidMessage(_)) => (
            "tls",
            "what answers there speaks no TLS".to_owned(),
            "Is the port right? A server or proxy that speaks plain HTTP is written with http://.".to_owned(),
        ),
        Some(other) => ("tls", other.to_string(), String::new()),
        None if check == "tls" => (
            check,
            format!("the connection broke off during the greeting: {error}"),
            "Something on the way cuts TLS to this name (a firewall that looks at names), or the server wants a client \
             certificate."
                .to_owned(),
        ),
        None if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => (
            check,
            "there is no answer in time".to_owned(),
            "The server is overloaded, or something on the way swallows the answer.".to_owned(),
        ),
        None => (check, error.to_string(), "Is the address right, and does the server's log say more?".to_owned()),
    };
    report.fail(hop, check, evidence, advice);
}

fn certificate(why: &CertificateError, place: &Place) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    if matches!(why, UnknownIssuer) {
        "The certificate is from an authority that this machine does not trust: the organization's own, or that of a proxy that \
         looks into TLS. Put the authority's certificate (PEM) into a file and name it in NODE_EXTRA_CA_CERTS."
            .to_owned()
    } else if matches!(why, NotValidForName | NotValidForNameContext { .. }) {
        format!(
            "The certificate is for other names than {}: use a name that it has, or have it issued for this one too.",
            place.host
        )
    } else if matches!(why, Expired | ExpiredContext { .. }) {
        "The certificate has run out (or this machine's clock is wrong): have it renewed.".to_owned()
    } else if matches!(why, NotValidYet | NotValidYetContext { .. }) {
        "The certificate is not valid yet: is this machine's clock right?".to_owned()
    } else {
        "Have the server's certificate looked at: it is not one that can be trusted.".to_owned()
    }
}

/// What the other side does not like.
fn shown(alert: AlertDescription, trust: &Trust) -> (&'static str, String, String) {
    let is_about_certificates = matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure
    );
    let evidence = format!("the server refused: {alert:?}");
    match (is_about_certificates, &trust.shown) {
        (true, None) => (
            "mtls",
            evidence,
            "It wants a client certificate: set CLAUDE_CODE_CLIENT_CERT and CLAUDE_CODE_CLIENT_KEY."
                .to_owned(),
        ),
        (true, Some(path)) => (
            "mtls",
            evidence,
            format!(
                "It does not accept the client certificate in {}: it is revoked, has run out, or is from an authority that the \
                 server does not know. Have another one issued.",
                path.display()
            ),
        ),
        (false, _) => {
            ("tls", evidence, "The server's settings for TLS do not go with this client.".to_owned())
        }
    }
}
