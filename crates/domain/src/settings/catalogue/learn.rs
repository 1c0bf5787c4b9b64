//! What a catalogue learns from a published schema.
//!
//! It only ever gets stricter. A key that this release describes stays as it is. A key that is new is known from then on,
//! by its type; what is not known of it is taken for the strict side: it raises the user's approval dialog, and if its name
//! or form speaks of programs, two people must agree to it.

use serde::Serialize;

use super::{Catalogue, Key, Kind, Merge, Origin, Remote, Scope, Texts};
use crate::settings::path::Path;
use crate::settings::schema::{Described, Schema};
use crate::settings::version::ClientVersion;

/// What a schema brought.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Learned {
    /// Keys that were not known before.
    pub added: Vec<Path>,
    /// Keys that an earlier schema brought, and that take something else by this one.
    pub changed: Vec<Path>,
    /// Known keys that the schema does not describe. They stay known.
    pub missing: Vec<Path>,
}

impl Catalogue {
    /// The catalogue together with what a schema says of other keys; `client` is the version that the schema describes.
    #[must_use]
    pub fn taught_by(&self, schema: &Schema, client: Option<ClientVersion>) -> (Self, Learned) {
        let (mut taught, mut learned) = (self.clone(), Learned::default());
        for (path, described) in schema.keys() {
            match self.keys.get(path) {
                Some(key) if key.origin == Origin::Release => {}
                Some(key) => {
                    let (newer, differs) = again(key, described);
                    if differs {
                        learned.changed.push(path.clone());
                    }
                    taught.keys.insert(path.clone(), newer);
                }
                None if taught.is_open_at(path) => {
                    learned.added.push(path.clone());
                    taught.keys.insert(path.clone(), key_of(path.clone(), described, client));
                }
                // Beneath a key whose form this release knows: that decides.
                None => {}
            }
        }
        let described = |path: &Path| schema.keys().contains_key(path);
        // Of a key above that the schema does not take apart, nothing can be said.
        let apart = |path: &Path| {
            let above = path.parent().filter(|above| !above.is_root());
            above
                .is_none_or(|above| schema.keys().get(&above).is_some_and(|above| above.kind == Kind::Object))
        };
        let missing = self.keys.keys().filter(|path| !described(path) && apart(path));
        learned.missing = missing.cloned().collect();
        (taught, learned)
    }

    /// Whether a key that is not known may stand at a path: at the top, or beneath an object whose keys are listed.
    fn is_open_at(&self, path: &Path) -> bool {
        match path.parent() {
            None => false,
            Some(above) if above.is_root() => true,
            Some(above) => self.keys.get(&above).is_some_and(|above| above.kind == Kind::Object),
        }
    }
}

fn key_of(path: Path, described: &Described, client: Option<ClientVersion>) -> Key {
    let help = if described.help.is_empty() {
        Texts {
            en: "No help: a published schema names it.".to_owned(),
            zh_cn: "暂无说明：该键来自导入的公开架构。".to_owned(),
            zh_tw: "暫無說明：此鍵來自匯入的公開結構描述。".to_owned(),
        }
    } else {
        Texts {
            en: described.help.clone(),
            zh_cn: format!("来自导入的公开架构（无译文）：{}", described.help),
            zh_tw: format!("來自匯入的公開結構描述（無譯文）：{}", described.help),
        }
    };
    Key {
        kind: described.kind.clone(),
        scope: Scope::Any,
        merge: Merge::Unite,
        grows: forbids(&path, &described.kind),
        asks: true,
        runs: described.speaks_of_programs,
        mistake: None,
        remote: Remote::Applied,
        since: client,
        instead: None,
        help,
        origin: Origin::Schema,
        path,
    }
}

/// A key that an earlier schema brought, by a newer one. What made it strict stays.
fn again(key: &Key, described: &Described) -> (Key, bool) {
    let was_object = key.kind == Kind::Object;
    let mut newer = key.clone();
    newer.runs |= described.speaks_of_programs;
    // Keys beneath it are known; it stays the object that they stand in.
    if !was_object {
        newer.kind = described.kind.clone();
        newer.grows =
            (newer.grows && matches!(newer.kind, Kind::List(..))) || forbids(&newer.path, &newer.kind);
    }
    if !described.help.is_empty() {
        newer.help = key_of(key.path.clone(), described, None).help;
    }
    let differs = newer.kind != key.kind || newer.runs != key.runs;
    (newer, differs)
}

/// Whether it is a list that forbids, which later layers may only add to.
fn forbids(path: &Path, kind: &Kind) -> bool {
    let name = path.last_key().unwrap_or_default().to_lowercase();
    matches!(kind, Kind::List(..))
        && ["deny", "denied", "blocked", "disabled"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::settings::lint::{Channel, Code, ModelState};
    use crate::settings::{Document, Lint, lint};

    fn schema(properties: &Value) -> Schema {
        Schema::parse(json!({"properties": properties}).to_string().as_bytes()).unwrap()
    }

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn codes(catalogue: &Catalogue, settings: Value) -> Vec<Code> {
        let document = Document::from_value(settings).unwrap();
        let by = Lint {
            catalogue,
            channel: Channel::Gateway,
            models: &|_| ModelState::Served,
            oldest_client: None,
        };
        lint(&document, &by).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn new_keys_are_known_checked_and_need_approval() {
        let builtin = Catalogue::builtin();
        let text = schema(&json!({
            "lamp": {"enum": ["on", "off"], "description": "Whether it shines."},
            "lampHelper": {"type": "string"},
            "deniedLamps": {"type": "array", "items": {"type": "string"}},
            "permissions": {"properties": {"lampMode": {"type": "boolean"}}},
        }));
        let client = ClientVersion::parse("2.1.400").ok();
        let (taught, learned) = builtin.taught_by(&text, client);
        let added: Vec<String> = learned.added.iter().map(ToString::to_string).collect();
        assert_eq!(added, ["deniedLamps", "lamp", "lampHelper", "permissions.lampMode"]);
        assert!(codes(&builtin, json!({"lamp": "blue"})).contains(&Code::UnknownKey));
        assert!(codes(&taught, json!({"lamp": "blue"})).contains(&Code::BadValue));
        assert_eq!(codes(&taught, json!({"lamp": "on"})), [Code::ApprovalDialog]);
        assert!(codes(&taught, json!({"lampHelper": "/x"})).contains(&Code::TwoPeople));
        assert!(taught.runs_programs(&path("lampHelper")) && !taught.runs_programs(&path("lamp")));
        assert!(taught.only_grows(&path("deniedLamps")));
        let lamp = taught.key(&path("lamp")).unwrap();
        assert_eq!((lamp.since, lamp.merge, lamp.origin), (client, Merge::Unite, Origin::Schema));
        assert!(lamp.help.zh_cn.contains("Whether it shines."));
    }

    #[test]
    fn nothing_that_is_known_is_loosened() {
        let builtin = Catalogue::builtin();
        let lies: serde_json::Map<String, Value> = builtin
            .keys()
            .filter(|key| key.path.steps().len() == 1)
            .map(|key| (key.path.last_key().unwrap().to_owned(), json!(true)))
            .collect();
        let (taught, learned) = builtin.taught_by(&schema(&Value::Object(lies)), None);
        assert_eq!((learned.added.len(), learned.changed.len()), (0, 0));
        for key in builtin.keys() {
            let after = taught.key(&key.path).unwrap();
            let strict =
                |key: &Key| (key.asks, key.runs, key.grows, key.mistake, key.merge, key.kind.clone());
            assert_eq!(strict(key), strict(after), "{}", key.path);
        }
        // A later schema that says less does not make an earlier one's key harmless, nor forgets it.
        let (first, _) = builtin.taught_by(
            &schema(&json!({"oil": {"properties": {"command": {}}}, "gas": {"type": "string"}})),
            None,
        );
        let (second, learned) = first.taught_by(&schema(&json!({"oil": {"type": "boolean"}})), None);
        assert!(second.runs_programs(&path("oil")) && second.key(&path("oil")).unwrap().asks);
        assert!(learned.missing.contains(&path("gas")) && second.key(&path("gas")).is_some());
        let (third, learned) = first.taught_by(&schema(&json!({"gas": {"type": "boolean"}})), None);
        assert_eq!(
            (learned.changed, &third.key(&path("gas")).unwrap().kind),
            (vec![path("gas")], &Kind::Bool)
        );
    }
}
