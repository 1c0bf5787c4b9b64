//! Which way a connection takes, and opening it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gatehouse_domain::egress::{Closed, Exemption, Origin, may_reach};
use gatehouse_domain::network::Network;
use gatehouse_domain::proxy::{Destination, Host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::ask::NotThrough;
use crate::dial::dial;
use crate::link::Link;
use crate::parent::Parent;

/// How long finding out whether a parent works may take.
const LOOK: Duration = Duration::from_secs(10);

/// What the operator decides. Swapped whole on reload.
#[derive(Default)]
pub struct Settings {
    /// Parent proxies, in the order in which they are asked; without any everything goes directly.
    pub parents: Vec<Arc<Parent>>,
    /// What goes directly although there are parents.
    pub exempt: Vec<Exemption>,
    /// Networks inside the organization that others than the operator may name hosts in.
    pub internal: Vec<Network>,
    /// How long connecting to one parent may take, TLS included.
    pub connect: Duration,
    /// After how long a parent that does not work is looked at again, at first.
    pub retry: Duration,
}

impl Settings {
    fn is_by_parent(&self, to: &Destination) -> bool {
        !self.parents.is_empty() && !self.exempt.iter().any(|exemption| exemption.holds(to))
    }
}

/// The way out. Clones are the same one.
#[derive(Clone, Default)]
pub struct Egress(Arc<ArcSwap<Settings>>);

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// Its name could not be looked up.
    #[error("`{0}` cannot be looked up: {1}")]
    Lookup(Host, io::Error),
    /// It may not be reached.
    #[error("`{host}` {closed}; {}", hint(.closed))]
    Closed {
        /// The host.
        host: Host,
        /// Its address.
        closed: Closed,
        /// Who named it.
        origin: Origin,
    },
    /// It cannot be connected to.
    #[error("`{0}` cannot be connected to: {1}")]
    Unreachable(Destination, io::Error),
    /// No parent led there.
    #[error("no parent proxy leads to `{to}`: {}", told(.parents))]
    NoParent {
        /// Where to.
        to: Destination,
        /// Those that were asked, and what became of it.
        parents: Vec<(String, NotThrough)>,
    },
    /// It took too long.
    #[error("`{0}` does not answer in time")]
    Late(Host),
}

/// What could be done about it, were it named by the configuration.
fn hint(closed: &Closed) -> &'static str {
    // Judged as if every network were open: what is closed then nothing opens.
    let all = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"].map(str::parse::<Network>);
    let all: Vec<Network> = all.into_iter().flatten().collect();
    match may_reach(closed.address, Origin::Given, &all) {
        Ok(()) => "`egress.internal` opens networks",
        Err(_) => "nothing opens it",
    }
}

fn told(parents: &[(String, NotThrough)]) -> String {
    let each: Vec<String> = parents.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
    if each.is_empty() { "there is none".to_owned() } else { each.join("; ") }
}

/// How a parent fares, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentState {
    /// Its name.
    pub name: String,
    /// Whether it was ever asked for anything.
    pub asked: bool,
    /// Why it does not work.
    pub trouble: Option<NotThrough>,
}

impl Egress {
    /// A way out with these settings.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self(Arc::new(ArcSwap::new(settings)))
    }

    /// Puts other settings in force. What is open stays open.
    pub fn replace(&self, settings: Arc<Settings>) {
        self.0.store(settings);
    }

    /// Whether connections to this go through a parent.
    pub fn is_by_parent(&self, to: &Destination) -> bool {
        self.0.load().is_by_parent(to)
    }

    /// How the parents fare.
    pub fn parents(&self) -> Vec<ParentState> {
        let state = |parent: &Arc<Parent>| ParentState {
            name: parent.name().to_owned(),
            asked: parent.was_asked(),
            trouble: parent.trouble(),
        };
        self.0.load().parents.iter().map(state).collect()
    }

    /// Connects within this time. A name is looked up once, all its addresses are checked, and one of those is connected to. A
    /// parent looks names up itself; what this system knows of them is checked nevertheless, unless the operator wrote them.
    ///
    /// # Errors
    /// Says why not, without anything secret.
    pub async fn open(&self, to: &Destination, origin: Origin, limit: Duration) -> Result<Link, NotOpened> {
        let settings = self.0.load_full();
        let end = Instant::now() + limit;
        let is_by_parent = settings.is_by_parent(to);
        let addresses = match &to.host {
            Host::Address(address) => vec![*address],
            Host::Name(_) if is_by_parent && origin == Origin::Configured => Vec::new(),
            Host::Name(name) => match timeout_at(end, look_up(name)).await {
                Ok(Ok(found)) => found,
                Ok(Err(_)) | Err(_) if is_by_parent => Vec::new(),
                Ok(Err(error)) => return Err(NotOpened::Lookup(to.host.clone(), error)),
                Err(_) => return Err(NotOpened::Late(to.host.clone())),
            },
        };
        // One bad address is enough: a name that has some of each is up to something.
        for address in &addresses {
            may_reach(*address, origin, &settings.internal).map_err(|closed| NotOpened::Closed {
                host: to.host.clone(),
                closed,
                origin,
            })?;
        }
        let left = end.saturating_duration_since(Instant::now());
        if is_by_parent {
            return by_parents(&settings, to, left).await;
        }
        let dialed = dial(&addresses, to.port, left).await;
        dialed
            .map(|(socket, _)| Link::Plain(socket))
            .map_err(|error| NotOpened::Unreachable(to.clone(), error))
    }

    /// Connects to something whose addresses have been checked by other rules: to one of those, or through a parent, which looks
    /// the name up itself. Gives the address that it went to; none behind a parent.
    ///
    /// # Errors
    /// Says why not, without anything secret.
    pub async fn tunnel(
        &self,
        to: &Destination,
        checked: &[IpAddr],
        limit: Duration,
    ) -> Result<(Link, Option<IpAddr>), NotOpened> {
        let settings = self.0.load_full();
        if settings.is_by_parent(to) {
            return by_parents(&settings, to, limit).await.map(|link| (link, None));
        }
        let dialed = dial(checked, to.port, limit).await;
        let (socket, address) = dialed.map_err(|error| NotOpened::Unreachable(to.clone(), error))?;
        Ok((Link::Plain(socket), Some(address)))
    }

    /// Connects to where the machine's own platform answers it: directly and unchecked, since those are the very addresses that
    /// nothing else may reach.
    ///
    /// # Errors
    /// Says why not.
    pub async fn platform(to: &Destination, limit: Duration) -> Result<Link, NotOpened> {
        let addresses = match &to.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                look_up(name).await.map_err(|error| NotOpened::Lookup(to.host.clone(), error))?
            }
        };
        let dialed = dial(&addresses, to.port, limit).await;
        dialed
            .map(|(socket, _)| Link::Plain(socket))
            .map_err(|error| NotOpened::Unreachable(to.clone(), error))
    }

    /// Looks after the parents once: those that do not work are asked again for what they failed at when it is time, and one that
    /// was never asked is asked for `first`.
    pub async fn look_after(&self, first: &[Destination]) {
        let settings = self.0.load_full();
        let first = first.iter().find(|to| settings.is_by_parent(to));
        let mut looks = JoinSet::new();
        for parent in &settings.parents {
            if let Some(to) = parent.due(first) {
                let (parent, connect, retry) = (Arc::clone(parent), settings.connect, settings.retry);
                // What comes of it is noted there; the tunnel is closed again.
                looks.spawn(async move { drop(parent.open(&to, connect, LOOK, retry).await) });
            }
        }
        while looks.join_next().await.is_some() {}
    }
}

async fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for address in tokio::net::lookup_host((name, 0)).await? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

/// Asks the parents in their order, those last that did not work before.
async fn by_parents(settings: &Settings, to: &Destination, limit: Duration) -> Result<Link, NotOpened> {
    let end = Instant::now() + limit;
    let (up, down): (Vec<_>, Vec<_>) = settings.parents.iter().partition(|parent| parent.is_up());
    let all: Vec<_> = up.into_iter().chain(down).collect();
    let mut parents = Vec::new();
    for (index, parent) in all.iter().enumerate() {
        // One that is silent leaves as much time to each of the others.
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(all.len() - index).unwrap_or(1).max(1);
        match parent.open(to, settings.connect, share, settings.retry).await {
            Ok(link) => return Ok(link),
            Err(why) => {
                let is_final = why.is_final();
                parents.push((parent.name().to_owned(), why));
                if is_final {
                    break;
                }
            }
        }
    }
    Err(NotOpened::NoParent { to: to.clone(), parents })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::parent::ParentSpec;

    const LIMIT: Duration = Duration::from_secs(20);

    fn listening() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn to(host: &str, port: u16) -> Destination {
        Destination::parse(&format!("{host}:{port}"), None).unwrap()
    }

    fn through(parent: &str, settings: Settings) -> Egress {
        let at = Destination::parse(parent, None).unwrap();
        let parent =
            Parent::new(ParentSpec { name: "p", at, tls: None, credentials: Some(("u", b"canary")) });
        Egress::new(Arc::new(Settings {
            parents: vec![Arc::new(parent)],
            connect: LIMIT,
            retry: LIMIT,
            ..settings
        }))
    }

    #[tokio::test]
    async fn what_others_name_is_not_connected_to_inside_the_organization() {
        let (listener, port) = listening();
        let direct = Egress::default();
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let refused = direct.open(&to(host, port), Origin::Given, LIMIT).await.err().unwrap();
            assert!(matches!(refused, NotOpened::Closed { .. }), "{refused}");
            assert!(refused.to_string().ends_with("`egress.internal` opens networks"), "{refused}");
        }
        let metadata =
            direct.open(&to("169.254.169.254", port), Origin::Configured, LIMIT).await.err().unwrap();
        assert!(metadata.to_string().ends_with("nothing opens it"), "{metadata}");
        assert!(listener.accept().is_err(), "something connected");
        let internal = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let open = Egress::new(Arc::new(Settings { internal, ..Settings::default() }));
        assert!(open.open(&to("127.0.0.1", port), Origin::Given, LIMIT).await.is_ok());
        assert!(direct.open(&to("127.0.0.1", port), Origin::Configured, LIMIT).await.is_ok());
        assert!(Egress::platform(&to("127.0.0.1", port), LIMIT).await.is_ok());
    }

    #[tokio::test]
    async fn a_parent_is_no_way_round_the_check_of_addresses() {
        let (listener, port) = listening();
        let egress = through(&format!("127.0.0.1:{port}"), Settings::default());
        for host in ["localhost", "10.1.2.3", "169.254.169.254"] {
            let refused = egress.open(&to(host, 443), Origin::Given, LIMIT).await.err().unwrap();
            assert!(matches!(refused, NotOpened::Closed { .. }), "{refused}");
        }
        assert!(listener.accept().is_err(), "the parent was asked");
    }

    #[tokio::test]
    async fn a_parent_that_is_away_is_named_without_its_password_and_asked_last() {
        let (listener, port) = listening();
        drop(listener);
        let exempt = vec!["direct.example".parse().unwrap()];
        let egress = through(&format!("127.0.0.1:{port}"), Settings { exempt, ..Settings::default() });
        assert!(
            egress.is_by_parent(&to("api.example", 443)) && !egress.is_by_parent(&to("direct.example", 443))
        );
        assert_eq!(egress.parents()[0], ParentState { name: "p".to_owned(), asked: false, trouble: None });
        let refused = egress.open(&to("api.example", 443), Origin::Configured, LIMIT).await.err().unwrap();
        let told = refused.to_string();
        assert!(
            told.starts_with("no parent proxy leads to `api.example:443`: `p`: it cannot be connected to"),
            "{told}"
        );
        assert!(!format!("{refused:?}").contains("canary"));
        assert!(matches!(egress.parents()[0].trouble, Some(NotThrough::Unreachable(_))));
    }
}
