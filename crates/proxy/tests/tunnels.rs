//! The proxy by itself: real connections on loopback, a policy and records in memory, a name server of our own.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use base64ct::{Base64, Encoding as _};
use gatehouse_domain::directory::{KeyState, Purpose, UserState};
use gatehouse_domain::id::{KeyId, NodeId, OrgId, TunnelId, UserId};
use gatehouse_domain::key::{KeyKind, Pepper, RANDOM_LEN, VirtualKey};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::policy::{KeyGrant, Proofs, Snapshot};
use gatehouse_domain::proxy::{
    Access, Action, Close, Destination, Gate, Holder, Inspection, Policy, Rule, Tunnel, Verdict,
};
use gatehouse_domain::time::UnixMillis;
use gatehouse_proxy::inspection::NoSeat;
use gatehouse_proxy::settings::{Limits, Settings, Unnamed};
use gatehouse_proxy::{NoRoom, Parts, Proxy, Records, Resolver, start};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Kept(Mutex<HashMap<TunnelId, Tunnel>>);

impl Records for Kept {
    fn write(&self, tunnel: &Tunnel) -> Result<(), NoRoom> {
        self.0.lock().unwrap().insert(tunnel.id, tunnel.clone());
        Ok(())
    }
}

struct World {
    proxy: Option<Proxy>,
    address: SocketAddr,
    settings: Arc<ArcSwap<Settings>>,
    policy: Arc<ArcSwap<Snapshot>>,
    records: Arc<Kept>,
    key: String,
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

fn key() -> VirtualKey {
    VirtualKey::generate(KeyKind::Virtual, &[9; RANDOM_LEN])
}

fn rule(name: &str, hosts: &[&str]) -> Rule {
    Rule {
        name: name.into(),
        holder: Holder::Organization,
        action: Action::Allow,
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        ports: vec![],
        plain: true,
        internal: vec!["127.0.0.0/8".parse().unwrap()],
        window: None,
    }
}

fn snapshot(version: u64, rules: Vec<Rule>, state: KeyState) -> Snapshot {
    let (pepper, key, at) = (Pepper::new([7; 32]), key(), UnixMillis(1));
    let grant = KeyGrant {
        id: KeyId::new(at, 1),
        public: key.public(),
        hash: key.hash(&pepper),
        org: OrgId::new(at, 1),
        user: UserId::new(at, 1),
        user_state: UserState::Active,
        team: None,
        project: None,
        models: ModelScope::all(),
        state,
        expires_at: None,
        purpose: Purpose::Proxy,
    };
    let proofs = Proofs { peppers: pepper.into(), ..Proofs::default() };
    let access = Access { policy: Policy { rules }, ..Access::default() };
    Snapshot::new(version, [grant]).with_proofs(Arc::new(proofs)).with_proxy(access)
}

fn world(ports: &[u16], change: impl FnOnce(&mut Settings)) -> World {
    named(ports, change, |_, _| vec![Ipv4Addr::LOCALHOST])
}

fn named(
    ports: &[u16],
    change: impl FnOnce(&mut Settings),
    names: impl Fn(&str, usize) -> Vec<Ipv4Addr> + Send + 'static,
) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let second = Duration::from_secs(10);
    let mut settings = Settings {
        gate: Gate { connect_ports: ports.to_vec(), plain_ports: ports.to_vec(), own: vec![] },
        gateway: address,
        sources: vec![],
        tls: None,
        preamble: None,
        announces: None,
        unnamed: Unnamed::Refuse,
        contact: "help@example.com".to_owned(),
        inspection: Inspection::default(),
        limits: Limits {
            max_connections: 1000,
            max_connections_per_address: 1000,
            max_tunnels: 100,
            max_tunnels_per_user: 100,
            max_strangers: 100,
            head: second,
            hello: second,
            resolve: second,
            connect: second,
            idle: 6 * second,
            longest: 60 * second,
        },
    };
    settings.gate.connect_ports.push(address.port());
    change(&mut settings);
    let settings = Arc::new(ArcSwap::from_pointee(settings));
    let all = vec![rule("all", &["*.test", "127.0.0.0/8"])];
    let policy = Arc::new(ArcSwap::from_pointee(snapshot(1, all, KeyState::Active)));
    let records = Arc::new(Kept::default());
    let parts = Parts {
        settings: Arc::clone(&settings),
        policy: Arc::clone(&policy),
        records: Arc::clone(&records) as Arc<dyn Records>,
        resolver: Resolver::new(vec![name_server(names)]),
        egress: gatehouse_egress::Egress::default(),
        own: vec![address],
        now,
        rehashed: Box::new(|_, _, _| {}),
        catch_up: Box::new(|| Box::pin(async {})),
        authority: Arc::default(),
        enter: Box::new(|_| Err(NoSeat)),
        org: OrgId::from_bits(1),
        node: NodeId::from_bits(1),
        threads: 2,
    };
    let proxy = Some(start(listener, parts).unwrap());
    World { proxy, address, settings, policy, records, key: key().reveal().to_string() }
}

fn name_server(answer: impl Fn(&str, usize) -> Vec<Ipv4Addr> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut asked = HashMap::<String, usize>::new();
        let mut buffer = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..length];
            let (mut at, mut labels) = (12, Vec::new());
            while question[at] != 0 {
                let end = at + 1 + usize::from(question[at]);
                labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
                at = end;
            }
            let mut found = Vec::new();
            if question[at + 2] == 1 {
                let before = asked.entry(labels.join(".")).or_default();
                *before += 1;
                found = answer(&labels.join("."), *before - 1);
            }
            let mut reply = question[..at + 5].to_vec();
            (reply[2], reply[3], reply[7]) = (0x81, 0x80, u8::try_from(found.len()).unwrap());
            reply[10..12].fill(0);
            for address in found {
                reply.extend([192, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                reply.extend(address.octets());
            }
            socket.send_to(&reply, from).unwrap();
        }
    });
    address
}

/// Sends back what comes.
fn mirror() -> u16 {
    serving(|mut stream| {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            if stream.write_all(&piece[..count]).is_err() {
                return;
            }
        }
    })
}

fn serving(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn hello(host: &str) -> Vec<u8> {
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

impl World {
    fn basic(&self) -> String {
        format!(
            "Proxy-Authorization: Basic {}\r\n",
            Base64::encode_string(format!("dev:{}", self.key).as_bytes())
        )
    }

    fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    fn connect(&self, to: &str) -> TcpStream {
        self.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{}\r\n", self.basic()).as_bytes())
    }

    fn tunnel(&self, to: &str) -> TcpStream {
        let mut stream = self.connect(to);
        let answer = head(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        stream
    }

    /// A tunnel to a mirror, which has mirrored a greeting.
    fn open(&self, port: u16) -> TcpStream {
        let mut stream = self.tunnel(&format!("a.test:{port}"));
        let greeting = hello("a.test");
        stream.write_all(&greeting).unwrap();
        assert_eq!(take(&mut stream, greeting.len()), greeting);
        stream
    }

    fn refused(&self, to: &str) -> String {
        rest(&mut self.connect(to))
    }

    /// The one record that fits, once there is one.
    fn record(&self, fits: impl Fn(&Tunnel) -> bool) -> Tunnel {
        let began = Instant::now();
        loop {
            if let Some(found) = self.records.0.lock().unwrap().values().find(|tunnel| fits(tunnel)) {
                return found.clone();
            }
            assert!(began.elapsed() < LIMIT, "no such record: {:#?}", self.records.0.lock().unwrap());
            thread::yield_now();
        }
    }

    fn ended(&self, why: Close) -> Tunnel {
        self.record(|tunnel| tunnel.end.is_some_and(|end| end.why == why))
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(take(stream, 1));
    }
    String::from_utf8(head).unwrap()
}

fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ends(stream: &mut TcpStream) {
    while let Ok(1..) = stream.read(&mut [0; 1024]) {}
}

fn rule_of(answer: &str) -> &str {
    answer.lines().find_map(|line| line.strip_prefix("X-Gatehouse-Rule: ")).unwrap_or(answer)
}

#[test]
fn bytes_go_both_ways_and_are_counted() {
    let port = mirror();
    let w = world(&[port], |_| {});
    let mut client = w.open(port);
    let big: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut writer, sent) = (client.try_clone().unwrap(), big.clone());
    let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
    assert!(take(&mut client, big.len()) == big, "what came back is not what was sent");
    writing.join().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), "");
    let tunnel = w.ended(Close::Done);
    let bytes = (hello("a.test").len() + big.len()) as u64;
    assert_eq!(tunnel.end.map(|end| (end.up, end.down)), Some((bytes, bytes)));
    assert_eq!(
        (tunnel.rule.as_str(), tunnel.verdict, tunnel.host.as_str()),
        ("all", Verdict::Allow, "a.test")
    );
    assert_eq!(tunnel.pinned, Some(Ipv4Addr::LOCALHOST.into()));
    assert!(tunnel.user.is_some() && tunnel.resolve_ms.is_some() && tunnel.connect_ms.is_some());
}

#[test]
fn a_side_may_be_done_before_the_other_and_nothing_that_came_early_is_lost() {
    let port = serving(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(format!("{} bytes", all.len()).as_bytes()).unwrap();
    });
    let w = world(&[port], |_| {});
    let greeting = hello("a.test");
    let mut all = format!("CONNECT a.test:{port} HTTP/1.1\r\n{}\r\n", w.basic()).into_bytes();
    all.extend([&greeting[..], b"early"].concat());
    let mut client = w.send(&all);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    assert_eq!(rest(&mut client), format!("{} bytes", greeting.len() + 5));
    w.ended(Close::Done);
}

#[test]
fn a_challenge_keeps_the_connection() {
    let port = mirror();
    let w = world(&[port], |_| {});
    let mut client = w.send(format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\n").as_bytes());
    let answer = head(&mut client);
    assert!(
        answer.starts_with("HTTP/1.1 407 ") && answer.contains("Proxy-Authenticate: Basic realm="),
        "{answer}"
    );
    let length = answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    take(&mut client, length.parse().unwrap());
    let again = format!("CONNECT a.test:{port} HTTP/1.1\r\nProxy-Authorization: Bearer {}\r\n\r\n", w.key);
    client.write_all(again.as_bytes()).unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    let wrong = w.send(
        format!("CONNECT a.test:{port} HTTP/1.1\r\nProxy-Authorization: Bearer gh_no\r\n\r\n").as_bytes(),
    );
    assert!(head(&mut { wrong }).starts_with("HTTP/1.1 407 "));
}

#[test]
fn refusals_name_their_rules() {
    let port = mirror();
    let w = named(
        &[port],
        |_| {},
        |name, before| match (name, before) {
            ("rebind.test", 0) => vec![[192, 0, 2, 7].into()],
            ("mixed.test", _) => vec![[93, 184, 216, 34].into(), Ipv4Addr::LOCALHOST, [10, 0, 0, 1].into()],
            ("nowhere.test", _) => vec![],
            ("private.test" | "rebind.test", _) => vec![[10, 0, 0, 1].into()],
            _ => vec![Ipv4Addr::LOCALHOST],
        },
    );
    let own = w.address.port();
    for (to, expected) in [
        (format!("other.example:{port}"), "no-rule"),
        ("a.test:25".to_owned(), "port"),
        (format!("127.1:{port}"), "authority"),
        (format!("0x7f.0.0.1:{port}"), "authority"),
        (format!("u@a.test:{port}"), "authority"),
        (format!("169.254.169.254:{port}"), "address-metadata"),
        (format!("[64:ff9b::7f00:1]:{port}"), "address-translated"),
        (format!("a.test:{own}"), "self"),
        (format!("127.0.0.9:{own}"), "self"),
        (format!("rebind.test:{port}"), "address-documentation"),
        (format!("rebind.test:{port}"), "address-private"),
        (format!("mixed.test:{port}"), "address-private"),
        (format!("private.test:{port}"), "address-private"),
        (format!("nowhere.test:{port}"), "no-address"),
    ] {
        let answer = w.refused(&to);
        assert_eq!(rule_of(&answer), expected, "{to}: {answer}");
    }
    let told = w.refused(&format!("other.example:{port}"));
    assert!(
        told.starts_with("HTTP/1.1 403 ")
            && told.contains("rule no-rule")
            && told.contains("Help: help@example.com")
    );
    let tunnel = w.record(|tunnel| tunnel.rule == "address-metadata");
    assert_eq!((tunnel.verdict, tunnel.end.unwrap().why), (Verdict::Deny, Close::Refused));
}

#[test]
fn a_greeting_must_name_the_host() {
    let port = mirror();
    let w = world(&[port], |_| {});
    let to = format!("a.test:{port}");
    let mut other = w.tunnel(&to);
    other.write_all(&hello("b.test")).unwrap();
    assert_eq!(rest(&mut other).as_bytes()[..1], [21], "a TLS alert");
    let tunnel = w.record(|tunnel| tunnel.rule == "sni");
    assert_eq!((tunnel.verdict, tunnel.end.unwrap().up), (Verdict::Deny, 0));
    let mut other = w.tunnel(&to);
    other.write_all(b"SSH-2.0-x\r\n").unwrap();
    ends(&mut other);
    w.record(|tunnel| tunnel.rule == "not-tls");
    let mut settings = (**w.settings.load()).clone();
    settings.unnamed = Unnamed::Anything;
    w.settings.store(Arc::new(settings));
    let mut other = w.tunnel(&to);
    other.write_all(b"SSH-2.0-x\r\n").unwrap();
    assert_eq!(take(&mut other, 11), b"SSH-2.0-x\r\n");
}

#[test]
fn who_is_revoked_or_no_longer_allowed_is_cut() {
    let port = mirror();
    let w = world(&[port], |_| {});
    let mut client = w.open(port);
    w.policy.store(Arc::new(snapshot(2, vec![rule("all", &["*.test"])], KeyState::Revoked)));
    ends(&mut client);
    w.ended(Close::Revoked);
    w.policy.store(Arc::new(snapshot(3, vec![rule("all", &["*.test"])], KeyState::Active)));
    let mut client = w.open(port);
    w.policy.store(Arc::new(snapshot(4, vec![rule("others", &["b.test"])], KeyState::Active)));
    ends(&mut client);
    assert_eq!(w.records.0.lock().unwrap().len(), 2);
}

#[test]
fn bounds_are_kept() {
    let port = mirror();
    let w = world(&[port], |settings| settings.limits.max_tunnels_per_user = 1);
    let first = w.open(port);
    let answer = w.refused(&format!("a.test:{port}"));
    assert!(answer.starts_with("HTTP/1.1 429 ") && rule_of(&answer) == "user-tunnels", "{answer}");
    drop(first);
    w.record(|tunnel| tunnel.verdict == Verdict::Allow && tunnel.end.is_some());

    let soon = Duration::from_millis(200);
    let w = world(&[port], |settings| settings.limits.idle = soon);
    ends(&mut w.open(port));
    w.ended(Close::Idle);
    let w = world(&[port], |settings| settings.limits.longest = soon);
    ends(&mut w.open(port));
    w.ended(Close::Limit);
    let w = world(&[port], |settings| (settings.limits.head, settings.limits.hello) = (soon, soon));
    assert!(rest(&mut w.send(b"CONNECT a.te")).starts_with("HTTP/1.1 408 "));
    ends(&mut w.send(b"\x16\x03"));
    ends(&mut w.tunnel(&format!("a.test:{port}")));
    w.record(|tunnel| tunnel.rule == "not-tls");
}

#[test]
fn a_plain_request_goes_on_alone() {
    let port = serving(|mut stream| {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        while !all.ends_with(b"hello") {
            let count = stream.read(&mut piece).unwrap();
            all.extend_from_slice(&piece[..count]);
        }
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", all.len());
        stream.write_all(&[reply.as_bytes(), &all].concat()).unwrap();
    });
    let w = world(&[port], |_| {});
    let request = format!(
        "POST http://a.test:{port}/x?y HTTP/1.1\r\nHost: b.test\r\n{}Content-Length: 5\r\n\r\nhelloGET http://evil.test/ HTTP/1.1\r\n\r\n",
        w.basic()
    );
    let answer = rest(&mut w.send(request.as_bytes()));
    let seen = format!(
        "POST /x?y HTTP/1.1\r\nhost: a.test:{port}\r\ncontent-length: 5\r\nvia: 1.1 gatehouse\r\nconnection: close\r\n\r\nhello"
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&seen), "{answer}");
    w.ended(Close::Done);
}

#[test]
fn our_own_gateway_is_reached_by_its_names_only() {
    let port = mirror();
    let w = world(&[], |settings| {
        settings.gate.own = vec![Destination::parse("gw.corp.test:443", None).unwrap()];
        settings.gateway = SocketAddr::from(([127, 0, 0, 1], port));
    });
    let mut client = w.tunnel("GW.corp.test.:443");
    client.write_all(b"plain bytes").unwrap();
    assert_eq!(take(&mut client, 11), b"plain bytes");
    assert_eq!(rule_of(&w.refused("gw.corp.test:444")), "port");
    drop(client);
    w.record(|tunnel| tunnel.rule == "gateway" && tunnel.end.is_some());
}

#[test]
fn a_proxy_that_stops_ends_its_tunnels_and_records_them() {
    let port = mirror();
    let mut w = world(&[port], |_| {});
    let mut client = w.open(port);
    let proxy = w.proxy.take().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(proxy.drain(Duration::from_millis(10), std::future::pending()));
    ends(&mut client);
    w.ended(Close::Stopped);
}
