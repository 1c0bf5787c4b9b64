//! What the portal is configured with.

use std::collections::BTreeMap;

use axum::http::Uri;
use gatehouse_identity::ci::Exchange;
use gatehouse_identity::ldap::Directory;
use gatehouse_identity::oidc::Sources;
use gatehouse_identity::webauthn::Party;

/// Everything the portal is configured with; a reload swaps the whole.
pub struct Rules {
    /// Where clients and browsers reach the gateway; without it nobody can sign in.
    pub public_url: Option<PublicUrl>,
    /// How long an access token works, in milliseconds; at least 600,000.
    pub access_ms: i64,
    /// How long a session lasts, in milliseconds, however often it is refreshed.
    pub session_ms: i64,
    /// Shown by the client while it waits; at most 500 characters.
    pub notice: Option<String>,
    /// Whether people may sign in with a password kept here.
    pub local: Local,
    /// Whether those who do must have a second factor.
    pub second_factor: SecondFactor,
    /// Where people sign in by OpenID Connect.
    pub oidc: Option<Sources>,
    /// Whom each of these sources lets in, by its name.
    pub admissions: BTreeMap<String, Admission>,
    /// Directories where people sign in with name and password, in the order of the page.
    pub directories: Vec<DirectorySource>,
    /// Which jobs of CI become which service accounts; without it no job does.
    pub jobs: Option<Jobs>,
    /// Models that clients may be told of.
    pub models: Vec<String>,
    /// What becomes of telemetry.
    pub telemetry: crate::telemetry::Rules,
}

/// Whether people may sign in with a password kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// They may.
    On,
    /// They may not.
    Off,
}

/// Whether people who sign in with a password kept here must show something else as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondFactor {
    /// Who has one must show it.
    Optional,
    /// Who has none must add one before anything else.
    Required,
}

/// Which jobs of CI become which service accounts.
pub struct Jobs {
    /// The rules. The service of each is the e-mail address of an account.
    pub exchange: Exchange,
    /// What else they say, by their names.
    pub rules: BTreeMap<String, JobRule>,
}

/// What a rule on the tokens of jobs says besides what they must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRule {
    /// Where its jobs come from, as their sessions say: `ci:NAME`.
    pub source: String,
    /// The audience that their tokens have.
    pub audience: String,
    /// Name of the team to charge; without it the account's only one.
    pub team: Option<String>,
}

/// A directory and whom it lets in.
pub struct DirectorySource {
    /// Its name in configuration and sessions.
    pub name: String,
    /// Its name on the page.
    pub label: String,
    /// The directory.
    pub directory: Directory,
    /// Whom it lets in.
    pub admission: Admission,
}

/// Whom a source lets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Whether somebody who is not known here is added.
    pub create: bool,
    /// Whether somebody who has signed in elsewhere comes in here as the same user, by their address.
    pub join: bool,
    /// Names of the teams for members of the source's groups, by group.
    pub teams: BTreeMap<String, String>,
}

/// Where clients reach the gateway. Never taken from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    origin: String,
    path: String,
}

/// A text that is no public URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as \"https://gateway.example.com\": {0}")]
pub struct BadPublicUrl(&'static str);

impl PublicUrl {
    /// Reads an address: `https`, or `http` to this machine. A path is kept, a `/` at its end is not.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, BadPublicUrl> {
        let uri: Uri = text.parse().map_err(|_| BadPublicUrl("it does not parse"))?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BadPublicUrl("it must begin with https://"));
        };
        // The client refuses anything else as well.
        if scheme == "http" && !matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]") {
            return Err(BadPublicUrl("plain http is for localhost, 127.0.0.1 and [::1] only"));
        }
        if authority.as_str().contains('@') || text.contains(['?', '#']) {
            return Err(BadPublicUrl("it must have no user, query or fragment"));
        }
        let origin = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { text: format!("{origin}{path}"), origin, path })
    }

    /// The address, without a `/` at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address of a path of ours.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// A path of ours as a browser sees it.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// Where we are for passkeys; none when the host is an address.
    pub(super) fn party(&self) -> Option<Party> {
        Party::at(&self.origin)
    }

    /// Whether browsers reach us by TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_https_or_this_machine() {
        for (text, url, path) in [
            ("https://gw.corp.example", "https://gw.corp.example", "/device"),
            ("https://GW.corp.example:8443/", "https://gw.corp.example:8443", "/device"),
            ("https://corp.example/gw/", "https://corp.example/gw", "/gw/device"),
            ("http://localhost:8080", "http://localhost:8080", "/device"),
            ("http://[::1]:8080", "http://[::1]:8080", "/device"),
        ] {
            let parsed = PublicUrl::parse(text).unwrap();
            assert_eq!((parsed.as_str(), parsed.path("/device").as_str()), (url, path), "{text}");
            assert_eq!(parsed.is_secure(), url.starts_with("https"));
        }
        for text in [
            "",
            "gw.corp.example",
            "http://gw.corp.example",
            "ftp://x",
            "https://",
            "https://a@b",
            "https://a/?x",
            "https://a/#x",
            "http://localhost.example.com",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }
}
