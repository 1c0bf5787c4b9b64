//! A management plane in a directory of its own, with a clock and chance that tests command.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use gatehouse_control::app::{House, InForce, NotFlushed, Parts};
use gatehouse_control::attempts::Attempts;
use gatehouse_control::config::{ReloadRefused, Reloaded};
use gatehouse_control::keys::Keys;
use gatehouse_control::provider::{ProviderInfo, ProviderQuota};
use gatehouse_control::settings::{Delivery, Rules};
use gatehouse_control::status::{Check, CountersState, LedgerState, Readiness};
use gatehouse_control::{App, bootstrap, router};
use gatehouse_domain::id::NodeId;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::price::PriceTable;
use gatehouse_domain::role::Role;
use gatehouse_domain::settings::Catalogue;
use gatehouse_domain::settings::lint::ModelState;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::master::MasterKey;
use gatehouse_store::audit::Notary;
use gatehouse_store::{Store, StoreConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// When every test begins.
pub(crate) const BEGIN: UnixMillis = UnixMillis(1_800_000_000_000);

/// The node that every world is.
pub(crate) const NODE: NodeId = NodeId::from_bits(1);

/// Counts up so that no two calls give the same bytes; tests need unlike bytes, not secret ones.
static CHANCE: AtomicU64 = AtomicU64::new(1);

/// What a test may change about the house, and see of it.
#[derive(Default)]
pub(crate) struct Knobs {
    pub(crate) now: AtomicI64,
    pub(crate) policy_changes: AtomicU32,
    pub(crate) policy_stuck: AtomicBool,
    pub(crate) keys_changed: Mutex<Vec<String>>,
    pub(crate) refuse_reload: Mutex<Vec<String>>,
    pub(crate) not_ready: Mutex<Option<String>>,
    pub(crate) flushes: AtomicU32,
    pub(crate) ledger_stuck: Mutex<bool>,
    pub(crate) allow_commands: AtomicBool,
    pub(crate) alerts: crate::alerts::Desk,
}

/// A management plane.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) owner: String,
    pub(crate) knobs: Arc<Knobs>,
    pub(crate) dir: TempDir,
    router: Router,
    address: AtomicU32,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The answer of something that must succeed.
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts how it was refused: status, code, field.
    pub(crate) fn refused(&self, status: u16, code: &str, field: Option<&str>) {
        let error = &self.json()["error"];
        let told = (self.status.as_u16(), error["code"].as_str(), error["field"].as_str());
        assert_eq!(told, (status, Some(code), field), "{}", self.text);
        let id = error["request_id"].as_str().unwrap_or_default();
        assert!(id.starts_with("req_") && self.headers["x-request-id"] == id, "{}", self.text);
        assert!(!error["message"].as_str().unwrap_or_default().is_empty(), "{}", self.text);
    }
}

pub(crate) fn random(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        // SplitMix64 of a counter.
        let mut z = CHANCE.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
    }
}

pub(crate) fn keyring() -> Keyring {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(7..).for_each(|(byte, n)| *byte = n);
    Keyring::new(MasterKey::from_bytes(bytes), vec![])
}

pub(crate) async fn open(dir: &TempDir) -> Store {
    Store::open(&StoreConfig::sqlite(dir.path())).await.unwrap()
}

pub(crate) async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(dir.path());
    world_in(dir, &config).await
}

/// A world whose database is this.
pub(crate) async fn world_in(dir: TempDir, config: &StoreConfig) -> World {
    let store = Store::open(config).await.unwrap();
    let keyring = keyring();
    let started = bootstrap::start(&store, &keyring, "Example", NODE, BEGIN, &random).await.unwrap();
    let knobs = Arc::new(Knobs { now: AtomicI64::new(BEGIN.0), ..Knobs::default() });
    let keys = Arc::new(Keys::new(started.keys));
    let notary = Notary::open(NODE, keys.signing_keys(), dir.path().join("audit.checkpoint")).unwrap();
    let app = App::new(Parts {
        store,
        org: started.org.id,
        keys,
        keyring,
        notary: Arc::new(notary),
        node: NODE,
        version: "1.2.3",
        started_at: BEGIN,
        attempts: Attempts::default(),
        settings: Arc::new(Delivery::new(Catalogue::builtin())),
        house: house(&knobs),
    });
    let owner = started.owner.unwrap().text.to_string();
    World { router: router(app.clone()), app, owner, knobs, dir, address: AtomicU32::new(0) }
}

#[expect(clippy::too_many_lines, reason = "one line for each thing that the house does")]
fn house(knobs: &Arc<Knobs>) -> House {
    let with = || Arc::clone(knobs);
    let (now, changed, keys, reload) = (with(), with(), with(), with());
    let (ready, flush, rules) = (with(), with(), with());
    House {
        now: Box::new(move || UnixMillis(now.now.load(Ordering::Relaxed))),
        random: Box::new(random),
        policy_changed: Box::new(move || {
            changed.policy_changes.fetch_add(1, Ordering::Relaxed);
            let stuck = changed.policy_stuck.load(Ordering::Relaxed);
            Box::pin(async move { if stuck { InForce::Later } else { InForce::Now } })
        }),
        provider_key_changed: Box::new(move |name| keys.keys_changed.lock().unwrap().push(name.to_owned())),
        policy_age: Box::new(|| Duration::from_secs(3)),
        snapshot_version: Box::new(|| 7),
        flush_ledger: Box::new(move || {
            flush.flushes.fetch_add(1, Ordering::Relaxed);
            let stuck = *flush.ledger_stuck.lock().unwrap();
            Box::pin(async move { if stuck { Err(NotFlushed) } else { Ok(()) } })
        }),
        ledger: Box::new(LedgerState::default),
        probes: Box::new(|| Box::pin(async { std::collections::BTreeMap::new() })),
        backups: Box::new(|| Err("no backups in this test".to_owned())),
        reload: Box::new(move || {
            let mistakes = reload.refuse_reload.lock().unwrap().clone();
            Box::pin(async move {
                if !mistakes.is_empty() {
                    return Err(ReloadRefused { mistakes });
                }
                Ok(Reloaded {
                    changed: vec!["log.filter".into()],
                    restart_needed: vec!["listen.admin".into()],
                })
            })
        }),
        effective_config: Box::new(
            || json!({"settings": [{"key": "log.filter", "value": "info", "origin": "default"}]}),
        ),
        scim_base: Box::new(|| "https://gate.example.com/scim/v2".to_owned()),
        sign_in_base: Box::new(|| Some("https://gw.example.com".to_owned())),
        ways: Box::new(|| gatehouse_control::app::Ways {
            gateway_url: "https://gw.example.com".to_owned(),
            is_public: true,
            proxy_url: None,
            proxy_ca_file: None,
        }),
        log_forwards: Box::new(Vec::new),
        dated: Box::new(|| Box::pin(async { Vec::new() })),
        directories: Box::new(crate::directories::configured),
        open_directory: Box::new(|_| Box::pin(async { Err("the directory is away".to_owned()) })),
        settings_rules: Box::new(move || Rules {
            allow_commands: rules.allow_commands.load(Ordering::Relaxed),
        }),
        data_classes: Box::new(gatehouse_domain::data_class::DataClasses::default),
        model_state: Box::new(|name| {
            if name.starts_with("claude-") { ModelState::Served } else { ModelState::Unknown }
        }),
        counters: Box::new(|| CountersState { state: "memory", nodes: 1, problem: None }),
        budget: Box::new(|_| None),
        budgets_of: Box::new(|_| Vec::new()),
        limits_of: Box::new(|_, _| Vec::new()),
        retention: Box::new(|| gatehouse_control::retention::Rules {
            exchanges_days: Some(40),
            tunnels_ms: gatehouse_domain::time::DAY_MS,
            events_ms: gatehouse_domain::time::DAY_MS,
            snapshots_days: Some(40),
        }),
        budget_zone: Box::new(gatehouse_domain::zone::Zone::default),
        worst_cost: Box::new(|_, input, output| Nanos(i64::try_from(input + output).unwrap())),
        proxy: gatehouse_control::proxy::Face::absent(),
        inspection: gatehouse_control::inspection::Face::absent(),
        explain_route: Box::new(|question| gatehouse_control::route::RouteExplained {
            model: Some(question.model.clone()),
            notice: None,
            rule: "no route".into(),
            session_with: None,
            cache: gatehouse_control::route::RouteCache::default(),
            candidates: Vec::new(),
            left_out: Vec::new(),
        }),
        rates: Box::new(|model| PriceTable::builtin().rates(model, BEGIN)),
        providers: Box::new(|| {
            vec![ProviderInfo {
                name: "main".into(),
                kind: "anthropic".into(),
                health: "ok".into(),
                base_url: "http://127.0.0.1:9".into(),
                credential: "sealed:main".into(),
                state: "ok".into(),
                quota: ProviderQuota::default(),
                learned: Vec::new(),
            }]
        }),
        alerts: crate::alerts::face(knobs),
        readiness: Box::new(move || {
            let problem = ready.not_ready.lock().unwrap().clone();
            Readiness {
                ready: problem.is_none(),
                checks: vec![Check { name: "ledger", ok: problem.is_none(), problem }],
            }
        }),
        metrics: Box::new(|| "# TYPE up gauge\nup 1\n".to_owned()),
    }
}

impl World {
    /// Sends a request as it is. Each comes from another address, unless it says from which.
    pub(crate) async fn send(&self, mut req: Request<Body>) -> Answer {
        if req.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            let n = self.address.fetch_add(1, Ordering::Relaxed);
            let from = IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + n));
            req.extensions_mut().insert(ConnectInfo(SocketAddr::new(from, 1)));
        }
        let response = self.router.clone().oneshot(req).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }

    /// Sends a request with this token.
    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut req = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        req = req.header("host", "localhost");
        if !token.is_empty() {
            req = req.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(value) => {
                req = req.header("content-type", "application/json");
                Body::from(value.to_string())
            }
            None => Body::empty(),
        };
        self.send(req.body(body).unwrap()).await
    }

    /// Asks as the owner.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&self.owner, "GET", path, None).await
    }

    /// Asks as the owner to do something.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(&self.owner, "POST", path, Some(body)).await
    }

    /// Asks as the owner to replace something.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(&self.owner, "PUT", path, Some(body)).await
    }

    /// Makes a token of a role.
    pub(crate) async fn token(&self, role: Role) -> String {
        let body = json!({"name": role.as_str(), "role": role.as_str()});
        self.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: i64) {
        self.knobs.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// The newest audit entries, newest first.
    pub(crate) async fn audited(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/audit{query}")).await.ok();
        answer["items"].as_array().unwrap().clone()
    }

    /// The administrator's token of this name.
    pub(crate) async fn token_named(&self, name: &str) -> Value {
        let listed = self.get("/api/v1/admin-tokens").await.ok();
        let found = listed["items"].as_array().unwrap().iter().find(|token| token["name"] == name);
        found.unwrap_or_else(|| panic!("no token `{name}`: {listed}")).clone()
    }
}
