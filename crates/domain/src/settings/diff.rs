//! What is different between two settings documents, by meaning and not by line.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::catalogue::Catalogue;
use super::checksum::canonical_value;
use super::document::Document;
use super::path::Path;

/// A value that is different.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where it stands.
    pub path: Path,
    /// What has become of it.
    pub change: Change,
}

/// What has become of a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added(Value),
    /// It is gone.
    Removed(Value),
    /// It is another one.
    Changed {
        /// What it was.
        from: Value,
        /// What it is.
        to: Value,
    },
    /// A list has other entries.
    Entries {
        /// Those that are new.
        added: Vec<Value>,
        /// Those that are gone.
        removed: Vec<Value>,
    },
    /// A list has the same entries in another order.
    Reordered {
        /// The old order.
        from: Vec<Value>,
        /// The new order.
        to: Vec<Value>,
    },
}

/// The differences between two documents, sorted by path. There are none exactly if the checksums are equal.
pub fn diff(old: &Document, new: &Document) -> Vec<Difference> {
    let mut found = Vec::new();
    compare_objects(&Path::root(), old.as_map(), new.as_map(), &mut found);
    found
}

/// The paths of those differences that let programs run, and so need a second person.
pub fn needs_two_people<'a>(catalogue: &Catalogue, differences: &'a [Difference]) -> Vec<&'a Path> {
    differences
        .iter()
        .map(|difference| &difference.path)
        .filter(|path| catalogue.runs_programs(path))
        .collect()
}

fn compare_objects(
    path: &Path,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let path = path.key(key);
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => compare(&path, old, new, found),
            (Some(old), None) => each_leaf(&path, old, &mut |path, value| {
                found.push(Difference { path, change: Change::Removed(value) });
            }),
            (None, Some(new)) => each_leaf(&path, new, &mut |path, value| {
                found.push(Difference { path, change: Change::Added(value) });
            }),
            (None, None) => {}
        }
    }
}

fn compare(path: &Path, old: &Value, new: &Value, found: &mut Vec<Difference>) {
    let change = match (old, new) {
        (Value::Object(a), Value::Object(b)) if !a.is_empty() && !b.is_empty() => {
            return compare_objects(path, a, b, found);
        }
        (Value::Array(a), Value::Array(b)) => compare_lists(a, b),
        _ if canonical_value(old) == canonical_value(new) => None,
        _ => Some(Change::Changed { from: old.clone(), to: new.clone() }),
    };
    found.extend(change.map(|change| Difference { path: path.clone(), change }));
}

fn compare_lists(old: &[Value], new: &[Value]) -> Option<Change> {
    let added = missing_from(old, new);
    let removed = missing_from(new, old);
    let same_order = || old.iter().map(canonical_value).eq(new.iter().map(canonical_value));
    if !added.is_empty() || !removed.is_empty() {
        Some(Change::Entries { added, removed })
    } else if same_order() {
        None
    } else {
        Some(Change::Reordered { from: old.to_vec(), to: new.to_vec() })
    }
}

/// The entries of one list that the other does not have, or does not have as often.
fn missing_from(other: &[Value], list: &[Value]) -> Vec<Value> {
    let mut left = std::collections::HashMap::<String, usize>::new();
    for entry in other {
        *left.entry(canonical_value(entry)).or_default() += 1;
    }
    let is_missing = |entry: &&Value| match left.get_mut(&canonical_value(entry)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        Some(_) | None => true,
    };
    list.iter().filter(is_missing).cloned().collect()
}

fn each_leaf(path: &Path, value: &Value, found: &mut impl FnMut(Path, Value)) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, entry) in entries {
                each_leaf(&path.key(key), entry, found);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => found(path.clone(), value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::settings::checksum::Checksum;

    fn document(value: Value) -> Document {
        Document::from_value(value).unwrap()
    }

    #[test]
    fn differences_by_meaning() {
        let old = document(json!({
            "model": "opus", "env": { "A": "1", "B": "1" }, "permissions": { "deny": ["x", "y"] },
            "fallbackModel": ["a", "b"], "same": [1, { "b": 1, "a": 2 }], "gone": { "x": { "y": 1 } },
        }));
        let new = document(json!({
            "permissions": { "deny": ["z", "y"] }, "model": "sonnet", "env": { "B": "1", "C": "1" },
            "fallbackModel": ["b", "a"], "same": [1.0, { "a": 2, "b": 1 }],
            "hooks": { "Stop": [] },
        }));
        let differences = diff(&old, &new);
        let shown: Vec<String> =
            differences.iter().map(|d| format!("{} {}", d.path, json!(d.change))).collect();
        assert_eq!(
            shown,
            [
                r#"env.A {"removed":"1"}"#,
                r#"env.C {"added":"1"}"#,
                r#"fallbackModel {"reordered":{"from":["a","b"],"to":["b","a"]}}"#,
                r#"gone.x.y {"removed":1}"#,
                r#"hooks.Stop {"added":[]}"#,
                r#"model {"changed":{"from":"opus","to":"sonnet"}}"#,
                r#"permissions.deny {"entries":{"added":["z"],"removed":["x"]}}"#,
            ]
        );
        let two: Vec<String> =
            needs_two_people(&Catalogue::builtin(), &differences).iter().map(ToString::to_string).collect();
        assert_eq!(two, ["hooks.Stop"]);
    }

    proptest! {
        #[test]
        fn no_difference_is_the_same_checksum(a in small(), b in small()) {
            let same = Checksum::of(&a) == Checksum::of(&b);
            prop_assert_eq!(diff(&a, &b).is_empty(), same);
            prop_assert_eq!(diff(&b, &a).len(), diff(&a, &b).len());
        }
    }

    fn small() -> impl Strategy<Value = Document> {
        let leaf = prop_oneof![
            Just(json!(1)),
            Just(json!(1.0)),
            Just(json!([1, 2])),
            Just(json!([2, 1])),
            Just(json!({}))
        ];
        let object = |inner| prop::collection::hash_map("[ab]", inner, 0..3).prop_map(|map| json!(map));
        object(leaf.prop_recursive(2, 4, 2, move |inner| object(inner).boxed()).boxed())
            .prop_map(|value| Document::from_value(value).unwrap())
    }
}
