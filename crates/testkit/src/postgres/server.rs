//! A PostgreSQL server of one's own, which can be stopped, killed, and followed by a standby.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::network::is_root;
use crate::wait;

/// Starts until it has a port that nobody else took meanwhile.
const TRIES: usize = 5;
/// Who may do everything on it, without a password.
const USER: &str = "gatehouse";

/// A server.
pub struct Server {
    /// `127.0.0.1:port`.
    pub address: String,
    /// Its port.
    pub port: u16,
    home: Home,
    child: Child,
}

struct Home {
    /// Where its programs are.
    programs: PathBuf,
    /// Further addresses that it listens on.
    more: Vec<String>,
    folder: TempDir,
}

impl Server {
    /// Starts an empty one that listens on these addresses as well. `None` where PostgreSQL is not to be tested
    /// (`GATEHOUSE_TEST_POSTGRES`), or has no programs to start one with; either is said aloud.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(clippy::disallowed_methods, reason = "whether a server is at hand comes from the environment")]
    #[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
    pub fn start(more: &[&str]) -> Option<Self> {
        if std::env::var("GATEHOUSE_TEST_POSTGRES").is_err() {
            eprintln!("NOT TESTED on PostgreSQL: GATEHOUSE_TEST_POSTGRES is not set (scripts/test sets it)");
            return None;
        }
        let Some(programs) = programs() else {
            eprintln!("NOT TESTED on a PostgreSQL of its own: no initdb is at hand (Debian: postgresql)");
            return None;
        };
        let more = more.iter().map(|&address| address.to_owned()).collect();
        let home = Home { programs, more, folder: folder() };
        home.succeeds(
            home.owner("initdb")
                .args(["--pgdata", "data", "--username", USER, "--auth", "trust", "--encoding", "UTF8"])
                .args(["--no-locale", "--no-sync"]),
        );
        let access = home.folder.path().join("data/pg_hba.conf");
        let rules = home.more.iter().fold(std::fs::read_to_string(&access).unwrap(), |rules, address| {
            rules + "host all all " + address + "/24 trust\n"
        });
        std::fs::write(&access, rules).unwrap();
        Some(Self::run(home))
    }

    fn run(home: Home) -> Self {
        let (port, child) = (0..TRIES).find_map(|_| home.begin(None)).unwrap();
        Self { address: format!("127.0.0.1:{port}"), port, home, child }
    }

    /// A standby of it, in step. From now on this server says of nothing that it is done before the standby has it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn standby(&self) -> Self {
        let home = Home { programs: self.home.programs.clone(), more: Vec::new(), folder: folder() };
        let from = format!("host=127.0.0.1 port={} user={USER} application_name=standby", self.port);
        home.succeeds(
            home.owner("pg_basebackup")
                .args(["--pgdata", "data", "--write-recovery-conf", "--wal-method", "stream", "--no-sync"])
                .args(["--checkpoint", "fast", "--dbname", &from]),
        );
        let standby = Self::run(home);
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        wait::until("the standby to be in step", || {
            let count = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            (self.sql("postgres", count) == "1").then_some(())
        });
        standby
    }

    /// Makes a standby the primary.
    ///
    /// # Panics
    /// When it does not become one.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), "t");
    }

    /// Runs statements in a database; gives what they say, a row a line.
    ///
    /// # Panics
    /// When they fail.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let said = self.home.succeeds(&mut self.home.psql(self.port, database, sql));
        String::from_utf8(said.stdout).unwrap().trim_end().to_owned()
    }

    /// Makes a database; gives its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://{USER}@{}/{name}", self.address)
    }

    /// Stops it in order: whoever is connected is sent away.
    pub fn stop(&mut self) {
        signal("-INT", &[self.child.id()]);
        let _ = self.child.wait();
    }

    /// Kills it with all its processes, as when its machine dies.
    pub fn kill(&mut self) {
        let pid = self.child.id();
        // So that it makes no further ones.
        signal("-STOP", &[pid]);
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children: Vec<u32> =
            children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        signal("-KILL", &children);
        signal("-KILL", &[pid]);
        let _ = self.child.wait();
        self.home.forget_memory();
    }

    /// Starts it again, after it was stopped or killed, on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let again = wait::until("PostgreSQL to start again", || self.home.begin(Some(self.port)));
        self.child = again.1;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            signal("-QUIT", &[self.child.id()]);
            let _ = self.child.wait();
        }
    }
}

impl Home {
    /// Starts the server on this port, or any; `None` when it ends before it answers.
    fn begin(&self, port: Option<u16>) -> Option<(u16, Child)> {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.unwrap_or_else(free);
        let listen = std::iter::once("127.0.0.1").chain(self.more.iter().map(String::as_str));
        let listen = listen.collect::<Vec<_>>().join(",");
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut child = self
            .owner("postgres")
            .args(["-D", "data", "-p", &port.to_string(), "-c", &format!("listen_addresses={listen}")])
            .arg("-k")
            .arg(self.folder.path())
            // What is kept here has to survive processes, not the machine; shared memory goes with the folder.
            .args(["-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap", "-c", "shared_buffers=32MB"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let started = wait::until("PostgreSQL to start", || {
            if let Ok(Some(_)) = child.try_wait() {
                return Some(false);
            }
            let told = self.psql(port, "postgres", "SELECT 1").output().unwrap();
            told.status.success().then_some(true)
        });
        started.then_some((port, child))
    }

    /// A program, run by who owns the server's files.
    fn owner(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = Command::new(if is_root() { Path::new("setpriv") } else { &program });
        if is_root() {
            // It refuses to run as root.
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(&program);
        }
        command.current_dir(self.folder.path());
        command
    }

    fn psql(&self, port: u16, database: &str, sql: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string(), "--username", USER, "--dbname", database, "--command", sql]);
        command
    }

    fn succeeds(&self, command: &mut Command) -> Output {
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
        );
        output
    }

    /// Removes the piece of shared memory that a killed server leaves to the system.
    fn forget_memory(&self) {
        let text =
            std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["--shmem-id", id]).output();
        }
    }
}

/// The folder of the newest PostgreSQL: Debian keeps it out of PATH.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists() && folder.join("pg_basebackup").exists())
        .collect();
    folders.sort();
    if let Some((_, newest)) = folders.pop() {
        return Some(newest);
    }
    let found =
        Command::new("sh").args(["-c", "command -v pg_basebackup && command -v initdb"]).output().ok()?;
    let first = found.status.success().then(|| String::from_utf8(found.stdout).ok())??;
    Some(Path::new(first.lines().next()?).parent()?.to_owned())
}

/// A folder of who runs the server.
fn folder() -> TempDir {
    let folder = crate::folder();
    if is_root() {
        let given = Command::new("chown").arg("postgres:").arg(folder.path()).status().unwrap();
        assert!(given.success(), "chown: {given}");
    }
    folder
}

fn signal(signal: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let _ = Command::new("kill").arg(signal).args(pids.iter().map(u32::to_string)).output();
    }
}
