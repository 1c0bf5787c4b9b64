//! The OpenAPI document.

use std::path::Path;

use serde_json::Value;

use crate::house::world;

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable asks to rewrite the checked-in document")]
fn the_checked_in_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let current = gatehouse_control::openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == current, "openapi.json is out of date: run the tests once with UPDATE_OPENAPI=1");
}

#[tokio::test]
async fn the_document_is_served_as_checked_in() {
    let served = world().await.ask("", "GET", "/api/v1/openapi.json", None).await;
    assert_eq!(served.headers["content-type"], "application/json");
    assert_eq!(served.text, gatehouse_control::openapi());
}

#[test]
fn every_operation_is_described() {
    let document: Value = serde_json::from_str(&gatehouse_control::openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{name} has no summary"
            );
            assert!(operation["responses"]["default"].is_object(), "{name} does not describe errors");
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let named = part.trim_end_matches('}');
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|p| p["name"] == named && p["in"] == "path"),
                    "{name} lacks {named}"
                );
            }
        }
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "operation ids are unique");
}

/// Every reference of the document leads somewhere.
#[test]
fn references_resolve() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| walk(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document: Value = serde_json::from_str(&gatehouse_control::openapi()).unwrap();
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
