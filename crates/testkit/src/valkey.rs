//! A Valkey (or Redis) server of one's own, which can be paused, emptied and stopped.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait;

/// A server on loopback.
pub struct Valkey {
    /// `127.0.0.1:port`.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Further addresses that it listens on.
    more: Vec<String>,
    dir: TempDir,
    child: Child,
}

impl Valkey {
    /// Starts one; `None` when none is at hand (`GATEHOUSE_TEST_REDIS`), which is said aloud.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Option<Self> {
        Self::start_at(&[])
    }

    /// As [`Valkey::start`], listening on these addresses as well.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(clippy::disallowed_methods, reason = "whether a server is at hand comes from the environment")]
    #[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
    pub fn start_at(more: &[&str]) -> Option<Self> {
        if std::env::var("GATEHOUSE_TEST_REDIS").is_err() {
            eprintln!("NOT TESTED with Valkey: GATEHOUSE_TEST_REDIS is not set (scripts/test sets it)");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = crate::folder();
        let more: Vec<String> = more.iter().map(|&address| address.to_owned()).collect();
        let child = spawn(port, &more, &dir);
        let server = Self { address: format!("127.0.0.1:{port}"), port, more, dir, child };
        server.wait();
        Some(server)
    }

    fn wait(&self) {
        wait::until("the Valkey server", || {
            let mut to = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            to.write_all(b"PING\r\n").ok()?;
            let mut answer = [0; 5];
            to.read_exact(&mut answer).ok()?;
            (&answer == b"+PONG").then_some(())
        });
    }

    /// Says a command; gives the beginning of the answer.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn say(&self, command: &str) -> String {
        let mut to = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        to.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let read = to.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    /// Forgets everything.
    pub fn flush(&self) {
        assert!(self.say("FLUSHALL").starts_with("+OK"));
    }

    /// Sends it a signal, such as `-STOP`.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    /// Ends it; what it knew is gone.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port, empty.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.more, &self.dir);
        self.wait();
    }
}

fn spawn(port: u16, more: &[String], dir: &TempDir) -> Child {
    // It would let nobody in from elsewhere without a password.
    let protected = if more.is_empty() { "yes" } else { "no" };
    let start = |program: &str| {
        Command::new(program)
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--protected-mode", protected, "--bind", "127.0.0.1"])
            .args(more)
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    start("valkey-server")
        .or_else(|_| start("redis-server"))
        .expect("valkey-server or redis-server is installed")
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.stop();
    }
}
