//! Who must reach what, by mode.

use gatehouse_domain::mode::Mode;
use gatehouse_domain::proxy::{Destination, Preset};
use url::Url;

use crate::config::{Address, Channel, CloudCredential, Config, ForwardKind, Parent, Transport};

/// On which machine a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Machine {
    /// A person's.
    Client,
    /// One that Gatehouse runs on.
    Server,
}

impl Machine {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// How the destination is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One thing that must be let through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// From where.
    pub(super) from: Machine,
    /// Whether work stops without it.
    pub(super) required: bool,
    /// A name, a name with `*.` in front, or an address.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// How.
    pub(super) protocol: Protocol,
    /// What for, in words.
    pub(super) what_for: String,
}

/// What must be let through in a mode.
pub(super) fn entries(config: &Config, mode: Mode) -> Vec<Entry> {
    let mut list = List(Vec::new());
    clients(config, mode, &mut list);
    let mut sent = List(Vec::new());
    servers(config, mode, &mut sent);
    list.0.extend(sent.0.into_iter().flat_map(|entry| by_parents(config, entry)));
    direct(config, mode, &mut list);
    let mut entries = list.0;
    // What is needed for one thing is not optional because of another.
    entries.sort();
    let mut out: Vec<Entry> = Vec::new();
    for required in [true, false] {
        for entry in entries.iter().filter(|entry| entry.required == required) {
            let same = |known: &&mut Entry| {
                (known.from, &known.host, known.port, known.protocol)
                    == (entry.from, &entry.host, entry.port, entry.protocol)
            };
            match out.iter_mut().find(same) {
                Some(known) if known.what_for.split("; ").any(|what| what == entry.what_for) => {}
                Some(known) => known.what_for = format!("{}; {}", known.what_for, entry.what_for),
                None => out.push(entry.clone()),
            }
        }
    }
    out
}

struct List(Vec<Entry>);

impl List {
    fn add(&mut self, from: Machine, required: bool, host: &str, port: u16, what_for: impl Into<String>) {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let what_for = what_for.into();
        self.0.push(Entry { from, required, host, port, protocol: Protocol::Tcp, what_for });
    }

    /// The host and port of an address; what is none is left to the configuration's own checks.
    fn url(&mut self, from: Machine, required: bool, address: &str, what_for: impl Into<String>) {
        let Ok(url) = Url::parse(address) else { return };
        let known = match url.scheme() {
            "ldap" => Some(389),
            "ldaps" => Some(636),
            "postgres" | "postgresql" => Some(5432),
            _ => url.port_or_known_default(),
        };
        if let (Some(host), Some(port)) = (url.host_str(), url.port().or(known)) {
            self.add(from, required, host, port, what_for);
        }
    }

    fn preset(&mut self, from: Machine, preset: Preset) {
        let (required, what_for) = match preset {
            Preset::Core => (true, "the model, and the client's own settings"),
            Preset::SignIn => (false, "signing in with the provider's accounts"),
            Preset::Updates => (false, "updates and plugins of the client"),
            Preset::Npm => (false, "packages from npm: the client itself, and servers for tools"),
            Preset::Connectors => (false, "connectors that the provider runs"),
            Preset::Telemetry => (false, "the client's telemetry to its maker"),
            Preset::Artifacts => (false, "artifacts and previews"),
            Preset::Docs => (false, "the client's documentation"),
        };
        for host in preset.hosts() {
            self.add(from, required, host, 443, what_for);
        }
    }
}

/// From people's machines.
fn clients(config: &Config, mode: Mode, list: &mut List) {
    use Machine::Client;
    let gateway = config.listen.public_url.as_ref().map(|url| url.as_str().to_owned());
    let gateway = gateway.unwrap_or_else(|| {
        let scheme = if config.tls.gateway.files.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", config.listen.gateway)
    });
    if mode != Mode::Hybrid
        && let Some(at) = config.listen.otlp
        && let Some(host) = Url::parse(&gateway).ok().as_ref().and_then(Url::host_str)
    {
        list.add(Client, false, host, at.port(), "telemetry by gRPC");
    }
    match mode {
        Mode::Direct => {
            for preset in Preset::ALL {
                list.preset(Client, preset);
            }
            list.url(Client, false, &gateway, "the gateway: telemetry and settings");
        }
        Mode::Proxy => {
            proxy(config, list);
            list.url(
                Client,
                false,
                &gateway,
                "the gateway: telemetry and settings, where not through the proxy",
            );
        }
        Mode::Gateway => {
            list.url(Client, true, &gateway, "the gateway");
            for preset in [Preset::Updates, Preset::Npm, Preset::Docs] {
                list.preset(Client, preset);
            }
        }
        // The gateway's name is reached through the proxy.
        Mode::Hybrid => proxy(config, list),
    }
}

fn proxy(config: &Config, list: &mut List) {
    match (&config.mode.proxy_url, config.listen.proxy) {
        (Some(url), _) => {
            // Written without a port, it is the scheme's.
            list.url(Machine::Client, true, url, "the forward proxy");
        }
        (None, Some(at)) => {
            list.add(Machine::Client, true, &at.ip().to_string(), at.port(), "the forward proxy");
        }
        (None, None) => {}
    }
}

/// From the machines that Gatehouse runs on.
fn servers(config: &Config, mode: Mode, list: &mut List) {
    use Machine::Server;
    if mode.uses_gateway() {
        for provider in &config.providers {
            list.url(Server, true, &provider.base_url, format!("the provider `{}`", provider.name));
            match provider.cloud.as_ref().map(|cloud| &cloud.credential) {
                Some(CloudCredential::Amazon(amazon)) => {
                    if amazon.role.is_some() || amazon.profile.is_some() {
                        let what_for = format!("roles for the provider `{}`", provider.name);
                        list.url(Server, true, &amazon.sts_url, what_for);
                    }
                }
                Some(CloudCredential::Google(_)) => {
                    let what_for = format!("access tokens for the provider `{}`", provider.name);
                    list.add(Server, true, "oauth2.googleapis.com", 443, what_for);
                }
                Some(CloudCredential::Key) | None => {}
            }
        }
    }
    if mode.uses_proxy() {
        // Where it may go, the access rules say; more than this, nobody needs for the coding client.
        for preset in Preset::ALL {
            // In hybrid mode the model is asked by the gateway only.
            if mode == Mode::Proxy || preset != Preset::Core {
                list.preset(Server, preset);
            }
        }
    }
    for source in &config.identity.oidc {
        list.url(Server, true, &source.issuer, format!("the identity provider `{}`", source.name));
    }
    for source in &config.identity.ci {
        list.url(Server, true, &source.issuer, format!("the issuer of CI tokens `{}`", source.name));
    }
    for collector in &config.telemetry.collectors {
        list.url(Server, false, &collector.endpoint, format!("the collector `{}`", collector.name));
    }
    for report in &config.provider_reports {
        list.url(Server, false, &report.base_url, format!("the reports `{}`", report.name));
    }
    for forward in &config.log_forwards {
        if let ForwardKind::Http { url, .. } = &forward.kind {
            list.url(Server, false, url, format!("the log's destination `{}`", forward.name));
        }
    }
    for receiver in &config.alerts.receivers {
        let what_for = format!("alerts for `{}`", receiver.name);
        match &receiver.channel {
            Channel::Email(mail) => list.add(Server, false, &mail.host, mail.port, what_for),
            Channel::Hook { url: Address::Plain(url), .. } => list.url(Server, false, url, what_for),
            // Where it is is a secret.
            Channel::Hook { url: Address::Secret(_), .. } => {}
        }
    }
}

/// What is let through for something that the server sends: itself, or the parent proxies that lead there.
fn by_parents(config: &Config, entry: Entry) -> Vec<Entry> {
    let egress = &config.egress;
    let is_v6 = entry.host.contains(':');
    let host = if is_v6 { format!("[{}]", entry.host) } else { entry.host.clone() };
    // What is exempt below a name is exempt for a pattern of such names.
    let to = Destination::parse(&format!("{}:{}", host.replace("*.", "any."), entry.port), None);
    let is_exempt = to.is_ok_and(|to| egress.exempt.iter().any(|exemption| exemption.holds(&to)));
    if egress.parents.is_empty() || is_exempt {
        return vec![entry];
    }
    let through = |parent: &Parent| Entry {
        host: parent.at.host.to_string().trim_matches(['[', ']']).to_owned(),
        port: parent.at.port,
        what_for: format!("the parent proxy `{}`, for all that goes by parents", parent.name),
        ..entry.clone()
    };
    egress.parents.iter().map(through).collect()
}

/// What the server reaches directly although there may be parent proxies.
fn direct(config: &Config, mode: Mode, list: &mut List) {
    use Machine::Server;
    let servers = config.proxy.name_servers.iter().filter(|_| mode.uses_proxy());
    for (server, protocol) in servers.flat_map(|server| [(server, Protocol::Udp), (server, Protocol::Tcp)]) {
        list.0.push(Entry {
            from: Server,
            required: true,
            host: server.ip().to_string(),
            port: server.port(),
            protocol,
            what_for: "names, for the forward proxy".to_owned(),
        });
    }
    for directory in &config.directories {
        for server in &directory.servers {
            list.url(Server, true, &server.to_string(), format!("the directory `{}`", directory.source));
        }
    }
    for forward in &config.log_forwards {
        if let ForwardKind::Syslog { by, host, port, .. } = &forward.kind {
            let what_for = format!("the log's destination `{}`", forward.name);
            list.add(Server, false, host, *port, what_for);
            if let (Transport::Udp, Some(entry)) = (by, list.0.last_mut()) {
                entry.protocol = Protocol::Udp;
            }
        }
    }
    if config.store.url != "sqlite" {
        list.url(Server, true, &config.store.url, "the database");
    }
}
