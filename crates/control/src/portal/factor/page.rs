//! The pages about second factors. They work without a script, except where a passkey is asked for.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::directory::User;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::totp::{RecoveryCode, TotpSecret};
use gatehouse_identity::webauthn::ALGORITHMS;
use gatehouse_store::factor::{Factors, MAX_PASSKEYS, Passkey};
use serde_json::json;

use super::text::Texts;
use super::{At, Portal, SecondFactor, Ticket, Why, picture};
use crate::portal::page::{Own, Shown, escaped};
use crate::portal::reply::Tone;
use crate::portal::settings::PublicUrl;
use crate::portal::text::Language;

/// What stands in every page that needs the script for passkeys, and in no other.
pub(in crate::portal) const MARK: &str = " data-passkey hidden>";
/// What browsers and authenticator apps call us.
const SITE: &str = "Gatehouse";

/// The inside of a form that leads to signing in with a passkey; it stands in what [`MARK`] hides until the script runs.
pub(in crate::portal) fn passkey_way(language: Language) -> String {
    let label = language.factor_texts().use_passkey;
    format!("<input type=\"hidden\" name=\"way\" value=\"passkey\"><button class=\"quiet\">{label}</button>")
}

impl<F: Fetch> Portal<F> {
    /// The page where people sign in to change their factors.
    pub(super) fn account_page(&self, at: At<'_>, told: Option<&str>, tone: Tone) -> Response<Bytes> {
        let (t, texts) = (at.language.factor_texts(), at.language.texts());
        let body = |proof: &str| {
            let form = |inside: &str| post(at, "/account/sign-in", proof, None, inside, "");
            let password = format!(
                "<input type=\"hidden\" name=\"way\" value=\"local\"><label>{}<input name=\"email\" type=\"email\" required \
                 autocomplete=\"username\" maxlength=\"254\"></label><label>{}<input name=\"password\" type=\"password\" \
                 required autocomplete=\"current-password\" maxlength=\"1024\"></label><button>{}</button>",
                texts.email, texts.password, texts.sign_in
            );
            let mut out = format!("{}<p>{}</p>{}", alert(told), t.account_intro, form(&password));
            if at.url.party().is_some() {
                let _ = write!(out, "<div class=\"way\"{MARK}{}</div>", form(&passkey_way(at.language)));
            }
            out
        };
        self.own(at, t.heading, &body, Some("/account?"), tone)
    }

    /// The page of a link.
    pub(super) fn link_page(&self, at: At<'_>, link: &str) -> Response<Bytes> {
        let t = at.language.factor_texts();
        // Only what can stand in an address of ours goes into one.
        let link: String =
            link.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(64).collect();
        let body = |proof: &str| {
            let inside = format!(
                "<input type=\"hidden\" name=\"link\" value=\"{link}\"><button>{}</button>",
                at.language.texts().next
            );
            format!("<p>{}</p>{}", t.link_intro, post(at, "/account/enroll", proof, None, &inside, ""))
        };
        self.own(at, t.heading, &body, Some(&format!("/account/link?link={link}&")), Tone::Fine)
    }

    /// The page that asks for a passkey instead of a password.
    pub(super) fn passkey_page(&self, at: At<'_>, ticket: &Ticket, told: Option<Why>) -> Response<Bytes> {
        let t = at.language.factor_texts();
        let told = told.map(|_| t.bad_factor);
        let body = |proof: &str| {
            // Not asked at once after a failure, or the browser would ask for ever.
            let once = if told.is_none() { " data-at=\"once\"" } else { "" };
            format!(
                "{}<noscript><p>{}</p></noscript><p>{}</p>{}",
                alert(told),
                t.needs_script,
                t.passkey_waits,
                passkey_form(at, proof, ticket, &[], once)
            )
        };
        self.own(at, at.language.texts().title, &body, None, tone(told))
    }

    /// The page that asks for a second factor.
    pub(super) fn factor_page(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        factors: &Factors,
        told: Option<Why>,
    ) -> Response<Bytes> {
        let t = at.language.factor_texts();
        let told = told.map(|_| t.bad_factor);
        let body = |proof: &str| {
            let label = if factors.totp.is_some() { t.code_or_recovery } else { t.recovery_code };
            let code = format!(
                "<label>{label}<input name=\"code\" required autofocus autocomplete=\"one-time-code\" \
                 autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"32\"></label><button>{}</button>",
                t.verify
            );
            let code = step(at, proof, ticket, "code", &code, "");
            let mut out = format!("{}<p>{}</p>", alert(told), t.second_intro);
            let passkey = if factors.passkeys.is_empty() || at.url.party().is_none() {
                String::new()
            } else {
                passkey_form(at, proof, ticket, &factors.passkeys, "")
            };
            // What the person has comes first; recovery codes are for when it is lost.
            if factors.totp.is_some() || passkey.is_empty() {
                let _ = write!(out, "{code}{passkey}");
            } else {
                let _ = write!(out, "{passkey}<div class=\"way\">{code}</div>");
            }
            out
        };
        self.own(at, t.second, &body, None, tone(told))
    }

    /// The page where a person adds and removes factors.
    pub(super) fn manage_page(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        user: &User,
        factors: &Factors,
        told: Option<Why>,
    ) -> Response<Bytes> {
        let t = at.language.factor_texts();
        let is_required = at.rules.second_factor == SecondFactor::Required;
        let told = told.map(|_| t.not_added);
        let body = |proof: &str| {
            let mut out = alert(told);
            let _ = write!(out, "<p>{}</p>", escaped(&user.email));
            if is_required && factors.is_empty() {
                let _ = write!(out, "<p class=\"note\">{}</p>", t.required);
            }
            let count = factors.passkeys.len() + usize::from(factors.totp.is_some());
            let may_remove = !(is_required && count == 1);
            let page = Manage { at, proof, ticket, t, may_remove };
            page.totp(&mut out, factors);
            page.passkeys(&mut out, user, factors);
            if !factors.is_empty() {
                let button = format!("<button class=\"quiet\">{}</button>", t.new_codes);
                let _ = write!(
                    out,
                    "<div class=\"way\"><h2>{}</h2><p>{}{}</p>{}</div>",
                    t.recovery,
                    t.left,
                    factors.recovery_codes,
                    step(at, proof, ticket, "codes", &button, "")
                );
            }
            let waits = ticket.row.device.is_some();
            if !(waits && is_required && factors.is_empty()) {
                let label = if waits { t.go_on } else { t.done };
                let button = format!("<button>{label}</button>");
                let _ = write!(
                    out,
                    "<div class=\"way\">{}</div>",
                    step(at, proof, ticket, "finish", &button, "")
                );
            }
            out
        };
        self.own(at, t.heading, &body, None, tone(told))
    }

    /// The page that shows an authenticator's secret, once, and asks for a code of it.
    pub(super) fn totp_page(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        user: &User,
        secret: &TotpSecret,
        told: Option<Why>,
    ) -> Response<Bytes> {
        let t = at.language.factor_texts();
        let told = told.map(|_| t.bad_factor);
        let issuer = host(at.url).map_or_else(|| SITE.to_owned(), |host| format!("{SITE} {host}"));
        let uri = secret.enrollment_uri(&issuer, &user.email);
        let body = |proof: &str| {
            let code = format!(
                "<label>{}<input name=\"code\" required autofocus inputmode=\"numeric\" autocomplete=\"one-time-code\" \
                 maxlength=\"9\"></label><button>{}</button>",
                t.code, t.verify
            );
            let back = format!("<button class=\"quiet\">{}</button>", t.back);
            format!(
                "{}<h2>{}</h2><p>{}</p>{}<p><a href=\"{}\">{}</a></p><p>{}</p><p class=\"secret\">{}</p>{}{}",
                alert(told),
                t.totp,
                t.scan,
                picture::svg(&uri, t.picture).unwrap_or_default(),
                escaped(&uri),
                t.open_app,
                t.type_secret,
                grouped(&secret.to_base32()),
                step(at, proof, ticket, "totp-code", &code, ""),
                step(at, proof, ticket, "back", &back, "class=\"after\"")
            )
        };
        self.own(at, t.heading, &body, None, tone(told))
    }

    /// The page that shows fresh recovery codes, once.
    pub(super) fn codes_page(&self, at: At<'_>, ticket: &Ticket, codes: &[RecoveryCode]) -> Response<Bytes> {
        let t = at.language.factor_texts();
        let act = if ticket.row.device.is_some() { "finish" } else { "back" };
        let body = |proof: &str| {
            let (mut list, mut file) = (String::new(), String::new());
            for code in codes {
                let text = code.reveal();
                let _ = write!(list, "<li>{}</li>", *text);
                let _ = write!(file, "{}%0A", *text);
            }
            let button = format!("<button>{}</button>", t.kept);
            format!(
                "<h2>{}</h2><p>{}</p><ul class=\"codes\">{list}</ul><p><a download=\"gatehouse-recovery-codes.txt\" \
                 href=\"data:text/plain;charset=utf-8,{file}\">{}</a></p>{}",
                t.recovery,
                t.codes_intro,
                t.download,
                step(at, proof, ticket, act, &button, "")
            )
        };
        self.own(at, t.heading, &body, None, Tone::Fine)
    }

    /// The end of what is done about factors.
    pub(super) fn finished_page(&self, at: At<'_>) -> Response<Bytes> {
        let t = at.language.factor_texts();
        let body = |_: &str| format!("<p>{}</p><p>{}</p>", t.finished, t.finished_more);
        self.own(at, t.heading, &body, Some("/account?"), Tone::Fine)
    }

    fn own(
        &self,
        at: At<'_>,
        heading: &str,
        body: &dyn Fn(&str) -> String,
        elsewhere: Option<&str>,
        tone: Tone,
    ) -> Response<Bytes> {
        let own = Own { heading, body, elsewhere };
        self.page(at.rules, at.url, at.asked, at.language, &Shown::Own(&own), tone)
    }
}

/// The parts of the page where factors are added and removed.
struct Manage<'a> {
    at: At<'a>,
    proof: &'a str,
    ticket: &'a Ticket,
    t: &'static Texts,
    may_remove: bool,
}

impl Manage<'_> {
    fn totp(&self, out: &mut String, factors: &Factors) {
        let t = self.t;
        let _ = write!(out, "<div class=\"way\"><h2>{}</h2>", t.totp);
        if let Some(totp) = &factors.totp {
            let said = self.dates(totp.created_at, totp.used_at);
            let removal = self.removal("remove-totp", "");
            let _ = write!(out, "<div class=\"row\"><span>{said}</span>{removal}</div>");
        } else {
            let button = format!("<button class=\"quiet\">{}</button>", t.add_totp);
            let form = step(self.at, self.proof, self.ticket, "totp", &button, "");
            let _ = write!(out, "<p>{}</p>{form}", t.totp_intro);
        }
        out.push_str("</div>");
    }

    fn passkeys(&self, out: &mut String, user: &User, factors: &Factors) {
        let t = self.t;
        let Some(party) = self.at.url.party() else { return };
        let _ = write!(out, "<div class=\"way\"><h2>{}</h2><p>{}</p>", t.passkeys, t.passkeys_intro);
        for passkey in &factors.passkeys {
            let said = self.dates(passkey.created_at, passkey.used_at);
            let id = format!("<input type=\"hidden\" name=\"credential\" value=\"{}\">", base64(&passkey.id));
            let _ = write!(
                out,
                "<div class=\"row\"><span>{said}</span>{}</div>",
                self.removal("remove-passkey", &id)
            );
        }
        if factors.passkeys.len() < MAX_PASSKEYS {
            let asked = json!({
                "make": true,
                "challenge": base64(&self.ticket.row.challenge.unwrap_or_default()),
                "party": party.id(),
                "site": SITE,
                "user": user.id.to_string(),
                "email": user.email,
                "algorithms": ALGORITHMS,
                "known": factors.passkeys.iter().map(|passkey| base64(&passkey.id)).collect::<Vec<_>>(),
            });
            let inside = format!(
                "<input type=\"hidden\" name=\"client_data\"><input type=\"hidden\" name=\"attestation\">\
                 <button class=\"quiet\">{}</button>",
                t.add_passkey
            );
            let more = format!("data-asked=\"{}\"", escaped(&asked.to_string()));
            let form = step(self.at, self.proof, self.ticket, "add-passkey", &inside, &more);
            let _ = write!(
                out,
                "<noscript><p>{}</p></noscript><div{MARK}{form}<p class=\"told\" role=\"alert\" data-failed hidden>{}</p></div>",
                t.needs_script, t.passkey_failed
            );
        }
        out.push_str("</div>");
    }

    fn removal(&self, act: &str, inside: &str) -> String {
        if !self.may_remove {
            return String::new();
        }
        let button = format!("{inside}<button class=\"quiet bad\">{}</button>", self.t.remove);
        step(self.at, self.proof, self.ticket, act, &button, "")
    }

    fn dates(&self, created: UnixMillis, used: Option<UnixMillis>) -> String {
        let t = self.t;
        match used {
            Some(used) => format!("{} {}<br>{} {}", t.added, day(created), t.used, day(used)),
            None => format!("{} {}<br>{}", t.added, day(created), t.not_used),
        }
    }
}

/// The form that asks the browser for a passkey: one of `known`, or any when there are none.
fn passkey_form(at: At<'_>, proof: &str, ticket: &Ticket, known: &[Passkey], more: &str) -> String {
    let t = at.language.factor_texts();
    let party = at.url.party();
    let asked = json!({
        "challenge": base64(&ticket.row.challenge.unwrap_or_default()),
        "party": party.as_ref().map(gatehouse_identity::webauthn::Party::id),
        "known": known.iter().map(|passkey| base64(&passkey.id)).collect::<Vec<_>>(),
    });
    let mut inside = String::new();
    for name in ["credential", "client_data", "authenticator_data", "signature"] {
        let _ = write!(inside, "<input type=\"hidden\" name=\"{name}\">");
    }
    let quiet = if known.is_empty() { "" } else { " class=\"quiet\"" };
    let _ = write!(inside, "<button{quiet}>{}</button>", t.use_passkey);
    let more = format!("data-asked=\"{}\"{more}", escaped(&asked.to_string()));
    format!(
        "<div class=\"way\"{MARK}{}<p class=\"told\" role=\"alert\" data-failed hidden>{}</p></div>",
        step(at, proof, ticket, "passkey", &inside, &more),
        t.passkey_failed
    )
}

/// A form in the middle of a sign-in.
fn step(at: At<'_>, proof: &str, ticket: &Ticket, act: &str, inside: &str, more: &str) -> String {
    let inside = format!("<input type=\"hidden\" name=\"act\" value=\"{act}\">{inside}");
    post(at, "/account/step", proof, Some(ticket), &inside, more)
}

fn post(at: At<'_>, path: &str, proof: &str, ticket: Option<&Ticket>, inside: &str, more: &str) -> String {
    let ticket = ticket.map_or_else(String::new, |ticket| {
        format!("<input type=\"hidden\" name=\"ticket\" value=\"{}\">", ticket.text)
    });
    let space = if more.is_empty() { "" } else { " " };
    format!(
        "<form method=\"post\" action=\"{}\"{space}{more}><input type=\"hidden\" name=\"form\" value=\"{proof}\">\
         <input type=\"hidden\" name=\"lang\" value=\"{}\">{ticket}{inside}</form>",
        escaped(&at.url.path(path)),
        at.language.tag()
    )
}

fn alert(told: Option<&str>) -> String {
    told.map_or_else(String::new, |told| format!("<p class=\"told\" role=\"alert\">{told}</p>"))
}

const fn tone(told: Option<&str>) -> Tone {
    if told.is_some() { Tone::Refused } else { Tone::Fine }
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::Encoding as _;
    base64ct::Base64UrlUnpadded::encode_string(bytes)
}

/// The day of a time.
fn day(at: UnixMillis) -> String {
    at.to_string().chars().take(10).collect()
}

/// A secret in groups of four, for who types it in.
fn grouped(secret: &str) -> String {
    let mut out = String::new();
    for (at, character) in secret.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            out.push(' ');
        }
        out.push(character);
    }
    out
}

/// The host of our address, without port.
fn host(url: &PublicUrl) -> Option<String> {
    url.party().map(|party| party.id().to_owned())
}
