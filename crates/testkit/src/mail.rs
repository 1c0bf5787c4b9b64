//! A mail server (RFC 5321) with STARTTLS (RFC 3207), TLS from the first byte (RFC 8314) and AUTH (RFC 4954).

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::wait;

/// A letter that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Whom it was from, on the envelope.
    pub from: String,
    /// Whom it is for, on the envelope.
    pub to: Vec<String>,
    /// Headers and body, as they came.
    pub text: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
    /// As whom the sender signed in.
    pub user: Option<String>,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Without TLS.
    Plain,
    /// TLS after STARTTLS, without which nothing is taken.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A mail server, listening on loopback.
pub struct FakeMail {
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    door: Door,
    tls: Option<Arc<ServerConfig>>,
    /// Who may sign in; without it nobody need.
    login: Option<(String, String)>,
    letters: Mutex<Vec<Letter>>,
    refused: Mutex<Vec<String>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl FakeMail {
    /// Starts one. A certificate and its key (PEM) are needed for TLS.
    ///
    /// # Panics
    /// When loopback has no free port, or the certificate cannot be read.
    pub fn start(door: Door, certificate: Option<(&Path, &Path)>, login: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            door,
            tls: certificate.map(|(certificate, key)| config(certificate, key)),
            login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
            letters: Mutex::default(),
            refused: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || drop(serve(stream, &server)));
            }
        });
        Self { port, shared }
    }

    /// The letters that it took.
    ///
    /// # Panics
    /// When a test thread has panicked with the lock.
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.letters.lock().unwrap().clone()
    }

    /// What it refused.
    ///
    /// # Panics
    /// When a test thread has panicked with the lock.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }

    /// Waits for so many letters.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for(&self, count: usize) -> Vec<Letter> {
        wait::until("letters at the mail server", || {
            let letters = self.letters();
            (letters.len() >= count).then_some(letters)
        })
    }
}

fn config(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn serve(socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_read_timeout(Some(wait::LIMIT))?;
    let secure = |socket: TcpStream| {
        let tls = shared.tls.clone().expect("TLS needs a certificate");
        StreamOwned::new(ServerConnection::new(tls).unwrap(), socket)
    };
    let mut talk = Talk { shared, encrypted: false, user: None };
    if shared.door == Door::Tls {
        talk.encrypted = true;
        let mut stream = secure(socket);
        say(&mut stream, "220 mail.test ready")?;
        return talk.run(&mut stream).map(drop);
    }
    let mut plain = socket.try_clone()?;
    say(&mut plain, "220 mail.test ready")?;
    if talk.run(&mut plain)? {
        talk.encrypted = true;
        talk.run(&mut secure(socket))?;
    }
    Ok(())
}

fn say(stream: &mut dyn Stream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    stream.flush()
}

fn line(stream: &mut dyn Stream) -> io::Result<String> {
    let (mut out, mut byte) = (Vec::new(), [0]);
    while !out.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        out.push(byte[0]);
    }
    out.truncate(out.len() - 2);
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// One connection.
struct Talk<'a> {
    shared: &'a Shared,
    encrypted: bool,
    user: Option<String>,
}

impl Talk<'_> {
    /// Answers commands until the end, or until TLS is to begin (`true`).
    fn run(&mut self, stream: &mut dyn Stream) -> io::Result<bool> {
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let command = line(stream)?;
            let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.greet(stream)?,
                "STARTTLS" if self.shared.door == Door::StartTls && !self.encrypted => {
                    say(stream, "220 go ahead")?;
                    return Ok(true);
                }
                "AUTH" => self.sign_in(stream, &command)?,
                "MAIL" if self.needs_more() => {
                    self.refuse(stream, "530 5.7.0 must begin TLS or sign in first")?;
                }
                "MAIL" => {
                    from = address(&command);
                    say(stream, "250 ok")?;
                }
                "RCPT" => {
                    to.push(address(&command));
                    say(stream, "250 ok")?;
                }
                "DATA" => {
                    say(stream, "354 go on")?;
                    let text = data(stream)?;
                    let letter = Letter {
                        from: std::mem::take(&mut from),
                        to: std::mem::take(&mut to),
                        text,
                        encrypted: self.encrypted,
                        user: self.user.clone(),
                    };
                    self.shared.letters.lock().unwrap().push(letter);
                    say(stream, "250 taken")?;
                }
                "RSET" | "NOOP" => say(stream, "250 ok")?,
                "QUIT" => {
                    say(stream, "221 bye")?;
                    return Ok(false);
                }
                _ => self.refuse(stream, "502 not here")?,
            }
        }
    }

    fn needs_more(&self) -> bool {
        (self.shared.door != Door::Plain && !self.encrypted)
            || (self.shared.login.is_some() && self.user.is_none())
    }

    fn greet(&self, stream: &mut dyn Stream) -> io::Result<()> {
        say(stream, "250-mail.test")?;
        if self.shared.door == Door::StartTls && !self.encrypted {
            say(stream, "250-STARTTLS")?;
        }
        // A password is asked for within TLS only, or where there is none anyway.
        if self.shared.login.is_some() && (self.encrypted || self.shared.door == Door::Plain) {
            say(stream, "250-AUTH PLAIN LOGIN")?;
        }
        say(stream, "250 8BITMIME")
    }

    fn sign_in(&mut self, stream: &mut dyn Stream, command: &str) -> io::Result<()> {
        let decode = |text: &str| {
            Base64::decode_vec(text.trim()).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let mut words = command.split(' ').skip(1);
        let given = match (words.next(), words.next()) {
            (Some("PLAIN"), Some(first)) => decode(first).and_then(|text| {
                let mut parts = text.split('\0').skip(1);
                Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
            }),
            (Some("LOGIN"), None) => {
                say(stream, "334 VXNlcm5hbWU6")?;
                let user = decode(&line(stream)?);
                say(stream, "334 UGFzc3dvcmQ6")?;
                user.zip(decode(&line(stream)?))
            }
            _ => None,
        };
        if given.is_some() && given == self.shared.login {
            self.user = given.map(|(user, _)| user);
            return say(stream, "235 welcome");
        }
        self.refuse(stream, "535 5.7.8 who are you")
    }

    fn refuse(&self, stream: &mut dyn Stream, why: &str) -> io::Result<()> {
        self.shared.refused.lock().unwrap().push(why.to_owned());
        say(stream, why)
    }
}

fn address(command: &str) -> String {
    command.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn data(stream: &mut dyn Stream) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let next = line(stream)?;
        if next == "." {
            return Ok(text);
        }
        text.push_str(next.strip_prefix('.').unwrap_or(&next));
        text.push('\n');
    }
}
