//! What every form of the sign-in page must bring: it comes from our own page, in a browser that was given it.

use axum::http::{HeaderValue, header};
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::form;

use super::Portal;
use super::request::{Asked, Form};
use super::settings::PublicUrl;

/// How long a choice of language is remembered, in seconds.
const YEAR: u32 = 365 * 24 * 3600;
/// How long a sign-in at an identity provider may take, in seconds.
const PATIENCE: u32 = 600;

/// A cookie of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Binds forms to the browser.
    Form,
    /// Binds a sign-in at an identity provider to the browser.
    Login,
    /// The language chosen.
    Language,
}

impl Cookie {
    /// Its name. `__Host-` keeps other hosts of the same domain from setting it, and needs TLS.
    pub(super) fn name(self, url: &PublicUrl) -> &'static str {
        match (self, url.is_secure()) {
            (Self::Form, true) => "__Host-gatehouse-form",
            (Self::Form, false) => "gatehouse-form",
            (Self::Login, true) => "__Host-gatehouse-login",
            (Self::Login, false) => "gatehouse-login",
            (Self::Language, _) => "gatehouse-language",
        }
    }

    /// The header that sets it. `value` is made of letters, digits, `-` and `_`.
    pub(super) fn set(self, url: &PublicUrl, value: &str) -> Option<HeaderValue> {
        let secure = if url.is_secure() { "; Secure" } else { "" };
        let rest = match self {
            Self::Form => "SameSite=Strict; HttpOnly".to_owned(),
            // The browser comes back from another site.
            Self::Login => format!("SameSite=Lax; HttpOnly; Max-Age={PATIENCE}"),
            Self::Language => format!("SameSite=Lax; HttpOnly; Max-Age={YEAR}"),
        };
        HeaderValue::from_str(&format!("{}={value}; Path=/; {rest}{secure}", self.name(url))).ok()
    }

    /// The header that removes it.
    pub(super) fn remove(self, url: &PublicUrl) -> Option<HeaderValue> {
        let secure = if url.is_secure() { "; Secure" } else { "" };
        HeaderValue::from_str(&format!("{}=; Path=/; Max-Age=0{secure}", self.name(url))).ok()
    }
}

impl<F: Fetch> Portal<F> {
    /// The browser's form cookie, or one to give it.
    pub(super) fn form_cookie(&self, url: &PublicUrl, asked: &Asked) -> (String, bool) {
        match asked.cookie(Cookie::Form.name(url)).filter(|text| form::is_cookie(text)) {
            Some(known) => (known.to_owned(), false),
            None => (form::cookie(&self.app.random()), true),
        }
    }

    /// The proof for that cookie.
    pub(super) fn form_proof(&self, cookie: &str) -> String {
        self.app.keys.with(|set| set.form_key(self.app.now()).proof(cookie))
    }

    /// Whether a form comes from our own page, in a browser that was given it.
    pub(super) fn is_ours(&self, url: &PublicUrl, asked: &Asked, form: &Form) -> bool {
        let cookie = asked.cookie(Cookie::Form.name(url)).unwrap_or_default();
        let proof = form.get("form").unwrap_or_default();
        is_same_origin(url, asked) && self.app.keys.with(|set| set.proves_form(cookie, proof))
    }
}

/// Browsers say where a request comes from: by `Sec-Fetch-Site`, older ones by `Origin`.
fn is_same_origin(url: &PublicUrl, asked: &Asked) -> bool {
    let origin = asked.header(header::ORIGIN);
    if origin.is_some_and(|origin| !origin.eq_ignore_ascii_case(url.origin())) {
        return false;
    }
    match asked.headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        None => origin.is_some(),
    }
}
