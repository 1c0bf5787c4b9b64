use proptest::prelude::*;
use serde_json::json;

use super::super::schema::{GROUP, USER};
use super::super::value::MAX_MEMBERS;
use super::super::{ScimGroup, ScimUser};
use super::*;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn ada() -> Document {
    let Value::Object(document) = json!({
        "userName": "ada",
        "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "active": true,
        "emails": [
            { "value": "ada@example.com", "type": "work", "primary": true },
            { "value": "ada@home.example", "type": "home" },
        ],
        ENTERPRISE: { "department": "Engines", "manager": { "value": "usr_9", "$ref": "https://x.example/9" } },
    }) else {
        panic!("an object")
    };
    document
}

fn apply_to(
    resource: &Document,
    kind: &'static ResourceType,
    operations: &Value,
) -> Result<Document, PatchError> {
    let body = json!({ "schemas": [PATCH_SCHEMA], "Operations": operations });
    Patch::parse(body.to_string().as_bytes(), kind)?.apply(resource)
}

/// What an operation makes of one attribute of Ada.
fn after(operation: &Value, attribute: &str) -> Value {
    let changed = apply_to(&ada(), &USER, &json!([operation])).unwrap_or_else(|e| panic!("{operation}: {e}"));
    changed.get(attribute).cloned().unwrap_or_default()
}

#[test]
fn single_values_are_set_merged_and_removed() {
    for (operation, attribute, expected) in [
        (json!({ "op": "add", "path": "title", "value": "Dr" }), "title", json!("Dr")),
        (json!({ "op": "replace", "path": "USERNAME", "value": " grace " }), "userName", json!("grace")),
        (
            json!({ "op": "add", "path": "name", "value": { "middleName": "K." } }),
            "name",
            json!({ "givenName": "Ada", "familyName": "Lovelace", "middleName": "K." }),
        ),
        (
            json!({ "op": "replace", "path": "name", "value": { "givenName": "A." } }),
            "name",
            json!({ "givenName": "A.", "familyName": "Lovelace" }),
        ),
        (json!({ "op": "remove", "path": "name.givenName" }), "name", json!({ "familyName": "Lovelace" })),
        (json!({ "op": "remove", "path": "name" }), "name", json!(null)),
        (json!({ "op": "remove", "path": "title" }), "title", json!(null)),
        (json!({ "op": "replace", "path": "name", "value": null }), "name", json!(null)),
        (json!({ "op": "add", "path": "active", "value": null }), "active", json!(true)),
        (json!({ "op": "remove", "path": "active" }), "active", json!(null)),
        (json!({ "op": "remove", "path": ENTERPRISE }), ENTERPRISE, json!(null)),
        (json!({ "op": "replace", "value": { ENTERPRISE: null } }), ENTERPRISE, json!(null)),
        (
            json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager.value"), "value": "usr_7" }),
            ENTERPRISE,
            json!({ "department": "Engines", "manager": { "value": "usr_7" } }),
        ),
        (
            json!({ "op": "add", "path": format!("{ENTERPRISE}:manager"), "value": [{ "value": "usr_7" }] }),
            ENTERPRISE,
            json!({ "department": "Engines", "manager": { "value": "usr_7" } }),
        ),
    ] {
        assert_eq!(after(&operation, attribute), expected, "{operation}");
    }
}

/// Ada's two addresses, and one that she does not have.
fn addresses() -> [Value; 3] {
    [
        json!({ "value": "ada@example.com", "type": "work", "primary": true }),
        json!({ "value": "ada@home.example", "type": "home" }),
        json!({ "value": "x@example.com", "type": "other" }),
    ]
}

#[test]
fn whole_lists_are_changed() {
    let [work, home, other] = addresses();
    for (operation, expected) in [
        (json!({ "op": "add", "path": "emails", "value": [other] }), json!([work, home, other])),
        (json!({ "op": "add", "path": "emails", "value": other }), json!([work, home, other])),
        (json!({ "op": "add", "path": "emails", "value": [work] }), json!([work, home])),
        (json!({ "op": "add", "path": "emails", "value": [] }), json!([work, home])),
        (json!({ "op": "replace", "path": "emails", "value": [other] }), json!([other])),
        (json!({ "op": "replace", "path": "emails", "value": [] }), json!(null)),
        (json!({ "op": "remove", "path": "emails" }), json!(null)),
        (
            json!({ "op": "remove", "path": "emails", "value": [{ "value": "ADA@home.example" }] }),
            json!([work]),
        ),
        (json!({ "op": "remove", "path": "emails", "value": [] }), json!([work, home])),
        (
            json!({ "op": "add", "path": "emails", "value": [{ "value": "n@example.com", "primary": true }] }),
            json!([
                { "value": "ada@example.com", "type": "work", "primary": false },
                home,
                { "value": "n@example.com", "primary": true },
            ]),
        ),
        (
            json!({ "op": "replace", "path": "emails.display", "value": "x" }),
            json!([
                { "value": "ada@example.com", "type": "work", "primary": true, "display": "x" },
                { "value": "ada@home.example", "type": "home", "display": "x" },
            ]),
        ),
    ] {
        assert_eq!(after(&operation, "emails"), expected, "{operation}");
    }
}

#[test]
fn selected_values_are_changed() {
    let [work, home, other] = addresses();
    let at = |kind: &str| format!("emails[type eq \"{kind}\"]");
    let value_at = |kind: &str| format!("emails[type eq \"{kind}\"].value");
    for (operation, expected) in [
        (json!({ "op": "remove", "path": at("home") }), json!([work])),
        (json!({ "op": "remove", "path": at("other") }), json!([work, home])),
        (json!({ "op": "remove", "path": value_at("home") }), json!([work])),
        (
            json!({ "op": "replace", "path": value_at("home"), "value": "x@example.com" }),
            json!([work, { "value": "x@example.com", "type": "home" }]),
        ),
        (
            json!({ "op": "replace", "path": value_at("other"), "value": "x@example.com" }),
            json!([work, home, other]),
        ),
        (json!({ "op": "replace", "path": at("home"), "value": other }), json!([work, other])),
        (json!({ "op": "replace", "path": at("home"), "value": [other] }), json!([work, other])),
        (
            json!({ "op": "add", "path": at("home"), "value": { "display": "at home" } }),
            json!([work, { "value": "ada@home.example", "type": "home", "display": "at home" }]),
        ),
        (
            json!({ "op": "add", "path": at("other"), "value": { "value": "x@example.com" } }),
            json!([work, home, other]),
        ),
        (
            json!({ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": "True" }),
            json!([
                { "value": "ada@example.com", "type": "work", "primary": false },
                { "value": "ada@home.example", "type": "home", "primary": true },
            ]),
        ),
    ] {
        assert_eq!(after(&operation, "emails"), expected, "{operation}");
    }
    let made =
        json!({ "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555 0100" });
    assert_eq!(after(&made, "phoneNumbers"), json!([{ "type": "mobile", "value": "+1 555 0100" }]));
    let made = json!({ "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "engineer" });
    assert_eq!(after(&made, "roles"), json!([{ "primary": true, "value": "engineer" }]));
}

#[test]
fn an_operation_that_cannot_be_done_says_why() {
    for (operation, kind) in [
        (json!("add"), ErrorKind::InvalidSyntax),
        (json!({ "path": "title", "value": "Dr" }), ErrorKind::InvalidSyntax),
        (json!({ "op": "move", "path": "title", "value": "Dr" }), ErrorKind::InvalidSyntax),
        (json!({ "op": "add", "path": 7, "value": "Dr" }), ErrorKind::InvalidSyntax),
        (json!({ "op": "add", "path": "title" }), ErrorKind::InvalidValue),
        (json!({ "op": "add", "value": "Dr" }), ErrorKind::InvalidValue),
        (json!({ "op": "replace", "path": ENTERPRISE, "value": "x" }), ErrorKind::InvalidValue),
        (json!({ "op": "add", "path": "nobody", "value": "Dr" }), ErrorKind::InvalidPath),
        (json!({ "op": "add", "path": "password", "value": "x" }), ErrorKind::InvalidPath),
        (json!({ "op": "add", "path": "emails[type = \"work\"]", "value": {} }), ErrorKind::InvalidFilter),
        (
            json!({ "op": "replace", "value": { "emails[type = \"work\"].value": "x" } }),
            ErrorKind::InvalidFilter,
        ),
        (json!({ "op": "remove" }), ErrorKind::NoTarget),
        (json!({ "op": "remove", "path": "" }), ErrorKind::NoTarget),
        (
            json!({ "op": "replace", "path": "emails[type eq \"other\"]", "value": { "value": "x@example.com" } }),
            ErrorKind::NoTarget,
        ),
        (
            json!({ "op": "replace", "path": "emails[value eq \"gone@example.com\"].value", "value": "x" }),
            ErrorKind::NoTarget,
        ),
        (
            json!({ "op": "replace", "path": "emails[type ne \"work\" and type ne \"home\"].value", "value": "x" }),
            ErrorKind::NoTarget,
        ),
        (json!({ "op": "replace", "path": "id", "value": "x" }), ErrorKind::Mutability),
        (json!({ "op": "replace", "path": "meta.version", "value": "x" }), ErrorKind::Mutability),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "admins" }] }), ErrorKind::Mutability),
        (
            json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager.displayName"), "value": "x" }),
            ErrorKind::Mutability,
        ),
        (json!({ "op": "remove", "path": "userName" }), ErrorKind::Mutability),
        (json!({ "op": "remove", "path": super::super::schema::CORE_USER }), ErrorKind::Mutability),
        (json!({ "op": "replace", "path": "userName", "value": null }), ErrorKind::Mutability),
        (json!({ "op": "replace", "path": "userName", "value": " " }), ErrorKind::InvalidValue),
        (json!({ "op": "replace", "path": "active", "value": "no" }), ErrorKind::InvalidValue),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": 7 }),
            ErrorKind::InvalidValue,
        ),
        (json!({ "op": "replace", "path": "emails.primary", "value": true }), ErrorKind::InvalidValue),
        (json!({ "op": "remove", "path": "emails", "value": [{ "type": "work" }] }), ErrorKind::InvalidValue),
    ] {
        let error = apply_to(&ada(), &USER, &json!([operation])).expect_err(&operation.to_string());
        assert_eq!(error.kind(), kind, "{operation}: {error}");
    }
}

#[test]
fn hostile_bodies_are_refused() {
    let many = json!({ "Operations": vec![json!({ "op": "remove", "path": "title" }); MAX_OPERATIONS + 1] });
    for (body, kind) in [
        ("{}".to_owned(), ErrorKind::InvalidSyntax),
        (r#"{"Operations":[]}"#.into(), ErrorKind::InvalidSyntax),
        (r#"{"Operations":{"op":"remove"}}"#.into(), ErrorKind::InvalidSyntax),
        (
            r#"{"schemas":["urn:x"],"Operations":[{"op":"remove","path":"title"}]}"#.into(),
            ErrorKind::InvalidSyntax,
        ),
        (
            r#"{"schemas":"urn:x","Operations":[{"op":"remove","path":"title"}]}"#.into(),
            ErrorKind::InvalidSyntax,
        ),
        (
            r#"{"Operations":[{"op":"replace","value":{"active":true,"Active":false}}]}"#.into(),
            ErrorKind::InvalidSyntax,
        ),
        (r#"{"Operations":[{"op":"add","op":"remove","path":"title"}]}"#.into(), ErrorKind::InvalidSyntax),
        (format!("{{\"Operations\":{}", "[".repeat(10_000)), ErrorKind::InvalidSyntax),
        (many.to_string(), ErrorKind::TooLarge),
    ] {
        let error = Patch::parse(body.as_bytes(), &USER).expect_err(&body[..body.len().min(80)]);
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn members_are_never_renamed_nor_invented() {
    let group = ScimGroup::parse(br#"{"displayName":"a","members":["u1","u2"]}"#).unwrap();
    for (operation, kind) in [
        (
            json!({ "op": "replace", "path": "members[value eq \"u1\"].value", "value": "u3" }),
            ErrorKind::Mutability,
        ),
        (json!({ "op": "remove", "path": "members[value eq \"u1\"].value" }), ErrorKind::Mutability),
        (json!({ "op": "replace", "path": "members.value", "value": "u3" }), ErrorKind::Mutability),
        (
            json!({ "op": "add", "path": "members[value eq \"u3\"].type", "value": "User" }),
            ErrorKind::NoTarget,
        ),
        (json!({ "op": "add", "path": "members", "value": [{ "type": "User" }] }), ErrorKind::InvalidValue),
        (json!({ "op": "remove", "path": "displayName" }), ErrorKind::Mutability),
    ] {
        let body = json!({ "Operations": [operation] }).to_string();
        let error =
            Patch::parse(body.as_bytes(), &GROUP).and_then(|patch| group.patched(&patch)).unwrap_err();
        assert_eq!(error.kind(), kind, "{operation}: {error}");
    }
}

#[test]
fn much_work_is_refused_before_it_is_done() {
    let ids: Vec<String> = (0..MAX_MEMBERS).map(|n| format!("u{n}")).collect();
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let group =
        Document::from_iter([("displayName".to_owned(), json!("a")), ("members".to_owned(), json!(members))]);
    let remove = |n: usize| json!({ "op": "remove", "path": format!("members[value eq \"u{n}\"]") });
    let few = Value::Array((0..3).map(remove).collect());
    let changed = apply_to(&group, &GROUP, &few).unwrap();
    assert_eq!(changed["members"].as_array().unwrap().len(), MAX_MEMBERS - 3);
    // The sum is checked as it grows; only the last of these operations is one too many.
    let many = vec![
        json!({ "op": "add", "path": "members[type eq \"Group\"]", "value": null });
        MAX_WORK / MAX_MEMBERS + 1
    ];
    let error = apply_to(&group, &GROUP, &json!(many)).unwrap_err();
    assert!(
        matches!(error, PatchError::Operation { number: 51, error: OperationError::TooMuchWork }),
        "{error}"
    );
    let one_more = json!([{ "op": "add", "path": "members", "value": "new" }]);
    assert_eq!(apply_to(&group, &GROUP, &one_more).unwrap_err().kind(), ErrorKind::InvalidValue);
}

/// Operations of all sorts, most of which can be done.
fn operation() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(&["add", "Replace", "REMOVE", "remove"][..]);
    let path = prop::sample::select(
        &[
            "userName",
            "title",
            "active",
            "name",
            "name.givenName",
            "emails",
            "emails.value",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "emails[type eq \"other\"].value",
            "emails[primary eq true].primary",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            "roles[value eq \"a\"].primary",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            "externalId",
            "id",
            "photos",
        ][..],
    );
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!("text")),
        Just(json!("False")),
        Just(json!(true)),
        Just(json!(7)),
        Just(json!([])),
        Just(json!({ "givenName": "G", "value": "v@example.com", "type": "Work", "primary": true })),
        Just(
            json!([{ "value": "v@example.com", "type": "home" }, { "value": "w@example.com", "primary": "true" }])
        ),
        Just(
            json!({ "active": "False", "name.familyName": "F", "department": "D", "emails[type eq \"work\"].value": "z" })
        ),
    ];
    (op, prop::option::weighted(0.9, path), value).prop_map(|(op, path, value)| {
        let mut operation = json!({ "op": op, "value": value });
        if let Some(path) = path {
            operation["path"] = json!(path);
        }
        operation
    })
}

fn primaries(document: &Document) -> usize {
    let lists = document.values().filter_map(Value::as_array);
    lists
        .map(|all| all.iter().filter(|value| super::super::value::is_primary(value)).count())
        .max()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn all_or_nothing_and_always_a_user(operations in prop::collection::vec(operation(), 1..6)) {
        let before = ScimUser::from_stored(&ada()).unwrap();
        let body = json!({ "schemas": [PATCH_SCHEMA], "Operations": operations }).to_string();
        let after = Patch::parse(body.as_bytes(), &USER).and_then(|patch| before.patched(&patch));
        prop_assert_eq!(before.stored(), &ada(), "the user before is never touched");
        if let Ok(after) = after {
            prop_assert_eq!(ScimUser::from_stored(after.stored()), Ok(after.clone()), "canonical form is stable");
            prop_assert!(!after.user_name().is_empty());
            prop_assert!(primaries(after.stored()) <= 1);
            // One operation after the other comes to the same.
            let mut step = before;
            for operation in &operations {
                let body = json!({ "Operations": [operation] }).to_string();
                step = step.patched(&Patch::parse(body.as_bytes(), &USER).unwrap()).unwrap();
            }
            prop_assert_eq!(step, after);
        }
    }

    #[test]
    fn replacing_twice_is_replacing_once(mut operation in operation()) {
        operation["op"] = json!("replace");
        let body = json!({ "Operations": [operation] }).to_string();
        let before = ScimUser::from_stored(&ada()).unwrap();
        let Ok(patch) = Patch::parse(body.as_bytes(), &USER) else { return Ok(()) };
        if let Ok(once) = before.patched(&patch) {
            match once.patched(&patch) {
                Ok(twice) => prop_assert_eq!(twice, once),
                // What a filter selected may be gone.
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::NoTarget),
            }
        }
    }

    #[test]
    fn never_panics(path in any::<String>(), op in "(?i)add|remove|replace", value in any::<String>()) {
        let body = json!({ "Operations": [{ "op": op, "path": path, "value": value }] }).to_string();
        for kind in [&USER, &GROUP] {
            if let Ok(patch) = Patch::parse(body.as_bytes(), kind) {
                let _ = patch.apply(&ada());
            }
        }
    }

    #[test]
    fn members_are_a_set(
        operations in prop::collection::vec((any::<bool>(), prop::collection::vec(0_u8..8, 0..4)), 1..8),
    ) {
        let mut expected = std::collections::BTreeSet::new();
        let mut body = Vec::new();
        for (adds, ids) in operations {
            let value: Vec<Value> = ids.iter().map(|id| json!({ "value": format!("u{id}") })).collect();
            body.push(json!({ "op": if adds { "Add" } else { "Remove" }, "path": "members", "value": value }));
            for id in ids {
                if adds { expected.insert(format!("u{id}")); } else { expected.remove(&format!("u{id}")); }
            }
        }
        let patch = Patch::parse(json!({ "Operations": body }).to_string().as_bytes(), &GROUP).unwrap();
        let group = ScimGroup::parse(br#"{"displayName":"a"}"#).unwrap().patched(&patch).unwrap();
        let mut found: Vec<_> = group.members().iter().map(|member| member.id.clone()).collect();
        found.sort();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
