//! `client login`: a person signs in by the device grant (RFC 8628).

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use zeroize::Zeroizing;

use super::super::output::complain;
use super::super::table::printable;
use super::super::{Failure, Out};
use super::cache::{Cache, Kind};
use super::gateway::{Away, Endpoints, Gateway, Reply};
use super::session::{self, Session};
use crate::clock;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What the gateway is told that signs in.
const SURFACE: &str = "gatehouse_client";
/// By how much the interval grows when the gateway asks for it, or cannot be reached (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// How long a code may be good, whatever the gateway says.
const LONGEST: u64 = 3600;

/// A sign-in that has begun.
struct Begun {
    device_code: Zeroizing<String>,
    user_code: String,
    page: String,
    whole: String,
    lasts: Duration,
    interval: Duration,
    notice: Option<String>,
}

/// Signs somebody in, and keeps the session.
pub(super) fn run(cache: &Cache, gateway: &Gateway, open: bool, out: &mut Out) -> Result<(), Failure> {
    let url = gateway.url();
    let away = |Away(why)| Failure::Unreachable(format!("{} {why}", url.as_str()));
    let endpoints = gateway.endpoints().map_err(away)?;
    let begun = begin(gateway, &endpoints)?;
    tell(&begun, url.as_str(), out)?;
    if open {
        show(&begun.whole);
    }
    let reply = wait(gateway, &endpoints, &begun)?;
    let session = Session::begin(&reply, &endpoints, clock::now()).map_err(away)?;
    let locked = cache.lock(url)?;
    let before = session::kept(cache, url).ok();
    // It may be another person who signs in.
    locked.remove(Kind::Policy)?;
    locked.write(Kind::Session, &session.content())?;
    drop(locked);
    if let Some(token) = before.as_ref().and_then(|before| before.refresh.as_ref()) {
        // Best effort: nobody holds that session any more, and it runs out by itself.
        drop(
            gateway.post(
                &endpoints.revocation,
                &[("token", token.as_str()), ("token_type_hint", "refresh_token")],
            ),
        );
    }
    let who = session.email.as_deref().map(printable);
    if out.wants_json() {
        out.json_line(&json!({"gateway": url.as_str(), "email": session.email}))?;
        return Ok(out.flush()?);
    }
    Ok(out.line(format!(
        "Signed in to {} as {}.",
        url.as_str(),
        who.as_deref().unwrap_or("a user it does not name")
    ))?)
}

fn begin(gateway: &Gateway, endpoints: &Endpoints) -> Result<Begun, Failure> {
    let url = gateway.url().as_str();
    let reply = gateway.post(&endpoints.device, &[("surface", SURFACE)]);
    let reply = reply.map_err(|Away(why)| Failure::Unreachable(format!("{url} {why}")))?;
    if reply.status != 200 {
        return Err(refused(&reply, url));
    }
    let strange = || Failure::Failed(format!("{url} answered without a code; is this a gateway's address?"));
    let text = |name: &str| reply.text(name).ok_or_else(strange);
    let seconds = |name: &str| reply.body[name].as_u64();
    let page = text("verification_uri")?.to_owned();
    Ok(Begun {
        device_code: Zeroizing::new(text("device_code")?.to_owned()),
        user_code: text("user_code")?.to_owned(),
        whole: reply.text("verification_uri_complete").unwrap_or(&page).to_owned(),
        page,
        lasts: Duration::from_secs(seconds("expires_in").ok_or_else(strange)?.min(LONGEST)),
        interval: Duration::from_secs(seconds("interval").unwrap_or(5).clamp(1, 60)),
        notice: reply.text("login_notice").map(str::to_owned),
    })
}

fn tell(begun: &Begun, url: &str, out: &mut Out) -> Result<(), Failure> {
    if out.wants_json() {
        out.json_line(&json!({
            "gateway": url,
            "verification_uri": begun.page,
            "verification_uri_complete": begun.whole,
            "user_code": begun.user_code,
            "expires_in": begun.lasts.as_secs(),
        }))?;
        return Ok(out.flush()?);
    }
    if let Some(notice) = &begun.notice {
        out.line(format!("Notice from {url}:\n{}\n", printable(notice)))?;
    }
    out.line(format!(
        "Open this page in a browser, here or on any other device:\n\n  {}\n\n\
         and see that it shows the code {}. Waiting for {} minutes.",
        printable(&begun.whole),
        printable(&begun.user_code),
        begun.lasts.as_secs() / 60
    ))?;
    Ok(())
}

/// Asks until somebody has decided.
#[expect(clippy::disallowed_methods, reason = "the protocol is to ask again after an interval")]
fn wait(gateway: &Gateway, endpoints: &Endpoints, begun: &Begun) -> Result<Reply, Failure> {
    let url = gateway.url().as_str();
    let until = Instant::now() + begun.lasts;
    let mut interval = begun.interval;
    let form = [("grant_type", GRANT), ("device_code", begun.device_code.as_str())];
    while Instant::now() + interval < until {
        sleep(interval);
        let Ok(reply) = gateway.post(&endpoints.token, &form) else {
            interval += SLOWER;
            continue;
        };
        match (reply.status, reply.text("error")) {
            (200, _) => return Ok(reply),
            (_, Some("authorization_pending")) => {}
            (_, Some("slow_down")) | (500.., _) => interval += SLOWER,
            (_, Some("access_denied")) => {
                return Err(Failure::Failed("the sign-in was denied in the browser".to_owned()));
            }
            (_, Some("expired_token")) => break,
            _ => return Err(refused(&reply, url)),
        }
    }
    Err(Failure::Failed(format!("nobody approved the sign-in at {url} in time; begin it again")))
}

fn refused(reply: &Reply, url: &str) -> Failure {
    let why = match (reply.text("error"), reply.text("error_description")) {
        (Some(_), Some(description)) => printable(description),
        (Some(error), None) => printable(error),
        (None, _) => {
            format!("it answered {}; is this a gateway's address, with sign-in configured?", reply.status)
        }
    };
    let told = format!("{url} does not begin a sign-in: {why}");
    if matches!(reply.status, 429 | 500..) { Failure::Unreachable(told) } else { Failure::Failed(told) }
}

/// Opens a page in this machine's browser. Where that does not work, the address is on the screen already.
fn show(page: &str) {
    let shown = opener(page).is_some_and(|mut opener| {
        opener.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
    });
    if !shown {
        complain("gatehouse: no browser can be opened here; open the page yourself");
    }
}

/// The program that opens a page. No shell sees the address, and nothing but a web address goes to it.
fn opener(page: &str) -> Option<Command> {
    let local = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
    let is_local = local.iter().any(|start| {
        page.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    if !(page.starts_with("https://") || is_local) || !page.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut command = Command::new(if cfg!(target_os = "macos") { "open" } else { "xdg-open" });
    command.arg(page);
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_opened() {
        for page in
            ["https://gw.example.com/device?user_code=A-B", "http://localhost:8080/device", "http://[::1]/d"]
        {
            assert!(opener(page).is_some(), "{page}");
        }
        for page in [
            "file:///etc/passwd",
            "http://gw.example.com/",
            "http://localhost.example.com/",
            "-h",
            "https://a/ b",
            "https://a/\u{202e}",
            "javascript:alert(1)",
        ] {
            assert!(opener(page).is_none(), "{page}");
        }
    }
}
