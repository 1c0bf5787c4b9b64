//! What the portal does as time passes, with a clock that the test moves.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Response};
use gatehouse_control::portal::{Asked, Entry, Local, Portal, PublicUrl, Rules, SecondFactor};
use gatehouse_identity::fetch::{Fetch, FetchError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::house::{World, world};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const DAY: i64 = 86_400_000;

/// There is no network.
struct NoNet;

impl Fetch for NoNet {
    async fn fetch(&self, _: HttpRequest) -> Result<HttpResponse, FetchError> {
        Err(FetchError::TimedOut)
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        public_url: Some(PublicUrl::parse("https://gw.example.com").unwrap()),
        access_ms: 3_600_000,
        session_ms: 30 * DAY,
        notice: Some("Only for work.".into()),
        local: Local::On,
        second_factor: SecondFactor::Optional,
        oidc: None,
        admissions: BTreeMap::new(),
        directories: vec![],
        jobs: None,
        models: vec![],
        telemetry: gatehouse_control::telemetry::Rules {
            prompts: gatehouse_control::telemetry::Prompts::LeftOut,
            per_minute: 600,
            events_ms: 30 * DAY,
            relay: None,
        },
    }
}

struct House {
    world: World,
    portal: Portal<NoNet>,
}

async fn house() -> House {
    let world = world().await;
    let portal = Portal::new(world.app.clone(), NoNet, rules());
    world.post("/api/v1/users", json!({"email": "ada@example.com"})).await.ok();
    let password = json!({"password": "correct horse battery"});
    world.put("/api/v1/users/ada@example.com/password", password).await.ok();
    House { world, portal }
}

fn encoded(fields: &[(&str, &str)]) -> Bytes {
    let mut out = form_urlencoded::Serializer::new(String::new());
    Bytes::from(out.extend_pairs(fields).finish())
}

impl House {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Response<Bytes> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let peer = "10.1.1.1".parse().unwrap();
        let (path, query) = (path.to_owned(), query.to_owned());
        self.portal.answer(&Asked { method, path, query, headers: map, body, peer, principal: None }).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let response = self.ask(Method::POST, path, "", &form, encoded(fields)).await;
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
    }

    async fn begin(&self) -> (String, String) {
        let (status, body) = self.post("/oauth/device_authorization", &[("surface", "claude_code")]).await;
        assert_eq!((status, &body["login_notice"]), (200, &json!("Only for work.")), "{body}");
        (body["device_code"].as_str().unwrap().to_owned(), body["user_code"].as_str().unwrap().to_owned())
    }

    async fn poll(&self, device: &str) -> (u16, Value) {
        self.post("/oauth/token", &[("grant_type", DEVICE), ("device_code", device)]).await
    }

    async fn refresh(&self, token: &str) -> (u16, Value) {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn approve(&self, code: &str) -> u16 {
        let page = self.ask(Method::GET, "/device", &format!("user_code={code}"), &[], Bytes::new()).await;
        let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure"), "{cookie}");
        assert!(cookie.contains("SameSite=Strict; HttpOnly"), "{cookie}");
        let html = String::from_utf8(page.body().to_vec()).unwrap();
        let start = html.find("name=\"form\" value=\"").unwrap() + 19;
        let proof = html[start..].split('"').next().unwrap().to_owned();
        let fields = [
            ("user_code", code),
            ("form", &proof),
            ("way", "local"),
            ("email", "ada@example.com"),
            ("password", "correct horse battery"),
        ];
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://gw.example.com"),
            ("cookie", cookie.split(';').next().unwrap()),
        ];
        self.ask(Method::POST, "/device/continue", "", &headers, encoded(&fields)).await.status().as_u16()
    }

    async fn signed_in(&self) -> Value {
        let (device, code) = self.begin().await;
        assert_eq!(self.approve(&code).await, 200);
        let (status, tokens) = self.poll(&device).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    async fn sessions(&self, query: &str) -> Value {
        self.world.get(&format!("/api/v1/sessions{query}")).await.ok()["items"].clone()
    }
}

fn error_of((status, body): &(u16, Value)) -> (u16, &str) {
    (*status, body["error"].as_str().unwrap_or_default())
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}")).to_owned()
}

#[tokio::test]
async fn who_polls_too_fast_is_slowed_and_a_code_runs_out() {
    let h = house().await;
    let (device, code) = h.begin().await;
    assert_eq!(error_of(&h.poll(&device).await), (400, "authorization_pending"));
    h.world.pass(1000);
    assert_eq!(error_of(&h.poll(&device).await), (400, "authorization_pending"), "a second early is fine");
    assert_eq!(error_of(&h.poll(&device).await), (400, "slow_down"));
    h.world.pass(3000);
    assert_eq!(error_of(&h.poll(&device).await), (400, "slow_down"), "the interval has grown");
    h.world.pass(12_000);
    assert_eq!(error_of(&h.poll(&device).await), (400, "authorization_pending"));
    h.world.pass(600_000);
    assert_eq!(error_of(&h.poll(&device).await), (400, "expired_token"));
    assert_eq!(h.approve(&code).await, 403);
    h.portal.clear().await.unwrap();
    assert_eq!(error_of(&h.poll(&device).await), (400, "expired_token"));
}

#[tokio::test]
async fn a_refresh_token_that_comes_back_late_ends_the_session() {
    let h = house().await;
    let tokens = h.signed_in().await;
    let first = text(&tokens, "refresh_token");
    let (_, second) = h.refresh(&first).await;
    h.world.pass(60_000);
    let (status, again) = h.refresh(&first).await;
    assert_eq!(
        (status, text(&again, "refresh_token")),
        (200, text(&second, "refresh_token")),
        "within the grace"
    );
    h.world.pass(1);
    assert_eq!(error_of(&h.refresh(&first).await), (401, "invalid_grant"));
    let ended = h.sessions("?ended=true").await;
    assert_eq!(text(&ended[0], "ended_why"), "token_reused");
    assert_eq!(
        error_of(&h.refresh(&text(&second, "refresh_token")).await),
        (401, "invalid_grant"),
        "for all"
    );
    assert_eq!(h.sessions("").await, json!([]));
    assert_eq!(text(&h.world.audited("?action=session.end").await[0]["detail"], "why"), "token_reused");
}

#[tokio::test]
async fn a_session_ends_however_often_it_is_refreshed() {
    let h = house().await;
    let mut token = text(&h.signed_in().await, "refresh_token");
    for _ in 0..29 {
        h.world.pass(DAY);
        let (status, next) = h.refresh(&token).await;
        assert_eq!((status, next["expires_in"].as_i64()), (200, Some(3600)), "{next}");
        token = text(&next, "refresh_token");
    }
    h.world.pass(DAY - 60_000);
    let (_, last) = h.refresh(&token).await;
    assert_eq!(last["expires_in"].as_i64(), Some(60), "no token outlives its session");
    h.world.pass(60_000);
    assert_eq!(error_of(&h.refresh(&text(&last, "refresh_token")).await), (401, "invalid_grant"));
    h.portal.clear().await.unwrap();
    assert_eq!(text(&h.sessions("?ended=true").await[0], "ended_why"), "expired");
}

#[tokio::test]
async fn a_disabled_person_gets_no_tokens_and_a_new_password_ends_sessions() {
    let h = house().await;
    let token = text(&h.signed_in().await, "refresh_token");
    let (device, code) = h.begin().await;
    assert_eq!(h.approve(&code).await, 200);
    h.world.post("/api/v1/users/ada@example.com/disable", json!({})).await.ok();
    assert_eq!(error_of(&h.refresh(&token).await), (401, "invalid_grant"));
    assert_eq!(error_of(&h.poll(&device).await), (400, "access_denied"), "approved before, collected after");
    h.world.post("/api/v1/users/ada@example.com/enable", json!({})).await.ok();
    assert_eq!(error_of(&h.refresh(&token).await), (401, "invalid_grant"), "it does not come back");
    assert_eq!(text(&h.sessions("?ended=true").await[0], "ended_why"), "user_disabled");
    let (status, next) = h.refresh(&text(&h.signed_in().await, "refresh_token")).await;
    assert_eq!(status, 200, "{next}");
    let weak = h.world.put("/api/v1/users/ada@example.com/password", json!({"password": "short"})).await;
    weak.refused(400, "invalid_field", Some("password"));
    h.world
        .put("/api/v1/users/ada@example.com/password", json!({"password": "another horse battery"}))
        .await
        .ok();
    assert_eq!(error_of(&h.refresh(&text(&next, "refresh_token")).await), (401, "invalid_grant"));
    let acts = h.world.audited("").await;
    assert!(acts.iter().all(|act| !act.to_string().contains("horse")), "no password is written down");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_administrators() {
    let h = house().await;
    h.signed_in().await;
    let session = h.sessions("?user=ada@example.com").await[0].clone();
    assert_eq!(
        (text(&session, "email"), text(&session, "source")),
        ("ada@example.com".into(), "local".into())
    );
    h.world.get("/api/v1/sessions?user=eve@example.com").await.refused(400, "invalid_field", Some("user"));
    let id = text(&session, "id");
    let ended = h.world.post(&format!("/api/v1/sessions/{id}/revoke"), json!({})).await.ok();
    assert_eq!((text(&ended, "ended_why"), &ended["in_force"]), ("revoked".into(), &json!(true)));
    let again = h.world.post(&format!("/api/v1/sessions/{id}/revoke"), json!({})).await.ok();
    assert_eq!(again["ended_at"], ended["ended_at"]);
    h.world.post("/api/v1/sessions/nobody/revoke", json!({})).await.refused(404, "not_found", None);
    let begun = &h.world.audited("?action=session.begin").await[0];
    assert_eq!(text(&begun["detail"], "source"), "local");
    assert_eq!(
        h.world.audited("?action=session.end").await.len(),
        1,
        "what changed nothing is not recorded twice"
    );
}

#[tokio::test]
async fn sign_ins_of_one_address_are_bounded() {
    let h = house().await;
    for _ in 0..300 {
        h.begin().await;
    }
    let refused = h.post("/oauth/device_authorization", &[]).await;
    assert_eq!(error_of(&refused), (429, "slow_down"));
    h.world.pass(600_000);
    h.begin().await;
}

#[tokio::test]
async fn only_what_is_configured_is_entered() {
    let h = house().await;
    assert_eq!(h.portal.entry("/device"), Some(Entry::Open(0)));
    assert_eq!(h.portal.entry("/managed/settings"), Some(Entry::Granted));
    assert_eq!(h.portal.entry("/v1/messages"), None);
    h.portal.replace(Rules { public_url: None, ..rules() });
    assert_eq!(h.portal.entry("/device"), None);
    assert_eq!(h.portal.entry("/managed/settings"), Some(Entry::Granted));
    assert_eq!(h.post("/oauth/token", &[("grant_type", DEVICE)]).await.0, 404);
}

#[tokio::test]
async fn a_session_ends_when_its_way_in_is_closed() {
    let h = house().await;
    let tokens = h.signed_in().await;
    h.portal.replace(Rules { local: Local::Off, ..rules() });
    let refused = h.refresh(&text(&tokens, "refresh_token")).await;
    assert_eq!(error_of(&refused), (401, "invalid_grant"));
    let sessions = h.sessions("?ended=true").await;
    assert_eq!(sessions[0]["ended_why"], "source_refused");
    h.portal.replace(rules());
    assert_eq!(
        error_of(&h.refresh(&text(&tokens, "refresh_token")).await),
        (401, "invalid_grant"),
        "for good"
    );
}

#[tokio::test]
async fn who_hammers_is_slowed_and_writes_nothing() {
    let h = house().await;
    let (device, code) = h.begin().await;
    for _ in 0..100 {
        h.poll(&device).await;
    }
    let writes = h.world.app.store.device_by_code(h.world.app.org, &code).await.unwrap().unwrap();
    let (slowest, last) = (writes.new.poll_seconds, writes.polled_at);
    h.world.pass(1000);
    assert_eq!(error_of(&h.poll(&device).await), (400, "slow_down"));
    let after = h.world.app.store.device_by_code(h.world.app.org, &code).await.unwrap().unwrap();
    assert_eq!((after.new.poll_seconds, after.polled_at), (slowest, last), "nothing was written");
    h.world.pass(slowest * 1000);
    assert_eq!(error_of(&h.poll(&device).await), (400, "authorization_pending"), "and then it goes on");
    assert_eq!(h.approve(&code).await, 200);
    assert_eq!(h.poll(&device).await.0, 200);
}
