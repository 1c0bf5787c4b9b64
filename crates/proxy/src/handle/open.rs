//! From the decision to let somebody through to the end of their tunnel.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gatehouse_domain::proxy::{Close, Form, Host, Verdict};
use gatehouse_egress::Link;
use gatehouse_listener::preamble::announce;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Asked, Connection, Route, inspect, millis};
use crate::body::Body;
use crate::carry::{Client, carry};
use crate::hello::{self, Hello, UNRECOGNIZED_NAME};
use crate::metric;
use crate::plain::{Forwarded, forward, rewritten};
use crate::record::Opened;
use crate::refuse::{Answer, ESTABLISHED};
use crate::serve::Shared;
use crate::settings::{Settings, Unnamed};
use crate::traffic::Traffic;
use crate::tunnels::Place;

/// Opens the tunnel, or forwards the request, and stays until it ends.
pub(super) async fn open(shared: &Arc<Shared>, mut connection: Connection, asked: Asked, route: Route) {
    let settings = shared.parts.settings.load_full();
    let traffic = Arc::<Traffic>::default();
    let (mut opened, mut place) = match admitted(shared, &settings, &asked, &route, &traffic) {
        Ok(admitted) => admitted,
        Err(answer) => {
            // It is refused whether or not that can still be said.
            drop(connection.client.write(&answer.bytes()).await);
            return connection.client.leave().await;
        }
    };
    let why = tokio::select! {
        why = run(shared, &settings, connection, &asked, &route, &mut opened, &traffic) => why,
        cut = &mut place.cut => cut.unwrap_or(Close::Stopped),
        () = traffic.idle(settings.limits.idle) => Close::Idle,
        () = sleep(settings.limits.longest) => Close::Limit,
    };
    // The record first: whoever sees the place free finds it.
    opened.close(why);
    drop(place);
}

/// Takes a place and writes the beginning down.
fn admitted(
    shared: &Arc<Shared>,
    settings: &Settings,
    asked: &Asked,
    route: &Route,
    traffic: &Arc<Traffic>,
) -> Result<(Opened, Place), Answer> {
    let (rule, report, pinned) = match route {
        Route::Gateway => ("gateway".to_owned(), false, Some(settings.gateway.ip())),
        Route::Dial(dial) => (dial.rule.clone(), dial.report, dial.addresses.first().copied()),
    };
    let mut tunnel = asked.record(shared, rule);
    tunnel.pinned = pinned;
    tunnel.inspected = inspect::concerned(settings, asked, route).map(|_| 0);
    let bounds = (settings.limits.max_tunnels, settings.limits.max_tunnels_per_user);
    let where_to = (asked.head.form, &asked.head.destination);
    let place = shared.tunnels.enter(tunnel.id, &asked.known, where_to, traffic, bounds);
    let place = place.map_err(|full| {
        metric::decided(asked.head.form.as_str(), Verdict::Deny);
        let full_of = super::Tunnel { rule: full.0.to_owned(), verdict: Verdict::Deny, ..tunnel.clone() };
        super::refusal_noted(shared, full_of);
        Answer::crowded(full.0)
    })?;
    if report {
        tunnel.verdict = Verdict::Report;
    }
    metric::decided(asked.head.form.as_str(), tunnel.verdict);
    let opened = Opened::begin(shared, tunnel, traffic).map_err(|_| Answer::no_records())?;
    Ok((opened, place))
}

async fn run(
    shared: &Shared,
    settings: &Settings,
    mut connection: Connection,
    asked: &Asked,
    route: &Route,
    opened: &mut Opened,
    traffic: &Traffic,
) -> Close {
    if let Some(within) = inspect::concerned(settings, asked, route) {
        return inspect::run(shared, settings, connection, asked, within, opened, traffic).await;
    }
    let began = Instant::now();
    let Some((server, address)) = connected(shared, settings, asked, route).await else {
        opened.tunnel.connect_ms = Some(millis(began.elapsed()));
        drop(connection.client.write(&Answer::unreachable(&asked.head.destination).bytes()).await);
        connection.client.leave().await;
        return Close::Unreachable;
    };
    opened.tunnel.connect_ms = Some(millis(began.elapsed()));
    opened.tunnel.pinned = address;
    match asked.head.form {
        Form::Plain => plain(connection, server, asked, route, traffic).await,
        Form::Connect => tunnel(shared, settings, connection, server, asked, route, opened, traffic).await,
    }
}

/// Connects to the gateway's listener, or to the destination: to a checked address, which is given, or through a parent proxy.
async fn connected(
    shared: &Shared,
    settings: &Settings,
    asked: &Asked,
    route: &Route,
) -> Option<(Link, Option<IpAddr>)> {
    let limit = settings.limits.connect;
    match route {
        Route::Gateway => {
            let (at, port) = (settings.gateway.ip(), settings.gateway.port());
            let (server, at) = gatehouse_egress::dial(&[at], port, limit).await.ok()?;
            told(settings, asked, server).await.map(|server| (Link::Plain(server), Some(at)))
        }
        Route::Dial(dial) => {
            let destination = &asked.head.destination;
            let opened = shared.parts.egress.tunnel(destination, &dial.addresses, limit).await;
            opened.map_err(|why| tracing::debug!(%why, "a tunnel has no way out")).ok()
        }
    }
}

/// Tells our own gateway for whom the connection is, where it expects that.
async fn told(settings: &Settings, asked: &Asked, mut server: TcpStream) -> Option<TcpStream> {
    let from = server.local_addr().ok()?;
    if settings.announces.as_ref().is_some_and(|proxies| proxies.believes(from.ip())) {
        // The client's port is of no use to anybody.
        let preamble = announce(SocketAddr::new(asked.client, 0), server.peer_addr().ok()?);
        server.write_all(&preamble).await.ok()?;
    }
    Some(server)
}

async fn plain(
    mut connection: Connection,
    server: Link,
    asked: &Asked,
    route: &Route,
    traffic: &Traffic,
) -> Close {
    let forwarded = match route {
        Route::Gateway => Forwarded::For(asked.client),
        Route::Dial(_) => Forwarded::Not,
    };
    match Body::of(&asked.head) {
        Ok(body) => {
            let head = rewritten(&asked.head, forwarded);
            forward(connection.client, server, &head, body, connection.unread, traffic).await
        }
        Err(bad) => {
            drop(connection.client.write(&Answer::bad_head(&bad).bytes()).await);
            connection.client.leave().await;
            Close::Refused
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "each is a part of the tunnel, and it is called once")]
async fn tunnel(
    shared: &Shared,
    settings: &Settings,
    mut connection: Connection,
    server: Link,
    asked: &Asked,
    route: &Route,
    opened: &mut Opened,
    traffic: &Traffic,
) -> Close {
    if connection.client.write(ESTABLISHED).await.is_err() {
        return Close::ClientGone;
    }
    if matches!(route, Route::Dial(_)) {
        connection = match greeted(connection, settings, asked, opened, settings.unnamed).await {
            Ok(connection) => connection,
            Err(why) => return why,
        };
    }
    let Connection { client, unread } = connection;
    carry(client, server, &unread, &shared.pipes, traffic).await
}

/// Lets a tunnel go on if the client greets the very host that it asked for.
pub(super) async fn greeted(
    mut connection: Connection,
    settings: &Settings,
    asked: &Asked,
    opened: &mut Opened,
    unnamed: Unnamed,
) -> Result<Connection, Close> {
    let greeting = greeting(&mut connection, settings).await;
    match judged(&greeting, &asked.head.destination.host, unnamed) {
        Judged::Through => Ok(connection),
        Judged::Left(why) => Err(why),
        Judged::Refused(rule) => {
            denied(opened, rule);
            if matches!(greeting, Greeting::Tls(_)) {
                drop(connection.client.write(&UNRECOGNIZED_NAME).await);
            }
            connection.client.leave().await;
            Err(Close::Refused)
        }
    }
}

/// A tunnel that had been let through is refused after all.
pub(super) fn denied(opened: &mut Opened, rule: &str) {
    rule.clone_into(&mut opened.tunnel.rule);
    opened.tunnel.verdict = Verdict::Deny;
    metric::decided("connect", Verdict::Deny);
}

/// What a client begins with.
#[derive(Debug, PartialEq, Eq)]
enum Greeting {
    /// TLS, with the host that it names.
    Tls(Option<String>),
    /// Something else.
    Other,
    /// Nothing, for too long.
    Silent,
    /// It left.
    Left(Close),
}

/// Reads the client's greeting and keeps its bytes for the destination.
async fn greeting(connection: &mut Connection, settings: &Settings) -> Greeting {
    let end = Instant::now() + settings.limits.hello;
    let Connection { client, unread } = connection;
    loop {
        if !unread.is_empty() {
            match hello::read(unread) {
                Hello::Found(name) => return Greeting::Tls(name),
                Hello::Not => return Greeting::Other,
                Hello::More => {}
            }
        }
        match timeout_at(end, Client::read_more(client, unread)).await {
            Ok(Ok(0)) if unread.is_empty() => return Greeting::Left(Close::Done),
            Ok(Ok(0)) => return Greeting::Other,
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Greeting::Left(Close::ClientGone),
            Err(_) if unread.is_empty() => return Greeting::Silent,
            Err(_) => return Greeting::Other,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Through,
    Left(Close),
    Refused(&'static str),
}

/// A greeting must name the host that was asked for; what names none goes through as the operator says.
#[expect(clippy::match_same_arms, reason = "in the order in which it is judged")]
fn judged(greeting: &Greeting, host: &Host, unnamed: Unnamed) -> Judged {
    match greeting {
        Greeting::Left(why) => Judged::Left(*why),
        Greeting::Tls(Some(name)) if host.name() == Some(name) => Judged::Through,
        Greeting::Tls(Some(_)) => Judged::Refused("sni"),
        // An address has no name to be greeted by.
        Greeting::Tls(None) if host.name().is_none() || unnamed != Unnamed::Refuse => Judged::Through,
        Greeting::Tls(None) => Judged::Refused("sni"),
        Greeting::Other | Greeting::Silent if unnamed == Unnamed::Anything => Judged::Through,
        Greeting::Other | Greeting::Silent => Judged::Refused("not-tls"),
    }
}
