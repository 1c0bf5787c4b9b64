//! A browser as far as the sign-in page is concerned: cookies, forms, redirects that are not followed.

use std::collections::BTreeMap;

use crate::http::{self, Reply};

/// A browser with its cookies.
pub struct Browser {
    address: String,
    origin: String,
    /// Its cookies.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One that reaches the server at this address and believes to be at this origin.
    pub fn new(address: &str, origin: &str) -> Self {
        Self { address: address.to_owned(), origin: origin.to_owned(), cookies: BTreeMap::new() }
    }

    /// Opens a page.
    pub fn get(&mut self, target: &str, more: &[(&str, &str)]) -> Reply {
        let cookie = self.cookie();
        let headers = [more, &[("cookie", cookie.as_str())]].concat();
        let reply = http::once(&self.address, "GET", target, &headers, b"");
        self.keep(&reply);
        reply
    }

    /// Sends a form as a page of the same origin does.
    pub fn post(&mut self, target: &str, fields: &[(&str, &str)]) -> Reply {
        let origin = self.origin.clone();
        self.post_from(target, fields, &[("origin", &origin), ("sec-fetch-site", "same-origin")])
    }

    /// Sends a form with these headers and the cookies.
    pub fn post_from(&mut self, target: &str, fields: &[(&str, &str)], more: &[(&str, &str)]) -> Reply {
        let cookie = self.cookie();
        let form = [("content-type", "application/x-www-form-urlencoded"), ("cookie", cookie.as_str())];
        let headers = [more, &form].concat();
        let reply = http::once(&self.address, "POST", target, &headers, encoded(fields).as_bytes());
        self.keep(&reply);
        reply
    }

    fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, reply: &Reply) {
        for (_, value) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = value.split(';').next().unwrap_or_default().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// The value of a page's first hidden field of this name.
///
/// # Panics
/// When it has none.
pub fn hidden(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let at = page.find(&start).unwrap_or_else(|| panic!("no field `{name}` in {page}")) + start.len();
    page[at..].split('"').next().unwrap_or_default().to_owned()
}

/// Fields as a form sends them.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The fields of a query.
pub fn query(url: &str) -> BTreeMap<String, String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}
