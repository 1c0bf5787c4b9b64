//! Settings profiles and the teams of groups, as files.

use std::fs;
use std::path::Path;

use gatehouse_testkit::http;
use serde_json::{Value, json};

use crate::world::{World, configured, echo, stores, world};

const BASE: &str = r#"{
  "name": "Base",
  "target": "organization",
  "locks": ["permissions.deny"],
  "settings": {"permissions": {"deny": ["WebFetch"]}, "model": "opus"}
}"#;

impl World {
    fn administrator(&self, name: &str) -> String {
        let create = ["admin", "token", "create", "--name", name, "--role", "admin", "--service", name];
        let made = self.gatehouse.json(&create);
        made["token"].as_str().unwrap().to_owned()
    }

    fn apply(&self, folder: &Path, more: &[&str]) -> Value {
        let words = [&["apply", "-f", folder.to_str().unwrap()], more].concat();
        self.gatehouse.json(&words)
    }

    fn model(&self) -> Value {
        self.gatehouse.json(&["settings", "effective", "dev@example.com"])["settings"]["model"].clone()
    }
}

/// A folder that speaks of settings profiles only.
fn settings(w: &World, files: &[(&str, &str)]) -> std::path::PathBuf {
    let folder = w.folder("files");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(folder.join("settings")).unwrap();
    for (name, text) in files {
        fs::write(folder.join("settings").join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_profile_in_files_goes_to_review_and_is_published_when_others_agree() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let second = w.administrator("reviewer");
        let folder = settings(&w, &[("base.json", BASE)]);
        assert_eq!(w.differences(&folder), ["add settings_profile Base"]);
        let told = w.good(&folder, &["apply", "--dry-run"]);
        assert!(told.contains("goes to review") && told.contains("permissions.deny"), "{told}");
        assert_eq!(w.gatehouse.json(&["settings", "list"]), json!([]), "a dry run changes nothing");

        let done = w.apply(&folder, &[]);
        assert_eq!((&done["done"], &done["waiting"][0]["name"]), (&json!([]), &json!("Base")));
        let why = done["waiting"][0]["why"].as_str().unwrap();
        assert!(why.contains("version 1") && why.contains("0 of 1 approvals"), "{why}");
        let again = w.good(&folder, &["apply"]);
        assert!(again.contains("Waits for others") && again.contains("settings approve 'Base' 1"), "{again}");
        let listed = w.gatehouse.json(&["settings", "list"]);
        assert_eq!((&listed[0]["newest"], &listed[0]["open_state"]), (&json!(1), &json!("review")));
        assert_eq!(w.model(), Value::Null);

        w.gatehouse.json(&["--token", &second, "settings", "approve", "Base"]);
        let done = w.apply(&folder, &[]);
        assert_eq!((&done["done"][0]["name"], &done["waiting"]), (&json!("Base"), &json!([])));
        assert_eq!(w.model(), "opus");
        assert_eq!(w.differences(&folder), [""; 0]);
        assert!(w.good(&folder, &["apply"]).contains("Nothing to do."));

        // Back to what was published before: others agreed to it already.
        let haiku = BASE.replace("opus", "haiku");
        let folder = settings(&w, &[("base.json", &haiku)]);
        assert_eq!(w.differences(&folder), ["change settings_profile Base"]);
        w.apply(&folder, &[]);
        w.gatehouse.json(&["--token", &second, "settings", "approve", "Base"]);
        w.apply(&folder, &[]);
        assert_eq!(w.model(), "haiku");
        let folder = settings(&w, &[("base.json", BASE)]);
        assert_eq!(w.apply(&folder, &[])["waiting"], json!([]));
        assert_eq!(w.model(), "opus");

        let exported = w.folder("exported");
        w.good(&exported, &["export"]);
        let files = super::contents(&exported);
        let (path, text) =
            files.iter().find(|(path, _)| path.extension().is_some_and(|end| end == "json")).unwrap();
        let file: Value = serde_json::from_str(text).unwrap();
        assert_eq!(file, serde_json::from_str::<Value>(BASE).unwrap(), "{}", path.display());
        assert_eq!(w.differences(&exported), [""; 0]);
    }
}

#[test]
fn a_profile_that_was_changed_by_hand_is_drift_and_one_that_is_gone_is_pruned() {
    let w = world(echo(1, 1));
    let second = w.administrator("reviewer");
    w.gatehouse.json(&["team", "add", "Core"]);
    w.gatehouse.json(&["user", "teams", "dev@example.com", "Core"]);
    let core =
        r#"{"name": "core", "target": {"team": "CORE"}, "priority": 3, "settings": {"model": "sonnet"}}"#;
    let folder = settings(&w, &[("base.json", BASE), ("core.json", core)]);
    w.apply(&folder, &[]);
    for name in ["Base", "core"] {
        w.gatehouse.json(&["--token", &second, "settings", "approve", name]);
    }
    w.apply(&folder, &[]);
    assert_eq!((w.model(), w.differences(&folder)), (json!("sonnet"), vec![]));

    let by_hand = w.folder("hand.json");
    fs::write(&by_hand, r#"{"model": "haiku"}"#).unwrap();
    w.gatehouse.json(&["settings", "edit", "core", "-f", by_hand.to_str().unwrap()]);
    w.gatehouse.json(&["settings", "submit", "core"]);
    let (code, told) = w.on(&folder, &["diff"]);
    assert_eq!((code, w.differences(&folder)), (0, vec![]), "not published yet: {told}");
    w.gatehouse.json(&["--token", &second, "settings", "approve", "core"]);
    w.gatehouse.json(&["settings", "publish", "core"]);
    assert_eq!(w.differences(&folder), ["drift settings_profile core"]);
    w.apply(&folder, &[]);
    assert_eq!(w.model(), "sonnet", "rolled back to what the files say");

    let folder = settings(&w, &[("base.json", BASE)]);
    assert_eq!(w.differences(&folder), ["remove settings_profile core"]);
    assert!(w.good(&folder, &["apply"]).contains("Nothing to do."));
    assert_eq!(w.model(), "sonnet", "only on request");
    w.good(&folder, &["apply", "--prune"]);
    assert_eq!((w.model(), w.differences(&folder)), (json!("opus"), vec![]));
}

#[test]
fn what_files_of_profiles_cannot_say() {
    let w = world(echo(1, 1));
    for (text, why) in [
        ("{", "line 1"),
        (r#"{"name": "x", "target": "organization"}"#, "settings"),
        (r#"{"name": "x", "target": "everybody", "settings": {}}"#, "everybody"),
        (r#"{"name": "x", "target": "organization", "settings": {}, "locked": []}"#, "locked"),
        (r#"{"name": "x", "target": "organization", "settings": {}, "locks": ["a[0]"]}"#, "locks"),
        (r#"{"name": "x", "target": "organization", "settings": {}, "priority": 1}"#, "priority"),
        (r#"{"name": "x", "target": {"user": "nobody"}, "settings": {}}"#, "nobody"),
        (r#"{"name": "x", "target": "organization", "settings": {"a": 1, "a": 2}}"#, "given twice"),
    ] {
        let folder = settings(&w, &[("x.json", text)]);
        let (code, told) = w.on(&folder, &["diff"]);
        assert!(code == 2 && told.contains("x.json") && told.contains(why), "{text}: {told}");
    }
    let folder = settings(&w, &[("a.json", BASE), ("b.json", &BASE.replace("Base", "base"))]);
    assert!(w.on(&folder, &["diff"]).1.contains("a second settings profile"));
    let folder = settings(&w, &[("a.txt", BASE)]);
    assert!(w.on(&folder, &["diff"]).1.contains("expected NAME.json"));

    // What is on the server and means something else.
    let folder = settings(&w, &[("base.json", BASE)]);
    w.apply(&folder, &[]);
    let other = BASE.replace("opus", "haiku");
    let folder = settings(&w, &[("base.json", &other)]);
    let (code, told) = w.on(&folder, &["apply"]);
    assert!(code == 1 && told.contains("settings return Base 1"), "{told}");
    let folder = settings(&w, &[("base.json", &BASE.replace("\"organization\"", "\"rollout\""))]);
    let (code, told) = w.on(&folder, &["apply"]);
    assert!(code == 1 && told.contains("cannot change"), "{told}");
}

#[test]
fn groups_stand_for_teams_as_files_say() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let made = w.gatehouse.json(&["scim", "token", "create", "okta"]);
        let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
        let scim = |path: &str, body: Value| {
            let path = format!("/scim/v2{path}");
            http::once(&w.gatehouse.admin, "POST", &path, &headers, body.to_string().as_bytes()).json()
        };
        let user = scim("/Users", json!({"userName": "eve@example.com", "externalId": "1", "active": true}));
        scim("/Groups", json!({"displayName": "Engineers", "members": [{"value": user["id"]}]}));
        w.gatehouse.json(&["team", "add", "Core"]);
        let folder = w.folder("files");
        fs::create_dir_all(&folder).unwrap();
        let write = |text: &str| fs::write(folder.join("groups.toml"), text).unwrap();
        write("[[group]]\nname = \"scim:okta/Engineers\"\nteam = \"core\"\n");
        assert_eq!(w.differences(&folder), ["add group_mapping scim:okta/Engineers"]);
        w.good(&folder, &["apply"]);
        assert_eq!(w.differences(&folder), [""; 0]);
        assert_eq!(w.gatehouse.json(&["user", "get", "eve@example.com"])["teams"], json!(["Core"]));

        let group = w.gatehouse.json(&["scim", "group", "list"])[0]["id"].as_str().unwrap().to_owned();
        w.gatehouse.json(&["scim", "group", "unmap", &group]);
        assert_eq!(w.differences(&folder), ["drift group_mapping scim:okta/Engineers"]);
        w.good(&folder, &["apply"]);
        let exported = w.folder("exported");
        w.good(&exported, &["export"]);
        let text = fs::read_to_string(exported.join("groups.toml")).unwrap();
        assert_eq!(text, "[[group]]\nname = \"scim:okta/Engineers\"\nteam = \"Core\"\n");
        write("");
        w.good(&folder, &["apply", "--prune"]);
        assert_eq!(w.gatehouse.json(&["user", "get", "eve@example.com"])["teams"], json!([]));
        write("[[group]]\nname = \"scim:okta/Ghosts\"\nteam = \"core\"\n");
        let (code, told) = w.on(&folder, &["apply"]);
        assert!(code == 1 && told.contains("no directory has brought in a group"), "{told}");
    }
}

/// Who gets an overlay is part of its file.
#[test]
fn the_audience_of_an_overlay_is_exported_compared_and_applied() {
    let w = world(echo(1, 1));
    let second = w.administrator("reviewer");
    w.gatehouse.json(&["team", "add", "Core"]);
    let pilot = |audience: &str| {
        format!(r#"{{"name": "pilot", "target": "rollout", "settings": {{"model": "haiku"}}{audience}}}"#)
    };
    let named =
        r#", "audience": {"users": ["DEV@example.com"], "teams": ["CORE"], "ends": "2099-01-01T00:00:00Z"}"#;
    let folder = settings(&w, &[("pilot.json", &pilot(named))]);
    assert_eq!(w.apply(&folder, &[])["waiting"][0]["name"], "pilot");
    let shown = || w.gatehouse.json(&["settings", "audience", "show", "pilot"]);
    assert_eq!(shown()["state"], "unassigned", "nobody gets what is under review");
    w.gatehouse.json(&["--token", &second, "settings", "approve", "pilot"]);
    w.apply(&folder, &[]);
    assert_eq!((&shown()["state"], &shown()["users"]), (&json!("open"), &json!(["dev@example.com"])));
    assert_eq!((&shown()["teams"], w.model()), (&json!(["Core"]), json!("haiku")));
    assert_eq!(w.differences(&folder), [""; 0], "that it has begun is no difference");
    let started = shown()["starts_at"].clone();
    assert!(w.good(&folder, &["apply"]).contains("Nothing to do."));
    assert_eq!(shown()["starts_at"], started);

    // By hand, and back.
    w.gatehouse.json(&["settings", "audience", "widen", "pilot", "--percent", "40"]);
    let (code, told) = w.on(&folder, &["diff"]);
    assert!(code == 1 && told.contains("drift") && told.contains("audience"), "{told}");
    w.apply(&folder, &[]);
    assert_eq!(shown()["percent"], 0);

    // Only the audience is another: nobody has to agree to what the profile says again.
    let share = r#", "audience": {"percent": 100}"#;
    let folder = settings(&w, &[("pilot.json", &pilot(share))]);
    assert_eq!(w.differences(&folder), ["change settings_profile pilot"]);
    assert_eq!(w.apply(&folder, &[])["waiting"], json!([]));
    assert_eq!((&shown()["percent"], &shown()["users"]), (&json!(100), &json!([])));
    let exported = w.folder("exported-audience");
    w.good(&exported, &["export"]);
    assert_eq!(w.differences(&exported), [""; 0]);
    let text = fs::read_to_string(exported.join("settings/pilot.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["audience"], json!({"percent": 100}));

    let folder = settings(&w, &[("pilot.json", &pilot(""))]);
    w.apply(&folder, &[]);
    assert_eq!((&shown()["state"], w.model()), (&json!("over"), Value::Null));
    assert_eq!(w.differences(&folder), [""; 0]);

    for (audience, part) in [
        (r#", "audience": {}"#, "names nobody"),
        (r#", "audience": {"percent": 101}"#, "0 to 100"),
        (r#", "audience": {"percent": 1, "starts": "soon"}"#, "audience.starts"),
    ] {
        let folder = settings(&w, &[("pilot.json", &pilot(audience))]);
        let (code, told) = w.on(&folder, &["diff"]);
        assert!(code == 2 && told.contains(part), "{audience}: {code} {told}");
    }
    let wrong = r#"{"name": "b", "target": "organization", "settings": {}, "audience": {"percent": 1}}"#;
    let (code, told) = w.on(&settings(&w, &[("b.json", wrong)]), &["diff"]);
    assert!(code == 2 && told.contains("only a profile for `rollout`"), "{code} {told}");
}
