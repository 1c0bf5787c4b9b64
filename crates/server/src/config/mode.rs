//! `[mode]`: what people are told of the forward proxy.

use super::read::Section;

/// What people are told of the forward proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Its address.
    pub(crate) proxy_url: Option<String>,
    /// Where machines have the certificate of its authority.
    pub(crate) proxy_ca_file: Option<String>,
}

/// Reads `[mode]`.
pub(crate) fn mode(s: &Section<'_, '_>) -> Mode {
    let proxy_url = s.text("proxy_url").and_then(|_| s.parsed("proxy_url", proxy_url));
    Mode { proxy_url, proxy_ca_file: s.text("proxy_ca_file").map(str::to_owned) }
}

fn proxy_url(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected an address such as \"http://proxy.corp.example:3128\", without user and password";
    let uri: http::Uri = text.trim_end_matches('/').parse().map_err(|_| EXPECTED)?;
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(host)) if bare && !host.as_str().contains('@') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(EXPECTED),
    }
}
