//! What the data path is told: limits, providers, prices. Immutable; a reload swaps the whole.

mod inspection;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gatehouse_domain::data_class::{DataClasses, Level};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::network::Proxies;
use gatehouse_domain::price::PriceTable;
use gatehouse_domain::proxy::Destination;
use gatehouse_domain::routing::Routing;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::server_name;
use gatehouse_providers::anthropic::CredentialKind;
use gatehouse_providers::cloud::Dialect;
use gatehouse_providers::sigv4::{AwsKeys, Scope};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::ClientConfig;

use crate::health::Health;
use crate::learn::Learned;
use crate::portal::Later;
use crate::protection::Protection;
use crate::quota::{Configured, Quota};

pub use inspection::{Inspection, Paid};

/// Everything the data path is configured with.
#[derive(Clone)]
pub struct Settings {
    /// Bounds on what clients may use.
    pub limits: Limits,
    /// What happens to an upstream reply whose client has left.
    pub client_gone: ClientGone,
    /// Where requests go: the first that serves the model. An empty list refuses every request that needs a model.
    pub providers: Vec<Arc<Provider>>,
    /// What things cost.
    pub prices: Arc<PriceTable>,
    /// Proxies that are believed when they say for whom they ask.
    pub proxies: Proxies,
    /// The order of data classes.
    pub classes: DataClasses,
    /// The header in which a client may say that its data is of a higher class than what else is known of it.
    pub class_header: Option<HeaderName>,
    /// Which provider a request goes to, and which others may take its place.
    pub routing: Arc<Routing>,
    /// What becomes of what the forward proxy looks into; none where it looks into nothing.
    pub inspection: Option<Arc<Inspection>>,
    /// What is looked for in requests; none where nothing is.
    pub protection: Option<Arc<Protection>>,
}

/// Whose request it is: the connection's other end, or whom a proxy of ours asks for.
pub fn client_of(proxies: &Proxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    // Nearly always nobody is believed, or nothing is said.
    if proxies.is_empty() {
        return peer;
    }
    // A line that is no text is one that cannot be read.
    let lines = headers.get_all(proxies.header().as_str()).iter().map(|value| value.to_str().unwrap_or("?"));
    proxies.client(peer, lines)
}

impl Settings {
    /// The class that a client says its data has: the highest, should it say several. What cannot be read is above all.
    pub(crate) fn class_said(&self, headers: &HeaderMap) -> Level {
        let Some(name) = &self.class_header else { return Level::default() };
        let level = |value: &HeaderValue| self.classes.level_of(value.to_str().unwrap_or_default().trim());
        headers.get_all(name).iter().map(level).max().unwrap_or_default()
    }
}

/// Bounds on what clients may use (promise P9). Behavior at each bound is a refusal from the table in
/// `refusal.rs`, or, where no reply is possible, the end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body in bytes; above it 413 (the provider's own limit is 32 MB).
    pub max_body: u64,
    /// Bytes of request bodies held at once by all connections; above it 529.
    pub body_budget: u64,
    /// Largest request head in bytes; above it 431.
    pub max_head: usize,
    /// Open connections in all; above it a new one is closed at once.
    pub max_connections: usize,
    /// Open connections of one client address; above it a new one is closed at once.
    pub max_connections_per_address: usize,
    /// Requests under way at once; above it 529.
    pub max_in_flight: usize,
    /// Time for a request's head, from its first byte.
    pub head: Duration,
    /// Time without progress while a request's body is read; then 408.
    pub body_idle: Duration,
    /// Time for a request's whole body; then 408.
    pub body: Duration,
    /// Time a connection may rest between requests.
    pub idle: Duration,
    /// Time a client may leave a reply unread; then its connection is cut.
    pub write_stall: Duration,
    /// Silence on a stream after which a `ping` event of our own is sent.
    pub ping: Duration,
}

/// What happens to an upstream reply whose client has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientGone {
    /// Streams: cancelling ends the provider's work and its bill; usage is then an estimate from what was seen.
    pub stream: Abandoned,
    /// Plain replies: nothing is known of their usage before they are complete, so they are worth waiting for.
    pub plain: Abandoned,
    /// How long an abandoned reply is read on.
    pub drain: Duration,
}

/// What to do with an abandoned upstream reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Close the upstream connection.
    Cancel,
    /// Read it to its end, for its usage.
    Drain,
}

/// A model provider as the data path reaches it.
pub struct Provider {
    /// Its name in configuration, records and metrics.
    pub name: Arc<str>,
    /// Host and port to connect to.
    pub place: Destination,
    /// The addresses that may be connected to, where the rules of a guest's proxy have checked them; else the name is looked up.
    /// A parent proxy looks it up itself.
    pub addresses: Option<Vec<IpAddr>>,
    /// The way there.
    pub egress: Egress,
    /// What goes into `Host`.
    pub authority: HeaderValue,
    /// Path before `/v1/...`; empty or `/something`.
    pub prefix: String,
    /// TLS configuration for `https`; `None` for `http`.
    pub tls: Option<Arc<ClientConfig>>,
    /// How it is spoken to.
    pub face: Face,
    /// The models that it serves, by name or by the beginning of one followed by `*`; empty for all.
    pub serves: Vec<String>,
    /// Time for the connection, TLS included.
    pub connect: Duration,
    /// Time from sending a request to the reply's head.
    pub first_byte: Duration,
    /// Silence within a reply after which it counts as broken off.
    pub stream_idle: Duration,
    /// Time an unused connection is kept.
    pub pool_idle: Duration,
    /// Connections at once on each worker; above it 529.
    pub max_connections: usize,
    /// The region that it is in, for residency; empty if it is in none.
    pub region: String,
    /// Where signatures of thinking that it issues are valid: at the providers of the same family.
    pub family: String,
    /// How it fares. A provider changed by a reload begins anew.
    pub health: Health,
    /// What it has said that it does not know. A provider changed by a reload begins anew.
    pub learned: Learned,
    /// What it lets us have. A provider changed by a reload begins anew.
    pub quota: Quota,
}

/// How a provider is spoken to.
pub enum Face {
    /// As Anthropic's API: requests go on as they came, with this header, whose value is marked sensitive.
    Plain(HeaderName, HeaderValue),
    /// In a cloud's way.
    Cloud(Box<Dialect>, Credential),
    /// As Anthropic's API, by the credential that the request carries, and with these headers.
    Caller(Vec<(HeaderName, HeaderValue)>),
}

/// What a cloud is shown. What is replaced before it runs out is none until it has come for the first time.
pub enum Credential {
    /// A header that stays the same, its value marked sensitive.
    Header(HeaderName, HeaderValue),
    /// The value of `authorization`, marked sensitive.
    Token(Arc<Current<HeaderValue>>),
    /// Keys that sign each request.
    Signing {
        /// What the signatures are for.
        scope: Scope,
        /// The keys.
        keys: Arc<Current<AwsKeys>>,
        /// Keys for each user in place of these.
        tagged: Option<Arc<dyn Tagged>>,
    },
}

/// Keys for each user, so that a cloud's bill says for whom a request was.
pub trait Tagged: Send + Sync {
    /// Somebody's keys, if they are at hand. Returns at once.
    fn at_hand(&self, principal: &Principal) -> Option<Arc<AwsKeys>>;

    /// Fetches somebody's keys, after which they are at hand unless that failed. Runs on the portal's runtime, for a bounded
    /// time; however many call for the same person, they are fetched once.
    fn fetch(&self, principal: &Principal) -> Later<()>;
}

/// Something that is replaced while it is in use.
pub type Current<T> = ArcSwapOption<T>;

impl Credential {
    /// A key in a header.
    ///
    /// # Errors
    /// [`BadProvider::Credential`], with the provider's name.
    pub fn header(provider: &str, kind: CredentialKind, key: &str) -> Result<Self, BadProvider> {
        let (name, value) = credential(provider, kind, key)?;
        Ok(Self::Header(name, value))
    }
}

/// A provider's configuration, in words.
pub struct ProviderSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// `http://host[:port][/prefix]` or `https://…`.
    pub base_url: &'a str,
    /// How it is spoken to.
    pub face: Face,
    /// See [`Provider::serves`].
    pub serves: Vec<String>,
    /// TLS configuration, for `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// See [`Provider::egress`].
    pub egress: Egress,
    /// See [`Provider::connect`].
    pub connect: Duration,
    /// See [`Provider::first_byte`].
    pub first_byte: Duration,
    /// See [`Provider::stream_idle`].
    pub stream_idle: Duration,
    /// See [`Provider::pool_idle`].
    pub pool_idle: Duration,
    /// See [`Provider::max_connections`].
    pub max_connections: usize,
    /// See [`Provider::region`].
    pub region: String,
    /// See [`Provider::family`].
    pub family: String,
    /// Its limits.
    pub quota: Configured,
}

/// Why a provider cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum BadProvider {
    /// The address is not one.
    #[error("base_url `{given}` is not an address such as https://api.anthropic.com: {why}")]
    BaseUrl {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// The credential cannot be a header's value.
    #[error("the credential of provider `{0}` has characters that cannot be sent in a header")]
    Credential(String),
}

impl Provider {
    /// Checks and prepares a provider. Opens no connection.
    pub fn new(mut spec: ProviderSpec<'_>) -> Result<Self, BadProvider> {
        let bad = |why: &str| BadProvider::BaseUrl { given: spec.base_url.to_owned(), why: why.to_owned() };
        let uri: http::Uri = spec.base_url.parse().map_err(|_| bad("it does not parse"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it must not hold a user name or password"));
        }
        if uri.query().is_some() {
            return Err(bad("it must not have a query"));
        }
        let tls = match (https, &spec.tls) {
            (true, Some(tls)) => Some(Arc::clone(tls)),
            (true, None) => return Err(bad("https needs a TLS configuration")),
            (false, _) => None,
        };
        let place = Destination::parse(authority.as_str(), Some(if https { 443 } else { 80 }))
            .map_err(|error| bad(&error.to_string()))?;
        if server_name(&place.host).is_none() {
            return Err(bad("its host is no name for a certificate"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        if let Face::Cloud(dialect, _) = &mut spec.face {
            dialect.prefix.clone_from(&prefix);
        }
        Ok(Self {
            name: spec.name.into(),
            place,
            addresses: None,
            egress: spec.egress,
            authority: host_header(authority),
            prefix,
            tls,
            face: spec.face,
            serves: spec.serves,
            connect: spec.connect,
            first_byte: spec.first_byte,
            stream_idle: spec.stream_idle,
            pool_idle: spec.pool_idle,
            max_connections: spec.max_connections,
            region: spec.region,
            family: spec.family,
            health: Health::new(),
            learned: Learned::default(),
            quota: Quota::new(spec.quota),
        })
    }

    /// Whether there is something to show it.
    pub fn has_credential(&self) -> bool {
        match &self.face {
            Face::Plain(..) | Face::Caller(_) | Face::Cloud(_, Credential::Header(..)) => true,
            Face::Cloud(_, Credential::Token(token)) => token.load().is_some(),
            Face::Cloud(_, Credential::Signing { keys, .. }) => keys.load().is_some(),
        }
    }

    /// Whether it serves a model.
    pub fn is_for(&self, model: &str) -> bool {
        self.serves.is_empty()
            || self.serves.iter().any(|served| match served.strip_suffix('*') {
                Some(start) => model.starts_with(start),
                None => model == served,
            })
    }

    /// The request target for one of the API's paths, with the client's query; none if together they are too long.
    pub(crate) fn target(&self, path: &str, query: Option<&str>) -> Option<http::Uri> {
        let mut text = String::with_capacity(self.prefix.len() + path.len() + 1 + query.map_or(0, str::len));
        text.push_str(&self.prefix);
        text.push_str(path);
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        PathAndQuery::try_from(text).ok().map(http::Uri::from)
    }
}

fn credential(
    provider: &str,
    kind: CredentialKind,
    key: &str,
) -> Result<(HeaderName, HeaderValue), BadProvider> {
    gatehouse_providers::anthropic::credential_header(kind, key)
        .map_err(|_| BadProvider::Credential(provider.to_owned()))
}

fn host_header(authority: &Authority) -> HeaderValue {
    HeaderValue::from_str(authority.as_str()).expect("an authority has only visible ASCII characters")
}
