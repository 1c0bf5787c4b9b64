//! The real binary, running in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Reply};
use crate::network::{FAR, Network};
use crate::provider::UPSTREAM_KEY;
use crate::wait;

/// How to start one.
pub struct Builder {
    binary: PathBuf,
    provider: String,
    store: String,
    public_url: String,
    listen: String,
    more: String,
    /// Where its gateway listener is.
    host: String,
    /// What its process, and the command line, are started by.
    prefix: Vec<String>,
}

/// A running Gatehouse.
pub struct Gatehouse {
    builder: Builder,
    dir: TempDir,
    child: Child,
    /// `http://127.0.0.1:port` of the gateway listener.
    pub gateway: String,
    /// `http://127.0.0.1:port` of the admin listener.
    pub admin: String,
}

impl Builder {
    /// For this binary, in front of the provider at this address.
    pub fn new(binary: &str, provider: &str) -> Self {
        Self {
            binary: binary.into(),
            provider: provider.to_owned(),
            store: "sqlite".to_owned(),
            public_url: String::new(),
            listen: String::new(),
            more: String::new(),
            host: "127.0.0.1".to_owned(),
            prefix: Vec::new(),
        }
    }

    /// Keeps its data in this database.
    #[must_use]
    pub fn store(mut self, url: &str) -> Self {
        url.clone_into(&mut self.store);
        self
    }

    /// Is reached at this address, so that people can sign in.
    #[must_use]
    pub fn public_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.public_url);
        self
    }

    /// Adds lines to the section `[listen]`.
    #[must_use]
    pub fn listen(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.listen);
        self
    }

    /// Adds lines to its configuration file.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self.more.push('\n');
        self
    }

    /// Runs at the other end of a line, where its gateway listener is reached from this end.
    #[must_use]
    pub fn beyond(mut self, network: &Network) -> Self {
        FAR.clone_into(&mut self.host);
        self.prefix = network.prefix();
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(self) -> Gatehouse {
        self.start_after(|_| ())
    }

    /// As [`Builder::start`], after something was done in its directory, where its configuration file is already.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_after(self, prepare: impl FnOnce(&Path)) -> Gatehouse {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "[listen]\ngateway = \"{}:0\"\nadmin = \"127.0.0.1:0\"\npublic_url = \"{}\"\n{}\n[store]\nurl = \"{}\"\n\
             [[provider]]\nname = \"main\"\nkind = \"anthropic\"\nbase_url = \"{}\"\napi_key = \"env:UPSTREAM_KEY\"\n{}",
            self.host, self.public_url, self.listen, self.store, self.provider, self.more
        );
        std::fs::write(dir.path().join("gatehouse.toml"), config).unwrap();
        prepare(dir.path());
        let child = self.spawn(dir.path());
        let mut gatehouse =
            Gatehouse { builder: self, dir, child, gateway: String::new(), admin: String::new() };
        gatehouse.wait_ready();
        gatehouse
    }

    fn spawn(&self, dir: &Path) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        self.command()
            .args(["serve", "--config"])
            .arg(dir.join("gatehouse.toml"))
            .arg("--data-dir")
            .arg(dir.join("data"))
            .env_clear()
            .env("UPSTREAM_KEY", UPSTREAM_KEY)
            .env("OIDC_SECRET", crate::issuer::CLIENT_SECRET)
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// The program, where it runs.
    fn command(&self) -> Command {
        let Some((first, more)) = self.prefix.split_first() else { return Command::new(&self.binary) };
        let mut command = Command::new(first);
        command.args(more).arg(&self.binary);
        command
    }
}

impl Gatehouse {
    /// Its directory: `gatehouse.toml`, `data/`, `log`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir().join("log")).unwrap()
    }

    fn wait_ready(&mut self) {
        let file = self.dir().join("data/listen.json");
        let listen: Value = wait::until("gatehouse to listen", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("gatehouse ended at its start with {status}: {}", self.log());
            }
            let text = std::fs::read(&file).ok()?;
            serde_json::from_slice(&text).ok()
        });
        listen["gateway"].as_str().unwrap().clone_into(&mut self.gateway);
        listen["admin"].as_str().unwrap().clone_into(&mut self.admin);
        if self.gateway.starts_with("https://") {
            // Bytes within TLS are the tests' own matter.
            wait::until("gatehouse to be ready", || {
                let status: Value = serde_json::from_slice(&self.cli(&["--json", "status"]).stdout).ok()?;
                (status["ready"] == true).then_some(())
            });
            return;
        }
        wait::until("gatehouse to be ready", || {
            std::net::TcpStream::connect(self.gateway.trim_start_matches("http://")).ok()?;
            (http::once(&self.gateway, "GET", "/readyz", &[], b"").status == 200).then_some(())
        });
    }

    /// Runs a command of the command line against it.
    pub fn cli(&self, args: &[&str]) -> Output {
        self.builder
            .command()
            .arg("--data-dir")
            .arg(self.dir().join("data"))
            .args(args)
            .env_clear()
            .env("HOME", self.dir())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command that reads this from its standard input.
    pub fn cli_reading(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .builder
            .command()
            .arg("--data-dir")
            .arg(self.dir().join("data"))
            .args(args)
            .env_clear()
            .env("HOME", self.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed, with `--json`, and reads its answer.
    ///
    /// # Panics
    /// When it fails.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.cli(&[&["--json"], args].concat());
        assert!(
            output.status.success(),
            "{args:?} failed: {}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{args:?} printed no JSON ({e}): {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Adds a user, if need be, and makes a key with these further arguments; returns its identifier and text.
    pub fn key(&self, email: &str, more: &[&str]) -> (String, String) {
        self.cli(&["user", "add", email]);
        let made = self.json(&[&["key", "create", "--user", email], more].concat());
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// All exchanges, oldest first.
    ///
    /// # Panics
    /// When they cannot be had.
    pub fn exchanges(&self) -> Vec<Value> {
        let output = self.cli(&["exchanges", "--limit", "100000"]);
        assert!(output.status.success(), "exchanges failed: {}", String::from_utf8_lossy(&output.stderr));
        let mut all: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("not a JSON line ({e}): {line}"))
            })
            .collect();
        all.sort_by_key(|e| e["id"].as_str().unwrap().to_owned());
        all
    }

    /// Posts a message with this key.
    pub fn post(&self, key: &str, body: &[u8]) -> Reply {
        self.post_to("/v1/messages", key, body)
    }

    /// Posts to a path with this key.
    pub fn post_to(&self, path: &str, key: &str, body: &[u8]) -> Reply {
        let bearer = format!("Bearer {key}");
        http::once(&self.gateway, "POST", path, &[("authorization", &bearer)], body)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Kills it as a power cut would, as far as a process can tell.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again in the same directory.
    pub fn restart(&mut self) {
        let _ = std::fs::remove_file(self.dir().join("data/listen.json"));
        self.child = self.builder.spawn(self.dir.path());
        self.wait_ready();
    }
}

impl Drop for Gatehouse {
    fn drop(&mut self) {
        self.kill();
    }
}
