//! Requests to the portal, and the paths it serves.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, Method, header};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::telemetry::Signal;
use zeroize::Zeroizing;

use super::reply::Refused;
use crate::telemetry::MAX_BODY;

/// Longest form, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// How a path is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// By anybody, with a body of at most so many bytes.
    Open(usize),
    /// By who holds a good key or session, without a body.
    Granted,
    /// By who holds a good key or session, with a body of at most so many bytes, packed or not.
    Telling(usize),
}

/// A request.
#[derive(Clone)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The query.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The client's address.
    pub peer: IpAddr,
    /// Whose request it is, where that was found out.
    pub principal: Option<Principal>,
}

/// The paths of what people do about their second factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// The page where they sign in for that.
    Page,
    /// Its form.
    SignIn,
    /// The forms that follow.
    Step,
    /// The page of a link.
    Link,
    /// Its form.
    Enroll,
    /// The script for passkeys.
    Script,
}

/// The paths that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Discovery,
    DeviceAuthorization,
    Page,
    Continue,
    Deny,
    Callback,
    Account(Account),
    Survey,
    Token,
    Revoke,
    Protocol,
    Settings,
    Usage,
    Raises,
    Bootstrap,
    Telemetry(Signal),
    InspectionAuthority,
    ProxyPac,
}

impl Path {
    pub(super) fn parse(path: &str) -> Option<Self> {
        Some(match path {
            "/.well-known/oauth-authorization-server" => Self::Discovery,
            "/oauth/device_authorization" => Self::DeviceAuthorization,
            "/device" => Self::Page,
            "/device/continue" => Self::Continue,
            "/device/deny" => Self::Deny,
            "/oauth/callback" => Self::Callback,
            "/account" => Self::Account(Account::Page),
            "/account/sign-in" => Self::Account(Account::SignIn),
            "/account/step" => Self::Account(Account::Step),
            "/account/link" => Self::Account(Account::Link),
            "/account/enroll" => Self::Account(Account::Enroll),
            "/account/passkey.js" => Self::Account(Account::Script),
            "/feedback" => Self::Survey,
            "/oauth/token" => Self::Token,
            "/oauth/revoke" => Self::Revoke,
            "/protocol" => Self::Protocol,
            "/managed/settings" => Self::Settings,
            "/api/oauth/usage" => Self::Usage,
            "/budget/raises" => Self::Raises,
            "/user/bootstrap" => Self::Bootstrap,
            "/inspection/ca.pem" => Self::InspectionAuthority,
            "/v1/metrics" => Self::Telemetry(Signal::Metrics),
            "/v1/logs" => Self::Telemetry(Signal::Logs),
            "/v1/traces" => Self::Telemetry(Signal::Traces),
            "/proxy.pac" => Self::ProxyPac,
            _ => return None,
        })
    }

    /// Whether it is of use only where people can sign in.
    pub(super) const fn is_sign_in(self) -> bool {
        match self {
            Self::Discovery
            | Self::DeviceAuthorization
            | Self::Page
            | Self::Continue
            | Self::Deny
            | Self::Callback
            | Self::Account(_)
            | Self::Survey
            | Self::Token
            | Self::Revoke => true,
            Self::Protocol
            | Self::Settings
            | Self::Usage
            | Self::Raises
            | Self::Bootstrap
            | Self::Telemetry(_)
            | Self::ProxyPac
            | Self::InspectionAuthority => false,
        }
    }

    pub(super) const fn entry(self) -> Entry {
        match self {
            Self::DeviceAuthorization
            | Self::Continue
            | Self::Deny
            | Self::Account(Account::SignIn | Account::Step | Account::Enroll)
            | Self::Survey
            | Self::Token
            | Self::Revoke => Entry::Open(MAX_FORM),
            Self::Discovery
            | Self::Page
            | Self::Callback
            | Self::Account(Account::Page | Account::Link | Account::Script)
            | Self::InspectionAuthority
            | Self::Protocol
            | Self::ProxyPac => Entry::Open(0),
            Self::Settings | Self::Usage | Self::Bootstrap => Entry::Granted,
            Self::Telemetry(_) => Entry::Telling(MAX_BODY),
            Self::Raises => Entry::Telling(MAX_FORM),
        }
    }

    /// The methods it takes, as `Allow` names them.
    pub(super) const fn methods(self) -> &'static str {
        match self {
            Self::Survey | Self::Raises => "GET, HEAD, POST",
            Self::DeviceAuthorization
            | Self::Continue
            | Self::Deny
            | Self::Account(Account::SignIn | Account::Step | Account::Enroll)
            | Self::Token
            | Self::Revoke
            | Self::Telemetry(_) => "POST",
            Self::Discovery
            | Self::Page
            | Self::Callback
            | Self::Account(Account::Page | Account::Link | Account::Script)
            | Self::Protocol
            | Self::Settings
            | Self::Usage
            | Self::Bootstrap
            | Self::ProxyPac
            | Self::InspectionAuthority => "GET, HEAD",
        }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        // A browser's HEAD of the way back would use a sign-in up.
        let as_get = *method == Method::HEAD && self != Self::Callback;
        let wanted = if as_get { "GET" } else { method.as_str() };
        self.methods().split(", ").any(|taken| taken == wanted && taken != "HEAD")
    }
}

impl Asked {
    /// A header's value as text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of a cookie.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        let all = self.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        all.flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The client's program and version.
    pub(super) fn client(&self) -> Option<String> {
        let agent = self.header(header::USER_AGENT)?.split(' ').next()?;
        Some(agent.chars().take(64).collect()).filter(|text: &String| !text.is_empty())
    }

    /// The form in the body.
    pub(super) fn form(&self) -> Result<Form, Refused> {
        let declared = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refused::Invalid("the body must be application/x-www-form-urlencoded"));
        }
        Form::parse(&self.body)
    }

    /// The query's fields.
    pub(super) fn fields(&self) -> Form {
        Form::parse(self.query.as_bytes()).unwrap_or_default()
    }
}

/// Fields by name. Some hold secrets, so there is no `Debug`.
#[derive(Default)]
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    fn parse(text: &[u8]) -> Result<Self, Refused> {
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            // RFC 6749 section 3.2: parameters must not be given more than once.
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Refused::Invalid("a parameter is given twice"));
            }
            fields.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(Self(fields))
    }

    /// A field's value, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}
