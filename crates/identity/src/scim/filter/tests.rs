use proptest::prelude::*;
use serde_json::json;

use super::super::schema::{GROUP, USER};
use super::*;

fn ada() -> Document {
    let Value::Object(document) = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "Usr_1",
        "externalId": "Ext-7",
        "userName": "Ada@Example.com",
        "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "displayName": "Ada \"Countess\" Lovelace",
        "nickName": "",
        "active": true,
        "emails": [
            { "value": "ada@example.com", "type": "work", "primary": true },
            { "value": "ada@home.example", "type": "home" },
        ],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Engines",
            "manager": { "value": "usr_9" },
        },
        "meta": { "created": "2026-01-02T03:04:05.000Z", "lastModified": "2026-11-01T00:00:00.000Z" },
    }) else {
        panic!("an object")
    };
    document
}

#[test]
fn every_operator_on_a_user() {
    let ada = ada();
    for (filter, expected) in [
        (r#"userName eq "ada@EXAMPLE.com""#, true),
        (r#"USERNAME EQ "ada@example.com""#, true),
        (r#"userName eq "ada@example.co""#, false),
        (r#"userName ne "ada@example.com""#, false),
        (r#"externalId eq "Ext-7""#, true),
        (r#"externalId eq "ext-7""#, false),
        (r#"id eq "usr_1""#, false),
        (r#"name.familyName co "LOVE""#, true),
        (r#"name.familyName sw "love""#, true),
        (r#"name.familyName ew "lace""#, true),
        (r#"name.familyName sw "ace""#, false),
        (r#"displayName eq "Ada \"Countess\" Lovelace""#, true),
        (r#"displayName eq "\u0041da \"countess\" lovelace""#, true),
        ("active eq true", true),
        (r#"active eq "True""#, true),
        ("active eq False", false),
        ("active ne false", true),
        ("nickName pr", false),
        ("title pr", false),
        (r#"title ne "Dr""#, true),
        ("title eq null", true),
        ("title ne null", false),
        ("userName eq null", false),
        ("userName ne null", true),
        ("emails pr", true),
        ("name pr", true),
        ("photos pr", false),
        (r#"emails eq "ADA@example.com""#, true),
        (r#"emails.value ew "home.example""#, true),
        (r#"emails.type eq "other""#, false),
        (r#"emails.type ne "work""#, true),
        (r#"emails[type eq "work" and value co "@example.com"]"#, true),
        (r#"emails[type eq "home" and value co "@example.com"]"#, false),
        (r#"emails[type eq "home"].value eq "ada@home.example""#, true),
        (r#"emails[type eq "work"].value eq "ada@home.example""#, false),
        (r#"emails[primary eq true and not (type eq "home")]"#, true),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "engines""#, true),
        (r#"URN:ietf:params:scim:schemas:extension:enterprise:2.0:USER:manager.value eq "usr_9""#, true),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "usr_9""#, true),
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "ada""#, true),
        (r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#, true),
        (r#"meta.lastModified gt "2026-10-31T23:59:59Z""#, true),
        (r#"meta.lastModified ge "2026-11-01T01:00:00+01:00""#, true),
        (r#"meta.lastModified lt "2026-11-01T00:00:00Z""#, false),
        (r#"meta.created le "2026-01-02T03:04:05Z""#, true),
        (r#"userName gt "abc" and userName lt "ADZ""#, true),
        (r#"title pr or active eq true and userName sw "x""#, false),
        (r#"(title pr or active eq true) and userName sw "a""#, true),
        ("not(title pr)", true),
        (r#"NOT (active eq true) OR name.givenName EQ "ada""#, true),
        (r#"  userName   eq   "ada@example.com"  "#, true),
    ] {
        let parsed = Filter::parse(filter, &USER).unwrap_or_else(|e| panic!("{filter}: {e}"));
        assert_eq!(parsed.matches(&ada), expected, "{filter}");
        let printed = parsed.to_string();
        assert_eq!(Filter::parse(&printed, &USER), Ok(parsed), "{printed}");
    }
}

#[test]
fn a_group_is_found_by_its_member() {
    let Value::Object(group) =
        json!({ "displayName": "A", "members": [{ "value": "u1" }, { "value": "u2" }] })
    else {
        panic!("an object")
    };
    for (filter, expected) in [
        (r#"members.value eq "u2""#, true),
        (r#"members[value eq "u2"]"#, true),
        (r#"members eq "u2""#, true),
        (r#"members.value eq "U2""#, false),
        (r#"members[value eq "u1"] and members[value eq "u2"]"#, true),
        (r#"members[value eq "u1" and value eq "u2"]"#, false),
    ] {
        assert_eq!(Filter::parse(filter, &GROUP).unwrap().matches(&group), expected, "{filter}");
    }
}

#[test]
fn plain_equalities_are_answered_from_an_index() {
    for (filter, expected) in [
        (r#"userName eq "Ada@X""#, Some((Index::UserName, "ada@x", true))),
        (r#"externalId eq "Ab""#, Some((Index::ExternalId, "Ab", true))),
        (r#"id eq "Ab""#, Some((Index::Id, "Ab", true))),
        (r#"displayName eq "Ab""#, Some((Index::DisplayName, "ab", true))),
        (r#"active eq true and userName eq "A""#, Some((Index::UserName, "a", false))),
        (r#"active eq true or userName eq "A""#, None),
        (r#"not (userName eq "A")"#, None),
        (r#"userName ne "A""#, None),
        (r#"userName sw "A""#, None),
        ("userName eq null", None),
        (r#"emails.value eq "A@X""#, Some((Index::Email, "a@x", true))),
        (r#"emails[value eq "A"]"#, Some((Index::Email, "a", true))),
        (r#"emails[type eq "work" and value eq "A"]"#, Some((Index::Email, "a", false))),
        (r#"emails[type eq "work" or value eq "A"]"#, None),
        (r#"phoneNumbers[value eq "A"]"#, None),
        (r#"name.givenName eq "A""#, None),
    ] {
        let found = Filter::parse(filter, &USER).unwrap().narrowed();
        let expected =
            expected.map(|(index, value, exact)| Narrowed { index, value: value.to_owned(), exact });
        assert_eq!(found, expected, "{filter}");
    }
    for filter in [r#"members.value eq "Ab""#, r#"members[value eq "Ab"]"#, r#"members eq "Ab""#] {
        let found = Filter::parse(filter, &GROUP).unwrap().narrowed();
        assert_eq!(
            found,
            Some(Narrowed { index: Index::Member, value: "Ab".into(), exact: true }),
            "{filter}"
        );
    }
}

#[test]
fn hostile_filters_are_refused() {
    let terms = |n: usize| vec!["active eq true"; n].join(" or ");
    for (filter, why) in [
        (" ".repeat(MAX_LENGTH + 1), "longer than"),
        (format!("{}active pr{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1)), "nested deeper"),
        ("(".repeat(MAX_LENGTH), "nested deeper"),
        ("not (".repeat(MAX_LENGTH / 5), "nested deeper"),
        ("emails[".repeat(MAX_LENGTH / 7), "which is no attribute here"),
        (terms(MAX_TERMS + 1), "more than 100 comparisons"),
        (String::new(), "byte 0: expected the name of an attribute"),
        ("userName".into(), "byte 8: expected one of"),
        ("userName eq".into(), "expected a text in double quotes"),
        ("userName eq bob".into(), "byte 12: expected a text in double quotes"),
        ("userName eq 'bob'".into(), "expected a text in double quotes"),
        ("userName eq \"bob".into(), "expected a text in double quotes"),
        (r#"userName eq "bob\""#.into(), "expected a text in double quotes"),
        (r#"userName eq "\x""#.into(), "expected a text in double quotes"),
        (r#"userName eq "\ud800""#.into(), "expected a text in double quotes"),
        ("userName eq \"a\nb\"".into(), "expected a text in double quotes"),
        (r#"userName = "bob""#.into(), "byte 9: expected one of"),
        (r#"userName eq "a" userName eq "b""#.into(), "expected `and`, `or` or the end"),
        (r#"userName eq "a" or"#.into(), "expected the name of an attribute"),
        (r#"userName eq "x" OR 1=1 --"#.into(), "names `1=1`"),
        (r#"userName eq "x"; DROP TABLE users"#.into(), "expected `and`, `or` or the end"),
        (r"x' or ''='".into(), "which is no attribute here"),
        (r#"(userName eq "a""#.into(), "expected `)`"),
        (r#"userName eq "a")"#.into(), "expected `and`, `or` or the end"),
        (r#"emails[type eq "work""#.into(), "expected `]`"),
        (r#"emails[type eq "work"].password eq "x""#.into(), "names `password`"),
        ("not active eq true".into(), "expected `(` after `not`"),
        (r#"password eq "x""#.into(), "names `password`"),
        (r#"urn:example:x:userName eq "x""#.into(), "which is no attribute here"),
        (r#"usér eq "x""#.into(), "names `usér`"),
        ("userName eq true".into(), "it holds text"),
        ("userName eq 1".into(), "it holds text"),
        ("userName gt null".into(), "it holds text"),
        (r#"active eq "yes""#.into(), "which are only equal or not"),
        ("active gt true".into(), "which are only equal or not"),
        ("active co true".into(), "which are only equal or not"),
        (r#"meta.created gt "yesterday""#.into(), "it holds a time"),
        (r#"meta.created co "2026-01-02T03:04:05Z""#.into(), "which contains nothing"),
        (r#"name eq "Ada""#.into(), "it holds an object"),
        (r#"name[givenName eq "Ada"]"#.into(), "no list of objects"),
        (r#"schemas[value eq "x"]"#.into(), "no list of objects"),
        (r#"emails.value[type eq "x"]"#.into(), "no list of objects"),
    ] {
        let error = Filter::parse(&filter, &USER).expect_err(&filter).to_string();
        assert!(error.contains(why), "{filter}: {error}");
    }
    assert!(Filter::parse(&terms(MAX_TERMS), &USER).is_ok());
    let deepest = format!("{}active pr{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    assert!(Filter::parse(&deepest, &USER).is_ok());
}

#[test]
fn an_injection_is_only_a_value() {
    let filter = Filter::parse(r#"userName eq "x\" or active eq true or \"""#, &USER).unwrap();
    assert!(!filter.matches(&ada()));
    let found = filter.narrowed().unwrap();
    assert_eq!(found.value, r#"x" or active eq true or ""#);
}

/// Paths of texts, booleans and times, and the values they are compared with.
fn comparison(list: Option<AttrPath>) -> BoxedStrategy<Filter> {
    let text = |names: &'static [&'static str]| {
        (prop::sample::select(names), prop::sample::select(&Operator::ALL[..]), any::<String>())
            .prop_map(|(name, operator, text)| (name, operator, Literal::Text(text)))
    };
    let equality = || prop::sample::select(&[Operator::Eq, Operator::Ne][..]);
    let flag = |name: &'static str| {
        (equality(), any::<bool>())
            .prop_map(move |(operator, value)| (name, operator, Literal::Boolean(value)))
    };
    let made = move |(name, operator, literal)| {
        let path = match list {
            Some(list) => AttrPath { sub: list.attribute.sub(name), ..list },
            None => AttrPath::parse(name, &USER).unwrap(),
        };
        Filter::Compare(Comparison { path, operator, literal })
    };
    if list.is_some() {
        return prop_oneof![text(&["value", "type"]), flag("primary")].prop_map(made).boxed();
    }
    let time = (0_i64..253_402_300_799_999)
        .prop_map(|ms| ("meta.created", Operator::Gt, Literal::Time(UnixMillis(ms))));
    let null = equality().prop_map(|operator| ("title", operator, Literal::Null));
    let names = &["userName", "id", "name.givenName", "emails.value"];
    prop_oneof![text(names), flag("active"), time, null].prop_map(made).boxed()
}

fn nested(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
    .boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    let emails = AttrPath::parse("emails", &USER).unwrap();
    let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
    let present = prop::sample::select(vec!["title", "emails", "name.givenName", department])
        .prop_map(|name| Filter::Present(AttrPath::parse(name, &USER).unwrap()));
    let value = nested(comparison(Some(emails)))
        .prop_map(move |filter| Filter::Value { list: emails, filter: Box::new(filter) });
    nested(prop_oneof![3 => comparison(None), 1 => present, 1 => value].boxed())
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(filter in filter()) {
        let printed = filter.to_string();
        match Filter::parse(&printed, &USER) {
            Ok(back) => prop_assert_eq!(back, filter),
            // Random texts may be longer than a filter may be.
            Err(error) => prop_assert!(matches!(error, FilterError::TooLong | FilterError::TooManyTerms), "{error}"),
        }
    }

    #[test]
    fn never_panics(text in any::<String>()) {
        let _ = Filter::parse(&text, &USER);
    }

    #[test]
    fn never_panics_on_what_looks_like_a_filter(
        words in prop::collection::vec(prop::sample::select(&[
            "userName", "emails", "active", "not", "and", "or", "eq", "pr", "co", "(", ")", "[", "]", ".value", "type",
            "\"", "\"x\"", "\\", "true", "null", "1", " ", "é", "urn:ietf:params:scim:schemas:core:2.0:User:",
        ][..]), 0..30),
        spaced in any::<bool>(),
    ) {
        let text = words.join(if spaced { " " } else { "" });
        if let Ok(filter) = Filter::parse(&text, &USER) {
            filter.matches(&ada());
            prop_assert_eq!(Filter::parse(&filter.to_string(), &USER), Ok(filter));
        }
    }

    #[test]
    fn a_narrowed_filter_misses_nobody(name in "[aAbBıİß]{1,2}", active in any::<bool>(), other in "[aAbBıİß]{1,2}") {
        let text = format!("userName eq \"{name}\" and active eq true");
        let filter = Filter::parse(&text, &USER).unwrap();
        let Value::Object(user) = json!({ "userName": other, "active": active }) else { panic!("an object") };
        let found = filter.narrowed().unwrap();
        if filter.matches(&user) {
            prop_assert_eq!(found.value, super::super::text::fold(&other));
        }
    }
}
