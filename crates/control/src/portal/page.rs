//! The sign-in page: works without JavaScript, loads nothing, and does nothing that nobody clicked.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderValue, Response, header};
use gatehouse_identity::device::UserCode;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::oidc::Sources;

use super::Portal;
use super::factor;
use super::form::Cookie;
use super::reply::Tone;
use super::request::Asked;
use super::settings::{Local, PublicUrl, Rules};
use super::text::Language;

const STYLE: &str = ":root{color-scheme:light dark;--ink:#1b1b1b;--paper:#f4f4f2;--card:#fff;--line:#8a8a85;--go:#1f4e8c;\
--bad:#b00020}@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#161616;--card:#222;--line:#8a8a8a;--go:#9cc4ff;\
--bad:#ff8a98}}*{box-sizing:border-box}body{font:1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:2.5rem auto;\
padding:0 1rem;color:var(--ink);background:var(--paper)}main{background:var(--card);border:1px solid var(--line);\
border-radius:.6rem;padding:1.5rem}h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:0 0 .6rem}form{margin:0}\
.way{margin-top:1.2rem;padding-top:1.2rem;border-top:1px solid var(--line)}label{display:block;margin:.6rem 0}\
input{display:block;width:100%;font:inherit;padding:.5rem;border:1px solid var(--line);border-radius:.3rem;\
color:inherit;background:transparent}button{font:inherit;width:100%;padding:.6rem 1rem;border-radius:.3rem;cursor:pointer;\
border:1px solid var(--go);color:var(--card);background:var(--go)}.deny button{color:var(--bad);background:transparent;\
border-color:var(--bad)}.code{font:2rem/1.5 ui-monospace,monospace;letter-spacing:.1em;text-align:center;margin:.8rem 0;\
overflow-wrap:anywhere}.quiet{color:var(--go);background:transparent}.bad{color:var(--bad);border-color:var(--bad)}.after{margin-top:.6rem}.row{display:flex;gap:1rem;\
align-items:center;justify-content:space-between;margin:.6rem 0}.row form{flex:none}\
.row button{width:auto;padding:.3rem .8rem;white-space:nowrap}h1+h2,.told+h2{margin-top:1rem}\
.qr{display:block;width:13rem;max-width:100%;margin:.8rem auto;border-radius:.3rem}.secret,.codes{font-family:\
ui-monospace,monospace;overflow-wrap:anywhere}.codes{list-style:none;padding:0;display:grid;gap:.2rem 1rem;\
grid-template-columns:repeat(auto-fit,minmax(12rem,1fr))}.note{border-left:.3rem solid var(--go);padding-left:.7rem}\
main a{color:var(--go)}.more{margin:.8rem 0 0;font-size:.9rem;text-align:center}\
.told{border-left:.3rem solid var(--bad);padding-left:.7rem}nav{margin-top:1.2rem;font-size:.9rem;\
text-align:center}nav a{margin:0 .5rem;color:var(--go)}:focus-visible{outline:.15rem solid var(--go);outline-offset:.1rem}";

/// A page of another file.
pub(super) struct Own<'a> {
    /// Its heading.
    pub(super) heading: &'a str,
    /// What is in it, given the proof that its forms carry.
    pub(super) body: &'a dyn Fn(&str) -> String,
    /// The path (and query) where it can be had in another language; none in the middle of something.
    pub(super) elsewhere: Option<&'a str>,
}

/// What a page is about.
pub(super) enum Shown<'a> {
    /// The person is to type the code.
    AskForCode,
    /// The person is to approve this code, and to say who they are; perhaps after something went wrong.
    Choose { code: UserCode, told: Option<&'a str> },
    /// It is over, well or not.
    End { said: &'a str, more: &'a str },
    /// Something else.
    Own(&'a Own<'a>),
}

/// A text for a page.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

impl<F: Fetch> Portal<F> {
    /// The page as it is first seen: with a code to approve, or to type one. It does not tell whether there is such a code,
    /// so nothing can be found out here.
    pub(super) fn show_page(&self, rules: &Rules, url: &PublicUrl, asked: &Asked) -> Response<Bytes> {
        let fields = asked.fields();
        let language = Language::of(url, asked, &fields);
        let texts = language.texts();
        let shown = match fields.get("user_code").map(UserCode::parse) {
            None => Shown::AskForCode,
            Some(Ok(code)) => Shown::Choose { code, told: None },
            Some(Err(_)) => Shown::End { said: texts.bad_code, more: "" },
        };
        let tone = if matches!(shown, Shown::End { .. }) { Tone::Refused } else { Tone::Fine };
        let mut response = self.page(rules, url, asked, language, &shown, tone);
        if fields.get("lang").is_some()
            && let Some(cookie) = Cookie::Language.set(url, language.tag())
        {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// A page.
    pub(super) fn page(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        language: Language,
        shown: &Shown<'_>,
        tone: Tone,
    ) -> Response<Bytes> {
        let (cookie, is_new) = self.form_cookie(url, asked);
        let proof = self.form_proof(&cookie);
        let body = match shown {
            Shown::AskForCode => ask_for_code(url, language),
            Shown::Choose { code, told } => choose(rules, url, language, &proof, *code, *told),
            Shown::End { said, more } => format!("<p>{}</p><p>{}</p>", escaped(said), escaped(more)),
            Shown::Own(own) => (own.body)(&proof),
        };
        let elsewhere = match shown {
            Shown::Choose { code, .. } => Some(format!("/device?user_code={code}&")),
            Shown::AskForCode | Shown::End { .. } => Some("/device?".to_owned()),
            Shown::Own(own) => own.elsewhere.map(str::to_owned),
        };
        let title = match shown {
            Shown::Own(own) => own.heading,
            Shown::AskForCode | Shown::Choose { .. } | Shown::End { .. } => language.texts().title,
        };
        let nonce = format!("{:032x}", self.app.random_bits());
        let script = body.contains(factor::MARK).then_some(factor::SCRIPT);
        let html = whole(url, language, &Frame { nonce: &nonce, title, elsewhere, script }, &body);
        let mut response = Response::new(Bytes::from(html));
        *response.status_mut() = tone.status();
        protect(&mut response, rules, url, &nonce, script);
        if is_new && let Some(set) = Cookie::Form.set(url, &cookie) {
            response.headers_mut().append(header::SET_COOKIE, set);
        }
        response
    }
}

/// Headers that keep the page to itself.
fn protect(
    response: &mut Response<Bytes>,
    rules: &Rules,
    url: &PublicUrl,
    nonce: &str,
    script: Option<&str>,
) {
    // A form that ends in a redirect must be allowed to go where that leads.
    let mut targets = "'self'".to_owned();
    for client in rules.oidc.iter().flat_map(Sources::all) {
        for origin in client.issuer().origins() {
            let _ = write!(targets, " {origin}");
        }
    }
    let script = script.map_or_else(String::new, |path| format!(" script-src {};", url.at(path)));
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}';{script} form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: with that a browser hides its `Origin` from ourselves too.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
}

/// What stands around what a page says.
struct Frame<'a> {
    nonce: &'a str,
    title: &'a str,
    elsewhere: Option<String>,
    script: Option<&'a str>,
}

fn whole(url: &PublicUrl, language: Language, frame: &Frame<'_>, body: &str) -> String {
    let (nonce, title) = (frame.nonce, escaped(frame.title));
    let mut switch = String::new();
    if let Some(here) = &frame.elsewhere {
        let path = escaped(&url.path(here));
        for other in Language::ALL.into_iter().filter(|other| *other != language) {
            let (tag, name) = (other.tag(), other.name());
            let _ =
                write!(switch, "<a href=\"{path}lang={tag}\" lang=\"{tag}\" hreflang=\"{tag}\">{name}</a>");
        }
    }
    let script = frame.script.map_or_else(String::new, |path| {
        format!("<script src=\"{}\" defer></script>", escaped(&url.path(path)))
    });
    format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style nonce=\"{nonce}\">{STYLE}</style>{script}</head><body><main><h1>{title}</h1>{body}</main>\
         <nav>{switch}</nav></body></html>",
        language.tag()
    )
}

fn ask_for_code(url: &PublicUrl, language: Language) -> String {
    let t = language.texts();
    format!(
        "<p>{}</p><form method=\"get\" action=\"{}\"><label>{}<input name=\"user_code\" required autofocus \
         autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" maxlength=\"20\"></label>\
         <button>{}</button></form>",
        t.enter_code,
        escaped(&url.path("/device")),
        t.code,
        t.next
    )
}

fn choose(
    rules: &Rules,
    url: &PublicUrl,
    language: Language,
    proof: &str,
    code: UserCode,
    told: Option<&str>,
) -> String {
    let t = language.texts();
    let mut out = String::new();
    if let Some(told) = told {
        let _ = write!(out, "<p class=\"told\" role=\"alert\">{}</p>", escaped(told));
    }
    let _ = write!(out, "<p class=\"code\">{code}</p><p>{}</p>", t.check_code);
    let hidden = format!(
        "<input type=\"hidden\" name=\"user_code\" value=\"{code}\"><input type=\"hidden\" name=\"form\" \
         value=\"{proof}\"><input type=\"hidden\" name=\"lang\" value=\"{}\">",
        language.tag()
    );
    let form = |path, inside: &str| {
        format!("<form method=\"post\" action=\"{}\">{hidden}{inside}</form>", escaped(&url.path(path)))
    };
    let ways = ways(rules, url, language);
    if ways.is_empty() {
        let _ = write!(out, "<div class=\"way\"><p>{}</p></div>", t.no_way);
    }
    for way in ways {
        let _ = write!(out, "<div class=\"way\">{}</div>", form("/device/continue", &way));
    }
    if rules.local == Local::On && url.party().is_some() {
        let way = form("/device/continue", &factor::passkey_way(language));
        let _ = write!(out, "<div class=\"way\"{}{way}</div>", factor::MARK);
    }
    let deny = form("/device/deny", &format!("<button>{}</button>", t.deny));
    let _ = write!(out, "<div class=\"way deny\">{deny}</div>");
    out
}

/// The inside of a form for each way to sign in.
fn ways(rules: &Rules, url: &PublicUrl, language: Language) -> Vec<String> {
    let t = language.texts();
    let mut ways = Vec::new();
    for client in rules.oidc.iter().flat_map(Sources::all) {
        let source = client.source();
        ways.push(format!(
            "<input type=\"hidden\" name=\"way\" value=\"oidc:{}\"><button>{} {}</button>",
            source.id(),
            t.continue_with,
            escaped(source.label())
        ));
    }
    for source in &rules.directories {
        ways.push(format!(
            "<h2>{}</h2><input type=\"hidden\" name=\"way\" value=\"ldap:{}\"><label>{}<input name=\"email\" required \
             autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"256\"></label>\
             <label>{}<input name=\"password\" type=\"password\" required autocomplete=\"current-password\" \
             maxlength=\"1024\"></label><button>{}</button>",
            escaped(&source.label),
            escaped(&source.name),
            t.user_name,
            t.password,
            t.sign_in
        ));
    }
    if rules.local == Local::On {
        ways.push(format!(
            "<h2>{}</h2><input type=\"hidden\" name=\"way\" value=\"local\"><label>{}<input name=\"email\" type=\"email\" \
             required autocomplete=\"username\" maxlength=\"254\"></label><label>{}<input name=\"password\" \
             type=\"password\" required autocomplete=\"current-password\" maxlength=\"1024\"></label><button>{}</button>",
            t.or_password, t.email, t.password, t.sign_in
        ));
        if let Some(way) = ways.last_mut() {
            let link = language.factor_texts().manage_link;
            let _ = write!(
                way,
                "<p class=\"more\"><a href=\"{}\">{link}</a></p>",
                escaped(&url.path("/account"))
            );
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(
            escaped("<img src=x onerror='a()'>&\""),
            "&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;"
        );
    }
}
