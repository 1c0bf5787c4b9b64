use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::*;
use crate::settings::layer::Rank;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

const TEAM_A: Rank = Rank::Team { priority: 1 };
const TEAM_B: Rank = Rank::Team { priority: 9 };

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn layer(rank: Rank, settings: Value, locks: &[&str]) -> Layer {
    let id = LayerId { rank, name: format!("{rank:?}").to_lowercase() };
    Layer::new(id, Document::from_value(settings).unwrap(), locks.iter().map(|text| path(text)).collect())
        .unwrap()
}

fn merged(layers: &[Layer]) -> Merged {
    merge(&CATALOGUE, layers).unwrap()
}

fn json_of(merged: &Merged) -> Value {
    Value::Object(merged.settings().as_map().clone())
}

#[test]
fn values_merge_as_in_the_client() {
    let all = merged(&[
        layer(
            Rank::Org,
            json!({
                "model": "opus", "availableModels": ["opus", "sonnet"], "fallbackModel": ["haiku"],
                "permissions": { "allow": ["Read"], "deny": ["Bash(rm:*)"] },
                "env": { "A": "1", "B": "1" }, "newKey": { "x": [1], "y": 1 },
                "extraKnownMarketplaces": { "corp": { "source": { "source": "npm", "package": "a" }, "autoUpdate": true } },
            }),
            &[],
        ),
        layer(
            Rank::Project,
            json!({
                "model": "sonnet", "availableModels": ["sonnet"], "fallbackModel": ["sonnet", "haiku"],
                "permissions": { "allow": ["Read", "Edit"], "deny": ["WebFetch"] },
                "env": { "B": "2" }, "newKey": { "x": [1, 2], "z": 1 },
                "extraKnownMarketplaces": { "corp": { "source": { "source": "npm", "package": "b" } } },
            }),
            &[],
        ),
    ]);
    assert_eq!(
        json_of(&all),
        json!({
            "model": "sonnet", "availableModels": ["sonnet"], "fallbackModel": ["sonnet", "haiku"],
            "permissions": { "allow": ["Read", "Edit"], "deny": ["Bash(rm:*)", "WebFetch"] },
            "env": { "A": "1", "B": "2" }, "newKey": { "x": [1, 2], "y": 1, "z": 1 },
            "extraKnownMarketplaces": { "corp": { "source": { "source": "npm", "package": "b" } } },
        })
    );
    let model = all.explain(&path("model"));
    assert_eq!(model.value, Some(&json!("sonnet")));
    assert_eq!(model.leaves[0].decided_by()[0].rank, Rank::Project);
    assert_eq!(model.leaves[0].overridden()[0].rank, Rank::Org);
    let deny = all.explain(&path("permissions.deny"));
    assert_eq!(deny.leaves[0].decided_by().len(), 2);
    assert_eq!(deny.leaves[0].events[1].act, Act::Joined(vec![json!("WebFetch")]));
    assert_eq!(all.explain(&path("permissions")).leaves.len(), 2);
}

#[test]
fn the_team_with_the_greater_priority_wins_by_value_and_by_lock() {
    let weak = layer(TEAM_A, json!({ "model": "haiku", "effortLevel": "low" }), &["effortLevel"]);
    let strong = layer(TEAM_B, json!({ "model": "opus", "effortLevel": "high" }), &["model"]);
    let user = layer(Rank::User, json!({ "model": "fable", "effortLevel": "xhigh" }), &[]);
    let all = merged(&[user, strong, weak]);
    assert_eq!(json_of(&all), json!({ "effortLevel": "high", "model": "opus" }));
    let refused = |text: &str| {
        let explanation = all.explain(&path(text));
        let events = explanation.leaves[0].events.iter();
        events
            .filter(|event| matches!(event.act, Act::Refused { .. }))
            .map(|event| event.layer.rank)
            .collect::<Vec<_>>()
    };
    assert_eq!(refused("model"), [TEAM_A, Rank::User]);
    assert_eq!(refused("effortLevel"), [Rank::User]);
}

#[test]
fn locks_hold_from_every_side() {
    let org = layer(
        Rank::Org,
        json!({ "sandbox": { "enabled": true }, "extraKnownMarketplaces": { "corp": { "source": 1 } } }),
        &["sandbox.enabled", "extraKnownMarketplaces.corp.source", "apiKeyHelper", "permissions.allow"],
    );
    for attempt in [
        json!({ "sandbox": { "enabled": false } }),
        json!({ "sandbox": "off" }),
        json!({ "sandbox": null }),
        json!({ "sandbox": { "enabled": { "x": 1 } } }),
        json!({ "extraKnownMarketplaces": { "corp": {} } }),
        json!({ "extraKnownMarketplaces": { "corp": { "source": 2 } } }),
        json!({ "extraKnownMarketplaces": [] }),
        json!({ "apiKeyHelper": "/bin/evil" }),
        json!({ "apiKeyHelper": {} }),
        json!({ "permissions": { "allow": ["Bash"] } }),
        json!({ "permissions": { "allow": [] } }),
    ] {
        let all = merged(&[org.clone(), layer(Rank::User, attempt.clone(), &[])]);
        assert_eq!(json_of(&all), json_of(&merged(std::slice::from_ref(&org))), "{attempt}");
        let refused = all.leaves().any(|leaf| {
            leaf.events.iter().any(|event| matches!(&event.act, Act::Refused { why: Refusal::Locked(_), .. }))
        });
        assert!(refused, "{attempt}");
    }
    let beside = layer(Rank::User, json!({ "sandbox": { "failIfUnavailable": true } }), &[]);
    assert_eq!(
        path("sandbox").find(merged(&[org, beside]).settings().as_map()),
        Some(&json!({ "enabled": true, "failIfUnavailable": true }))
    );
}

#[test]
fn deny_lists_cannot_be_displaced() {
    let org = layer(Rank::Org, json!({ "permissions": { "deny": ["WebFetch"] } }), &[]);
    for attempt in [
        json!({ "permissions": { "deny": null } }),
        json!({ "permissions": { "deny": {} } }),
        json!({ "permissions": { "deny": [] } }),
        json!({ "permissions": null }),
        json!({ "permissions": [] }),
        json!({ "permissions": {} }),
    ] {
        let all = merged(&[org.clone(), layer(Rank::User, attempt.clone(), &[])]);
        assert_eq!(json_of(&all), json!({ "permissions": { "deny": ["WebFetch"] } }), "{attempt}");
    }
}

#[test]
fn what_cannot_be_merged() {
    let one = layer(Rank::Org, json!({}), &[]);
    assert!(matches!(merge(&CATALOGUE, &[one.clone(), one.clone()]), Err(BadLayers::Twice(_))));
    assert_eq!(merge(&CATALOGUE, &vec![one; MAX_LAYERS + 1]), Err(BadLayers::TooMany(MAX_LAYERS + 1)));
    let half = "x".repeat(600_000);
    let large = [layer(Rank::Org, json!({ "a": half }), &[]), layer(Rank::User, json!({ "b": half }), &[])];
    assert!(matches!(merge(&CATALOGUE, &large), Err(BadLayers::TooLarge(_))));
}

/// Values of any kind, also where they do not belong.
fn value() -> impl Strategy<Value = Value> {
    let word = || select(vec!["a", "b", "c"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        word().prop_map(Value::from),
        prop::collection::vec(word(), 0..4).prop_map(Value::from),
        Just(json!({})),
    ];
    leaf.prop_recursive(2, 6, 3, move |inner| {
        prop::collection::vec((select(vec!["x", "y"]), inner), 0..3)
            .prop_map(|entries| {
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()
            })
            .prop_map(Value::Object)
    })
}

const PATHS: &[&str] = &[
    "permissions",
    "permissions.allow",
    "permissions.deny",
    "availableModels",
    "deniedModels",
    "model",
    "env",
    "env.x",
    "extraKnownMarketplaces",
    "extraKnownMarketplaces.x",
    "extraKnownMarketplaces.x.y",
    "new",
    "new.x",
    "new.x.y",
    "sandbox.network.deniedDomains",
    "sandbox.network",
];

fn document() -> impl Strategy<Value = Document> {
    prop::collection::vec((select(PATHS), value()), 0..6).prop_map(|entries| {
        let mut root = Map::new();
        for (at, value) in entries {
            insert(&mut root, &path(at), &value);
        }
        Document::from_value(Value::Object(root)).unwrap()
    })
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let ranks = vec![Rank::Org, TEAM_A, TEAM_B, Rank::Project, Rank::Rollout, Rank::User];
    subsequence(ranks, 0..=6).prop_flat_map(|ranks| {
        let one = |rank| {
            (document(), subsequence(PATHS, 0..=2)).prop_map(move |(settings, locks)| {
                let id = LayerId { rank, name: "n".to_owned() };
                Layer::new(id, settings, locks.iter().map(|lock| path(lock)).collect()).unwrap()
            })
        };
        ranks.into_iter().map(one).collect::<Vec<_>>()
    })
}

/// The document that the histories amount to.
fn replayed(merged: &Merged) -> Map<String, Value> {
    let mut root = Map::new();
    for leaf in merged.leaves() {
        if let Some(value) = leaf.value() {
            insert(&mut root, leaf.path, &value);
        }
    }
    root
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn histories_agree_with_the_result(layers in layers()) {
        let all = merged(&layers);
        prop_assert_eq!(&replayed(&all), all.settings().as_map());
        for leaf in all.leaves() {
            let explanation = all.explain(leaf.path);
            prop_assert!(explanation.leaves.contains(&leaf));
            match leaf.value() {
                Some(value) => {
                    prop_assert_eq!(explanation.value, Some(&value));
                    prop_assert!(!leaf.decided_by().is_empty());
                }
                None => prop_assert!(leaf.decided_by().is_empty()),
            }
        }
    }

    /// What is told of any path, be it of a value, above one or beneath one, amounts to what stands there.
    #[test]
    fn explanations_of_any_path_amount_to_what_stands_there(layers in layers()) {
        let all = merged(&layers);
        for text in PATHS.iter().chain(&["nowhere", "model.x", "permissions.deny.x"]) {
            let at = path(text);
            let told = all.explain(&at);
            prop_assert_eq!(told.value, at.find(all.settings().as_map()), "{}", text);
            let mut root = Map::new();
            for leaf in &told.leaves {
                if let Some(value) = leaf.value() {
                    insert(&mut root, leaf.path, &value);
                }
            }
            prop_assert_eq!(at.find(&root), told.value, "{}", text);
            for lock in &told.locks {
                prop_assert!(lock.path.covers(&at), "{} for {}", lock.path, text);
            }
        }
    }

    #[test]
    fn the_order_in_which_layers_are_given_does_not_matter(given in layers().prop_flat_map(|layers| {
        (Just(layers.clone()), Just(layers).prop_shuffle())
    })) {
        let (one, other) = (merged(&given.0), merged(&given.1));
        prop_assert_eq!(json_of(&one).to_string(), json_of(&other).to_string());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn locks_hold(layers in layers()) {
        let all = merged(&layers);
        for holder in &layers {
            let entitled: Vec<Layer> =
                layers.iter().filter(|layer| !holder.id().outranks(layer.id())).cloned().collect();
            let without = merged(&entitled);
            for lock in holder.locks() {
                prop_assert_eq!(lock.find(all.settings().as_map()), lock.find(without.settings().as_map()), "{}", lock);
            }
        }
    }

    #[test]
    fn deny_lists_never_shrink(layers in layers()) {
        let all = merged(&layers);
        for list in CATALOGUE.keys().filter(|key| key.grows) {
            for one in &layers {
                let locked = layers.iter().any(|other| {
                    other.id().outranks(one.id()) && other.locks().iter().any(|lock| lock.touches(&list.path))
                });
                let Some(Value::Array(entries)) = list.path.find(one.settings().as_map()) else { continue };
                let result = list.path.find(all.settings().as_map());
                for entry in entries {
                    let kept = result.and_then(Value::as_array).is_some_and(|list| list.contains(entry));
                    prop_assert!(kept || locked, "{} of {} is gone from {}", entry, one.id(), list.path);
                }
            }
        }
    }
}
