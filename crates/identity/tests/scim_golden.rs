//! Requests as directories send them, and what becomes of them. Adding a case is adding a file to `tests/scim`.
//!
//! A case has `about`, `resource` (`User` or `Group`), `request` with a `method` and a `body` or `parameters`, for a PUT
//! or PATCH the resource as it is `given`, for a GET all that are; then what is `expected`: the resource as stored, or
//! the list; or the `error` (kind, and a part of its text). `identity` is what the house takes from a user.

use std::fs;
use std::path::Path;

use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::scim::document::Document;
use gatehouse_identity::scim::etag::Version;
use gatehouse_identity::scim::list::ListQuery;
use gatehouse_identity::scim::resource::{Meta, Placed};
use gatehouse_identity::scim::schema::{GROUP, USER};
use gatehouse_identity::scim::{ErrorKind, Patch, ScimError, ScimGroup, ScimUser};
use serde_json::{Value, json};

#[test]
fn every_case_comes_out_as_written() {
    let mut names: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scim"))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    names.sort();
    assert!(names.len() >= 30, "only {} cases were found", names.len());
    for path in names {
        let case: Value = serde_json::from_slice(&fs::read(&path).expect("a case")).expect("JSON");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let about = case["about"].as_str().unwrap_or_else(|| panic!("{name} does not say what it is about"));
        let context = format!("{name}: {about}");
        match (run(&case), case.get("error")) {
            (Ok(outcome), None) => {
                assert_eq!(outcome.document, case["expected"], "{context}");
                if let Some(identity) = case.get("identity") {
                    assert_eq!(outcome.identity.as_ref(), Some(identity), "{context}");
                }
            }
            (Err(error), Some(expected)) => {
                let document = error.document();
                let detail = document["detail"].as_str().expect("a sentence");
                assert!(
                    detail.contains(expected["detail"].as_str().expect("a part of it")),
                    "{context}: {detail}"
                );
                assert_eq!(document["status"], expected["status"], "{context}: {detail}");
                assert_eq!(document.get("scimType"), expected.get("scimType"), "{context}: {detail}");
            }
            (Ok(outcome), Some(_)) => panic!("{context}: no error but {}", outcome.document),
            (Err(error), None) => panic!("{context}: {error}"),
        }
    }
}

struct Outcome {
    document: Value,
    identity: Option<Value>,
}

fn run(case: &Value) -> Result<Outcome, ScimError> {
    // A body that is no JSON, or has names twice, is written as a text.
    let body = &case["request"]["body"];
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let (body, given) = (body.as_bytes(), &case["given"]);
    let method = case["request"]["method"].as_str().expect("a method");
    match (case["resource"].as_str(), method) {
        (Some("User"), "POST") => Ok(of_user(&ScimUser::parse(body)?)),
        (Some("User"), "PUT") => Ok(of_user(&user(given).replaced_by(body)?)),
        (Some("User"), "PATCH") => Ok(of_user(&user(given).patched(&Patch::parse(body, &USER)?)?)),
        (Some("Group"), "POST" | "PUT") => Ok(of_group(&ScimGroup::parse(body)?)),
        (Some("Group"), "PATCH") => Ok(of_group(&group(given).patched(&Patch::parse(body, &GROUP)?)?)),
        (Some("User" | "Group"), "GET") => list(case),
        (resource, method) => {
            Err(ScimError::new(ErrorKind::Internal, format!("no such request: {method} of {resource:?}")))
        }
    }
}

fn user(given: &Value) -> ScimUser {
    ScimUser::from_stored(given.as_object().expect("a user")).expect("a valid user")
}

fn group(given: &Value) -> ScimGroup {
    ScimGroup::parse(given.to_string().as_bytes()).expect("a valid group")
}

fn of_user(user: &ScimUser) -> Outcome {
    let identity = user.identity();
    Outcome {
        document: Value::Object(user.stored().clone()),
        identity: Some(json!({
            "user_name": identity.user_name,
            "email": identity.email.map(|email| email.to_string()),
            "display_name": identity.display_name.map(|name| name.to_string()),
            "active": identity.active,
            "external_id": identity.external_id,
        })),
    }
}

fn of_group(group: &ScimGroup) -> Outcome {
    Outcome { document: Value::Object(group.stored()), identity: None }
}

/// Answers a query from the given resources, which get the identifiers `1`, `2`, …
fn list(case: &Value) -> Result<Outcome, ScimError> {
    let is_user = case["resource"] == "User";
    let kind = if is_user { &USER } else { &GROUP };
    let parameters = case["request"]["parameters"].as_object().expect("parameters");
    let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a text")));
    let query = ListQuery::parse(parameters, kind)?;
    let day = UnixMillis(1_795_392_000_000);
    let documents: Vec<Document> = (1..)
        .zip(case["given"].as_array().expect("a list"))
        .map(|(number, given)| {
            let meta = Meta { created: day, last_modified: day, version: Version(number) };
            let id = number.to_string();
            let placed = Placed { base: "https://gatehouse.example.com/scim/v2", id: &id, meta: &meta };
            if is_user { user(given).document(placed, &[]) } else { group(given).document(placed) }
        })
        .collect();
    Ok(Outcome { document: query.answer(documents, kind).document(), identity: None })
}
