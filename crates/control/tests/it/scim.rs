//! `/scim/v2` as directories use it: the requests are of the shapes that Okta and Microsoft Entra document.

mod hostile;
mod list;

use axum::body::Body;
use axum::http::Request;
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
    // Both were made in one millisecond, so either may be the first.
    let there = format!("https://gate.example.com/scim/v2/Users/{ada}");
    assert!(read["members"].as_array().unwrap().iter().any(|member| member["$ref"] == there), "{read}");
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
