//! Which destinations the forward proxy looks into. Off unless hosts are named, and never at a place where people sign in.

use std::fmt;

use super::destination::Host;
use super::rule::HostPattern;

/// Hosts where people sign in. What passes there is passwords and tokens, so that no setting makes the proxy look at it. A name
/// stands for itself and everything below it.
const NEVER: [&str; 20] = [
    "claude.ai",
    "claude.com",
    "console.anthropic.com",
    "auth.anthropic.com",
    "accounts.google.com",
    "oauth2.googleapis.com",
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.live.com",
    "login.windows.net",
    "sts.windows.net",
    "okta.com",
    "oktapreview.com",
    "okta-emea.com",
    "auth0.com",
    "onelogin.com",
    "pingidentity.com",
    "pingone.com",
    "duosecurity.com",
    "appleid.apple.com",
];

/// The operator's choice of what is looked into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Hosts that are looked into: names, or everything below one.
    pub hosts: Vec<HostPattern>,
    /// Hosts that are not, though `hosts` may name them.
    pub never: Vec<HostPattern>,
}

/// Whether a host is looked into, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked<'a> {
    /// It is, since `hosts` has this.
    Into(&'a HostPattern),
    /// It is not, since `never` has this.
    Excepted(&'a HostPattern),
    /// It is not: people sign in there, whatever is configured.
    SignIn,
    /// It is not: nobody could say whose certificate to show for an address.
    Address,
    /// It is not: `hosts` does not have it.
    Unnamed,
}

impl Inspection {
    /// Whether a tunnel to this host is looked into, and what says so.
    pub fn looks(&self, host: &Host) -> Looked<'_> {
        let named = |patterns: &'_ [HostPattern]| patterns.iter().position(|pattern| pattern.fits(host));
        let Some(name) = host.name() else { return Looked::Address };
        match (named(&self.hosts), named(&self.never)) {
            _ if is_sign_in(name) => Looked::SignIn,
            (None, _) => Looked::Unnamed,
            (Some(_), Some(never)) => Looked::Excepted(&self.never[never]),
            (Some(at), None) => Looked::Into(&self.hosts[at]),
        }
    }

    /// Whether a tunnel to this host is looked into.
    pub fn concerns(&self, host: &Host) -> bool {
        matches!(self.looks(host), Looked::Into(_))
    }
}

/// In words, with the setting's name.
impl fmt::Display for Looked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Into(pattern) => write!(f, "`inspection.hosts` has `{pattern}`"),
            Self::Excepted(pattern) => write!(f, "`inspection.never` has `{pattern}`"),
            Self::SignIn => f.write_str("people sign in there, which is never looked into"),
            Self::Address => f.write_str("an address is never looked into"),
            Self::Unnamed => f.write_str("`inspection.hosts` does not have it"),
        }
    }
}

/// Whether people sign in at this host, by the list that no setting changes.
pub fn is_sign_in(name: &str) -> bool {
    NEVER
        .iter()
        .any(|never| name.strip_suffix(never).is_some_and(|front| front.is_empty() || front.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<HostPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nothing_is_looked_into_unless_it_is_named() {
        let off = Inspection::default();
        let on = Inspection {
            hosts: patterns(&["api.anthropic.com", "*.tools.example", "*.okta.com", "claude.ai"]),
            never: patterns(&["private.tools.example"]),
        };
        for (host, expected) in [
            ("api.anthropic.com", true),
            ("anthropic.com", false),
            ("xapi.anthropic.com", false),
            ("api.anthropic.com.evil.example", false),
            ("a.tools.example", true),
            ("tools.example", false),
            ("private.tools.example", false),
            ("corp.okta.com", false),
            ("claude.ai", false),
            ("10.0.0.1", false),
        ] {
            let host = Host::parse(host).unwrap();
            assert_eq!(on.concerns(&host), expected, "{host}");
            assert!(!off.concerns(&host), "{host}");
        }
    }

    #[test]
    fn what_says_so_is_named() {
        let on = Inspection {
            hosts: patterns(&["*.tools.example", "claude.ai"]),
            never: patterns(&["private.tools.example"]),
        };
        for (host, expected) in [
            ("a.tools.example", "`inspection.hosts` has `*.tools.example`"),
            ("private.tools.example", "`inspection.never` has `private.tools.example`"),
            ("claude.ai", "people sign in there, which is never looked into"),
            ("10.0.0.1", "an address is never looked into"),
            ("tools.example", "`inspection.hosts` does not have it"),
        ] {
            assert_eq!(on.looks(&Host::parse(host).unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn sign_in_hosts_are_told_by_whole_labels() {
        for (name, expected) in [
            ("claude.ai", true),
            ("platform.claude.com", true),
            ("notclaude.ai", false),
            ("claude.ai.example", false),
            ("login.microsoftonline.com", true),
            ("api.anthropic.com", false),
        ] {
            assert_eq!(is_sign_in(name), expected, "{name}");
        }
    }
}
