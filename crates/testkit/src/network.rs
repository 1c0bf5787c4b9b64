//! Networks of one's own (Linux namespaces): in one of them a test is run, and another is at the end of a line on which packets can
//! vanish without a word. Nothing outside of them is touched.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// Where this side of the line is.
pub const NEAR: &str = "10.213.0.1";
/// Where the other side is.
pub const FAR: &str = "10.213.0.2";
/// This side's interface.
const LINE: &str = "gatehouse0";

/// Set for a test that was started within a network of its own.
const WITHIN: &str = "GATEHOUSE_TEST_WITHIN";
/// Debian keeps `ip` and `nft` out of the PATH of users.
const TOOLS: &str = "PATH=$PATH:/usr/sbin:/sbin; export PATH; ";

/// Whether this test, of this path in its program, is alone in a network and can go on. If it is not, it is run once more in one,
/// and what it said is printed. Where that cannot be had, this is said aloud.
///
/// # Panics
/// When the test fails there.
#[expect(
    clippy::disallowed_methods,
    reason = "a test that is started anew learns from the environment where it is"
)]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
pub fn alone(test: &str) -> bool {
    if std::env::var(WITHIN).is_ok() {
        return true;
    }
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        // As anybody else than root it needs a namespace of users too, in which it is who it was.
        if !is_root() {
            command.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        command.args(["--net", "sh", "-c", &format!("{TOOLS}ip link set lo up && {script}")]);
        command
    };
    let tried = shell("nft add table inet try && unshare --net true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!(
            "NOT TESTED with a network that is cut: no namespaces or no nft can be had (scripts/test installs it): {tried:?}"
        );
        return false;
    }
    let name = test.split_once("::").map_or(test, |(_, within)| within);
    let status = shell("exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(WITHIN, "1")
        .status()
        .unwrap();
    assert!(status.success(), "within a network of its own: {status}");
    false
}

/// Whether this process may do everything on this machine.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A network at the other end of a line: this end is [`NEAR`], that end is [`FAR`].
pub struct Network {
    /// Lives in it and keeps it.
    keeper: Child,
}

impl Network {
    /// Makes one. To be called within a network of one's own.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn start() -> Self {
        // It ends with its standard input, and so with this process.
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo there && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "there\n");
        let network = Self { keeper };
        let pid = network.keeper.id();
        run(&["ip", "link", "add", LINE, "type", "veth", "peer", "name", LINE, "netns", &pid.to_string()]);
        run(&["ip", "address", "add", &format!("{NEAR}/30"), "dev", LINE]);
        run(&["ip", "link", "set", LINE, "up"]);
        network.run(&["ip", "link", "set", "lo", "up"]);
        network.run(&["ip", "address", "add", &format!("{FAR}/30"), "dev", LINE]);
        network.run(&["ip", "link", "set", LINE, "up"]);
        network
    }

    /// The words before a command that is to run there.
    pub fn prefix(&self) -> Vec<String> {
        ["nsenter", "--target", &self.keeper.id().to_string(), "--net", "--"].map(str::to_owned).to_vec()
    }

    /// Lets packets to and from these ports of this side vanish on the line, in both directions.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn silence(&self, ports: &[u16]) {
        let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let rules = |end: &str| {
            format!(
                "add table inet silence\n\
                 add chain inet silence in {{ type filter hook input priority 0; policy accept; }}\n\
                 add rule inet silence in iifname \"{LINE}\" tcp {end} {{ {list} }} drop\n"
            )
        };
        feed(&["nft", "-f", "-"], &rules("dport"));
        let prefix = self.prefix();
        let words: Vec<&str> = prefix.iter().map(String::as_str).chain(["nft", "-f", "-"]).collect();
        feed(&words, &rules("sport"));
    }

    /// Lets everything through again.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn mend(&self) {
        run(&["nft", "delete", "table", "inet", "silence"]);
        self.run(&["nft", "delete", "table", "inet", "silence"]);
    }

    fn run(&self, words: &[&str]) {
        let prefix = self.prefix();
        run(&prefix.iter().map(String::as_str).chain(words.iter().copied()).collect::<Vec<_>>());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn run(words: &[&str]) {
    feed(words, "");
}

fn feed(words: &[&str], input: &str) {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
