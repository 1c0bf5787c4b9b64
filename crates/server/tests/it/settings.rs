//! Settings from the command line to what clients get, on both stores.

mod rollout;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::world::{World, configured, echo, stores, world};

impl World {
    pub fn write(&self, name: &str, value: &Value) -> String {
        let path: PathBuf = self.gatehouse.dir().join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A second administrator's token.
    pub fn second(&self, name: &str) -> String {
        let made = self.gatehouse.json(&[
            "admin",
            "token",
            "create",
            "--name",
            name,
            "--role",
            "admin",
            "--service",
            name,
        ]);
        made["token"].as_str().unwrap().to_owned()
    }

    /// Runs a command and gives its exit code and both outputs.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let done = self.gatehouse.cli(args);
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    pub fn publish(&self, profile: &str, second: &str) {
        self.gatehouse.json(&["settings", "submit", profile]);
        self.gatehouse.json(&["--token", second, "settings", "approve", profile]);
        let published = self.gatehouse.json(&["settings", "publish", profile]);
        assert_eq!((&published["state"], &published["in_force"]), (&json!("published"), &json!(true)));
    }

    fn effective(&self) -> Value {
        self.gatehouse.json(&["settings", "effective", "dev@example.com"])
    }
}

#[test]
fn a_profile_goes_from_a_file_to_clients_and_back() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let second = w.second("reviewer");
        w.gatehouse.json(&["team", "add", "core"]);
        w.gatehouse.json(&["user", "teams", "dev@example.com", "core"]);
        let base = w.write("base.json", &json!({"model": "opus", "permissions": {"deny": ["WebFetch"]}}));
        let made = w.gatehouse.json(&[
            "settings",
            "new",
            "base",
            "--for",
            "organization",
            "-f",
            &base,
            "--lock",
            "permissions.deny",
        ]);
        assert_eq!(made["version"]["locks"], json!(["permissions.deny"]));
        assert_eq!(w.effective()["settings"], Value::Null);
        let (code, told) = w.run(&["settings", "approve", "base"]);
        assert_eq!(code, 1, "{told}");
        w.publish("base", &second);
        let first = w.effective();
        assert_eq!(first["settings"]["model"], "opus");

        let core = w.write("core.json", &json!({"model": "haiku", "permissions": {"deny": ["Bash"]}}));
        w.gatehouse.json(&["settings", "new", "core", "--for", "team:core", "-f", &core, "--priority", "3"]);
        let diff = w.gatehouse.json(&["settings", "diff", "core", "--users"]);
        assert_eq!((&diff["affected"], &diff["users"][0]["email"]), (&json!(1), &json!("dev@example.com")));
        w.publish("core", &second);
        assert_eq!(
            w.effective()["settings"],
            json!({"model": "haiku", "permissions": {"deny": ["WebFetch"]}})
        );
        let (code, told) = w.run(&["settings", "explain", "dev@example.com", "permissions.deny"]);
        assert!(code == 0 && told.contains("locked by organization base"), "{told}");
        assert!(told.contains("team core") && told.contains("refused"), "{told}");

        w.gatehouse.json(&["settings", "retire", "core"]);
        assert_eq!(w.effective()["checksum"], first["checksum"]);
        let next = w.write("next.json", &json!({"model": "sonnet"}));
        let edited = w.gatehouse.json(&["settings", "edit", "base", "-f", &next]);
        assert_eq!(
            edited["version"]["locks"],
            json!(["permissions.deny"]),
            "locks stay unless others are given"
        );
        w.publish("base", &second);
        assert_eq!(w.effective()["settings"], json!({"model": "sonnet"}));
        w.gatehouse.json(&["settings", "rollback", "base", "1", "--note", "sonnet was not it"]);
        assert_eq!(w.effective()["checksum"], first["checksum"]);
        let receipts = w.gatehouse.json(&["settings", "receipts", "--state", "unseen"]);
        assert_eq!(receipts[0]["email"], "dev@example.com");
        let (code, told) = w.run(&["settings", "show", "base"]);
        assert!(code == 0 && told.contains("retired") && told.contains("reviewer"), "{told}");
        let listed = w.gatehouse.json(&["settings", "list"]);
        assert_eq!((&listed[0]["published"], &listed[1]["published"]), (&json!(1), &Value::Null));
    }
}

#[test]
fn what_runs_programs_needs_the_configuration_and_two_people() {
    let hooks = json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "/bin/true"}]}]}});
    let w = world(echo(1, 1));
    let file = w.write("hooks.json", &hooks);
    let new = ["settings", "new", "hooks", "--for", "organization", "-f", &file];
    let (code, told) = w.run(&new);
    assert!(code == 1 && told.contains("allow_commands"), "{told}");

    let w = configured("[settings]\nallow_commands = true", "sqlite", echo(1, 1));
    let file = w.write("hooks.json", &hooks);
    let (code, told) = w.run(&["settings", "new", "hooks", "--for", "organization", "-f", &file]);
    assert!(code == 0 && told.contains("two people"), "{told}");
    let (one, two) = (w.second("one"), w.second("two"));
    w.gatehouse.json(&["settings", "submit", "hooks"]);
    w.gatehouse.json(&["--token", &one, "settings", "approve", "hooks"]);
    let (code, told) = w.run(&["settings", "publish", "hooks"]);
    assert!(code == 1 && told.contains("not approved"), "{told}");
    w.gatehouse.json(&["--token", &two, "settings", "approve", "hooks"]);
    w.gatehouse.json(&["settings", "publish", "hooks"]);
    assert_eq!(w.effective()["settings"], hooks);
}

#[test]
fn settings_leave_as_files_and_as_a_bundle_that_is_checked_offline() {
    let w = world(echo(1, 1));
    let second = w.second("reviewer");
    let settings =
        json!({"model": "opus", "companyAnnouncements": ["中文 \"x\" \\ & <y>"], "cleanupPeriodDays": 7});
    let base = w.write("base.json", &settings);
    w.gatehouse.json(&["settings", "new", "base", "--for", "organization", "-f", &base]);
    let out = w.gatehouse.dir().join("out");
    let folder = out.to_str().unwrap().to_owned();
    let export = |format: &str| {
        ["settings", "export", "--format", format, "--user", "dev@example.com", "-o", &folder]
            .map(str::to_owned)
    };
    let none = export("linux-file");
    let (code, told) = w.run(&none.each_ref().map(String::as_str));
    assert!(code == 1 && told.contains("published"), "{told}");
    w.publish("base", &second);
    let mut bundles = Vec::new();
    for format in [
        "linux-file",
        "linux-dropin",
        "macos-plist",
        "macos-mobileconfig",
        "windows-reg",
        "windows-admx",
        "windows-powershell",
        "bundle",
        "bundle",
    ] {
        let made = w.gatehouse.json(&export(format).each_ref().map(String::as_str));
        for file in made["files"].as_array().unwrap() {
            assert!(std::path::Path::new(file.as_str().unwrap()).is_file(), "{file}");
        }
        if format == "bundle" {
            let path = made["files"][0].as_str().unwrap().to_owned();
            let key = made["key"].as_str().unwrap().to_owned();
            bundles.push((std::fs::read(&path).unwrap(), path, key));
        }
    }
    let file = out.join("etc/claude-code/managed-settings.json");
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap(), settings);
    assert_eq!(bundles[0].0, bundles[1].0, "the same settings give the same bytes");
    let (bytes, path, key) = &bundles[0];
    let (code, told) = w.run(&["bundle", "verify", path, "--key", key]);
    assert!(code == 0 && told.starts_with("sound"), "{told}");
    let other = "ab".repeat(32);
    assert_eq!(w.run(&["bundle", "verify", path, "--key", &other]).0, 1);
    let mut changed = bytes.clone();
    let at = bytes.len() / 2;
    changed[at] ^= 1;
    std::fs::write(path, changed).unwrap();
    let (code, told) = w.run(&["bundle", "verify", path]);
    assert!(code == 1 && told.contains("broken"), "{told}");
}

#[test]
fn files_are_checked_and_keys_are_explained_without_a_server() {
    let w = world(echo(1, 1));
    let alone = |args: &[&str]| {
        let done =
            std::process::Command::new(env!("CARGO_BIN_EXE_gatehouse")).args(args).env_clear().output();
        let done = done.unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    let good = w.write("good.json", &json!({"model": "opus"}));
    let bad = w.write("bad.json", &json!({"model": 7, "modle": "opus"}));
    assert_eq!(alone(&["settings", "lint", &good]), (0, "Nothing was found.\n".to_owned()));
    let (code, told) = alone(&["settings", "lint", &bad]);
    assert!(code == 1 && told.contains("`model`") && told.contains("modle"), "{told}");
    let (code, told) = alone(&["--json", "settings", "lint", &bad, "--lang", "zh-CN"]);
    let found: Value = serde_json::from_str(&told).unwrap();
    assert!(code == 1 && found[0]["code"] == "wrong-type", "{told}");
    assert!(found[0]["message"].as_str().unwrap().contains("类型"), "{told}");
    std::fs::write(&bad, "{\"a\": 1, \"a\": 2}").unwrap();
    assert_eq!(alone(&["settings", "lint", &bad]).0, 2);
    let texts: Vec<String> = ["en", "zh-CN", "zh-TW"]
        .iter()
        .map(|lang| alone(&["settings", "catalogue", "cleanupPeriodDays", "--lang", lang]).1)
        .collect();
    assert!(
        texts[0] != texts[1]
            && texts[1] != texts[2]
            && texts.iter().all(|text| text.contains("integer") || text.contains("number"))
    );
    assert_eq!(alone(&["settings", "catalogue", "nosuchkey"]).0, 1);
    assert!(alone(&["settings", "catalogue"]).1.lines().count() > 200);
}
