//! Artifacts, read back by readers that know nothing of the writers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64ct::{Base64, Encoding as _};
use gatehouse_domain::audit::Signer;
use serde_json::json;

use super::*;
use crate::settings::snapshot::uuid_of;

/// Settings with everything that is hard to write.
fn hard() -> Document {
    Document::from_value(json!({
        "model": "opus",
        "cleanupPeriodDays": 7,
        "feedbackSurveyRate": 0.25,
        "enforceAvailableModels": true,
        "companyAnnouncements": ["a \"quoted\" <b>&amp;</b> line", "back\\slash\\", "two\r\nlines\tand a tab", "中文 😀 é", ""],
        "permissions": {"deny": ["Bash(rm -rf:*)", "Read(C:\\\\Users\\**)"], "allow": []},
        "env": {"A": "$(x) `y` %z% '", "B": "]]>", "EMPTY": ""},
        "extraKnownMarketplaces": {},
        "new.key": {"with \"quotes\"": [1, -2, 3.5, {"deep": [false]}], "big": 9_007_199_254_740_993_i64},
    }))
    .unwrap()
}

fn made(format: Format, settings: &Document) -> Result<Vec<File>, BadArtifact> {
    let checksum = Checksum::of(settings);
    let subject = Subject {
        settings,
        checksum,
        uuid: &uuid_of(&checksum),
        of: "team core",
        organization: "Acme & Söhne",
        published_at: UnixMillis(1_800_000_000_000),
    };
    files(format, &subject, &Signer::new(&[5; 32]))
}

fn only(format: Format) -> File {
    let mut files = made(format, &hard()).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn value_of(settings: &Document) -> Value {
    Value::Object(settings.as_map().clone())
}

/// Runs a Python script on bytes and reads the JSON that it prints. `None`, said aloud, where there is no Python.
fn python(script: &str, input: &[u8]) -> Option<Value> {
    let child =
        Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        let told = b"NOT READ BACK BY PYTHON: there is no python3\n";
        std::io::stderr().write_all(told).unwrap();
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn linux_files_are_the_document() {
    for (format, path) in [
        (Format::LinuxFile, "etc/claude-code/managed-settings.json"),
        (Format::LinuxDropin, "etc/claude-code/managed-settings.d/50-gatehouse.json"),
    ] {
        let file = only(format);
        assert_eq!(file.path, path);
        assert_eq!(serde_json::from_slice::<Value>(&file.bytes).unwrap(), value_of(&hard()));
    }
}

#[test]
fn property_lists_are_read_back_by_plistlib() {
    const READ: &str =
        "import json, plistlib, sys; json.dump(plistlib.loads(sys.stdin.buffer.read()), sys.stdout)";
    let file = only(Format::MacosPlist);
    assert_eq!(file.path, "com.anthropic.claudecode.plist");
    if let Some(read) = python(READ, &file.bytes) {
        assert_eq!(read, value_of(&hard()));
    }
    let Some(profile) = python(READ, &only(Format::MacosMobileconfig).bytes) else { return };
    let payload = &profile["PayloadContent"][0];
    let forced = &payload["PayloadContent"]["com.anthropic.claudecode"]["Forced"][0];
    assert_eq!(forced["mcx_preference_settings"], value_of(&hard()));
    assert_eq!(payload["PayloadType"], "com.apple.ManagedClient.preferences");
    assert_eq!(
        (&profile["PayloadType"], &profile["PayloadScope"]),
        (&json!("Configuration"), &json!("System"))
    );
    assert_eq!(profile["PayloadOrganization"], "Acme & Söhne");
    assert_ne!(profile["PayloadUUID"], payload["PayloadUUID"]);
}

#[test]
fn what_a_property_list_cannot_hold_is_named() {
    let refused = |settings| {
        let settings = Document::from_value(settings).unwrap();
        made(Format::MacosPlist, &settings).unwrap_err().to_string()
    };
    assert!(refused(json!({"a": {"b": [1, null]}})).contains("`a.b[1]`"));
    assert!(refused(json!({"a": "x\u{1}"})).contains("`a`"));
    assert!(refused(json!({"a\u{0}": 1})).contains("control character"));
}

/// The text value of a registry file, by the rules of the registry editor.
fn registry_value(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(units[0], 0xFEFF);
    let text = String::from_utf16(&units[1..]).unwrap();
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("Windows Registry Editor Version 5.00"));
    assert_eq!(lines.next(), Some(""));
    assert_eq!(lines.next(), Some(r"[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\ClaudeCode]"));
    let line = lines.next().unwrap();
    let quoted = line.strip_prefix("\"Settings\"=\"").unwrap().strip_suffix('"').unwrap();
    let (mut value, mut chars) = (String::new(), quoted.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next().unwrap();
                assert!(matches!(next, '\\' | '"'));
                value.push(next);
            }
            '"' => panic!("the text ends early"),
            c => value.push(c),
        }
    }
    assert!(lines.all(str::is_empty));
    value
}

#[test]
fn the_registry_file_is_read_back() {
    let value = registry_value(&only(Format::WindowsReg).bytes);
    assert!(!value.contains(['\r', '\n']));
    assert_eq!(serde_json::from_str::<Value>(&value).unwrap(), value_of(&hard()));
}

#[test]
fn the_script_carries_the_document() {
    let file = only(Format::WindowsPowershell);
    let text = String::from_utf8(file.bytes).unwrap();
    assert!(text.is_ascii());
    let encoded = text.split("FromBase64String('").nth(1).unwrap().split('\'').next().unwrap();
    let decoded = Base64::decode_vec(encoded).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&decoded).unwrap(), value_of(&hard()));
}

#[test]
fn the_template_is_xml_whose_references_resolve() {
    const READ: &str = r#"
import json, sys, xml.etree.ElementTree as tree
files = json.load(sys.stdin)
ns = "{http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions}"
admx = tree.fromstring(files["ClaudeCode.admx"].encode())
policy = admx.find(f".//{ns}policy")
text = admx.find(f".//{ns}text")
wanted = {v[len("$(string."):-1] for e in admx.iter() for v in e.attrib.values() if v.startswith("$(string.")}
languages = {}
for path, content in files.items():
    if path.endswith(".adml"):
        adml = tree.fromstring(content.encode())
        has = {s.attrib["id"] for s in adml.iter(f"{ns}string") if s.text.strip()}
        boxes = [b.attrib["refId"] for b in adml.iter(f"{ns}textBox")]
        languages[path.split("/")[0]] = wanted <= has and boxes == [text.attrib["id"]]
entry = tree.fromstring("<x>" + files["Settings.oma-uri.txt"] + "</x>").find("data")
json.dump({"key": policy.attrib["key"], "name": text.attrib["valueName"], "max": text.attrib["maxLength"],
    "languages": languages, "value": entry.attrib["value"]}, sys.stdout)
"#;
    let files = made(Format::WindowsAdmx, &hard()).unwrap();
    let text = |file: &File| Value::from(String::from_utf8(file.bytes.clone()).unwrap());
    let by_path: serde_json::Map<String, Value> =
        files.iter().map(|file| (file.path.clone(), text(file))).collect();
    let plain = by_path["Settings.txt"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(plain).unwrap(), value_of(&hard()));
    let Some(read) = python(READ, Value::Object(by_path).to_string().as_bytes()) else { return };
    assert_eq!(read["key"], r"SOFTWARE\Policies\ClaudeCode");
    assert_eq!((&read["name"], &read["max"]), (&json!("Settings"), &json!("1000000")));
    assert_eq!(read["languages"], json!({"en-US": true, "zh-CN": true, "zh-TW": true}));
    let value = serde_json::from_str::<Value>(read["value"].as_str().unwrap()).unwrap();
    assert_eq!(value, value_of(&hard()));
}

#[test]
fn the_same_settings_give_the_same_bytes() {
    for format in Format::ALL {
        assert_eq!(made(format, &hard()), made(format, &hard()), "{}", format.as_str());
    }
}

#[test]
fn a_bundle_is_an_archive_that_other_tools_read() {
    const READ: &str = r#"
import hashlib, io, json, sys, tarfile
archive = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))
files = {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}
manifest = json.loads(files["manifest.json"])
same = all(hashlib.sha256(files[f["path"]]).hexdigest() == f["sha256"] for f in manifest["files"])
json.dump({"same": same, "count": len(files) - 2 - len(manifest["files"]),
    "settings": json.loads(files["linux/etc/claude-code/managed-settings.json"])}, sys.stdout)
"#;
    let Some(read) = python(READ, &only(Format::Bundle).bytes) else { return };
    assert_eq!((&read["same"], &read["count"]), (&json!(true), &json!(0)));
    assert_eq!(read["settings"], value_of(&hard()));
}

#[test]
fn a_bundle_that_was_tampered_with_is_noticed() {
    let bundle = only(Format::Bundle).bytes;
    let key = Signer::new(&[5; 32]).public();
    let report = verify(&bundle, Some(&key)).unwrap();
    assert!(report.trusted && !verify(&bundle, None).unwrap().trusted);
    assert_eq!(report.manifest.of, "team core");
    let other = Signer::new(&[6; 32]).public();
    assert_eq!(verify(&bundle, Some(&other)), Err(BadBundle::OtherKey(key)));
    // Whatever byte is changed, it does not pass.
    for at in (0..bundle.len()).step_by(61) {
        let mut changed = bundle.clone();
        changed[at] ^= 1;
        assert!(verify(&changed, Some(&key)).is_err(), "byte {at}");
    }
    for cut in [0, 1, 512, 1024, bundle.len() - 512, bundle.len() - 1] {
        assert!(verify(&bundle[..cut], None).is_err(), "{cut}");
    }
    let longer = [bundle.as_slice(), &[0; 512]].concat();
    assert!(verify(&longer, None).is_err());
    let files = tar::read(&bundle).unwrap();
    let without: Vec<File> = files[..files.len() - 1].to_vec();
    assert!(matches!(verify(&tar::write(&without), None), Err(BadBundle::File(_))));
    let mut more = files.clone();
    more.push(File { path: "evil.sh".to_owned(), bytes: vec![] });
    assert_eq!(verify(&tar::write(&more), None), Err(BadBundle::File("evil.sh".to_owned())));
    let mut swapped = files;
    swapped[2].path = "../evil".to_owned();
    assert!(matches!(verify(&tar::write(&swapped), None), Err(BadBundle::Archive(tar::BadArchive::Path))));
}

/// Somebody makes a bundle of their own under the given key's name.
#[test]
fn a_bundle_signed_by_somebody_else_does_not_pass_for_ours() {
    let settings = hard();
    let ours = Signer::new(&[5; 32]).public();
    let checksum = Checksum::of(&settings);
    let subject = Subject {
        settings: &settings,
        checksum,
        uuid: "x",
        of: "team core",
        organization: "Acme",
        published_at: UnixMillis(0),
    };
    let theirs = files(Format::Bundle, &subject, &Signer::new(&[6; 32])).unwrap().remove(0);
    let mut parts = tar::read(&theirs.bytes).unwrap();
    let text = String::from_utf8(parts[0].bytes.clone()).unwrap();
    let claimed = text.replace(&Signer::new(&[6; 32]).public().to_string(), &ours.to_string());
    parts[0].bytes = claimed.into_bytes();
    assert_eq!(verify(&tar::write(&parts), Some(&ours)), Err(BadBundle::Signature));
}
