//! What the data path is told of what the forward proxy looks into.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::proxy::{Destination, Host, HostPattern};
use gatehouse_egress::Egress;
use http::{HeaderName, HeaderValue};
use rustls::ClientConfig;

use super::{Face, Provider};
use crate::guest::booked_as;
use crate::health::Health;
use crate::learn::Learned;
use crate::quota::{Configured, Quota};

/// What becomes of requests that the forward proxy looks into.
pub struct Inspection {
    /// Hosts whose model requests go through the stages. All other requests are passed on as they are.
    pub models: Vec<String>,
    /// By whose credential model requests are made.
    pub paid: Paid,
    /// Headers that are added to every request to the hosts that fit, in place of what the client says.
    pub added: Vec<(HostPattern, HeaderName, HeaderValue)>,
    /// By which the hosts' certificates are verified.
    pub tls: Arc<ClientConfig>,
    /// The way to them.
    pub egress: Egress,
    /// See [`Provider::connect`].
    pub connect: Duration,
    /// See [`Provider::first_byte`].
    pub first_byte: Duration,
    /// See [`Provider::stream_idle`].
    pub stream_idle: Duration,
}

/// By whose credential a model request is made that the forward proxy looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// By the one that it carries, at the host that it is for.
    Caller,
    /// By the organization's, at its own providers, as a request to the gateway.
    Organization,
}

impl Provider {
    /// A host that a guest means, reached at these addresses only, or through a parent proxy, and by the guest's own credential.
    pub(crate) fn of_caller(
        rules: &Inspection,
        host: String,
        port: u16,
        addresses: Vec<IpAddr>,
        added: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        let authority = if port == 443 { host.clone() } else { format!("{host}:{port}") };
        Self {
            name: booked_as(&host).into(),
            authority: HeaderValue::from_str(&authority).unwrap_or(HeaderValue::from_static("invalid")),
            place: Destination { host: Host::Name(host), port },
            addresses: Some(addresses),
            egress: rules.egress.clone(),
            prefix: String::new(),
            tls: Some(Arc::clone(&rules.tls)),
            face: Face::Caller(added),
            serves: Vec::new(),
            connect: rules.connect,
            first_byte: rules.first_byte,
            stream_idle: rules.stream_idle,
            pool_idle: rules.stream_idle,
            // HTTP/1.1 without multiplexing has one request at a time.
            max_connections: 2,
            region: String::new(),
            family: String::new(),
            health: Health::new(),
            learned: Learned::default(),
            quota: Quota::new(Configured::default()),
        }
    }
}
