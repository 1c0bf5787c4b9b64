//! `/proxy.pac`: where browsers, editors and the desktop application go, by the deployment mode. The coding client itself does not
//! read such files.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderValue, Response, StatusCode, header};
use gatehouse_domain::audit::Hash;
use gatehouse_domain::mode::Mode;
use gatehouse_domain::proxy::Preset;
use gatehouse_identity::fetch::Fetch;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::reply::Refused;
use super::{Asked, Portal};
use crate::app::Ways;
use crate::mode;

impl<F: Fetch> Portal<F> {
    /// The file of the mode that is asked for, or of the organization's.
    pub(super) async fn proxy_pac(&self, asked: &Asked) -> Result<Response<Bytes>, Refused> {
        let mode = if let Some(given) = asked.fields().get("mode") {
            given.parse().map_err(|_| Refused::Invalid("mode must be direct, proxy, gateway or hybrid"))?
        } else {
            let modes = self.app.store.modes(self.app.org).await?;
            let general = modes.iter().find(|change| change.team.is_none());
            general.and_then(|change| change.mode).unwrap_or(mode::DEFAULT)
        };
        let text = script(mode, &(self.app.house.ways)()).ok_or(Refused::NotFound)?;
        let tag = format!("\"{}\"", Hash::from_bytes(Sha256::digest(text.as_bytes()).into()));
        let is_known = asked.header(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
        let mut response = Response::new(if is_known { Bytes::new() } else { Bytes::from(text) });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ns-proxy-autoconfig"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        Ok(response)
    }
}

/// The file; none where a mode goes through a proxy and nobody has said where that is.
fn script(mode: Mode, ways: &Ways) -> Option<String> {
    let mut out = format!(
        "// Gatehouse, mode {mode}. The coding client does not read this file: it goes by HTTPS_PROXY.\n"
    );
    if !mode.uses_proxy() {
        out.push_str("function FindProxyForURL(url, host) {\n  return \"DIRECT\";\n}\n");
        return Some(out);
    }
    let (scheme, place) = ways.proxy_url.as_deref()?.split_once("://")?;
    let (word, port) = if scheme == "https" { ("HTTPS", 443) } else { ("PROXY", 80) };
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let place = if has_port { place.to_owned() } else { format!("{place}:{port}") };
    let mut hosts: Vec<&str> = Preset::ALL.into_iter().flat_map(Preset::hosts).copied().collect();
    let gateway = ways.gateway_url.split_once("://").map_or("", |(_, rest)| rest);
    let gateway = gateway.split('/').next().unwrap_or_default();
    let gateway = match gateway.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((bracketed, _)) => bracketed,
        None => gateway.split(':').next().unwrap_or_default(),
    };
    if mode.uses_gateway() && ways.is_public {
        hosts.push(gateway);
    }
    // As JSON, a text is one in JavaScript too, whatever is in it.
    let hosts = Value::from(hosts).to_string();
    let answer = Value::from(format!("{word} {place}"));
    out.push_str(
        "function FindProxyForURL(url, host) {\n  host = host.toLowerCase().replace(/\\.$/, \"\");\n",
    );
    let _ = write!(
        out,
        "  var hosts = {hosts};\n  for (var i = 0; i < hosts.length; i++) {{\n    var name = hosts[i];\n    if (host === name || \
         (name.substring(0, 2) === \"*.\" && host.length > name.length - 1 &&\n        host.substring(host.length - \
         name.length + 1) === name.substring(1))) {{\n      return {answer};\n    }}\n  }}\n  return \"DIRECT\";\n}}\n"
    );
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(proxy: Option<&str>) -> Ways {
        Ways {
            is_public: true,
            gateway_url: "https://gateway.corp.example:8443/x".to_owned(),
            proxy_url: proxy.map(str::to_owned),
            proxy_ca_file: None,
        }
    }

    #[test]
    fn each_mode_has_its_file() {
        for mode in [Mode::Direct, Mode::Gateway] {
            let text = script(mode, &ways(None)).unwrap();
            assert!(text.contains("return \"DIRECT\"") && !text.contains("PROXY proxy"), "{text}");
        }
        assert_eq!(script(Mode::Proxy, &ways(None)), None);
        for (proxy, word) in [
            ("http://proxy.corp.example:3128", "\"PROXY proxy.corp.example:3128\""),
            ("https://proxy.corp.example", "\"HTTPS proxy.corp.example:443\""),
            ("http://[fd00::1]", "\"PROXY [fd00::1]:80\""),
        ] {
            let text = script(Mode::Hybrid, &ways(Some(proxy))).unwrap();
            assert!(text.contains(word) && text.contains("\"api.anthropic.com\""), "{text}");
            assert!(text.contains("\"gateway.corp.example\""), "{text}");
            let text = script(Mode::Proxy, &ways(Some(proxy))).unwrap();
            assert!(text.contains(word) && !text.contains("gateway.corp.example"), "{text}");
        }
    }
}
