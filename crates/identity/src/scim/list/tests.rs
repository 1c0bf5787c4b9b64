use super::super::schema::{GROUP, USER};
use super::*;

fn query(parameters: &[(&str, &str)]) -> Result<ListQuery, QueryError> {
    ListQuery::parse(parameters.iter().copied(), &USER)
}

fn people() -> Vec<Document> {
    [
        ("3", "bob", Some("Zoe"), "2026-03-01T00:00:00.000Z"),
        ("1", "Carol", None, "2026-01-01T00:00:00.000Z"),
        ("2", "ada", Some("yves"), "2026-02-01T00:00:00.000Z"),
    ]
    .into_iter()
    .map(|(id, name, title, created)| {
        let mut document = Document::new();
        document.insert("id".into(), json!(id));
        document.insert("userName".into(), json!(name));
        if let Some(title) = title {
            document.insert("title".into(), json!(title));
        }
        let second = json!({ "value": format!("{id}@example.com"), "primary": true });
        document.insert("emails".into(), json!([{ "value": "same@example.com" }, second]));
        document.insert("meta".into(), json!({ "created": created }));
        document
    })
    .collect()
}

fn ids(parameters: &[(&str, &str)]) -> (u64, Vec<String>) {
    let answer = query(parameters).unwrap().answer(people(), &USER);
    let ids = answer.resources.iter().map(|resource| resource["id"].as_str().unwrap().to_owned()).collect();
    (answer.total, ids)
}

#[test]
fn pages_count_from_one() {
    for (start, count, expected) in [
        ("1", "2", &["3", "1"][..]),
        ("2", "2", &["1", "2"]),
        ("3", "2", &["2"]),
        ("4", "2", &[]),
        ("0", "1", &["3"]),
        ("-5", "1", &["3"]),
        ("1", "0", &[]),
        ("1", "-1", &[]),
        ("1", "99999999999999999999", &["3", "1", "2"]),
        ("99999999999999999999", "1", &[]),
        ("-99999999999999999999", "1", &["3"]),
    ] {
        let (total, found) = ids(&[("startIndex", start), ("count", count)]);
        assert_eq!(
            (total, found.as_slice()),
            (3, expected.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().as_slice())
        );
    }
    assert_eq!(query(&[]).unwrap().page, Page { start_index: 1, count: MAX_RESULTS });
    assert_eq!(query(&[("count", "100000")]).unwrap().page.count, MAX_RESULTS);
}

#[test]
fn lists_are_sorted_by_the_rules_of_the_attribute() {
    for (by, order, expected) in [
        ("userName", "", ["2", "3", "1"]),
        ("USERNAME", "Descending", ["1", "3", "2"]),
        ("title", "ascending", ["2", "3", "1"]),
        ("title", "descending", ["1", "3", "2"]),
        ("emails", "", ["1", "2", "3"]),
        ("emails.value", "descending", ["3", "2", "1"]),
        ("meta.created", "", ["1", "2", "3"]),
        ("nickName", "", ["3", "1", "2"]),
    ] {
        let (_, found) = ids(&[("sortBy", by), ("sortOrder", order)]);
        assert_eq!(found, expected, "{by} {order}");
    }
}

#[test]
fn a_list_says_what_it_holds() {
    let query = query(&[("filter", "title pr"), ("count", "1"), ("attributes", "userName")]).unwrap();
    assert_eq!(
        query.answer(people(), &USER).document(),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": 2,
            "startIndex": 1,
            "itemsPerPage": 1,
            "Resources": [{ "id": "3", "userName": "bob" }],
        })
    );
}

#[test]
fn a_search_asks_what_a_query_asks() {
    let body = json!({
        "schemas": [SEARCH_SCHEMA], "filter": "title pr", "sortBy": "userName", "sortOrder": "descending",
        "startIndex": 2, "count": 5, "attributes": ["userName", "emails.value"], "excludedAttributes": ["meta"],
    });
    let search = ListQuery::parse_search(body.to_string().as_bytes(), &USER).unwrap();
    let same = query(&[
        ("filter", "title pr"),
        ("sortBy", "userName"),
        ("sortOrder", "descending"),
        ("startIndex", "2"),
        ("count", "5"),
        ("attributes", "userName,emails.value"),
        ("excludedAttributes", "meta"),
        ("unknown", "ignored"),
    ]);
    assert_eq!(same, Ok(search));
    assert_eq!(ListQuery::parse_search(b"{}", &USER), query(&[]));
}

#[test]
fn hostile_queries_are_refused() {
    for (parameters, kind) in [
        (("count", "ten"), ErrorKind::InvalidValue),
        (("count", "1.5"), ErrorKind::InvalidValue),
        (("count", ""), ErrorKind::InvalidValue),
        (("startIndex", "--1"), ErrorKind::InvalidValue),
        (("startIndex", "1; DROP TABLE users"), ErrorKind::InvalidValue),
        (("filter", "userName eq"), ErrorKind::InvalidFilter),
        (("sortBy", "password"), ErrorKind::InvalidPath),
        (("sortBy", "emails[type eq \"work\"]"), ErrorKind::InvalidPath),
        (("sortOrder", "random"), ErrorKind::InvalidValue),
    ] {
        assert_eq!(query(&[parameters]).map_err(|e| e.kind()), Err(kind), "{parameters:?}");
    }
    for body in [
        r#"{"count":"1"}"#,
        r#"{"count":1.5}"#,
        r#"{"filter":1}"#,
        r#"{"attributes":"userName"}"#,
        r#"{"attributes":[1]}"#,
        r#"{"schemas":["urn:x"]}"#,
        r#"{"count":1,"COUNT":2}"#,
        "[]",
    ] {
        assert!(ListQuery::parse_search(body.as_bytes(), &USER).is_err(), "{body}");
    }
}

#[test]
fn a_search_at_the_root_finds_all_kinds() {
    let group = |id: &str, name: &str| {
        Document::from_iter([("id".to_owned(), json!(id)), ("displayName".to_owned(), json!(name))])
    };
    let all = || {
        let users = people().into_iter().map(|person| (&USER, person));
        users.chain([(&GROUP, group("g2", "beta")), (&GROUP, group("g1", "Alpha"))])
    };
    for (body, expected) in [
        (json!({}), &["3", "1", "2", "g2", "g1"][..]),
        (json!({ "sortBy": "userName" }), &["2", "3", "1", "g2", "g1"]),
        (json!({ "sortBy": "displayName", "sortOrder": "ascending" }), &["g1", "g2", "3", "1", "2"]),
        (json!({ "sortBy": "id", "sortOrder": "descending", "count": 2 }), &["g2", "g1"]),
        (json!({ "filter": "title pr" }), &["3", "2"]),
        (json!({ "filter": "displayName pr", "startIndex": 2 }), &["g1"]),
    ] {
        let answer = RootQuery::parse(body.to_string().as_bytes()).unwrap().answer(all());
        let ids: Vec<&str> =
            answer.resources.iter().map(|resource| resource["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{body}");
    }
    for body in [
        r#"{"filter":"nobody pr"}"#,
        r#"{"sortBy":"nobody"}"#,
        r#"{"filter":"title pr and members pr"}"#,
        "[]",
    ] {
        assert!(RootQuery::parse(body.as_bytes()).is_err(), "{body}");
    }
}
