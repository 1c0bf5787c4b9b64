//! A parent proxy: squid from Debian, with a password, on `http` and `https`, going out from an address of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait;

/// The user that it knows.
pub const USER: &str = "gatehouse";
/// That user's password.
pub const PASSWORD: &str = "parent-secret-0123456789";

const PROGRAM: &str = "/usr/sbin/squid";
const HELPER: &str = "/usr/lib/squid/basic_ncsa_auth";
/// Starts until it has ports that nobody else took meanwhile.
const TRIES: usize = 10;

/// A running squid.
pub struct Squid {
    folder: TempDir,
    child: Child,
    /// Its port for `http://`.
    pub http: u16,
    /// Its port for `https://`.
    pub https: u16,
    /// Where its connections come from: how a server tells that it was reached through this one.
    pub from: String,
}

impl Squid {
    /// Starts one that goes out from `127.0.0.N` and knows these names as this machine. `identity` is a certificate with its key, in
    /// PEM. `None` where there is no squid, which is said aloud.
    ///
    /// # Panics
    /// When it is there and does not start.
    #[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
    pub fn start(number: u8, names: &[&str], identity: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() || !Path::new(HELPER).exists() {
            eprintln!("NOT TESTED through a parent proxy: there is no squid (scripts/test installs it)");
            return None;
        }
        let folder = TempDir::new().unwrap();
        // As root it becomes another user, who writes its logs.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let hosts = names.iter().fold(String::new(), |text, name| text + "127.0.0.1 " + name + "\n");
        file("hosts", &hosts);
        file("identity.pem", identity);
        let made = Command::new("openssl").args(["passwd", "-apr1", PASSWORD]).output().unwrap();
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        file("passwords", &format!("{USER}:{}", String::from_utf8(made.stdout).unwrap()));
        let from = format!("127.0.0.{number}");
        for _ in 0..TRIES {
            let (http, https) = (free_port(), free_port());
            file("squid.conf", &configuration(folder.path(), http, https, &from));
            if let Some(child) = spawn(folder.path(), &[http, https]) {
                return Some(Self { folder, child, http, https, from });
            }
        }
        panic!("squid does not start: {}", log(folder.path()));
    }

    /// Waits until its log says that a tunnel to this host and port has ended.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn wait_for_tunnel(&self, to: &str) {
        let line = format!("CONNECT {to} ");
        wait::until("a tunnel through squid", || {
            let log = std::fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
            log.contains(&line).then_some(())
        });
    }

    /// Ends it at once, and its connections with it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same ports.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.child =
            wait::until("squid to start again", || spawn(self.folder.path(), &[self.http, self.https]));
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(folder: &Path, http: u16, https: u16, from: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "http_port 127.0.0.1:{http}\nhttps_port 127.0.0.1:{https} tls-cert={}\n\
         auth_param basic program {HELPER} {}\nauth_param basic children 2 startup=1\nauth_param basic realm parent\n\
         acl known proxy_auth REQUIRED\nacl forbidden dstdomain -n forbidden.test\nhttp_access deny forbidden\n\
         http_access allow known\nhttp_access deny all\nhosts_file {}\ntcp_outgoing_address {from}\n\
         pid_filename none\naccess_log stdio:{}\ncache_log {}\ncache deny all\ncache_mem 8 MB\nmemory_cache_shared off\n\
         netdb_filename none\npinger_enable off\ncoredump_dir {}\nshutdown_lifetime 0 seconds\n",
        at("identity.pem"),
        at("passwords"),
        at("hosts"),
        at("access.log"),
        at("cache.log"),
        folder.display(),
    )
}

/// Starts it and waits until it listens; nothing if it ends before that.
fn spawn(folder: &Path, ports: &[u16]) -> Option<Child> {
    let name: String =
        folder.file_name().unwrap().to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    let mut child = Command::new(PROGRAM)
        .args(["-N", "-n", &name, "-f"])
        .arg::<PathBuf>(folder.join("squid.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listens = wait::until("squid to listen", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let answers = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
        ports.iter().all(answers).then_some(true)
    });
    listens.then_some(child)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("cache.log")).unwrap_or_default()
}
