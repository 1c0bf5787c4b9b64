//! Configuration as files: export, diff and apply, on both stores.

mod settings;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::world::{World, configured, echo, stores, world};

impl World {
    fn folder(&self, name: &str) -> PathBuf {
        self.gatehouse.dir().join(name)
    }

    /// Runs a command on a folder and gives its exit code and both outputs.
    fn on(&self, folder: &Path, words: &[&str]) -> (i32, String) {
        let flag = if words[0] == "export" { "-o" } else { "-f" };
        let done = self.gatehouse.cli(&[words, &[flag, folder.to_str().unwrap()]].concat());
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn good(&self, folder: &Path, words: &[&str]) -> String {
        let (code, told) = self.on(folder, words);
        assert_eq!(code, 0, "{words:?}: {told}");
        told
    }

    /// The kinds and names of all differences.
    fn differences(&self, folder: &Path) -> Vec<String> {
        let done = self.gatehouse.cli(&["--json", "diff", "-f", folder.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        let value: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}: {told}"));
        let all = value["differences"].as_array().unwrap();
        assert_eq!(done.status.code(), Some(i32::from(!all.is_empty())));
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        all.iter()
            .map(|one| format!("{} {} {}", text(one, "kind"), text(one, "noun"), text(one, "name")))
            .collect()
    }

    fn audited(&self) -> Vec<String> {
        let all = self.gatehouse.json(&["audit", "list", "--limit", "2000"]);
        all.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap().to_owned()).collect()
    }

    /// An organization with something of everything.
    fn furnish(&self) {
        let g = &self.gatehouse;
        g.json(&["team", "add", "Core"]);
        g.json(&["team", "models", "Core", "claude-sonnet-*,claude-haiku-*"]);
        g.json(&["team", "add", "quote \" and \\ and é"]);
        g.json(&["project", "add", "Apollo"]);
        g.json(&["role", "set", "release", "read_usage,read_directory"]);
        g.json(&["user", "add", "ada@example.com", "--team", "Core", "--name", "Ada \"L\""]);
        g.json(&["user", "disable", "ada@example.com"]);
        let file = self.folder("p.cedar");
        fs::write(&file, "// Everybody.\npermit (principal, action, resource);").unwrap();
        g.json(&["access", "set", "everybody", file.to_str().unwrap()]);
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn what_is_exported_is_the_same_again_and_there_is_nothing_to_do() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        w.furnish();
        let (one, two) = (w.folder("one"), w.folder("two"));
        w.good(&one, &["export"]);
        w.good(&two, &["export"]);
        w.good(&two, &["export"]);
        let files = contents(&one);
        assert_eq!(files, contents(&two));
        assert!(files[Path::new("teams.toml")].starts_with(
            "[[team]]\nname = \"Core\"\nmodels = [\"claude-haiku-*\", \"claude-sonnet-*\"]\n\n[[team]]\n"
        ));
        assert_eq!(
            files[Path::new("users.toml")],
            "[[user]]\nemail = \"ada@example.com\"\nname = \"Ada \\\"L\\\"\"\nstate = \"disabled\"\nteams = [\"Core\"]\n\n\
             [[user]]\nemail = \"dev@example.com\"\nstate = \"active\"\n\n\
             [[user]]\nemail = \"owner@localhost\"\nname = \"Owner\"\nstate = \"active\"\n"
        );
        let all = files.values().cloned().collect::<String>();
        assert!(!all.contains("gh_") && !all.contains("gha_") && !all.contains(&w.key_id), "{all}");
        assert_eq!(w.differences(&one), [""; 0]);
        let before = w.audited().len();
        assert!(w.good(&one, &["diff"]).contains("Nothing to do."));
        assert_eq!(w.audited().len(), before, "diff changes nothing");
        assert!(w.good(&one, &["apply"]).contains("Nothing to do."));
        assert!(w.good(&one, &["apply"]).contains("Nothing to do."));
        let marks = w.audited().iter().filter(|action| *action == "owned_objects.mark").count();
        assert_eq!(marks, 1, "the second apply had nothing to mark");
    }
}

const POLICY: &str = "forbid (principal, action, resource) when { context.network.isMulticast() };\n";

fn write(folder: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("access")).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn what_was_changed_in_files_comes_to_the_server() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        w.furnish();
        let folder = w.folder("files");
        w.good(&folder, &["export"]);
        write(
            &folder,
            &[
                (
                    "teams.toml",
                    "[[team]]\nname = \"New\"\nmodels = [\"claude-opus-*\"]\n[[team]]\nname = \"Core\"\n",
                ),
                ("projects.toml", "[[project]]\nname = \"Zeus\"\n"),
                ("roles.toml", "[[role]]\nname = \"release\"\npermissions = [\"read_usage\"]\n"),
                (
                    "users.toml",
                    "[[user]]\nemail = \"ADA@example.com\"\nname = \"Ada\"\nteams = [\"New\", \"Core\"]\n\
                     [[user]]\nemail = \"off@example.com\"\nstate = \"disabled\"\nteams = [\"New\"]\n",
                ),
                ("access/everybody.cedar", "permit (principal, action, resource);\n"),
                ("access/nobody.cedar", POLICY),
            ],
        );
        let expected = [
            "change team Core",
            "add team New",
            "add project Zeus",
            "change role release",
            "change access_policy everybody",
            "add access_policy nobody",
            "change user ada@example.com",
            "add user off@example.com",
        ];
        assert_eq!(w.differences(&folder), expected);
        let before = w.audited().len();
        let told = w.good(&folder, &["apply", "--dry-run"]);
        assert!(told.contains("Nothing was done") && told.contains("claude-opus-*"), "{told}");
        assert_eq!(
            (w.differences(&folder).len(), w.audited().len()),
            (8, before),
            "a dry run changes nothing"
        );

        let told = w.good(&folder, &["apply"]);
        assert!(told.contains("Done: 8."), "{told}");
        assert_eq!(w.differences(&folder), [""; 0]);
        let ada = w.gatehouse.json(&["user", "get", "ada@example.com"]);
        assert_eq!(
            (&ada["name"], &ada["state"], &ada["teams"]),
            (&json!("Ada"), &json!("active"), &json!(["Core", "New"]))
        );
        assert_eq!(w.gatehouse.json(&["user", "get", "off@example.com"])["state"], "disabled");
        let teams = w.gatehouse.json(&["team", "list"]);
        assert_eq!((&teams[0]["models"], &teams[1]["models"]), (&json!([]), &json!(["claude-opus-*"])));
        let told = w.good(&folder, &["diff"]);
        assert!(told.contains("left alone: ") && told.contains("user dev@example.com"), "{told}");
    }
}

#[test]
fn changes_by_hand_are_named_and_put_right() {
    let w = world(echo(1, 1));
    w.furnish();
    let folder = w.folder("files");
    w.good(&folder, &["export"]);
    w.good(&folder, &["apply"]);
    w.gatehouse.json(&["team", "models", "Core", "claude-opus-*"]);
    w.gatehouse.json(&["access", "remove", "everybody"]);
    w.gatehouse.json(&["project", "add", "Zeus"]);
    write(&folder, &[("roles.toml", "[[role]]\nname = \"release\"\npermissions = [\"read_audit\"]\n")]);
    let expected = ["drift team Core", "change role release", "drift access_policy everybody"];
    assert_eq!(w.differences(&folder), expected);
    let (code, told) = w.on(&folder, &["diff"]);
    assert!(code == 1 && told.contains("changed by hand") && told.contains("removed by hand"), "{told}");
    w.good(&folder, &["apply"]);
    assert_eq!(w.differences(&folder), [""; 0]);
    assert_eq!(
        w.gatehouse.json(&["team", "list"])[0]["models"],
        json!(["claude-haiku-*", "claude-sonnet-*"])
    );
}

#[test]
fn only_what_was_applied_is_pruned_and_only_on_request() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let folder = w.folder("files");
        write(
            &folder,
            &[
                ("teams.toml", "[[team]]\nname = \"Core\"\n[[team]]\nname = \"Web\"\n"),
                ("projects.toml", "[[project]]\nname = \"Apollo\"\n"),
                ("roles.toml", "[[role]]\nname = \"release\"\npermissions = [\"read_usage\"]\n"),
                ("users.toml", "[[user]]\nemail = \"ada@example.com\"\nteams = [\"Web\"]\n"),
                ("access/nobody.cedar", POLICY),
            ],
        );
        w.good(&folder, &["apply"]);
        w.gatehouse.json(&["team", "add", "By hand"]);
        for file in ["teams.toml", "projects.toml", "roles.toml", "users.toml"] {
            fs::write(folder.join(file), "").unwrap();
        }
        fs::remove_file(folder.join("access/nobody.cedar")).unwrap();
        let gone = [
            "remove user ada@example.com",
            "remove access_policy nobody",
            "remove role release",
            "release project Apollo",
            "remove team Web",
            "remove team Core",
        ];
        assert_eq!(w.differences(&folder), gone);
        assert!(w.good(&folder, &["apply"]).contains("Nothing to do."));
        assert!(w.good(&folder, &["apply", "--prune", "--dry-run"]).contains("to be disabled"));
        assert_eq!(w.differences(&folder), gone, "nothing is removed unless asked for");

        // The team still has a member: what stands before it is done, and the rest is named.
        let (code, told) = w.on(&folder, &["apply", "--prune"]);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("stopped at the team Web") && told.contains("done before it: 4"), "{told}");
        assert!(told.contains("not done: team Web, team Core"), "{told}");
        assert_eq!(w.differences(&folder), ["remove team Web", "remove team Core"]);
        w.gatehouse.json(&["user", "teams", "ada@example.com"]);
        w.good(&folder, &["apply", "--prune"]);
        assert_eq!(w.differences(&folder), [""; 0]);
        assert_eq!(w.gatehouse.json(&["user", "get", "ada@example.com"])["state"], "disabled");
        assert_eq!(w.gatehouse.json(&["user", "get", "dev@example.com"])["state"], "active");
        let teams = w.gatehouse.json(&["team", "list"]);
        assert_eq!((teams.as_array().unwrap().len(), &teams[0]["name"]), (1, &json!("By hand")));
        assert_eq!(w.gatehouse.json(&["project", "list"])[0]["name"], "Apollo", "projects stay");
    }
}

#[test]
fn the_same_name_in_another_spelling_is_the_same_thing() {
    let w = world(echo(1, 1));
    w.furnish();
    let folder = w.folder("files");
    let users = "[[user]]\nemail = \" ADA@example.com\"\nname = \"Ada \\\"L\\\" \"\nstate = \"disabled\"\nteams = [\"CORE\", \"core\"]\n";
    write(&folder, &[("projects.toml", "[[project]]\nname = \"apollo \"\n"), ("users.toml", users)]);
    assert_eq!(w.differences(&folder), [""; 0]);
    assert!(w.good(&folder, &["apply"]).contains("Nothing to do."));
    assert_eq!(w.differences(&folder), [""; 0]);
}

#[test]
fn a_file_that_is_not_there_speaks_of_nothing() {
    let w = world(echo(1, 1));
    let folder = w.folder("files");
    write(&folder, &[("users.toml", "[[user]]\nemail = \"ada@example.com\"\n"), ("projects.toml", "")]);
    w.good(&folder, &["apply"]);
    fs::remove_file(folder.join("users.toml")).unwrap();
    assert_eq!(w.differences(&folder), [""; 0]);
    w.good(&folder, &["apply", "--prune"]);
    assert_eq!(w.gatehouse.json(&["user", "get", "ada@example.com"])["state"], "active");
}

#[test]
fn the_first_refusal_ends_it_and_the_next_run_goes_on() {
    let w = world(echo(1, 1));
    let folder = w.folder("files");
    let bad = "[[user]]\nemail = \"ada@example.com\"\nteams = [\"Nowhere\"]\n[[user]]\nemail = \"bob@example.com\"\n";
    write(&folder, &[("teams.toml", "[[team]]\nname = \"Core\"\n"), ("users.toml", bad)]);
    let (code, told) = w.on(&folder, &["apply"]);
    assert!(code == 1 && told.contains("stopped at the user ada@example.com"), "{told}");
    assert!(told.contains("no team `Nowhere`") && told.contains("done before it: 1"), "{told}");
    assert!(told.contains("not done: user ada@example.com, user bob@example.com"), "{told}");
    let owned = w.audited().iter().filter(|action| *action == "owned_objects.mark").count();
    assert_eq!(owned, 1, "what was done is marked");
    write(&folder, &[("users.toml", &bad.replace("Nowhere", "Core"))]);
    assert_eq!(w.differences(&folder), ["add user ada@example.com", "add user bob@example.com"]);
    w.good(&folder, &["apply"]);
    assert_eq!(w.differences(&folder), [""; 0]);
    let viewer = w.gatehouse.json(&["admin", "token", "create", "--name", "v", "--role", "auditor"]);
    let viewer = viewer["token"].as_str().unwrap();
    let done = w.gatehouse.cli(&["--token", viewer, "diff", "-f", folder.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "whoever reads may compare");
    write(&folder, &[("projects.toml", "[[project]]\nname = \"Zeus\"\n")]);
    let done = w.gatehouse.cli(&["--token", viewer, "apply", "-f", folder.to_str().unwrap()]);
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(1) && told.contains("does not include this"), "{told}");
}

#[test]
fn mistakes_in_files_are_told_with_their_places_and_nothing_is_done() {
    let w = world(echo(1, 1));
    let before = w.audited().len();
    for (file, text, told) in [
        (
            "teams.toml",
            "[[team]]\nname = \"a\"\n\n[[team]]\nmodel = []\nname = \"b\"\n",
            "teams.toml:5: unknown key `model`",
        ),
        ("teams.toml", "[[teams]]\nname = \"a\"\n", "teams.toml:1: unknown `teams`; expected [[team]]"),
        ("teams.toml", "[[team]]\nname = \"a\n", "teams.toml:2: not TOML"),
        ("teams.toml", "[[team]]\nmodels = []\n", "teams.toml:1: a team without `name`"),
        ("teams.toml", "[[team]]\nname = 7\n", "teams.toml:1: a team without `name`"),
        (
            "teams.toml",
            "[[team]]\nname = \"a\"\nmodels = [\"x\",\n 5]\n",
            "teams.toml:4: models: expected a list of texts",
        ),
        ("teams.toml", "[[team]]\nname = \"a\"\n[[team]]\nname = \"a\"\n", "teams.toml:3: a second team `a`"),
        ("teams.toml", "team = 5\n", "teams.toml:1: unknown `team`"),
        (
            "users.toml",
            "[[user]]\nemail = \"a@b.c\"\nstate = \"gone\"\n",
            "users.toml:3: state: expected \"active\"",
        ),
        (
            "users.toml",
            "[[user]]\nemail = \"a@b.c\"\n[[user]]\nemail = \"A@b.c\"\n",
            "users.toml:3: a second user",
        ),
        ("user.toml", "", "user.toml: unknown; expected teams.toml"),
        ("access/Bad Name.cedar", "", "Bad Name.cedar: expected NAME.cedar"),
        ("access/readme.md", "", "readme.md: expected NAME.cedar"),
    ] {
        let folder = w.folder("bad");
        write(&folder, &[("projects.toml", "[[project]]\nname = \"Zeus\"\n"), (file, text)]);
        for words in [["diff"].as_slice(), &["apply"], &["apply", "--dry-run"]] {
            let (code, said) = w.on(&folder, words);
            assert!(code == 2 && said.contains(told), "{file} {text}: {said}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
    assert_eq!(w.on(&w.folder("nowhere"), &["apply"]).0, 2);
    fs::create_dir(w.folder("empty")).unwrap();
    let (code, told) = w.on(&w.folder("empty"), &["apply", "--prune"]);
    assert!(code == 2 && told.contains("nothing to read"), "{told}");
    assert_eq!(w.audited().len(), before);
    let folder = w.folder("export");
    write(&folder, &[("access/old.cedar", POLICY)]);
    let (code, told) = w.on(&folder, &["export"]);
    assert!(code == 2 && told.contains("old.cedar` is in the way"), "{told}");
    assert!(!folder.join("teams.toml").exists(), "nothing is written over");
}

#[test]
fn many_people_are_applied_and_marked_in_one_run() {
    let w = world(echo(1, 1));
    let folder = w.folder("files");
    let users: Vec<String> =
        (0..500).map(|n| format!("[[user]]\nemail = \"u{n}@example.com\"\nteams = [\"Core\"]\n")).collect();
    let users = users.concat();
    write(&folder, &[("teams.toml", "[[team]]\nname = \"Core\"\n"), ("users.toml", &users)]);
    w.good(&folder, &["apply"]);
    assert_eq!(w.differences(&folder), [""; 0]);
    let audited = w.audited();
    let count = |wanted: &str| audited.iter().filter(|action| *action == wanted).count();
    assert_eq!(
        (count("user.add"), count("owned_objects.mark")),
        (502, 2),
        "one act a person, two of them before; marks in batches"
    );
    let again = w.folder("again");
    w.good(&again, &["export"]);
    assert_eq!(w.differences(&again), [""; 0]);
}
