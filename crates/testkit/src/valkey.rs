//! A Valkey (or Redis) server of one's own, which can be paused, emptied and stopped, and a wire that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::wait;

/// A server on loopback.
pub struct Valkey {
    /// `127.0.0.1:port`.
    pub address: String,
    port: u16,
    dir: TempDir,
    child: Child,
}

impl Valkey {
    /// Starts one; `None` when none is at hand (`GATEHOUSE_TEST_REDIS`), which is said aloud.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(clippy::disallowed_methods, reason = "whether a server is at hand comes from the environment")]
    #[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
    pub fn start() -> Option<Self> {
        if std::env::var("GATEHOUSE_TEST_REDIS").is_err() {
            eprintln!("NOT TESTED with Valkey: GATEHOUSE_TEST_REDIS is not set (scripts/test sets it)");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = crate::folder();
        let child = spawn(port, &dir);
        let server = Self { address: format!("127.0.0.1:{port}"), port, dir, child };
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
        self.child = spawn(self.port, &self.dir);
        self.wait();
    }
}

fn spawn(port: u16, dir: &TempDir) -> Child {
    let start = |program: &str| {
        Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
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

/// A wire to a server that can be cut: whoever is connected through it hears nothing more, and nobody else comes through.
pub struct Wire {
    /// `127.0.0.1:port` of its near end.
    pub address: String,
    cut: Arc<AtomicBool>,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    /// To this `host:port`.
    ///
    /// # Panics
    /// When there is no port.
    pub fn to(far: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_cut, kept, far) = (Arc::clone(&cut), Arc::clone(&ends), far.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect(&far) else { continue };
                let mut ends = kept.lock().unwrap();
                // Cut while it was connected: whoever cuts says so first, and then looks for ends.
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                for end in [&near, &there] {
                    ends.push(end.try_clone().unwrap());
                }
                drop(ends);
                pump(near.try_clone().unwrap(), there.try_clone().unwrap());
                pump(there, near);
            }
        });
        Self { address, cut, ends }
    }

    /// Cuts it.
    ///
    /// # Panics
    /// Never, unless a thread has panicked.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Mends it.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
