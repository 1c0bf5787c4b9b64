//! A proxy with destinations: names of `.test` are on loopback, as a name server of ours says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64ct::{Base64, Encoding as _};
use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::wait;
use serde_json::Value;

use crate::world::echo;

/// A destination: each connection is served by a function on a thread.
pub struct Destination {
    pub port: u16,
    /// How many connections there were.
    pub seen: Arc<AtomicUsize>,
}

impl Destination {
    pub fn start(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Self { port, seen }
    }

    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// Sends back what comes, and ends when it ends.
pub fn mirror(mut stream: TcpStream) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..count]).is_err() {
            return;
        }
    }
}

/// A name server: `answer` is asked for each question about IPv4 addresses, with how often the name was asked for before.
/// Answers hold for no time at all.
pub fn name_server(answer: impl Fn(&str, usize) -> Vec<Ipv4Addr> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut asked = std::collections::HashMap::<String, usize>::new();
        let mut buffer = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..length];
            let (mut at, mut labels) = (12, Vec::new());
            while question[at] != 0 {
                let end = at + 1 + usize::from(question[at]);
                labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
                at = end;
            }
            let name = labels.join(".");
            let is_v4 = question[at + 2] == 1;
            let found = if is_v4 {
                let before = asked.entry(name.clone()).or_default();
                *before += 1;
                answer(&name, *before - 1)
            } else {
                Vec::new()
            };
            let mut reply = question[..at + 5].to_vec();
            reply[2] = 0x81;
            reply[3] = 0x80;
            reply[7] = u8::try_from(found.len()).unwrap();
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

/// A gatehouse with its proxy on, one person and their key for it.
pub struct World {
    pub gatehouse: Gatehouse,
    pub key: String,
    pub key_id: String,
    pub proxy: String,
    pub provider: FakeProvider,
}

/// A world whose names are all on loopback and whose tunnels may go to these ports.
pub fn world(ports: &[u16]) -> World {
    configured(ports, "", &name_server(|_, _| vec![Ipv4Addr::LOCALHOST]))
}

/// A world with further settings of the proxy and this name server.
pub fn configured(ports: &[u16], more: &str, names: &str) -> World {
    stored("sqlite", ports, more, names)
}

/// A world on this store.
pub fn stored(store: &str, ports: &[u16], more: &str, names: &str) -> World {
    let provider = FakeProvider::start(echo(1, 1));
    let config = format!(
        "[proxy]\nname_servers = [\"{names}\"]\nconnect_ports = {ports:?}\nplain_ports = {ports:?}\ncontact = \"help@example.com\"\n{more}"
    );
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
        .store(store)
        .listen("proxy = \"127.0.0.1:0\"")
        .config(&config)
        .start();
    let (key_id, key) = gatehouse.key("dev@example.com", &["--for", "proxy"]);
    let mut world = World { gatehouse, key, key_id, proxy: String::new(), provider };
    world.find();
    world
}

/// A world whose tunnels go to these ports by a parent; the parent's password is in `first.password`.
pub fn through(ports: &[u16], parents: &str, names: &str, password: &str) -> World {
    let provider = FakeProvider::start(echo(1, 1));
    let config = format!(
        "[proxy]\nname_servers = [\"{names}\"]\nconnect_ports = {ports:?}\n[egress]\nno_proxy = [\"127.0.0.0/8\"]\n{parents}"
    );
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
        .listen("proxy = \"127.0.0.1:0\"")
        .config(&config)
        .start_after(|folder| std::fs::write(folder.join("first.password"), password).unwrap());
    let (key_id, key) = gatehouse.key("dev@example.com", &["--for", "proxy"]);
    let mut world = World { gatehouse, key, key_id, proxy: String::new(), provider };
    world.find();
    world
}

impl World {
    /// Looks up where the proxy listens.
    pub fn find(&mut self) {
        let text = std::fs::read(self.gatehouse.dir().join("data/listen.json")).unwrap();
        let listen: Value = serde_json::from_slice(&text).unwrap();
        listen["proxy"].as_str().unwrap().trim_start_matches("http://").clone_into(&mut self.proxy);
    }

    /// Allows hosts on loopback.
    pub fn allow(&self, name: &str, more: &[&str]) {
        let rule = ["proxy", "rule", "add", name, "allow", "--internal", "127.0.0.0/8"];
        self.gatehouse.json(&[&rule, more].concat());
    }

    /// The header of the person's key.
    pub fn basic(&self) -> String {
        basic(&self.key)
    }

    /// Opens a connection and asks for a tunnel with the person's key.
    pub fn connect(&self, to: &str) -> Client {
        let mut client = Client::open(&self.proxy);
        client.connect(to, &self.basic());
        client
    }

    /// Asks for a tunnel that must be given.
    pub fn tunnel(&self, to: &str) -> Client {
        let mut client = self.connect(to);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}\n{}", self.gatehouse.log());
        client
    }

    /// Asks for a tunnel that must be refused: the whole answer.
    pub fn refused(&self, to: &str) -> String {
        self.connect(to).all()
    }

    /// All records, newest first.
    pub fn tunnels(&self) -> Vec<Value> {
        self.gatehouse.json(&["proxy", "tunnels"]).as_array().unwrap().clone()
    }

    /// The newest record, once it has ended.
    pub fn ended(&self) -> Value {
        wait::until("the tunnel's record", || {
            self.tunnels().into_iter().next().filter(|tunnel| !tunnel["ended"].is_null())
        })
    }
}

/// The header for Basic credentials.
pub fn basic(key: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", Base64::encode_string(format!("dev:{key}").as_bytes()))
}

/// A client's connection.
pub struct Client(pub TcpStream);

impl Client {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
        Self(stream)
    }

    pub fn connect(&mut self, to: &str, lines: &str) {
        self.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{lines}\r\n").as_bytes());
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The head of an answer, and nothing behind it.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0
                .read_exact(&mut byte)
                .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&head)));
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// An answer with its body, whose length is announced.
    pub fn answer(&mut self) -> String {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        head.clone() + &String::from_utf8(self.read(length.parse().unwrap())).unwrap()
    }

    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the end.
    pub fn all(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn half_close(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Waits until the other side ends the connection, in whichever way.
    pub fn ends(&mut self) {
        let mut piece = [0; 1024];
        while let Ok(1..) = self.0.read(&mut piece) {}
    }
}

/// What a TLS client says first to a host.
pub fn hello(host: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
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
