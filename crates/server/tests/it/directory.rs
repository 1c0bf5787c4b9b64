//! Directories that are read by LDAP, against real servers: OpenLDAP (`scripts/openldap`) and Samba (`scripts/samba`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gatehouse_testkit::http::{self, Connection};
use gatehouse_testkit::provider::Act;
use gatehouse_testkit::{sse, wait};
use serde_json::Value;

use crate::world::{MODEL, World, ask, configured};

/// The folder of a server; `None` when there is none, which is said aloud.
#[expect(clippy::disallowed_methods, reason = "the test server's place comes from the environment")]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
fn server(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var(variable).ok().map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT TESTED on a real directory: {variable} is not set (scripts/test sets it)");
    }
    folder
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned()
}

/// Runs a tool of OpenLDAP with this input.
fn ldap(folder: &Path, tool: &str, args: &[&str], input: &str) {
    let mut child = Command::new(tool)
        .args(args)
        .env("LDAPTLS_CACERT", folder.join("ca.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{tool}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A branch of the test server's tree that only this test uses. Its people are of a class of their own, so that other
/// tests, which search the whole tree meanwhile, do not find them.
struct Branch {
    folder: PathBuf,
    base: String,
}

const PEOPLE: usize = 20;

impl Branch {
    fn new() -> Option<Self> {
        let folder = server("GATEHOUSE_TEST_OPENLDAP")?;
        let base = format!("ou=sync-{},dc=example,dc=com", std::process::id());
        let branch = Self { folder, base };
        let Self { base, .. } = &branch;
        let ou = base.split([',', '=']).nth(1).unwrap();
        let mut tree = format!("dn: {base}\nobjectClass: organizationalUnit\nou: {ou}\n\n");
        for n in 0..PEOPLE {
            let entry = format!(
                "dn: uid=s{n:02},{base}\nobjectClass: pilotPerson\nobjectClass: marked\nuid: s{n:02}\n\
                 cn: Sync {n:02}\nsn: s\nmail: s{n:02}@example.com\n\n"
            );
            tree.push_str(&entry);
        }
        for (group, member) in [("inner", "uid=s00"), ("outer", "cn=inner")] {
            let entry = format!(
                "dn: cn={group},{base}\nobjectClass: groupOfNames\ncn: {group}\nmember: {member},{base}\n\n"
            );
            tree.push_str(&entry);
        }
        branch.change("ldapadd", &tree);
        Some(branch)
    }

    fn change(&self, tool: &str, input: &str) {
        let address = read(&self.folder, "ldap");
        let admin =
            ["-x", "-ZZ", "-H", &address, "-D", "cn=admin,dc=example,dc=com", "-w", "password-of-admin"];
        ldap(&self.folder, tool, &admin, input);
    }

    fn lock(&self, name: &str) {
        let base = &self.base;
        self.change(
            "ldapmodify",
            &format!("dn: uid={name},{base}\nchangetype: modify\nadd: nsAccountLock\nnsAccountLock: TRUE\n"),
        );
    }

    fn config(&self) -> String {
        format!(
            "[[directory]]\nname = \"hq\"\nservers = [\"{}\"]\nca_file = \"{}\"\n\
             bind_dn = \"cn=reader,dc=example,dc=com\"\nbind_password = \"exec:echo password-of-reader\"\n\
             people_filter = \"(objectClass=pilotPerson)\"\nname_attribute = \"cn\"\n\
             people_bases = [\"{base}\"]\ngroup_bases = [\"{base}\"]\n",
            read(&self.folder, "ldap"),
            self.folder.join("ca.pem").display(),
            base = self.base,
        )
    }
}

fn hang() -> impl Fn(&gatehouse_testkit::provider::Seen) -> Vec<Act> + Send + Sync + 'static {
    |_| vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(9, 1))), Act::Hang]
}

/// A run by hand, with its exit code.
fn sync(w: &World, more: &[&str]) -> (Value, Option<i32>) {
    let output = w.gatehouse.cli(&[&["--json", "directory", "sync", "hq"], more].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let run = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{:?}", output.stderr));
    (run, output.status.code())
}

fn state(w: &World, address: &str) -> String {
    w.gatehouse.json(&["user", "get", address])["state"].as_str().unwrap().to_owned()
}

/// Points the running server to other addresses of the directory.
fn move_directory(w: &World, from: &str, to: &str) {
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from));
    std::fs::write(&file, text.replace(from, to)).unwrap();
    w.gatehouse.json(&["config", "reload"]);
}

fn metric(w: &World, line: &str) {
    wait::until(line, || {
        http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text().contains(line).then_some(())
    });
}

#[test]
fn people_of_openldap_come_in_and_a_leaver_is_cut_off_within_seconds() {
    let Some(branch) = Branch::new() else { return };
    let w = configured(&branch.config(), "sqlite", hang());
    let checked = w.gatehouse.json(&["directory", "check", "hq"]);
    assert_eq!((&checked["people"], &checked["groups"]), (&PEOPLE.into(), &2.into()));
    let dry = sync(&w, &["--dry-run"]);
    assert_eq!((&dry.0["added"], dry.1), (&PEOPLE.into(), Some(0)));

    // The first run comes by itself.
    wait::until("the scheduled run", || {
        (w.gatehouse.json(&["directory", "list"])[0]["last_run"]["outcome"] == "done").then_some(())
    });
    metric(&w, "gatehouse_directory_last_run{directory=\"hq\",what=\"added\"} 20");
    let groups = w.gatehouse.json(&["scim", "group", "list"]);
    let outer = groups.as_array().unwrap().iter().find(|group| group["name"] == "outer").unwrap();
    w.gatehouse.json(&["team", "add", "core"]);
    w.gatehouse.json(&["scim", "group", "map", outer["id"].as_str().unwrap(), "--team", "core"]);
    let member = w.gatehouse.json(&["user", "get", "s00@example.com"]);
    assert_eq!(member["teams"], serde_json::json!(["core"]), "by way of the group within the group");

    let (_, key) = w.gatehouse.key("s00@example.com", &[]);
    let mut stream = Connection::open(&w.gatehouse.gateway);
    stream.request("POST", "/v1/messages", &[("x-api-key", &key)], &ask(true));
    stream.read_until("message_start");
    branch.lock("s00");
    let began = Instant::now();
    let (run, code) = sync(&w, &[]);
    assert_eq!((&run["disabled"], code), (&1.into(), Some(0)), "{run}");
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 401);
    assert!(stream.reply().text().contains("event: error"));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(state(&w, "s00@example.com"), "disabled");
}

#[test]
fn an_outage_and_a_mass_removal_disable_nobody() {
    let Some(branch) = Branch::new() else { return };
    let w = configured(&branch.config(), "sqlite", crate::world::echo(1, 1));
    assert_eq!(sync(&w, &[]).1, Some(0));
    let (_, key) = w.gatehouse.key("s10@example.com", &[]);

    let address = read(&branch.folder, "ldap");
    move_directory(&w, &address, "ldap://127.0.0.1:1");
    let (run, code) = sync(&w, &[]);
    assert_eq!((run["outcome"].as_str(), code), (Some("failed"), Some(1)), "{run}");
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
    metric(&w, "gatehouse_directory_alarm{directory=\"hq\"} 1");

    // Nothing there is nobody either.
    move_directory(&w, "ldap://127.0.0.1:1", &address);
    let (here, nowhere) =
        (format!("people_bases = [\"{}\"]", branch.base), "people_bases = [\"ou=nobody,dc=example,dc=com\"]");
    move_directory(&w, &here, nowhere);
    assert_eq!(sync(&w, &[]).0["outcome"], "failed");
    move_directory(&w, nowhere, &here);

    for n in 5..15 {
        branch.lock(&format!("s{n:02}"));
    }
    let (run, code) = sync(&w, &[]);
    assert_eq!((run["outcome"].as_str(), code), (Some("stopped"), Some(1)), "{run}");
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
    for n in 0..PEOPLE {
        assert_eq!(state(&w, &format!("s{n:02}@example.com")), "active");
    }
    let entries = w.gatehouse.json(&["audit", "list", "--action", "directory.sync"]);
    let outcomes: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["refused", "failed", "failed", "done"]);

    let (run, _) = sync(&w, &["--confirm-disable"]);
    assert_eq!(run["disabled"], 10, "a person has looked: {run}");
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 401);
    metric(&w, "gatehouse_directory_alarm{directory=\"hq\"} 0");
}

#[test]
fn people_of_active_directory_come_in_and_leave() {
    let Some(folder) = server("GATEHOUSE_TEST_ACTIVE_DIRECTORY") else { return };
    let users = "CN=Users,DC=corp,DC=example,DC=com";
    let address = read(&folder, "ldaps");
    let config = format!(
        "[[directory]]\nname = \"hq\"\nkind = \"active_directory\"\nservers = [\"{address}\"]\nca_file = \"{}\"\n\
         bind_dn = \"CN=reader Example,{users}\"\nbind_password = \"exec:echo password-of-reader\"\n\
         people_bases = [\"DC=corp,DC=example,DC=com\"]\ngroup_bases = [\"DC=corp,DC=example,DC=com\"]\n",
        folder.join("ca.pem").display(),
    );
    let w = configured(&config, "sqlite", crate::world::echo(1, 1));
    let (run, code) = sync(&w, &[]);
    assert_eq!((run["outcome"].as_str(), code), (Some("done"), Some(0)), "{run}");
    assert_eq!(state(&w, "ann@example.com"), "active");
    assert!(
        !w.gatehouse.cli(&["user", "get", "off@example.com"]).status.success(),
        "who is disabled is not brought in"
    );
    let groups = w.gatehouse.json(&["scim", "group", "list"]);
    let names: Vec<&str> =
        groups.as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    for group in ["big", "inner", "middle", "outer"] {
        assert!(names.contains(&group), "{names:?}");
    }
    let (_, key) = w.gatehouse.key("ann@example.com", &[]);
    let control = |value: u32| {
        let admin =
            ["-x", "-H", &address, "-D", &format!("CN=Administrator,{users}"), "-w", "password-of-0-Admin"];
        let change = format!(
            "dn: CN=ann Example,{users}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: {value}\n"
        );
        ldap(&folder, "ldapmodify", &admin, &change);
    };
    control(514);
    let (run, _) = sync(&w, &[]);
    let refused = w.gatehouse.post(&key, &ask(false)).status;
    control(512);
    assert_eq!((&run["disabled"], refused), (&1.into(), 401), "{run}");
    assert_eq!(sync(&w, &[]).0["updated"], 1);
    assert_eq!(w.gatehouse.post(&key, &ask(false)).status, 200);
}

#[test]
fn the_checklist_turns_red_with_a_wrong_password_and_green_with_the_right_one() {
    let Some(branch) = Branch::new() else { return };
    let secret = tempfile::NamedTempFile::new().unwrap();
    let put = |word: &str| std::fs::write(secret.path(), word).unwrap();
    put("password-of-reader");
    let from_file = format!("file:{}", secret.path().display());
    let config = branch.config().replace("exec:echo password-of-reader", &from_file);
    let w = configured(&config, "sqlite", |_| Vec::new());
    let found = || {
        let listed = w.gatehouse.cli(&["--json", "doctor", "identity"]).stdout;
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        let items = listed["items"].as_array().unwrap().clone();
        let item = items.into_iter().find(|item| item["item"] == "directory").unwrap();
        (item["state"].as_str().unwrap().to_owned(), item["evidence"].as_str().unwrap().to_owned())
    };
    assert_eq!(found().0, "pass");
    put("a wrong one");
    w.gatehouse.json(&["config", "reload"]);
    let (state, why) = found();
    assert!(state == "fail" && why.contains("hq") && !why.contains("a wrong one"), "{state}: {why}");
    put("password-of-reader");
    w.gatehouse.json(&["config", "reload"]);
    assert_eq!(found(), ("pass".to_owned(), format!("hq: {PEOPLE} active people")));
}
