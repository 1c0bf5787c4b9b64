//! Lists, and changes meant for another version.

use gatehouse_control::act::Caller;
use gatehouse_domain::audit::Object;
use gatehouse_domain::id::UserId;
use gatehouse_store::account::{AccountData, Entry, Step};
use serde_json::{Value, json};

use super::{PATCH, Scim, error, form, names, okta_user};

#[tokio::test]
async fn lists_are_paged_sorted_and_cut() {
    let s = Scim::of("okta").await;
    for n in 0..25 {
        s.user(&format!("user{n:02}@example.com")).await;
        s.w.pass(1);
    }
    let first = s.get("/Users?startIndex=1&count=10&sortBy=userName&sortOrder=descending").await;
    assert_eq!((&first["totalResults"], &first["itemsPerPage"]), (&json!(25), &json!(10)));
    assert_eq!((names(&first)[0], names(&first)[9]), ("user24@example.com", "user15@example.com"));
    let last = s.get("/Users?startIndex=21&count=10&sortBy=userName").await;
    assert_eq!((names(&last).len(), names(&last)[0]), (5, "user20@example.com"));
    // The database cannot do this order, nor this filter.
    let slow = s.get("/Users?startIndex=2&count=3&sortBy=emails&sortOrder=descending").await;
    assert_eq!(names(&slow), ["user23@example.com", "user22@example.com", "user21@example.com"]);
    let filter = form("userName sw \"USER1\" and active eq true");
    let slow = s.get(&format!("/Users?filter={filter}&startIndex=3&count=2&attributes=userName")).await;
    assert_eq!(
        (names(&slow), &slow["totalResults"]),
        (vec!["user12@example.com", "user13@example.com"], &json!(10))
    );
    assert_eq!(slow["Resources"][0]["emails"], Value::Null);
    assert_eq!(s.get("/Users?count=0").await["Resources"], json!([]));
    assert_eq!(s.get("/Users?startIndex=-5&count=1").await["startIndex"], 1);
    assert_eq!(s.get("/Users?startIndex=18446744073&count=9").await["itemsPerPage"], 0);
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "userName eq \"user07@example.com\"", "attributes": ["userName"],
    });
    assert_eq!(names(&s.ask("POST", "/Users/.search", Some(search)).await.ok()), ["user07@example.com"]);
    s.group("Crew", &[]).await;
    let all = json!({"startIndex": 25, "count": 5, "attributes": ["displayName"]});
    let all = s.ask("POST", "/.search", Some(all)).await.ok();
    assert_eq!((&all["totalResults"], all["Resources"].as_array().unwrap().len()), (&json!(26), 2));
    assert_eq!(all["Resources"][1]["displayName"], "Crew");
    let sorted = json!({"sortBy": "displayName", "count": 1});
    let sorted = s.ask("POST", "/.search", Some(sorted)).await.ok();
    assert_eq!(
        (&sorted["totalResults"], &sorted["Resources"][0]["displayName"]),
        (&json!(26), &json!("Crew"))
    );
    for bad in ["filter=userName", "filter=userName%20eq", "sortOrder=sideways", "count=x", "sortBy=nothing"]
    {
        assert_eq!(s.ask("GET", &format!("/Users?{bad}"), None).await.status.as_u16(), 400, "{bad}");
    }
}

/// What a directory of ten thousand people asks for: each in bounded memory, and found in whatever way.
#[tokio::test]
async fn ten_thousand_users_are_listed_found_and_sorted() {
    let s = Scim::of("okta").await;
    let (app, source) = (&s.w.app, "scim:okta".parse().unwrap());
    let step = |n: usize| {
        let name = format!("user{n:05}@example.com");
        let data = AccountData {
            name_key: name.clone(),
            user_name: name.clone(),
            external_id: Some(format!("ext{n}")),
            display_key: None,
            document: json!({"userName": name, "active": true, "title": format!("title {}", n % 7)})
                .to_string(),
            emails: vec![],
            email: None,
            name: None,
            active: true,
        };
        let user = UserId::new(app.now(), app.random_bits());
        let act = Caller::system("test").draft(app.now(), "user.add", Object::new("user", user, name));
        (Step::Add { user, entry: Entry::New, data }, act)
    };
    let steps: Vec<_> = (0..10_000).map(step).collect();
    for chunk in steps.chunks(500) {
        app.store.apply_accounts(app.org, &source, chunk).await.unwrap();
    }
    let all = s.get("/Users?count=1000").await;
    assert_eq!(
        (&all["totalResults"], &all["itemsPerPage"]),
        (&json!(10_000), &json!(200)),
        "a page has an end"
    );
    let last = s.get("/Users?startIndex=9999&count=10&sortBy=userName").await;
    assert_eq!(names(&last), ["user09998@example.com", "user09999@example.com"]);
    let found = s.get("/Users?filter=externalId+eq+%22ext7777%22").await;
    assert_eq!(names(&found), ["user07777@example.com"]);
    let slow = s.get("/Users?filter=title+ew+%22%206%22&count=5&sortBy=title&attributes=userName").await;
    assert_eq!((&slow["totalResults"], slow["Resources"].as_array().unwrap().len()), (&json!(1428), 5));
}

#[tokio::test]
async fn changes_meant_for_another_version_are_not_made() {
    let s = Scim::of("okta").await;
    let path = format!("/Users/{}", s.user("ada@example.com").await);
    let title = |title: &str| {
        Some(json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": title}]}))
    };
    error(&s.with("PATCH", &path, &[("if-match", "W/\"7\"")], title("a")).await, 412, None);
    error(&s.with("DELETE", &path, &[("if-match", "\"0\"")], None).await, 412, None);
    let changed = s.with("PATCH", &path, &[("if-match", "W/\"1\"")], title("b")).await;
    assert_eq!((changed.status.as_u16(), changed.headers["etag"].to_str().unwrap()), (200, "W/\"2\""));
    let put = s.with("PUT", &path, &[("if-match", "*")], Some(okta_user("ada@example.com"))).await;
    assert_eq!(put.headers["etag"], "W/\"3\"");
    assert_eq!(put.json()["title"], Value::Null, "a PUT replaces");
    let same = s.with("GET", &path, &[("if-none-match", "W/\"3\"")], None).await;
    assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
    assert_eq!(s.with("GET", &path, &[("if-none-match", "W/\"2\"")], None).await.status.as_u16(), 200);
    error(&s.with("PATCH", &path, &[("if-match", "nonsense")], title("c")).await, 400, Some("invalidValue"));
}
