//! `/scim/v2` as directories use it: the requests are of the shapes that Okta and Microsoft Entra document.

use axum::body::Body;
use axum::http::Request;
use gatehouse_control::act::Caller;
use gatehouse_domain::audit::Object;
use gatehouse_domain::id::UserId;
use gatehouse_domain::role::Role;
use gatehouse_store::account::{AccountData, Entry, Step};
use serde_json::{Value, json};

use crate::house::{Answer, World, world};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A management plane, and a directory's way to it.
struct Scim {
    w: World,
    token: String,
}

impl Scim {
    async fn of(source: &str) -> Self {
        let w = world().await;
        let token = token(&w, source).await;
        Self { w, token }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.with(method, path, &[], body).await
    }

    async fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut req = Request::builder()
            .method(method)
            .uri(format!("/scim/v2{path}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            req = req.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.w
            .send(req.header("content-type", "application/scim+json; charset=utf-8").body(body).unwrap())
            .await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.ok()
    }

    async fn patch(&self, path: &str, operations: Value) -> Answer {
        self.ask("PATCH", path, Some(json!({"schemas": [PATCH], "Operations": operations}))).await
    }

    /// Makes a user as Okta does; gives its identifier.
    async fn user(&self, user_name: &str) -> String {
        let made = self.ask("POST", "/Users", Some(okta_user(user_name))).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text);
        id(&made.json())
    }

    async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
        let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
        let made = self.ask("POST", "/Groups", Some(body)).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text);
        id(&made.json())
    }

    async fn state(&self, user: &str) -> String {
        self.w.get(&format!("/api/v1/users/{user}")).await.ok()["state"].as_str().unwrap().to_owned()
    }
}

async fn token(w: &World, source: &str) -> String {
    let made = w.post("/api/v1/scim/tokens", json!({"source": source})).await.ok();
    assert_eq!(made["base_url"], "https://gate.example.com/scim/v2");
    made["token"].as_str().unwrap().to_owned()
}

fn okta_user(user_name: &str) -> Value {
    json!({
        "schemas": [USER],
        "userName": user_name,
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": user_name, "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true,
    })
}

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap_or_else(|| panic!("no id: {document}")).to_owned()
}

/// Asserts that an answer is an error of the protocol.
fn error(answer: &Answer, status: u16, scim_type: Option<&str>) {
    let body = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{body}");
    assert_eq!(answer.headers["content-type"], "application/scim+json");
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(body["status"], status.to_string(), "it is a string");
    assert_eq!(body["scimType"].as_str(), scim_type, "{body}");
    assert!(!body["detail"].as_str().unwrap_or_default().is_empty());
}

fn names(list: &Value) -> Vec<&str> {
    list["Resources"].as_array().unwrap().iter().map(|user| user["userName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn okta_brings_a_user_in_and_takes_them_out() {
    let s = Scim::of("okta").await;
    let look = "/Users?filter=userName%20eq%20%22test.user%40okta.local%22&startIndex=1&count=100";
    let none = s.get(look).await;
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));

    let made = s.ask("POST", "/Users", Some(okta_user("test.user@okta.local"))).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    let user = made.json();
    let user_id = id(&user);
    assert_eq!(
        made.headers["location"],
        format!("https://gate.example.com/scim/v2/Users/{user_id}").as_str()
    );
    assert_eq!((&user["active"], &user["password"]), (&json!(true), &Value::Null));
    assert_eq!(
        (made.headers["etag"].to_str().unwrap(), &user["meta"]["version"]),
        ("W/\"1\"", &json!("W/\"1\""))
    );
    let known = s.w.get("/api/v1/users/test.user@okta.local").await.ok();
    assert_eq!((&known["id"], &known["name"]), (&user["id"], &json!("Test User")));

    let found = s.get(look).await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]), (&json!(1), &user));
    error(&s.ask("POST", "/Users", Some(okta_user("TEST.user@okta.local"))).await, 409, Some("uniqueness"));

    let changes = s.w.knobs.policy_changes.load(std::sync::atomic::Ordering::Relaxed);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    assert_eq!(s.patch(&format!("/Users/{user_id}"), off).await.ok()["active"], false);
    assert_eq!(s.state(&user_id).await, "disabled");
    assert!(
        s.w.knobs.policy_changes.load(std::sync::atomic::Ordering::Relaxed) > changes,
        "the data path is told"
    );
    let enabled = s.w.post(&format!("/api/v1/users/{user_id}/enable"), json!({})).await;
    assert_eq!(enabled.status.as_u16(), 409, "the directory holds them disabled: {}", enabled.text);

    // Okta activates by PUT of the whole profile.
    let on = s.ask("PUT", &format!("/Users/{user_id}"), Some(okta_user("test.user@okta.local"))).await.ok();
    assert_eq!((&on["active"], s.state(&user_id).await.as_str()), (&json!(true), "active"));
    let mut off = okta_user("test.user@okta.local");
    off["active"] = json!(false);
    s.ask("PUT", &format!("/Users/{user_id}"), Some(off)).await.ok();
    assert_eq!(s.state(&user_id).await, "disabled");

    let actions: Vec<String> =
        s.w.audited(&format!("?object={user_id}"))
            .await
            .iter()
            .map(|entry| {
                assert_eq!(
                    (&entry["actor"]["kind"], &entry["actor"]["name"]),
                    (&json!("directory"), &json!("okta"))
                );
                entry["action"].as_str().unwrap().to_owned()
            })
            .collect();
    assert_eq!(actions, ["user.disable", "user.enable", "user.disable", "user.add"]);
}

#[tokio::test]
async fn entra_brings_a_user_in_changes_and_disables_them() {
    let s = Scim::of("entra").await;
    let body = json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "Test_User_ab6490ee",
        "active": true,
        "emails": [{"primary": true, "type": "work", "value": "Test_User_11bb11bb@testuser.com"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
        "roles": [],
    });
    let made = s.ask("POST", "/Users", Some(body)).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    let user = format!("/Users/{}", id(&made.json()));
    let operations = json!([
        {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updatedEmail@microsoft.com"},
        {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
        {"op": "Add", "path": format!("{ENTERPRISE}:department"), "value": "Engines"},
        {"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555 0100"},
    ]);
    let changed = s.patch(&user, operations).await.ok();
    assert_eq!(changed["emails"][0]["value"], "updatedEmail@microsoft.com");
    assert_eq!(changed["name"]["familyName"], "updatedFamilyName");
    assert_eq!(changed[ENTERPRISE]["department"], "Engines");
    assert_eq!(changed["phoneNumbers"][0]["value"], "+1 555 0100");
    assert_eq!(s.w.get("/api/v1/users/updatedemail@microsoft.com").await.ok()["id"], made.json()["id"]);

    for (off, shape) in [
        (json!([{"op": "Replace", "path": "active", "value": "False"}]), "a text"),
        (json!([{"op": "Replace", "path": "active", "value": false}]), "a boolean"),
        (json!([{"op": "replace", "value": {"active": false}}]), "without a path"),
        (json!([{"op": "Add", "path": "active", "value": "false"}]), "an addition"),
        (json!([{"op": "Replace", "path": "active", "value": [{"value": "False"}]}]), "a list"),
    ] {
        let answer = s.patch(&user, off).await;
        if answer.status.is_client_error() {
            error(&answer, 400, Some("invalidValue"));
            assert_eq!(shape, "a list", "{}", answer.text);
            continue;
        }
        assert_eq!(s.state(&id(&made.json())).await, "disabled", "{shape}");
        s.patch(&user, json!([{"op": "Replace", "path": "active", "value": "True"}])).await.ok();
        assert_eq!(s.state(&id(&made.json())).await, "active", "{shape}");
    }
    for (wanted, filter) in [
        (1, "externalId eq \"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef\""),
        (0, "externalId eq \"0A21f0f2-8d2a-4f8e-bf98-7363c4aed4ef\""),
        (1, "emails[type eq \"work\"].value eq \"UPDATEDemail@microsoft.com\""),
        (1, "emails.value eq \"updatedEmail@microsoft.com\""),
        (0, "emails.value eq \"Test_User_11bb11bb@testuser.com\""),
        (1, "userName eq \"TEST_user_ab6490ee\" and active eq true"),
        (1, "name.familyName co \"FAMILY\""),
        (0, "not (active eq true)"),
    ] {
        let filter: String = form(filter);
        assert_eq!(s.get(&format!("/Users?filter={filter}")).await["totalResults"], wanted, "{filter}");
    }
}

fn form(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|b| format!("%{b:02X}")).collect();
    bytes.concat()
}

#[tokio::test]
async fn who_is_deleted_is_disabled_gone_and_can_come_back() {
    let s = Scim::of("okta").await;
    let user = s.user("ada@example.com").await;
    let path = format!("/Users/{user}");
    s.group("Crew", &[&user]).await;
    let gone = s.ask("DELETE", &path, None).await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
    assert_eq!(s.state(&user).await, "disabled");
    for method in ["GET", "DELETE"] {
        error(&s.ask(method, &path, None).await, 404, None);
    }
    assert_eq!(s.get("/Users").await["totalResults"], 0);
    assert_eq!(s.w.audited(&format!("?object={user}")).await[0]["action"], "user.deprovision");
    assert_eq!(s.user("ada@example.com").await, user, "the same person, with their history");
    assert_eq!(s.state(&user).await, "active");
}

#[tokio::test]
async fn a_user_that_is_there_is_taken_over_unless_an_administrator_disabled_them() {
    let s = Scim::of("okta").await;
    for (address, disable) in [("ada@example.com", false), ("eve@example.com", true)] {
        s.w.post("/api/v1/users", json!({"email": address})).await.ok();
        if disable {
            s.w.post(&format!("/api/v1/users/{address}/disable"), json!({})).await.ok();
        }
    }
    let local = id(&s.w.get("/api/v1/users/ada@example.com").await.ok());
    assert_eq!(s.get("/Users").await["totalResults"], 0, "a directory sees what it brought in");
    assert_eq!(s.user("ada@example.com").await, local);
    assert_eq!(s.w.audited(&format!("?object={local}")).await[0]["action"], "user.adopt");
    error(&s.ask("POST", "/Users", Some(okta_user("eve@example.com"))).await, 409, Some("uniqueness"));

    // Another directory neither sees nor takes them over.
    let other = Scim { token: token(&s.w, "entra").await, w: s.w };
    error(&other.ask("GET", &format!("/Users/{local}"), None).await, 404, None);
    error(&other.ask("POST", "/Users", Some(okta_user("ada@example.com"))).await, 409, Some("uniqueness"));
    assert_eq!(other.get("/Users").await["totalResults"], 0);
}

#[tokio::test]
async fn okta_pushes_groups() {
    let s = Scim::of("okta").await;
    let (ada, bob) = (s.user("ada@example.com").await, s.user("bob@example.com").await);
    let group = s.group("Test SCIMv2", &[]).await;
    let path = format!("/Groups/{group}");
    let renamed = json!([{"op": "replace", "value": {"id": group, "displayName": "Test SCIMv3"}}]);
    assert_eq!(s.patch(&path, renamed).await.ok()["displayName"], "Test SCIMv3");
    let operations = json!([
        {"op": "remove", "path": format!("members[value eq \"{bob}\"]")},
        {"op": "add", "path": "members", "value": [{"value": ada, "display": "ada@example.com"}]},
    ]);
    let changed = s.patch(&path, operations).await;
    if changed.status.is_client_error() {
        error(&changed, 400, Some("noTarget"));
    }
    s.patch(&path, json!([{"op": "add", "path": "members", "value": [{"value": ada}, {"value": bob}]}]))
        .await
        .ok();
    let read = s.get(&path).await;
    assert_eq!(read["members"].as_array().unwrap().len(), 2);
    assert_eq!(read["members"][0]["$ref"], format!("https://gate.example.com/scim/v2/Users/{ada}"));
    let user = s.get(&format!("/Users/{ada}")).await;
    assert_eq!(
        (&user["groups"][0]["value"], &user["groups"][0]["display"]),
        (&json!(group), &json!("Test SCIMv3"))
    );

    let replaced = json!({"schemas": [GROUP], "displayName": "Test SCIMv3", "members": [{"value": bob}]});
    s.ask("PUT", &path, Some(replaced)).await.ok();
    assert_eq!(s.get(&path).await["members"].as_array().unwrap().len(), 1);
    assert_eq!(s.get(&format!("/Users/{ada}")).await["groups"], Value::Null);
    assert_eq!(s.ask("DELETE", &path, None).await.status.as_u16(), 204);
    error(&s.ask("GET", &path, None).await, 404, None);
    assert_eq!(s.state(&bob).await, "active", "nobody is disabled with a group");
}

#[tokio::test]
async fn entra_pushes_groups_that_stand_for_teams() {
    let s = Scim::of("entra").await;
    let probe = s.get("/Users?filter=userName+eq+%22f0ad5a0e-0000-4c5e-9a0b-aad%22").await;
    assert_eq!(probe["totalResults"], 0, "the test of the connection");
    let (ada, bob) = (s.user("ada@example.com").await, s.user("bob@example.com").await);
    let body = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": "displayName",
        "meta": {"resourceType": "Group"},
    });
    let made = s.ask("POST", "/Groups", Some(body.clone())).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    error(&s.ask("POST", "/Groups", Some(body)).await, 409, Some("uniqueness"));
    let group = id(&made.json());
    let path = format!("/Groups/{group}");
    s.w.post("/api/v1/teams", json!({"name": "core"})).await.ok();
    let mapped = s.w.put(&format!("/api/v1/groups/{group}/team"), json!({"team": "core"})).await.ok();
    assert!(mapped["team_id"].as_str().unwrap().starts_with("team_"));

    let add = json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": ada}]}]);
    s.patch(&path, add.clone()).await.ok();
    let version = s.get(&path).await["meta"]["version"].clone();
    s.patch(&path, add).await.ok();
    assert_eq!(s.get(&path).await["meta"]["version"], version, "what changes nothing is no change");
    s.patch(&path, json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": bob}]}]))
        .await
        .ok();
    let team = async |user: &str| s.w.get(&format!("/api/v1/users/{user}")).await.ok()["teams"].clone();
    assert_eq!((team(&ada).await, team(&bob).await), (json!(["core"]), json!(["core"])));
    let gone = json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": ada}]}]);
    s.patch(&path, gone).await.ok();
    assert_eq!((team(&ada).await, team(&bob).await), (json!([]), json!(["core"])));

    let bare = s.get(&format!("{path}?excludedAttributes=members")).await;
    assert_eq!((&bare["members"], &bare["displayName"]), (&Value::Null, &json!("displayName")));
    let filter = form("displayName eq \"DISPLAYNAME\"");
    let found = s.get(&format!("/Groups?excludedAttributes=members&filter={filter}")).await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["members"]), (&json!(1), &Value::Null));
    for (member, there) in [(&bob, 1), (&ada, 0)] {
        let filter = form(&format!("id eq \"{group}\" and members eq \"{member}\""));
        assert_eq!(s.get(&format!("/Groups?attributes=id&filter={filter}")).await["totalResults"], there);
        let filter = form(&format!("members.value eq \"{member}\""));
        assert_eq!(s.get(&format!("/Groups?filter={filter}")).await["totalResults"], there);
    }
    s.w.ask(&s.w.owner, "DELETE", &format!("/api/v1/groups/{group}/team"), None).await.ok();
    assert_eq!(team(&bob).await, json!([]));
    let stranger = json!([{"op": "Add", "path": "members", "value": [{"value": "usr_nobody"}]}]);
    error(&s.patch(&path, stranger).await, 400, Some("invalidValue"));
}

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

#[tokio::test]
async fn only_a_good_provisioning_token_is_let_in_and_only_to_scim() {
    let mut s = Scim::of("okta").await;
    let good = s.token.clone();
    for path in ["/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/ResourceTypes", "/Users/x"] {
        for token in
            ["", "nonsense", &s.w.owner.clone(), &good.replace("ghscim_", "gha_"), &format!("{good}x")]
        {
            let answer = s.w.ask(token, "GET", &format!("/scim/v2{path}"), None).await;
            error(&answer, 401, None);
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
        let answer = s.w.ask("", "POST", "/scim/v2/Bulk", Some(json!({}))).await;
        error(&answer, 401, None);
    }
    for path in ["/api/v1/users", "/api/v1/audit", "/api/v1/status", "/api/v1/scim/tokens"] {
        assert_eq!(s.w.ask(&good, "GET", path, None).await.status.as_u16(), 401, "{path}");
    }
    for role in [Role::Admin, Role::Auditor, Role::Viewer] {
        let token = s.w.token(role).await;
        let made = s.w.ask(&token, "POST", "/api/v1/scim/tokens", Some(json!({"source": "x"}))).await;
        assert_eq!(made.status.as_u16(), 403);
    }
    for bad in [json!({"source": "Okta"}), json!({"source": ""}), json!({"source": "a", "expires": "0s"})] {
        assert_eq!(s.w.post("/api/v1/scim/tokens", bad).await.status.as_u16(), 400);
    }
    let listed = s.w.get("/api/v1/scim/tokens").await;
    assert!(!listed.text.contains(&good[15..]), "only the public part is seen again");
    let token = &listed.ok()["items"][0];
    assert!(token["last_used_at"].is_null() && good.starts_with(token["hint"].as_str().unwrap()));
    s.get("/Users").await;
    s.w.post(&format!("/api/v1/scim/tokens/{}/revoke", id(token)), json!({})).await.ok();
    error(&s.ask("GET", "/Users", None).await, 401, None);
    let made = s.w.post("/api/v1/scim/tokens", json!({"source": "okta", "expires": "1h"})).await.ok();
    made["token"].as_str().unwrap().clone_into(&mut s.token);
    s.get("/Users").await;
    s.w.pass(3_600_001);
    error(&s.ask("GET", "/Users", None).await, 401, None);
}

#[tokio::test]
async fn hostile_requests_are_refused_in_the_words_of_the_protocol() {
    let s = Scim::of("okta").await;
    let user = format!("/Users/{}", s.user("ada@example.com").await);
    for (method, path, body, status) in [
        ("POST", "/Bulk", Some(json!({"Operations": []})), 501),
        ("POST", "/.search", Some(json!({"filter": "nothing eq 1"})), 400),
        ("GET", "/Me", None, 501),
        ("GET", "/nothing", None, 404),
        ("GET", "/Users/usr_x", None, 404),
        ("GET", "/Users/%00", None, 404),
        ("GET", "/Groups/%27%20OR%201=1", None, 404),
        ("DELETE", "/Users", None, 405),
        ("PUT", "/Schemas", Some(json!({})), 405),
        ("GET", "/Schemas?filter=id%20eq%20%22x%22", None, 403),
        ("GET", "/Schemas/urn:x", None, 404),
        ("POST", "/Users", Some(json!({})), 400),
        ("POST", "/Users", Some(json!([])), 400),
        ("POST", "/Groups", Some(json!({"displayName": "g", "members": [{"value": "nobody"}]})), 400),
        ("PATCH", user.as_str(), Some(json!({})), 400),
        (
            "PATCH",
            user.as_str(),
            Some(json!({"Operations": [{"op": "replace", "path": "nothing.x", "value": 1}]})),
            400,
        ),
        (
            "PATCH",
            user.as_str(),
            Some(json!({"Operations": [{"op": "replace", "path": "id", "value": "x"}]})),
            400,
        ),
    ] {
        let answer = s.ask(method, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.json()["status"], status.to_string(), "{method} {path}");
    }
    let mut long = okta_user("long@example.com");
    long["title"] = json!("x".repeat(5 * 1024 * 1024));
    error(&s.ask("POST", "/Users", Some(long)).await, 413, None);
    let mut wide = okta_user("wide@example.com");
    wide["addresses"] = (0..100).map(|n| json!({"formatted": format!("{n}{}", "x".repeat(8000))})).collect();
    error(&s.ask("POST", "/Users", Some(wide)).await, 413, None);
    let plain = Request::post("/scim/v2/Users")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", s.token))
        .header("content-type", "text/plain")
        .body(Body::from("{}"));
    error(&s.w.send(plain.unwrap()).await, 415, None);
    // One operation that cannot be done undoes the others.
    let operations = json!([
        {"op": "replace", "path": "title", "value": "changed"},
        {"op": "replace", "path": "userName", "value": ""},
    ]);
    assert_eq!(s.patch(&user, operations).await.status.as_u16(), 400);
    assert_eq!(s.get(&user).await["title"], Value::Null);
    assert_eq!(s.get("/Users").await["totalResults"], 1);
}

#[tokio::test]
async fn the_server_describes_itself() {
    let s = Scim::of("okta").await;
    let config = s.get("/ServiceProviderConfig").await;
    assert_eq!((&config["bulk"]["supported"], &config["patch"]["supported"]), (&json!(false), &json!(true)));
    assert_eq!(s.get("/ResourceTypes").await["totalResults"], 2);
    assert_eq!(s.get("/ResourceTypes/User").await["endpoint"], "/Users");
    let schemas = s.ask("GET", "/Schemas", None).await;
    assert_eq!(
        (&schemas.json()["totalResults"], &schemas.headers["content-type"]),
        (&json!(3), &"application/scim+json".parse().unwrap())
    );
    assert_eq!(s.get(&format!("/Schemas/{USER}")).await["id"], USER);
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
