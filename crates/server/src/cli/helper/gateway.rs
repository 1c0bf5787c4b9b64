//! A gateway as the helpers ask it.

use std::time::{Duration, Instant};

use gatehouse_control::portal::PublicUrl;
use gatehouse_domain::settings::{Checksum, Document, Machine, machine};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request, Response};
use zeroize::Zeroizing;

use super::super::client::{agent, encoded};
use super::super::table::printable;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long the question may take whether a session still stands; it is not needed for what follows.
const PROOF: Duration = Duration::from_secs(2);
/// Largest answer, in bytes: a policy has a megabyte at most.
const MAX_ANSWER: u64 = 2 << 20;
const UNAUTHORIZED: u16 = 401;

/// A gateway.
pub(super) struct Gateway {
    url: PublicUrl,
    agent: Agent,
    /// When all that is asked must have been answered.
    until: Option<Instant>,
}

/// Why a gateway has not answered, in words that follow its address.
pub(super) struct Away(pub(super) String);

/// An answer.
pub(super) struct Reply {
    /// Its status.
    pub(super) status: u16,
    /// Its body, if that is JSON.
    pub(super) body: Value,
}

/// Where a gateway takes what; read once, when somebody signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// Where a sign-in begins.
    pub(super) device: String,
    /// Where tokens are given out.
    pub(super) token: String,
    /// Where they are given back.
    pub(super) revocation: String,
}

/// Whether a session still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does, or the gateway does not say.
    Good,
    /// Its token is refused.
    Refused,
}

/// What a gateway says of a user's settings.
pub(super) enum Word {
    /// The token is refused.
    Refused,
    /// There are none.
    Nothing,
    /// Those that were named.
    Same,
    /// These.
    Settings(Document, Checksum),
}

impl Gateway {
    /// A gateway that may take so long in all.
    pub(super) fn new(url: PublicUrl, within: Option<Duration>) -> Self {
        let agent = agent(url.as_str());
        Self { url, agent, until: within.map(|within| Instant::now() + within) }
    }

    /// Its address.
    pub(super) const fn url(&self) -> &PublicUrl {
        &self.url
    }

    /// Where it takes what. An endpoint elsewhere is not believed: as in the coding client, the usual path holds then.
    pub(super) fn endpoints(&self) -> Result<Endpoints, Away> {
        let url = self.url.at("/.well-known/oauth-authorization-server");
        let reply = self.ask(Request::get(url), PATIENCE)?;
        if reply.status != 200 {
            return Err(Away(format!("answered {} where it describes its sign-in", reply.status)));
        }
        let endpoint = |name: &str, path: &str| {
            let said = reply.body[name].as_str().filter(|said| self.is_own(said));
            said.map_or_else(|| self.url.at(path), str::to_owned)
        };
        Ok(Endpoints {
            device: endpoint("device_authorization_endpoint", "/oauth/device_authorization"),
            token: endpoint("token_endpoint", "/oauth/token"),
            revocation: endpoint("revocation_endpoint", "/oauth/revoke"),
        })
    }

    /// Whether an address is of this gateway.
    fn is_own(&self, address: &str) -> bool {
        address.strip_prefix(self.url.origin()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Sends a form.
    pub(super) fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Reply, Away> {
        let form = Zeroizing::new(encoded(form));
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.as_str())
            .map_err(|error| Away(format!("cannot be asked: {error}")))?;
        let request =
            self.agent.configure_request(request).timeout_global(Some(self.left(PATIENCE)?)).build();
        reply(self.agent.run(request))
    }

    /// Whether an access token is still taken. Of what only a good one opens, this is answered from memory.
    pub(super) fn standing(&self, token: &str) -> Standing {
        let request =
            Request::get(self.url.at("/user/bootstrap")).header("authorization", bearer(token).as_str());
        match self.ask(request, PROOF) {
            Ok(reply) if reply.status == UNAUTHORIZED => Standing::Refused,
            _ => Standing::Good,
        }
    }

    /// The settings of who has this token. `known` are those that are at hand, `client` names who asks.
    pub(super) fn settings(
        &self,
        token: &str,
        known: Option<Checksum>,
        machine: Machine,
        client: &str,
    ) -> Result<Word, Away> {
        let mut request = Request::get(self.url.at("/managed/settings"))
            .header("authorization", bearer(token).as_str())
            .header("cache-control", "no-cache")
            .header("user-agent", client)
            .header(machine::HEADER, machine.to_string());
        if let Some(known) = known {
            request = request.header("if-none-match", format!("\"{known}\""));
        }
        let reply = self.ask(request, PATIENCE)?;
        match reply.status {
            200 => settings_of(reply.body),
            304 if known.is_some() => Ok(Word::Same),
            // Only the gateway's own word ends a policy, not whatever stands in front of it.
            404 if reply.body["error"] == "not_found" => Ok(Word::Nothing),
            UNAUTHORIZED => Ok(Word::Refused),
            status => Err(Away(format!("answered {status} where it has settings"))),
        }
    }

    /// What who has this token has asked for; with a body, asks for more.
    pub(super) fn raises(&self, token: &str, body: Option<&Value>) -> Result<Reply, Away> {
        let url = self.url.at("/budget/raises");
        let Some(body) = body else {
            return self.ask(Request::get(url).header("authorization", bearer(token).as_str()), PATIENCE);
        };
        let request = Request::post(url)
            .header("authorization", bearer(token).as_str())
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(body.to_string())
            .map_err(|error| Away(format!("cannot be asked: {error}")))?;
        let request =
            self.agent.configure_request(request).timeout_global(Some(self.left(PATIENCE)?)).build();
        reply(self.agent.run(request))
    }

    fn ask(&self, request: http::request::Builder, patience: Duration) -> Result<Reply, Away> {
        let request = request.header("accept", "application/json").body(());
        let request = request.map_err(|error| Away(format!("cannot be asked: {error}")))?;
        let request =
            self.agent.configure_request(request).timeout_global(Some(self.left(patience)?)).build();
        reply(self.agent.run(request))
    }

    /// How long an answer may take now.
    fn left(&self, patience: Duration) -> Result<Duration, Away> {
        let left = self.until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(Away("did not answer in time".to_owned())) } else { Ok(left.min(patience)) }
    }
}

fn reply(sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Reply, Away> {
    let away = |error: ureq::Error| Away(format!("cannot be reached: {}", printable(&error.to_string())));
    let mut response = sent.map_err(away)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(away)?;
    Ok(Reply { status, body: serde_json::from_slice(&Zeroizing::new(body)).unwrap_or_default() })
}

fn bearer(token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("Bearer {token}"))
}

/// The settings in an answer, if they are what their checksum says.
fn settings_of(mut body: Value) -> Result<Word, Away> {
    let strange = |why: &str| Away(format!("answered with settings that {why}"));
    let said = body["checksum"].as_str().and_then(|text| Checksum::parse(text).ok());
    let said = said.ok_or_else(|| strange("have no checksum"))?;
    let document = Document::from_value(body["settings"].take());
    let document =
        document.map_err(|error| strange(&format!("cannot be used: {}", printable(&error.to_string()))))?;
    let found = Checksum::of(&document);
    if found == said {
        Ok(Word::Settings(document, found))
    } else {
        Err(strange("are not those of their checksum"))
    }
}

impl Reply {
    /// A text in the answer.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body[name].as_str()
    }
}
